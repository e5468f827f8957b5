/* audit_patterns.c - feedback of patterns: every structure that was read has one mark, and every mark is counted once. Keys:
 * services/feedback/patterns.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit_impl.h"
#include "feedback.pb-c.h"
#include "store/stream.h"

enum { WAITS = 1, COUNTED, ASIDE, MARKS }; /* enum patterns_mark */
enum { SEEN_FRAMES = 1, SEEN_WAITING = 2, SEEN_ASIDE = 4, SEEN_REPORTS = 6 };

struct recount {
    struct audit_world *world;
    const struct campaign_patterns *config;
    struct shard *shard;
    uint64_t cursor;                  /* of the stage that is read */
    uint64_t marks[MARKS], read, odd; /* odd: records without a mark, since they name no frame */
};

static uint64_t number_at (struct shard *shard, const struct shard_key *key, size_t i)
{
    void *value = NULL;
    size_t size = 0;
    shard_get (shard, key->data, key->size, &value, &size);
    uint64_t number = (i + 1) * 8 <= size ? shard_u64 ((uint8_t *)value + i * 8) : 0;
    free (value);
    return number;
}

static uint64_t total (struct recount *self, size_t i)
{
    struct shard_key key;
    shard_key (&key, "patterns/totals");
    return number_at (self->shard, &key, i);
}

static int take_record (uint64_t sequence, int64_t time_us, const void *record, size_t size, void *arg)
{
    struct recount *self = arg;
    struct shard_key key;
    if (sequence >= self->cursor)
        return 0;
    self->read++;
    Strata__Structure *s = strata__structure__unpack (NULL, size, record);
    if (!s || !producer_name_valid (s->simulation))
        self->odd++;
    else {
        shard_key (&key, "patterns/done/%s/", s->simulation);
        shard_key_u64 (&key, s->frame);
        if (!shard_has (self->shard, key.data, key.size))
            audit_violation (self->world->audit, AUDIT_STRUCTURES,
                             "frame %" PRIu64 " of %s, record %" PRIu64 " of stream %s, was read by feedback and has no mark", s->frame,
                             s->simulation, sequence, self->config->from);
    }
    if (s)
        strata__structure__free_unpacked (s, NULL);
    return 0;
}

static void count_marks (struct recount *self)
{
    static const char prefix[] = "patterns/done/", waiting_prefix[] = "patterns/waiting/";
    struct audit *audit = self->world->audit;
    struct shard_iter it;
    uint64_t waiting = 0;
    for (bool more = shard_iter_begin (self->shard, &it, prefix, sizeof (prefix) - 1, NULL, 0); more; more = shard_iter_next (&it)) {
        uint64_t mark = it.value_size >= 8 ? shard_u64 (it.value) : 0;
        self->marks[mark < MARKS ? mark : 0]++;
    }
    shard_iter_end (&it);
    for (bool more = shard_iter_begin (self->shard, &it, waiting_prefix, sizeof (waiting_prefix) - 1, NULL, 0); more;
         more = shard_iter_next (&it))
        waiting++;
    shard_iter_end (&it);
    if (self->marks[0])
        audit_violation (audit, AUDIT_STRUCTURES, "%" PRIu64 " marks of structures say nothing", self->marks[0]);
    if (self->marks[COUNTED] != total (self, SEEN_FRAMES))
        audit_violation (audit, AUDIT_STRUCTURES, "feedback says it has counted %" PRIu64 " structures, but %" PRIu64 " are marked so",
                         total (self, SEEN_FRAMES), self->marks[COUNTED]);
    if (self->marks[WAITS] != waiting || waiting != total (self, SEEN_WAITING))
        audit_violation (audit, AUDIT_STRUCTURES,
                         "feedback says that %" PRIu64 " structures wait; %" PRIu64 " are marked so, and %" PRIu64 " are kept",
                         total (self, SEEN_WAITING), self->marks[WAITS], waiting);
    if (self->marks[ASIDE] > total (self, SEEN_ASIDE))
        audit_violation (audit, AUDIT_STRUCTURES, "feedback says it has set %" PRIu64 " structures aside, but %" PRIu64 " are marked so",
                         total (self, SEEN_ASIDE), self->marks[ASIDE]);
}

