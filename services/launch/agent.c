/* agent.c - see agent.h
 *
 * All that must be remembered stands in the attempts' folders (core/outcome.h), so an agent that is started anew knows all: what
 * runs is found by its shepherds. Whether an attempt is new is decided by its lock, on this node, where it is surely seen.
 */
#include "agent.h"

#include <czmq.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "../schedule/executor.h"

#define FOUND_GRACE_S 30 /* of an attempt whose order was given to an agent before this one */

/* One that runs here, as far as was seen. */
struct attempt {
    char *id, *dir;
    uint32_t number;
    unsigned grace_s;
};

struct agent {
    char *node, *jobs;      /* jobs: the folder that all jobs' folders are in, with a slash behind it */
    void *local;            /* executor_local's */
    zhash_t *attempts;      /* by "<id>.<number>" */
    char setting[80];       /* STRATA_NODE=..., by which our shepherds are told from those of other nodes of this machine */
};

static void attempt_free (void *arg)
{
    struct attempt *self = arg;
    free (self->id);
    free (self->dir);
    free (self);
}

static struct executor_ref ref_of (const struct attempt *self)
{
    return (struct executor_ref){ self->id, self->dir, self->number };
}

static void remember (struct agent *self, const char *id, const char *dir, uint32_t number, unsigned grace_s)
{
    char key[320];
    snprintf (key, sizeof (key), "%.300s.%u", id, number);
    struct attempt *attempt = zhash_lookup (self->attempts, key);
    if (attempt) {
        attempt->grace_s = grace_s > attempt->grace_s ? grace_s : attempt->grace_s;
        return;
    }
    attempt = calloc (1, sizeof (*attempt));
    if (!attempt || !(attempt->id = strdup (id)) || !(attempt->dir = strdup (dir))) {
        log_error ("out of memory");
        abort ();
    }
    attempt->number = number;
    attempt->grace_s = grace_s;
    zhash_insert (self->attempts, key, attempt);
    zhash_freefn (self->attempts, key, attempt_free);
}

/* A job's folder is in the workspace and called as the job. */
static bool is_sound (const struct agent *self, const Strata__AttemptName *name)
{
    size_t n = strlen (self->jobs);
    return name && name->id[0] && name->id[0] != '.' && !strchr (name->id, '/') && strlen (name->id) < 256
           && strncmp (name->dir, self->jobs, n) == 0 && strcmp (name->dir + n, name->id) == 0;
}

/* ---- what runs already ---- */

static size_t read_proc (const char *pid, const char *name, char *text, size_t size)
{
    char path[300];
    snprintf (path, sizeof (path), "/proc/%.200s/%s", pid, name);
    FILE *in = fopen (path, "re");
    size_t n = in ? fread (text, 1, size - 1, in) : 0;
    if (in)
        fclose (in);
    text[n] = '\0';
    return n;
}

/* The word behind `option` of a command line, words ended by '\0'. */
static const char *word_behind (const char *words, size_t size, const char *option)
{
    for (const char *p = words; p < words + size; p += strlen (p) + 1)
        if (strcmp (p, option) == 0 && p + strlen (p) + 1 < words + size)
            return p + strlen (p) + 1;
    return NULL;
}

static bool has_setting (const char *pid, const char *setting)
{
    static char text[1 << 17];
    size_t n = read_proc (pid, "environ", text, sizeof (text));
    for (const char *p = text; p < text + n; p += strlen (p) + 1)
        if (strcmp (p, setting) == 0)
            return true;
    return false;
}

static void find_running (struct agent *self)
{
    char words[1 << 14];
    DIR *all = opendir ("/proc");
    size_t prefix = strlen (self->jobs);
    for (struct dirent *entry; all && (entry = readdir (all));) {
        if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
            continue;
        size_t n = read_proc (entry->d_name, "cmdline", words, sizeof (words));
        const char *dir = word_behind (words, n, "--dir"), *number = word_behind (words, n, "--attempt");
        const char *program = strrchr (words, '/');
        if (dir && number && program && strcmp (program, "/strata-shepherd") == 0 && strncmp (dir, self->jobs, prefix) == 0
            && has_setting (entry->d_name, self->setting))
            remember (self, dir + prefix, dir, (uint32_t)strtoul (number, NULL, 10), FOUND_GRACE_S);
    }
    if (all)
        closedir (all);
}

