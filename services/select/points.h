/* points.h - the two sets of a sampler: points that wait, in slots, and points that were selected, in their order.
 *
 * A sampler keeps what it needs beside, by slot. The weights of feedback are made here, since they are the same for all:
 * the weight of a selected point is 1 + the number of waiting points that it is the nearest selected one of (among
 * equally near ones: the lowest id in byte order). That is brought up to date only when somebody asks, and costs a waiting
 * point one distance for each point selected since it was asked last.
 */
#ifndef STRATA_SELECT_POINTS_H
#define STRATA_SELECT_POINTS_H

#include "ids.h"
#include "nearest.h"

#define POINTS_NONE UINT32_MAX

struct points {
    unsigned dimensions;
    struct ids ids;

    size_t waiting;
    size_t slots;               /* some of them may be free */
    float *x;                   /* [slots][dimensions] */
    uint32_t *id;               /* [slots]; POINTS_NONE: free */
    uint32_t *free_slots;
    size_t x_capacity, id_capacity, free_count, free_capacity;

    struct nearest *selected;
    uint32_t *selected_id;      /* [nearest_count (selected)] */
    size_t selected_capacity;

    /* weights, made when they are first asked for; by slot of waiting points */
    uint32_t *owner;            /* the nearest selected point */
    double *owner_square;
    uint32_t *owner_seen;       /* selected points below it are looked at; 0: none */
    size_t owner_slots, owner_square_capacity, owner_seen_capacity, owner_capacity;
};

/* -1 with an error when the dimensions are not possible. */
int points_init (struct points *self, unsigned dimensions, struct strata_error *error);
void points_fini (struct points *self);

static inline const float *points_at (const struct points *self, size_t slot)
{
    return self->x + slot * self->dimensions;
}
static inline const char *points_id (const struct points *self, size_t slot)
{
    return ids_get (&self->ids, self->id[slot]);
}
static inline size_t points_selected (const struct points *self)
{
    return nearest_count (self->selected);
}
static inline const char *points_selected_id (const struct points *self, size_t i)
{
    return ids_get (&self->ids, self->selected_id[i]);
}

/* Each returns the slot. */
uint32_t points_add (struct points *self, const char *id, const float *point);
/* The slot is free; the id is forgotten. */
void points_forget (struct points *self, uint32_t slot);
/* It becomes the last selected point. */
void points_select (struct points *self, uint32_t slot);
void points_add_selected (struct points *self, const char *id, const float *point);
/* Those of the selected points whose id is in `ids` wait again: slots[] gets where, room for all of them. Returns how
 * many. *first: the lowest number among the selected points that one of them had. */
size_t points_release (struct points *self, const struct id_set *ids, uint32_t *slots, size_t *first);

/* Brings weights up to date with about `distances` distances at the most; true when they all are. */
bool points_weigh (struct points *self, uint64_t distances);
/* counts[points_selected]: the waiting points of each. After points_weigh returned true. */
void points_owned (const struct points *self, uint64_t *counts);

size_t points_bytes (const struct points *self);
/* What the arrays of one more waiting point take, without the room by which they grow ahead and without weights. */
size_t points_candidate_bytes (unsigned dimensions, const char *id);

#endif
