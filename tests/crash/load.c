/* load.c - crash-load: the programs of a campaign, made small, for tests that kill them.
 *
 * What a job of the real application promises, these promise too: they go on from their own files, they may hand in
 * again what they handed in before, and they fail now and then by themselves. Beyond that they check on the spot what
 * they are promised: a record that the stage has acknowledged once must be known as a repeat when it comes again.
 */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "content.h"
#include "strata.h"
#include "strata_gridsim.h"
#include "strata_npz.h"

static const char usage[] = "crash-load MODE [options]: job programs for tests that inject faults\n"
                            "  model       writes a small encoder to --out FILE (--dimensions N, --seed N)\n"
                            "  continuum   hands in snapshots in --out DIR, takes up reports from --reports DIR "
                            "(--grid N --ras N --pace-ms N --seed N)\n"
                            "  setup       fetches and checks the patch of --candidate ID, writes --out DIR/sim.json\n"
                            "  simulation  hands in the frames of --simulation NAME, prepared in --in DIR, writes "
                            "--out DIR/done.json (--frames N --pace-ms N)\n"
                            "  frames      hands in --frames N of each of 64 simulations at once (--workspace W)\n"
                            "  requests    asks all services as client --simulation NAME until --hold FILE is there, "
                            "writes --out DIR/requests.json (--seed N --pace-ms N)\n"
                            "  refused     asks the service --peer NAME for a stream that can't be, and wants a refusal\n"
                            "  recount     after `strata down`: what feedback and stage of --workspace DIR hold "
                            "against what the jobs' folders say\n"
                            "Jobs take --attempt N, --seed N, --fail-percent N (how many attempts end by themselves), "
                            "--hold FILE (wait while it is there).\n";

/* ---- shared ---- */

uint64_t load_frames (const struct load_options *options, const char *simulation)
{
    uint64_t random = content_seed (simulation, 0);
    return options->frames + content_next (&random) % (options->frames + 1u);
}

int load_save (const char *dir, const char *name, const void *data, size_t size, struct strata_error *error)
{
    char path[4096], temporary[4096];
    snprintf (path, sizeof (path), "%s/%s", dir, name);
    snprintf (temporary, sizeof (temporary), "%s/.%s.new", dir, name);
    FILE *out = fopen (temporary, "we");
    int bad = !out;
    if (out) {
        bad = fwrite (data, 1, size, out) != size || fflush (out) != 0 || fsync (fileno (out)) < 0;
        bad |= fclose (out) != 0;
    }
    if (bad || rename (temporary, path) < 0)
        return strata_fail (error, "%s can't be written: %s", path, strerror (errno));
    return 0;
}

void load_pace (const struct load_options *options, unsigned ms)
{
    struct timespec wait = { ms / 1000, (long)(ms % 1000) * 1000000 }, look = { 0, 50000000 };
    nanosleep (&wait, NULL);
    while (options->hold && access (options->hold, F_OK) == 0)
        nanosleep (&look, NULL);
}

int load_own_end (const struct load_options *options, const char *who, double *share)
{
    uint64_t random = content_seed (who, options->seed + options->attempt);
    int how = content_next (&random) % 100 < options->fail_percent ? 1 + (int)(content_next (&random) % 2) : 0;
    *share = content_unit (&random);
    return how;
}

void load_end (int how)
{
    struct timespec never = { 10, 0 };
    if (how == 1) {
        fprintf (stderr, "crash-load: ends with exit code 7, as its seed says\n");
        exit (7);
    }
    fprintf (stderr, "crash-load: kills itself, as its seed says\n");
    kill (getpid (), SIGKILL);
    nanosleep (&never, NULL);
    abort ();
}

int load_violation (const struct load_options *options, struct strata_error *error)
{
    struct strata_error ignored;
    fprintf (stderr, "crash-load: VIOLATION: %s\n", error->text);
    load_save (options->out, "violation", error->text, strlen (error->text), &ignored);
    return -1;
}

