/* worker.c - see worker.h */
#include "worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/crash_point.h"
#include "patch.pb-c.h"
#include "patch_cut.h"
#include "patch_encode.h"
#include "patch_npz.h"
#include "patch_read.h"
#include "stage.pb-c.h"
#include "stream.pb-c.h"

#define SNAPSHOT_MAX_BYTES ((size_t)1 << 30)
#define PUT_MAX_BYTES (64u << 20)       /* of patches in one message */
#define PUT_MAX_KEYS 512
#define CALL_TIMEOUT_MS 15000
#define POLL_US 500000
#define STAGES_MAX 256
#define TAKE_TIMEOUT_MS 3000           /* a stage that has just died holds up nobody for long */
#define WORKERS 2
#define AGAIN_US 1000000               /* between tries while staging is full */

enum step { IDLE, TAKING, CUTTING, PUTTING, ACKING, NACKING, WAITING_TO_PUT, WAITING_TO_ACK };

/* A patch on its way out. */
struct product {
    char key[PATCH_ID_MAX + 8];
    void *npz;
    size_t size;
    Strata__Candidate candidate;
    char id[PATCH_ID_MAX + 1], reason[200];
    enum { HERE, UNDER_WAY, IN_STAGING } place;
};

struct worker {
    struct crew *crew;
    struct service *service;
    enum step step;
    int64_t look_us;                    /* while it waits: when to try again */
    uv_work_t work;
    /* the lease */
    char stage[64];                     /* whose queue it is from */
    uint64_t sequence, token;
    int64_t renew_us;                   /* when the lease is to be renewed */
    Strata__Snapshot *snapshot;
    /* what the thread made */
    struct product *products;
    size_t products_count;
    float *points;                      /* [valid products][dimensions]: the candidates point into it */
    size_t of[PATCH_CONFIGURATIONS];
    struct strata_error error;
    bool failed, final;                 /* final: trying again can't help */
    bool untried;                       /* nothing failed: given back, it was no try */
    double thread_s;                    /* read when the thread has ended */
    int64_t cut_us, put_us;             /* when all was cut, and all was in staging */
    double put_s;                       /* what that took */
};

struct crew {
    struct service *service;
    struct patch_encoder *encoder;
    struct worker workers[WORKERS];
    int64_t look_us;                    /* when to ask for the next snapshot */
    size_t turn, stages, empty;         /* which stage is asked, of how many; how many in a row had nothing */
    /* figures; the times are those of the newest snapshot */
    uint64_t snapshots, patches, invalid, refused, lost;
    double cut_s, put_s, ack_s;
    bool finishing;                     /* takes nothing more */
    bool abandoned;                     /* freed while a thread was cutting: the thread's end frees it */
};

static void forget (struct worker *self)
{
    for (size_t i = 0; i < self->products_count; i++)
        free (self->products[i].npz);
    free (self->products);
    free (self->points);
    self->products = NULL;
    self->points = NULL;
    self->products_count = 0;
    if (self->snapshot)
        strata__snapshot__free_unpacked (self->snapshot, NULL);
    self->snapshot = NULL;
    self->step = IDLE;
}

struct crew *crew_new (struct service *service, struct strata_error *error)
{
    const struct campaign *campaign = service_campaign (service);
    const struct campaign_encoder *encoder = &campaign->patch.encoder;
    char path[8192];
    struct crew *self = calloc (1, sizeof (*self));
    if (!self) {
        strata_fail (error, "out of memory");
        return NULL;
    }
    self->service = service;
    for (size_t i = 0; i < WORKERS; i++)
        self->workers[i] = (struct worker){ .crew = self, .service = service };
    snprintf (path, sizeof (path), "%s%s%s", encoder->model[0] == '/' ? "" : campaign->dir, encoder->model[0] == '/' ? "" : "/", encoder->model);
    self->encoder = patch_encoder_new (encoder->kind, path, campaign->patch.coarse, encoder->dimensions, error);
    if (!self->encoder)
        crew_free (&self);
    return self;
}

/* Whether one of them has that step. */
static bool any (const struct crew *self, enum step step)
{
    for (size_t i = 0; i < WORKERS; i++)
        if (self->workers[i].step == step)
            return true;
    return false;
}

void crew_free (struct crew **self_p)
{
    struct crew *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    for (size_t i = 0; i < WORKERS; i++)
        if (self->workers[i].step != CUTTING)
            forget (&self->workers[i]);
    if (any (self, CUTTING)) {
        self->abandoned = true;
        return;
    }
    patch_encoder_free (&self->encoder);
    free (self);
}

