/* handover.c - a stage that was taken away (`strata scale stage N`) hands on what it keeps, and goes.
 *
 * A stage whose number is not below the wanted one retires: it claims nothing new, and its card says so. What it keeps goes on
 * in items - producers, or slots with their objects - one after the other:
 *
 *   1 the item is stored (`stage/handover`); from then on its producers' records are taken from nobody, its objects not changed
 *   2 the next stage gets it: the producers' last sequences; the objects, their generations, the origins of adopted ones
 *   3 when all of that is on its disk, the claims are passed by rename: requests go there from now on
 *   4 of slots: the next stage is told, and lists them; until it has answered they are listed here too
 *   5 marks or objects, and the item, are taken out
 *
 * A crash of either side at any step goes on at 2 or, for what is passed already, at 4: the claim says which. What comes
 * twice changes nothing (takeover.c). An item that was begun is always ended, also when the stage is wanted again meanwhile.
 *
 * Streams and queues stay: they are served until every consumer has read to the end and no record of a queue waits or is
 * leased. Then claims/retired says that nothing of this stage is missed, and the process ends. The store stays in shards/:
 * `strata audit` recounts from it, and a stage of that number that is wanted again goes on with it.
 *
 * A stage hands on to those below the wanted number alone; should such a one be taken away too, it waits until those above
 * it have gone: nothing is handed to one that is not there any more.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/crash_point.h"
#include "core/log.h"
#include "core/replicas.h"
#include "serve.h"
#include "store/queue.h"
#include "store/stream.h"
#include "world.h"

#define HANDOVER_KEY "stage/handover"
#define LOOK_US 300000        /* between looks at the wanted number, and at what is left */
#define SETTLE_US 1500000     /* every peer has seen our card by then (mesh.c looks three times a second) */
#define LINGER_US 3000000     /* after the last: askers that were told nothing yet ask again */
#define AGAIN_US 1000000
#define CALL_MS 30000
#define PRODUCERS_MAX 256     /* of an item */
#define SLOTS_MAX 64
#define ITEM_BYTES (64u << 20) /* of the slots of an item, on the average: they can't be written meanwhile */
#define OPEN_CALLS 64         /* objects under way */
#define OPEN_BYTES (16u << 20)
#define ORIGINS_MAX 4096      /* in one message */
#define SCAN_MAX 20000        /* objects, or claims, that one tick looks at */
#define DROP_MAX 500

enum step { NONE, SENDING, MARKING, TELLING, DROPPING };

/* What keeps it from going. */
struct left {
    uint64_t producers, unread, queued;
    char waits_for[200];
};

struct handover {
    struct service *service;
    unsigned number, wanted;
    bool retiring;
    struct replicas_stamp stamp;
    int64_t looked_us, closed_us, again_us, left_us, empty_us;
    Strata__Handover *item;
    enum step step;
    char at[STAGE_FULL_NAME]; /* the object that was sent, or dropped, last */
    bool all_sent;
    size_t open, open_bytes;  /* calls under way */
    char failed[400];         /* why the step is to be begun anew; "" it is not */
    bool told;                /* that trouble is shown */
    DIR *claims;              /* being looked through for those without records */
    bool claims_passed;       /* one was, since it was opened */
    bool claims_clean;        /* none was */
    struct left left;
    char said[200];           /* what it waits for, as it stands in the log */
};

/* ---- what is stored ---- */

static void store (struct handover *self)
{
    struct shard_key key;
    shard_key (&key, HANDOVER_KEY);
    if (self->item)
        shard_put_message (service_shard (self->service), &key, &self->item->base);
    else
        shard_delete (service_shard (self->service), key.data, key.size);
}

static void begin_item (struct handover *self, Strata__Handover *item)
{
    struct state *state = service_state (self->service);
    self->item = item;
    self->step = item->n_slots ? SENDING : MARKING;
    self->at[0] = '\0';
    self->all_sent = false;
    slots_hold (state->slots, item);
}

