/* executor_slurm.c - jobs through Slurm's commands: sbatch (job arrays), squeue, scancel, sinfo. See engine.h.
 *
 * squeue lists jobs for a while after their end (MinJobAge), so how Slurm ended one is mostly seen; where it isn't, the
 * outcome that the shepherd wrote tells. No accounting database is needed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"

#define FIELDS 7

/* A job that is killed by its node's failure is ours to start again, as another attempt. */
static void slurm_submit (struct engine_words *words, const struct campaign_engine *settings, const struct engine_shape *shape,
                          const char *folder, const char *name, size_t count)
{
    engine_program (words, settings, "sbatch");
    engine_word (words, "--parsable");
    engine_word (words, "--no-requeue");
    engine_word (words, "--job-name=%s", name);
    engine_word (words, "--array=0-%zu", count - 1);
    /* The script runs on the first node; a job of several starts its processes there by itself (srun). */
    engine_word (words, "--nodes=%u", shape->nodes);
    engine_word (words, "--ntasks-per-node=1");
    engine_word (words, "--cpus-per-task=%u", shape->cores);
    if (shape->gpus)
        engine_word (words, "--gres=gpu:%u", shape->gpus);
    if (shape->memory_mb) /* the shepherd's own limit is met first */
        engine_word (words, "--mem=%uM", shape->memory_mb + 64);
    if (shape->walltime_s)
        engine_word (words, "--time=%u", (shape->walltime_s + 59) / 60);
    engine_word (words, "--chdir=%s", folder);
    engine_word (words, "--input=/dev/null");
    engine_word (words, "--output=%%a.log");
    if (settings && settings->queue)
        engine_word (words, "--partition=%s", settings->queue);
    for (unsigned i = 0; settings && i < settings->options_count; i++)
        engine_word (words, "%s", settings->options[i]);
    engine_word (words, "%s/batch.sh", folder);
}

static bool slurm_passing (const char *error)
{
    static const char *const signs[] = {
        "contact slurm controller", "connect failure", "Connection refused", "timed out", "Zero Bytes", "temporarily unable",
        "temporarily unavailable", "unable to accept job", "QOSMax", "AssocMax", "Job violates accounting/QOS policy", "MaxSubmit",
        "Protocol authentication error", "unge", "Socket", "fork", "memory", "Unable to resolve", "Slurm backup controller in standby",
        "Unspecified error", "killed by signal", "Transport endpoint", "down or not responding",
    };
    for (size_t i = 0; i < sizeof (signs) / sizeof (signs[0]); i++)
        if (strstr (error, signs[i]))
            return true;
    return false;
}

static void slurm_list (struct engine_words *words, const struct campaign_engine *settings, unsigned since_s)
{
    engine_program (words, settings, "squeue");
    engine_word (words, "--noheader");
    engine_word (words, "--array");
    engine_word (words, "--states=all");
    engine_word (words, "--user=%u", (unsigned)getuid ());
    engine_word (words, "--format=%%A|%%F|%%K|%%T|%%r|%%N|%%j");
}

static enum engine_step step_of (const char *state)
{
    static const char *const pending[] = { "PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED",
                                           "SPECIAL_EXIT", "RESV_DEL_HOLD", NULL };
    static const char *const running[] = { "RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING", NULL };
    for (size_t i = 0; pending[i]; i++)
        if (strcmp (state, pending[i]) == 0)
            return ENGINE_PENDING;
    for (size_t i = 0; running[i]; i++)
        if (strcmp (state, running[i]) == 0)
            return ENGINE_RUNNING;
    return ENGINE_OVER;
}

static bool slurm_row (char *line, struct engine_row *row)
{
    /* Of the running job; of the array (a task that waits has no other: ARRAY_TASK); task, state, reason, nodes, name. */
    char *fields[FIELDS], *rest = line, *end;
    for (size_t i = 0; i < FIELDS; i++)
        if (!(fields[i] = i + 1 < FIELDS ? strsep (&rest, "|") : rest))
            return false;
    row->task = strtol (fields[2], &end, 10);
    if (end == fields[2] || *end)
        row->task = -1; /* "N/A": not of an array, or what is left of one that was cancelled */
    row->state = fields[3];
    row->reason = fields[4];
    row->nodes = fields[5];
    row->name = fields[6];
    row->step = step_of (row->state);
    row->lingers = strcmp (row->state, "COMPLETING") == 0;
    if (row->step == ENGINE_PENDING)
        snprintf (row->native, sizeof (row->native), "%.18s_%.18s", fields[1], fields[2]);
    else
        snprintf (row->native, sizeof (row->native), "%.18s", fields[0]);
    return true;
}

