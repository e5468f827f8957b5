/* feedback_weights.c - see feedback_core.h: reports in which each simulation weighs what select says at that moment.
 *
 * "Weights apply when the report is made, in float64, never by scaling the integers": what each simulation has in the sums is
 * kept beside them as exact integers. When a report is decided its weights stand in the same batch, and until it is written no
 * frame is taken; so after a crash the same weights meet the same integers in the same order: the same bytes come out.
 */
#include <stdlib.h>
#include <string.h>

#include "data/histogram.h"
#include "feedback_impl.h"

int feedback_weights_init (struct feedback *self, struct strata_error *error)
{
    if (self->config->weights && !(self->weighted = calloc (self->cells, sizeof (*self->weighted))))
        return strata_fail (error, "out of memory for weighted sums of %zu numbers", self->cells);
    return 0;
}

static void forget_weights (struct feedback *self)
{
    if (self->weights)
        strata__report_weights__free_unpacked (self->weights, NULL);
    self->weights = NULL;
}

void feedback_weights_fini (struct feedback *self)
{
    forget_weights (self);
    free (self->weighted);
}

/* ---- what each simulation has in the sums ---- */

static void of_key (struct shard_key *key, const char *simulation, size_t row)
{
    shard_key (key, OF_PREFIX "%s/", simulation);
    shard_key_u64 (key, row);
}

static void row_load (struct feedback *self, const struct simulation *simulation, size_t row, int64_t *cells)
{
    struct shard_key key;
    void *value;
    size_t size, wanted = self->config->bins * sizeof (*cells);
    of_key (&key, simulation->name, row);
    if (!shard_get (self->shard, key.data, key.size, &value, &size))
        return;
    if (size != wanted)
        shard_damaged (self->shard, "the counts of %s in row %zu are %zu bytes instead of %zu", simulation->name, row, size, wanted);
    memcpy (cells, value, size); /* little-endian, as feedback_row_put makes sure of */
    free (value);
}

void feedback_weights_add (struct feedback *self, struct simulation *simulation, const Strata__Histogram *frame, size_t state, size_t row)
{
    size_t bins = self->config->bins, number = state * self->config->rows_count + row;
    bool fresh;
    if (!self->config->weights)
        return;
    int64_t *cells = simulation_row (simulation, number, bins, &fresh);
    if (fresh)
        row_load (self, simulation, number, cells);
    histogram_add (frame, row * bins, bins, cells);
}

void feedback_weights_put (struct feedback *self, const struct simulation *simulation)
{
    struct shard_key key;
    for (size_t i = 0; i < simulation->rows_count; i++) {
        of_key (&key, simulation->name, simulation->rows[i].row);
        shard_put (self->shard, key.data, key.size, simulation->rows[i].cells, self->config->bins * sizeof (int64_t));
    }
}

/* ---- weighing ---- */

static int by_name (const void *a, const void *b)
{
    return strcmp (a, (*(Strata__SimulationWeight *const *)b)->simulation);
}

/* false: it is not named, and weighs 1. */
static bool weight_of (const struct feedback *self, const char *simulation, double *weight)
{
    Strata__SimulationWeight **found = self->weights && self->weights->n_weights
                                           ? bsearch (simulation, self->weights->weights, self->weights->n_weights,
                                                      sizeof (*self->weights->weights), by_name)
                                           : NULL;
    *weight = found ? (*found)->weight : 1;
    return found != NULL;
}

static void begin (struct feedback *self)
{
    memset (self->weighted, 0, self->cells * sizeof (*self->weighted));
    self->weighing = true;
    self->weighed.size = 0;
    self->weighed_name[0] = '\0';
    self->report.weighted = NULL;
    self->report.weighed = self->report.unweighed = 0;
}

void feedback_weights_begin (struct feedback *self, const Strata__ReportWeights *weights)
{
    static const Strata__ReportWeights none = STRATA__REPORT_WEIGHTS__INIT;
    struct shard_key key;
    if (!self->config->weights)
        return;
    shard_key (&key, WEIGHTS_KEY);
    shard_put_message (self->shard, &key, weights ? &weights->base : &none.base);
    forget_weights (self);
    self->weights = (Strata__ReportWeights *)shard_get_message (self->shard, &key, &strata__report_weights__descriptor);
    feedback_settle (self); /* what the turn's frames have brought is there to be weighed */
    begin (self);
}