static void end_item (struct handover *self)
{
    struct state *state = service_state (self->service);
    slots_drop (state->slots, self->item);
    strata__handover__free_unpacked (self->item, NULL);
    self->item = NULL;
    self->step = NONE;
    store (self);
    crash_point ("handover.dropped");
}

void handover_free (struct handover **self_p)
{
    struct handover *self = *self_p;
    if (!self)
        return;
    if (self->item)
        strata__handover__free_unpacked (self->item, NULL);
    if (self->claims)
        closedir (self->claims);
    free (self);
    *self_p = NULL;
}

/* ---- whether this stage is wanted ---- */

static void set_retiring (struct handover *self, bool retiring, int64_t now_us)
{
    struct state *state = service_state (self->service);
    if (self->retiring == retiring)
        return;
    self->retiring = retiring;
    self->closed_us = now_us;
    self->empty_us = 0;
    slots_close (state->slots, retiring);
    service_retires (self->service, retiring);
    if (retiring)
        service_event (self->service, "stage-retires", service_replica (self->service),
                       "%u stages are wanted: hands on %u slots and all producers, and goes when its streams are read", self->wanted,
                       slots_count (state->slots));
    else
        service_event (self->service, "stage-stays", service_replica (self->service), "is wanted again");
}

/* True when the number that is wanted may have changed. scaled: it was asked for, and does not stand in the campaign file. */
static bool read_wanted (struct handover *self, int64_t now_us, uint32_t *wanted, uint32_t *scaled)
{
    struct replicas_stamp stamp = replicas_stamp (service_workspace (self->service));
    struct replicas replicas;
    struct strata_error error;
    if (self->looked_us && memcmp (&stamp, &self->stamp, sizeof (stamp)) == 0)
        return false;
    self->looked_us = now_us;
    if (replicas_read (service_workspace (self->service), service_campaign (self->service), &replicas, &error) < 0) {
        log_warn ("%s; all stays as it is", error.text);
        return false;
    }
    int stage = replicas_service ("stage");
    self->stamp = stamp;
    *wanted = replicas.wanted[stage];
    *scaled = replicas.scaled[stage];
    return true;
}

static void look_at_wanted (struct handover *self, int64_t now_us)
{
    struct {
        uint32_t changed, wanted, scaled;
    } fact = { 0 };
    if (!service_replays (self->service))
        fact.changed = read_wanted (self, now_us, &fact.wanted, &fact.scaled);
    service_fact (self->service, &fact, sizeof (fact));
    if (!fact.changed)
        return;
    self->wanted = fact.wanted;
    /* One that was started by hand, beside what the campaign file says, stays. */
    set_retiring (self, fact.scaled && self->number >= self->wanted, now_us);
}

/* Whoever starts here has something to hand over again, from his first claim on. */
static int begin_anew (struct service *service, struct strata_error *error)
{
    struct claim retired;
    claim_of_retired (&retired, service_workspace (service), service_replica (service));
    return world_claim_drop (service_shard (service), &retired, error);
}

struct handover *handover_new (struct service *service, struct strata_error *error)
{
    struct handover *self = calloc (1, sizeof (*self));
    struct shard_key key;
    if (!self) {
        strata_fail (error, "out of memory");
        return NULL;
    }
    if (begin_anew (service, error) < 0) {
        free (self);
        return NULL;
    }
    self->service = service;
    replicas_parse (service_replica (service), &self->number);
    self->wanted = self->number + 1;
    shard_key (&key, HANDOVER_KEY);
    Strata__Handover *item =
        (Strata__Handover *)shard_get_message (service_shard (service), &key, &strata__handover__descriptor);
    for (size_t i = 0; item && i < item->n_slots; i++)
        if (item->slots[i] >= CLAIM_SLOTS)
            shard_damaged (service_shard (service), "what is handed over names slot %u, which there is not", item->slots[i]);
    if (item)
        begin_item (self, item);
    return self;
}