/* ---- cutting, in a thread: touches the worker's products and error only ---- */

static int make_product (const struct worker *self, const struct patch *patch, struct product *product, struct strata_error *error)
{
    snprintf (product->id, sizeof (product->id), "%s", patch->id);
    snprintf (product->key, sizeof (product->key), "%s.npz", patch->id);
    snprintf (product->reason, sizeof (product->reason), "%s", patch->reason);
    strata__candidate__init (&product->candidate);
    product->candidate.id = product->id;
    product->candidate.reason = product->reason;
    product->candidate.configuration = (char *)patch_configuration_names[patch->configuration];
    product->candidate.simulation = self->snapshot->simulation;
    product->candidate.index = self->snapshot->index;
    return patch_npz (patch, &product->npz, &product->size, error);
}

/* The points of all valid patches of the set. */
static int encode (struct worker *self, const struct patch_set *set)
{
    size_t n = patch_encoder_dimensions (self->crew->encoder), valid = 0;
    const struct patch **patches = calloc (set->count + 1, sizeof (*patches));
    self->points = calloc (set->count + 1, n * sizeof (float));
    int rc = patches && self->points ? 0 : strata_fail (&self->error, "out of memory");
    for (size_t i = 0; rc == 0 && i < set->count; i++) {
        Strata__Candidate *candidate = &self->products[i].candidate;
        if (set->patches[i].configuration == PATCH_INVALID)
            continue;
        candidate->point = self->points + valid * n;
        candidate->n_point = n;
        patches[valid++] = &set->patches[i];
    }
    if (rc == 0)
        rc = patch_encode (self->crew->encoder, patches, valid, self->points, &self->error);
    free (patches);
    return rc;
}

/* Each into its own place, by all threads; the reason that is told is that of the first patch that can't be made. */
static int make_products (struct worker *self, const struct patch_set *set)
{
    size_t first = SIZE_MAX;
    int code = 0;
#pragma omp parallel for schedule(dynamic, 4) if (set->count > 8)
    for (size_t i = 0; i < set->count; i++) {
        struct strata_error error;
        errno = 0;
        if (make_product (self, &set->patches[i], &self->products[i], &error) == 0)
            continue;
#pragma omp critical (patch_product)
        if (i < first) {
            first = i;
            code = errno;
            self->error = error;
        }
    }
    errno = code;
    return first == SIZE_MAX ? 0 : -1;
}

static int cut (struct worker *self)
{
    const struct campaign *campaign = service_campaign (self->service);
    struct patch_set set;
    struct patch_params params = { .simulation = self->snapshot->simulation,
                                   .points = campaign->patch.points,
                                   .coarse = campaign->patch.coarse,
                                   .lipid_only = campaign->patch.lipid_only,
                                   .lipid_only_distance_nm = campaign->patch.lipid_only_distance_nm,
                                   .seed = campaign->seed };
    if (patch_read (self->snapshot->path, SNAPSHOT_MAX_BYTES, &self->snapshot->index, &params, &set, &self->error) < 0)
        return -1;
    int rc = -1;
    self->products = calloc (set.count ? set.count : 1, sizeof (*self->products));
    if (self->products) {
        self->products_count = set.count;
        memcpy (self->of, set.of, sizeof (self->of));
        rc = make_products (self, &set);
    } else
        strata_fail (&self->error, "out of memory");
    if (rc == 0)
        rc = encode (self, &set);
    int code = errno;
    patch_set_fini (&set);
    errno = code;
    return rc;
}

static void work (uv_work_t *req)
{
    struct worker *self = req->data;
    uint64_t start = uv_hrtime ();
    self->failed = cut (self) < 0;
    int code = errno;
    crash_point ("patch.cut");
    /* What is wrong with the bytes stays wrong; what the machine lacked may be there next time. */
    self->final = code != ENOMEM && code != EIO && code != EMFILE && code != ENFILE;
    self->thread_s = (double)(uv_hrtime () - start) / 1e9;
}

/* ---- giving back, putting, acknowledging ---- */

static void on_nacked (struct service *service, const struct reply *reply, void *arg)
{
    forget (arg);
}

