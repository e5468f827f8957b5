/* weights.c - see weights.h */
#include "weights.h"

#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "select.pb-c.h"

#define ANSWER_MS 30000
#define PAUSE_US 1000000

struct weights {
    weights_f *each;
    void *arg;
    bool asking;
    int64_t retry_us;          /* not before */
    unsigned queue;            /* that is asked */
    size_t first, room;        /* where its weights begin; of `all` */
    Strata__ReportWeights all; /* weight: 1 + owned until its queue is complete */
};

static void *must (void *pointer)
{
    if (!pointer) {
        log_error ("out of memory");
        abort ();
    }
    return pointer;
}

struct weights *weights_new (weights_f *each, void *arg)
{
    struct weights *self = calloc (1, sizeof (*self));
    if (!self)
        return NULL;
    self->each = each;
    self->arg = arg;
    strata__report_weights__init (&self->all);
    return self;
}

static void forget (struct weights *self)
{
    for (size_t i = 0; i < self->all.n_weights; i++) {
        free (self->all.weights[i]->simulation);
        free (self->all.weights[i]);
    }
    free (self->all.weights);
    strata__report_weights__init (&self->all);
    self->room = self->first = 0;
    self->queue = 0;
    self->asking = false;
}

void weights_free (struct weights **self_p)
{
    if (!*self_p)
        return;
    forget (*self_p);
    free (*self_p);
    *self_p = NULL;
}

void weights_normalise (Strata__ReportWeights *all, size_t first)
{
    double sum = 0, count = (double)(all->n_weights - first);
    for (size_t i = first; i < all->n_weights; i++)
        sum += all->weights[i]->weight; /* whole numbers: exact */
    for (size_t i = first; i < all->n_weights; i++)
        all->weights[i]->weight = all->weights[i]->weight * count / sum;
}

static int by_name (const void *a, const void *b)
{
    return strcmp ((*(Strata__SimulationWeight *const *)a)->simulation, (*(Strata__SimulationWeight *const *)b)->simulation);
}

void weights_sort (Strata__ReportWeights *all)
{
    if (all->n_weights)
        qsort (all->weights, all->n_weights, sizeof (*all->weights), by_name);
}

static void add (struct weights *self, const Strata__Weight *weight)
{
    if (self->all.n_weights == self->room) {
        self->room = self->room ? 2 * self->room : 64;
        self->all.weights = must (reallocarray (self->all.weights, self->room, sizeof (*self->all.weights)));
    }
    Strata__SimulationWeight *one = self->all.weights[self->all.n_weights++] = must (malloc (sizeof (*one)));
    strata__simulation_weight__init (one);
    one->simulation = must (strdup (weight->candidate));
    one->weight = 1 + (double)weight->owned;
}

static void on_weights (struct service *service, const struct reply *reply, void *arg);

static void ask_page (struct weights *self, struct service *service)
{
    const struct campaign_select *select = &service_campaign (service)->select;
    Strata__Weights body = STRATA__WEIGHTS__INIT;
    size_t n = self->all.n_weights;
    body.queue = (char *)select->queues[self->queue].name;
    body.after = n > self->first ? self->all.weights[n - 1]->simulation : "";
    service_call (service, "select", STRATA__MESSAGE_TYPE__TYPE_WEIGHTS, &body.base, NULL, 0, &strata__weights_reply__descriptor,
                  ANSWER_MS, on_weights, self);
}

static void on_weights (struct service *service, const struct reply *reply, void *arg)
{
    struct weights *self = arg;
    const Strata__WeightsReply *page = reply->ok ? (const Strata__WeightsReply *)reply->body : NULL;
    if (!page) {
        service_trouble (service, "a report waits for the weights of its simulations: %s", reply->error);
        forget (self);
        self->retry_us = service_now_us (service) + PAUSE_US;
        return;
    }
    for (size_t i = 0; page->ready && i < page->n_weights; i++)
        add (self, page->weights[i]);
    if (page->ready && !(page->more && page->n_weights)) {
        weights_normalise (&self->all, self->first);
        self->first = self->all.n_weights;
        self->queue++;
    }
    if (self->queue < service_campaign (service)->select.queues_count) {
        ask_page (self, service);
        return;
    }
    service_trouble (service, NULL);
    weights_sort (&self->all);
    self->each (service, &self->all, self->arg);
    forget (self);
}

void weights_ask (struct weights *self, struct service *service)
{
    int64_t now_us = service_now_us (service);
    if (self->asking || (now_us < self->retry_us && self->retry_us - now_us <= PAUSE_US))
        return;
    self->asking = true;
    ask_page (self, service);
}