/* The stage that a claim goes to: each that stays gets its share, whoever asks. */
static void target_of (const struct handover *self, const char *claim, char target[REPLICA_NAME_MAX])
{
    uint64_t hash = claim_hash (claim, strlen (claim)), best = 0;
    for (unsigned i = 0; i < self->wanted; i++) {
        char name[REPLICA_NAME_MAX];
        snprintf (name, sizeof (name), "stage-%u", i);
        uint64_t mixed = hash ^ claim_hash (name, strlen (name)), score = claim_hash ((const char *)&mixed, sizeof (mixed));
        if (i == 0 || score > best) {
            best = score;
            memcpy (target, name, sizeof (name));
        }
    }
}

/* ---- steps ---- */

static void fail (struct handover *self, const struct reply *reply)
{
    snprintf (self->failed, sizeof (self->failed), "what is handed over to %s is not taken yet: %.300s", self->item->target, reply->error);
    service_trouble (self->service, "%s", self->failed);
    self->told = true;
    self->again_us = service_now_us (self->service) + AGAIN_US;
}

static void went_well (struct handover *self)
{
    if (self->told)
        service_trouble (self->service, NULL);
    self->told = false;
}

static void go_on (struct handover *self, int64_t now_us);

static void on_object (struct service *service, const struct reply *reply, void *arg)
{
    struct handover *self = arg;
    self->open--;
    if (self->open == 0)
        self->open_bytes = 0;
    if (!reply->ok) {
        fail (self, reply);
        return;
    }
    went_well (self);
    if (self->open <= OPEN_CALLS / 2)
        go_on (self, service_now_us (service));
}

/* A slot of the item that was not passed in a life before. */
static bool is_held (const char *ns, const char *key, const void *arg)
{
    const struct handover *self = arg;
    const struct state *state = service_state (self->service);
    unsigned slot = claim_slot (ns, key);
    for (size_t i = 0; i < self->item->n_slots; i++)
        if (self->item->slots[i] == slot)
            return slots_held (state->slots, slot);
    return false;
}

static void send_object (struct handover *self, const char *name)
{
    struct state *state = service_state (self->service);
    Strata__ObjectAdopt adopt = STRATA__OBJECT_ADOPT__INIT;
    Strata__ObjectInfo info;
    struct strata_error error;
    char parts[STAGE_FULL_NAME];
    void *data;
    snprintf (parts, sizeof (parts), "%s", name);
    char *key = stage_split (parts);
    if (stage_get (state->core, parts, key, &info, &data, &error) < 0) {
        struct reply damaged = { .error = error.text };
        fail (self, &damaged);
        return;
    }
    struct blob blob = { data, info.size };
    adopt.namespace_ = parts;
    adopt.key = key;
    adopt.info = &info;
    adopt.handover = true;
    self->open++;
    self->open_bytes += info.size;
    service_call (self->service, self->item->target, STRATA__MESSAGE_TYPE__TYPE_OBJECT_ADOPT, &adopt.base, &blob, 1,
                  &strata__object_adopt_reply__descriptor, CALL_MS, on_object, self);
    free (data);
}

static void send_objects (struct handover *self)
{
    struct state *state = service_state (self->service);
    int rc = 1;
    while (rc == 1 && !self->failed[0] && self->open < OPEN_CALLS && self->open_bytes < OPEN_BYTES) {
        rc = stage_next (state->core, self->at, SCAN_MAX, is_held, self);
        if (rc == 1)
            send_object (self, self->at);
    }
    self->all_sent = rc == 0;
}

struct gathering {
    struct handover *self;
    Strata__TakeOver *body;
};

/* The message's list grows; what it points to is the caller's to free. */
static void *grown (void *list, size_t count, size_t item)
{
    void *more = realloc (list, (count + 1) * item);
    if (!more) {
        log_error ("out of memory");
        abort ();
    }
    return more;
}

static char *copied (const char *text)
{
    char *copy = strdup (text);
    if (!copy) {
        log_error ("out of memory");
        abort ();
    }
    return copy;
}

