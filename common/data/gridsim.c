/* gridsim.c - reads GridSim2D snapshots; see strata_gridsim.h. Writing: gridsim_write.c.
 *
 * A snapshot of the full campaign is 392 MB and is read in one pass at the speed of the disk: threads take blocks of whole
 * records with pread (not mmap: a file cut short under a mapping would end the process), each block small enough to be
 * still in the core's own cache when it is looked at, check each value, and keep those of the points that are wanted.
 * A bit for each grid point, a map a thread, merged at the end, finds a point that comes twice; as the file has exactly
 * nx * ny records, it then also finds that one never comes.
 * The reason that is reported is that of the lowest record with a wrong index or value, else the lowest grid point that
 * comes twice, whichever thread met its own first.
 */
#include "strata_gridsim.h"

#include <errno.h>
#include <fcntl.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/gridsim_header.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "gridsim.c reads little-endian records in place"
#endif

#define FIELDS (3 + GRIDSIM_LIPIDS)
#define RECORD_SIZE (FIELDS * sizeof (float))
#define BLOCK_RECORDS 3840 /* 255 KiB: less than a core's second cache */
#define AHEAD_BYTES ((size_t)8 << 20) /* asked of the disk before they are needed */
#define HEADER_MAX 16384
#define MAX_BYTES_DEFAULT ((size_t)1 << 30)
#define GRID_EDGE_MAX ((size_t)1 << 24) /* a float32 counts no further */
#define HUGE_PAGE ((size_t)2 << 20)

const char *const gridsim_lipid_names[GRIDSIM_LIPIDS] = {
    "nInner_POPC", "nInner_PAPC", "nInner_POPE", "nInner_DIPE", "nInner_DPSM", "nInner_PAPS", "nInner_PAP6",
    "nInner_CHOL", "nOuter_POPC", "nOuter_PAPC", "nOuter_POPE", "nOuter_DIPE", "nOuter_DPSM", "nOuter_CHOL",
};

const char *const gridsim_states[18] = {
    "RASa",   "RASb",   "RASc",   "mRASa",   "mRASb",   "zRASa",   "mRAFa",   "mRAFb",   "zRAFa",
    "4ARASa", "4ARASb", "4ARASc", "4AmRASa", "4AmRASb", "4AzRASa", "4AmRAFa", "4AmRAFb", "4AzRAFa",
};

/* Files of the campaign itself put "4A" before the last letter: mRAS4Aa. Read as 4AmRASa. */
static const char *const infix_states[9] = {
    "RAS4Aa", "RAS4Ab", "RAS4Ac", "mRAS4Aa", "mRAS4Ab", "zRAS4Aa", "mRAF4Aa", "mRAF4Ab", "zRAF4Aa",
};

int gridsim_state_index (const char *type)
{
    for (int i = 0; i < 18; i++)
        if (strcmp (type, gridsim_states[i]) == 0)
            return i;
    for (int i = 0; i < 9; i++)
        if (strcmp (type, infix_states[i]) == 0)
            return 9 + i;
    return -1;
}

void gridsim_fini (struct gridsim *snapshot)
{
    free (snapshot->density);
    free (snapshot->want);
    free (snapshot->want_before);
    free (snapshot->proteins);
    free (snapshot->bonds);
    memset (snapshot, 0, sizeof (*snapshot));
}

/* ---- one file of the three ---- */

struct part {
    char name[32];  /* "densities#000000", for sentences */
    int fd;
    size_t size;
    char text[HEADER_MAX + 1];
    struct gridsim_header header;
};

static int part_fail (const struct part *part, struct strata_error *error)
{
    return strata_fail_prefix (error, "%s", part->name);
}

