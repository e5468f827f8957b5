/* machine_file.c - see machine_file.h */
#include "machine_file.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/files.h"

#define FORMAT 1

int machine_save (const struct machine *machine, const char *workspace, const char *node, struct strata_error *error)
{
    char path[4200], name[256], temporary[300];
    const struct machine_group *group = &machine->groups[0];
    json_t *cores = json_array (), *gpus = json_array ();
    for (unsigned i = 0; i < group->cores; i++)
        json_array_append_new (cores, json_pack ("[iiii]", (int)group->ids[i], group->level[MACHINE_L2][i], group->level[MACHINE_L3][i],
                                                 group->level[MACHINE_SOCKET][i]));
    for (unsigned i = 0; i < group->gpus; i++)
        json_array_append_new (gpus, json_integer (group->gpu_socket[i]));
    json_t *json = json_pack ("{s:i s:I s:o s:o}", "format", FORMAT, "memory_mb", (json_int_t)group->memory_mb, "gpus", gpus, "cores", cores);
    char *text = json ? json_dumps (json, JSON_COMPACT) : NULL;
    snprintf (path, sizeof (path), "%s/nodes", workspace);
    snprintf (name, sizeof (name), "%.200s.json", node);
    snprintf (temporary, sizeof (temporary), ".%.200s.json.new", node);
    if (mkdir (path, 0777) < 0 && errno != EEXIST)
        strata_fail (error, "folder %s can't be made: %s", path, strerror (errno));
    int folder = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = -1;
    if (!text)
        strata_fail (error, "out of memory");
    else if (folder < 0)
        strata_fail (error, "folder %s: %s", path, strerror (errno));
    else if (files_write_synced (folder, path, temporary, text, strlen (text), error) == 0) {
        rc = renameat (folder, temporary, folder, name);
        if (rc < 0)
            strata_fail (error, "%s/%s can't be written: %s", path, name, strerror (errno));
    }
    if (folder >= 0)
        close (folder);
    free (text);
    json_decref (json);
    return rc;
}

static bool alike (const struct machine_group *a, const struct machine_group *b)
{
    bool same = a->cores == b->cores && a->gpus == b->gpus && a->memory_mb == b->memory_mb
                && memcmp (a->ids, b->ids, a->cores * sizeof (*a->ids)) == 0
                && (!a->gpus || memcmp (a->gpu_socket, b->gpu_socket, a->gpus * sizeof (*a->gpu_socket)) == 0);
    for (int level = 0; same && level < MACHINE_LEVELS; level++)
        same = memcmp (a->level[level], b->level[level], a->cores * sizeof (uint16_t)) == 0;
    return same;
}

/* Of node `at`, one behind those that have one. */
static int add_name (struct machine_group *group, size_t at, const char *node, struct strata_error *error)
{
    char **names = realloc (group->names, (at + 1) * sizeof (*names));
    if (names)
        group->names = names;
    char *copy = names ? strdup (node) : NULL;
    if (!copy)
        return strata_fail (error, "out of memory");
    group->names[at] = copy;
    return 0;
}

/* The group that was added last is one node: it joins the group before it when that is alike. */
static int settle (struct machine *machine, struct machine_group *last, const char *node, struct strata_error *error)
{
    struct machine_group *before = machine->count > 1 ? last - 1 : NULL;
    if (!before || !alike (before, last))
        return add_name (last, 0, node, error);
    if (add_name (before, before->nodes, node, error) != 0)
        return -1;
    before->nodes++;
    machine_drop_last (machine);
    return 0;
}

static int read_cores (struct machine_group *group, const json_t *cores)
{
    size_t i;
    const json_t *core;
    json_array_foreach (cores, i, core)
    {
        int id, l2, l3, socket;
        if (json_unpack ((json_t *)core, "[iiii]", &id, &l2, &l3, &socket) < 0 || id < 0)
            return -1;
        group->ids[i] = (uint32_t)id;
        group->level[MACHINE_L2][i] = (uint16_t)l2;
        group->level[MACHINE_L3][i] = (uint16_t)l3;
        group->level[MACHINE_SOCKET][i] = (uint16_t)socket;
    }
    return 0;
}

int machine_load (struct machine *machine, const char *workspace, const char *node, struct strata_error *error)
{
    char path[4200];
    json_error_t why;
    json_int_t memory_mb = 0;
    json_t *cores, *gpus;
    int format = 0, rc = -1;
    snprintf (path, sizeof (path), "%s/nodes/%s.json", workspace, node);
    json_t *json = json_load_file (path, JSON_REJECT_DUPLICATES, &why);
    if (!json && access (path, F_OK) < 0 && errno == ENOENT) {
        struct machine_group *none = machine_add (machine, 1, 0, 0, 0, error);
        return none && settle (machine, none, node, error) == 0 ? 0 : -1;
    }
    if (!json)
        return strata_fail (error, "%s can't be read: %s", path, why.text);
    if (json_unpack (json, "{s:i s:I s:o s:o}", "format", &format, "memory_mb", &memory_mb, "gpus", &gpus, "cores", &cores) < 0
        || format != FORMAT || !json_is_array (cores) || !json_is_array (gpus) || memory_mb < 0)
        strata_fail (error, "%s is not understood: format %d of a node is expected", path, FORMAT);
    else {
        struct machine_group *group = machine_add (machine, 1, (unsigned)json_array_size (cores), (unsigned)json_array_size (gpus),
                                                   (uint64_t)memory_mb, error);
        if (group && read_cores (group, cores) != 0)
            strata_fail (error, "%s is not understood: a core is [number, L2, L3, socket]", path);
        else if (group) {
            for (unsigned i = 0; i < group->gpus; i++)
                group->gpu_socket[i] = (uint16_t)json_integer_value (json_array_get (gpus, i));
            rc = settle (machine, group, node, error) == 0 ? 1 : -1;
        }
    }
    json_decref (json);
    return rc;
}
