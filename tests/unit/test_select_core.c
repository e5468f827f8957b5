/* The core of services/select on a shard: what becomes of each candidate, whatever happens in between. */
#include "../../services/select/select_core.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "store/stream.h"
#include "scratch.h"

#define SECOND 1000000
#define START (1700000000 * (int64_t)SECOND)
#define DIMENSIONS 3

static struct campaign_queue queues[] = {
    { "lipid-only", "lipid-only", .1, 0 },
    { "monomer", "ras", .5, 0 },
    { "dimer", "ras-raf", .4, 0 },
    { "invalid", "invalid", 0, 0 },
};

static struct campaign campaign = {
    .name = "test",
    .seed = 2026,
    .patch.encoder.dimensions = DIMENSIONS,
    .select = { .from = "patches", .k = 3, .lease_s = 60, .queues = queues, .queues_count = 4 },
};

static uint64_t random_state;

static uint64_t random_next (void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* ---- a core on a shard in memory or in a folder of its own ---- */

struct fixture {
    char dir[64];               /* "" in memory */
    struct shard *shard;
    struct select_core *core;
    unsigned events;            /* seen since the last look */
    char last_event[64];
};

static void note_event (const char *kind, const char *subject, const char *text, void *arg)
{
    struct fixture *f = arg;
    assert_true (*subject && *text);
    f->events++;
    snprintf (f->last_event, sizeof (f->last_event), "%s", kind);
}

static void fixture_open (struct fixture *f)
{
    struct strata_error error = { "" };
    f->shard = *f->dir ? shard_open (f->dir, &error) : shard_open_memory (&error);
    if (!f->shard)
        fail_msg ("%s", error.text);
    f->core = select_open (f->shard, &campaign, &error);
    if (!f->core)
        fail_msg ("%s", error.text);
    select_on_event (f->core, note_event, f);
}

static void fixture_init (struct fixture *f, bool on_disk)
{
    *f = (struct fixture){ .dir = "" };
    if (on_disk)
        assert_true (scratch_new (f->dir, sizeof (f->dir)));
    fixture_open (f);
}

static void fixture_close (struct fixture *f)
{
    select_close (&f->core);
    shard_close (&f->shard);
}

static void fixture_fini (struct fixture *f)
{
    fixture_close (f);
    if (*f->dir) {
        char command[128];
        snprintf (command, sizeof (command), "rm -rf '%s'", f->dir);
        assert_int_equal (system (command), 0);
    }
}

static void verify (struct fixture *f)
{
    struct strata_error error;
    if (select_verify (f->core, f->shard, &campaign, &error) < 0)
        fail_msg ("%s", error.text);
}

static void commit (struct fixture *f)
{
    struct strata_error error;
    if (shard_commit (f->shard, &error) < 0)
        fail_msg ("%s", error.text);
}

static Strata__SelectEventKind add_point (struct fixture *f, const char *id, const char *configuration, float *point,
                                          size_t n, int64_t now)
{
    Strata__Candidate c = STRATA__CANDIDATE__INIT;
    c.id = (char *)id;
    c.configuration = (char *)configuration;
    c.point = point;
    c.n_point = n;
    c.simulation = "macro";
    c.index = (uint64_t)(point && n && isfinite (point[0]) ? point[0] : 0);
    return select_add (f->core, &c, now);
}

static void add_many (struct fixture *f, const char *configuration, unsigned count, uint64_t seed)
{
    random_state = seed;
    for (unsigned i = 0; i < count; i++) {
        char id[64];
        float x[DIMENSIONS];
        for (int d = 0; d < DIMENSIONS; d++)
            x[d] = (float)(random_next () % 100000) / 1000;
        snprintf (id, sizeof (id), "%s/%u", configuration, i);
        assert_int_equal (add_point (f, id, configuration, x, DIMENSIONS, START),
                          STRATA__SELECT_EVENT_KIND__SELECT_ADDED);
    }
}

static void add_invalid (struct fixture *f, const char *id)
{
    Strata__Candidate c = STRATA__CANDIDATE__INIT;
    c.id = (char *)id;
    c.configuration = "invalid";
    c.reason = "a complex lies only half inside";
    assert_int_equal (select_add (f->core, &c, START), STRATA__SELECT_EVENT_KIND__SELECT_INVALID);
}

static Strata__ProposeReply *propose (struct fixture *f, const char *name, uint32_t count, int64_t now)
{
    struct strata_error error = { "" };
    Strata__RefusalCode code;
    Strata__ProposeReply *reply = select_propose (f->core, name, count, now, &code, &error);
    if (!reply)
        fail_msg ("%s", error.text);
    return reply;
}

static void reply_free (Strata__ProposeReply *reply)
{
    strata__propose_reply__free_unpacked (reply, NULL);
}

static size_t propose_count (struct fixture *f, const char *name, uint32_t count, int64_t now)
{
    Strata__ProposeReply *reply = propose (f, name, count, now);
    size_t n = reply->n_selections;
    reply_free (reply);
    return n;
}

static void assert_refused (struct fixture *f, const char *name, uint32_t count, int64_t now,
                            Strata__RefusalCode wanted)
{
    struct strata_error error = { "" };
    Strata__RefusalCode code = -1;
    assert_null (select_propose (f->core, name, count, now, &code, &error));
    assert_int_equal (code, wanted);
    assert_true (*error.text);
}

/* -1: confirmed; else the refusal's code. */
static int confirm (struct fixture *f, const char *name, int64_t now)
{
    struct strata_error error = { "" };
    Strata__RefusalCode code;
    if (select_confirm (f->core, name, now, &code, &error) == 0)
        return -1;
    assert_true (*error.text);
    return (int)code;
}

static void assert_stat (struct fixture *f, uint64_t waiting, uint64_t proposed, uint64_t selected, uint64_t invalid)
{
    struct select_stat s;
    select_stat (f->core, &s);
    assert_int_equal (s.waiting, waiting);
    assert_int_equal (s.proposed, proposed);
    assert_int_equal (s.selected, selected);
    assert_int_equal (s.invalid, invalid);
    verify (f);
}

/* To the last bit. */
static void assert_same (const Strata__ProposeReply *a, const Strata__ProposeReply *b)
{
    assert_int_equal (a->n_selections, b->n_selections);
    for (size_t i = 0; i < a->n_selections; i++) {
        assert_string_equal (a->selections[i]->candidate, b->selections[i]->candidate);
        assert_string_equal (a->selections[i]->queue, b->selections[i]->queue);
        assert_string_equal (a->selections[i]->configuration, b->selections[i]->configuration);
        assert_true (a->selections[i]->rank == b->selections[i]->rank);
    }
    assert_string_equal (a->note, b->note);
}

/* ---- tests ---- */

static void a_proposal_keeps_to_the_quotas_and_names_queue_and_configuration (void **state)
{
    struct fixture f;
    fixture_init (&f, false);
    add_many (&f, "lipid-only", 50, 1);
    add_many (&f, "ras", 50, 2);
    add_many (&f, "ras-raf", 50, 3);
    add_invalid (&f, "bad/1");
    assert_stat (&f, 150, 0, 0, 1);
    Strata__ProposeReply *reply = propose (&f, "p1", 10, START);
    assert_int_equal (reply->n_selections, 10);
    assert_string_equal (reply->note, "");
    assert_int_equal (reply->lease_ms, 60000);
    unsigned counts[4] = { 0 };
    for (size_t i = 0; i < 10; i++)
        for (int q = 0; q < 4; q++)
            if (strcmp (reply->selections[i]->queue, queues[q].name) == 0) {
                assert_string_equal (reply->selections[i]->configuration, queues[q].configuration);
                counts[q]++;
            }
    reply_free (reply);
    assert_int_equal (counts[0], 1);
    assert_int_equal (counts[1], 5);
    assert_int_equal (counts[2], 4);
    assert_int_equal (counts[3], 0);
    assert_string_equal (f.last_event, "selection-proposed");
    assert_stat (&f, 140, 10, 0, 1);
    assert_int_equal (confirm (&f, "p1", START + SECOND), -1);
    assert_string_equal (f.last_event, "selection-confirmed");
    assert_stat (&f, 140, 0, 10, 1);
    fixture_fini (&f);
}

static void the_same_name_gets_the_same_answer_until_it_is_settled (void **state)
{
    struct fixture f;
    fixture_init (&f, false);
    add_many (&f, "ras", 50, 2);
    Strata__ProposeReply *first = propose (&f, "p1", 7, START);
    Strata__ProposeReply *other = propose (&f, "p2", 7, START);
    Strata__ProposeReply *again = propose (&f, "p1", 3, START + 20 * SECOND);
    assert_same (first, again);
    assert_int_equal (again->lease_ms, 40000);
    for (size_t i = 0; i < 7; i++)
        for (size_t j = 0; j < 7; j++)
            assert_string_not_equal (first->selections[i]->candidate, other->selections[j]->candidate);
    reply_free (first);
    reply_free (other);
    reply_free (again);
    assert_stat (&f, 36, 14, 0, 0);
    assert_int_equal (confirm (&f, "p1", START + 30 * SECOND), -1);
    assert_int_equal (confirm (&f, "p1", START + 30 * SECOND), -1);
    assert_int_equal (confirm (&f, "p1", START + 900 * SECOND), -1);    /* long after */
    assert_refused (&f, "p1", 7, START + 30 * SECOND, STRATA__REFUSAL_CODE__REFUSED_STALE);
    assert_stat (&f, 43, 0, 7, 0);
    fixture_fini (&f);
}

static void a_lease_that_ends_gives_the_candidates_back_and_makes_the_name_stale (void **state)
{
    struct fixture f;
    fixture_init (&f, false);
    add_many (&f, "ras", 30, 2);
    add_many (&f, "ras-raf", 30, 3);
    Strata__ProposeReply *first = propose (&f, "p1", 12, START);
    assert_int_equal (select_expire (f.core, START + 60 * SECOND - 1), 0);
    assert_stat (&f, 48, 12, 0, 0);
    assert_int_equal (select_expire (f.core, START + 60 * SECOND), 1);
    assert_string_equal (f.last_event, "selection-expired");
    assert_stat (&f, 60, 0, 0, 0);
    assert_int_equal (confirm (&f, "p1", START + 60 * SECOND), STRATA__REFUSAL_CODE__REFUSED_STALE);
    assert_refused (&f, "p1", 12, START + 61 * SECOND, STRATA__REFUSAL_CODE__REFUSED_STALE);
    /* They wait as if nothing had been: another name gets the same. */
    Strata__ProposeReply *second = propose (&f, "p2", 12, START + 61 * SECOND);
    assert_same (first, second);
    reply_free (first);
    reply_free (second);
    /* The outcome does not depend on whether a timer saw the end of the lease. */
    assert_int_equal (confirm (&f, "p2", START + 121 * SECOND), STRATA__REFUSAL_CODE__REFUSED_STALE);
    assert_stat (&f, 60, 0, 0, 0);
    fixture_fini (&f);
}

static void what_cannot_be_asked_is_refused (void **state)
{
    struct fixture f;
    fixture_init (&f, false);
    add_many (&f, "ras", 5, 2);
    char long_name[300];
    memset (long_name, 'x', sizeof (long_name));
    long_name[sizeof (long_name) - 1] = '\0';
    assert_refused (&f, "", 1, START, STRATA__REFUSAL_CODE__REFUSED_INVALID);
    assert_refused (&f, "a b", 1, START, STRATA__REFUSAL_CODE__REFUSED_INVALID);
    assert_refused (&f, long_name, 1, START, STRATA__REFUSAL_CODE__REFUSED_INVALID);
    assert_refused (&f, "p", 0, START, STRATA__REFUSAL_CODE__REFUSED_INVALID);
    assert_refused (&f, "p", SELECT_COUNT_MAX + 1, START, STRATA__REFUSAL_CODE__REFUSED_INVALID);
    assert_int_equal (confirm (&f, "", START), STRATA__REFUSAL_CODE__REFUSED_INVALID);
    assert_int_equal (confirm (&f, "never", START), STRATA__REFUSAL_CODE__REFUSED_NOT_FOUND);
    assert_stat (&f, 5, 0, 0, 0);
    assert_int_equal (propose_count (&f, "p", SELECT_COUNT_MAX, START), 5);
    fixture_fini (&f);
}

static void an_answer_that_is_short_says_why (void **state)
{
    struct fixture f;
    fixture_init (&f, false);
    Strata__ProposeReply *reply = propose (&f, "p", 3, START);
    assert_int_equal (reply->n_selections, 0);
    assert_string_equal (reply->note, "no candidates wait");
    reply_free (reply);
    add_invalid (&f, "bad/1");
    add_invalid (&f, "bad/2");
    reply = propose (&f, "p", 3, START);
    assert_int_equal (reply->n_selections, 0);
    assert_string_equal (reply->note, "only invalid candidates are left (2)");
    reply_free (reply);
    /* An empty answer is not kept: the name can still be used. */
    add_many (&f, "ras", 2, 5);
    reply = propose (&f, "p", 3, START);
    assert_int_equal (reply->n_selections, 2);
    assert_non_null (strstr (reply->note, "2 of 3"));
    reply_free (reply);
    assert_stat (&f, 0, 2, 0, 2);
    fixture_fini (&f);
}

static void every_candidate_that_cannot_be_ranked_is_counted_with_its_reason (void **state)
{
    static float good[] = { 1, 2, 3, 4 }, nan_[] = { 1, NAN, 3 }, inf[] = { 1, 2, -INFINITY }, huge[] = { 1e30f, 0, 0 };
    static const struct {
        const char *configuration;
        float *point;
        size_t n;
        const char *reason;     /* what came */
        const char *queue;      /* where it is kept */
        const char *text;       /* in the reason kept */
    } cases[] = {
        { "ras", good, 2, "", "monomer", "2 coordinates" },
        { "ras", good, 4, "", "monomer", "4 coordinates" },
        { "ras", NULL, 0, "", "monomer", "0 coordinates" },
        { "ras", nan_, 3, "", "monomer", "coordinate 2" },
        { "ras-raf", inf, 3, "", "dimer", "coordinate 3" },
        { "ras-raf", huge, 3, "", "dimer", "coordinate 1" },
        { "ras", good, 3, "too many RAS", "monomer", "too many RAS" },
        { "invalid", NULL, 0, "half inside", "invalid", "half inside" },
        { "invalid", good, 3, "", "invalid", "producer" },
        { "other", good, 3, "", "", "no queue of the campaign takes configuration 'other'" },
        { "", good, 3, "", "", "no queue" },
        { "\n", good, 3, "", "", "printable" },
    };
    struct fixture f;
    fixture_init (&f, false);
    size_t n = sizeof (cases) / sizeof (*cases);
    for (size_t i = 0; i < n; i++) {
        Strata__Candidate c = STRATA__CANDIDATE__INIT;
        char id[32];
        snprintf (id, sizeof (id), "case-%zu", i);
        c.id = id;
        c.configuration = (char *)cases[i].configuration;
        c.point = cases[i].point;
        c.n_point = cases[i].n;
        c.reason = (char *)cases[i].reason;
        assert_int_equal (select_add (f.core, &c, START), STRATA__SELECT_EVENT_KIND__SELECT_INVALID);
        struct shard_key key;
        shard_key (&key, "cand/%s", id);
        Strata__SelectCandidate *kept =
            (Strata__SelectCandidate *)shard_get_message (f.shard, &key, &strata__select_candidate__descriptor);
        assert_non_null (kept);
        assert_int_equal (kept->state, STRATA__CANDIDATE_STATE__CANDIDATE_INVALID);
        assert_string_equal (kept->queue, cases[i].queue);
        if (!strstr (kept->reason, cases[i].text))
            fail_msg ("case %zu: %s", i, kept->reason);
        strata__select_candidate__free_unpacked (kept, NULL);
    }
    assert_stat (&f, 0, 0, 0, n);
    struct select_stat stat;
    select_queue_stat (f.core, 3, &stat);
    assert_int_equal (stat.invalid, 2);
    select_queue_stat (f.core, 4, &stat);   /* those that no queue takes */
    assert_int_equal (stat.invalid, 3);
    assert_int_equal (propose_count (&f, "p", 10, START), 0);
    fixture_fini (&f);
}

static void a_configuration_goes_to_the_first_queue_whose_pattern_it_fits_else_to_other (void **state)
{
    struct campaign_queue with_other[] = {
        { "rest", "other", .4, 0 },
        { "monomer", "ras", .5, 0 },
        { "frames", "frame-? *-frame", .1, 0 },
        { "rest-2", "other", 0, 0 },
    };
    struct campaign saved = campaign;
    campaign.select.queues = with_other;
    campaign.select.queues_count = 4;
    struct fixture f;
    fixture_init (&f, false);
    float x[DIMENSIONS] = { 1, 2, 3 };
    add_point (&f, "a", "ras", x, DIMENSIONS, START);
    add_point (&f, "b", "other", x, DIMENSIONS, START);
    add_point (&f, "c", "something-new", x, DIMENSIONS, START);
    add_point (&f, "e", "frame-1", x, DIMENSIONS, START);
    add_point (&f, "g", "cg-frame", x, DIMENSIONS, START);
    add_invalid (&f, "d");
    struct select_stat stat;
    select_queue_stat (f.core, 0, &stat);
    assert_int_equal (stat.waiting, 2);
    assert_int_equal (stat.invalid, 0);
    select_queue_stat (f.core, 1, &stat);
    assert_int_equal (stat.waiting, 1);
    select_queue_stat (f.core, 2, &stat);
    assert_int_equal (stat.waiting, 2);
    assert_stat (&f, 5, 0, 0, 1);
    fixture_fini (&f);
    campaign = saved;
}

static void duplicates_and_unusable_ids_are_counted_and_change_nothing_else (void **state)
{
    struct fixture f;
    fixture_init (&f, true);
    float x[DIMENSIONS] = { 1, 2, 3 }, y[DIMENSIONS] = { 4, 5, 6 };
    assert_int_equal (add_point (&f, "a", "ras", x, 3, START), STRATA__SELECT_EVENT_KIND__SELECT_ADDED);
    assert_int_equal (add_point (&f, "a", "ras", x, 3, START), STRATA__SELECT_EVENT_KIND__SELECT_DUPLICATE);
    assert_int_equal (add_point (&f, "a", "ras-raf", y, 3, START), STRATA__SELECT_EVENT_KIND__SELECT_DUPLICATE);
    assert_int_equal (propose_count (&f, "p", 1, START), 1);
    assert_int_equal (add_point (&f, "a", "ras", x, 3, START), STRATA__SELECT_EVENT_KIND__SELECT_DUPLICATE);
    confirm (&f, "p", START);
    assert_int_equal (add_point (&f, "a", "ras", x, 3, START), STRATA__SELECT_EVENT_KIND__SELECT_DUPLICATE);
    add_invalid (&f, "bad");
    assert_int_equal (add_point (&f, "bad", "ras", x, 3, START), STRATA__SELECT_EVENT_KIND__SELECT_DUPLICATE);
    assert_int_equal (add_point (&f, "", "ras", x, 3, START), STRATA__SELECT_EVENT_KIND__SELECT_REFUSED);
    assert_int_equal (add_point (&f, "a\nb", "ras", x, 3, START), STRATA__SELECT_EVENT_KIND__SELECT_REFUSED);
    select_refuse (f.core, "record 7 of stage-0 is no candidate", START);
    assert_stat (&f, 0, 0, 1, 1);
    commit (&f);
    fixture_close (&f);
    fixture_open (&f);
    assert_int_equal (select_duplicates (f.core), 5);
    assert_int_equal (select_refused (f.core), 3);
    assert_stat (&f, 0, 0, 1, 1);
    fixture_fini (&f);
}

static void one_killed_and_opened_anew_answers_as_one_that_never_stopped (void **state)
{
    struct fixture steady, killed;
    fixture_init (&steady, false);
    fixture_init (&killed, true);
    struct fixture *both[] = { &steady, &killed };
    int64_t now = START;
    for (int round = 0; round < 12; round++, now += 25 * SECOND) {
        Strata__ProposeReply *replies[2];
        char name[32];
        snprintf (name, sizeof (name), "p%d", round);
        for (int i = 0; i < 2; i++) {
            random_state = 77 + (uint64_t)round;
            for (int n = 0; n < 60; n++) {
                char id[64];
                float x[DIMENSIONS];
                for (int d = 0; d < DIMENSIONS; d++)
                    x[d] = (float)(random_next () % 1000) / 10;
                snprintf (id, sizeof (id), "%d-%d", round, n);
                add_point (both[i], id, queues[random_next () % 3].configuration, x, DIMENSIONS, now);
            }
            replies[i] = propose (both[i], name, 9, now);
            if (round % 3)      /* every third proposal is left to its lease */
                assert_int_equal (confirm (both[i], name, now + SECOND), -1);
            commit (both[i]);
        }
        assert_same (replies[0], replies[1]);
        if (round % 3 == 0) {
            /* What is not committed is gone with the process; what is committed is there, the open proposal too. */
            propose_count (&killed, "lost", 5, now);
            fixture_close (&killed);
            fixture_open (&killed);
            assert_int_equal (select_open_proposals (killed.core), 1);
            verify (&killed);
            Strata__ProposeReply *again = propose (&killed, name, 9, now + SECOND);
            assert_same (replies[0], again);
            reply_free (again);
        }
        reply_free (replies[0]);
        reply_free (replies[1]);
    }
    struct select_stat a, b;
    select_stat (steady.core, &a);
    select_stat (killed.core, &b);
    assert_memory_equal (&a, &b, sizeof (a));
    assert_int_equal (a.selected, 8 * 9);
    fixture_fini (&steady);
    fixture_fini (&killed);
}

static void the_order_in_which_candidates_arrive_does_not_matter (void **state)
{
    struct fixture forward, backward;
    fixture_init (&forward, false);
    fixture_init (&backward, false);
    float x[200][DIMENSIONS];
    random_state = 5;
    for (int i = 0; i < 200; i++)
        for (int d = 0; d < DIMENSIONS; d++)
            x[i][d] = (float)(random_next () % 10);     /* many equal ranks */
    for (int i = 0; i < 200; i++) {
        char id[32];
        snprintf (id, sizeof (id), "c%d", i);
        add_point (&forward, id, queues[i % 3].configuration, x[i], DIMENSIONS, START);
        snprintf (id, sizeof (id), "c%d", 199 - i);
        add_point (&backward, id, queues[(199 - i) % 3].configuration, x[199 - i], DIMENSIONS, START);
    }
    Strata__ProposeReply *a = propose (&forward, "p", 120, START), *b = propose (&backward, "p", 120, START);
    assert_int_equal (a->n_selections, 120);
    assert_same (a, b);
    reply_free (a);
    reply_free (b);
    fixture_fini (&forward);
    fixture_fini (&backward);
}

static void a_queue_at_its_cap_discards_its_lowest_ranks_and_says_so (void **state)
{
    struct fixture f;
    fixture_init (&f, true);
    queues[1].cap = 100;
    add_many (&f, "ras", 50, 1);
    assert_int_equal (propose_count (&f, "p", 10, START), 10);
    assert_int_equal (confirm (&f, "p", START), -1);
    random_state = 9;
    for (int i = 0; i < 500; i++) {
        char id[32];
        float x[DIMENSIONS] = { (float)(random_next () % 1000), (float)(random_next () % 1000), 0 };
        snprintf (id, sizeof (id), "more-%d", i);
        add_point (&f, id, "ras", x, DIMENSIONS, START);
        struct select_stat s;
        select_stat (f.core, &s);
        assert_true (s.waiting <= 100);
        assert_int_equal (s.waiting + s.selected + s.discarded, 50u + (unsigned)i + 1);
    }
    assert_string_equal (f.last_event, "selection-discarded");
    verify (&f);
    struct select_stat before, after;
    select_stat (f.core, &before);
    assert_true (before.discarded >= 440);
    commit (&f);
    fixture_close (&f);
    fixture_open (&f);
    select_stat (f.core, &after);
    assert_memory_equal (&before, &after, sizeof (before));
    verify (&f);
    queues[1].cap = 0;
    fixture_fini (&f);
}

struct recount {
    uint64_t kinds[10];
    uint64_t last;
};

static int recount_event (uint64_t sequence, int64_t time_us, const void *record, size_t size, void *arg)
{
    struct recount *self = arg;
    Strata__SelectEvent *e = strata__select_event__unpack (NULL, size, record);
    assert_non_null (e);
    assert_int_equal (sequence, self->last + 1);
    assert_int_equal (time_us, e->time_us);
    assert_true (e->kind < 10);
    assert_true (e->kind == STRATA__SELECT_EVENT_KIND__SELECT_REFUSED || *e->candidate);
    assert_true (e->kind < STRATA__SELECT_EVENT_KIND__SELECT_PROPOSED
                 || e->kind == STRATA__SELECT_EVENT_KIND__SELECT_DISCARDED
                 || e->kind == STRATA__SELECT_EVENT_KIND__SELECT_INVALIDATED || *e->proposal);
    self->kinds[e->kind]++;
    self->last = sequence;
    strata__select_event__free_unpacked (e, NULL);
    return 0;
}

/* The history alone gives the same figures as the state. */
static void assert_history (struct fixture *f)
{
    struct recount r = { .last = 0 };
    stream_read (f->shard, SELECT_HISTORY, 0, 1000000, 1u << 30, recount_event, &r);
    struct select_stat s;
    select_stat (f->core, &s);
    uint64_t added = r.kinds[0], invalid = r.kinds[1], duplicate = r.kinds[2], refused = r.kinds[3];
    uint64_t proposed = r.kinds[4], confirmed = r.kinds[5], expired = r.kinds[6], discarded = r.kinds[7];
    uint64_t invalidated = r.kinds[8];
    assert_int_equal (s.invalid, invalid + invalidated);
    assert_int_equal (s.selected, confirmed);
    assert_int_equal (s.proposed, proposed - confirmed - expired);
    assert_int_equal (s.discarded, discarded);
    assert_int_equal (s.waiting, added - proposed + expired - discarded - invalidated);
    assert_int_equal (select_duplicates (f->core), duplicate);
    assert_int_equal (select_refused (f->core), refused);
}

static void any_sequence_of_inputs_keeps_each_candidate_in_exactly_one_state (void **state)
{
    static const char *configurations[] = { "lipid-only", "ras", "ras-raf", "invalid", "other" };
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct fixture f;
        fixture_init (&f, true);
        int64_t now = START;
        uint64_t x = seed * 7919 + 1;
        for (int step = 0; step < 400; step++) {
            random_state = x;
            x = random_next ();
            char name[32];
            snprintf (name, sizeof (name), "p%u", (unsigned)(random_next () % 25));
            Strata__RefusalCode code;
            struct strata_error error;
            uint64_t dice = random_next () % 100;
            if (dice < 60) {
                char id[32];
                float p[DIMENSIONS];
                snprintf (id, sizeof (id), "c%u", (unsigned)(random_next () % 400));
                for (int d = 0; d < DIMENSIONS; d++)
                    p[d] = random_next () % 40 ? (float)(random_next () % 20) : NAN;
                add_point (&f, id, configurations[random_next () % 5], p, DIMENSIONS, now);
            }
            else if (dice < 75) {
                uint32_t count = 1 + (uint32_t)(random_next () % 12);
                Strata__ProposeReply *r = select_propose (f.core, name, count, now, &code, &error);
                if (r)
                    reply_free (r);
            }
            else if (dice < 88)
                (void)select_confirm (f.core, name, now, &code, &error);
            else if (dice < 91)
                select_tick (f.core, now);
            else if (dice < 93) {
                char id[32], *ids[] = { id };
                Strata__Invalidate request = STRATA__INVALIDATE__INIT;
                Strata__InvalidateReply reply;
                snprintf (id, sizeof (id), "c%u", (unsigned)(random_next () % 400));
                request.candidates = ids;
                request.n_candidates = 1;
                request.reason = "on purpose";
                if (random_next () % 8 == 0) {
                    request.simulation = "macro";
                    request.index = random_next () % 40;
                }
                assert_int_equal (select_invalidate (f.core, &request, now, &reply, &code, &error), 0);
            }
            else if (dice < 94)
                queues[random_next () % 3].cap = 20 + (unsigned)(random_next () % 100);
            else if (dice < 97)
                commit (&f);
            else {              /* killed */
                fixture_close (&f);
                fixture_open (&f);
            }
            now += (int64_t)(random_next () % 10) * SECOND;
            verify (&f);
        }
        assert_history (&f);
        fixture_fini (&f);
        for (int q = 0; q < 3; q++)
            queues[q].cap = 0;
    }
}

