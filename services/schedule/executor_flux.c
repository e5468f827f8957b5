/* executor_flux.c - jobs through Flux's commands: flux submit (--cc), flux jobs, flux cancel, flux job kill, flux resource R. See
 * engine.h; flux-core's manual pages flux-submit(1), flux-jobs(1), flux-resource(1) and RFC 20 (resource sets) say what is used here.
 *
 * `flux submit --cc=0-N` submits job after job: one that is cut off has submitted some of them, and the next listing tells which.
 * A job of several nodes is an instance of Flux on them, as with `flux batch`: its script runs on the first one, and starts
 * its processes by `flux run`.
 */
#include "executor_flux.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS 8
#define FORMAT "{id.dec}|{state}|{status}|{exception.type}|{nodelist}|{name}|{contextual_info}|{exception.note}"
#define RANKS_MAX 1000000

static void flux_submit (struct engine_words *words, const struct campaign_engine *settings, const struct engine_shape *shape,
                         const char *folder, const char *name, size_t count)
{
    engine_program (words, settings, "flux");
    engine_word (words, "submit");
    engine_word (words, "--quiet");
    /* "0-0" is no idset to Flux. */
    engine_word (words, count > 1 ? "--cc=0-%zu" : "--cc=%zu", count - 1);
    engine_word (words, "--job-name=%s#{cc}", name);
    engine_word (words, "--nodes=%u", shape->nodes);
    engine_word (words, "--ntasks=%u", shape->nodes);
    engine_word (words, "--cores-per-task=%u", shape->cores);
    if (shape->gpus)
        engine_word (words, "--gpus-per-task=%u", shape->gpus);
    if (shape->walltime_s)
        engine_word (words, "--time-limit=%us", shape->walltime_s);
    engine_word (words, "--cwd=%s", folder);
    engine_word (words, "--output=%s/{cc}.log", folder);
    if (settings && settings->queue)
        engine_word (words, "--queue=%s", settings->queue);
    for (unsigned i = 0; settings && i < settings->options_count; i++)
        engine_word (words, "%s", settings->options[i]);
    if (shape->nodes > 1) {
        engine_program (words, settings, "flux");
        engine_word (words, "start");
    }
    engine_word (words, "/bin/sh");
    engine_word (words, "%s/batch.sh", folder);
}

static bool flux_passing (const char *error)
{
    static const char *const signs[] = {
        "Unable to connect to Flux", "Connection refused", "Connection reset", "Broken pipe", "Host is unreachable", "No route to host",
        "timed out", "job submission", "is currently disabled", "No service matching", "Function not implemented", "temporarily unavailable",
        "killed by signal", "fork", "memory",
    };
    for (size_t i = 0; i < sizeof (signs) / sizeof (signs[0]); i++)
        if (strstr (error, signs[i]))
            return true;
    return false;
}

static void flux_list (struct engine_words *words, const struct campaign_engine *settings, unsigned since_s)
{
    engine_program (words, settings, "flux");
    engine_word (words, "jobs");
    engine_word (words, "--no-header");
    engine_word (words, "--count=0");
    engine_word (words, "--since=-%us", since_s);
    engine_word (words, "--format=" FORMAT);
}

static enum engine_step step_of (const char *state)
{
    if (strcmp (state, "RUN") == 0 || strcmp (state, "CLEANUP") == 0)
        return ENGINE_RUNNING;
    return strcmp (state, "INACTIVE") == 0 ? ENGINE_OVER : ENGINE_PENDING;
}

/* The exception says more than "FAILED": "alloc" (can never run here). A lost node's is of type "exec", and only its note tells
 * (flux-core, src/modules/job-exec: "node failure on fluke7 (rank 3)"). */
static const char *state_of (enum engine_step step, const char *status, const char *exception, const char *note)
{
    if (step != ENGINE_OVER || strcmp (status, "FAILED") != 0 || !exception[0])
        return status;
    return strncmp (note, "node failure", strlen ("node failure")) == 0 ? "node-failure" : exception;
}