/* The frames of a region's patterns, and of the most common one. */
static uint64_t count_patterns (struct recount *self, const char *protein, const char *region, uint64_t *most)
{
    struct shard_key key;
    struct shard_iter it;
    uint64_t sum = 0;
    *most = 0;
    shard_key (&key, "patterns/count/%s/%s/", protein, region);
    for (bool more = shard_iter_begin (self->shard, &it, key.data, key.size, NULL, 0); more; more = shard_iter_next (&it)) {
        uint64_t frames = it.value_size >= 8 ? shard_u64 (it.value) : 0;
        sum += frames;
        *most = frames > *most ? frames : *most;
    }
    shard_iter_end (&it);
    return sum;
}

static uint64_t check_protein (struct recount *self, unsigned protein)
{
    struct audit *audit = self->world->audit;
    const char *name = self->config->proteins[protein];
    struct shard_key key;
    shard_key (&key, "patterns/protein/");
    shard_key_u64 (&key, protein);
    uint64_t frames = number_at (self->shard, &key, 0);
    for (unsigned r = 0; r < self->config->regions_count; r++) {
        uint64_t most, sum = count_patterns (self, name, self->config->regions[r].name, &most);
        shard_key (&key, "patterns/region/");
        shard_key_u64 (&key, protein);
        shard_key_u64 (&key, r);
        uint64_t whole = number_at (self->shard, &key, 0), broken = number_at (self->shard, &key, 1);
        if (whole + broken != frames || sum != whole || most != number_at (self->shard, &key, 2))
            audit_violation (audit, AUDIT_STRUCTURES,
                             "protein %s, region %s: %" PRIu64 " frames, of them %" PRIu64 " with a pattern and %" PRIu64
                             " without; the patterns' counts add up to %" PRIu64 ", the most common has %" PRIu64 " and should have %" PRIu64,
                             name, self->config->regions[r].name, frames, whole, broken, sum, number_at (self->shard, &key, 2), most);
    }
    return frames;
}

void audit_check_structures (struct audit_world *world)
{
    struct recount self = { .world = world, .config = &world->campaign->feedback.patterns, .shard = world->feedback };
    uint64_t appended = 0, frames = 0;
    if (!self.config->from || !self.shard) {
        audit_counted (world->audit, AUDIT_STRUCTURES, "there is no feedback of patterns");
        return;
    }
    for (size_t i = 0; i < world->stages_count; i++) {
        struct stream_stat stat;
        stream_stat (world->stages[i], self.config->from, &stat);
        self.cursor = cursor_get (self.shard, world->stage_names[i], self.config->from);
        appended += stat.next - 1;
        stream_read (world->stages[i], self.config->from, 0, SIZE_MAX, SIZE_MAX, take_record, &self);
    }
    count_marks (&self);
    for (unsigned p = 0; p < self.config->proteins_count; p++)
        frames += check_protein (&self, p);
    if (frames != self.marks[COUNTED])
        audit_violation (world->audit, AUDIT_STRUCTURES, "%" PRIu64 " structures are marked as counted; the proteins have %" PRIu64,
                         self.marks[COUNTED], frames);
    audit_counted (world->audit, AUDIT_STRUCTURES,
                   "%" PRIu64 " records of stream %s, %" PRIu64 " of them read and recounted; %" PRIu64 " structures counted, %" PRIu64
                   " wait, %" PRIu64 " set aside; %" PRIu64 " reports",
                   appended, self.config->from, self.read, self.marks[COUNTED], self.marks[WAITS], self.marks[ASIDE] + self.odd,
                   total (&self, SEEN_REPORTS));
}
