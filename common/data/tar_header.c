/* tar_header.c - see tar_header.h */
#include "data/tar_header.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Fields of a ustar header (POSIX.1-1988): offset, bytes. */
enum {
    NAME = 0, NAME_SIZE = 100,
    MODE = 100, UID = 108, GID = 116, ID_SIZE = 8,
    SIZE = 124, MTIME = 136, NUMBER_SIZE = 12,
    CHECKSUM = 148, CHECKSUM_SIZE = 8,
    TYPE = 156, MAGIC = 257,
    PREFIX = 345, PREFIX_SIZE = 155,
};

/* ---- numbers ---- */

/* Octal with a NUL behind it; what doesn't fit as GNU tar does: a set first bit, then base 256. */
static void put_number (uint8_t *field, size_t width, uint64_t value)
{
    if (value >> (3 * (width - 1))) {
        for (size_t i = width; i-- > 1; value >>= 8)
            field[i] = (uint8_t)value;
        field[0] = 0x80;
        return;
    }
    field[width - 1] = '\0';
    for (size_t i = width - 1; i-- > 0; value >>= 3)
        field[i] = (uint8_t)('0' + (value & 7));
}

static bool get_number (const uint8_t *field, size_t width, uint64_t *value)
{
    size_t i = 0;
    *value = 0;
    if (field[0] & 0x80) {
        if (field[0] != 0x80)
            return false; /* below zero, or far too large */
        for (i = 1; i < width; i++) {
            if (*value >> 55)
                return false;
            *value = *value << 8 | field[i];
        }
        return true;
    }
    while (i < width && field[i] == ' ')
        i++;
    for (; i < width && field[i] >= '0' && field[i] <= '7'; i++)
        *value = *value << 3 | (uint64_t)(field[i] - '0');
    return i == width || field[i] == '\0' || field[i] == ' ';
}

/* Signed: some old programs add up signed bytes. */
static void sums (const uint8_t *block, int64_t *plain, int64_t *with_sign)
{
    uint64_t all = 0, high = 0;
    for (size_t i = 0; i < TAR_BLOCK; i++) {
        all += block[i];
        high += block[i] >> 7;
    }
    for (size_t i = CHECKSUM; i < CHECKSUM + CHECKSUM_SIZE; i++) {
        all -= block[i];
        high -= block[i] >> 7;
    }
    *plain = (int64_t)all + CHECKSUM_SIZE * ' ';
    *with_sign = *plain - (int64_t)(high * 256);
}

/* ---- making ---- */

/* Where a name of more than 100 bytes can be cut at a '/': bytes of the prefix, 0 when nowhere. */
static size_t prefix_of (const char *name, size_t name_size)
{
    if (name_size <= NAME_SIZE || name_size > NAME_SIZE + 1 + PREFIX_SIZE)
        return 0;
    for (size_t at = name_size - NAME_SIZE - 1; at <= PREFIX_SIZE && at + 1 < name_size; at++)
        if (name[at] == '/' && at > 0)
            return at;
    return 0;
}

/* "<bytes> path=<name>\n", where bytes counts itself. */
static size_t record_size (size_t name_size)
{
    size_t rest = strlen (" path=\n") + name_size, digits = 1;
    for (size_t power = 10; rest + digits >= power; power *= 10)
        digits++;
    return rest + digits;
}

static bool is_plain (const char *name, size_t name_size)
{
    return name_size <= NAME_SIZE || prefix_of (name, name_size) > 0;
}

size_t tar_header_size (const char *name, size_t name_size)
{
    return is_plain (name, name_size) ? TAR_BLOCK : (size_t)(2 * TAR_BLOCK + tar_round (record_size (name_size)));
}

static void make_block (uint8_t *out, const char *prefix, size_t prefix_size, const char *name, size_t name_size, char type,
                        uint64_t size, int64_t mtime_s)
{
    uid_t uid = geteuid ();
    gid_t gid = getegid ();
    int64_t sum, ignored;
    memset (out, 0, TAR_BLOCK);
    memcpy (out + NAME, name, name_size);
    memcpy (out + PREFIX, prefix, prefix_size);
    put_number (out + MODE, ID_SIZE, 0644);
    put_number (out + UID, ID_SIZE, uid <= 07777777 ? uid : 0);
    put_number (out + GID, ID_SIZE, gid <= 07777777 ? gid : 0);
    put_number (out + SIZE, NUMBER_SIZE, size);
    put_number (out + MTIME, NUMBER_SIZE, mtime_s > 0 ? (uint64_t)mtime_s : 0);
    out[TYPE] = (uint8_t)type;
    static const uint8_t magic[8] = { 'u', 's', 't', 'a', 'r', 0, '0', '0' };
    memcpy (out + MAGIC, magic, sizeof (magic));
    sums (out, &sum, &ignored);
    put_number (out + CHECKSUM, CHECKSUM_SIZE - 1, (uint64_t)sum);
    out[CHECKSUM + CHECKSUM_SIZE - 1] = ' ';
}

