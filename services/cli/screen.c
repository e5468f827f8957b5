/* screen.c - see screen.h */
#include "screen.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static volatile int entered;

/* ---- pieces ---- */

static void age_of (FILE *out, const struct screen *s, const char *service)
{
    char text[32];
    const Strata__ReplicaStatus *r = figures_replica (s->status, service);
    if (!r)
        fprintf (out, "  [no %s]", service);
    else
        fprintf (out, "  [%s ago%s]", cli_duration ((double)r->age_us / 1e6 + s->answer_age_s, text, sizeof (text)),
                 r->alive     ? ""
                 : r->stopped ? ", stopped"
                              : ", DEAD");
}

static double job_figure (const struct screen *s, const char *type, const char *what)
{
    char name[160];
    snprintf (name, sizeof (name), "%.100s_%s", type, what);
    return figures_metric (s->status, "schedule", name, 0);
}

static void put_goals (FILE *out, const Strata__StatusReply *status)
{
    for (size_t i = 0; i < status->n_goals; i++)
        fprintf (out, "%s%s %.0f/%.0f", i ? ", " : "", status->goals[i]->name, status->goals[i]->value,
                 status->goals[i]->wanted);
    if (!status->n_goals)
        fprintf (out, "none");
}

static void put_header (FILE *out, const struct screen *s)
{
    char text[32];
    fprintf (out, "campaign %s", s->status->campaign);
    if (s->elapsed_s >= 0)
        fprintf (out, "   %s", cli_duration (s->elapsed_s, text, sizeof (text)));
    fprintf (out, "   goal: ");
    put_goals (out, s->status);
    fprintf (out, "%s\n\n", s->status->complete ? "   COMPLETE" : "");
}

static void put_continuum (FILE *out, const struct screen *s)
{
    Strata__StreamState sum, *q = figures_stream (s->status, "stage", s->campaign->patch.snapshots, &sum) ? &sum : NULL;
    fprintf (out, "continuum   ");
    for (unsigned i = 0; i < s->campaign->jobs_count; i++) {
        const char *name = s->campaign->jobs[i].name;
        if (s->campaign->jobs[i].start == JOB_ALWAYS)
            fprintf (out, "%s %s; ", name,
                     job_figure (s, name, "running") > 0   ? "runs"
                     : job_figure (s, name, "waiting") > 0 ? "waits"
                     : job_figure (s, name, "aside") > 0   ? "was set aside"
                                                           : "does not run");
    }
    if (q)
        fprintf (out, "snapshots: %llu waiting, %llu in work, %llu cut, %llu aside", (unsigned long long)q->waiting,
                 (unsigned long long)q->leased, (unsigned long long)q->done, (unsigned long long)q->aside);
    else
        fprintf (out, "no snapshot yet");
    age_of (out, s, "stage");
    fprintf (out, "\n");
}

static void put_candidates (FILE *out, const struct screen *s)
{
    Strata__StreamState sum, *stream = figures_stream (s->status, "stage", s->campaign->select.from, &sum) ? &sum : NULL;
    const Strata__ReplicaStatus *r = figures_replica (s->status, "select");
    static const char prefix[] = "candidates_waiting_";
    const char *comma = "";
    fprintf (out, "patches     %llu cut; candidates waiting:", (unsigned long long)(stream ? stream->next - 1 : 0));
    for (size_t i = 0; r && i < r->heartbeat->n_metrics; i++) {
        const Strata__Metric *m = r->heartbeat->metrics[i];
        if (strncmp (m->name, prefix, sizeof (prefix) - 1) == 0) {
            fprintf (out, "%s %s %.0f", comma, m->name + sizeof (prefix) - 1, m->value);
            comma = ",";
        }
    }
    fprintf (out, "; %.0f proposed, %.0f selected, %.0f discarded, %.0f invalid",
             figures_metric (s->status, "select", "candidates_proposed", 0),
             figures_metric (s->status, "select", "candidates_selected", 0),
             figures_metric (s->status, "select", "candidates_discarded", 0),
             figures_metric (s->status, "select", "candidates_invalid", 0));
    age_of (out, s, "select");
    fprintf (out, "\n");
}

/* left_s: NAN when nobody knows the allocation's end. */
static void put_end (FILE *out, double left_s)
{
    if (isnan (left_s))
        return;
    if (left_s <= 0)
        fprintf (out, "; the allocation has ended");
    else if (left_s < 600)
        fprintf (out, "; the allocation ends in %.0f s", left_s);
    else
        fprintf (out, "; the allocation ends in %.0f h %02.0f min", floor (left_s / 3600), floor (fmod (left_s, 3600) / 60));
}

