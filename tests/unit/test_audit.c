/* test_audit.c - a small campaign in stores of a temporary folder: clean it passes; with one thing wrong in it, that
 * thing is named. Each case of the table spoils the same clean campaign in one way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../services/cli/audit.h"
#include "core/crc32c.h"
#include "data/histogram.h"
#include "feedback.pb-c.h"
#include "patch.pb-c.h"
#include "schedule.pb-c.h"
#include "select.pb-c.h"
#include "stage.pb-c.h"
#include "store/queue.h"
#include "store/stream.h"
#include "scratch.h"

#define ROWS 2
#define BINS 3
#define STATES 2

static char *states[] = { "RASa", "RASb" }, *rows[] = { "POPC", "CHOL" };
static struct campaign_job jobs[] = {
    { .name = "macro", .start = JOB_ALWAYS },
    { .name = "createsim", .start = JOB_SELECTION, .buffer = 1 },
    { .name = "cg", .start = JOB_AFTER, .after = "createsim" },
};
static const struct campaign campaign = {
    .name = "test",
    .stage = { .backend = "file" },
    .patch = { .snapshots = "snapshots", .candidates = "patches", .namespace_ = "patches", .lipid_only = 1 },
    .select = { .from = "patches" },
    .jobs = jobs,
    .jobs_count = 3,
    .feedback = { .from = "rdfs",
                  .uptake = "uptakes",
                  .states = states,
                  .states_count = STATES,
                  .rows = rows,
                  .rows_count = ROWS,
                  .bins = BINS,
                  .weights = true },
    .goal = { .job = "cg", .successes = 1, .uptakes = 1 },
};

struct world {
    char dir[64];
    struct shard *stage, *select, *schedule, *feedback;
};

/* ---- writing ---- */

static void put_message (struct shard *shard, const char *name, const ProtobufCMessage *message)
{
    struct shard_key key;
    shard_key (&key, "%s", name);
    shard_put_message (shard, &key, message);
}

static void put_text (struct shard *shard, const char *name, const char *text)
{
    shard_put (shard, name, strlen (name), text, strlen (text));
}

static void put_numbers (struct shard *shard, struct shard_key *key, const uint64_t *numbers, size_t count)
{
    struct shard_key value = { .size = 0 };
    for (size_t i = 0; i < count; i++)
        shard_key_u64 (&value, numbers[i]);
    shard_put (shard, key->data, key->size, value.data, value.size);
}

static void append (struct shard *shard, const char *stream, const ProtobufCMessage *message)
{
    struct strata_error error;
    size_t size = protobuf_c_message_get_packed_size (message);
    uint8_t *bytes = malloc (size + 1);
    protobuf_c_message_pack (message, bytes);
    assert_int_equal (stream_append (shard, stream, NULL, 0, bytes, size, 1, NULL, &error), 1);
    free (bytes);
}

static void snapshot (struct shard *stage, uint64_t index)
{
    struct strata_error error;
    uint8_t bytes[256];
    Strata__Snapshot s = STRATA__SNAPSHOT__INIT;
    s.simulation = "macro-000001";
    s.index = index;
    size_t size = strata__snapshot__pack (&s, bytes);
    assert_int_equal (queue_put (stage, "snapshots", "macro-000001", index, bytes, size, 1, NULL, &error), 1);
}

static int take_chunk (const struct stream_chunk *chunk, size_t skip, size_t count, void *arg)
{
    return 0;
}

static void cut (struct shard *stage)
{
    struct strata_error error;
    struct queue_lease lease;
    assert_int_equal (queue_take (stage, "snapshots", 2, 1000000, 3, 1, SIZE_MAX, &lease, take_chunk, NULL), 1);
    assert_int_equal (queue_ack (stage, "snapshots", lease.first, lease.count, lease.token, &error), 0);
}

static void candidate (struct shard *stage, const char *id, uint64_t index, const char *configuration)
{
    Strata__Candidate c = STRATA__CANDIDATE__INIT;
    c.id = (char *)id;
    c.simulation = "macro-000001";
    c.index = index;
    c.configuration = (char *)configuration;
    append (stage, "patches", &c.base);
}

static void path_of (const struct world *w, const char *name, char *path, size_t size)
{
    snprintf (path, size, "%s/%s", w->dir, name);
}

