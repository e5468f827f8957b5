/* audit_stage.c - the queue of snapshots against the stream of candidates: each snapshot gives one batch, once. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit_impl.h"
#include "patch.pb-c.h"
#include "store/queue.h"
#include "store/stream.h"

/* A snapshot as it stands in one place: a batch of candidates, or a record of the queue. */
struct sighting {
    char *id; /* "<simulation>/<index>" */
    const char *place;
    uint64_t sequence;
};

struct loading {
    struct audit_world *world;
    size_t stage;
};

static int load_candidate (uint64_t sequence, int64_t time_us, const void *record, size_t size, void *arg)
{
    struct loading *loading = arg;
    Strata__Candidate *candidate = strata__candidate__unpack (NULL, size, record);
    if (!candidate)
        return 0; /* select counts it as refused */
    struct audit_candidate *row = audit_add (&loading->world->candidates, sizeof (*row));
    row->id = audit_copy (candidate->id);
    row->simulation = audit_copy (candidate->simulation);
    row->index = candidate->index;
    row->sequence = sequence;
    row->stage = loading->stage;
    row->invalid = strcmp (candidate->configuration, "invalid") == 0;
    strata__candidate__free_unpacked (candidate, NULL);
    return 0;
}

void audit_load_stage (struct audit_world *world)
{
    for (size_t i = 0; i < world->stages_count; i++) {
        struct loading loading = { world, i };
        stream_read (world->stages[i], world->campaign->select.from, 0, SIZE_MAX, SIZE_MAX, load_candidate, &loading);
    }
}

static void see (struct audit_table *seen, const char *simulation, uint64_t index, const char *place, uint64_t sequence)
{
    char id[512];
    struct sighting *row = audit_add (seen, sizeof (*row));
    snprintf (id, sizeof (id), "%.400s/%" PRIu64, simulation, index);
    row->id = audit_copy (id);
    row->place = place;
    row->sequence = sequence;
}

/* A batch is a run of records of one snapshot in one stream: they were appended with the acknowledgement. */
static void see_batches (struct audit_world *world, struct audit_table *seen)
{
    const struct audit_candidate *last = NULL;
    AUDIT_EACH (struct audit_candidate, c, world->candidates) {
        if (!last || last->stage != c->stage || last->index != c->index
            || strcmp (last->simulation, c->simulation) != 0)
            see (seen, c->simulation, c->index, "cut", c->sequence);
        last = c;
    }
}

struct queue_look {
    struct audit_world *world;
    struct audit_table *seen;
    struct shard *shard;
    const char *place;
    uint64_t count;
};

static int see_record (uint64_t sequence, int64_t time_us, const void *record, size_t size, void *arg)
{
    struct queue_look *look = arg;
    Strata__Snapshot *snapshot = strata__snapshot__unpack (NULL, size, record);
    if (snapshot) {
        see (look->seen, snapshot->simulation, snapshot->index, look->place, sequence);
        strata__snapshot__free_unpacked (snapshot, NULL);
    }
    return 0;
}

static int count_record (uint64_t sequence, int64_t time_us, const void *record, size_t size, void *arg)
{
    struct queue_look *look = arg;
    look->count++;
    return see_record (sequence, time_us, record, size, arg);
}

static uint64_t see_run (struct queue_look *look, const char *queue, uint64_t first, uint64_t count)
{
    look->count = 0;
    if (count)
        stream_read (look->shard, queue, first, count, SIZE_MAX, count_record, look);
    return look->count;
}

/* Those that were never handed out: from the head on, the sixth number of "Q/<queue>". */
static uint64_t see_fresh (struct audit_world *world, struct audit_table *seen, struct shard *shard)
{
    const char *queue = world->campaign->patch.snapshots;
    struct queue_look look = { world, seen, shard, "waiting", 0 };
    struct stream_stat stream;
    struct shard_key key;
    void *value;
    size_t size;
    stream_stat (shard, queue, &stream);
    shard_key (&key, "Q/%s", queue);
    if (!shard_get (shard, key.data, key.size, &value, &size))
        return 0;
    uint64_t head = size >= 64 ? shard_u64 ((uint8_t *)value + 40) : stream.next;
    free (value);
    return see_run (&look, queue, head, stream.next > head ? stream.next - head : 0);
}

/* Records of one state of the queue: keys as at the top of store/queue.c. What is handed out and given back together has one
 * key, and the count stands last in its value. */
static uint64_t see_queue (struct audit_world *world, struct audit_table *seen, struct shard *shard, char kind,
                           const char *place)
{
    const char *queue = world->campaign->patch.snapshots;
    struct queue_look look = { world, seen, shard, place, 0 };
    uint64_t total = 0;
    struct shard_key prefix;
    struct shard_iter it;
    shard_key (&prefix, "q/%s/%c/", queue, kind);
    for (bool more = shard_iter_begin (shard, &it, prefix.data, prefix.size, NULL, 0); more;
         more = shard_iter_next (&it)) {
        if (it.key_size != prefix.size + 8)
            continue;
        uint64_t sequence = shard_u64 (it.key + prefix.size), count = 1;
        if ((kind == 'l' && it.value_size == 32) || (kind == 'w' && it.value_size == 16))
            count = shard_u64 (it.value + it.value_size - 8);
        if (kind == 'y')
            see_record (sequence, 0, it.value, it.value_size, &look);
        total += kind == 'y' || kind == 'x' ? 1 : see_run (&look, queue, sequence, count ? count : 1);
    }
    shard_iter_end (&it);
    return total;
}

