/* executor_nodes.c - jobs as processes of the campaign's nodes (core/nodes.h), each started by its node's launch agent.
 *
 * One request a node and round (launch.proto) says what is to start and to stop and asks what became of the rest; all are under
 * way at once, and nobody is waited for. What must be remembered is the node that an attempt was given to: attempt-<n>/node, on
 * disk before the node is asked. The node's own lock decides whether the attempt is new, so an order may be sent again.
 * A node that does not answer for schedule.node_timeout is lost, which the core is told (`lost`); what it was given and runs on
 * is ended by its agent as soon as that sees the job's next attempt.
 */
#include <czmq.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/files.h"
#include "core/log.h"
#include "core/nodes.h"
#include "executor_attempt.h"
#include "launch.pb-c.h"
#include "machine_file.h"
#include "mesh/mesh.h"

#define ROUND_US 200000         /* between two requests to a node that has attempts; 0.5 ms for each node when there are many */
#define NODE_ROUND_US 500
#define ASK_TIMEOUT_MS 5000
#define SILENT_US 2000000       /* a node that has been silent so long: its attempts' folders are looked at as well */
#define LIST_US 1000000         /* between looks at the list of nodes */
#define OWN_NODE_S 10           /* for the first agent to describe its node */
#define ROUND_MAX 2000          /* attempts in a request */

struct attempt {
    char *key, *id, *dir;
    uint32_t number;
    size_t node;
    enum executor_state state;
    struct outcome *outcome;    /* of ENDED and LOST */
    Strata__AttemptOrder *order; /* not answered yet; ours */
    bool stop, told;            /* told: `changed` need not tell of it */
    struct attempt *next, **at; /* of the node */
};

struct round;

struct node {
    char name[NODE_NAME_MAX], peer[32];
    struct attempt *attempts;
    size_t count;
    struct round *round;        /* the request that is under way; NULL: none */
    bool urgent;                /* something is to start or to stop */
    bool lost;                  /* and the core was told */
    bool told;                  /* the core was told that it is lost, or that it is not */
    bool answered;              /* since we began */
    int64_t asked_us, answered_us;
};

struct cluster {
    char *workspace;
    int64_t timeout_us;
    uv_loop_t loop;
    struct mesh mesh;
    struct node *nodes;
    size_t count, described;    /* of the list; of those that have a description */
    zhash_t *attempts;          /* by "<id>.<number>" */
    zlist_t *changed;           /* ids, ours */
    bool began;                 /* `changed` has said once that all are to be looked at */
    int64_t listed_us, grown_us; /* grown_us: since when there are more than `capacity` told of */
    size_t grown_count;
    char trouble[512];
};

/* ---- attempts ---- */

static void key_of (const struct executor_ref *ref, char key[320])
{
    snprintf (key, 320, "%.300s.%u", ref->id, ref->attempt);
}

static void order_free (Strata__AttemptOrder **order)
{
    if (*order)
        strata__attempt_order__free_unpacked (*order, NULL);
    *order = NULL;
}

static void attempt_free (struct cluster *self, struct attempt *attempt)
{
    if (attempt->next)
        attempt->next->at = attempt->at;
    *attempt->at = attempt->next;
    self->nodes[attempt->node].count--;
    zhash_delete (self->attempts, attempt->key);
    order_free (&attempt->order);
    free (attempt->outcome);
    free (attempt->key);
    free (attempt->id);
    free (attempt->dir);
    free (attempt);
}

static struct attempt *find (struct cluster *self, const struct executor_ref *ref)
{
    char key[320];
    key_of (ref, key);
    return zhash_lookup (self->attempts, key);
}

