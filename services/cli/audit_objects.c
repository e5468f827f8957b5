/* audit_objects.c - the objects that stage says it has, byte for byte. Keys: services/stage/stage_core.h, backend_*.c.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit_impl.h"
#include "core/crc32c.h"
#include "mesh/claims.h"
#include "stage.pb-c.h"
#include "strata_tar.h"

struct object {
    char *id; /* "<ns>/<key>" */
    size_t stage;
};

static int read_file (const char *path, uint64_t *size, uint32_t *crc)
{
    static char buffer[1 << 16];
    FILE *in = fopen (path, "re");
    *size = 0;
    *crc = 0;
    if (!in)
        return -1;
    for (size_t n; (n = fread (buffer, 1, sizeof (buffer), in)) > 0; *size += n)
        *crc = crc32c (*crc, buffer, n);
    int rc = ferror (in) ? -1 : 0;
    fclose (in);
    return rc;
}

/* The object's bytes of the file backend: in their place, or in a numbered file while an intent says so. */
static int read_object_file (struct audit_world *world, size_t stage, const char *id, uint64_t *size, uint32_t *crc)
{
    char path[4700];
    struct shard_key key;
    void *value = NULL;
    size_t value_size = 0;
    shard_key (&key, "intent/%s", id);
    bool intent = shard_get (world->stages[stage], key.data, key.size, &value, &value_size) && value_size == 16
                  && shard_u64 (value) == 1;
    snprintf (path, sizeof (path), "%s/objects/~%s/%" PRIu64, world->workspace, world->stage_names[stage],
              intent ? shard_u64 ((uint8_t *)value + 8) : 0);
    free (value);
    if (intent && read_file (path, size, crc) == 0)
        return 0;
    snprintf (path, sizeof (path), "%s/objects/%s/%s", world->workspace, world->stage_names[stage], id);
    return read_file (path, size, crc);
}

/* The object's bytes of the tar backend: at the place that the store names, under a header with its name. */
static int read_object_tar (struct audit_world *world, size_t stage, const char *id, uint64_t *size, uint32_t *crc)
{
    char path[4700];
    struct shard_key key;
    struct strata_error error;
    void *value = NULL, *data = NULL;
    size_t value_size = 0;
    const char *slash = strchr (id, '/');
    struct tar_member member = { 0, 0 };
    struct tar *tar = NULL;
    int rc = -1;
    shard_key (&key, "tar/%s", id);
    errno = ENOENT;
    if (slash && shard_get (world->stages[stage], key.data, key.size, &value, &value_size) && value_size == 24) {
        member = (struct tar_member){ shard_u64 ((uint8_t *)value + 8), shard_u64 ((uint8_t *)value + 16) };
        snprintf (path, sizeof (path), "%s/archives/%s/%.*s/%08" PRIu64 ".tar", world->workspace, world->stage_names[stage],
                  (int)(slash - id), id, shard_u64 (value));
        tar = tar_open (path, TAR_READ, NULL, &error);
    }
    if (tar && (data = malloc (member.size + 1)))
        rc = tar_read (tar, slash + 1, &member, 0, member.size, data, &error);
    if (rc == 0) {
        *size = member.size;
        *crc = crc32c (0, data, member.size);
    }
    int saved = errno;
    tar_close (&tar, NULL);
    free (value);
    free (data);
    errno = saved;
    return rc;
}

static int read_object (struct audit_world *world, const char *backend, size_t stage, const char *id, uint64_t *size, uint32_t *crc)
{
    struct shard_key key;
    void *value;
    size_t value_size;
    if (strcmp (backend, "redis") == 0)
        return audit_read_redis (world, stage, id, size, crc);
    if (strcmp (backend, "tar") == 0)
        return read_object_tar (world, stage, id, size, crc);
    if (strcmp (backend, "rocksdb") != 0)
        return read_object_file (world, stage, id, size, crc);
    shard_key (&key, "blob/%s", id);
    if (!shard_get (world->stages[stage], key.data, key.size, &value, &value_size)) {
        errno = ENOENT;
        return -1;
    }
    *size = value_size;
    *crc = crc32c (0, value, value_size);
    free (value);
    return 0;
}

static void check_object (struct audit_world *world, size_t stage, const char *id, const Strata__ObjectInfo *info)
{
    uint64_t size = 0;
    uint32_t crc = 0;
    const struct campaign_stage *config = &world->campaign->stage;
    /* Of several copies one that is whole is enough: that one is read. */
    const char *const *backends = (const char *const *)&config->backend;
    unsigned count = 1;
    for (unsigned i = 0; i < config->namespaces_count; i++) {
        const struct campaign_namespace *n = &config->namespaces[i];
        if (strncmp (id, n->name, strlen (n->name)) == 0 && id[strlen (n->name)] == '/') {
            backends = (const char *const *)n->backends;
            count = n->backends_count;
        }
    }
    int rc = -1;
    for (unsigned i = 0; i < count && !(rc == 0 && size == info->size && crc == info->crc32c); i++)
        rc = read_object (world, backends[i], stage, id, &size, &crc);
    if (rc < 0)
        audit_violation (world->audit, AUDIT_OBJECTS, "object %s of %s can't be read: %s (generation %" PRIu64 " of %" PRId64 " us)",
                         id, world->stage_names[stage], strerror (errno), info->generation, info->mtime_us);
    else if (size != info->size || crc != info->crc32c)
        audit_violation (world->audit, AUDIT_OBJECTS,
                         "object %s of %s has %" PRIu64 " bytes and checksum %08x; it was put with %" PRIu64
                         " and %08x",
                         id, world->stage_names[stage], size, (unsigned)crc, info->size, (unsigned)info->crc32c);
}

