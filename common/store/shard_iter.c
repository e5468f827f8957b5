/* shard_iter.c - keys of a shard in their order: those of the store with the batch on top. */
#include <stdlib.h>
#include <string.h>

#include "store/shard_internal.h"

struct iter_impl {
    rocksdb_iterator_t *it;
    struct shard *shard;
    uint8_t *prefix, *end;      /* end: the first key behind all with the prefix */
    size_t prefix_size, end_size;
    rocksdb_readoptions_t *read;
};

static bool iter_settle (struct shard_iter *it)
{
    struct iter_impl *impl = it->impl;
    if (!rocksdb_iter_valid (impl->it)) {
        char *err = NULL;
        rocksdb_iter_get_error (impl->it, &err);
        if (err)
            shard_read_failed (impl->shard, "iterating", err);
        return false;
    }
    it->key = (const uint8_t *)rocksdb_iter_key (impl->it, &it->key_size);
    if (it->key_size < impl->prefix_size || memcmp (it->key, impl->prefix, impl->prefix_size) != 0)
        return false;
    it->value = (const uint8_t *)rocksdb_iter_value (impl->it, &it->value_size);
    return true;
}

bool shard_iter_begin (struct shard *self, struct shard_iter *it, const void *prefix, size_t prefix_size, const void *start,
                       size_t start_size)
{
    shard_need_db (self);
    struct iter_impl *impl = calloc (1, sizeof (*impl));
    uint8_t *copy = malloc (2 * prefix_size + 1);
    if (!impl || !copy)
        shard_die (self, "iterating", "its keys", "out of memory");
    memcpy (copy, prefix, prefix_size);
    memcpy (copy + prefix_size, prefix, prefix_size);
    impl->shard = self;
    impl->prefix = copy;
    impl->prefix_size = prefix_size;
    impl->end = copy + prefix_size;
    impl->end_size = prefix_size;
    while (impl->end_size && ++impl->end[impl->end_size - 1] == 0)
        impl->end_size--;
    /* Without a bound the step behind the last key would walk over every deleted key up to the next live one, of whatever
     * prefix: in a store of queues that is hundreds of thousands. */
    impl->read = rocksdb_readoptions_create ();
    if (impl->end_size)
        rocksdb_readoptions_set_iterate_upper_bound (impl->read, (const char *)impl->end, impl->end_size);
    /* The combined iterator owns the base iterator. */
    impl->it = rocksdb_writebatch_wi_create_iterator_with_base (self->batch,
                                                                rocksdb_create_iterator (self->db, impl->read));
    *it = (struct shard_iter){ .impl = impl };
    if (start)
        rocksdb_iter_seek (impl->it, start, start_size);
    else
        rocksdb_iter_seek (impl->it, prefix, prefix_size);
    return iter_settle (it);
}

bool shard_iter_next (struct shard_iter *it)
{
    rocksdb_iter_next (((struct iter_impl *)it->impl)->it);
    return iter_settle (it);
}

void shard_iter_end (struct shard_iter *it)
{
    struct iter_impl *impl = it->impl;
    if (!impl)
        return;
    rocksdb_iter_destroy (impl->it);
    rocksdb_readoptions_destroy (impl->read);
    free (impl->prefix);
    free (impl);
    it->impl = NULL;
}