static void nack (struct worker *self)
{
    Strata__QueueNack ask = STRATA__QUEUE_NACK__INIT;
    ask.queue = service_campaign (self->service)->patch.snapshots;
    ask.sequence = self->sequence;
    ask.token = self->token;
    ask.reason = self->error.text;
    ask.final = self->final;
    ask.untried = self->untried;
    self->crew->refused += self->final;
    service_event (self->service,
                   self->final ? "snapshot-aside" : "snapshot-again",
                   self->snapshot ? self->snapshot->path : "snapshot",
                   "%s",
                   self->error.text);
    self->step = NACKING;
    self->crew->look_us = service_now_us (self->service) + POLL_US;
    service_call (self->service,
                  self->stage,
                  STRATA__MESSAGE_TYPE__TYPE_QUEUE_NACK,
                  &ask.base,
                  NULL,
                  0,
                  &strata__queue_nack_reply__descriptor,
                  CALL_TIMEOUT_MS,
                  on_nacked,
                  self);
}

static bool worker_finish (struct worker *self)
{
    bool waits = self->step == WAITING_TO_PUT || self->step == WAITING_TO_ACK;
    if (waits && service_hands_over (self->service)) {
        /* Another replica gets it at once, not when the lease ends. */
        strata_fail (&self->error, "%s hands over", service_replica (self->service));
        self->final = false;
        self->untried = true;
        nack (self);
        return false;
    }
    return self->step == IDLE || waits;
}

bool crew_finish (struct crew *self)
{
    bool all = true;
    self->finishing = true;
    for (size_t i = 0; i < WORKERS; i++)
        all = worker_finish (&self->workers[i]) && all;
    return all;
}

/* What passes: staging is full or does not answer. The work is kept, its lease renewed, and it is offered again. Giving the
 * snapshot back would cut it anew, and count as a try. */
static bool passes (const struct reply *reply)
{
    return reply->timed_out || reply->code == STRATA__REFUSAL_CODE__REFUSED_FULL
           || reply->code == STRATA__REFUSAL_CODE__REFUSED_UNAVAILABLE
           || reply->code == STRATA__REFUSAL_CODE__REFUSED_ELSEWHERE;
}

static void wait_a_while (struct worker *self, enum step step)
{
    self->step = step;
    self->look_us = service_now_us (self->service) + AGAIN_US;
}

static void on_acked (struct service *service, const struct reply *reply, void *arg)
{
    struct worker *self = arg;
    struct crew *crew = self->crew;
    if (reply->ok) {
        service_trouble (service, NULL);
        crew->cut_s = self->thread_s;
        crew->put_s = self->put_s;
        crew->ack_s = (double)(service_now_us (service) - self->put_us) / 1e6;
        crew->snapshots++;
        crew->patches += self->products_count;
        crew->invalid += self->of[PATCH_INVALID];
        service_event (service,
                       "snapshot-cut",
                       self->snapshot->path,
                       "%zu patches (%zu lipid-only, %zu ras, %zu ras-raf, %zu other, %zu invalid) in %.2f s, put in %.2f s, "
                       "acknowledged in %.2f s",
                       self->products_count,
                       self->of[PATCH_LIPID_ONLY],
                       self->of[PATCH_RAS],
                       self->of[PATCH_RAS_RAF],
                       self->of[PATCH_OTHER],
                       self->of[PATCH_INVALID],
                       crew->cut_s,
                       crew->put_s,
                       crew->ack_s);
        crew->look_us = 0;
    } else if (passes (reply)) {
        service_trouble (service, "snapshot %s is cut but can't be acknowledged yet: %s", self->snapshot->path, reply->error);
        wait_a_while (self, WAITING_TO_ACK);
        return;
    } else {
        /* The lease was lost: the snapshot is handed out again. */
        crew->lost++;
        service_trouble (service, "snapshot %s was cut but not acknowledged: %s", self->snapshot->path, reply->error);
    }
    forget (self);
    crew_tick (crew, service_now_us (service));
}

static void ack (struct worker *self)
{
    const struct campaign *campaign = service_campaign (self->service);
    Strata__QueueAck ask = STRATA__QUEUE_ACK__INIT;
    Strata__QueueOutput output = STRATA__QUEUE_OUTPUT__INIT;
    Strata__QueueOutput *outputs[] = { &output };
    ProtobufCBinaryData *records = calloc (self->products_count ? self->products_count : 1, sizeof (*records));
    for (size_t i = 0; records && i < self->products_count; i++) {
        const ProtobufCMessage *candidate = &self->products[i].candidate.base;
        records[i].len = protobuf_c_message_get_packed_size (candidate);
        records[i].data = malloc (records[i].len);
        if (records[i].data)
            protobuf_c_message_pack (candidate, records[i].data);
        else
            records[i].len = 0;
    }
    output.stream = campaign->patch.candidates;
    output.records = records;
    output.n_records = records ? self->products_count : 0;
    ask.queue = campaign->patch.snapshots;
    ask.sequence = self->sequence;
    ask.token = self->token;
    ask.outputs = outputs;
    ask.n_outputs = 1;
    self->step = ACKING;
    service_call (self->service,
                  self->stage,
                  STRATA__MESSAGE_TYPE__TYPE_QUEUE_ACK,
                  &ask.base,
                  NULL,
                  0,
                  &strata__queue_ack_reply__descriptor,
                  CALL_TIMEOUT_MS,
                  on_acked,
                  self);
    for (size_t i = 0; records && i < self->products_count; i++)
        free (records[i].data);
    free (records);
}

