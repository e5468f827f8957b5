/* content.h - what the load program's jobs say, as a function of who says it: the same (simulation, frame) has the same
 * bytes in every attempt, so a frame that comes again comes the same, and the whole campaign's sums can be worked out
 * afterwards from nothing but the names of the simulations and their numbers of frames.
 *
 * Sizes are those of the campaign of the paper (SC'21, section 4.1): histograms of 8 lipids in 599 bins of which a
 * frame fills a few hundred, and frames of about 850 B with their identity.
 */
#ifndef CRASH_CONTENT_H
#define CRASH_CONTENT_H

#include <stddef.h>
#include <stdint.h>

#define CONTENT_STATES 18
#define CONTENT_ROWS 8
#define CONTENT_BINS 599
#define CONTENT_BLOCK (CONTENT_ROWS * CONTENT_BINS)
#define CONTENT_BLOB 760
#define CONTENT_STATE_FRAMES 7 /* a simulation changes its state at most every so many frames */
#define CONTENT_SUM 5

/* A stream of random numbers (splitmix64), from a seed. */
uint64_t content_next (uint64_t *state);
/* The same in [0, 1). */
double content_unit (uint64_t *state);
/* A seed from a name and a number (FNV-1a of both). */
uint64_t content_seed (const char *name, uint64_t number);

/* Half of the simulations add up their frames before they send them and flush every CONTENT_SUM of them; the others, 1, send each
 * as a record and wait for its answer. */
unsigned content_sum (const char *simulation);
/* Frame `frame` (1, 2, ...) of `simulation`: adds its counts to counts[CONTENT_BLOCK]; returns its state, 0..17. */
unsigned content_histogram (const char *simulation, uint64_t frame, int64_t *counts);
/* Its point (tilt, rotation [rad], depth [nm]) and what comes with it. */
void content_frame (const char *simulation, uint64_t frame, double coordinates[3], uint8_t blob[CONTENT_BLOB]);

/* How far a simulation is: a file `progress` in its folder, written in place around every append. Job programs die by
 * signals, never with the machine, so what was written stays. */
struct content_progress {
    uint64_t sent; /* the frame whose append was begun last: at most content_sum () after kept */
    uint64_t kept; /* the last frame that the stage said it has: all up to it */
};

#endif