static int gather_origin (const char *origin, const char *name, int64_t time_us, void *arg)
{
    struct gathering *g = arg;
    char parts[STAGE_FULL_NAME];
    snprintf (parts, sizeof (parts), "%s", name);
    const char *key = stage_split (parts);
    if (!name[0] || !is_held (parts, key, g->self))
        return 0;
    Strata__Origin *o = grown (NULL, 0, sizeof (*o));
    strata__origin__init (o);
    o->origin = copied (origin);
    o->name = copied (name);
    o->time_us = time_us;
    g->body->origins = grown (g->body->origins, g->body->n_origins, sizeof (*g->body->origins));
    g->body->origins[g->body->n_origins++] = o;
    if (g->body->n_origins == ORIGINS_MAX)
        log_warn ("more than %d objects were moved to slots that are handed over: what is asked again of the others is refused", ORIGINS_MAX);
    return g->body->n_origins == ORIGINS_MAX;
}

static void gather_marks (const char *stream, void *arg)
{
    struct gathering *g = arg;
    const Strata__Handover *item = g->self->item;
    for (size_t i = 0; i < item->n_producers; i++) {
        uint64_t last = stream_producer_last (service_shard (g->self->service), stream, item->producers[i]);
        if (!last)
            continue;
        Strata__ProducerMark *mark = grown (NULL, 0, sizeof (*mark));
        strata__producer_mark__init (mark);
        mark->stream = copied (stream);
        mark->producer = copied (item->producers[i]);
        mark->last = last;
        g->body->producers = grown (g->body->producers, g->body->n_producers, sizeof (*g->body->producers));
        g->body->producers[g->body->n_producers++] = mark;
    }
}

static void forget_mark (const char *stream, void *arg)
{
    struct handover *self = arg;
    for (size_t i = 0; i < self->item->n_producers; i++)
        stream_producer_set (service_shard (self->service), stream, self->item->producers[i], 0);
}

static void on_marked (struct service *service, const struct reply *reply, void *arg);

static void ask (struct handover *self, bool passed)
{
    Strata__TakeOver *body = malloc (sizeof (*body));
    if (!body)
        return; /* with the next tick */
    strata__take_over__init (body);
    struct gathering g = { self, body };
    struct state *state = service_state (self->service);
    body->slots = grown (NULL, self->item->n_slots, sizeof (*body->slots));
    if (self->item->n_slots)
        memcpy (body->slots, self->item->slots, self->item->n_slots * sizeof (*body->slots));
    body->n_slots = self->item->n_slots;
    body->passed = passed;
    if (!passed) {
        stream_list (service_shard (self->service), gather_marks, &g);
        stage_origins (state->core, gather_origin, &g);
    }
    self->open++;
    service_call (self->service, self->item->target, STRATA__MESSAGE_TYPE__TYPE_TAKE_OVER, &body->base, NULL, 0,
                  &strata__take_over_reply__descriptor, CALL_MS, on_marked, self);
    strata__take_over__free_unpacked (body, NULL);
}

/* What it has is on its disk: names go there from now on. */
static void pass (struct handover *self)
{
    struct state *state = service_state (self->service);
    struct strata_error error;
    crash_point ("handover.taken");
    if (slots_pass (state->slots, self->item, &error) < 0) {
        struct reply stuck = { .error = error.text };
        fail (self, &stuck);
        return;
    }
    crash_point ("handover.passed");
    if (self->item->n_slots) {
        self->step = TELLING;
        return;
    }
    stream_list (service_shard (self->service), forget_mark, self);
    end_item (self);
}

static void on_marked (struct service *service, const struct reply *reply, void *arg)
{
    struct handover *self = arg;
    self->open--;
    if (!reply->ok) {
        fail (self, reply);
        return;
    }
    went_well (self);
    if (self->step == MARKING)
        pass (self);
    else {
        crash_point ("handover.told");
        self->at[0] = '\0';
        self->step = DROPPING;
    }
    if (self->item)
        go_on (self, service_now_us (service));
}

