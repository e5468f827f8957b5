/* jobs_format.c - see jobs_format.h */
#include "jobs_format.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/outcome.h"

#define S(state) STRATA__JOB_STATE__JOB_##state
#define TEXT_MAX 1024
#define WIDTH_MAX 500

/* ---- states ---- */

const char *jobs_state (Strata__JobState state)
{
    static const char *const names[] = { "proposed", "waiting", "launching", "running", "succeeded", "aside", "cancelled" };
    return (unsigned)state < sizeof (names) / sizeof (names[0]) ? names[state] : "?";
}

const char *jobs_state_short (const Strata__Job *job)
{
    static const char *const names[] = { "D", "S", "L", "R", "CD", "F", "CA" };
    if (job->state == S (ASIDE) && job->end == STRATA__JOB_END__END_WALLTIME)
        return "TO";
    return (unsigned)job->state < sizeof (names) / sizeof (names[0]) ? names[job->state] : "?";
}

/* What came out of it, in the words of flux-jobs; "": it has not ended. */
static const char *result_of (const Strata__Job *job)
{
    switch (job->state) {
    case S (SUCCEEDED): return "COMPLETED";
    case S (ASIDE): return job->end == STRATA__JOB_END__END_WALLTIME ? "TIMEOUT" : "FAILED";
    case S (CANCELLED): return "CANCELED";
    default: return "";
    }
}

static bool runs (const Strata__Job *job)
{
    return job->state == S (RUNNING);
}

static bool ended (const Strata__Job *job)
{
    return job->state == S (SUCCEEDED) || job->state == S (ASIDE) || job->state == S (CANCELLED);
}

double jobs_runtime (const Strata__Job *job, int64_t now_us)
{
    int64_t end_us = runs (job) ? now_us : job->ended_us;
    return job->started_us && end_us > job->started_us ? (double)(end_us - job->started_us) / 1e6 : 0;
}

/* ---- fields ---- */

enum kind { TEXT, WHOLE, REAL, SECONDS, TIME };

struct value {
    enum kind kind;
    double number;              /* TIME: seconds since 1970 */
    char text[TEXT_MAX];
};

static void set_text (struct value *value, const char *text)
{
    value->kind = TEXT;
    cli_clean (text, value->text, sizeof (value->text));
}

static void set_number (struct value *value, enum kind kind, double number)
{
    value->kind = kind;
    value->number = number;
}

static void add_numbers (char *text, size_t size, const uint32_t *list, size_t count)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0, last; i < count && used + 24 < size; i = last + 1) {
        for (last = i; last + 1 < count && list[last + 1] == list[last] + 1; last++)
            ;
        used += (size_t)snprintf (text + used, size - used, last > i ? "%s%u-%u" : "%s%u", i ? "," : "", list[i], list[last]);
    }
}

static void put_nodes (const struct jobs_row *row, char *text, size_t size)
{
    const Strata__Job *job = row->job;
    size_t used = 0, i = 0;
    text[0] = '\0';
    for (; i < job->n_nodes && i < 3 && used < size; i++) {
        const Strata__NodeReply *all = row->nodes;
        const char *name = all && job->nodes[i] < all->n_nodes ? all->nodes[job->nodes[i]]->name : "";
        if (*name)
            used += (size_t)snprintf (text + used, size - used, "%s%s", i ? "," : "", name);
        else
            used += (size_t)snprintf (text + used, size - used, "%s%u", i ? "," : "", job->nodes[i]);
    }
    if (i < job->n_nodes && used < size)
        snprintf (text + used, size - used, ",+%zu", job->n_nodes - i);
}

/* Where it runs, what it waits for, how it ended. */
static void put_info (const struct jobs_row *row, char *text, size_t size)
{
    const Strata__Job *job = row->job;
    if (runs (job))
        put_nodes (row, text, size);
    else if (ended (job))
        snprintf (text, size, "%s", job->state == S (SUCCEEDED) ? "" : job->reason);
    else if (strcmp (row->waits, "retry") == 0)
        snprintf (text, size, "retry: %s", job->reason);
    else
        snprintf (text, size, "%s%s", *row->waits ? "waits: " : "", row->waits);
}

