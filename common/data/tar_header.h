/* tar_header.h - a tar member's header blocks: made, and read from bytes of any origin. Pure. See strata_tar.h. */
#ifndef STRATA_DATA_TAR_HEADER_H
#define STRATA_DATA_TAR_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "strata_tar.h"

#define TAR_BLOCK 512
#define TAR_HEADER_MAX (TAR_BLOCK * (3 + TAR_NAME_MAX / TAR_BLOCK)) /* with a pax record of the longest name */
#define TAR_SIZE_MAX ((uint64_t)1 << 62)

static inline uint64_t tar_round (uint64_t size)
{
    return (size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
}

/* Writes the header blocks to `out` [TAR_HEADER_MAX]; returns their bytes, 0 when the name is empty or too long. */
size_t tar_header_make (uint8_t *out, const char *name, size_t name_size, uint64_t size, int64_t mtime_s);
/* How many bytes that is. */
size_t tar_header_size (const char *name, size_t name_size);

enum tar_block { TAR_BLOCK_HEADER, TAR_BLOCK_ZERO, TAR_BLOCK_BROKEN };
struct tar_header {
    char type; /* '0' for all kinds of regular file */
    bool ustar; /* has that magic */
    uint64_t size;
    size_t name_size;
    char name[260]; /* prefix and name, NUL-terminated */
};
enum tar_block tar_header_parse (const uint8_t block[TAR_BLOCK], struct tar_header *header);
/* Whether these blocks are the ones of a regular file of that name and size: the last block before its data, and the
 * `before_size` bytes before that (as many as tar_header_size says beyond one block). */
bool tar_header_is (const uint8_t block[TAR_BLOCK], const uint8_t *before, size_t before_size, const char *name,
                    size_t name_size, uint64_t size);

/* What pax records of one member say. */
struct tar_pax {
    const char *path; /* in the records; NULL: not told */
    size_t path_size;
    bool has_size, sparse;
    uint64_t size;
};
/* False: the records are broken. */
bool tar_pax_parse (const char *records, size_t size, struct tar_pax *pax);

#endif
