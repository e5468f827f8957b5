/* claims.c - see claims.h */
#include "mesh/claims.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/files.h"
#include "store/stream.h"

/* FNV-1a, then the finaliser of splitmix64: short names that differ in one digit must not share their low bits. */
uint64_t claim_hash (const char *text, size_t size)
{
    uint64_t hash = 1469598103934665603u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (uint8_t)text[i]) * 1099511628211u;
    hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9u;
    hash = (hash ^ hash >> 27) * 0x94d049bb133111ebu;
    return hash ^ hash >> 31;
}

unsigned claim_slot (const char *ns, const char *key)
{
    size_t first = strcspn (key, "/");
    uint64_t hash = claim_hash (ns, strlen (ns)) * 31 + claim_hash (key, first);
    return (unsigned)(hash % CLAIM_SLOTS);
}

static void name_claim (struct claim *claim, const char *workspace, const char *kind, const char *name)
{
    snprintf (claim->folder, sizeof (claim->folder), "%.4095s/claims/%.40s", workspace, kind);
    snprintf (claim->name, sizeof (claim->name), "%s", name);
}

void claim_of_slot (struct claim *claim, const char *workspace, unsigned slot)
{
    char name[16];
    snprintf (name, sizeof (name), "%04u", slot);
    name_claim (claim, workspace, "slots", name);
}

void claim_of_producer (struct claim *claim, const char *workspace, const char *producer)
{
    char name[24];
    snprintf (name, sizeof (name), "%016" PRIx64, claim_hash (producer, strlen (producer)));
    name_claim (claim, workspace, "producers", name);
}

void claim_of_keeper (struct claim *claim, const char *workspace, const char *stage)
{
    name_claim (claim, workspace, "keepers", stage);
}

void claim_of_retired (struct claim *claim, const char *workspace, const char *stage)
{
    name_claim (claim, workspace, "retired", stage);
}

static void path_of (const struct claim *claim, char *path, size_t size)
{
    snprintf (path, size, "%s/%s", claim->folder, claim->name);
}

int claim_read (const struct claim *claim, char owner[REPLICA_NAME_MAX], struct strata_error *error)
{
    char path[4300];
    path_of (claim, path, sizeof (path));
    ssize_t n = readlink (path, owner, REPLICA_NAME_MAX);
    if (n > 0 && n < REPLICA_NAME_MAX) {
        owner[n] = '\0';
        if (producer_name_valid (owner) && !strchr (owner, '/'))
            return 1;
        owner[0] = '\0';
        errno = EINVAL;
        return strata_fail (error, "claim %s is a link to what is no stage's name; a stage's name, or no link, belongs there", path);
    }
    owner[0] = '\0';
    if (n < 0 && errno == ENOENT)
        return 0;
    if (n >= 0)
        errno = ENAMETOOLONG;
    return strata_fail (error, "claim %s can't be read: %s", path, strerror (errno));
}

static int make_link (const struct claim *claim, const char *path, const char *stage, struct strata_error *error)
{
    if (symlink (stage, path) == 0)
        return 0;
    if (errno != ENOENT)
        return -1;
    if (files_make_dirs (claim->folder, error) < 0)
        return -1;
    return symlink (stage, path);
}

static int fail_write (const char *path, struct strata_error *error)
{
    int saved = errno == EDQUOT ? ENOSPC : errno;
    strata_fail (error, "claim %s can't be written: %s", path, strerror (saved));
    errno = saved;
    return -1;
}

int claim_sync (const struct claim *claim, struct strata_error *error)
{
    int fd = open (claim->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 || fsync (fd) < 0 ? fail_write (claim->folder, error) : 0;
    int saved = errno;
    if (fd >= 0)
        close (fd);
    errno = saved;
    return rc;
}

int claim_take (const struct claim *claim, const char *stage, char owner[REPLICA_NAME_MAX], struct strata_error *error)
{
    char path[4300];
    int rc = claim_read (claim, owner, error);
    if (rc != 0)
        return rc < 0 ? -1 : strcmp (owner, stage) == 0;
    path_of (claim, path, sizeof (path));
    if (make_link (claim, path, stage, error) == 0) {
        snprintf (owner, REPLICA_NAME_MAX, "%s", stage);
        return 1;
    }
    if (errno != EEXIST)
        return fail_write (path, error);
    rc = claim_read (claim, owner, error);
    return rc < 0 ? -1 : strcmp (owner, stage) == 0;
}

int claim_pass (const struct claim *claim, const char *to, struct strata_error *error)
{
    char path[4300], fresh[4320];
    path_of (claim, path, sizeof (path));
    snprintf (fresh, sizeof (fresh), "%s~", path);
    unlink (fresh); /* left by a crash */
    return symlink (to, fresh) < 0 || rename (fresh, path) < 0 ? fail_write (path, error) : 0;
}

int claim_drop (const struct claim *claim, struct strata_error *error)
{
    char path[4300];
    path_of (claim, path, sizeof (path));
    if (unlink (path) < 0)
        return errno == ENOENT ? 0 : fail_write (path, error);
    return claim_sync (claim, error);
}

DIR *claims_open_producers (const char *workspace)
{
    struct claim claim;
    claim_of_producer (&claim, workspace, "");
    return opendir (claim.folder);
}

int claims_next_producer (DIR *dir, const char *workspace, struct claim *claim)
{
    for (struct dirent *entry; (entry = readdir (dir));)
        if (entry->d_name[0] != '.' && !strchr (entry->d_name, '~') && strlen (entry->d_name) < REPLICA_NAME_MAX) {
            name_claim (claim, workspace, "producers", entry->d_name);
            return 1;
        }
    return 0;
}

static int by_name (const void *a, const void *b)
{
    return strcmp (a, b);
}

size_t claim_keepers (const char *workspace, char (*stages)[REPLICA_NAME_MAX], size_t max)
{
    char path[4200];
    size_t count = 0;
    snprintf (path, sizeof (path), "%.4095s/claims/keepers", workspace);
    DIR *dir = opendir (path);
    for (struct dirent *entry; dir && (entry = readdir (dir));)
        if (entry->d_name[0] != '.' && !strchr (entry->d_name, '~') && strlen (entry->d_name) < REPLICA_NAME_MAX) {
            if (count < max)
                snprintf (stages[count], REPLICA_NAME_MAX, "%.63s", entry->d_name);
            count++;
        }
    if (dir)
        closedir (dir);
    qsort (stages, count < max ? count : max, sizeof (*stages), by_name);
    return count;
}
