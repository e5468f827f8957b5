/* run.c - see run.h
 *
 *   done.json? -> say so
 *   lock the folder, check the input, plan
 *   prepare: run.mdp, grompp -> topol.tpr, run.json         (once)
 *   repeat: mdrun one segment further, from state.cpt, else state_prev.cpt, else anew; follow its trajectory
 *   until every frame is measured and kept -> done.json
 *
 * A run must give the same numbers however often it is killed, else published frames would not be those of the
 * trajectory. mdrun -reprod and seeds from the simulation's id give that but for one thing: with a barostat, the step
 * at which a checkpoint is written changes the numbers after it, and mdrun chooses that step by the clock. So mdrun
 * writes none by the clock; it is run in segments of a fixed number of steps and leaves its checkpoint at the end of
 * each. What stood in the trajectory behind the last checkpoint then comes again, byte for byte. (After SIGTERM mdrun
 * leaves a checkpoint at the step it had reached: the numbers from there on are others than those of a run left alone,
 * but nothing before it comes again.)
 */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "analysis.h"
#include "engine.h"
#include "record.h"

#define LOCK_WAIT_S 10 /* for the mdrun of a killed predecessor to be gone */
#define STOP_WAIT_S 10 /* for mdrun to write its checkpoint */
#define PROGRESS_S 3
#define TRAJECTORY_WAIT_S 30 /* a trajectory unreadable for so long under a running mdrun is given up */
#define IDLE_NS 50000000
#define NO_PROGRESS_MAX 3 /* starts of mdrun in a row that brought no new frame */

struct run {
    const struct cg_options *options;
    char in[4096], out[4096]; /* absolute */
    int lock;                 /* inherited by gmx: held until the last of both is gone */
    struct cg_system *system;
    struct cg_plan plan;
    struct cg_engine engine;
    struct cg_publish publish;
    struct cg_analysis analysis;
    int starts;          /* of mdrun, but for those at the end of a segment */
    int64_t segment_end; /* of the mdrun that runs or was the last */
    /* steps per second, from the moments at which new steps were seen */
    double rate_time, progress_time;
    int64_t rate_step, seen_step;
    double rate;
};

static volatile sig_atomic_t stop_signal;

void cg_run_stop (int signal)
{
    stop_signal = signal;
}

