/* rockslog.c - see rockslog.h */
#include "store/rockslog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/crc32c.h"

#define BLOCK 32768u
#define HEADER 7u
#define RECYCLED_HEADER 11u

enum type { ZERO, FULL, FIRST, MIDDLE, LAST, RECYCLED = 4 }; /* a recycled log's types are 5..8 */

static uint64_t little (const uint8_t *p, int bytes)
{
    uint64_t n = 0;
    while (bytes-- > 0)
        n = n << 8 | p[bytes];
    return n;
}

int rockslog_open (struct rockslog *self, const char *path, uint64_t number, struct strata_error *error)
{
    struct stat st;
    *self = (struct rockslog){ .number = number };
    int fd = open (path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat (fd, &st) < 0)
        goto failed;
    self->data = malloc (st.st_size ? (size_t)st.st_size : 1);
    if (!self->data)
        goto failed;
    while (self->size < (size_t)st.st_size) {
        ssize_t n = read (fd, self->data + self->size, (size_t)st.st_size - self->size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            goto failed;
        if (n == 0)
            break;
        self->size += (size_t)n;
    }
    close (fd);
    return 0;
failed:
    strata_fail (error, "%s can't be read: %s", path, strerror (errno));
    int saved = errno;
    if (fd >= 0)
        close (fd);
    rockslog_close (self);
    errno = saved;
    return -1;
}

void rockslog_close (struct rockslog *self)
{
    free (self->data);
    free (self->record);
    *self = (struct rockslog){ .data = NULL };
}

static int broken (struct rockslog *self, size_t at, const char *why)
{
    self->bad = why;
    self->bad_at = at;
    self->after_bad = 0;
    return -1;
}

static bool all_zero (const uint8_t *p, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (p[i])
            return false;
    return true;
}

/* One piece of a record: as rockslog_next, with its type. */
static int piece (struct rockslog *self, enum type *type, const uint8_t **data, size_t *size)
{
    size_t left = BLOCK - self->at % BLOCK;
    if (left < HEADER) { /* a trailer of zeros */
        size_t tail = left < self->size - self->at ? left : self->size - self->at;
        if (!all_zero (self->data + self->at, tail))
            return broken (self, self->at, "the end of a block is not empty");
        self->at += tail;
        left = BLOCK;
    }
    if (self->at >= self->size)
        return 0;
    const uint8_t *p = self->data + self->at;
    size_t room = self->size - self->at < left ? self->size - self->at : left;
    if (room < HEADER)
        return broken (self, self->at, "it ends within a record");
    unsigned kind = p[6];
    size_t length = (size_t)little (p + 4, 2), header = kind > LAST ? RECYCLED_HEADER : HEADER;
    if (kind == ZERO && length == 0 && all_zero (p, self->size - self->at))
        return 0; /* room that was taken ahead and never written */
    if (kind == ZERO || kind > LAST + RECYCLED)
        return broken (self, self->at, "a record of no known kind");
    if (header + length > room)
        return broken (self, self->at, self->size - self->at < left ? "it ends within a record" : "a record is longer than its block");
    uint32_t masked = (uint32_t)little (p, 4), rotated = masked - 0xa282ead8u;
    if (crc32c (0, p + 6, header + length - 6) != (rotated >> 17 | rotated << 15)) {
        broken (self, self->at, "a record's checksum is wrong");
        self->after_bad = self->at + header + length;
        return -1;
    }
    if (header == RECYCLED_HEADER && (uint32_t)little (p + 7, 4) != (uint32_t)self->number)
        return 0;
    *type = kind > LAST ? (enum type)(kind - RECYCLED) : (enum type)kind;
    *data = p + header;
    *size = length;
    self->at += header + length;
    return 1;
}

int rockslog_next (struct rockslog *self, const uint8_t **record, size_t *size)
{
    enum type type;
    const uint8_t *data;
    size_t length, start = self->at, total = 0;
    int rc = piece (self, &type, &data, &length);
    if (rc <= 0)
        return rc;
    *record = data;
    *size = length;
    if (type == FULL)
        return 1;
    if (type != FIRST)
        return broken (self, start, "a record's beginning is missing");
    for (;;) {
        if (!self->record || total + length > self->record_room) { /* a piece may be empty */
            size_t room = 2 * (total + length) + 1;
            uint8_t *grown = realloc (self->record, room);
            if (!grown)
                return broken (self, start, "out of memory for a record");
            self->record = grown;
            self->record_room = room;
        }
        memcpy (self->record + total, data, length);
        total += length;
        if (type == LAST)
            break;
        rc = piece (self, &type, &data, &length);
        if (rc == 0)
            return broken (self, start, "it ends within a record");
        if (rc < 0)
            return rc;
        if (type != MIDDLE && type != LAST)
            return broken (self, start, "a record's end is missing");
    }
    *record = self->record;
    *size = total;
    return 1;
}

int rockslog_skip (struct rockslog *self)
{
    size_t from = self->bad_at > self->at ? self->bad_at : self->at;
    self->at = self->after_bad ? self->after_bad : (from / BLOCK + 1) * BLOCK;
    return self->at < self->size;
}

/* ---- batches ---- */

bool rockslog_batch (const uint8_t *record, size_t size, uint64_t *sequence, uint32_t *count)
{
    if (size < 12)
        return false;
    *sequence = little (record, 8);
    *count = (uint32_t)little (record + 8, 4);
    return true;
}

struct bytes {
    const uint8_t *p;
    size_t left;
    bool bad;
};

static uint64_t varint (struct bytes *in)
{
    uint64_t n = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (!in->left)
            break;
        uint8_t byte = *in->p++;
        in->left--;
        n |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return n;
    }
    in->bad = true;
    return 0;
}

