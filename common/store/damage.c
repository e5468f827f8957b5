/* damage.c - see damage.h */
#include "store/damage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/crc32c.h"
#include "core/files.h"
#include "core/log.h"
#include "store/rockslog.h"

#define MAGIC 0x31524f48434e4153ULL /* "SANCHOR1" */

/* What stands in ANCHOR; of this machine's byte order, as RocksDB's files are little-endian. */
struct claims {
    uint64_t magic, id, sequence;
    uint64_t manifest, manifest_size;
    uint64_t log; /* the newest when the MANIFEST was last looked at: for a sentence */
    uint32_t manifest_crc;
    uint32_t crc; /* of all before it */
};

struct anchor {
    char *dir;
    int fd, copy_fd, manifest_fd;
    struct claims claims;
};

struct found {
    uint64_t *logs; /* numbers, rising */
    size_t logs_count;
    bool tables;
    bool written_log; /* one that is not empty */
};

static int path_of (char *path, size_t size, const char *dir, const char *name)
{
    return (size_t)snprintf (path, size, "%s/%s", dir, name) < size ? 0 : -1;
}

static uint32_t claims_crc (const struct claims *claims)
{
    return crc32c (0, claims, offsetof (struct claims, crc));
}

/* 1 read, 0 there is none, -1 it is damaged (EBADMSG) or can't be read. */
static int claims_read (const char *dir, struct claims *claims)
{
    char path[4300];
    if (path_of (path, sizeof (path), dir, ANCHOR_FILE) < 0)
        return -1;
    int fd = open (path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    ssize_t n = pread (fd, claims, sizeof (*claims), 0);
    int saved = errno;
    close (fd);
    errno = saved;
    if (n < 0)
        return -1;
    if (n == sizeof (*claims) && claims->magic == MAGIC && claims->crc == claims_crc (claims))
        return 1;
    errno = EBADMSG;
    return -1;
}

/* The number of the MANIFEST that CURRENT names. 1 read, 0 there is no CURRENT, -1 it is damaged or can't be read. */
static int current_read (const char *dir, uint64_t *number)
{
    char path[4300], text[64];
    if (path_of (path, sizeof (path), dir, "CURRENT") < 0)
        return -1;
    int fd = open (path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    ssize_t n = read (fd, text, sizeof (text) - 1);
    close (fd);
    text[n > 0 ? n : 0] = '\0';
    static const char prefix[] = "MANIFEST-";
    char *rest = text;
    bool whole = strncmp (text, prefix, strlen (prefix)) == 0 && strlen (text) == (size_t)n;
    *number = whole ? strtoull (text + strlen (prefix), &rest, 10) : 0;
    whole = whole && rest > text + strlen (prefix) && strcmp (rest, "\n") == 0;
    errno = EBADMSG;
    return whole ? 1 : -1;
}

/* ---- findings ---- */

static void find (struct damage_report *report, enum damage_kind kind, const char *file, const char *fmt, ...)
    __attribute__ ((format (printf, 4, 5)));

static void find (struct damage_report *report, enum damage_kind kind, const char *file, const char *fmt, ...)
{
    size_t i = report->count++;
    if (i >= DAMAGE_FINDINGS_MAX)
        return;
    struct damage_finding *f = &report->findings[i];
    va_list ap;
    f->kind = kind;
    snprintf (f->file, sizeof (f->file), "%s", file);
    va_start (ap, fmt);
    vsnprintf (f->what, sizeof (f->what), fmt, ap);
    va_end (ap);
}

static int by_number (const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static int look_for_files (const char *dir, struct found *found, struct strata_error *error)
{
    *found = (struct found){ .logs = NULL };
    DIR *d = opendir (dir);
    if (!d)
        return errno == ENOENT ? 0 : strata_fail (error, "store %s can't be read: %s", dir, strerror (errno));
    for (struct dirent *e; (e = readdir (d));) {
        unsigned long long number;
        char suffix[8], path[4600];
        struct stat st;
        if (sscanf (e->d_name, "%llu.%7s", &number, suffix) != 2)
            continue;
        found->tables = found->tables || strcmp (suffix, "sst") == 0 || strcmp (suffix, "blob") == 0;
        if (strcmp (suffix, "log") != 0)
            continue;
        uint64_t *grown = realloc (found->logs, (found->logs_count + 1) * sizeof (*grown));
        if (!grown) {
            closedir (d);
            return strata_fail (error, "out of memory");
        }
        found->logs = grown;
        found->logs[found->logs_count++] = number;
        if (path_of (path, sizeof (path), dir, e->d_name) == 0 && stat (path, &st) == 0 && st.st_size > 0)
            found->written_log = true;
    }
    closedir (d);
    if (found->logs)
        qsort (found->logs, found->logs_count, sizeof (*found->logs), by_number);
    return 0;
}

/* ---- MANIFEST ---- */

static void check_manifest (const char *dir, const struct claims *claims, uint64_t number, struct rocksmanifest *manifest,
                            struct damage_report *report)
{
    char name[64], path[4400];
    struct rockslog log;
    struct strata_error error;
    const uint8_t *record;
    size_t size;
    bool known = report->anchored && claims->manifest == number;
    manifest->strange = true; /* until it is read to its end */
    snprintf (name, sizeof (name), "MANIFEST-%06llu", (unsigned long long)number);
    path_of (path, sizeof (path), dir, name);
    if (rockslog_open (&log, path, number, &error) < 0) {
        if (errno == ENOENT && known)
            find (report, DAMAGE_MANIFEST, name, "it is missing");
        else if (errno == ENOENT)
            find (report, DAMAGE_CURRENT, "CURRENT", "it names %s, which is not there", name);
        else
            find (report, DAMAGE_MANIFEST, name, "it can't be read: %s", strerror (errno));
        return;
    }
    int rc = -1;
    if (known && log.size < claims->manifest_size)
        find (report, DAMAGE_MANIFEST, name, "it has %zu bytes and must have at least %llu", log.size,
              (unsigned long long)claims->manifest_size);
    else if (known && crc32c (0, log.data, claims->manifest_size) != claims->manifest_crc)
        find (report, DAMAGE_MANIFEST, name, "the checksum of its first %llu bytes is wrong",
              (unsigned long long)claims->manifest_size);
    else {
        manifest->strange = false;
        while ((rc = rockslog_next (&log, &record, &size)) == 1)
            rocksmanifest_add (manifest, record, size);
        /* Behind what is known a torn tail is a crash's. */
        if (rc < 0 && !known && log.bad_at == 0)
            find (report, DAMAGE_MANIFEST, name, "%s, at byte 0", log.bad);
    }
    rockslog_close (&log);
}

static void check_tables (const char *dir, const struct rocksmanifest *manifest, struct damage_report *report)
{
    for (size_t i = 0; i < manifest->files_count; i++) {
        const struct rocksdb_file *f = &manifest->files[i];
        char name[64], path[4400];
        struct stat st;
        snprintf (name, sizeof (name), "%06llu.%s", (unsigned long long)f->number, f->blob ? "blob" : "sst");
        path_of (path, sizeof (path), dir, name);
        if (stat (path, &st) < 0)
            find (report, DAMAGE_TABLE, name, "it %s%s", errno == ENOENT ? "is missing" : "can't be read: ",
                  errno == ENOENT ? "" : strerror (errno));
        else if (!f->blob && (uint64_t)st.st_size != f->size)
            find (report, DAMAGE_TABLE, name, "it has %llu bytes and must have %llu", (unsigned long long)st.st_size,
                  (unsigned long long)f->size);
    }
}

/* ---- the chain of sequence numbers ---- */

struct chain {
    uint64_t next;      /* sequence number that must come; 0: not known */
    char bad[64];       /* the last log with a broken record or a gap; "" none since the chain went on */
    char why[200];
};

static int check_log (const char *dir, uint64_t number, struct chain *chain, struct strata_error *error)
{
    char name[64], path[4400];
    struct rockslog log;
    const uint8_t *record;
    size_t size;
    int rc;
    snprintf (name, sizeof (name), "%06llu.log", (unsigned long long)number);
    path_of (path, sizeof (path), dir, name);
    if (rockslog_open (&log, path, number, error) < 0)
        return errno == ENOENT ? 0 : -1; /* it went since the folder was read */
    while ((rc = rockslog_next (&log, &record, &size)) == 1) {
        uint64_t sequence;
        uint32_t count;
        if (!rockslog_batch (record, size, &sequence, &count))
            continue;
        if (chain->next && sequence > chain->next) {
            if (!chain->bad[0]) {
                snprintf (chain->bad, sizeof (chain->bad), "%s", name);
                snprintf (chain->why, sizeof (chain->why), "it begins with change %llu, but changes %llu to %llu before it are "
                          "nowhere: a log or table is missing", (unsigned long long)sequence,
                          (unsigned long long)chain->next, (unsigned long long)sequence - 1);
            }
            rockslog_close (&log);
            return 1;
        }
        if (!chain->next || sequence + count > chain->next)
            chain->next = sequence + count;
        chain->bad[0] = '\0';
    }
    if (rc < 0) {
        snprintf (chain->bad, sizeof (chain->bad), "%s", name);
        snprintf (chain->why, sizeof (chain->why), "%s, at byte %zu of %zu", log.bad, log.bad_at, log.size);
    }
    rockslog_close (&log);
    return 0;
}

static int check_logs (const char *dir, const struct found *found, const struct rocksmanifest *manifest,
                       const struct claims *claims, struct damage_report *report, struct strata_error *error)
{
    bool known = !manifest->strange; /* else only what stands in the logs can be followed */
    struct chain chain = { .next = known ? manifest->last_sequence + 1 : 0 };
    bool gap = false;
    for (size_t i = 0; i < found->logs_count && !gap; i++) {
        if (known && found->logs[i] < manifest->log_number)
            continue;
        int rc = check_log (dir, found->logs[i], &chain, error);
        if (rc < 0)
            return -1;
        gap = rc > 0 && known;
    }
    report->recoverable = chain.next ? chain.next - 1 : 0;
    if (!known && report->recoverable < report->acknowledged && !chain.bad[0])
        return 0; /* it may be in tables; RocksDB, or the MANIFEST's finding, tells */
    if (!gap && (!report->anchored || report->recoverable >= report->acknowledged))
        return 0;
    char last[64];
    uint64_t newest = found->logs_count ? found->logs[found->logs_count - 1] : 0;
    bool missing = newest < claims->log;
    snprintf (last, sizeof (last), "%06llu.log", (unsigned long long)(missing ? claims->log : newest));
    if (chain.bad[0])
        find (report, DAMAGE_LOG, chain.bad, "%s; changes %llu to %llu were acknowledged and can't be read", chain.why,
              (unsigned long long)report->recoverable + 1, (unsigned long long)report->acknowledged);
    else
        find (report, DAMAGE_LOG, last, "%s: the logs end with change %llu, but %llu were acknowledged",
              missing ? "it is missing" : "it was cut", (unsigned long long)report->recoverable,
              (unsigned long long)report->acknowledged);
    return 0;
}

int damage_check (const char *dir, struct damage_report *report, struct strata_error *error)
{
    struct claims claims = { 0 };
    struct found found;
    struct rocksmanifest manifest = { 0 };
    uint64_t number = 0;
    char copy[4300];
    *report = (struct damage_report){ .fresh = false };
    int anchor = claims_read (dir, &claims);
    if (anchor < 0 && errno != EBADMSG)
        return strata_fail (error, "store %s: %s can't be read: %s", dir, ANCHOR_FILE, strerror (errno));
    if (anchor < 0)
        find (report, DAMAGE_ANCHOR, ANCHOR_FILE, "its checksum or length is wrong");
    report->anchored = anchor == 1;
    if (anchor == 0 && path_of (copy, sizeof (copy), dir, ANCHOR_MANIFEST_FILE) == 0 && access (copy, F_OK) == 0)
        find (report, DAMAGE_ANCHOR, ANCHOR_FILE, "it is missing");
    if (report->anchored) {
        report->id = claims.id;
        report->acknowledged = claims.sequence;
    }
    if (look_for_files (dir, &found, error) < 0)
        return -1;
    int current = current_read (dir, &number), rc = 0;
    if (current == 0 && !report->acknowledged && !found.tables && !found.written_log && anchor >= 0)
        report->fresh = true; /* or RocksDB died while it made it: nothing was acknowledged */
    else if (current == 0)
        find (report, DAMAGE_CURRENT, "CURRENT", "it is missing");
    else if (current < 0)
        find (report, DAMAGE_CURRENT, "CURRENT", "it does not hold the name of a MANIFEST");
    else if (report->anchored && number < claims.manifest)
        find (report, DAMAGE_CURRENT, "CURRENT", "it names MANIFEST-%06llu, but MANIFEST-%06llu was in use",
              (unsigned long long)number, (unsigned long long)claims.manifest);
    else {
        check_manifest (dir, &claims, number, &manifest, report);
        if (!manifest.strange)
            check_tables (dir, &manifest, report);
    }
    if (!report->fresh && current > 0)
        rc = check_logs (dir, &found, &manifest, &claims, report, error);
    rocksmanifest_fini (&manifest);
    free (found.logs);
    return rc;
}

/* "select-0" of ".../shards/select-0" and of what lies below it. */
static const char *shard_name (const char *dir)
{
    const char *at = strstr (dir, "/shards/");
    return at ? at + strlen ("/shards/") : "";
}

static int refuse (const char *dir, const char *what, struct strata_error *error)
{
    const char *name = shard_name (dir);
    errno = EBADMSG;
    return strata_fail (error, "store %s is damaged: %s. It is not served; 'strata repair %.*s' says what can be put back", dir,
                        what, (int)strcspn (name, "/"), name);
}

int damage_refuse (const char *dir, const struct damage_report *report, struct strata_error *error)
{
    char what[300];
    const struct damage_finding *f = report->findings;
    if (!report->count)
        return 0;
    snprintf (what, sizeof (what), "%s: %s", f->file, f->what);
    return refuse (dir, what, error);
}

int damage_refuse_marked (const char *dir, struct strata_error *error)
{
    char path[4300], text[sizeof (error->text)];
    if (path_of (path, sizeof (path), dir, DAMAGED_FILE) < 0)
        return 0;
    FILE *f = fopen (path, "re");
    if (!f)
        return 0;
    size_t n = fread (text, 1, sizeof (text) - 1, f);
    fclose (f);
    text[n] = '\0';
    text[strcspn (text, "\n")] = '\0';
    if (strncmp (text, "store ", 6) != 0)
        return refuse (dir, text[0] ? text : "it was found so before (" DAMAGED_FILE ")", error);
    errno = EBADMSG; /* a whole sentence */
    return strata_fail (error, "%s", text);
}

void damage_mark (const char *dir, const char *what)
{
    char path[4300], stamp[32];
    time_t now = time (NULL);
    struct tm tm;
    if (path_of (path, sizeof (path), dir, DAMAGED_FILE) < 0 || access (path, F_OK) == 0)
        return;
    FILE *f = fopen (path, "we");
    if (!f)
        return;
    strftime (stamp, sizeof (stamp), "%Y-%m-%dT%H:%M:%SZ", gmtime_r (&now, &tm));
    fprintf (f, "%s (found %s)\n", what, stamp);
    fflush (f);
    fdatasync (fileno (f));
    fclose (f);
}

bool damage_told (const char *e)
{
    return strncmp (e, "Corruption", 10) == 0 || strstr (e, "No such file") || strstr (e, "Unknown checksum");
}

void damage_tables (const char *dir, char *text, size_t size)
{
    DIR *d = opendir (dir);
    text[0] = '\0';
    for (struct dirent *e; d && (e = readdir (d));) {
        size_t used = strlen (text);
        if (strstr (e->d_name, ".sst"))
            snprintf (text + used, size - used, "%s%s", used ? ", " : "", e->d_name);
    }
    if (d)
        closedir (d);
}

/* ---- the anchor of a store that is held ---- */

static void anchor_free (struct anchor *self)
{
    if (self->fd >= 0)
        close (self->fd);
    if (self->copy_fd >= 0)
        close (self->copy_fd);
    if (self->manifest_fd >= 0)
        close (self->manifest_fd);
    free (self->dir);
    free (self);
}

static int claims_write (const struct anchor *self)
{
    struct claims claims = self->claims;
    claims.crc = claims_crc (&claims);
    return pwrite (self->fd, &claims, sizeof (claims), 0) == sizeof (claims) ? 0 : -1;
}

int anchor_renew_id (struct anchor *self, struct strata_error *error)
{
    if (getrandom (&self->claims.id, sizeof (self->claims.id), 0) == sizeof (self->claims.id))
        return 0;
    return strata_fail (error, "store %s: no random number for its id: %s", self->dir, strerror (errno));
}

/* Whole or not there: a crash in between leaves the name of a file that is not read. */
static int anchor_make (struct anchor *self, uint64_t id, struct strata_error *error)
{
    char fresh[4300], path[4300];
    path_of (fresh, sizeof (fresh), self->dir, ANCHOR_FILE ".new");
    path_of (path, sizeof (path), self->dir, ANCHOR_FILE);
    self->claims = (struct claims){ .magic = MAGIC, .id = id };
    if (!id && anchor_renew_id (self, error) < 0)
        return -1;
    self->fd = open (fresh, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (self->fd < 0 || claims_write (self) < 0 || fsync (self->fd) < 0 || rename (fresh, path) < 0)
        return strata_fail (error, "store %s: %s can't be written: %s", self->dir, ANCHOR_FILE, strerror (errno));
    return 0;
}

struct anchor *anchor_open (const char *dir, struct strata_error *error)
{
    char path[4300];
    struct anchor *self = calloc (1, sizeof (*self));
    if (!self || !(self->dir = strdup (dir))) {
        free (self);
        strata_fail (error, "out of memory");
        return NULL;
    }
    self->fd = self->copy_fd = self->manifest_fd = -1;
    int rc = claims_read (dir, &self->claims);
    if (rc == 1) {
        path_of (path, sizeof (path), dir, ANCHOR_FILE);
        self->fd = open (path, O_RDWR | O_CLOEXEC);
        rc = self->fd >= 0 ? 0 : -1;
    } else if (rc == 0)
        rc = anchor_make (self, 0, error) < 0 ? -2 : 0;
    path_of (path, sizeof (path), dir, ANCHOR_MANIFEST_FILE);
    if (rc == 0 && (self->copy_fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0666)) < 0)
        rc = -1;
    if (rc == -1)
        strata_fail (error, "store %s: %s can't be opened: %s", dir, ANCHOR_FILE, strerror (errno));
    if (rc < 0) {
        int saved = errno;
        anchor_free (self);
        errno = saved;
        return NULL;
    }
    return self;
}

int anchor_put (const char *dir, uint64_t id, struct strata_error *error)
{
    char path[4300];
    struct anchor self = { .dir = (char *)dir, .fd = -1 };
    path_of (path, sizeof (path), dir, ANCHOR_MANIFEST_FILE);
    unlink (path);
    int rc = anchor_make (&self, id, error);
    if (self.fd >= 0)
        close (self.fd);
    return rc;
}

int anchor_put_manifest (const char *dir, char *name, size_t size)
{
    char path[4300], current[80];
    struct claims claims;
    struct rockslog copy;
    if (claims_read (dir, &claims) != 1 || path_of (path, sizeof (path), dir, ANCHOR_MANIFEST_FILE) < 0
        || rockslog_open (&copy, path, 0, NULL) < 0)
        return -1;
    bool whole = copy.size == claims.manifest_size && crc32c (0, copy.data, copy.size) == claims.manifest_crc;
    int folder = whole ? open (dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    snprintf (name, size, "MANIFEST-%06llu", (unsigned long long)claims.manifest);
    snprintf (current, sizeof (current), "%s\n", name);
    int rc = folder >= 0 && files_write_synced (folder, dir, name, copy.data, copy.size, NULL) == 0
                     && files_write_synced (folder, dir, "CURRENT", current, strlen (current), NULL) == 0
                 ? 0
                 : -1;
    if (folder >= 0)
        close (folder);
    rockslog_close (&copy);
    return rc;
}

uint64_t anchor_id (const struct anchor *self)
{
    return self->claims.id;
}

uint64_t anchor_acknowledged (const struct anchor *self)
{
    return self->claims.sequence;
}

/* RocksDB began another MANIFEST, when it opened or after a failed write. */
static void manifest_switch (struct anchor *self)
{
    char name[64], path[4400];
    uint64_t number;
    if (current_read (self->dir, &number) != 1)
        return;
    snprintf (name, sizeof (name), "MANIFEST-%06llu", (unsigned long long)number);
    path_of (path, sizeof (path), self->dir, name);
    int fd = open (path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (self->manifest_fd >= 0)
        close (self->manifest_fd);
    self->manifest_fd = fd;
    self->claims.manifest = number;
    self->claims.manifest_size = 0;
    self->claims.manifest_crc = 0;
    if (ftruncate (self->copy_fd, 0) < 0)
        log_warn ("store %s: %s: %s", self->dir, ANCHOR_MANIFEST_FILE, strerror (errno));
}

static void manifest_follow (struct anchor *self)
{
    struct stat st;
    uint8_t buffer[65536];
    if (self->manifest_fd < 0 || fstat (self->manifest_fd, &st) < 0 || st.st_nlink == 0) {
        manifest_switch (self);
        if (self->manifest_fd < 0 || fstat (self->manifest_fd, &st) < 0)
            return;
    }
    if ((uint64_t)st.st_size <= self->claims.manifest_size)
        return;
    /* RocksDB may be writing it just now: nothing is claimed that a power failure could still take. */
    if (fdatasync (self->manifest_fd) < 0)
        return;
    while (self->claims.manifest_size < (uint64_t)st.st_size) {
        uint64_t left = (uint64_t)st.st_size - self->claims.manifest_size;
        off_t at = (off_t)self->claims.manifest_size;
        ssize_t n = pread (self->manifest_fd, buffer, left < sizeof (buffer) ? left : sizeof (buffer), at);
        if (n <= 0)
            return;
        if (pwrite (self->copy_fd, buffer, (size_t)n, at) != n)
            log_debug ("store %s: %s can't be written: %s", self->dir, ANCHOR_MANIFEST_FILE, strerror (errno));
        self->claims.manifest_crc = crc32c (self->claims.manifest_crc, buffer, (size_t)n);
        self->claims.manifest_size += (uint64_t)n;
    }
    struct found found;
    if (look_for_files (self->dir, &found, NULL) == 0 && found.logs_count)
        self->claims.log = found.logs[found.logs_count - 1];
    free (found.logs);
}

void anchor_note (struct anchor *self, uint64_t sequence)
{
    manifest_follow (self);
    if (sequence > self->claims.sequence)
        self->claims.sequence = sequence;
    /* A disk that does not take it leaves an older claim, which is a smaller one. */
    if (claims_write (self) < 0)
        log_debug ("store %s: %s can't be written: %s", self->dir, ANCHOR_FILE, strerror (errno));
}

void anchor_close (struct anchor **self_p)
{
    struct anchor *self = *self_p;
    if (!self)
        return;
    if (self->claims.sequence)
        anchor_note (self, self->claims.sequence);
    fdatasync (self->fd);
    anchor_free (self);
    *self_p = NULL;
}
