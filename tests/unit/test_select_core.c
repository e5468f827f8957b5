/* The core of services/select on a shard: proposals, their leases and names, and the weights of what was selected. */
#include <math.h>
#include <string.h>

#include "select_world.h"

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

static void weights_have_mean_one_and_come_in_pages_by_id (void **state)
{
    struct fixture f;
    fixture_init (&f, true);
    add_many (&f, "ras", 500, 4);
    assert_int_equal (propose_count (&f, "p1", 60, START), 60);
    assert_int_equal (confirm (&f, "p1", START), -1);
    double first[60] = { 0 };
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

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_proposal_keeps_to_the_quotas_and_names_queue_and_configuration),
        cmocka_unit_test (the_same_name_gets_the_same_answer_until_it_is_settled),
        cmocka_unit_test (a_lease_that_ends_gives_the_candidates_back_and_makes_the_name_stale),
        cmocka_unit_test (what_cannot_be_asked_is_refused),
        cmocka_unit_test (an_answer_that_is_short_says_why),
        cmocka_unit_test (the_order_in_which_candidates_arrive_does_not_matter),
        cmocka_unit_test (weights_have_mean_one_and_come_in_pages_by_id),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
