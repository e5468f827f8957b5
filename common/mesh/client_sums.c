/* client_sums.c - frames of a simulation added up in the program that makes them, before they are sent.
 *
 * A sum is a Histogram record that names its frames: its own sequence is the last of them, and the stage is told the first, so
 * that it takes a sum as a whole or not at all (StreamAppend.producer_first). One sum is open for a stream and simulation. What
 * the stage has already is asked when the first frame comes, and again after a failure: only then can it be something else
 * than what was sent.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/histogram.h"
#include "feedback.pb-c.h"
#include "mesh/chunks.h"
#include "mesh/client_internal.h"
#include "strata.h"

#define COUNT_MAX ((uint64_t)1 << 53) /* STRATA_SUM_FRAMES of them stay below 2^63 */

struct sum {
    struct sum *next;
    char *stream, *simulation, *state;
    size_t rows, bins, count;
    uint64_t frames[STRATA_SUM_FRAMES]; /* [count], rising */
    uint64_t last;                      /* the last frame that was kept or added ... */
    bool known;                         /* ... as far as the stage was asked */
    int64_t *counts;                    /* [rows][bins] */
    uint8_t *room;                      /* [rows * bins * 8]: the cells of a record */
};

static void sum_free (struct sum *self)
{
    free (self->stream);
    free (self->simulation);
    free (self->state);
    free (self->counts);
    free (self->room);
    free (self);
}

void client_free_sums (struct strata_client *self)
{
    while (self->sums) {
        struct sum *sum = self->sums;
        self->sums = sum->next;
        sum_free (sum);
    }
}

void client_forget_sums (struct strata_client *self)
{
    for (struct sum *sum = self->sums; sum; sum = sum->next) {
        sum->known = false;
        sum->count = 0;
    }
    self->sums_lost = false;
}

int client_sums_kept (struct strata_client *self, struct strata_error *error)
{
    if (!self->sums_lost)
        return 0;
    client_forget_sums (self);
    errno = ETIMEDOUT;
    return strata_fail (error, "sums of frames were not kept (%.300s); add all frames again that came after the last flush",
                        self->failure.text);
}

static struct sum *sum_new (const char *stream, const char *simulation, size_t rows, size_t bins)
{
    struct sum *self = calloc (1, sizeof (*self));
    if (!self)
        return NULL;
    self->stream = strdup (stream);
    self->simulation = strdup (simulation);
    self->state = strdup ("");
    self->counts = malloc (rows * bins * sizeof (*self->counts) + 1);
    self->room = malloc (rows * bins * sizeof (*self->counts) + 1);
    self->rows = rows;
    self->bins = bins;
    if (self->stream && self->simulation && self->state && self->counts && self->room)
        return self;
    sum_free (self);
    return NULL;
}

static struct sum *sum_of (struct strata_client *self, const char *stream, const char *simulation, size_t rows, size_t bins,
                           struct strata_error *error)
{
    size_t cells;
    for (struct sum **p = &self->sums, *sum; (sum = *p); p = &sum->next)
        if (strcmp (sum->simulation, simulation) == 0 && strcmp (sum->stream, stream) == 0) {
            *p = sum->next; /* the one used last stands first */
            sum->next = self->sums;
            self->sums = sum;
            if (sum->rows == rows && sum->bins == bins)
                return sum;
            errno = EINVAL;
            strata_fail (error, "histograms of %.80s for stream %s had %zu rows x %zu bins; now %zu x %zu", simulation, stream, sum->rows,
                         sum->bins, rows, bins);
            return NULL;
        }
    if (__builtin_mul_overflow (rows, bins, &cells) || cells > CHUNKS_MAX_BYTES / 16) {
        errno = EINVAL;
        strata_fail (error, "a histogram of %zu rows x %zu bins: at most %u counts are summed", rows, bins, CHUNKS_MAX_BYTES / 16);
        return NULL;
    }
    struct sum *sum = sum_new (stream, simulation, rows, bins);
    if (!sum) {
        errno = ENOMEM;
        strata_fail (error, "out of memory for a histogram of %zu counts", cells);
        return NULL;
    }
    sum->next = self->sums;
    return self->sums = sum;
}

