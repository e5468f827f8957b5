/* points.c - see points.h */
#include "points.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"

#define WEIGH_SLOTS 4096u       /* that threads share out between two looks at what was allowed */

int points_init (struct points *self, unsigned dimensions, struct strata_error *error)
{
    memset (self, 0, sizeof (*self));
    self->dimensions = dimensions;
    self->selected = nearest_new (dimensions, error);
    return self->selected ? 0 : -1;
}

void points_fini (struct points *self)
{
    ids_fini (&self->ids);
    free (self->x);
    free (self->id);
    free (self->free_slots);
    free (self->selected_id);
    free (self->owner);
    free (self->owner_square);
    free (self->owner_seen);
    nearest_free (&self->selected);
}

/* ---- waiting points ---- */

static uint32_t slot_new (struct points *self, uint32_t id, const float *point)
{
    size_t d = self->dimensions;
    uint32_t slot;
    if (self->free_count > 0)
        slot = self->free_slots[--self->free_count];
    else {
        slot = (uint32_t)self->slots++;
        self->x = select_grow (self->x, &self->x_capacity, self->slots, d * sizeof (float));
        self->id = select_grow (self->id, &self->id_capacity, self->slots, sizeof (uint32_t));
    }
    self->id[slot] = id;
    memcpy (self->x + slot * d, point, d * sizeof (float));
    if (slot < self->owner_slots)
        self->owner_seen[slot] = 0;
    self->waiting++;
    return slot;
}

uint32_t points_add (struct points *self, const char *id, const float *point)
{
    return slot_new (self, ids_add (&self->ids, id), point);
}

static void slot_free (struct points *self, uint32_t slot)
{
    self->free_slots =
        select_grow (self->free_slots, &self->free_capacity, self->free_count + 1, sizeof (uint32_t));
    self->free_slots[self->free_count++] = slot;
    self->id[slot] = POINTS_NONE;
    self->waiting--;
}

/* Copies the ids that are in use to a block of their own. */
static void ids_renew (struct points *self)
{
    struct ids fresh = { NULL, 0, 0, 0 };
    for (size_t i = 0; i < self->slots; i++)
        if (self->id[i] != POINTS_NONE)
            self->id[i] = ids_add (&fresh, points_id (self, i));
    for (size_t i = 0; i < points_selected (self); i++)
        self->selected_id[i] = ids_add (&fresh, points_selected_id (self, i));
    ids_fini (&self->ids);
    self->ids = fresh;
}

void points_forget (struct points *self, uint32_t slot)
{
    ids_drop (&self->ids, self->id[slot]);
    slot_free (self, slot);
    if (ids_sparse (&self->ids))
        ids_renew (self);
}

/* ---- selected points ---- */

static void selected_append (struct points *self, uint32_t id, const float *point)
{
    size_t n = points_selected (self);
    self->selected_id = select_grow (self->selected_id, &self->selected_capacity, n + 1, sizeof (uint32_t));
    self->selected_id[n] = id;
    nearest_add (self->selected, point);
}

void points_select (struct points *self, uint32_t slot)
{
    selected_append (self, self->id[slot], points_at (self, slot));
    slot_free (self, slot);
}

void points_add_selected (struct points *self, const char *id, const float *point)
{
    selected_append (self, ids_add (&self->ids, id), point);
}

/* Selected points from `first` on have other numbers: whoever has seen them looks at all again. */
static void owners_forget (struct points *self, size_t first)
{
    for (size_t slot = 0; slot < self->owner_slots; slot++)
        if (self->owner_seen[slot] > first)
            self->owner_seen[slot] = 0;
}

size_t points_release (struct points *self, const struct id_set *ids, uint32_t *slots, size_t *first)
{
    size_t n = points_selected (self), released = 0, kept = 0;
    unsigned char *keep = select_calloc (n + 1, 1);
    *first = n;
    for (size_t i = 0; i < n; i++) {
        keep[i] = !id_set_has (ids, points_selected_id (self, i));
        if (keep[i]) {
            self->selected_id[kept++] = self->selected_id[i];
            continue;
        }
        if (*first == n)
            *first = i;
        slots[released++] = slot_new (self, self->selected_id[i], nearest_point (self->selected, i));
    }
    if (released > 0) {
        nearest_keep (self->selected, keep);
        owners_forget (self, *first);
    }
    free (keep);
    return released;
}

/* ---- weights ---- */

static bool lower_id (size_t a, size_t b, const void *arg)
{
    const struct points *self = arg;
    return strcmp (points_selected_id (self, a), points_selected_id (self, b)) < 0;
}

static void owners_grow (struct points *self)
{
    size_t from = self->owner_slots;
    if (self->slots <= from)
        return;
    self->owner = select_grow (self->owner, &self->owner_capacity, self->slots, sizeof (uint32_t));
    self->owner_square = select_grow (self->owner_square, &self->owner_square_capacity, self->slots, sizeof (double));
    self->owner_seen = select_grow (self->owner_seen, &self->owner_seen_capacity, self->slots, sizeof (uint32_t));
    memset (self->owner_seen + from, 0, (self->slots - from) * sizeof (uint32_t));
    self->owner_slots = self->slots;
}

bool points_weigh (struct points *self, uint64_t distances)
{
    const size_t n = points_selected (self);
    owners_grow (self);
    if (n == 0)
        return true;
    for (size_t from = 0; from < self->slots; from += WEIGH_SLOTS) {
        size_t end = from + WEIGH_SLOTS < self->slots ? from + WEIGH_SLOTS : self->slots;
        uint64_t done = 0;
        for (size_t slot = from; slot < end; slot++)
            done += self->id[slot] == POINTS_NONE ? 0 : n - self->owner_seen[slot];
        if (done == 0)
            continue;
        if (distances == 0)
            return false;
        distances -= done < distances ? done : distances;
#pragma omp parallel for schedule(dynamic, 64) if (done > 10000000)
        for (size_t slot = from; slot < end; slot++) {
            if (self->id[slot] == POINTS_NONE || self->owner_seen[slot] == n)
                continue;
            self->owner[slot] =
                (uint32_t)nearest_one (self->selected, points_at (self, slot), self->owner_seen[slot],
                                       self->owner[slot], &self->owner_square[slot], lower_id, self);
            self->owner_seen[slot] = (uint32_t)n;
        }
    }
    return true;
}

void points_owned (const struct points *self, uint64_t *counts)
{
    memset (counts, 0, points_selected (self) * sizeof (*counts));
    for (size_t slot = 0; slot < self->owner_slots; slot++)
        if (self->id[slot] != POINTS_NONE && self->owner_seen[slot] > 0)
            counts[self->owner[slot]]++;
}

/* ---- memory ---- */

size_t points_bytes (const struct points *self)
{
    return ids_bytes (&self->ids) + self->x_capacity * self->dimensions * sizeof (float)
        + (self->id_capacity + self->free_capacity + self->selected_capacity) * sizeof (uint32_t)
        + (self->owner_capacity + self->owner_seen_capacity) * sizeof (uint32_t)
        + self->owner_square_capacity * sizeof (double) + nearest_bytes (self->selected);
}

size_t points_candidate_bytes (unsigned dimensions, const char *id)
{
    return dimensions * sizeof (float) + sizeof (uint32_t) + (strlen (id) / 8 + 1) * 8;
}