static uint64_t check_queue (struct audit_world *world, struct audit_table *seen, size_t stage)
{
    struct shard *shard = world->stages[stage];
    const char *queue = world->campaign->patch.snapshots, *name = world->stage_names[stage];
    struct audit_summary *sum = &world->audit->summary;
    struct queue_stat stat;
    struct stream_stat stream;
    queue_stat (shard, queue, &stat);
    stream_stat (shard, queue, &stream);
    uint64_t waiting = see_queue (world, seen, shard, 'w', "waiting") + see_fresh (world, seen, shard),
             leased = see_queue (world, seen, shard, 'l', "leased"),
             aside = see_queue (world, seen, shard, 'x', "aside");
    see_queue (world, seen, shard, 'y', "aside");
    if (waiting != stat.waiting || leased != stat.leased || aside != stat.aside)
        audit_violation (world->audit, AUDIT_SNAPSHOTS,
                         "queue %s of %s has %" PRIu64 " waiting, %" PRIu64 " leased, %" PRIu64
                         " aside; its counters say %" PRIu64 ", %" PRIu64 ", %" PRIu64,
                         queue, name, waiting, leased, aside, stat.waiting, stat.leased, stat.aside);
    if (waiting + leased + aside + stat.done != stream.next - 1)
        audit_violation (world->audit, AUDIT_SNAPSHOTS,
                         "queue %s of %s took %" PRIu64 " snapshots, but %" PRIu64 " wait or are leased, %" PRIu64
                         " are aside and %" PRIu64 " done",
                         queue, name, stream.next - 1, waiting + leased, aside, stat.done);
    sum->snapshots_cut += stat.done;
    sum->snapshots_waiting += waiting + leased;
    sum->snapshots_aside += aside;
    return stat.done;
}

struct producer {
    char *id; /* "<stream>/<producer>" */
    size_t stage;
};

struct producers {
    struct audit_table table;
    size_t stage;
};

static int see_producer (const char *stream, const char *producer, uint64_t last, void *arg)
{
    struct producers *producers = arg;
    char id[512];
    struct producer *row = audit_add (&producers->table, sizeof (*row));
    snprintf (id, sizeof (id), "%s/%s", stream, producer);
    row->id = audit_copy (id);
    row->stage = producers->stage;
    return 0;
}

/* A producer's records of one stream stand at one stage: each stage drops repeats by what it has itself. */
static void check_producers (struct audit_world *world)
{
    struct producers producers = { .stage = 0 };
    const struct producer *last = NULL;
    for (size_t i = 0; i < world->stages_count; i++) {
        producers.stage = i;
        stream_producers (world->stages[i], see_producer, &producers);
    }
    audit_sort (&producers.table);
    AUDIT_EACH (struct producer, p, producers.table) {
        const char *slash = strchr (p->id, '/');
        if (last && strcmp (last->id, p->id) == 0 && !audit_is_handed_over (world, -1, slash + 1, last->stage, p->stage))
            audit_violation (world->audit, AUDIT_SNAPSHOTS, "records of %s on stream %.*s were kept by %s and by %s",
                             slash + 1, (int)(slash - p->id), p->id, world->stage_names[last->stage],
                             world->stage_names[p->stage]);
        last = p;
    }
    audit_counted (world->audit, AUDIT_SNAPSHOTS, "; %zu producers of records at %zu stages, each at one",
                   producers.table.count, world->stages_count);
    AUDIT_EACH (struct producer, p, producers.table)
        free (p->id);
    free (producers.table.rows);
}

void audit_check_snapshots (struct audit_world *world)
{
    struct audit_table seen = { .rows = NULL };
    uint64_t done = 0, batches = 0, trimmed = 0;
    see_batches (world, &seen);
    for (size_t i = 0; i < world->stages_count; i++) {
        struct stream_stat stat;
        stream_stat (world->stages[i], world->campaign->select.from, &stat);
        trimmed += stat.first - 1;
        done += check_queue (world, &seen, i);
    }
    audit_sort (&seen);
    const struct sighting *last = NULL;
    AUDIT_EACH (struct sighting, s, seen) {
        bool again = last && strcmp (last->id, s->id) == 0;
        if (again && strcmp (s->place, "cut") == 0 && strcmp (last->place, "cut") == 0)
            audit_violation (world->audit, AUDIT_SNAPSHOTS,
                             "snapshot %s was cut twice: batches at records %" PRIu64 " and %" PRIu64 " of stream %s",
                             s->id, last->sequence, s->sequence, world->campaign->select.from);
        else if (again)
            audit_violation (world->audit, AUDIT_SNAPSHOTS,
                             "snapshot %s stands twice: %s (record %" PRIu64 ") and %s (record %" PRIu64 ")", s->id,
                             last->place, last->sequence, s->place, s->sequence);
        batches += strcmp (s->place, "cut") == 0 && !again;
        last = s;
    }
    AUDIT_EACH (struct sighting, s, seen)
        free (s->id);
    free (seen.rows);
    bool every = world->campaign->patch.lipid_only > 0; /* then no snapshot gives an empty batch */
    if (!trimmed && (batches > done || (every && batches < done)))
        audit_violation (world->audit, AUDIT_SNAPSHOTS,
                         "%" PRIu64 " snapshots are done, but candidates of %" PRIu64 " stand in stream %s", done,
                         batches, world->campaign->select.from);
    const struct audit_summary *sum = &world->audit->summary;
    audit_counted (world->audit, AUDIT_SNAPSHOTS,
                   "%" PRIu64 " done, %" PRIu64 " batches of candidates, %" PRIu64 " waiting or leased, %" PRIu64
                   " aside",
                   done, batches, sum->snapshots_waiting, sum->snapshots_aside);
    if (trimmed)
        audit_counted (world->audit, AUDIT_SNAPSHOTS,
                       "; %" PRIu64 " consumed candidates are trimmed: their batches are not recounted", trimmed);
    check_producers (world);
}
