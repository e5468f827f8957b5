/* select_impl.h - the state of the core, for the files that it is made of: select_core.c (candidates, queues, figures),
 * select_proposal.c, select_invalidate.c, select_import.c, select_weights.c, select_load.c, select_verify.c. */
#ifndef STRATA_SELECT_IMPL_H
#define STRATA_SELECT_IMPL_H

#include "sampler.h"
#include "select_core.h"
#include "store/stream.h"

#define POINT_KEPT_MAX 64u      /* coordinates of an invalid point that are kept */
#define CONFIGURATION_MAX 64u   /* bytes */

#define WAITING STRATA__CANDIDATE_STATE__CANDIDATE_WAITING
#define PROPOSED STRATA__CANDIDATE_STATE__CANDIDATE_PROPOSED
#define SELECTED STRATA__CANDIDATE_STATE__CANDIDATE_SELECTED
#define DISCARDED STRATA__CANDIDATE_STATE__CANDIDATE_DISCARDED
#define INVALID STRATA__CANDIDATE_STATE__CANDIDATE_INVALID
#define EVENT(kind) STRATA__SELECT_EVENT_KIND__SELECT_##kind

struct queue {
    const struct campaign_queue *campaign;  /* NULL: the last one, for what no queue takes */
    void *sampler;                          /* NULL with it */
    uint64_t proposed, discarded, invalid;
};

struct open_proposal {
    char *name;
    int64_t lease_end_us;
};

struct select_core {
    struct shard *shard;
    const struct campaign *campaign;
    const struct sampler_ops *ops;
    unsigned dimensions;
    struct queue *queues;                   /* [queues_count + 1] */
    size_t queues_count;
    struct open_proposal *open;             /* earliest lease end first */
    size_t open_count, open_capacity;
    Strata__SelectBadSnapshot **bad;        /* snapshots that were invalidated */
    size_t bad_count, bad_capacity;
    uint64_t duplicates, refused;
    select_event_f *event;
    void *event_arg;
};

/* ---- select_core.c ---- */

void select_event (struct select_core *self, const char *kind, const char *subject, const char *fmt, ...)
    __attribute__ ((format (printf, 4, 5)));
/* Appends a record to the history. */
void select_record (struct select_core *self, Strata__SelectEvent *record, int64_t now_us);
void select_text_set (char **field, const char *text);

void candidate_put (struct select_core *self, const char *id, const Strata__SelectCandidate *candidate);
/* NULL: there is none. Freed with candidate_free. */
Strata__SelectCandidate *candidate_get (struct select_core *self, const char *id);
void candidate_free (Strata__SelectCandidate *candidate);
/* Moves a candidate that is stored as `candidate`; the record of the move goes to the history. `text`: the name of the
 * proposal, or the reason of what is INVALID. Memory and shard would tell different stories if a move was not allowed:
 * then the store is damaged and the process ends. */
void candidate_move (struct select_core *self, const char *id, Strata__SelectCandidate *candidate,
                     Strata__CandidateState to, const char *text, double rank, Strata__SelectEventKind kind,
                     int64_t now_us);

/* Index of the queue with a name; "" is the one for what no queue takes. SIZE_MAX: there is none. */
size_t queue_named (const struct select_core *self, const char *name);
const char *queue_name (const struct queue *queue);
/* A queue with a cap never holds more. */
void queue_bound (struct select_core *self, struct queue *queue, int64_t now_us);
static inline struct points *queue_points (const struct select_core *self, const struct queue *queue)
{
    return self->ops->points (queue->sampler);
}

/* Whether the point can be ranked; else why not. */
bool point_valid (const struct select_core *self, const float *point, size_t n, char *why, size_t why_size);

/* ---- select_proposal.c ---- */

void proposal_open (struct select_core *self, const char *name, int64_t lease_end_us);
Strata__SelectProposal *proposal_get (struct select_core *self, const char *name);
void proposal_free (Strata__SelectProposal *proposal);
void proposal_put (struct select_core *self, const char *name, const Strata__SelectProposal *proposal);
/* To a proposal that has room. */
void proposal_add (Strata__SelectProposal *proposal, const char *id, const Strata__SelectCandidate *candidate, double rank);

/* ---- select_invalidate.c ---- */

/* The snapshot when it was invalidated, else NULL. */
Strata__SelectBadSnapshot *snapshot_bad (const struct select_core *self, const char *simulation, uint64_t index);
/* Takes over a stored one. */
void snapshot_bad_add (struct select_core *self, Strata__SelectBadSnapshot *bad);

#endif
