/* test_damage.c - a damaged store is refused by the file's name, or holds exactly what was acknowledged: never less, never
 * something else. A table of damage x files, at places chosen by a seed (STRATA_SEED), STRATA_DAMAGE_CASES of each. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <dirent.h>

#include "core/crc32c.h"
#include "random.h"
#include "store/damage.h"
#include "store/rockslog.h"
#include "store/salvage.h"
#include "store/shard.h"
#include "store/stream.h"

#define BATCHES 60
#define FILES "00000001" /* the folder in a shard's with the store's files */

static char base[64], store[128], scratch[128];
static uint64_t dice (uint64_t below)
{
    uint64_t next = random_next ();
    return below ? next % below : 0;
}

static void run (const char *fmt, ...) __attribute__ ((format (printf, 1, 2)));

static void run (const char *fmt, ...)
{
    char command[512];
    va_list ap;
    va_start (ap, fmt);
    vsnprintf (command, sizeof (command), fmt, ap);
    va_end (ap);
    assert_int_equal (system (command), 0);
}

/* Batch n sets a key of its own and one that many set, and deletes an older one. */
static void batch (struct shard *shard, unsigned n)
{
    struct strata_error error;
    char key[32];
    uint8_t value[6000];
    size_t size = 200 + (n * 977u) % 5000;
    for (size_t i = 0; i < size; i++)
        value[i] = (uint8_t)(n * 31 + i * i + i / 7);
    shard_put (shard, key, (size_t)snprintf (key, sizeof (key), "k/%06u", n), value, size);
    shard_put (shard, key, (size_t)snprintf (key, sizeof (key), "k/shared-%u", n % 7), value, 100);
    static uint8_t record[64 << 10]; /* of a size that goes to a segment */
    for (size_t i = 0; n % 8 == 0 && i < sizeof (record); i++)
        record[i] = (uint8_t)(n + i * i / 11);
    uint32_t record_size = sizeof (record);
    struct stream_batch records = { .sizes = &record_size, .count = 1, .bytes = record, .apart = true };
    if (n % 8 == 0)
        assert_int_equal (stream_append_batch (shard, "frames", &records, n + 1, NULL, NULL, &error), 0);
    if (n > 20)
        shard_delete (shard, key, (size_t)snprintf (key, sizeof (key), "k/%06u", n - 20));
    assert_int_equal (shard_commit (shard, &error), 0);
}

static int add_record (uint64_t sequence, int64_t time_us, const void *record, size_t size, void *arg)
{
    uint32_t *crc = arg;
    *crc = crc32c (*crc, &sequence, sizeof (sequence));
    *crc = crc32c (*crc, &time_us, sizeof (time_us));
    *crc = crc32c (*crc, record, size);
    return 0;
}

static uint32_t content (struct shard *shard)
{
    struct shard_iter it;
    uint32_t crc = 0;
    stream_read (shard, "frames", 0, SIZE_MAX, SIZE_MAX, add_record, &crc);
    for (bool more = shard_iter_begin (shard, &it, "k/", 2, NULL, 0); more; more = shard_iter_next (&it)) {
        crc = crc32c (crc, it.key, it.key_size);
        crc = crc32c (crc, it.value, it.value_size);
    }
    shard_iter_end (&it);
    return crc;
}

/* In a process of its own, which ends as SIGKILL would end it: nothing is closed. */
static void live (const char *dir, unsigned from, unsigned to)
{
    pid_t pid = fork ();
    if (pid == 0) {
        struct strata_error error;
        struct shard *shard = shard_open (dir, &error);
        if (!shard)
            _exit (1);
        for (unsigned n = from; n < to; n++)
            batch (shard, n);
        kill (getpid (), SIGKILL);
    }
    int status;
    waitpid (pid, &status, 0);
    assert_true (WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL);
}

/* Takes away what the logs have of zeros behind their last record (wal_room.h): damage there changes nothing. */
static void cut_room (const char *dir)
{
    char path[256], command[256];
    snprintf (command, sizeof (command), "ls '%s/" FILES "'/*.log", dir);
    FILE *p = popen (command, "r");
    assert_non_null (p);
    while (fgets (path, sizeof (path), p)) {
        struct strata_error error;
        struct rockslog log;
        const uint8_t *record;
        size_t size;
        path[strcspn (path, "\n")] = '\0';
        assert_int_equal (rockslog_open (&log, path, strtoull (strrchr (path, '/') + 1, NULL, 10), &error), 0);
        while (rockslog_next (&log, &record, &size) == 1)
            ;
        assert_int_equal (truncate (path, (off_t)log.at), 0);
        rockslog_close (&log);
    }
    pclose (p);
}

