/* campaign_cross.c - what one key of the campaign file says about another; see campaign_check.h
 *
 * Every check looks only at values that campaign_check.c found right by themselves: a number that is no number gets one
 * mistake, not two.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/campaign_check.h"
#include "core/campaign_run.h"
#include "core/campaign_schema.h"
#include "core/campaign_template.h"

#define ITEMS_MAX 64 /* of jobs and of select.queues, as in the table */
#define COUNTS_MAX 16777216 /* histogram cells of the feedback tensor: 128 MiB of int64 */

struct job {
    yaml_node_t *node;
    const char *name;       /* NULL: missing or wrong */
    int start;              /* enum campaign_job_source; -1: missing or wrong */
    const char *after;
    size_t after_line;
    int before;             /* index of the type named by after; -1: none */
};

struct cross {
    struct campaign_yaml *yaml;
    struct campaign_found *found;
    const char *dir;
    yaml_node_t *root;
    struct job jobs[ITEMS_MAX];
    size_t jobs_count;
};

static const char *text_at (struct cross *self, yaml_node_t *map, const char *key, size_t *line)
{
    return campaign_yaml_text (campaign_yaml_get (self->yaml, map, key, line));
}

/* False when the key is there with something that is no whole number; *value stays as it was when there is no key. */
static bool whole_at (struct cross *self, yaml_node_t *map, const char *key, uint64_t *value, size_t *line)
{
    yaml_node_t *node = campaign_yaml_get (self->yaml, map, key, line);
    if (!node)
        return true;
    const char *text = campaign_yaml_plain (node);
    return text && campaign_parse_whole (text, value);
}

static bool real_at (struct cross *self, yaml_node_t *map, const char *key, double *value, size_t *line)
{
    yaml_node_t *node = campaign_yaml_get (self->yaml, map, key, line);
    if (!node)
        return true;
    const char *text = campaign_yaml_plain (node);
    return text && campaign_parse_real (text, value);
}

static yaml_node_t *section (struct cross *self, const char *key)
{
    return campaign_yaml_get (self->yaml, self->root, key, NULL);
}

/* No two items of a list of maps have the same text under key. */
static void check_unique (struct cross *self, yaml_node_t *list, const char *list_path, const char *key)
{
    size_t n = campaign_yaml_items (list);
    for (size_t i = 1; i < n && n <= ITEMS_MAX; i++) {
        size_t line = 1;
        const char *text = text_at (self, campaign_yaml_item (self->yaml, list, i), key, &line);
        for (size_t j = 0; text && j < i; j++) {
            const char *other = text_at (self, campaign_yaml_item (self->yaml, list, j), key, NULL);
            if (!other || strcmp (other, text) != 0)
                continue;
            char path[128], quoted[72];
            snprintf (path, sizeof (path), "%s[%zu].%s", list_path, i, key);
            campaign_yaml_quote (text, strlen (text), quoted, sizeof (quoted));
            campaign_found_add (self->found, line, path,
                                "%s is taken by %s[%zu]; no two may be alike", quoted, list_path,
                                j);
            break;
        }
    }
}

static void check_unique_texts (struct cross *self, yaml_node_t *list, const char *path)
{
    size_t n = campaign_yaml_items (list);
    for (size_t i = 1; i < n && !self->found->full; i++) {
        const yaml_node_t *item = campaign_yaml_item (self->yaml, list, i);
        const char *text = campaign_yaml_text (item);
        for (size_t j = 0; text && j < i; j++) {
            const char *other = campaign_yaml_text (campaign_yaml_item (self->yaml, list, j));
            if (!other || strcmp (other, text) != 0)
                continue;
            char inner[128], quoted[72];
            snprintf (inner, sizeof (inner), "%s[%zu]", path, i);
            campaign_yaml_quote (text, strlen (text), quoted, sizeof (quoted));
            campaign_found_add (self->found, campaign_yaml_line (item), inner,
                                "%s is taken by %s[%zu]; no two may be alike", quoted, path, j);
            break;
        }
    }
}

