/* engine_listing.c - see engine.h: which attempts are in the engine, by its own word. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "engine.h"

/* ---- entries ---- */

static void make_key (char key[256], const char *id, uint32_t attempt)
{
    snprintf (key, 256, "%.240s#%u", id, attempt);
}

struct engine_entry *engine_find (const struct engine *self, const char *id, uint32_t attempt)
{
    char key[256];
    make_key (key, id, attempt);
    return zhash_lookup (self->entries, key);
}

static void entry_free (void *arg)
{
    struct engine_entry *entry = arg;
    free (entry->id);
    free (entry->folder);
    free (entry);
}

struct engine_entry *engine_add (struct engine *self, const char *id, uint32_t attempt, const char *folder)
{
    struct engine_entry *entry = calloc (1, sizeof (*entry));
    if (entry) {
        make_key (entry->key, id, attempt);
        entry->attempt = attempt;
        entry->polled = self->turn;
        entry->id = strdup (id);
        entry->folder = strdup (folder);
        if (entry->id && entry->folder && zhash_insert (self->entries, entry->key, entry) == 0) {
            zhash_freefn (self->entries, entry->key, entry_free);
            return entry;
        }
        entry_free (entry);
    }
    return NULL;
}

static void leave_batch (struct engine_entry *entry)
{
    if (entry->batch && entry->batch->tasks[entry->task] == entry) {
        entry->batch->tasks[entry->task] = NULL;
        entry->batch->left--;
    }
    entry->batch = NULL;
}

void engine_remove (struct engine *self, struct engine_entry *entry)
{
    char key[256];
    memcpy (key, entry->key, sizeof (key));
    for (size_t i = 0; entry->step == ENGINE_QUEUED && i < self->queue_count; i++)
        if (self->queue[i] == entry)
            self->queue[i] = NULL;
    leave_batch (entry);
    zhash_delete (self->entries, key);
}

int engine_enqueue (struct engine *self, struct engine_entry *entry)
{
    if (self->queue_count == self->queue_room) {
        size_t room = self->queue_room ? self->queue_room * 2 : 64;
        struct engine_entry **more = realloc (self->queue, room * sizeof (struct engine_entry *));
        if (!more)
            return -1;
        self->queue = more;
        self->queue_room = room;
    }
    leave_batch (entry);
    entry->step = ENGINE_QUEUED;
    self->queue[self->queue_count++] = entry;
    return 0;
}

void engine_remove_batch_of (struct engine *self, struct engine_batch *batch)
{
    engine_remove_batch (self, batch->name);
    for (size_t i = 0; i < batch->count; i++)
        if (batch->tasks[i])
            batch->tasks[i]->batch = NULL;
    zhash_delete (self->batches, batch->name);
    free (batch->tasks);
    free (batch);
}

/* ---- a batch that is known from the listing alone ---- */

struct adoption {
    struct engine *engine;
    struct engine_batch *batch;
};

static void adopt (void *arg, size_t task, const char *id, uint32_t attempt, const char *folder)
{
    struct adoption *self = arg;
    if (task >= self->batch->count) {
        struct engine_entry **more = realloc (self->batch->tasks, (task + 1) * sizeof (struct engine_entry *));
        if (!more)
            return;
        for (size_t i = self->batch->count; i <= task; i++)
            more[i] = NULL;
        self->batch->tasks = more;
        self->batch->count = task + 1;
    }
    struct engine_entry *entry = engine_find (self->engine, id, attempt);
    if (!entry && !(entry = engine_add (self->engine, id, attempt, folder)))
        return;
    if (entry->batch)
        return; /* it was submitted twice; what is told of the other one holds, and the attempt's lock lets one run */
    for (size_t i = 0; entry->step == ENGINE_QUEUED && i < self->engine->queue_count; i++)
        if (self->engine->queue[i] == entry)
            self->engine->queue[i] = NULL;
    entry->step = ENGINE_PENDING;
    entry->batch = self->batch;
    entry->task = task;
    self->batch->tasks[task] = entry;
    self->batch->left++;
}