static struct attempt *add (struct cluster *self, const struct executor_ref *ref, size_t node)
{
    char key[320];
    struct attempt *attempt = calloc (1, sizeof (*attempt));
    key_of (ref, key);
    if (!attempt || !(attempt->key = strdup (key)) || !(attempt->id = strdup (ref->id)) || !(attempt->dir = strdup (ref->dir))
        || zhash_insert (self->attempts, key, attempt) < 0) {
        log_error ("out of memory");
        abort ();
    }
    attempt->number = ref->attempt;
    attempt->node = node;
    attempt->state = EXECUTOR_SUBMITTED;
    attempt->next = self->nodes[node].attempts;
    attempt->at = &self->nodes[node].attempts;
    if (attempt->next)
        attempt->next->at = &attempt->next;
    self->nodes[node].attempts = attempt;
    self->nodes[node].count++;
    return attempt;
}

static void tell (struct cluster *self, struct attempt *attempt)
{
    if (!attempt->told)
        zlist_append (self->changed, strdup (attempt->id));
    attempt->told = true;
}

static void set_state (struct cluster *self, struct attempt *attempt, enum executor_state state)
{
    if (attempt->state == state)
        return;
    attempt->state = state;
    attempt->told = false;
    tell (self, attempt);
}

/* Takes over *outcome. */
static void set_ended (struct cluster *self, struct attempt *attempt, enum executor_state state, const struct outcome *outcome)
{
    if (!attempt->outcome && !(attempt->outcome = malloc (sizeof (*outcome)))) {
        log_error ("out of memory");
        abort ();
    }
    *attempt->outcome = *outcome;
    order_free (&attempt->order);
    set_state (self, attempt, state);
}

/* ---- which node an attempt was given to ---- */

static int write_node (const char *folder, const char *node, struct strata_error *error)
{
    char line[NODE_NAME_MAX + 2];
    int n = snprintf (line, sizeof (line), "%s\n", node), fd = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = -1;
    if (fd < 0)
        return strata_fail (error, "folder %s: %s", folder, strerror (errno));
    if (files_write_synced (fd, folder, ".node.new", line, (size_t)n, error) == 0) {
        rc = renameat (fd, ".node.new", fd, "node");
        if (rc < 0)
            strata_fail (error, "%s/node can't be written: %s", folder, strerror (errno));
    }
    close (fd);
    return rc;
}

/* 1 read, 0 there is none: nobody was asked to start it. */
static int read_node (const char *folder, char name[NODE_NAME_MAX])
{
    char path[ATTEMPT_FOLDER_MAX + 8];
    snprintf (path, sizeof (path), "%s/node", folder);
    FILE *in = fopen (path, "re");
    size_t n = in ? fread (name, 1, NODE_NAME_MAX - 1, in) : 0;
    if (in)
        fclose (in);
    name[n] = '\0';
    name[strcspn (name, "\n")] = '\0';
    return name[0] != '\0';
}

static size_t node_called (const struct cluster *self, const char *name)
{
    size_t i = 0;
    while (i < self->count && strcmp (self->nodes[i].name, name) != 0)
        i++;
    return i;
}

/* What a request was about: attempts may be gone when its answer comes. */
struct round {
    struct cluster *cluster;
    size_t node;
    char **starts, **looks; /* keys, ended by NULL */
};

static void round_free (struct round *self)
{
    for (size_t i = 0; self->starts && self->starts[i]; i++)
        free (self->starts[i]);
    for (size_t i = 0; self->looks && self->looks[i]; i++)
        free (self->looks[i]);
    free (self->starts);
    free (self->looks);
    free (self);
}

/* ---- opening ---- */

static void ignore_request (struct mesh *mesh, zframe_t *identity, struct wire_message *message, void *arg)
{
    wire_fini (message);
}

static void ignore_publication (struct mesh *mesh, const char *topic, struct wire_message *message, void *arg)
{
}