static void a_campaign_that_does_not_fit_the_shard_is_refused (void **state)
{
    struct fixture f;
    struct strata_error error;
    fixture_init (&f, false);
    add_many (&f, "ras", 5, 2);
    select_close (&f.core);
    struct campaign changed = campaign;
    changed.patch.encoder.dimensions = DIMENSIONS + 1;
    assert_null (select_open (f.shard, &changed, &error));
    assert_non_null (strstr (error.text, "3 coordinates"));
    changed = campaign;
    changed.select.queues_count = 1;
    assert_null (select_open (f.shard, &changed, &error));
    assert_non_null (strstr (error.text, "monomer"));
    /* A proposal without its record: a damaged store is refused by name. */
    f.core = select_open (f.shard, &campaign, &error);
    assert_int_equal (propose_count (&f, "p", 2, START), 2);
    select_close (&f.core);
    shard_delete (f.shard, "prop/p", 6);
    assert_null (select_open (f.shard, &campaign, &error));
    assert_non_null (strstr (error.text, "damaged"));
    fixture_fini (&f);
}

static Strata__InvalidateReply invalidate (struct fixture *f, const char *id, const char *simulation, uint64_t index)
{
    struct strata_error error = { "" };
    Strata__RefusalCode code;
    Strata__InvalidateReply reply;
    Strata__Invalidate request = STRATA__INVALIDATE__INIT;
    char *ids[] = { (char *)id };
    request.n_candidates = id ? 1 : 0;
    request.candidates = ids;
    request.simulation = (char *)simulation;
    request.index = index;
    request.reason = "the grid was torn";
    if (select_invalidate (f->core, &request, START, &reply, &code, &error) < 0)
        fail_msg ("%s", error.text);
    return reply;
}

