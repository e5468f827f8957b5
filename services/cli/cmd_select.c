/* cmd_select.c - strata invalidate, strata history and strata import: what people ask of select. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "select.pb-c.h"
#include "store/stream.h"
#include "strata_npz.h"

#define TIMEOUT_MS 30000
#define IMPORT_BATCH 1000u

static struct strata_client *open_client (const struct cli_args *args, struct strata_error *error)
{
    struct workspace workspace;
    if (workspace_find (args->workspace, &workspace, error) < 0)
        return NULL;
    return ask_open (&workspace, TIMEOUT_MS, error);
}

static ProtobufCMessage *ask (struct strata_client *client, uint32_t type, const ProtobufCMessage *body,
                              const ProtobufCMessageDescriptor *reply_body, struct strata_error *error)
{
    ProtobufCMessage *reply = NULL;
    if (client_request (client, "select", type, body, NULL, 0, reply_body, &reply, NULL, NULL, error) < 0)
        return NULL;
    return reply;
}

/* ---- invalidate ---- */

/* SIMULATION:INDEX. */
static int parse_snapshot (char *text, Strata__Invalidate *request)
{
    char *colon = strrchr (text, ':'), *end;
    if (!colon || colon == text || colon[1] < '0' || colon[1] > '9')
        return -1;
    errno = 0;
    request->index = strtoull (colon + 1, &end, 10);
    *colon = '\0';
    request->simulation = text;
    return errno || *end ? -1 : 0;
}

/* Adds what select answers to *sum. */
static int invalidate (struct strata_client *client, const Strata__Invalidate *request, Strata__InvalidateReply *sum,
                       struct strata_error *error)
{
    /* A large store is searched in parts: the same snapshot again until all of it is counted. */
    for (;; usleep (200000)) {
        Strata__InvalidateReply *reply =
            (Strata__InvalidateReply *)ask (client, STRATA__MESSAGE_TYPE__TYPE_INVALIDATE, &request->base,
                                            &strata__invalidate_reply__descriptor, error);
        if (!reply)
            return -1;
        bool complete = reply->complete;
        if (complete) {
            sum->invalidated += reply->invalidated;
            sum->proposed += reply->proposed;
            sum->selected += reply->selected;
            sum->unchanged += reply->unchanged;
            sum->unknown += reply->unknown;
        }
        strata__invalidate_reply__free_unpacked (reply, NULL);
        if (complete)
            return 0;
    }
}

int cmd_invalidate (const struct cli_args *args)
{
    struct strata_error error;
    Strata__Invalidate named = STRATA__INVALIDATE__INIT, snapshot = STRATA__INVALIDATE__INIT;
    Strata__InvalidateReply sum = STRATA__INVALIDATE_REPLY__INIT;
    if (!args->reason || (!args->snapshot && args->rest_count == 0))
        return cli_fail (args, CLI_USAGE, "name candidates or --snapshot SIMULATION:INDEX, and say why with --reason TEXT");
    char *text = strdup (args->snapshot ? args->snapshot : "");
    if (!text || (args->snapshot && parse_snapshot (text, &snapshot) < 0)) {
        free (text);
        return cli_fail (args, CLI_USAGE, "--snapshot %s is not SIMULATION:INDEX", args->snapshot);
    }
    named.candidates = args->rest;
    named.n_candidates = (size_t)args->rest_count;
    named.reason = snapshot.reason = (char *)args->reason;
    struct strata_client *client = open_client (args, &error);
    int rc = client ? 0 : -1;
    if (rc == 0 && args->rest_count > 0)
        rc = invalidate (client, &named, &sum, &error);
    if (rc == 0 && args->snapshot)
        rc = invalidate (client, &snapshot, &sum, &error);
    strata_close (&client);
    free (text);
    if (rc < 0)
        return cli_fail (args, CLI_FAILED, "%s", error.text);
    if (args->json)
        cli_print_json (json_pack ("{s:I s:I s:I s:I s:I}", "invalidated", (json_int_t)sum.invalidated, "proposed",
                                   (json_int_t)sum.proposed, "selected", (json_int_t)sum.selected, "unchanged",
                                   (json_int_t)sum.unchanged, "unknown", (json_int_t)sum.unknown));
    else
        printf ("%" PRIu64 " invalid now; %" PRIu64 " proposed: invalid if they come back; %" PRIu64
                " selected before: they stay; %" PRIu64 " discarded or invalid before; %" PRIu64 " unknown\n",
                sum.invalidated, sum.proposed, sum.selected, sum.unchanged, sum.unknown);
    return CLI_OK;
}