static void nodes_close (void **arg)
{
    struct cluster *self = *arg;
    *arg = NULL;
    if (!self)
        return;
    if (self->mesh.open) {
        mesh_fini (&self->mesh);
        uv_run (&self->loop, UV_RUN_DEFAULT);
        uv_loop_close (&self->loop);
    }
    for (size_t i = 0; i < self->count; i++) {
        if (self->nodes[i].round)
            round_free (self->nodes[i].round);
        while (self->nodes[i].attempts)
            attempt_free (self, self->nodes[i].attempts);
    }
    zhash_destroy (&self->attempts);
    for (char *id; self->changed && (id = zlist_pop (self->changed));)
        free (id);
    zlist_destroy (&self->changed);
    free (self->nodes);
    free (self->workspace);
    free (self);
}

static void *nodes_open (const struct executor_config *config, struct strata_error *error)
{
    char name[128], host[64] = "host";
    struct cluster *self = calloc (1, sizeof (*self));
    if (!self || !(self->workspace = strdup (config->workspace)) || !(self->attempts = zhash_new ()) || !(self->changed = zlist_new ())) {
        strata_fail (error, "out of memory");
        nodes_close ((void **)&self);
        return NULL;
    }
    self->timeout_us = (int64_t)(config->settings ? config->settings->node_timeout_s : 60) * 1000000;
    gethostname (host, sizeof (host) - 1);
    snprintf (name, sizeof (name), "schedule.%.60s.%d", host, (int)getpid ());
    uv_loop_init (&self->loop);
    if (mesh_init (&self->mesh, &self->loop, self->workspace, name, NULL, NULL, error) < 0) {
        nodes_close ((void **)&self);
        return NULL;
    }
    self->mesh.on_request = ignore_request;
    self->mesh.on_publication = ignore_publication;
    return self;
}

static bool is_described (const struct cluster *self, const char *name)
{
    char path[4200];
    snprintf (path, sizeof (path), "%s/nodes/%s.json", self->workspace, name);
    return access (path, F_OK) == 0;
}

/* The list of nodes, when the first of them has said what it has; waits for that a moment, since all begin together. */
static int wait_for_list (struct cluster *self, struct nodes *list, struct strata_error *error)
{
    for (int64_t end_us = mesh_now_us () + OWN_NODE_S * 1000000;; usleep (20000)) {
        if (nodes_read (self->workspace, list, error) < 0)
            return -1;
        for (size_t i = 0; i < list->count; i++)
            if (is_described (self, list->names[i]))
                return 0;
        nodes_fini (list);
        if (mesh_now_us () > end_us)
            return strata_fail (error, "no node has a launch agent (strata-launch) that says what there is; see log/launch-0.log");
    }
}

static int nodes_capacity (void *arg, struct machine *machine, struct strata_error *error)
{
    struct cluster *self = arg;
    struct nodes list;
    int rc = 0;
    if (wait_for_list (self, &list, error) < 0)
        return -1;
    /* Attempts that are known stay at their nodes: numbers never change. */
    struct node *grown = realloc (self->nodes, (list.count + 1) * sizeof (*grown));
    if (!grown) {
        nodes_fini (&list);
        return strata_fail (error, "out of memory for %zu nodes", list.count);
    }
    self->nodes = grown;
    for (size_t i = 0; i < self->count; i++)
        if (self->nodes[i].attempts)
            self->nodes[i].attempts->at = &self->nodes[i].attempts;
    for (size_t i = self->count; i < list.count; i++) {
        self->nodes[i] = (struct node){ .answered_us = mesh_now_us () };
        snprintf (self->nodes[i].name, sizeof (self->nodes[i].name), "%s", list.names[i]);
        snprintf (self->nodes[i].peer, sizeof (self->nodes[i].peer), "launch-%zu", i);
    }
    self->count = list.count;
    self->described = 0;
    for (size_t i = 0; i < list.count && rc >= 0; i++) {
        rc = machine_load (machine, self->workspace, list.names[i], error);
        self->described += rc > 0;
    }
    nodes_fini (&list);
    self->grown_us = 0;
    return rc < 0 ? -1 : 0;
}

/* ---- launch, poll, stop ---- */