static const uint8_t *counted (struct bytes *in, size_t *size)
{
    uint64_t n = varint (in);
    const uint8_t *p = in->p;
    if (in->bad || n > in->left) {
        in->bad = true;
        n = 0;
    }
    in->p += n;
    in->left -= n;
    *size = n;
    return p;
}

void rockslog_batch_keys (const uint8_t *record, size_t size, void (*each) (const uint8_t *key, size_t key_size, void *arg),
                          void *arg)
{
    struct bytes in = { record + 12, size < 12 ? 0 : size - 12, size < 12 };
    while (in.left && !in.bad) {
        /* Our batches only set and delete keys, one or a range. */
        enum { DELETION = 0, VALUE = 1, SINGLE_DELETION = 7, RANGE_DELETION = 15 } kind = *in.p++;
        size_t key_size, ignored;
        in.left--;
        if (kind != DELETION && kind != VALUE && kind != SINGLE_DELETION && kind != RANGE_DELETION)
            return;
        const uint8_t *key = counted (&in, &key_size);
        if (kind == VALUE || kind == RANGE_DELETION)
            counted (&in, &ignored);
        if (!in.bad)
            each (key, key_size, arg);
    }
}

/* ---- MANIFEST ---- */

static void file_add (struct rocksmanifest *self, uint64_t number, uint64_t size, bool blob)
{
    if (self->files_count == self->files_room) {
        size_t room = self->files_room ? 2 * self->files_room : 64;
        struct rocksdb_file *grown = realloc (self->files, room * sizeof (*grown));
        if (!grown) {
            self->strange = true;
            return;
        }
        self->files = grown;
        self->files_room = room;
    }
    self->files[self->files_count++] = (struct rocksdb_file){ number, size, blob };
}

static void file_delete (struct rocksmanifest *self, uint64_t number)
{
    for (size_t i = 0; i < self->files_count; i++)
        if (self->files[i].number == number && !self->files[i].blob) {
            self->files[i] = self->files[--self->files_count];
            return;
        }
}

/* Fields behind a file's fixed ones: (tag, bytes) until the tag `end`. */
static void custom_fields (struct bytes *in, uint64_t end)
{
    size_t ignored;
    while (!in->bad && varint (in) != end)
        counted (in, &ignored);
}

void rocksmanifest_add (struct rocksmanifest *self, const uint8_t *record, size_t size)
{
    /* Numbers of fields: RocksDB 7.8, VersionEdit. From SAFE on each is counted bytes that may be left out. */
    enum { COMPARATOR = 1, LOG, NEXT_FILE, LAST_SEQUENCE, COMPACT, DELETED, NEW1, PREVIOUS_LOG = 9, MIN_LOG = 10,
           NEW4 = 103, FAMILY = 200, FAMILY_ADD, FAMILY_DROP, MAX_FAMILY, ATOMIC = 300, BLOB = 400, BLOB_GARBAGE, SAFE = 8192 };
    struct bytes in = { record, size, false };
    size_t ignored;
    while (in.left && !in.bad) {
        uint64_t tag = varint (&in), n, bytes;
        switch (tag) {
        case LOG:
            n = varint (&in);
            self->log_number = n > self->log_number ? n : self->log_number;
            break;
        case LAST_SEQUENCE:
            n = varint (&in);
            self->last_sequence = n > self->last_sequence ? n : self->last_sequence;
            break;
        case NEXT_FILE: case PREVIOUS_LOG: case MIN_LOG: case FAMILY: case MAX_FAMILY: case ATOMIC:
            varint (&in);
            break;
        case COMPARATOR: case FAMILY_ADD:
            counted (&in, &ignored);
            break;
        case COMPACT:
            varint (&in);
            counted (&in, &ignored);
            break;
        case DELETED:
            varint (&in);
            file_delete (self, varint (&in));
            break;
        case NEW4:
            varint (&in); /* level */
            n = varint (&in);
            bytes = varint (&in);
            counted (&in, &ignored);
            counted (&in, &ignored);
            varint (&in);
            varint (&in);
            custom_fields (&in, 1);
            file_add (self, n, bytes, false);
            break;
        case BLOB:
            file_add (self, varint (&in), 0, true);
            varint (&in);
            varint (&in);
            counted (&in, &ignored);
            counted (&in, &ignored);
            custom_fields (&in, 0);
            break;
        case BLOB_GARBAGE:
            varint (&in);
            varint (&in);
            varint (&in);
            custom_fields (&in, 0);
            break;
        default:
            if (tag < SAFE || !(tag & SAFE)) {
                self->strange = true;
                return;
            }
            counted (&in, &ignored);
        }
    }
    self->strange = self->strange || in.bad;
}

void rocksmanifest_fini (struct rocksmanifest *self)
{
    free (self->files);
    *self = (struct rocksmanifest){ .files = NULL };
}