static void assert_state (struct fixture *f, const char *id, Strata__CandidateState state, const char *reason)
{
    struct shard_key key;
    shard_key (&key, "cand/%s", id);
    Strata__SelectCandidate *kept =
        (Strata__SelectCandidate *)shard_get_message (f->shard, &key, &strata__select_candidate__descriptor);
    assert_non_null (kept);
    assert_int_equal (kept->state, state);
    assert_string_equal (kept->reason, reason);
    strata__select_candidate__free_unpacked (kept, NULL);
}

static void an_invalidated_candidate_is_never_proposed_again (void **state)
{
    struct fixture f;
    fixture_init (&f, true);
    add_many (&f, "ras", 10, 3);
    Strata__ProposeReply *first = propose (&f, "p1", 1, START), *second = propose (&f, "p2", 1, START);
    char proposed[64], selected[64];
    snprintf (proposed, sizeof (proposed), "%s", first->selections[0]->candidate);
    snprintf (selected, sizeof (selected), "%s", second->selections[0]->candidate);
    reply_free (first);
    reply_free (second);
    assert_int_equal (confirm (&f, "p2", START), -1);
    const char *other = strcmp (proposed, "ras/1") && strcmp (selected, "ras/1") ? "ras/1" : "ras/2";
    Strata__InvalidateReply reply = invalidate (&f, other, "", 0);
    assert_int_equal (reply.invalidated, 1);
    assert_true (reply.complete);
    assert_int_equal (invalidate (&f, other, "", 0).unchanged, 1);
    assert_int_equal (invalidate (&f, "never-came", "", 0).unknown, 1);
    assert_int_equal (invalidate (&f, selected, "", 0).selected, 1);
    assert_int_equal (invalidate (&f, proposed, "", 0).proposed, 1);
    assert_state (&f, other, STRATA__CANDIDATE_STATE__CANDIDATE_INVALID, "the grid was torn");
    assert_state (&f, proposed, STRATA__CANDIDATE_STATE__CANDIDATE_PROPOSED, "the grid was torn");
    assert_stat (&f, 7, 1, 1, 1);
    commit (&f);
    fixture_close (&f);
    fixture_open (&f);
    assert_stat (&f, 7, 1, 1, 1);
    /* It comes back, and is invalid. */
    assert_int_equal (select_expire (f.core, START + 60 * SECOND), 1);
    assert_state (&f, proposed, STRATA__CANDIDATE_STATE__CANDIDATE_INVALID, "the grid was torn");
    assert_stat (&f, 7, 0, 1, 2);
    assert_int_equal (propose_count (&f, "p3", 10, START + 61 * SECOND), 7);
    fixture_fini (&f);
}