/* ---- history ---- */

struct count {
    char *queue;
    uint64_t waiting, selected, discarded;
};

struct history {
    const struct cli_args *args;
    struct count *counts;
    size_t counts_count;
};

static struct count *count_of (struct history *self, const char *queue)
{
    for (size_t i = 0; i < self->counts_count; i++)
        if (strcmp (self->counts[i].queue, queue) == 0)
            return &self->counts[i];
    struct count *counts = reallocarray (self->counts, self->counts_count + 1, sizeof (*counts));
    char *name = strdup (queue);
    if (!counts || !name)
        exit (cli_fail (self->args, CLI_FAILED, "out of memory"));
    self->counts = counts;
    counts[self->counts_count] = (struct count){ name, 0, 0, 0 };
    return &counts[self->counts_count++];
}

/* DynIm's columns: a queue is one of its samplers. Nothing is ever cached here: candidates are ranked at once. */
static void print_csv (const Strata__SelectEvent *event, const char *name, double rank, const struct count *count)
{
    char stamp[32];
    time_t seconds = (time_t)(event->time_us / 1000000);
    struct tm tm;
    strftime (stamp, sizeof (stamp), "%Y-%m-%d %H:%M:%S", localtime_r (&seconds, &tm));
    bool quote = strpbrk (event->candidate, ",\"") != NULL;
    printf ("%s, %s, %s", stamp, name, quote ? "\"" : "");
    for (const char *p = event->candidate; *p; p++)
        printf (*p == '"' ? "\"\"" : "%c", *p);
    printf ("%s, %.9g, %" PRIu64 ", %" PRIu64 ", %" PRIu64 ", 0 \n", quote ? "\"" : "", rank, count->selected,
            count->discarded, count->waiting);
}

static void print_event (struct history *self, const Strata__SelectEvent *event, const char *name, double rank)
{
    const struct count *count = count_of (self, event->queue);
    if (self->args->queue && strcmp (self->args->queue, event->queue) != 0)
        return;
    if (self->args->json) {
        json_t *line = json_pack ("{s:I s:s s:s s:s s:s s:s s:o}", "time_us", (json_int_t)event->time_us, "event", name,
                                  "candidate", event->candidate, "queue", event->queue, "proposal", event->proposal,
                                  "reason", event->reason, "rank", isnan (rank) ? json_null () : json_real (rank));
        if (line)
            json_dumpf (line, stdout, JSON_COMPACT);
        printf ("\n");
        json_decref (line);
        return;
    }
    if (self->args->csv) {
        print_csv (event, name, rank, count);
        return;
    }
    char clock[16], clean[256], reason[256];
    printf ("%s  %-12s %-16s %s", cli_clock (event->time_us, clock, sizeof (clock)), name, event->queue,
            cli_clean (event->candidate, clean, sizeof (clean)));
    if (!isnan (rank))
        printf ("  rank %.6g", rank);
    if (*event->reason)
        printf ("  %s", cli_clean (event->reason, reason, sizeof (reason)));
    printf ("\n");
}