/* Records of different kinds in one stream would be taken for each other. */
static void check_streams (struct cross *self)
{
    static const struct { const char *section, *key; } streams[] = {
        { "patch", "snapshots" }, { "patch", "candidates" }, { "feedback", "from" }, { "feedback", "uptake" },
        { "feedback", "patterns.from" },
    };
    for (size_t i = 1; i < sizeof (streams) / sizeof (streams[0]); i++) {
        size_t line = 1;
        yaml_node_t *map = section (self, streams[i].section);
        const char *key = streams[i].key;
        if (strncmp (key, "patterns.", 9) == 0) {
            map = campaign_yaml_get (self->yaml, map, "patterns", NULL);
            key += 9;
        }
        const char *text = text_at (self, map, key, &line);
        for (size_t j = 0; text && j < i; j++) {
            const char *other = text_at (self, section (self, streams[j].section), streams[j].key, NULL);
            if (!other || strcmp (other, text) != 0)
                continue;
            char path[64], quoted[72];
            snprintf (path, sizeof (path), "%s.%s", streams[i].section, streams[i].key);
            campaign_yaml_quote (text, strlen (text), quoted, sizeof (quoted));
            campaign_found_add (self->found, line, path,
                                "%s is the stream of %s.%s; give each a name of its own", quoted,
                                streams[j].section, streams[j].key);
            break;
        }
    }
}

static void check_patch (struct cross *self)
{
    yaml_node_t *patch = section (self, "patch");
    uint64_t points = 73, coarse = 37;
    size_t line = 1, other = 1;
    bool known = whole_at (self, patch, "points", &points, &line);
    known = whole_at (self, patch, "coarse", &coarse, &other) && known && points % 2 == 1 && points <= 999;
    if (known && coarse > points) {
        bool given = campaign_yaml_get (self->yaml, patch, "coarse", NULL);
        campaign_found_add (self->found, given ? other : line, "patch.coarse",
                            "must not be above patch.points, but is %" PRIu64 "%s while points is %" PRIu64, coarse,
                            given ? "" : " by default", points);
    }

    const char *model = text_at (self, campaign_yaml_get (self->yaml, patch, "encoder", NULL), "model", &line);
    if (!model || !*model || strlen (model) > 1024)
        return;
    char *path;
    if (asprintf (&path, "%s%s%s", model[0] == '/' ? "" : self->dir, model[0] == '/' ? "" : "/", model) < 0)
        return; /* the load that follows says so */
    struct stat st;
    if (stat (path, &st) != 0 || (S_ISREG (st.st_mode) && access (path, R_OK) != 0))
        campaign_found_add (self->found, line, "patch.encoder.model",
                            "%s: %s; the path is relative to the campaign file",
                            path, strerror (errno));
    else if (!S_ISREG (st.st_mode))
        campaign_found_add (self->found, line, "patch.encoder.model", "%s: not a file", path);
    free (path);
}

static void check_queues (struct cross *self)
{
    size_t line = 1;
    yaml_node_t *queues = campaign_yaml_get (self->yaml, section (self, "select"), "queues", &line);
    check_unique (self, queues, "select.queues", "name");
    check_unique (self, queues, "select.queues", "configuration");
    double sum = 0;
    size_t n = campaign_yaml_items (queues);
    if (n == 0 || n > ITEMS_MAX)
        return;
    for (size_t i = 0; i < n; i++) {
        double quota = NAN;
        if (!real_at (self, campaign_yaml_item (self->yaml, queues, i), "quota", &quota, NULL) || !(quota >= 0)
            || quota > 1)
            return;
        sum += quota;
    }
    if (fabs (sum - 1) > 1e-6)
        campaign_found_add (self->found, line, "select.queues", "the quotas must sum to 1, but sum to %.9g", sum);
}

