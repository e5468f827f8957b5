/* figures.c - see cli.h: single figures out of an answer of status, and the whole of it as JSON. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

const Strata__ReplicaStatus *figures_replica (const Strata__StatusReply *status, const char *service)
{
    const Strata__ReplicaStatus *best = NULL;
    for (size_t i = 0; i < status->n_replicas; i++) {
        const Strata__ReplicaStatus *r = status->replicas[i];
        if (!r->heartbeat || strcmp (r->heartbeat->service, service) != 0)
            continue;
        int score = (r->heartbeat->active ? 2 : 0) + (r->alive ? 4 : 0);
        int than = best ? (best->heartbeat->active ? 2 : 0) + (best->alive ? 4 : 0) : -1;
        if (score > than)
            best = r;
    }
    return best;
}

const Strata__Metric *figures_of (const Strata__ReplicaStatus *r, const char *name)
{
    for (size_t i = 0; r && i < r->heartbeat->n_metrics; i++)
        if (strcmp (r->heartbeat->metrics[i]->name, name) == 0)
            return r->heartbeat->metrics[i];
    return NULL;
}

/* Of several that work the first one that has the figure: a service with several shards tells some by one of them only. */
double figures_metric (const Strata__StatusReply *status, const char *service, const char *name, double missing)
{
    const Strata__Metric *metric = figures_of (figures_replica (status, service), name);
    for (size_t i = 0; !metric && i < status->n_replicas; i++) {
        const Strata__ReplicaStatus *r = status->replicas[i];
        if (r->heartbeat && r->alive && r->heartbeat->active && strcmp (r->heartbeat->service, service) == 0)
            metric = figures_of (r, name);
    }
    return metric ? metric->value : missing;
}

bool figures_stream (const Strata__StatusReply *status, const char *service, const char *stream, Strata__StreamState *sum)
{
    bool found = false;
    strata__stream_state__init (sum);
    for (size_t n = 0; n < status->n_replicas; n++) {
        const Strata__ReplicaStatus *r = status->replicas[n];
        for (size_t i = 0; r->heartbeat && strcmp (r->heartbeat->service, service) == 0 && i < r->n_streams; i++) {
            const Strata__StreamState *s = r->streams[i];
            if (strcmp (s->stream, stream) != 0)
                continue;
            sum->next += s->next - found; /* of several the records are counted: the first record of each is number 1 */
            sum->bytes += s->bytes;
            sum->waiting += s->waiting;
            sum->leased += s->leased;
            sum->aside += s->aside;
            sum->done += s->done;
            found = true;
        }
    }
    return found;
}

/* ---- JSON ---- */

static json_t *text_json (const char *text)
{
    json_t *json = json_string (text);
    if (json)
        return json;
    char clean[4096]; /* not UTF-8 */
    return json_string (cli_clean (text, clean, sizeof (clean)));
}

json_t *figures_event_json (const Strata__Event *event)
{
    return json_pack ("{s:I s:o s:o s:o s:o}", "time_us", (json_int_t)event->time_us, "service",
                      text_json (event->service), "kind", text_json (event->kind), "subject",
                      text_json (event->subject), "text", text_json (event->text));
}

static json_t *stream_json (const Strata__StreamState *s)
{
    json_t *consumers = json_object ();
    for (size_t i = 0; i < s->n_consumers; i++)
        json_object_set_new (consumers, s->consumers[i]->consumer,
                             json_integer ((json_int_t)s->consumers[i]->committed));
    json_t *json = json_pack ("{s:o s:I s:I s:I s:I s:o}", "stream", text_json (s->stream), "first",
                              (json_int_t)s->first, "next", (json_int_t)s->next, "bytes", (json_int_t)s->bytes,
                              "limit_bytes", (json_int_t)s->limit_bytes, "consumers", consumers);
    if (json && s->queue)
        json_object_set_new (json, "queue",
                             json_pack ("{s:I s:I s:I s:I}", "waiting", (json_int_t)s->waiting, "leased",
                                        (json_int_t)s->leased, "aside", (json_int_t)s->aside, "done",
                                        (json_int_t)s->done));
    return json;
}

