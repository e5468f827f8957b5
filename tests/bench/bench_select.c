/* bench_select.c - the samplers of services/select at the size of the campaign, beside what the hardware allows.
 *
 * --scene rank     queues of candidates and selected points; --rounds times: --add new candidates to each queue, --picks
 *                  selections from each, re-ranked after each. --dump DIR writes points and picks, for
 *                  select_reference.py to do the same with DynIm or FAISS and to check every pick.
 * --scene pick     one queue; each further pick, beside one pass over the candidates' points
 * --scene binned   one queue over 1,510 bins (tilt, rotation, depth): adding, and selections of --picks
 * --scene restart  a store of `queues` queues as a killed service leaves it; until the first proposal is answered
 *
 * What is measured more than once in a run is printed as the median.
 */
#include "bench.h"

#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "../../services/select/binned.h"
#include "../../services/select/farthest_point.h"
#include "../../services/select/select_core.h"

enum { SCENE, QUEUES, CANDIDATES, SELECTED, DIMENSIONS, K, ADD, PICKS, ROUNDS, SEED, DUMP, DIR, OPTIONS };

static struct bench_option options[OPTIONS] = {
    [SCENE] = { "scene", "rank, pick, binned or restart", "rank" },
    [QUEUES] = { "queues", "selection queues", "5" },
    [CANDIDATES] = { "candidates", "that wait in each queue", "35000" },
    [SELECTED] = { "selected", "points selected before in each queue", "10000" },
    [DIMENSIONS] = { "dimensions", "of a point", "9" },
    [K] = { "k", "neighbours that count", "10" },
    [ADD] = { "add", "new candidates for each queue a round", "100" },
    [PICKS] = { "picks", "selections from each queue a round", "10" },
    [ROUNDS] = { "rounds", "measured", "20" },
    [SEED] = { "seed", "of all points", "2026" },
    [DUMP] = { "dump", "folder to write points and picks to", "" },
    [DIR] = { "dir", "folder of the store of --scene restart", "" },
};

static uint64_t number (int i)
{
    return bench_number (&options[i]);
}

static double seconds_since (int64_t start)
{
    return (double)(bench_now_ns () - start) / 1e9;
}

/* Every value of a figure; its median is printed at the end. */
struct series {
    char name[64];
    const char *unit;
    double values[1000];
    size_t count;
};
static struct series all_series[32];

static void note (const char *name, double value, const char *unit)
{
    struct series *s = all_series;
    while (*s->name && strcmp (s->name, name) != 0)
        s++;
    snprintf (s->name, sizeof (s->name), "%s", name);
    s->unit = unit;
    if (s->count < sizeof (s->values) / sizeof (*s->values))
        s->values[s->count++] = value;
}

