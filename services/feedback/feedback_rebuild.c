/* feedback_rebuild.c - the shard made anew: every frame is summed again from staging's stream, in its order, and the rounds
 * that are on disk are decided again where they were: after as many frames as their report.json says. What a report says of
 * each state must come out again; else the frames reached feedback in another order than they can be had in now, and which
 * frames a round holds can't be told. */
#include "feedback_rebuild.h"

#include <dirent.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "feedback_core.h"
#include "patterns.h"
#include "rounds.h"

struct round {
    uint64_t number, frames, simulations;
    json_t *states;
};

struct summing {
    struct feedback *core;
    struct round rounds[ROUNDS_KEPT + 2]; /* rising */
    size_t count, decided;
    uint64_t frames;
};

static int by_number (const void *a, const void *b)
{
    const struct round *x = a, *y = b;
    return x->number < y->number ? -1 : x->number > y->number;
}

static int load_round (struct summing *self, const char *dir, uint64_t number, struct strata_error *error)
{
    char path[4400];
    snprintf (path, sizeof (path), "%s/round.%06" PRIu64 "/report.json", dir, number);
    json_t *root = json_load_file (path, 0, NULL), *states = json_object_get (root, "states");
    if (!json_is_object (states) || self->count == sizeof (self->rounds) / sizeof (self->rounds[0])) {
        json_decref (root);
        return strata_fail (error, "%s can't be read as a report, or there are more than %d of them", path, ROUNDS_KEPT + 1);
    }
    struct round *round = &self->rounds[self->count++];
    round->number = number;
    round->frames = (uint64_t)json_integer_value (json_object_get (root, "frames"));
    round->simulations = (uint64_t)json_integer_value (json_object_get (root, "simulations"));
    round->states = json_incref (states);
    json_decref (root);
    return 0;
}

static int load_rounds (struct summing *self, const char *workspace, struct strata_error *error)
{
    char dir[4300];
    int rc = 0;
    snprintf (dir, sizeof (dir), "%s/feedback/rdf", workspace);
    DIR *d = opendir (dir);
    for (struct dirent *e; d && rc == 0 && (e = readdir (d));) {
        uint64_t number;
        int end = 0;
        if (sscanf (e->d_name, "round.%" SCNu64 "%n", &number, &end) == 1 && e->d_name[end] == '\0')
            rc = load_round (self, dir, number, error);
    }
    if (d)
        closedir (d);
    if (self->count)
        qsort (self->rounds, self->count, sizeof (self->rounds[0]), by_number);
    return rc;
}

static int compare (const struct summing *self, const struct round *round, const struct campaign_feedback *config,
                    struct strata_error *error)
{
    const struct feedback_report *report = feedback_pending (self->core);
    bool same = report->round == round->number && report->frames == round->frames && report->simulations == round->simulations;
    for (unsigned i = 0; i < config->states_count && same; i++) {
        json_t *state = json_object_get (round->states, config->states[i]);
        same = (uint64_t)json_integer_value (json_object_get (state, "frames")) == report->state_frames[i]
               && (uint64_t)json_integer_value (json_object_get (state, "counts")) == report->state_counts[i];
    }
    return same ? 0
                : strata_fail (error, "round %" PRIu64 " on disk has other frames than the first %" PRIu64 " in staging: the order in "
                               "which they were summed can't be had back", round->number, round->frames);
}

/* Decides the rounds that stand after this many frames. */
static int decide (struct summing *self, const struct campaign_feedback *config, int64_t now_us, struct strata_error *error)
{
    while (self->decided < self->count && self->rounds[self->decided].frames == self->frames) {
        const struct round *round = &self->rounds[self->decided];
        do { /* rounds that are no longer on disk held no more than the first one that is */
            feedback_decide (self->core, now_us);
            if (feedback_pending (self->core)->round < round->number)
                feedback_written (self->core);
            else
                break;
        } while (true);
        if (compare (self, round, config, error) < 0)
            return -1;
        feedback_written (self->core);
        self->decided++;
    }
    return 0;
}

