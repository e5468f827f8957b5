/* in_place.h - records of a stage on the same node, read from its segment files (store/stream_log.h) instead of its socket.
 *
 * A record that goes through the socket is copied three times more, and on the stage's core. A consumer on the same node asks
 * for places (StreamRead.in_place) and reads the bytes out of the page cache itself. It sees whole chunks only, each with its
 * checksum, of records that the stage's store names: they are on disk. The stage keeps them while this consumer has not
 * committed them (stream_trim), so their file is not written over. Whatever does not fit - a file that is gone since the
 * shard was taken by another process, bytes that are not those of the checksum - is asked for again through the socket, and the
 * stage, which knows what its store must hold, says what is wrong.
 */
#ifndef STRATA_MESH_IN_PLACE_H
#define STRATA_MESH_IN_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mesh.pb-c.h"
#include "strata_error.h"

struct mesh;
struct in_place;

/* Whether `peer` ("stage-0") is on this node: it is spoken to by a Unix socket. */
bool in_place_possible (struct mesh *mesh, const char *peer);

/* workspace, shard ("stage-0") and stream: copied. NULL: out of memory. */
struct in_place *in_place_new (const char *workspace, const char *shard, const char *stream);
void in_place_free (struct in_place **self);
/* folder: of the shard's store, as the reply names it. The chunk's `size` bytes, valid until the next call; NULL with the
 * error: they can't be read, or are not those that were written. */
const uint8_t *in_place_read (struct in_place *self, const char *folder, const Strata__Chunk *chunk, size_t size,
                              struct strata_error *error);

#endif
