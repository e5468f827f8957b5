/* consume.c - reading the streams of peers, each record once: the cursor moves in the batch of the record's effect.
 *
 * Pull with credit: one read is under way for each (peer, stream), of a bounded number of bytes. An announcement says that
 * there is more; a slow poll makes up for one that got lost.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/crash_point.h"
#include "core/crc32c.h"
#include "core/log.h"
#include "mesh/chunks.h"
#include "mesh/in_place.h"
#include "mesh/mesh_internal.h"
#include "mesh/service_internal.h"
#include "store/stream.h"
#include "stream.pb-c.h"

#define READ_RECORDS 10000
#define READ_BYTES (4u << 20)
#define READ_TIMEOUT_MS 10000
#define POLL_US 1000000
#define PAUSE_US 200000 /* after a record that can't be taken now */

struct source {
    char peer[REPLICA_NAME_MAX];  /* as it is called: "feedback#1" */
    char shard[REPLICA_NAME_MAX]; /* its store's name, "feedback-1": the cursor's */
    uint64_t cursor;
    uint64_t committed, moved_at; /* the cursor on disk; commits of the shard when it was moved last */
    uint64_t asked;             /* from where the read under way reads */
    uint64_t announced;         /* the stream has grown up to there */
    bool reading;
    bool restarted;             /* the stream ends before the cursor, or is another one: nothing is read, see fits */
    struct stream_seen seen;    /* the last record taken, and of which store */
    uint64_t life;              /* of the peer's process, to which we have said what was seen; 0: to none */
    bool telling;               /* the read under way says it */
    const void *last;           /* the last record of those that are being taken */
    size_t last_size;
    int64_t due_us;
    struct in_place *in_place;  /* NULL: not read so */
    bool by_socket;             /* a chunk could not be read in its place: never again in this life of the peer's process */
    uint64_t in_place_bytes;    /* read so far */
    const char *folder;         /* of the page that is taken */
    struct consumer *consumer;
};

struct consumer {
    struct consumer *next;
    struct service *service;
    char from[REPLICA_NAME_MAX], stream[STREAM_NAME_MAX + 1];
    uint32_t part, parts;       /* parts above 1: only its part of the producers is read */
    consume_f *each;
    void *arg;
    struct source **sources;
    size_t sources_count;
};

static struct source *source_find (struct consumer *consumer, const char *peer)
{
    for (size_t i = 0; i < consumer->sources_count; i++)
        if (strcmp (consumer->sources[i]->peer, peer) == 0)
            return consumer->sources[i];
    return NULL;
}

static void source_add (struct consumer *consumer, const char *peer)
{
    if (source_find (consumer, peer))
        return;
    struct source *source = calloc (1, sizeof (*source));
    struct source **grown = realloc (consumer->sources, (consumer->sources_count + 1) * sizeof (*grown));
    if (grown)
        consumer->sources = grown;
    if (!source || !grown) {
        free (source);
        return;
    }
    memcpy (source->peer, peer, strnlen (peer, sizeof (source->peer) - 1));
    memcpy (source->shard, source->peer, sizeof (source->shard));
    char *mark = strchr (source->shard, '#');
    if (mark)
        *mark = '-';
    source->consumer = consumer;
    source->cursor = source->committed = cursor_get (consumer->service->shard, source->shard, consumer->stream);
    source->moved_at = UINT64_MAX;
    stream_seen_get (consumer->service->shard, source->shard, consumer->stream, &source->seen);
    grown[consumer->sources_count++] = source;
}

/* The peer's process is the one that knows what we have read. False: the next read tells it. */
static bool known (struct source *source, const Strata__StreamReadReply *page)
{
    if (page->life == source->life)
        return true;
    source->life = source->telling ? page->life : 0;
    source->by_socket = false;
    if (source->telling && !page->other && page->next >= source->cursor) {
        source->seen.store = page->store;
        if (source->restarted)
            source->consumer->service->stream_trouble[0] = '\0';
        source->restarted = false; /* it may have been, and was repaired */
    }
    return source->telling;
}

/* Its store was made anew, or put back from an old copy. Waiting until it has passed the cursor would skip as many records
 * without a word, and reading from its start could count some twice: a person must decide (strata repair). */
