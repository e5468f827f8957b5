/* rebuild.c - see rebuild.h */
#include "mesh/rebuild.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

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

/* ---- what can still be read of the damaged store ---- */

/* In a process of its own: a store ends the one that reads damage in it. Each entry: sizes of key and value, key, value; an
 * entry without a key at the end. */
static void tell_entries (const char *dir, const char *const *prefixes, int fd)
{
    struct strata_error error;
    uint32_t sizes[2] = { 0, 0 };
    FILE *out = fdopen (fd, "w");
    struct shard *store = out ? shard_open_readonly (dir, &error) : NULL;
    if (!store)
        _exit (1);
    for (; *prefixes; prefixes++) {
        struct shard_iter it;
        for (bool more = shard_iter_begin (store, &it, *prefixes, strlen (*prefixes), NULL, 0); more; more = shard_iter_next (&it)) {
            uint32_t entry[2] = { (uint32_t)it.key_size, (uint32_t)it.value_size };
            fwrite (entry, sizeof (entry), 1, out);
            fwrite (it.key, it.key_size, 1, out);
            fwrite (it.value, it.value_size, 1, out);
        }
        shard_iter_end (&it);
    }
    fwrite (sizes, sizeof (sizes), 1, out);
    _exit (fflush (out) == 0 ? 0 : 1);
}

/* True when the last one came. */
static bool take_entries (FILE *in, rebuild_entry_f *each, void *arg)
{
    uint8_t *bytes = NULL;
    uint32_t sizes[2];
    bool last = false;
    while (!last && fread (sizes, sizeof (sizes), 1, in) == 1) {
        size_t size = (size_t)sizes[0] + sizes[1];
        last = size == 0;
        uint8_t *grown = realloc (bytes, size + 1);
        if (!grown || (size && fread (grown, size, 1, in) != 1)) {
            bytes = grown ? grown : bytes;
            break;
        }
        bytes = grown;
        if (!last)
            each (bytes, sizes[0], bytes + sizes[0], sizes[1], arg);
    }
    free (bytes);
    return last;
}

int rebuild_old (struct rebuild *self, const char *name, const char *const *prefixes, rebuild_entry_f *each, void *arg,
                 struct rebuild_old *old, struct strata_error *error)
{
    char dir[4300];
    struct damage_report report;
    int ends[2], status;
    *old = (struct rebuild_old){ .whole = false };
    snprintf (dir, sizeof (dir), "%s/shards/%s", self->workspace, name);
    if (pipe2 (ends, O_CLOEXEC) < 0)
        return strata_fail (error, "a pipe can't be made: %s", strerror (errno));
    if (shard_check (dir, &report, error) == 0 && report.acknowledged > report.recoverable && report.anchored && report.count)
        old->changes_lost = report.acknowledged - report.recoverable;
    fflush (NULL);
    pid_t pid = fork ();
    if (pid == 0) {
        int null = open ("/dev/null", O_WRONLY | O_CLOEXEC);
        dup2 (null, 2); /* what it finds is said already */
        tell_entries (dir, prefixes, ends[1]);
    }
    close (ends[1]);
    FILE *in = pid > 0 ? fdopen (ends[0], "r") : NULL;
    if (!in) {
        close (ends[0]);
        return strata_fail (error, "a process can't be made: %s", strerror (errno));
    }
    old->whole = take_entries (in, each, arg);
    fclose (in);
    while (waitpid (pid, &status, 0) < 0 && errno == EINTR)
        ;
    return 0;
}

int rebuild_run (const struct service_spec *spec, const struct campaign *campaign, const char *workspace, const char *dir)
{
    struct rebuild self = { .campaign = campaign, .workspace = workspace };
    struct strata_error error = { "" };
    int rc = -1, partly = 0;
    if (!spec->rebuild)
        strata_fail (&error, "the store of %s can't be made anew from what others hold", spec->name);
    else if ((self.shard = shard_open (dir, &error))) {
        /* Above any that peers have seen of the store before it. */
        shard_raise_epoch (self.shard, (uint64_t)(rebuild_now_us () / 1000000));
        partly = spec->rebuild (&self, &error);
        rc = partly < 0 ? -1 : shard_commit (self.shard, &error);
    }
    shard_close (&self.shard);
    if (rc < 0)
        fprintf (stderr, "%s\n", error.text);
    return rc < 0 ? 1 : partly ? REBUILD_PARTLY : 0;
}
