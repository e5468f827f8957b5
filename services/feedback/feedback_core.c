/* feedback_core.c - see feedback_core.h
 *
 * The shard is the truth; memory holds a copy of the sums and totals. What a page of frames changed - rows that they had counts
 * in (bins * 8 bytes each), states, simulations, totals - is written once a commit, in the batch with the marks of the frames
 * and the reading position.
 */
#include "feedback_core.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "data/histogram.h"
#include "feedback_impl.h"
#include "store/stream.h"

#define TENSOR_MAX ((size_t)1 << 30)
/* A name from outside as a sentence may show it: at most 64 printable characters. */
struct shown {
    char text[65];
};

static struct shown show (const char *name)
{
    struct shown out = { "" };
    for (size_t i = 0; i < sizeof (out.text) - 1 && name[i]; i++)
        out.text[i] = name[i] >= ' ' && name[i] <= '~' ? name[i] : '?';
    return out;
}

/* ---- lists of numbers as values ---- */

void feedback_numbers_put (struct shard *shard, const struct shard_key *key, const uint64_t *numbers, size_t count)
{
    uint64_t stored[8] = { 0 };
    uint64_t *out = count <= 8 ? stored : malloc (count * sizeof (*out));
    if (!out) {
        log_error ("out of memory");
        abort ();
    }
    for (size_t i = 0; i < count; i++)
        out[i] = htobe64 (numbers[i]);
    shard_put (shard, key->data, key->size, out, count * sizeof (*out));
    if (out != stored)
        free (out);
}

bool feedback_numbers_get (struct shard *shard, const struct shard_key *key, uint64_t *numbers, size_t count)
{
    void *value;
    size_t size;
    if (!shard_get (shard, key->data, key->size, &value, &size))
        return false;
    if (size != count * sizeof (*numbers))
        shard_damaged (shard, "a value of %zu bytes under %.*s should have %zu", size, (int)key->size,
                       (const char *)key->data, count * sizeof (*numbers));
    memcpy (numbers, value, size);
    free (value);
    for (size_t i = 0; i < count; i++)
        numbers[i] = be64toh (numbers[i]);
    return true;
}

/* ---- the tensor's rows ---- */

void feedback_row_key (struct shard_key *key, const char *prefix, size_t row)
{
    shard_key (key, "%s", prefix);
    shard_key_u64 (key, row);
}

void feedback_row_put (struct feedback *self, const char *prefix, size_t row, const void *cells)
{
    struct shard_key key;
    feedback_row_key (&key, prefix, row);
#if __BYTE_ORDER == __LITTLE_ENDIAN
    shard_put (self->shard, key.data, key.size, cells, self->config->bins * sizeof (int64_t));
#else
#error "rows are stored little-endian: swap them here and in feedback_rows_load on this machine"
#endif
}

void feedback_row_changed (struct feedback *self, size_t row)
{
    self->dirty[row] = true;
}

/* cells: int64 or float64, [cells]. */
int feedback_rows_load (struct feedback *self, const char *prefix, void *cells, struct strata_error *error)
{
    size_t rows = self->cells / self->config->bins, row_size = self->config->bins * sizeof (int64_t);
    size_t prefix_size = strlen (prefix);
    struct shard_iter it;
    int rc = 0;
    for (bool more = shard_iter_begin (self->shard, &it, prefix, prefix_size, NULL, 0); more;
         more = shard_iter_next (&it)) {
        uint64_t row = it.key_size == prefix_size + 8 ? shard_u64 (it.key + prefix_size) : UINT64_MAX;
        if (row >= rows || it.value_size != row_size) {
            rc = strata_fail (error,
                              "store %s: a row under %s has a wrong number or length; the store is damaged",
                              shard_dir (self->shard),
                              prefix);
            errno = EBADMSG;
            break;
        }
        memcpy ((char *)cells + row * row_size, it.value, row_size);
    }
    shard_iter_end (&it);
    return rc;
}

