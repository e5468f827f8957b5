/* fuzz_select.c - what producers, schedule and people tell select, in any order.
 *
 * Input: messages as parts; a part's first byte says which kind the rest is (c candidate, p propose, o confirm,
 * i invalidate, w weights, m import; t: time goes on past a lease). After each the store is recounted; at the end the state is
 * built anew from it and must be the same.
 */
#include <stdlib.h>
#include <string.h>

#include "../../services/select/select_core.h"
#include "fuzz.h"

#define MESSAGES 12
#define SECOND 1000000LL

static struct campaign_queue queues[] = { { "one", "ras", .6, 3 }, { "other", "other", .4, 0 }, { "invalid", "invalid", 0, 0 } };
static const struct campaign campaign = {
    .name = "fuzz", .seed = 1, .patch.encoder.dimensions = 2,
    .select = { .from = "patches", .k = 2, .lease_s = 60, .queues = queues, .queues_count = 3 },
};

/* A request's refusal has a code and a sentence. */
static void require_refusal (int rc, const Strata__RefusalCode *code, const struct strata_error *error)
{
    fuzz_require_sentence (rc, error);
    FUZZ_REQUIRE (rc == 0 || (*code > 0 && *code < 100));
}

static void ask (struct select_core *core, uint8_t kind, const uint8_t *data, size_t size, int64_t now_us)
{
    static const ProtobufCMessageDescriptor *const descriptors[128] = {
        ['p'] = &strata__propose__descriptor,       ['o'] = &strata__confirm__descriptor, ['m'] = &strata__import__descriptor,
        ['i'] = &strata__invalidate__descriptor,    ['w'] = &strata__weights__descriptor, ['c'] = &strata__candidate__descriptor,
    };
    const ProtobufCMessageDescriptor *descriptor = descriptors[kind & 127];
    ProtobufCMessage *body = descriptor ? protobuf_c_message_unpack (descriptor, NULL, size, data) : NULL;
    struct strata_error error = { "" };
    Strata__RefusalCode code = 0;
    if (!body)
        return;
    if (kind == 'c')
        select_add (core, (Strata__Candidate *)body, now_us);
    else if (kind == 'p') {
        const Strata__Propose *propose = (Strata__Propose *)body;
        Strata__ProposeReply *reply = select_propose (core, propose->proposal, propose->count, now_us, &code, &error);
        require_refusal (reply ? 0 : -1, &code, &error);
        if (reply)
            strata__propose_reply__free_unpacked (reply, NULL);
    } else if (kind == 'o')
        require_refusal (select_confirm (core, ((Strata__Confirm *)body)->proposal, now_us, &code, &error), &code, &error);
    else if (kind == 'i') {
        Strata__InvalidateReply reply;
        require_refusal (select_invalidate (core, (Strata__Invalidate *)body, now_us, &reply, &code, &error), &code, &error);
    } else if (kind == 'm') {
        Strata__ImportReply reply;
        require_refusal (select_import (core, (Strata__Import *)body, now_us, &reply, &code, &error), &code, &error);
    } else {
        Strata__WeightsReply *reply = NULL;
        require_refusal (select_weights (core, (Strata__Weights *)body, &reply, &code, &error), &code, &error);
        if (reply)
            strata__weights_reply__free_unpacked (reply, NULL);
    }
    protobuf_c_message_free_unpacked (body, NULL);
}

static struct select_core *open_core (struct shard *shard)
{
    struct strata_error error = { "" };
    struct select_core *core = select_open (shard, &campaign, &error);
    if (!core)
        fuzz_broken (__FILE__, __LINE__, "what select wrote it reads again", error.text);
    return core;
}

static void verify (struct select_core *core, struct shard *shard)
{
    struct strata_error error = { "" };
    if (select_verify (core, shard, &campaign, &error) < 0)
        fuzz_broken (__FILE__, __LINE__, "each candidate is in exactly one state", error.text);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    struct fuzz_part parts[MESSAGES];
    struct strata_error error = { "" };
    struct select_stat before, after;
    int64_t now_us = SECOND;
    struct shard *shard = shard_open_memory (&error);
    if (!shard)
        abort ();
    struct select_core *core = open_core (shard);
    size_t count = fuzz_split (data, size, parts, MESSAGES);
    for (size_t i = 0; i < count; i++) {
        if (parts[i].size && parts[i].data[0] == 't') {
            now_us += 61 * SECOND;
            select_tick (core, now_us);
        } else if (parts[i].size)
            ask (core, parts[i].data[0], parts[i].data + 1, parts[i].size - 1, now_us);
        verify (core, shard);
    }
    FUZZ_REQUIRE (shard_commit (shard, &error) == 0);
    select_stat (core, &before);
    select_close (&core);
    core = open_core (shard);
    verify (core, shard);
    select_stat (core, &after);
    FUZZ_REQUIRE (memcmp (&before, &after, sizeof (before)) == 0);
    select_close (&core);
    shard_close (&shard);
    return 0;
}