static void a_bad_snapshot_takes_all_its_candidates_out_those_to_come_too (void **state)
{
    struct fixture f;
    fixture_init (&f, true);
    /* More than are looked at in one turn; index = first coordinate. */
    float x[DIMENSIONS] = { 0, 1, 2 };
    char id[32];
    unsigned in_bad = 0;
    for (unsigned i = 0; i < 45000; i++) {
        x[0] = (float)(i % 1000);
        x[1] = (float)i;
        in_bad += i % 1000 == 7;
        snprintf (id, sizeof (id), "c%u", i);
        add_point (&f, id, "ras", x, DIMENSIONS, START);
        if (i % 1000 == 0)
            commit (&f);
    }
    Strata__InvalidateReply reply = invalidate (&f, NULL, "macro", 7);
    assert_false (reply.complete);
    assert_true (reply.invalidated < in_bad);
    /* Known from now on, also where the search has not been yet. */
    Strata__ProposeReply *picks = propose (&f, "p1", 3000, START);
    assert_int_equal (picks->n_selections, SELECT_TURN_MAX);
    assert_non_null (strstr (picks->note, "2000 of 3000"));
    for (size_t i = 0; i < picks->n_selections; i++)
        assert_int_not_equal (atoi (picks->selections[i]->candidate + 1) % 1000, 7);
    reply_free (picks);
    x[0] = 7;
    assert_int_equal (add_point (&f, "late", "ras", x, DIMENSIONS, START), STRATA__SELECT_EVENT_KIND__SELECT_INVALID);
    assert_state (&f, "late", STRATA__CANDIDATE_STATE__CANDIDATE_INVALID, "the grid was torn");
    commit (&f);
    fixture_close (&f);     /* killed; the search goes on where it was */
    fixture_open (&f);
    for (int turn = 0; turn < 2; turn++)
        assert_true (select_tick (f.core, START));
    assert_false (select_tick (f.core, START));
    assert_string_equal (f.last_event, "candidates-invalidated");
    reply = invalidate (&f, NULL, "macro", 7);
    assert_true (reply.complete);
    assert_int_equal (reply.invalidated + reply.unchanged, in_bad + 1);
    assert_stat (&f, 45000 - in_bad - 2000, 2000, 0, in_bad + 1);
    invalidate (&f, NULL, "macro", 8);
    assert_int_equal (add_point (&f, "late-2", "ras", (float[]){ 8, 0, 0 }, 3, START),
                      STRATA__SELECT_EVENT_KIND__SELECT_INVALID);
    fixture_fini (&f);
}

