/* tar_index.c - see tar_index.h */
#include "data/tar_index.h"

#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "data/tar_header.h"

/* ---- the map: open addressing, at most two thirds full ---- */

void tar_map_clear (struct tar_map *map)
{
    free (map->entries);
    free (map->names);
    free (map->table);
    memset (map, 0, sizeof (*map));
}

static bool is_entry (const struct tar_map *map, const struct tar_entry *entry, uint32_t hash, const char *name, size_t name_size)
{
    return entry->hash == hash && entry->name_size == name_size && memcmp (map->names + entry->name, name, name_size) == 0;
}

/* The slot of that name, or the free one where it goes. */
static uint32_t *slot_of (const struct tar_map *map, uint32_t hash, const char *name, size_t name_size)
{
    size_t mask = map->table_size - 1, at = hash & mask;
    while (map->table[at] && !is_entry (map, &map->entries[map->table[at] - 1], hash, name, name_size))
        at = (at + 1) & mask;
    return &map->table[at];
}

static bool grow_table (struct tar_map *map)
{
    size_t size = map->table_size ? 2 * map->table_size : 64;
    uint32_t *table = size <= (size_t)1 << 31 ? calloc (size, sizeof (*table)) : NULL;
    if (!table)
        return false;
    for (size_t i = 0; i < map->count; i++) {
        size_t at = map->entries[i].hash & (size - 1);
        while (table[at])
            at = (at + 1) & (size - 1);
        table[at] = (uint32_t)(i + 1);
    }
    free (map->table);
    map->table = table;
    map->table_size = size;
    return true;
}

static bool grow (void **data, size_t *room, size_t wanted, size_t width)
{
    size_t more = *room ? *room : 64;
    while (more < wanted)
        more *= 2;
    if (more == *room)
        return true;
    void *bigger = realloc (*data, more * width);
    if (!bigger)
        return false;
    *data = bigger;
    *room = more;
    return true;
}

bool tar_map_put (struct tar_map *map, const char *name, size_t name_size, const struct tar_member *member)
{
    uint32_t hash = (uint32_t)hash64 (0, name, name_size);
    if (3 * (map->count + 1) > 2 * map->table_size && !grow_table (map))
        return false;
    uint32_t *slot = slot_of (map, hash, name, name_size);
    if (*slot) {
        map->entries[*slot - 1].member = *member;
        return true;
    }
    if (!grow ((void **)&map->entries, &map->room, map->count + 1, sizeof (*map->entries))
        || !grow ((void **)&map->names, &map->names_room, map->names_size + name_size + 1, 1))
        return false;
    map->entries[map->count++] = (struct tar_entry){ *member, map->names_size, (uint32_t)name_size, hash };
    memcpy (map->names + map->names_size, name, name_size);
    map->names[map->names_size + name_size] = '\0';
    map->names_size += name_size + 1;
    *slot = (uint32_t)map->count;
    return true;
}

const struct tar_entry *tar_map_find (const struct tar_map *map, const char *name, size_t name_size)
{
    if (!map->count)
        return NULL;
    uint32_t *slot = slot_of (map, (uint32_t)hash64 (0, name, name_size), name, name_size);
    return *slot ? &map->entries[*slot - 1] : NULL;
}

/* ---- lines ---- */

static bool is_escaped (char c)
{
    return c == ',' || c == '\\' || c == '\n';
}

static char *put_decimal (char *out, uint64_t value)
{
    char digits[20];
    size_t n = 0;
    do
        digits[n++] = (char)('0' + value % 10);
    while ((value /= 10));
    while (n)
        *out++ = digits[--n];
    return out;
}

size_t tar_line_make (char *out, const char *name, size_t name_size, const struct tar_member *member)
{
    char *p = out;
    for (size_t i = 0; i < name_size; i++) {
        if (is_escaped (name[i]))
            *p++ = '\\';
        *p++ = name[i];
    }
    *p++ = ',';
    p = put_decimal (p, member->offset);
    *p++ = ',';
    p = put_decimal (p, member->size);
    *p++ = '\n';
    return (size_t)(p - out);
}

/* A decimal number that ends in `end`. NULL: there is none, or it is cut off (*at == size). */
static const char *get_decimal (const char *p, const char *stop, char end, uint64_t *value, bool *cut)
{
    const char *first = p;
    *value = 0;
    for (; p < stop && *p >= '0' && *p <= '9' && p - first < 19; p++)
        *value = 10 * *value + (uint64_t)(*p - '0');
    *cut = p == stop;
    return p < stop && p > first && *p == end && *value <= TAR_SIZE_MAX ? p + 1 : NULL;
}

long tar_line_parse (const char *text, size_t size, char *name, size_t *name_size, struct tar_member *member)
{
    const char *p = text, *stop = text + size;
    size_t n = 0;
    bool cut;
    for (; p < stop && *p != ','; p++) {
        bool escaped = *p == '\\';
        if (escaped && ++p == stop)
            return 0;
        if ((*p == '\n' && !escaped) || *p == '\0' || n == TAR_NAME_MAX)
            return -1;
        name[n++] = *p;
    }
    if (p == stop)
        return 0;
    name[n] = '\0';
    *name_size = n;
    p = get_decimal (p + 1, stop, ',', &member->offset, &cut);
    if (p)
        p = get_decimal (p, stop, '\n', &member->size, &cut);
    if (!p)
        return cut ? 0 : -1;
    return n ? p - text : -1;
}

size_t tar_line_last (const char *text, size_t size, size_t *end)
{
    /* A newline ends a line unless an odd number of backslashes stands before it. */
    size_t found[2] = { size, size }, n = 0;
    for (size_t i = size; i-- > 0 && n < 2;) {
        size_t slashes = 0;
        if (text[i] != '\n')
            continue;
        while (slashes < i && text[i - slashes - 1] == '\\')
            slashes++;
        if (slashes % 2 == 0)
            found[n++] = i;
    }
    *end = n ? found[0] + 1 : size;
    return n == 0 ? size : n == 1 ? 0 : found[1] + 1;
}