static void put_jobs (FILE *out, const struct screen *s)
{
    for (unsigned i = 0; i < s->campaign->jobs_count; i++) {
        const struct campaign_job *job = &s->campaign->jobs[i];
        if (job->start == JOB_ALWAYS)
            continue;
        fprintf (out, "%-11s %.0f waiting, %.0f running, %.0f done, %.0f aside", job->name,
                 job_figure (s, job->name, "waiting"), job_figure (s, job->name, "running"),
                 job_figure (s, job->name, "succeeded"), job_figure (s, job->name, "aside"));
        if (job->start == JOB_SELECTION)
            fprintf (out, "; %.0f of %u kept ahead", figures_metric (s->status, "schedule", "buffer_ready", 0),
                     job->buffer);
        age_of (out, s, "schedule");
        fprintf (out, "\n");
    }
    fprintf (out, "cores       %.0f of %.0f busy, occupancy %.0f %%",
             figures_metric (s->status, "schedule", "cores_busy", 0),
             figures_metric (s->status, "schedule", "cores", 0),
             100 * figures_metric (s->status, "schedule", "occupancy", 0));
    put_end (out, figures_metric (s->status, "schedule", "allocation_left_s", NAN));
    age_of (out, s, "schedule");
    fprintf (out, "\n");
}

static void put_feedback (FILE *out, const struct screen *s)
{
    fprintf (out,
             "feedback    %.0f reports written, %.0f taken up; %.0f frames of %.0f simulations, %.0f since the last "
             "report",
             figures_metric (s->status, "feedback", "reports_written", 0),
             figures_metric (s->status, "feedback", "reports_taken", 0),
             figures_metric (s->status, "feedback", "frames", 0),
             figures_metric (s->status, "feedback", "simulations", 0),
             figures_metric (s->status, "feedback", "frames_since_report", 0));
    age_of (out, s, "feedback");
    fprintf (out, "\n");
}

/* Nothing when the stage has none. */
static void put_cache (FILE *out, const Strata__ReplicaStatus *r)
{
    const Strata__Metric *bytes = figures_of (r, "cache_bytes");
    char a[32], b[32];
    if (!bytes)
        return;
    static const char *const shown[][2] = { { "cache_objects", "objects" }, { "cache_pinned", "pinned" }, { "cache_hits", "hits" },
                                            { "cache_joined", "joined" }, { "cache_from_peers", "from peers" },
                                            { "cache_from_origin", "from the origin" }, { "cache_evicted", "evicted" },
                                            { "cache_bypassed", "bypassed" } };
    fprintf (out, " cache %s of %s (", cli_bytes (bytes->value, a, sizeof (a)), cli_bytes (bytes->limit, b, sizeof (b)));
    for (size_t i = 0; i < sizeof (shown) / sizeof (shown[0]); i++) {
        const Strata__Metric *m = figures_of (r, shown[i][0]);
        fprintf (out, "%s%.0f %s", i ? ", " : "", m ? m->value : 0, shown[i][1]);
    }
    fprintf (out, ");");
}

static void put_storage (FILE *out, const struct screen *s)
{
    char a[32], b[32];
    for (size_t i = 0; i < s->status->n_replicas; i++) {
        const Strata__ReplicaStatus *r = s->status->replicas[i];
        if (strcmp (r->heartbeat->service, "stage") != 0)
            continue;
        fprintf (out, "storage     ");
        for (size_t k = 0; k < r->heartbeat->n_metrics; k++) {
            const Strata__Metric *m = r->heartbeat->metrics[k];
            if (strcmp (m->name, "object_bytes") == 0)
                fprintf (out, "objects %s of %s;", cli_bytes (m->value, a, sizeof (a)),
                         cli_bytes (m->limit, b, sizeof (b)));
        }
        put_cache (out, r);
        for (size_t k = 0; k < r->n_streams; k++)
            if (r->streams[k]->limit_bytes)
                fprintf (out, " %s %s of %s;", r->streams[k]->stream,
                         cli_bytes ((double)r->streams[k]->bytes, a, sizeof (a)),
                         cli_bytes ((double)r->streams[k]->limit_bytes, b, sizeof (b)));
        if (r->streams_age_us >= 0)
            fprintf (out, "  [%s: %s ago]\n", r->heartbeat->replica,
                     cli_duration ((double)r->streams_age_us / 1e6 + s->answer_age_s, a, sizeof (a)));
        else
            fprintf (out, "  [%s: not known yet]\n", r->heartbeat->replica);
    }
}