static void write_file (const struct world *w, const char *name, const char *text)
{
    char path[300];
    path_of (w, name, path, sizeof (path));
    for (char *p = path + strlen (w->dir) + 1; (p = strchr (p, '/')); *p++ = '/') {
        *p = '\0';
        mkdir (path, 0777);
    }
    FILE *out = fopen (path, "w");
    assert_non_null (out);
    fputs (text, out);
    fclose (out);
}

static void object (const struct world *w, const char *id)
{
    char name[128], text[64];
    Strata__ObjectInfo info = STRATA__OBJECT_INFO__INIT;
    snprintf (text, sizeof (text), "patch of %s", id);
    snprintf (name, sizeof (name), "objects/stage-0/patches/%s.npz", id);
    write_file (w, name, text);
    info.size = strlen (text);
    info.crc32c = crc32c (0, text, strlen (text));
    info.generation = 1;
    snprintf (name, sizeof (name), "obj/patches/%s.npz", id);
    put_message (w->stage, name, &info.base);
    shard_put_u64 (w->stage, "stage/objects", shard_get_u64 (w->stage, "stage/objects", 0) + 1);
    shard_put_u64 (w->stage, "stage/bytes", shard_get_u64 (w->stage, "stage/bytes", 0) + info.size);
}

static void frame (struct shard *stage, uint64_t number, const char *state, int64_t first)
{
    Strata__Histogram h = STRATA__HISTOGRAM__INIT;
    int64_t counts[ROWS * BINS];
    for (int i = 0; i < ROWS * BINS; i++)
        counts[i] = first + i;
    h.simulation = "a";
    h.frame = number;
    h.state = (char *)state;
    uint8_t room[ROWS * BINS * 8];
    histogram_set (&h, counts, ROWS, BINS, room);
    append (stage, "rdfs", &h.base);
}

static void chosen (struct shard *select, const char *id, uint64_t index, Strata__CandidateState state,
                    const char *proposal)
{
    char key[64];
    Strata__SelectCandidate c = STRATA__SELECT_CANDIDATE__INIT;
    c.state = state;
    c.simulation = "macro-000001";
    c.index = index;
    c.proposal = (char *)proposal;
    snprintf (key, sizeof (key), "cand/%s", id);
    put_message (select, key, &c.base);
}

static void proposal (struct shard *select, const char *name, Strata__ProposalState state, const char *id)
{
    char key[64];
    Strata__SelectProposal p = STRATA__SELECT_PROPOSAL__INIT;
    Strata__Selection s = STRATA__SELECTION__INIT;
    Strata__Selection *list[] = { &s };
    s.candidate = (char *)id;
    p.state = state;
    p.count = 1;
    p.selections = list;
    p.n_selections = 1;
    snprintf (key, sizeof (key), "prop/%s", name);
    put_message (select, key, &p.base);
}

static void moved (struct shard *select, Strata__SelectEventKind kind, const char *id)
{
    Strata__SelectEvent e = STRATA__SELECT_EVENT__INIT;
    e.kind = kind;
    e.candidate = (char *)id;
    append (select, "history", &e.base);
}

static void job (struct shard *schedule, const char *id, const char *type, const char *simulation,
                 Strata__JobState state, const char *input)
{
    char key[64], dir[64];
    Strata__Job j = STRATA__JOB__INIT;
    snprintf (dir, sizeof (dir), "/jobs/%s", id);
    j.id = (char *)id;
    j.type = (char *)type;
    j.simulation = j.candidate = (char *)simulation;
    j.state = state;
    j.attempt = 1;
    j.input = (char *)input;
    j.dir = dir;
    snprintf (key, sizeof (key), "job/%s", id);
    put_message (schedule, key, &j.base);
}

static void sum_row (struct shard *feedback, uint64_t row, int64_t a, int64_t b, int64_t c)
{
    struct shard_key key;
    int64_t cells[BINS] = { a, b, c };
    shard_key (&key, "feedback/sum/");
    shard_key_u64 (&key, row);
    shard_put (feedback, key.data, key.size, cells, sizeof (cells));
}

/* What simulation "a", the only one, has in it. */
static void simulation_row (struct shard *feedback, uint64_t row, int64_t a, int64_t b, int64_t c)
{
    struct shard_key key;
    int64_t cells[BINS] = { a, b, c };
    shard_key (&key, "feedback/of/a/");
    shard_key_u64 (&key, row);
    shard_put (feedback, key.data, key.size, cells, sizeof (cells));
}