/* Each division is one that can be made, and together they divide the coordinates of a point. */
static void check_bins (struct cross *self)
{
    yaml_node_t *select = section (self, "select"), *bins = campaign_yaml_get (self->yaml, select, "bins", NULL);
    size_t line = 1, n = campaign_yaml_items (bins);
    const char *sampler = text_at (self, select, "sampler", &line);
    if (sampler && strcmp (sampler, "binned") == 0 && n == 0)
        campaign_found_add (self->found, line, "select.bins",
                            "missing; sampler: binned needs an item for each coordinate of a point");
    uint64_t divided = 0, dimensions = 0, encoder = 9;
    for (size_t i = 0; i < n && n <= ITEMS_MAX; i++) {
        yaml_node_t *item = campaign_yaml_item (self->yaml, bins, i);
        const char *kind = text_at (self, item, "kind", &line);
        double low = 0, high = 0;
        uint64_t count = 0;
        char path[64];
        snprintf (path, sizeof (path), "select.bins[%zu]", i);
        if (!kind)
            return;
        divided += strcmp (kind, "spherical") == 0 ? 2 : 1;
        yaml_node_t *edges = campaign_yaml_get (self->yaml, item, "edges", NULL);
        bool known = real_at (self, item, "min", &low, NULL) && real_at (self, item, "max", &high, NULL)
            && whole_at (self, item, "bins", &count, NULL);
        if (strcmp (kind, "uniform") == 0 && known && (count == 0 || low >= high))
            campaign_found_add (self->found, line, path, "uniform needs bins of 1 or more and min below max");
        if (strcmp (kind, "edges") == 0 && campaign_yaml_items (edges) == 0)
            campaign_found_add (self->found, line, path, "kind: edges needs edges");
        double before = -INFINITY;
        for (size_t e = 0; e < campaign_yaml_items (edges); e++) {
            double edge;
            const char *text = campaign_yaml_plain (campaign_yaml_item (self->yaml, edges, e));
            if (!text || !campaign_parse_real (text, &edge))
                return;
            if (edge <= before)
                campaign_found_add (self->found, line, path, "edges must rise, but %g follows %g", edge, before);
            before = edge;
        }
    }
    if (n == 0 || !whole_at (self, select, "dimensions", &dimensions, NULL)
        || !whole_at (self, campaign_yaml_get (self->yaml, section (self, "patch"), "encoder", NULL), "dimensions",
                      &encoder, NULL))
        return;
    dimensions = dimensions ? dimensions : encoder;
    campaign_yaml_get (self->yaml, select, "bins", &line);
    if (divided != dimensions)
        campaign_found_add (self->found, line, "select.bins",
                            "divides %" PRIu64 " coordinates, but a point has %" PRIu64 "; a spherical item divides 2, "
                            "each other one 1", divided, dimensions);
}

static void check_feedback (struct cross *self)
{
    yaml_node_t *feedback = section (self, "feedback");
    yaml_node_t *states = campaign_yaml_get (self->yaml, feedback, "states", NULL);
    yaml_node_t *rows = campaign_yaml_get (self->yaml, feedback, "rows", NULL);
    check_unique_texts (self, states, "feedback.states");
    check_unique_texts (self, rows, "feedback.rows");

    double from = 0.1, to = 120;
    size_t from_line = 0, to_line = 0;
    bool known = real_at (self, feedback, "range_min_angstrom", &from, &from_line);
    known = real_at (self, feedback, "range_max_angstrom", &to, &to_line) && known;
    if (known && from >= to)
        campaign_found_add (self->found, to_line ? to_line : from_line, "feedback.range_max_angstrom",
                            "must be above range_min_angstrom, but is %g%s while range_min_angstrom is %g%s", to,
                            to_line ? "" : " by default", from, from_line ? "" : " by default");

    size_t line = 1;
    uint64_t shards = 1, replicas = 1;
    if (whole_at (self, feedback, "shards", &shards, &line) && whole_at (self, section (self, "replicas"), "feedback", &replicas, NULL)
        && shards > replicas && shards <= 64)
        campaign_found_add (self->found, line, "feedback.shards",
                            "each shard needs a replica: must be at most replicas.feedback, which is %" PRIu64 ", but is %" PRIu64,
                            replicas, shards);
    const char *weights = text_at (self, feedback, "weights", &line);
    if (weights && strcmp (weights, "true") == 0 && shards > 1 && shards <= 64)
        campaign_found_add (self->found, line, "feedback.weights",
                            "reports with weights are made from one shard: set it to false, or shards to 1, not %" PRIu64, shards);

    line = 1;
    uint64_t bins = 599, cells = (uint64_t)campaign_yaml_items (states) * campaign_yaml_items (rows);
    if (whole_at (self, feedback, "bins", &bins, &line) && bins > 0 && cells > COUNTS_MAX / bins)
        campaign_found_add (self->found, line, "feedback.bins",
                            "%zu states x %zu rows x %" PRIu64 " bins are more than %d counts; use fewer bins",
                            campaign_yaml_items (states), campaign_yaml_items (rows), bins, COUNTS_MAX);
}

