/* test_node_cache.c - objects in the caches of three nodes: real stages, one each on nodes a, b and c of this machine. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "core/crc32c.h"
#include "mesh/client.h"
#include "scratch.h"
#include "workspace.h"

#define STAGES 3
#define MB ((size_t)1 << 20)
#define CACHE_MB 80
#define SOON_MS 60000

static pid_t stages[STAGES];
static struct strata_client *on[STAGES]; /* a client on each node */
static char folder[64];
static struct strata_error error;
static const char *const nodes[STAGES] = { "node-a", "node-b", "node-c" };

static void must (int rc)
{
    if (rc < 0)
        fail_msg ("%s (errno %d)", error.text, errno);
}

static struct strata_client *client_on (unsigned node, int timeout_ms)
{
    setenv ("STRATA_NODE", nodes[node], 1);
    struct strata_client *c = client_open (timeout_ms);
    unsetenv ("STRATA_NODE");
    return c;
}

static void stage_up (unsigned node)
{
    char name[16];
    setenv ("STRATA_NODE", nodes[node], 1);
    stages[node] = program_start ("stage", node, NULL);
    unsetenv ("STRATA_NODE");
    snprintf (name, sizeof (name), "stage-%u", node);
    for (unsigned tries = 0; tries < 6000; tries++, nap_ms (10)) {
        struct card *cards;
        size_t count = cards_read (workspace, &cards);
        bool active = false;
        for (size_t i = 0; i < count; i++)
            active |= cards[i].pid == (uint32_t)stages[node] && cards[i].active;
        free (cards);
        if (active)
            return;
    }
    fail_msg ("%s is not up", name);
}

static int set_up (void **state)
{
    char text[1024];
    if (!scratch_new (folder, sizeof (folder)))
        return -1;
    snprintf (text, sizeof (text),
              CAMPAIGN_HEAD ("node-cache") CAMPAIGN_JOBS CAMPAIGN_FEEDBACK
              "stage: {backend: file, quota_mb: 2048, cache: {folder: %s, mb: %d}}\n", folder, CACHE_MB);
    workspace_make (text);
    for (unsigned i = 0; i < STAGES; i++) {
        stage_up (i);
        on[i] = client_on (i, SOON_MS);
    }
    return 0;
}

static int tear_down (void **state)
{
    char command[320];
    for (unsigned i = 0; i < STAGES; i++) {
        strata_close (&on[i]);
        assert_int_equal (process_end (stages[i], SIGTERM), 0);
    }
    /* They went down with the campaign: nothing of theirs is left on the nodes. */
    snprintf (command, sizeof (command), "test -z \"$(ls -A '%s')\" && rm -rf '%s' '%s'", folder, folder, workspace);
    return system (command) == 0 ? 0 : -1;
}

/* What a stage's next heartbeat says; the caller frees it. */
static Strata__Heartbeat *figures (unsigned node)
{
    char replica[16];
    snprintf (replica, sizeof (replica), "stage-%u", node);
    zsock_t *socket = heartbeats_of (replica);
    Strata__Heartbeat *hb = heartbeat_next (socket);
    zsock_destroy (&socket);
    return hb;
}

static double figure (unsigned node, const char *name)
{
    Strata__Heartbeat *hb = figures (node);
    double value = heartbeat_figure (hb, name);
    strata__heartbeat__free_unpacked (hb, NULL);
    return value;
}

/* How often this node's cache was asked and gave a file. */
static double given (unsigned node)
{
    Strata__Heartbeat *hb = figures (node);
    double value = heartbeat_figure (hb, "cache_hits") + heartbeat_figure (hb, "cache_joined")
                   + heartbeat_figure (hb, "cache_from_origin") + heartbeat_figure (hb, "cache_from_peers");
    strata__heartbeat__free_unpacked (hb, NULL);
    return value;
}

static void *bytes_new (size_t size, unsigned seed)
{
    uint8_t *bytes = malloc (size);
    assert_non_null (bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)((i * 2654435761u >> 13) + seed);
    return bytes;
}

static void put_from (unsigned node, const char *key, size_t size, unsigned seed)
{
    void *bytes = bytes_new (size, seed);
    must (strata_put (on[node], "ns", key, bytes, size, &error));
    free (bytes);
}

static void assert_bytes (const struct strata_mapping *m, size_t size, unsigned seed)
{
    void *bytes = bytes_new (size, seed);
    assert_int_equal (m->size, size);
    assert_int_equal (m->info.size, size);
    assert_memory_equal (m->data, bytes, size);
    free (bytes);
}