size_t tar_header_make (uint8_t *out, const char *name, size_t name_size, uint64_t size, int64_t mtime_s)
{
    if (name_size == 0 || name_size > TAR_NAME_MAX || size > TAR_SIZE_MAX)
        return 0;
    if (is_plain (name, name_size)) {
        size_t prefix = prefix_of (name, name_size), skip = prefix ? prefix + 1 : 0;
        make_block (out, name, prefix, name + skip, name_size - skip, '0', size, mtime_s);
        return TAR_BLOCK;
    }
    size_t record = record_size (name_size), room = (size_t)tar_round (record);
    static const char title[] = "././@PaxHeader";
    make_block (out, "", 0, title, strlen (title), 'x', record, 0);
    memset (out + TAR_BLOCK, 0, room);
    /* Its NUL is in the padding, or where the next block comes. */
    snprintf ((char *)out + TAR_BLOCK, record + 1, "%zu path=%.*s\n", record, (int)name_size, name);
    make_block (out + TAR_BLOCK + room, "", 0, name, NAME_SIZE, '0', size, mtime_s);
    return 2 * TAR_BLOCK + room;
}

/* ---- reading ---- */

enum tar_block tar_header_parse (const uint8_t block[TAR_BLOCK], struct tar_header *header)
{
    int64_t plain, with_sign;
    uint64_t told;
    if (block[0] == '\0') {
        size_t i = 0;
        while (i < TAR_BLOCK && block[i] == '\0')
            i++;
        if (i == TAR_BLOCK)
            return TAR_BLOCK_ZERO;
    }
    sums (block, &plain, &with_sign);
    if (!get_number (block + CHECKSUM, CHECKSUM_SIZE, &told)
        || ((int64_t)told != plain && (int64_t)told != with_sign)
        || !get_number (block + SIZE, NUMBER_SIZE, &header->size) || header->size > TAR_SIZE_MAX)
        return TAR_BLOCK_BROKEN;
    header->ustar = memcmp (block + MAGIC, "ustar", 5) == 0;
    header->type = (char)block[TYPE];
    if (header->type == '\0' || header->type == '7')
        header->type = '0';
    /* Links, devices, folders: a size there is no size of data (POSIX.1-1988). */
    if (header->type >= '1' && header->type <= '6')
        header->size = 0;
    size_t prefix = 0;
    /* GNU tar's own headers ("ustar  ") have other fields where ustar has the prefix. */
    if (memcmp (block + MAGIC, "ustar\0", 6) == 0 && block[PREFIX]) {
        prefix = strnlen ((const char *)block + PREFIX, PREFIX_SIZE);
        memcpy (header->name, block + PREFIX, prefix);
        header->name[prefix++] = '/';
    }
    size_t size = strnlen ((const char *)block + NAME, NAME_SIZE);
    memcpy (header->name + prefix, block + NAME, size);
    header->name_size = prefix + size;
    header->name[header->name_size] = '\0';
    /* Old programs mark a folder by a '/' at the end. */
    if (header->type == '0' && header->name_size && header->name[header->name_size - 1] == '/')
        header->type = '5';
    return TAR_BLOCK_HEADER;
}

bool tar_pax_parse (const char *records, size_t size, struct tar_pax *pax)
{
    *pax = (struct tar_pax){ .path = NULL };
    while (size && records[0]) {
        size_t length = 0, at = 0;
        for (; at < size && at < 10 && records[at] >= '0' && records[at] <= '9'; at++)
            length = 10 * length + (size_t)(records[at] - '0');
        if (at == 0 || at >= size || records[at] != ' ' || length <= at + 2 || length > size || records[length - 1] != '\n')
            return false;
        const char *key = records + at + 1, *end = records + length - 1;
        const char *equal = memchr (key, '=', (size_t)(end - key));
        if (!equal)
            return false;
        size_t key_size = (size_t)(equal - key), value_size = (size_t)(end - equal - 1);
        if (key_size == 4 && memcmp (key, "path", 4) == 0) {
            pax->path = equal + 1;
            pax->path_size = value_size;
            if (memchr (pax->path, '\0', value_size))
                return false;
        } else if (key_size == 4 && memcmp (key, "size", 4) == 0) {
            pax->has_size = true;
            pax->size = 0;
            if (value_size == 0 || value_size > 19)
                return false;
            for (const char *p = equal + 1; p < end; p++) {
                if (*p < '0' || *p > '9')
                    return false;
                pax->size = 10 * pax->size + (uint64_t)(*p - '0');
            }
            if (pax->size > TAR_SIZE_MAX)
                return false;
        } else if (key_size >= 11 && memcmp (key, "GNU.sparse.", 11) == 0)
            pax->sparse = true;
        records += length;
        size -= length;
    }
    return true;
}

bool tar_header_is (const uint8_t block[TAR_BLOCK], const uint8_t *before, size_t before_size, const char *name,
                    size_t name_size, uint64_t size)
{
    struct tar_header header;
    struct tar_pax pax;
    if (tar_header_parse (block, &header) != TAR_BLOCK_HEADER || header.type != '0' || header.size != size)
        return false;
    if (before_size == 0)
        return header.name_size == name_size && memcmp (header.name, name, name_size) == 0;
    struct tar_header extended;
    return before_size >= 2 * TAR_BLOCK && tar_header_parse (before, &extended) == TAR_BLOCK_HEADER && extended.type == 'x'
           && extended.size <= before_size - TAR_BLOCK
           && tar_pax_parse ((const char *)before + TAR_BLOCK, (size_t)extended.size, &pax) && pax.path
           && pax.path_size == name_size && memcmp (pax.path, name, name_size) == 0 && !pax.has_size && !pax.sparse;
}
