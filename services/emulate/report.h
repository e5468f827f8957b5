/* report.h - what an emulation shows: occupancy, jobs placed over time, sizes of feedback; as text, JSON and figures. */
#ifndef EMULATE_REPORT_H
#define EMULATE_REPORT_H

#include <stdio.h>

#include <jansson.h>

#include "world.h"

#define REPORT_BINS 10

/* Of samples taken after the machine was loaded: from the first one on in which 98 % of the GPUs are busy. Percent. */
struct report_occupancy {
    double mean, median, lowest;
    double full;                        /* share of the samples with at least 98 % */
    size_t bins[REPORT_BINS];           /* samples between the edges: report_edges */
};

struct report {
    const struct campaign *campaign;
    struct world_sample *samples;
    size_t count, room;
    size_t loaded;                      /* index of the first loaded sample; count: it never was */
    struct report_occupancy gpus, cores;
    double gpus_whole;                  /* mean over all samples, loading included; percent */
};

extern const double report_edges[REPORT_BINS + 1];

void report_add (struct report *self, const struct world_sample *sample);
/* Computes what there is to say; after the last sample. */
void report_finish (struct report *self);
void report_fini (struct report *self);

struct report_costs {
    double wall_s, cpu_s, memory_mb, hours;
    size_t nodes;
    uint64_t seed;
};

void report_print (const struct report *self, const struct world_totals *totals, const struct report_costs *costs, FILE *out);
json_t *report_json (const struct report *self, const struct world_totals *totals, const struct report_costs *costs);
/* Writes samples.tsv and figures.gp into the folder, which is made, and runs gnuplot: occupancy.svg, histogram.svg, placed.svg,
 * feedback.svg. -1 when that can't be. */
int report_plot (const struct report *self, const char *dir, struct strata_error *error);

#endif