static void assert_mapped (unsigned node, const char *key, size_t size, unsigned seed)
{
    struct strata_mapping m;
    must (strata_map (on[node], "ns", key, false, &m, &error));
    assert_true (m.mapped);
    assert_bytes (&m, size, seed);
    strata_unmap (&m);
}

/* In a process of its own on a node: 0 when the object was mapped, with these bytes. */
static pid_t reader_start (unsigned node, const char *key, size_t size, unsigned seed, bool wait, int timeout_ms)
{
    pid_t pid = fork ();
    assert_true (pid >= 0);
    if (pid)
        return pid;
    process_prepare (NULL);
    struct strata_mapping m;
    struct strata_client *c = client_on (node, timeout_ms);
    uint8_t *bytes = bytes_new (size, seed);
    int rc = strata_map (c, "ns", key, wait, &m, &error);
    _exit (rc < 0 ? 1 : !m.mapped ? 2 : m.size != size || memcmp (m.data, bytes, size) != 0 ? 3 : 0);
}

static void assert_ended_well (pid_t pid)
{
    int status;
    assert_int_equal (waitpid (pid, &status, 0), pid);
    assert_int_equal (status, 0);
}

static void many_readers_of_a_node_cost_one_fetch_and_map_one_file (void **state)
{
    enum { READERS = 8 };
    pid_t readers[READERS];
    put_from (0, "many/one", 5 * MB + 17, 1);
    for (int i = 0; i < READERS; i++)
        readers[i] = reader_start (1, "many/one", 5 * MB + 17, 1, false, SOON_MS);
    for (int i = 0; i < READERS; i++)
        assert_ended_well (readers[i]);
    assert_int_equal (figure (1, "cache_from_origin"), 1);
    assert_int_equal (given (1), READERS);
    struct strata_mapping one, two;
    struct stat first, second;
    must (strata_map (on[1], "ns", "many/one", false, &one, &error));
    must (strata_map (on[1], "ns", "many/one", false, &two, &error));
    assert_int_equal (fstat (one.fd, &first), 0);
    assert_int_equal (fstat (two.fd, &second), 0);
    assert_int_equal (first.st_ino, second.st_ino);
    strata_unmap (&one);
    strata_unmap (&two);
    assert_mapped (0, "many/one", 5 * MB + 17, 1); /* and on the keeper's own node */
    assert_int_equal (figure (0, "cache_objects"), 1);
}

static void a_cache_that_has_it_is_asked_before_the_origin (void **state)
{
    put_from (0, "peer/one", 3 * MB, 2);
    assert_mapped (1, "peer/one", 3 * MB, 2);
    double origin_gets = figure (0, "gets"), served = figure (1, "cache_chunks_served");
    assert_mapped (2, "peer/one", 3 * MB, 2);
    Strata__Heartbeat *hb = figures (2);
    assert_int_equal (heartbeat_figure (hb, "cache_from_peers"), 1);
    assert_int_equal (heartbeat_figure (hb, "cache_from_origin"), 0);
    strata__heartbeat__free_unpacked (hb, NULL);
    assert_int_equal (figure (1, "cache_chunks_served") - served, 3);
    assert_int_equal (figure (0, "gets"), origin_gets); /* the keeper moved no byte */
}

static void a_cache_that_dies_while_it_is_read_is_made_good_by_the_origin (void **state)
{
    put_from (0, "dies/one", 6 * MB, 3);
    assert_mapped (1, "dies/one", 6 * MB, 3);
    kill (stages[1], SIGSTOP); /* it is asked, and never answers */
    pid_t reader = reader_start (2, "dies/one", 6 * MB, 3, false, SOON_MS);
    for (int i = 0; i < 200 && figure (2, "cache_asks") < 1; i++)
        nap_ms (10);
    process_end (stages[1], SIGKILL);
    assert_ended_well (reader);
    assert_int_equal (figure (2, "cache_from_origin"), 1);
    stage_up (1);
}

/* Bytes of a file in node c's cache that is not whole yet; 0: there is none. */
static uint64_t part_bytes (void)
{
    char pattern[128];
    glob_t found;
    struct stat st = { .st_size = 0 };
    snprintf (pattern, sizeof (pattern), "%s/strata-*/stage-2/*.part", folder);
    if (glob (pattern, GLOB_NOSORT, NULL, &found) == 0) {
        if (stat (found.gl_pathv[0], &st) < 0)
            st.st_size = 0;
        globfree (&found);
    }
    return (uint64_t)st.st_size;
}