static void restarted (struct source *source, uint64_t next)
{
    struct service *service = source->consumer->service;
    char what[sizeof (service->stream_trouble)], ends[64] = "is another one";
    if (next)
        snprintf (ends, sizeof (ends), "ends at record %llu", (unsigned long long)next - 1);
    snprintf (what, sizeof (what),
              "%s of %s %s, but %llu records were read from it already: its store was lost or put back from an old copy; nothing more "
              "is read from it; 'strata repair %s' tells what can be done",
              source->consumer->stream, source->shard, ends, (unsigned long long)source->cursor - 1, source->shard);
    if (!source->restarted)
        service_event (service, "stream-restarted", source->consumer->stream, "%s", what);
    memcpy (service->stream_trouble, what, sizeof (what));
    source->restarted = true;
}

/* The stream is kept from `first` to before `next` (0: it is not the one that was read from). False: nothing may be taken. */
static bool fits (struct source *source, uint64_t first, uint64_t next)
{
    struct consumer *consumer = source->consumer;
    struct service *service = consumer->service;
    if (!source->restarted && (first > source->cursor || next < source->cursor))
        recording_page (service, source->peer, consumer->stream, first, next);
    if (next < source->cursor)
        restarted (source, next);
    if (source->restarted)
        return false;
    if (first > source->cursor) {
        service_event (service,
                       "records-missing",
                       consumer->stream,
                       "records %llu to %llu of %s were trimmed by %s before they were read here",
                       (unsigned long long)source->cursor,
                       (unsigned long long)first - 1,
                       consumer->stream,
                       source->peer);
        source->cursor = first;
    }
    return true;
}

static int take_record (uint64_t sequence, int64_t time_us, const void *record, size_t size, void *arg)
{
    struct source *source = arg;
    struct consumer *consumer = source->consumer;
    if (sequence < source->cursor)
        return 0; /* the page was read twice */
    recording_record (consumer->service, sequence, time_us, record, size);
    if (consumer->each (consumer->service, source->peer, sequence, time_us, record, size, consumer->arg) != 0)
        return 1;
    crash_point ("consume.taken");
    source->cursor = sequence + 1;
    source->seen.sequence = sequence;
    source->seen.time_us = time_us;
    source->last = record;
    source->last_size = size;
    return 0;
}

static const uint8_t *read_in_place (const Strata__Chunk *row, size_t size, void *arg, struct strata_error *error)
{
    struct source *source = arg;
    const uint8_t *bytes = in_place_read (source->in_place, source->folder, row, size, error);
    source->by_socket = source->by_socket || !bytes;
    source->in_place_bytes += bytes ? size : 0;
    return bytes;
}

/* All records below it are committed here. */
static uint64_t committed (struct source *source)
{
    if (shard_commits (source->consumer->service->shard) != source->moved_at)
        source->committed = source->cursor;
    return source->committed;
}

/* Hands over records. True when all were taken. The cursor is written once for all: they are of one turn. */
static bool take_records (struct source *source, Strata__Chunk *const *chunks, size_t count, const struct blob *blobs,
                          size_t blobs_count, uint64_t upto)
{
    struct service *service = source->consumer->service;
    struct strata_error error = { "" };
    uint64_t before = source->cursor;
    committed (source);
    source->last = NULL;
    if (count || upto > source->cursor)
        recording_page (service, source->peer, source->consumer->stream, 0, UINT64_MAX);
    const struct chunks_places places = { read_in_place, source };
    int rc = chunks_each (chunks, count, blobs, blobs_count, source->in_place ? &places : NULL, take_record, source, &error);
    if (rc < 0)
        log_warn ("%s of %s: %s", source->consumer->stream, source->peer, error.text);
    if (rc == 0 && upto > source->cursor)
        source->cursor = upto;
    if (source->cursor != before) {
        recording_cursor (service, source->cursor);
        cursor_set (service->shard, source->shard, source->consumer->stream, source->cursor);
        source->moved_at = shard_commits (service->shard);
        if (source->last)
            source->seen.crc = crc32c (0, source->last, source->last_size);
        stream_seen_put (service->shard, source->shard, source->consumer->stream, &source->seen);
    }
    return rc == 0;
}

/* ---- from the record ---- */

static bool is_text (const struct blob *blob, const char *text)
{
    return blob->size == strlen (text) && memcmp (blob->data, text, blob->size) == 0;
}

