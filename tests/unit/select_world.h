/* select_world.h - a core of services/select on a shard of its own, for the tests of it: what comes in, what is asked, and
 * what must hold of the answers. */
#ifndef SELECT_WORLD_H
#define SELECT_WORLD_H

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../services/select/select_core.h"
#include "random.h"
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

/* ---- a core on a shard in memory or in a folder of its own ---- */

struct fixture {
    char dir[64];               /* "" in memory */
    struct shard *shard;
    struct select_core *core;
    unsigned events;            /* seen since the last look */
    char last_event[64];
};

static inline void note_event (const char *kind, const char *subject, const char *text, void *arg)
{
    struct fixture *f = arg;
    assert_true (*subject && *text);
    f->events++;
    snprintf (f->last_event, sizeof (f->last_event), "%s", kind);
}

static inline void fixture_open (struct fixture *f)
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

static inline void fixture_init (struct fixture *f, bool on_disk)
{
    *f = (struct fixture){ .dir = "" };
    if (on_disk)
        assert_true (scratch_new (f->dir, sizeof (f->dir)));
    fixture_open (f);
}

static inline void fixture_close (struct fixture *f)
{
    select_close (&f->core);
    shard_close (&f->shard);
}

static inline void fixture_fini (struct fixture *f)
{
    fixture_close (f);
    if (*f->dir) {
        char command[128];
        snprintf (command, sizeof (command), "rm -rf '%s'", f->dir);
        assert_int_equal (system (command), 0);
    }
}

static inline void verify (struct fixture *f)
{
    struct strata_error error;
    if (select_verify (f->core, f->shard, &campaign, &error) < 0)
        fail_msg ("%s", error.text);
}

static inline void commit (struct fixture *f)
{
    struct strata_error error;
    if (shard_commit (f->shard, &error) < 0)
        fail_msg ("%s", error.text);
}

static inline Strata__SelectEventKind add_point (struct fixture *f, const char *id, const char *configuration, float *point,
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

static inline void add_many (struct fixture *f, const char *configuration, unsigned count, uint64_t seed)
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

static inline void add_invalid (struct fixture *f, const char *id)
{
    Strata__Candidate c = STRATA__CANDIDATE__INIT;
    c.id = (char *)id;
    c.configuration = "invalid";
    c.reason = "a complex lies only half inside";
    assert_int_equal (select_add (f->core, &c, START), STRATA__SELECT_EVENT_KIND__SELECT_INVALID);
}

static inline Strata__ProposeReply *propose (struct fixture *f, const char *name, uint32_t count, int64_t now)
{
    struct strata_error error = { "" };
    Strata__RefusalCode code;
    Strata__ProposeReply *reply = select_propose (f->core, name, count, now, &code, &error);
    if (!reply)
        fail_msg ("%s", error.text);
    return reply;
}

static inline void reply_free (Strata__ProposeReply *reply)
{
    strata__propose_reply__free_unpacked (reply, NULL);
}

static inline size_t propose_count (struct fixture *f, const char *name, uint32_t count, int64_t now)
{
    Strata__ProposeReply *reply = propose (f, name, count, now);
    size_t n = reply->n_selections;
    reply_free (reply);
    return n;
}

static inline void assert_refused (struct fixture *f, const char *name, uint32_t count, int64_t now,
                            Strata__RefusalCode wanted)
{
    struct strata_error error = { "" };
    Strata__RefusalCode code = -1;
    assert_null (select_propose (f->core, name, count, now, &code, &error));
    assert_int_equal (code, wanted);
    assert_true (*error.text);
}

/* -1: confirmed; else the refusal's code. */
static inline int confirm (struct fixture *f, const char *name, int64_t now)
{
    struct strata_error error = { "" };
    Strata__RefusalCode code;
    if (select_confirm (f->core, name, now, &code, &error) == 0)
        return -1;
    assert_true (*error.text);
    return (int)code;
}

static inline void assert_stat (struct fixture *f, uint64_t waiting, uint64_t proposed, uint64_t selected, uint64_t invalid)
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
static inline void assert_same (const Strata__ProposeReply *a, const Strata__ProposeReply *b)
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

#endif
