/* campaign_run.c - see campaign_run.h
 *
 * A step's text is made ready in two turns: first it becomes a template (braces doubled; a tracker file's already is one), then
 * each $(TOKEN) in it is replaced. Tokens that no variable of Maestro's, of `env` or of Strata's has the name of, and that
 * are not all capitals, are the shell's: $(date), $(nproc).
 */
#include "core/campaign_run.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/campaign_schema.h"
#include "core/campaign_template.h"
#include "core/campaign_tracker.h"

#define TOKEN_MAX 64
#define ENV_MAX 200 /* variables and labels that a message can list */
#define DEPTH_MAX 8 /* variables within variables */

/* Maestro's own names, and what they are here. */
static const struct { const char *token, *text; } maestro[] = {
    { "WORKSPACE", "{dir}" }, { "OUTPUT_PATH", "{workspace}" }, { "SPECROOT", "{campaign_dir}" },
};

struct step_text {
    const struct campaign_step_place *place;
    struct campaign_found *found;
    const char *path;
    size_t line;
    const struct campaign_run *run;
    FILE *out;
    int depth;
    bool bad;
};

/* ---- env ---- */

static yaml_node_t *env_group (struct campaign_yaml *yaml, const char *group)
{
    return campaign_yaml_get (yaml, campaign_yaml_get (yaml, campaign_yaml_root (yaml), "env", NULL), group, NULL);
}

static const char *env_value (struct campaign_yaml *yaml, const char *name)
{
    const char *text = campaign_yaml_text (campaign_yaml_get (yaml, env_group (yaml, "variables"), name, NULL));
    return text ? text : campaign_yaml_text (campaign_yaml_get (yaml, env_group (yaml, "labels"), name, NULL));
}

static bool is_token (const char *name)
{
    if (!isalpha ((unsigned char)name[0]) && name[0] != '_')
        return false;
    return strlen (name) < TOKEN_MAX && strspn (name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") == strlen (name);
}

static void check_group (struct campaign_yaml *yaml, const char *group, yaml_node_t *map, size_t line, struct campaign_found *found)
{
    char path[128], is[128];
    snprintf (path, sizeof (path), "env.%s", group);
    if (map->type != YAML_MAPPING_NODE) {
        campaign_yaml_describe (map, is, sizeof (is));
        campaign_found_add (found, line, path, "must be a mapping of names to texts, not %s", is);
        return;
    }
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top && !found->full; p++) {
        const yaml_node_t *key = campaign_yaml_node (yaml, p->key), *value = campaign_yaml_node (yaml, p->value);
        const char *name = campaign_yaml_text (key);
        campaign_yaml_describe (key, is, sizeof (is));
        if (!name || !is_token (name))
            campaign_found_add (found, campaign_yaml_line (key), path,
                                "%s is no name: it must be letters, digits, _ and -, with no digit in front", is);
        else if (!campaign_yaml_text (value)) {
            snprintf (path, sizeof (path), "env.%s.%s", group, name);
            campaign_yaml_describe (value, is, sizeof (is));
            campaign_found_add (found, campaign_yaml_line (key), path, "must be text or a number, not %s", is);
            snprintf (path, sizeof (path), "env.%s", group);
        }
    }
}

void campaign_check_env (struct campaign_yaml *yaml, struct campaign_found *found)
{
    yaml_node_t *env = campaign_yaml_get (yaml, campaign_yaml_root (yaml), "env", NULL);
    if (!env || env->type != YAML_MAPPING_NODE)
        return;
    for (yaml_node_pair_t *p = env->data.mapping.pairs.start; p < env->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = campaign_yaml_node (yaml, p->key);
        const char *name = campaign_yaml_text (key);
        if (name && (strcmp (name, "variables") == 0 || strcmp (name, "labels") == 0))
            check_group (yaml, name, campaign_yaml_node (yaml, p->value), campaign_yaml_line (key), found);
        else
            campaign_found_add (found, campaign_yaml_line (key), "env",
                                "unknown key %s; allowed here: variables, labels (Maestro's sources and dependencies are not fetched: name "
                                "what is there in variables)", name ? name : "?");
    }
}

/* ---- tokens ---- */

static void replace_tokens (struct step_text *self, const char *text);

