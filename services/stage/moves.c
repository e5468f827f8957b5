/* moves.c - moving an object to a name that another stage keeps.
 *
 *   moving/<ns>/<key>    to_ns NUL to_key NUL origin: the object is on its way
 *
 * The intent is on disk before the other stage is asked to adopt the object (ObjectAdopt), and it is taken out together with
 * the object when that stage has it on its disk. After a crash of either the request goes out again; the origin - this
 * stage, the name, generation and time - tells the other that it is the same move. Until it is over the object is read here,
 * and not changed.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "mesh/claims.h"
#include "serve.h"

#define ADOPT_TIMEOUT_MS 30000
#define AGAIN_US 1000000
#define ORIGIN_MAX 480

struct move {
    struct move *next;
    struct service *service;
    struct request *request; /* NULL: of a life before this one, or given up by its asker */
    char ns[STAGE_NAME_MAX + 1], key[STAGE_NAME_MAX + 1], to_ns[STAGE_NAME_MAX + 1], to_key[STAGE_NAME_MAX + 1];
    char origin[ORIGIN_MAX];
    bool asked;
    int64_t again_us;
};

struct moves {
    struct move *first;
};

static struct shard_key intent_key (const struct move *move)
{
    struct shard_key k;
    shard_key (&k, "moving/%s/%s", move->ns, move->key);
    return k;
}

static bool take_text (char *out, size_t size, const char **at, const char *end)
{
    size_t n = strnlen (*at, (size_t)(end - *at));
    if (*at + n >= end || n >= size)
        return false;
    memcpy (out, *at, n + 1);
    *at += n + 1;
    return true;
}

static bool parse (struct move *move, const struct shard_iter *it, size_t prefix)
{
    char name[sizeof (move->ns) + sizeof (move->key)];
    const char *at = (const char *)it->value, *end = at + it->value_size;
    snprintf (name, sizeof (name), "%.*s", (int)(it->key_size - prefix), (const char *)it->key + prefix);
    char *slash = strchr (name, '/');
    if (!slash)
        return false;
    *slash = '\0';
    snprintf (move->ns, sizeof (move->ns), "%.200s", name);
    snprintf (move->key, sizeof (move->key), "%.200s", slash + 1);
    return take_text (move->to_ns, sizeof (move->to_ns), &at, end)
           && take_text (move->to_key, sizeof (move->to_key), &at, end)
           && take_text (move->origin, sizeof (move->origin), &at, end);
}

struct moves *moves_new (struct service *service)
{
    static const char prefix[] = "moving/";
    struct moves *self = calloc (1, sizeof (*self));
    struct shard_iter it;
    if (!self)
        return NULL;
    for (bool more = shard_iter_begin (service_shard (service), &it, prefix, strlen (prefix), NULL, 0); more;
         more = shard_iter_next (&it)) {
        struct move *move = calloc (1, sizeof (*move));
        if (!move || !parse (move, &it, strlen (prefix))) {
            free (move);
            continue;
        }
        move->service = service;
        move->next = self->first;
        self->first = move;
    }
    shard_iter_end (&it);
    return self;
}

void moves_free (struct moves **self_p)
{
    struct moves *self = *self_p;
    while (self && self->first) {
        struct move *move = self->first;
        self->first = move->next;
        free (move);
    }
    free (self);
    *self_p = NULL;
}

int moves_check (struct moves *self, const char *ns, const char *key, struct strata_error *error)
{
    for (const struct move *m = self->first; m; m = m->next)
        if (strcmp (m->ns, ns) == 0 && strcmp (m->key, key) == 0) {
            errno = EAGAIN;
            return strata_fail (error, "object %s/%s is being moved to %s/%s at another stage", ns, key, m->to_ns,
                                m->to_key);
        }
    return 0;
}

bool moves_of_slot (const struct moves *self, unsigned slot)
{
    for (const struct move *m = self->first; m; m = m->next)
        if (claim_slot (m->ns, m->key) == slot)
            return true;
    return false;
}

size_t moves_count (const struct moves *self)
{
    size_t count = 0;
    for (const struct move *m = self->first; m; m = m->next)
        count++;
    return count;
}

static void end (struct move *move)
{
    struct state *state = service_state (move->service);
    struct shard_key k = intent_key (move);
    shard_delete (service_shard (move->service), k.data, k.size);
    for (struct move **p = &state->moves->first; *p; p = &(*p)->next)
        if (*p == move) {
            *p = move->next;
            break;
        }
    free (move);
}