static bool of_item (const char *ns, const char *key, const void *arg)
{
    const struct handover *self = arg;
    unsigned slot = claim_slot (ns, key);
    for (size_t i = 0; i < self->item->n_slots; i++)
        if (self->item->slots[i] == slot)
            return true;
    return false;
}

static void drop_objects (struct handover *self)
{
    struct state *state = service_state (self->service);
    struct strata_error error;
    int rc = 1;
    for (size_t i = 0; i < DROP_MAX && rc == 1; i++) {
        rc = stage_next (state->core, self->at, SCAN_MAX, of_item, self);
        char parts[STAGE_FULL_NAME];
        memcpy (parts, self->at, sizeof (parts));
        char *key = stage_split (parts);
        if (rc == 1 && stage_delete (state->core, parts, key, &error) < 0)
            log_warn ("%s", error.text);
    }
    if (rc == 0)
        end_item (self);
}

static void go_on (struct handover *self, int64_t now_us)
{
    if (self->failed[0]) {
        if (self->open || now_us < self->again_us)
            return;
        self->failed[0] = '\0';
        self->at[0] = '\0';
        self->all_sent = false;
    }
    waits_send_on (self->service);
    if (self->step == SENDING) {
        if (!self->all_sent)
            send_objects (self);
        if (self->all_sent && !self->open && !self->failed[0])
            self->step = MARKING;
    }
    if ((self->step == MARKING || self->step == TELLING) && !self->open)
        ask (self, self->step == TELLING);
    else if (self->step == DROPPING)
        drop_objects (self);
}

/* ---- the next item ---- */

static Strata__Handover *item_new (void)
{
    Strata__Handover *item = grown (NULL, 0, sizeof (*item));
    strata__handover__init (item);
    return item;
}

struct picking {
    struct handover *self;
    Strata__Handover *item;
};

static bool take_for (struct picking *p, const char *claim)
{
    char target[REPLICA_NAME_MAX] = "";
    target_of (p->self, claim, target);
    if (!p->item->target[0])
        p->item->target = copied (target);
    return strcmp (p->item->target, target) == 0;
}

static int pick_producer (const char *stream, const char *producer, uint64_t last, void *arg)
{
    struct picking *p = arg;
    struct state *state = service_state (p->self->service);
    struct strata_error error;
    struct claim claim;
    for (size_t i = 0; i < p->item->n_producers; i++)
        if (strcmp (p->item->producers[i], producer) == 0)
            return 0;
    claim_of_producer (&claim, service_workspace (p->self->service), producer);
    if (slots_offered_producer (state->slots, producer, "", &error) != 1 || !take_for (p, claim.name))
        return 0;
    p->item->producers = grown (p->item->producers, p->item->n_producers, sizeof (*p->item->producers));
    p->item->producers[p->item->n_producers++] = copied (producer);
    return p->item->n_producers == PRODUCERS_MAX;
}

static void pick_slots (struct picking *p)
{
    struct state *state = service_state (p->self->service);
    struct stage_figures figures;
    unsigned count = slots_count (state->slots), most = SLOTS_MAX;
    stage_figures (state->core, &figures);
    while (most > 1 && count && figures.bytes / count * most > ITEM_BYTES)
        most /= 2;
    for (unsigned slot = 0; slot < CLAIM_SLOTS && p->item->n_slots < most; slot++) {
        struct claim claim;
        claim_of_slot (&claim, service_workspace (p->self->service), slot);
        if (!slots_ours (state->slots, slot) || moves_of_slot (state->moves, slot) || !take_for (p, claim.name))
            continue;
        p->item->slots = grown (p->item->slots, p->item->n_slots, sizeof (*p->item->slots));
        p->item->slots[p->item->n_slots++] = slot;
    }
}

