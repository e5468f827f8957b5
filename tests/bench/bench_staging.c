/* bench_staging.c - several clients put objects and append records at the stages of a running workspace.
 *
 * Each client is a process with names of its own; it puts and appends in turn, and waits for each answer, as a simulation
 * does. Then every object is counted, and every record by its producer's last sequence.
 *
 * With --searches the objects are put in bulk first, and what is timed are searches for a name that none of them has: all names
 * are looked at by the stages, and next to nothing is done by the clients.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "strata.h"

#define CLIENTS_MAX 64

struct work {
    const char *workspace, *ns;
    unsigned client;
    uint64_t objects, size, records, searches;
};

static void name_of (const struct work *work, char name[32])
{
    snprintf (name, 32, "%s-%u", work->ns, work->client);
}

static struct strata_client *open_client (const struct work *work)
{
    char name[32];
    struct strata_error error;
    name_of (work, name);
    struct strata_client *client = strata_open (work->workspace, name, 0, &error);
    if (!client)
        bench_fail ("%s", error.text);
    return client;
}

static void put_and_append (void *arg)
{
    const struct work *work = arg;
    char name[32], key[48];
    struct strata_error error;
    struct strata_client *client = open_client (work);
    uint8_t *bytes = malloc (work->size);
    uint64_t last;
    if (!bytes)
        bench_fail ("out of memory");
    name_of (work, name);
    bench_record (bytes, work->size, work->client);
    if (strata_last_sequence (client, "staging", name, &last, &error) < 0) /* connected, and claimed */
        bench_fail ("%s", error.text);
    bench_ready ();
    for (uint64_t i = 1; i <= work->objects; i++) {
        snprintf (key, sizeof (key), "%s-%llu", name, (unsigned long long)i);
        if (strata_put (client, work->ns, key, bytes, work->size, &error) < 0)
            bench_fail ("%s", error.text);
        for (uint64_t k = 0; k < work->records; k++)
            if (strata_append (client, "staging", name, (i - 1) * work->records + k + 1, bytes, 64, NULL, &error) < 0)
                bench_fail ("%s", error.text);
    }
    strata_close (&client);
    free (bytes);
}

static int count_key (const char *key, const struct strata_object_info *info, void *arg)
{
    ++*(uint64_t *)arg;
    return 0;
}

static void check (struct work *work, unsigned clients)
{
    struct strata_error error;
    struct strata_client *client = open_client (work);
    uint64_t found = 0, last;
    if (strata_list (client, work->ns, "", count_key, &found, &error) < 0)
        bench_fail ("%s", error.text);
    if (found != clients * work->objects)
        bench_fail ("%llu objects were put, %llu are there", (unsigned long long)clients * work->objects,
                    (unsigned long long)found);
    for (work->client = 0; work->client < clients; work->client++) {
        char name[32];
        name_of (work, name);
        if (strata_last_sequence (client, "staging", name, &last, &error) < 0)
            bench_fail ("%s", error.text);
        if (last != work->objects * work->records)
            bench_fail ("%s appended %llu records, %llu are kept", name, (unsigned long long)work->objects * work->records,
                        (unsigned long long)last);
    }
    strata_close (&client);
}

static int no_key (const char *key, const struct strata_object_info *info, void *arg)
{
    bench_fail ("%s was found, and matches nothing", key);
    return 1;
}

static void search (void *arg)
{
    const struct work *work = arg;
    struct strata_error error;
    struct strata_client *client = open_client (work);
    if (strata_glob (client, work->ns, "*-none", "", 1, no_key, NULL, NULL, &error) < 0) /* connected */
        bench_fail ("%s", error.text);
    bench_ready ();
    for (uint64_t i = 0; i < work->searches; i++)
        if (strata_glob (client, work->ns, "*-none", "", 1, no_key, NULL, NULL, &error) < 0)
            bench_fail ("%s", error.text);
    strata_close (&client);
}

/* All objects of all clients, of 8 bytes. */
static void put_all (struct work *work, unsigned clients)
{
    struct strata_error error;
    struct strata_client *client = open_client (work);
    size_t count = clients * work->objects;
    char (*keys)[48] = calloc (count, sizeof (*keys));
    const char **names = calloc (count, sizeof (*names));
    const void **data = calloc (count, sizeof (*data));
    size_t *sizes = calloc (count, sizeof (*sizes));
    if (!keys || !names || !data || !sizes)
        bench_fail ("out of memory");
    for (size_t i = 0; i < count; i++) {
        snprintf (keys[i], sizeof (keys[i]), "object-%zu", i);
        names[i] = keys[i];
        data[i] = keys[i];
        sizes[i] = 8;
    }
    if (strata_put_many (client, work->ns, names, data, sizes, count, NULL, &error) < 0)
        bench_fail ("%s", error.text);
    strata_close (&client);
    free (keys);
    free (names);
    free (data);
    free (sizes);
}

int main (int argc, char **argv)
{
    struct bench_option options[] = {
        { "workspace", "folder of a campaign whose stages run", "" },
        { "ns", "namespace, a new one for each run", "bench" },
        { "clients", "processes that put", "8" },
        { "objects", "objects that each of them puts", "200" },
        { "size", "bytes of an object", "4096" },
        { "records", "records appended after each object", "1" },
        { "searches", "instead: searches of each client among all objects, which are put first", "0" },
    };
    bench_arguments (argc, argv, "puts and appends a second, or searches, at the stages of a workspace", options, 7);
    struct work work = { .workspace = options[0].text, .ns = options[1].text, .objects = bench_number (&options[3]),
                         .size = bench_number (&options[4]), .records = bench_number (&options[5]),
                         .searches = bench_number (&options[6]) };
    unsigned clients = (unsigned)bench_number (&options[2]);
    pid_t pids[CLIENTS_MAX];
    if (clients < 1 || clients > CLIENTS_MAX)
        bench_fail ("--clients %u: 1 to %d", clients, CLIENTS_MAX);
    if (work.searches) {
        work.records = 0;
        put_all (&work, clients);
    }
    int64_t begin = bench_now_ns ();
    for (work.client = 0; work.client < clients; work.client++) {
        pids[work.client] = bench_fork (work.searches ? search : put_and_append, &work);
        if (work.client == 0)
            begin = bench_now_ns ();
    }
    for (unsigned i = 0; i < clients; i++)
        bench_join (pids[i]);
    double seconds = (double)(bench_now_ns () - begin) / 1e9;
    check (&work, clients);
    if (work.searches)
        bench_figure ("searches", (double)(clients * work.searches) / seconds, "1/s");
    else
        bench_figure ("puts", (double)(clients * work.objects) / seconds, "objects/s");
    return 0;
}
