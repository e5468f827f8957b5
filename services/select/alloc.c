/* alloc.c - see alloc.h */
#include "alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"

static void *checked (void *p, size_t count, size_t size)
{
    if (!p && count && size) {
        log_error ("out of memory for %zu items of %zu bytes; the process ends and starts again from its shard", count,
                   size);
        abort ();
    }
    return p;
}

void *select_grow_more (void *items, size_t *capacity, size_t count, size_t size)
{
    size_t n = *capacity < 16 ? 16 : *capacity;
    while (n < count)
        n = n > SIZE_MAX / 2 ? count : 2 * n;
    items = checked (reallocarray (items, n, size), n, size);
    *capacity = n;
    return items;
}

void *select_calloc (size_t count, size_t size)
{
    return checked (calloc (count, size), count, size);
}

char *select_strdup (const char *text)
{
    return checked (strdup (text), 1, strlen (text) + 1);
}

void *select_aligned (size_t bytes)
{
    return checked (aligned_alloc (64, (bytes + 63) / 64 * 64), 1, bytes);
}
