/* select_weights.c - how much each selected point stands for, for feedback: see Weights in select.proto. */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "select_impl.h"

#define WEIGHTS_MAX 10000u          /* of one reply */
#define DISTANCES_MAX 100000000u    /* of one turn: about a tenth of a second */

struct row {
    const char *id;
    uint64_t owned;
};

static int by_id (const void *a, const void *b)
{
    return strcmp (((const struct row *)a)->id, ((const struct row *)b)->id);
}

int select_weights (struct select_core *self, const Strata__Weights *request, Strata__WeightsReply **reply_out,
                    Strata__RefusalCode *code, struct strata_error *error)
{
    *code = STRATA__REFUSAL_CODE__REFUSED_INVALID;
    size_t index = *request->queue ? queue_named (self, request->queue) : SIZE_MAX;
    if (index == SIZE_MAX)
        return strata_fail (error, "the campaign has no queue '%.64s'", request->queue);
    struct points *points = queue_points (self, &self->queues[index]);
    Strata__WeightsReply *reply = *reply_out = select_calloc (1, sizeof (*reply));
    strata__weights_reply__init (reply);
    reply->ready = points_weigh (points, DISTANCES_MAX);
    if (!reply->ready)
        return 0;
    size_t n = points_selected (points), max = request->max && request->max < WEIGHTS_MAX ? request->max : WEIGHTS_MAX;
    reply->waiting = points->waiting;
    reply->selected = n;
    uint64_t *owned = select_calloc (n + 1, sizeof (*owned));
    struct row *rows = select_calloc (n + 1, sizeof (*rows));
    size_t count = 0;
    points_owned (points, owned);
    for (size_t i = 0; i < n; i++)
        if (strcmp (points_selected_id (points, i), request->after) > 0)
            rows[count++] = (struct row){ points_selected_id (points, i), owned[i] };
    qsort (rows, count, sizeof (*rows), by_id);
    reply->more = count > max;
    reply->weights = select_calloc (max + 1, sizeof (*reply->weights));
    for (size_t i = 0; i < count && i < max; i++) {
        Strata__Weight *weight = select_calloc (1, sizeof (*weight));
        strata__weight__init (weight);
        select_text_set (&weight->candidate, rows[i].id);
        weight->owned = rows[i].owned;
        weight->weight = (1 + (double)rows[i].owned) * (double)n / ((double)n + (double)points->waiting);
        reply->weights[reply->n_weights++] = weight;
    }
    free (owned);
    free (rows);
    return 0;
}