/* What stands in the section is needed once it has a stream. */
static void check_patterns (struct cross *self)
{
    static const char *const lists[] = { "command", "proteins", "regions" };
    size_t line = 1;
    yaml_node_t *patterns = campaign_yaml_get (self->yaml, section (self, "feedback"), "patterns", &line);
    if (!patterns)
        return;
    for (size_t i = 0; i < sizeof (lists) / sizeof (lists[0]); i++) {
        char path[64];
        snprintf (path, sizeof (path), "feedback.patterns.%s", lists[i]);
        if (campaign_yaml_items (campaign_yaml_get (self->yaml, patterns, lists[i], NULL)) == 0)
            campaign_found_add (self->found, line, path, "missing; feedback of patterns needs it");
    }
    if (!campaign_yaml_get (self->yaml, patterns, "from", NULL))
        campaign_found_add (self->found, line, "feedback.patterns.from", "missing; feedback of patterns needs it");
    yaml_node_t *regions = campaign_yaml_get (self->yaml, patterns, "regions", NULL);
    check_unique (self, regions, "feedback.patterns.regions", "name");
    check_unique_texts (self, campaign_yaml_get (self->yaml, patterns, "proteins", NULL), "feedback.patterns.proteins");
    size_t n = campaign_yaml_items (regions);
    for (size_t i = 0; i < n && n <= ITEMS_MAX; i++) {
        uint64_t first = 0, last = 0;
        char path[64];
        yaml_node_t *region = campaign_yaml_item (self->yaml, regions, i);
        snprintf (path, sizeof (path), "feedback.patterns.regions[%zu].last", i);
        bool both = campaign_yaml_get (self->yaml, region, "first", NULL) && campaign_yaml_get (self->yaml, region, "last", NULL);
        if (both && whole_at (self, region, "first", &first, NULL) && whole_at (self, region, "last", &last, &line)
            && (last < first || last - first >= CAMPAIGN_REGION_MAX))
            campaign_found_add (self->found, line, path,
                                "must be from first, which is %" PRIu64 ", to %d above it, but is %" PRIu64, first,
                                CAMPAIGN_REGION_MAX - 1, last);
    }
}

/* ---- jobs ---- */

static int job_index (const struct cross *self, const char *name)
{
    for (size_t i = 0; i < self->jobs_count; i++)
        if (self->jobs[i].name && strcmp (self->jobs[i].name, name) == 0)
            return (int)i;
    return -1;
}

static void read_jobs (struct cross *self)
{
    static const char *const starts[] = { "always", "selection", "after" };
    yaml_node_t *list = section (self, "jobs");
    self->jobs_count = campaign_yaml_items (list);
    if (self->jobs_count > ITEMS_MAX)
        self->jobs_count = 0;
    for (size_t i = 0; i < self->jobs_count; i++) {
        struct job *job = &self->jobs[i];
        job->node = campaign_yaml_item (self->yaml, list, i);
        job->name = text_at (self, job->node, "name", NULL);
        job->start = -1;
        job->before = -1;
        const char *start = text_at (self, job->node, "start", NULL);
        for (int s = 0; start && s < 3; s++)
            if (strcmp (start, starts[s]) == 0)
                job->start = s;
        job->after = text_at (self, job->node, "after", &job->after_line);
    }
    for (size_t i = 0; i < self->jobs_count; i++)
        if (self->jobs[i].after && self->jobs[i].start == JOB_AFTER)
            self->jobs[i].before = job_index (self, self->jobs[i].after);
}

