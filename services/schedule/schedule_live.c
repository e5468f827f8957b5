/* schedule_live.c - the jobs that are not ended, filed so that no step looks at all of them.
 *
 *   by id           a hash table
 *   by state        LAUNCHING, RUNNING, and STOPPING (running, and asked to end): lists in the order in which they came there
 *   WAITING         a heap of each type, oldest first; those whose pause is not over: one heap, earliest end first
 *
 * A job is taken out before something changes that says where it stands (leave), and filed anew after it (enter).
 */
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "schedule_impl.h"

#define S(state) STRATA__JOB_STATE__JOB_##state

/* ---- heaps ---- */

static bool older (const struct live *a, const struct live *b)
{
    if (a->job->created_us != b->job->created_us)
        return a->job->created_us < b->job->created_us;
    return strcmp (a->job->id, b->job->id) < 0;
}

static bool sooner (const struct live *a, const struct live *b)
{
    return a->not_before_us != b->not_before_us ? a->not_before_us < b->not_before_us : older (a, b);
}

bool schedule_older (const struct live *a, const struct live *b)
{
    return older (a, b);
}

static void set_at (struct live_heap *heap, size_t i, struct live *live)
{
    heap->list[i] = live;
    live->heap_at = i;
}

static void sift_up (struct live_heap *heap, size_t i, bool (*before) (const struct live *, const struct live *))
{
    struct live *live = heap->list[i];
    for (; i > 0 && before (live, heap->list[(i - 1) / 2]); i = (i - 1) / 2)
        set_at (heap, i, heap->list[(i - 1) / 2]);
    set_at (heap, i, live);
}

static void sift_down (struct live_heap *heap, size_t i, bool (*before) (const struct live *, const struct live *))
{
    struct live *live = heap->list[i];
    for (size_t child; (child = 2 * i + 1) < heap->count; i = child) {
        if (child + 1 < heap->count && before (heap->list[child + 1], heap->list[child]))
            child++;
        if (!before (heap->list[child], live))
            break;
        set_at (heap, i, heap->list[child]);
    }
    set_at (heap, i, live);
}

static void heap_add (struct live_heap *heap, struct live *live, bool (*before) (const struct live *, const struct live *))
{
    heap->list = schedule_grow (heap->list, heap->count, &heap->room, sizeof (*heap->list));
    heap->list[heap->count++] = live;
    sift_up (heap, heap->count - 1, before);
}

static void heap_remove (struct live_heap *heap, struct live *live, bool (*before) (const struct live *, const struct live *))
{
    size_t i = live->heap_at;
    struct live *last = heap->list[--heap->count];
    if (last == live)
        return;
    set_at (heap, i, last);
    sift_up (heap, i, before);
    sift_down (heap, last->heap_at, before);
}

/* ---- where a job stands ---- */

static void list_add (struct live_list *list, struct live *live)
{
    live->list_next = NULL;
    live->list_before = list->last;
    *(list->last ? &list->last->list_next : &list->first) = live;
    list->last = live;
    list->count++;
}

static void list_remove (struct live_list *list, struct live *live)
{
    *(live->list_before ? &live->list_before->list_next : &list->first) = live->list_next;
    *(live->list_next ? &live->list_next->list_before : &list->last) = live->list_before;
    list->count--;
}

void schedule_enter (struct schedule *self, struct live *live)
{
    const Strata__Job *job = live->job;
    live->list = NULL;
    live->heap = NULL;
    live->fresh = job->state == S (WAITING) && job->attempt == 0;
    live->type->fresh += live->fresh;
    if (job->state == S (WAITING)) {
        live->heap = live->not_before_us ? &self->paused : &live->type->ready;
        heap_add (live->heap, live, live->heap == &self->paused ? sooner : older);
    }
    else if (job->state == S (LAUNCHING))
        live->list = &self->lists[SCHEDULE_LAUNCHING];
    else if (job->state == S (RUNNING))
        live->list = &self->lists[job->cancel ? SCHEDULE_STOPPING : SCHEDULE_RUNNING];
    if (live->list)
        list_add (live->list, live);
}

void schedule_leave (struct schedule *self, struct live *live)
{
    if (live->list)
        list_remove (live->list, live);
    if (live->heap)
        heap_remove (live->heap, live, live->heap == &self->paused ? sooner : older);
    live->type->fresh -= live->fresh;
    live->fresh = false;
    live->list = NULL;
    live->heap = NULL;
}