static struct engine_batch *adopt_batch (struct engine *self, const char *name)
{
    struct engine_batch *batch = calloc (1, sizeof (*batch));
    struct adoption adoption = { self, batch };
    if (!batch)
        return NULL;
    snprintf (batch->name, sizeof (batch->name), "%s", name);
    if (engine_read_batch (self, name, adopt, &adoption) != 0)
        log_warn ("%s has jobs named %s, but there is no list of them in this workspace", self->table->name, name);
    zhash_insert (self->batches, batch->name, batch);
    return batch;
}

/* ---- a listing ---- */

static void take_row (struct engine *self, const struct engine_row *row)
{
    char name[64], prefix[32];
    size_t n = strcspn (row->name, ":");
    snprintf (prefix, sizeof (prefix), "strata-%s-", self->tag);
    if (strncmp (row->name, prefix, strlen (prefix)) != 0 || n >= sizeof (name))
        return;
    snprintf (name, sizeof (name), "%.*s", (int)n, row->name);
    struct engine_batch *batch = zhash_lookup (self->batches, name);
    if (!batch && !(batch = adopt_batch (self, name)))
        return;
    batch->listed = self->listings;
    if (row->task < 0 || (size_t)row->task >= batch->count || !batch->tasks[row->task])
        return;
    struct engine_entry *entry = batch->tasks[row->task];
    int64_t now_ms = engine_now_ms ();
    entry->listed = self->listings;
    snprintf (entry->native, sizeof (entry->native), "%s", row->native);
    snprintf (entry->state, sizeof (entry->state), "%s", row->state);
    snprintf (entry->reason, sizeof (entry->reason), "%s", row->reason);
    snprintf (entry->nodes, sizeof (entry->nodes), "%s", row->nodes);
    if (row->step == ENGINE_OVER && entry->step != ENGINE_OVER)
        entry->over_ms = now_ms;
    if (row->step == ENGINE_PENDING && !entry->pending_ms)
        entry->pending_ms = now_ms;
    entry->news |= entry->step != row->step || row->lingers;
    entry->step = row->step;
    entry->ran |= row->step == ENGINE_RUNNING;
    if (row->lingers)
        entry->looked_ms = 0; /* its outcome is worth a look */
}

/* An entry whose batch the engine must know, and does not name. */
static void take_absence (struct engine *self, struct engine_entry *entry)
{
    if (entry->listed == self->listings || !entry->batch || self->listings <= entry->batch->submitted_after)
        return;
    if (entry->step == ENGINE_UNSURE) {
        if (engine_enqueue (self, entry) != 0)
            log_error ("out of memory for the queue to %s", self->table->name);
    }
    else if (entry->step == ENGINE_PENDING || entry->step == ENGINE_RUNNING) {
        entry->step = ENGINE_OVER;
        entry->over_ms = engine_now_ms ();
    }
}

static bool is_known (const struct engine *self, const char *name)
{
    return zhash_lookup (self->batches, name) != NULL;
}

static void drop_batches (struct engine *self)
{
    zlist_t *names = zhash_keys (self->batches);
    for (const char *name = names ? zlist_first (names) : NULL; name; name = zlist_next (names)) {
        struct engine_batch *batch = zhash_lookup (self->batches, name);
        if (batch->left == 0 && batch->listed != self->listings && batch != self->submitting
            && self->listings > batch->submitted_after)
            engine_remove_batch_of (self, batch);
    }
    zlist_destroy (&names);
}

void engine_take_listing (struct engine *self, char *text)
{
    char *rest = text;
    for (char *line; (line = strsep (&rest, "\n"));) {
        struct engine_row row = { .task = -1 };
        if (line[0] && self->table->row (line, &row))
            take_row (self, &row);
    }
    for (struct engine_entry *entry = zhash_first (self->entries); entry; entry = zhash_next (self->entries))
        take_absence (self, entry);
    drop_batches (self);
    if (!self->ready)
        engine_clean_batches (self, is_known);
    self->ready = true;
}