static void on_adopted (struct service *service, const struct reply *reply, void *arg)
{
    static const Strata__ObjectMoveReply done = STRATA__OBJECT_MOVE_REPLY__INIT;
    struct move *move = arg;
    struct state *state = service_state (service);
    struct strata_error error;
    move->asked = false;
    if (reply->ok) {
        if (stage_delete (state->core, move->ns, move->key, &error) < 0)
            log_error ("%s", error.text);
        if (move->request)
            request_reply (move->request, &done.base);
        end (move);
    } else if (reply->timed_out || reply->code == STRATA__REFUSAL_CODE__REFUSED_ELSEWHERE
               || reply->code == STRATA__REFUSAL_CODE__REFUSED_UNAVAILABLE) {
        /* It may have the object, or another stage has the name now: asked again until one says. */
        service_forget_routes (service);
        move->again_us = service_now_us (service) + AGAIN_US;
    } else {
        if (move->request)
            request_refuse (move->request, reply->code, "object %s/%s stays: %s", move->ns, move->key, reply->error);
        end (move);
    }
}

static void ask (struct move *move)
{
    struct state *state = service_state (move->service);
    Strata__ObjectAdopt adopt = STRATA__OBJECT_ADOPT__INIT;
    Strata__ObjectInfo info;
    struct strata_error error;
    void *data;
    if (stage_get (state->core, move->ns, move->key, &info, &data, &error) < 0) {
        if (move->request)
            serve_refuse (move->service, move->request, move->ns, move->key, &error);
        else
            log_warn ("a move is given up: %s", error.text);
        end (move);
        return;
    }
    struct blob blob = { data, info.size };
    info.origin = move->origin;
    adopt.namespace_ = move->to_ns;
    adopt.key = move->to_key;
    adopt.info = &info;
    move->asked = true;
    service_call (move->service, service_object_stage (move->service, move->to_ns, move->to_key),
                  STRATA__MESSAGE_TYPE__TYPE_OBJECT_ADOPT, &adopt.base, &blob, 1, &strata__object_adopt_reply__descriptor,
                  ADOPT_TIMEOUT_MS, on_adopted, move);
    free (data);
}

void moves_begin (struct service *service, struct request *request, const Strata__ObjectMove *wanted)
{
    struct state *state = service_state (service);
    struct move *move = calloc (1, sizeof (*move));
    Strata__ObjectInfo info;
    struct strata_error error;
    char value[3 * STAGE_NAME_MAX + ORIGIN_MAX];
    if (!move || stage_stat (state->core, wanted->namespace_, wanted->key, &info, &error) < 0) {
        if (move)
            serve_refuse (service, request, wanted->namespace_, wanted->key, &error);
        else
            request_refuse (request, STRATA__REFUSAL_CODE__REFUSED_UNAVAILABLE, "out of memory");
        free (move);
        return;
    }
    move->service = service;
    move->request = request;
    snprintf (move->ns, sizeof (move->ns), "%.200s", wanted->namespace_);
    snprintf (move->key, sizeof (move->key), "%.200s", wanted->key);
    snprintf (move->to_ns, sizeof (move->to_ns), "%.200s", wanted->to_namespace);
    snprintf (move->to_key, sizeof (move->to_key), "%.200s", wanted->to_key);
    snprintf (move->origin, sizeof (move->origin), "%s:%" PRIu64 ":%" PRIx64 ":%.200s/%.200s", state->shard,
              info.generation, (uint64_t)info.mtime_us, move->ns, move->key);
    int n = snprintf (value, sizeof (value), "%s%c%s%c%s", move->to_ns, 0, move->to_key, 0, move->origin);
    struct shard_key k = intent_key (move);
    shard_put (service_shard (service), k.data, k.size, value, (size_t)n + 1);
    move->next = state->moves->first;
    state->moves->first = move;
    ask (move); /* leaves when the intent is on disk */
}

void moves_tick (struct service *service, int64_t now_us)
{
    struct state *state = service_state (service);
    for (struct move *m = state->moves->first, *next; m; m = next) {
        next = m->next;
        if (m->request && request_header (m->request)->deadline_us < now_us) {
            request_refuse (m->request, STRATA__REFUSAL_CODE__REFUSED_UNAVAILABLE,
                            "the stage that keeps %s/%s does not answer; the move goes on when it does", m->to_ns, m->to_key);
            m->request = NULL;
        }
        if (!m->asked && now_us >= m->again_us)
            ask (m);
    }
}
