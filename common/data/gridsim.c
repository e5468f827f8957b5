/* gridsim.c - reads GridSim2D snapshots; see strata_gridsim.h. Writing: gridsim_write.c.
 *
 * A snapshot of the full campaign is 392 MB and is read in one pass at the speed of the disk: threads take 4 MiB blocks
 * of whole records with pread (not mmap: a file cut short under a mapping would end the process), check each value and
 * put it where its own grid indices say. A byte for each grid point, taken by atomic exchange, finds a point that comes
 * twice; as the file has exactly nx * ny records, it then also finds that one never comes.
 * The reason that is reported is that of the lowest record, whichever thread met its own first.
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
#define BLOCK_RECORDS 61680 /* just under 4 MiB */
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

enum flaw { FLAW_NONE, FLAW_READ, FLAW_INDEX, FLAW_TWICE, FLAW_VALUE, FLAW_MEMORY };

/* The lowest record with a flaw, shared by the threads. */
struct worst {
    size_t record; /* SIZE_MAX: none */
    enum flaw flaw;
    float ix, iy, value;
    int lipid;
    int code; /* errno of the thread that found it, for the caller's errno */
    struct strata_error read_error;
};

static void note_flaw (struct worst *worst, const struct worst *found)
{
#pragma omp critical (gridsim_flaw)
    if (found->record < worst->record)
        *worst = *found;
}

static int check_record (const float *record, struct gridsim *s, unsigned char *seen, struct worst *found)
{
    float x = record[0], y = record[1];
    found->ix = x;
    found->iy = y;
    /* false for NaN, so that no float is converted that doesn't fit */
    if (!(x >= 0 && x < (float)s->nx && y >= 0 && y < (float)s->ny) || x != floorf (x) || y != floorf (y)) {
        found->flaw = FLAW_INDEX;
        return -1;
    }
    size_t point = (size_t)y * s->nx + (size_t)x;
    const float *value = record + 3;
    int good = 1;
    for (int l = 0; l < GRIDSIM_LIPIDS; l++)
        good &= value[l] >= 0 && value[l] <= FLT_MAX;
    if (!good) {
        for (found->lipid = 0; value[found->lipid] >= 0 && value[found->lipid] <= FLT_MAX;)
            found->lipid++;
        found->value = value[found->lipid];
        found->flaw = FLAW_VALUE;
        return -1;
    }
    if (__atomic_exchange_n (&seen[point], 1, __ATOMIC_RELAXED)) {
        found->flaw = FLAW_TWICE;
        return -1;
    }
    memcpy (s->density + point * GRIDSIM_LIPIDS, value, GRIDSIM_LIPIDS * sizeof (float));
    return 0;
}

/* Reads records [first, first + n) and scatters them. */
static void read_block (const struct part *part, size_t first, size_t n, float *buffer, struct gridsim *s,
                        unsigned char *seen, struct worst *worst)
{
    struct worst found = { .record = first, .flaw = buffer ? FLAW_NONE : FLAW_MEMORY, .code = buffer ? 0 : ENOMEM };
    size_t offset = part->header.data_offset + first * RECORD_SIZE;
    if (buffer && read_at (part, buffer, n * RECORD_SIZE, offset, &found.read_error) != 0) {
        found.flaw = FLAW_READ;
        found.code = errno;
    }
    for (size_t i = 0; i < n && found.flaw == FLAW_NONE; i++) {
        found.record = first + i;
        check_record (buffer + i * FIELDS, s, seen, &found);
    }
    if (found.flaw != FLAW_NONE)
        note_flaw (worst, &found);
}

static int flaw_sentence (const struct worst *worst, const struct gridsim *s, struct strata_error *error)
{
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
    case FLAW_TWICE:
        return strata_fail (error,
                            "grid point (%g, %g) comes twice, so that another never comes; write the snapshot anew",
                            (double)worst->ix,
                            (double)worst->iy);
    default:
        return strata_fail (error,
                            "%s at grid point (%g, %g) is %g; a density is finite and not negative",
                            gridsim_lipid_names[worst->lipid],
                            (double)worst->ix,
                            (double)worst->iy,
                            (double)worst->value);
    }
}