/* "must be a job type ..., not cgg; did you mean cg? Defined: a, b" */
static void refuse_job_name (struct cross *self, size_t line, const char *path, const char *name)
{
    const char *words[ITEMS_MAX + 1] = { NULL };
    char list[1024] = "", quoted[72];
    size_t n = 0, used = 0;
    for (size_t i = 0; i < self->jobs_count; i++) {
        if (!self->jobs[i].name)
            continue;
        words[n] = self->jobs[i].name;
        campaign_yaml_quote (words[n], strlen (words[n]), quoted, sizeof (quoted));
        if (used < sizeof (list))
            used += (size_t)snprintf (list + used, sizeof (list) - used, "%s%s", n ? ", " : "", quoted);
        n++;
    }
    const char *near = campaign_nearest (name, words);
    campaign_yaml_quote (name, strlen (name), quoted, sizeof (quoted));
    campaign_found_add (self->found, line, path, "there is no job type %s; %s%s%sdefined: %s", quoted,
                        near ? "did you mean " : "", near ? near : "", near ? "? " : "", n ? list : "none");
}

static void check_after (struct cross *self, size_t i)
{
    struct job *job = &self->jobs[i];
    char path[64];
    size_t line = campaign_yaml_line (job->node);
    yaml_node_t *after = campaign_yaml_get (self->yaml, job->node, "after", &line);
    snprintf (path, sizeof (path), "jobs[%zu].after", i);
    if (job->start == JOB_AFTER && !after) {
        campaign_yaml_get (self->yaml, job->node, "start", &line);
        campaign_found_add (self->found, line, path,
                            "missing; with start: after it names the job type before this one");
    } else if (job->start >= 0 && job->start != JOB_AFTER && after) {
        campaign_found_add (self->found, line, path, "goes with start: after only, but start is %s",
                            job->start == JOB_ALWAYS ? "always" : "selection");
    } else if (job->start == JOB_AFTER && job->after && job->before < 0) {
        refuse_job_name (self, line, path, job->after);
    }
    if (job->start == JOB_ALWAYS && campaign_yaml_get (self->yaml, job->node, "buffer", &line)) {
        snprintf (path, sizeof (path), "jobs[%zu].buffer", i);
        campaign_found_add (self->found, line, path, "has no meaning with start: always; leave it out");
    }
}

/* Each ring of `after` is told once, at its first job type. */
static void check_cycles (struct cross *self)
{
    for (size_t i = 0; i < self->jobs_count; i++) {
        size_t smallest = i, steps = 0;
        int at = self->jobs[i].before;
        while (at >= 0 && (size_t)at != i && steps++ < self->jobs_count) {
            if ((size_t)at < smallest)
                smallest = (size_t)at;
            at = self->jobs[at].before;
        }
        if (at < 0 || (size_t)at != i || smallest != i)
            continue;
        char path[64], ring[512], quoted[72];
        snprintf (path, sizeof (path), "jobs[%zu].after", i);
        size_t used = 0;
        int step = (int)i;
        do {
            campaign_yaml_quote (self->jobs[step].after, strlen (self->jobs[step].after), quoted, sizeof (quoted));
            if (used < sizeof (ring))
                used += (size_t)snprintf (ring + used, sizeof (ring) - used,
                                          "%s%s", used ? " after " : "after ", quoted);
            step = self->jobs[step].before;
        } while (step != (int)i);
        campaign_found_add (self->found, self->jobs[i].after_line, path,
                            "runs in a ring: %s %s; the first of a chain needs start: selection or start: always",
                            self->jobs[i].name, ring);
    }
}

/* What starts the chain that job i is in: an enum campaign_job_source, or -1 when a mistake hides it. */
static int chain_start (const struct cross *self, size_t i)
{
    size_t steps = 0;
    while (self->jobs[i].start == JOB_AFTER) {
        if (self->jobs[i].before < 0 || steps++ > self->jobs_count)
            return -1;
        i = (size_t)self->jobs[i].before;
    }
    return self->jobs[i].start;
}