static void numbered (struct shard *shard, const char *prefix, uint64_t n, const uint64_t *numbers, size_t count)
{
    struct shard_key key;
    shard_key (&key, "%s", prefix);
    shard_key_u64 (&key, n);
    put_numbers (shard, &key, numbers, count);
}

/* ---- the clean campaign ---- */

static const char report_1[] = "{\"round\": 1, \"frames\": 2, \"states\": {\"RASa\": {\"frames\": 2, \"counts\": 102},"
                               " \"RASb\": {\"frames\": 0, \"counts\": 0}}}";

static void make_stage (struct world *w)
{
    for (uint64_t i = 1; i <= 3; i++)
        snapshot (w->stage, i * 40);
    cut (w->stage);
    candidate (w->stage, "a", 40, "ras");
    candidate (w->stage, "b", 40, "lipid-only");
    cut (w->stage);
    candidate (w->stage, "c", 80, "invalid");
    candidate (w->stage, "d", 80, "ras");
    object (w, "a");
    object (w, "b");
    object (w, "d");
    frame (w->stage, 1, "RASa", 1);  /* 1..6: 21 */
    frame (w->stage, 2, "RASa", 11); /* 11..16: 81 */
    frame (w->stage, 3, "RASb", 0);  /* 0..5: 15 */
    frame (w->stage, 4, "XXXX", 0);  /* not a state of the campaign: set aside */
}

static void make_select (struct world *w)
{
    chosen (w->select, "a", 40, STRATA__CANDIDATE_STATE__CANDIDATE_SELECTED, "p-1");
    chosen (w->select, "b", 40, STRATA__CANDIDATE_STATE__CANDIDATE_WAITING, "");
    chosen (w->select, "c", 80, STRATA__CANDIDATE_STATE__CANDIDATE_INVALID, "");
    chosen (w->select, "d", 80, STRATA__CANDIDATE_STATE__CANDIDATE_WAITING, "");
    proposal (w->select, "p-1", STRATA__PROPOSAL_STATE__PROPOSAL_CONFIRMED, "a");
    proposal (w->select, "p-2", STRATA__PROPOSAL_STATE__PROPOSAL_EXPIRED, "d");
    moved (w->select, STRATA__SELECT_EVENT_KIND__SELECT_ADDED, "a");
    moved (w->select, STRATA__SELECT_EVENT_KIND__SELECT_ADDED, "b");
    moved (w->select, STRATA__SELECT_EVENT_KIND__SELECT_INVALID, "c");
    moved (w->select, STRATA__SELECT_EVENT_KIND__SELECT_ADDED, "d");
    moved (w->select, STRATA__SELECT_EVENT_KIND__SELECT_PROPOSED, "a");
    moved (w->select, STRATA__SELECT_EVENT_KIND__SELECT_CONFIRMED, "a");
    moved (w->select, STRATA__SELECT_EVENT_KIND__SELECT_PROPOSED, "d");
    moved (w->select, STRATA__SELECT_EVENT_KIND__SELECT_EXPIRED, "d");
    cursor_set (w->select, "stage-0", "patches", 5);
}

static void make_schedule (struct world *w)
{
    job (w->schedule, "macro-000001", "macro", "macro-000001", STRATA__JOB_STATE__JOB_RUNNING, "");
    job (w->schedule, "createsim-000001", "createsim", "a", STRATA__JOB_STATE__JOB_SUCCEEDED, "");
    job (w->schedule, "cg-000001", "cg", "a", STRATA__JOB_STATE__JOB_SUCCEEDED, "/jobs/createsim-000001");
    put_text (w->schedule, "chain/a", "createsim-000001");
    shard_put_u64 (w->schedule, "next/macro", 1);
    shard_put_u64 (w->schedule, "next/createsim", 1);
    shard_put_u64 (w->schedule, "next/cg", 1);
    shard_put_u64 (w->schedule, "succ/createsim", 1);
    shard_put_u64 (w->schedule, "succ/cg", 1);
}

