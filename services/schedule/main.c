/* main.c - the schedule service: the core's jobs to an executor, its questions to select, its answers to who asks. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "core/campaign_schema.h"
#include "core/log.h"
#include "drive.h"
#include "executor_recorded.h"
#include "id_list.h"
#include "mesh/service.h"

#define TICK_MS 100
#define SELECT_TIMEOUT_MS 30000
/* Below so much room a store can't be sure of its next log file, and a job that is started only fails. */
#define ROOM_MIN_BYTES (16u << 20)

struct state {
    struct schedule *core;
    struct drive drive;
    struct executor_recorded recorded;  /* what drive drives */
    struct machine machine;         /* what the executor has to give */
    int64_t drain_until_us;         /* 0: not draining */
    struct question *questions;     /* under way */
    bool full;                      /* no room on the workspace's disk: nothing new starts */
    bool booted;                    /* look_at_boot is through */
};

/* ---- what the core tells ---- */

static void on_job (void *arg, const Strata__Job *job)
{
    service_append (arg, "jobs", &job->base);
}

static void on_event (void *arg, const char *kind, const char *subject, const char *text)
{
    service_event (arg, kind, subject, "%s", text);
}

/* ---- questions to select ---- */

/* A question under way: what comes back goes to the core under its name. Freed by its answer, or by stop. */
struct question {
    char name[64];
    struct question *next;
};

static void question_free (struct state *self, struct question *question)
{
    struct question **at = &self->questions;
    while (*at && *at != question)
        at = &(*at)->next;
    if (*at)
        *at = question->next;
    free (question);
}

static bool name_is_over (const struct reply *reply)
{
    return !reply->timed_out
           && (reply->code == STRATA__REFUSAL_CODE__REFUSED_STALE
               || reply->code == STRATA__REFUSAL_CODE__REFUSED_NOT_FOUND);
}

static void on_refusal (struct service *service, const struct question *question, const struct reply *reply)
{
    struct state *self = service_state (service);
    int64_t now_us = service_now_us (service);
    if (name_is_over (reply))
        schedule_stale (self->core, question->name, now_us);
    else {
        log_warn ("select gives no answer to %s: %s", question->name, reply->error);
        schedule_unanswered (self->core, question->name, reply->error, now_us);
    }
}

static void on_proposed (struct service *service, const struct reply *reply, void *arg)
{
    struct state *self = service_state (service);
    struct question *question = arg;
    if (!self)
        return;
    if (reply->ok)
        schedule_proposed (self->core, question->name, (const Strata__ProposeReply *)reply->body,
                           service_now_us (service));
    else
        on_refusal (service, question, reply);
    question_free (self, question);
}

static void on_confirmed (struct service *service, const struct reply *reply, void *arg)
{
    struct state *self = service_state (service);
    struct question *question = arg;
    if (!self)
        return;
    if (reply->ok)
        schedule_confirmed (self->core, question->name, service_now_us (service));
    else
        on_refusal (service, question, reply);
    question_free (self, question);
}

static void ask_select (struct service *service, const Strata__Question *message)
{
    struct question *question = calloc (1, sizeof (*question));
    if (!question) {
        log_error ("out of memory for a question to select; it is asked after a restart");
        return;
    }
    struct state *self = service_state (service);
    snprintf (question->name, sizeof (question->name), "%s", message->name);
    question->next = self->questions;
    self->questions = question;
    if (message->state == STRATA__QUESTION_STATE__QUESTION_ASKED) {
        Strata__Propose body = STRATA__PROPOSE__INIT;
        body.proposal = message->name;
        body.count = message->count;
        service_call (service, "select", STRATA__MESSAGE_TYPE__TYPE_PROPOSE, &body.base, NULL, 0,
                      &strata__propose_reply__descriptor, SELECT_TIMEOUT_MS, on_proposed, question);
    }
    else {
        Strata__Confirm body = STRATA__CONFIRM__INIT;
        body.proposal = message->name;
        service_call (service, "select", STRATA__MESSAGE_TYPE__TYPE_CONFIRM, &body.base, NULL, 0,
                      &strata__confirm_reply__descriptor, SELECT_TIMEOUT_MS, on_confirmed, question);
    }
}