int load_alone (const struct load_options *options, struct strata_error *error)
{
    char path[4096];
    snprintf (path, sizeof (path), "%s/alone", options->out);
    int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return strata_fail (error, "%s: %s", path, strerror (errno));
    if (flock (fd, LOCK_EX | LOCK_NB) == 0)
        return 0; /* open until the end */
    close (fd);
    strata_fail (error, "attempt %u runs while another attempt does", options->attempt);
    return load_violation (options, error);
}

/* ---- model ---- */

int load_model (const struct load_options *options, struct strata_error *error)
{
    size_t features = (size_t)LOAD_COARSE * LOAD_COARSE * GRIDSIM_LIPIDS, d = options->dimensions, size = 0;
    float *mean = calloc (features, sizeof (*mean)), *components = calloc (d * features, sizeof (*components));
    struct npz_writer *writer = npz_writer_new ();
    uint64_t random = options->seed;
    void *data = NULL;
    int rc = -1;
    if (!mean || !components || !writer)
        strata_fail (error, "no memory for a model");
    else {
        for (size_t i = 0; i < features; i++)
            mean[i] = (float)(0.1 * content_unit (&random));
        for (size_t i = 0; i < d * features; i++)
            components[i] = (float)(2 * content_unit (&random) - 1);
        npz_add (writer, "mean", NPY_F4, 1, &features, mean);
        npz_add (writer, "components", NPY_F4, 2, (size_t[]){ d, features }, components);
        FILE *out = npz_finish (writer, &data, &size, error) == 0 ? fopen (options->out, "we") : NULL;
        if (out && fwrite (data, 1, size, out) == size && fclose (out) == 0)
            rc = 0;
        else
            strata_fail (error, "model %s can't be written: %s", options->out, strerror (errno));
    }
    npz_writer_free (&writer);
    free (data);
    free (mean);
    free (components);
    return rc;
}

/* ---- setup ---- */

static int check_patch (const struct load_options *options, const void *data, size_t size, struct strata_error *error)
{
    char id[256] = "";
    struct npz *npz = npz_open_memory (data, size, error);
    const struct npy *name = npz ? npz_get (npz, "id", error) : NULL, *density = NULL;
    int rc = -1;
    if (name && npy_string (name, 0, id, sizeof (id)) == 0 && strcmp (id, options->candidate) == 0)
        density = npz_get_shaped (npz, "concentrations", NPY_F4, 3,
                                  (size_t[]){ LOAD_COARSE, LOAD_COARSE, GRIDSIM_LIPIDS }, error);
    else if (name)
        strata_fail (error, "the patch of candidate %s says that it is %s", options->candidate, id);
    for (size_t i = 0; density && i < density->count; i++) {
        float value = ((const float *)density->data)[i];
        rc = value >= 0 && value < 100
                 ? 0
                 : strata_fail (error, "patch %s: density %zu is %g", options->candidate, i, (double)value);
        if (rc < 0)
            break;
    }
    npz_close (&npz);
    return rc;
}

/* Hands in an object under a working name, moves it to its own, and deletes another. A call that had no answer in time may
 * have been carried out, or not: so what stands is looked at first. */
static int hand_over (struct strata_client *client, const struct load_options *options, struct strata_error *error)
{
    char key[256];
    void *found = NULL;
    size_t size = strlen (options->candidate), found_size = 0;
    int rc;
    snprintf (key, sizeof (key), "%.200s.made", options->candidate);
    do {
        rc = strata_get (client, "made", key, &found, &found_size, error);
        if (rc == 0 || errno != ENOENT)
            continue;
        rc = strata_put (client, "work", key, options->candidate, size, error);
        rc = rc == 0 ? strata_move (client, "work", key, "made", key, error) : rc;
        rc = rc == 0 ? strata_get (client, "made", key, &found, &found_size, error) : rc;
    } while (rc < 0 && (errno == ETIMEDOUT || errno == ENOSPC));
    if (rc == 0 && (found_size != size || memcmp (found, options->candidate, size) != 0)) {
        strata_fail (error, "object made/%s is not what was moved there", key);
        rc = load_violation (options, error);
    }
    free (found);
    if (rc < 0)
        return -1;
    do
        rc = strata_put (client, "scratch", key, options->candidate, size, error);
    while (rc < 0 && (errno == ETIMEDOUT || errno == ENOSPC));
    if (rc < 0)
        return -1;
    do
        rc = strata_delete (client, "scratch", key, error);
    while (rc < 0 && errno == ETIMEDOUT);
    return rc < 0 && errno == ENOENT ? 0 : rc; /* a delete that came too late for us was carried out */
}

