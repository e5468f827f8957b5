/* writer.c - see writer.h */
#include "writer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

struct writer {
    char *dir;
    bool busy; /* a thread stands and is not joined yet */
    pthread_t thread;
    struct feedback_report report;
    atomic_bool ended; /* set last by the thread; what it wrote before is seen after */
    int rc;
    struct strata_error error;
};

struct writer *writer_new (const char *dir, struct strata_error *error)
{
    struct writer *self = calloc (1, sizeof (*self));
    if (!self || !(self->dir = strdup (dir))) {
        free (self);
        strata_fail (error, "out of memory");
        return NULL;
    }
    return self;
}

void writer_free (struct writer **self_p)
{
    struct writer *self = *self_p;
    if (!self)
        return;
    if (self->busy)
        pthread_join (self->thread, NULL);
    free (self->dir);
    free (self);
    *self_p = NULL;
}

static void *run (void *arg)
{
    struct writer *self = arg;
    self->rc = report_write (&self->report, self->dir, &self->error);
    atomic_store (&self->ended, true);
    return NULL;
}

int writer_start (struct writer *self, const struct feedback_report *report, struct strata_error *error)
{
    if (self->busy)
        return strata_fail (error, "report %llu is still being written", (unsigned long long)self->report.round);
    self->report = *report;
    atomic_store (&self->ended, false);
    int rc = pthread_create (&self->thread, NULL, run, self);
    if (rc != 0)
        return strata_fail (
            error, "report %llu: no thread can be started: %s", (unsigned long long)report->round, strerror (rc));
    self->busy = true;
    return 0;
}

enum writer_state writer_poll (struct writer *self, struct strata_error *error)
{
    if (!self->busy)
        return WRITER_IDLE;
    if (!atomic_load (&self->ended))
        return WRITER_BUSY;
    pthread_join (self->thread, NULL);
    self->busy = false;
    if (self->rc == 0)
        return WRITER_DONE;
    if (error)
        *error = self->error;
    return WRITER_FAILED;
}
