/* load.h - the parts of crash-load, a program that stands in for a campaign's own programs under faults. */
#ifndef CRASH_LOAD_H
#define CRASH_LOAD_H

#include <stddef.h>
#include <stdint.h>

#include "strata_error.h"

#define LOAD_CALL_MS 4000 /* of one call to the stage; it is tried again */
#define LOAD_COARSE 5     /* edge of a patch: the campaign file says the same */

struct load_options {
    const char *out, *in, *candidate, *simulation, *reports, *hold, *workspace, *peer;
    uint64_t seed;
    unsigned attempt, frames, pace_ms, grid, ras, fail_percent, dimensions;
};

/* Each is a whole run: 0, or -1 with the sentence. */
int load_model (const struct load_options *options, struct strata_error *error);
int load_continuum (const struct load_options *options, struct strata_error *error);
int load_setup (const struct load_options *options, struct strata_error *error);
int load_simulation (const struct load_options *options, struct strata_error *error);
/* frames.c: --frames of each of 64 simulations, states S0 to S17 */
int load_frames_of_many (const struct load_options *options, struct strata_error *error);
/* requests.c; refused: asks the service --peer what it must refuse */
int load_requests (const struct load_options *options, struct strata_error *error);
int load_refused (const struct load_options *options, struct strata_error *error);
/* recount.c: 0 also when there are violations; they stand in *violations. */
int load_recount (const struct load_options *options, uint64_t *violations, struct strata_error *error);

/* Frames that a simulation has, from its name: `frames` and up to as many again. */
uint64_t load_frames (const struct load_options *options, const char *simulation);
/* Writes <dir>/<name> by temporary file, fsync and rename. */
int load_save (const char *dir, const char *name, const void *data, size_t size, struct strata_error *error);
/* Sleeps, and then as long as the file --hold is there. */
void load_pace (const struct load_options *options, unsigned ms);
/* This attempt's own end, by seed: 0 none, else 1 exit code, 2 signal; *share: how far in its work, 0..1. */
int load_own_end (const struct load_options *options, const char *who, double *share);
void load_end (int how) __attribute__ ((noreturn));
/* Holds a lock in --out until the process ends. Found held: two attempts of one job run at once, a violation. */
int load_alone (const struct load_options *options, struct strata_error *error);
/* A promise of the mesh was broken: keeps the sentence in <out>/violation, which recount finds. */
int load_violation (const struct load_options *options, struct strata_error *error);

#endif
