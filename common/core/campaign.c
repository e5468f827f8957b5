/* campaign.c - see campaign.h
 *
 * Four passes over one reading of the file: libyaml builds a tree with lines (campaign_yaml.c); the checks find every
 * mistake in it (campaign_check.c, campaign_cross.c); libcyaml loads the values into the structs by the schema made
 * from the same table (campaign_schema.c); the defaults of keys that are not there are filled in here.
 */
#include "core/campaign.h"
#include "core/nodes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/campaign_check.h"
#include "core/campaign_run.h"
#include "core/campaign_schema.h"
#include "core/campaign_yaml.h"
#include "core/crc32c.h"

/* ---- defaults ---- */

/* node: the mapping in the file, NULL when the section is not there. base: its struct. -1: out of memory. */
static int fill_defaults (struct campaign_yaml *yaml, const struct campaign_field *fields, yaml_node_t *node,
                          char *base)
{
    int rc = 0;
    for (const struct campaign_field *f = fields; f->key && rc == 0; f++) {
        yaml_node_t *value = campaign_yaml_get (yaml, node, f->key, NULL);
        char *at = base + f->offset;
        if (f->kind == KIND_MAP)
            rc = fill_defaults (yaml, f->fields, value, at);
        else if (f->kind == KIND_LIST && f->item->kind == KIND_MAP)
            for (size_t i = 0; i < campaign_yaml_items (value) && rc == 0; i++)
                rc = fill_defaults (yaml, f->item->fields, campaign_yaml_item (yaml, value, i),
                                    *(char **)at + i * f->size);
        else if (!value && f->fallback)
            rc = campaign_schema_value (f, f->fallback, at);
    }
    return rc;
}

/* ---- libcyaml ---- */

struct cyaml_words {
    char last[256];
};

static void keep_words (cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
    struct cyaml_words *words = ctx;
    if (words && level >= CYAML_LOG_ERROR && !words->last[0])
        vsnprintf (words->last, sizeof (words->last), fmt, args);
}

static cyaml_config_t cyaml_setup (struct cyaml_words *words)
{
    return (cyaml_config_t){
        .log_fn = keep_words,
        .log_ctx = words,
        .log_level = CYAML_LOG_ERROR,
        .mem_fn = cyaml_mem,
    };
}

static struct campaign *load_values (const unsigned char *text, size_t size, struct campaign_found *found)
{
    struct cyaml_words words = { "" };
    cyaml_config_t config = cyaml_setup (&words);
    const cyaml_schema_value_t *schema = campaign_schema_cyaml ();
    struct campaign *self = NULL;
    cyaml_err_t err = schema ? cyaml_load_data (text, size, &config, schema, (cyaml_data_t **)&self, NULL)
                             : CYAML_ERR_BAD_PARAM_NULL_SCHEMA;
    if (err == CYAML_OK)
        return self;
    words.last[strcspn (words.last, "\r\n")] = '\0';
    campaign_found_add (found, 1, "file",
                        "libcyaml refuses it: %s%s%s", cyaml_strerror (err), words.last[0] ? ": " : "",
                        words.last);
    return NULL;
}

/* A job with parts has the cores and GPUs of all of them. */
static void sum_parts (struct campaign *self)
{
    for (unsigned i = 0; i < self->jobs_count; i++) {
        struct campaign_job *job = &self->jobs[i];
        if (job->parts_count)
            job->cores = job->gpus = 0;
        for (unsigned j = 0; j < job->parts_count; j++) {
            job->cores += job->parts[j].cores;
            job->gpus += job->parts[j].gpus;
        }
    }
}

static int replace (char **text, const char *with)
{
    char *copy = strdup (with);
    if (!copy)
        return -1;
    free (*text);
    *text = copy;
    return 0;
}

/* "auto" becomes what it means on this node: jobs of other nodes can't come in by Unix sockets. */
static int settle_mesh (struct campaign *self)
{
    char address[128];
    bool local = strcmp (self->schedule.executor, "local") == 0;
    if (strcmp (self->mesh.transport, "auto") == 0 && replace (&self->mesh.transport, local ? "ipc" : "tcp") != 0)
        return -1;
    if (strcmp (self->mesh.interface, "auto") != 0)
        return 0;
    nodes_address (address, sizeof (address));
    return replace (&self->mesh.interface, local ? "127.0.0.1" : address);
}

static struct campaign *load (const unsigned char *text, size_t size, const char *path, const char *dir,
                              struct campaign_found *found)
{
    struct campaign *self = NULL;
    struct campaign_yaml yaml;
    if (campaign_yaml_init (&yaml, text, size, found))
        return NULL;
    campaign_check (&yaml, dir, found);
    if (found->count == 0 && !found->full)
        self = load_values (text, size, found);
    if (self) {
        self->path = strdup (path);
        self->dir = strdup (dir);
        self->fingerprint = crc32c (0, text, size);
        if (fill_defaults (&yaml, campaign_schema.fields, campaign_yaml_root (&yaml), (char *)self) || !self->path
            || !self->dir || settle_mesh (self) != 0 || campaign_settle_steps (self, &yaml, found) != 0) {
            if (found->count == 0)
                campaign_found_add (found, 1, "file", "out of memory while reading it");
            campaign_free (&self);
        }
        else
            sum_parts (self);
    }
    campaign_yaml_fini (&yaml);
    return self;
}

struct campaign *campaign_load (const char *path, struct campaign_mistakes *mistakes)
{
    struct campaign_found found = { .file = path };
    struct campaign *self = NULL;
    size_t size = 0;
    unsigned char *text = campaign_yaml_read (path, &size, &found);
    char *full = text ? realpath (path, NULL) : NULL;
    if (full) {
        char *slash = strrchr (full, '/');
        char *dir = slash == full ? strdup ("/") : strndup (full, (size_t)(slash - full));
        if (dir)
            self = load (text, size, full, dir, &found);
        free (dir);
    }
    if (!self && found.count == 0)
        campaign_found_add (&found, 1, "file", "cannot be read: %s", strerror (errno));
    free (full);
    free (text);
    campaign_found_finish (&found, mistakes);
    return self;
}

void campaign_free (struct campaign **self_p)
{
    struct campaign *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    free (self->path);
    free (self->dir);
    cyaml_config_t config = cyaml_setup (NULL);
    cyaml_free (&config, campaign_schema_cyaml (), self, 0);
}

void campaign_mistakes_fini (struct campaign_mistakes *self)
{
    for (size_t i = 0; i < self->count; i++)
        free (self->lines[i]);
    free (self->lines);
    *self = (struct campaign_mistakes){ NULL, 0 };
}

const struct campaign_job *campaign_job_find (const struct campaign *self, const char *name)
{
    for (unsigned i = 0; i < self->jobs_count; i++)
        if (strcmp (self->jobs[i].name, name) == 0)
            return &self->jobs[i];
    return NULL;
}

uint32_t campaign_fingerprint (const struct campaign *self)
{
    return self->fingerprint;
}