static void make_feedback (struct world *w)
{
    struct shard_key key;
    sum_row (w->feedback, 0, 12, 14, 16); /* RASa POPC */
    sum_row (w->feedback, 1, 18, 20, 22); /* RASa CHOL */
    sum_row (w->feedback, 2, 0, 1, 2);
    sum_row (w->feedback, 3, 3, 4, 5);
    simulation_row (w->feedback, 0, 12, 14, 16);
    simulation_row (w->feedback, 1, 18, 20, 22);
    simulation_row (w->feedback, 2, 0, 1, 2);
    simulation_row (w->feedback, 3, 3, 4, 5);
    numbered (w->feedback, "feedback/state/", 0, (uint64_t[]){ 2, 102 }, 2);
    numbered (w->feedback, "feedback/state/", 1, (uint64_t[]){ 1, 15 }, 2);
    numbered (w->feedback, "feedback/done/a/", 1, (uint64_t[]){ 0, 1 }, 2);
    numbered (w->feedback, "feedback/done/a/", 2, (uint64_t[]){ 0, 1 }, 2);
    numbered (w->feedback, "feedback/done/a/", 3, (uint64_t[]){ 1, 2 }, 2);
    numbered (w->feedback, "feedback/taken/", 1, (uint64_t[]){ 50 }, 1);
    shard_key (&key, "feedback/totals");
    put_numbers (w->feedback, &key, (uint64_t[]){ 3, 1, 0, 1, 1, 0, 5 }, 7);
    shard_key (&key, "feedback/report");
    put_numbers (w->feedback, &key, (uint64_t[]){ 1, 0, 7, 2, 1, 2, 0, 102, 0 }, 9);
    cursor_set (w->feedback, "stage-0", "rdfs", 5);
    write_file (w, "feedback/rdf/round.000001/report.json", report_1);
}

static struct shard *open_store (struct world *w, const char *name)
{
    char path[300];
    struct strata_error error;
    path_of (w, name, path, sizeof (path));
    struct shard *shard = shard_open (path, &error);
    if (!shard)
        fail_msg ("%s", error.text);
    return shard;
}

static void open_all (struct world *w)
{
    w->stage = open_store (w, "shards/stage-0");
    w->select = open_store (w, "shards/select-0");
    w->schedule = open_store (w, "shards/schedule-0");
    w->feedback = open_store (w, "shards/feedback-0");
}

static void close_all (struct world *w)
{
    struct shard **all[] = { &w->stage, &w->select, &w->schedule, &w->feedback };
    struct strata_error error;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal (shard_commit (*all[i], &error), 0);
        shard_close (all[i]);
    }
}

static int setup (void **state)
{
    struct world *w = calloc (1, sizeof (*w));
    assert_true (scratch_new (w->dir, sizeof (w->dir)));
    write_file (w, "shards/here", "");
    open_all (w);
    make_stage (w);
    make_select (w);
    make_schedule (w);
    make_feedback (w);
    *state = w;
    return 0;
}

static int teardown (void **state)
{
    struct world *w = *state;
    char command[120];
    snprintf (command, sizeof (command), "rm -rf '%s'", w->dir);
    assert_int_equal (system (command), 0);
    free (w);
    return 0;
}

/* ---- ways to spoil it ---- */

static void drop_key (struct shard *shard, const char *name)
{
    shard_delete (shard, name, strlen (name));
}

static void spoil_cut_twice (struct world *w)
{
    candidate (w->stage, "a2", 40, "invalid");
}

static void spoil_cut_and_waiting (struct world *w)
{
    candidate (w->stage, "e", 120, "invalid");
}

static void spoil_lost_snapshot (struct world *w)
{
    struct shard_key key;
    shard_key (&key, "s/snapshots/");
    shard_key_u64 (&key, 3);
    shard_delete (w->stage, key.data, key.size);
}

static void spoil_done_without_candidates (struct world *w)
{
    cut (w->stage);
}

static void spoil_lost_candidate (struct world *w)
{
    drop_key (w->select, "cand/b");
}

static void spoil_candidate_from_nowhere (struct world *w)
{
    chosen (w->select, "z", 40, STRATA__CANDIDATE_STATE__CANDIDATE_WAITING, "");
    moved (w->select, STRATA__SELECT_EVENT_KIND__SELECT_ADDED, "z");
}

static void spoil_id_twice (struct world *w)
{
    candidate (w->stage, "d", 80, "ras");
}

static void spoil_unknown_state (struct world *w)
{
    chosen (w->select, "b", 40, (Strata__CandidateState)9, "");
}

static void spoil_read_past_the_end (struct world *w)
{
    cursor_set (w->select, "stage-0", "patches", 9);
}

static void spoil_selected_without_proposal (struct world *w)
{
    drop_key (w->select, "prop/p-1");
}

static void spoil_expired_but_named (struct world *w)
{
    chosen (w->select, "d", 80, STRATA__CANDIDATE_STATE__CANDIDATE_PROPOSED, "p-2");
}

