/* slots.c - see slots.h */
#include "slots.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "mesh/claims.h"
#include "store/stream.h"

#define CLAIMED_KEY "stage/claimed" /* 1: all that the shard keeps is claimed */

struct slots {
    char workspace[4096], stage[REPLICA_NAME_MAX];
    bool mine[CLAIM_SLOTS];
    bool keeper; /* claims/keepers says so */
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
    if (claim_take (&claim, self->stage, owner, error) < 0 || claim_sync (&claim, error) < 0)
        return -1;
    self->keeper = true;
    return 0;
}

static int take_slot (struct slots *self, unsigned slot, char owner[REPLICA_NAME_MAX], struct strata_error *error)
{
    struct claim claim;
    if (self->mine[slot])
        return 1;
    if (become_keeper (self, error) < 0)
        return -1;
    claim_of_slot (&claim, self->workspace, slot);
    int rc = claim_take (&claim, self->stage, owner, error);
    if (rc > 0) {
        self->mine[slot] = self->slots_due = true;
        self->count++;
        self->version++;
    }
    return rc;
}

bool slots_mine (const struct slots *self, const char *ns, const char *key)
{
    return self->mine[claim_slot (ns, key)];
}

int slots_look (struct slots *self, const char *ns, const char *key, struct strata_error *error)
{
    struct claim claim;
    char owner[REPLICA_NAME_MAX];
    unsigned slot = claim_slot (ns, key);
    if (self->mine[slot])
        return 0;
    claim_of_slot (&claim, self->workspace, slot);
    int rc = claim_read (&claim, owner, error);
    if (rc > 0)
        return object_elsewhere (ns, key, owner, error);
    if (rc == 0) {
        errno = ENOENT;
        strata_fail (error, "there is no object %.200s/%.200s", ns, key);
    }
    return -1;
}

int slots_take (struct slots *self, const char *ns, const char *key, struct strata_error *error)
{
    char owner[REPLICA_NAME_MAX];
    int rc = take_slot (self, claim_slot (ns, key), owner, error);
    return rc > 0 ? 0 : rc < 0 ? -1 : object_elsewhere (ns, key, owner, error);
}

int slots_take_producer (struct slots *self, const char *producer, struct strata_error *error)
{
    struct claim claim;
    char owner[REPLICA_NAME_MAX];
    claim_of_producer (&claim, self->workspace, producer);
    int rc = claim_take (&claim, self->stage, owner, error);
    self->producers_due |= rc > 0;
    return rc > 0 ? 0 : rc < 0 ? -1 : elsewhere ("what producer", producer, owner, error);
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

static void claim_producer (const char *stream, const char *producer, uint64_t last, void *arg)
{
    struct claiming *claiming = arg;
    struct strata_error error;
    if (slots_take_producer (claiming->slots, producer, &error) == 0)
        return;
    if (errno == EXDEV)
        log_warn ("records of %s on stream %s stand here as well: %s", producer, stream, error.text);
    else {
        *claiming->error = error;
        claiming->rc = -1;
    }
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
    snprintf (self->workspace, sizeof (self->workspace), "%s", workspace);
    snprintf (self->stage, sizeof (self->stage), "%s", stage);
    for (unsigned slot = 0; slot < CLAIM_SLOTS && rc >= 0; slot++) {
        struct claim claim;
        char owner[REPLICA_NAME_MAX];
        claim_of_slot (&claim, workspace, slot);
        rc = claim_read (&claim, owner, error);
        self->mine[slot] = rc > 0 && strcmp (owner, stage) == 0;
        self->count += self->mine[slot];
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
