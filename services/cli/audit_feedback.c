/* audit_feedback.c - the sums, recomputed from the records, and the rounds on disk. Keys:
 * services/feedback/feedback_core.h.
 *
 * What feedback does with a frame is done again here, from the record alone: the same frame twice counts once, a frame
 * that does not fit the campaign counts not at all. What must come out is the same integer in every bin.
 *
 * With several shards (feedback.shards) the sums are those of shard 0, what the others have not handed over yet, and the
 * partials that shard 0 has not merged yet; the first round of a frame of another shard is that of its partial. */
#include <endian.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit_impl.h"
#include "data/histogram.h"
#include "feedback.pb-c.h"
#include "store/stream.h"

#define ROUNDS_KEPT 10
#define SUM_EARLIER_MAX 4096 /* FEEDBACK_EARLIER_MAX of services/feedback */
#define CELLS_MAX ((size_t)1 << 27)

struct sums {
    struct audit_world *world;
    const struct campaign_feedback *shape;
    size_t block, cells;
    int64_t *counted, *stored; /* [states][rows][bins] */
    int64_t *totals;           /* [states]: the sum of counted */
    struct audit_table frames; /* accepted: struct frame */
    uint64_t cursors[AUDIT_SHARDS_MAX]; /* of the stage that is read */
    uint64_t aside, repeats, marks;
    uint64_t merged[AUDIT_SHARDS_MAX];  /* partials of that shard in the sums of shard 0 */
    bool trimmed;                       /* partials that are not merged are gone */
    uint64_t *marks_of_round; /* [rounds + 2] frames whose first round is this one */
    uint64_t rounds;
};

struct frame {
    char *id; /* "<simulation>/<frame>" */
};

static uint64_t be64_at (const void *value, size_t size, size_t i)
{
    return (i + 1) * 8 <= size ? shard_u64 ((const uint8_t *)value + i * 8) : 0;
}

static uint64_t number_at (struct shard *shard, const char *key, size_t i)
{
    void *value;
    size_t size;
    if (!shard_get (shard, key, strlen (key), &value, &size))
        return 0;
    uint64_t n = be64_at (value, size, i);
    free (value);
    return n;
}

/* ---- the sums ---- */

static int state_of (const struct campaign_feedback *shape, const Strata__Histogram *frame)
{
    for (unsigned i = 0; i < shape->states_count; i++)
        if (strcmp (shape->states[i], frame->state) == 0)
            return (int)i;
    return -1;
}

static bool add_frame (struct sums *self, const Strata__Histogram *frame)
{
    int state = state_of (self->shape, frame);
    struct strata_error why;
    int64_t total;
    for (size_t i = 0; i < frame->n_earlier; i++) /* rising, and not too many */
        if (i >= SUM_EARLIER_MAX || frame->earlier[i] >= (i + 1 < frame->n_earlier ? frame->earlier[i + 1] : frame->frame))
            return false;
    if (state < 0
        || histogram_check (frame, self->shape->rows, self->shape->rows_count, self->shape->bins, self->totals[state], &total, &why) < 0)
        return false;
    self->totals[state] += total;
    histogram_add (frame, 0, self->block, self->counted + (size_t)state * self->block);
    return true;
}

static unsigned shards_of (const struct sums *self)
{
    unsigned count = self->shape->shards ? self->shape->shards : 1;
    return count < AUDIT_SHARDS_MAX ? count : AUDIT_SHARDS_MAX;
}

static struct shard *shard_at (const struct sums *self, unsigned i)
{
    return i ? self->world->collectors[i] : self->world->feedback;
}