/* ---- time ---- */

static bool is_full (struct service *service)
{
    struct statvfs disk;
    bool full = !service_replays (service) && statvfs (service_workspace (service), &disk) == 0
                && (uint64_t)disk.f_bavail * disk.f_frsize < ROOM_MIN_BYTES;
    service_fact (service, &full, sizeof (full));
    return full;
}

/* Set while the executor, and not a person, says that a node is lost: it works again when it answers. */
static void gone_key (const struct state *self, struct shard_key *key, size_t node)
{
    char name[MACHINE_NODE_MAX];
    machine_node (&self->machine, node, name);
    shard_key (key, "gone/%s", name);
}

static void look_at_nodes (struct service *service, struct state *self, int64_t now_us)
{
    struct strata_error error;
    struct shard_key key;
    struct shard *shard = service_shard (service);
    size_t node = 0;
    bool lost = false;
    while (self->drive.ops->moved (self->drive.executor, &node, &lost)) {
        gone_key (self, &key, node);
        if (lost && schedule_node (self->core, node) != RESOURCES_LOST) {
            shard_put (shard, key.data, key.size, "", 0);
            if (schedule_set_node (self->core, node, RESOURCES_LOST, now_us, &error) != 0)
                log_error ("%s", error.text);
        } else if (!lost && shard_has (shard, key.data, key.size)) {
            shard_delete (shard, key.data, key.size);
            if (schedule_set_node (self->core, node, RESOURCES_UP, now_us, &error) != 0)
                log_error ("%s", error.text);
        }
    }
}

/* An attempt's folder is not synced while we live (executor_config.keeps): a loss of power may have taken back that it began. That it
 * might have is on disk here, so it is not begun a second time. */
static void look_at_boot (struct service *service, struct state *self, int64_t now_us)
{
    static const char key[] = "boot";
    char boot[40] = "";
    void *known = NULL;
    size_t size = 0;
    FILE *file = service_replays (service) ? NULL : fopen ("/proc/sys/kernel/random/boot_id", "re");
    if (file && fscanf (file, "%39s", boot) != 1)
        boot[0] = '\0';
    if (file)
        fclose (file);
    service_fact_text (service, boot, sizeof (boot));
    bool same = shard_get (service_shard (service), key, strlen (key), &known, &size) > 0 && size == strlen (boot)
                && memcmp (known, boot, size) == 0;
    free (known);
    self->booted = true;
    if (same || !boot[0])
        return;
    if (self->recorded.ops == &executor_local)
        drive_machine_restarted (&self->drive, now_us);
    shard_put (service_shard (service), key, strlen (key), boot, strlen (boot));
}

static void on_tick (struct service *service, int64_t now_us)
{
    struct state *self = service_state (service);
    bool full = is_full (service);
    if (!self->booted)
        look_at_boot (service, self, now_us);
    look_at_nodes (service, self, now_us);
    if (self->drive.ops->outgrown (self->drive.executor)) {
        service_event (service, "nodes-joined", "schedule", "more nodes have joined: begins again with them");
        service_quit (service, SERVICE_AGAIN);
    }
    if (full != self->full)
        service_event (service, full ? "disk-full" : "disk-has-room", "schedule", "%s",
                       full ? "no job is started until there is room again" : "jobs are started again");
    self->full = full;
    /* Looking first: cores that come free are given away in the same turn. */
    drive_tick (&self->drive, now_us);
    size_t launching = schedule_count (self->core, SCHEDULE_LAUNCHING);
    if (!full)
        schedule_tick (self->core, now_us);
    /* They start once this turn is on disk. */
    if (schedule_count (self->core, SCHEDULE_LAUNCHING) > launching)
        service_tick_soon (service, on_tick);
    for (size_t i = 0; i < schedule_proposals (self->core); i++)
        if (schedule_proposal_due (self->core, i, now_us)) {
            schedule_proposal_sent (self->core, i);
            ask_select (service, schedule_proposal_at (self->core, i));
        }
    const char *engine = self->drive.ops->trouble (self->drive.executor);
    const char *trouble = engine ? engine : schedule_trouble (self->core, now_us);
    if (full)
        service_trouble (service,
                         "no space left: less than %u MiB are free on the disk of workspace %.200s; no job is started, and "
                         "running ones wait to write how they ended. Make room",
                         ROOM_MIN_BYTES >> 20, service_workspace (service));
    else
        service_trouble (service, "%s", trouble ? trouble : "");
}

