/* fuzz_journal.c - the record of a service's inputs, as strata replay reads it: a segment's head, records, their items.
 *
 * Input: a segment file. Its checksums are made right, so that changed bytes get past them to what lies behind. A file of
 * a first byte 0xff is taken as it is, without that byte.
 */
#include <stdlib.h>
#include <string.h>

#include "core/crc32c.h"
#include "fuzz.h"
#include "mesh/journal_format.h"

static void put_le32 (uint8_t *at, uint32_t n)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(n >> 8 * i);
}

static void mend (uint8_t *bytes, size_t size)
{
    if (size < JOURNAL_HEAD_BYTES)
        return;
    put_le32 (bytes + JOURNAL_HEAD_BYTES - 4, crc32c (0, bytes, JOURNAL_HEAD_BYTES - 4));
    for (size_t at = JOURNAL_HEAD_BYTES; at + JOURNAL_RECORD_BYTES <= size;) {
        uint8_t *record = bytes + at;
        size_t payload = record[0] | (size_t)record[1] << 8 | (size_t)record[2] << 16 | (size_t)record[3] << 24;
        if (payload > size - at - JOURNAL_RECORD_BYTES)
            return;
        put_le32 (record + 4, crc32c (0, record + 8, JOURNAL_RECORD_BYTES - 8 + payload));
        at += JOURNAL_RECORD_BYTES + payload;
    }
}

/* What was read is the same item when it is packed and read again. */
static void require_same_again (const struct journal_item *item, int64_t last_us)
{
    static struct journal_cursor cursor;
    struct journal_bytes packed = { NULL, 0, 0 };
    struct journal_item again;
    journal_item_pack (&packed, item, last_us);
    struct journal_record record = { .payload = packed.data, .size = packed.size };
    cursor.record = &record;
    cursor.at = 0;
    cursor.last_us = last_us;
    FUZZ_REQUIRE (journal_item_read (&cursor, &again) == 1 && cursor.at == packed.size);
    FUZZ_REQUIRE (again.kind == item->kind && again.now_us == item->now_us && again.a == item->a && again.b == item->b);
    FUZZ_REQUIRE (again.parts_count == item->parts_count);
    for (size_t i = 0; i < item->parts_count; i++)
        FUZZ_REQUIRE (again.parts[i].size == item->parts[i].size
                      && memcmp (again.parts[i].data, item->parts[i].data, item->parts[i].size) == 0);
    free (packed.data);
}

static void read_items (const struct journal_record *record)
{
    static struct journal_cursor cursor;
    struct journal_item item;
    cursor.record = record;
    cursor.at = 0;
    for (cursor.last_us = 0;;) {
        int64_t last_us = cursor.last_us;
        int rc = journal_item_read (&cursor, &item);
        if (rc <= 0)
            return;
        FUZZ_REQUIRE (strcmp (journal_kind_name (item.kind), "unknown") != 0);
        for (size_t i = 0; i < item.parts_count; i++)
            FUZZ_REQUIRE ((const uint8_t *)item.parts[i].data >= record->payload
                          && (const uint8_t *)item.parts[i].data + item.parts[i].size <= record->payload + record->size);
        require_same_again (&item, last_us);
    }
}

static void read_segment (FILE *file, const char *path)
{
    struct strata_error error = { "" };
    struct journal_head head;
    struct journal_record record;
    uint8_t packed[JOURNAL_HEAD_BYTES];
    int rc = journal_head_read (file, path, &head, &error);
    fuzz_require_sentence (rc, &error);
    if (rc < 0)
        return;
    journal_head_pack (&head, packed);
    char name[JOURNAL_NAME_MAX];
    struct journal_id id;
    FUZZ_REQUIRE (journal_name_parse (journal_name (head.id, ".inputs", name), ".inputs", &id));
    FUZZ_REQUIRE (id.turn == head.id.turn && id.epoch == head.id.epoch);
    while ((rc = journal_record_read (file, path, &record, &error)) == 1) {
        read_items (&record);
        free (record.payload);
    }
    fuzz_require_sentence (rc, &error);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    bool raw = size && data[0] == 0xff;
    uint8_t *copy = malloc (size + 1);
    if (!copy)
        abort ();
    size -= raw;
    memcpy (copy, data + raw, size);
    if (!raw)
        mend (copy, size);
    const char *path = fuzz_file ("segment.inputs", copy, size);
    FILE *file = fopen (path, "rbe");
    if (!file)
        abort ();
    read_segment (file, path);
    fclose (file);
    free (copy);
    return 0;
}