struct agent *agent_new (const char *workspace, const char *bin_dir, const char *node, struct strata_error *error)
{
    const struct executor_config config = { .workspace = workspace, .bin_dir = bin_dir };
    struct agent *self = calloc (1, sizeof (*self));
    if (!self || !(self->node = strdup (node)) || asprintf (&self->jobs, "%s/jobs/", workspace) < 0
        || !(self->attempts = zhash_new ())) {
        strata_fail (error, "out of memory");
        agent_free (&self);
        return NULL;
    }
    snprintf (self->setting, sizeof (self->setting), "STRATA_NODE=%.63s", node);
    self->local = executor_local.open (&config, error);
    if (!self->local) {
        agent_free (&self);
        return NULL;
    }
    find_running (self);
    log_info ("node %s: %zu attempts run already", node, agent_running (self));
    return self;
}

void agent_free (struct agent **self_p)
{
    struct agent *self = *self_p;
    if (!self)
        return;
    if (self->local)
        executor_local.close (&self->local);
    zhash_destroy (&self->attempts);
    free (self->node);
    free (self->jobs);
    free (self);
    *self_p = NULL;
}

/* ---- one request ---- */

/* A later attempt of the job stands in the workspace. */
static bool is_given_up (const char *dir, uint32_t number)
{
    char path[PATH_MAX];
    snprintf (path, sizeof (path), "%s/attempt-%u", dir, number + 1);
    return access (path, F_OK) == 0;
}

/* "" or why it can't be started. */
static char *start (struct agent *self, const Strata__AttemptOrder *order)
{
    struct strata_error error = { "" };
    uint32_t pid;
    char **argv = calloc (order->n_argv + 1, sizeof (*argv));
    const char **environment = calloc (order->n_environment + 2, sizeof (*environment));
    if (!is_sound (self, order->name) || !order->n_argv || !argv || !environment) {
        strata_fail (&error, "the order has no command, its folder is not %s<id>, or there is no memory for it", self->jobs);
        goto done;
    }
    if (is_given_up (order->name->dir, order->name->attempt)) {
        strata_fail (&error, "this order comes too late: the job's next attempt was begun");
        goto done;
    }
    memcpy (argv, order->argv, order->n_argv * sizeof (*argv));
    memcpy (environment, order->environment, order->n_environment * sizeof (*environment));
    environment[order->n_environment] = self->setting;
    const struct executor_order local = {
        .ref = { order->name->id, order->name->dir, order->name->attempt },
        .argv = argv,
        .environment = environment,
        .walltime_s = order->walltime_s,
        .grace_s = order->grace_s,
        .memory_mb = order->memory_mb,
        .output_mb = order->output_mb,
        .cores = order->cores,
        .cores_count = order->n_cores,
        .success = order->success,
        .success_count = order->n_success,
    };
    if (executor_local.launch (self->local, &local, &pid, &error) == 0)
        remember (self, order->name->id, order->name->dir, order->name->attempt, order->grace_s);
    else
        log_warn ("%s attempt %u: %s", order->name->id, order->name->attempt, error.text);
done:
    free (argv);
    free (environment);
    return strdup (error.text);
}

static Strata__AttemptLook *look (struct agent *self, const Strata__AttemptName *name)
{
    static const Strata__AttemptState states[] = {
        [EXECUTOR_NEVER] = STRATA__ATTEMPT_STATE__ATTEMPT_NEVER,     [EXECUTOR_SUBMITTED] = STRATA__ATTEMPT_STATE__ATTEMPT_NEVER,
        [EXECUTOR_RUNNING] = STRATA__ATTEMPT_STATE__ATTEMPT_RUNNING, [EXECUTOR_ENDED] = STRATA__ATTEMPT_STATE__ATTEMPT_ENDED,
        [EXECUTOR_LOST] = STRATA__ATTEMPT_STATE__ATTEMPT_LOST,
    };
    const struct executor_ref ref = { name->id, name->dir, name->attempt };
    struct outcome outcome = { 0 };
    char key[320];
    Strata__AttemptLook *found = malloc (sizeof (*found));
    if (!found)
        return NULL;
    strata__attempt_look__init (found);
    if (!is_sound (self, name))
        return found;
    enum executor_state state = executor_local.poll (self->local, &ref, &outcome);
    found->state = states[state];
    if (state == EXECUTOR_RUNNING)
        remember (self, name->id, name->dir, name->attempt, FOUND_GRACE_S);
    else {
        snprintf (key, sizeof (key), "%.300s.%u", name->id, name->attempt);
        zhash_delete (self->attempts, key);
    }
    if (state != EXECUTOR_ENDED && state != EXECUTOR_LOST)
        return found;
    found->end = outcome.end;
    found->code = outcome.code;
    found->reason = strdup (outcome.reason);
    found->stderr_tail = strdup (outcome.stderr_tail);
    found->max_rss_mb = outcome.max_rss_mb;
    found->started_us = outcome.started_us;
    found->ended_us = outcome.ended_us;
    return found;
}

