/* salvage.c - see salvage.h */
#include "store/salvage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/files.h"
#include "store/lease.h"
#include "store/rockslog.h"
#include "store/shard.h"
#include "store/stream_log.h"

#define PATH_SIZE 4500

static int copy_one (const char *from, const char *to, const char *name, struct strata_error *error)
{
    char source[PATH_SIZE], target[PATH_SIZE];
    struct rockslog file;
    snprintf (source, sizeof (source), "%s/%s", from, name);
    snprintf (target, sizeof (target), "%s/%s", to, name);
    if ((files_end_with (name, ".sst") || files_end_with (name, ".blob") || files_end_with (name, STREAM_LOG_END)) && link (source, target) == 0)
        return 0;
    if (rockslog_open (&file, source, 0, error) < 0)
        return -1;
    int folder = open (to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = folder < 0 ? strata_fail (error, "folder %s: %s", to, strerror (errno))
                        : files_write_synced (folder, to, name, file.data, file.size, error);
    if (folder >= 0)
        close (folder);
    rockslog_close (&file);
    return rc;
}

int salvage_copy (const char *from, const char *to, struct strata_error *error)
{
    int rc = 0;
    if (files_make_dirs (to, error) < 0)
        return -1;
    DIR *d = opendir (from);
    if (!d)
        return strata_fail (error, "folder %s can't be read: %s", from, strerror (errno));
    for (struct dirent *e; rc == 0 && (e = readdir (d));) {
        bool wanted = files_end_with (e->d_name, ".sst") || files_end_with (e->d_name, STREAM_LOG_END) || files_end_with (e->d_name, ".blob") || files_end_with (e->d_name, ".log")
                      || strncmp (e->d_name, "MANIFEST-", 9) == 0 || strncmp (e->d_name, "ANCHOR", 6) == 0
                      || strcmp (e->d_name, "CURRENT") == 0 || strcmp (e->d_name, "IDENTITY") == 0;
        if (wanted)
            rc = copy_one (from, to, e->d_name, error);
    }
    closedir (d);
    return rc == 0 ? lease_put (to, error) : rc;
}

static bool found (const struct damage_report *report, enum damage_kind kind)
{
    for (size_t i = 0; i < report->count && i < DAMAGE_FINDINGS_MAX; i++)
        if (report->findings[i].kind == kind)
            return true;
    return false;
}

uint64_t salvage_id (const char *dir)
{
    struct shard *shard = shard_open_readonly (dir, NULL);
    uint64_t id = shard ? shard_id (shard) : 0;
    shard_close (&shard);
    return id;
}

int salvage_metadata (const char *dir, const struct damage_report *report, char *done, size_t size,
                      struct strata_error *error)
{
    done[0] = '\0';
    if (found (report, DAMAGE_CURRENT) || found (report, DAMAGE_MANIFEST)) {
        char what[64];
        if (!report->anchored || anchor_put_manifest (dir, what, sizeof (what)) < 0)
            return 0; /* not to be had: the findings stay */
        snprintf (done, size, "CURRENT and %s from " ANCHOR_MANIFEST_FILE, what);
    }
    /* Without an anchor what was acknowledged is not known: what the logs hold is all there is. */
    if (found (report, DAMAGE_ANCHOR)) {
        uint64_t id = salvage_id (dir);
        if (!id || anchor_put (dir, id, error) < 0)
            return 0;
        size_t used = strlen (done);
        snprintf (done + used, size - used, "%s" ANCHOR_FILE " from the store (a log that was cut as well would not be noticed)",
                  used ? ", " : "");
    }
    return 0;
}

/* ---- logs ---- */

/* Rising; malloc'ed. */
static uint64_t *logs_of (const char *dir, size_t *count)
{
    uint64_t *numbers = NULL;
    DIR *d = opendir (dir);
    *count = 0;
    for (struct dirent *e; d && (e = readdir (d));) {
        unsigned long long n;
        char suffix[8];
        if (sscanf (e->d_name, "%llu.%7s", &n, suffix) != 2 || strcmp (suffix, "log") != 0)
            continue;
        uint64_t *grown = realloc (numbers, (*count + 1) * sizeof (*grown));
        if (!grown)
            break;
        numbers = grown;
        size_t i = (*count)++;
        for (; i > 0 && numbers[i - 1] > n; i--)
            numbers[i] = numbers[i - 1];
        numbers[i] = n;
    }
    if (d)
        closedir (d);
    return numbers;
}

static void log_path (char *path, const char *dir, uint64_t number)
{
    snprintf (path, PATH_SIZE, "%s/%06llu.log", dir, (unsigned long long)number);
}

int salvage_cut (const char *dir, uint64_t recoverable, struct strata_error *error)
{
    size_t count;
    uint64_t *logs = logs_of (dir, &count);
    bool cut = false;
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        char path[PATH_SIZE];
        struct rockslog log;
        const uint8_t *record;
        size_t size, start = 0;
        int more = 0;
        log_path (path, dir, logs[i]);
        if (cut) {
            rc = unlink (path) < 0 ? strata_fail (error, "%s: %s", path, strerror (errno)) : 0;
            continue;
        }
        if ((rc = rockslog_open (&log, path, logs[i], error)) < 0)
            break;
        for (; !cut && (more = rockslog_next (&log, &record, &size)) == 1; start = cut ? start : log.at) {
            uint64_t sequence;
            uint32_t changes;
            cut = rockslog_batch (record, size, &sequence, &changes) && sequence > recoverable;
        }
        if ((cut || more < 0) && truncate (path, (off_t)start) < 0)
            rc = strata_fail (error, "%s: %s", path, strerror (errno));
        rockslog_close (&log);
    }
    free (logs);
    return rc;
}