static void check_variable (struct cross *self, size_t i, struct campaign_piece piece, size_t line, const char *path)
{
    char name[72];
    campaign_yaml_quote (piece.start, piece.length, name, sizeof (name));
    bool known = false;
    for (size_t v = 0; campaign_template_names[v]; v++)
        known = known || strcmp (name, campaign_template_names[v]) == 0;
    if (!known) {
        char list[256] = "";
        for (size_t v = 0, n = 0; campaign_template_names[v]; v++)
            n += (size_t)snprintf (list + n, sizeof (list) - n, "%s%s", v ? ", " : "", campaign_template_names[v]);
        const char *near = campaign_nearest (name, campaign_template_names);
        campaign_found_add (self->found, line, path,
                            "unknown variable {%s}; %s%s%sallowed: %s; write {{ and }} for literal braces", name,
                            near ? "did you mean {" : "", near ? near : "", near ? "}? " : "", list);
        return;
    }
    int chain = chain_start (self, i);
    if (strcmp (name, "candidate") == 0 && chain >= 0 && chain != JOB_SELECTION)
        campaign_found_add (self->found, line, path,
                            "{candidate} has a value only in a chain that begins with start: selection");
    if (strcmp (name, "input") == 0 && self->jobs[i].start >= 0 && self->jobs[i].start != JOB_AFTER)
        campaign_found_add (self->found, line, path, "{input} has a value only with start: after");
}

static void check_template (struct cross *self, size_t i, const char *text, size_t line, const char *path)
{
    while (text && *text && !self->found->full) {
        struct campaign_piece piece = campaign_template_next (&text);
        if (piece.kind == PIECE_VARIABLE)
            check_variable (self, i, piece, line, path);
        else if (piece.kind == PIECE_OPEN)
            campaign_found_add (self->found, line, path, "{ is never closed; write {{ for a literal brace");
        else if (piece.kind == PIECE_CLOSE)
            campaign_found_add (self->found, line, path, "} was never opened; write }} for a literal brace");
    }
}

static void check_command (struct cross *self, size_t i, const char *key)
{
    yaml_node_t *command = campaign_yaml_get (self->yaml, self->jobs[i].node, key, NULL);
    size_t n = campaign_yaml_items (command);
    for (size_t a = 0; a < n && n <= 256 && !self->found->full; a++) {
        const yaml_node_t *item = campaign_yaml_item (self->yaml, command, a);
        const char *text = campaign_yaml_text (item);
        char path[64];
        snprintf (path, sizeof (path), "jobs[%zu].%s[%zu]", i, key, a);
        size_t line = campaign_yaml_line (item);
        if (text && a == 0 && !*text)
            campaign_found_add (self->found, line, path, "is empty; the first item is the program to run");
        check_template (self, i, text, line, path);
    }
}

/* Below a map: key's number, or `standard` where there is none. False: it is there and wrong. */
static bool whole_or (struct cross *self, yaml_node_t *map, const char *key, uint64_t standard, uint64_t *value, size_t *line)
{
    *value = standard;
    return whole_at (self, map, key, value, line);
}

static void check_machine (struct cross *self)
{
    yaml_node_t *schedule = section (self, "schedule"), *machine = campaign_yaml_get (self->yaml, schedule, "machine", NULL);
    uint64_t sockets, cores, gpus, reserved;
    size_t line = 1, cores_line = 1, gpus_line = 1, reserved_line = 1;
    static const char *const others[] = { "cores", "gpus" };
    if (!machine || !whole_or (self, machine, "sockets", 1, &sockets, NULL) || !whole_or (self, machine, "cores", 1, &cores, &cores_line)
        || !whole_or (self, machine, "gpus", 0, &gpus, &gpus_line) || !whole_or (self, machine, "reserved", 0, &reserved, &reserved_line))
        return;
    if (sockets * cores > 1024)
        campaign_found_add (self->found, cores_line, "schedule.machine.cores", "must be at most 1024 on a node, but sockets * cores is %"
                            PRIu64, sockets * cores);
    if (sockets * gpus > 64)
        campaign_found_add (self->found, gpus_line, "schedule.machine.gpus", "must be at most 64 on a node, but sockets * gpus is %" PRIu64,
                            sockets * gpus);
    if (reserved >= cores)
        campaign_found_add (self->found, reserved_line, "schedule.machine.reserved", "must be less than cores, which is %" PRIu64, cores);
    for (size_t i = 0; i < sizeof (others) / sizeof (others[0]); i++)
        if (campaign_yaml_get (self->yaml, schedule, others[i], &line)) {
            char path[64];
            snprintf (path, sizeof (path), "schedule.%s", others[i]);
            campaign_found_add (self->found, line, path, "can't stand beside schedule.machine, which says it");
        }
}

