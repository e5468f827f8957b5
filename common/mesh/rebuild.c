/* rebuild.c - see rebuild.h */
#include "mesh/rebuild.h"

#include <errno.h>
#include <glob.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "mesh/service.h"
#include "store/damage.h"
#include "store/stream.h"

#define COMMIT_RECORDS 2000

struct rebuild {
    const struct campaign *campaign;
    const char *workspace;
    struct shard *shard;
};

struct reading {
    struct rebuild *rebuild;
    rebuild_f *each;
    void *arg;
    const char *peer, *stream;
    uint64_t records, next;
    int rc;
    struct strata_error *error;
};

struct shard *rebuild_shard (struct rebuild *self)
{
    return self->shard;
}

const struct campaign *rebuild_campaign (struct rebuild *self)
{
    return self->campaign;
}

const char *rebuild_workspace (struct rebuild *self)
{
    return self->workspace;
}

int64_t rebuild_now_us (void)
{
    struct timespec ts;
    clock_gettime (CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void rebuild_say (struct rebuild *self, const char *fmt, ...)
{
    va_list ap;
    va_start (ap, fmt);
    vprintf (fmt, ap);
    va_end (ap);
    putchar ('\n');
    fflush (stdout);
}

static int open_whole (const char *dir, struct shard **store, struct strata_error *error)
{
    struct damage_report report;
    struct stat st;
    *store = NULL;
    if (stat (dir, &st) < 0 && errno == ENOENT)
        return 0;
    if (shard_check (dir, &report, error) < 0 || damage_refuse (dir, &report, error) < 0)
        return -1;
    *store = shard_open_readonly (dir, error);
    return *store ? 0 : -1;
}

int rebuild_peer (struct rebuild *self, const char *name, struct shard **store, struct strata_error *error)
{
    char dir[4300];
    snprintf (dir, sizeof (dir), "%s/shards/%s", self->workspace, name);
    return open_whole (dir, store, error);
}

static int take (uint64_t sequence, int64_t time_us, const void *record, size_t size, void *arg)
{
    struct reading *r = arg;
    r->rc = r->each (r->rebuild, time_us, record, size, r->arg, r->error);
    if (r->rc == 0) {
        r->next = sequence + 1;
        r->records++;
        if (r->records % COMMIT_RECORDS == 0) {
            cursor_set (r->rebuild->shard, r->peer, r->stream, r->next);
            r->rc = shard_commit (r->rebuild->shard, r->error);
        }
    }
    return r->rc;
}

static int read_one (struct reading *r, struct shard *store)
{
    struct stream_stat stat;
    stream_stat (store, r->stream, &stat);
    if (stat.next == 1)
        return 0;
    if (stat.first > 1)
        return strata_fail (r->error, "records 1 to %llu of stream %s of %s were consumed and trimmed: what was made of them "
                            "can't be made again", (unsigned long long)stat.first - 1, r->stream, r->peer);
    r->next = 1;
    stream_read (store, r->stream, 1, SIZE_MAX, SIZE_MAX, take, r);
    if (r->rc == 0 && r->next != stat.next)
        r->rc = strata_fail (r->error, "stream %s of %s ends at record %llu instead of %llu", r->stream, r->peer,
                             (unsigned long long)r->next - 1, (unsigned long long)stat.next - 1);
    if (r->rc == 0)
        cursor_set (r->rebuild->shard, r->peer, r->stream, r->next);
    return r->rc < 0 ? -1 : shard_commit (r->rebuild->shard, r->error);
}

int rebuild_stream (struct rebuild *self, const char *from, const char *stream, rebuild_f *each, void *arg, uint64_t *records,
                    struct strata_error *error)
{
    char pattern[4300];
    glob_t found;
    int rc = 0;
    uint64_t sum = 0;
    snprintf (pattern, sizeof (pattern), "%s/shards/%s-*", self->workspace, from);
    if (glob (pattern, 0, NULL, &found) != 0)
        found.gl_pathc = 0;
    for (size_t i = 0; i < found.gl_pathc && rc == 0; i++) {
        const char *peer = strrchr (found.gl_pathv[i], '/') + 1;
        struct shard *store;
        rc = open_whole (found.gl_pathv[i], &store, error);
        struct reading reading = { self, each, arg, peer, stream, 0, 1, 0, error };
        if (store)
            rc = read_one (&reading, store);
        sum += reading.records;
        shard_close (&store);
    }
    if (found.gl_pathc)
        globfree (&found);
    if (records)
        *records = sum;
    return rc;
}

int rebuild_run (const struct service_spec *spec, const struct campaign *campaign, const char *workspace, const char *dir)
{
    struct rebuild self = { .campaign = campaign, .workspace = workspace };
    struct strata_error error = { "" };
    int rc = -1;
    if (!spec->rebuild)
        strata_fail (&error, "the store of %s can't be made anew from what others hold", spec->name);
    else if ((self.shard = shard_open (dir, &error))) {
        /* Above any that peers have seen of the store before it. */
        shard_raise_epoch (self.shard, (uint64_t)(rebuild_now_us () / 1000000));
        rc = spec->rebuild (&self, &error) < 0 ? -1 : shard_commit (self.shard, &error);
    }
    shard_close (&self.shard);
    if (rc < 0)
        fprintf (stderr, "%s\n", error.text);
    return rc < 0 ? 1 : 0;
}
