/* slots.c - see slots.h */
#include "slots.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "store/stream.h"
#include "world.h"

#define CLAIMED_KEY "stage/claimed" /* 1: all that the shard keeps is claimed */

enum state { NOT_OURS, OURS, HELD, PASSED };

struct slots {
    struct shard *shard;
    char workspace[4096], stage[REPLICA_NAME_MAX];
    uint8_t states[CLAIM_SLOTS];
    const Strata__Handover *held; /* what is being handed over; NULL: nothing is */
    bool closed;                  /* nothing new is claimed */
    bool keeper;                  /* claims/keepers says so */
    bool slots_due, producers_due; /* claims that are not on disk yet */
    unsigned count;
    uint64_t version;
};

static int elsewhere (const char *what, const char *name, const char *stage, struct strata_error *error)
{
    errno = EXDEV;
    return strata_fail (error, "%s %s is kept by %s", what, name, stage);
}

static int object_elsewhere (const char *ns, const char *key, const char *stage, struct strata_error *error)
{
    char name[512];
    snprintf (name, sizeof (name), "%.200s/%.200s", ns, key);
    return elsewhere ("object", name, stage, error);
}

/* Before the first slot: whoever lists names must know whom to ask. */
static int become_keeper (struct slots *self, struct strata_error *error)
{
    struct claim claim;
    char owner[REPLICA_NAME_MAX];
    if (self->keeper)
        return 0;
    claim_of_keeper (&claim, self->workspace, self->stage);
    if (world_claim_take (self->shard, &claim, self->stage, owner, error) < 0 || world_claim_sync (self->shard, &claim, error) < 0)
        return -1;
    self->keeper = true;
    return 0;
}

static void set_ours (struct slots *self, unsigned slot)
{
    if (self->states[slot] != NOT_OURS)
        return;
    self->states[slot] = OURS;
    self->count++;
    self->version++;
    shard_touch (self->shard); /* also by a read */
}

static int going (struct slots *self, const char *what, const char *name, struct strata_error *error)
{
    errno = EXDEV;
    return strata_fail (error, "%s goes and takes nothing new: %s %s is for another stage", self->stage, what, name);
}

static int handed_over (struct slots *self, const char *what, const char *name, struct strata_error *error)
{
    errno = EXDEV;
    return strata_fail (error, "%s %s is being handed over by %s to %s", what, name, self->stage, self->held->target);
}

static int take_slot (struct slots *self, unsigned slot, char owner[REPLICA_NAME_MAX], struct strata_error *error)
{
    struct claim claim;
    claim_of_slot (&claim, self->workspace, slot);
    if (self->closed) {
        int rc = world_claim_read (self->shard, &claim, owner, error);
        return rc > 0 ? strcmp (owner, self->stage) == 0 : rc < 0 ? -1 : going (self, "slot", claim.name, error);
    }
    if (become_keeper (self, error) < 0)
        return -1;
    int rc = world_claim_take (self->shard, &claim, self->stage, owner, error);
    self->slots_due |= rc > 0;
    return rc;
}

bool slots_listed (const struct slots *self, const char *ns, const char *key)
{
    return self->states[claim_slot (ns, key)] != NOT_OURS;
}

int slots_look (struct slots *self, const char *ns, const char *key, struct strata_error *error)
{
    struct claim claim;
    char owner[REPLICA_NAME_MAX];
    unsigned slot = claim_slot (ns, key);
    if (self->states[slot] == OURS || self->states[slot] == HELD)
        return 0;
    claim_of_slot (&claim, self->workspace, slot);
    int rc = world_claim_read (self->shard, &claim, owner, error);
    if (rc > 0 && strcmp (owner, self->stage) != 0)
        return object_elsewhere (ns, key, owner, error);
    if (rc > 0) { /* handed over to us a moment ago: nothing is told before that is on disk */
        set_ours (self, slot);
        self->slots_due = true;
        return 0;
    }
    if (rc == 0) {
        errno = ENOENT;
        strata_fail (error, "there is no object %.200s/%.200s", ns, key);
    }
    return -1;
}

static int not_held (struct slots *self, const char *ns, const char *key, struct strata_error *error)
{
    char name[512];
    if (self->states[claim_slot (ns, key)] != HELD)
        return 0;
    snprintf (name, sizeof (name), "%.200s/%.200s", ns, key);
    return handed_over (self, "object", name, error);
}

int slots_change (struct slots *self, const char *ns, const char *key, struct strata_error *error)
{
    return slots_look (self, ns, key, error) < 0 ? -1 : not_held (self, ns, key, error);
}

