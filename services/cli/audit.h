/* audit.h - recounts a campaign from its stores: nothing lost, nothing twice (design.md, invariant 1).
 *
 * The stores are opened for looking only, the consumer before what it consumes from: feedback, schedule, select, stage.
 * So in a mesh that runs, what a consumer has can't be missing at its producer, and a producer may only be ahead, which
 * cursors and times show. Copies are recounted (audit_snapshot.h), so that nothing is trimmed meanwhile. What can't be copied,
 * objects and claims, may have changed since: what looks wrong is looked for in fresh copies, and is a violation only when it
 * is found again and again, word for word. With the mesh down the recount is exact.
 */
#ifndef STRATA_CLI_AUDIT_H
#define STRATA_CLI_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/campaign.h"
#include "strata_error.h"

#define AUDIT_VIOLATIONS_KEPT 100 /* sentences of each check; more are only counted */
#define AUDIT_TYPES_MAX 64

enum audit_id {
    AUDIT_STORES,     /* each store's files are whole */
    AUDIT_SNAPSHOTS,  /* each snapshot is cut exactly once */
    AUDIT_CANDIDATES, /* each candidate is in exactly one state, and came from the stream */
    AUDIT_PROPOSALS,  /* proposals and candidates name each other; the history tells the same */
    AUDIT_CHAINS,     /* each selection has exactly one chain of jobs */
    AUDIT_JOBS,       /* each job once, each success followed once, counters right */
    AUDIT_FRAMES,     /* each frame is in the sums exactly once, bin for bin */
    AUDIT_REPORTS,    /* each round is on disk and says what the marks say; uptakes are of written rounds */
    AUDIT_STRUCTURES, /* each structure is counted in one pattern of its regions, or set aside */
    AUDIT_OBJECTS,    /* objects are there, whole */
    AUDIT_CHECKS
};

struct audit_check {
    const char *name, *promise;
    char counted[600]; /* the numbers it counted, as a sentence */
    char **violations; /* each names exactly what is wrong */
    size_t kept;
    uint64_t count;
};

struct audit_summary {
    uint64_t snapshots_cut, snapshots_waiting, snapshots_aside;
    uint64_t candidates, waiting, proposed, selected, discarded, invalid;
    struct {
        uint64_t waiting, running, succeeded, aside, cancelled;
    } jobs[AUDIT_TYPES_MAX]; /* by type, as in the campaign file; of an `always` type succeeded = clean ends */
    uint64_t frames, simulations, reports_written, reports_taken;
    uint64_t objects, object_bytes;
    double core_seconds;       /* of the last attempts of jobs that have ended */
    int64_t first_us, last_us; /* the first job was made; the last one ended */
};

struct audit {
    bool live;
    struct audit_check checks[AUDIT_CHECKS];
    struct audit_summary summary;
    uint64_t violations;
};

/* Recounts. live: services run meanwhile. deep: reads every block of the stores first. 0: counted, see violations; -1: a store can't be read, see error. Either way
 * the caller ends with audit_fini. */
int audit_run (const char *workspace, const struct campaign *campaign, bool live, bool deep, struct audit *self,
               struct strata_error *error);
void audit_fini (struct audit *self);
/* Whether the stores say that the campaign's goal is reached; reads a few keys only. False also when they can't be
 * read. */
bool audit_goal_reached (const char *workspace, const struct campaign *campaign);

#endif
