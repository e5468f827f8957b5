/* schedule_impl.h - the inside of struct schedule, shared by the schedule_*.c files and nobody else. */
#ifndef SCHEDULE_IMPL_H
#define SCHEDULE_IMPL_H

#include "resources.h"
#include "schedule_core.h"

#define STATES 7
#define SCHEDULE_SHARE 1000000

/* A job that is not ended. Where it stands: schedule_live.c. */
struct live {
    Strata__Job *job;                   /* ours; every string malloc'ed or protobuf's empty one */
    struct job_type *type;
    uint64_t launch_commit; /* the shard's commits when it became LAUNCHING: one more, and that is on disk */
    int64_t not_before_us;              /* a pause before the next try; 0: none. Set by schedule_pause */
    int64_t pause_us;                   /* `always` types: the last pause after a brief clean run */
    bool fresh;                         /* waits for its first attempt */
    size_t live_at, heap_at;            /* in schedule.live; in heap */
    struct live_heap *heap;
    struct live_list *list;
    struct live *list_next, *list_before, *hashed;
};

struct live_heap {
    struct live **list;
    size_t count, room;
};

struct live_list {
    struct live *first, *last;
    size_t count;
};

struct job_type {
    const struct campaign_job *campaign;
    unsigned depth;                     /* steps from the start of its chain; `always` types stand above all */
    struct resources_request request;   /* its number is that of the type */
    bool wants;                         /* cores or GPUs of its own */
    bool too_big;                       /* asks for more than there is */
    bool on_hold;
    uint64_t buffer, share;             /* schedule_settings.c; share: SCHEDULE_SHARE is all GPUs, 0 no share */
    unsigned lanes;                     /* bits; types that have none in common can't take each other's room */
    uint64_t counts[STATES];            /* jobs in each state */
    bool counts_changed;                /* and not put yet */
    uint64_t fresh;                     /* of those that wait: for their first attempt */
    uint64_t successes, last_number;
    uint64_t gpus_held;
    struct live_heap ready;             /* waiting ones that no pause keeps, oldest first */
    /* selection types */
    int64_t ask_after_us, ask_pause_us; /* after an empty answer */
    Strata__Breaker *breaker;           /* as on disk; NULL: nothing was set aside since the last success */
};

struct proposal {
    Strata__Question *message;          /* as live.job */
    struct job_type *type;
    bool under_way;
    int64_t not_before_us;
    struct live **jobs;                 /* CONFIRMING: its jobs, which are PROPOSED */
    size_t jobs_count, jobs_room;
};

struct schedule {
    struct {
        uint64_t submissions, round_s;  /* 0 submissions: no limit */
        uint64_t end_s;                 /* of the allocation, since 1970; 0: not known */
    } settings;                         /* schedule_settings.c */
    const struct campaign *campaign;
    const struct machine *machine;
    struct shard *shard;
    char *workspace;
    struct schedule_sink sink;
    struct job_type *types;
    size_t types_count;
    struct live **live;                 /* all that are not ended, in no order */
    size_t live_count, live_room;
    struct live **buckets;              /* the same by id; a power of two of them */
    size_t buckets_count;
    struct live_list lists[SCHEDULE_LISTS];
    struct live_heap paused;
    struct live **ended;                /* off all of the lists, freed by schedule_sweep */
    size_t ended_count, ended_room;
    struct proposal **proposals;
    size_t proposals_count, proposals_room;
    struct resources *resources;
    int64_t round_us;                   /* when this round of submissions began */
    uint64_t submitted;                 /* in it */
    bool draining;
    int64_t end_us;                     /* what the machine says */
    int64_t stop_us[2];                 /* schedule_end.c: when simulations are stopped, and those that feed them; 0: never */
    unsigned end_told;
    char capacity_trouble[256], trouble[768];
    int64_t since_us;                   /* figures are complete up to here */
    double core_seconds, busy_core_seconds;
    double gpu_seconds, busy_gpu_seconds;
};

/* Strings and lists of a protobuf message that we own. */
void schedule_set_string (char **field, const char *value);
void *schedule_grow (void *list, size_t count, size_t *room, size_t size);

void schedule_event (struct schedule *self, const char *kind, const char *subject, const char *fmt, ...)
    __attribute__ ((format (printf, 4, 5)));
struct job_type *schedule_find_type (struct schedule *self, const char *name);

/* schedule_live.c: see there. */
struct live *schedule_live_add (struct schedule *self, Strata__Job *job, struct job_type *type);
void schedule_live_remove (struct schedule *self, struct live *live);
void schedule_live_free (struct live *live);
void schedule_leave (struct schedule *self, struct live *live);
void schedule_enter (struct schedule *self, struct live *live);
struct live *schedule_find_live (struct schedule *self, const char *id);
bool schedule_older (const struct live *a, const struct live *b);
/* It is not started before until_us; 0: it may be at once. */
void schedule_pause (struct schedule *self, struct live *live, int64_t until_us);
/* Pauses that are over end. */
void schedule_wake (struct schedule *self, int64_t now_us);

