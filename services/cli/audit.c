/* audit.c - see audit.h: opens the stores in order and runs the checks. */
#include "audit_impl.h"
#include "audit_snapshot.h"

#include <errno.h>
#include <glob.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define AUDIT_ROUNDS 4             /* of a mesh that runs, while something looks wrong */
#define AUDIT_PAUSE_US 300000
#define AUDIT_DOUBTS_KEPT 1000000  /* sentences of each check, to be looked for in the next round */

static const struct {
    const char *name, *promise;
} checks[AUDIT_CHECKS] = {
    [AUDIT_STORES] = { "stores", "each store is whole, and nothing was given up" },
    [AUDIT_SNAPSHOTS] = { "snapshots", "each snapshot is cut exactly once" },
    [AUDIT_CANDIDATES] = { "candidates", "each candidate is in exactly one state, and came from the stream" },
    [AUDIT_PROPOSALS] = { "proposals", "proposals and candidates name each other, and the history tells the same" },
    [AUDIT_CHAINS] = { "chains", "each selection has exactly one chain of jobs, and each chain one selection" },
    [AUDIT_JOBS] = { "jobs", "each job stands once, each success is followed once" },
    [AUDIT_FRAMES] = { "frames", "each frame is in the sums exactly once, bin for bin" },
    [AUDIT_STRUCTURES] = { "structures", "each structure is counted once, or set aside" },
    [AUDIT_REPORTS] = { "reports", "each round is on disk as decided, uptakes are of written rounds" },
    [AUDIT_OBJECTS] = { "objects", "each object is there, whole" },
};

static void *must (void *pointer)
{
    if (!pointer) {
        fprintf (stderr, "strata: out of memory\n");
        exit (1);
    }
    return pointer;
}

void *audit_add (struct audit_table *table, size_t row_size)
{
    table->row_size = row_size;
    if (table->count == table->room) {
        table->room = table->room ? table->room * 2 : 256;
        table->rows = must (reallocarray (table->rows, table->room, row_size));
    }
    void *row = (char *)table->rows + table->count++ * row_size;
    memset (row, 0, row_size);
    return row;
}

static int by_id (const void *a, const void *b)
{
    return strcmp (*(char *const *)a, *(char *const *)b);
}

void audit_sort (struct audit_table *table)
{
    if (table->count)
        qsort (table->rows, table->count, table->row_size, by_id);
}

void *audit_find (const struct audit_table *table, const char *id)
{
    return table->count ? bsearch (&id, table->rows, table->count, table->row_size, by_id) : NULL;
}

char *audit_copy (const char *text)
{
    return must (strdup (text));
}

void audit_violation (struct audit *self, enum audit_id check, const char *fmt, ...)
{
    struct audit_check *c = &self->checks[check];
    char text[1024];
    va_list ap;
    va_start (ap, fmt);
    vsnprintf (text, sizeof (text), fmt, ap);
    va_end (ap);
    c->count++;
    self->violations++;
    if (c->kept < (self->live ? AUDIT_DOUBTS_KEPT : AUDIT_VIOLATIONS_KEPT)) {
        c->violations = must (reallocarray (c->violations, c->kept + 1, sizeof (*c->violations)));
        c->violations[c->kept++] = audit_copy (text);
    }
}

void audit_counted (struct audit *self, enum audit_id check, const char *fmt, ...)
{
    struct audit_check *c = &self->checks[check];
    size_t used = strlen (c->counted);
    va_list ap;
    va_start (ap, fmt);
    vsnprintf (c->counted + used, sizeof (c->counted) - used, fmt, ap);
    va_end (ap);
}

/* ---- the stores ---- */

static int open_store (const char *path, struct shard **shard, struct strata_error *error)
{
    if (access (path, F_OK) < 0 && errno == ENOENT)
        return 0; /* this service was never started */
    /* A store that is being written may move its files while it is opened: again. */
    for (int i = 0; i < 5; i++, usleep (100000))
        if ((*shard = shard_open_readonly (path, error)))
            return 0;
    return -1;
}

static int open_shard (struct audit_world *world, const char *name, unsigned number, struct shard **shard, struct strata_error *error)
{
    char path[4200];
    snprintf (path, sizeof (path), "%s/shards/%s-%u", world->stores, name, number);
    return open_store (path, shard, error);
}

static int open_service (struct audit_world *world, const char *name, struct shard **shard, struct strata_error *error)
{
    return open_shard (world, name, 0, shard, error);
}