/* reader: the shard of feedback that its producer's records go to. */
static void take_record (struct sums *self, uint64_t sequence, unsigned reader, const void *record, size_t size)
{
    struct shard_key mark;
    struct shard *shard = shard_at (self, reader);
    if (sequence >= self->cursors[reader] || !shard)
        return;
    Strata__Histogram *frame = strata__histogram__unpack (NULL, size, record);
    if (!frame || !producer_name_valid (frame->simulation)
        || (shards_of (self) > 1 && stream_part (frame->simulation) % shards_of (self) != reader)) {
        self->aside++;
        if (frame)
            strata__histogram__free_unpacked (frame, NULL);
        return;
    }
    bool fits = add_frame (self, frame);
    if (!fits)
        self->aside++;
    for (size_t i = 0; fits && i <= frame->n_earlier; i++) {
        uint64_t number = i < frame->n_earlier ? frame->earlier[i] : frame->frame;
        char id[512];
        struct frame *row = audit_add (&self->frames, sizeof (*row));
        snprintf (id, sizeof (id), "%.400s/%" PRIu64, frame->simulation, number);
        row->id = audit_copy (id);
        shard_key (&mark, "feedback/done/%s/", frame->simulation);
        shard_key_u64 (&mark, number);
        if (!shard_has (shard, mark.data, mark.size))
            audit_violation (self->world->audit, AUDIT_FRAMES,
                             "frame %" PRIu64 " of %s, record %" PRIu64 " of stream %s, was read by feedback and is in "
                             "no report's sums",
                             number, frame->simulation, sequence, self->shape->from);
    }
    strata__histogram__free_unpacked (frame, NULL);
}

static int take_chunk (const struct stream_chunk *chunk, size_t skip, size_t count, void *arg)
{
    struct sums *self = arg;
    uint8_t *bytes = malloc (stream_chunk_bytes (chunk, skip, count) + 1);
    if (!bytes) {
        fprintf (stderr, "strata: out of memory\n");
        exit (1);
    }
    stream_chunk_copy (chunk, skip, count, bytes);
    for (size_t i = 0, at = 0; i < count; at += chunk->sizes[skip + i], i++)
        take_record (self, chunk->first + skip + i, chunk->part % shards_of (self), bytes + at, chunk->sizes[skip + i]);
    free (bytes);
    return 0;
}

/* The same frame from two stages: feedback took the first it saw, and both are the same frame. */
static void drop_repeats (struct sums *self)
{
    audit_sort (&self->frames);
    const struct frame *last = NULL;
    AUDIT_EACH (struct frame, f, self->frames) {
        self->repeats += last && strcmp (last->id, f->id) == 0;
        last = f;
    }
}

static uint64_t le64_at (const uint8_t *value, size_t i)
{
    uint64_t little;
    memcpy (&little, value + i * 8, 8);
    return le64toh (little);
}

/* Adds the rows of one shard's sums to `into`. */
static void load_rows (struct sums *self, struct shard *shard, int64_t *into)
{
    struct shard_iter it;
    static const char prefix[] = "feedback/sum/";
    size_t n = sizeof (prefix) - 1, bins = self->shape->bins;
    for (bool more = shard_iter_begin (shard, &it, prefix, n, NULL, 0); more; more = shard_iter_next (&it)) {
        uint64_t row = it.key_size == n + 8 ? shard_u64 (it.key + n) : UINT64_MAX;
        if (row >= self->cells / bins || it.value_size != bins * 8) {
            audit_violation (self->world->audit, AUDIT_FRAMES,
                             "a row of the sums (number %" PRIu64 ", %zu bytes) does not fit the campaign", row,
                             it.value_size);
            continue;
        }
        for (size_t i = 0; i < bins; i++)
            into[row * bins + i] += (int64_t)le64_at (it.value, i);
    }
    shard_iter_end (&it);
}

/* The first report with partial `number` of a shard in it; 0: none yet. */
static uint64_t round_of_partial (const struct sums *self, unsigned i, uint64_t number, uint64_t *frames)
{
    struct shard_key key;
    void *value = NULL;
    size_t size = 0;
    shard_key (&key, "feedback/partial/");
    shard_key_u64 (&key, i);
    shard_key_u64 (&key, number);
    if (!shard_get (self->world->feedback, key.data, key.size, &value, &size))
        return 0;
    uint64_t round = be64_at (value, size, 0);
    if (frames)
        *frames = be64_at (value, size, 1);
    free (value);
    return round;
}

/* Returns how many frames of the shard are in the sums of shard 0. */
static uint64_t load_marks (struct sums *self, unsigned i)
{
    struct shard_iter it;
    static const char prefix[] = "feedback/done/";
    uint64_t in_reports = 0;
    for (bool more = shard_iter_begin (shard_at (self, i), &it, prefix, sizeof (prefix) - 1, NULL, 0); more;
         more = shard_iter_next (&it)) {
        uint64_t round = be64_at (it.value, it.value_size, 1);
        if (i && round <= self->merged[i]) {
            in_reports++;
            round = round_of_partial (self, i, round, NULL);
        } else if (i)
            round = self->rounds + 1;
        self->marks++;
        self->marks_of_round[round <= self->rounds ? round : self->rounds + 1]++;
    }
    shard_iter_end (&it);
    return in_reports;
}

