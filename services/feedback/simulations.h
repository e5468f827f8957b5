/* simulations.h - figures of the simulations that the turn's frames are of: read from the store once, written back once.
 *
 * A page holds many frames of one simulation. What was looked at is kept until the batch is complete, so it is bounded by a
 * page's records.
 */
#ifndef STRATA_FEEDBACK_SIMULATIONS_H
#define STRATA_FEEDBACK_SIMULATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sim_field { SIM_FRAMES, SIM_LAST, SIM_REPEATS, SIM_ASIDE, SIM_FIELDS };

/* Counts of one of its rows of the sums; kept only where reports are weighted. */
struct simulation_row {
    size_t row;
    int64_t *cells; /* [bins] */
};

struct simulation {
    uint64_t figures[SIM_FIELDS];
    bool changed;
    struct simulation_row *rows; /* those that the turn's frames have counts in */
    size_t rows_count, rows_room;
    uint64_t hash;
    char *name;
};

struct simulations {
    struct simulation **slots; /* open addressing; a power of two, at most half full */
    size_t room, count;
};

/* Its place, with zeros when it was not kept; *fresh: then. Valid until simulations_clear. Out of memory ends the process. */
struct simulation *simulations_find (struct simulations *self, const char *name, bool *fresh);
/* The counts of one of its rows, zeros when it was not looked at since; *fresh: then. Valid until simulations_flush. */
int64_t *simulation_row (struct simulation *self, size_t row, size_t bins, bool *fresh);
/* Calls each (simulation, arg) for those that are changed, in the order of their names, and forgets all. */
void simulations_flush (struct simulations *self, void (*each) (const struct simulation *simulation, void *arg), void *arg);

#endif
