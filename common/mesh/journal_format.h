/* journal_format.h - the bytes of a journal's files, for who writes them (journal.c) and who reads them (replay.c).
 *
 * A segment file: its head, then records, each one committed turn of the service:
 *
 *   head    "strataJ1", then u64 turn, epoch, previous segment's turn and epoch, state, outputs, base; u32 CRC-32C of all that
 *   record  u32 size of the payload, u32 CRC-32C of what follows, u64 turn, state, outputs; payload
 *   payload items: u8 kind, then as varints: zigzag (now_us - the last item's), a, b, number of parts; each part: size, bytes
 *
 * Fixed numbers are little-endian. state and outputs: the digests after that turn. A record's first item counts its time
 * from 0, so that a record can be read alone.
 */
#ifndef STRATA_MESH_JOURNAL_FORMAT_H
#define STRATA_MESH_JOURNAL_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "mesh/service.h"
#include "strata_error.h"

#define JOURNAL_HEAD_BYTES 68
#define JOURNAL_RECORD_BYTES 32
#define JOURNAL_PARTS_MAX 1032          /* a request's header and body, and its blobs */
#define JOURNAL_NAME_MAX 64

enum journal_kind {
    JOURNAL_START = 1,  /* a: epoch, b: 1 in place, else 0; replica */
    JOURNAL_TICK,       /* a: which timer */
    JOURNAL_REQUEST,    /* header, body, blobs */
    JOURNAL_REPLY,      /* a: call's number, b: 1 ok, 2 timed out, code << 2; body or sentence, blobs */
    JOURNAL_PAGE,       /* a: first, b: next; peer, stream: what follows was read from there */
    JOURNAL_RECORD,     /* a: sequence, b: its time_us; bytes */
    JOURNAL_CURSOR,     /* a: the next sequence to be read from there */
    JOURNAL_FACT,       /* what the code asked the world */
    JOURNAL_FACT_AGAIN, /* a: as often the same answer again */
    JOURNAL_EVENT,      /* kind, subject, text: an event of the shell's own */
    JOURNAL_SWEEP,      /* old replies and events are forgotten */
    JOURNAL_DRAIN,      /* asked whether it may end; a: 1 it hands over */
    JOURNAL_KINDS
};

/* Names a segment: the turn it begins behind, and the epoch of the process that wrote it. */
struct journal_id {
    uint64_t turn, epoch;
};

struct journal_head {
    struct journal_id id, previous;     /* previous.epoch 0: none */
    uint64_t state, outputs;            /* digests at its begin */
    uint64_t base;                      /* 1: the store of this name was copied when it began */
};

struct journal_record {
    uint64_t turn, state, outputs;
    uint8_t *payload;                   /* malloc'ed */
    size_t size;
};

struct journal_item {
    enum journal_kind kind;
    int64_t now_us;
    uint64_t a, b;
    size_t parts_count;
    const struct blob *parts;
};

/* "kind" for people: "requests", "ticks", ... */
const char *journal_kind_name (enum journal_kind kind);

/* "<turn>.<epoch>" + suffix (".inputs", ".store"), with leading zeros so that names sort. Returns name. */
const char *journal_name (struct journal_id id, const char *suffix, char name[JOURNAL_NAME_MAX]);
/* False: the name is not one with that suffix. */
bool journal_name_parse (const char *name, const char *suffix, struct journal_id *id);

void journal_head_pack (const struct journal_head *head, uint8_t bytes[JOURNAL_HEAD_BYTES]);
/* Fills the bytes before a payload. */
void journal_record_pack (const struct journal_record *record, uint8_t bytes[JOURNAL_RECORD_BYTES]);

/* Reads at the file's position. -1: `path` is broken there. */
int journal_head_read (FILE *file, const char *path, struct journal_head *head, struct strata_error *error);
/* 1: *record is filled, its payload to be freed; 0: the file ends here; -1: broken there. */
int journal_record_read (FILE *file, const char *path, struct journal_record *record, struct strata_error *error);

/* Bytes that grow. */
struct journal_bytes {
    uint8_t *data;
    size_t size, room;
};
void journal_item_pack (struct journal_bytes *out, const struct journal_item *item, int64_t last_us);
/* Goes through a record's items. */
struct journal_cursor {
    const struct journal_record *record;
    size_t at;
    int64_t last_us;
    struct blob parts[JOURNAL_PARTS_MAX];   /* of the item read last */
};
/* 1: the next item, its parts pointing into the payload; 0: no more; -1: broken. */
int journal_item_read (struct journal_cursor *cursor, struct journal_item *item);

#endif