static char *copy (const char *text)
{
    char *copied = strdup (text);
    if (!copied) {
        log_error ("out of memory");
        abort ();
    }
    return copied;
}

static char **copy_words (const char *const *words, size_t count)
{
    char **copies = calloc (count + 1, sizeof (*copies));
    for (size_t i = 0; copies && i < count; i++)
        copies[i] = copy (words[i]);
    return copies;
}

static Strata__AttemptName *name_new (const struct executor_ref *ref)
{
    Strata__AttemptName *name = malloc (sizeof (*name));
    if (!name) {
        log_error ("out of memory");
        abort ();
    }
    strata__attempt_name__init (name);
    name->id = copy (ref->id);
    name->dir = copy (ref->dir);
    name->attempt = ref->attempt;
    return name;
}

/* The names of a job's nodes, for programs that start processes on all of them. */
static char *nodes_setting (const struct cluster *self, const struct executor_order *order)
{
    size_t size = sizeof ("STRATA_NODES=");
    for (size_t i = 0; i < order->nodes_count; i++)
        size += NODE_NAME_MAX + 1;
    char *text = malloc (size);
    size_t at = text ? (size_t)sprintf (text, "STRATA_NODES=") : 0;
    for (size_t i = 0; text && i < order->nodes_count; i++)
        if (order->nodes[i] < self->count)
            at += (size_t)sprintf (text + at, "%s%s", i ? "," : "", self->nodes[order->nodes[i]].name);
    return text;
}

static Strata__AttemptOrder *order_new (const struct cluster *self, const struct executor_order *order)
{
    Strata__AttemptOrder *copied = malloc (sizeof (*copied));
    size_t words = 0, settings = 0;
    if (!copied) {
        log_error ("out of memory");
        abort ();
    }
    while (order->argv[words])
        words++;
    while (order->environment[settings])
        settings++;
    strata__attempt_order__init (copied);
    copied->name = name_new (&order->ref);
    copied->argv = copy_words ((const char *const *)order->argv, words);
    copied->n_argv = copied->argv ? words : 0;
    copied->environment = copy_words (order->environment, settings);
    copied->n_environment = copied->environment ? settings : 0;
    char *nodes = nodes_setting (self, order);
    char **grown = nodes ? realloc (copied->environment, (settings + 1) * sizeof (*grown)) : NULL;
    if (grown) {
        copied->environment = grown;
        copied->environment[copied->n_environment++] = nodes;
    }
    else
        free (nodes);
    copied->walltime_s = order->walltime_s;
    copied->grace_s = order->grace_s;
    copied->memory_mb = order->memory_mb;
    copied->output_mb = order->output_mb;
    /* The first node's cores: what a program starts on the others it binds itself. */
    size_t cores = order->nodes_count ? order->cores_count / order->nodes_count : order->cores_count;
    copied->cores = calloc (cores + 1, sizeof (*copied->cores));
    copied->n_cores = copied->cores ? cores : 0;
    if (copied->cores && cores)
        memcpy (copied->cores, order->cores, cores * sizeof (*copied->cores));
    copied->success = copy_words ((const char *const *)order->success, order->success_count);
    copied->n_success = copied->success ? order->success_count : 0;
    return copied;
}

static int nodes_launch (void *arg, const struct executor_order *order, uint32_t *pid, struct strata_error *error)
{
    struct cluster *self = arg;
    struct outcome outcome;
    char folder[ATTEMPT_FOLDER_MAX];
    size_t node = order->nodes_count ? order->nodes[0] : 0;
    *pid = 0;
    struct attempt *attempt = find (self, &order->ref);
    if (!attempt) {
        if (node >= self->count)
            return strata_fail (error, "there is no node %zu in this campaign", node);
        if (attempt_folder (&order->ref, folder) != 0)
            return strata_fail (error, "%.200s: the name of this folder is too long", order->ref.dir);
        if (attempt_make_folders (self->workspace, order->ref.dir, folder, error) != 0)
            return -1;
        if (outcome_read (folder, &outcome, NULL) == 1)
            return 0; /* poll tells of it */
        if (write_node (folder, self->nodes[node].name, error) != 0)
            return -1;
        attempt = add (self, &order->ref, node);
    }
    if (attempt->state != EXECUTOR_SUBMITTED)
        return 0;
    if (!attempt->order)
        attempt->order = order_new (self, order);
    attempt->told = false;
    self->nodes[attempt->node].urgent = true;
    return 1;
}