static void what_cannot_be_invalidated_weighed_or_imported_is_refused (void **state)
{
    struct fixture f;
    fixture_init (&f, false);
    struct strata_error error = { "" };
    Strata__RefusalCode code = -1;
    Strata__Invalidate request = STRATA__INVALIDATE__INIT;
    Strata__InvalidateReply reply;
    request.reason = "why";
    assert_int_equal (select_invalidate (f.core, &request, START, &reply, &code, &error), -1);
    assert_int_equal (code, STRATA__REFUSAL_CODE__REFUSED_INVALID);
    request.simulation = "macro";
    request.reason = "";
    assert_int_equal (select_invalidate (f.core, &request, START, &reply, &code, &error), -1);
    request.reason = "why";
    request.simulation = "mac\nro";
    assert_int_equal (select_invalidate (f.core, &request, START, &reply, &code, &error), -1);
    Strata__Weights weights = STRATA__WEIGHTS__INIT;
    Strata__WeightsReply *weights_reply;
    assert_int_equal (select_weights (f.core, &weights, &weights_reply, &code, &error), -1);
    weights.queue = "nobody";
    assert_int_equal (select_weights (f.core, &weights, &weights_reply, &code, &error), -1);
    assert_non_null (strstr (error.text, "nobody"));
    Strata__Import import = STRATA__IMPORT__INIT;
    Strata__ImportReply import_reply;
    import.queue = "monomer";
    assert_int_equal (select_import (f.core, &import, START, &import_reply, &code, &error), -1);
    import.queue = "";
    assert_int_equal (select_import (f.core, &import, START, &import_reply, &code, &error), -1);
    fixture_fini (&f);
}