/* Appends the sum ahead, and begins the next one. */
static int send_sum (struct strata_client *self, struct sum *sum, struct strata_error *error)
{
    Strata__Histogram record = STRATA__HISTOGRAM__INIT;
    if (!sum->count)
        return 0;
    record.simulation = sum->simulation;
    record.state = sum->state;
    record.frame = sum->frames[sum->count - 1];
    record.earlier = sum->frames;
    record.n_earlier = sum->count - 1;
    histogram_set (&record, sum->counts, sum->rows, sum->bins, sum->room);
    size_t size = strata__histogram__get_packed_size (&record);
    uint8_t *bytes = malloc (size);
    if (!bytes) {
        errno = ENOMEM;
        return strata_fail (error, "out of memory for a record of %zu bytes", size);
    }
    strata__histogram__pack (&record, bytes);
    int rc = client_append_ahead (self, sum->stream, false, sum->simulation, true, sum->frames[0], record.frame, bytes, size, error);
    free (bytes);
    if (rc == 0)
        sum->count = 0;
    return rc;
}

int client_send_sums (struct strata_client *self, struct strata_error *error)
{
    for (struct sum *sum = self->sums; sum; sum = sum->next)
        if (send_sum (self, sum, error) < 0)
            return -1;
    return 0;
}

/* No count negative or above 2^53; which one is looked for only when there is one. */
static int counts_check (const int64_t *counts, size_t n, size_t bins, struct strata_error *error)
{
    uint64_t any = 0;
    for (size_t i = 0; i < n; i++)
        any |= (uint64_t)counts[i];
    if (any < COUNT_MAX)
        return 0;
    for (size_t i = 0; i < n; i++)
        if ((uint64_t)counts[i] > COUNT_MAX) {
            errno = EINVAL;
            return strata_fail (error, "the count %lld in row %zu, bin %zu of a histogram: 0 to 2^53 are summed", (long long)counts[i],
                                i / bins, i % bins);
        }
    return 0;
}

/* Sends what the frame can't be added to, and asks for what the stage has when that is not known. */
static int make_ready (struct strata_client *self, struct sum *sum, const char *state, struct strata_error *error)
{
    if (!sum->known && strata_last_sequence (self, sum->stream, sum->simulation, &sum->last, error) < 0)
        return -1;
    sum->known = true;
    if (strcmp (sum->state, state) == 0)
        return sum->count < STRATA_SUM_FRAMES ? 0 : send_sum (self, sum, error);
    if (send_sum (self, sum, error) < 0)
        return -1;
    char *copy = strdup (state);
    if (!copy) {
        errno = ENOMEM;
        return strata_fail (error, "out of memory for the name of a state");
    }
    free (sum->state);
    sum->state = copy;
    return 0;
}

int strata_sum_histogram (struct strata_client *self, const char *stream, const char *simulation, uint64_t frame,
                          const char *state, size_t rows, size_t bins, const int64_t *counts, bool *duplicate,
                          struct strata_error *error)
{
    if (client_sums_kept (self, error) < 0)
        return -1;
    struct sum *sum = sum_of (self, stream, simulation, rows, bins, error);
    if (!sum || counts_check (counts, rows * bins, bins, error) < 0)
        return -1;
    if (make_ready (self, sum, state, error) < 0) {
        client_forget_sums (self);
        return -1;
    }
    bool repeat = frame <= sum->last;
    if (duplicate)
        *duplicate = repeat;
    if (repeat)
        return 0;
    if (sum->count == 0)
        memcpy (sum->counts, counts, rows * bins * sizeof (*counts));
    else
        for (size_t i = 0; i < rows * bins; i++)
            sum->counts[i] += counts[i];
    sum->frames[sum->count++] = sum->last = frame;
    return 0;
}