int load_setup (const struct load_options *options, struct strata_error *error)
{
    char key[256], text[512];
    void *data = NULL;
    size_t size = 0;
    double share;
    int end = load_own_end (options, options->candidate, &share), rc = load_alone (options, error);
    if (rc < 0)
        return -1;
    if (end && share < 0.5)
        load_end (end);
    struct strata_client *client = strata_open (NULL, options->candidate, LOAD_CALL_MS, error);
    if (!client)
        return -1;
    snprintf (key, sizeof (key), "%.200s.npz", options->candidate);
    do
        rc = strata_get (client, "patches", key, &data, &size, error);
    while (rc < 0 && errno == ETIMEDOUT);
    bool gone = rc < 0 && errno == ENOENT;
    if (rc == 0 && hand_over (client, options, error) < 0) {
        strata_close (&client);
        free (data);
        return -1;
    }
    strata_close (&client);
    if (gone || (rc == 0 && check_patch (options, data, size, error) < 0))
        rc = load_violation (options, error);
    free (data);
    if (rc < 0)
        return -1;
    load_pace (options, options->pace_ms);
    if (end)
        load_end (end);
    snprintf (text, sizeof (text), "{\"candidate\": \"%.200s\", \"bytes\": %zu}\n", options->candidate, size);
    return load_save (options->out, "sim.json", text, strlen (text), error);
}

/* ---- simulation ---- */

struct simulation {
    const struct load_options *options;
    struct strata_client *client;
    struct content_progress progress;
    uint64_t before; /* kept, as an earlier attempt noted it */
    uint64_t flushed; /* all frames up to it that this attempt handed in are kept */
    int fd;
};

static int note (struct simulation *self, struct strata_error *error)
{
    if (pwrite (self->fd, &self->progress, sizeof (self->progress), 0) == (ssize_t)sizeof (self->progress))
        return 0;
    return strata_fail (error, "%s/progress can't be written: %s", self->options->out, strerror (errno));
}

static bool again (int rc)
{
    return rc < 0 && (errno == ETIMEDOUT || errno == ENOSPC || errno == EEXIST);
}

/* Adds the frames that were not flushed, up to this one, to the sums: after a failure all, else those before it are there. flush:
 * until they are kept. *known: of the last one. */
static int sum_frames (struct simulation *self, uint64_t frame, bool flush, bool *known, struct strata_error *error)
{
    const char *name = self->options->simulation;
    int rc;
    do {
        rc = 0;
        for (uint64_t f = self->flushed + 1; rc == 0 && f <= frame; f++) {
            int64_t counts[CONTENT_BLOCK] = { 0 };
            unsigned state = content_histogram (name, f, counts);
            rc = strata_sum_histogram (self->client, "rdfs", name, f, gridsim_states[state], CONTENT_ROWS, CONTENT_BINS, counts, known,
                                       error);
        }
        if (rc == 0 && flush)
            rc = strata_flush (self->client, NULL, error);
    } while (again (rc));
    if (rc == 0 && flush)
        self->flushed = frame;
    return rc;
}

/* One frame to both streams, tried again while the stage is away. What an earlier attempt was told is kept must be
 * known. */