/* "s/frames" of "s/frames/........", "job" of "job/cg-000001". */
static void name_kind (char *name, size_t size, const uint8_t *key, size_t key_size)
{
    size_t n = 0;
    bool two = key_size > 2 && key[1] == '/'; /* of the store's own kinds of keys */
    while (n < key_size && n < size - 1 && !(key[n] == '/' && !(two && n == 1)) && key[n] > ' ' && key[n] <= '~') {
        name[n] = (char)key[n];
        n++;
    }
    name[n] = '\0';
}

static void count_key (const uint8_t *key, size_t key_size, void *arg)
{
    struct salvage_loss *loss = arg;
    char name[sizeof (loss->kinds[0].keys)];
    size_t i = 0;
    name_kind (name, sizeof (name), key, key_size);
    while (i < loss->kinds_count && strcmp (loss->kinds[i].keys, name) != 0)
        i++;
    if (i == SALVAGE_KINDS)
        return;
    if (i == loss->kinds_count)
        snprintf (loss->kinds[loss->kinds_count++].keys, sizeof (name), "%s", name);
    loss->kinds[i].count++;
}

int salvage_lost (const char *dir, uint64_t recoverable, struct salvage_loss *loss, struct strata_error *error)
{
    size_t count;
    uint64_t *logs = logs_of (dir, &count);
    int rc = 0;
    *loss = (struct salvage_loss){ .batches = 0 };
    for (size_t i = 0; i < count && rc == 0; i++) {
        char path[PATH_SIZE];
        struct rockslog log;
        const uint8_t *record;
        size_t size;
        log_path (path, dir, logs[i]);
        if ((rc = rockslog_open (&log, path, logs[i], error)) < 0)
            break;
        for (int more; (more = rockslog_next (&log, &record, &size)) == 1 || (more < 0 && rockslog_skip (&log));) {
            uint64_t sequence;
            uint32_t changes;
            if (more < 0 || !rockslog_batch (record, size, &sequence, &changes) || sequence <= recoverable)
                continue;
            loss->batches++;
            loss->changes += changes;
            rockslog_batch_keys (record, size, count_key, loss);
        }
        rockslog_close (&log);
    }
    free (logs);
    return rc;
}
