/* tar_index.h - the names of an archive in memory, and the lines of its .pylst. See strata_tar.h. */
#ifndef STRATA_DATA_TAR_INDEX_H
#define STRATA_DATA_TAR_INDEX_H

#include "strata_tar.h"

/* ---- a map from name to member; the last one put counts ---- */
struct tar_entry {
    struct tar_member member;
    uint64_t name; /* where it stands in `names`, NUL-terminated */
    uint32_t name_size, hash;
};
struct tar_map {
    struct tar_entry *entries; /* in the order in which the names came first */
    size_t count, room;
    char *names;
    size_t names_size, names_room;
    uint32_t *table; /* of entries + 1, a power of two; 0: free */
    size_t table_size;
};
void tar_map_clear (struct tar_map *map);
/* False: out of memory, and the map is as before. */
bool tar_map_put (struct tar_map *map, const char *name, size_t name_size, const struct tar_member *member);
/* NULL: not there. Valid until the next put. */
const struct tar_entry *tar_map_find (const struct tar_map *map, const char *name, size_t name_size);

/* ---- lines ---- */
#define TAR_LINE_MAX (2 * TAR_NAME_MAX + 48)
/* Writes the member's line to out [TAR_LINE_MAX]; returns its bytes. */
size_t tar_line_make (char *out, const char *name, size_t name_size, const struct tar_member *member);
/* Reads the line at the beginning of text. Returns its bytes with the newline; 0: it has no end yet; -1: it is no line.
 * name: [TAR_NAME_MAX + 1], NUL-terminated. */
long tar_line_parse (const char *text, size_t size, char *name, size_t *name_size, struct tar_member *member);
/* Where the last whole line of text begins, or `size` when there is none; *end: behind its newline. */
size_t tar_line_last (const char *text, size_t size, size_t *end);

#endif