void schedule_pause (struct schedule *self, struct live *live, int64_t until_us)
{
    schedule_leave (self, live);
    live->not_before_us = until_us;
    schedule_enter (self, live);
}

void schedule_wake (struct schedule *self, int64_t now_us)
{
    while (self->paused.count && schedule_pause_over (self->paused.list[0]->not_before_us, now_us))
        schedule_pause (self, self->paused.list[0], 0);
}

/* ---- by id ---- */

static size_t bucket_of (const struct schedule *self, const char *id)
{
    return hash64 (0, id, strlen (id)) & (self->buckets_count - 1);
}

static void grow_buckets (struct schedule *self)
{
    size_t old_count = self->buckets_count;
    struct live **old = self->buckets;
    self->buckets_count = old_count ? old_count * 2 : 256;
    self->buckets = calloc (self->buckets_count, sizeof (struct live *));
    if (!self->buckets)
        abort (); /* as out_of_memory of schedule_core.c: the restart finds the state before this turn */
    for (size_t i = 0; i < old_count; i++)
        for (struct live *live = old[i], *next; live; live = next) {
            struct live **bucket = &self->buckets[bucket_of (self, live->job->id)];
            next = live->hashed;
            live->hashed = *bucket;
            *bucket = live;
        }
    free (old);
}

struct live *schedule_find_live (struct schedule *self, const char *id)
{
    struct live *live = self->buckets_count ? self->buckets[bucket_of (self, id)] : NULL;
    while (live && strcmp (live->job->id, id) != 0)
        live = live->hashed;
    return live;
}

struct live *schedule_live_add (struct schedule *self, Strata__Job *job, struct job_type *type)
{
    struct live *live = calloc (1, sizeof (*live));
    if (!live)
        abort ();
    live->job = job;
    live->type = type;
    self->live = schedule_grow (self->live, self->live_count, &self->live_room, sizeof (*self->live));
    live->live_at = self->live_count;
    self->live[self->live_count++] = live;
    if (self->live_count > self->buckets_count)
        grow_buckets (self); /* it is not in one yet */
    struct live **bucket = &self->buckets[bucket_of (self, job->id)];
    live->hashed = *bucket;
    *bucket = live;
    schedule_enter (self, live);
    return live;
}

void schedule_live_remove (struct schedule *self, struct live *live)
{
    struct live **at = &self->buckets[bucket_of (self, live->job->id)];
    schedule_leave (self, live);
    while (*at != live)
        at = &(*at)->hashed;
    *at = live->hashed;
    struct live *last = self->live[--self->live_count];
    self->live[live->live_at] = last;
    last->live_at = live->live_at;
}

void schedule_live_free (struct live *live)
{
    strata__job__free_unpacked (live->job, NULL);
    free (live);
}

/* ---- for who looks ---- */

size_t schedule_live (const struct schedule *self)
{
    return self->live_count;
}

const Strata__Job *schedule_job_at (const struct schedule *self, size_t i)
{
    return i < self->live_count ? self->live[i]->job : NULL;
}

size_t schedule_count (const struct schedule *self, enum schedule_list list)
{
    return self->lists[list].count;
}

static bool fill (const struct schedule *self, const struct live *live, struct schedule_work *work)
{
    *work = (struct schedule_work){ .job = NULL };
    if (!live)
        return false;
    const Strata__Job *job = live->job;
    work->job = job;
    work->type = live->type->campaign;
    work->next = live->list_next;
    work->may_launch = job->state == S (LAUNCHING)
                       && (live->launch_commit == 0 || shard_commits (self->shard) >= live->launch_commit);
    work->must_stop = (job->state == S (LAUNCHING) || job->state == S (RUNNING)) && (job->cancel || self->draining || schedule_end_stops (self, live->type));
    return true;
}

bool schedule_first (const struct schedule *self, enum schedule_list list, struct schedule_work *work)
{
    return fill (self, self->lists[list].first, work);
}

bool schedule_next (const struct schedule *self, struct schedule_work *work)
{
    return fill (self, work->next, work);
}

bool schedule_work_of (struct schedule *self, const char *id, struct schedule_work *work)
{
    return fill (self, schedule_find_live (self, id), work) && (work->job->state == S (LAUNCHING) || work->job->state == S (RUNNING));
}