static bool flux_row (char *line, struct engine_row *row)
{
    char *fields[FIELDS], *rest = line, *end;
    for (size_t i = 0; i < FIELDS; i++)
        if (!(fields[i] = i + 1 < FIELDS ? strsep (&rest, "|") : rest))
            return false;
    char *number = strrchr (fields[5], '#');
    if (number) {
        row->task = strtol (number + 1, &end, 10);
        if (end == number + 1 || *end || row->task < 0)
            row->task = -1;
        *number = '\0';
    }
    row->step = step_of (fields[1]);
    row->state = state_of (row->step, fields[2], fields[3], fields[7]);
    row->nodes = fields[4];
    row->name = fields[5];
    /* The last one may have bars in it. */
    row->reason = row->step == ENGINE_OVER ? fields[7] : row->step == ENGINE_PENDING ? fields[6] : "";
    row->lingers = strcmp (fields[1], "CLEANUP") == 0;
    snprintf (row->native, sizeof (row->native), "%.39s", fields[0]);
    return true;
}

static void flux_cancel (struct engine_words *words, const struct campaign_engine *settings, bool running)
{
    engine_program (words, settings, "flux");
    if (running) {
        engine_word (words, "job");
        engine_word (words, "kill");
        engine_word (words, "--signal=SIGTERM");
    }
    else
        engine_word (words, "cancel");
}

static Strata__JobEnd flux_end (const char *state)
{
    static const struct {
        const char *state;
        Strata__JobEnd end;
    } ends[] = {
        { "node-failure", STRATA__JOB_END__END_NODE },
        { "TIMEOUT", STRATA__JOB_END__END_WALLTIME },
        { "alloc", STRATA__JOB_END__END_REFUSED },
        { "CANCELED", STRATA__JOB_END__END_STOPPED },
    };
    for (size_t i = 0; i < sizeof (ends) / sizeof (ends[0]); i++)
        if (strcmp (state, ends[i].state) == 0)
            return ends[i].end;
    return STRATA__JOB_END__END_NONE;
}

static bool flux_waits_well (const char *reason)
{
    return strcmp (reason, "held") != 0 && strcmp (reason, "priority-hold") != 0;
}

/* ---- resources ---- */

static void flux_capacity (struct engine_words *words, const struct campaign_engine *settings)
{
    engine_program (words, settings, "flux");
    engine_word (words, "resource");
    engine_word (words, "R");
    engine_word (words, "--states=up");
    if (settings && settings->queue)
        engine_word (words, "--queue=%s", settings->queue);
}

/* Calls each (number, arg) for an idset, "0-3,7" (RFC 22); returns how many there are, 0 when it is none. */
static size_t read_idset (const char *text, void (*each) (unsigned long number, void *arg), void *arg)
{
    size_t count = 0;
    for (const char *at = text; *at; at++) {
        char *end;
        if (!isdigit ((unsigned char)*at))
            return 0;
        unsigned long first = strtoul (at, &end, 10), last = first;
        if (*end == '-' && isdigit ((unsigned char)end[1]))
            last = strtoul (end + 1, &end, 10);
        if (last < first || last - first >= RANKS_MAX || count >= RANKS_MAX || (*end && *end != ','))
            return 0;
        for (unsigned long n = first; n <= last; n++, count++)
            if (each)
                each (n, arg);
        if (!*end)
            break;
        at = end;
    }
    return count;
}

struct rank {
    unsigned long number;
    unsigned cores, gpus;
};

struct ranks {
    struct rank *list;
    size_t count, room, named;
    unsigned cores, gpus;       /* of those that are being added */
    engine_node_f *node;
    void *arg;
};

static void add_rank (unsigned long number, void *arg)
{
    struct ranks *self = arg;
    if (self->count == self->room) {
        size_t room = self->room ? self->room * 2 : 64;
        struct rank *more = realloc (self->list, room * sizeof (*more));
        if (!more)
            return; /* fewer nodes than there are */
        self->list = more;
        self->room = room;
    }
    self->list[self->count++] = (struct rank){ number, self->cores, self->gpus };
}

