/* announce.c - telling subscribers that streams have grown: one publication a stream and turn, queued before the commit.
 *
 * Few and small records go along: a consumer in step then has them with the message that tells of them, and need not ask.
 * Otherwise it reads what is new (consume.c), as it does when a publication gets lost.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "mesh/chunks.h"
#include "mesh/service_internal.h"
#include "store/stream.h"

#define ALONG_BYTES (16u << 10)
#define ALONG_RECORDS 256

struct announcement {
    struct announcement *next;
    char stream[STREAM_NAME_MAX + 1];
    struct chunks chunks;
    bool alone; /* no records go along: they are too many, or not known here */
};

static struct announcement *announcement_of (struct service *self, const char *stream)
{
    struct announcement **p = &self->announcements;
    for (; *p; p = &(*p)->next)
        if (strcmp ((*p)->stream, stream) == 0)
            return *p;
    struct announcement *fresh = calloc (1, sizeof (*fresh));
    if (!fresh) {
        log_error ("out of memory");
        abort ();
    }
    snprintf (fresh->stream, sizeof (fresh->stream), "%s", stream);
    return *p = fresh;
}

void service_announce (struct service *self, const char *stream)
{
    announcement_of (self, stream)->alone = true;
}

void announce_records (struct service *self, const char *stream, uint64_t first, const uint32_t *sizes, size_t count,
                       const void *bytes, size_t size)
{
    struct announcement *a = announcement_of (self, stream);
    if (!a->alone && a->chunks.bytes + size <= ALONG_BYTES && a->chunks.records + count <= ALONG_RECORDS)
        chunks_add_bytes (&a->chunks, first, self->now_us, sizes, count, bytes, size);
    else
        a->alone = true;
}

void announce_flush (struct service *self)
{
    while (self->announcements) {
        struct announcement *a = self->announcements;
        struct stream_stat stat;
        char topic[STREAM_NAME_MAX + 8];
        Strata__Announcement body = STRATA__ANNOUNCEMENT__INIT;
        zframe_t **blobs = NULL;
        size_t count = 0;
        stream_stat (self->shard, a->stream, &stat);
        body.stream = a->stream;
        body.next = stat.next;
        if (!a->alone) {
            body.chunks = a->chunks.rows;
            body.n_chunks = a->chunks.count;
            blobs = chunks_blobs (&a->chunks, &count);
        }
        snprintf (topic, sizeof (topic), "s/%s", a->stream);
        mesh_send_publication (&self->mesh, topic, STRATA__MESSAGE_TYPE__TYPE_ANNOUNCEMENT, &body.base, blobs, count);
        self->announcements = a->next;
        chunks_fini (&a->chunks);
        free (a);
    }
}

void announce_fini (struct service *self)
{
    while (self->announcements) {
        struct announcement *a = self->announcements;
        self->announcements = a->next;
        chunks_fini (&a->chunks);
        free (a);
    }
}