/* Claims of producers that have no records here: their first one was refused, or never came. True when none is left. */
static bool look_at_bare_claims (struct handover *self)
{
    struct claim claim;
    struct strata_error error;
    bool passed = false;
    if (self->claims_clean)
        return true;
    if (!self->claims && !(self->claims = claims_open_producers (service_workspace (self->service))))
        return errno == ENOENT;
    for (unsigned i = 0; i < SCAN_MAX; i++) {
        char owner[REPLICA_NAME_MAX], target[REPLICA_NAME_MAX] = "";
        if (!claims_next_producer (self->claims, service_workspace (self->service), &claim)) {
            closedir (self->claims);
            self->claims = NULL;
            self->claims_clean = !self->claims_passed;
            self->claims_passed = false;
            break;
        }
        if (claim_read (&claim, owner, &error) <= 0 || strcmp (owner, service_replica (self->service)) != 0)
            continue;
        target_of (self, claim.name, target);
        if (claim_pass (&claim, target, &error) < 0)
            log_warn ("%s", error.text);
        passed = self->claims_passed = true;
    }
    claim_of_producer (&claim, service_workspace (self->service), "");
    if (passed && claim_sync (&claim, &error) < 0)
        log_warn ("%s", error.text);
    return self->claims_clean;
}

static bool pass_bare_claims (struct handover *self)
{
    struct shard *shard = service_shard (self->service);
    bool clean = !shard_replays (shard) && look_at_bare_claims (self);
    shard_fact (shard, &clean, sizeof (clean));
    return clean;
}

/* ---- what is left, and the end ---- */

struct reading {
    struct left *left;
    struct shard *shard;
    const struct campaign *campaign;
    uint64_t next, lowest;
    char behind[128];
    unsigned readers;
};

static void look_at_reader (const char *consumer, uint64_t committed, void *arg)
{
    struct reading *r = arg;
    r->readers++;
    if (committed < r->lowest) {
        r->lowest = committed;
        snprintf (r->behind, sizeof (r->behind), "%.100s", consumer);
    }
}

/* How many readers the campaign has for a stream: all must have been here, also those that never ran yet. */
static unsigned readers_of (const struct campaign *campaign, const char *stream)
{
    unsigned count = strcmp (stream, campaign->select.from) == 0;
    if (campaign->feedback.from && strcmp (stream, campaign->feedback.from) == 0)
        count += campaign->feedback.shards ? campaign->feedback.shards : 1;
    return count + (campaign->feedback.uptake && strcmp (stream, campaign->feedback.uptake) == 0);
}

static void look_at_stream (const char *stream, void *arg)
{
    struct reading *r = arg;
    struct stream_stat stat;
    if (strcmp (stream, "events") == 0)
        return;
    if (queue_exists (r->shard, stream)) {
        struct queue_stat queue;
        queue_stat (r->shard, stream, &queue);
        r->left->queued += queue.waiting + queue.leased;
        if (queue.waiting + queue.leased)
            snprintf (r->left->waits_for, sizeof (r->left->waits_for), "the work on queue %.60s", stream);
        return;
    }
    stream_stat (r->shard, stream, &stat);
    r->readers = 0;
    r->next = r->lowest = stat.next;
    stream_consumers (r->shard, stream, look_at_reader, r);
    if (stat.next > 1 && r->readers < readers_of (r->campaign, stream)) {
        snprintf (r->behind, sizeof (r->behind), "a service that has not read from here yet");
        r->lowest = stat.first;
    }
    if (r->lowest >= r->next)
        return;
    r->left->unread += r->next - (r->lowest ? r->lowest : 1);
    snprintf (r->left->waits_for, sizeof (r->left->waits_for), "%.100s to read stream %.60s", r->behind, stream);
}

static int count_producer (const char *stream, const char *producer, uint64_t last, void *arg)
{
    struct left *left = arg;
    left->producers++;
    return 0;
}