static uint32_t truth; /* of everything that was acknowledged */

static int make_store (void **state)
{
    struct strata_error error;
    random_state = getenv ("STRATA_SEED") ? strtoull (getenv ("STRATA_SEED"), NULL, 10) | 1 : 20211114;
    /* In memory where there is such a file system: hundreds of stores are opened, and none has to survive. */
    snprintf (base, sizeof (base), "%s/strata-damage-XXXXXX", access ("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp (base))
        return -1;
    snprintf (store, sizeof (store), "%s/store", base);
    snprintf (scratch, sizeof (scratch), "%s/scratch", base);
    struct shard *memory = shard_open_memory (&error);
    for (unsigned n = 0; n < 3 * BATCHES; n++)
        batch (memory, n);
    truth = content (memory);
    shard_close (&memory);
    /* Each opening puts what the log held into a table. */
    for (unsigned life = 0; life < 3; life++)
        live (store, life * BATCHES, (life + 1) * BATCHES);
    cut_room (store);
    return 0;
}

static int remove_store (void **state)
{
    run ("rm -rf '%s'", base);
    return 0;
}

enum verdict { EXACT, REFUSED, DIED, WRONG };

/* Opens and reads the store in scratch; words: what it said. */
static enum verdict open_and_read (uint32_t expected, char *words, size_t size)
{
    int ends[2];
    assert_int_equal (pipe (ends), 0);
    pid_t pid = fork ();
    if (pid == 0) {
        struct strata_error error;
        dup2 (ends[1], 2);
        struct shard *shard = shard_open (scratch, &error);
        if (!shard) {
            int reason = errno;
            fprintf (stderr, "%s", error.text);
            _exit (reason == EBADMSG ? REFUSED : WRONG);
        }
        bool same = content (shard) == expected;
        bool whole = shard_verify (shard, NULL, NULL, NULL, &error) == 0;
        if (!whole)
            fprintf (stderr, "%s", error.text);
        _exit (!whole ? REFUSED : same ? EXACT : WRONG);
    }
    close (ends[1]);
    size_t n = 0;
    for (ssize_t got; n < size - 1 && (got = read (ends[0], words + n, size - 1 - n)) > 0;)
        n += (size_t)got;
    words[n] = '\0';
    close (ends[0]);
    int status;
    waitpid (pid, &status, 0);
    if (WIFSIGNALED (status))
        return WTERMSIG (status) == SIGABRT ? DIED : WRONG;
    return (enum verdict)WEXITSTATUS (status);
}

static size_t list (const char *like, char names[][64], size_t max)
{
    size_t count = 0;
    char path[160];
    snprintf (path, sizeof (path), "%s/" FILES, store);
    DIR *d = opendir (path);
    assert_non_null (d);
    for (struct dirent *e; (e = readdir (d));)
        if (strstr (e->d_name, like) && count < max)
            snprintf (names[count++], 64, "%.63s", e->d_name);
    closedir (d);
    return count;
}

enum how { FLIP, CUT, EMPTY, LOSE, ZERO_SECTOR, HOWS };
static const char *const how_names[HOWS] = { "bit flipped", "cut", "emptied", "removed", "sector zeroed" };

/* False: the damage changed nothing. */
static bool damage (const char *name, enum how how, char *what, size_t what_size)
{
    char path[256];
    struct stat st;
    uint8_t bytes[512] = { 0 }, old[512];
    snprintf (path, sizeof (path), "%s/" FILES "/%s", scratch, name);
    assert_int_equal (stat (path, &st), 0);
    uint64_t at = dice ((uint64_t)st.st_size);
    snprintf (what, what_size, "%s %s at %llu of %lld", name, how_names[how], (unsigned long long)at, (long long)st.st_size);
    if (how == LOSE)
        return unlink (path) == 0;
    if (how == CUT || how == EMPTY)
        return truncate (path, how == EMPTY ? 0 : (off_t)at) == 0 && st.st_size > 0;
    if (st.st_size == 0)
        return false;
    int fd = open (path, O_RDWR);
    assert_true (fd >= 0);
    if (how == FLIP) {
        assert_int_equal (pread (fd, bytes, 1, (off_t)at), 1);
        bytes[0] ^= (uint8_t)(1u << dice (8));
        assert_int_equal (pwrite (fd, bytes, 1, (off_t)at), 1);
        close (fd);
        return true;
    }
    at = at / 512 * 512;
    ssize_t n = pread (fd, old, sizeof (old), (off_t)at);
    assert_true (n > 0);
    assert_int_equal (pwrite (fd, bytes, (size_t)n, (off_t)at), n);
    close (fd);
    return memcmp (old, bytes, (size_t)n) != 0;
}

static const struct {
    const char *like;   /* part of the files' names */
    bool always;        /* each damage of it is refused, when the store is opened */
} files[] = {
    { ".log", true }, { "MANIFEST-", true }, { "CURRENT", true }, { ".sst", false }, { ".records", false }, { "ANCHOR", false },
    { "OPTIONS-", false }, { "IDENTITY", false },
};

static void every_damage_is_named_or_changes_nothing (void **state)
{
    const char *wanted = getenv ("STRATA_DAMAGE_CASES");
    unsigned cases = wanted ? (unsigned)atoi (wanted) : 8, total = 0, refused = 0, died = 0;
    for (size_t f = 0; f < sizeof (files) / sizeof (files[0]); f++) {
        char names[32][64];
        size_t count = list (files[f].like, names, 32);
        assert_true (count > 0);
        for (unsigned i = 0; i < cases * HOWS; i++) {
            const char *name = names[dice (count)];
            enum how how = (enum how)(i % HOWS);
            char what[200], words[4096];
            if ((how == EMPTY || how == LOSE) && i >= HOWS * count)
                continue; /* there is no place to choose */
            if (how == EMPTY || how == LOSE)
                name = names[i / HOWS];
            run ("rm -rf '%s' && cp -r '%s' '%s'", scratch, store, scratch);
            if (!damage (name, how, what, sizeof (what)))
                continue;
            enum verdict verdict = open_and_read (truth, words, sizeof (words));
            total++;
            refused += verdict == REFUSED;
            died += verdict == DIED;
            if (verdict == WRONG)
                fail_msg ("%s: the store was served, and holds something else than what was acknowledged: %s", what, words);
            if (verdict == EXACT && files[f].always)
                fail_msg ("%s: nobody noticed", what);
            if (verdict == DIED && files[f].always)
                fail_msg ("%s: it was noticed only when it was read: %s", what, words);
            if (verdict != EXACT && !strstr (words, name))
                fail_msg ("%s: noticed, but the file is not named: %s", what, words);
        }
    }
    print_message ("%u damaged stores: %u refused, %u ended when they read it, %u held exactly what was acknowledged\n", total,
                   refused, died, total - refused - died);
    assert_true (refused > 0);
}

/* Two places at once are no longer a place that is known to be damaged; but what is served must be right all the same. */
static void two_damaged_places_are_no_way_around (void **state)
{
    for (unsigned i = 0; i < 60; i++) {
        char names[64][64], what[2][200], words[4096];
        size_t count = list ("", names, 64), files_count = 0;
        for (size_t k = 0; k < count; k++) /* not "." and "..", and what is empty */
            if (names[k][0] != '.' && strcmp (names[k], "LOCK") != 0 && strncmp (names[k], "LEASE", 5) != 0
                && strcmp (names[k], "LOG") != 0 && !strstr (names[k], "LOG."))
                memmove (names[files_count++], names[k], 64);
        run ("rm -rf '%s' && cp -r '%s' '%s'", scratch, store, scratch);
        assert_true (files_count > 1);
        size_t a = dice (files_count), b = a + 1 + dice (files_count - 1);
        b -= b >= files_count ? files_count : 0;
        damage (names[a], (enum how)dice (HOWS), what[0], sizeof (what[0]));
        damage (names[b], (enum how)dice (HOWS), what[1], sizeof (what[1]));
        if (open_and_read (truth, words, sizeof (words)) == WRONG)
            fail_msg ("%s, %s: the store was served and holds something else: %s", what[0], what[1], words);
    }
}

/* What a crash in the middle of a commit leaves: the batch that was not acknowledged is there whole, or not at all. */
static void a_torn_tail_that_was_never_acknowledged_is_accepted (void **state)
{
    struct strata_error error;
    struct shard *memory = shard_open_memory (&error);
    char names[8][64], path[256], words[4096];
    struct stat before, after;
    uint32_t with;
    for (unsigned n = 0; n <= 3 * BATCHES; n++)
        batch (memory, n);
    with = content (memory);
    shard_close (&memory);
    run ("rm -rf '%s' && cp -r '%s' '%s'", scratch, store, scratch);
    /* The tail of the log as it stood before and after one more commit, under the anchor from before it. */
    live (scratch, 3 * BATCHES, 3 * BATCHES); /* an opening, so that both stand in the same log */
    run ("cp -r '%s' '%s.before'", scratch, scratch);
    snprintf (store, sizeof (store), "%s", scratch);
    assert_true (list (".log", names, 8) >= 1);
    snprintf (store, sizeof (store), "%s/store", base);
    run ("rm -rf '%s' && cp -r '%s.before' '%s'", scratch, scratch, scratch);
    pid_t pid = fork ();
    if (pid == 0) {
        struct shard *shard = shard_open (scratch, &error);
        if (!shard)
            _exit (1);
        char note[512];
        snprintf (note, sizeof (note), "cp '%s/" FILES "/ANCHOR' '%s/anchor'; stat -c %%s '%s/" FILES "'/*.log > '%s/size'", scratch, base, scratch, base);
        if (system (note) != 0)
            _exit (1);
        batch (shard, 3 * BATCHES);
        kill (getpid (), SIGKILL);
    }
    int status;
    waitpid (pid, &status, 0);
    assert_true (WIFSIGNALED (status));
    long long size_before = 0;
    snprintf (path, sizeof (path), "%s/size", base);
    FILE *f = fopen (path, "r");
    assert_non_null (f);
    assert_int_equal (fscanf (f, "%lld", &size_before), 1);
    fclose (f);
    before.st_size = size_before;
    run ("cp '%s/anchor' '%s/" FILES "/ANCHOR' && rm -rf '%s.before' && mv '%s' '%s.before'", base, scratch, scratch, scratch, scratch);
    for (unsigned i = 0; i < 12; i++) {
        run ("rm -rf '%s' && cp -r '%s.before' '%s'", scratch, scratch, scratch);
        char command[300];
        snprintf (command, sizeof (command), "ls '%s/" FILES "'/*.log | tail -n 1", scratch);
        FILE *p = popen (command, "r");
        assert_non_null (fgets (path, sizeof (path), p));
        pclose (p);
        path[strcspn (path, "\n")] = '\0';
        assert_int_equal (stat (path, &after), 0);
        assert_true (after.st_size > before.st_size);
        off_t at = before.st_size + (off_t)dice ((uint64_t)(after.st_size - before.st_size));
        bool whole = i == 0;
        if (!whole && i % 2)
            assert_int_equal (truncate (path, at), 0);
        else if (!whole) {
            int fd = open (path, O_WRONLY);
            uint8_t noise = (uint8_t)dice (256);
            for (off_t k = at; k < after.st_size; k++, noise = (uint8_t)(noise * 5 + 1))
                assert_int_equal (pwrite (fd, &noise, 1, k), 1);
            close (fd);
        }
        enum verdict verdict = open_and_read (whole ? with : truth, words, sizeof (words));
        if (verdict != EXACT)
            fail_msg ("a torn tail at byte %lld of %lld (%lld acknowledged): verdict %d, %s", (long long)at,
                      (long long)after.st_size, (long long)before.st_size, (int)verdict, words);
        /* And what comes after it stands as well. */
        live (scratch, 3 * BATCHES, 3 * BATCHES + 1);
        if (open_and_read (with, words, sizeof (words)) != EXACT)
            fail_msg ("after a torn tail: %s", words);
    }
}

static void a_damaged_store_stays_refused_and_as_it_was (void **state)
{
    char words[4096], names[8][64];
    run ("rm -rf '%s' && cp -r '%s' '%s'", scratch, store, scratch);
    assert_true (list (".log", names, 8) >= 1);
    run ("truncate -s -100 '%s/" FILES "/%s' && cd '%s/" FILES "' && rm -f '%s/sums' && sha256sum *.log *.sst MANIFEST-* CURRENT ANCHOR > '%s/sums'",
         scratch, names[0], scratch, base, base);
    assert_int_equal (open_and_read (truth, words, sizeof (words)), REFUSED);
    assert_int_equal (open_and_read (truth, words, sizeof (words)), REFUSED);
    assert_non_null (strstr (words, names[0]));
    run ("test -e '%s/" FILES "/DAMAGED' && cd '%s/" FILES "' && sha256sum --quiet -c '%s/sums'", scratch, scratch, base);
}

/* ---- what a repair puts back ---- */

/* Damages a file like this of a new scratch store, and puts its metadata back in a copy of it. `done`: what was put back.
 * False: the damage did not come about. */
static bool repair_begin (const char *like, char what[200], char copy[160], struct damage_report *report, char done[300])
{
    struct strata_error error;
    char names[8][64], spoiled[160];
    size_t count = list (like, names, 8);
    run ("rm -rf '%s' && cp -r '%s' '%s'", scratch, store, scratch);
    if (!damage (names[dice (count)], (enum how)dice (HOWS), what, 200))
        return false;
    snprintf (copy, 160, "%s/copy", base);
    snprintf (spoiled, sizeof (spoiled), "%s/" FILES, scratch);
    run ("rm -rf '%s'", copy);
    assert_int_equal (salvage_copy (spoiled, copy, &error), 0);
    assert_int_equal (damage_check (copy, report, &error), 0);
    assert_int_equal (salvage_metadata (copy, report, done, 300, &error), 0);
    return true;
}

/* The copy is the scratch store now. */
static void repair_end (const char *copy)
{
    run ("rm -rf '%s' && mkdir '%s' && mv '%s' '%s/" FILES "'", scratch, scratch, copy, scratch);
}

static void what_is_put_back_of_a_damaged_log_is_a_state_that_was_acknowledged (void **state)
{
    struct strata_error error;
    uint32_t after[3 * BATCHES];
    struct shard *memory = shard_open_memory (&error);
    unsigned cut = 0;
    for (unsigned n = 0; n < 3 * BATCHES; n++) {
        batch (memory, n);
        after[n] = content (memory);
    }
    shard_close (&memory);
    for (unsigned i = 0; i < 30; i++) {
        char what[200], done[300], copy[160];
        struct damage_report report;
        if (!repair_begin (".log", what, copy, &report, done))
            continue;
        assert_string_equal (done, "");
        assert_int_equal (salvage_cut (copy, report.recoverable, &error), 0);
        assert_int_equal (anchor_put (copy, salvage_id (copy), &error), 0);
        repair_end (copy);
        struct shard *shard = shard_open (scratch, &error);
        if (!shard)
            fail_msg ("%s: what was put back can't be opened: %s", what, error.text);
        uint32_t got = content (shard);
        shard_close (&shard);
        unsigned k = 2 * BATCHES - 1; /* so many are in tables */
        while (k < 3 * BATCHES && after[k] != got)
            k++;
        if (k == 3 * BATCHES)
            fail_msg ("%s: what was put back is no state that was", what);
        cut += k < 3 * BATCHES - 1;
    }
    assert_true (cut > 10);
}

static void a_manifest_and_current_are_put_back_without_loss (void **state)
{
    static const char *const like[] = { "MANIFEST-", "CURRENT" };
    for (unsigned i = 0; i < 20; i++) {
        char what[200], words[4096], done[300], copy[160];
        struct damage_report report;
        if (!repair_begin (like[i % 2], what, copy, &report, done))
            continue;
        if (!done[0])
            fail_msg ("%s: nothing was put back", what);
        repair_end (copy);
        if (open_and_read (truth, words, sizeof (words)) != EXACT)
            fail_msg ("%s: %s", what, words);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (every_damage_is_named_or_changes_nothing),
        cmocka_unit_test (two_damaged_places_are_no_way_around),
        cmocka_unit_test (a_torn_tail_that_was_never_acknowledged_is_accepted),
        cmocka_unit_test (a_damaged_store_stays_refused_and_as_it_was),
        cmocka_unit_test (what_is_put_back_of_a_damaged_log_is_a_state_that_was_acknowledged),
        cmocka_unit_test (a_manifest_and_current_are_put_back_without_loss),
    };
    return cmocka_run_group_tests (tests, make_store, remove_store);
}
