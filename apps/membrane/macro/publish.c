/* publish.c - what the model tells the campaign, through the client library: new snapshots, reports taken up.
 *
 * Nothing is remembered across restarts: the snapshots on disk are appended again, and those the queue has are dropped
 * there by their sequence. One that could not be appended (the stage was away) goes first at the next try, because the
 * queue takes only rising indices.
 */
#include "macro.h"
#include "strata.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIMULATION "macro"
#define UPTAKES "uptakes"
#define TIMEOUT_MS 4000   /* a SIGTERM is heard within this time; what failed is tried again later */

struct macro_publisher {
    struct strata_client *client;
    char queue[201];
    char dir[PATH_MAX];
    uint64_t published;   /* the last index appended by this process */
};

struct macro_publisher *macro_publisher_new (const char *queue, const char *dir, struct strata_error *error)
{
    struct macro_publisher *self = calloc (1, sizeof (*self));
    if (!self) {
        strata_fail (error, "no memory for the connection to the campaign");
        return NULL;
    }
    if (strlen (queue) >= sizeof (self->queue))
        strata_fail (error, "the queue's name has more than 200 characters");
    else if (!realpath (dir, self->dir))
        strata_fail (error, "%s: is no folder: %s", dir, strerror (errno));
    else {
        snprintf (self->queue, sizeof (self->queue), "%s", queue);
        self->client = strata_open (NULL, SIMULATION, TIMEOUT_MS, error);
    }
    if (!self->client)
        macro_publisher_free (&self);
    return self;
}

void macro_publisher_free (struct macro_publisher **self_p)
{
    struct macro_publisher *self = *self_p;
    if (!self)
        return;
    if (self->client)
        strata_close (&self->client);
    free (self);
    *self_p = NULL;
}

/* The time [fs] in a snapshot's header: the line "time = <value> ...;". */
static int snapshot_time (const char *folder, double *time_fs, struct strata_error *error)
{
    char path[PATH_MAX + 64], line[4096];
    snprintf (path, sizeof (path), "%s/densities#000000", folder);
    FILE *file = fopen (path, "rbe");
    if (!file)
        return strata_fail (error, "%s: can't be opened: %s", path, strerror (errno));
    int result = -1;
    while (result < 0 && fgets (line, sizeof (line), file) && line[0] != '}') {
        const char *at = strstr (line, "time");
        if (at && (at == line || at[-1] == ' ' || at[-1] == ';') && sscanf (at, "time = %lf", time_fs) == 1)
            result = 0;
    }
    fclose (file);
    if (result < 0)
        strata_fail (error, "%s: its header has no 'time'", path);
    return result;
}

int macro_publish_snapshots (struct macro_publisher *self, struct strata_error *error)
{
    uint64_t *indices;
    size_t count;
    if (macro_snapshot_list (self->dir, &indices, &count, error) < 0)
        return -1;
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++) {
        char path[PATH_MAX + 32];
        double time_fs;
        if (indices[i] <= self->published)
            continue;
        snprintf (path, sizeof (path), "%s/snapshot.%08llu", self->dir, (unsigned long long)indices[i]);
        if (snapshot_time (path, &time_fs, error) < 0
            || strata_append_snapshot (self->client, self->queue, SIMULATION, indices[i], path, time_fs * 1e-9, NULL,
                                       error) < 0)
            result = strata_fail_prefix (error, "snapshot %llu is not in the queue yet",
                                         (unsigned long long)indices[i]);
        else
            self->published = indices[i];
    }
    free (indices);
    return result;
}

int macro_publish_uptake (struct macro_publisher *self, uint64_t round, uint64_t step, struct strata_error *error)
{
    return strata_append_uptake (self->client, UPTAKES, SIMULATION, round, step, NULL, error);
}