/* The campaign goes down: running jobs are asked to end, and wait for the next start. Each has its grace for that; what
 * is not through by then goes on under its shepherd, and is found again. */
static bool on_drain (struct service *service, int64_t now_us)
{
    struct state *self = service_state (service);
    if (!self || service_hands_over (service))
        return true; /* the jobs run on under their shepherds */
    if (!self->drain_until_us) {
        unsigned grace_s = schedule_grace_s (self->core);
        self->drain_until_us = now_us + ((int64_t)grace_s + 5) * 1000000;
        schedule_drain (self->core);
        size_t n = drive_in_hands (&self->drive);
        if (n)
            service_event (service, "schedule-stopping", service_replica (service),
                           "stops %zu running jobs, for at most %u s", n, grace_s + 5);
    }
    return drive_in_hands (&self->drive) == 0 || now_us >= self->drain_until_us;
}

/* ---- requests ---- */

static void on_jobs (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    struct strata_error error;
    Strata__JobsReply reply;
    if (schedule_jobs (service_shard (service), (const Strata__Jobs *)body, &reply, &error) != 0) {
        request_refuse (request, STRATA__REFUSAL_CODE__REFUSED_INVALID, "%s", error.text);
        return;
    }
    struct state *self = service_state (service);
    schedule_jobs_tell (self->core, (const Strata__Jobs *)body, &reply, service_now_us (service));
    request_reply (request, &reply.base);
    schedule_jobs_fini (&reply);
}

static Strata__RefusalCode code_of (int error)
{
    return error == ENOENT ? STRATA__REFUSAL_CODE__REFUSED_NOT_FOUND : STRATA__REFUSAL_CODE__REFUSED_INVALID;
}

static void on_cancel (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    struct state *self = service_state (service);
    struct strata_error error;
    struct id_list ids = { NULL, 0, 0 };
    const Strata__Cancel *cancel = (const Strata__Cancel *)body;
    const struct schedule_wanted wanted = { cancel->id, cancel->state, cancel->type, cancel->all };
    if (schedule_cancel (self->core, &wanted, id_list_add, &ids, service_now_us (service), &error) != 0)
        request_refuse (request, code_of (errno), "%s", error.text);
    else {
        Strata__CancelReply reply = STRATA__CANCEL_REPLY__INIT;
        reply.ids = ids.ids;
        reply.n_ids = ids.count;
        request_reply (request, &reply.base);
    }
    id_list_fini (&ids);
}

static void on_retry (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    struct state *self = service_state (service);
    struct strata_error error;
    struct id_list ids = { NULL, 0, 0 };
    const Strata__Retry *retry = (const Strata__Retry *)body;
    if (schedule_retry (self->core, retry->id, retry->type, id_list_add, &ids, service_now_us (service), &error) != 0)
        request_refuse (request, code_of (errno), "%s", error.text);
    else {
        Strata__RetryReply reply = STRATA__RETRY_REPLY__INIT;
        reply.ids = ids.ids;
        reply.n_ids = ids.count;
        request_reply (request, &reply.base);
    }
    id_list_fini (&ids);
}

/* ---- nodes ---- */

static const char *const node_states[] = { [RESOURCES_UP] = "up", [RESOURCES_DRAINED] = "drained", [RESOURCES_LOST] = "lost" };

static void tell_node (const struct state *self, size_t node, Strata__NodeState *out)
{
    size_t in_group;
    const struct machine_group *group = machine_group_of (&self->machine, node, &in_group);
    strata__node_state__init (out);
    out->number = node;
    out->name = group->names ? group->names[in_group] : "";
    out->state = (char *)node_states[schedule_node (self->core, node)];
    out->cores = group->cores;
    out->gpus = group->gpus;
}