static int by_value (const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_figures (void)
{
    for (struct series *s = all_series; *s->name; s++) {
        qsort (s->values, s->count, sizeof (double), by_value);
        bench_figure (s->name, s->values[s->count / 2], s->unit);
    }
}

/* Of this process's threads together: what is left when others use the cores too. */
static double cpu_seconds (void)
{
    struct rusage usage;
    getrusage (RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
        + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* ---- points: clusters, as encoded patches form them ---- */

static uint64_t random_state;

static double uniform (void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return ((double)(random_state >> 11) + 0.5) * 0x1p-53;
}

static void make_point (float *x, unsigned dimensions)
{
    unsigned cluster = (unsigned)(uniform () * 20);
    for (unsigned d = 0; d < dimensions; d++) {
        double centre = 3 * sin (1 + cluster * 7.1 + d * 3.7);
        x[d] = (float)(centre + sqrt (-2 * log (uniform ())) * cos (6.283185307179586 * uniform ()));
    }
}

static FILE *dump_open (const char *name)
{
    char path[4096];
    if (!*options[DUMP].text)
        return NULL;
    snprintf (path, sizeof (path), "%s/%s", options[DUMP].text, name);
    FILE *file = fopen (path, "w");
    if (!file)
        bench_fail ("%s can't be written", path);
    return file;
}

static void dump_point (FILE *file, const float *x, unsigned dimensions)
{
    if (file)
        fwrite (x, sizeof (float), dimensions, file);
}

static void dump_close (FILE *file)
{
    if (file && fclose (file) != 0)
        bench_fail ("what was dumped to %s can't be written", options[DUMP].text);
}

/* ---- the hardware, in the same run ---- */

/* One pass over `bytes` by memcpy into a piece that stays in the cache, by all threads; the best of 5. */
static double pass_seconds (const char *data, size_t bytes)
{
    double best = INFINITY;
    for (int run = 0; run < 5; run++) {
        int64_t start = bench_now_ns ();
#pragma omp parallel
        {
            char *piece = malloc (65536);
#pragma omp for schedule(static)
            for (size_t at = 0; at < bytes / 65536; at++) {
                memcpy (piece, data + at * 65536, 65536);
                __asm__ volatile ("" : : "r"(piece) : "memory");
            }
            free (piece);
        }
        best = fmin (best, seconds_since (start));
    }
    return best;
}

/* ---- rank ---- */

struct writing {
    FILE *file;
    unsigned queue, round;
};

static bool write_pick (const char *id, double rank, void *arg)
{
    struct writing *w = arg;
    if (w->file)
        fprintf (w->file, "%u,%u,%s,%.17g\n", w->round, w->queue, id, rank);
    return true;
}

static void **fill (const struct sampler_ops *ops, const struct sampler_options *sampler, FILE *dump)
{
    unsigned queues = (unsigned)number (QUEUES);
    uint64_t candidates = number (CANDIDATES), selected = number (SELECTED);
    void **samplers = calloc (queues, sizeof (*samplers));
    for (unsigned q = 0; q < queues; q++) {
        struct strata_error error;
        samplers[q] = ops->create (sampler, &error);
        if (!samplers[q])
            bench_fail ("%s", error.text);
        for (uint64_t i = 0; i < selected + candidates; i++) {
            char id[32];
            float x[64];
            make_point (x, sampler->dimensions);
            dump_point (dump, x, sampler->dimensions);
            snprintf (id, sizeof (id), "%c%08" PRIu64, i < selected ? 's' : 'c', i);
            ops->load (samplers[q], id, x, i < selected ? SAMPLER_SELECTED : SAMPLER_WAITING);
        }
    }
    return samplers;
}

static void scene_rank (const struct sampler_options *sampler)
{
    const struct sampler_ops *ops = &farthest_point_sampler;
    unsigned queues = (unsigned)number (QUEUES), rounds = (unsigned)number (ROUNDS), add = (unsigned)number (ADD);
    FILE *points = dump_open ("points.f32"), *added = dump_open ("added.f32"), *picks = dump_open ("picks.csv");
    void **samplers = fill (ops, sampler, points);
    int64_t start = bench_now_ns ();
    for (unsigned q = 0; q < queues; q++)
        ops->ready (samplers[q]);
    struct writing first = { picks, 0, 0 };
    for (unsigned q = 0; q < queues; q++) {
        first.queue = q;
        ops->pick (samplers[q], number (PICKS), write_pick, &first);
    }
    note ("select_first_ranking", seconds_since (start) * 1e3, "ms");
    float *x = calloc ((size_t)queues * add * sampler->dimensions + 1, sizeof (float));
    for (unsigned round = 1; round <= rounds; round++) {
        for (unsigned i = 0; i < queues * add; i++) {
            make_point (x + (size_t)i * sampler->dimensions, sampler->dimensions);
            dump_point (added, x + (size_t)i * sampler->dimensions, sampler->dimensions);
        }
        double cpu = cpu_seconds ();
        start = bench_now_ns ();
        for (unsigned q = 0; q < queues; q++)
            for (unsigned i = 0; i < add; i++) {
                char id[32];
                snprintf (id, sizeof (id), "n%04u%08u", round, i);
                ops->add (samplers[q], id, x + ((size_t)q * add + i) * sampler->dimensions);
            }
        double adding = seconds_since (start);
        for (unsigned q = 0; q < queues; q++) {
            struct writing w = { picks, q, round };
            ops->pick (samplers[q], number (PICKS), write_pick, &w);
        }
        double all = seconds_since (start);
        note ("select_add", adding * 1e3, "ms");
        note ("select_pick", (all - adding) * 1e3, "ms");
        note ("select_round", all * 1e3, "ms");
        note ("select_round_cpu", (cpu_seconds () - cpu) * 1e3, "ms");
    }
    size_t bytes = 0;
    for (unsigned q = 0; q < queues; q++)
        bytes += ops->bytes (samplers[q]);
    note ("select_memory", (double)bytes / 1e6, "MB");
    /* What is ranked anew after each pick without bounds is read at least once: picks passes over each queue. */
    struct points *set = ops->points (samplers[0]);
    double pass = pass_seconds ((const char *)set->x, set->slots * sampler->dimensions * sizeof (float));
    note ("pass_over_a_queue", pass * 1e3, "ms");
    for (unsigned q = 0; q < queues; q++)
        ops->destroy (samplers[q]);
    free (samplers);
    free (x);
    dump_close (points);
    dump_close (added);
    dump_close (picks);
}

/* ---- pick ---- */

static void scene_pick (const struct sampler_options *sampler)
{
    const struct sampler_ops *ops = &farthest_point_sampler;
    options[QUEUES].text = "1";
    void **samplers = fill (ops, sampler, NULL);
    double cpu = cpu_seconds ();
    int64_t start = bench_now_ns ();
    ops->ready (samplers[0]);
    note ("pick_bounds", seconds_since (start), "s");
    note ("pick_bounds_cpu", cpu_seconds () - cpu, "s");
    struct writing none = { NULL, 0, 0 };
    cpu = cpu_seconds ();
    start = bench_now_ns ();
    ops->pick (samplers[0], 1, write_pick, &none);
    note ("pick_first", seconds_since (start), "s");
    note ("pick_first_cpu", cpu_seconds () - cpu, "s");
    struct points *set = ops->points (samplers[0]);
    size_t bytes = set->slots * sampler->dimensions * sizeof (float);
    for (unsigned round = 0, rounds = (unsigned)number (ROUNDS); round < rounds; round++) {
        cpu = cpu_seconds ();
        start = bench_now_ns ();
        ops->pick (samplers[0], number (PICKS), write_pick, &none);
        double each = seconds_since (start) / (double)number (PICKS), cpu_each = (cpu_seconds () - cpu) / (double)number (PICKS);
        double pass = pass_seconds ((const char *)set->x, bytes);
        note ("pick_each", each * 1e3, "ms");
        note ("pick_each_cpu", cpu_each * 1e3, "ms");
        note ("pass", pass * 1e3, "ms");
        note ("pass_bandwidth", (double)bytes / pass / 1e9, "GB/s");
        note ("pick_each_in_passes", each / pass, "passes");
    }
    note ("pick_memory_a_candidate", (double)ops->bytes (samplers[0]) / (double)number (CANDIDATES), "B");
    ops->destroy (samplers[0]);
    free (samplers);
}

/* ---- binned ---- */

static void scene_binned (struct sampler_options *sampler)
{
    const struct sampler_ops *ops = &binned_sampler;
    static double depth[] = { 1.5, 2, 2.5, 3 };
    static struct campaign_bins bins[] = { { .kind = (char *)"spherical" },
                                           { .kind = (char *)"edges", .edges = depth, .edges_count = 4 } };
    struct campaign_select select = { .bins = bins, .bins_count = 2, .novelty = 0.5 };
    uint64_t count = number (CANDIDATES);
    sampler->dimensions = 3;
    sampler->select = &select;
    float *x = malloc (count * 3 * sizeof (float));
    char (*ids)[32] = malloc (count * sizeof (*ids));
    for (uint64_t i = 0; i < count; i++) {
        x[3 * i] = (float)(uniform () * uniform () * 3.14159265);
        x[3 * i + 1] = (float)((uniform () + uniform () - 1) * 3.14159265);
        x[3 * i + 2] = (float)(uniform () * uniform () * 5);
        snprintf (ids[i], sizeof (*ids), "sim%05u:f%08u", (unsigned)(i % 20000), (unsigned)(i / 20000));
    }
    void *self = ops->create (sampler, NULL);
    double cpu = cpu_seconds ();
    int64_t start = bench_now_ns ();
    for (uint64_t i = 0; i < count; i++)
        ops->add (self, ids[i], x + 3 * i);
    double wall = seconds_since (start);
    cpu = cpu_seconds () - cpu;
    note ("binned_add", (double)count / wall / 1e6, "M/s");
    note ("binned_add_cpu", (double)count / cpu / 1e6, "M/s");
    /* The least that adding can do: copy each id and point once. */
    start = bench_now_ns ();
    char *copy = malloc (count * (sizeof (*ids) + 12));
    memcpy (copy, ids, count * sizeof (*ids));
    memcpy (copy + count * sizeof (*ids), x, count * 12);
    note ("binned_copy_alone", (double)count / seconds_since (start) / 1e6, "M/s");
    free (copy);
    struct writing none = { NULL, 0, 0 };
    for (unsigned round = 0, rounds = (unsigned)number (ROUNDS); round < rounds; round++) {
        cpu = cpu_seconds ();
        start = bench_now_ns ();
        ops->pick (self, number (PICKS), write_pick, &none);
        note ("binned_select", seconds_since (start) * 1e3, "ms");
        note ("binned_select_cpu", (cpu_seconds () - cpu) * 1e3, "ms");
    }
    note ("binned_memory_a_candidate", (double)ops->bytes (self) / (double)count, "B");
    ops->destroy (self);
    free (ids);
    free (x);
}

/* ---- restart ---- */

static void commit (struct shard *shard)
{
    struct strata_error error;
    if (shard_commit (shard, &error) < 0)
        bench_fail ("%s", error.text);
}

static void propose (struct select_core *core, const char *name, uint32_t count, bool confirm)
{
    struct strata_error error;
    Strata__RefusalCode code;
    Strata__ProposeReply *reply = select_propose (core, name, count, 1, &code, &error);
    if (!reply || (confirm && select_confirm (core, name, 1, &code, &error) < 0))
        bench_fail ("%s", error.text);
    strata__propose_reply__free_unpacked (reply, NULL);
}

/* Candidates of all queues come, and are selected, as a campaign does it. */
static void make_store (const char *dir, const struct campaign *campaign)
{
    struct strata_error error;
    unsigned queues = campaign->select.queues_count;
    uint64_t all = (number (CANDIDATES) + number (SELECTED)) * queues, selected = number (SELECTED) * queues;
    struct shard *shard = shard_open (dir, &error);
    struct select_core *core = shard ? select_open (shard, campaign, &error) : NULL;
    if (!core)
        bench_fail ("%s", error.text);
    int64_t start = bench_now_ns ();
    uint64_t picked = 0;
    for (uint64_t i = 0; i < all; i++) {
        Strata__Candidate c = STRATA__CANDIDATE__INIT;
        char id[64];
        float x[64];
        make_point (x, campaign->patch.encoder.dimensions);
        snprintf (id, sizeof (id), "macro/%08" PRIu64 "/%03u", i / 333, (unsigned)(i % 333));
        c.id = id;
        c.configuration = campaign->select.queues[i % queues].configuration;
        c.point = x;
        c.n_point = campaign->patch.encoder.dimensions;
        c.simulation = (char *)"macro";
        c.index = i / 333;
        select_add (core, &c, 1);
        if (i % 1000 == 999)
            commit (shard);
        if ((i + 1) % (all / 20 + 1) == 0 || i + 1 == all) {
            while (picked < selected * (i + 1) / all) {
                char name[32];
                uint32_t n = selected - picked < 500 ? (uint32_t)(selected - picked) : 500;
                snprintf (name, sizeof (name), "p%" PRIu64, picked);
                int64_t turn = bench_now_ns ();
                propose (core, name, n, true);
                picked += n;
                commit (shard);
                note ("propose_and_confirm_500", seconds_since (turn) * 1e3, "ms");
            }
            fprintf (stderr, "%" PRIu64 " of %" PRIu64 " stored, %" PRIu64 " selected, %.0f s\n", i + 1, all, picked,
                     seconds_since (start));
        }
    }
    commit (shard);
    note ("store_made", seconds_since (start), "s");
    select_close (&core);
    shard_close (&shard);
}

static void scene_restart (const struct sampler_options *sampler)
{
    struct campaign_queue list[64];
    char names[64][8];
    unsigned queues = (unsigned)number (QUEUES);
    for (unsigned q = 0; q < queues && q < 64; q++) {
        snprintf (names[q], sizeof (names[q]), "q%u", q);
        list[q] = (struct campaign_queue){ names[q], names[q], 1.0 / queues, 0 };
    }
    struct campaign campaign = { .seed = sampler->seed, .patch.encoder.dimensions = sampler->dimensions };
    campaign.select = *sampler->select;
    campaign.select.queues = list;
    campaign.select.queues_count = queues;
    campaign.select.lease_s = 60;
    char dir[4096];
    struct stat st;
    struct strata_error error;
    snprintf (dir, sizeof (dir), "%s/select-0", options[DIR].text);
    if (!*options[DIR].text)
        bench_fail ("--scene restart needs --dir, a folder for its store (made once, used again)");
    if (stat (dir, &st) != 0)
        make_store (dir, &campaign);
    for (unsigned round = 0; round < (unsigned)number (ROUNDS); round++) {
        double cpu = cpu_seconds ();
        int64_t start = bench_now_ns ();
        struct shard *shard = shard_open (dir, &error);
        if (!shard)
            bench_fail ("%s", error.text);
        double opened = seconds_since (start);
        struct select_core *core = select_open (shard, &campaign, &error);
        if (!core)
            bench_fail ("%s", error.text);
        double loaded = seconds_since (start), loaded_cpu = cpu_seconds () - cpu;
        propose (core, "after-the-restart", 10 * queues, false);
        note ("restart_store", opened, "s");
        note ("restart_load", loaded - opened, "s");
        note ("restart_load_cpu", loaded_cpu, "s");
        note ("restart_ready", seconds_since (start), "s");
        note ("restart_ready_cpu", cpu_seconds () - cpu, "s");
        note ("restart_memory", (double)select_bytes (core) / 1e6, "MB");
        /* One turn for a large proposal; nothing of it is kept. */
        start = bench_now_ns ();
        cpu = cpu_seconds ();
        propose (core, "large", SELECT_TURN_MAX, false);
        note ("propose_2000", seconds_since (start), "s");
        note ("propose_2000_cpu", cpu_seconds () - cpu, "s");
        select_close (&core);
        shard_close (&shard);
    }
}

int main (int argc, char **argv)
{
    bench_arguments (argc, argv, "the samplers of select at the size of the campaign", options, OPTIONS);
    struct campaign_select select = { .k = (unsigned)number (K) };
    struct sampler_options sampler = { (unsigned)number (DIMENSIONS), number (SEED), &select };
    random_state = number (SEED) * 2654435761u + 88172645463325252u;
    note ("threads", omp_get_max_threads (), "");
    const char *scene = options[SCENE].text;
    if (strcmp (scene, "rank") == 0)
        scene_rank (&sampler);
    else if (strcmp (scene, "pick") == 0)
        scene_pick (&sampler);
    else if (strcmp (scene, "binned") == 0)
        scene_binned (&sampler);
    else if (strcmp (scene, "restart") == 0)
        scene_restart (&sampler);
    else
        bench_fail ("--scene %s: there are rank, pick, binned and restart", scene);
    print_figures ();
    return 0;
}