static enum executor_state lost_with (struct outcome *outcome, const char *node)
{
    *outcome = (struct outcome){ .end = STRATA__JOB_END__END_NODE };
    snprintf (outcome->reason, sizeof (outcome->reason), "it was given to node %.63s, which is not of this campaign any more", node);
    return EXECUTOR_LOST;
}

static enum executor_state nodes_poll (void *arg, const struct executor_ref *ref, struct outcome *outcome)
{
    struct cluster *self = arg;
    char folder[ATTEMPT_FOLDER_MAX], name[NODE_NAME_MAX];
    struct attempt *attempt = find (self, ref);
    if (!attempt) {
        if (attempt_folder (ref, folder) != 0)
            return EXECUTOR_NEVER;
        if (outcome_read (folder, outcome, NULL) == 1)
            return EXECUTOR_ENDED;
        if (!read_node (folder, name))
            return EXECUTOR_NEVER;
        size_t node = node_called (self, name);
        if (node == self->count)
            return lost_with (outcome, name);
        add (self, ref, node);
        self->nodes[node].urgent = true;
        return EXECUTOR_SUBMITTED;
    }
    enum executor_state state = attempt->state;
    attempt->told = true;
    if (attempt->outcome)
        *outcome = *attempt->outcome;
    if (state == EXECUTOR_NEVER || state == EXECUTOR_ENDED || state == EXECUTOR_LOST)
        attempt_free (self, attempt);
    return state;
}

static void nodes_stop (void *arg, const struct executor_ref *ref)
{
    struct cluster *self = arg;
    struct attempt *attempt = find (self, ref);
    if (!attempt)
        return;
    attempt->stop = true;
    self->nodes[attempt->node].urgent = true;
}

static int nodes_changed (void *arg, void (*each) (const char *id, void *arg), void *each_arg)
{
    struct cluster *self = arg;
    for (char *id; (id = zlist_pop (self->changed));) {
        if (self->began)
            each (id, each_arg);
        free (id);
    }
    int rc = self->began ? 0 : -1;
    self->began = true;
    return rc;
}

/* ---- a request to a node ---- */

/* text: "", or why it could not be started. */
static void take_error (struct cluster *self, struct attempt *attempt, const char *text)
{
    struct outcome outcome = { .end = STRATA__JOB_END__END_NO_START };
    order_free (&attempt->order);
    if (!text[0]) {
        set_state (self, attempt, EXECUTOR_RUNNING);
        return;
    }
    snprintf (outcome.reason, sizeof (outcome.reason), "%.500s", text);
    set_ended (self, attempt, EXECUTOR_ENDED, &outcome);
}

static void take_look (struct cluster *self, struct attempt *attempt, const Strata__AttemptLook *look)
{
    struct outcome outcome = { .end = look->end, .code = look->code, .max_rss_mb = look->max_rss_mb, .started_us = look->started_us,
                               .ended_us = look->ended_us };
    snprintf (outcome.reason, sizeof (outcome.reason), "%s", look->reason);
    snprintf (outcome.stderr_tail, sizeof (outcome.stderr_tail), "%s", look->stderr_tail);
    switch (look->state) {
    case STRATA__ATTEMPT_STATE__ATTEMPT_RUNNING:
        set_state (self, attempt, EXECUTOR_RUNNING);
        return;
    case STRATA__ATTEMPT_STATE__ATTEMPT_ENDED:
        set_ended (self, attempt, EXECUTOR_ENDED, &outcome);
        return;
    case STRATA__ATTEMPT_STATE__ATTEMPT_LOST:
        set_ended (self, attempt, EXECUTOR_LOST, &outcome);
        return;
    default: /* it was never started: by an order that did not come through */
        if (!attempt->order)
            set_state (self, attempt, EXECUTOR_NEVER);
    }
}

