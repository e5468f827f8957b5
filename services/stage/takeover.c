/* takeover.c - what a stage that goes hands over to this one (handover.c is its side).
 *
 * Claims say who keeps a name, and only the stage that a claim names may hand over what it names: until then what came stands
 * here unseen, and comes again after a crash of either. When the claim is ours already, this is an old request come late:
 * what we have by now is newer, and stays.
 */
#include <errno.h>
#include <string.h>

#include "core/crash_point.h"
#include "mesh/claims.h"
#include "serve.h"
#include "store/stream.h"

static void refuse (struct service *service, struct request *request, const char *what, const struct strata_error *error)
{
    if (errno == EXDEV)
        request_refuse (request, STRATA__REFUSAL_CODE__REFUSED_INVALID, "%s", error->text);
    else
        serve_refuse (service, request, what, "", error);
}

void takeover_object (struct service *service, struct request *request, const Strata__ObjectAdopt *adopt)
{
    struct state *self = service_state (service);
    struct strata_error error;
    Strata__ObjectAdoptReply reply = STRATA__OBJECT_ADOPT_REPLY__INIT;
    struct blob blob = request_blob (request, 0);
    unsigned slot = claim_slot (adopt->namespace_, adopt->key);
    int ours = slots_offered (self->slots, slot, request_header (request)->sender, &error);
    if (ours < 0
        || (ours == 0
            && stage_take_over (self->core, adopt->namespace_, adopt->key, adopt->info, blob.data, blob.size, &error) < 0))
        refuse (service, request, adopt->namespace_, &error);
    else {
        crash_point ("takeover.object");
        request_reply (request, &reply.base);
    }
}

/* All of them may be handed over: 0. */
static int check (struct state *self, const char *from, const Strata__TakeOver *body, struct strata_error *error)
{
    int rc = 0;
    for (size_t i = 0; i < body->n_producers && rc == 0; i++) {
        const Strata__ProducerMark *mark = body->producers[i];
        if (!stream_name_valid (mark->stream) || !producer_name_valid (mark->producer)) {
            errno = EINVAL;
            rc = strata_fail (error, "a producer to take over has no valid name, or its stream has none");
        } else if (slots_offered_producer (self->slots, mark->producer, from, error) < 0)
            rc = -1;
    }
    for (size_t i = 0; i < body->n_slots && rc == 0; i++) {
        int ours = -1;
        if (body->slots[i] < CLAIM_SLOTS)
            ours = slots_offered (self->slots, body->slots[i], from, error);
        else
            errno = EINVAL;
        if (errno == EINVAL && ours < 0)
            strata_fail (error, "there is no slot %u", body->slots[i]);
        rc = ours < 0 ? -1 : 0;
        if (body->passed && ours == 0) { /* its claim does not say so */
            errno = EXDEV;
            rc = strata_fail (error, "slot %u is not passed: its claim names %s", body->slots[i], from);
        }
    }
    return rc;
}

void takeover_handle (struct service *service, struct request *request, const ProtobufCMessage *message)
{
    const Strata__TakeOver *body = (const Strata__TakeOver *)message;
    struct state *self = service_state (service);
    struct strata_error error;
    Strata__TakeOverReply reply = STRATA__TAKE_OVER_REPLY__INIT;
    if (check (self, request_header (request)->sender, body, &error) < 0 || slots_ready (self->slots, &error) < 0) {
        refuse (service, request, "names", &error);
        return;
    }
    for (size_t i = 0; i < body->n_producers; i++)
        stream_producer_set (service_shard (service), body->producers[i]->stream, body->producers[i]->producer,
                             body->producers[i]->last);
    for (size_t i = 0; i < body->n_origins; i++)
        stage_origin_put (self->core, body->origins[i]->origin, body->origins[i]->name, body->origins[i]->time_us);
    for (size_t i = 0; i < body->n_slots && body->passed; i++)
        slots_passed_on (self->slots, body->slots[i]);
    crash_point (body->passed ? "takeover.passed" : "takeover.marks");
    request_reply (request, &reply.base);
}
