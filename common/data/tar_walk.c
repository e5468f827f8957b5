/* tar_walk.c - see tar_walk.h
 *
 * A member is its data behind one header, with pax or GNU headers before that. Where no header stands, one of two things
 * has happened: bytes were damaged; or a member was cut off by a crash and others were appended right behind what was left
 * of it (pytaridx does so), so that its size leads into the middle of them. Both are passed over by looking for the next
 * header, at any byte: behind the last member's beginning. One inside that member's data counts only if the members that
 * follow it lead beyond the place where none stood: a tar file stored whole inside a tar file ends before.
 */
#include "data/tar_walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/files.h"
#include "data/tar_header.h"

#define EXTENDED_MAX ((uint64_t)1 << 20) /* bytes of one member's pax records */
#define WINDOW ((size_t)1 << 18)
#define MAGIC 257 /* where "ustar" stands in a header */

void tar_walk_init (struct tar_walk *walk, int fd, uint64_t from, uint64_t size, bool resync)
{
    *walk = (struct tar_walk){ .fd = fd, .size = size, .at = from, .resync = resync };
}

void tar_walk_fini (struct tar_walk *walk)
{
    free (walk->window);
    walk->window = NULL;
}

/* Whether there is nothing but zeros from `from` on. -1: can't be read. */
static int is_zero (struct tar_walk *walk, uint64_t from)
{
    if (!walk->window && !(walk->window = malloc (WINDOW)))
        return -1;
    for (uint64_t at = from; at < walk->size;) {
        size_t n = walk->size - at < WINDOW ? (size_t)(walk->size - at) : WINDOW;
        if (files_read_at (walk->fd, walk->window, n, at) < 0)
            return -1;
        if (walk->window[0] || (n > 1 && memcmp (walk->window, walk->window + 1, n - 1) != 0))
            return 0;
        at += n;
    }
    return 1;
}

/* The records of a pax header, or a GNU long name. NULL: can't be read (errno), or more than anybody writes (EBADMSG). */
static char *read_extended (struct tar_walk *walk, uint64_t at, uint64_t size)
{
    errno = EBADMSG;
    char *data = size <= EXTENDED_MAX ? malloc (size + 1) : NULL;
    if (!data || files_read_at (walk->fd, data, size, at) < 0) {
        free (data);
        return NULL;
    }
    data[size] = '\0';
    return data;
}

/* What the headers before the last one have told. */
struct told {
    bool name, size, other;
    uint64_t size_told;
};

static bool take_name (struct tar_walk *walk, const char *name, size_t size)
{
    if (size == 0 || size > TAR_NAME_MAX)
        return false;
    memcpy (walk->name, name, size);
    walk->name[size] = '\0';
    walk->name_size = size;
    return true;
}

/* A header that speaks of the next one. False: broken. */
static bool take_extended (struct tar_walk *walk, char type, uint64_t at, uint64_t size, struct told *told)
{
    char *data = read_extended (walk, at, size);
    bool fine = data != NULL;
    struct tar_pax pax;
    if (fine && type == 'x') {
        fine = tar_pax_parse (data, size, &pax);
        if (fine && pax.path) {
            told->name = take_name (walk, pax.path, pax.path_size);
            told->other |= !told->name; /* a name that is none here: not readable by it */
        }
        if (fine && pax.has_size) {
            told->size = true;
            told->size_told = pax.size;
        }
        if (fine && pax.sparse)
            told->other = true;
    } else if (fine && type == 'L') {
        told->name = take_name (walk, data, strlen (data));
        told->other |= !told->name;
    }
    free (data);
    return fine;
}

/* One member, of any kind, at walk->at. *other: it is no regular file. BROKEN and TORN leave walk->at where they are. */
static enum tar_step one_member (struct tar_walk *walk, bool *other)
{
    uint8_t block[TAR_BLOCK];
    struct tar_header header;
    struct told told = { .name = false };
    uint64_t at = walk->at;
    *other = false;
    if (at >= walk->size)
        return TAR_STEP_END; /* also when the last one's padding is missing */
    for (;;) {
        if (walk->size - at < TAR_BLOCK || at >= walk->size)
            return TAR_STEP_TORN;
        if (files_read_at (walk->fd, block, sizeof (block), at) < 0)
            return TAR_STEP_ERROR;
        enum tar_block kind = tar_header_parse (block, &header);
        if (kind == TAR_BLOCK_ZERO && at == walk->at) {
            int zero = is_zero (walk, at);
            return zero < 0 ? TAR_STEP_ERROR : zero ? TAR_STEP_END : TAR_STEP_BROKEN;
        }
        if (kind != TAR_BLOCK_HEADER)
            return TAR_STEP_BROKEN;
        bool extended = header.type == 'x' || header.type == 'g' || header.type == 'L' || header.type == 'K';
        if (told.size && !extended)
            header.size = header.type >= '1' && header.type <= '6' ? 0 : told.size_told;
        uint64_t data = at + TAR_BLOCK;
        if (header.size > walk->size - data)
            return TAR_STEP_TORN;
        at = data + tar_round (header.size);
        if (extended) {
            if (!take_extended (walk, header.type, data, header.size, &told))
                return errno == EBADMSG ? TAR_STEP_BROKEN : TAR_STEP_ERROR;
            continue;
        }
        if (!told.name && !take_name (walk, header.name, header.name_size))
            told.other = true;
        *other = told.other || header.type != '0';
        walk->start = walk->at;
        walk->member = (struct tar_member){ data, header.size };
        walk->at = at;
        return TAR_STEP_MEMBER;
    }
}