static int set_node (struct service *service, size_t node, const char *state, struct strata_error *error)
{
    struct state *self = service_state (service);
    for (size_t i = 0; i < sizeof (node_states) / sizeof (node_states[0]); i++) {
        if (strcmp (node_states[i], state) != 0)
            continue;
        /* Its jobs would be started anew while they run on beside this process. */
        if (i == RESOURCES_LOST && strcmp (service_campaign (service)->schedule.executor, executor_local.name) == 0)
            return strata_fail (error, "node %zu is this machine, on which the jobs run: it can be drained, and is not lost", node);
        return schedule_set_node (self->core, node, (enum resources_node_state)i, service_now_us (service), error);
    }
    return strata_fail (error, "\"%.40s\" is no state of a node; there are up, drained, lost", state);
}

static void on_node (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    struct state *self = service_state (service);
    const Strata__Node *ask = (const Strata__Node *)body;
    Strata__NodeReply reply = STRATA__NODE_REPLY__INIT;
    struct strata_error error;
    size_t nodes = machine_nodes (&self->machine), first = 0, count = nodes;
    if (ask->node[0]) {
        first = machine_find_node (&self->machine, ask->node);
        count = 1;
    }
    if (first == SIZE_MAX || (ask->state[0] && !ask->node[0])) {
        request_refuse (request, STRATA__REFUSAL_CODE__REFUSED_NOT_FOUND, "there is no node \"%.100s\"; `strata node` lists the %zu there are",
                        ask->node, nodes);
        return;
    }
    if (ask->state[0] && set_node (service, first, ask->state, &error) != 0) {
        request_refuse (request, STRATA__REFUSAL_CODE__REFUSED_INVALID, "%s", error.text);
        return;
    }
    Strata__NodeState *states = calloc (count + 1, sizeof (*states));
    reply.nodes = calloc (count + 1, sizeof (*reply.nodes));
    for (size_t i = 0; states && reply.nodes && i < count; i++) {
        tell_node (self, first + i, &states[i]);
        reply.nodes[reply.n_nodes++] = &states[i];
    }
    request_reply (request, &reply.base);
    free (states);
    free (reply.nodes);
}

/* ---- settings ---- */

struct settings {
    Strata__Setting *list, **pointers;
    size_t count, room;
};

static void add_setting (const char *name, uint64_t value, uint64_t of_file, uint64_t per, void *arg)
{
    struct settings *self = arg;
    if (self->count == self->room) {
        self->room = self->room ? 2 * self->room : 16;
        self->list = realloc (self->list, self->room * sizeof (*self->list));
        if (!self->list) {
            log_error ("out of memory");
            abort ();
        }
    }
    Strata__Setting *s = &self->list[self->count++];
    strata__setting__init (s);
    s->name = strdup (name);
    s->value = value;
    s->of_file = of_file;
    s->per = per;
}

static void on_update (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    struct state *self = service_state (service);
    const Strata__Update *update = (const Strata__Update *)body;
    Strata__UpdateReply reply = STRATA__UPDATE_REPLY__INIT;
    struct settings settings = { NULL, NULL, 0, 0 };
    struct strata_error error;
    if (update->name[0] && schedule_update (self->core, update->name, update->value, &error) != 0) {
        request_refuse (request, code_of (errno), "%s", error.text);
        return;
    }
    schedule_settings (self->core, add_setting, &settings);
    settings.pointers = calloc (settings.count + 1, sizeof (*settings.pointers));
    for (size_t i = 0; settings.pointers && i < settings.count; i++)
        settings.pointers[reply.n_settings++] = &settings.list[i];
    reply.settings = settings.pointers;
    request_reply (request, &reply.base);
    for (size_t i = 0; i < settings.count; i++)
        free (settings.list[i].name);
    free (settings.list);
    free (settings.pointers);
}

/* ---- start, stop, figures ---- */

