/* route.c - see route.h */
#include "mesh/route.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "mesh/claims.h"
#include "mesh/mesh_internal.h"

#define PRODUCERS 256 /* remembered; a client has a few */

struct mesh_route {
    char slots[CLAIM_SLOTS][REPLICA_NAME_MAX]; /* "" not known, or not claimed */
    struct {
        uint64_t hash;
        char stage[REPLICA_NAME_MAX];
    } producers[PRODUCERS];
    char answer[REPLICA_NAME_MAX];
};

static struct mesh_route *route (struct mesh *self)
{
    if (!self->route)
        self->route = calloc (1, sizeof (*self->route));
    return self->route;
}

void mesh_route_fini (struct mesh *self)
{
    free (self->route);
    self->route = NULL;
}

void mesh_route_forget (struct mesh *self)
{
    if (self->route)
        memset (self->route, 0, sizeof (*self->route));
}

/* A card outlives a process that was killed; on our own node we can see that it is gone. */
static bool is_dead (const struct mesh *self, const struct mesh_peer *peer)
{
    return strcmp (peer->card.node, self->node) == 0 && peer->card.pid && kill ((pid_t)peer->card.pid, 0) < 0
           && errno == ESRCH;
}

/* The stage that a name should be kept by as things are now, of those that are there and don't go. NULL: there is none. */
static const char *best_stage (struct mesh *self, uint64_t hash, bool own_node)
{
    const char *best = NULL;
    uint64_t best_score = 0;
    for (size_t i = 0; i <= self->peers_count; i++) {
        const struct card *card = i < self->peers_count ? &self->peers[i].card : &self->card;
        if (strcmp (card->service, "stage") != 0 || card->retiring
            || (own_node && strcmp (card->node, self->node) != 0))
            continue;
        if (i < self->peers_count && (self->peers[i].gone || !card->active || is_dead (self, &self->peers[i])))
            continue;
        uint64_t mixed = hash ^ claim_hash (card->replica, strlen (card->replica));
        uint64_t score = claim_hash ((const char *)&mixed, sizeof (mixed));
        if (!best || score > best_score) {
            best = card->replica;
            best_score = score;
        }
    }
    return best;
}

static int by_name (const void *a, const void *b)
{
    return strcmp (a, b);
}

size_t mesh_route_stages (struct mesh *self, char names[][REPLICA_NAME_MAX], size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < self->peers_count && count < max; i++) {
        const struct mesh_peer *peer = &self->peers[i];
        if (strcmp (peer->card.service, "stage") == 0 && peer->card.active && !peer->gone && !is_dead (self, peer))
            memcpy (names[count++], peer->card.replica, REPLICA_NAME_MAX);
    }
    if (count)
        qsort (names, count, REPLICA_NAME_MAX, by_name);
    return count;
}

static const char *preferred (struct mesh *self, uint64_t hash)
{
    const char *stage = best_stage (self, hash, true);
    if (!stage)
        stage = best_stage (self, hash, false);
    return stage ? stage : "stage";
}

/* Its card is gone: it was taken away, maybe, and its names were passed on. What is remembered of it is looked up again. */
static bool is_gone (const struct mesh *self, const char *stage)
{
    for (size_t i = 0; i < self->peers_count; i++)
        if (strcmp (self->peers[i].card.replica, stage) == 0)
            return self->peers[i].gone;
    return false;
}

bool mesh_route_retires (struct mesh *self, const char *stage)
{
    for (size_t i = 0; i < self->peers_count; i++)
        if (strcmp (self->peers[i].card.replica, stage) == 0)
            return self->peers[i].card.retiring && !self->peers[i].gone;
    return false;
}

const char *mesh_route_object (struct mesh *self, const char *ns, const char *key)
{
    struct mesh_route *r = route (self);
    struct strata_error error;
    struct claim claim;
    unsigned slot = claim_slot (ns, key);
    if (!r)
        return "stage";
    if (r->slots[slot][0] && !is_gone (self, r->slots[slot]))
        return r->slots[slot];
    claim_of_slot (&claim, self->workspace, slot);
    if (claim_read (&claim, r->slots[slot], &error) > 0)
        return r->slots[slot];
    return preferred (self, claim_hash (claim.name, strlen (claim.name)));
}

const char *mesh_route_cache (struct mesh *self, const char *ns, const char *key)
{
    return best_stage (self, claim_hash (ns, strlen (ns)) ^ claim_hash (key, strlen (key)), true);
}

const char *mesh_route_producer (struct mesh *self, const char *producer)
{
    struct mesh_route *r = route (self);
    struct strata_error error;
    struct claim claim;
    uint64_t hash = claim_hash (producer, strlen (producer));
    size_t place = hash % PRODUCERS;
    if (!r)
        return "stage";
    if (r->producers[place].hash == hash && r->producers[place].stage[0] && !is_gone (self, r->producers[place].stage))
        return r->producers[place].stage;
    claim_of_producer (&claim, self->workspace, producer);
    r->producers[place].hash = hash;
    if (claim_read (&claim, r->producers[place].stage, &error) > 0)
        return r->producers[place].stage;
    return preferred (self, hash);
}
