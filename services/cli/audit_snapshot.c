/* audit_snapshot.c - see audit_snapshot.h */
#include "audit_snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/damage.h"
#include "store/generation.h"
#include "store/shard.h"

#define FOLDER "audit-"

static int remove_one (const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return kind == FTW_DP ? rmdir (path) : unlink (path);
}

static void remove_all (const char *path)
{
    nftw (path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Its lock is nobody's. */
static void sweep (const char *workspace)
{
    char pattern[4300];
    glob_t found;
    snprintf (pattern, sizeof (pattern), "%s/" FOLDER "*/lock", workspace);
    if (glob (pattern, 0, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        int fd = open (found.gl_pathv[i], O_RDONLY | O_CLOEXEC);
        if (fd >= 0 && flock (fd, LOCK_EX | LOCK_NB) == 0) {
            *strrchr (found.gl_pathv[i], '/') = '\0';
            remove_all (found.gl_pathv[i]);
        }
        if (fd >= 0)
            close (fd);
    }
    globfree (&found);
}

int audit_snapshot_begin (struct audit_snapshot *self, const char *workspace, struct strata_error *error)
{
    char path[4300];
    self->lock_fd = -1;
    sweep (workspace);
    snprintf (self->root, sizeof (self->root), "%.4000s/" FOLDER "XXXXXX", workspace);
    if (!mkdtemp (self->root))
        return strata_fail (error, "folder %s for copies of the stores can't be made: %s", self->root, strerror (errno));
    snprintf (path, sizeof (path), "%s/lock", self->root);
    self->lock_fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    snprintf (path, sizeof (path), "%s/shards", self->root);
    if (self->lock_fd >= 0 && flock (self->lock_fd, LOCK_EX | LOCK_NB) == 0 && mkdir (path, 0777) == 0)
        return 0;
    strata_fail (error, "folder %s for copies of the stores can't be made: %s", path, strerror (errno));
    audit_snapshot_end (self);
    return -1;
}

/* As it was at one instant: nothing that it must hold is missing, and it opens. */
static int is_whole (const char *path, void *arg, struct strata_error *error)
{
    struct damage_report report;
    if (damage_check (path, &report, error) < 0 || damage_refuse (path, &report, error) < 0) {
        errno = EAGAIN;
        return -1;
    }
    struct shard *shard = shard_open_readonly (path, error);
    if (!shard)
        return -1;
    shard_close (&shard);
    return 0;
}

int audit_snapshot_add (struct audit_snapshot *self, const char *workspace, const char *name, struct strata_error *error)
{
    char dir[4300], files[LEASE_PATH_MAX], to[4500], mark[4600], copy[4600];
    snprintf (dir, sizeof (dir), "%s/shards/%s", workspace, name);
    if (access (dir, F_OK) < 0 && errno == ENOENT)
        return 0;
    lease_newest (dir, files);
    snprintf (to, sizeof (to), "%s/shards/%s", self->root, name);
    if (generation_copy (files, to, is_whole, NULL, error) < 0 && errno == ENOSPC)
        return -1;
    snprintf (mark, sizeof (mark), "%s/%s", files, DAMAGED_FILE);
    snprintf (copy, sizeof (copy), "%s/%s", to, DAMAGED_FILE);
    if (access (mark, F_OK) == 0)
        (void)!link (mark, copy);
    return 0;
}

void audit_snapshot_end (struct audit_snapshot *self)
{
    remove_all (self->root);
    if (self->lock_fd >= 0)
        close (self->lock_fd);
    self->lock_fd = -1;
}
