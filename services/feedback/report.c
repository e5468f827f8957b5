/* report.c - see report.h */
#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rounds.h"
#include "strata_npz.h"

char *report_state_text (const struct feedback_report *report, size_t state, size_t *size)
{
    const struct campaign_feedback *shape = report->shape;
    size_t block = (size_t)shape->rows_count * shape->bins;
    const int64_t *sums = report->sums + state * block;
    const double *weighted = report->weighted ? report->weighted + state * block : NULL;
    double width = (shape->range_max_angstrom - shape->range_min_angstrom) / shape->bins;
    char *text = NULL;
    FILE *out = open_memstream (&text, size);
    if (!out)
        return NULL;
    fprintf (out, "bin");
    for (unsigned row = 0; row < shape->rows_count; row++)
        fprintf (out, " %s", shape->rows[row]);
    fprintf (out, "\n%.2f", 0.0);
    for (unsigned row = 0; row < shape->rows_count; row++)
        fprintf (out, " %12d", 0);
    for (unsigned bin = 0; bin < shape->bins; bin++) {
        fprintf (out, "\n%.2f", (shape->range_min_angstrom + (bin + 0.5) * width) / 10.0);
        for (unsigned row = 0; row < shape->rows_count; row++) {
            size_t cell = (size_t)row * shape->bins + bin;
            fprintf (out, " %12" PRId64, weighted ? (int64_t)llround (weighted[cell]) : sums[cell]);
        }
    }
    fputc ('\n', out);
    bool bad = ferror (out) != 0;
    if (fclose (out) != 0 || bad) {
        free (text);
        return NULL;
    }
    return text;
}

static json_t *json_created (int64_t created_us)
{
    time_t seconds = (time_t)(created_us / 1000000);
    struct tm tm;
    char text[40] = "";
    if (gmtime_r (&seconds, &tm))
        strftime (text, sizeof (text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    return json_string (text);
}

char *report_json_text (const struct feedback_report *report)
{
    const struct campaign_feedback *shape = report->shape;
    json_t *root = json_object (), *states = json_object (), *rows = json_array ();
    int bad = 0;
    for (unsigned i = 0; i < shape->states_count; i++)
        bad |= json_object_set_new (states,
                                    shape->states[i],
                                    json_pack ("{s:I, s:I}",
                                               "frames",
                                               (json_int_t)report->state_frames[i],
                                               "counts",
                                               (json_int_t)report->state_counts[i]));
    for (unsigned i = 0; i < shape->rows_count; i++)
        bad |= json_array_append_new (rows, json_string (shape->rows[i]));
    bad |= json_object_set_new (root, "round", json_integer ((json_int_t)report->round));
    bad |= json_object_set_new (root, "frames", json_integer ((json_int_t)report->frames));
    bad |= json_object_set_new (root, "simulations", json_integer ((json_int_t)report->simulations));
    bad |= json_object_set_new (root, "created", json_created (report->created_us));
    bad |= json_object_set_new (root, "bins", json_integer (shape->bins));
    bad |= json_object_set_new (
        root, "range_nm", json_pack ("[f, f]", shape->range_min_angstrom / 10.0, shape->range_max_angstrom / 10.0));
    bad |= json_object_set_new (root, "rows", rows);
    bad |= json_object_set_new (root, "states", states);
    if (report->weighted)
        bad |= json_object_set_new (root, "weights",
                                    json_pack ("{s:I, s:I}", "simulations", (json_int_t)report->weighed, "without",
                                               (json_int_t)report->unweighed));
    char *text = bad ? NULL : json_dumps (root, JSON_INDENT (2) | JSON_REAL_PRECISION (12));
    json_decref (root);
    return text;
}

int report_npz (const struct feedback_report *report, void **data, size_t *size, struct strata_error *error)
{
    const struct campaign_feedback *shape = report->shape;
    const size_t dims[] = { shape->states_count, shape->rows_count, shape->bins };
    double width = (shape->range_max_angstrom - shape->range_min_angstrom) / shape->bins;
    struct npz_writer *writer = npz_writer_new ();
    double *radii = malloc (shape->bins * sizeof (*radii));
    bool bad = !writer || !radii;
    for (unsigned bin = 0; !bad && bin < shape->bins; bin++)
        radii[bin] = (shape->range_min_angstrom + (bin + 0.5) * width) / 10.0;
    bad = bad || npz_add (writer, "counts", NPY_I8, 3, dims, report->sums) < 0
          || (report->weighted && npz_add (writer, "weighted", NPY_F8, 3, dims, report->weighted) < 0)
          || npz_add (writer, "frames", NPY_I8, 1, dims, report->state_frames) < 0
          || npz_add (writer, "radii_nm", NPY_F8, 1, dims + 2, radii) < 0
          || npz_add_strings (writer, "states", (const char *const *)shape->states, shape->states_count, 0) < 0
          || npz_add_strings (writer, "rows", (const char *const *)shape->rows, shape->rows_count, 0) < 0
          || npz_add_i8 (writer, "round", (int64_t)report->round) < 0 || npz_add_i8 (writer, "created_us", report->created_us) < 0;
    int rc = bad ? strata_fail (error, "report %" PRIu64 ": out of memory", report->round) : npz_finish (writer, data, size, error);
    int saved = errno;
    if (writer)
        npz_writer_free (&writer);
    free (radii);
    errno = saved;
    return rc;
}

int report_write (const struct feedback_report *report, const char *dir, struct strata_error *error)
{
    const struct campaign_feedback *shape = report->shape;
    size_t count = shape->states_count + 2;
    struct rounds_file *list = calloc (count, sizeof (*list)), *npz, *json;
    char (*names)[80] = calloc (count, sizeof (*names));
    bool bad = !list || !names;
    for (unsigned state = 0; !bad && state < shape->states_count; state++) {
        snprintf (names[state], sizeof (names[state]), "rdf_%.64s.txt", shape->states[state]);
        list[state].name = names[state];
        bad = !(list[state].text = report_state_text (report, state, &list[state].size));
    }
    if (!bad) {
        void *data = NULL;
        npz = &list[count - 2], json = &list[count - 1];
        npz->name = "rdf.npz";
        bad = report_npz (report, &data, &npz->size, error) < 0;
        npz->text = data;
        json->name = "report.json";
        json->text = bad ? NULL : report_json_text (report);
        bad = !json->text;
        json->size = bad ? 0 : strlen (json->text);
    }
    int rc = bad ? strata_fail (error, "report %" PRIu64 ": out of memory", report->round)
                 : rounds_write (dir, report->round, list, count, error);
    int saved = errno;
    for (size_t i = 0; list && i < count; i++)
        free ((char *)list[i].text);
    free (list);
    free (names);
    errno = saved;
    return rc;
}