static void look_at_left (struct handover *self, int64_t now_us)
{
    struct reading reading = { .left = &self->left, .shard = service_shard (self->service), .campaign = service_campaign (self->service) };
    if (now_us < self->left_us + LOOK_US)
        return;
    self->left_us = now_us;
    self->left = (struct left){ 0 };
    char before[sizeof (self->said)];
    stream_producers (reading.shard, count_producer, &self->left);
    stream_list (reading.shard, look_at_stream, &reading);
    memcpy (before, self->said, sizeof (before));
    snprintf (self->said, sizeof (self->said), "%s", self->left.waits_for);
    if (self->said[0] && strcmp (before, self->said) != 0)
        log_info ("goes when that is done: %s", self->said);
}

/* One above this one still hands over, maybe to us. */
static bool others_first (const struct handover *self)
{
    bool there = false;
    for (unsigned i = self->number + 1; i < REPLICAS_MAX && !there && !service_replays (self->service); i++)
        there = replicas_stage_unfinished (service_workspace (self->service), i);
    service_fact (self->service, &there, sizeof (there));
    return there;
}

static void finish (struct handover *self, int64_t now_us)
{
    struct state *state = service_state (self->service);
    struct stage_figures figures;
    struct strata_error error;
    struct claim retired, keeper;
    char owner[REPLICA_NAME_MAX];
    self->left_us = 0; /* now */
    look_at_left (self, now_us);
    stage_figures (state->core, &figures);
    bool empty = !self->left.unread && !self->left.queued && !figures.objects && !moves_count (state->moves)
                 && !waits_count (state->waits);
    if (!empty || others_first (self)) {
        self->empty_us = 0;
        return;
    }
    if (!self->empty_us) { /* who read of us there a moment ago still gets his answer */
        claim_of_keeper (&keeper, service_workspace (self->service), state->shard);
        if (world_claim_drop (service_shard (self->service), &keeper, &error) < 0)
            log_warn ("%s", error.text);
        else
            self->empty_us = now_us;
    }
    if (!self->empty_us || now_us - self->empty_us < LINGER_US)
        return;
    claim_of_retired (&retired, service_workspace (self->service), state->shard);
    if (world_claim_take (service_shard (self->service), &retired, state->shard, owner, &error) < 0 || world_claim_sync (service_shard (self->service), &retired, &error) < 0) {
        log_warn ("%s", error.text);
        return;
    }
    crash_point ("handover.retired");
    log_info ("all is handed over and read: goes");
    service_quit (self->service, 0);
}

static void next_item (struct handover *self, int64_t now_us)
{
    struct state *state = service_state (self->service);
    struct picking picking = { self, item_new () };
    stream_producers (service_shard (self->service), pick_producer, &picking);
    if (!picking.item->n_producers)
        pick_slots (&picking);
    if (picking.item->n_producers || picking.item->n_slots) {
        self->empty_us = 0;
        self->claims_clean = false;
        begin_item (self, picking.item);
        store (self);
        crash_point ("handover.begun");
        return;
    }
    strata__handover__free_unpacked (picking.item, NULL);
    if (pass_bare_claims (self) && slots_count (state->slots) == 0)
        finish (self, now_us);
}

void handover_tick (struct service *service, int64_t now_us)
{
    struct state *state = service_state (service);
    struct handover *self = state->handover;
    look_at_wanted (self, now_us);
    if (self->retiring)
        look_at_left (self, now_us);
    if (self->item)
        go_on (self, now_us);
    else if (self->retiring && now_us - self->closed_us > SETTLE_US)
        next_item (self, now_us);
}

void handover_metrics (struct service *service)
{
    struct state *state = service_state (service);
    struct handover *self = state->handover;
    if (!self->retiring && !self->item)
        return;
    service_metric (service, "retiring", self->retiring, 0);
    service_metric (service, "retiring_producers", (double)self->left.producers, 0);
    service_metric (service, "retiring_unread_records", (double)self->left.unread, 0);
    service_metric (service, "retiring_queued_records", (double)self->left.queued, 0);
}