static void on_attended (void *owner, const struct reply *reply, void *arg)
{
    struct round *round = arg;
    struct cluster *self = round->cluster;
    struct node *node = &self->nodes[round->node];
    node->round = NULL;
    if (reply->ok) {
        const Strata__AttendReply *body = (const Strata__AttendReply *)reply->body;
        node->answered_us = mesh_now_us ();
        node->answered = true;
        for (size_t i = 0; i < body->n_errors && round->starts[i]; i++) {
            struct attempt *attempt = zhash_lookup (self->attempts, round->starts[i]);
            if (attempt && attempt->state == EXECUTOR_SUBMITTED)
                take_error (self, attempt, body->errors[i]);
        }
        for (size_t i = 0; i < body->n_looks && round->looks[i]; i++) {
            struct attempt *attempt = zhash_lookup (self->attempts, round->looks[i]);
            if (attempt && !attempt->outcome)
                take_look (self, attempt, body->looks[i]);
        }
    }
    round_free (round);
}

static void ask (struct cluster *self, size_t number, int64_t now_us)
{
    struct node *node = &self->nodes[number];
    size_t most = node->count < ROUND_MAX ? node->count : ROUND_MAX, used = 0;
    struct round *round = calloc (1, sizeof (*round));
    Strata__Attend body = STRATA__ATTEND__INIT;
    Strata__AttemptName *names = calloc (most + 1, sizeof (*names));
    Strata__AttemptName **stops = calloc (most + 1, sizeof (*stops)), **looks = calloc (most + 1, sizeof (*looks));
    Strata__AttemptOrder **starts = calloc (most + 1, sizeof (*starts));
    if (round) {
        round->starts = calloc (most + 1, sizeof (*round->starts));
        round->looks = calloc (most + 1, sizeof (*round->looks));
    }
    if (!round || !names || !stops || !looks || !starts || !round->starts || !round->looks) {
        log_error ("out of memory");
        abort ();
    }
    round->cluster = self;
    round->node = number;
    body.start = starts;
    body.stop = stops;
    body.look = looks;
    for (struct attempt *a = node->attempts; a && used < most; a = a->next) {
        if (a->outcome || a->state == EXECUTOR_NEVER)
            continue;
        Strata__AttemptName *name = &names[used++];
        strata__attempt_name__init (name);
        name->id = a->id;
        name->dir = a->dir;
        name->attempt = a->number;
        if (a->order) {
            round->starts[body.n_start] = copy (a->key);
            starts[body.n_start++] = a->order;
            continue; /* it is stopped when it runs */
        }
        if (a->stop)
            stops[body.n_stop++] = name;
        a->stop = false;
        round->looks[body.n_look] = copy (a->key);
        looks[body.n_look++] = name;
    }
    node->round = round;
    node->urgent = false;
    node->asked_us = now_us;
    mesh_call (&self->mesh, node->peer, STRATA__MESSAGE_TYPE__TYPE_ATTEND, &body.base, NULL, 0, &strata__attend_reply__descriptor,
               ASK_TIMEOUT_MS, on_attended, self, round);
    free (names);
    free (stops);
    free (looks);
    free (starts);
}

/* ---- a turn ---- */

/* A node that is silent may have told in the folders how its attempts ended. */
static void look_at_folders (struct cluster *self, struct node *node)
{
    char folder[ATTEMPT_FOLDER_MAX];
    struct outcome outcome;
    for (struct attempt *a = node->attempts; a; a = a->next) {
        const struct executor_ref ref = { a->id, a->dir, a->number };
        if (!a->outcome && attempt_folder (&ref, folder) == 0 && outcome_read (folder, &outcome, NULL) == 1)
            set_ended (self, a, EXECUTOR_ENDED, &outcome);
    }
}