static void weights_have_mean_one_and_come_in_pages_by_id (void **state)
{
    struct fixture f;
    fixture_init (&f, true);
    add_many (&f, "ras", 500, 4);
    assert_int_equal (propose_count (&f, "p1", 60, START), 60);
    assert_int_equal (confirm (&f, "p1", START), -1);
    double first[60];
    for (int round = 0; round < 2; round++) {
        double sum = 0;
        uint64_t owned = 0;
        size_t n = 0;
        char after[64] = "";
        for (bool more = true; more;) {
            struct strata_error error = { "" };
            Strata__RefusalCode code;
            Strata__Weights request = STRATA__WEIGHTS__INIT;
            Strata__WeightsReply *reply;
            request.queue = "monomer";
            request.after = after;
            request.max = 25;
            assert_int_equal (select_weights (f.core, &request, &reply, &code, &error), 0);
            assert_true (reply->ready);
            assert_int_equal (reply->selected, 60);
            assert_int_equal (reply->waiting, 440);
            for (size_t i = 0; i < reply->n_weights; i++) {
                const Strata__Weight *w = reply->weights[i];
                assert_true (strcmp (w->candidate, after) > 0);
                assert_true (fabs (w->weight - (1 + (double)w->owned) * 60 / 500) < 1e-12);
                snprintf (after, sizeof (after), "%s", w->candidate);
                sum += w->weight;
                owned += w->owned;
                assert_true (n < 60);
                if (round == 0)
                    first[n] = w->weight;
                assert_true (first[n++] == w->weight);
            }
            more = reply->more;
            strata__weights_reply__free_unpacked (reply, NULL);
        }
        assert_int_equal (n, 60);
        assert_int_equal (owned, 440);
        assert_true (fabs (sum / 60 - 1) < 1e-12);
        commit (&f);
        fixture_close (&f);
        fixture_open (&f);
    }
    fixture_fini (&f);
}