int slots_take (struct slots *self, const char *ns, const char *key, struct strata_error *error)
{
    char owner[REPLICA_NAME_MAX];
    unsigned slot = claim_slot (ns, key);
    if (self->states[slot] == OURS)
        return 0;
    if (not_held (self, ns, key, error) < 0)
        return -1;
    int rc = take_slot (self, slot, owner, error);
    if (rc > 0)
        set_ours (self, slot);
    return rc > 0 ? 0 : rc < 0 ? -1 : object_elsewhere (ns, key, owner, error);
}

static bool is_held (const struct slots *self, const char *producer)
{
    for (size_t i = 0; self->held && i < self->held->n_producers; i++)
        if (strcmp (self->held->producers[i], producer) == 0)
            return true;
    return false;
}

int slots_take_producer (struct slots *self, const char *producer, bool known, struct strata_error *error)
{
    struct claim claim;
    char owner[REPLICA_NAME_MAX];
    if (is_held (self, producer))
        return handed_over (self, "producer", producer, error);
    if (known)
        return 0;
    claim_of_producer (&claim, self->workspace, producer);
    int rc = self->closed ? world_claim_read (self->shard, &claim, owner, error) : world_claim_take (self->shard, &claim, self->stage, owner, error);
    /* Also of one of ours, but its first record on this stream: it is handed over soon, or has nothing to hand over. */
    if (self->closed && rc >= 0 && (rc == 0 || strcmp (owner, self->stage) == 0))
        return going (self, "producer", producer, error);
    self->producers_due |= rc > 0 && !self->closed;
    bool ours = rc > 0 && strcmp (owner, self->stage) == 0;
    return ours ? 0 : rc < 0 ? -1 : elsewhere ("what producer", producer, owner, error);
}

/* ---- handing names on ---- */

void slots_close (struct slots *self, bool closed)
{
    self->closed = closed;
}

bool slots_ours (const struct slots *self, unsigned slot)
{
    return self->states[slot] == OURS;
}

bool slots_held (const struct slots *self, unsigned slot)
{
    return self->states[slot] == HELD;
}

/* What is not ours was passed in a life before this one, and is not dropped yet. */
void slots_hold (struct slots *self, const Strata__Handover *item)
{
    self->held = item;
    for (size_t i = 0; item && i < item->n_slots; i++)
        if (self->states[item->slots[i]] == OURS)
            self->states[item->slots[i]] = HELD;
        else if (self->states[item->slots[i]] == NOT_OURS) {
            self->states[item->slots[i]] = PASSED;
            self->count++;
        }
}

/* A claim that is the target's already was passed in a life before this one. */
static int pass (struct slots *self, const struct claim *claim, const char *to, struct strata_error *error)
{
    char owner[REPLICA_NAME_MAX];
    int rc = world_claim_read (self->shard, claim, owner, error);
    if (rc < 0 || (rc > 0 && strcmp (owner, to) == 0))
        return rc < 0 ? -1 : 0;
    if (rc > 0 && strcmp (owner, self->stage) == 0)
        return world_claim_pass (self->shard, claim, to, error);
    errno = EXDEV;
    return strata_fail (error, "claim %s is %s's: %s can't pass it on", claim->name, rc ? owner : "nobody", self->stage);
}

int slots_pass (struct slots *self, const Strata__Handover *item, struct strata_error *error)
{
    struct claim claim = { .name = "" };
    int rc = 0;
    for (size_t i = 0; i < item->n_producers && rc == 0; i++) {
        claim_of_producer (&claim, self->workspace, item->producers[i]);
        rc = pass (self, &claim, item->target, error);
    }
    for (size_t i = 0; i < item->n_slots && rc == 0; i++) {
        claim_of_slot (&claim, self->workspace, item->slots[i]);
        if ((rc = pass (self, &claim, item->target, error)) == 0)
            self->states[item->slots[i]] = PASSED;
    }
    return rc == 0 && claim.name[0] ? world_claim_sync (self->shard, &claim, error) : rc;
}

void slots_drop (struct slots *self, const Strata__Handover *item)
{
    for (size_t i = 0; i < item->n_slots; i++)
        if (self->states[item->slots[i]] != NOT_OURS) {
            self->states[item->slots[i]] = NOT_OURS;
            self->count--;
            self->version++;
        }
    self->held = NULL;
}

