/* producers.c - see producers.h
 *
 *   "p/<stream>/<producer>"     last sequence kept of that producer, 8 big-endian bytes
 */
#include "store/producers.h"

#include <stdlib.h>
#include <string.h>

#include "core/hash.h"

struct place {
    uint8_t *key; /* malloc'ed; NULL: nobody's */
    size_t size;
    uint64_t last;
};

struct producers {
    struct shard *shard;
    struct place places[PRODUCERS_CACHED]; /* by the key's hash: one takes another's place */
};

struct producers *producers_new (struct shard *shard)
{
    struct producers *self = calloc (1, sizeof (*self));
    if (self)
        self->shard = shard;
    return self;
}

void producers_free (struct producers **self_p)
{
    struct producers *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < PRODUCERS_CACHED; i++)
        free (self->places[i].key);
    free (self);
    *self_p = NULL;
}

static struct place *place_of (struct producers *self, const struct shard_key *key)
{
    return &self->places[hash64 (0, key->data, key->size) % PRODUCERS_CACHED];
}

static bool holds (const struct place *place, const struct shard_key *key)
{
    return place->key && place->size == key->size && memcmp (place->key, key->data, key->size) == 0;
}

static void keep (struct place *place, const struct shard_key *key, uint64_t last)
{
    if (!holds (place, key)) {
        free (place->key);
        place->key = malloc (key->size);
        place->size = key->size;
        if (place->key)
            memcpy (place->key, key->data, key->size);
    }
    place->last = last;
}

uint64_t producers_last (struct producers *self, const char *stream, const char *producer)
{
    struct shard_key key;
    void *value;
    size_t size;
    shard_key (&key, "p/%s/%s", stream, producer);
    struct place *place = place_of (self, &key);
    if (holds (place, &key))
        return place->last;
    uint64_t last = 0;
    if (shard_get (self->shard, key.data, key.size, &value, &size)) {
        last = size == 8 ? shard_u64 (value) : 0;
        free (value);
    }
    keep (place, &key, last);
    return last;
}

void producers_set (struct producers *self, const char *stream, const char *producer, uint64_t last)
{
    struct shard_key key, value = { .size = 0 };
    shard_key (&key, "p/%s/%s", stream, producer);
    shard_key_u64 (&value, last);
    shard_put (self->shard, key.data, key.size, value.data, value.size);
    keep (place_of (self, &key), &key, last);
}

void producers_forget (struct producers *self, const char *stream, const char *producer)
{
    struct shard_key key;
    shard_key (&key, "p/%s/%s", stream, producer);
    shard_delete (self->shard, key.data, key.size);
    struct place *place = place_of (self, &key);
    if (holds (place, &key))
        place->last = 0;
}

void producers_each (struct producers *self,
                     int (*each) (const char *stream, const char *producer, uint64_t last, void *arg), void *arg)
{
    struct shard_iter it;
    for (bool more = shard_iter_begin (self->shard, &it, "p/", 2, NULL, 0); more; more = shard_iter_next (&it)) {
        char stream[sizeof (((struct shard_key *)0)->data)];
        size_t n = it.key_size - 2;
        if (n >= sizeof (stream) || it.value_size != 8)
            continue;
        memcpy (stream, it.key + 2, n);
        stream[n] = '\0';
        char *producer = strchr (stream, '/');
        if (!producer)
            continue;
        *producer++ = '\0';
        if (each (stream, producer, shard_u64 (it.value), arg))
            break;
    }
    shard_iter_end (&it);
}
