/* in_place.c - see in_place.h */
#include "mesh/in_place.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/crc32c.h"
#include "mesh/mesh_internal.h"
#include "mesh/wire.h"
#include "store/stream.h"
#include "store/stream_log.h"

#define FOLDER_MAX 64

struct in_place {
    char shard_dir[4300], stream[STREAM_NAME_MAX + 1];
    char folder[FOLDER_MAX];    /* of the file that is open */
    uint64_t segment;
    int fd;                     /* -1: none */
    uint8_t *bytes;             /* of the chunk read last */
    size_t room;
};

bool in_place_possible (struct mesh *mesh, const char *name)
{
    char endpoint[SECURE_ENDPOINT_MAX];
    struct strata_error error;
    const struct mesh_peer *peer = mesh_peer_find (mesh, name);
    return peer && secure_endpoint (&peer->card, false, endpoint, &error) == 0 && strncmp (endpoint, "ipc://", 6) == 0;
}

struct in_place *in_place_new (const char *workspace, const char *shard, const char *stream)
{
    struct in_place *self = calloc (1, sizeof (*self));
    if (!self)
        return NULL;
    self->fd = -1;
    snprintf (self->shard_dir, sizeof (self->shard_dir), "%.4000s/shards/%.200s", workspace, shard);
    snprintf (self->stream, sizeof (self->stream), "%s", stream);
    return self;
}

static void forget_file (struct in_place *self)
{
    if (self->fd >= 0)
        close (self->fd);
    self->fd = -1;
}

void in_place_free (struct in_place **self_p)
{
    struct in_place *self = *self_p;
    if (!self)
        return;
    forget_file (self);
    free (self->bytes);
    free (self);
    *self_p = NULL;
}

/* A generation's folder (store/generation.h), and nothing that leads elsewhere. */
static bool folder_valid (const char *folder)
{
    size_t n = strspn (folder, "0123456789abcdef");
    return n > 0 && n < FOLDER_MAX && folder[n] == '\0';
}

static int open_segment (struct in_place *self, const char *folder, uint64_t segment, struct strata_error *error)
{
    char path[4500];
    if (self->fd >= 0 && self->segment == segment && strcmp (self->folder, folder) == 0)
        return 0;
    forget_file (self);
    if (!folder_valid (folder))
        return strata_fail (error, "records in place are said to stand in folder '%.80s', which is none of a shard's", folder);
    snprintf (path, sizeof (path), "%s/%s/%s.%016" PRIx64 STREAM_LOG_END, self->shard_dir, folder, self->stream, segment);
    self->fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (self->fd < 0)
        return strata_fail (error, "records in place: %s: %s", path, strerror (errno));
    self->segment = segment;
    snprintf (self->folder, sizeof (self->folder), "%s", folder);
    return 0;
}

static int make_room (struct in_place *self, size_t size, struct strata_error *error)
{
    if (size <= self->room)
        return 0;
    uint8_t *grown = size <= WIRE_MAX_MESSAGE ? realloc (self->bytes, size) : NULL;
    if (!grown)
        return strata_fail (error, "no room in memory for a chunk of %zu bytes", size);
    self->bytes = grown;
    self->room = size;
    return 0;
}

const uint8_t *in_place_read (struct in_place *self, const char *folder, const Strata__Chunk *chunk, size_t size,
                              struct strata_error *error)
{
    const Strata__ChunkPlace *place = chunk->place;
    if (open_segment (self, folder, place->segment, error) < 0 || make_room (self, size, error) < 0)
        return NULL;
    for (size_t done = 0; done < size;) {
        ssize_t n = pread (self->fd, self->bytes + done, size - done, (off_t)(place->offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            strata_fail (error, "records in place: segment %" PRIx64 " of %s can't be read at %" PRIu64 ": %s", place->segment,
                         self->stream, place->offset + done, n == 0 ? "it ends there" : strerror (errno));
            forget_file (self);
            return NULL;
        }
        done += (size_t)n;
    }
    if (crc32c (0, self->bytes, size) == place->crc32c)
        return self->bytes;
    strata_fail (error, "records in place: the bytes of records %" PRIu64 " and on of %s are not those that were written", chunk->first,
                 self->stream);
    forget_file (self);
    return NULL;
}