bool feedback_row_empty (const int64_t *cells, size_t bins)
{
    for (size_t i = 0; i < bins; i++)
        if (cells[i])
            return false;
    return true;
}

/* ---- totals, states and simulations ---- */

static void totals_put (struct feedback *self)
{
    struct shard_key key;
    shard_key (&key, TOTALS_KEY);
    feedback_numbers_put (self->shard, &key, self->totals, TOTALS);
}

void feedback_totals_save (struct feedback *self)
{
    if (!self->totals_dirty)
        totals_put (self); /* so that there is a batch, which the rest goes into before it is written */
    self->totals_dirty = true;
}

void feedback_state_save (struct feedback *self, size_t state)
{
    self->state_dirty[state] = true;
}

/* Its figures; who changes them says so. */
static struct simulation *simulation (struct feedback *self, const char *name)
{
    struct shard_key key;
    bool fresh;
    struct simulation *found = simulations_find (&self->simulations, name, &fresh);
    if (fresh) {
        shard_key (&key, "feedback/sim/%s", name);
        feedback_numbers_get (self->shard, &key, found->figures, SIM_FIELDS);
    }
    return found;
}

static void put_simulation (const struct simulation *simulation, void *arg)
{
    struct feedback *self = arg;
    struct shard_key key;
    shard_key (&key, "feedback/sim/%s", simulation->name);
    feedback_numbers_put (self->shard, &key, simulation->figures, SIM_FIELDS);
    feedback_weights_put (self, simulation);
}

void feedback_settle (struct feedback *self)
{
    struct shard_key key;
    for (size_t row = 0; row < self->cells / self->config->bins; row++)
        if (self->dirty[row])
            feedback_row_put (self, "feedback/sum/", row, self->sums + row * self->config->bins);
    memset (self->dirty, 0, self->cells / self->config->bins * sizeof (*self->dirty));
    for (size_t state = 0; state < self->config->states_count; state++)
        if (self->state_dirty[state]) {
            feedback_row_key (&key, "feedback/state/", state);
            feedback_numbers_put (self->shard, &key, (uint64_t[]){ self->state_frames[state], self->state_counts[state] }, 2);
        }
    memset (self->state_dirty, 0, self->config->states_count * sizeof (*self->state_dirty));
    simulations_flush (&self->simulations, put_simulation, self);
    if (self->totals_dirty)
        totals_put (self);
    self->totals_dirty = false;
}

static void before_commit (void *arg)
{
    feedback_settle (arg);
}

/* ---- the report's record: five numbers, then frames and counts of each state ---- */

void feedback_report_save (struct feedback *self)
{
    size_t states = self->config->states_count, count = REPORT_FIELDS + 2 * states;
    uint64_t *numbers = malloc (count * sizeof (*numbers));
    if (!numbers) {
        log_error ("out of memory");
        abort ();
    }
    numbers[REPORT_ROUND] = self->report.round;
    numbers[REPORT_STATE] = self->report_state;
    numbers[REPORT_CREATED] = (uint64_t)self->report.created_us;
    numbers[REPORT_FRAMES] = self->report.frames;
    numbers[REPORT_SIMULATIONS] = self->report.simulations;
    memcpy (numbers + REPORT_FIELDS, self->report_frames, states * sizeof (*numbers));
    memcpy (numbers + REPORT_FIELDS + states, self->report_counts, states * sizeof (*numbers));
    struct shard_key key;
    shard_key (&key, REPORT_KEY);
    feedback_numbers_put (self->shard, &key, numbers, count);
    free (numbers);
}