static void an_owner_that_is_killed_while_it_is_read_is_waited_for (void **state)
{
    const size_t size = 64 * MB;
    unsigned hits = 0;
    for (unsigned i = 0; i < 10 && hits < 1; i++) {
        char key[32];
        snprintf (key, sizeof (key), "owner/%u", i);
        put_from (0, key, size, 10 + i);
        pid_t reader = reader_start (2, key, size, 10 + i, false, SOON_MS);
        siginfo_t ended = { .si_pid = 0 };
        while (!part_bytes () && waitid (P_PID, (id_t)reader, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && !ended.si_pid)
            nap_ms (0);
        process_end (stages[0], SIGKILL);
        hits += part_bytes () > 0; /* it is not whole, and its source is dead */
        stage_up (0);
        assert_ended_well (reader);
        must (strata_delete (on[0], "ns", key, &error));
    }
    print_message ("  killed %u times while it was read\n", hits);
    assert_true (hits > 0);
}

static void a_consumer_that_asks_first_waits_for_the_producer (void **state)
{
    /* The keeper is already settled (node a), and not settled: then it is the consumer's own node. */
    put_from (0, "wait/first", 1, 0);
    const char *keys[] = { "wait/later", "unclaimed/later" };
    for (unsigned i = 0; i < 2; i++) {
        pid_t b = reader_start (1, keys[i], 2 * MB, 4 + i, true, SOON_MS), c = reader_start (2, keys[i], 2 * MB, 4 + i, true, SOON_MS);
        for (int n = 0; n < 100 && figure (1, "cache_asks") + figure (2, "cache_asks") < 2; n++)
            nap_ms (10);
        put_from (0, keys[i], 2 * MB, 4 + i);
        assert_ended_well (b);
        assert_ended_well (c);
    }
    /* Nobody puts: told in time. */
    struct strata_mapping m;
    strata_set_timeout (on[1], 1000);
    int rc = strata_map (on[1], "ns", "wait/never", true, &m, &error), failed = errno;
    strata_set_timeout (on[1], SOON_MS);
    assert_int_equal (rc, -1);
    assert_int_equal (failed, ETIMEDOUT);
    assert_non_null (strstr (error.text, "ns/wait/never was not put in time"));
}

static void what_was_replaced_is_never_given (void **state)
{
    struct strata_mapping old, m;
    for (unsigned i = 0; i < 20; i++) {
        put_from (i % 3, "replaced/one", MB + i, 20 + i);
        assert_mapped (1, "replaced/one", MB + i, 20 + i);
        assert_mapped (2, "replaced/one", MB + i, 20 + i);
    }
    must (strata_map (on[1], "ns", "replaced/one", false, &old, &error));
    put_from (0, "replaced/one", MB, 50);
    assert_mapped (1, "replaced/one", MB, 50);
    assert_bytes (&old, MB + 19, 39); /* what somebody has mapped stays what it is */
    strata_unmap (&old);
    must (strata_delete (on[0], "ns", "replaced/one", &error));
    assert_int_equal (strata_map (on[1], "ns", "replaced/one", false, &m, &error), -1);
    assert_int_equal (errno, ENOENT);
    put_from (0, "replaced/one", MB, 51); /* its generation is 1 again */
    assert_mapped (1, "replaced/one", MB, 51);
}

static void a_full_cache_gives_copies_and_keeps_its_bound (void **state)
{
    enum { PINS = CACHE_MB / 16 };
    struct strata_mapping pins[PINS], m;
    char key[32];
    void *data;
    size_t size, pinned = 0;
    double bypassed = figure (2, "cache_bypassed");
    for (unsigned i = 0; i < PINS; i++) {
        snprintf (key, sizeof (key), "full/%u", i);
        put_from (0, key, 16 * MB - 8192, 60 + i);
        must (strata_map (on[2], "ns", key, false, &pins[i], &error));
        pinned += pins[i].mapped;
    }
    assert_int_equal (pinned, PINS);
    put_from (0, "full/more", 2 * MB, 80);
    must (strata_map (on[2], "ns", "full/more", false, &m, &error));
    assert_false (m.mapped);
    assert_bytes (&m, 2 * MB, 80);
    strata_unmap (&m);
    must (strata_get (on[2], "ns", "full/more", &data, &size, &error));
    assert_int_equal (size, 2 * MB);
    free (data);
    Strata__Heartbeat *hb = figures (2);
    double evicted = heartbeat_figure (hb, "cache_evicted");
    assert_int_equal (heartbeat_figure (hb, "cache_bypassed") - bypassed, 2);
    assert_int_equal (heartbeat_figure (hb, "cache_pinned"), PINS);
    assert_true (heartbeat_figure (hb, "cache_bytes") <= CACHE_MB * (double)MB);
    strata__heartbeat__free_unpacked (hb, NULL);
    strata_unmap (&pins[1]);
    assert_mapped (2, "full/more", 2 * MB, 80);
    assert_int_equal (figure (2, "cache_evicted") - evicted, 1);
    for (unsigned i = 0; i < PINS; i++) {
        if (i != 1) {
            assert_bytes (&pins[i], 16 * MB - 8192, 60 + i);
            strata_unmap (&pins[i]);
        }
        snprintf (key, sizeof (key), "full/%u", i);
        must (strata_delete (on[0], "ns", key, &error));
    }
}

static void a_stage_that_was_killed_finds_its_cache_and_trusts_no_byte_of_it (void **state)
{
    char command[300];
    put_from (0, "found/whole", 3 * MB, 90);
    put_from (0, "found/wrong", 3 * MB, 91);
    put_from (0, "found/torn", 3 * MB, 92);
    assert_mapped (1, "found/whole", 3 * MB, 90);
    assert_mapped (1, "found/wrong", 3 * MB, 91);
    assert_mapped (1, "found/torn", 3 * MB, 92);
    process_end (stages[1], SIGKILL);
    snprintf (command, sizeof (command),
              "set -- $(ls -t '%s'/strata-*/stage-1/*) && truncate -s 1M $1 && dd if=/dev/zero of=$2 bs=1 count=9 seek=5000 conv=notrunc status=none",
              folder);
    assert_int_equal (system (command), 0);
    stage_up (1);
    assert_mapped (1, "found/whole", 3 * MB, 90);
    assert_mapped (1, "found/wrong", 3 * MB, 91);
    assert_mapped (1, "found/torn", 3 * MB, 92);
    Strata__Heartbeat *hb = figures (1);
    assert_int_equal (heartbeat_figure (hb, "cache_hits"), 1);
    assert_int_equal (heartbeat_figure (hb, "cache_from_origin"), 2);
    strata__heartbeat__free_unpacked (hb, NULL);
}

static void a_silent_owner_is_named_in_time (void **state)
{
    struct strata_mapping m;
    put_from (0, "silent/one", MB, 95);
    kill (stages[0], SIGSTOP);
    strata_set_timeout (on[1], 2000);
    int64_t begin_us = mesh_now_us ();
    int rc = strata_map (on[1], "ns", "silent/one", false, &m, &error), failed = errno;
    int64_t took_us = mesh_now_us () - begin_us;
    strata_set_timeout (on[1], SOON_MS);
    kill (stages[0], SIGCONT);
    assert_int_equal (rc, -1);
    assert_int_equal (failed, ETIMEDOUT);
    assert_non_null (strstr (error.text, "kept by stage-0"));
    assert_true (took_us < 4000000);
    assert_mapped (1, "silent/one", MB, 95);
}

static void large_gets_come_by_the_cache_and_small_ones_do_not (void **state)
{
    void *data, *bytes = bytes_new (MB, 97);
    size_t size;
    put_from (0, "get/large", MB, 97);
    put_from (0, "get/small", 1000, 98);
    for (int i = 0; i < 3; i++) {
        must (strata_get (on[1], "ns", "get/large", &data, &size, &error));
        assert_int_equal (size, MB);
        assert_memory_equal (data, bytes, MB);
        free (data);
    }
    double asks = given (1);
    must (strata_get (on[1], "ns", "get/small", &data, &size, &error));
    assert_int_equal (size, 1000);
    free (data);
    assert_int_equal (given (1), asks);
    must (strata_get_wait (on[2], "ns", "get/large", &data, &size, &error));
    assert_memory_equal (data, bytes, MB);
    free (data);
    free (bytes);
    struct strata_mapping m;
    must (strata_put (on[0], "ns", "get/empty", "", 0, &error));
    must (strata_map (on[1], "ns", "get/empty", false, &m, &error));
    assert_int_equal (m.size, 0);
    strata_unmap (&m);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (many_readers_of_a_node_cost_one_fetch_and_map_one_file),
        cmocka_unit_test (a_cache_that_has_it_is_asked_before_the_origin),
        cmocka_unit_test (a_cache_that_dies_while_it_is_read_is_made_good_by_the_origin),
        cmocka_unit_test (an_owner_that_is_killed_while_it_is_read_is_waited_for),
        cmocka_unit_test (a_consumer_that_asks_first_waits_for_the_producer),
        cmocka_unit_test (what_was_replaced_is_never_given),
        cmocka_unit_test (a_full_cache_gives_copies_and_keeps_its_bound),
        cmocka_unit_test (a_stage_that_was_killed_finds_its_cache_and_trusts_no_byte_of_it),
        cmocka_unit_test (a_silent_owner_is_named_in_time),
        cmocka_unit_test (large_gets_come_by_the_cache_and_small_ones_do_not),
    };
    return cmocka_run_group_tests (tests, set_up, tear_down);
}
