/* schedule_index.c - a start reads the jobs that are not ended, and how many are in each state, not all there ever were.
 *
 *   live/<id>       empty: of each job that is not ended
 *   counts/<type>   seven u64: its jobs in each state
 *   indexed         u64 1: both are there; a store without them is read once from its jobs
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "schedule_impl.h"

static void counts_put (struct schedule *self, struct job_type *type)
{
    struct shard_key key, value = { .size = 0 };
    shard_key (&key, "counts/%s", type->campaign->name);
    for (size_t i = 0; i < STATES; i++)
        shard_key_u64 (&value, type->counts[i]);
    shard_put (self->shard, key.data, key.size, value.data, value.size);
    type->counts_changed = false;
}

void schedule_index_counts (struct schedule *self)
{
    for (size_t i = 0; i < self->types_count; i++)
        if (self->types[i].counts_changed)
            counts_put (self, &self->types[i]);
}

void schedule_index_put (struct schedule *self, const Strata__Job *job)
{
    struct shard_key key;
    shard_key (&key, "live/%s", job->id);
    if (schedule_state_ended (job->state))
        shard_delete (self->shard, key.data, key.size);
    else
        shard_put (self->shard, key.data, key.size, NULL, 0);
}

void schedule_index_forget (struct schedule *self, const Strata__Job *job)
{
    struct shard_key key;
    shard_key (&key, "live/%s", job->id);
    shard_delete (self->shard, key.data, key.size);
}

static int damaged (struct schedule *self, const uint8_t *key, size_t size, struct strata_error *error)
{
    strata_fail (error, "store %s: the record %.*s does not parse; the store is damaged", shard_dir (self->shard), (int)size,
                 (const char *)key);
    errno = EBADMSG;
    return -1;
}

/* A job's record, and its type. NULL with the sentence. */
static Strata__Job *job_of (struct schedule *self, const uint8_t *key, size_t key_size, const void *value, size_t size,
                            struct job_type **type, struct strata_error *error)
{
    Strata__Job *job = strata__job__unpack (NULL, size, value);
    if (!job) {
        damaged (self, key, key_size, error);
        return NULL;
    }
    *type = schedule_find_type (self, job->type);
    if (*type && (unsigned)job->state < STATES)
        return job;
    strata_fail (error,
                 "job %.100s is of type %.100s, which the campaign file doesn't have; start with the file that this workspace "
                 "was made with", job->id, job->type);
    strata__job__free_unpacked (job, NULL);
    return NULL;
}

static void load (struct schedule *self, Strata__Job *job, struct job_type *type)
{
    if (schedule_state_ended (job->state))
        strata__job__free_unpacked (job, NULL);
    else
        schedule_hold (self, schedule_revive (self, job, type));
}

/* The index is put only when all was read: an iterator is no time to write. */
static int load_all (struct schedule *self, struct strata_error *error)
{
    struct shard_iter it;
    int rc = 0;
    for (bool more = shard_iter_begin (self->shard, &it, "job/", 4, NULL, 0); more && rc == 0; more = shard_iter_next (&it)) {
        struct job_type *type;
        Strata__Job *job = job_of (self, it.key, it.key_size, it.value, it.value_size, &type, error);
        if (!job)
            rc = -1;
        else {
            type->counts[job->state]++;
            load (self, job, type);
        }
    }
    shard_iter_end (&it);
    if (rc < 0)
        return -1;
    for (size_t i = 0; i < self->live_count; i++)
        schedule_index_put (self, self->live[i]->job);
    for (size_t i = 0; i < self->types_count; i++)
        counts_put (self, &self->types[i]);
    shard_put_u64 (self->shard, "indexed", 1);
    return 0;
}

static int load_counts (struct schedule *self, struct job_type *type, struct strata_error *error)
{
    struct shard_key key;
    void *value;
    size_t size;
    shard_key (&key, "counts/%s", type->campaign->name);
    if (!shard_get (self->shard, key.data, key.size, &value, &size))
        return 0;
    int rc = size == 8 * STATES ? 0 : damaged (self, key.data, key.size, error);
    for (size_t i = 0; i < STATES && rc == 0; i++)
        type->counts[i] = shard_u64 ((const uint8_t *)value + 8 * i);
    free (value);
    return rc;
}

static int load_live (struct schedule *self, struct strata_error *error)
{
    struct shard_iter it;
    int rc = 0;
    for (bool more = shard_iter_begin (self->shard, &it, "live/", 5, NULL, 0); more && rc == 0; more = shard_iter_next (&it)) {
        struct shard_key key;
        struct job_type *type;
        void *value;
        size_t size;
        shard_key (&key, "job/%.*s", (int)(it.key_size - 5), (const char *)it.key + 5);
        if (!shard_get (self->shard, key.data, key.size, &value, &size)) {
            rc = damaged (self, it.key, it.key_size, error);
            break;
        }
        Strata__Job *job = job_of (self, key.data, key.size, value, size, &type, error);
        free (value);
        if (!job)
            rc = -1;
        else
            load (self, job, type);
    }
    shard_iter_end (&it);
    return rc;
}

int schedule_index_load (struct schedule *self, struct strata_error *error)
{
    if (!shard_get_u64 (self->shard, "indexed", 0))
        return load_all (self, error);
    for (size_t i = 0; i < self->types_count; i++)
        if (load_counts (self, &self->types[i], error) < 0)
            return -1;
    return load_live (self, error);
}