enum field {
    F_ID, F_TYPE, F_QUEUE, F_NAME, F_SIMULATION, F_CANDIDATE, F_STATE, F_STATUS, F_STATUS_ABBREV, F_RESULT, F_NTASKS, F_NNODES, F_NCORES, F_NGPUS,
    F_NODELIST, F_CORES, F_GPUS, F_RUNTIME, F_DURATION, F_T_SUBMIT, F_T_RUN, F_T_INACTIVE, F_RETURNCODE, F_END, F_CODE, F_REASON, F_WAITS, F_INFO,
    F_CONTEXTUAL_INFO, F_ATTEMPT, F_TRIES, F_TRIES_LIMIT, F_PID, F_MAX_RSS_MB, F_DIR, F_INPUT, F_PROPOSAL, FIELDS
};

static const struct {
    const char *name, *heading;
} fields[FIELDS] = {
    [F_ID] = { "id", "JOBID" },
    [F_TYPE] = { "type", "TYPE" },
    [F_QUEUE] = { "queue", "QUEUE" },
    [F_NAME] = { "name", "NAME" },
    [F_SIMULATION] = { "simulation", "SIMULATION" },
    [F_CANDIDATE] = { "candidate", "CANDIDATE" },
    [F_STATE] = { "state", "STATE" },
    [F_STATUS] = { "status", "STATUS" },
    [F_STATUS_ABBREV] = { "status_abbrev", "ST" },
    [F_RESULT] = { "result", "RESULT" },
    [F_NTASKS] = { "ntasks", "NTASKS" },
    [F_NNODES] = { "nnodes", "NNODES" },
    [F_NCORES] = { "ncores", "NCORES" },
    [F_NGPUS] = { "ngpus", "NGPUS" },
    [F_NODELIST] = { "nodelist", "NODELIST" },
    [F_CORES] = { "cores", "CORES" },
    [F_GPUS] = { "gpus", "GPUS" },
    [F_RUNTIME] = { "runtime", "TIME" },
    [F_DURATION] = { "duration", "DURATION" },
    [F_T_SUBMIT] = { "t_submit", "T_SUBMIT" },
    [F_T_RUN] = { "t_run", "T_RUN" },
    [F_T_INACTIVE] = { "t_inactive", "T_INACTIVE" },
    [F_RETURNCODE] = { "returncode", "RC" },
    [F_END] = { "end", "END" },
    [F_CODE] = { "code", "CODE" },
    [F_REASON] = { "reason", "REASON" },
    [F_WAITS] = { "waits", "WAITS" },
    [F_INFO] = { "info", "INFO" },
    [F_CONTEXTUAL_INFO] = { "contextual_info", "INFO" },
    [F_ATTEMPT] = { "attempt", "ATTEMPT" },
    [F_TRIES] = { "tries", "TRIES" },
    [F_TRIES_LIMIT] = { "tries_limit", "LIMIT" },
    [F_PID] = { "pid", "PID" },
    [F_MAX_RSS_MB] = { "max_rss_mb", "MAX_RSS_MB" },
    [F_DIR] = { "dir", "DIR" },
    [F_INPUT] = { "input", "INPUT" },
    [F_PROPOSAL] = { "proposal", "PROPOSAL" },
};

static void upper (char *text)
{
    for (; *text; text++)
        *text = (char)toupper ((unsigned char)*text);
}

/* As a shell tells it: 128 + the signal. */
static int returncode_of (const Strata__Job *job)
{
    return job->end == STRATA__JOB_END__END_SIGNAL ? 128 + job->code : job->end == STRATA__JOB_END__END_EXIT ? job->code : 0;
}

static void get_text (const struct jobs_row *row, enum field field, struct value *value)
{
    const Strata__Job *job = row->job;
    char text[TEXT_MAX] = "";
    switch (field) {
    case F_ID: set_text (value, job->id); return;
    case F_TYPE:
    case F_QUEUE: set_text (value, job->type); return;
    case F_NAME:
    case F_SIMULATION: set_text (value, job->simulation); return;
    case F_CANDIDATE: set_text (value, job->candidate); return;
    case F_STATE: set_text (value, jobs_state (job->state)); return;
    case F_STATUS:
        set_text (value, *result_of (job) ? result_of (job) : jobs_state (job->state));
        upper (value->text);
        return;
    case F_STATUS_ABBREV: set_text (value, jobs_state_short (job)); return;
    case F_RESULT: set_text (value, result_of (job)); return;
    case F_END: set_text (value, job->end ? outcome_end_name (job->end) : ""); return;
    case F_REASON: set_text (value, job->reason); return;
    case F_WAITS: set_text (value, row->waits); return;
    case F_DIR: set_text (value, job->dir); return;
    case F_INPUT: set_text (value, job->input); return;
    case F_PROPOSAL: set_text (value, job->proposal); return;
    case F_NODELIST: put_nodes (row, text, sizeof (text)); break;
    case F_CORES: add_numbers (text, sizeof (text), job->cores, job->n_cores); break;
    case F_GPUS: add_numbers (text, sizeof (text), job->gpus, job->n_gpus); break;
    default: put_info (row, text, sizeof (text)); break;
    }
    set_text (value, text);
}

