/* xtc.c - see strata_xtc.h
 *
 * One frame in the file (all numbers big-endian, XDR):
 *
 *   byte  0  magic 1995, natoms, step      int32 each
 *        12  time [ps]                     float32
 *        16  box, 3 row vectors [nm]       float32 [9]
 *        52  natoms again                  int32
 *   natoms <= 9:
 *        56  coordinates [nm]              float32 [natoms][3]
 *   else:
 *        56  precision                     float32; a coordinate is integer / precision
 *        60  smallest, largest integers    int32 [3] each
 *        84  index of the small range      int32
 *        88  bytes that follow             int32
 *        92  bits, filled up to 4 bytes
 *
 * The bits (Frans van Hoesel's 3dfcoord compression): an atom stands either as its offset from the smallest integers,
 * three numbers packed as digits of mixed base; or, in a run that follows such an atom, as its difference from the atom
 * before it, three digits in the base small_range[index]. After each whole atom comes a bit "the run changes" and, when
 * set, five bits: 3 x run length + how the index changes (-1, 0, +1) + 1. The first two atoms of a run are swapped,
 * because in water the hydrogens are both near the oxygen, which is written first.
 *
 * Everything here comes from outside: each field is checked before it sizes or indexes anything, each read of bits is
 * bounded by the block, and a decoded coordinate outside the frame's own extremes makes the frame broken.
 */
#include "strata_xtc.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XTC_MAGIC 1995
#define XTC_MAGIC_LARGE 2023 /* same, with a 64-bit byte count; only for more than 298,261,617 atoms */
#define XTC_NATOMS_MAX 100000000
#define XTC_PLAIN_ATOMS 9 /* up to so many atoms are stored as plain floats */
#define XTC_HEAD_PLAIN 56
#define XTC_HEAD_PACKED 92
#define XTC_ATOM_BYTES_MAX 16 /* a packed atom takes at most 96 + 6 bits */

/* The bases of small differences: about 2^(index / 3). The format fixes these numbers, also where they are not the
 * nearest. */
static const uint32_t small_range[] = {
    0,       0,       0,       0,       0,        0,        0,        0,       0,       8,       10,
    12,      16,      20,      25,      32,       40,       50,       64,      80,      101,     128,
    161,     203,     256,     322,     406,      512,      645,      812,     1024,    1290,    1625,
    2048,    2580,    3250,    4096,    5060,     6501,     8192,     10321,   13003,   16384,   20642,
    26007,   32768,   41285,   52015,   65536,    82570,    104031,   131072,  165140,  208063,  262144,
    330280,  416127,  524287,  660561,  832255,   1048576,  1321122,  1664510, 2097152, 2642245, 3329021,
    4194304, 5284491, 6658042, 8388607, 10568983, 13316085, 16777216,
};
#define SMALL_FIRST 9
#define SMALL_LAST ((int)(sizeof (small_range) / sizeof (small_range[0])) - 1)

struct xtc {
    char *path;
    int fd;
    int32_t natoms;       /* 0 until the first frame tells */
    uint64_t offset;      /* of the frame that comes next */
    unsigned char *bytes; /* that frame, as in the file */
    size_t bytes_max;
    float *x;
    size_t x_max; /* atoms that x has room for */
};

/* The fields before the bits. */
struct head {
    int32_t natoms;
    int32_t step;
    float time_ps;
    float box[3][3];
    float precision;
    int32_t min[3], max[3];
    int32_t index;
    size_t data_size; /* without the filling */
    size_t frame_size;
};

struct bits {
    const unsigned char *data;
    size_t size;     /* bytes */
    size_t position; /* bits already taken */
};

