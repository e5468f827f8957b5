/* campaign_tracker.c - see campaign_tracker.h */
#include "core/campaign_tracker.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/campaign_check.h"
#include "core/campaign_schema.h"
#include "core/campaign_template.h"
#include "core/crc32c.h"

#define DEPTH_MAX 8 /* variables within variables */

/* The file's `config`. What Maestro, Flux and Python are told there means nothing here, and is read over. */
struct config {
    struct campaign_run run;
    char *jobname, *jobdesc, *wrapper, *use_broker, *is_gc, *nested;
    unsigned bundle_size;
};

#define AT(member) .offset = offsetof (struct config, member), .size = sizeof (((struct config *)0)->member)

/* Rows without help: they are no part of the campaign file's document. */
static const struct campaign_field config_fields[] = {
    { .key = "jobname", .kind = KIND_TEXT, AT (jobname), .min = 1, .max = 200, .required = true },
    { .key = "jobdesc", .kind = KIND_TEXT, AT (jobdesc), .max = 1024 },
    { .key = "nnodes", .kind = KIND_WHOLE, AT (run.nodes), .min = 1, .max = 1000000, .required = true },
    { .key = "nprocs", .kind = KIND_WHOLE, AT (run.procs), .min = 1, .max = 1000000, .required = true },
    { .key = "cores per task", .kind = KIND_WHOLE, AT (run.cores), .min = 1, .max = 100000, .required = true },
    { .key = "ngpus", .kind = KIND_WHOLE, AT (run.gpus), .max = 10000, .fallback = "0" },
    /* Without one Maestro asks for none. */
    { .key = "walltime", .kind = KIND_TEXT, AT (run.walltime), .min = 1, .max = 32, .fallback = "8760:00:00" },
    { .key = "bundle_size", .kind = KIND_WHOLE, AT (bundle_size), .min = 1, .max = 1, .fallback = "1" }, /* as in mummi-core */
    { .key = "use_broker", .kind = KIND_TEXT, AT (use_broker), .max = 8 }, /* Python's True and False, too */
    { .key = "is_gc", .kind = KIND_TEXT, AT (is_gc), .max = 8 }, /* Python's True and False, too */
    { .key = "nested", .kind = KIND_TEXT, AT (nested), .max = 8 }, /* Python's True and False, too */
    { .key = "wrapper", .kind = KIND_TEXT, AT (wrapper), .max = 1024 },
    { .key = "addtl_args", .kind = KIND_FREE },
    { .key = "broker_options", .kind = KIND_FREE },
    { .key = NULL },
};

static const struct campaign_field import_item = { .kind = KIND_TEXT, .min = 1, .max = 200 };
static const struct campaign_field file_fields[] = {
    { .key = "job_type", .kind = KIND_TEXT, .min = 1, .max = 64, .required = true },
    { .key = "config", .kind = KIND_MAP, .fields = config_fields, .required = true },
    { .key = "imports", .kind = KIND_LIST, .item = &import_item, .max = 64 },
    { .key = "dir_sim", .kind = KIND_TEXT, .min = 1, .max = 64 },
    { .key = "variables", .kind = KIND_FREE },
    { .key = "script", .kind = KIND_ARGUMENT, .min = 1, .max = 32768, .required = true },
    { .key = NULL },
};
static const struct campaign_field file_table = { .kind = KIND_MAP, .fields = file_fields };

struct text {
    struct campaign_yaml *yaml;
    struct campaign_found *found;
    yaml_node_t *variables;
    int chain;
    FILE *out;
    int depth;
};

static void format (struct text *self, const char *text, const char *path, size_t line);

/* A variable of the file: text, a number, or a list of both, joined. */
static void put_value (struct text *self, yaml_node_t *node, const char *path, size_t line)
{
    char is[128];
    if (node->type == YAML_SEQUENCE_NODE) {
        for (size_t i = 0; i < campaign_yaml_items (node); i++)
            put_value (self, campaign_yaml_item (self->yaml, node, i), path, line);
        return;
    }
    if (campaign_yaml_get (self->yaml, node, "eval", NULL)) {
        campaign_found_add (self->found, line, path,
                            "is computed by Python (eval), which Strata does not run; write a text, with {dir} (the job's folder), {input} (that "
                            "of the job before it), {workspace}, {candidate} or {simulation} where they are meant");
        return;
    }
    if (campaign_yaml_text (node)) {
        format (self, campaign_yaml_text (node), path, line);
        return;
    }
    if (node->type == YAML_SCALAR_NODE && node->data.scalar.length == 0)
        return; /* '' */
    campaign_yaml_describe (node, is, sizeof (is));
    campaign_found_add (self->found, line, path, "must be text, a number or a list of them, not %s", is);
}

