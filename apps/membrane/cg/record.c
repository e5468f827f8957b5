/* record.c - see record.h */
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Writes `root` (taken) to dir/name, reals with so many digits: temporary file, fsync, rename, fsync of the folder. */
static int save (const char *dir, const char *name, json_t *root, size_t digits, struct strata_error *error)
{
    char path[4096], temporary[4096];
    snprintf (path, sizeof (path), "%s/%s", dir, name);
    snprintf (temporary, sizeof (temporary), "%s/.%s.new", dir, name);
    char *text = root ? json_dumps (root, JSON_INDENT (2) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION (digits)) : NULL;
    json_decref (root);
    if (!text)
        return strata_fail (error, "no memory to write %s", path);
    FILE *f = fopen (temporary, "w");
    int bad = !f;
    if (f) {
        bad = fprintf (f, "%s\n", text) < 0 || fflush (f) != 0 || fsync (fileno (f)) < 0;
        bad |= fclose (f) != 0;
    }
    free (text);
    if (bad || rename (temporary, path) < 0)
        return strata_fail (error, "cannot write %s: %s", path, strerror (errno));
    int fd = open (dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync (fd);
        close (fd);
    }
    return 0;
}

/* 1 and *root, 0 when there is no such file, -1 when it is not a JSON object. */
static int load (const char *dir, const char *name, json_t **root, struct strata_error *error)
{
    char path[4096];
    json_error_t je;
    snprintf (path, sizeof (path), "%s/%s", dir, name);
    if (access (path, F_OK) < 0 && errno == ENOENT)
        return 0;
    *root = json_load_file (path, JSON_REJECT_DUPLICATES, &je);
    if (json_is_object (*root))
        return 1;
    json_decref (*root);
    return strata_fail (error, "%s: it is not what membrane-cg writes (%s); remove the folder to begin anew", path,
                        je.text);
}

static bool is_text (const json_t *root, const char *key, const char *expected)
{
    const char *text = json_string_value (json_object_get (root, key));
    return text && strcmp (text, expected) == 0;
}

static int64_t integer (const json_t *root, const char *key)
{
    return json_integer_value (json_object_get (root, key));
}

int cg_record_load (const char *dir, const char *simulation, const struct cg_plan *plan, int *starts,
                    struct strata_error *error)
{
    json_t *root;
    int rc = load (dir, "run.json", &root, error);
    if (rc < 1)
        return rc;
    if (!is_text (root, "simulation", simulation))
        rc = strata_fail (error, "%s: here stands simulation '%.80s', not '%s'; each needs a folder of its own", dir,
                          json_string_value (json_object_get (root, "simulation")) ?: "?", simulation);
    else if (integer (root, "steps") != plan->steps || integer (root, "steps_per_frame") != plan->steps_per_frame
             || integer (root, "segment") != plan->segment
             || json_number_value (json_object_get (root, "dt_ps")) != plan->dt_ps)
        rc = strata_fail (
            error,
            "%s: this run was begun with %lld steps of %g ps, a frame each %lld, in segments of %lld; go on "
            "with the same --time-ns, --frame-ps and --segment-steps, or take another folder",
            dir, (long long)integer (root, "steps"), json_number_value (json_object_get (root, "dt_ps")),
            (long long)integer (root, "steps_per_frame"), (long long)integer (root, "segment"));
    else
        *starts = (int)integer (root, "starts");
    json_decref (root);
    return rc;
}

int cg_record_save (const char *dir, const char *simulation, const struct cg_plan *plan, int starts,
                    struct strata_error *error)
{
    json_t *root = json_pack ("{s:s, s:I, s:I, s:I, s:I, s:i}", "simulation", simulation, "steps",
                              (json_int_t)plan->steps, "steps_per_frame", (json_int_t)plan->steps_per_frame, "segment",
                              (json_int_t)plan->segment, "seed", (json_int_t)plan->seed, "starts", starts);
    if (root)
        json_object_set_new (root, "dt_ps", json_real (plan->dt_ps));
    return save (dir, "run.json", root, 17, error);
}

int cg_done_load (const char *dir, const char *simulation, struct strata_error *error)
{
    json_t *root;
    int rc = load (dir, "done.json", &root, error);
    if (rc < 1)
        return rc;
    if (!is_text (root, "simulation", simulation))
        rc = strata_fail (error, "%s: here simulation '%.80s' was done, not '%s'; each needs a folder of its own", dir,
                          json_string_value (json_object_get (root, "simulation")) ?: "?", simulation);
    json_decref (root);
    return rc;
}

int cg_done_save (const char *dir, const char *simulation, const struct cg_done *done, struct strata_error *error)
{
    json_t *root = json_pack ("{s:s, s:f, s:I, s:I, s:i, s:i}", "simulation", simulation, "time_ns", done->time_ns,
                              "frames", (json_int_t)done->frames, "steps", (json_int_t)done->steps, "beads",
                              (int)done->beads, "restarts", done->restarts);
    if (root)
        json_object_set_new (root, "ns_per_day", done->ns_per_day > 0 ? json_real (done->ns_per_day) : json_null ());
    return save (dir, "done.json", root, 6, error);
}