static void put_more (struct worker *self);

/* What becomes of the patches under way. */
static void mark (struct worker *self, int place)
{
    for (size_t i = 0; i < self->products_count; i++)
        if (self->products[i].place == UNDER_WAY)
            self->products[i].place = place;
}

static void on_put (struct service *service, const struct reply *reply, void *arg)
{
    struct worker *self = arg;
    if (reply->ok) {
        service_trouble (service, NULL);
        mark (self, IN_STAGING);
        put_more (self);
        return;
    }
    service_trouble (service, "the patches of %s can't be put into staging: %s", self->snapshot->path, reply->error);
    if (passes (reply)) {
        mark (self, HERE);
        service_forget_routes (service);
        wait_a_while (self, WAITING_TO_PUT);
        return;
    }
    strata_fail (&self->error, "%s", reply->error);
    self->final = false;
    nack (self);
}

/* The next bunch of patches of one stage, or the acknowledgement when all are in staging. */
static void put_more (struct worker *self)
{
    Strata__ObjectPut put = STRATA__OBJECT_PUT__INIT;
    struct blob blobs[PUT_MAX_KEYS];
    char *keys[PUT_MAX_KEYS];
    char stage[64] = "";
    const char *ns = service_campaign (self->service)->patch.namespace_;
    size_t n = 0, bytes = 0;
    for (size_t i = 0; i < self->products_count && n < PUT_MAX_KEYS; i++) {
        struct product *product = &self->products[i];
        if (product->place != HERE || (n && bytes + product->size > PUT_MAX_BYTES))
            continue;
        const char *to = service_object_stage (self->service, ns, product->key);
        if (n && strcmp (to, stage) != 0)
            continue;
        snprintf (stage, sizeof (stage), "%s", to);
        keys[n] = product->key;
        blobs[n++] = (struct blob){ product->npz, product->size };
        bytes += product->size;
        product->place = UNDER_WAY;
    }
    if (n == 0) {
        crash_point ("patch.put");
        self->put_us = service_now_us (self->service);
        self->put_s = (double)(self->put_us - self->cut_us) / 1e6;
        ack (self);
        return;
    }
    put.namespace_ = (char *)ns;
    put.keys = keys;
    put.n_keys = n;
    self->step = PUTTING;
    service_call (self->service,
                  stage,
                  STRATA__MESSAGE_TYPE__TYPE_OBJECT_PUT,
                  &put.base,
                  blobs,
                  n,
                  &strata__object_put_reply__descriptor,
                  CALL_TIMEOUT_MS * 4,
                  on_put,
                  self);
}

static void after_work (uv_work_t *req, int status)
{
    struct worker *self = req->data;
    struct crew *crew = self->crew;
    if (crew->abandoned) {
        self->step = IDLE;
        crew_free (&crew);
        return;
    }
    self->cut_us = service_now_us (self->service);
    self->step = PUTTING;
    crew_tick (crew, self->cut_us); /* first: the patches hold up what is sent after them */
    if (self->failed)
        nack (self);
    else
        put_more (self);
}

/* ---- taking ---- */

/* Each stage has a queue of snapshots: they are asked in turn, from where the last snapshot came. False: there is none. */
static bool next_stage (struct crew *self, struct worker *worker)
{
    char names[STAGES_MAX][64];
    size_t count = service_stages (self->service, names, STAGES_MAX);
    if (count == 0)
        return false;
    self->turn %= count;
    snprintf (worker->stage, sizeof (worker->stage), "%s", names[self->turn]);
    self->stages = count;
    return true;
}