static void an_imported_start_counts_as_if_it_had_been_selected_here (void **state)
{
    struct fixture here, other;
    fixture_init (&here, true);
    fixture_init (&other, true);
    add_many (&here, "ras", 100, 4);
    Strata__ProposeReply *picked = propose (&here, "p1", 20, START);
    assert_int_equal (confirm (&here, "p1", START), -1);
    /* Its points and states are a start for the other one. */
    struct shard_iter it;
    Strata__Import request = STRATA__IMPORT__INIT;
    Strata__ImportReply reply;
    Strata__RefusalCode code;
    struct strata_error error;
    request.queue = "monomer";
    Strata__ImportedCandidate items[100], *pointers[100];
    Strata__SelectCandidate *kept[100];
    char ids[100][32];
    size_t n = 0;
    for (bool more = shard_iter_begin (here.shard, &it, "cand/", 5, NULL, 0); more; more = shard_iter_next (&it), n++) {
        kept[n] = strata__select_candidate__unpack (NULL, it.value_size, it.value);
        snprintf (ids[n], sizeof (ids[n]), "%.*s", (int)it.key_size - 5, (const char *)it.key + 5);
        strata__imported_candidate__init (&items[n]);
        items[n].id = ids[n];
        items[n].state = kept[n]->state;
        items[n].point = kept[n]->point;
        items[n].n_point = kept[n]->n_point;
        items[n].rank = kept[n]->rank;
        items[n].configuration = kept[n]->configuration;
        pointers[n] = &items[n];
    }
    shard_iter_end (&it);
    request.candidates = pointers;
    request.n_candidates = n;
    assert_int_equal (select_import (other.core, &request, START, &reply, &code, &error), 0);
    assert_int_equal (reply.added, 100);
    assert_int_equal (select_import (other.core, &request, START, &reply, &code, &error), 0);
    assert_int_equal (reply.duplicate, 100);
    items[0].id = "";
    items[1].id = "new";
    items[1].n_point = 2;
    items[2].id = "new-2";
    items[2].state = STRATA__CANDIDATE_STATE__CANDIDATE_PROPOSED;
    items[3].id = "new-3";
    items[3].state = (Strata__CandidateState)99;
    request.n_candidates = 4;
    assert_int_equal (select_import (other.core, &request, START, &reply, &code, &error), 0);
    assert_int_equal (reply.refused, 4);
    assert_stat (&other, 80, 0, 20, 0);
    commit (&other);
    fixture_close (&other);
    fixture_open (&other);
    assert_stat (&other, 80, 0, 20, 0);
    Strata__ProposeReply *a = propose (&here, "p2", 30, START), *b = propose (&other, "p2", 30, START);
    assert_same (a, b);
    reply_free (a);
    reply_free (b);
    reply_free (picked);
    while (n > 0)
        strata__select_candidate__free_unpacked (kept[--n], NULL);
    fixture_fini (&here);
    fixture_fini (&other);
}

