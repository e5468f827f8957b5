/* world_impl.h - the inside of struct world, shared by world*.c. */
#ifndef EMULATE_WORLD_IMPL_H
#define EMULATE_WORLD_IMPL_H

#include "../feedback/feedback_core.h"
#include "../schedule/drive.h"
#include "../select/select_core.h"
#include "emulated.h"
#include "world.h"

#define SECOND_US 1000000LL
#define SAMPLE_S 600
#define SCALES_MAX 4

/* A select core, for one selection type. */
struct scale {
    const struct campaign_job *type;
    struct campaign campaign;       /* the campaign with this scale's `select` */
    struct shard *shard;
    struct select_core *core;
    uint64_t candidates;            /* that came */
};

struct world {
    struct world_options options;
    struct campaign campaign;       /* the campaign's, with jobs of our own */
    struct campaign_job *jobs;
    char folder[4096];
    int64_t now_us, begun_us;
    struct shard *schedule_shard, *feedback_shard;
    struct drive drive;             /* with the schedule core */
    struct feedback *feedback;
    struct emulated *emulated;
    struct scale scales[SCALES_MAX];
    size_t scales_count;
    struct model_random random;
    int64_t next_snapshot_us, next_loss_us;
    uint64_t snapshots;
    struct { uint32_t node; int64_t back_us; } *lost;
    size_t lost_count, lost_room;
    uint64_t frames_seen, thin, round_frames;
    uint64_t started_before;        /* the last sample */
    struct world_totals totals;
};

double world_cpu_s (void);          /* of this thread */

/* world_arrivals.c: what comes from outside of the cores. */
void world_candidates (struct world *self);     /* when a snapshot is due */
void world_fill_queues (struct world *self, uint64_t count);
void world_frames (struct world *self);         /* of a round of feedback */
void world_nodes (struct world *self);          /* losses and returns that are due */

#endif
