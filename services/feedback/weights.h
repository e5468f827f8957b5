/* weights.h - asks select what the simulations of a report weigh: 1 + the candidates that each is nearest to, normalised to mean
 * 1 in each queue.
 *
 * A simulation is named as the candidate that it was made from. All queues are asked, page by page; the mean is taken over what
 * came, so it is 1 whatever select does between two pages. Without an answer it is asked again, for as long as it takes: a report
 * without weights is none that was asked for.
 */
#ifndef STRATA_FEEDBACK_WEIGHTS_H
#define STRATA_FEEDBACK_WEIGHTS_H

#include "feedback.pb-c.h"
#include "mesh/service.h"

struct weights;

/* Called once for each weights_ask, in a turn of its own, with the weights of that moment: rising by name. */
typedef void weights_f (struct service *service, const Strata__ReportWeights *weights, void *arg);

/* NULL: out of memory. */
struct weights *weights_new (weights_f *each, void *arg);
/* Within stop: no answer comes any more. */
void weights_free (struct weights **self);
/* Asks, unless that is under way. Called again while it is wanted, it tries again after a pause when select gave no answer. */
void weights_ask (struct weights *self, struct service *service);

/* Sorts by name, and scales each queue's to mean 1. first: where the queue's begin. Tests. */
void weights_normalise (Strata__ReportWeights *all, size_t first);
void weights_sort (Strata__ReportWeights *all);

#endif
