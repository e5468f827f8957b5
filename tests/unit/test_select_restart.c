/* The core of services/select on a shard: killed at any time it goes on as one that never stopped, whatever came before. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "select_world.h"
#include "store/stream.h"

/* Candidates of one round, in all queues; coordinates 0 to 99.9. */
static void add_round (struct fixture *f, int round, int count, int64_t now)
{
    for (int n = 0; n < count; n++) {
        char id[64];
        float x[DIMENSIONS];
        for (int d = 0; d < DIMENSIONS; d++)
            x[d] = (float)(random_next () % 1000) / 10;
        snprintf (id, sizeof (id), "%d-%d", round, n);
        add_point (f, id, queues[random_next () % 3].configuration, x, DIMENSIONS, now);
    }
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
            add_round (both[i], round, 60, now);
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
                add_round (both[i], round, 40, START);
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

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (one_killed_and_opened_anew_answers_as_one_that_never_stopped),
        cmocka_unit_test (each_sampler_survives_a_kill_and_picks_on_as_if_nothing_had_been),
        cmocka_unit_test (any_sequence_of_inputs_keeps_each_candidate_in_exactly_one_state),
        cmocka_unit_test (a_campaign_that_does_not_fit_the_shard_is_refused),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