/* What all parts of a job want together, or the job itself. */
static bool wanted_of (struct cross *self, size_t i, const char *key, uint64_t standard, uint64_t *wanted, size_t *line)
{
    yaml_node_t *parts = campaign_yaml_get (self->yaml, self->jobs[i].node, "parts", line);
    size_t n = parts ? campaign_yaml_items (parts) : 0;
    if (n == 0)
        return whole_or (self, self->jobs[i].node, key, standard, wanted, line);
    *wanted = 0;
    for (size_t j = 0; j < n; j++) {
        uint64_t one;
        if (!whole_or (self, campaign_yaml_item (self->yaml, parts, j), key, standard, &one, NULL))
            return false;
        *wanted += one;
    }
    return true;
}

/* How much of a kind there is for one node of a job; UINT64_MAX: the file does not say. *where: the key that says it. */
static uint64_t there_of (struct cross *self, const char *key, const char **where)
{
    yaml_node_t *schedule = section (self, "schedule"), *machine = campaign_yaml_get (self->yaml, schedule, "machine", NULL);
    const char *executor = text_at (self, schedule, "executor", NULL);
    uint64_t sockets, each, reserved, there;
    *where = "schedule";
    if (machine) {
        *where = "schedule.machine: a node's";
        if (!whole_or (self, machine, "sockets", 1, &sockets, NULL) || !whole_or (self, machine, key, 0, &each, NULL)
            || !whole_or (self, machine, "reserved", 0, &reserved, NULL))
            return UINT64_MAX;
        return sockets * (strcmp (key, "cores") == 0 && each > reserved ? each - reserved : each);
    }
    /* Other executors than `local` know themselves what there is. schedule.cores 0: all of the machine. */
    if ((executor && strcmp (executor, "local") != 0) || !whole_or (self, schedule, key, 0, &there, NULL)
        || (there == 0 && strcmp (key, "cores") == 0))
        return UINT64_MAX;
    return there;
}

static void refuse_amount (struct cross *self, size_t line, const char *path, const char *where, const char *key, uint64_t wanted, uint64_t there)
{
    campaign_found_add (self->found, line, path, strchr (where, ' ') ? "wants %" PRIu64 ", but %s %s are %" PRIu64
                                                                     : "wants %" PRIu64 ", but %s.%s is %" PRIu64,
                        wanted, where, key, there);
}

/* A job that can never get its resources would wait for ever. */
static void check_resources (struct cross *self, size_t i)
{
    static const struct { const char *key; uint64_t standard; } kinds[] = { { "cores", 1 }, { "gpus", 0 } };
    yaml_node_t *parts = campaign_yaml_get (self->yaml, self->jobs[i].node, "parts", NULL);
    char path[64];
    for (size_t k = 0; k < 2; k++) {
        uint64_t wanted = kinds[k].standard, there;
        size_t line = 1;
        const char *where;
        snprintf (path, sizeof (path), "jobs[%zu].%s", i, kinds[k].key);
        if (parts && campaign_yaml_items (parts) && campaign_yaml_get (self->yaml, self->jobs[i].node, kinds[k].key, &line))
            campaign_found_add (self->found, line, path, "can't stand beside `parts`, which say it");
        there = there_of (self, kinds[k].key, &where);
        if (!wanted_of (self, i, kinds[k].key, kinds[k].standard, &wanted, &line) || wanted <= there)
            continue;
        refuse_amount (self, line, path, where, kinds[k].key, wanted, there);
    }
    if (parts) {
        snprintf (path, sizeof (path), "jobs[%zu].parts", i);
        check_unique (self, parts, path, "name");
    }
}