static int report_load (struct feedback *self, struct strata_error *error)
{
    size_t states = self->config->states_count, count = REPORT_FIELDS + 2 * states;
    uint64_t *numbers = calloc (count, sizeof (*numbers));
    if (!numbers)
        return strata_fail (error, "out of memory");
    struct shard_key key;
    shard_key (&key, REPORT_KEY);
    if (feedback_numbers_get (self->shard, &key, numbers, count)) {
        self->report.round = numbers[REPORT_ROUND];
        self->report_state = (enum report_state)numbers[REPORT_STATE];
        self->report.created_us = (int64_t)numbers[REPORT_CREATED];
        self->report.frames = numbers[REPORT_FRAMES];
        self->report.simulations = numbers[REPORT_SIMULATIONS];
        memcpy (self->report_frames, numbers + REPORT_FIELDS, states * sizeof (*numbers));
        memcpy (self->report_counts, numbers + REPORT_FIELDS + states, states * sizeof (*numbers));
    }
    free (numbers);
    self->report.sums = self->sums;
    if (self->report_state == REPORT_HELD) {
        self->held = calloc (self->cells, sizeof (*self->held));
        if (!self->held)
            return strata_fail (error, "out of memory for a report of %zu numbers", self->cells);
        self->report.sums = self->held;
        if (feedback_rows_load (self, "feedback/held/", self->held, error) < 0)
            return -1;
    }
    return feedback_weights_load (self, error);
}

/* ---- opening ---- */

/* The tensor's names and range as text; the caller frees it. */
static char *shape_text (const struct campaign_feedback *config)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream (&text, &size);
    if (!out)
        return NULL;
    fprintf (out, "bins %u range %.17g %.17g", config->bins, config->range_min_angstrom, config->range_max_angstrom);
    fprintf (out, "\nstates");
    for (unsigned i = 0; i < config->states_count; i++)
        fprintf (out, " %s", config->states[i]);
    fprintf (out, "\nrows");
    for (unsigned i = 0; i < config->rows_count; i++)
        fprintf (out, " %s", config->rows[i]);
    if (config->shards > 1)
        fprintf (out, "\nshards %u", config->shards);
    if (config->weights)
        fprintf (out, "\nweights");
    if (fclose (out) != 0) {
        free (text);
        return NULL;
    }
    return text;
}

/* Names of states become file names, names of rows a header line. */
static int names_check (const char *what, char *const *names, unsigned count, struct strata_error *error)
{
    for (unsigned i = 0; i < count; i++) {
        size_t n = strcspn (names[i], "/ ");
        for (const char *p = names[i]; *p; p++)
            if (*p <= ' ' || *p > '~')
                n = 0;
        if (n == 0 || n > 64 || names[i][n] != '\0')
            return strata_fail (error,
                                "feedback.%s: the name '%s' is not 1-64 printable characters without '/' and blanks",
                                what,
                                show (names[i]).text);
    }
    return 0;
}

static int shape_check (struct feedback *self, struct strata_error *error)
{
    char *text = shape_text (self->config);
    void *stored;
    size_t size;
    if (!text)
        return strata_fail (error, "out of memory");
    int rc = 0;
    if (!shard_get (self->shard, SHAPE_KEY, strlen (SHAPE_KEY), &stored, &size))
        shard_put (self->shard, SHAPE_KEY, strlen (SHAPE_KEY), text, strlen (text));
    else {
        if (size != strlen (text) || memcmp (stored, text, size) != 0)
            rc = strata_fail (
                error,
                "store %s holds sums of other states, rows, bins or range, or with other weights or shards, than the campaign "
                "file's feedback section; "
                "put that section back, or start a campaign in a new workspace",
                shard_dir (self->shard));
        free (stored);
    }
    free (text);
    return rc;
}

static int load (struct feedback *self, int64_t now_us, struct strata_error *error)
{
    struct shard_key key;
    if (names_check ("states", self->config->states, self->config->states_count, error) < 0
        || names_check ("rows", self->config->rows, self->config->rows_count, error) < 0)
        return -1;
    if (shape_check (self, error) < 0 || feedback_rows_load (self, "feedback/sum/", self->sums, error) < 0)
        return -1;
    for (size_t i = 0; i < self->config->states_count; i++) {
        uint64_t numbers[2] = { 0, 0 };
        feedback_row_key (&key, "feedback/state/", i);
        feedback_numbers_get (self->shard, &key, numbers, 2);
        self->state_frames[i] = numbers[0];
        self->state_counts[i] = numbers[1];
    }
    shard_key (&key, TOTALS_KEY);
    if (!feedback_numbers_get (self->shard, &key, self->totals, TOTALS)) {
        self->totals[TOTAL_REFERENCE_US] = (uint64_t)now_us;
        feedback_totals_save (self);
    }
    return report_load (self, error);
}

