/* simulations.c - see simulations.h */
#include "simulations.h"

#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "core/log.h"

static void *must (void *pointer)
{
    if (!pointer) {
        log_error ("out of memory");
        abort ();
    }
    return pointer;
}

static struct simulation **slot_of (struct simulations *self, const char *name, uint64_t hash)
{
    size_t i = hash & (self->room - 1);
    while (self->slots[i] && (self->slots[i]->hash != hash || strcmp (self->slots[i]->name, name) != 0))
        i = (i + 1) & (self->room - 1);
    return &self->slots[i];
}

static void grow (struct simulations *self)
{
    struct simulations old = *self;
    self->room = old.room ? 2 * old.room : 64;
    self->slots = must (calloc (self->room, sizeof (*self->slots)));
    for (size_t i = 0; i < old.room; i++)
        if (old.slots[i])
            *slot_of (self, old.slots[i]->name, old.slots[i]->hash) = old.slots[i];
    free (old.slots);
}

struct simulation *simulations_find (struct simulations *self, const char *name, bool *fresh)
{
    uint64_t hash = hash64 (0, name, strlen (name));
    if (2 * (self->count + 1) > self->room)
        grow (self);
    struct simulation **slot = slot_of (self, name, hash);
    *fresh = !*slot;
    if (*fresh) {
        *slot = must (calloc (1, sizeof (**slot)));
        (*slot)->name = must (strdup (name));
        (*slot)->hash = hash;
        self->count++;
    }
    return *slot;
}

int64_t *simulation_row (struct simulation *self, size_t row, size_t bins, bool *fresh)
{
    *fresh = false;
    for (size_t i = 0; i < self->rows_count; i++)
        if (self->rows[i].row == row)
            return self->rows[i].cells;
    if (self->rows_count == self->rows_room) {
        self->rows_room = self->rows_room ? 2 * self->rows_room : 8;
        self->rows = must (reallocarray (self->rows, self->rows_room, sizeof (*self->rows)));
    }
    *fresh = true;
    self->rows[self->rows_count] = (struct simulation_row){ row, must (calloc (bins, sizeof (int64_t))) };
    return self->rows[self->rows_count++].cells;
}

static int by_name (const void *a, const void *b)
{
    return strcmp ((*(struct simulation *const *)a)->name, (*(struct simulation *const *)b)->name);
}

void simulations_flush (struct simulations *self, void (*each) (const struct simulation *simulation, void *arg), void *arg)
{
    size_t count = 0;
    if (!self->count)
        return;
    for (size_t i = 0; i < self->room; i++)
        if (self->slots[i])
            self->slots[count++] = self->slots[i];
    qsort (self->slots, count, sizeof (*self->slots), by_name); /* the same inputs give the same changes */
    for (size_t i = 0; i < count; i++) {
        if (self->slots[i]->changed)
            each (self->slots[i], arg);
        for (size_t k = 0; k < self->slots[i]->rows_count; k++)
            free (self->slots[i]->rows[k].cells);
        free (self->slots[i]->rows);
        free (self->slots[i]->name);
        free (self->slots[i]);
    }
    free (self->slots);
    *self = (struct simulations){ .slots = NULL };
}
