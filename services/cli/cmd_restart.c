/* cmd_restart.c - strata restart: services are started anew one replica at a time, while the others go on.
 *
 * The order: what others ask first (stage), and of a service those that stand by before those that work, so that what
 * works hands over to one that is new already. The next one is asked only when the last serves again.
 */
#include <stdlib.h>
#include <string.h>

#include "core/replicas.h"
#include "steer.h"

#define TIMEOUT_S 120 /* for one replica: the supervisor kills one that has not ended after 60 s */

struct target {
    char replica[64], service[64];
    bool done;
    uint32_t pid, new_pid;
    double seconds;
};

struct restart {
    struct target *targets;
    size_t count;
    struct target *now;   /* being restarted */
    size_t active_before; /* of its service */
    const char *missing;  /* why it is waited for */
    char lame[64];        /* a replica that is not alive before anything was done */
};

/* ---- what is to be restarted ---- */

static bool is_meant (const struct cli_args *args, const Strata__Heartbeat *hb)
{
    return !args->rest_count || strcmp (args->rest[0], hb->service) == 0 || strcmp (args->rest[0], hb->replica) == 0;
}

static int by_order (const void *a, const void *b)
{
    const struct target *x = a, *y = b;
    unsigned m = 0, n = 0;
    int order = replicas_service (x->service) - replicas_service (y->service);
    replicas_parse (x->replica, &m);
    replicas_parse (y->replica, &n);
    return order ? order : (m > n) - (m < n);
}

/* All replicas that are meant; true when they are all there. One alone may be dead: to start it anew is what helps. */
static bool find_targets (struct steer *steer, const Strata__StatusReply *status, void *arg)
{
    struct restart *self = arg;
    self->count = 0;
    self->lame[0] = '\0';
    free (self->targets);
    self->targets = calloc (status->n_replicas + 1, sizeof (*self->targets));
    if (!self->targets)
        return false;
    for (size_t i = 0; i < status->n_replicas; i++) {
        const Strata__ReplicaStatus *r = status->replicas[i];
        if (r->stopped || !is_meant (steer->args, r->heartbeat))
            continue;
        struct target *target = &self->targets[self->count++];
        *target = (struct target){ .pid = 0 };
        snprintf (target->replica, sizeof (target->replica), "%s", r->heartbeat->replica);
        snprintf (target->service, sizeof (target->service), "%s", r->heartbeat->service);
        if (!r->alive)
            snprintf (self->lame, sizeof (self->lame), "%s", target->replica);
    }
    qsort (self->targets, self->count, sizeof (*self->targets), by_order);
    bool one = steer->args->rest_count && replicas_service (steer->args->rest[0]) < 0;
    for (size_t i = 0; i < status->n_services && !one; i++)
        if ((!steer->args->rest_count || strcmp (steer->args->rest[0], status->services[i]->service) == 0)
            && (status->services[i]->alive < status->services[i]->wanted || !status->services[i]->active))
            return false;
    return self->count && (one || !self->lame[0]);
}

/* ---- one replica ---- */

/* The next one of the list: of its service those that stand by first. */
static bool pick (struct steer *steer, const Strata__StatusReply *status, void *arg)
{
    struct restart *self = arg;
    struct target *best = NULL;
    bool best_active = false;
    for (size_t i = 0; i < self->count; i++) {
        struct target *t = &self->targets[i];
        if (t->done || (best && strcmp (best->service, t->service) != 0))
            continue;
        bool active = false;
        for (size_t k = 0; k < status->n_replicas; k++)
            if (strcmp (status->replicas[k]->heartbeat->replica, t->replica) == 0) {
                active = status->replicas[k]->heartbeat->active;
                t->pid = status->replicas[k]->heartbeat->pid;
            }
        if (t->pid && (!best || (best_active && !active))) {
            best = t;
            best_active = active;
        }
    }
    const Strata__ServiceStatus *service = best ? steer_service (status, best->service) : NULL;
    self->now = best;
    self->active_before = service ? service->active : 0;
    return best != NULL;
}

