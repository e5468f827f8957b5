/* journal_format.c - see journal_format.h */
#include "mesh/journal_format.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/crc32c.h"
#include "core/log.h"

/* Bytes, not a string. */
static const uint8_t magic[8] = { 's', 't', 'r', 'a', 't', 'a', 'J', '1' };
#define TRUSTED_SIZE (1u << 20)

const char *journal_kind_name (enum journal_kind kind)
{
    static const char *const names[JOURNAL_KINDS] = {
        [JOURNAL_START] = "starts",   [JOURNAL_TICK] = "ticks",        [JOURNAL_REQUEST] = "requests",
        [JOURNAL_REPLY] = "replies",  [JOURNAL_PAGE] = "pages",        [JOURNAL_RECORD] = "records",
        [JOURNAL_CURSOR] = "cursors",
        [JOURNAL_FACT] = "facts",     [JOURNAL_FACT_AGAIN] = "repeated_facts", [JOURNAL_EVENT] = "events",
        [JOURNAL_SWEEP] = "sweeps",   [JOURNAL_DRAIN] = "drains",
    };
    return kind > 0 && kind < JOURNAL_KINDS ? names[kind] : "unknown";
}

const char *journal_name (struct journal_id id, const char *suffix, char name[JOURNAL_NAME_MAX])
{
    snprintf (name, JOURNAL_NAME_MAX, "%020" PRIu64 ".%08" PRIu64 "%s", id.turn, id.epoch, suffix);
    return name;
}

bool journal_name_parse (const char *name, const char *suffix, struct journal_id *id)
{
    int n = 0;
    return strspn (name, "0123456789") == 20 && sscanf (name, "%" SCNu64 ".%" SCNu64 "%n", &id->turn, &id->epoch, &n) == 2
           && strcmp (name + n, suffix) == 0;
}

/* ---- fixed numbers ---- */

static uint8_t *put (uint8_t *out, uint64_t n, int bytes)
{
    for (int i = 0; i < bytes; i++, n >>= 8)
        *out++ = (uint8_t)n;
    return out;
}

static uint64_t get (const uint8_t **in, int bytes)
{
    uint64_t n = 0;
    for (int i = 0; i < bytes; i++)
        n |= (uint64_t)*(*in)++ << 8 * i;
    return n;
}

void journal_head_pack (const struct journal_head *head, uint8_t bytes[JOURNAL_HEAD_BYTES])
{
    const uint64_t fields[] = { head->id.turn, head->id.epoch, head->previous.turn, head->previous.epoch, head->state, head->outputs,
                                head->base };
    uint8_t *at = bytes;
    memcpy (at, magic, sizeof (magic));
    at += 8;
    for (size_t i = 0; i < sizeof (fields) / sizeof (fields[0]); i++)
        at = put (at, fields[i], 8);
    put (at, crc32c (0, bytes, JOURNAL_HEAD_BYTES - 4), 4);
}

int journal_head_read (FILE *file, const char *path, struct journal_head *head, struct strata_error *error)
{
    uint8_t bytes[JOURNAL_HEAD_BYTES];
    uint64_t fields[7];
    const uint8_t *at = bytes + 8;
    if (fread (bytes, 1, sizeof (bytes), file) != sizeof (bytes) || memcmp (bytes, magic, sizeof (magic)) != 0)
        return strata_fail (error, "%s is not a record of inputs that this build reads", path);
    for (size_t i = 0; i < 7; i++)
        fields[i] = get (&at, 8);
    if (get (&at, 4) != crc32c (0, bytes, JOURNAL_HEAD_BYTES - 4))
        return strata_fail (error, "%s: the checksum of its head is wrong", path);
    *head = (struct journal_head){ { fields[0], fields[1] }, { fields[2], fields[3] }, fields[4], fields[5], fields[6] };
    return 0;
}

static uint32_t record_crc (const uint8_t head[JOURNAL_RECORD_BYTES], const struct journal_record *record)
{
    return crc32c (crc32c (0, head + 8, JOURNAL_RECORD_BYTES - 8), record->payload, record->size);
}

void journal_record_pack (const struct journal_record *record, uint8_t bytes[JOURNAL_RECORD_BYTES])
{
    put (put (put (bytes + 8, record->turn, 8), record->state, 8), record->outputs, 8);
    put (put (bytes, record->size, 4), record_crc (bytes, record), 4);
}

