/* recount.c - crash-load recount: a second opinion on "nothing lost, nothing twice", from the jobs' own folders.
 *
 * `strata audit` recounts from the stores' records. This doesn't: which frames there must be is taken from what each
 * simulation noted in its folder (the last frame begun, the last one acknowledged, whether it is done), and what is in
 * them is made again from their names (content.h). Then
 *   - a simulation that is done has its frames 1..N in feedback's sums, each once; another one all that were
 * acknowledged to it, and at most the one more that it had just sent;
 *   - the sum of all these frames, made anew, is feedback's sum, in each of the 18 x 8 x 599 integers;
 *   - the stream of frames at the stage has the same frames, once each, in order, byte for byte;
 *   - no job says that another attempt of it ran beside it, or that the stage forgot what it had acknowledged;
 *   - no simulation has two folders, and nobody has frames who has no folder.
 * Exact when feedback had read all and everything is down; tests/crash/killer.py sees to that.
 */
#include <endian.h>
#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "content.h"
#include "feedback.pb-c.h"
#include "load.h"
#include "store/stream.h"

#define CELLS (CONTENT_STATES * CONTENT_BLOCK)
#define SHOWN 40

struct simulation {
    char name[201];
    struct content_progress progress;
    bool done;
    uint64_t marked;   /* the last frame at feedback */
    uint64_t last;     /* in the stream of frames of the stage that is read; 0: none yet */
    uint64_t streamed; /* frames in the streams of all stages ... */
    uint8_t *seen;     /* ... one bit each; those that were sent have one */
};

struct recount {
    const struct load_options *options;
    struct simulation *simulations;
    size_t count;
    uint64_t violations, frames, streamed;
    int64_t *expected, *stored; /* [CELLS] */
};

static void __attribute__ ((format (printf, 2, 3))) violation (struct recount *self, const char *fmt, ...)
{
    va_list ap;
    if (self->violations++ < SHOWN) {
        printf ("! ");
        va_start (ap, fmt);
        vprintf (fmt, ap);
        va_end (ap);
        printf ("\n");
    }
}

static size_t read_file (const char *dir, const char *name, void *data, size_t size)
{
    char path[4400];
    snprintf (path, sizeof (path), "%s/%s", dir, name);
    FILE *in = fopen (path, "re");
    size_t n = in ? fread (data, 1, size, in) : 0;
    if (in)
        fclose (in);
    return n;
}

static int by_name (const void *a, const void *b)
{
    return strcmp (((const struct simulation *)a)->name, ((const struct simulation *)b)->name);
}

static struct simulation *find (struct recount *self, const char *name)
{
    struct simulation key = { .name = "" };
    snprintf (key.name, sizeof (key.name), "%s", name);
    return self->count ? bsearch (&key, self->simulations, self->count, sizeof (key), by_name) : NULL;
}

/* ---- what the jobs' folders say ---- */

static void read_folder (struct recount *self, const char *dir)
{
    char text[600] = "", path[4400];
    if (read_file (dir, "violation", text, sizeof (text) - 1))
        violation (self, "%s: %s", dir, text);
    struct simulation *s = &self->simulations[self->count];
    if (read_file (dir, "simulation", s->name, sizeof (s->name) - 1) == 0)
        return; /* never began, or not a simulation */
    if (read_file (dir, "progress", &s->progress, sizeof (s->progress)) != sizeof (s->progress))
        s->progress = (struct content_progress){ 0, 0 };
    s->seen = calloc (1, s->progress.sent / 8 + 1);
    snprintf (path, sizeof (path), "%s/done.json", dir);
    s->done = access (path, F_OK) == 0;
    uint64_t frames = load_frames (self->options, s->name);
    if (s->progress.sent > frames || s->progress.kept > s->progress.sent || s->progress.sent > s->progress.kept + content_sum (s->name)
        || (s->done && s->progress.kept != frames))
        violation (self, "%s: simulation %s of %" PRIu64 " frames noted %" PRIu64 " sent, %" PRIu64 " kept%s", dir,
                   s->name, frames, s->progress.sent, s->progress.kept, s->done ? ", and that it is done" : "");
    self->count++;
}

