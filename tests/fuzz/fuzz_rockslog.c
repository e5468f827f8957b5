/* fuzz_rockslog.c - a store's files as the check for damage reads them: a write-ahead log, a MANIFEST, ANCHOR.
 *
 * Input: the three files, in this order. The checksums of the first two are made right, so that changed bytes get past
 * them to what lies behind.
 */
#include <stdlib.h>
#include <string.h>

#include "core/crc32c.h"
#include "fuzz.h"
#include "store/damage.h"
#include "store/rockslog.h"

#define BLOCK 32768u

static const char *put_mended (const char *name, const struct fuzz_part *part)
{
    uint8_t *copy = malloc (part->size + 1);
    if (!copy)
        abort ();
    memcpy (copy, part->data, part->size);
    for (size_t at = 0; at + 7 <= part->size;) {
        size_t left = BLOCK - at % BLOCK, length = copy[at + 4] | (size_t)copy[at + 5] << 8;
        size_t whole = length + (copy[at + 6] > 4 ? 11 : 7);
        if (left < 7) {
            at += left;
            continue;
        }
        if (whole > left || at + whole > part->size)
            break;
        uint32_t crc = crc32c (0, copy + at + 6, whole - 6), masked = (crc >> 15 | crc << 17) + 0xa282ead8u;
        for (int i = 0; i < 4; i++)
            copy[at + (size_t)i] = (uint8_t)(masked >> 8 * i);
        at += whole;
    }
    const char *path = fuzz_file (name, copy, part->size);
    free (copy);
    return path;
}

static void count_key (const uint8_t *key, size_t size, void *arg)
{
    uint64_t *sum = arg;
    for (size_t i = 0; i < size; i++)
        *sum += key[i];
}

static void read_log (const char *path, bool manifest)
{
    struct rockslog log;
    struct rocksmanifest sum = { 0 };
    struct strata_error error = { "" };
    const uint8_t *record;
    uint64_t bytes = 0, sequence;
    uint32_t count;
    size_t size;
    FUZZ_REQUIRE (rockslog_open (&log, path, 7, &error) == 0);
    for (int rc; (rc = rockslog_next (&log, &record, &size)) != 0;) {
        if (rc < 0) {
            FUZZ_REQUIRE (log.bad && log.bad[0] && log.bad_at <= log.size && log.after_bad <= log.size);
            if (!rockslog_skip (&log))
                break;
            continue;
        }
        if (manifest)
            rocksmanifest_add (&sum, record, size);
        else if (rockslog_batch (record, size, &sequence, &count))
            rockslog_batch_keys (record, size, count_key, &bytes);
    }
    rocksmanifest_fini (&sum);
    rockslog_close (&log);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    struct fuzz_part parts[3];
    struct damage_report report;
    struct strata_error error = { "" };
    fuzz_split (data, size, parts, 3);
    read_log (put_mended ("store/000007.log", &parts[0]), false);
    read_log (put_mended ("store/MANIFEST-000005", &parts[1]), true);
    fuzz_file ("store/CURRENT", "MANIFEST-000005\n", 16);
    fuzz_file ("store/ANCHOR", parts[2].data, parts[2].size);
    int rc = damage_check (fuzz_path ("store"), &report, &error);
    fuzz_require_sentence (rc, &error);
    if (rc == 0 && report.count)
        fuzz_require_sentence (damage_refuse (fuzz_path ("store"), &report, &error), &error);
    return 0;
}