static json_t *replica_json (const Strata__ReplicaStatus *r)
{
    const Strata__Heartbeat *hb = r->heartbeat;
    json_t *metrics = json_object (), *streams = json_array ();
    for (size_t i = 0; i < hb->n_metrics; i++) {
        json_t *metric = json_pack ("{s:f}", "value", hb->metrics[i]->value);
        if (hb->metrics[i]->limit != 0)
            json_object_set_new (metric, "limit", json_real (hb->metrics[i]->limit));
        json_object_set_new (metrics, hb->metrics[i]->name, metric);
    }
    for (size_t i = 0; i < r->n_streams; i++)
        json_array_append_new (streams, stream_json (r->streams[i]));
    return json_pack ("{s:o s:o s:o s:I s:b s:b s:i s:b s:f s:f s:o s:o s:o s:o}", "replica", text_json (hb->replica),
                      "service", text_json (hb->service), "node", text_json (hb->node), "pid", (json_int_t)hb->pid,
                      "alive", (int)r->alive, "active", (int)hb->active, "shard", (int)hb->shard, "stopped", (int)r->stopped, "age_s",
                      (double)r->age_us / 1e6, "up_s",
                      hb->started_us ? (double)(hb->now_us - hb->started_us) / 1e6 : 0.0, "trouble",
                      text_json (hb->trouble), "metrics", metrics, "streams", streams, "streams_age_s",
                      r->streams_age_us < 0 ? json_null () : json_real ((double)r->streams_age_us / 1e6));
}

json_t *figures_json (const Strata__StatusReply *status)
{
    json_t *goals = json_array (), *replicas = json_array (), *services = json_object ();
    for (size_t i = 0; i < status->n_goals; i++)
        json_array_append_new (goals, json_pack ("{s:o s:f s:f}", "name", text_json (status->goals[i]->name), "value",
                                                 status->goals[i]->value, "wanted", status->goals[i]->wanted));
    for (size_t i = 0; i < status->n_replicas; i++)
        if (status->replicas[i]->heartbeat)
            json_array_append_new (replicas, replica_json (status->replicas[i]));
    for (size_t i = 0; i < status->n_services; i++) {
        const Strata__ServiceStatus *service = status->services[i];
        json_object_set_new (services, service->service,
                             json_pack ("{s:i s:i s:i}", "wanted", (int)service->wanted, "alive", (int)service->alive,
                                        "active", (int)service->active));
    }
    return json_pack ("{s:o s:o s:I s:b s:o s:o s:o}", "campaign", text_json (status->campaign), "workspace",
                      text_json (status->workspace), "now_us", (json_int_t)status->now_us, "complete",
                      (int)status->complete, "goals", goals, "services", services, "replicas", replicas);
}

/* ---- stuck ---- */

const char *figures_stuck (const Strata__StatusReply *status, const struct campaign *campaign, char *why, size_t size)
{
    const Strata__ReplicaStatus *schedule = figures_replica (status, "schedule");
    Strata__StreamState snapshots;
    bool queued = figures_stream (status, "stage", campaign->patch.snapshots, &snapshots);
    char name[160];
    double aside = figures_metric (status, "schedule", "jobs_aside", 0);
    if (status->complete || !schedule || !schedule->alive || !schedule->heartbeat->active)
        return NULL;
    for (unsigned i = 0; i < campaign->jobs_count; i++) {
        static const char *const states[] = { "running", "waiting" };
        for (size_t s = 0; s < 2; s++) {
            snprintf (name, sizeof (name), "%.100s_%s", campaign->jobs[i].name, states[s]);
            if (figures_metric (status, "schedule", name, 0) > 0)
                return NULL;
        }
    }
    if (queued && (snapshots.waiting || snapshots.leased))
        return NULL;
    if (figures_metric (status, "select", "candidates_waiting", 0)
            + figures_metric (status, "select", "candidates_proposed", 0)
        > 0)
        return NULL;
    snprintf (why, size,
              "no job runs or waits (%.0f were set aside after too many failures), no snapshot and no candidate waits",
              aside);
    return why;
}