struct partials {
    struct sums *sums;
    unsigned shard;
    uint64_t seen;
};

/* One that shard 0 has not merged yet. */
static int take_partial (uint64_t sequence, int64_t time_us, const void *record, size_t size, void *arg)
{
    struct partials *partials = arg;
    struct sums *self = partials->sums;
    size_t bins = self->shape->bins;
    Strata__Partial *p = strata__partial__unpack (NULL, size, record);
    bool fits = p && p->n_counts == p->n_rows * bins && p->number == self->merged[partials->shard] + ++partials->seen;
    for (size_t i = 0; fits && i < p->n_rows; i++)
        fits = p->rows[i] < self->cells / bins;
    if (!fits)
        audit_violation (self->world->audit, AUDIT_FRAMES,
                         "record %" PRIu64 " of stream partials of feedback-%u is no partial, or not the next one", sequence,
                         partials->shard);
    for (size_t i = 0; fits && i < p->n_counts; i++)
        self->stored[p->rows[i / bins] * bins + i % bins] += (int64_t)p->counts[i];
    if (p)
        strata__partial__free_unpacked (p, NULL);
    return 0;
}

/* What another shard has summed up: each of its frames is in one partial, and each of those is merged once, in their order. */
static void load_collector (struct sums *self, unsigned i)
{
    struct audit *audit = self->world->audit;
    struct shard *shard = shard_at (self, i);
    struct partials partials = { self, i, 0 };
    struct shard_key key;
    struct stream_stat stat;
    char peer[32];
    void *value;
    size_t size;
    uint64_t made = number_at (shard, "feedback/report", 0), handed = 0, frames;
    shard_key (&key, "feedback/merged/");
    shard_key_u64 (&key, i);
    if (shard_get (self->world->feedback, key.data, key.size, &value, &size)) {
        self->merged[i] = be64_at (value, size, 0);
        free (value);
    }
    snprintf (peer, sizeof (peer), "feedback-%u", i);
    uint64_t cursor = cursor_get (self->world->feedback, peer, "partials");
    stream_stat (shard, "partials", &stat);
    if (self->merged[i] > made || self->merged[i] != cursor - 1)
        audit_violation (audit, AUDIT_FRAMES,
                         "shard 0 of feedback has merged %" PRIu64 " partials of shard %u and read %" PRIu64 "; %" PRIu64
                         " were made",
                         self->merged[i], i, cursor - 1, made);
    self->trimmed = self->trimmed || stat.first > cursor;
    stream_read (shard, "partials", cursor, SIZE_MAX, SIZE_MAX, take_partial, &partials);
    for (uint64_t n = 1; n <= self->merged[i]; n++) {
        frames = 0;
        if (!round_of_partial (self, i, n, &frames))
            audit_violation (audit, AUDIT_FRAMES, "partial %" PRIu64 " of shard %u is merged, but in no report's books", n, i);
        handed += frames;
    }
    uint64_t marked = load_marks (self, i);
    if (marked != handed)
        audit_violation (audit, AUDIT_FRAMES,
                         "shard %u of feedback has %" PRIu64 " frames in its first %" PRIu64 " partials; shard 0 took %" PRIu64
                         " frames in them",
                         i, marked, self->merged[i], handed);
}

static void compare_sums (struct sums *self)
{
    for (size_t i = 0; i < self->cells; i++)
        if (self->counted[i] != self->stored[i])
            audit_violation (self->world->audit, AUDIT_FRAMES,
                             "state %s, row %s, bin %zu: the records add up to %" PRId64 ", the sums say %" PRId64,
                             self->shape->states[i / self->block],
                             self->shape->rows[i % self->block / self->shape->bins], i % self->shape->bins,
                             self->counted[i], self->stored[i]);
}

/* What a shard of feedback says of itself must agree whether or not the records are still there. marks: of its frames, with those
 * of the partials that it has merged. */