/* What starts the step's processes: the engine's own command. more: Maestro's "[2n, 4p]", or what follows. */
static const char *put_launcher (struct step_text *self, const char *more)
{
    unsigned nodes = self->run->nodes, procs = self->run->procs, number;
    struct campaign_yaml *yaml = self->place->yaml;
    if (*more == '[') {
        const char *p = more + 1;
        char unit;
        int n;
        while (sscanf (p, " %u%c%n", &number, &unit, &n) == 2 && number > 0 && (unit == 'n' || unit == 'p')) {
            *(unit == 'n' ? &nodes : &procs) = number;
            p += n;
            p += strspn (p, " ,");
        }
        if (*p == ']')
            more = p + 1;
    }
    const char *executor = campaign_yaml_text (
        campaign_yaml_get (yaml, campaign_yaml_get (yaml, campaign_yaml_root (yaml), "schedule", NULL), "executor", NULL));
    if (executor && strcmp (executor, "slurm") == 0)
        fprintf (self->out, "srun --nodes=%u --ntasks=%u --cpus-per-task=%u", nodes, procs, self->run->cores ? self->run->cores : 1);
    else if (executor && strcmp (executor, "flux") == 0)
        fprintf (self->out, "flux run --nodes=%u --ntasks=%u --cores-per-task=%u", nodes, procs, self->run->cores ? self->run->cores : 1);
    else if (procs > 1)
        fprintf (self->out, "mpiexec -n %u", procs);
    else /* as with Maestro's local adapter: the command itself, and no blanks for it */
        more += strspn (more, " ");
    return more;
}

static void refuse_token (struct step_text *self, const char *name)
{
    const char *words[ENV_MAX + 32] = { "LAUNCHER" };
    size_t n = 1;
    for (size_t i = 0; i < sizeof (maestro) / sizeof (maestro[0]); i++)
        words[n++] = maestro[i].token;
    static const char *const groups[] = { "variables", "labels" };
    for (size_t g = 0; g < 2; g++) {
        yaml_node_t *map = env_group (self->place->yaml, groups[g]);
        if (!map || map->type != YAML_MAPPING_NODE)
            continue;
        for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top && n < ENV_MAX; p++) {
            const char *key = campaign_yaml_text (campaign_yaml_node (self->place->yaml, p->key));
            if (key)
                words[n++] = key;
        }
    }
    const char *near = campaign_nearest (name, words);
    campaign_found_add (self->found, self->line, self->path,
                        "there is no variable $(%s); %s%s%sit must stand in env.variables, or be LAUNCHER, WORKSPACE, OUTPUT_PATH, SPECROOT "
                        "or one of Strata's in capitals (DIR, INPUT, CANDIDATE ...); a command of the shell may stand in `backticks`",
                        name, near ? "did you mean $(" : "", near ? near : "", near ? ")? " : "");
    self->bad = true;
}

/* "{cores}" for CORES; NULL when Strata has no such variable. */
static const char *strata_variable (const char *name, char *text, size_t size)
{
    char lower[TOKEN_MAX];
    size_t n = strlen (name);
    for (size_t i = 0; i <= n; i++) {
        if (islower ((unsigned char)name[i]))
            return NULL;
        lower[i] = (char)tolower ((unsigned char)name[i]);
    }
    for (size_t v = 0; campaign_template_names[v]; v++)
        if (strcmp (campaign_template_names[v], lower) == 0) {
            snprintf (text, size, "{%s}", lower);
            return text;
        }
    return NULL;
}

