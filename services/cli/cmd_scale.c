/* cmd_scale.c - strata scale: another number of replicas of a service, while the campaign runs. */
#include <stdlib.h>
#include <string.h>

#include "core/replicas.h"
#include "steer.h"

#define TIMEOUT_S 120

struct scale {
    const char *service;
    unsigned before, wanted;
    unsigned alive, active; /* as status said last */
};

static int bad_service (const struct cli_args *args, const char *name)
{
    char list[128] = "";
    for (size_t i = 0; i < REPLICAS_SERVICES; i++)
        snprintf (list + strlen (list), sizeof (list) - strlen (list), "%s%s", i ? ", " : "", replicas_services[i]);
    return cli_fail (args, CLI_USAGE, "there is no service '%.60s'; the services are %s", name, list);
}

/* 0 or an exit code. */
static int parse (const struct cli_args *args, struct scale *scale)
{
    const char *number = args->rest[1];
    char *end;
    scale->service = args->rest[0];
    if (replicas_service (scale->service) < 0)
        return bad_service (args, scale->service);
    long n = strtol (number, &end, 10);
    if (!*number || *end || n < 0 || n > REPLICAS_MAX)
        return cli_fail (args, CLI_USAGE, "'%.60s' is not a number of replicas: 1 to %d are allowed", number,
                         REPLICAS_MAX);
    if (n == 0)
        return cli_fail (args, CLI_USAGE,
                         "a campaign needs at least one replica of %s; `strata down` stops all services",
                         scale->service);
    scale->wanted = (unsigned)n;
    return 0;
}

static double figure (const Strata__Heartbeat *hb, const char *name)
{
    for (size_t i = 0; i < hb->n_metrics; i++)
        if (strcmp (hb->metrics[i]->name, name) == 0)
            return hb->metrics[i]->value;
    return -1;
}

/* Stages that hand over what they keep: how much is left. False: none does. */
static bool say_what_is_left (struct steer *steer, const Strata__StatusReply *status, const struct scale *scale)
{
    bool some = false;
    for (size_t i = 0; i < status->n_replicas; i++) {
        const Strata__Heartbeat *hb = status->replicas[i]->heartbeat;
        if (strcmp (hb->service, scale->service) != 0 || status->replicas[i]->stopped || figure (hb, "retiring") <= 0)
            continue;
        some = true;
        steer_say (steer, "%s hands over: left are %.0f objects in %.0f slots, %.0f producers, %.0f unread and %.0f queued records%s%s",
                   hb->replica, figure (hb, "objects"), figure (hb, "slots"), figure (hb, "retiring_producers"),
                   figure (hb, "retiring_unread_records"), figure (hb, "retiring_queued_records"), hb->trouble[0] ? "; " : "",
                   hb->trouble);
    }
    return some;
}

static bool has_settled (struct steer *steer, const Strata__StatusReply *status, void *arg)
{
    struct scale *scale = arg;
    const Strata__ServiceStatus *service = steer_service (status, scale->service);
    char program[64];
    size_t left = 0;
    snprintf (program, sizeof (program), "strata-%s", scale->service);
    if (!service)
        return false;
    /* One that was killed on its way out has its card removed by the supervisor; one that took it away itself may still
     * be about to end. */
    for (size_t i = 0; i < status->n_replicas; i++) {
        const Strata__ReplicaStatus *r = status->replicas[i];
        left += strcmp (r->heartbeat->service, scale->service) == 0
                && (!r->stopped || workspace_runs ((long)r->heartbeat->pid, program));
    }
    scale->alive = service->alive;
    scale->active = service->active;
    if (!say_what_is_left (steer, status, scale))
        steer_say (steer, "%s: %u of %u replicas alive", scale->service, service->alive, scale->wanted);
    return service->wanted == scale->wanted && service->alive == scale->wanted && left == scale->wanted
        && service->active;
}

static int tell (struct steer *steer, const struct scale *scale, int code)
{
    if (steer->args->json) {
        cli_print_json (json_pack ("{s:s s:i s:i s:i s:i s:b s:b s:f}", "service", scale->service, "before",
                                   (int)scale->before, "wanted", (int)scale->wanted, "alive", (int)scale->alive,
                                   "active", (int)scale->active, "up", (int)steer->up, "done", code == 0, "seconds",
                                   steer_seconds (steer)));
        return code;
    }
    if (code == CLI_INTERRUPTED)
        return cli_fail (NULL, code, "not waited for; %u replicas of %s stay wanted, `strata status` shows them",
                         scale->wanted, scale->service);
    if (code)
        return cli_fail (
            NULL, code,
            "%s has %u of %u replicas after %.0f s; the supervisor goes on trying. See %s/log/supervisor.log",
            scale->service, scale->alive, scale->wanted, steer_seconds (steer), steer->workspace.path);
    if (!steer->up)
        printf ("%s: %u replicas are wanted; the campaign is not up, they start with the next `strata up`\n",
                scale->service, scale->wanted);
    else
        printf ("%s has %u replica%s (%u before), %u work%s; %.1f s\n", scale->service, scale->alive,
                scale->alive == 1 ? "" : "s", scale->before, scale->active, scale->active == 1 ? "s" : "",
                steer_seconds (steer));
    return CLI_OK;
}

int cmd_scale (const struct cli_args *args)
{
    struct strata_error error;
    struct steer steer;
    struct scale scale = { .wanted = 0 };
    struct replicas now;
    int code = parse (args, &scale);
    if (code || (code = steer_init (&steer, args)))
        return code;
    unsigned shards = strcmp (scale.service, "feedback") == 0 ? steer.campaign->feedback.shards : 1;
    if (scale.wanted < shards) {
        steer_fini (&steer);
        return cli_fail (args, CLI_FAILED, "feedback has %u shards, and a replica holds one: it needs at least %u replicas", shards,
                         shards);
    }
    if (replicas_read (steer.workspace.path, steer.campaign, &now, &error) < 0)
        code = cli_fail (args, CLI_FAILED, "%s", error.text);
    else {
        scale.before = now.wanted[replicas_service (scale.service)];
        if (scale.before != scale.wanted && replicas_want (steer.workspace.path, scale.service, scale.wanted, &error) < 0)
            code = cli_fail (args, CLI_FAILED, "%s", error.text);
        else
            code = tell (
                &steer, &scale,
                steer.up ? steer_wait (&steer, args->timeout_s ? args->timeout_s : TIMEOUT_S, has_settled, &scale) : 0);
    }
    steer_fini (&steer);
    return code;
}