static void get (const struct jobs_row *row, enum field field, struct value *value)
{
    const Strata__Job *job = row->job;
    const Strata__TypeOfJobs *type = row->type;
    unsigned nodes = type ? type->nodes : (unsigned)job->n_nodes;
    value->number = 0;
    switch (field) {
    case F_NTASKS: set_number (value, WHOLE, type ? type->tasks : 0); return;
    case F_NNODES: set_number (value, WHOLE, nodes); return;
    case F_NCORES: set_number (value, WHOLE, type ? (double)nodes * type->cores : (double)job->n_cores); return;
    case F_NGPUS: set_number (value, WHOLE, type ? (double)nodes * type->gpus : (double)job->n_gpus); return;
    case F_RUNTIME: set_number (value, SECONDS, jobs_runtime (job, row->now_us)); return;
    case F_DURATION: set_number (value, SECONDS, type ? type->walltime_s : 0); return;
    case F_T_SUBMIT: set_number (value, TIME, (double)job->created_us / 1e6); return;
    case F_T_RUN: set_number (value, TIME, (double)job->started_us / 1e6); return;
    case F_T_INACTIVE: set_number (value, TIME, ended (job) ? (double)job->ended_us / 1e6 : 0); return;
    case F_RETURNCODE: set_number (value, WHOLE, returncode_of (job)); return;
    case F_CODE: set_number (value, WHOLE, job->code); return;
    case F_ATTEMPT: set_number (value, WHOLE, job->attempt); return;
    case F_TRIES: set_number (value, WHOLE, job->tries); return;
    case F_TRIES_LIMIT: set_number (value, WHOLE, job->tries_limit); return;
    case F_PID: set_number (value, WHOLE, job->pid); return;
    case F_MAX_RSS_MB: set_number (value, REAL, job->max_rss_mb); return;
    default: get_text (row, field, value); return;
    }
}

/* ---- formats ---- */

/* Text before a field, then the field. */
struct piece {
    char *before;
    int field;                  /* FIELDS: none, the format ends */
    char conversion;            /* 'F', 'd'; 0: none */
    char fill, align;           /* align 0: numbers right, texts left */
    int width, most;            /* most -1: not given */
    bool plus, hyphen;
};

struct jobs_format {
    struct piece *pieces;
    size_t count;
};

static bool take_number (const char **at, int *number)
{
    if (!isdigit ((unsigned char)**at))
        return true;
    for (*number = 0; isdigit ((unsigned char)**at); ++*at)
        if ((*number = *number * 10 + (**at - '0')) > WIDTH_MAX)
            return false;
    return true;
}

static bool is_align (char c)
{
    return c && strchr ("<>^", c);
}

/* What stands behind the colon, up to its end. */
static bool parse_spec (const char *at, const char *end, struct piece *piece)
{
    if (end - at >= 2 && is_align (at[1])) {
        piece->fill = at[0];
        piece->align = at[1];
        at += 2;
    }
    else if (at < end && is_align (*at))
        piece->align = *at++;
    if (!take_number (&at, &piece->width))
        return false;
    if (*at == '.') {
        at++;
        if (!isdigit ((unsigned char)*at) || !take_number (&at, &piece->most))
            return false;
    }
    if (*at == '+' && at < end) {
        piece->plus = true;
        at++;
    }
    if (at < end && strchr ("sdfh", *at))
        piece->hyphen = *at++ == 'h';
    return at == end;
}

static int find_field (const char *name, size_t size)
{
    int i = 0;
    while (i < FIELDS && !(strlen (fields[i].name) == size && strncmp (fields[i].name, name, size) == 0))
        i++;
    return i;
}

static int unknown_field (const char *name, size_t size, struct strata_error *error)
{
    char names[512] = "";
    for (int i = 0, used = 0; i < FIELDS; i++)
        used += snprintf (names + used, sizeof (names) - (size_t)used, " %s", fields[i].name);
    return strata_fail (error, "a format has no field {%.*s}; there are:%s", size < 40 ? (int)size : 40, name, names);
}