static int read_folders (struct recount *self, struct strata_error *error)
{
    char pattern[4200];
    glob_t found;
    snprintf (pattern, sizeof (pattern), "%s/jobs/*", self->options->workspace);
    if (glob (pattern, 0, NULL, &found) != 0)
        return strata_fail (error, "%s: no job folders", pattern);
    self->simulations = calloc (found.gl_pathc + 1, sizeof (*self->simulations));
    for (size_t i = 0; self->simulations && i < found.gl_pathc; i++)
        read_folder (self, found.gl_pathv[i]);
    globfree (&found);
    if (!self->simulations)
        return strata_fail (error, "no memory for the simulations");
    qsort (self->simulations, self->count, sizeof (*self->simulations), by_name);
    for (size_t i = 1; i < self->count; i++)
        if (strcmp (self->simulations[i].name, self->simulations[i - 1].name) == 0)
            violation (self, "simulation %s has two job folders", self->simulations[i].name);
    return 0;
}

/* ---- what feedback holds ---- */

static void read_marks (struct recount *self, struct shard *feedback)
{
    static const char prefix[] = "feedback/done/";
    size_t n = sizeof (prefix) - 1;
    struct shard_iter it;
    for (bool more = shard_iter_begin (feedback, &it, prefix, n, NULL, 0); more; more = shard_iter_next (&it)) {
        char name[512];
        snprintf (name, sizeof (name), "%.*s", it.key_size > n + 9 ? (int)(it.key_size - n - 9) : 0,
                  (const char *)it.key + n);
        struct simulation *s = find (self, name);
        uint64_t frame = it.key_size > n + 9 ? shard_u64 (it.key + it.key_size - 8) : 0;
        self->frames++;
        if (!s)
            violation (self, "feedback has frame %" PRIu64 " of %s, which has no job folder", frame, name);
        else {
            if (frame != s->marked + 1)
                violation (self, "feedback has frame %" PRIu64 " of %s where %" PRIu64 " comes next", frame, name,
                           s->marked + 1);
            s->marked = frame;
        }
    }
    shard_iter_end (&it);
}

static void read_sums (struct recount *self, struct shard *feedback)
{
    static const char prefix[] = "feedback/sum/";
    size_t n = sizeof (prefix) - 1;
    struct shard_iter it;
    for (bool more = shard_iter_begin (feedback, &it, prefix, n, NULL, 0); more; more = shard_iter_next (&it)) {
        uint64_t row = it.key_size == n + 8 ? shard_u64 (it.key + n) : UINT64_MAX;
        if (row >= CONTENT_STATES * CONTENT_ROWS || it.value_size != CONTENT_BINS * 8) {
            violation (self, "feedback's sums have a row %" PRIu64 " of %zu bytes", row, it.value_size);
            continue;
        }
        for (size_t i = 0; i < CONTENT_BINS; i++) {
            uint64_t little;
            memcpy (&little, it.value + i * 8, 8);
            self->stored[row * CONTENT_BINS + i] += (int64_t)le64toh (little);
        }
    }
    shard_iter_end (&it);
}

/* What another shard has handed over and shard 0 has not read yet. */
static int take_partial (uint64_t sequence, int64_t time_us, const void *record, size_t size, void *arg)
{
    struct recount *self = arg;
    Strata__Partial *p = strata__partial__unpack (NULL, size, record);
    if (!p || p->n_counts != p->n_rows * CONTENT_BINS)
        violation (self, "record %" PRIu64 " of a stream of partials is broken", sequence);
    for (size_t i = 0; p && i < p->n_counts && p->n_counts == p->n_rows * CONTENT_BINS; i++) {
        size_t row = p->rows[i / CONTENT_BINS];
        if (row < CONTENT_STATES * CONTENT_ROWS)
            self->stored[row * CONTENT_BINS + i % CONTENT_BINS] += (int64_t)p->counts[i];
    }
    if (p)
        strata__partial__free_unpacked (p, NULL);
    return 0;
}

