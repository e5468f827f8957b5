/* schedule_core.h - jobs: which there are, in which state each is, what happens next. Pure: no process, file or clock.
 *
 * A job is a record that moves along this table (schedule_state.c holds it, and checks every move and what must be true
 * of a job in each state):
 *
 *   (none) -> PROPOSED -> WAITING -> LAUNCHING -> RUNNING -> SUCCEEDED
 *                |           ^           |           |
 *                |           +-----------+-----------+  failed with tries left, or stopped with the campaign
 *                |           |           |           |
 *                |           v           v           v
 *                |        CANCELLED   ASIDE, CANCELLED             ASIDE -> WAITING  asked for by hand (schedule_retry)
 *                +-> (none) the proposal was stale       +-> CANCELLED  asked for before it was confirmed
 *
 * Where jobs come from (campaign file, `start`):
 *   always      one job, created once; ends in WAITING again after exit 0, until the campaign's goal for it is reached
 *   selection   kept `buffer` ahead: see schedule_proposal.c
 *   after       created by the success of the job before it, in the same batch
 *
 * LAUNCHING is on disk before an executor is told (schedule_may_launch), so a restart knows of all that could run.
 *
 * Keys in the shard (audit reads them):
 *   job/<id>      Strata Job: every job there ever was, <id> = <type>-<number>
 *   live/<id>, counts/<type>, indexed   what a start reads instead of all jobs (schedule_index.c)
 *   prop/<name>   Strata Question: questions to select that have no final answer yet
 *   breaker/<type>  Strata Breaker: of a type whose jobs were set aside in a row (schedule_breaker.c)
 *   chain/<simulation>   id of the first job of the chain, so that no candidate gets two
 *   next/<type>   u64, number of the last job of the type       next-prop   u64, number of the last proposal
 *   set/<name>     u64: a setting that was changed (schedule_settings.c)
 *   end-of         u64, with set/end_s: the allocation's end that it was set instead of
 *   boot          boot id of the machine that the service ran on last (main.c)
 *   node/<name>    u64, enum resources_node_state: of a node that is drained or lost; its number where nodes have no names
 *   succ/<type>   u64, successes of the type: equals its jobs in SUCCEEDED, for `always` types its clean ends
 * Streams: "jobs", a Strata Job each time one moves; "events".
 */
#ifndef SCHEDULE_CORE_H
#define SCHEDULE_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/campaign.h"
#include "core/outcome.h"
#include "machine.h"
#include "resources.h"
#include "schedule.pb-c.h"
#include "select.pb-c.h"
#include "store/shard.h"
#include "strata_error.h"

struct schedule;

#define SCHEDULE_ID_MAX 200             /* bytes of a candidate's id */
#define SCHEDULE_PROPOSAL_MAX 10000     /* candidates of one proposal */

/* Where a change goes besides the shard. Called in the turn that makes it. */
struct schedule_sink {
    void (*job) (void *arg, const Strata__Job *job);
    void (*event) (void *arg, const char *kind, const char *subject, const char *text);
    void *arg;
};

/* Builds the state from the shard. campaign, shard and machine (what an executor has to give) must outlive it. workspace:
 * absolute. NULL on a shard that does not go with the campaign. What running jobs hold on nodes that are not there any more is
 * not counted. */
struct schedule *schedule_new (const struct campaign *campaign, struct shard *shard, const char *workspace,
                               const struct machine *machine, const struct schedule_sink *sink, int64_t now_us,
                               struct strata_error *error);
void schedule_free (struct schedule **self);

/* Starts what is due: jobs of `always` types, questions to select, and places for waiting jobs. */
void schedule_tick (struct schedule *self, int64_t now_us);
/* Jobs of the type are not started until it is let go again, or until a restart. -1: there is no such type. */
int schedule_hold_type (struct schedule *self, const char *type, bool hold);
/* From now on nothing new starts: the campaign goes down. */
void schedule_drain (struct schedule *self);
bool schedule_is_draining (const struct schedule *self);
/* Whether jobs of some types are to end because the allocation does (schedule_end.c). */
bool schedule_ending (const struct schedule *self);
/* Seconds that the jobs in work have at the most to end when they are asked to. */
unsigned schedule_grace_s (const struct schedule *self);

/* ---- jobs that are not ended; indexes hold until the next call that is not about looking ---- */
size_t schedule_live (const struct schedule *self);
const Strata__Job *schedule_job_at (const struct schedule *self, size_t i);

/* Those that an executor has to do with. */
enum schedule_list {
    SCHEDULE_LAUNCHING,
    SCHEDULE_RUNNING,
    SCHEDULE_STOPPING,                  /* running, and asked to be cancelled */
    SCHEDULE_LISTS
};
struct schedule_work {
    const Strata__Job *job;
    const struct campaign_job *type;
    bool may_launch;                    /* LAUNCHING, and that is on disk: the executor may be told */
    bool must_stop;                     /* should end: cancelled, or the campaign goes down */
    const void *next;
};
size_t schedule_count (const struct schedule *self, enum schedule_list list);
/* In the order in which they came to the list. What is told of a job between two calls may take that one job off the list.
 * False: there is none (more). */
bool schedule_first (const struct schedule *self, enum schedule_list list, struct schedule_work *work);
bool schedule_next (const struct schedule *self, struct schedule_work *work);
/* False: it is on none of the lists. */
bool schedule_work_of (struct schedule *self, const char *id, struct schedule_work *work);

/* Which state a node is in, until it is changed again, also over restarts. Jobs on a lost one have ended (END_LOST). -1: there
 * is no such node. */
enum resources_node_state schedule_node (const struct schedule *self, size_t node);
int schedule_set_node (struct schedule *self, size_t node, enum resources_node_state state, int64_t now_us,
                       struct strata_error *error);