/* False: the token is the shell's, and stays. *more: what follows it. */
static bool put_token (struct step_text *self, const char *name, const char **more)
{
    char text[TOKEN_MAX + 2];
    const char *dot = strchr (name, '.'), *value = env_value (self->place->yaml, name);
    if (strcmp (name, "LAUNCHER") == 0) {
        *more = put_launcher (self, *more);
        return true;
    }
    if (value && self->depth == DEPTH_MAX) {
        campaign_found_add (self->found, self->line, self->path, "$(%s) is a variable within %d others; do they name each other?", name,
                            DEPTH_MAX);
        self->bad = true;
        return true;
    }
    if (value) {
        char *template = campaign_template_quote (value);
        self->depth++;
        if (template)
            replace_tokens (self, template);
        self->depth--;
        self->bad = self->bad || !template;
        free (template);
        return true;
    }
    for (size_t i = 0; i < sizeof (maestro) / sizeof (maestro[0]); i++)
        if (strcmp (name, maestro[i].token) == 0) {
            fputs (maestro[i].text, self->out);
            return true;
        }
    if (strata_variable (name, text, sizeof (text))) {
        fputs (text, self->out);
        return true;
    }
    if (dot && strcmp (dot, ".workspace") == 0) {
        const char *after = self->place->after;
        if (!after || strlen (after) != (size_t)(dot - name) || strncmp (after, name, (size_t)(dot - name)) != 0) {
            campaign_found_add (self->found, self->line, self->path, "$(%s): only the folder of the job type before this one is known%s%s%s",
                                name, after ? ", which is $(" : "; this one has none (start: after)", after ? after : "",
                                after ? ".workspace)" : "");
            self->bad = true;
        }
        fputs ("{input}", self->out);
        return true;
    }
    if (strspn (name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") < strlen (name) || !*name)
        return false;
    refuse_token (self, name);
    return true;
}

static void replace_tokens (struct step_text *self, const char *text)
{
    while (*text) {
        size_t n = strcspn (text, "$");
        fwrite (text, 1, n, self->out);
        text += n;
        if (!*text)
            break;
        n = text[1] == '(' ? strcspn (text + 2, ")( \t\n\"'`$") : 0;
        if (n == 0 || n >= TOKEN_MAX || text[2 + n] != ')') {
            fputc (*text++, self->out);
            continue;
        }
        char name[TOKEN_MAX];
        snprintf (name, sizeof (name), "%.*s", (int)n, text + 2);
        const char *more = text + n + 3;
        if (!put_token (self, name, &more)) {
            fputs ("$(", self->out);
            text += 2;
            continue;
        }
        text = more;
    }
}

/* malloc'ed; NULL with a mistake. */
static char *make_text (const struct campaign_step_place *place, const struct campaign_run *run, const char *template, const char *path,
                        size_t line, struct campaign_found *found)
{
    char *text = NULL;
    size_t size = 0;
    struct step_text self = { .place = place, .found = found, .path = path, .line = line, .run = run, .out = open_memstream (&text, &size) };
    if (self.out)
        replace_tokens (&self, template);
    if (!self.out || fclose (self.out) != 0) {
        campaign_found_add (found, line, path, "out of memory");
        self.bad = true;
    }
    if (!self.bad)
        return text;
    free (text);
    return NULL;
}

/* ---- numbers ---- */

/* "HH:MM:SS", or whole seconds; 0: neither. */
static unsigned walltime_s (const char *text)
{
    uint64_t seconds;
    unsigned h, m, s;
    char more;
    if (campaign_parse_whole (text, &seconds))
        return seconds <= 31536000 ? (unsigned)seconds : 0;
    if (strspn (text, "0123456789:") != strlen (text) || sscanf (text, "%4u:%2u:%2u%c", &h, &m, &s, &more) != 3 || h > 8760 || m > 59 || s > 59)
        return 0;
    return h * 3600 + m * 60 + s;
}

/* `run` can't say twice what these say. */
static void check_beside (const struct campaign_step_place *place, const char *as, struct campaign_found *found)
{
    static const char *const keys[] = { "command", "restart", "run", "nodes", "cores", "gpus", "parts", "walltime", "tries", "retry_delay" };
    for (size_t i = 0; i < sizeof (keys) / sizeof (keys[0]); i++) {
        size_t line = 1;
        char path[64];
        if (strcmp (keys[i], as) == 0 || !campaign_yaml_get (place->yaml, place->job, keys[i], &line))
            continue;
        snprintf (path, sizeof (path), "jobs[%zu].%s", place->index, keys[i]);
        campaign_found_add (found, line, path, "can't stand beside `%s`, which says it", as);
    }
}

static int set_numbers (const struct campaign_run *run, struct campaign_step *step, size_t line, const char *path, struct campaign_found *found)
{
    size_t before = found->count;
    step->nodes = run->nodes;
    step->gpus = run->gpus;
    step->cores = (unsigned)(((uint64_t)run->procs * run->cores + run->nodes - 1) / run->nodes);
    step->tries = run->max_retries + 1;
    step->retry_delay_s = run->retry_delay_s;
    step->walltime_s = walltime_s (run->walltime);
    if (run->procs < run->nodes)
        campaign_found_add (found, line, path, "has fewer procs (%u) than nodes (%u)", run->procs, run->nodes);
    if ((uint64_t)run->procs * run->cores > 100000 * (uint64_t)run->nodes || (run->cores == 0 && run->procs > 1))
        campaign_found_add (found, line, path, "procs * cores must be from 1 to 100000 on each node, or procs 1 with cores 0");
    if (step->walltime_s == 0)
        campaign_found_add (found, line, path, "walltime must be hours:minutes:seconds or whole seconds, above 0 and up to a year, not %.32s",
                            run->walltime);
    return found->count == before ? 0 : -1;
}

/* ---- both shapes ---- */

bool campaign_is_step (const struct campaign_step_place *place)
{
    return campaign_yaml_get (place->yaml, place->job, "run", NULL) || campaign_yaml_get (place->yaml, place->job, "tracker", NULL);
}

static void free_run (struct campaign_run *run)
{
    free (run->cmd);
    free (run->restart);
    free (run->walltime);
}

static int fill_step (const struct campaign_step_place *place, struct campaign_step *step, struct campaign_run *run, struct campaign_found *found)
{
    char path[64];
    size_t line = step->line;
    int rc = set_numbers (run, step, line, step->path, found);
    if (!(step->command = make_text (place, run, run->cmd, step->path, line, found)))
        rc = -1;
    snprintf (path, sizeof (path), "jobs[%zu].run.restart", place->index);
    if (run->restart && !(step->restart = make_text (place, run, run->restart, path, line, found)))
        rc = -1;
    return rc;
}

static int quote (char **text)
{
    char *template = campaign_template_quote (*text);
    free (*text);
    *text = template;
    return template ? 0 : -1;
}

/* Maestro's `run`, as the table found it right. */
static int read_run (const struct campaign_step_place *place, yaml_node_t *node, struct campaign_run *run, struct campaign_step *step,
                     struct campaign_found *found)
{
    size_t line = 1;
    if (!campaign_yaml_text (campaign_yaml_get (place->yaml, node, "cmd", &step->line)))
        return -1; /* told by the table */
    if (campaign_schema_fill (place->yaml, campaign_run_fields, node, run) != 0 || quote (&run->cmd) != 0
        || (run->restart && quote (&run->restart) != 0)) {
        campaign_found_add (found, step->line, step->path, "out of memory");
        return -1;
    }
    if (campaign_yaml_get (place->yaml, node, "cores per task", &line)) {
        if (campaign_yaml_get (place->yaml, node, "cores", NULL))
            campaign_found_add (found, line, step->path, "has both `cores` and `cores per task`, which are the same");
        run->cores = run->cores_per_task;
    }
    return 0;
}

int campaign_step_read (const struct campaign_step_place *place, struct campaign_step *step, struct campaign_found *found)
{
    struct campaign_run run = { 0 };
    size_t before = found->count;
    yaml_node_t *node = campaign_yaml_get (place->yaml, place->job, "run", &step->line);
    const char *file = campaign_yaml_text (campaign_yaml_get (place->yaml, place->job, "tracker", &step->line));
    *step = (struct campaign_step){ .line = step->line };
    if (asprintf (&step->path, file ? "jobs[%zu].tracker" : "jobs[%zu].run.cmd", place->index) < 0) {
        step->path = NULL;
        campaign_found_add (found, 1, "file", "out of memory while reading it");
        return -1;
    }
    check_beside (place, file ? "tracker" : "run", found);
    int rc = file ? campaign_tracker_read (place, file, &run, &step->fingerprint, found) : read_run (place, node, &run, step, found);
    if (rc == 0)
        rc = fill_step (place, step, &run, found);
    free_run (&run);
    return rc == 0 && found->count == before ? 0 : -1;
}

void campaign_step_fini (struct campaign_step *step)
{
    free (step->command);
    free (step->restart);
    free (step->path);
    *step = (struct campaign_step){ 0 };
}

/* ---- into the campaign ---- */

/* bash -c text name: name is what bash's own messages begin with. -1: out of memory, with what there is in *argv. */
static int set_shell (char ***argv, unsigned *count, const char *text, const char *name)
{
    const char *words[] = { "/bin/bash", "-c", text, name };
    char **list = calloc (4, sizeof (*list));
    if (!list)
        return -1;
    *argv = list;
    for (*count = 0; *count < 4; ++*count)
        if (!(list[*count] = strdup (words[*count])))
            return -1;
    return 0;
}

static int settle_step (struct campaign *self, const struct campaign_step_place *place, struct campaign_found *found)
{
    struct campaign_job *job = &self->jobs[place->index];
    struct campaign_step step;
    int rc = campaign_step_read (place, &step, found);
    if (rc == 0) {
        job->nodes = step.nodes;
        job->cores = step.cores;
        job->gpus = step.gpus;
        job->walltime_s = step.walltime_s;
        job->tries = step.tries;
        job->retry_delay_s = step.retry_delay_s;
        self->fingerprint ^= step.fingerprint;
        rc = set_shell (&job->command, &job->command_count, step.command, job->name);
    }
    if (rc == 0 && step.restart)
        rc = set_shell (&job->restart, &job->restart_count, step.restart, job->name);
    campaign_step_fini (&step);
    return rc;
}

int campaign_settle_steps (struct campaign *self, struct campaign_yaml *yaml, struct campaign_found *found)
{
    yaml_node_t *list = campaign_yaml_get (yaml, campaign_yaml_root (yaml), "jobs", NULL);
    for (unsigned i = 0; i < self->jobs_count; i++) {
        const struct campaign_job *job = &self->jobs[i], *first = job;
        while (first->start == JOB_AFTER)
            first = campaign_job_find (self, first->after);
        struct campaign_step_place place = { yaml, self->dir, campaign_yaml_item (yaml, list, i), i, (int)first->start, job->after };
        if (campaign_is_step (&place) && settle_step (self, &place, found) != 0)
            return -1;
    }
    return 0;
}