static int hand_in (struct simulation *self, uint64_t frame, struct strata_error *error)
{
    const char *name = self->options->simulation;
    int64_t counts[CONTENT_BLOCK] = { 0 };
    double coordinates[3];
    uint8_t blob[CONTENT_BLOB];
    bool known[2] = { false, false };
    unsigned state = content_histogram (name, frame, counts);
    content_frame (name, frame, coordinates, blob);
    if (frame > self->progress.sent) {
        self->progress.sent = frame;
        if (note (self, error) < 0)
            return -1;
    }
    unsigned sum = content_sum (name);
    bool kept = sum == 1 || frame % sum == 0 || frame == load_frames (self->options, name);
    int rc;
    do
        rc = sum > 1 ? sum_frames (self, frame, false, &known[0], error)
                     : strata_append_histogram (self->client, "rdfs", name, frame, gridsim_states[state], CONTENT_ROWS,
                                                CONTENT_BINS, counts, &known[0], error);
    while (again (rc));
    if (rc < 0)
        return -1;
    do
        rc = strata_append_frame (self->client, "frames", name, frame, (double)frame * 500, 3, coordinates, blob,
                                  sizeof (blob), &known[1], error);
    while (again (rc));
    if (rc < 0)
        return -1;
    if (frame <= self->before && !(known[0] && known[1])) {
        strata_fail (error, "frame %llu of %s was acknowledged before, and the stage took it again as new (%s)",
                     (unsigned long long)frame, name, known[0] ? "frames" : "rdfs");
        return load_violation (self->options, error);
    }
    if (kept && sum > 1 && sum_frames (self, frame, true, NULL, error) < 0)
        return -1;
    if (kept && frame > self->progress.kept) {
        self->progress.kept = frame;
        return note (self, error);
    }
    return 0;
}

static int begin (struct simulation *self, struct strata_error *error)
{
    const struct load_options *options = self->options;
    char path[4096];
    json_error_t why;
    snprintf (path, sizeof (path), "%s/sim.json", options->in);
    json_t *sim = json_load_file (path, 0, &why);
    const char *candidate = json_string_value (json_object_get (sim, "candidate"));
    int rc = load_alone (options, error);
    if (rc == 0 && (!candidate || strcmp (candidate, options->simulation) != 0))
        rc = strata_fail (error, "%s is not of simulation %s: %s", path, options->simulation,
                          candidate ? candidate : why.text);
    json_decref (sim);
    if (rc < 0 || load_save (options->out, "simulation", options->simulation, strlen (options->simulation), error) < 0)
        return -1;
    snprintf (path, sizeof (path), "%s/progress", options->out);
    self->fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (self->fd < 0)
        return strata_fail (error, "%s: %s", path, strerror (errno));
    if (pread (self->fd, &self->progress, sizeof (self->progress), 0) != (ssize_t)sizeof (self->progress))
        self->progress = (struct content_progress){ 0, 0 };
    self->before = self->progress.kept;
    self->client = strata_open (NULL, options->simulation, LOAD_CALL_MS, error);
    return self->client ? 0 : -1;
}

int load_simulation (const struct load_options *options, struct strata_error *error)
{
    struct simulation self = { .options = options, .fd = -1 };
    uint64_t frames = load_frames (options, options->simulation),
             random = content_seed (options->simulation, options->attempt);
    char text[512];
    double share;
    int end = load_own_end (options, options->simulation, &share), rc = begin (&self, error);
    /* Half of the attempts go on from the checkpoint, the others hand in all again. */
    uint64_t frame = content_next (&random) % 2 ? self.before + 1 : 1, end_at = (uint64_t)(share * (double)frames) + 1;
    self.flushed = frame - 1;
    for (; rc == 0 && frame <= frames; frame++) {
        if (frame > self.before)
            load_pace (options, options->pace_ms);
        if (end && frame >= end_at)
            load_end (end);
        rc = hand_in (&self, frame, error);
    }
    strata_close (&self.client);
    if (self.fd >= 0)
        close (self.fd);
    if (rc < 0)
        return -1;
    snprintf (text, sizeof (text), "{\"simulation\": \"%.200s\", \"frames\": %llu}\n", options->simulation,
              (unsigned long long)frames);
    return load_save (options->out, "done.json", text, strlen (text), error);
}

/* ---- the command line ---- */