static void spoil_history (struct world *w)
{
    moved (w->select, STRATA__SELECT_EVENT_KIND__SELECT_CONFIRMED, "b");
}

static void spoil_selected_without_chain (struct world *w)
{
    drop_key (w->schedule, "job/createsim-000001");
    drop_key (w->schedule, "job/cg-000001");
    shard_put_u64 (w->schedule, "succ/createsim", 0);
    shard_put_u64 (w->schedule, "succ/cg", 0);
}

static void spoil_two_chains (struct world *w)
{
    job (w->schedule, "createsim-000002", "createsim", "a", STRATA__JOB_STATE__JOB_WAITING, "");
    shard_put_u64 (w->schedule, "next/createsim", 2);
}

static void spoil_chain_of_one_that_waits (struct world *w)
{
    job (w->schedule, "createsim-000002", "createsim", "b", STRATA__JOB_STATE__JOB_RUNNING, "");
    put_text (w->schedule, "chain/b", "createsim-000002");
    shard_put_u64 (w->schedule, "next/createsim", 2);
}

static void spoil_success_not_followed (struct world *w)
{
    drop_key (w->schedule, "job/cg-000001");
    shard_put_u64 (w->schedule, "succ/cg", 0);
}

static void spoil_followed_twice (struct world *w)
{
    job (w->schedule, "cg-000002", "cg", "a", STRATA__JOB_STATE__JOB_WAITING, "/jobs/createsim-000001");
    shard_put_u64 (w->schedule, "next/cg", 2);
}

static void spoil_success_counter (struct world *w)
{
    shard_put_u64 (w->schedule, "succ/cg", 2);
}

static void spoil_job_number (struct world *w)
{
    shard_put_u64 (w->schedule, "next/cg", 0);
}

static void spoil_simulation (struct world *w)
{
    simulation_row (w->feedback, 1, 18, 19, 22);
}

static void spoil_sum (struct world *w)
{
    sum_row (w->feedback, 1, 18, 21, 21); /* its state's total is still right */
}

static void spoil_frame_without_mark (struct world *w)
{
    struct shard_key key;
    shard_key (&key, "feedback/done/a/");
    shard_key_u64 (&key, 3);
    shard_delete (w->feedback, key.data, key.size);
}

static void spoil_mark_without_frame (struct world *w)
{
    numbered (w->feedback, "feedback/done/a/", 9, (uint64_t[]){ 0, 2 }, 2);
}

static void spoil_counted_twice (struct world *w)
{
    sum_row (w->feedback, 2, 0, 2, 4);
    sum_row (w->feedback, 3, 6, 8, 10);
    numbered (w->feedback, "feedback/state/", 1, (uint64_t[]){ 1, 30 }, 2);
}

static void spoil_report_missing (struct world *w)
{
    char path[300];
    path_of (w, "feedback/rdf/round.000001/report.json", path, sizeof (path));
    assert_int_equal (unlink (path), 0);
}

static void spoil_report_frames (struct world *w)
{
    write_file (w, "feedback/rdf/round.000001/report.json", "{\"round\": 1, \"frames\": 3, \"states\": {}}");
}

static void spoil_report_counts (struct world *w)
{
    write_file (w, "feedback/rdf/round.000001/report.json",
                "{\"round\": 1, \"frames\": 2, \"states\": {\"RASb\": {\"counts\": 16}}}");
}

static void spoil_uptake (struct world *w)
{
    struct shard_key key;
    numbered (w->feedback, "feedback/taken/", 8, (uint64_t[]){ 50 }, 1);
    shard_key (&key, "feedback/totals");
    put_numbers (w->feedback, &key, (uint64_t[]){ 3, 1, 0, 1, 2, 0, 5 }, 7);
}

static void spoil_object_gone (struct world *w)
{
    char path[300];
    path_of (w, "objects/stage-0/patches/b.npz", path, sizeof (path));
    assert_int_equal (unlink (path), 0);
}

static void spoil_object_bytes (struct world *w)
{
    write_file (w, "objects/stage-0/patches/d.npz", "patch 0f d");
}

static void spoil_object_never_put (struct world *w)
{
    drop_key (w->stage, "obj/patches/a.npz");
    shard_put_u64 (w->stage, "stage/objects", 2);
    shard_put_u64 (w->stage, "stage/bytes", 20);
}