void agent_attend (struct agent *self, const Strata__Attend *ask, Strata__AttendReply *reply)
{
    strata__attend_reply__init (reply);
    reply->errors = calloc (ask->n_start + 1, sizeof (*reply->errors));
    reply->looks = calloc (ask->n_look + 1, sizeof (*reply->looks));
    if (!reply->errors || !reply->looks) {
        log_error ("out of memory");
        abort ();
    }
    for (size_t i = 0; i < ask->n_start; i++)
        reply->errors[reply->n_errors++] = start (self, ask->start[i]);
    for (size_t i = 0; i < ask->n_stop; i++) {
        const struct executor_ref ref = { ask->stop[i]->id, ask->stop[i]->dir, ask->stop[i]->attempt };
        if (is_sound (self, ask->stop[i]))
            executor_local.stop (self->local, &ref);
    }
    for (size_t i = 0; i < ask->n_look; i++)
        reply->looks[reply->n_looks++] = look (self, ask->look[i]);
}

void agent_reply_fini (Strata__AttendReply *reply)
{
    for (size_t i = 0; i < reply->n_errors; i++)
        free (reply->errors[i]);
    for (size_t i = 0; i < reply->n_looks; i++)
        if (reply->looks[i]) {
            if (reply->looks[i]->reason != protobuf_c_empty_string)
                free (reply->looks[i]->reason);
            if (reply->looks[i]->stderr_tail != protobuf_c_empty_string)
                free (reply->looks[i]->stderr_tail);
            free (reply->looks[i]);
        }
    free (reply->errors);
    free (reply->looks);
}

/* ---- time ---- */

/* Visits all that run, and forgets those that don't any more. */
static void each_running (struct agent *self, void (*visit) (struct agent *self, const struct attempt *attempt))
{
    zlist_t *keys = zhash_keys (self->attempts);
    for (const char *key = keys ? zlist_first (keys) : NULL; key; key = zlist_next (keys)) {
        const struct attempt *attempt = zhash_lookup (self->attempts, key);
        struct executor_ref ref = ref_of (attempt);
        struct outcome outcome;
        if (executor_local.poll (self->local, &ref, &outcome) == EXECUTOR_RUNNING)
            visit (self, attempt);
        else
            zhash_delete (self->attempts, key);
    }
    zlist_destroy (&keys);
}

static void stop (struct agent *self, const struct attempt *attempt)
{
    struct executor_ref ref = ref_of (attempt);
    executor_local.stop (self->local, &ref);
}

static void stop_when_given_up (struct agent *self, const struct attempt *attempt)
{
    if (!is_given_up (attempt->dir, attempt->number))
        return;
    log_warn ("%s attempt %u runs, and schedule has begun the next one: it is stopped", attempt->id, attempt->number);
    stop (self, attempt);
}

void agent_tick (struct agent *self)
{
    each_running (self, stop_when_given_up);
}

bool agent_stop_all (struct agent *self)
{
    each_running (self, stop);
    return agent_running (self) == 0;
}

size_t agent_running (const struct agent *self)
{
    return zhash_size (self->attempts);
}

unsigned agent_grace_s (const struct agent *self)
{
    unsigned most = 0;
    for (const struct attempt *attempt = zhash_first (self->attempts); attempt; attempt = zhash_next (self->attempts))
        most = attempt->grace_s > most ? attempt->grace_s : most;
    return most;
}
