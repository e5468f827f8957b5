/* waits.c - requests that came before the object: kept until it is put, or until their asker has given up.
 *
 * They stand in memory only: a stage that restarts has forgotten them, and their askers' retries bring them again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve.h"

#define WAITS_MAX 1000

struct wait {
    struct wait *next;
    struct request *request;
    wait_answer_f *answer;
    uint64_t most;
    char name[2 * STAGE_NAME_MAX + 2];
};

struct waits {
    struct wait *first;
    size_t count;
};

struct waits *waits_new (void)
{
    return calloc (1, sizeof (struct waits));
}

/* The requests themselves are the shell's. */
void waits_free (struct waits **self_p)
{
    struct waits *self = *self_p;
    while (self && self->first) {
        struct wait *wait = self->first;
        self->first = wait->next;
        free (wait);
    }
    free (self);
    *self_p = NULL;
}

void waits_add (struct service *service, struct request *request, const char *ns, const char *key, uint64_t most,
                wait_answer_f *answer)
{
    struct state *state = service_state (service);
    struct waits *self = state->waits;
    struct wait *wait = self->count < WAITS_MAX ? calloc (1, sizeof (*wait)) : NULL;
    if (!wait) {
        request_refuse (request, STRATA__REFUSAL_CODE__REFUSED_FULL,
                        "%s has %zu gets waiting for objects and takes no more", service_replica (service), self->count);
        return;
    }
    wait->request = request;
    wait->answer = answer;
    wait->most = most;
    snprintf (wait->name, sizeof (wait->name), "%s/%s", ns, key);
    wait->next = self->first;
    self->first = wait;
    self->count++;
}

void waits_wake (struct service *service, const char *ns, const char *key)
{
    struct state *state = service_state (service);
    struct waits *self = state->waits;
    char name[2 * STAGE_NAME_MAX + 2];
    fetch_wake (service, ns, key);
    if (!self->first)
        return;
    snprintf (name, sizeof (name), "%s/%s", ns, key);
    for (struct wait **p = &self->first, *wait; (wait = *p);) {
        if (strcmp (wait->name, name) != 0) {
            p = &wait->next;
            continue;
        }
        *p = wait->next;
        self->count--;
        wait->answer (service, wait->request, ns, key, wait->most);
        free (wait);
    }
}

void waits_send_on (struct service *service)
{
    struct state *state = service_state (service);
    struct waits *self = state->waits;
    for (struct wait **p = &self->first, *wait; (wait = *p);) {
        struct strata_error error;
        char name[STAGE_FULL_NAME];
        memcpy (name, wait->name, sizeof (name));
        const char *key = stage_split (name);
        if (slots_change (state->slots, name, key, &error) == 0) {
            p = &wait->next;
            continue;
        }
        *p = wait->next;
        self->count--;
        request_refuse (wait->request, STRATA__REFUSAL_CODE__REFUSED_ELSEWHERE, "%s", error.text);
        free (wait);
    }
}

/* The asker has given up by then: nobody reads this refusal. */
void waits_tick (struct service *service, int64_t now_us)
{
    struct state *state = service_state (service);
    struct waits *self = state->waits;
    for (struct wait **p = &self->first, *wait; (wait = *p);) {
        int64_t deadline_us = request_header (wait->request)->deadline_us;
        if (!deadline_us || deadline_us > now_us) {
            p = &wait->next;
            continue;
        }
        *p = wait->next;
        self->count--;
        request_refuse (wait->request, STRATA__REFUSAL_CODE__REFUSED_NOT_FOUND, "object %s was not put in time",
                        wait->name);
        free (wait);
    }
}

size_t waits_count (const struct waits *self)
{
    return self->count;
}
