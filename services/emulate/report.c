/* report.c - see report.h */
#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

const double report_edges[REPORT_BINS + 1] = { 0, 50, 80, 90, 95, 96, 97, 98, 99, 99.5, 100 };

void report_add (struct report *self, const struct world_sample *sample)
{
    if (self->count == self->room) {
        self->room = self->room ? 2 * self->room : 256;
        self->samples = realloc (self->samples, self->room * sizeof (*self->samples));
        if (!self->samples)
            abort ();
    }
    self->samples[self->count++] = *sample;
}

void report_fini (struct report *self)
{
    free (self->samples);
    self->samples = NULL;
    self->count = self->room = 0;
}

static double percent (uint64_t part, uint64_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

static double gpus_of (const struct world_sample *sample)
{
    return percent (sample->gpus_busy, sample->gpus);
}

static double cores_of (const struct world_sample *sample)
{
    return percent (sample->cores_busy, sample->cores);
}

static int by_value (const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void summarise (const struct report *self, double (*of) (const struct world_sample *), struct report_occupancy *result)
{
    size_t n = self->count - self->loaded;
    double *values = calloc (n + 1, sizeof (*values)), sum = 0;
    *result = (struct report_occupancy){ 0 };
    for (size_t i = 0; values && i < n; i++) {
        size_t bin = REPORT_BINS - 1;
        values[i] = of (&self->samples[self->loaded + i]);
        sum += values[i];
        result->full += values[i] >= 98;
        while (bin > 0 && values[i] < report_edges[bin])
            bin--;
        result->bins[bin]++;
    }
    if (values && n) {
        qsort (values, n, sizeof (*values), by_value);
        result->mean = sum / (double)n;
        result->median = n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
        result->lowest = values[0];
        result->full = 100 * result->full / (double)n;
    }
    free (values);
}

void report_finish (struct report *self)
{
    self->loaded = 0;
    while (self->loaded < self->count && gpus_of (&self->samples[self->loaded]) < 98)
        self->loaded++;
    self->gpus_whole = 0;
    for (size_t i = 0; i < self->count; i++)
        self->gpus_whole += gpus_of (&self->samples[i]) / (double)self->count;
    summarise (self, gpus_of, &self->gpus);
    summarise (self, cores_of, &self->cores);
}

/* ---- text ---- */

static void print_bar (FILE *out, size_t count, size_t whole)
{
    size_t length = whole ? (50 * count + whole - 1) / whole : 0;
    for (size_t i = 0; i < length; i++)
        fputc ('#', out);
    fputc ('\n', out);
}

static void print_occupancy (const struct report *self, FILE *out)
{
    size_t n = self->count - self->loaded;
    if (!n) {
        fprintf (out, "the machine was never loaded: in no sample were 98 %% of the GPUs busy (most: ");
        double most = 0;
        for (size_t i = 0; i < self->count; i++)
            most = gpus_of (&self->samples[i]) > most ? gpus_of (&self->samples[i]) : most;
        fprintf (out, "%.2f %%)\n", most);
        return;
    }
    fprintf (out, "loaded (98 %% of the GPUs busy) after at most %.2f h; then %zu samples, one each 10 min:\n",
             self->samples[self->loaded].hours, n);
    fprintf (out, "  GPUs   mean %6.2f %%  median %6.2f %%  lowest %6.2f %%  at least 98 %%: %6.2f %% of the time\n", self->gpus.mean,
             self->gpus.median, self->gpus.lowest, self->gpus.full);
    fprintf (out, "  cores  mean %6.2f %%  median %6.2f %%  lowest %6.2f %%  (set-up jobs run only as needed)\n", self->cores.mean,
             self->cores.median, self->cores.lowest);
    fprintf (out, "  samples by occupancy of the GPUs:\n");
    for (size_t i = 0; i < REPORT_BINS; i++) {
        fprintf (out, "    %5.1f - %5.1f %%  %6zu  ", report_edges[i], report_edges[i + 1], self->gpus.bins[i]);
        print_bar (out, self->gpus.bins[i], n);
    }
}

static void print_time (const struct report *self, FILE *out)
{
    size_t step = self->count > 24 ? self->count / 24 : 1;
    fprintf (out, "  %8s %8s %8s %9s %10s", "hours", "GPUs %", "cores %", "started", "frames");
    for (unsigned i = 0; i < self->campaign->jobs_count; i++)
        fprintf (out, " %10.10s", self->campaign->jobs[i].name);
    fprintf (out, "\n");
    for (size_t i = step - 1; i < self->count; i += step) {
        const struct world_sample *sample = &self->samples[i];
        uint64_t started = 0, frames = 0;
        for (size_t j = i + 1 - step; j <= i; j++) {
            started += self->samples[j].started;
            frames += self->samples[j].frames;
        }
        fprintf (out, "  %8.2f %8.2f %8.2f %9" PRIu64 " %10" PRIu64, sample->hours, gpus_of (sample), cores_of (sample), started, frames);
        for (unsigned j = 0; j < self->campaign->jobs_count; j++)
            fprintf (out, " %10" PRIu64, sample->running[j]);
        fprintf (out, "\n");
    }
}

static uint64_t frames_at_most (const struct report *self)
{
    uint64_t most = 0;
    for (size_t i = 0; i < self->count; i++)
        most = self->samples[i].frames > most ? self->samples[i].frames : most;
    return most;
}

void report_print (const struct report *self, const struct world_totals *totals, const struct report_costs *costs, FILE *out)
{
    fprintf (out, "%s on %zu nodes, %.1f hours, seed %" PRIu64 "\n", self->campaign->name, costs->nodes, costs->hours, costs->seed);
    print_occupancy (self, out);
    fprintf (out, "jobs started since the line before, and running:\n");
    print_time (self, out);
    fprintf (out, "jobs: %" PRIu64 " attempts started, %" PRIu64 " jobs succeeded, %" PRIu64 " attempts failed, %" PRIu64
             " set aside; %" PRIu64 " nodes lost\n", totals->started, totals->succeeded, totals->failures, totals->aside, totals->lost_nodes);
    fprintf (out, "selection: %" PRIu64 " candidates came, %" PRIu64 " were selected\n", totals->candidates, totals->selected);
    fprintf (out, "feedback: %" PRIu64 " frames, at most %" PRIu64 " in a round of 10 min; %" PRIu64 " of them summed up by its core in %"
             PRIu64 " reports\n", totals->frames, frames_at_most (self), totals->frames_told, totals->reports);
    fprintf (out, "CPU time: schedule %.2f s (%.1f us a move of a job, %" PRIu64 " moves), select %.2f s, feedback %.2f s; longest "
             "turn of schedule %.3f s, which started %" PRIu64 " jobs\n", totals->schedule_s,
             totals->decisions ? totals->schedule_s / (double)totals->decisions * 1e6 : 0, totals->decisions, totals->select_s,
             totals->feedback_s, totals->longest_tick_s, totals->longest_tick_started);
    fprintf (out, "all of it: %.1f s (%.1f s CPU), %.0f MiB; bindings that are not near or shared as wished: %" PRIu64 "\n", costs->wall_s,
             costs->cpu_s, costs->memory_mb, totals->misplaced);
}

/* ---- JSON ---- */

static json_t *occupancy_json (const struct report_occupancy *occupancy)
{
    json_t *bins = json_array ();
    for (size_t i = 0; i < REPORT_BINS; i++)
        json_array_append_new (bins, json_pack ("{s:f, s:f, s:I}", "from", report_edges[i], "to", report_edges[i + 1], "samples",
                                                (json_int_t)occupancy->bins[i]));
    return json_pack ("{s:f, s:f, s:f, s:f, s:o}", "mean", occupancy->mean, "median", occupancy->median, "lowest", occupancy->lowest,
                      "time_at_least_98", occupancy->full, "histogram", bins);
}

static json_t *sample_json (const struct report *self, const struct world_sample *sample)
{
    json_t *running = json_object (), *waiting = json_object ();
    for (unsigned i = 0; i < self->campaign->jobs_count; i++) {
        json_object_set_new (running, self->campaign->jobs[i].name, json_integer ((json_int_t)sample->running[i]));
        json_object_set_new (waiting, self->campaign->jobs[i].name, json_integer ((json_int_t)sample->waiting[i]));
    }
    return json_pack ("{s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "hours", sample->hours, "gpus", (json_int_t)sample->gpus,
                      "gpus_busy", (json_int_t)sample->gpus_busy, "cores", (json_int_t)sample->cores, "cores_busy",
                      (json_int_t)sample->cores_busy, "nodes_lost", (json_int_t)sample->nodes_lost, "started", (json_int_t)sample->started,
                      "frames", (json_int_t)sample->frames, "running", running, "waiting", waiting);
}

json_t *report_json (const struct report *self, const struct world_totals *totals, const struct report_costs *costs)
{
    const struct {
        const char *name;
        uint64_t value;
    } counts[] = {
        { "started", totals->started }, { "succeeded", totals->succeeded }, { "failed_attempts", totals->failures },
        { "aside", totals->aside }, { "lost_nodes", totals->lost_nodes }, { "candidates", totals->candidates },
        { "selected", totals->selected }, { "frames", totals->frames }, { "frames_told", totals->frames_told },
        { "reports", totals->reports }, { "moves", totals->decisions }, { "misplaced", totals->misplaced },
        { "longest_turn_started", totals->longest_tick_started },
    };
    json_t *samples = json_array (), *all = json_object ();
    for (size_t i = 0; i < sizeof (counts) / sizeof (counts[0]); i++)
        json_object_set_new (all, counts[i].name, json_integer ((json_int_t)counts[i].value));
    for (size_t i = 0; i < self->count; i++)
        json_array_append_new (samples, sample_json (self, &self->samples[i]));
    return json_pack ("{s:s, s:I, s:f, s:I, s:o, s:o, s:o, s:o, s:{s:f, s:f, s:f, s:f, s:f, s:f, s:f}, s:o}", "campaign", self->campaign->name,
                      "nodes", (json_int_t)costs->nodes, "hours", costs->hours, "seed", (json_int_t)costs->seed, "loaded_after_hours",
                      self->loaded < self->count ? json_real (self->samples[self->loaded].hours) : json_null (), "gpu_occupancy",
                      occupancy_json (&self->gpus), "core_occupancy", occupancy_json (&self->cores), "totals", all, "costs", "wall_s",
                      costs->wall_s, "cpu_s", costs->cpu_s, "memory_mb", costs->memory_mb, "schedule_cpu_s", totals->schedule_s,
                      "select_cpu_s", totals->select_s, "feedback_cpu_s", totals->feedback_s, "longest_turn_cpu_s", totals->longest_tick_s,
                      "samples", samples);
}

/* ---- figures ---- */

static FILE *create (const char *dir, const char *name, struct strata_error *error)
{
    char path[4200];
    snprintf (path, sizeof (path), "%s/%s", dir, name);
    FILE *file = fopen (path, "w");
    if (!file)
        strata_fail (error, "%s can't be written: %s", path, strerror (errno));
    return file;
}

static int write_samples (const struct report *self, const char *dir, struct strata_error *error)
{
    FILE *file = create (dir, "samples.tsv", error);
    if (!file)
        return -1;
    fprintf (file, "hours\tgpus_percent\tcores_percent\tstarted\tframes");
    for (unsigned i = 0; i < self->campaign->jobs_count; i++)
        fprintf (file, "\t%s_running", self->campaign->jobs[i].name);
    fprintf (file, "\n");
    for (size_t i = 0; i < self->count; i++) {
        const struct world_sample *sample = &self->samples[i];
        fprintf (file, "%.4f\t%.4f\t%.4f\t%" PRIu64 "\t%" PRIu64, sample->hours, gpus_of (sample), cores_of (sample), sample->started,
                 sample->frames);
        for (unsigned j = 0; j < self->campaign->jobs_count; j++)
            fprintf (file, "\t%" PRIu64, sample->running[j]);
        fprintf (file, "\n");
    }
    return fclose (file) == 0 ? 0 : strata_fail (error, "%s/samples.tsv can't be written: %s", dir, strerror (errno));
}

static int write_script (const struct report *self, const char *dir, struct strata_error *error)
{
    FILE *file = create (dir, "figures.gp", error);
    if (!file)
        return -1;
    fprintf (file, "# gnuplot figures.gp, in this folder\n"
                   "set datafile separator '\\t'\nset terminal svg size 900,500 font 'Helvetica,14' background 'white'\n"
                   "set encoding utf8\nset grid lc rgb '#dddddd'\nset border 3\nset tics nomirror out\nset key outside right top noenhanced\n"
                   "set xlabel 'virtual time [h]'\nset xrange [0:*]\nset format y '%%.0f'\n"
                   "set output 'occupancy.svg'\nset title 'Busy GPUs and cores, each 10 min'\nset ylabel 'busy [%%]'\nset yrange [0:102]\n"
                   "plot 'samples.tsv' using 1:3 skip 1 with lines lw 5 lc rgb '#e69f00' title 'cores', "
                   "'' using 1:2 skip 1 with lines lw 2 lc rgb '#0072b2' title 'GPUs'\n"
                   "set output 'placed.svg'\nset title 'Jobs running, and attempts started in each 10 min'\nset ylabel 'jobs'\n"
                   "set yrange [0.8:*]\nset logscale y\n"
                   "plot 'samples.tsv' using 1:4 skip 1 with impulses lw 3 lc rgb '#bbbbbb' title 'started'");
    for (unsigned i = 0; i < self->campaign->jobs_count; i++)
        fprintf (file, ", '' using 1:%u skip 1 with lines lw 2 lc %u title '%s'", 6 + i, i + 1, self->campaign->jobs[i].name);
    fprintf (file, "\nset output 'feedback.svg'\nset title 'Frames that feedback gets in a round of 10 min'\nset ylabel 'frames'\n"
                   "unset logscale y\nset yrange [0:*]\nunset key\n"
                   "plot 'samples.tsv' using 1:5 skip 1 with steps lw 2 lc rgb '#0072b2'\n"
                   "set output 'histogram.svg'\nset title 'Samples by busy GPUs, loading included'\nset xlabel 'GPUs busy [%%]'\n"
                   "set ylabel 'samples (one each 10 min)'\nset xrange [*<98:100]\nbin = 0.5\nin_bin (x) = x < 100 ? floor (x / bin) : 100 / bin - 1\nset style fill solid 0.7\nset boxwidth bin\n"
                   "plot 'samples.tsv' using (bin * in_bin ($2) + bin / 2):(1.0) skip 1 smooth frequency with boxes lc rgb '#0072b2'\n");
    return fclose (file) == 0 ? 0 : strata_fail (error, "%s/figures.gp can't be written: %s", dir, strerror (errno));
}

int report_plot (const struct report *self, const char *dir, struct strata_error *error)
{
    if (mkdir (dir, 0755) != 0 && errno != EEXIST)
        return strata_fail (error, "the folder %s can't be made: %s", dir, strerror (errno));
    if (write_samples (self, dir, error) != 0 || write_script (self, dir, error) != 0)
        return -1;
    fflush (NULL);
    pid_t pid = fork ();
    if (pid == 0) {
        if (chdir (dir) == 0)
            execlp ("gnuplot", "gnuplot", "figures.gp", (char *)NULL);
        _exit (127);
    }
    int status = 0;
    if (pid < 0 || waitpid (pid, &status, 0) != pid)
        return strata_fail (error, "gnuplot can't be run: %s", strerror (errno));
    if (WIFEXITED (status) && WEXITSTATUS (status) == 127)
        return strata_fail (error, "gnuplot is not installed (apt install gnuplot-nox); the numbers are in %s/samples.tsv, and `gnuplot "
                            "figures.gp` makes the figures", dir);
    return status == 0 ? 0 : strata_fail (error, "gnuplot failed on %s/figures.gp", dir);
}