static void look_at_list (struct cluster *self, int64_t now_us)
{
    struct nodes list;
    struct strata_error error;
    size_t described = 0;
    self->listed_us = now_us;
    if (nodes_read (self->workspace, &list, &error) < 0)
        return;
    for (size_t i = 0; i < list.count; i++)
        described += is_described (self, list.names[i]);
    /* More may come in the next moment: they are taken together. */
    if (described != self->grown_count)
        self->grown_us = described > self->described ? now_us : 0;
    self->grown_count = described;
    nodes_fini (&list);
}

static void say_who_is_silent (struct cluster *self, int64_t now_us)
{
    size_t silent = 0, first = 0;
    for (size_t i = self->count; i-- > 0;)
        if (self->nodes[i].count && now_us - self->nodes[i].answered_us > ASK_TIMEOUT_MS * 1000LL) {
            silent++;
            first = i;
        }
    self->trouble[0] = '\0';
    if (silent)
        snprintf (self->trouble, sizeof (self->trouble), "%zu of %zu nodes don't answer, the first of them is %s (launch-%zu), silent for %.0f s",
                  silent, self->count, self->nodes[first].name, first, (double)(now_us - self->nodes[first].answered_us) / 1e6);
}

static void nodes_turn (void *arg)
{
    struct cluster *self = arg;
    int64_t now_us = mesh_now_us (), many_us = (int64_t)self->count * NODE_ROUND_US;
    int64_t round_us = many_us > ROUND_US ? many_us : ROUND_US;
    uv_run (&self->loop, UV_RUN_NOWAIT);
    mesh_look_at_cards (&self->mesh);
    for (size_t i = 0; i < self->count; i++) {
        struct node *node = &self->nodes[i];
        int64_t since_us = now_us - node->asked_us;
        if (now_us - node->answered_us > SILENT_US && since_us > ROUND_US)
            look_at_folders (self, node);
        if (node->round)
            continue;
        if (node->urgent || since_us > (node->count ? round_us : self->timeout_us / 4))
            ask (self, i, now_us);
    }
    if (now_us - self->listed_us > LIST_US)
        look_at_list (self, now_us);
    say_who_is_silent (self, now_us);
    uv_run (&self->loop, UV_RUN_NOWAIT);
}

static const char *nodes_trouble (void *arg)
{
    struct cluster *self = arg;
    return self->trouble[0] ? self->trouble : NULL;
}

/* A lost node's attempts are the core's to begin anew elsewhere; what runs on there its agent ends. */
static bool nodes_moved (void *arg, size_t *number, bool *lost)
{
    struct cluster *self = arg;
    int64_t now_us = mesh_now_us ();
    for (size_t i = 0; i < self->count; i++) {
        struct node *node = &self->nodes[i];
        bool silent = now_us - node->answered_us > self->timeout_us;
        /* Once of each, as the core may know it as lost from the time before us. */
        if (node->told ? silent == node->lost : !silent && !node->answered)
            continue;
        node->told = true;
        node->lost = silent;
        while (silent && node->attempts)
            attempt_free (self, node->attempts);
        *number = i;
        *lost = silent;
        return true;
    }
    return false;
}

static bool nodes_outgrown (void *arg)
{
    struct cluster *self = arg;
    return self->grown_us && mesh_now_us () - self->grown_us > 2 * LIST_US;
}

const struct executor_ops executor_nodes = {
    .name = "nodes",
    .open = nodes_open,
    .close = nodes_close,
    .capacity = nodes_capacity,
    .launch = nodes_launch,
    .poll = nodes_poll,
    .stop = nodes_stop,
    .changed = nodes_changed,
    .turn = nodes_turn,
    .trouble = nodes_trouble,
    .moved = nodes_moved,
    .outgrown = nodes_outgrown,
};