/* name[!c][:spec], between the braces. */
static int parse_field (const char *at, const char *end, struct piece *piece, struct strata_error *error)
{
    size_t size = strcspn (at, "!:}");
    const char *rest = at + size;
    *piece = (struct piece){ .before = piece->before, .field = find_field (at, size), .fill = ' ', .most = -1 };
    if (piece->field == FIELDS)
        return unknown_field (at, size, error);
    if (*rest == '!') {
        piece->conversion = rest[1];
        if (rest[1] != 'F' && rest[1] != 'd')
            return strata_fail (error, "{%.*s}: there are the conversions !F (seconds as a duration) and !d (a time as date and time)",
                                end - at < 60 ? (int)(end - at) : 60, at);
        rest += 2;
    }
    if (rest == end || (*rest == ':' && parse_spec (rest + 1, end, piece)))
        return 0;
    return strata_fail (error, "{%.*s}: behind the colon stand [[fill]<|>|^][width][.most][+][s|d|f|h], with numbers up to %d",
                        end - at < 60 ? (int)(end - at) : 60, at, WIDTH_MAX);
}

/* Copies text up to a field or the end; {{ and }} are braces. NULL: a brace stands alone, or no memory. */
static const char *parse_text (const char *at, char **out)
{
    char *text = malloc (strlen (at) + 1);
    size_t n = 0;
    *out = text;
    if (!text)
        return NULL;
    for (; *at && (*at != '{' || at[1] == '{'); at++) {
        if ((*at == '{' || *at == '}') && at[1] != *at)
            return NULL;
        at += *at == '{' || *at == '}';
        text[n++] = *at;
    }
    text[n] = '\0';
    return at;
}

struct jobs_format *jobs_format_new (const char *text, struct strata_error *error)
{
    struct jobs_format *self = calloc (1, sizeof (*self));
    size_t most = 1;
    for (const char *at = text; *at; at++)
        most += *at == '{';
    if (self)
        self->pieces = calloc (most + 1, sizeof (*self->pieces));
    if (!self || !self->pieces) {
        strata_fail (error, "out of memory");
        jobs_format_free (&self);
        return NULL;
    }
    for (const char *at = text;;) {
        struct piece *piece = &self->pieces[self->count++];
        piece->field = FIELDS;
        const char *next = parse_text (at, &piece->before);
        if (next && !*next)
            return self;
        const char *end = next ? strchr (next, '}') : NULL;
        if (!end)
            strata_fail (error, "the format has a brace without its partner: {field}, or {{ and }} for braces themselves");
        if (!end || parse_field (next + 1, end, piece, error) != 0) {
            jobs_format_free (&self);
            return NULL;
        }
        at = end + 1;
    }
}

void jobs_format_free (struct jobs_format **self_p)
{
    struct jobs_format *self = *self_p;
    for (size_t i = 0; self && i < self->count; i++)
        free (self->pieces[i].before);
    if (self)
        free (self->pieces);
    free (self);
    *self_p = NULL;
}

bool jobs_format_needs_nodes (const struct jobs_format *self)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->pieces[i].field == F_NODELIST || self->pieces[i].field == F_INFO || self->pieces[i].field == F_CONTEXTUAL_INFO)
            return true;
    return false;
}

/* ---- printing ---- */

static void fill (FILE *out, char c, int n)
{
    while (n-- > 0)
        fputc (c, out);
}

static void print_cell (const struct piece *piece, const char *text, bool right, bool last, FILE *out)
{
    int length = (int)strlen (text), pad = piece->width - length;
    char align = piece->align ? piece->align : right ? '>' : '<';
    int before = pad <= 0 || align == '<' ? 0 : align == '>' ? pad : pad / 2;
    fill (out, piece->fill, before);
    fputs (text, out);
    if (!last || piece->fill != ' ')
        fill (out, piece->fill, pad - before);
}

static void print_line (const struct jobs_format *self, const struct jobs_row *row, void (*cell) (const struct piece *, const struct jobs_row *, bool last, FILE *),
                        FILE *out)
{
    for (size_t i = 0; i < self->count; i++) {
        const struct piece *piece = &self->pieces[i];
        fputs (piece->before, out);
        if (piece->field != FIELDS)
            cell (piece, row, i + 1 < self->count && !*self->pieces[i + 1].before && self->pieces[i + 1].field == FIELDS, out);
    }
    fputc ('\n', out);
}

/* Numbers stand right where nothing else is said; so does what stands above them. */
static bool stands_right (int field)
{
    struct value value;
    const Strata__Job job = STRATA__JOB__INIT;
    const struct jobs_row row = { .job = &job, .waits = "" };
    get (&row, (enum field)field, &value);
    return value.kind != TEXT;
}