struct feedback *feedback_new (struct shard *shard, const struct campaign_feedback *config, unsigned number, int64_t now_us,
                               struct strata_error *error)
{
    size_t rows, cells, bytes;
    if (config->weights && config->shards > 1) {
        strata_fail (error, "feedback.weights is true, and feedback.shards is %u: reports with weights are made from one shard; "
                     "set weights to false or shards to 1", config->shards);
        return NULL;
    }
    if (!config->states_count || !config->rows_count || !config->bins
        || __builtin_mul_overflow ((size_t)config->states_count, (size_t)config->rows_count, &rows)
        || __builtin_mul_overflow (rows, (size_t)config->bins, &cells)
        || __builtin_mul_overflow (cells, sizeof (int64_t), &bytes) || bytes > TENSOR_MAX) {
        strata_fail (error,
                     "feedback: %u states x %u rows x %u bins must be between 1 number and 1 GiB",
                     config->states_count,
                     config->rows_count,
                     config->bins);
        return NULL;
    }
    struct feedback *self = calloc (1, sizeof (*self));
    if (!self) {
        strata_fail (error, "out of memory");
        return NULL;
    }
    self->shard = shard;
    self->config = config;
    self->number = number;
    self->block = (size_t)config->rows_count * config->bins;
    self->cells = cells;
    self->sums = calloc (cells, sizeof (*self->sums));
    self->state_frames = calloc (config->states_count, sizeof (uint64_t));
    self->state_counts = calloc (config->states_count, sizeof (uint64_t));
    self->report_frames = calloc (config->states_count, sizeof (uint64_t));
    self->report_counts = calloc (config->states_count, sizeof (uint64_t));
    self->report.shape = config;
    self->report.state_frames = self->report_frames;
    self->report.state_counts = self->report_counts;
    self->dirty = calloc (rows, sizeof (*self->dirty));
    self->state_dirty = calloc (config->states_count, sizeof (*self->state_dirty));
    bool memory = self->sums && self->dirty && self->state_dirty && self->state_frames && self->state_counts && self->report_frames && self->report_counts;
    if (!memory)
        strata_fail (error, "out of memory for sums of %zu numbers", cells);
    if (!memory || feedback_weights_init (self, error) < 0 || load (self, now_us, error) < 0)
        feedback_free (&self);
    else
        *shard_part (shard, SHARD_CORE) = (struct shard_part){ .data = self, .before_commit = before_commit };
    return self;
}

void feedback_free (struct feedback **self_p)
{
    struct feedback *self = *self_p;
    if (!self)
        return;
    struct shard_part *part = shard_part (self->shard, SHARD_CORE);
    if (part->data == self) {
        feedback_settle (self); /* a last commit may come */
        *part = (struct shard_part){ .data = NULL };
    }
    feedback_weights_fini (self);
    free (self->sums);
    free (self->held);
    free (self->dirty);
    free (self->state_dirty);
    free (self->state_frames);
    free (self->state_counts);
    free (self->report_frames);
    free (self->report_counts);
    free (self);
    *self_p = NULL;
}

/* ---- frames ---- */

/* As the stage shares them out by their producers' names. */
unsigned feedback_shard_of (const struct campaign_feedback *config, const char *simulation)
{
    return config->shards > 1 ? stream_part (simulation) % config->shards : 0;
}

