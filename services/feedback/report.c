/* report.c - see report.h */
#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rounds.h"

char *report_state_text (const struct feedback_report *report, size_t state, size_t *size)
{
    const struct campaign_feedback *shape = report->shape;
    const int64_t *sums = report->sums + state * shape->rows_count * shape->bins;
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
        for (unsigned row = 0; row < shape->rows_count; row++)
            fprintf (out, " %12" PRId64, sums[(size_t)row * shape->bins + bin]);
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
    char *text = bad ? NULL : json_dumps (root, JSON_INDENT (2) | JSON_REAL_PRECISION (12));
    json_decref (root);
    return text;
}

int report_write (const struct feedback_report *report, const char *dir, struct strata_error *error)
{
    const struct campaign_feedback *shape = report->shape;
    size_t count = shape->states_count + 1;
    struct rounds_file *list = calloc (count, sizeof (*list));
    char (*names)[80] = calloc (count, sizeof (*names));
    bool bad = !list || !names;
    for (unsigned state = 0; !bad && state < shape->states_count; state++) {
        snprintf (names[state], sizeof (names[state]), "rdf_%.64s.txt", shape->states[state]);
        list[state].name = names[state];
        bad = !(list[state].text = report_state_text (report, state, &list[state].size));
    }
    if (!bad && (list[count - 1].text = report_json_text (report))) {
        list[count - 1].name = "report.json";
        list[count - 1].size = strlen (list[count - 1].text);
    } else
        bad = true;
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