static void heading_cell (const struct piece *piece, const struct jobs_row *row, bool last, FILE *out)
{
    print_cell (piece, fields[piece->field].heading, stands_right (piece->field), last, out);
}

/* As flux-jobs writes durations: four digits, and the unit of which there is one or more. */
static void put_duration (double s, char *text, size_t size)
{
    static const struct {
        double seconds;
        const char *name;
    } units[] = { { 86400, "d" }, { 3600, "h" }, { 60, "m" }, { 1, "s" } };
    size_t i = 0;
    while (i + 1 < sizeof (units) / sizeof (units[0]) && s < units[i].seconds)
        i++;
    snprintf (text, size, "%.4g%s", s / units[i].seconds, units[i].name);
}

static void put_time (double s, char *text, size_t size)
{
    time_t seconds = (time_t)s;
    struct tm tm;
    if (!localtime_r (&seconds, &tm) || !strftime (text, size, "%Y-%m-%dT%H:%M:%S", &tm))
        text[0] = '\0';
}

static void value_cell (const struct piece *piece, const struct jobs_row *row, bool last, FILE *out)
{
    struct value value = { .kind = TEXT };
    get (row, (enum field)piece->field, &value);
    if (value.kind == TEXT) {
        if (piece->most >= 0 && strlen (value.text) > (size_t)piece->most) {
            value.text[piece->most] = '\0';
            if (piece->plus && piece->most)
                value.text[piece->most - 1] = '+';
        }
        if (piece->hyphen && !value.text[0])
            strcpy (value.text, "-");
    }
    else if (piece->hyphen && value.number <= 0)
        strcpy (value.text, "-");
    else if (value.kind == SECONDS && piece->conversion == 'F')
        put_duration (value.number, value.text, sizeof (value.text));
    else if (value.kind == TIME && piece->conversion == 'd') {
        value.text[0] = '\0';
        if (value.number > 0)
            put_time (value.number, value.text, sizeof (value.text));
    }
    else
        snprintf (value.text, sizeof (value.text), "%.*f", piece->most >= 0 ? piece->most : value.kind == WHOLE ? 0 : 3, value.number);
    print_cell (piece, value.text, value.kind != TEXT, last, out);
}

void jobs_format_print_header (const struct jobs_format *self, FILE *out)
{
    print_line (self, NULL, heading_cell, out);
}

void jobs_format_print (const struct jobs_format *self, const struct jobs_row *row, FILE *out)
{
    print_line (self, row, value_cell, out);
}

/* ---- since ---- */

/* "-10m": how many seconds; negative: it is none. */
static double duration_of (const char *text)
{
    static const struct {
        const char *name;
        double seconds;
    } units[] = { { "", 1 }, { "ms", 0.001 }, { "s", 1 }, { "m", 60 }, { "h", 3600 }, { "d", 86400 } };
    char *unit;
    if (!isdigit ((unsigned char)*text) && *text != '.')
        return -1;
    double number = strtod (text, &unit);
    for (size_t i = 0; i < sizeof (units) / sizeof (units[0]); i++)
        if (strcmp (unit, units[i].name) == 0 && number < 1e9)
            return number * units[i].seconds;
    return -1;
}

int jobs_since (const char *text, int64_t now_us, int64_t *since_us, struct strata_error *error)
{
    static const char *const formats[] = { "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%H:%M:%S", "%H:%M" };
    double seconds = duration_of (*text == '-' ? text + 1 : text);
    time_t now_s = (time_t)(now_us / 1000000);
    bool is_epoch = text[0] && strspn (text, "0123456789.") == strlen (text);
    if (seconds >= 0 && *text == '-') {
        *since_us = now_us - (int64_t)(seconds * 1e6);
        *since_us = *since_us > 0 ? *since_us : 1;
        return 0;
    }
    if (is_epoch && strtod (text, NULL) < 1e11) {
        *since_us = (int64_t)(strtod (text, NULL) * 1e6);
        return 0;
    }
    for (size_t i = 0; i < sizeof (formats) / sizeof (formats[0]); i++) {
        struct tm tm;
        if (!localtime_r (&now_s, &tm))
            break;
        tm.tm_isdst = -1;
        tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
        const char *end = strptime (text, formats[i], &tm);
        if (end && !*end) {
            *since_us = (int64_t)mktime (&tm) * 1000000;
            return 0;
        }
    }
    return strata_fail (error, "--since %.60s is no time: -90s, -10m, -2.5h, -1d before now; 2026-11-27, 2026-11-27T12:30, 12:30; or seconds since 1970",
                        text);
}