static void check_totals (struct sums *self, unsigned shard_number, uint64_t marks)
{
    struct audit *audit = self->world->audit;
    struct shard *shard = shard_at (self, shard_number);
    unsigned states = self->shape->states_count;
    uint64_t total = number_at (shard, "feedback/totals", 0), of_states = 0;
    int64_t *own = calloc (self->cells, sizeof (*own));
    if (!own) {
        fprintf (stderr, "strata: out of memory\n");
        exit (1);
    }
    load_rows (self, shard, own);
    for (unsigned s = 0; s < states; s++) {
        struct shard_key key;
        void *value = NULL;
        size_t size = 0;
        uint64_t cells = shard_number ? number_at (shard, "feedback/report", 5 + states + s) : 0;
        shard_key (&key, "feedback/state/");
        shard_key_u64 (&key, s);
        shard_get (shard, key.data, key.size, &value, &size);
        for (size_t i = 0; i < self->block; i++)
            cells += (uint64_t)own[s * self->block + i];
        of_states += be64_at (value, size, 0);
        if (cells != be64_at (value, size, 1))
            audit_violation (audit, AUDIT_FRAMES, "state %s: its bins add up to %" PRIu64 ", its total says %" PRIu64,
                             self->shape->states[s], cells, be64_at (value, size, 1));
        free (value);
    }
    free (own);
    if (marks != total || of_states != total)
        audit_violation (audit, AUDIT_FRAMES,
                         "feedback says it has %" PRIu64 " frames; it has %" PRIu64 " marks of frames, and %" PRIu64
                         " frames in its states",
                         total, marks, of_states);
}

/* With weights each simulation's counts are kept as well: in each bin they must add up to the sums, else a report weighs what was
 * not measured. */
static void check_weighed (struct sums *self)
{
    static const char prefix[] = "feedback/of/";
    size_t n = sizeof (prefix) - 1, bins = self->shape->bins;
    struct audit *audit = self->world->audit;
    struct shard_iter it;
    uint64_t rows = 0;
    int64_t *left = self->shape->weights ? calloc (self->cells, sizeof (*left)) : NULL;
    if (!self->shape->weights)
        return;
    if (!left) {
        fprintf (stderr, "strata: out of memory\n");
        exit (1);
    }
    load_rows (self, self->world->feedback, left);
    for (bool more = shard_iter_begin (self->world->feedback, &it, prefix, n, NULL, 0); more; more = shard_iter_next (&it), rows++) {
        uint64_t row = it.key_size > n + 9 ? shard_u64 (it.key + it.key_size - 8) : UINT64_MAX;
        if (row >= self->cells / bins || it.value_size != bins * 8) {
            audit_violation (audit, AUDIT_FRAMES, "the counts of a simulation (row %" PRIu64 ", %zu bytes) do not fit the campaign", row,
                             it.value_size);
            continue;
        }
        for (size_t i = 0; i < bins; i++)
            left[row * bins + i] -= (int64_t)le64_at (it.value, i);
    }
    shard_iter_end (&it);
    for (size_t i = 0; i < self->cells; i++)
        if (left[i])
            audit_violation (audit, AUDIT_FRAMES, "state %s, row %s, bin %zu: the sums hold %" PRId64 " more than all simulations together",
                             self->shape->states[i / self->block], self->shape->rows[i % self->block / bins], i % bins, left[i]);
    free (left);
    audit_counted (audit, AUDIT_FRAMES, "; %" PRIu64 " rows of simulations add up to the sums", rows);
}

static uint64_t count_simulations (struct shard *shard)
{
    struct shard_iter it;
    static const char prefix[] = "feedback/sim/";
    uint64_t count = 0;
    for (bool more = shard_iter_begin (shard, &it, prefix, sizeof (prefix) - 1, NULL, 0); more; more = shard_iter_next (&it))
        count += be64_at (it.value, it.value_size, 0) > 0;
    shard_iter_end (&it);
    return count;
}

static void load_shards (struct sums *self)
{
    struct audit_summary *summary = &self->world->audit->summary;
    uint64_t merged = 0;
    load_marks (self, 0);
    merged = self->marks;
    for (unsigned i = 1; i < shards_of (self); i++) {
        uint64_t before = self->marks;
        if (!shard_at (self, i))
            continue;
        load_collector (self, i);
        check_totals (self, i, self->marks - before);
        load_rows (self, shard_at (self, i), self->stored);
        summary->simulations += count_simulations (shard_at (self, i));
        for (uint64_t n = 1, frames; n <= self->merged[i]; n++)
            merged += round_of_partial (self, i, n, &frames) ? frames : 0;
    }
    load_rows (self, self->world->feedback, self->stored);
    check_totals (self, 0, merged);
    summary->frames = self->marks;
    summary->simulations += count_simulations (self->world->feedback);
}