static int take_event (uint64_t sequence, int64_t time_us, const void *record, size_t size, void *arg)
{
    struct history *self = arg;
    Strata__SelectEvent *event = strata__select_event__unpack (NULL, size, record);
    if (!event)
        return 0;       /* strata audit tells */
    struct count *count = count_of (self, event->queue);
    switch (event->kind) {
    case STRATA__SELECT_EVENT_KIND__SELECT_ADDED:
        count->waiting++;
        print_event (self, event, "added", NAN);
        break;
    case STRATA__SELECT_EVENT_KIND__SELECT_INVALID: print_event (self, event, "rejected:add_cands:invalid", NAN); break;
    case STRATA__SELECT_EVENT_KIND__SELECT_DUPLICATE: print_event (self, event, "rejected:add_cands:known", NAN); break;
    case STRATA__SELECT_EVENT_KIND__SELECT_REFUSED: print_event (self, event, "rejected:add_cands:refused", NAN); break;
    case STRATA__SELECT_EVENT_KIND__SELECT_PROPOSED:
        count->waiting--;
        count->selected++;
        print_event (self, event, "selected", event->rank);
        break;
    case STRATA__SELECT_EVENT_KIND__SELECT_CONFIRMED: print_event (self, event, "confirmed", event->rank); break;
    case STRATA__SELECT_EVENT_KIND__SELECT_EXPIRED:
        count->waiting++;
        count->selected--;
        print_event (self, event, "returned", NAN);
        break;
    case STRATA__SELECT_EVENT_KIND__SELECT_DISCARDED:
        count->waiting--;
        count->discarded++;
        print_event (self, event, "discarded", event->rank);
        break;
    case STRATA__SELECT_EVENT_KIND__SELECT_INVALIDATED:
        count->waiting--;
        print_event (self, event, "invalidated:candidates", NAN);
        break;
    case STRATA__SELECT_EVENT_KIND__SELECT_IMPORTED: {
        bool waits = strcmp (event->proposal, "waiting") == 0, selected = strcmp (event->proposal, "selected") == 0;
        count->waiting++;
        print_event (self, event, "added", NAN);
        if (waits)
            break;
        count->waiting--;
        count->selected += selected;
        count->discarded += !selected;
        print_event (self, event, event->proposal, event->rank);
        break;
    }
    default: break;
    }
    strata__select_event__free_unpacked (event, NULL);
    return ferror (stdout) ? 1 : 0;
}

int cmd_history (const struct cli_args *args)
{
    struct strata_error error;
    struct workspace workspace;
    char path[4200];
    if (workspace_find (args->workspace, &workspace, &error) < 0)
        return cli_fail (args, CLI_FAILED, "%s", error.text);
    snprintf (path, sizeof (path), "%s/shards/select-0", workspace.path);
    struct shard *shard = NULL;
    /* A store that is being written may move its files while it is opened: again. */
    for (int i = 0; i < 5 && !(shard = shard_open_readonly (path, &error)); i++)
        usleep (100000);
    if (!shard)
        return cli_fail (args, CLI_FAILED, "%s", error.text);
    struct history self = { args, NULL, 0 };
    struct stream_stat stat;
    stream_stat (shard, "history", &stat);
    if (args->csv && !args->json)
        printf ("tstamp, event, id, rank, nselected, ndiscarded, ncandidates, ncached\n");
    stream_read (shard, "history", 0, SIZE_MAX, SIZE_MAX, take_event, &self);
    shard_close (&shard);
    for (size_t i = 0; i < self.counts_count; i++)
        free (self.counts[i].queue);
    free (self.counts);
    if (fflush (stdout) != 0 || ferror (stdout))
        return cli_fail (args, CLI_FAILED, "standard output: %s", strerror (errno));
    return CLI_OK;
}

/* ---- import ---- */

struct start {
    struct npz *npz;
    const struct npy *ids, *points, *states, *ranks;
    size_t count, dimensions;
};