/* The state's index, or -1 with the sentence. */
static int frame_check (const struct feedback *self, const Strata__Histogram *frame, struct strata_error *why)
{
    const struct campaign_feedback *config = self->config;
    int state = -1;
    for (unsigned i = 0; i < config->states_count && state < 0; i++)
        if (strcmp (config->states[i], frame->state) == 0)
            state = (int)i;
    if (state < 0)
        return strata_fail (why,
                            "frame %llu of %s has state '%s', which feedback.states does not list",
                            (unsigned long long)frame->frame,
                            frame->simulation,
                            show (frame->state).text);
    struct strata_error what;
    int64_t total;
    if (frame->n_earlier > FEEDBACK_EARLIER_MAX)
        return strata_fail (why, "a sum up to frame %llu of %s is of %zu frames; at most %d are taken", (unsigned long long)frame->frame,
                            frame->simulation, frame->n_earlier + 1, FEEDBACK_EARLIER_MAX + 1);
    for (size_t i = 0; i < frame->n_earlier; i++)
        if (frame->earlier[i] >= (i + 1 < frame->n_earlier ? frame->earlier[i + 1] : frame->frame))
            return strata_fail (why, "the frames of a sum up to frame %llu of %s do not rise", (unsigned long long)frame->frame,
                                frame->simulation);
    /* A state's total bounds each of its cells. */
    if (histogram_check (frame, config->rows, config->rows_count, config->bins, (int64_t)self->state_counts[state], &total, &what) < 0)
        return strata_fail (why, "frame %llu of %s has %.300s", (unsigned long long)frame->frame, frame->simulation, what.text);
    return state;
}

/* Adds a frame that was checked. */
static void frame_apply (struct feedback *self, struct simulation *sim, const Strata__Histogram *frame, size_t state)
{
    size_t bins = self->config->bins, rows = self->config->rows_count;
    for (size_t row = 0; row < rows; row++) {
        uint64_t added = histogram_add (frame, row * bins, bins, self->sums + state * self->block + row * bins);
        self->state_counts[state] += added;
        if (!added)
            continue;
        feedback_row_changed (self, state * rows + row);
        feedback_weights_add (self, sim, frame, state, row);
    }
    self->state_frames[state] += frame->n_earlier + 1;
    self->totals[TOTAL_FRAMES] += frame->n_earlier + 1;
    feedback_state_save (self, state);
}

static enum feedback_outcome aside (struct feedback *self, const char *name)
{
    struct simulation *sim = simulation (self, name);
    sim->figures[SIM_ASIDE]++;
    sim->changed = true;
    self->totals[TOTAL_ASIDE]++;
    feedback_totals_save (self);
    return sim->figures[SIM_ASIDE] <= FEEDBACK_ASIDE_TOLD ? FEEDBACK_ASIDE : FEEDBACK_ASIDE_QUIET;
}

enum feedback_outcome feedback_add_broken (struct feedback *self, const char *from, struct strata_error *why)
{
    if (self->report_state == REPORT_DECIDED)
        return FEEDBACK_LATER;
    strata_fail (why, "a record of stream %s of %s is no histogram", self->config->from, from);
    return aside (self, from);
}

/* The i-th frame of a sum; the last one is the record's own. */
static uint64_t frame_at (const Strata__Histogram *sum, size_t i)
{
    return i < sum->n_earlier ? sum->earlier[i] : sum->frame;
}

/* Where the marks of a simulation stand, without a frame's number. */
static void marks_key (struct shard_key *key, const char *name)
{
    shard_key (key, "feedback/done/%s/", name);
}

static size_t frames_marked (struct feedback *self, const Strata__Histogram *sum, const struct simulation *sim)
{
    struct shard_key mark;
    size_t marked = 0;
    marks_key (&mark, sum->simulation);
    size_t prefix = mark.size;
    for (size_t i = 0; i <= sum->n_earlier; i++) {
        uint64_t frame = frame_at (sum, i);
        if (frame > sim->figures[SIM_LAST]) /* no mark stands above the last frame; frame 0 may be it */
            continue;
        mark.size = prefix;
        shard_key_u64 (&mark, frame);
        marked += shard_has (self->shard, mark.data, mark.size);
    }
    return marked;
}