static int offered (struct slots *self, const struct claim *claim, const char *from, struct strata_error *error)
{
    char owner[REPLICA_NAME_MAX];
    int rc = world_claim_read (self->shard, claim, owner, error);
    if (rc < 0 || (rc > 0 && strcmp (owner, self->stage) == 0))
        return rc;
    if (rc > 0 && strcmp (owner, from) == 0)
        return 0;
    errno = EXDEV;
    return strata_fail (error, "claim %s is %s's: %s can't hand over what it names", claim->name, rc ? owner : "nobody", from);
}

int slots_offered (struct slots *self, unsigned slot, const char *from, struct strata_error *error)
{
    struct claim claim;
    claim_of_slot (&claim, self->workspace, slot);
    return offered (self, &claim, from, error);
}

int slots_offered_producer (struct slots *self, const char *producer, const char *from, struct strata_error *error)
{
    struct claim claim;
    claim_of_producer (&claim, self->workspace, producer);
    return offered (self, &claim, from, error);
}

int slots_ready (struct slots *self, struct strata_error *error)
{
    return become_keeper (self, error);
}

void slots_passed_on (struct slots *self, unsigned slot)
{
    set_ours (self, slot);
}

int slots_sync (struct slots *self, struct strata_error *error)
{
    struct claim claim;
    claim_of_slot (&claim, self->workspace, 0);
    if (self->slots_due && claim_sync (&claim, error) < 0)
        return -1;
    self->slots_due = false;
    claim_of_producer (&claim, self->workspace, "");
    if (self->producers_due && claim_sync (&claim, error) < 0)
        return -1;
    self->producers_due = false;
    return 0;
}

uint64_t slots_version (const struct slots *self)
{
    return self->version;
}

unsigned slots_count (const struct slots *self)
{
    return self->count;
}

/* ---- a workspace older than claims ---- */

struct claiming {
    struct slots *slots;
    struct strata_error *error;
    int rc;
};

static int claim_producer (const char *stream, const char *producer, uint64_t last, void *arg)
{
    struct claiming *claiming = arg;
    struct strata_error error;
    if (slots_take_producer (claiming->slots, producer, false, &error) == 0)
        return 0;
    if (errno == EXDEV)
        log_warn ("records of %s on stream %s stand here as well: %s", producer, stream, error.text);
    else {
        *claiming->error = error;
        claiming->rc = -1;
    }
    return claiming->rc;
}

static int claim_objects (struct slots *self, struct shard *shard, struct strata_error *error)
{
    struct shard_iter it;
    int rc = 0;
    for (bool more = shard_iter_begin (shard, &it, "obj/", 4, NULL, 0); more && rc == 0; more = shard_iter_next (&it)) {
        char name[sizeof (((struct shard_key *)0)->data)];
        size_t n = it.key_size - 4 < sizeof (name) - 1 ? it.key_size - 4 : sizeof (name) - 1;
        memcpy (name, it.key + 4, n);
        name[n] = '\0';
        char *key = strchr (name, '/');
        if (!key)
            continue;
        *key++ = '\0';
        if (slots_take (self, name, key, error) < 0 && errno != EXDEV)
            rc = -1;
    }
    shard_iter_end (&it);
    return rc;
}

static int claim_all (struct slots *self, struct shard *shard, struct strata_error *error)
{
    struct claiming claiming = { self, error, 0 };
    if (claim_objects (self, shard, error) < 0)
        return -1;
    stream_producers (shard, claim_producer, &claiming);
    if (claiming.rc < 0)
        return -1;
    shard_put_u64 (shard, CLAIMED_KEY, 1);
    return 0;
}

struct slots *slots_new (struct shard *shard, const char *workspace, const char *stage, struct strata_error *error)
{
    struct slots *self = calloc (1, sizeof (*self));
    int rc = 0;
    if (!self) {
        strata_fail (error, "out of memory");
        return NULL;
    }
    self->shard = shard;
    snprintf (self->workspace, sizeof (self->workspace), "%s", workspace);
    snprintf (self->stage, sizeof (self->stage), "%s", stage);
    for (unsigned slot = 0; slot < CLAIM_SLOTS && rc >= 0; slot++) {
        struct claim claim;
        char owner[REPLICA_NAME_MAX];
        claim_of_slot (&claim, workspace, slot);
        rc = world_claim_read (self->shard, &claim, owner, error);
        self->states[slot] = rc > 0 && strcmp (owner, stage) == 0 ? OURS : NOT_OURS;
        self->count += self->states[slot] == OURS;
    }
    self->keeper = self->count > 0;
    if (rc < 0 || (!shard_get_u64 (shard, CLAIMED_KEY, 0) && claim_all (self, shard, error) < 0))
        slots_free (&self);
    return self;
}

void slots_free (struct slots **self)
{
    free (*self);
    *self = NULL;
}
