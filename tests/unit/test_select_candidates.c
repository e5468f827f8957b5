/* The core of services/select on a shard: what becomes of each candidate that comes, is invalidated or imported. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "select_world.h"

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
    const char *other = strcmp (proposed, "ras/1") != 0 && strcmp (selected, "ras/1") != 0 ? "ras/1" : "ras/2";
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
    assert_stat (&other, 50, 30, 20, 0);
    assert_int_equal (confirm (&other, "p2", START), -1);
    assert_stat (&other, 50, 0, 50, 0);
    reply_free (a);
    reply_free (b);
    reply_free (picked);
    while (n > 0)
        strata__select_candidate__free_unpacked (kept[--n], NULL);
    fixture_fini (&here);
    fixture_fini (&other);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (every_candidate_that_cannot_be_ranked_is_counted_with_its_reason),
        cmocka_unit_test (a_configuration_goes_to_the_first_queue_whose_pattern_it_fits_else_to_other),
        cmocka_unit_test (duplicates_and_unusable_ids_are_counted_and_change_nothing_else),
        cmocka_unit_test (a_queue_at_its_cap_discards_its_lowest_ranks_and_says_so),
        cmocka_unit_test (an_invalidated_candidate_is_never_proposed_again),
        cmocka_unit_test (a_bad_snapshot_takes_all_its_candidates_out_those_to_come_too),
        cmocka_unit_test (what_cannot_be_invalidated_weighed_or_imported_is_refused),
        cmocka_unit_test (an_imported_start_counts_as_if_it_had_been_selected_here),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