/* The simulation in a key, and its row. */
static size_t key_read (struct feedback *self, const struct shard_iter *it, char *name, size_t size)
{
    size_t prefix = sizeof (OF_PREFIX) - 1, length = it->key_size - prefix - 9;
    if (it->key_size < prefix + 10 || length >= size || it->value_size != self->config->bins * sizeof (int64_t))
        shard_damaged (self->shard, "the counts of a simulation have a wrong key or length (%zu and %zu bytes)", it->key_size, it->value_size);
    memcpy (name, it->key + prefix, length);
    name[length] = '\0';
    uint64_t row = shard_u64 (it->key + it->key_size - 8);
    if (row >= self->cells / self->config->bins)
        shard_damaged (self->shard, "the counts of %s stand in row %llu, which there is not", name, (unsigned long long)row);
    return (size_t)row;
}

static void weigh_row (struct feedback *self, const struct shard_iter *it)
{
    char name[sizeof (self->weighed_name)];
    size_t bins = self->config->bins, row = key_read (self, it, name, sizeof (name));
    double weight, *into = self->weighted + row * bins;
    bool named = weight_of (self, name, &weight);
    if (strcmp (name, self->weighed_name) != 0) {
        *(named ? &self->report.weighed : &self->report.unweighed) += 1;
        memcpy (self->weighed_name, name, sizeof (name));
    }
    for (size_t i = 0; i < bins; i++) {
        int64_t count;
        memcpy (&count, it->value + i * sizeof (count), sizeof (count));
        into[i] += weight * (double)count;
    }
    memcpy (self->weighed.data, it->key, it->key_size);
    self->weighed.size = it->key_size;
}

bool feedback_weigh (struct feedback *self, size_t rows)
{
    struct shard_iter it;
    if (!self->weighing)
        return true;
    bool more = shard_iter_begin (self->shard, &it, OF_PREFIX, sizeof (OF_PREFIX) - 1, self->weighed.size ? self->weighed.data : NULL,
                                  self->weighed.size);
    if (more && self->weighed.size) /* that one is in it */
        more = shard_iter_next (&it);
    for (; more && rows; rows--, more = shard_iter_next (&it))
        weigh_row (self, &it);
    shard_iter_end (&it);
    if (more)
        return false;
    self->weighing = false;
    self->report.weighted = self->weighted;
    return true;
}

int feedback_weights_load (struct feedback *self, struct strata_error *error)
{
    struct shard_key key;
    if (!self->config->weights || self->report_state == REPORT_WRITTEN)
        return 0;
    shard_key (&key, WEIGHTS_KEY);
    forget_weights (self);
    self->weights = (Strata__ReportWeights *)shard_get_message (self->shard, &key, &strata__report_weights__descriptor);
    if (self->report_state == REPORT_DECIDED)
        begin (self);
    else {
        uint64_t counted[2] = { 0, 0 };
        shard_key (&key, "feedback/heldw-simulations");
        feedback_numbers_get (self->shard, &key, counted, 2);
        self->report.weighed = counted[0];
        self->report.unweighed = counted[1];
        self->report.weighted = self->weighted;
        return feedback_rows_load (self, HELD_WEIGHTED, self->weighted, error);
    }
    return 0;
}

/* The weighted sums are an array of their own: what comes after does not touch them, so only the store needs a copy. */
void feedback_weights_hold (struct feedback *self)
{
    struct shard_key key;
    size_t bins = self->config->bins;
    if (!self->config->weights)
        return;
    while (!feedback_weigh (self, SIZE_MAX))
        ;
    for (size_t row = 0; row < self->cells / bins; row++)
        if (!feedback_row_empty (self->sums + row * bins, bins))
            feedback_row_put (self, HELD_WEIGHTED, row, self->weighted + row * bins);
    shard_key (&key, "feedback/heldw-simulations");
    feedback_numbers_put (self->shard, &key, (uint64_t[]){ self->report.weighed, self->report.unweighed }, 2);
}
