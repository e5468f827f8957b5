/* lease.c - see lease.h */
#include "store/lease.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/crash_point.h"
#include "store/generation.h"

#define RENEWALS 5                /* in a lease's length */
#define OPENING_US 60000000       /* renewed without the holder's main loop at most so long */
#define NUMBER_NONE UINT64_MAX    /* no LEASE file was seen */
#define NUMBER_TAKEN (UINT64_MAX - 1)

struct lease {
    char dir[LEASE_PATH_MAX], path[LEASE_PATH_MAX];
    uint64_t generation, number;
    int fd;
    int64_t length_us, renewed_us;  /* renewed_us: taken before the renewal, so that it errs to the safe side */
    bool by_force, lost;
    pthread_t keeper;               /* renews while the store is opened; the fields are its own until it is joined */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool kept, opened;
};

static int64_t now_us (void)
{
    struct timespec ts;
    clock_gettime (CLOCK_BOOTTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void lease_name (uint64_t number, char name[32])
{
    /* Of one length: a full disk has room for a name in the place of another. */
    snprintf (name, 32, "LEASE.%012" PRIu64, number);
}

static int lease_rename (const char *path, uint64_t number, const char *to)
{
    char old[LEASE_PATH_MAX + 32], new[LEASE_PATH_MAX + 32], name[32];
    lease_name (number, name);
    snprintf (old, sizeof (old), "%s/%s", path, name);
    snprintf (new, sizeof (new), "%s/%s", path, to);
    return rename (old, new);
}

/* The number that a generation's lease has now. */
static uint64_t number_in (const char *path)
{
    uint64_t number = NUMBER_NONE;
    DIR *d = opendir (path);
    for (struct dirent *entry; d && (entry = readdir (d));) {
        char name[32];
        if (strcmp (entry->d_name, "TAKEN") == 0)
            number = NUMBER_TAKEN;
        if (strncmp (entry->d_name, "LEASE.", 6) != 0)
            continue;
        lease_name (strtoull (entry->d_name + 6, NULL, 10), name);
        if (strcmp (name, entry->d_name) == 0)
            number = strtoull (entry->d_name + 6, NULL, 10);
    }
    if (d)
        closedir (d);
    return number;
}

void lease_newest (const char *dir, char path[LEASE_PATH_MAX])
{
    uint64_t newest = generation_newest (dir);
    if (newest)
        generation_path (dir, newest, path);
    else
        snprintf (path, LEASE_PATH_MAX, "%s", dir);
}

/* ---- holding ---- */

static int renew (struct lease *self, struct strata_error *error)
{
    char name[32];
    int64_t before_us = now_us ();
    lease_name (self->number + 1, name);
    if (lease_rename (self->path, self->number, name) == 0) {
        self->number++;
        self->renewed_us = before_us;
        return 0;
    }
    if (errno == ENOENT || errno == ENOTDIR) {
        self->lost = true;
        errno = ESTALE;
        return strata_fail (error, "store %s was taken over by another process: this one renewed its lease too late", self->path);
    }
    return strata_fail (error, "the lease of store %s can't be renewed: %s", self->path, strerror (errno));
}

static void *keep_while_opening (void *arg)
{
    struct lease *self = arg;
    int64_t end_us = now_us () + OPENING_US;
    pthread_mutex_lock (&self->lock);
    while (!self->opened && !self->lost && now_us () < end_us) {
        struct timespec until;
        clock_gettime (CLOCK_MONOTONIC, &until);
        int64_t ns = until.tv_nsec + self->length_us / RENEWALS * 1000;
        until.tv_sec += ns / 1000000000;
        until.tv_nsec = ns % 1000000000;
        pthread_cond_timedwait (&self->wake, &self->lock, &until);
        if (!self->opened)
            renew (self, NULL);
    }
    pthread_mutex_unlock (&self->lock);
    return NULL;
}

static void end_keeper (struct lease *self)
{
    if (!self->kept)
        return;
    pthread_mutex_lock (&self->lock);
    self->opened = true;
    pthread_cond_signal (&self->wake);
    pthread_mutex_unlock (&self->lock);
    pthread_join (self->keeper, NULL);
    self->kept = false;
}

static void start_keeper (struct lease *self)
{
    pthread_condattr_t attributes;
    pthread_mutex_init (&self->lock, NULL);
    pthread_condattr_init (&attributes);
    pthread_condattr_setclock (&attributes, CLOCK_MONOTONIC);
    pthread_cond_init (&self->wake, &attributes);
    pthread_condattr_destroy (&attributes);
    self->kept = pthread_create (&self->keeper, NULL, keep_while_opening, self) == 0;
}

int lease_keep (struct lease *self, struct strata_error *error)
{
    end_keeper (self);
    if (self->lost) {
        errno = ESTALE;
        return strata_fail (error, "store %s was taken over by another process", self->path);
    }
    if (now_us () < self->renewed_us + self->length_us / RENEWALS)
        return 0;
    if (renew (self, error) == 0)
        return 0;
    return !self->lost && now_us () < self->renewed_us + self->length_us ? 0 : -1;
}

bool lease_lost (const struct lease *self)
{
    return self->lost;
}

const char *lease_path (const struct lease *self)
{
    return self->path;
}

bool lease_by_force (const struct lease *self)
{
    return self->by_force;
}

void lease_free (struct lease **self_p)
{
    struct lease *self = *self_p;
    if (!self)
        return;
    end_keeper (self);
    pthread_cond_destroy (&self->wake);
    pthread_mutex_destroy (&self->lock);
    close (self->fd);
    free (self);
    *self_p = NULL;
}

/* ---- taking ---- */

static int is_held (const char *path, struct strata_error *error)
{
    strata_fail (error, "store %s is held by another process", path);
    errno = EBUSY;
    return -1;
}

/* Whether the standby has seen the same for a lease's length, and an eighth more for clocks that don't run alike. */
static bool has_run_out (struct lease_watch *watch, uint64_t generation, uint64_t number, int64_t length_us)
{
    int64_t now = now_us ();
    if (!watch)
        return false;
    bool same = watch->since_us && watch->generation == generation && watch->number == number;
    bool away = now - watch->looked_us > length_us / 2; /* it was stopped itself: the holder may have been, too */
    if (!same || away)
        *watch = (struct lease_watch){ generation, number, now, now };
    watch->looked_us = now;
    return now - watch->since_us > length_us + length_us / 8;
}

static int lock_file (const char *path, const char *name)
{
    char file[LEASE_PATH_MAX + 32];
    snprintf (file, sizeof (file), "%s/%s", path, name);
    int fd = open (file, O_RDWR | O_CLOEXEC);
    if (fd >= 0 && flock (fd, LOCK_EX | LOCK_NB) < 0) {
        int saved = errno == EWOULDBLOCK ? EBUSY : errno;
        close (fd);
        errno = saved;
        return -1;
    }
    return fd;
}

int lease_put (const char *path, struct strata_error *error)
{
    char file[LEASE_PATH_MAX + 32], name[32];
    lease_name (0, name);
    snprintf (file, sizeof (file), "%s/%s", path, name);
    int fd = open (file, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return strata_fail (error, "file %s can't be made: %s", file, strerror (errno));
    close (fd);
    return 0;
}

bool lease_held (const char *dir)
{
    char path[LEASE_PATH_MAX], name[32];
    lease_newest (dir, path);
    lease_name (number_in (path), name);
    int fd = lock_file (path, name);
    bool held = fd < 0 && errno == EBUSY;
    if (fd >= 0)
        close (fd);
    return held;
}

/* Takes generation `self->generation` where it is, when its holder is dead. -1 with errno EBUSY: it lives, or moved on. */
static int take_in_place (struct lease *self, uint64_t number, struct strata_error *error)
{
    char name[32];
    lease_name (number, name);
    self->fd = lock_file (self->path, name);
    if (self->fd < 0)
        return errno == EBUSY || errno == ENOENT
                   ? is_held (self->path, error)
                   : strata_fail (error, "the lease of store %s can't be locked: %s", self->path, strerror (errno));
    crash_point ("lease.locked");
    self->number = number;
    if (renew (self, error) == 0)
        return 0;
    close (self->fd);
    self->fd = -1;
    return self->lost ? is_held (self->path, error) : -1;
}

struct maker {
    lease_try_f *try_store;
    void *arg;
};

/* The next generation after self->generation, from the files in `from`. */
static int make_next (struct lease *self, const char *from, const struct maker *maker, struct strata_error *error)
{
    char name[32];
    lease_name (0, name);
    self->renewed_us = now_us (); /* long before anybody can see it */
    if (generation_make (self->dir, from, self->generation + 1, name, maker->try_store, maker->arg, &self->fd, error) < 0)
        return -1;
    self->generation++;
    self->number = 0;
    generation_path (self->dir, self->generation, self->path);
    return 0;
}

/* A store from before there were generations, or none at all. */
static int make_first (struct lease *self, const struct maker *maker, struct strata_error *error)
{
    char current[LEASE_PATH_MAX + 32];
    snprintf (current, sizeof (current), "%s/CURRENT", self->dir);
    if (access (current, F_OK) < 0)
        return make_next (self, NULL, maker, error);
    int fd = lock_file (self->dir, "HOLDER");
    if (fd < 0 && errno == EBUSY)
        return is_held (self->dir, error);
    int rc = make_next (self, self->dir, maker, error);
    int saved = errno;
    if (fd >= 0)
        close (fd);
    errno = saved;
    return rc;
}

/* The holder shows no life, or a standby that has taken the generation already does not. */
static int take_by_force (struct lease *self, uint64_t number, const struct maker *maker, struct strata_error *error)
{
    char from[LEASE_PATH_MAX];
    snprintf (from, sizeof (from), "%s", self->path);
    if (number < NUMBER_TAKEN && lease_rename (self->path, number, "TAKEN") < 0)
        return errno == ENOENT ? is_held (self->path, error)
                               : strata_fail (error, "store %s can't be taken by force: %s", self->path, strerror (errno));
    crash_point ("lease.taken");
    self->by_force = true;
    return make_next (self, from, maker, error);
}

static int take (struct lease *self, struct lease_watch *watch, const struct maker *maker, struct strata_error *error)
{
    if (mkdir (self->dir, 0777) < 0 && errno != EEXIST)
        return strata_fail (error, "folder %s can't be made: %s", self->dir, strerror (errno));
    self->generation = generation_newest (self->dir);
    if (!self->generation)
        return make_first (self, maker, error);
    generation_path (self->dir, self->generation, self->path);
    uint64_t number = number_in (self->path);
    bool over = has_run_out (watch, self->generation, number, self->length_us);
    if (number == NUMBER_NONE && !over) {
        errno = EBUSY; /* a look in the middle of a renewal; or somebody has deleted it */
        return strata_fail (error, "store %s has no lease", self->path);
    }
    if (number < NUMBER_TAKEN && take_in_place (self, number, error) == 0)
        return 0;
    if (number < NUMBER_TAKEN && errno != EBUSY)
        return -1;
    if (number == NUMBER_TAKEN && !over) {
        int fd = lock_file (self->path, "TAKEN"); /* free: its old holder is dead, and disturbs nobody */
        over = fd >= 0;
        if (fd >= 0)
            close (fd);
    }
    return over ? take_by_force (self, number, maker, error) : is_held (self->path, error);
}

struct lease *lease_take (const char *dir, struct lease_watch *watch, int64_t length_us, lease_try_f *try_store, void *arg,
                          struct strata_error *error)
{
    struct lease *self = calloc (1, sizeof (*self));
    if (!self) {
        strata_fail (error, "out of memory");
        return NULL;
    }
    struct maker maker = { try_store, arg };
    self->fd = -1;
    self->length_us = length_us;
    if ((size_t)snprintf (self->dir, sizeof (self->dir), "%s", dir) > sizeof (self->dir) - 64) {
        errno = ENAMETOOLONG;
        strata_fail (error, "store %.200s...: the path is too long", dir);
    } else if (take (self, watch, &maker, error) == 0) {
        start_keeper (self);
        return self;
    }
    int saved = errno;
    free (self);
    errno = saved;
    return NULL;
}

void lease_sweep (const struct lease *self)
{
    char name[32];
    lease_name (0, name);
    generation_sweep (self->dir, self->generation, name);
}