static int open_stages (struct audit_world *world, struct strata_error *error)
{
    char pattern[4200];
    glob_t found;
    int rc = 0;
    snprintf (pattern, sizeof (pattern), "%s/shards/stage-*", world->stores);
    if (glob (pattern, 0, NULL, &found) != 0)
        return 0;
    for (size_t i = 0; i < found.gl_pathc && rc == 0 && world->stages_count < AUDIT_STAGES_MAX; i++) {
        struct shard *shard = NULL;
        rc = open_store (found.gl_pathv[i], &shard, error);
        if (!shard)
            continue;
        snprintf (world->stage_names[world->stages_count], 64, "%.63s", strrchr (found.gl_pathv[i], '/') + 1);
        struct shard_key key;
        shard_key (&key, "stage/handover");
        world->handovers[world->stages_count] =
            (Strata__Handover *)shard_get_message (shard, &key, &strata__handover__descriptor);
        world->stages[world->stages_count++] = shard;
    }
    globfree (&found);
    return rc;
}

static int open_all (struct audit_world *world, struct strata_error *error)
{
    if (open_service (world, "feedback", &world->feedback, error) < 0)
        return -1;
    /* After the one that reads from them. */
    for (unsigned i = 1; i < world->campaign->feedback.shards && i < AUDIT_SHARDS_MAX; i++)
        if (open_shard (world, "feedback", i, &world->collectors[i], error) < 0)
            return -1;
    if (open_service (world, "schedule", &world->schedule, error) < 0
        || open_service (world, "select", &world->select, error) < 0 || open_stages (world, error) < 0)
        return -1;
    return 0;
}

static void world_fini (struct audit_world *world)
{
    AUDIT_EACH (struct audit_candidate, c, world->candidates) {
        free (c->id);
        free (c->simulation);
    }
    AUDIT_EACH (struct audit_choice, c, world->choices) {
        free (c->id);
        free (c->simulation);
        free (c->proposal);
    }
    AUDIT_EACH (struct audit_job, j, world->jobs) {
        free (j->id);
        free (j->type);
        free (j->simulation);
        free (j->candidate);
        free (j->input);
        free (j->dir);
    }
    free (world->candidates.rows);
    free (world->choices.rows);
    free (world->jobs.rows);
    shard_close (&world->feedback);
    for (size_t i = 0; i < AUDIT_SHARDS_MAX; i++)
        shard_close (&world->collectors[i]);
    shard_close (&world->schedule);
    shard_close (&world->select);
    for (size_t i = 0; i < world->stages_count; i++) {
        shard_close (&world->stages[i]);
        if (world->handovers[i])
            strata__handover__free_unpacked (world->handovers[i], NULL);
    }
    free (world);
}

bool audit_is_handed_over (const struct audit_world *world, int slot, const char *producer, size_t a, size_t b)
{
    for (size_t i = 0; i < world->stages_count; i++) {
        const Strata__Handover *h = world->handovers[i];
        size_t other = i == a ? b : a;
        bool named = false;
        if (!h || (i != a && i != b) || strcmp (world->stage_names[other], h->target) != 0)
            continue;
        for (size_t k = 0; slot >= 0 && k < h->n_slots; k++)
            named |= h->slots[k] == (unsigned)slot;
        for (size_t k = 0; slot < 0 && k < h->n_producers; k++)
            named |= strcmp (h->producers[k], producer) == 0;
        if (named)
            return true;
    }
    return false;
}

