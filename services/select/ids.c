/* ids.c - see ids.h */
#include "ids.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "core/log.h"

static size_t words_of (const char *id)
{
    return strlen (id) / 8 + 1;
}

uint32_t ids_add (struct ids *self, const char *id)
{
    size_t length = strlen (id), n = length / 8 + 1, at = self->used;
    if (at + n > UINT32_MAX) {
        log_error ("the ids of one queue take more than 32 GiB; split it into several queues");
        abort ();
    }
    self->words = select_grow (self->words, &self->capacity, at + n, sizeof (uint64_t));
    self->words[at + n - 1] = 0;
    memcpy (self->words + at, id, length);
    self->used = at + n;
    return (uint32_t)at;
}

void ids_drop (struct ids *self, uint32_t name)
{
    self->dead += words_of (ids_get (self, name));
}

bool ids_sparse (const struct ids *self)
{
    return self->dead > 4096 && self->dead > self->used / 2;
}

void ids_fini (struct ids *self)
{
    free (self->words);
    *self = (struct ids){ NULL, 0, 0, 0 };
}

size_t ids_bytes (const struct ids *self)
{
    return self->capacity * sizeof (uint64_t);
}

/* Finalizer of splitmix64 (Steele, Lea, Flood 2014): every bit of x reaches every bit of the result. */
static uint64_t mix (uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* Of the id's 8-byte words, the last one zero-padded. */
static uint64_t hash (uint64_t seed, const char *id)
{
    uint64_t x = mix (seed);
    for (size_t n = strlen (id) + 1; n > 0;) {
        uint64_t word = 0;
        size_t part = n < 8 ? n : 8;
        memcpy (&word, id, part);
        x = mix (x ^ word);
        id += part;
        n -= part;
    }
    return x;
}

static double unit (uint64_t x)
{
    return (double)(x >> 11) * 0x1p-53;
}

double ids_random (uint64_t seed, const char *id)
{
    return unit (hash (seed, id));
}

/* As hash, of one that is kept. */
static uint64_t hash_of (const struct ids *self, uint64_t seed, uint32_t name)
{
    const uint64_t ones = 0x0101010101010101u;
    uint64_t x = mix (seed);
    for (const uint64_t *word = self->words + name;; word++) {
        x = mix (x ^ *word);
        if ((*word - ones) & ~*word & (ones << 7))      /* a zero byte: the last word */
            return x;
    }
}

double ids_random_of (const struct ids *self, uint64_t seed, uint32_t name)
{
    return unit (hash_of (self, seed, name));
}

uint32_t ids_random_high (const struct ids *self, uint64_t seed, uint32_t name)
{
    return (uint32_t)(hash_of (self, seed, name) >> 32);
}

struct id_set {
    const char **table;         /* [mask + 1], NULL: free */
    size_t mask;
};

struct id_set *id_set_new (const char *const *ids, size_t count)
{
    struct id_set *self = select_calloc (1, sizeof (*self));
    self->mask = 15;
    while (self->mask < 2 * count)
        self->mask = 2 * self->mask + 1;
    self->table = select_calloc (self->mask + 1, sizeof (*self->table));
    for (size_t i = 0; i < count; i++) {
        size_t at = hash (0, ids[i]) & self->mask;
        while (self->table[at])
            at = (at + 1) & self->mask;
        self->table[at] = ids[i];
    }
    return self;
}

void id_set_free (struct id_set **self)
{
    if (!*self)
        return;
    free ((*self)->table);
    free (*self);
    *self = NULL;
}

bool id_set_has (const struct id_set *self, const char *id)
{
    for (size_t at = hash (0, id) & self->mask; self->table[at]; at = (at + 1) & self->mask)
        if (strcmp (self->table[at], id) == 0)
            return true;
    return false;
}