/* pread until `size` bytes are there. Returns -1 when the file ends before. */
static int read_at (const struct part *part, void *to, size_t size, size_t offset, struct strata_error *error)
{
    size_t done = 0;
    errno = 0;
    while (done < size) {
        ssize_t n = pread (part->fd, (char *)to + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return strata_fail (error, "can't be read at byte %zu: %s", offset + done, strerror (errno));
        if (n == 0)
            return strata_fail (error, "truncated at byte %zu while being read", offset + done);
        done += (size_t)n;
    }
    return 0;
}

/* Opens <folder>/<name>, checks its size against *budget and parses the header. part->fd < 0 when it isn't open. */
static int part_open (struct part *part, int folder, const char *name, size_t *budget, struct strata_error *error)
{
    struct stat st;
    snprintf (part->name, sizeof (part->name), "%s", name);
    part->fd = openat (folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (part->fd < 0 || fstat (part->fd, &st) != 0) {
        strata_fail (error, "can't be opened: %s", strerror (errno));
        return part_fail (part, error);
    }
    if (!S_ISREG (st.st_mode)) {
        strata_fail (error, "not a regular file");
        return part_fail (part, error);
    }
    part->size = (size_t)st.st_size;
    if (part->size > *budget) {
        strata_fail (error,
                     "its %zu bytes put the snapshot over the limit; %zu bytes are left of it, raise the limit",
                     part->size,
                     *budget);
        return part_fail (part, error);
    }
    *budget -= part->size;
    size_t n = part->size < HEADER_MAX ? part->size : HEADER_MAX;
    if (read_at (part, part->text, n, 0, error) != 0
        || gridsim_header_parse (&part->header, part->text, n, part->size, error) != 0)
        return part_fail (part, error);
    return 0;
}

/* What all three files state. */
static int common_keys (const struct part *part, const char *datatype, uint64_t *loop, double *time_fs,
                        struct strata_error *error)
{
    const struct gridsim_header *h = &part->header;
    uint64_t nfiles;
    if (gridsim_header_expect (h, "datatype", 0, datatype, error) != 0
        || gridsim_header_u64 (h, "nfiles", 0, &nfiles, error) != 0 || gridsim_header_u64 (h, "loop", 0, loop, error) != 0
        || gridsim_header_number (h, "time", 0, time_fs, error) != 0
        || gridsim_header_expect (h, "time", 1, "fs", error) != 0)
        return -1;
    if (nfiles != 1)
        return strata_fail (error, "key nfiles is %" PRIu64 "; only snapshots in one file each are read", nfiles);
    return 0;
}

/* ---- densities ---- */

enum flaw { FLAW_NONE, FLAW_READ, FLAW_INDEX, FLAW_VALUE, FLAW_MEMORY };

/* The lowest record with a flaw and the lowest grid point that comes twice, shared by the threads. */
struct worst {
    size_t record; /* SIZE_MAX: none */
    enum flaw flaw;
    float ix, iy, value;
    int lipid;
    int code; /* errno of the thread that found it, for the caller's errno */
    struct strata_error read_error;
    size_t twice; /* SIZE_MAX: none */
};

/* Which grid points a thread has seen: a bit each. */
struct seen {
    uint64_t *words;
    size_t count;
    size_t twice; /* the lowest that came twice; SIZE_MAX: none */
};

static void note_flaw (struct worst *worst, const struct worst *found)
{
#pragma omp critical (gridsim_flaw)
    if (found->record < worst->record) {
        size_t twice = worst->twice;
        *worst = *found;
        worst->twice = twice;
    }
}

/* Four numbers as their bits. */
typedef uint32_t quad __attribute__ ((vector_size (16), aligned (4), may_alias));

/* True when no value is NaN, infinite or below 0; false also for -0, which is no flaw: then each is looked at by itself. */
static inline bool plainly_sound (const float *value)
{
    const quad exponent = { 0x00800000u, 0x00800000u, 0x00800000u, 0x00800000u }; /* carries NaN and infinity into the sign */
    quad signs = { 0 };
    _Static_assert(GRIDSIM_LIPIDS == 14, "four overlapping fours");
    for (int i = 0; i < 4; i++) {
        quad bits = *(const quad *)(value + (i < 3 ? 4 * i : GRIDSIM_LIPIDS - 4));
        signs |= bits | (bits + exponent);
    }
    return (signs[0] | signs[1] | signs[2] | signs[3]) >> 31 == 0;
}

static int find_unsound (const float *value, struct worst *found)
{
    for (int l = 0; l < GRIDSIM_LIPIDS; l++)
        if (!(value[l] >= 0 && value[l] <= FLT_MAX)) {
            found->lipid = l;
            found->value = value[l];
            found->flaw = FLAW_VALUE;
            return -1;
        }
    return 0;
}

static inline __attribute__ ((always_inline)) int take_record (const float *record, struct gridsim *s, struct seen *seen, struct worst *found)
{
    float x = record[0], y = record[1];
    /* false for NaN, so that no float is converted that doesn't fit */
    bool inside = x >= 0 && x < (float)s->nx && y >= 0 && y < (float)s->ny;
    uint32_t ix = inside ? (uint32_t)x : 0, iy = inside ? (uint32_t)y : 0;
    if (!inside || (float)ix != x || (float)iy != y) {
        found->ix = x;
        found->iy = y;
        found->flaw = FLAW_INDEX;
        return -1;
    }
    size_t point = (size_t)iy * s->nx + ix;
    const float *value = record + 3;
    if (!plainly_sound (value) && find_unsound (value, found) != 0) {
        found->ix = x;
        found->iy = y;
        return -1;
    }
    uint64_t bit = (uint64_t)1 << point % 64;
    if (seen->words[point / 64] & bit && point < seen->twice)
        seen->twice = point;
    seen->words[point / 64] |= bit;
    if (!s->want || s->want[point / 64] & bit)
        memcpy (s->density + gridsim_place (s, point) * GRIDSIM_LIPIDS, value, GRIDSIM_LIPIDS * sizeof (float));
    return 0;
}

/* Reads records [first, first + n) and keeps what is wanted of them. (Bits are counted by one instruction where there is one.) */
__attribute__ ((target_clones ("avx2", "default"))) static void
read_block (const struct part *part, size_t first, size_t n, float *buffer, struct gridsim *s, struct seen *seen,
                        struct worst *worst)
{
    struct worst found = { .record = first };
    size_t offset = part->header.data_offset + first * RECORD_SIZE;
    if (offset % AHEAD_BYTES < BLOCK_RECORDS * RECORD_SIZE)
        posix_fadvise (part->fd, (off_t)(offset + AHEAD_BYTES), AHEAD_BYTES, POSIX_FADV_WILLNEED);
    if (read_at (part, buffer, n * RECORD_SIZE, offset, &found.read_error) != 0) {
        found.flaw = FLAW_READ;
        found.code = errno;
    }
    for (size_t i = 0; i < n && found.flaw == FLAW_NONE; i++) {
        found.record = first + i;
        take_record (buffer + i * FIELDS, s, seen, &found);
    }
    if (found.flaw != FLAW_NONE)
        note_flaw (worst, &found);
}

/* Adds what one thread has seen to what those before it have, and finds what both have. */
static void merge_seen (struct seen *all, const struct seen *one, struct worst *worst)
{
#pragma omp critical (gridsim_flaw)
    {
        if (one->twice < worst->twice)
            worst->twice = one->twice;
        for (size_t i = 0; i < all->count; i++) {
            uint64_t both = all->words[i] & one->words[i];
            if (both && i * 64 + (size_t)__builtin_ctzll (both) < worst->twice)
                worst->twice = i * 64 + (size_t)__builtin_ctzll (both);
            all->words[i] |= one->words[i];
        }
    }
}

static int flaw_sentence (const struct worst *worst, const struct gridsim *s, struct strata_error *error)
{
    if (worst->record == SIZE_MAX)
        return strata_fail (error,
                            "grid point (%zu, %zu) comes twice, so that another never comes; write the snapshot anew",
                            worst->twice % s->nx,
                            worst->twice / s->nx);
    errno = worst->code;
    switch (worst->flaw) {
    case FLAW_READ:
        return strata_fail (error, "%s", worst->read_error.text);
    case FLAW_MEMORY:
        return strata_fail (error, "out of memory");
    case FLAW_INDEX:
        return strata_fail (error,
                            "record %zu is for grid point (%g, %g), which is not in the %zu x %zu grid",
                            worst->record,
                            (double)worst->ix,
                            (double)worst->iy,
                            s->nx,
                            s->ny);
    default:
        return strata_fail (error,
                            "%s at grid point (%g, %g) is %g; a density is finite and not negative",
                            gridsim_lipid_names[worst->lipid],
                            (double)worst->ix,
                            (double)worst->iy,
                            (double)worst->value);
    }
}

/* Room for the wanted points, s->wanted of them. */
static int make_room (struct gridsim *s, struct strata_error *error)
{
    size_t bytes = s->wanted * GRIDSIM_LIPIDS * sizeof (float);
    /* Scattering touches the whole field in any order: huge pages save most of the page faults. */
    size_t alignment = bytes > 2 * HUGE_PAGE ? HUGE_PAGE : 64;
    s->density = aligned_alloc (alignment, bytes ? (bytes + alignment - 1) / alignment * alignment : alignment);
    if (!s->density)
        return strata_fail (error, "out of memory for %zu of %zu x %zu grid points", s->wanted, s->nx, s->ny);
    madvise (s->density, bytes, MADV_HUGEPAGE);
    return 0;
}

/* Every record is read and checked; s->nx, ny are set and fit the file's size. */
static int read_records (const struct part *part, struct gridsim *s, struct strata_error *error)
{
    size_t points = s->nx * s->ny, words = points / 64 + 1;
    size_t blocks = (points + BLOCK_RECORDS - 1) / BLOCK_RECORDS;
    struct seen all = { .words = calloc (words, sizeof (uint64_t)), .count = words };
    struct worst worst = { .record = SIZE_MAX, .twice = SIZE_MAX };
    if (!all.words)
        return strata_fail (error, "out of memory for %zu x %zu grid points", s->nx, s->ny);
#pragma omp parallel if (blocks > 1)
    {
        struct seen seen = { .words = calloc (words, sizeof (uint64_t)), .count = words, .twice = SIZE_MAX };
        float *buffer = malloc ((blocks > 1 ? BLOCK_RECORDS : points) * RECORD_SIZE);
        bool room = buffer && seen.words;
        if (!room)
            note_flaw (&worst, &(struct worst){ .record = 0, .flaw = FLAW_MEMORY, .code = ENOMEM });
#pragma omp for schedule(dynamic, 1) nowait
        for (size_t b = 0; b < blocks; b++) {
            size_t first = b * BLOCK_RECORDS;
            size_t n = points - first < BLOCK_RECORDS ? points - first : BLOCK_RECORDS;
            if (room)
                read_block (part, first, n, buffer, s, &seen, &worst);
        }
        if (room)
            merge_seen (&all, &seen, &worst);
        free (buffer);
        free (seen.words);
    }
    free (all.words);
    return worst.record == SIZE_MAX && worst.twice == SIZE_MAX ? 0 : flaw_sentence (&worst, s, error);
}

static int check_field_names (const struct gridsim_header *h, struct strata_error *error)
{
    for (int l = 0; l < GRIDSIM_LIPIDS; l++)
        if (gridsim_header_expect (h, "field_names", 3 + l, gridsim_lipid_names[l], error) != 0)
            return -1;
    return 0;
}

static int check_grid (const struct part *part, struct gridsim *s, double delta, uint64_t nrecord, struct strata_error *error)
{
    if (s->nx == 0 || s->ny == 0 || s->nx > GRID_EDGE_MAX || s->ny > GRID_EDGE_MAX)
        return strata_fail (error, "keys nx, ny say %zu x %zu points; an edge has 1 to 2^24", s->nx, s->ny);
    if (nrecord != s->nx * s->ny)
        return strata_fail (error, "key nrecord is %" PRIu64 ", not nx * ny = %zu", nrecord, s->nx * s->ny);
    if (!(s->lx > 0) || !(s->ly > 0))
        return strata_fail (error, "keys Lx, Ly say %g x %g nm; both have to be above 0", s->lx, s->ly);
    if (!(fabs (delta * (double)s->nx / s->lx - 1) < 0.01))
        return strata_fail (error, "key delta is %g nm, but Lx / nx is %g nm", delta, s->lx / (double)s->nx);
    size_t have = part->size - part->header.data_offset, want = s->nx * s->ny * RECORD_SIZE;
    if (have != want)
        return strata_fail (error,
                            "%s: %zu bytes of records, %zu x %zu points need %zu",
                            have < want ? "truncated" : "too long",
                            have,
                            s->nx,
                            s->ny,
                            want);
    return 0;
}

/* All that its header says. */
static int read_grid (const struct part *part, struct gridsim *s, struct strata_error *error)
{
    const struct gridsim_header *h = &part->header;
    uint64_t nx, ny, nl, lipids, fields, nrecord;
    double delta;
    if (common_keys (part, "FIXRECORDBINARY", &s->loop, &s->time_fs, error) != 0
        || gridsim_header_u64 (h, "nx", 0, &nx, error) != 0 || gridsim_header_u64 (h, "ny", 0, &ny, error) != 0
        || gridsim_header_u64 (h, "nl", 0, &nl, error) != 0 || gridsim_header_u64 (h, "nLipids", 0, &lipids, error) != 0
        || gridsim_header_u64 (h, "nfields", 0, &fields, error) != 0
        || gridsim_header_u64 (h, "nrecord", 0, &nrecord, error) != 0
        || gridsim_header_number (h, "Lx", 0, &s->lx, error) != 0 || gridsim_header_expect (h, "Lx", 1, "nm", error) != 0
        || gridsim_header_number (h, "Ly", 0, &s->ly, error) != 0 || gridsim_header_expect (h, "Ly", 1, "nm", error) != 0
        || gridsim_header_number (h, "delta", 0, &delta, error) != 0
        || gridsim_header_expect (h, "delta", 1, "nm", error) != 0 || check_field_names (h, error) != 0)
        return -1;
    if (lipids != GRIDSIM_LIPIDS || fields != FIELDS)
        return strata_fail (error,
                            "keys nLipids and nfields are %" PRIu64 " and %" PRIu64 ", they have to be %d and %d",
                            lipids,
                            fields,
                            GRIDSIM_LIPIDS,
                            FIELDS);
    s->nx = (size_t)nx;
    s->ny = (size_t)ny;
    s->wanted = s->nx * s->ny;
    return check_grid (part, s, delta, nrecord, error);
}

/* ---- atoms and bonds ---- */

/* The data of a text file, NUL-terminated, and its stated number of records, which can't exceed the lines there are. */
static char *read_text (const struct part *part, size_t *nrecord, struct strata_error *error)
{
    uint64_t n;
    size_t size = part->size - part->header.data_offset;
    if (gridsim_header_u64 (&part->header, "nrecord", 0, &n, error) != 0)
        return NULL;
    char *text = malloc (size + 1);
    if (!text) {
        strata_fail (error, "out of memory for %zu bytes", size);
        return NULL;
    }
    if (read_at (part, text, size, part->header.data_offset, error) != 0) {
        free (text);
        return NULL;
    }
    text[size] = '\0';
    size_t lines = 0;
    for (size_t i = 0; i < size; i++) {
        lines += text[i] == '\n';
        if (text[i] == '\0')
            text[i] = '?'; /* no number and no name: refused with its line */
    }
    if (lines != n || (size && text[size - 1] != '\n')) {
        strata_fail (error, "%s: key nrecord is %" PRIu64 ", there are %zu whole lines", lines < n ? "truncated" : "wrong", n, lines);
        free (text);
        return NULL;
    }
    *nrecord = (size_t)n;
    return text;
}

/* Splits the line at *text into at most `most` words in place; *text moves behind it. */
static int next_words (char **text, char **words, int most)
{
    char *end = strchr (*text, '\n'), *save = NULL;
    int n = 0;
    *end = '\0';
    for (char *w = strtok_r (*text, " \t\r", &save); w && n < most; w = strtok_r (NULL, " \t\r", &save))
        words[n++] = w;
    *text = end + 1;
    return n;
}

/* Angstrom along a box edge of `edge` nm to nm in [0, edge). */
static int in_box (const char *word, double edge, double *nm)
{
    if (gridsim_parse_number (word, nm) != 0)
        return -1;
    *nm /= 10;
    if (*nm >= edge && *nm <= edge * (1 + 1e-9)) /* rounded up onto the edge by a writer's format */
        *nm = 0;
    return *nm >= 0 && *nm < edge ? 0 : -1;
}

static int parse_protein (char **words, int n, size_t line, const struct gridsim *s, struct gridsim_protein *p,
                          struct strata_error *error)
{
    if (n < 7 || gridsim_parse_u64 (words[0], &p->id) != 0)
        return strata_fail (error, "record %zu has no id, class, type, group and three coordinates", line);
    int state = gridsim_state_index (words[2]);
    if (state < 0)
        return strata_fail (error, "protein %" PRIu64 " is of unknown type '%.40s'", p->id, words[2]);
    snprintf (p->type, sizeof (p->type), "%s", gridsim_states[state]);
    if (in_box (words[4], s->lx, &p->x) != 0 || in_box (words[5], s->ly, &p->y) != 0
        || gridsim_parse_number (words[6], &p->z) != 0)
        return strata_fail (error,
                            "protein %" PRIu64 " at (%.40s, %.40s, %.40s) Angstrom is outside the box of %g x %g nm",
                            p->id,
                            words[4],
                            words[5],
                            words[6],
                            s->lx,
                            s->ly);
    p->z /= 10;
    return 0;
}

/* The box `h`: 9 numbers in Angstrom, diagonal, the same as that of the densities. */
static int check_box (const struct gridsim_header *h, const struct gridsim *s, struct strata_error *error)
{
    double box[9];
    for (int i = 0; i < 9; i++)
        if (gridsim_header_number (h, "h", i, &box[i], error) != 0)
            return -1;
    if (gridsim_header_expect (h, "h", 9, "Ang", error) != 0)
        return -1;
    for (int i = 0; i < 9; i++)
        if (i % 4 != 0 && box[i] != 0)
            return strata_fail (error, "key h is a skewed box; only rectangular ones are read");
    if (!(fabs (box[0] / (10 * s->lx) - 1) < 1e-6) || !(fabs (box[4] / (10 * s->ly) - 1) < 1e-6))
        return strata_fail (error,
                            "key h is a box of %g x %g Angstrom, the densities have %g x %g nm; the files are of two simulations",
                            box[0],
                            box[4],
                            s->lx,
                            s->ly);
    return 0;
}

static int by_id (const void *a, const void *b)
{
    uint64_t x = (*(const struct gridsim_protein *const *)a)->id, y = (*(const struct gridsim_protein *const *)b)->id;
    return (x > y) - (x < y);
}

/* The proteins sorted by id, for finding bonds' ends; refused when two have the same. The caller frees it. */
static const struct gridsim_protein **index_proteins (const struct gridsim *s, struct strata_error *error)
{
    const struct gridsim_protein **index = malloc ((s->nproteins + 1) * sizeof (const struct gridsim_protein *));
    if (!index) {
        strata_fail (error, "out of memory for %zu proteins", s->nproteins);
        return NULL;
    }
    for (size_t i = 0; i < s->nproteins; i++)
        index[i] = &s->proteins[i];
    qsort (index, s->nproteins, sizeof (const struct gridsim_protein *), by_id);
    for (size_t i = 1; i < s->nproteins; i++)
        if (index[i]->id == index[i - 1]->id) {
            strata_fail (error, "two proteins have id %" PRIu64, index[i]->id);
            free (index);
            return NULL;
        }
    return index;
}

static int read_atoms (const struct part *part, struct gridsim *s, struct strata_error *error)
{
    char *text = read_text (part, &s->nproteins, error), *at = text;
    int rc = text ? check_box (&part->header, s, error) : -1;
    if (rc == 0 && !(s->proteins = calloc (s->nproteins + 1, sizeof (*s->proteins))))
        rc = strata_fail (error, "out of memory for %zu proteins", s->nproteins);
    for (size_t i = 0; rc == 0 && i < s->nproteins; i++) {
        char *words[7];
        int n = next_words (&at, words, 7);
        rc = parse_protein (words, n, i, s, &s->proteins[i], error);
    }
    free (text);
    return rc;
}

static const struct gridsim_protein *find_protein (const struct gridsim_protein **index, size_t n, uint64_t id)
{
    struct gridsim_protein wanted = { .id = id };
    const struct gridsim_protein *key = &wanted;
    const struct gridsim_protein **found = bsearch (&key, index, n, sizeof (const struct gridsim_protein *), by_id);
    return found ? *found : NULL;
}

static int parse_bond (char **words, int n, size_t line, const struct gridsim *s, const struct gridsim_protein **index,
                       struct gridsim_bond *bond, struct strata_error *error)
{
    if (n < 3 || gridsim_parse_u64 (words[0], &bond->a) != 0 || gridsim_parse_u64 (words[1], &bond->b) != 0
        || gridsim_parse_number (words[2], &bond->length) != 0 || bond->length < 0)
        return strata_fail (error, "record %zu has no two ids and a length", line);
    bond->length /= 10;
    const struct gridsim_protein *a = find_protein (index, s->nproteins, bond->a);
    const struct gridsim_protein *b = find_protein (index, s->nproteins, bond->b);
    if (!a || !b)
        return strata_fail (error,
                            "bond %zu joins %" PRIu64 " and %" PRIu64 ", but there is no protein %" PRIu64,
                            line,
                            bond->a,
                            bond->b,
                            a ? bond->b : bond->a);
    bool raf_a = strstr (a->type, "RAF"), raf_b = strstr (b->type, "RAF");
    if (raf_a == raf_b)
        return strata_fail (error,
                            "bond %zu joins %" PRIu64 " (%s) and %" PRIu64 " (%s); a bond joins a RAS and a RAF",
                            line,
                            a->id,
                            a->type,
                            b->id,
                            b->type);
    bond->a = raf_a ? b->id : a->id;
    bond->b = raf_a ? a->id : b->id;
    return 0;
}

static int read_bonds (const struct part *part, struct gridsim *s, const struct gridsim_protein **index,
                       struct strata_error *error)
{
    char *text = read_text (part, &s->nbonds, error), *at = text;
    int rc = text ? 0 : -1;
    if (rc == 0 && !(s->bonds = calloc (s->nbonds + 1, sizeof (*s->bonds))))
        rc = strata_fail (error, "out of memory for %zu bonds", s->nbonds);
    for (size_t i = 0; rc == 0 && i < s->nbonds; i++) {
        char *words[3];
        int n = next_words (&at, words, 3);
        rc = parse_bond (words, n, i, s, index, &s->bonds[i], error);
    }
    free (text);
    return rc;
}

/* ---- the snapshot ---- */

/* All three files say the same loop and time, else they are of two snapshots. */
static int check_same_loop (const struct part *parts, const struct gridsim *s, struct strata_error *error)
{
    for (int i = 1; i < 3; i++) {
        uint64_t loop;
        double time_fs;
        if (common_keys (&parts[i], "VARRECORDASCII", &loop, &time_fs, error) != 0)
            return part_fail (&parts[i], error);
        if (loop != s->loop || fabs (time_fs - s->time_fs) > 1e-6 * fabs (s->time_fs)) {
            strata_fail (error,
                         "mixed-up snapshot: loop %" PRIu64 " at %g fs, but densities are of loop %" PRIu64 " at %g fs",
                         loop,
                         time_fs,
                         s->loop,
                         s->time_fs);
            return part_fail (&parts[i], error);
        }
    }
    return 0;
}

static int read_parts (struct part *parts, struct gridsim *s, struct strata_error *error)
{
    /* The small files first: what is wrong with them is found before the big one is read. */
    if (common_keys (&parts[0], "FIXRECORDBINARY", &s->loop, &s->time_fs, error) != 0)
        return part_fail (&parts[0], error);
    if (check_same_loop (parts, s, error) != 0)
        return -1;
    if (read_grid (&parts[0], s, error) != 0)
        return part_fail (&parts[0], error);
    if (read_atoms (&parts[1], s, error) != 0)
        return part_fail (&parts[1], error);
    const struct gridsim_protein **index = index_proteins (s, error);
    if (!index)
        return part_fail (&parts[1], error);
    int rc = read_bonds (&parts[2], s, index, error);
    free (index);
    return rc == 0 ? 0 : part_fail (&parts[2], error);
}

struct gridsim_file {
    char *path;           /* for sentences */
    struct part parts[3]; /* their headers are too big for a stack */
};

void gridsim_close (struct gridsim_file **self)
{
    if (!*self)
        return;
    for (int i = 0; i < 3; i++)
        if ((*self)->parts[i].fd >= 0)
            close ((*self)->parts[i].fd);
    free ((*self)->path);
    free (*self);
    *self = NULL;
}

struct gridsim_file *gridsim_open (const char *path, size_t max_bytes, struct gridsim *snapshot, struct strata_error *error)
{
    static const char *const names[3] = { "densities#000000", "atoms#000000", "bonds#000000" };
    size_t budget = max_bytes ? max_bytes : MAX_BYTES_DEFAULT;
    memset (snapshot, 0, sizeof (*snapshot));
    struct gridsim_file *self = calloc (1, sizeof (*self));
    int folder = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), code = errno;
    for (int i = 0; self && i < 3; i++)
        self->parts[i].fd = -1;
    int rc = self && (self->path = strdup (path)) ? 0 : strata_fail (error, "out of memory");
    if (rc == 0 && folder < 0) {
        errno = code;
        rc = strata_fail (error, "can't be opened as a folder: %s", strerror (errno));
    }
    for (int i = 0; rc == 0 && i < 3; i++)
        rc = part_open (&self->parts[i], folder, names[i], &budget, error);
    if (rc == 0)
        rc = read_parts (self->parts, snapshot, error);
    code = errno;
    if (folder >= 0)
        close (folder);
    if (rc != 0) {
        strata_fail_prefix (error, "%s", path);
        gridsim_fini (snapshot);
        gridsim_close (&self);
    }
    errno = code;
    return self;
}

int gridsim_read_density (struct gridsim_file *self, struct gridsim *snapshot, struct strata_error *error)
{
    if (make_room (snapshot, error) == 0 && read_records (&self->parts[0], snapshot, error) == 0)
        return 0;
    part_fail (&self->parts[0], error);
    return strata_fail_prefix (error, "%s", self->path);
}

int gridsim_read (const char *path, size_t max_bytes, struct gridsim *snapshot, struct strata_error *error)
{
    struct gridsim_file *file = gridsim_open (path, max_bytes, snapshot, error);
    if (!file)
        return -1;
    int rc = gridsim_read_density (file, snapshot, error), code = errno;
    gridsim_close (&file);
    if (rc != 0)
        gridsim_fini (snapshot);
    errno = code;
    return rc;
}