static void mark_frames (struct feedback *self, const Strata__Histogram *sum, struct simulation *sim, size_t state)
{
    struct shard_key mark;
    marks_key (&mark, sum->simulation);
    size_t prefix = mark.size;
    for (size_t i = 0; i <= sum->n_earlier; i++) {
        mark.size = prefix;
        shard_key_u64 (&mark, frame_at (sum, i));
        feedback_numbers_put (self->shard, &mark, (uint64_t[]){ (uint64_t)state, self->report.round + 1 }, 2);
    }
    if (sim->figures[SIM_FRAMES] == 0)
        self->totals[TOTAL_SIMULATIONS]++;
    sim->figures[SIM_FRAMES] += sum->n_earlier + 1;
    if (sum->frame > sim->figures[SIM_LAST])
        sim->figures[SIM_LAST] = sum->frame;
}

enum feedback_outcome feedback_add (struct feedback *self, const Strata__Histogram *frame, struct strata_error *why)
{
    if (self->report_state == REPORT_DECIDED)
        return FEEDBACK_LATER;
    if (!producer_name_valid (frame->simulation)) {
        strata_fail (why,
                     "frame %llu of state %s has '%s' for its simulation's name, which is no valid name",
                     (unsigned long long)frame->frame,
                     show (frame->state).text,
                     show (frame->simulation).text);
        return aside (self, "(no valid name)");
    }
    if (feedback_shard_of (self->config, frame->simulation) != self->number) {
        strata_fail (why,
                     "frame %llu of %s came under another producer's name, which belongs to another shard of feedback",
                     (unsigned long long)frame->frame,
                     frame->simulation);
        return aside (self, frame->simulation);
    }
    struct simulation *sim = simulation (self, frame->simulation);
    sim->changed = true;
    size_t frames = frame->n_earlier + 1, marked = frame->n_earlier <= FEEDBACK_EARLIER_MAX ? frames_marked (self, frame, sim) : 0;
    if (marked == frames) {
        strata_fail (
            why, "frame %llu of %s is in the sums already", (unsigned long long)frame->frame, frame->simulation);
        sim->figures[SIM_REPEATS] += frames;
        self->totals[TOTAL_REPEATS] += frames;
        feedback_totals_save (self);
        return FEEDBACK_REPEAT;
    }
    int state = frame_check (self, frame, why);
    if (state >= 0 && marked)
        state = strata_fail (why, "%zu of the %zu frames of a sum up to frame %llu of %s are in the sums already", marked, frames,
                             (unsigned long long)frame->frame, frame->simulation);
    if (state < 0)
        return aside (self, frame->simulation);
    frame_apply (self, sim, frame, (size_t)state);
    mark_frames (self, frame, sim, (size_t)state);
    feedback_totals_save (self);
    return FEEDBACK_ADDED;
}

/* ---- uptakes ---- */

enum feedback_outcome feedback_take_broken (struct feedback *self, const char *from, struct strata_error *why)
{
    strata_fail (why, "a record of stream %s of %s is no uptake", self->config->uptake, from);
    self->totals[TOTAL_UPTAKES_ASIDE]++;
    feedback_totals_save (self);
    return FEEDBACK_ASIDE;
}

enum feedback_outcome feedback_take (struct feedback *self, const Strata__Uptake *uptake, struct strata_error *why)
{
    struct shard_key key;
    if (uptake->round == 0 || uptake->round > self->report.round) {
        strata_fail (why,
                     "%s says that it took report %llu; the newest is %llu",
                     show (uptake->model).text,
                     (unsigned long long)uptake->round,
                     (unsigned long long)self->report.round);
        self->totals[TOTAL_UPTAKES_ASIDE]++;
        feedback_totals_save (self);
        return FEEDBACK_ASIDE;
    }
    feedback_row_key (&key, "feedback/taken/", uptake->round);
    if (shard_has (self->shard, key.data, key.size))
        return FEEDBACK_REPEAT;
    feedback_numbers_put (self->shard, &key, &uptake->step, 1);
    self->totals[TOTAL_TAKEN]++;
    feedback_totals_save (self);
    return FEEDBACK_ADDED;
}

/* ---- reports ---- */