static int start_open (struct start *self, const char *path, struct strata_error *error)
{
    memset (self, 0, sizeof (*self));
    if (!(self->npz = npz_open_file (path, error)))
        return -1;
    self->ids = npz_get_shaped (self->npz, "ids", NPY_UNICODE, 1, (size_t[]){ SIZE_MAX }, error);
    self->count = self->ids ? self->ids->shape[0] : 0;
    self->points = self->ids ? npz_get_shaped (self->npz, "points", NPY_F4, 2, (size_t[]){ self->count, SIZE_MAX }, error)
                             : NULL;
    self->states = self->points ? npz_get_shaped (self->npz, "states", NPY_I4, 1, (size_t[]){ self->count }, error) : NULL;
    self->ranks = self->states ? npz_get_shaped (self->npz, "ranks", NPY_F8, 1, (size_t[]){ self->count }, error) : NULL;
    self->dimensions = self->points ? self->points->shape[1] : 0;
    return self->ranks ? 0 : -1;
}

/* The next batch from `from` on. The client's answer, or NULL. */
static Strata__ImportReply *import_batch (const struct start *self, struct strata_client *client, const char *queue,
                                          size_t from, size_t count, struct strata_error *error)
{
    static char names[IMPORT_BATCH][256];
    static Strata__ImportedCandidate items[IMPORT_BATCH], *pointers[IMPORT_BATCH];
    static const Strata__CandidateState states[] = { STRATA__CANDIDATE_STATE__CANDIDATE_WAITING,
                                                     STRATA__CANDIDATE_STATE__CANDIDATE_SELECTED,
                                                     STRATA__CANDIDATE_STATE__CANDIDATE_DISCARDED };
    for (size_t i = 0; i < count; i++) {
        Strata__ImportedCandidate *item = pointers[i] = &items[i];
        int32_t state = ((const int32_t *)self->states->data)[from + i];
        strata__imported_candidate__init (item);
        npy_string (self->ids, from + i, names[i], sizeof (names[i]));
        item->id = names[i];
        item->state = state >= 0 && state < 3 ? states[state] : STRATA__CANDIDATE_STATE__CANDIDATE_INVALID;
        item->n_point = self->dimensions;
        item->point = (float *)self->points->data + (from + i) * self->dimensions;
        item->rank = ((const double *)self->ranks->data)[from + i];
    }
    Strata__Import request = STRATA__IMPORT__INIT;
    request.queue = (char *)queue;
    request.candidates = pointers;
    request.n_candidates = count;
    return (Strata__ImportReply *)ask (client, STRATA__MESSAGE_TYPE__TYPE_IMPORT, &request.base,
                                       &strata__import_reply__descriptor, error);
}

int cmd_import (const struct cli_args *args)
{
    struct strata_error error;
    struct start start;
    Strata__ImportReply sum = STRATA__IMPORT_REPLY__INIT;
    if (start_open (&start, args->rest[1], &error) < 0) {
        npz_close (&start.npz);
        return cli_fail (args, CLI_FAILED, "%s: %s", args->rest[1], error.text);
    }
    struct strata_client *client = open_client (args, &error);
    int rc = client ? 0 : -1;
    for (size_t at = 0; at < start.count && rc == 0; at += IMPORT_BATCH) {
        size_t n = start.count - at < IMPORT_BATCH ? start.count - at : IMPORT_BATCH;
        Strata__ImportReply *reply = import_batch (&start, client, args->rest[0], at, n, &error);
        if (!reply) {
            rc = -1;
            break;
        }
        sum.added += reply->added;
        sum.duplicate += reply->duplicate;
        sum.refused += reply->refused;
        strata__import_reply__free_unpacked (reply, NULL);
        if (isatty (STDERR_FILENO))
            fprintf (stderr, "\r%zu of %zu%s", at + n, start.count, at + n == start.count ? "\n" : "");
    }
    strata_close (&client);
    npz_close (&start.npz);
    if (rc < 0)
        return cli_fail (args, CLI_FAILED, "%s; what came before is kept, the same command goes on", error.text);
    if (args->json)
        cli_print_json (json_pack ("{s:I s:I s:I}", "added", (json_int_t)sum.added, "duplicate",
                                   (json_int_t)sum.duplicate, "refused", (json_int_t)sum.refused));
    else
        printf ("%" PRIu64 " added, %" PRIu64 " known already, %" PRIu64 " refused (no usable id, state or point)\n",
                sum.added, sum.duplicate, sum.refused);
    return CLI_OK;
}