static void each_sampler_survives_a_kill_and_picks_on_as_if_nothing_had_been (void **state)
{
    static double edges[] = { 30, 60 };
    static struct campaign_bins bins[] = {
        { .kind = "uniform", .min = 0, .max = 100, .bins = 7 },
        { .kind = "edges", .edges = edges, .edges_count = 2 },
        { .kind = "uniform", .min = 0, .max = 100, .bins = 1 },
    };
    static const char *const samplers[] = { "farthest-point", "binned", "random" };
    struct campaign saved = campaign;
    for (int s = 0; s < 3; s++) {
        campaign.select.sampler = (char *)samplers[s];
        campaign.select.bins = bins;
        campaign.select.bins_count = 3;
        campaign.select.novelty = .7;
        campaign.select.min_random = s == 0 ? 12 : 0;
        struct fixture steady, killed;
        fixture_init (&steady, false);
        fixture_init (&killed, true);
        for (int round = 0; round < 8; round++) {
            char name[32];
            snprintf (name, sizeof (name), "p%d", round);
            struct fixture *both[] = { &steady, &killed };
            Strata__ProposeReply *replies[2];
            for (int i = 0; i < 2; i++) {
                random_state = 5 + (uint64_t)round;
                for (int n = 0; n < 40; n++) {
                    char id[32];
                    float x[DIMENSIONS];
                    for (int d = 0; d < DIMENSIONS; d++)
                        x[d] = (float)(random_next () % 100);
                    snprintf (id, sizeof (id), "%d-%d", round, n);
                    add_point (both[i], id, queues[random_next () % 3].configuration, x, DIMENSIONS, START);
                }
                replies[i] = propose (both[i], name, 15, START);
                if (round % 3)
                    assert_int_equal (confirm (both[i], name, START), -1);
                else
                    select_expire (both[i]->core, START + 60 * SECOND);
                verify (both[i]);
            }
            assert_same (replies[0], replies[1]);
            reply_free (replies[0]);
            reply_free (replies[1]);
            commit (&killed);
            fixture_close (&killed);
            fixture_open (&killed);
        }
        fixture_fini (&steady);
        fixture_fini (&killed);
    }
    campaign = saved;
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_proposal_keeps_to_the_quotas_and_names_queue_and_configuration),
        cmocka_unit_test (the_same_name_gets_the_same_answer_until_it_is_settled),
        cmocka_unit_test (a_lease_that_ends_gives_the_candidates_back_and_makes_the_name_stale),
        cmocka_unit_test (what_cannot_be_asked_is_refused),
        cmocka_unit_test (an_answer_that_is_short_says_why),
        cmocka_unit_test (every_candidate_that_cannot_be_ranked_is_counted_with_its_reason),
        cmocka_unit_test (a_configuration_goes_to_the_first_queue_whose_pattern_it_fits_else_to_other),
        cmocka_unit_test (duplicates_and_unusable_ids_are_counted_and_change_nothing_else),
        cmocka_unit_test (one_killed_and_opened_anew_answers_as_one_that_never_stopped),
        cmocka_unit_test (the_order_in_which_candidates_arrive_does_not_matter),
        cmocka_unit_test (a_queue_at_its_cap_discards_its_lowest_ranks_and_says_so),
        cmocka_unit_test (any_sequence_of_inputs_keeps_each_candidate_in_exactly_one_state),
        cmocka_unit_test (an_invalidated_candidate_is_never_proposed_again),
        cmocka_unit_test (a_bad_snapshot_takes_all_its_candidates_out_those_to_come_too),
        cmocka_unit_test (what_cannot_be_invalidated_weighed_or_imported_is_refused),
        cmocka_unit_test (weights_have_mean_one_and_come_in_pages_by_id),
        cmocka_unit_test (an_imported_start_counts_as_if_it_had_been_selected_here),
        cmocka_unit_test (each_sampler_survives_a_kill_and_picks_on_as_if_nothing_had_been),
        cmocka_unit_test (a_campaign_that_does_not_fit_the_shard_is_refused),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