static void put_replicas (FILE *out, const struct screen *s)
{
    char text[32], clean[512];
    fprintf (out, "services   ");
    for (size_t i = 0; i < s->status->n_services; i++) {
        const Strata__ServiceStatus *service = s->status->services[i];
        fprintf (out, " %s %u of %u%s", service->service, service->alive, service->wanted, service->active ? "" : " (NONE WORKS)");
        if (service->active && service->active < service->alive)
            fprintf (out, " (%u stands by)", service->alive - service->active);
        fprintf (out, ";");
    }
    fprintf (out, "\nreplicas   ");
    for (size_t i = 0; i < s->status->n_replicas; i++) {
        const Strata__ReplicaStatus *r = s->status->replicas[i];
        fprintf (out, " %s%s %s;", r->heartbeat->replica,
                 r->stopped              ? " stopped"
                 : !r->alive             ? " DEAD"
                 : !r->heartbeat->active ? " stands by"
                                         : "",
                 cli_duration ((double)r->age_us / 1e6 + s->answer_age_s, text, sizeof (text)));
    }
    fprintf (out, "\n");
    for (size_t i = 0; i < s->status->n_replicas; i++)
        if (s->status->replicas[i]->heartbeat->trouble[0])
            fprintf (out, "trouble     %s: %s\n", s->status->replicas[i]->heartbeat->replica,
                     cli_clean (s->status->replicas[i]->heartbeat->trouble, clean, sizeof (clean)));
}

static void put_running (FILE *out, const struct screen *s)
{
    char age[32], clean[128];
    for (size_t i = 0; s->jobs && i < s->jobs->n_jobs && i < 12; i++) {
        const Strata__Job *job = s->jobs->jobs[i];
        double seconds = (double)(s->status->now_us - job->started_us) / 1e6 + s->answer_age_s;
        fprintf (out, "%s %-18s %10s  attempt %u  %s\n", i ? "           " : "running    ", job->id,
                 cli_duration (seconds, age, sizeof (age)), job->attempt, cli_clean (job->simulation, clean, sizeof (clean)));
    }
    if (s->jobs && s->jobs->total > 12)
        fprintf (out, "            and %llu more (`strata jobs --state running`)\n",
                 (unsigned long long)s->jobs->total - 12);
}

/* ---- the whole ---- */

void screen_event (FILE *out, const Strata__Event *event)
{
    char clock[16], kind[64], subject[128], text[1024];
    cli_clean (event->kind, kind, sizeof (kind));
    cli_clean (event->subject, subject, sizeof (subject));
    cli_clean (event->text, text, sizeof (text));
    fprintf (out, "%s %-11s %s %s: %s\n", cli_clock (event->time_us, clock, sizeof (clock)), event->service, kind,
             subject, text);
}

void screen_text (FILE *out, const struct screen *s)
{
    if (!s->status) {
        fprintf (out, "campaign %s: no answer from status yet\n", s->campaign->name);
        return;
    }
    put_header (out, s);
    if (s->note)
        fprintf (out, "note        %s\n", s->note);
    put_continuum (out, s);
    put_candidates (out, s);
    put_jobs (out, s);
    put_feedback (out, s);
    put_storage (out, s);
    put_replicas (out, s);
    put_running (out, s);
}

void screen_line (FILE *out, const struct screen *s)
{
    char text[32], age[32];
    Strata__StreamState sum, *q = NULL;
    if (s->status && figures_stream (s->status, "stage", s->campaign->patch.snapshots, &sum))
        q = &sum;
    int64_t oldest_us = 0;
    size_t dead = 0;
    fprintf (out, "[%s] ", cli_duration (s->elapsed_s, text, sizeof (text)));
    if (!s->status) {
        fprintf (out, "no answer from status yet\n");
        return;
    }
    put_goals (out, s->status);
    fprintf (out, " | snapshots %llu cut, %llu waiting | %.0f candidates wait |", (unsigned long long)(q ? q->done : 0),
             (unsigned long long)(q ? q->waiting + q->leased : 0),
             figures_metric (s->status, "select", "candidates_waiting", 0));
    for (unsigned i = 0; i < s->campaign->jobs_count; i++) {
        const char *name = s->campaign->jobs[i].name;
        fprintf (out, " %s %.0f/%.0f/%.0f/%.0f", name, job_figure (s, name, "waiting"), job_figure (s, name, "running"),
                 job_figure (s, name, "succeeded"), job_figure (s, name, "aside"));
    }
    for (size_t i = 0; i < s->status->n_replicas; i++) {
        const Strata__ReplicaStatus *r = s->status->replicas[i];
        dead += !r->alive && !r->stopped;
        if (r->alive && r->age_us > oldest_us)
            oldest_us = r->age_us;
    }
    fprintf (out, " (waiting/running/done/aside) | %.0f frames, %.0f reports | %zu replicas dead | figures %s old\n",
             figures_metric (s->status, "feedback", "frames", 0),
             figures_metric (s->status, "feedback", "reports_written", 0), dead,
             cli_duration ((double)oldest_us / 1e6 + s->answer_age_s, age, sizeof (age)));
}