/* Whole records straight into s->density; s->nx, ny are set and fit the file's size. */
static int read_records (const struct part *part, struct gridsim *s, struct strata_error *error)
{
    size_t points = s->nx * s->ny;
    size_t bytes = points * GRIDSIM_LIPIDS * sizeof (float);
    /* Scattering touches the whole field in any order: huge pages save most of the page faults. */
    size_t alignment = bytes > 2 * HUGE_PAGE ? HUGE_PAGE : 64;
    s->density = aligned_alloc (alignment, (bytes + alignment - 1) / alignment * alignment);
    unsigned char *seen = calloc (points, 1);
    if (!s->density || !seen) {
        free (seen);
        return strata_fail (error, "out of memory for %zu x %zu grid points", s->nx, s->ny);
    }
    madvise (s->density, bytes, MADV_HUGEPAGE);
    posix_fadvise (part->fd, 0, 0, POSIX_FADV_SEQUENTIAL);

    size_t blocks = (points + BLOCK_RECORDS - 1) / BLOCK_RECORDS;
    struct worst worst = { .record = SIZE_MAX };
#pragma omp parallel if (blocks > 1)
    {
        float *buffer = malloc ((blocks > 1 ? BLOCK_RECORDS : points) * RECORD_SIZE);
#pragma omp for schedule(dynamic, 1)
        for (size_t b = 0; b < blocks; b++) {
            size_t first = b * BLOCK_RECORDS;
            size_t n = points - first < BLOCK_RECORDS ? points - first : BLOCK_RECORDS;
            read_block (part, first, n, buffer, s, seen, &worst);
        }
        free (buffer);
    }
    free (seen);
    return worst.record == SIZE_MAX ? 0 : flaw_sentence (&worst, s, error);
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

static int read_densities (const struct part *part, struct gridsim *s, struct strata_error *error)
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
    if (check_grid (part, s, delta, nrecord, error) != 0)
        return -1;
    return read_records (part, s, error);
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
    /* The small files first: most mix-ups are found before the big one is read. */
    if (common_keys (&parts[0], "FIXRECORDBINARY", &s->loop, &s->time_fs, error) != 0)
        return part_fail (&parts[0], error);
    if (check_same_loop (parts, s, error) != 0)
        return -1;
    if (read_densities (&parts[0], s, error) != 0)
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

int gridsim_read (const char *path, size_t max_bytes, struct gridsim *snapshot, struct strata_error *error)
{
    static const char *const names[3] = { "densities#000000", "atoms#000000", "bonds#000000" };
    size_t budget = max_bytes ? max_bytes : MAX_BYTES_DEFAULT;
    memset (snapshot, 0, sizeof (*snapshot));
    struct part *parts = calloc (3, sizeof (*parts)); /* their headers are too big for a stack */
    int folder = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = parts ? 0 : strata_fail (error, "out of memory");
    if (rc == 0 && folder < 0)
        rc = strata_fail (error, "can't be opened as a folder: %s", strerror (errno));
    for (int i = 0; parts && i < 3; i++)
        parts[i].fd = -1;
    for (int i = 0; rc == 0 && i < 3; i++)
        rc = part_open (&parts[i], folder, names[i], &budget, error);
    if (rc == 0)
        rc = read_parts (parts, snapshot, error);
    if (rc != 0) {
        strata_fail_prefix (error, "%s", path);
        gridsim_fini (snapshot);
    }
    for (int i = 0; parts && i < 3; i++)
        if (parts[i].fd >= 0)
            close (parts[i].fd);
    if (folder >= 0)
        close (folder);
    free (parts);
    return rc;
}