static void on_taken (struct service *service, const struct reply *reply, void *arg)
{
    struct worker *self = arg;
    const Strata__QueueTakeReply *taken = reply->ok ? (const Strata__QueueTakeReply *)reply->body : NULL;
    struct crew *crew = self->crew;
    self->step = IDLE;
    if (!taken || taken->count == 0) {
        crew->turn++;
        crew->empty++;
        if (crew->empty >= crew->stages)
            crew->look_us = service_now_us (service) + POLL_US;
        else
            crew_tick (crew, service_now_us (service));
        return;
    }
    crew->empty = 0;
    crew->look_us = 0;
    self->sequence = taken->first;
    self->token = taken->token;
    self->snapshot = reply->blobs_count ? strata__snapshot__unpack (NULL, reply->blobs[0].size, reply->blobs[0].data) : NULL;
    if (!self->snapshot) {
        strata_fail (&self->error, "record %llu is not a snapshot", (unsigned long long)self->sequence);
        self->final = true;
        nack (self);
        return;
    }
    self->renew_us = service_now_us (service) + (int64_t)service_campaign (service)->patch.lease_s * 1000000 / 3;
    self->step = CUTTING;
    self->work.data = self;
    uv_queue_work (service_loop (service), &self->work, work, after_work);
}

/* Long work is no reason to lose the snapshot: only a replica that is dead or stopped does not renew. A refusal needs no
 * answer here: the acknowledgement will be refused too. */
static void renew (struct worker *self, int64_t now_us)
{
    const struct campaign *campaign = service_campaign (self->service);
    Strata__QueueRenew ask = STRATA__QUEUE_RENEW__INIT;
    ask.queue = campaign->patch.snapshots;
    ask.sequence = self->sequence;
    ask.token = self->token;
    ask.lease_ms = campaign->patch.lease_s * 1000;
    self->renew_us = now_us + (int64_t)campaign->patch.lease_s * 1000000 / 3;
    service_call (self->service,
                  self->stage,
                  STRATA__MESSAGE_TYPE__TYPE_QUEUE_RENEW,
                  &ask.base,
                  NULL,
                  0,
                  &strata__queue_renew_reply__descriptor,
                  (int)campaign->patch.lease_s * 1000 / 3,
                  NULL,
                  NULL);
}

static void worker_tick (struct worker *self, int64_t now_us)
{
    bool waits = self->step == WAITING_TO_PUT || self->step == WAITING_TO_ACK;
    if ((waits || self->step == CUTTING || self->step == PUTTING) && now_us >= self->renew_us)
        renew (self, now_us);
    if (!waits || now_us < self->look_us)
        return;
    if (self->step == WAITING_TO_PUT)
        put_more (self);
    else
        ack (self);
}

/* Asks for the next snapshot. */
static void take (struct worker *self)
{
    const struct campaign *campaign = service_campaign (self->service);
    if (!next_stage (self->crew, self))
        return;
    Strata__QueueTake take = STRATA__QUEUE_TAKE__INIT;
    take.queue = campaign->patch.snapshots;
    take.consumer = (char *)service_replica (self->service);
    take.lease_ms = campaign->patch.lease_s * 1000;
    take.max_tries = campaign->patch.tries;
    self->step = TAKING;
    service_call (self->service,
                  self->stage,
                  STRATA__MESSAGE_TYPE__TYPE_QUEUE_TAKE,
                  &take.base,
                  NULL,
                  0,
                  &strata__queue_take_reply__descriptor,
                  TAKE_TIMEOUT_MS,
                  on_taken,
                  self);
}

void crew_tick (struct crew *self, int64_t now_us)
{
    for (size_t i = 0; i < WORKERS; i++)
        worker_tick (&self->workers[i], now_us);
    /* Staging is full: another snapshot would only wait as well. */
    if (self->finishing || now_us < self->look_us || any (self, TAKING) || any (self, CUTTING) || any (self, WAITING_TO_PUT)
        || any (self, WAITING_TO_ACK))
        return;
    for (size_t i = 0; i < WORKERS; i++)
        if (self->workers[i].step == IDLE) {
            take (&self->workers[i]);
            return;
        }
}

static unsigned in_work (const struct crew *self)
{
    unsigned count = 0;
    for (size_t i = 0; i < WORKERS; i++)
        count += self->workers[i].step != IDLE && self->workers[i].step != TAKING;
    return count;
}

void crew_metrics (struct crew *self)
{
    struct service *service = self->service;
    service_metric (service, "snapshots_cut", (double)self->snapshots, 0);
    service_metric (service, "patches_cut", (double)self->patches, 0);
    service_metric (service, "patches_invalid", (double)self->invalid, 0);
    service_metric (service, "snapshots_aside", (double)self->refused, 0);
    service_metric (service, "leases_lost", (double)self->lost, 0);
    service_metric (service, "snapshots_in_work", in_work (self), WORKERS);
    service_metric (service, "cut_s", self->cut_s, 0);
    service_metric (service, "put_s", self->put_s, 0);
    service_metric (service, "acknowledge_s", self->ack_s, 0);
}