/* ---- the terminal ---- */

static void put_raw (const char *bytes, size_t size)
{
    while (size) {
        ssize_t n = write (STDOUT_FILENO, bytes, size);
        if (n <= 0)
            return;
        bytes += n;
        size -= (size_t)n;
    }
}

void screen_enter (void)
{
    static const char codes[] = "\033[?1049h\033[?25l\033[H\033[J";
    entered = 1;
    put_raw (codes, sizeof (codes) - 1);
}

void screen_leave (void)
{
    static const char codes[] = "\033[?25h\033[?1049l";
    if (entered)
        put_raw (codes, sizeof (codes) - 1);
    entered = 0;
}

/* How much of a line of `left` bytes goes on a row of `width`: up to a blank if there is one in the row's second half. */
static size_t row_of (const char *line, size_t left, size_t width)
{
    size_t part = width;
    if (left <= width)
        return left;
    while (part > width / 2 && line[part] != ' ')
        part--;
    return part > width / 2 ? part : width;
}

/* Writes text's lines to out (NULL: only counts), at most `rows` of them; returns how many. A long line goes on below,
 * indented: no figure is hidden. */
static size_t lay_out (FILE *out, const char *text, size_t rows, size_t width)
{
    size_t row = 0;
    for (const char *line = text, *end; row < rows && (end = strchr (line, '\n')); line = end + 1) {
        size_t left = (size_t)(end - line);
        for (bool first = true; row < rows && (left || first); first = false, row++) {
            size_t indent = first ? 0 : 12, part = row_of (line, left, width - indent);
            if (out)
                fprintf (out, "%*s%.*s\033[K\r\n", (int)indent, "", (int)part, line);
            line += part;
            left -= part;
            for (; left && *line == ' '; left--)
                line++;
        }
    }
    return row;
}

/* The newest events that fit into what the figures leave, the oldest of them first. */
static void lay_out_events (FILE *out, const struct screen *s, size_t rows, size_t width)
{
    char *texts[SCREEN_EVENTS] = { NULL };
    size_t first = s->events_count, used = 1;
    for (size_t i = s->events_count; i-- > 0 && first == i + 1;) {
        size_t size;
        FILE *text = open_memstream (&texts[i], &size);
        if (!text)
            break;
        screen_event (text, s->events[i]);
        if (fclose (text) != 0)
            break;
        used += lay_out (NULL, texts[i], rows + 1, width);
        if (used <= rows)
            first = i;
    }
    if (first < s->events_count)
        fprintf (out, "\033[K\r\n");
    for (size_t i = first; i < s->events_count; i++)
        lay_out (out, texts[i], rows, width);
    for (size_t i = 0; i < SCREEN_EVENTS; i++)
        free (texts[i]);
}

void screen_draw (const struct screen *screen)
{
    struct winsize window = { .ws_row = 24, .ws_col = 80 };
    char *text = NULL, *drawn = NULL;
    size_t size, drawn_size;
    if (ioctl (STDOUT_FILENO, TIOCGWINSZ, &window) < 0 || !window.ws_row || !window.ws_col)
        window = (struct winsize){ .ws_row = 24, .ws_col = 80 };
    FILE *out = open_memstream (&text, &size);
    FILE *frame = out ? open_memstream (&drawn, &drawn_size) : NULL;
    if (out)
        screen_text (out, screen);
    if (out && fclose (out) == 0 && frame) {
        /* The last row stays empty: a newline on it would scroll. */
        size_t rows = window.ws_row - 1u, width = window.ws_col > 40 ? window.ws_col - 1u : 40;
        fprintf (frame, "\033[H");
        size_t used = lay_out (frame, text, rows, width);
        lay_out_events (frame, screen, rows - used, width);
        fprintf (frame, "\033[J");
    }
    if (frame && fclose (frame) == 0)
        put_raw (drawn, drawn_size);
    free (text);
    free (drawn);
}