static uint64_t frames_since (const struct feedback *self)
{
    return self->totals[TOTAL_FRAMES] - self->report.frames;
}

bool feedback_due (struct feedback *self, int64_t now_us)
{
    int64_t reference = (int64_t)self->totals[TOTAL_REFERENCE_US];
    if (now_us < reference) { /* the clock was set back: wait no longer than `seconds` from now */
        self->totals[TOTAL_REFERENCE_US] = (uint64_t)now_us;
        reference = now_us;
    }
    if (self->number || self->report_state != REPORT_WRITTEN || frames_since (self) == 0)
        return false;
    return frames_since (self) >= self->config->frames
           || now_us - reference >= (int64_t)self->config->seconds * 1000000;
}

void feedback_decide (struct feedback *self, int64_t now_us)
{
    feedback_decide_weighted (self, NULL, now_us);
}

void feedback_decide_weighted (struct feedback *self, const Strata__ReportWeights *weights, int64_t now_us)
{
    size_t size = self->config->states_count * sizeof (uint64_t);
    if (self->report_state != REPORT_WRITTEN)
        return;
    self->report.round++;
    self->report.frames = self->totals[TOTAL_FRAMES];
    self->report.simulations = self->totals[TOTAL_SIMULATIONS];
    self->report.created_us = now_us;
    self->report.sums = self->sums;
    memcpy (self->report_frames, self->state_frames, size);
    memcpy (self->report_counts, self->state_counts, size);
    self->report_state = REPORT_DECIDED;
    self->totals[TOTAL_REFERENCE_US] = (uint64_t)now_us;
    feedback_totals_save (self);
    feedback_report_save (self);
    feedback_weights_begin (self, weights);
}

const struct feedback_report *feedback_pending (const struct feedback *self)
{
    return self->report_state == REPORT_WRITTEN ? NULL : &self->report;
}

bool feedback_held (const struct feedback *self)
{
    return self->report_state == REPORT_HELD;
}

void feedback_hold (struct feedback *self)
{
    size_t bins = self->config->bins;
    if (self->report_state != REPORT_DECIDED)
        return;
    int64_t *held = malloc (self->cells * sizeof (*held));
    if (!held)
        return; /* stays decided: frames wait a little longer */
    memcpy (held, self->sums, self->cells * sizeof (*held));
    for (size_t row = 0; row < self->cells / bins; row++)
        if (!feedback_row_empty (held + row * bins, bins))
            feedback_row_put (self, "feedback/held/", row, held + row * bins);
    feedback_weights_hold (self);
    self->held = held;
    self->report.sums = held;
    self->report_state = REPORT_HELD;
    feedback_report_save (self);
}

void feedback_written (struct feedback *self)
{
    size_t bins = self->config->bins;
    if (self->report_state == REPORT_WRITTEN)
        return;
    for (size_t row = 0; self->held && row < self->cells / bins; row++)
        if (!feedback_row_empty (self->held + row * bins, bins)) {
            struct shard_key key;
            feedback_row_key (&key, "feedback/held/", row);
            shard_delete (self->shard, key.data, key.size);
            feedback_row_key (&key, HELD_WEIGHTED, row);
            if (self->config->weights)
                shard_delete (self->shard, key.data, key.size);
        }
    free (self->held);
    self->held = NULL;
    self->report.sums = self->sums;
    self->report_state = REPORT_WRITTEN;
    feedback_report_save (self);
}

void feedback_figures (const struct feedback *self, struct feedback_figures *figures)
{
    *figures = (struct feedback_figures){
        .frames = self->totals[TOTAL_FRAMES],
        .simulations = self->totals[TOTAL_SIMULATIONS],
        .repeats = self->totals[TOTAL_REPEATS],
        .refused = self->totals[TOTAL_ASIDE] + self->totals[TOTAL_UPTAKES_ASIDE],
        .reports_written = self->report.round - (self->report_state == REPORT_WRITTEN ? 0 : 1),
        .reports_taken = self->totals[TOTAL_TAKEN],
        .frames_since_report = frames_since (self),
    };
}
