/* audit_impl.h - what the parts of the audit share: the stores, and rows read from them, sorted by id. */
#ifndef STRATA_CLI_AUDIT_IMPL_H
#define STRATA_CLI_AUDIT_IMPL_H

#include "audit.h"
#include "schedule.pb-c.h"
#include "select.pb-c.h"
#include "stage.pb-c.h"
#include "store/shard.h"

#define AUDIT_STAGES_MAX 256
#define AUDIT_SHARDS_MAX 64

/* The first member of every row is its id, so that one function sorts and finds all. */
struct audit_candidate { /* a record of the stream of candidates */
    char *id, *simulation;
    uint64_t index, sequence;
    size_t stage;
    bool invalid;
};

struct audit_choice { /* what select says of a candidate */
    char *id, *simulation, *proposal;
    uint64_t index;
    Strata__CandidateState state;
    bool imported;                                           /* came from another campaign: in no stream */
    int64_t changed_us;
    unsigned listed;                                         /* in proposals of the state that fits */
    unsigned added, proposed, confirmed, expired, discarded; /* in the history */
    unsigned chains;
};

/* Selected in the campaign that it came from: in no proposal, without a job. */
static inline bool audit_selected_before (const struct audit_choice *c)
{
    return c->imported && c->state == STRATA__CANDIDATE_STATE__CANDIDATE_SELECTED && !c->proposal[0];
}

struct audit_job {
    char *id, *type, *simulation, *candidate, *input, *dir;
    Strata__JobState state;
    uint32_t attempt;
    unsigned followers; /* scratch */
};

struct audit_table {
    void *rows;
    size_t count, room, row_size;
};

struct audit_world {
    struct audit *audit;
    const struct campaign *campaign;
    const char *workspace;
    const char *stores;                         /* the stores are in its folder shards: the workspace, or copies */
    struct shard *feedback, *schedule, *select; /* NULL: never started */
    struct shard *collectors[AUDIT_SHARDS_MAX]; /* the other shards of feedback, by number from 1 on; NULL: never started */
    struct shard *stages[AUDIT_STAGES_MAX];
    char stage_names[AUDIT_STAGES_MAX][64];
    Strata__Handover *handovers[AUDIT_STAGES_MAX]; /* what it hands over at present, or NULL */
    size_t stages_count;
    int64_t schedule_seen_us; /* when it was opened */
    struct audit_table candidates, choices, jobs;
};

/* NULL: out of memory, and the process ends: half an audit would be a lie. */
void *audit_add (struct audit_table *table, size_t row_size);
void audit_sort (struct audit_table *table);
void *audit_find (const struct audit_table *table, const char *id);
char *audit_copy (const char *text);
#define AUDIT_EACH(type, row, table)                                                                                   \
    for (type *row = (table).rows, *row##_end = row + (table).count; row && row < row##_end; row++)

void audit_violation (struct audit *self, enum audit_id check, const char *fmt, ...)
    __attribute__ ((format (printf, 3, 4)));
void audit_counted (struct audit *self, enum audit_id check, const char *fmt, ...)
    __attribute__ ((format (printf, 3, 4)));

/* Whether a stage hands this over (services/stage/handover.c), so that it stands at both `a` and `b` for now: a slot, or a
 * producer (slot -1). */
bool audit_is_handed_over (const struct audit_world *world, int slot, const char *producer, size_t a, size_t b);

/* audit_stores.c. False when a store is damaged: then nothing can be recounted. */
bool audit_check_files (struct audit_world *world);
bool audit_verify_stores (struct audit_world *world);
void audit_tell_losses (struct audit_world *world);

/* Each reads its store into the world's tables, then checks. */
void audit_load_stage (struct audit_world *world); /* audit_stage.c */
void audit_check_snapshots (struct audit_world *world);
void audit_check_objects (struct audit_world *world); /* audit_objects.c */
void audit_load_select (struct audit_world *world);   /* audit_select.c */
void audit_check_candidates (struct audit_world *world);
void audit_check_proposals (struct audit_world *world);
void audit_load_schedule (struct audit_world *world); /* audit_schedule.c */
void audit_check_chains (struct audit_world *world);
void audit_check_jobs (struct audit_world *world);
void audit_check_frames (struct audit_world *world); /* audit_feedback.c */
void audit_check_reports (struct audit_world *world);
void audit_check_structures (struct audit_world *world); /* audit_patterns.c */

/* audit_redis.c: size and checksum of an object's bytes. -1 with errno; EHOSTUNREACH: its server does not answer. */
int audit_read_redis (struct audit_world *world, size_t stage, const char *id, uint64_t *size, uint32_t *crc);

#endif