static void recount (struct sums *self)
{
    struct audit_world *world = self->world;
    uint64_t trimmed = 0, read = 0, appended = 0;
    for (size_t i = 0; i < world->stages_count; i++) {
        struct stream_stat stat;
        stream_stat (world->stages[i], self->shape->from, &stat);
        uint64_t least = UINT64_MAX;
        for (unsigned k = 0; k < shards_of (self); k++) {
            struct shard *shard = shard_at (self, k);
            self->cursors[k] = shard ? cursor_get (shard, world->stage_names[i], self->shape->from) : 1;
            least = self->cursors[k] < least ? self->cursors[k] : least;
            if (self->cursors[k] > stat.next)
                audit_violation (world->audit, AUDIT_FRAMES,
                                 "feedback has read stream %s of %s up to record %" PRIu64 ", but it ends at %" PRIu64,
                                 self->shape->from, world->stage_names[i], self->cursors[k] - 1, stat.next - 1);
        }
        trimmed += stat.first - 1;
        appended += stat.next - 1;
        read += least - 1;
        stream_read_chunks (world->stages[i], self->shape->from, 0, SIZE_MAX, SIZE_MAX, take_chunk, self);
    }
    drop_repeats (self);
    load_shards (self);
    /* Frames that two stages hold were added here once for each: then only the marks can be compared. */
    bool exact = !trimmed && !self->repeats && !self->trimmed;
    if (exact)
        compare_sums (self);
    if (!trimmed && self->frames.count - self->repeats != self->marks)
        audit_violation (world->audit, AUDIT_FRAMES,
                         "stream %s holds %zu frames that feedback has read and could use, but %" PRIu64
                         " are marked as being in the sums",
                         self->shape->from, self->frames.count - (size_t)self->repeats, self->marks);
    audit_counted (world->audit, AUDIT_FRAMES,
                   "%" PRIu64 " of %" PRIu64 " records of stream %s are read, %" PRIu64 " frames in the sums, %" PRIu64
                   " repeats, %" PRIu64 " set aside",
                   read, appended, self->shape->from, self->marks, self->repeats, self->aside);
    if (exact)
        audit_counted (world->audit, AUDIT_FRAMES, "; %zu sums recomputed", self->cells);
    else
        audit_counted (world->audit, AUDIT_FRAMES,
                       "; %" PRIu64 " records are trimmed: sums compared with their totals only", trimmed);
    check_weighed (self);
}

/* ---- rounds ---- */

static void check_round (struct sums *self, uint64_t round, bool must_be_there)
{
    struct audit *audit = self->world->audit;
    char path[4400];
    json_error_t why;
    uint64_t frames = 0;
    json_int_t said_round = 0, said_frames = 0;
    snprintf (path, sizeof (path), "%s/feedback/rdf/round.%06" PRIu64 "/report.json", self->world->workspace, round);
    json_t *json = json_load_file (path, 0, &why), *states, *state;
    const char *name;
    if (!json) {
        if (must_be_there || access (path, F_OK) == 0)
            audit_violation (audit, AUDIT_REPORTS, "round %" PRIu64 " was written, but %s can't be read: %s", round,
                             path, why.text);
        return;
    }
    for (uint64_t r = 0; r <= round; r++)
        frames += self->marks_of_round[r];
    if (json_unpack_ex (json, &why, 0, "{s:I s:I s:o}", "round", &said_round, "frames", &said_frames, "states", &states)
        < 0)
        audit_violation (audit, AUDIT_REPORTS, "%s: %s", path, why.text);
    else {
        if ((uint64_t)said_round != round || (uint64_t)said_frames != frames)
            audit_violation (audit, AUDIT_REPORTS,
                             "%s says round %lld of %lld frames; by the marks it is round %" PRIu64 " of %" PRIu64
                             " frames",
                             path, (long long)said_round, (long long)said_frames, round, frames);
        json_object_foreach (states, name, state) {
            int64_t sum = 0;
            json_int_t counts = json_integer_value (json_object_get (state, "counts"));
            for (unsigned s = 0; s < self->shape->states_count; s++)
                for (size_t i = 0; strcmp (self->shape->states[s], name) == 0 && i < self->block; i++)
                    sum += self->stored[s * self->block + i];
            if (counts > sum)
                audit_violation (audit, AUDIT_REPORTS, "%s says %lld counts of state %s; the sums hold %" PRId64, path,
                                 (long long)counts, name, sum);
        }
    }
    json_decref (json);
}