/* The executor's hold on its processes outlives a core that only starts anew from its store. */
static void *kept_executor;

/* Cores are given away again as soon as a process that we started has ended, not at the next tick. */
static uv_signal_t children;

static void on_child (uv_signal_t *handle, int number)
{
    service_tick_soon (handle->data, on_tick);
}

static void watch_children (struct service *service)
{
    if (children.data || service_replays (service))
        return;
    uv_signal_init (service_loop (service), &children);
    children.data = service;
    uv_signal_start (&children, on_child, SIGCHLD);
}

static void stop (struct service *service)
{
    struct state *self = service_state (service);
    if (!self)
        return;
    if (service_restarts (service))
        kept_executor = self->recorded.executor;
    else if (self->recorded.executor)
        self->recorded.ops->close (&self->recorded.executor);
    while (self->questions)
        question_free (self, self->questions);
    drive_fini (&self->drive);
    schedule_free (&self->core);
    machine_fini (&self->machine);
    free (self);
    service_set_state (service, NULL);
}

/* When the allocation ends that this process is in; 0: nobody has said so. */
static int64_t allocation_end_us (void)
{
    static const char *const names[] = { "STRATA_END", "SLURM_JOB_END_TIME" };
    for (size_t i = 0; i < sizeof (names) / sizeof (names[0]); i++) {
        const char *text = getenv (names[i]);
        uint64_t seconds;
        if (text && *text && campaign_parse_whole (text, &seconds) && seconds < INT64_MAX / 1000000)
            return (int64_t)seconds * 1000000;
        if (text && *text)
            log_warn ("%s is not a time in seconds since 1970, and is not used: %.60s", names[i], text);
    }
    return 0;
}

/* What the executor has to give, or else what the campaign file describes; as much of it as the campaign may use. */
static int make_machine (struct service *service, struct state *self, struct strata_error *error)
{
    const struct campaign_schedule *wanted = &service_campaign (service)->schedule;
    if (self->drive.ops->capacity (self->drive.executor, &self->machine, error) != 0)
        return -1;
    if (!self->machine.count && machine_add_described (&self->machine, &wanted->machine, error) != 0)
        return -1;
    if (!self->machine.count)
        return strata_fail (error, "schedule.executor: %s does not know which nodes there are; describe them: schedule.machine",
                            wanted->executor);
    self->machine.end_us = service_replays (service) ? 0 : allocation_end_us ();
    service_fact (service, &self->machine.end_us, sizeof (self->machine.end_us));
    if (wanted->cores)
        machine_limit_cores (&self->machine, wanted->cores);
    return wanted->gpus ? machine_set_gpus (&self->machine, wanted->gpus, error) : 0;
}

static int open_executor (struct service *service, struct state *self, struct strata_error *error)
{
    const char *name = service_campaign (service)->schedule.executor;
    const struct executor_config config = { .workspace = service_workspace (service), .bin_dir = service_bin_dir (service),
                                            .settings = &service_campaign (service)->schedule, .keeps = true };
    self->drive.ops = &executor_recorded;
    self->drive.executor = &self->recorded;
    self->recorded.service = service;
    self->recorded.ops = executor_find (name);
    self->recorded.executor = kept_executor;
    kept_executor = NULL;
    if (!self->recorded.ops)
        return strata_fail (error, "schedule.executor: %s is not built into this strata-schedule; use local, nodes, slurm or flux", name);
    if (!self->recorded.executor && !service_replays (service))
        self->recorded.executor = self->recorded.ops->open (&config, error);
    if (!self->recorded.executor && !service_replays (service))
        return -1;
    return make_machine (service, self, error);
}