/* Makes a job in `state` (PROPOSED or WAITING), because of reason. simulation NULL: its own id. */
struct live *schedule_create (struct schedule *self, struct job_type *type, Strata__JobState state,
                              const char *simulation, const char *candidate, const char *input, const char *proposal,
                              const char *reason, int64_t now_us);
/* The one way to another state: checks the move, keeps it with time and reason ("": none) in the job and in the counts, writes the record, tells the sink. When the state is
 * a last one the job leaves the live list at the next schedule_sweep. */
int schedule_move (struct schedule *self, struct live *live, Strata__JobState to, const char *reason, int64_t now_us, struct strata_error *error);
/* Frees ended jobs; before a public function returns. */
void schedule_sweep (struct schedule *self);
/* As if it had never been: only of PROPOSED. */
void schedule_forget (struct schedule *self, struct live *live);
void schedule_give_back (struct schedule *self, struct live *live);
/* An ended job, read from the shard, is on the live list again; takes the record. */
struct live *schedule_revive (struct schedule *self, Strata__Job *job, struct job_type *type);

/* schedule_index.c: see there. put: when a job comes to be among those that are not ended, or is not any more. */
void schedule_index_put (struct schedule *self, const Strata__Job *job);
void schedule_index_forget (struct schedule *self, const Strata__Job *job);
/* Counts of types that have changed are put into the batch before it is written. */
void schedule_index_counts (struct schedule *self);
int schedule_index_load (struct schedule *self, struct strata_error *error);

/* Whether a pause that ends at `until_us` is over; also when the clock was set back by more than any pause is long. */
bool schedule_pause_over (int64_t until_us, int64_t now_us);

/* schedule_breaker.c: see there. The four ends are told after the job's move. */
int schedule_breaker_load (struct schedule *self, struct strata_error *error);
void schedule_breaker_free (struct job_type *type);
bool schedule_breaker_open (const struct job_type *type);
/* Whether a job of the type may start now; of an open one that is due: exactly one. */
bool schedule_breaker_lets (const struct job_type *type, int64_t now_us);
void schedule_breaker_launched (struct schedule *self, struct live *live);
void schedule_breaker_succeeded (struct schedule *self, struct live *live);
/* whole: it says that what it lacks all of its type lack; they are paused at once. */
void schedule_breaker_failed (struct schedule *self, struct live *live, bool whole, int64_t now_us);
void schedule_breaker_undecided (struct schedule *self, struct live *live);     /* stopped, cancelled */
/* Somebody says that the cause is mended: the next probe goes at once. */
void schedule_breaker_retry (struct schedule *self, struct job_type *type, int64_t now_us);
/* At most so many candidates may be asked for, for the chain that begins with `root`. */
uint64_t schedule_breaker_ask_limit (struct schedule *self, const struct job_type *root, int64_t now_us);
/* False: not paused, text is untouched. */
bool schedule_breaker_trouble (const struct job_type *type, int64_t now_us, char *text, size_t size);

/* schedule_place.c */
void schedule_place (struct schedule *self, int64_t now_us);
/* Marks what a job read from the shard holds. */
void schedule_hold (struct schedule *self, struct live *live);

/* schedule_end.c: see there. After settings.end_s has changed. */
void schedule_end_set (struct schedule *self);
/* Whether running jobs of the type are to end now. */
bool schedule_end_stops (const struct schedule *self, const struct job_type *type);
/* Whether one may still start. */
bool schedule_end_lets (const struct schedule *self, const struct job_type *type, int64_t now_us);
/* Why not. */
void schedule_end_why (const struct schedule *self, const struct job_type *type, int64_t now_us, char *text, size_t size);
/* Events, once for each stage. */
void schedule_end_tell (struct schedule *self);

/* schedule_proposal.c */
int schedule_load_proposals (struct schedule *self, struct strata_error *error);
void schedule_ask (struct schedule *self, int64_t now_us);
uint64_t schedule_ready (const struct schedule *self, const struct job_type *type);
void schedule_free_proposals (struct schedule *self);

bool schedule_outstanding (const struct schedule *self, const struct job_type *type);   /* select is asked for it */

/* schedule_look.c. Whether a job has that id (its own, or its simulation's) and type, "": any, and one of the states. */
bool schedule_fits (const Strata__Job *job, const char *id, unsigned states, const char *type);

/* schedule_state.c. The states that names name: by commas, "" for all. -1: one is no state of a job. */
int schedule_states_read (const char *names, unsigned *states, struct strata_error *error);
bool schedule_states_have (unsigned states, const Strata__Job *job);
bool schedule_states_live (unsigned states);    /* no job that has ended is in one of them */

/* schedule_settings.c. After the types are made: what was changed, else the campaign file's values. */
void schedule_settings_load (struct schedule *self, int64_t now_us);

#endif