static void check_stage (struct audit_world *world, size_t stage, struct audit_table *objects)
{
    struct shard_iter it;
    uint64_t count = 0, bytes = 0;
    for (bool more = shard_iter_begin (world->stages[stage], &it, "obj/", 4, NULL, 0); more;
         more = shard_iter_next (&it)) {
        struct object *row = audit_add (objects, sizeof (*row));
        Strata__ObjectInfo *info = strata__object_info__unpack (NULL, it.value_size, it.value);
        row->id = strndup ((const char *)it.key + 4, it.key_size - 4);
        row->stage = stage;
        if (!info || !row->id) {
            audit_violation (world->audit, AUDIT_OBJECTS, "object %s: its record is damaged", row->id);
            continue;
        }
        count++;
        bytes += info->size;
        check_object (world, stage, row->id, info);
        strata__object_info__free_unpacked (info, NULL);
    }
    shard_iter_end (&it);
    uint64_t said = shard_get_u64 (world->stages[stage], "stage/objects", 0),
             said_bytes = shard_get_u64 (world->stages[stage], "stage/bytes", 0);
    if (said != count || said_bytes != bytes)
        audit_violation (world->audit, AUDIT_OBJECTS,
                         "%s has %" PRIu64 " objects of %" PRIu64 " bytes; its counters say %" PRIu64 " of %" PRIu64,
                         world->stage_names[stage], count, bytes, said, said_bytes);
    world->audit->summary.objects += count;
    world->audit->summary.object_bytes += bytes;
}

/* Whether the slot is handed over between stage `at` and the one that its claim names. */
static bool handed_over_with (const struct audit_world *world, unsigned slot, size_t at, const char *owner)
{
    for (size_t i = 0; i < world->stages_count; i++)
        if (strcmp (world->stage_names[i], owner) == 0)
            return audit_is_handed_over (world, (int)slot, NULL, at, i);
    return false;
}

/* Between the two steps of a move to another stage (services/stage/moves.c) an object stands at both, under two names; under
 * one name it stands at the stage that its slot's claim names, and nowhere else, but while the slot is handed over. */
static void check_keepers (struct audit_world *world, const struct audit_table *objects)
{
    const struct object *last = NULL;
    AUDIT_EACH (struct object, o, *objects) {
        char name[512], owner[REPLICA_NAME_MAX];
        struct claim claim;
        struct strata_error error;
        snprintf (name, sizeof (name), "%.500s", o->id ? o->id : "");
        char *key = strchr (name, '/');
        if (!key)
            continue;
        *key++ = '\0';
        unsigned slot = claim_slot (name, key);
        if (last && last->id && o->id && strcmp (last->id, o->id) == 0
            && !audit_is_handed_over (world, (int)slot, NULL, last->stage, o->stage))
            audit_violation (world->audit, AUDIT_OBJECTS, "object %s stands at %s and at %s", o->id,
                             world->stage_names[last->stage], world->stage_names[o->stage]);
        last = o;
        claim_of_slot (&claim, world->workspace, slot);
        int rc = claim_read (&claim, owner, &error);
        if (rc < 0)
            audit_violation (world->audit, AUDIT_OBJECTS, "%s", error.text);
        else if (rc > 0 && strcmp (owner, world->stage_names[o->stage]) != 0 && !handed_over_with (world, slot, o->stage, owner))
            audit_violation (world->audit, AUDIT_OBJECTS, "object %s stands at %s, but its slot %s is claimed by %s", o->id,
                             world->stage_names[o->stage], claim.name, owner);
    }
}

void audit_check_objects (struct audit_world *world)
{
    struct audit_table objects = { .rows = NULL };
    uint64_t patches = 0;
    for (size_t i = 0; i < world->stages_count; i++)
        check_stage (world, i, &objects);
    audit_sort (&objects);
    check_keepers (world, &objects);
    AUDIT_EACH (struct audit_candidate, c, world->candidates) {
        char id[640];
        if (c->invalid)
            continue;
        snprintf (id, sizeof (id), "%.200s/%.400s.npz", world->campaign->patch.namespace_, c->id);
        patches++;
        if (!audit_find (&objects, id))
            audit_violation (world->audit, AUDIT_OBJECTS, "candidate %s has no patch: there is no object %s", c->id,
                             id);
    }
    AUDIT_EACH (struct object, o, objects)
        free (o->id);
    free (objects.rows);
    audit_counted (world->audit, AUDIT_OBJECTS,
                   "%" PRIu64 " objects, %" PRIu64 " bytes, all read; patches of %" PRIu64 " valid candidates "
                   "looked for",
                   world->audit->summary.objects, world->audit->summary.object_bytes, patches);
}