void replay_page (struct service *self, const struct journal_item *item)
{
    char peer[REPLICA_NAME_MAX];
    self->replay_source = NULL;
    for (struct consumer *c = self->consumers; c && item->parts_count == 2; c = c->next) {
        if (!is_text (&item->parts[1], c->stream))
            continue;
        snprintf (peer, sizeof (peer), "%.*s", (int)item->parts[0].size, (const char *)item->parts[0].data);
        source_add (c, peer);
        self->replay_source = source_find (c, peer);
        break;
    }
    if (self->replay_source && item->b == UINT64_MAX)
        self->replay_source->restarted = false; /* records are taken from it: it was repaired */
    if (self->replay_source) {
        self->replay_source->restarted = false; /* else the page was not recorded */
        fits (self->replay_source, item->a, item->b);
    } else
        replay_differs (self, "records of a stream are recorded that is not read");
}

void replay_record (struct service *self, const struct journal_item *item)
{
    if (self->replay_source && item->parts_count == 1)
        take_record (item->a, (int64_t)item->b, item->parts[0].data, item->parts[0].size, self->replay_source);
}

void replay_cursor (struct service *self, const struct journal_item *item)
{
    struct source *source = self->replay_source;
    if (!source)
        return;
    if (source->cursor > item->a)
        replay_differs (self, "more records were taken than are recorded");
    source->cursor = item->a;
    cursor_set (self->shard, source->shard, source->consumer->stream, source->cursor);
}

static void on_page (void *owner, const struct reply *reply, void *arg);

/* The cursor is the shard's, whichever replica holds it: a name of the replica's own would stand at the producer for ever
 * after a standby took over, and keep it from ever trimming. */
static char *consumer_name (struct service *service)
{
    char *slash = strrchr (service->shard_dir, '/');
    return slash ? slash + 1 : service->replica;
}

/* ahead: before the turn's commit. Reading changes nothing, and what it says is committed is. */
static void read_from (struct source *source, uint64_t from, bool ahead)
{
    struct consumer *consumer = source->consumer;
    Strata__StreamRead read = STRATA__STREAM_READ__INIT;
    read.stream = consumer->stream;
    read.from = from;
    read.max_records = READ_RECORDS;
    read.max_bytes = READ_BYTES;
    read.part = consumer->part;
    read.parts = consumer->parts;
    read.consumer = consumer_name (consumer->service);
    read.committed = ahead ? committed (source) : source->cursor; /* leaves after the batch that has it is on disk */
    if (!source->in_place)
        source->in_place = in_place_new (consumer->service->workspace, source->shard, consumer->stream);
    read.in_place = source->in_place && !source->by_socket && in_place_possible (&consumer->service->mesh, source->peer);
    source->telling = !source->life;
    if (source->telling) {
        read.store = source->seen.store;
        read.seen = source->seen.sequence;
        read.seen_time_us = source->seen.time_us;
        read.seen_crc = source->seen.crc;
    }
    source->reading = true;
    source->asked = from;
    /* Past service_call: what it reads is recorded record by record, and a replay reads nothing. */
    (ahead ? mesh_call_ahead : mesh_call) (&consumer->service->mesh,
                                           source->peer,
                                           STRATA__MESSAGE_TYPE__TYPE_STREAM_READ,
                                           &read.base,
                                           NULL,
                                           0,
                                           &strata__stream_read_reply__descriptor,
                                           READ_TIMEOUT_MS,
                                           on_page,
                                           consumer->service,
                                           source);
}

static void on_page (void *owner, const struct reply *reply, void *arg)
{
    struct service *self = owner;
    struct source *source = arg;
    source->reading = false;
    source->due_us = self->now_us + POLL_US;
    if (!reply->ok) {
        log_info ("reading %s of %s: %s", source->consumer->stream, source->peer, reply->error);
        return;
    }
    const Strata__StreamReadReply *page = (const Strata__StreamReadReply *)reply->body;
    if (!known (source, page)) {
        source->due_us = 0;
        return;
    }
    if (!fits (source, page->other ? 0 : page->first, page->other ? 0 : page->next)) {
        source->due_us = self->now_us + POLL_US;
        return;
    }
    if (source->asked > source->cursor) { /* asked ahead, and what came before could not be taken */
        source->due_us = self->now_us + PAUSE_US;
        return;
    }
    /* The next page is on its way while this one is worked on and committed. */
    bool more = page->upto < page->next && page->upto > source->cursor;
    if (more)
        read_from (source, page->upto, true);
    bool by_socket = source->by_socket;
    source->folder = page->folder;
    if (!take_records (source, page->chunks, page->n_chunks, reply->blobs, reply->blobs_count, page->upto))
        source->due_us = source->by_socket && !by_socket ? 0 : self->now_us + PAUSE_US;
    else if (!more && source->announced > source->cursor) {
        source->announced = 0; /* asked once: it may never come */
        read_from (source, source->cursor, false);
    }
}