/* ---- what happened to them; -1 when that can't be (no such job, another attempt, a move that is not allowed) ---- */
int schedule_launched (struct schedule *self, const char *id, uint32_t attempt, uint32_t pid, int64_t now_us,
                       struct strata_error *error);
int schedule_ended (struct schedule *self, const char *id, uint32_t attempt, const struct outcome *outcome,
                    int64_t now_us, struct strata_error *error);
/* Which jobs are meant: those that every text that is not "" fits. */
struct schedule_wanted {
    const char *id;                     /* of a job, or of a simulation: all of its chain */
    const char *state, *type;           /* states by commas, as schedule_states_read */
    bool all;                           /* must be set when all texts are "" */
};
/* Calls each (id, arg) for what is cancelled by it. Waiting jobs are at once; running ones when they have ended. -1: errno ENOENT
 * nothing fits; EALREADY what has the id had all ended; EINVAL nothing is said of them, or an unknown state. */
int schedule_cancel (struct schedule *self, const struct schedule_wanted *wanted, void (*each) (const char *id, void *arg), void *arg,
                     int64_t now_us, struct strata_error *error);

/* Jobs that were set aside wait again with all of their tries. id: as schedule_cancel, "" for any; type: "" for any; not
 * both "". -1: errno EINVAL neither is given; ENOENT nothing matches; EALREADY nothing of it is set aside. */
int schedule_retry (struct schedule *self, const char *id, const char *type, void (*each) (const char *id, void *arg),
                    void *arg, int64_t now_us, struct strata_error *error);

/* Why the job is in the state that it is in: what it waits for, or how it failed and what to do. */
void schedule_why (struct schedule *self, const Strata__Job *job, int64_t now_us, char *text, size_t size);
/* Why there are no more jobs of a type: its buffer is full, select has no candidate ... False: there is no such type. */
bool schedule_why_type (struct schedule *self, const char *type, int64_t now_us, char *text, size_t size);

/* What of the campaign file is changed while it runs, until it is changed again: "buffer.createsim", "share.cg", "submissions" ...
 * (schedule_settings.c). text "": the campaign file's value again. -1: errno ENOENT there is no such setting; EINVAL. */
int schedule_update (struct schedule *self, const char *name, const char *text, struct strata_error *error);
/* Calls each (name, value, the campaign file's value, of how many parts of 1 both are, arg). */
void schedule_settings (struct schedule *self, void (*each) (const char *name, uint64_t value, uint64_t of_file, uint64_t per, void *arg), void *arg);

/* ---- questions to select ---- */
size_t schedule_proposals (const struct schedule *self);
const Strata__Question *schedule_proposal_at (const struct schedule *self, size_t i);
/* It is time to ask (QUESTION_ASKED) or to confirm (QUESTION_CONFIRMING); schedule_proposal_sent marks it as under way
 * until one of the four answers below. */
bool schedule_proposal_due (const struct schedule *self, size_t i, int64_t now_us);
void schedule_proposal_sent (struct schedule *self, size_t i);
/* Answers. Those to a proposal that is not there or in another state are of a time gone by, and ignored. */
void schedule_proposed (struct schedule *self, const char *name, const Strata__ProposeReply *reply, int64_t now_us);
void schedule_confirmed (struct schedule *self, const char *name, int64_t now_us);
void schedule_stale (struct schedule *self, const char *name, int64_t now_us);
void schedule_unanswered (struct schedule *self, const char *name, const char *why, int64_t now_us);

/* ---- looking ---- */
struct schedule_figures {
    uint64_t cores, cores_busy, gpus, gpus_busy;    /* of nodes that are not lost */
    size_t nodes, nodes_drained, nodes_lost;
    uint64_t misplaced;                 /* bindings since schedule_new that are not near or shared as their type wishes */
    uint64_t waiting, running, succeeded, aside, cancelled;   /* waiting: PROPOSED too; running: LAUNCHING too */
    uint64_t buffer_ready;              /* prepared, and not consumed yet */
    double occupancy;                   /* busy core-seconds / core-seconds there were, since schedule_new */
    double gpu_occupancy;               /* the same of GPUs */
    int64_t end_us;                     /* of the allocation; 0: not known */
    uint64_t paused;                    /* types that are paused because their jobs were set aside in a row */
};
void schedule_figures (const struct schedule *self, struct schedule_figures *figures);
/* The same for the i-th type of the campaign: cores and buffer_ready of selection types only, gpus_busy of any; nodes
 * and occupancy 0. */
void schedule_type_figures (const struct schedule *self, size_t i, struct schedule_figures *figures);
/* A sentence about what keeps jobs from running; NULL when nothing does. */
const char *schedule_trouble (struct schedule *self, int64_t now_us);
/* Answers Jobs from the shard. The caller frees with schedule_jobs_fini. -1: an unknown state is asked for. */
int schedule_jobs (struct shard *shard, const Strata__Jobs *query, Strata__JobsReply *reply,
                   struct strata_error *error);
/* Puts beside the jobs what the core knows of them: why, waits, types. */
void schedule_jobs_tell (struct schedule *self, const Strata__Jobs *query, Strata__JobsReply *reply, int64_t now_us);
void schedule_jobs_fini (Strata__JobsReply *reply);

/* ---- schedule_state.c ---- */
const char *schedule_state_name (Strata__JobState state);      /* "waiting" */
bool schedule_state_ended (Strata__JobState state);
bool schedule_state_allows (Strata__JobState from, Strata__JobState to);
/* Whether all that must be true of a job in its state is; -1 with the sentence that says what isn't. */
int schedule_state_check (const Strata__Job *job, const struct campaign_job *type, struct strata_error *error);

#endif