static void check_uptakes (struct sums *self, uint64_t written)
{
    struct audit *audit = self->world->audit;
    struct shard_iter it;
    static const char prefix[] = "feedback/taken/";
    size_t n = sizeof (prefix) - 1;
    for (bool more = shard_iter_begin (self->world->feedback, &it, prefix, n, NULL, 0); more;
         more = shard_iter_next (&it)) {
        uint64_t round = it.key_size == n + 8 ? shard_u64 (it.key + n) : 0;
        audit->summary.reports_taken++;
        /* A round is on disk an instant before feedback notes that it is. */
        if (round == 0 || round > written + 1 || round > self->rounds)
            audit_violation (audit, AUDIT_REPORTS,
                             "the model took round %" PRIu64 ", but %" PRIu64 " rounds were written", round, written);
    }
    shard_iter_end (&it);
    uint64_t total = number_at (self->world->feedback, "feedback/totals", 4);
    if (total != audit->summary.reports_taken)
        audit_violation (audit, AUDIT_REPORTS, "feedback counts %" PRIu64 " uptakes, but %" PRIu64 " are noted", total,
                         audit->summary.reports_taken);
}

static void check_rounds (struct sums *self)
{
    struct audit *audit = self->world->audit;
    bool pending = number_at (self->world->feedback, "feedback/report", 1) != 0;
    uint64_t written = self->rounds - (pending && self->rounds);
    uint64_t oldest = written > ROUNDS_KEPT ? written - ROUNDS_KEPT + 1 : 1, checked = 0;
    /* A mesh that runs may have pruned since; one that was killed may have pruned for the pending round. */
    for (uint64_t round = oldest; round <= written; round++, checked++)
        check_round (self, round, !audit->live && !(pending && round == oldest));
    audit->summary.reports_written = written;
    check_uptakes (self, written);
    audit_counted (audit, AUDIT_REPORTS,
                   "%" PRIu64 " rounds written, the last %" PRIu64 " compared with the marks, %" PRIu64 " taken up%s",
                   written, checked, audit->summary.reports_taken, pending ? ", one being written" : "");
}

/* ---- */

static struct sums sums; /* kept from audit_check_frames to audit_check_reports */

static void sums_fini (void)
{
    AUDIT_EACH (struct frame, f, sums.frames)
        free (f->id);
    free (sums.frames.rows);
    free (sums.counted);
    free (sums.totals);
    free (sums.stored);
    free (sums.marks_of_round);
    sums = (struct sums){ .world = NULL };
}

void audit_check_frames (struct audit_world *world)
{
    const struct campaign_feedback *shape = &world->campaign->feedback;
    sums = (struct sums){ .world = world, .shape = shape, .block = (size_t)shape->rows_count * shape->bins };
    sums.cells = sums.block * shape->states_count;
    if (!world->feedback) {
        audit_counted (world->audit, AUDIT_FRAMES, "feedback was never started");
        return;
    }
    sums.rounds = number_at (world->feedback, "feedback/report", 0);
    if (sums.cells == 0 || sums.cells > CELLS_MAX || sums.rounds > CELLS_MAX) {
        audit_violation (world->audit, AUDIT_FRAMES,
                         "the sums have %zu numbers and %" PRIu64 " rounds: too many to recount", sums.cells,
                         sums.rounds);
        sums.world = NULL;
        return;
    }
    sums.counted = calloc (sums.cells, sizeof (*sums.counted));
    sums.totals = calloc (sums.shape->states_count, sizeof (*sums.totals));
    sums.stored = calloc (sums.cells, sizeof (*sums.stored));
    sums.marks_of_round = calloc (sums.rounds + 2, sizeof (*sums.marks_of_round));
    if (!sums.counted || !sums.totals || !sums.stored || !sums.marks_of_round) {
        fprintf (stderr, "strata: out of memory\n");
        exit (1);
    }
    recount (&sums);
}

void audit_check_reports (struct audit_world *world)
{
    if (world->feedback && sums.world)
        check_rounds (&sums);
    else
        audit_counted (world->audit, AUDIT_REPORTS, "feedback was never started");
    sums_fini ();
}
