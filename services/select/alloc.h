/* alloc.h - memory of services/select. Out of memory ends the process: it starts again from its shard. */
#ifndef STRATA_SELECT_ALLOC_H
#define STRATA_SELECT_ALLOC_H

#include <stddef.h>

void *select_grow_more (void *items, size_t *capacity, size_t count, size_t size);
/* `items` *capacity of `size` bytes, made to hold at least `count` (twice as many as before when it has to grow). */
static inline void *select_grow (void *items, size_t *capacity, size_t count, size_t size)
{
    return count <= *capacity ? items : select_grow_more (items, capacity, count, size);
}
void *select_calloc (size_t count, size_t size);
char *select_strdup (const char *text);
/* On a boundary of 64 bytes; freed with free. */
void *select_aligned (size_t bytes);

#endif
