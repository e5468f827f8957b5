/* run.c - the loop of membrane-macro: steps, snapshots, reports, checkpoints, in the order that survives a crash.
 *
 * - A snapshot is on disk before it is appended to the queue; at a start all that are on disk are appended (again).
 * - A report taken up is in a checkpoint before the campaign hears of it, so a restart never goes back behind it.
 * - What the campaign could not be told is told at the next snapshot.
 */
#include "macro.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define POLL_STEPS 5

struct run {
    const struct macro_settings *settings;
    struct macro *model;
    struct macro_publisher *publisher;   /* NULL without a campaign */
    int lock;
    uint64_t last_checkpoint;            /* step; UINT64_MAX = none yet */
    uint64_t refused_round;              /* said once, not at each poll */
    uint64_t told_round;                 /* uptake published */
    double interval_start;               /* monotonic seconds at the last snapshot */
    double step_seconds;                 /* wall time of the last interval's steps, without waiting */
};

static double now_s (void)
{
    struct timespec t;
    clock_gettime (CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void complain (const char *why, void *arg)
{
    fprintf (stderr, "membrane-macro: %s%s\n", (const char *)arg, why);
}

/* One process a folder: two would write the same snapshots. */
static int lock_folder (const char *dir, struct strata_error *error)
{
    char path[PATH_MAX];
    if (mkdir (dir, 0777) < 0 && errno != EEXIST)
        return strata_fail (error, "%s: can't be made: %s", dir, strerror (errno));
    if (snprintf (path, sizeof (path), "%s/lock", dir) >= (int)sizeof (path))
        return strata_fail (error, "%s: the folder's name is too long", dir);
    int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return strata_fail (error, "%s: can't be opened: %s", path, strerror (errno));
    if (flock (fd, LOCK_EX | LOCK_NB) < 0) {
        close (fd);
        return strata_fail (error, "%s: another membrane-macro runs there; stop it or give another --out", dir);
    }
    return fd;
}

static int start (struct run *run, struct strata_error *error)
{
    const struct macro_settings *s = run->settings;
    run->lock = lock_folder (s->out, error);
    if (run->lock < 0)
        return -1;
    if (s->nice)
        (void)!nice (s->nice);
    run->model = macro_new (&s->model, error);
    if (!run->model)
        return -1;
    int loaded = macro_checkpoint_load (run->model, s->out, complain, "refused a checkpoint: ", error);
    if (loaded < 0)
        return -1;
    struct macro *m = run->model;
    if (loaded) {
        run->last_checkpoint = m->step;
        printf ("goes on from %s/checkpoint.%012llu: step %llu, %.3f ns, report %llu\n", s->out,
                (unsigned long long)m->step, (unsigned long long)m->step, m->time_ns, (unsigned long long)m->round);
    }
    else
        printf ("starts: %zu x %zu points of %.5f nm, %zu RAS, seed %llu, steps of up to %.3f ns\n", m->nx, m->ny,
                s->model.spacing_nm, m->nras, (unsigned long long)s->model.seed, m->dt_max);
    if (s->mesh && !(run->publisher = macro_publisher_new (s->queue, s->out, error)))
        return -1;
    return 0;
}

/* Tells the campaign all that it does not know yet. */
static void publish (struct run *run)
{
    struct strata_error error;
    struct macro *m = run->model;
    if (!run->publisher)
        return;
    if (macro_publish_snapshots (run->publisher, &error) < 0) {
        complain (error.text, "");
        return;   /* the stage is away: another try now would only keep a SIGTERM waiting */
    }
    if (m->round == run->told_round)
        return;
    if (macro_publish_uptake (run->publisher, m->round, m->round_step, &error) < 0)
        complain (error.text, "the uptake of a report is not published yet: ");
    else
        run->told_round = m->round;
}

static int checkpoint (struct run *run, struct strata_error *error)
{
    if (run->last_checkpoint == run->model->step)
        return 0;
    if (macro_checkpoint_write (run->model, run->settings->out, error) < 0)
        return -1;
    run->last_checkpoint = run->model->step;
    return 0;
}

static int poll_report (struct run *run, struct strata_error *error)
{
    struct macro *m = run->model;
    struct macro_uptake uptake;
    if (!run->settings->report)
        return 0;
    uint64_t round = macro_report_round (run->settings->report);
    if (round <= m->round || round == run->refused_round)
        return 0;
    if (macro_report_take (m, run->settings->report, round, &uptake, error) < 0) {
        complain (error->text, "refused a report, the potentials stay: ");
        run->refused_round = round;
        return 0;
    }
    printf ("took up report %llu at step %llu: %zu states, %zu lipids, max change %.2f kT\n", (unsigned long long)round,
            (unsigned long long)m->step, uptake.states, uptake.lipids, uptake.max_change);
    run->last_checkpoint = UINT64_MAX;   /* one of this very step may stand there, from before the report */
    if (checkpoint (run, error) < 0)
        return -1;
    publish (run);
    return 0;
}

static int snapshot (struct run *run, struct strata_error *error)
{
    struct macro *m = run->model;
    double mass = 0;
    if (macro_snapshot_write (m, run->settings->out, error) < 0)
        return -1;
    for (size_t i = 0; i < MACRO_LIPIDS; i++)
        mass += macro_mass (m, i);
    printf ("snapshot %llu: %.3f ns, dt %.4f ns, F %.6f kT/nm^2, %.6f lipids/nm^2, %.3f s a step\n",
            (unsigned long long)m->step, m->time_ns, m->dt, m->energy / (m->lx * m->ly), mass / (m->lx * m->ly),
            run->step_seconds / (double)run->settings->snapshot_every);
    run->step_seconds = 0;
    return 0;
}

/* Waits so that steps spread evenly over --pace seconds a snapshot: short naps, so that a stop is heard. */
static void keep_pace (struct run *run, const volatile sig_atomic_t *stop)
{
    uint64_t every = run->settings->snapshot_every, done = run->model->step % every;
    double due = run->interval_start + run->settings->pace_s * (double)(done ? done : every) / (double)every;
    while (!*stop) {
        double left = due - now_s ();
        if (left <= 0)
            break;
        struct timespec nap = {0, (long)(1e9 * (left < 0.2 ? left : 0.2))};
        nanosleep (&nap, NULL);
    }
    if (!done)
        run->interval_start = now_s ();
}

static int loop (struct run *run, const volatile sig_atomic_t *stop, struct strata_error *error)
{
    const struct macro_settings *s = run->settings;
    struct macro *m = run->model;
    uint64_t end = s->steps ? s->steps : UINT64_MAX;
    if (s->max_snapshots && s->max_snapshots * s->snapshot_every < end)
        end = s->max_snapshots * s->snapshot_every;
    run->interval_start = now_s () - s->pace_s * (double)(m->step % s->snapshot_every) / (double)s->snapshot_every;
    publish (run);
    while (!*stop && m->step < end) {
        if (m->step % POLL_STEPS == 0 && poll_report (run, error) < 0)
            return -1;
        double before = now_s ();
        macro_step (m, (m->step + 1) % s->snapshot_every == 0);
        run->step_seconds += now_s () - before;
        bool due = m->step % s->snapshot_every == 0;
        if (due && snapshot (run, error) < 0)
            return -1;
        if (m->step % s->checkpoint_every == 0 && checkpoint (run, error) < 0)
            return -1;
        if (due)
            publish (run);
        keep_pace (run, stop);
    }
    return checkpoint (run, error);
}

int macro_run (const struct macro_settings *settings, const volatile sig_atomic_t *stop)
{
    struct strata_error error;
    struct run run = {.settings = settings, .lock = -1, .last_checkpoint = UINT64_MAX};
    setvbuf (stdout, NULL, _IOLBF, 0);
    int result = start (&run, &error);
    if (result == 0)
        result = loop (&run, stop, &error);
    if (result < 0)
        complain (error.text, "");
    else
        printf ("ends at step %llu, %.3f ns%s\n", (unsigned long long)run.model->step, run.model->time_ns,
                *stop ? ", asked to stop" : "");
    macro_publisher_free (&run.publisher);
    macro_free (&run.model);
    if (run.lock >= 0)
        close (run.lock);
    return result < 0 ? 1 : 0;
}