static void spoil_object_counters (struct world *w)
{
    shard_put_u64 (w->stage, "stage/bytes", 31);
}

static const struct spoiled {
    enum audit_id check;
    void (*spoil) (struct world *w);
    const char *says; /* part of a violation of that check */
} cases[] = {
    { AUDIT_SNAPSHOTS, spoil_cut_twice, "snapshot macro-000001/40 was cut twice: batches at records" },
    { AUDIT_SNAPSHOTS, spoil_cut_and_waiting, "snapshot macro-000001/120 stands twice" },
    { AUDIT_SNAPSHOTS, spoil_lost_snapshot, "took 3 snapshots, but 0 wait or are leased, 0 are aside and 2 done" },
    { AUDIT_SNAPSHOTS, spoil_done_without_candidates, "3 snapshots are done, but candidates of 2" },
    { AUDIT_CANDIDATES, spoil_lost_candidate,
      "candidate b, record 2 of stream patches, was read by select and is lost" },
    { AUDIT_CANDIDATES, spoil_candidate_from_nowhere, "candidate z is waiting in select, but no record" },
    { AUDIT_CANDIDATES, spoil_id_twice, "candidate d stands twice in stream patches" },
    { AUDIT_CANDIDATES, spoil_unknown_state, "candidate b is in no state that there is (9)" },
    { AUDIT_CANDIDATES, spoil_read_past_the_end, "up to record 8, but it ends at 4" },
    { AUDIT_PROPOSALS, spoil_selected_without_proposal,
      "candidate a is selected by proposal 'p-1', which lists it 0 times" },
    { AUDIT_PROPOSALS, spoil_expired_but_named, "candidate d is proposed by proposal p-2, which has expired" },
    { AUDIT_PROPOSALS, spoil_history, "candidate b is waiting, but the history has it confirmed 1 times" },
    { AUDIT_CHAINS, spoil_selected_without_chain, "candidate a is selected and has 0 chains" },
    { AUDIT_CHAINS, spoil_two_chains,
      "candidate a has two chains: one begins with createsim-000001, another with createsim-000002" },
    { AUDIT_CHAINS, spoil_chain_of_one_that_waits, "job createsim-000002 is for candidate b, which is not selected" },
    { AUDIT_JOBS, spoil_success_not_followed, "job createsim-000001 succeeded and is followed by 0 jobs of type cg" },
    { AUDIT_JOBS, spoil_followed_twice, "job createsim-000001 succeeded and is followed by 2 jobs of type cg" },
    { AUDIT_JOBS, spoil_success_counter, "1 jobs of type cg succeeded, but the counter says 2" },
    { AUDIT_JOBS, spoil_job_number, "job cg-000001 has a number that was never given" },
    { AUDIT_FRAMES, spoil_simulation, "state RASa, row CHOL, bin 1: the sums hold 1 more than all simulations together" },
    { AUDIT_FRAMES, spoil_sum, "state RASa, row CHOL, bin 1: the records add up to 20, the sums say 21" },
    { AUDIT_FRAMES, spoil_frame_without_mark,
      "frame 3 of a, record 3 of stream rdfs, was read by feedback and is in no report's sums" },
    { AUDIT_FRAMES, spoil_mark_without_frame, "holds 3 frames that feedback has read and could use, but 4 are marked" },
    { AUDIT_FRAMES, spoil_counted_twice, "state RASb, row POPC, bin 1: the records add up to 1, the sums say 2" },
    { AUDIT_REPORTS, spoil_report_missing, "round 1 was written, but" },
    { AUDIT_REPORTS, spoil_report_frames, "says round 1 of 3 frames; by the marks it is round 1 of 2 frames" },
    { AUDIT_REPORTS, spoil_report_counts, "says 16 counts of state RASb; the sums hold 15" },
    { AUDIT_REPORTS, spoil_uptake, "the model took round 8, but 1 rounds were written" },
    { AUDIT_OBJECTS, spoil_object_gone, "object patches/b.npz of stage-0 can't be read" },
    { AUDIT_OBJECTS, spoil_object_bytes, "object patches/d.npz of stage-0 has 10 bytes and checksum" },
    { AUDIT_OBJECTS, spoil_object_never_put, "candidate a has no patch: there is no object patches/a.npz" },
    { AUDIT_OBJECTS, spoil_object_counters, "its counters say 3 of 31" },
};