static int parse (int argc, char **argv, struct load_options *options)
{
    static const struct option longs[] = {
        { "out", 1, NULL, 'o' },        { "in", 1, NULL, 'i' },           { "candidate", 1, NULL, 'c' },
        { "simulation", 1, NULL, 's' }, { "reports", 1, NULL, 'r' },      { "hold", 1, NULL, 'H' },
        { "workspace", 1, NULL, 'w' },  { "seed", 1, NULL, 'S' },         { "attempt", 1, NULL, 'a' },
        { "frames", 1, NULL, 'f' },     { "pace-ms", 1, NULL, 'p' },      { "grid", 1, NULL, 'g' },
        { "ras", 1, NULL, 'R' },        { "fail-percent", 1, NULL, 'F' }, { "dimensions", 1, NULL, 'd' },
        { "peer", 1, NULL, 'P' },
        { NULL, 0, NULL, 0 },
    };
    const char **texts[256] = {
        ['o'] = &options->out,     ['i'] = &options->in,   ['c'] = &options->candidate, ['s'] = &options->simulation,
        ['r'] = &options->reports, ['H'] = &options->hold, ['w'] = &options->workspace,
        ['P'] = &options->peer
    };
    unsigned *numbers[256] = {
        ['a'] = &options->attempt, ['f'] = &options->frames,       ['p'] = &options->pace_ms,   ['g'] = &options->grid,
        ['R'] = &options->ras,     ['F'] = &options->fail_percent, ['d'] = &options->dimensions
    };
    for (int c; (c = getopt_long (argc, argv, "", longs, NULL)) != -1;) {
        char *rest;
        errno = 0;
        if (c == '?')
            return -1;
        if (texts[c]) {
            *texts[c] = optarg;
            continue;
        }
        unsigned long long n = strtoull (optarg, &rest, 10);
        if (*rest || rest == optarg || errno || (numbers[c] && n > 1000000)) {
            fprintf (stderr, "crash-load: '%s' is not a number that this option takes\n", optarg);
            return -1;
        }
        if (numbers[c])
            *numbers[c] = (unsigned)n;
        else
            options->seed = n;
    }
    return 0;
}

static const struct mode {
    const char *name;
    int (*run) (const struct load_options *options, struct strata_error *error);
} modes[] = {
    { "model", load_model },
    { "continuum", load_continuum },
    { "setup", load_setup },
    { "simulation", load_simulation },
    { "requests", load_requests },
    { "refused", load_refused },
    { "frames", load_frames_of_many },
};

int main (int argc, char **argv)
{
    struct load_options options = {
        .out = ".", .attempt = 1, .frames = 40, .pace_ms = 20, .grid = 96, .ras = 8, .dimensions = 4
    };
    struct strata_error error = { "" };
    uint64_t violations = 0;
    int rc = -1;
    if (argc > 1 && strcmp (argv[1], "--help") == 0) {
        fputs (usage, stdout);
        return 0;
    }
    if (argc < 2 || parse (argc - 1, argv + 1, &options) < 0) {
        fputs (usage, stderr);
        return 2;
    }
    for (size_t i = 0; i < sizeof (modes) / sizeof (modes[0]); i++)
        if (strcmp (argv[1], modes[i].name) == 0) {
            bool lacks = (modes[i].run == load_setup && !options.candidate)
                         || (modes[i].run == load_simulation && (!options.simulation || !options.in))
                         || (modes[i].run == load_frames_of_many && !options.workspace)
                         || (modes[i].run == load_refused && !options.peer)
                         || (modes[i].run == load_requests && (!options.simulation || !options.hold));
            if (lacks) {
                fputs (usage, stderr);
                return 2;
            }
            rc = modes[i].run (&options, &error);
            if (rc < 0)
                fprintf (stderr, "crash-load %s: %s\n", argv[1], error.text);
            return rc < 0;
        }
    if (strcmp (argv[1], "recount") != 0 || !options.workspace) {
        fputs (usage, stderr);
        return 2;
    }
    if (load_recount (&options, &violations, &error) < 0) {
        fprintf (stderr, "crash-load recount: %s\n", error.text);
        return 1;
    }
    return violations != 0;
}