/* No filters together with a task that waits: scancel then takes all waiting tasks of its array. */
static void slurm_cancel (struct engine_words *words, const struct campaign_engine *settings, bool running)
{
    engine_program (words, settings, "scancel");
    engine_word (words, "--quiet");
    if (running) {
        engine_word (words, "--batch");
        engine_word (words, "--signal=TERM");
    }
}

static Strata__JobEnd slurm_end (const char *state)
{
    static const struct {
        const char *state;
        Strata__JobEnd end;
    } ends[] = {
        { "NODE_FAIL", STRATA__JOB_END__END_NODE },      { "BOOT_FAIL", STRATA__JOB_END__END_NODE },
        { "OUT_OF_MEMORY", STRATA__JOB_END__END_MEMORY }, { "TIMEOUT", STRATA__JOB_END__END_WALLTIME },
        { "DEADLINE", STRATA__JOB_END__END_WALLTIME },   { "PREEMPTED", STRATA__JOB_END__END_STOPPED },
        { "CANCELLED", STRATA__JOB_END__END_STOPPED },
    };
    for (size_t i = 0; i < sizeof (ends) / sizeof (ends[0]); i++)
        if (strcmp (state, ends[i].state) == 0)
            return ends[i].end;
    return STRATA__JOB_END__END_NONE;
}

static bool slurm_waits_well (const char *reason)
{
    static const char *const good[] = { "None", "Resources", "Priority", "BeginTime", "Cleaning", "Prolog", "Licenses", "Reservation",
                                        "JobArrayTaskLimit", "QOSMax", "AssocMax", "AssocGrp", "QOSGrp", "NodeDown", NULL };
    for (size_t i = 0; good[i]; i++)
        if (strncmp (reason, good[i], strlen (good[i])) == 0)
            return true;
    return reason[0] == '\0';
}

static void slurm_capacity (struct engine_words *words, const struct campaign_engine *settings)
{
    engine_program (words, settings, "sinfo");
    engine_word (words, "--noheader");
    engine_word (words, "--Node");
    engine_word (words, "--format=%%N|%%T|%%C|%%m|%%G");
    if (settings && settings->queue)
        engine_word (words, "--partition=%s", settings->queue);
}

/* "idle", "mixed", "idle~" (powered down until it is needed), not "idle*" (does not answer), "drained", "maint" ... */
static bool is_usable (const char *state)
{
    static const char *const good[] = { "idle", "mixed", "allocated", "completing", "planned", "reserved", NULL };
    size_t n = strcspn (state, "*~#!%$@^-+");
    for (size_t i = 0; good[i]; i++)
        if (strlen (good[i]) == n && strncmp (state, good[i], n) == 0)
            return !strpbrk (state + n, "*$!%");
    return false;
}

/* "gpu:2", "gpu:a100:4(S:0-1)", "(null)"; of several the sum. */
static unsigned count_gpus (const char *gres)
{
    unsigned gpus = 0;
    for (const char *at = gres; (at = strstr (at, "gpu:")); at += 4) {
        unsigned count;
        const char *number = at + 4 + strcspn (at + 4, ":,(");
        if (sscanf (*number == ':' ? number + 1 : at + 4, "%u", &count) == 1)
            gpus += count;
    }
    return gpus;
}

/* name|state|allocated/idle/other/total|MiB|gres */
static void slurm_node (char *line, engine_node_f *node, void *arg)
{
    char *name = strsep (&line, "|"), *state = strsep (&line, "|"), *cores = strsep (&line, "|");
    unsigned total;
    unsigned long long memory_mb;
    if (cores && line && is_usable (state) && sscanf (cores, "%*u/%*u/%*u/%u", &total) == 1 && total > 0
        && sscanf (line, "%llu", &memory_mb) == 1)
        node (arg, name, total, count_gpus (line), memory_mb);
}

static const struct engine_table slurm = {
    .name = "Slurm",
    .task_variable = "SLURM_ARRAY_TASK_ID",
    .batch_max = 1000, /* MaxArraySize is 1001 where nobody set it */
    .submit = slurm_submit,
    .passing = slurm_passing,
    .list = slurm_list,
    .row = slurm_row,
    .cancel = slurm_cancel,
    .end = slurm_end,
    .waits_well = slurm_waits_well,
    .capacity = slurm_capacity,
    .node = slurm_node,
};

static void *slurm_open (const struct executor_config *config, struct strata_error *error)
{
    return engine_open (&slurm, config, error);
}

const struct executor_ops executor_slurm = ENGINE_EXECUTOR ("slurm", slurm_open);