/* A job type in the shape of Maestro or the JobTracker; false: it is in neither. */
static bool check_step (struct cross *self, size_t i)
{
    const struct job *job = &self->jobs[i];
    struct campaign_step step;
    struct campaign_step_place place = { self->yaml, self->dir, job->node, i, chain_start (self, i), job->start == JOB_AFTER ? job->after : NULL };
    if (job->node->type != YAML_MAPPING_NODE || !campaign_is_step (&place))
        return false;
    if (campaign_step_read (&place, &step, self->found) == 0) {
        const char *where;
        uint64_t cores = there_of (self, "cores", &where), gpus = there_of (self, "gpus", &where);
        check_template (self, i, step.command, step.line, step.path);
        check_template (self, i, step.restart, step.line, step.path);
        if (step.cores > cores)
            refuse_amount (self, step.line, step.path, where, "cores", step.cores, cores);
        if (step.gpus > gpus)
            refuse_amount (self, step.line, step.path, where, "gpus", step.gpus, gpus);
    }
    campaign_step_fini (&step);
    return true;
}

static void check_job (struct cross *self, size_t i)
{
    yaml_node_t *node = self->jobs[i].node;
    check_after (self, i);
    if (check_step (self, i))
        return;
    check_command (self, i, "command");
    check_command (self, i, "restart");
    check_resources (self, i);
    if (node->type != YAML_MAPPING_NODE || campaign_yaml_get (self->yaml, node, "command", NULL))
        return;
    char path[64];
    snprintf (path, sizeof (path), "jobs[%zu].command", i);
    campaign_found_add (self->found, campaign_yaml_line (node), path, "missing; a job type needs one of command, run, tracker");
}

/* Some intervals stand beside the one that is being recorded. */
static void check_replay (struct cross *self)
{
    yaml_node_t *replay = section (self, "replay");
    uint64_t keep = 128, checkpoint = 32;
    size_t line = 1, other = 1;
    bool known = whole_at (self, replay, "keep_mb", &keep, &line);
    known = whole_at (self, replay, "checkpoint_mb", &checkpoint, &other) && known;
    if (known && checkpoint > keep / 4)
        campaign_found_add (self->found, campaign_yaml_get (self->yaml, replay, "checkpoint_mb", NULL) ? other : line,
                            "replay.checkpoint_mb",
                            "must be at most a quarter of replay.keep_mb, but is %" PRIu64 " while that is %" PRIu64, checkpoint, keep);
}

static void check_goal (struct cross *self)
{
    yaml_node_t *goal = section (self, "goal");
    size_t line = 1, successes_line = 1;
    const char *job = text_at (self, goal, "job", &line);
    uint64_t successes = 0;
    bool known = whole_at (self, goal, "successes", &successes, &successes_line);
    if (job && job_index (self, job) < 0)
        refuse_job_name (self, line, "goal.job", job);
    if (known && successes > 0 && !campaign_yaml_get (self->yaml, goal, "job", NULL))
        campaign_found_add (self->found, successes_line, "goal.job",
                            "missing; it names the job type whose successes count");
    if (job && !campaign_yaml_get (self->yaml, goal, "successes", NULL))
        campaign_found_add (self->found, line, "goal.successes", "missing; it says how many successes are enough");
}

static void check_namespaces (struct cross *self)
{
    yaml_node_t *list = campaign_yaml_get (self->yaml, section (self, "stage"), "namespaces", NULL);
    size_t n = campaign_yaml_items (list);
    check_unique (self, list, "stage.namespaces", "name");
    for (size_t i = 0; i < n && n <= ITEMS_MAX; i++) {
        char path[64];
        snprintf (path, sizeof (path), "stage.namespaces[%zu].backends", i);
        check_unique_texts (self, campaign_yaml_get (self->yaml, campaign_yaml_item (self->yaml, list, i), "backends", NULL), path);
    }
}

void campaign_check_cross (struct campaign_yaml *yaml, const char *dir, struct campaign_found *found)
{
    struct cross self = { .yaml = yaml, .found = found, .dir = dir, .root = campaign_yaml_root (yaml) };
    check_namespaces (&self);
    check_patch (&self);
    check_queues (&self);
    check_bins (&self);
    check_feedback (&self);
    check_patterns (&self);
    check_streams (&self);
    read_jobs (&self);
    check_unique (&self, section (&self, "jobs"), "jobs", "name");
    campaign_check_env (yaml, found);
    for (size_t i = 0; i < self.jobs_count; i++)
        check_job (&self, i);
    check_machine (&self);
    check_cycles (&self);
    check_replay (&self);
    check_goal (&self);
}