static int add (struct rebuild *rebuild, int64_t time_us, const void *record, size_t size, void *arg,
                struct strata_error *error)
{
    struct summing *self = arg;
    struct strata_error why;
    Strata__Histogram *frame = strata__histogram__unpack (NULL, size, record);
    enum feedback_outcome outcome = frame ? feedback_add (self->core, frame, &why)
                                          : feedback_add_broken (self->core, "staging", &why);
    uint64_t frames = frame ? frame->n_earlier + 1 : 0;
    if (frame)
        strata__histogram__free_unpacked (frame, NULL);
    if (outcome != FEEDBACK_ADDED)
        return 0;
    self->frames += frames;
    return decide (self, &rebuild_campaign (rebuild)->feedback, time_us, error);
}

static int take (struct rebuild *rebuild, int64_t time_us, const void *record, size_t size, void *arg,
                 struct strata_error *error)
{
    struct summing *self = arg;
    struct strata_error why;
    Strata__Uptake *uptake = strata__uptake__unpack (NULL, size, record);
    if (uptake)
        feedback_take (self->core, uptake, &why);
    else
        feedback_take_broken (self->core, "staging", &why);
    if (uptake)
        strata__uptake__free_unpacked (uptake, NULL);
    return 0;
}

/* Patterns are counted anew by the service itself: it reads the structures that staging keeps from the first one on. */
static int patterns_rebuild (struct rebuild *rebuild, struct strata_error *error)
{
    const struct campaign_patterns *config = &rebuild_campaign (rebuild)->feedback.patterns;
    char path[4400], name[64] = "";
    unsigned long long round = 0;
    if (!config->from)
        return 0;
    snprintf (path, sizeof (path), "%s/feedback/patterns/current", rebuild_workspace (rebuild));
    if (readlink (path, name, sizeof (name) - 1) > 0 && sscanf (name, "round.%llu", &round) != 1)
        return strata_fail (error, "%s points to %s, which is no round", path, name);
    struct patterns *core = patterns_new (rebuild_shard (rebuild), config, error);
    if (!core)
        return -1;
    patterns_go_on (core, round);
    patterns_free (&core);
    rebuild_say (rebuild, "patterns: workers look again at all structures that staging keeps; reports are numbered on from %llu", round);
    return 0;
}

int feedback_rebuild (struct rebuild *rebuild, struct strata_error *error)
{
    const struct campaign_feedback *config = &rebuild_campaign (rebuild)->feedback;
    struct summing self = { .core = NULL };
    uint64_t records = 0, uptakes = 0;
    if (config->shards > 1)
        return strata_fail (error, "feedback has %u shards: in which order their sums came together, and so which frames a round holds, stands "
                            "in these stores alone and can't be had back from staging; put a copy of the store back, or begin a new "
                            "workspace (its rounds stay in feedback/rdf)", config->shards);
    self.core = feedback_new (rebuild_shard (rebuild), config, 0, rebuild_now_us (), error);
    int rc = self.core ? load_rounds (&self, rebuild_workspace (rebuild), error) : -1;
    if (rc == 0)
        rc = rebuild_stream (rebuild, "stage", config->from, add, &self, &records, error);
    if (rc == 0 && self.decided < self.count)
        rc = strata_fail (error, "round %" PRIu64 " on disk has %" PRIu64 " frames, but staging holds %" PRIu64,
                          self.rounds[self.count - 1].number, self.rounds[self.count - 1].frames, self.frames);
    if (rc == 0)
        rc = rebuild_stream (rebuild, "stage", config->uptake, take, &self, &uptakes, error);
    if (rc == 0)
        rebuild_say (rebuild, "%" PRIu64 " frames of %" PRIu64 " records summed again from staging; %zu rounds on disk stand where "
                     "they stood, %" PRIu64 " uptakes", self.frames, records, self.count, uptakes);
    for (size_t i = 0; i < self.count; i++)
        json_decref (self.rounds[i].states);
    feedback_free (&self.core);
    return rc < 0 ? rc : patterns_rebuild (rebuild, error) < 0 ? -1 : rc;
}
