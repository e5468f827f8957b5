/* stage_core.c - see stage_core.h */
#include "stage_core.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "copies.h"
#include "core/crc32c.h"

#define OBJECTS_KEY "stage/objects"
#define BYTES_KEY "stage/bytes"
#define VERIFIED 4096 /* objects whose bytes were checked, remembered for reads of ranges */

struct stage {
    struct shard *shard;
    struct copies *copies;
    uint64_t quota_bytes, objects, bytes, puts, gets;
    uint64_t verified[VERIFIED]; /* hashes of name, generation and time */
};

/* ---- names ---- */

/* The length of the part at p (up to '/' or the end), 0 when it is not allowed. */
static size_t part_length (const char *p)
{
    size_t n = strspn (p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+=@-");
    if ((n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
        return 0;
    return n;
}

bool stage_namespace_valid (const char *ns)
{
    size_t n = part_length (ns);
    return n > 0 && n <= STAGE_NAME_MAX && ns[n] == '\0';
}

bool stage_key_valid (const char *key)
{
    size_t n;
    if (strnlen (key, STAGE_NAME_MAX + 1) > STAGE_NAME_MAX)
        return false;
    for (const char *p = key; (n = part_length (p)) > 0; p += n + 1)
        if (p[n] != '/')
            return p[n] == '\0';
    return false;
}

/* A name that is not allowed, as a sentence may show it. */
struct shown {
    char text[81];
};

static struct shown show (const char *name)
{
    struct shown out = { "" };
    for (size_t i = 0; i < sizeof (out.text) - 1 && name[i]; i++)
        out.text[i] = name[i] >= ' ' && name[i] <= '~' ? name[i] : '?';
    return out;
}

static int namespace_check (const char *ns, struct strata_error *error)
{
    if (stage_namespace_valid (ns))
        return 0;
    errno = EINVAL;
    return strata_fail (error,
                        "namespace '%s' is not 1-%d of A-Z a-z 0-9 . _ + = @ - (and not . or ..)",
                        show (ns).text,
                        STAGE_NAME_MAX);
}

static int name_check (const char *ns, const char *key, struct strata_error *error)
{
    if (namespace_check (ns, error) < 0)
        return -1;
    if (stage_key_valid (key))
        return 0;
    errno = EINVAL;
    return strata_fail (
        error,
        "key '%s' is not 1-%d of A-Z a-z 0-9 . _ + = @ -, with '/' between parts (no part empty, . or ..)",
        show (key).text,
        STAGE_NAME_MAX);
}

/* ---- what is known of an object ---- */

static struct shard_key object_key (const char *ns, const char *key)
{
    struct shard_key k;
    shard_key (&k, "obj/%s/%s", ns, key);
    return k;
}

static void info_copy (Strata__ObjectInfo *to, const Strata__ObjectInfo *from)
{
    strata__object_info__init (to);
    to->size = from->size;
    to->crc32c = from->crc32c;
    to->generation = from->generation;
    to->mtime_us = from->mtime_us;
}

static bool info_get (struct stage *self, const char *ns, const char *key, Strata__ObjectInfo *info)
{
    struct shard_key k = object_key (ns, key);
    ProtobufCMessage *found = shard_get_message (self->shard, &k, &strata__object_info__descriptor);
    if (!found)
        return false;
    info_copy (info, (const Strata__ObjectInfo *)found);
    protobuf_c_message_free_unpacked (found, NULL);
    return true;
}

static void info_put (struct stage *self, const char *ns, const char *key, const Strata__ObjectInfo *info)
{
    struct shard_key k = object_key (ns, key);
    shard_put_message (self->shard, &k, &info->base);
}

static int missing (const char *ns, const char *key, struct strata_error *error)
{
    errno = ENOENT;
    return strata_fail (error, "there is no object %s/%s", ns, key);
}

static void totals_save (struct stage *self)
{
    shard_put_u64 (self->shard, OBJECTS_KEY, self->objects);
    shard_put_u64 (self->shard, BYTES_KEY, self->bytes);
}

/* ---- opening ---- */

struct stage *stage_new (struct shard *shard, const char *backend, const struct campaign_namespace *namespaces, unsigned count,
                         const char *root, const char *owner, uint64_t quota_bytes, struct strata_error *error)
{
    struct stage *self = calloc (1, sizeof (*self));
    if (!self) {
        strata_fail (error, "out of memory");
        return NULL;
    }
    self->shard = shard;
    self->quota_bytes = quota_bytes;
    self->copies = copies_open (shard, backend, namespaces, count, root, owner, error);
    if (!self->copies)
        stage_free (&self);
    else {
        self->objects = shard_get_u64 (shard, OBJECTS_KEY, 0);
        self->bytes = shard_get_u64 (shard, BYTES_KEY, 0);
    }
    return self;
}

void stage_free (struct stage **self_p)
{
    struct stage *self = *self_p;
    if (!self)
        return;
    copies_close (&self->copies);
    free (self);
    *self_p = NULL;
}

/* ---- put ---- */

static int compare_keys (const void *a, const void *b)
{
    return strcmp (*(const char *const *)a, *(const char *const *)b);
}

/* The names of a put, in byte order; the caller frees the list. NULL: a name is not allowed or stands twice. */
static const char **put_names (const char *ns, const struct backend_item *items, size_t count,
                               struct strata_error *error)
{
    if (count == 0 || count > STAGE_KEYS_MAX) {
        errno = EINVAL;
        strata_fail (error, "a put has 1-%d objects, this one %zu", STAGE_KEYS_MAX, count);
        return NULL;
    }
    const char **names = malloc (count * sizeof (*names));
    if (!names) {
        errno = ENOMEM;
        strata_fail (error, "out of memory for a put of %zu objects", count);
        return NULL;
    }
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = name_check (ns, items[i].key, error);
        names[i] = items[i].key;
    }
    if (rc == 0)
        qsort (names, count, sizeof (*names), compare_keys);
    for (size_t i = 1; i < count && rc == 0; i++)
        if (strcmp (names[i - 1], names[i]) == 0) {
            errno = EINVAL;
            rc = strata_fail (error, "key %s stands twice in one put", names[i]);
        }
    if (rc < 0) {
        int saved = errno;
        free (names);
        errno = saved;
        return NULL;
    }
    return names;
}

/* What the looks for one put have shown; nothing is written meanwhile. The objects of a put are mostly new and of one
 * folder: one look serves all of them. */
struct looks {
    struct shard_key low, high; /* no key of the store lies between: [low, high) */
    char folder[STAGE_NAME_MAX + 1];
    size_t folder_size;         /* no object stands at `folder`, nor above it; 0: not known */
};

static int compare_shard_keys (const struct shard_key *a, const struct shard_key *b)
{
    int order = memcmp (a->data, b->data, a->size < b->size ? a->size : b->size);
    return order ? order : (a->size > b->size) - (a->size < b->size);
}

/* Whether an object stands below a key, but for `except`: a key that goes away in the same step (a move), or NULL. The look
 * goes no further than what the key and the last one of its put begin with: behind that may be many that were deleted. */
static bool stands_below (struct stage *self, const char *ns, const char *key, const char *last, const char *except,
                          struct looks *looks)
{
    struct shard_key below = object_key (ns, key), end = below, all = object_key (ns, last);
    below.data[below.size++] = '/';
    end.data[end.size++] = '/' + 1;
    all.data[all.size++] = '/';
    for (size_t i = 0; i < all.size; i++)
        if (i == below.size || all.data[i] != below.data[i])
            all.size = i;
    if (looks->high.size && compare_shard_keys (&looks->low, &below) <= 0 && compare_shard_keys (&end, &looks->high) <= 0)
        return false;
    struct shard_iter it;
    bool more = shard_iter_begin (self->shard, &it, all.data, all.size, below.data, below.size);
    if (more && except) {
        struct shard_key gone = object_key (ns, except);
        if (it.key_size == gone.size && memcmp (it.key, gone.data, gone.size) == 0)
            more = shard_iter_next (&it);
    }
    bool taken = more && it.key_size >= below.size && memcmp (it.key, below.data, below.size) == 0;
    if (!taken && (!more || it.key_size <= sizeof (looks->high.data))) {
        looks->low = below;
        looks->high = all;
        looks->high.data[all.size - 1]++; /* behind all that begin so */
        if (more) {
            looks->high.size = it.key_size;
            memcpy (looks->high.data, it.key, it.key_size);
        }
    }
    shard_iter_end (&it);
    return taken;
}

/* Whether another object stands where `key` needs a folder, or the other way. names: [count] sorted, of the same put.
 * except: as in stands_below. */
static int conflict_check (struct stage *self, const char *ns, const char *key, const char **names, size_t count,
                           const char *except, struct looks *looks, struct strata_error *error)
{
    char above[STAGE_NAME_MAX + 1];
    const char *name = above, *last = strrchr (key, '/');
    size_t folder_size = last ? (size_t)(last - key) : 0;
    bool known = folder_size > 0 && folder_size == looks->folder_size && memcmp (key, looks->folder, folder_size) == 0;
    for (const char *slash = known ? NULL : strchr (key, '/'); slash; slash = strchr (slash + 1, '/')) {
        memcpy (above, key, (size_t)(slash - key));
        above[slash - key] = '\0';
        struct shard_key k = object_key (ns, above);
        bool stands = shard_has (self->shard, k.data, k.size) && !(except && strcmp (above, except) == 0);
        if (stands || (count && bsearch (&name, names, count, sizeof (*names), compare_keys))) {
            errno = EEXIST;
            return strata_fail (error, "key %s can't stand below %s, which is an object itself", key, above);
        }
    }
    memcpy (looks->folder, key, folder_size);
    looks->folder_size = folder_size;
    if (!stands_below (self, ns, key, count ? names[count - 1] : key, except, looks))
        return 0;
    errno = EEXIST;
    return strata_fail (error, "key %s can't be an object: other objects stand below it", key);
}

/* Fills infos; *bytes and *fresh: the totals after the put. */
static int put_check (struct stage *self, const char *ns, const struct backend_item *items, size_t count,
                      const char **names, bool only_new, int64_t now_us, Strata__ObjectInfo *infos, uint64_t *bytes,
                      uint64_t *fresh, struct strata_error *error)
{
    uint64_t wanted = 0;
    for (size_t i = 0; i < count; i++)
        if (__builtin_add_overflow (wanted, (uint64_t)items[i].size, &wanted))
            wanted = UINT64_MAX;
    if (wanted > self->quota_bytes) { /* will never fit: no reason to try again */
        errno = EINVAL;
        return strata_fail (error,
                            "a put of %llu bytes is more than the objects' whole quota of %llu (stage.quota_mb)",
                            (unsigned long long)wanted,
                            (unsigned long long)self->quota_bytes);
    }
    struct looks looks = { .folder_size = 0 };
    *bytes = self->bytes;
    *fresh = 0;
    for (size_t i = 0; i < count; i++) {
        bool stands = info_get (self, ns, items[i].key, &infos[i]);
        if (stands && only_new) {
            errno = EEXIST;
            return strata_fail (error, "object %s/%s is there already", ns, items[i].key);
        }
        if (!stands) {
            if (conflict_check (self, ns, items[i].key, names, count, NULL, &looks, error) < 0)
                return -1;
            strata__object_info__init (&infos[i]);
            ++*fresh;
        }
        *bytes = *bytes - infos[i].size + items[i].size;
        infos[i].size = items[i].size;
        infos[i].crc32c = crc32c (0, items[i].data, items[i].size);
        if (items[i].crc32c && *items[i].crc32c != infos[i].crc32c) {
            errno = EPROTO;
            return strata_fail (error, "object %s/%s was damaged on its way: its checksum is %08x, it was sent with %08x",
                                ns, items[i].key, infos[i].crc32c, *items[i].crc32c);
        }
        infos[i].generation++;
        infos[i].mtime_us = now_us;
    }
    if (*bytes > self->quota_bytes && *bytes > self->bytes) {
        errno = EDQUOT;
        return strata_fail (
            error,
            "the objects' quota is reached: %llu bytes are kept, this put makes it %llu of %llu; delete some",
            (unsigned long long)self->bytes,
            (unsigned long long)*bytes,
            (unsigned long long)self->quota_bytes);
    }
    return 0;
}

int stage_put (struct stage *self, const char *ns, const struct backend_item *items, size_t count, bool only_new,
               int64_t now_us, Strata__ObjectInfo *infos, struct strata_error *error)
{
    uint64_t bytes = 0, fresh = 0;
    const char **names = put_names (ns, items, count, error);
    if (!names)
        return -1;
    int rc = put_check (self, ns, items, count, names, only_new, now_us, infos, &bytes, &fresh, error);
    if (rc == 0)
        rc = copies_put (self->copies, ns, items, count, error);
    int saved = errno;
    free (names);
    errno = saved;
    if (rc < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        info_put (self, ns, items[i].key, &infos[i]);
    self->bytes = bytes;
    self->objects += fresh;
    self->puts += count;
    totals_save (self);
    return 0;
}

/* ---- the others ---- */

int stage_stat (struct stage *self, const char *ns, const char *key, Strata__ObjectInfo *info,
                struct strata_error *error)
{
    if (name_check (ns, key, error) < 0)
        return -1;
    return info_get (self, ns, key, info) ? 0 : missing (ns, key, error);
}

int stage_get (struct stage *self, const char *ns, const char *key, Strata__ObjectInfo *info, void **data,
               struct strata_error *error)
{
    *data = NULL;
    if (stage_stat (self, ns, key, info, error) < 0
        || copies_get (self->copies, ns, key, info->size, info->crc32c, data, error) < 0)
        return -1;
    self->gets++;
    return 0;
}

static uint64_t version_hash (const char *ns, const char *key, const Strata__ObjectInfo *info)
{
    char text[2 * STAGE_NAME_MAX + 64];
    uint64_t hash = 1469598103934665603u;
    snprintf (text, sizeof (text), "%s/%s %llu %lld", ns, key, (unsigned long long)info->generation,
              (long long)info->mtime_us);
    for (const char *p = text; *p; p++)
        hash = (hash ^ (uint8_t)*p) * 1099511628211u;
    return hash | 1;
}

int stage_get_range (struct stage *self, const char *ns, const char *key, uint64_t offset, uint64_t length,
                     Strata__ObjectInfo *info, void **data, size_t *got, struct strata_error *error)
{
    *data = NULL;
    *got = 0;
    if (stage_stat (self, ns, key, info, error) < 0)
        return -1;
    if (offset > info->size) {
        errno = EINVAL;
        return strata_fail (error, "object %s/%s has %llu bytes; byte %llu is past its end", ns, key,
                            (unsigned long long)info->size, (unsigned long long)offset);
    }
    *got = length < info->size - offset ? length : info->size - offset;
    uint64_t hash = version_hash (ns, key, info), *known = &self->verified[hash % VERIFIED];
    if (*known == hash && !copies_several (self->copies, ns)) {
        self->gets++;
        return copies_get_range (self->copies, ns, key, info->size, offset, *got, data, error);
    }
    if (stage_get (self, ns, key, info, data, error) < 0)
        return -1;
    *known = hash;
    memmove (*data, (char *)*data + offset, *got);
    return 0;
}

int stage_list (struct stage *self, const char *ns, const struct stage_filter *filter, size_t max,
                void (*each) (const char *key, const Strata__ObjectInfo *info, void *arg), void *arg, bool *more,
                char *last, struct strata_error *error)
{
    const char *prefix = filter->prefix, *after = filter->after;
    if (namespace_check (ns, error) < 0)
        return -1;
    if (strnlen (prefix, STAGE_NAME_MAX + 1) > STAGE_NAME_MAX || strnlen (after, STAGE_NAME_MAX + 1) > STAGE_NAME_MAX
        || strnlen (filter->pattern, STAGE_NAME_MAX + 1) > STAGE_NAME_MAX || max < 1 || max > STAGE_LIST_MAX) {
        errno = EINVAL;
        return strata_fail (error,
                            "a list asks for 1-%d keys with a prefix or pattern of at most %d bytes; asked for %zu",
                            STAGE_LIST_MAX,
                            STAGE_NAME_MAX,
                            max);
    }
    struct shard_key first = object_key (ns, prefix), start = object_key (ns, after);
    size_t ns_size = strlen (ns) + strlen ("obj//"), seen = 0, scanned = 0;
    start.data[start.size++] = '\0'; /* the first key behind `after` */
    bool from_start = strcmp (after, prefix) >= 0 && after[0];
    struct shard_iter it;
    *more = false;
    snprintf (last, STAGE_NAME_MAX + 1, "%s", after);
    for (bool there =
             shard_iter_begin (self->shard, &it, first.data, first.size, from_start ? start.data : NULL, start.size);
         there;
         there = shard_iter_next (&it)) {
        if (seen == max || scanned++ == STAGE_SCAN_MAX) {
            *more = true;
            break;
        }
        size_t n = it.key_size - ns_size < STAGE_NAME_MAX ? it.key_size - ns_size : STAGE_NAME_MAX;
        memcpy (last, it.key + ns_size, n);
        last[n] = '\0';
        if ((filter->mine && !filter->mine (ns, last, filter->arg))
            || (filter->pattern[0] && fnmatch (filter->pattern, last, 0) != 0))
            continue;
        Strata__ObjectInfo *info = strata__object_info__unpack (NULL, it.value_size, it.value);
        if (!info) {
            shard_iter_end (&it);
            errno = EBADMSG;
            return strata_fail (
                error, "store %s: what is known of an object of %s can't be read", shard_dir (self->shard), ns);
        }
        seen++;
        each (last, info, arg);
        strata__object_info__free_unpacked (info, NULL);
    }
    shard_iter_end (&it);
    return 0;
}

/* ---- from other stages ---- */

static struct shard_key origin_key (const char *origin)
{
    struct shard_key k;
    shard_key (&k, "adopted/%.480s", origin);
    return k;
}

int stage_adopt (struct stage *self, const char *ns, const char *key, const Strata__ObjectInfo *info, const void *data,
                 size_t size, int64_t now_us, struct strata_error *error)
{
    struct backend_item item = { key, data, size, &info->crc32c };
    Strata__ObjectInfo made = STRATA__OBJECT_INFO__INIT;
    struct shard_key origin = origin_key (info->origin);
    char name[STAGE_FULL_NAME];
    if (!info->origin[0] || size != info->size) {
        errno = EINVAL;
        return strata_fail (error, "object %.200s/%.200s comes without its origin, or not whole", ns, key);
    }
    if (shard_has (self->shard, origin.data, origin.size))
        return 0;
    if (stage_put (self, ns, &item, 1, true, info->mtime_us, &made, error) < 0)
        return -1;
    snprintf (name, sizeof (name), "%s/%s", ns, key);
    stage_origin_put (self, info->origin, name, now_us);
    return 0;
}

int stage_take_over (struct stage *self, const char *ns, const char *key, const Strata__ObjectInfo *info, const void *data,
                     size_t size, struct strata_error *error)
{
    struct backend_item item = { key, data, size, &info->crc32c };
    Strata__ObjectInfo made;
    if (size != info->size || info->generation == 0) {
        errno = EINVAL;
        return strata_fail (error, "object %.200s/%.200s comes without its generation, or not whole", ns, key);
    }
    if (info_get (self, ns, key, &made) && made.generation == info->generation && made.crc32c == info->crc32c
        && made.size == info->size && made.mtime_us == info->mtime_us)
        return 0;
    if (stage_put (self, ns, &item, 1, false, info->mtime_us, &made, error) < 0)
        return -1;
    made.generation = info->generation;
    info_put (self, ns, key, &made);
    return 0;
}

void stage_origin_put (struct stage *self, const char *origin, const char *name, int64_t time_us)
{
    struct shard_key key = origin_key (origin), value = { .size = 0 };
    size_t n = strlen (name) < STAGE_FULL_NAME ? strlen (name) : 0;
    shard_key_u64 (&value, (uint64_t)time_us);
    memcpy (value.data + value.size, name, n);
    shard_put (self->shard, key.data, key.size, value.data, value.size + n);
}

void stage_origins (struct stage *self, int (*each) (const char *origin, const char *name, int64_t time_us, void *arg), void *arg)
{
    static const char prefix[] = "adopted/";
    struct shard_iter it;
    int rc = 0;
    for (bool more = shard_iter_begin (self->shard, &it, prefix, strlen (prefix), NULL, 0); more && rc == 0;
         more = shard_iter_next (&it)) {
        char origin[sizeof (((struct shard_key *)0)->data)], name[STAGE_FULL_NAME];
        if (it.value_size < 8 || it.value_size - 8 >= sizeof (name) || it.key_size >= sizeof (origin))
            continue;
        snprintf (origin, sizeof (origin), "%.*s", (int)(it.key_size - strlen (prefix)), (const char *)it.key + strlen (prefix));
        snprintf (name, sizeof (name), "%.*s", (int)(it.value_size - 8), (const char *)it.value + 8);
        rc = each (origin, name, (int64_t)shard_u64 (it.value), arg);
    }
    shard_iter_end (&it);
}

char *stage_split (char name[STAGE_FULL_NAME])
{
    char *slash = strchr (name, '/');
    if (!slash)
        return name + strlen (name);
    *slash = '\0';
    return slash + 1;
}

int stage_next (struct stage *self, char name[STAGE_FULL_NAME], size_t max,
                bool (*wanted) (const char *ns, const char *key, const void *arg), const void *arg)
{
    struct shard_key start;
    struct shard_iter it;
    size_t looked = 0;
    int rc = 0;
    shard_key (&start, "obj/%s", name);
    if (name[0])
        start.data[start.size++] = '\0'; /* the first one behind it */
    for (bool more = shard_iter_begin (self->shard, &it, "obj/", 4, start.data, start.size); more && rc == 0;
         more = shard_iter_next (&it)) {
        char parts[STAGE_FULL_NAME];
        snprintf (name, STAGE_FULL_NAME, "%.*s", (int)(it.key_size - 4), (const char *)it.key + 4);
        memcpy (parts, name, sizeof (parts));
        const char *key = stage_split (parts);
        rc = wanted (parts, key, arg) ? 1 : ++looked == max ? 2 : 0;
    }
    shard_iter_end (&it);
    return rc;
}

#define FORGET_MAX 1000 /* origins that one call forgets at most */

void stage_forget_origins (struct stage *self, int64_t before_us)
{
    static const char prefix[] = "adopted/";
    struct shard_key *old = calloc (FORGET_MAX, sizeof (*old));
    struct shard_iter it;
    size_t count = 0;
    if (!old)
        return;
    for (bool more = shard_iter_begin (self->shard, &it, prefix, strlen (prefix), NULL, 0); more && count < FORGET_MAX;
         more = shard_iter_next (&it))
        if (it.value_size >= 8 && (int64_t)shard_u64 (it.value) < before_us && it.key_size <= sizeof (old->data)) {
            memcpy (old[count].data, it.key, it.key_size);
            old[count++].size = it.key_size;
        }
    shard_iter_end (&it);
    for (size_t i = 0; i < count; i++)
        shard_delete (self->shard, old[i].data, old[i].size);
    free (old);
}

int stage_move (struct stage *self, const char *ns, const char *key, const char *to_ns, const char *to_key,
                int64_t now_us, struct strata_error *error)
{
    Strata__ObjectInfo info, other;
    if (name_check (to_ns, to_key, error) < 0 || stage_stat (self, ns, key, &info, error) < 0)
        return -1;
    if (info_get (self, to_ns, to_key, &other)) {
        errno = EEXIST;
        return strata_fail (
            error, "object %s/%s can't be moved to %s/%s: there is one already", ns, key, to_ns, to_key);
    }
    const char *except = strcmp (ns, to_ns) == 0 ? key : NULL;
    struct looks looks = { .folder_size = 0 };
    if (conflict_check (self, to_ns, to_key, NULL, 0, except, &looks, error) < 0
        || copies_move (self->copies, ns, key, to_ns, to_key, info.size, info.crc32c, error) < 0)
        return -1;
    struct shard_key k = object_key (ns, key);
    shard_delete (self->shard, k.data, k.size);
    info.generation = 1;
    info.mtime_us = now_us;
    info_put (self, to_ns, to_key, &info);
    return 0;
}

int stage_delete (struct stage *self, const char *ns, const char *key, struct strata_error *error)
{
    Strata__ObjectInfo info;
    if (stage_stat (self, ns, key, &info, error) < 0)
        return -1;
    copies_delete (self->copies, ns, key);
    struct shard_key k = object_key (ns, key);
    shard_delete (self->shard, k.data, k.size);
    self->bytes -= info.size;
    self->objects--;
    totals_save (self);
    return 0;
}

int stage_flush (struct stage *self, struct strata_error *error)
{
    return copies_flush (self->copies, error);
}

int stage_settle (struct stage *self, struct strata_error *error)
{
    return copies_settle (self->copies, error);
}

void stage_figures (const struct stage *self, struct stage_figures *figures)
{
    *figures = (struct stage_figures){
        .objects = self->objects,
        .bytes = self->bytes,
        .quota_bytes = self->quota_bytes,
        .puts = self->puts,
        .gets = self->gets,
    };
}