static void run_audit (struct world *w, struct audit *audit)
{
    struct strata_error error;
    close_all (w);
    if (audit_run (w->dir, &campaign, false, false, audit, &error) < 0)
        fail_msg ("%s", error.text);
}

static void a_clean_campaign_passes_and_its_numbers_are_right (void **state)
{
    struct audit audit;
    run_audit (*state, &audit);
    for (size_t i = 0; i < AUDIT_CHECKS; i++)
        for (size_t k = 0; k < audit.checks[i].kept; k++)
            print_error ("%s: %s\n", audit.checks[i].name, audit.checks[i].violations[k]);
    assert_int_equal (audit.violations, 0);
    const struct audit_summary *s = &audit.summary;
    assert_int_equal (s->snapshots_cut, 2);
    assert_int_equal (s->snapshots_waiting, 1);
    assert_int_equal (s->candidates, 4);
    assert_int_equal (s->selected, 1);
    assert_int_equal (s->jobs[2].succeeded, 1);
    assert_int_equal (s->frames, 3);
    assert_int_equal (s->reports_written, 1);
    assert_int_equal (s->reports_taken, 1);
    assert_int_equal (s->objects, 3);
    audit_fini (&audit);
}

static void whatever_is_spoiled_is_named (void **state)
{
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        struct audit audit;
        void *world;
        bool named = false;
        setup (&world);
        cases[i].spoil (world);
        run_audit (world, &audit);
        const struct audit_check *check = &audit.checks[cases[i].check];
        for (size_t k = 0; k < check->kept; k++)
            named = named || strstr (check->violations[k], cases[i].says);
        if (!named) {
            for (size_t c = 0; c < AUDIT_CHECKS; c++)
                for (size_t k = 0; k < audit.checks[c].kept; k++)
                    print_error ("%s: %s\n", audit.checks[c].name, audit.checks[c].violations[k]);
            fail_msg ("case %zu: nothing says '%s'", i, cases[i].says);
        }
        audit_fini (&audit);
        teardown (&world);
    }
}

static void a_producer_that_is_ahead_of_its_consumers_is_no_violation (void **state)
{
    struct world *w = *state;
    struct audit audit;
    cut (w->stage); /* select has not read these yet */
    candidate (w->stage, "e", 120, "invalid");
    frame (w->stage, 5, "RASa", 3);
    run_audit (w, &audit);
    assert_int_equal (audit.violations, 0);
    audit_fini (&audit);
}

static void a_job_that_select_has_not_confirmed_is_no_violation (void **state)
{
    struct world *w = *state;
    struct audit audit;
    job (w->schedule, "createsim-000002", "createsim", "d", STRATA__JOB_STATE__JOB_PROPOSED, "");
    put_text (w->schedule, "chain/d", "createsim-000002");
    shard_put_u64 (w->schedule, "next/createsim", 2);
    run_audit (w, &audit);
    assert_int_equal (audit.violations, 0);
    audit_fini (&audit);
}

static void a_workspace_whose_services_never_started_passes (void **state)
{
    struct audit audit;
    struct strata_error error;
    char dir[] = "/tmp/strata-test-XXXXXX";
    assert_non_null (mkdtemp (dir));
    assert_int_equal (audit_run (dir, &campaign, false, false, &audit, &error), 0);
    assert_int_equal (audit.violations, 0);
    assert_false (audit_goal_reached (dir, &campaign));
    audit_fini (&audit);
    rmdir (dir);
}

static void the_goal_is_read_from_the_stores (void **state)
{
    struct world *w = *state;
    struct campaign more = campaign;
    close_all (w);
    assert_true (audit_goal_reached (w->dir, &campaign));
    more.goal.uptakes = 2;
    assert_false (audit_goal_reached (w->dir, &more));
    more.goal = (struct campaign_goal){ .job = "cg", .successes = 2, .uptakes = 1 };
    assert_false (audit_goal_reached (w->dir, &more));
    more.goal = (struct campaign_goal){ .job = NULL };
    assert_false (audit_goal_reached (w->dir, &more));
}

int main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST (a_clean_campaign_passes_and_its_numbers_are_right),
        cmocka_unit_test (whatever_is_spoiled_is_named),
        TEST (a_producer_that_is_ahead_of_its_consumers_is_no_violation),
        TEST (a_job_that_select_has_not_confirmed_is_no_violation),
        cmocka_unit_test (a_workspace_whose_services_never_started_passes),
        TEST (the_goal_is_read_from_the_stores),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