static uint32_t be32 (const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static float be_float (const unsigned char *p)
{
    uint32_t u = be32 (p);
    float f;
    memcpy (&f, &u, sizeof (f));
    return f;
}

static int broken (const struct xtc *self, struct strata_error *error, const char *why)
{
    errno = EBADMSG;
    return strata_fail (error, "%s: the frame at byte %llu is broken: %s", self->path, (unsigned long long)self->offset,
                        why);
}

/* n <= 57 bits, most significant first. False when the block has no such many left. */
static bool bits_take (struct bits *self, unsigned n, uint64_t *value)
{
    if (n > self->size * 8 - self->position)
        return false;
    if (n == 0) {
        *value = 0;
        return true;
    }
    size_t at = self->position / 8;
    unsigned char word[8] = { 0 };
    memcpy (word, self->data + at, self->size - at < 8 ? self->size - at : 8);
    uint64_t w;
    memcpy (&w, word, 8);
    w = __builtin_bswap64 (w);
    *value = (w << (self->position % 8)) >> (64 - n);
    self->position += n;
    return true;
}

/* Three digits of mixed base packed into n <= 72 bits: whole bytes, least significant first, then the rest of the bits.
 */
static bool bits_take_three (struct bits *self, unsigned n, const uint32_t base[3], uint32_t digits[3])
{
    unsigned whole = n > 0 ? (n - 1) / 8 : 0;
    unsigned __int128 v = 0;
    uint64_t part;
    unsigned done = 0;
    if (!base[0] || !base[1] || !base[2]) /* there is no digit below 0 */
        return false;
    while (done < whole) {
        unsigned now = whole - done > 7 ? 7 : whole - done;
        if (!bits_take (self, now * 8, &part))
            return false;
        v |= (unsigned __int128)(__builtin_bswap64 (part) >> (64 - now * 8)) << (done * 8);
        done += now;
    }
    if (!bits_take (self, n - whole * 8, &part))
        return false;
    v |= (unsigned __int128)part << (whole * 8);
    if (v >> 64 == 0) { /* nearly always; a division of 64 bits is many times cheaper */
        uint64_t w = (uint64_t)v;
        digits[2] = (uint32_t)(w % base[2]);
        w /= base[2];
        digits[1] = (uint32_t)(w % base[1]);
        w /= base[1];
        if (w >= base[0])
            return false;
        digits[0] = (uint32_t)w;
        return true;
    }
    digits[2] = (uint32_t)(v % base[2]);
    v /= base[2];
    digits[1] = (uint32_t)(v % base[1]);
    v /= base[1];
    if (v >= base[0])
        return false;
    digits[0] = (uint32_t)v;
    return true;
}

/* How many bits the writer takes for a number below `size`: those of `size` itself. */
static unsigned bit_length (unsigned __int128 size)
{
    unsigned n = 0;
    for (; size; size >>= 1)
        n++;
    return n;
}

/* ---- the fields before the bits ---- */

static int head_box_and_time (const struct xtc *self, const unsigned char *p, struct head *head,
                              struct strata_error *error)
{
    head->step = (int32_t)be32 (p + 8);
    head->time_ps = be_float (p + 12);
    bool finite = isfinite (head->time_ps);
    for (int i = 0; i < 9; i++) {
        head->box[i / 3][i % 3] = be_float (p + 16 + 4 * i);
        finite = finite && isfinite (head->box[i / 3][i % 3]);
    }
    return finite ? 0 : broken (self, error, "its time or box is not a finite number");
}

static int head_packed (const struct xtc *self, const unsigned char *p, struct head *head, struct strata_error *error)
{
    head->precision = be_float (p + 56);
    if (!(head->precision >= 1e-6f && head->precision <= 1e9f))
        return broken (self, error, "its precision is not within 1e-6 .. 1e9 per nm");
    for (int i = 0; i < 3; i++) {
        head->min[i] = (int32_t)be32 (p + 60 + 4 * i);
        head->max[i] = (int32_t)be32 (p + 72 + 4 * i);
        if (head->min[i] > head->max[i])
            return broken (self, error, "the largest coordinate is below the smallest");
        if ((int64_t)head->max[i] - head->min[i] >= UINT32_MAX)
            return broken (self, error, "its coordinates span more than 32 bits");
    }
    head->index = (int32_t)be32 (p + 84);
    if (head->index < SMALL_FIRST || head->index > SMALL_LAST)
        return broken (self, error, "the index of its small range is not within 9 .. 72");
    int32_t n = (int32_t)be32 (p + 88);
    if (n < 1 || n > (int64_t)head->natoms * XTC_ATOM_BYTES_MAX + 8 || (int64_t)n * 8 < head->natoms)
        return broken (self, error, "its byte count does not fit its number of atoms");
    head->data_size = (size_t)n;
    head->frame_size = XTC_HEAD_PACKED + (((size_t)n + 3) & ~(size_t)3);
    return 0;
}

/* 1: *head is filled and consistent. 0: `size` bytes don't hold the fields yet. -1: broken. */
static int head_parse (const struct xtc *self, const unsigned char *p, size_t size, struct head *head,
                       struct strata_error *error)
{
    if (size < 4)
        return 0;
    uint32_t magic = be32 (p);
    if (magic == XTC_MAGIC_LARGE)
        return broken (self, error,
                       "it is of the kind for more than 298 million atoms, which this reader does not take");
    if (magic != XTC_MAGIC)
        return broken (self, error, "it does not begin with the number 1995 of an XTC frame");
    if (size < 8)
        return 0;
    head->natoms = (int32_t)be32 (p + 4);
    if (head->natoms < 1 || head->natoms > XTC_NATOMS_MAX)
        return broken (self, error, "its number of atoms is not within 1 .. 100,000,000");
    if (self->natoms && head->natoms != self->natoms) {
        errno = EBADMSG;
        return strata_fail (error,
                            "%s: the frame at byte %llu has %d atoms where %d are expected; is it of another topology?",
                            self->path, (unsigned long long)self->offset, (int)head->natoms, (int)self->natoms);
    }
    if (size < XTC_HEAD_PLAIN)
        return 0;
    if (head_box_and_time (self, p, head, error) < 0)
        return -1;
    if ((int32_t)be32 (p + 52) != head->natoms)
        return broken (self, error, "its two numbers of atoms differ");
    if (head->natoms <= XTC_PLAIN_ATOMS) {
        head->precision = -1; /* as GROMACS tells it */
        head->data_size = (size_t)head->natoms * 12;
        head->frame_size = XTC_HEAD_PLAIN + head->data_size;
        return 1;
    }
    if (size < XTC_HEAD_PACKED)
        return 0;
    return head_packed (self, p, head, error) < 0 ? -1 : 1;
}

/* ---- the coordinates ---- */

struct unpack {
    struct bits bits;
    const struct head *head;
    uint32_t base[3];   /* of a whole atom */
    unsigned base_bits; /* of the three together; 0: each takes each_bits of its own */
    unsigned each_bits[3];
    float inverse; /* 1 / precision, in float: the bits of a coordinate are then those of other readers */
    float *out;
};

static void unpack_init (struct unpack *self, const struct head *head, const unsigned char *data, float *out)
{
    self->bits = (struct bits){ .data = data, .size = head->data_size };
    self->head = head;
    self->out = out;
    self->inverse = (float)(1.0 / head->precision);
    bool large = false;
    for (int i = 0; i < 3; i++) {
        self->base[i] = (uint32_t)((int64_t)head->max[i] - head->min[i] + 1);
        self->each_bits[i] = bit_length (self->base[i]);
        large = large || self->base[i] > 0xffffff;
    }
    self->base_bits = large ? 0 : bit_length ((unsigned __int128)self->base[0] * self->base[1] * self->base[2]);
}

static bool unpack_whole (struct unpack *self, int32_t atom[3])
{
    uint32_t digit[3];
    if (self->base_bits) {
        if (!bits_take_three (&self->bits, self->base_bits, self->base, digit))
            return false;
    }
    else
        for (int i = 0; i < 3; i++) {
            uint64_t v;
            if (!bits_take (&self->bits, self->each_bits[i], &v) || v >= self->base[i])
                return false;
            digit[i] = (uint32_t)v;
        }
    for (int i = 0; i < 3; i++)
        atom[i] = (int32_t)(self->head->min[i] + (int64_t)digit[i]);
    return true;
}

static bool unpack_small (struct unpack *self, int index, const int32_t before[3], int32_t atom[3])
{
    uint32_t r = small_range[index], digit[3];
    const uint32_t base[3] = { r, r, r };
    if (!bits_take_three (&self->bits, (unsigned)index, base, digit))
        return false;
    for (int i = 0; i < 3; i++) {
        int64_t v = (int64_t)before[i] + digit[i] - r / 2;
        if (v < self->head->min[i] || v > self->head->max[i])
            return false;
        atom[i] = (int32_t)v;
    }
    return true;
}

static void unpack_emit (struct unpack *self, const int32_t atom[3])
{
    for (int i = 0; i < 3; i++)
        *self->out++ = (float)atom[i] * self->inverse;
}

/* NULL, or why the block is broken. */
static const char *unpack_atoms (struct unpack *self)
{
    static const char short_or_wild[] = "its coordinates do not fit its byte count or lie outside of its extremes";
    int32_t left = self->head->natoms;
    int index = self->head->index;
    int run = 0; /* atoms; goes on from atom to atom until told otherwise */
    while (left > 0) {
        int32_t whole[3], small[3];
        uint64_t changes, how = 0;
        if (!unpack_whole (self, whole) || !bits_take (&self->bits, 1, &changes)
            || (changes && !bits_take (&self->bits, 5, &how)))
            return short_or_wild;
        if (changes)
            run = (int)(how / 3);
        if (run >= left)
            return "a run of atoms goes beyond the last atom";
        for (int k = 0; k < run; k++) {
            if (!unpack_small (self, index, k == 0 ? whole : small, small))
                return short_or_wild;
            unpack_emit (self, small);
            if (k == 0)
                unpack_emit (self, whole);
        }
        if (run == 0)
            unpack_emit (self, whole);
        left -= run + 1;
        index += changes ? (int)(how % 3) - 1 : 0;
        if (index < SMALL_FIRST || index > SMALL_LAST)
            return "the index of its small range leaves 9 .. 72";
    }
    return NULL;
}

static int plain_atoms (const struct xtc *self, const unsigned char *p, const struct head *head,
                        struct strata_error *error)
{
    for (int i = 0; i < 3 * head->natoms; i++) {
        self->x[i] = be_float (p + 4 * i);
        if (!isfinite (self->x[i]))
            return broken (self, error, "a coordinate is not a finite number");
    }
    return 0;
}

static int room_for_atoms (struct xtc *self, int32_t natoms, struct strata_error *error)
{
    if ((size_t)natoms <= self->x_max)
        return 0;
    float *x = realloc (self->x, (size_t)natoms * 3 * sizeof (float));
    if (!x)
        return strata_fail (error, "%s: no memory for a frame of %d atoms", self->path, (int)natoms);
    self->x = x;
    self->x_max = (size_t)natoms;
    return 0;
}

int xtc_decode (struct xtc *self, const void *data, size_t size, size_t *used, struct xtc_frame *frame,
                struct strata_error *error)
{
    const unsigned char *p = data;
    struct head head = { 0 };
    *used = 0;
    int rc = head_parse (self, p, size, &head, error);
    if (rc < 1)
        return rc;
    if (size < head.frame_size)
        return 0;
    if (room_for_atoms (self, head.natoms, error) < 0)
        return -1;
    if (head.natoms <= XTC_PLAIN_ATOMS) {
        if (plain_atoms (self, p + XTC_HEAD_PLAIN, &head, error) < 0)
            return -1;
    }
    else {
        struct unpack unpack;
        unpack_init (&unpack, &head, p + XTC_HEAD_PACKED, self->x);
        const char *why = unpack_atoms (&unpack);
        if (why)
            return broken (self, error, why);
    }
    self->natoms = head.natoms;
    *used = head.frame_size;
    frame->natoms = head.natoms;
    frame->step = head.step;
    frame->time_ps = head.time_ps;
    memcpy (frame->box, head.box, sizeof (frame->box));
    frame->precision = head.precision;
    frame->x = self->x;
    frame->offset = self->offset;
    return 1;
}

/* ---- the file ---- */

struct xtc *xtc_open (const char *path, int32_t natoms, struct strata_error *error)
{
    if (natoms < 0 || natoms > XTC_NATOMS_MAX) {
        errno = EINVAL;
        strata_fail (error, "%s: %d atoms were asked for; at most 100,000,000 are read", path, (int)natoms);
        return NULL;
    }
    struct xtc *self = calloc (1, sizeof (*self));
    if (!self || !(self->path = strdup (path))) {
        free (self);
        strata_fail (error, "%s: no memory for a reader", path);
        return NULL;
    }
    self->natoms = natoms;
    self->fd = open (path, O_RDONLY | O_CLOEXEC);
    if (self->fd < 0) {
        strata_fail (error, "%s: cannot open this trajectory: %s", path, strerror (errno));
        int saved = errno;
        xtc_close (&self);
        errno = saved;
    }
    return self;
}

void xtc_close (struct xtc **self)
{
    if (!self || !*self)
        return;
    if ((*self)->fd >= 0)
        close ((*self)->fd);
    free ((*self)->path);
    free ((*self)->bytes);
    free ((*self)->x);
    free (*self);
    *self = NULL;
}

/* Reads until bytes [0, size) of the next frame are there; *got tells how many there are. */
static int fill (struct xtc *self, size_t size, size_t *got, struct strata_error *error)
{
    if (size > self->bytes_max) {
        unsigned char *bytes = realloc (self->bytes, size);
        if (!bytes)
            return strata_fail (error, "%s: no memory for a frame of %zu bytes", self->path, size);
        self->bytes = bytes;
        self->bytes_max = size;
    }
    while (*got < size) {
        ssize_t n = pread (self->fd, self->bytes + *got, size - *got, (off_t)(self->offset + *got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return strata_fail (error, "%s: cannot read at byte %llu: %s", self->path,
                                (unsigned long long)(self->offset + *got), strerror (errno));
        if (n == 0)
            break;
        *got += (size_t)n;
    }
    return 0;
}

int xtc_next (struct xtc *self, struct xtc_frame *frame, struct strata_error *error)
{
    size_t got = 0;
    struct stat st;
    if (fstat (self->fd, &st) < 0)
        return strata_fail (error, "%s: cannot look at this file: %s", self->path, strerror (errno));
    if (S_ISREG (st.st_mode) && (uint64_t)st.st_size < self->offset) {
        errno = ESTALE;
        return strata_fail (error,
                            "%s: the file was cut to %lld bytes, before byte %llu that was read up to; read it anew",
                            self->path, (long long)st.st_size, (unsigned long long)self->offset);
    }
    struct head head = { 0 };
    if (fill (self, XTC_HEAD_PACKED, &got, error) < 0)
        return -1;
    int rc = head_parse (self, self->bytes, got, &head, error);
    if (rc < 1)
        return rc;
    /* Room is made only for what the file really holds: a broken byte count can't make this reader big. */
    if (S_ISREG (st.st_mode) && (uint64_t)st.st_size - self->offset < head.frame_size)
        return 0;
    size_t used;
    if (fill (self, head.frame_size, &got, error) < 0)
        return -1;
    rc = xtc_decode (self, self->bytes, got, &used, frame, error);
    if (rc == 1)
        self->offset += used;
    return rc;
}

int xtc_seek (struct xtc *self, uint64_t offset, struct strata_error *error)
{
    struct stat st;
    if (fstat (self->fd, &st) < 0)
        return strata_fail (error, "%s: cannot look at this file: %s", self->path, strerror (errno));
    if (offset > (uint64_t)st.st_size) {
        errno = EINVAL;
        return strata_fail (error, "%s: cannot go to byte %llu of a file of %lld bytes", self->path,
                            (unsigned long long)offset, (long long)st.st_size);
    }
    self->offset = offset;
    return 0;
}