/* Its card was taken away: it may come back, but nobody answers now. */
static bool is_gone (const struct source *source)
{
    const struct mesh_peer *peer = mesh_peer_find (&source->consumer->service->mesh, source->peer);
    return peer && peer->gone;
}

void consume_tick (struct service *self)
{
    for (struct consumer *c = self->consumers; c; c = c->next)
        for (size_t i = 0; i < c->sources_count; i++)
            if (!c->sources[i]->reading && c->sources[i]->due_us <= self->now_us && !is_gone (c->sources[i]))
                read_from (c->sources[i], c->sources[i]->cursor, false);
}

void consume_announced (struct service *self, const Strata__Header *header, const Strata__Announcement *announcement,
                        const struct blob *blobs, size_t blobs_count)
{
    char peer[REPLICA_NAME_MAX];
    mesh_shard_name (header->sender, header->shard, peer);
    for (struct consumer *c = self->consumers; c; c = c->next) {
        struct source *source = strcmp (c->stream, announcement->stream) == 0 ? source_find (c, peer) : NULL;
        if (!source || announcement->next <= source->cursor)
            continue;
        bool in_step = announcement->n_chunks && announcement->chunks[0]->first == source->cursor && !source->reading
                       && !source->restarted && source->life == header->boot && source->due_us > self->now_us
                       && c->parts <= 1;
        source->folder = ""; /* those that come along have no places */
        if (in_step && take_records (source, announcement->chunks, announcement->n_chunks, blobs, blobs_count, 0)
            && source->cursor >= announcement->next)
            continue;
        if (in_step && source->cursor < announcement->next) {
            source->due_us = self->now_us + PAUSE_US;
            continue;
        }
        source->due_us = 0;
        source->announced = announcement->next;
    }
}

void consume_peer (struct service *self, const struct card *card)
{
    char name[REPLICA_NAME_MAX];
    mesh_shard_name (card->replica, card->shard, name);
    for (struct consumer *c = self->consumers; c; c = c->next)
        if (strcmp (c->from, card->service) == 0 && (card->active || strcmp (name, card->replica) == 0))
            source_add (c, name);
}

void service_consume (struct service *self, const char *from, const char *stream, consume_f *each, void *arg)
{
    service_consume_part (self, from, stream, 0, 1, each, arg);
}

void service_consume_part (struct service *self, const char *from, const char *stream, unsigned part, unsigned parts,
                           consume_f *each, void *arg)
{
    const struct card *cards[256];
    struct consumer *consumer = calloc (1, sizeof (*consumer));
    char topic[STREAM_NAME_MAX + 8];
    if (!consumer) {
        log_error ("out of memory");
        abort ();
    }
    consumer->service = self;
    memcpy (consumer->from, from, strnlen (from, sizeof (consumer->from) - 1));
    memcpy (consumer->stream, stream, strnlen (stream, sizeof (consumer->stream) - 1));
    consumer->part = part;
    consumer->parts = parts;
    consumer->each = each;
    consumer->arg = arg;
    consumer->next = self->consumers;
    self->consumers = consumer;
    snprintf (topic, sizeof (topic), "s/%s", consumer->stream);
    mesh_subscribe (&self->mesh, topic);
    size_t count = mesh_peers (&self->mesh, cards, 256);
    for (size_t i = 0; i < count && i < 256; i++)
        consume_peer (self, cards[i]);
}

/* A source has one page under way and one in work at most. */
void consume_metrics (struct service *self)
{
    size_t pages = 0, sources = 0;
    uint64_t in_place = 0;
    for (struct consumer *c = self->consumers; c; c = c->next)
        for (size_t i = 0; i < c->sources_count; i++, sources++) {
            pages += c->sources[i]->reading;
            in_place += c->sources[i]->in_place_bytes;
        }
    if (!sources)
        return;
    service_metric (self, "read_ahead_bytes", (double)pages * READ_BYTES, (double)sources * READ_BYTES);
    service_metric (self, "read_in_place_bytes", (double)in_place, 0);
}

void consume_fini (struct service *self)
{
    while (self->consumers) {
        struct consumer *consumer = self->consumers;
        self->consumers = consumer->next;
        for (size_t i = 0; i < consumer->sources_count; i++) {
            in_place_free (&consumer->sources[i]->in_place);
            free (consumer->sources[i]);
        }
        free (consumer->sources);
        free (consumer);
    }
}