/* Follows members from `from` on, without looking past what is broken: where none stands any more, or behind `beyond`. */
static uint64_t follow (struct tar_walk *walk, uint64_t from, uint64_t beyond, enum tar_step *step)
{
    struct tar_walk *probe = malloc (sizeof (*probe)); /* it holds a name */
    bool other;
    *step = TAR_STEP_ERROR;
    if (!probe)
        return from;
    tar_walk_init (probe, walk->fd, from, walk->size, false);
    do
        *step = one_member (probe, &other);
    while (*step == TAR_STEP_MEMBER && probe->at <= beyond);
    uint64_t at = probe->at;
    tar_walk_fini (probe);
    free (probe);
    return at;
}

/* The first header from `from` on, at any byte; false: none, or it can't be read. */
static bool find_header (struct tar_walk *walk, uint64_t from, uint64_t *found)
{
    if (!walk->window && !(walk->window = malloc (WINDOW)))
        return false;
    for (uint64_t at = from; walk->size > at && walk->size - at >= TAR_BLOCK;) {
        struct tar_header header;
        size_t n = walk->size - at < WINDOW ? (size_t)(walk->size - at) : WINDOW;
        if (files_read_at (walk->fd, walk->window, n, at) < 0)
            return false;
        for (size_t i = 0; i + TAR_BLOCK <= n; i++) {
            const uint8_t *magic = memmem (walk->window + i + MAGIC, n - i - MAGIC, "ustar", 5);
            if (!magic)
                break;
            i = (size_t)(magic - walk->window) - MAGIC;
            if (i + TAR_BLOCK <= n && tar_header_parse (walk->window + i, &header) == TAR_BLOCK_HEADER) {
                *found = at + i;
                return true;
            }
        }
        at += n - (TAR_BLOCK - 1);
    }
    return false;
}

/* Whether the header found is a member of this archive, rather than one of a tar file that is a member's data. *from: where
 * to look on if not. broken: where no whole member stands; torn: it has a header, so that what follows may be its data. */
static bool belongs (struct tar_walk *walk, uint64_t found, uint64_t broken, bool torn, uint64_t last_end, uint64_t *from)
{
    enum tar_step step;
    uint64_t end;
    *from = found + 1;
    if (found == broken)
        return false;
    if (found < last_end) {
        end = follow (walk, found, broken, &step);
        if (end > broken)
            return true;
    } else {
        if (!torn || found < broken || (found - broken) % TAR_BLOCK != 0)
            return true; /* headers of a tar file that is stored stand at whole blocks */
        end = follow (walk, found, UINT64_MAX, &step);
        if (step == TAR_STEP_END && end <= walk->size) /* the last one with its padding */
            return true;
    }
    *from = end > found ? end : found + 1; /* those that it leads to are no better */
    return false;
}

/* No whole member at walk->at: goes on at the next one. False: there is none. */
static bool pass_over (struct tar_walk *walk, bool torn)
{
    uint64_t from = walk->has_last ? walk->last.offset : walk->at;
    uint64_t last_end = walk->has_last ? walk->last.offset + walk->last.size : from;
    for (uint64_t found; find_header (walk, from, &found);) {
        if (!belongs (walk, found, walk->at, torn, last_end, &from))
            continue;
        bool inside = found < last_end;
        uint64_t padded = walk->has_last ? walk->last.offset + tar_round (walk->last.size) : last_end;
        uint64_t begins = inside ? walk->last_start : padded <= found ? padded : last_end;
        walk->dropped |= inside;
        if (!walk->damaged_bytes)
            walk->damaged_at = begins;
        walk->damaged_bytes += found - begins;
        walk->at = found;
        walk->has_last = false;
        return true;
    }
    return false;
}

enum tar_step tar_walk_next (struct tar_walk *walk)
{
    walk->dropped = false;
    for (;;) {
        bool other;
        enum tar_step step = one_member (walk, &other);
        if (step == TAR_STEP_MEMBER) {
            walk->has_last = true;
            walk->last_start = walk->start;
            walk->last = walk->member;
            if (!other)
                return step;
            walk->passed_over++;
            continue;
        }
        if ((step != TAR_STEP_BROKEN && step != TAR_STEP_TORN) || !walk->resync || !pass_over (walk, step == TAR_STEP_TORN))
            return step;
    }
}
