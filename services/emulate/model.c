/* model.c - see model.h */
#include "model.h"

#include <math.h>
#include <string.h>

#include "core/hash.h"

#define HOUR_US 3600000000.0

enum purpose { DURATION = 1, FATE, BEFORE };

double model_uniform (struct model_random *self)
{
    self->state += 0x9e3779b97f4a7c15u;
    return (double)(hash64_fold (self->state, self->state ^ 0xd1342543de82ef95u) >> 11) / 9007199254740992.0;
}

/* Box and Muller, Ann. Math. Stat. 29 (1958) 610. */
double model_normal (struct model_random *self)
{
    double u = 1 - model_uniform (self), v = model_uniform (self);
    return sqrt (-2 * log (u)) * cos (2 * M_PI * v);
}

static struct model_random random_of (uint64_t seed, enum purpose purpose, const char *job, uint32_t attempt)
{
    return (struct model_random){ hash64 (hash64 (seed, &purpose, sizeof (purpose)) + attempt, job, strlen (job)) };
}

int64_t model_duration_us (const struct campaign_job *type, uint64_t seed, const char *job)
{
    struct model_random random = random_of (seed, DURATION, job, 0);
    double factor = 1 + type->model.spread * model_normal (&random);
    factor = factor < 0.1 ? 0.1 : factor > 3 ? 3 : factor;
    double us = type->model.hours * HOUR_US * factor;
    return us < 1e6 ? 1000000 : us > 1e15 ? 1000000000000000 : (int64_t)us;
}

bool model_fails (const struct campaign_job *type, uint64_t seed, const char *job, uint32_t attempt, double *after)
{
    struct model_random random = random_of (seed, FATE, job, attempt);
    bool fails = model_uniform (&random) < type->model.failures;
    *after = model_uniform (&random);
    return fails;
}

double model_done_before (uint64_t seed, const char *job)
{
    struct model_random random = random_of (seed, BEFORE, job, 0);
    return model_uniform (&random);
}
