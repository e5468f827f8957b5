/* bench_journal.c - committed turns a second of a shard, with or without the record of its inputs (mesh/journal.h).
 *
 * A turn takes in some records, stores them, and commits with one sync: what a service's loop does, without sockets.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bench.h"
#include "mesh/journal.h"

enum { TURNS, RECORDS, SIZE, RECORDED, DIR_, OPTIONS };

static struct bench_option options[OPTIONS] = {
    [TURNS] = { "turns", "commits", "2000" },
    [RECORDS] = { "records", "taken in a turn", "10" },
    [SIZE] = { "size", "bytes of a record", "200" },
    [RECORDED] = { "recorded", "1: with the record of inputs; 0: without", "1" },
    [DIR_] = { "dir", "an empty folder for the store", NULL },
};

static void turn (struct shard *shard, struct journal *journal, uint64_t number, size_t records, size_t size, uint8_t *bytes)
{
    struct strata_error error;
    for (size_t i = 0; i < records; i++) {
        struct shard_key key;
        const struct blob part = { bytes, size };
        const struct journal_item item = { JOURNAL_RECORD, (int64_t)number * 1000, number, 0, 1, &part };
        bench_record (bytes, size, number * records + i);
        journal_input (journal, &item);
        shard_key (&key, "record/");
        shard_key_u64 (&key, number * records + i);
        shard_put (shard, key.data, key.size, bytes, size);
    }
    journal_write (journal, 0, false);
    if (shard_commit (shard, &error) < 0)
        bench_fail ("%s", error.text);
    journal_committed (journal);
}

int main (int argc, char **argv)
{
    static const struct journal_limits limits = { 128u << 20, 32u << 20 };
    struct strata_error error;
    struct journal *journal = NULL;
    char path[4200];
    bench_arguments (argc, argv, "committed turns a second, with or without the record of inputs", options, OPTIONS);
    if (!options[DIR_].text)
        bench_fail ("--dir names a folder");
    uint64_t turns = bench_number (&options[TURNS]), records = bench_number (&options[RECORDS]);
    size_t size = bench_number (&options[SIZE]);
    uint8_t *bytes = malloc (size);
    snprintf (path, sizeof (path), "%s/shard-0", options[DIR_].text);
    struct shard *shard = shard_open (path, &error);
    if (!shard || !bytes)
        bench_fail ("%s", shard ? "out of memory" : error.text);
    snprintf (path, sizeof (path), "%s/replay/shard-0", options[DIR_].text);
    if (bench_number (&options[RECORDED])) {
        journal = journal_open (path, shard, &limits, &error);
        if (!journal || journal_checkpoint (journal, 1, &error) < 0)
            bench_fail ("%s", error.text);
    }
    int64_t begin = bench_now_ns (), away = 0;
    for (uint64_t i = 1; i <= turns; i++) {
        turn (shard, journal, i, records, size, bytes);
        int64_t before = bench_now_ns ();
        if (journal_due (journal, before / 1000) && journal_checkpoint (journal, before / 1000, &error) < 0)
            bench_fail ("%s", error.text);
        away = bench_now_ns () - before > away ? bench_now_ns () - before : away;
    }
    double seconds = (double)(bench_now_ns () - begin) / 1e9;
    struct journal_figures f = { 0 };
    if (journal)
        journal_figures (journal, &f);
    bench_figure ("turns", (double)turns / seconds, "/s");
    bench_figure ("checkpoint", (double)away / 1e6, "ms");
    bench_figure ("bytes", (double)f.bytes, "B");
    if (journal && !f.recording)
        bench_fail ("the record was given up");
    journal_close (&journal);
    shard_close (&shard);
    free (bytes);
    return 0;
}
