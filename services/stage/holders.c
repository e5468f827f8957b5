/* holders.c - see holders.h */
#include "holders.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mesh/claims.h"
#include "stage_core.h"

#define PLACES 4096

struct place {
    uint64_t version; /* hash of name and version, 0: free */
    unsigned count;
    char names[HOLDERS_EACH][REPLICA_NAME_MAX];
};

struct holders {
    struct place places[PLACES];
    unsigned turn;
};

struct holders *holders_new (void)
{
    return calloc (1, sizeof (struct holders));
}

void holders_free (struct holders **self)
{
    free (*self);
    *self = NULL;
}

/* The place of that version; `hash`: what stands in it when it is that version's. */
static struct place *place_of (struct holders *self, const char *ns, const char *key, const Strata__ObjectInfo *version, uint64_t *hash)
{
    char text[STAGE_FULL_NAME + 96];
    snprintf (text, sizeof (text), "%s/%s %" PRIu64 " %" PRIu64 " %08x %" PRId64, ns, key, version->size, version->generation,
              version->crc32c, version->mtime_us);
    *hash = claim_hash (text, strlen (text)) | 1;
    return &self->places[(*hash >> 1) % PLACES];
}

void holders_add (struct holders *self, const char *ns, const char *key, const Strata__ObjectInfo *version, const char *stage)
{
    uint64_t hash;
    struct place *place = place_of (self, ns, key, version, &hash);
    if (place->version != hash)
        *place = (struct place){ .version = hash };
    for (unsigned i = 0; i < place->count; i++)
        if (strcmp (place->names[i], stage) == 0)
            return;
    /* When all are taken the one that was added first goes: it is the likeliest to have dropped the object. */
    if (place->count == HOLDERS_EACH)
        memmove (place->names[0], place->names[1], (HOLDERS_EACH - 1) * sizeof (place->names[0]));
    else
        place->count++;
    snprintf (place->names[place->count - 1], REPLICA_NAME_MAX, "%.63s", stage);
}

void holders_remove (struct holders *self, const char *ns, const char *key, const Strata__ObjectInfo *version, const char *stage)
{
    uint64_t hash;
    struct place *place = place_of (self, ns, key, version, &hash);
    for (unsigned i = 0; place->version == hash && i < place->count; i++)
        if (strcmp (place->names[i], stage) == 0) {
            place->count--;
            memmove (place->names[i], place->names[i + 1], (place->count - i) * sizeof (place->names[0]));
            return;
        }
}

size_t holders_of (struct holders *self, const char *ns, const char *key, const Strata__ObjectInfo *version,
                   char *names[HOLDERS_EACH])
{
    uint64_t hash;
    struct place *place = place_of (self, ns, key, version, &hash);
    if (place->version != hash || !place->count)
        return 0;
    self->turn++;
    for (unsigned i = 0; i < place->count; i++)
        names[i] = place->names[(self->turn + i) % place->count];
    return place->count;
}