static bool serves_again (struct steer *steer, const Strata__StatusReply *status, void *arg)
{
    struct restart *self = arg;
    const Strata__ServiceStatus *service = steer_service (status, self->now->service);
    self->missing = "has not ended yet";
    for (size_t i = 0; i < status->n_replicas; i++) {
        const Strata__ReplicaStatus *r = status->replicas[i];
        if (strcmp (r->heartbeat->replica, self->now->replica) != 0 || r->stopped
            || r->heartbeat->pid == self->now->pid)
            continue;
        self->missing = "was started again and does not serve yet";
        if (!r->alive || !service || !service->active || service->active < self->active_before)
            continue;
        self->now->new_pid = r->heartbeat->pid;
        return true;
    }
    return false;
}

static int restart_next (struct steer *steer, struct restart *self)
{
    struct strata_error error;
    int limit_s = steer->args->timeout_s ? steer->args->timeout_s : TIMEOUT_S;
    int code = steer_wait (steer, limit_s, pick, self);
    if (code)
        return cli_fail (steer->args, code, "status does not say which replica works");
    struct target *target = self->now;
    double before = steer_seconds (steer);
    if (replicas_restart (steer->workspace.path, target->replica, (pid_t)target->pid, &error) < 0)
        return cli_fail (steer->args, CLI_FAILED, "%s", error.text);
    code = steer_wait (steer, limit_s, serves_again, self);
    if (code == CLI_INTERRUPTED)
        return cli_fail (steer->args, code, "interrupted; %s is being started again, the others are as they were",
                         target->replica);
    if (code)
        return cli_fail (steer->args, code,
                         "%s %s after %.0f s; the others are as they were. See log/%s.log and `strata status`",
                         target->replica, self->missing, steer_seconds (steer) - before, target->replica);
    target->done = true;
    target->seconds = steer_seconds (steer) - before;
    steer_say (steer, "%s serves again after %.1f s (pid %u, before %u)", target->replica, target->seconds,
               target->new_pid, target->pid);
    return 0;
}

/* ---- the whole ---- */

static void tell (struct steer *steer, const struct restart *self)
{
    if (!steer->args->json) {
        printf ("%zu replica%s started anew in %.1f s\n", self->count, self->count == 1 ? " was" : "s were",
                steer_seconds (steer));
        return;
    }
    json_t *list = json_array ();
    for (size_t i = 0; i < self->count; i++)
        json_array_append_new (list, json_pack ("{s:s s:i s:i s:f}", "replica", self->targets[i].replica, "pid_before",
                                                (int)self->targets[i].pid, "pid", (int)self->targets[i].new_pid,
                                                "seconds", self->targets[i].seconds));
    cli_print_json (json_pack ("{s:o s:f}", "restarted", list, "seconds", steer_seconds (steer)));
}

static int begin (struct steer *steer, struct restart *self)
{
    const char *what = steer->args->rest_count ? steer->args->rest[0] : NULL;
    unsigned number;
    if (what && replicas_service (what) < 0 && replicas_parse (what, &number) < 0)
        return cli_fail (steer->args, CLI_USAGE, "'%.60s' is no service and no replica; `strata status` lists them",
                         what);
    if (!steer->up)
        return cli_fail (steer->args, CLI_FAILED, "campaign %s is not up: there is nothing to restart",
                         steer->workspace.campaign);
    int code = steer_wait (steer, 10, find_targets, self);
    if (code == 0)
        return 0;
    if (code == CLI_FAILED && !self->count)
        return cli_fail (steer->args, code, "there is no replica %s; `strata status` lists them", what ? what : "");
    if (code == CLI_FAILED)
        return cli_fail (steer->args, code,
                         "not every replica of %s is there%s%s: a rolling restart begins when all serve",
                         what ? what : "the campaign", self->lame[0] ? ", not " : "", self->lame);
    return cli_fail (steer->args, code, "interrupted; nothing was restarted");
}

int cmd_restart (const struct cli_args *args)
{
    struct steer steer;
    struct restart self = { .count = 0 };
    int code = steer_init (&steer, args);
    if (code)
        return code;
    code = begin (&steer, &self);
    for (size_t i = 0; i < self.count && code == 0; i++)
        code = restart_next (&steer, &self);
    if (code == 0)
        tell (&steer, &self);
    free (self.targets);
    steer_fini (&steer);
    return code;
}