static int by_number (const void *a, const void *b)
{
    const struct rank *one = a, *two = b;
    return one->number < two->number ? -1 : one->number > two->number;
}

/* The n-th name of the list is the n-th rank's. */
static void name_next (struct ranks *self, const char *name)
{
    if (self->named >= self->count)
        return;
    const struct rank *rank = &self->list[self->named++];
    if (rank->cores)
        self->node (self->arg, name, rank->cores, rank->gpus, 0); /* Flux does not tell the memory */
}

/* One element of a hostlist (RFC 29): "fluke3", "fluke[3-103]", "pi[3,00-02,4]". */
static void read_hosts (struct ranks *self, const char *text)
{
    char name[256];
    const char *open = strchr (text, '['), *close = open ? strchr (open, ']') : NULL;
    if (!close) {
        snprintf (name, sizeof (name), "%.255s", text);
        name_next (self, name);
        return;
    }
    for (const char *at = open + 1; at < close;) {
        char *end;
        unsigned long first = strtoul (at, &end, 10), last = first;
        int width = (int)(end - at);
        if (end == at)
            return;
        if (*end == '-')
            last = strtoul (end + 1, &end, 10);
        for (unsigned long n = first; n <= last && n - first < RANKS_MAX; n++) {
            snprintf (name, sizeof (name), "%.*s%0*lu%s", (int)(open - text), text, width, n, close + 1);
            name_next (self, name);
        }
        at = *end == ',' ? end + 1 : close;
    }
}

/* "a[1-2],b3": commas within brackets do not separate. */
static void read_hostlist (struct ranks *self, const char *text)
{
    while (*text) {
        size_t n = 0;
        for (int depth = 0; text[n] && (depth || text[n] != ','); n++)
            depth += text[n] == '[' ? 1 : text[n] == ']' ? -1 : 0;
        char *element = strndup (text, n);
        if (element)
            read_hosts (self, element);
        free (element);
        text += text[n] ? n + 1 : n;
    }
}

/* A resource set in JSON (RFC 20), as `flux resource R` prints it in one line. */
static void flux_node (char *line, engine_node_f *node, void *arg)
{
    struct ranks ranks = { .node = node, .arg = arg };
    json_t *lite, *hosts, *entry, *root = json_loads (line, 0, NULL);
    size_t i;
    if (root && json_unpack (root, "{s:{s:o, s:o}}", "execution", "R_lite", &lite, "nodelist", &hosts) == 0) {
        json_array_foreach (lite, i, entry) {
            const char *numbers, *cores = "", *gpus = "";
            if (json_unpack (entry, "{s:s, s:{s?s, s?s}}", "rank", &numbers, "children", "core", &cores, "gpu", &gpus) != 0)
                continue;
            ranks.cores = (unsigned)read_idset (cores, NULL, NULL);
            ranks.gpus = (unsigned)read_idset (gpus, NULL, NULL);
            read_idset (numbers, add_rank, &ranks);
        }
        if (ranks.count)
            qsort (ranks.list, ranks.count, sizeof (*ranks.list), by_number);
        json_array_foreach (hosts, i, entry)
            if (json_is_string (entry))
                read_hostlist (&ranks, json_string_value (entry));
    }
    free (ranks.list);
    json_decref (root);
}

const struct engine_table executor_flux_table = {
    .name = "Flux",
    .task_variable = "FLUX_JOB_CC",
    .batch_max = 1000,
    .submit = flux_submit,
    .passing = flux_passing,
    .list = flux_list,
    .row = flux_row,
    .cancel = flux_cancel,
    .end = flux_end,
    .waits_well = flux_waits_well,
    .capacity = flux_capacity,
    .node = flux_node,
};

static void *flux_open (const struct executor_config *config, struct strata_error *error)
{
    if (strpbrk (config->workspace, "{}")) {
        strata_fail (error, "workspace %.300s: Flux replaces what stands in braces; choose a path without any", config->workspace);
        return NULL;
    }
    return engine_open (&executor_flux_table, config, error);
}

const struct executor_ops executor_flux = ENGINE_EXECUTOR ("flux", flux_open);