/* One shard of feedback, or as many as share the simulations. */
static int read_feedback (struct recount *self, struct shard *first, struct strata_error *error)
{
    read_marks (self, first);
    read_sums (self, first);
    for (unsigned i = 1; i < 64; i++) {
        char name[32], path[4200];
        snprintf (name, sizeof (name), "feedback-%u", i);
        snprintf (path, sizeof (path), "%s/shards/%s", self->options->workspace, name);
        if (access (path, F_OK) < 0)
            break;
        struct shard *shard = shard_open_readonly (path, error);
        if (!shard)
            return -1;
        read_marks (self, shard);
        read_sums (self, shard);
        stream_read (shard, "partials", cursor_get (first, name, "partials"), SIZE_MAX, SIZE_MAX, take_partial, self);
        shard_close (&shard);
    }
    return 0;
}

/* ---- what the stage holds ---- */

/* Each once, whatever stage it is at; and without a gap at each stage. A stage that was taken away has handed the simulation
 * over: then the frames go on at another one. */
static void see_frame (struct recount *self, struct simulation *s, uint64_t frame)
{
    if (s->last && frame != s->last + 1)
        violation (self, "the stream has frame %" PRIu64 " of %s where %" PRIu64 " comes next", frame, s->name, s->last + 1);
    s->last = frame;
    if (frame == 0 || frame > s->progress.sent || !s->seen)
        violation (self, "the stream has frame %" PRIu64 " of %s, which has sent %" PRIu64, frame, s->name, s->progress.sent);
    else if (s->seen[frame / 8] & 1u << frame % 8)
        violation (self, "the streams have frame %" PRIu64 " of %s twice", frame, s->name);
    else {
        s->seen[frame / 8] |= (uint8_t)(1u << frame % 8);
        s->streamed++;
    }
}

static int take_frame (uint64_t sequence, int64_t time_us, const void *record, size_t size, void *arg)
{
    struct recount *self = arg;
    Strata__Frame *frame = strata__frame__unpack (NULL, size, record);
    struct simulation *s = frame ? find (self, frame->simulation) : NULL;
    double point[3];
    uint8_t blob[CONTENT_BLOB];
    self->streamed++;
    if (!s)
        violation (self, "record %" PRIu64 " of the stream of frames is of %s", sequence,
                   frame ? frame->simulation : "nobody: it is broken");
    else {
        content_frame (s->name, frame->frame, point, blob);
        see_frame (self, s, frame->frame);
        bool same = frame->blob.len == sizeof (blob) && memcmp (frame->blob.data, blob, sizeof (blob)) == 0;
        for (size_t i = 0; i < 3; i++)
            same = same && frame->n_coordinates == 3 && frame->coordinates[i] == point[i];
        if (!same)
            violation (self, "frame %" PRIu64 " of %s is not what was handed in", frame->frame, s->name);
    }
    if (frame)
        strata__frame__free_unpacked (frame, NULL);
    return 0;
}

/* ---- */