/* Whether the file has `size` bytes behind its position: nobody makes room for what a broken length says. */
static bool has_bytes (FILE *file, size_t size)
{
    struct stat st;
    long at = size > TRUSTED_SIZE ? ftell (file) : 0;
    return size <= TRUSTED_SIZE || (at >= 0 && fstat (fileno (file), &st) == 0 && st.st_size - at >= (off_t)size);
}

int journal_record_read (FILE *file, const char *path, struct journal_record *record, struct strata_error *error)
{
    uint8_t bytes[JOURNAL_RECORD_BYTES];
    long offset = ftell (file);
    size_t n = fread (bytes, 1, sizeof (bytes), file);
    if (n == 0 && !ferror (file))
        return 0;
    const uint8_t *at = bytes;
    *record = (struct journal_record){ .size = n == sizeof (bytes) ? get (&at, 4) : 0 };
    if (n < sizeof (bytes) || !has_bytes (file, record->size))
        return strata_fail (error, "%s is broken at byte %ld: it ends within a record", path, offset);
    uint32_t crc = (uint32_t)get (&at, 4);
    record->turn = get (&at, 8);
    record->state = get (&at, 8);
    record->outputs = get (&at, 8);
    record->payload = malloc (record->size + 1);
    if (!record->payload)
        return strata_fail (error, "%s: out of memory for a record of %zu bytes at byte %ld", path, record->size, offset);
    n = fread (record->payload, 1, record->size, file);
    if (n == record->size && record_crc (bytes, record) == crc)
        return 1;
    free (record->payload);
    record->payload = NULL;
    return strata_fail (error, "%s is broken at byte %ld: %s", path, offset,
                        n < record->size ? "it ends within a record" : "a record's checksum is wrong");
}

/* ---- items ---- */

static uint8_t *make_room (struct journal_bytes *out, size_t more)
{
    if (out->room - out->size < more) {
        size_t room = out->room ? out->room : 4096;
        while (room - out->size < more)
            room *= 2;
        uint8_t *grown = realloc (out->data, room);
        if (!grown) {
            log_error ("out of memory");
            abort ();
        }
        out->data = grown;
        out->room = room;
    }
    return out->data + out->size;
}

static uint8_t *put_varint (uint8_t *out, uint64_t n)
{
    for (; n >= 0x80; n >>= 7)
        *out++ = (uint8_t)(n | 0x80);
    *out++ = (uint8_t)n;
    return out;
}

static bool get_varint (const uint8_t **in, const uint8_t *end, uint64_t *n)
{
    *n = 0;
    for (int shift = 0; *in < end && shift < 64; shift += 7) {
        uint8_t byte = *(*in)++;
        *n |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

void journal_item_pack (struct journal_bytes *out, const struct journal_item *item, int64_t last_us)
{
    uint64_t step = (uint64_t)item->now_us - (uint64_t)last_us, sign = 0 - (step >> 63);
    uint8_t *at = make_room (out, 50);
    *at++ = (uint8_t)item->kind;
    at = put_varint (at, step << 1 ^ sign); /* zigzag: small either way */
    at = put_varint (put_varint (put_varint (at, item->a), item->b), item->parts_count);
    out->size = (size_t)(at - out->data);
    for (size_t i = 0; i < item->parts_count; i++) {
        at = put_varint (make_room (out, item->parts[i].size + 10), item->parts[i].size);
        if (item->parts[i].size)
            memcpy (at, item->parts[i].data, item->parts[i].size);
        out->size = (size_t)(at - out->data) + item->parts[i].size;
    }
}

int journal_item_read (struct journal_cursor *cursor, struct journal_item *item)
{
    const uint8_t *begin = cursor->record->payload, *at = begin + cursor->at, *end = begin + cursor->record->size;
    uint64_t step, count;
    if (at == end)
        return 0;
    item->kind = (enum journal_kind)*at++;
    if (item->kind == 0 || item->kind >= JOURNAL_KINDS || !get_varint (&at, end, &step) || !get_varint (&at, end, &item->a)
        || !get_varint (&at, end, &item->b) || !get_varint (&at, end, &count) || count > JOURNAL_PARTS_MAX)
        return -1;
    item->now_us = (int64_t)((uint64_t)cursor->last_us + (step >> 1 ^ (0 - (step & 1))));
    item->parts_count = count;
    item->parts = cursor->parts;
    for (size_t i = 0; i < count; i++) {
        uint64_t size;
        if (!get_varint (&at, end, &size) || size > (uint64_t)(end - at))
            return -1;
        cursor->parts[i] = (struct blob){ at, size };
        at += size;
    }
    cursor->at = (size_t)(at - begin);
    cursor->last_us = item->now_us;
    return 1;
}