static double now_s (void)
{
    struct timespec ts;
    clock_gettime (CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

static void idle (void)
{
    nanosleep (&(struct timespec){ .tv_nsec = IDLE_NS }, NULL);
}

static int stopped (struct strata_error *error)
{
    strata_fail (error, "stopped by signal %d; run the same command again to go on", (int)stop_signal);
    return 128 + stop_signal;
}

/* ---- the folder ---- */

static int lock_folder (struct run *self, struct strata_error *error)
{
    char path[4200];
    if (mkdir (self->options->out, 0755) < 0 && errno != EEXIST)
        return strata_fail (error, "%s: cannot make this folder: %s", self->options->out, strerror (errno));
    if (!realpath (self->options->out, self->out))
        return strata_fail (error, "%s: cannot use this folder: %s", self->options->out, strerror (errno));
    if (strlen (self->out) > 3800)
        return strata_fail (error, "%.100s...: the folder's name is too long", self->out);
    snprintf (path, sizeof (path), "%s/.lock", self->out);
    self->lock = open (path, O_RDWR | O_CREAT, 0644); /* inherited, on purpose */
    if (self->lock < 0)
        return strata_fail (error, "%s: cannot open this lock: %s", path, strerror (errno));
    double deadline = now_s () + LOCK_WAIT_S;
    while (flock (self->lock, LOCK_EX | LOCK_NB) < 0) {
        if (stop_signal || now_s () > deadline)
            return strata_fail (error, "%s: another membrane-cg or its mdrun is at work in this folder", self->out);
        idle ();
    }
    return 0;
}

static void path_in (const struct run *self, char *path, size_t size, const char *name)
{
    snprintf (path, size, "%s/%s", self->out, name);
}

static bool is_there (const struct run *self, const char *name)
{
    char path[4200];
    struct stat st;
    path_in (self, path, sizeof (path), name);
    return stat (path, &st) == 0 && st.st_size > 0;
}

static void remove_outputs (const struct run *self)
{
    static const char *const names[] = { "traj_comp.xtc", "state.cpt", "state_prev.cpt",
                                         "md.log",        "ener.edr",  "confout.gro" };
    char path[4200];
    for (size_t i = 0; i < sizeof (names) / sizeof (names[0]); i++) {
        path_in (self, path, sizeof (path), names[i]);
        unlink (path);
    }
}

/* ---- progress ---- */

static void thousands (char *text, size_t size, long long n)
{
    char digits[32];
    int len = snprintf (digits, sizeof (digits), "%lld", n);
    size_t k = 0;
    for (int i = 0; i < len && k + 2 < size; i++) {
        if (i > 0 && (len - i) % 3 == 0 && digits[i - 1] != '-')
            text[k++] = ',';
        text[k++] = digits[i];
    }
    text[k] = '\0';
}

static void print_progress (const struct run *self)
{
    char rate[64] = "";
    if (self->rate > 0) {
        char n[32];
        thousands (n, sizeof (n), (long long)self->rate);
        snprintf (rate, sizeof (rate), ", %s steps/s", n);
    }
    printf ("%.3f / %g ns, %llu frames%s\n", (double)self->analysis.step * self->plan.dt_ps / 1000, self->plan.time_ns,
            (unsigned long long)self->analysis.frames, rate);
    fflush (stdout);
}

static void note_progress (struct run *self)
{
    double now = now_s ();
    if (self->analysis.step > self->seen_step) {
        self->seen_step = self->analysis.step;
        if (self->rate_time <= 0) {
            self->rate_time = now;
            self->rate_step = self->seen_step;
        }
        else if (now > self->rate_time)
            self->rate = (double)(self->seen_step - self->rate_step) / (now - self->rate_time);
    }
    if (now >= self->progress_time) {
        self->progress_time = now + PROGRESS_S;
        print_progress (self);
    }
}

/* ---- grompp ---- */

static void wait_for_tool (struct run *self)
{
    while (cg_engine_running (&self->engine)) {
        if (stop_signal)
            cg_engine_signal (&self->engine, SIGKILL);
        nanosleep (&(struct timespec){ .tv_nsec = IDLE_NS / 10 }, NULL);
    }
}

static int prepare (struct run *self, struct strata_error *error)
{
    char mdp[4200], from[4200], prepared[4200], topol[4200], reason[420];
    snprintf (from, sizeof (from), "%s/cg.mdp", self->in);
    if (cg_plan_make (&self->plan, from, self->options->time_ns, self->options->frame_ps, self->options->segment_steps,
                      self->options->simulation, error)
        < 0)
        return CG_EXIT_FAILED;
    int rc = cg_record_load (self->out, self->options->simulation, &self->plan, &self->starts, error);
    if (rc < 0)
        return CG_EXIT_FAILED;
    if (rc == 1 && is_there (self, "topol.tpr"))
        return 0;
    remove_outputs (self);
    path_in (self, mdp, sizeof (mdp), "run.mdp");
    path_in (self, prepared, sizeof (prepared), "prepared.tpr");
    path_in (self, topol, sizeof (topol), "topol.tpr");
    if (cg_mdp_write (&self->plan, from, mdp, error) < 0 || cg_engine_grompp (&self->engine, error) < 0)
        return CG_EXIT_FAILED;
    wait_for_tool (self);
    if (stop_signal)
        return stopped (error);
    if (self->engine.status != 0) {
        cg_engine_reason (&self->engine, "grompp.out", reason, sizeof (reason));
        strata_fail (error, "gmx grompp failed on %s: %s", self->in, reason);
        return CG_EXIT_GROMACS;
    }
    int fd = open (prepared, O_RDONLY | O_CLOEXEC); /* on disk before it has its name: a crash can't leave half of it */
    if (fd >= 0) {
        fsync (fd);
        close (fd);
    }
    if (rename (prepared, topol) < 0) {
        strata_fail (error, "%s: cannot be renamed to topol.tpr: %s", prepared, strerror (errno));
        return CG_EXIT_FAILED;
    }
    self->starts = 0;
    return cg_record_save (self->out, self->options->simulation, &self->plan, 0, error) < 0 ? CG_EXIT_FAILED : 0;
}

/* ---- following mdrun ---- */

/* Takes all frames that are there. 0, or the exit code. A trajectory that can't be read is read anew once. */
static int drain (struct run *self, struct strata_error *error)
{
    for (int anew = 0;;) {
        int n = cg_analysis_poll (&self->analysis, 64, error);
        note_progress (self);
        if (n == 0)
            return 0;
        if (n == CG_ANALYSIS_FAILED)
            return CG_EXIT_FAILED;
        if (n == CG_ANALYSIS_TRAJECTORY) {
            if (anew++)
                return CG_EXIT_GROMACS;
            cg_analysis_reopen (&self->analysis);
        }
    }
}

/* Until mdrun ends by itself or because this program was told to stop. 0, or the exit code. */
static int follow (struct run *self, struct strata_error *error)
{
    double kill_time = 0, unreadable_since = 0;
    int rc = 0;
    while (cg_engine_running (&self->engine)) {
        double now = now_s ();
        if (stop_signal && kill_time <= 0) {
            cg_engine_signal (&self->engine, SIGTERM);
            kill_time = now + STOP_WAIT_S;
        }
        else if (kill_time > 0 && now > kill_time)
            cg_engine_signal (&self->engine, SIGKILL);
        int n = rc ? 0 : cg_analysis_poll (&self->analysis, 32, error);
        note_progress (self);
        if (n == CG_ANALYSIS_TRAJECTORY) {
            /* A mdrun that has just started cuts the trajectory to its checkpoint. */
            cg_analysis_reopen (&self->analysis);
            if (unreadable_since <= 0)
                unreadable_since = now;
            if (now - unreadable_since > TRAJECTORY_WAIT_S)
                rc = CG_EXIT_GROMACS;
        }
        else if (n == CG_ANALYSIS_FAILED)
            rc = CG_EXIT_FAILED;
        else if (n > 0)
            unreadable_since = 0;
        if (rc && kill_time <= 0) {
            cg_engine_signal (&self->engine, SIGTERM);
            kill_time = now + STOP_WAIT_S;
        }
        if (n <= 0)
            idle ();
    }
    return rc;
}

/* ---- from start to start of mdrun ---- */

enum { FROM_CHECKPOINT, FROM_PREVIOUS, FROM_BEGINNING };

static const char *checkpoint_of (const struct run *self, int *level)
{
    if (*level == FROM_CHECKPOINT && is_there (self, "state.cpt"))
        return "state.cpt";
    if (*level <= FROM_PREVIOUS && is_there (self, "state_prev.cpt")) {
        *level = FROM_PREVIOUS;
        return "state_prev.cpt";
    }
    *level = FROM_BEGINNING;
    return NULL;
}

/* The tpr file of the segment that comes next. */
static const char *next_segment (struct run *self, int level, struct strata_error *error)
{
    int64_t at = self->analysis.step, each = self->plan.segment;
    self->segment_end = (at / each + 1) * each;
    /* The checkpoint at the last end is gone: once more to there from the one before it, so that the ends stay the
     * same. */
    if (level == FROM_PREVIOUS && at >= each)
        self->segment_end = at / each * each;
    if (self->segment_end >= self->plan.steps) {
        self->segment_end = self->plan.steps;
        return "topol.tpr";
    }
    if (cg_engine_segment (&self->engine, self->segment_end, error) < 0)
        return NULL;
    wait_for_tool (self);
    if (self->engine.status != 0) {
        char reason[420];
        cg_engine_reason (&self->engine, "convert.out", reason, sizeof (reason));
        strata_fail (error, "gmx convert-tpr failed on %s/topol.tpr: %s", self->out, reason);
        return NULL;
    }
    return "segment.tpr";
}

/* 0, or the exit code. unplanned: not just the next segment. */
static int start_mdrun (struct run *self, int *level, bool unplanned, struct strata_error *error)
{
    const char *checkpoint = checkpoint_of (self, level);
    if (!checkpoint) {
        remove_outputs (self);
        cg_analysis_reset (&self->analysis);
    }
    if (unplanned && self->starts > 0) {
        printf ("restart %d: %s%s\n", self->starts,
                checkpoint ? "going on from " : "no usable checkpoint, beginning anew", checkpoint ? checkpoint : "");
        fflush (stdout);
    }
    cg_analysis_reopen (&self->analysis);
    if (unplanned) {
        self->rate_time = 0;
        self->starts++;
        if (cg_record_save (self->out, self->options->simulation, &self->plan, self->starts, error) < 0)
            return CG_EXIT_FAILED;
    }
    const char *tpr = next_segment (self, *level, error);
    if (stop_signal)
        return stopped (error);
    if (!tpr)
        return CG_EXIT_GROMACS;
    return cg_engine_mdrun (&self->engine, tpr, checkpoint, error) < 0 ? CG_EXIT_FAILED : 0;
}

/* What a mdrun that did not begin says about its checkpoint: then another one may do. */
static bool blames_checkpoint (const char *reason)
{
    return strstr (reason, "heckpoint") || strstr (reason, "ppend") || strstr (reason, "hecksum")
           || strstr (reason, ".cpt");
}

/* After an end of mdrun that is not the end of the run: 0 to start again, or the exit code. */
static int judge (struct run *self, int *level, int *idle_starts, int64_t step_before, struct strata_error *error)
{
    char reason[420];
    int status = self->engine.status;
    int sig = WIFSIGNALED (status) ? WTERMSIG (status) : 0;
    *idle_starts = self->analysis.step > step_before ? 0 : *idle_starts + 1;
    cg_engine_reason (&self->engine, "mdrun.out", reason, sizeof (reason));
    bool outside = status == 0 || sig == SIGKILL || sig == SIGTERM || sig == SIGINT || sig == SIGHUP;
    if (!outside && !cg_engine_began (&self->engine) && *level < FROM_BEGINNING && blames_checkpoint (reason)) {
        printf ("%s is of no use (%.200s)\n", *level == FROM_CHECKPOINT ? "state.cpt" : "state_prev.cpt", reason);
        (*level)++;
        return 0;
    }
    if (!outside || *idle_starts >= NO_PROGRESS_MAX) {
        if (status == 0)
            strata_fail (error, "gmx mdrun ended %d times before its last step without a new frame; see %s/md.log",
                         *idle_starts, self->out);
        else
            strata_fail (error, "gmx mdrun failed at %.3f ns: %s",
                         (double)self->analysis.step * self->plan.dt_ps / 1000, reason);
        return CG_EXIT_GROMACS;
    }
    *level = FROM_CHECKPOINT;
    return 0;
}

static bool complete (const struct run *self)
{
    return self->analysis.step >= self->plan.steps;
}

static int simulate (struct run *self, struct strata_error *error)
{
    int level = FROM_CHECKPOINT, idle_starts = 0;
    bool unplanned = true;
    /* An earlier run may have ended between its last frame and done.json. What can't be read now, mdrun mends. */
    if (self->starts > 0) {
        int rc = drain (self, error);
        if (rc == CG_EXIT_FAILED)
            return rc;
    }
    while (!complete (self)) {
        if (stop_signal)
            return stopped (error);
        int64_t before = self->analysis.step;
        int rc = start_mdrun (self, &level, unplanned, error);
        if (rc)
            return rc;
        rc = follow (self, error);
        if (rc == 0)
            rc = drain (self, error);
        if (stop_signal && !complete (self))
            return stopped (error);
        if (rc == CG_EXIT_FAILED)
            return rc;
        if (complete (self))
            break;
        if (rc && self->engine.status == 0) /* mdrun is well, but what it wrote is not */
            return rc;
        unplanned = self->engine.status != 0 || self->analysis.step < self->segment_end;
        if (unplanned && (rc = judge (self, &level, &idle_starts, before, error)) != 0)
            return rc;
        if (!unplanned)
            level = FROM_CHECKPOINT;
    }
    return 0;
}

static int finish (struct run *self, struct strata_error *error)
{
    double ns_per_day = self->rate * self->plan.dt_ps / 1000 * 86400;
    struct cg_done done = {
        .time_ns = self->plan.time_ns,
        .frames = self->analysis.frames,
        .steps = self->plan.steps,
        .beads = self->system->beads,
        .ns_per_day = ns_per_day > 0 ? ns_per_day : cg_engine_ns_per_day (&self->engine),
        .restarts = self->starts > 0 ? self->starts - 1 : 0,
    };
    print_progress (self);
    if (cg_done_save (self->out, self->options->simulation, &done, error) < 0)
        return CG_EXIT_FAILED;
    printf ("done: %s, %llu frames of %d beads, %.4g ns/day, %d restarts\n", self->options->simulation,
            (unsigned long long)done.frames, (int)done.beads, done.ns_per_day, done.restarts);
    return CG_EXIT_DONE;
}

static int open_publish (struct run *self, struct strata_error *error)
{
    char path[4200];
    path_in (self, path, sizeof (path), "analysis.jsonl");
    if (!self->system->state[0]) /* nothing to measure, nothing to publish */
        return 0;
    if (self->options->mesh)
        return cg_publish_mesh (&self->publish, self->options->simulation, self->options->rdf_stream,
                                self->options->frame_stream, error);
    return cg_publish_lines (&self->publish, self->options->simulation, path, error);
}

static int run (struct run *self, struct strata_error *error)
{
    char trajectory[4200];
    if (lock_folder (self, error) < 0)
        return stop_signal ? 128 + stop_signal : CG_EXIT_FAILED;
    int rc = cg_done_load (self->out, self->options->simulation, error);
    if (rc < 0)
        return CG_EXIT_FAILED;
    if (rc == 1) {
        printf ("%s is done already: %s/done.json\n", self->options->simulation, self->options->out);
        return CG_EXIT_DONE;
    }
    if (!realpath (self->options->in, self->in)) {
        strata_fail (error, "%s: cannot find this folder: %s", self->options->in, strerror (errno));
        return CG_EXIT_FAILED;
    }
    if (strlen (self->in) > 3800) {
        strata_fail (error, "%.100s...: the folder's name is too long", self->in);
        return CG_EXIT_FAILED;
    }
    if (!(self->system = cg_system_load (self->in, error)))
        return CG_EXIT_FAILED;
    if (cg_engine_init (&self->engine, self->in, self->out, self->options->threads, error) < 0)
        return CG_EXIT_NO_GROMACS;
    path_in (self, trajectory, sizeof (trajectory), "traj_comp.xtc");
    if (open_publish (self, error) < 0)
        return CG_EXIT_FAILED;
    if ((rc = prepare (self, error)) != 0)
        return rc;
    if (cg_analysis_init (&self->analysis, self->system, &self->plan, &self->publish, trajectory, error) < 0)
        return CG_EXIT_FAILED;
    if ((rc = simulate (self, error)) != 0)
        return rc;
    return finish (self, error);
}

int cg_run (const struct cg_options *options, struct strata_error *error)
{
    struct run *self = calloc (1, sizeof (*self));
    if (!self) {
        strata_fail (error, "no memory to run %s", options->simulation);
        return CG_EXIT_FAILED;
    }
    self->options = options;
    self->lock = -1;
    int rc = run (self, error);
    cg_engine_fini (&self->engine);
    cg_analysis_fini (&self->analysis);
    cg_publish_close (&self->publish);
    cg_system_free (&self->system);
    if (self->lock >= 0)
        close (self->lock);
    free (self);
    return rc;
}