static void compare (struct recount *self)
{
    for (size_t i = 0; i < self->count; i++) {
        const struct simulation *s = &self->simulations[i];
        uint64_t frames = s->done ? load_frames (self->options, s->name) : s->marked;
        if (s->marked < s->progress.kept || s->marked > s->progress.sent)
            violation (self,
                       "simulation %s: %" PRIu64 " frames were acknowledged, %" PRIu64 " sent, feedback has %" PRIu64,
                       s->name, s->progress.kept, s->progress.sent, s->marked);
        if (s->streamed < s->progress.kept || s->streamed > s->progress.sent)
            violation (self,
                       "simulation %s: %" PRIu64 " frames were acknowledged, %" PRIu64 " sent, the stream has %" PRIu64,
                       s->name, s->progress.kept, s->progress.sent, s->streamed);
        for (uint64_t f = 1; s->seen && f <= s->streamed; f++)
            if (!(s->seen[f / 8] & 1u << f % 8))
                violation (self, "frame %" PRIu64 " of %s is in no stream, and later ones are", f, s->name);
        for (uint64_t f = 1; f <= frames; f++) {
            int64_t counts[CONTENT_BLOCK] = { 0 };
            unsigned state = content_histogram (s->name, f, counts);
            for (size_t c = 0; c < CONTENT_BLOCK; c++)
                self->expected[state * CONTENT_BLOCK + c] += counts[c];
        }
    }
    for (size_t i = 0; i < CELLS; i++)
        if (self->expected[i] != self->stored[i])
            violation (self,
                       "state %zu, row %zu, bin %zu: the folders' frames add up to %" PRId64 ", feedback says %" PRId64,
                       i / CONTENT_BLOCK, i % CONTENT_BLOCK / CONTENT_BINS, i % CONTENT_BINS, self->expected[i],
                       self->stored[i]);
}

static struct shard *open_shard (const struct load_options *options, const char *name, struct strata_error *error)
{
    char path[4200];
    snprintf (path, sizeof (path), "%s/shards/%s", options->workspace, name);
    return shard_open_readonly (path, error);
}

static bool has_shard (const struct load_options *options, const char *name)
{
    char path[4200];
    snprintf (path, sizeof (path), "%s/shards/%s", options->workspace, name);
    return access (path, F_OK) == 0;
}

static int read_stream (struct recount *self, struct shard *stage, struct strata_error *error)
{
    struct stream_stat stat;
    stream_stat (stage, "frames", &stat);
    if (stat.first != 1)
        return strata_fail (error, "the stream of frames was trimmed: give stage.queue_mb more room");
    for (size_t i = 0; i < self->count; i++)
        self->simulations[i].last = 0;
    stream_read (stage, "frames", 0, SIZE_MAX, SIZE_MAX, take_frame, self);
    return 0;
}

int load_recount (const struct load_options *options, uint64_t *violations, struct strata_error *error)
{
    struct recount self = { .options = options };
    struct shard *feedback = open_shard (options, "feedback-0", error),
                 *stage = feedback ? open_shard (options, "stage-0", error) : NULL;
    uint64_t done = 0;
    int rc = -1;
    self.expected = calloc (CELLS, sizeof (*self.expected));
    self.stored = calloc (CELLS, sizeof (*self.stored));
    if (!stage || !self.expected || !self.stored || read_folders (&self, error) < 0)
        goto done;
    if (read_feedback (&self, feedback, error) < 0)
        goto done;
    for (unsigned n = 0; stage; n++) {
        char name[32];
        if (read_stream (&self, stage, error) < 0)
            goto done;
        shard_close (&stage);
        snprintf (name, sizeof (name), "stage-%u", n + 1);
        if (has_shard (options, name) && !(stage = open_shard (options, name, error)))
            goto done;
    }
    compare (&self);
    for (size_t i = 0; i < self.count; i++)
        done += self.simulations[i].done;
    printf ("recount from the jobs' folders: %zu simulations, %" PRIu64 " of them done; %" PRIu64
            " frames in the sums, %" PRIu64 " in the stream; %d sums made again: %" PRIu64 " violations\n",
            self.count, done, self.frames, self.streamed, CELLS, self.violations);
    if (self.violations > SHOWN)
        printf ("! and %" PRIu64 " more\n", self.violations - SHOWN);
    *violations = self.violations;
    rc = 0;
done:
    shard_close (&feedback);
    shard_close (&stage);
    free (self.expected);
    free (self.stored);
    for (size_t i = 0; self.simulations && i < self.count; i++)
        free (self.simulations[i].seen);
    free (self.simulations);
    return rc;
}
