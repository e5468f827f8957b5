/* fuzz_chunks.c - a page of a stream as a peer sends it: rows of chunks, the records' bytes in blobs; and the sizes that
 * whoever appends sends.
 *
 * Input: the packed StreamReadReply, then up to three blobs, as parts.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "mesh/chunks.h"
#include "stream.pb-c.h"

#define BLOBS 3

struct seen {
    const struct blob *blobs;
    size_t blobs_count, records;
};

static int see (uint64_t sequence, int64_t time_us, const void *record, size_t size, void *arg)
{
    struct seen *seen = arg;
    bool within = size == 0;
    for (size_t i = 0; i < seen->blobs_count && !within; i++) {
        const uint8_t *begin = seen->blobs[i].data, *at = record;
        within = at >= begin && size <= seen->blobs[i].size && at <= begin + seen->blobs[i].size - size;
    }
    FUZZ_REQUIRE (within);
    seen->records++;
    return 0;
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    struct fuzz_part parts[1 + BLOBS];
    struct blob blobs[BLOBS];
    struct strata_error error = { "" };
    size_t count = fuzz_split (data, size, parts, 1 + BLOBS);
    Strata__StreamReadReply *reply = strata__stream_read_reply__unpack (NULL, parts[0].size, parts[0].data);
    if (!reply)
        return 0;
    for (size_t i = 0; i < BLOBS; i++)
        blobs[i] = (struct blob){ parts[i + 1].data, parts[i + 1].size };
    struct seen seen = { blobs, count - 1, 0 };
    int rc = chunks_each (reply->chunks, reply->n_chunks, blobs, count - 1, NULL, see, &seen, &error);
    fuzz_require_sentence (rc, &error);
    for (size_t i = 0; i < reply->n_chunks; i++) {
        const Strata__Chunk *row = reply->chunks[i];
        uint32_t *sizes = chunks_sizes (row->sizes, row->n_sizes, row->count, parts[1].size);
        uint64_t sum = 0;
        for (size_t n = 0; sizes && n < row->count; n++)
            sum += sizes[n];
        FUZZ_REQUIRE (!sizes || sum == parts[1].size);
        free (sizes);
    }
    strata__stream_read_reply__free_unpacked (reply, NULL);
    return 0;
}