static void put_variable (struct text *self, struct campaign_piece piece, const char *path, size_t line)
{
    char name[72], inner[128];
    size_t value_line = line;
    snprintf (name, sizeof (name), "%.*s", (int)(piece.length < 64 ? piece.length : 64), piece.start);
    yaml_node_t *value = campaign_yaml_get (self->yaml, self->variables, name, &value_line);
    bool null = value && value->type == YAML_SCALAR_NODE && value->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !campaign_yaml_text (value);
    snprintf (inner, sizeof (inner), "variables.%s", name);
    if (value && !null && self->depth == DEPTH_MAX)
        campaign_found_add (self->found, value_line, inner, "is a variable within %d others; do they name each other?", DEPTH_MAX);
    else if (value && !null) {
        self->depth++;
        put_value (self, value, inner, value_line);
        self->depth--;
    }
    /* "value supplied by jobTracker": the simulation's name is its patch's. */
    else if (strcmp (name, "simname") == 0)
        fputs (self->chain == JOB_SELECTION ? "{candidate}" : "{simulation}", self->out);
    else if (strcmp (name, "timestamp") == 0)
        fputs ("$(date +%Y%m%d-%H%M%S)", self->out);
    else {
        for (size_t i = 0; campaign_template_names[i]; i++)
            if (strcmp (campaign_template_names[i], name) == 0) {
                fprintf (self->out, "{%s}", name);
                return;
            }
        const char *near = campaign_nearest (name, campaign_template_names);
        campaign_found_add (self->found, line, path, "unknown variable {%s}; %s%s%sit must stand in `variables`, or be one of Strata's; write {{ "
                            "and }} for literal braces", name, near ? "did you mean {" : "", near ? near : "", near ? "}? " : "");
    }
}

/* Python's str.format, as far as names go; the result is a template again. */
static void format (struct text *self, const char *text, const char *path, size_t line)
{
    while (!self->found->full) {
        struct campaign_piece piece = campaign_template_next (&text);
        switch (piece.kind) {
            case PIECE_END:
                return;
            case PIECE_TEXT:
                fwrite (piece.start, 1, piece.length, self->out);
                if (piece.length == 1 && strchr ("{}", *piece.start)) /* a doubled brace stays one */
                    fputc (*piece.start, self->out);
                break;
            case PIECE_VARIABLE:
                put_variable (self, piece, path, line);
                break;
            default:
                campaign_found_add (self->found, line, path, "has an unbalanced brace; write {{ or }} for a literal one");
                return;
        }
    }
}

static int fill (struct text *self, struct campaign_run *run, struct campaign_found *found)
{
    struct config config = { .run.max_retries = 2 };
    size_t before = found->count, size = 0, line = 1;
    yaml_node_t *root = campaign_yaml_root (self->yaml);
    const char *script = campaign_yaml_text (campaign_yaml_get (self->yaml, root, "script", &line));
    int rc = campaign_schema_fill (self->yaml, config_fields, campaign_yaml_get (self->yaml, root, "config", NULL), &config);
    free (config.jobname);
    free (config.jobdesc);
    free (config.wrapper);
    free (config.use_broker);
    free (config.is_gc);
    free (config.nested);
    *run = config.run;
    self->variables = campaign_yaml_get (self->yaml, root, "variables", NULL);
    self->out = open_memstream (&run->cmd, &size);
    if (self->out)
        format (self, script, "script", line);
    if (rc != 0 || !self->out || fclose (self->out) != 0) {
        campaign_found_add (found, 1, "file", "out of memory while reading it");
        return -1;
    }
    return found->count == before ? 0 : -1;
}

int campaign_tracker_read (const struct campaign_step_place *place, const char *file, struct campaign_run *run, uint32_t *fingerprint,
                           struct campaign_found *found)
{
    char *path;
    if (asprintf (&path, "%s%s%s", file[0] == '/' ? "" : place->dir, file[0] == '/' ? "" : "/", file) < 0) {
        campaign_found_add (found, 1, "file", "out of memory while reading it");
        return -1;
    }
    struct campaign_yaml yaml;
    size_t size = 0, before = found->count;
    int rc = -1;
    found->other = path;
    unsigned char *text = campaign_yaml_read (path, &size, found);
    if (text && campaign_yaml_init (&yaml, text, size, found) == 0) {
        struct text self = { .yaml = &yaml, .found = found, .chain = place->chain };
        campaign_check_table (&yaml, &file_table, found);
        rc = found->count == before ? fill (&self, run, found) : -1;
        campaign_yaml_fini (&yaml);
    }
    *fingerprint = text ? crc32c (0, text, size) : 0;
    found->other = NULL;
    free (text);
    free (path);
    return rc;
}
