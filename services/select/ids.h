/* ids.h - the ids of a sampler's points: zero-padded to whole 8-byte words in one block of memory, named by 4 bytes.
 *
 * Also what is made from an id: its random rank, and a set of ids to look others up in. */
#ifndef STRATA_SELECT_IDS_H
#define STRATA_SELECT_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ids {
    uint64_t *words;
    size_t used, capacity;      /* words */
    size_t dead;                /* words of ids that were dropped */
};

/* Copies an id of at most 200 bytes; its name, valid until ids_fini or a renewal. */
uint32_t ids_add (struct ids *self, const char *id);
/* Valid until the next ids_add. */
static inline const char *ids_get (const struct ids *self, uint32_t name)
{
    return (const char *)(self->words + name);
}
/* The words of the id are no longer wanted; they are given back by a renewal. */
void ids_drop (struct ids *self, uint32_t name);
/* Whether so much was dropped that ids should be copied to a fresh one. */
bool ids_sparse (const struct ids *self);
void ids_fini (struct ids *self);
size_t ids_bytes (const struct ids *self);

/* In [0, 1), from seed and id alone: the random choice that a restart repeats. */
double ids_random (uint64_t seed, const char *id);
/* The same of one that is kept. */
double ids_random_of (const struct ids *self, uint64_t seed, uint32_t name);
/* Its highest 32 bits, as a whole number: in the order of ids_random_of, but for equal ones. */
uint32_t ids_random_high (const struct ids *self, uint64_t seed, uint32_t name);

/* A set of ids, which the caller keeps. */
struct id_set;
struct id_set *id_set_new (const char *const *ids, size_t count);
void id_set_free (struct id_set **self);
bool id_set_has (const struct id_set *self, const char *id);

#endif