static int start (struct service *service, struct strata_error *error)
{
    const struct campaign *campaign = service_campaign (service);
    struct state *self = calloc (1, sizeof (*self));
    if (!self)
        return strata_fail (error, "out of memory");
    service_set_state (service, self);
    if (open_executor (service, self, error) != 0)
        goto failed;
    struct schedule_sink sink = { on_job, on_event, service };
    self->core = schedule_new (campaign, service_shard (service), service_workspace (service), &self->machine, &sink,
                               service_now_us (service), error);
    if (!self->core)
        goto failed;
    self->drive.core = self->core;
    self->drive.context = (struct template_context){ service_workspace (service), campaign->dir,
                                                     service_bin_dir (service), campaign->seed };
    watch_children (service);
    log_info ("%zu nodes, %zu jobs not ended, %zu of them running", machine_nodes (&self->machine), schedule_live (self->core),
              schedule_count (self->core, SCHEDULE_RUNNING) + schedule_count (self->core, SCHEDULE_STOPPING));
    return 0;
failed:
    stop (service);
    return -1;
}

static void on_metrics (struct service *service)
{
    struct state *self = service_state (service);
    struct schedule_figures all;
    if (!self)
        return;
    schedule_figures (self->core, &all);
    service_metric (service, "cores", (double)all.cores, 0);
    service_metric (service, "cores_busy", (double)all.cores_busy, (double)all.cores);
    service_metric (service, "gpus", (double)all.gpus, 0);
    service_metric (service, "gpus_busy", (double)all.gpus_busy, (double)all.gpus);
    service_metric (service, "nodes", (double)all.nodes, 0);
    service_metric (service, "nodes_drained", (double)all.nodes_drained, 0);
    service_metric (service, "nodes_lost", (double)all.nodes_lost, 0);
    service_metric (service, "jobs_waiting", (double)all.waiting, 0);
    service_metric (service, "jobs_running", (double)all.running, 0);
    service_metric (service, "jobs_succeeded", (double)all.succeeded, 0);
    service_metric (service, "jobs_aside", (double)all.aside, 0);
    service_metric (service, "jobs_cancelled", (double)all.cancelled, 0);
    service_metric (service, "buffer_ready", (double)all.buffer_ready, 0);
    if (all.end_us)
        service_metric (service, "allocation_left_s", (double)(all.end_us - service_now_us (service)) / 1e6, 0);
    service_metric (service, "occupancy", all.occupancy, 1);
    service_metric (service, "gpu_occupancy", all.gpu_occupancy, 1);
    const struct campaign *campaign = service_campaign (service);
    for (unsigned i = 0; i < campaign->jobs_count; i++) {
        struct schedule_figures one;
        schedule_type_figures (self->core, i, &one);
        const struct {
            const char *name;
            uint64_t value;
        } figures[] = { { "running", one.running }, { "succeeded", one.succeeded }, { "waiting", one.waiting },
                        { "aside", one.aside }, { "paused", one.paused } };
        for (size_t j = 0; j < sizeof (figures) / sizeof (figures[0]); j++) {
            char name[128];
            snprintf (name, sizeof (name), "%.100s_%s", campaign->jobs[i].name, figures[j].name);
            service_metric (service, name, (double)figures[j].value, 0);
        }
    }
}

static const struct service_handler handlers[] = {
    { STRATA__MESSAGE_TYPE__TYPE_JOBS, &strata__jobs__descriptor, false, on_jobs },
    { STRATA__MESSAGE_TYPE__TYPE_CANCEL, &strata__cancel__descriptor, true, on_cancel },
    { STRATA__MESSAGE_TYPE__TYPE_RETRY, &strata__retry__descriptor, true, on_retry },
    { STRATA__MESSAGE_TYPE__TYPE_NODE, &strata__node__descriptor, true, on_node },
    { STRATA__MESSAGE_TYPE__TYPE_UPDATE, &strata__update__descriptor, true, on_update },
    { 0, NULL, false, NULL },
};

static const struct service_timer timers[] = {
    { TICK_MS, on_tick },
    { 0, NULL },
};

int main (int argc, char **argv)
{
    static const struct service_spec spec = {
        .name = "schedule",
        .about = "Turns selections into jobs, and runs them.",
        .has_shard = true,
        .handlers = handlers,
        .timers = timers,
        .start = start,
        .drain = on_drain,
        .stop = stop,
        .metrics = on_metrics,
    };
    return service_main (&spec, argc, argv);
}