/* Consumers before what they consume from, see audit.h. */
static int take_snapshot (struct audit_world *world, struct audit_snapshot *snapshot, struct strata_error *error)
{
    char pattern[4200], name[64];
    struct timespec ts;
    glob_t found;
    int rc = audit_snapshot_begin (snapshot, world->workspace, error);
    if (rc < 0)
        return -1;
    world->stores = snapshot->root;
    rc = audit_snapshot_add (snapshot, world->workspace, "feedback-0", error);
    for (unsigned i = 1; i < world->campaign->feedback.shards && i < AUDIT_SHARDS_MAX && rc == 0; i++) {
        snprintf (name, sizeof (name), "feedback-%u", i);
        rc = audit_snapshot_add (snapshot, world->workspace, name, error);
    }
    clock_gettime (CLOCK_REALTIME, &ts);
    world->schedule_seen_us = (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
    if (rc == 0)
        rc = audit_snapshot_add (snapshot, world->workspace, "schedule-0", error);
    if (rc == 0)
        rc = audit_snapshot_add (snapshot, world->workspace, "select-0", error);
    snprintf (pattern, sizeof (pattern), "%s/shards/stage-*", world->workspace);
    if (rc < 0 || glob (pattern, 0, NULL, &found) != 0)
        return rc;
    for (size_t i = 0; i < found.gl_pathc && rc == 0; i++)
        rc = audit_snapshot_add (snapshot, world->workspace, strrchr (found.gl_pathv[i], '/') + 1, error);
    globfree (&found);
    return rc;
}

static int recount (const char *workspace, const struct campaign *campaign, bool live, bool deep, struct audit *self,
                    struct strata_error *error)
{
    struct audit_snapshot snapshot = { .lock_fd = -1 };
    *self = (struct audit){ .live = live };
    for (size_t i = 0; i < AUDIT_CHECKS; i++) {
        self->checks[i].name = checks[i].name;
        self->checks[i].promise = checks[i].promise;
    }
    struct audit_world *world = must (calloc (1, sizeof (*world)));
    world->audit = self;
    world->campaign = campaign;
    world->workspace = world->stores = workspace;
    int rc = live ? take_snapshot (world, &snapshot, error) : 0;
    /* From a damaged store nothing is recounted. */
    bool whole = rc == 0 && audit_check_files (world);
    if (rc == 0 && whole)
        rc = open_all (world, error);
    if (rc == 0 && whole && (!deep || audit_verify_stores (world))) {
        audit_tell_losses (world);
        audit_load_stage (world);
        audit_load_select (world);
        audit_load_schedule (world);
        audit_check_snapshots (world);
        audit_check_candidates (world);
        audit_check_proposals (world);
        audit_check_chains (world);
        audit_check_jobs (world);
        audit_check_frames (world);
        audit_check_reports (world);
        audit_check_structures (world);
        audit_check_objects (world);
    }
    world_fini (world);
    if (live && snapshot.root[0])
        audit_snapshot_end (&snapshot);
    return rc;
}

static int by_text (const void *a, const void *b)
{
    return strcmp (*(char *const *)a, *(char *const *)b);
}

/* What was not found before too is no violation. */
static void keep_found_again (struct audit *self, struct audit *before)
{
    self->violations = 0;
    for (size_t i = 0; i < AUDIT_CHECKS; i++) {
        struct audit_check *now = &self->checks[i], *then = &before->checks[i];
        size_t kept = 0;
        if (then->kept)
            qsort (then->violations, then->kept, sizeof (*then->violations), by_text);
        for (size_t k = 0; k < now->kept; k++)
            if (then->kept && bsearch (&now->violations[k], then->violations, then->kept, sizeof (*then->violations), by_text))
                now->violations[kept++] = now->violations[k];
            else
                free (now->violations[k]);
        now->kept = kept;
        now->count = kept;
        self->violations += kept;
    }
}

/* No more than a person reads. */
static void shorten (struct audit *self)
{
    for (size_t i = 0; i < AUDIT_CHECKS; i++)
        while (self->checks[i].kept > AUDIT_VIOLATIONS_KEPT)
            free (self->checks[i].violations[--self->checks[i].kept]);
}

int audit_run (const char *workspace, const struct campaign *campaign, bool live, bool deep, struct audit *self,
               struct strata_error *error)
{
    int rc = recount (workspace, campaign, live, deep, self, error);
    for (unsigned round = 1; rc == 0 && live && self->violations && round < AUDIT_ROUNDS; round++) {
        struct audit before = *self;
        usleep (AUDIT_PAUSE_US);
        rc = recount (workspace, campaign, live, deep, self, error);
        keep_found_again (self, &before);
        audit_fini (&before);
    }
    shorten (self);
    return rc;
}

void audit_fini (struct audit *self)
{
    for (size_t i = 0; i < AUDIT_CHECKS; i++) {
        for (size_t k = 0; k < self->checks[i].kept; k++)
            free (self->checks[i].violations[k]);
        free (self->checks[i].violations);
    }
    *self = (struct audit){ .live = false };
}

bool audit_goal_reached (const char *workspace, const struct campaign *campaign)
{
    const struct campaign_goal *goal = &campaign->goal;
    struct strata_error error;
    struct shard_iter it;
    char key[300];
    uint64_t successes = 0, taken = 0;
    if (!goal->successes && !goal->uptakes)
        return false;
    struct audit_world *world = must (calloc (1, sizeof (*world)));
    world->workspace = world->stores = workspace;
    if (open_service (world, "schedule", &world->schedule, &error) == 0 && world->schedule && goal->job) {
        snprintf (key, sizeof (key), "succ/%s", goal->job);
        successes = shard_get_u64 (world->schedule, key, 0);
    }
    if (open_service (world, "feedback", &world->feedback, &error) == 0 && world->feedback) {
        for (bool more = shard_iter_begin (world->feedback, &it, "feedback/taken/", 15, NULL, 0); more;
             more = shard_iter_next (&it))
            taken++;
        shard_iter_end (&it);
    }
    world_fini (world);
    return successes >= goal->successes && taken >= goal->uptakes;
}
