/* cmd_objects.c - strata put, get, ls, submit: staging from a shell, for scripts that are simulations too. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli.h"

#define TIMEOUT_MS 30000

static struct strata_client *open_client (const struct cli_args *args, struct strata_error *error)
{
    struct workspace workspace;
    if (workspace_find (args->workspace, &workspace, error) < 0)
        return NULL;
    int timeout_ms = args->timeout_s > INT_MAX / 1000 ? INT_MAX : args->timeout_s * 1000;
    return ask_open (&workspace, timeout_ms > 0 ? timeout_ms : TIMEOUT_MS, error);
}

static int read_file (const char *path, void **data, size_t *size, struct strata_error *error)
{
    struct stat st;
    FILE *f = fopen (path, "rb");
    if (!f || fstat (fileno (f), &st) < 0 || !S_ISREG (st.st_mode)) {
        strata_fail (error, "%s: %s", path, f ? "not a regular file" : strerror (errno));
        if (f)
            fclose (f);
        return -1;
    }
    *size = (size_t)st.st_size;
    *data = malloc (*size ? *size : 1);
    size_t got = *data ? fread (*data, 1, *size, f) : 0;
    fclose (f);
    if (!*data || got != *size) {
        free (*data);
        return strata_fail (error, "%s: read %zu of %zu bytes", path, got, *size);
    }
    return 0;
}

int cmd_put (const struct cli_args *args)
{
    struct strata_error error;
    void *data;
    size_t size;
    if (read_file (args->rest[2], &data, &size, &error) < 0)
        return cli_fail (args, CLI_FAILED, "%s", error.text);
    struct strata_client *client = open_client (args, &error);
    int rc = client ? strata_put (client, args->rest[0], args->rest[1], data, size, &error) : -1;
    strata_close (&client);
    free (data);
    return rc < 0 ? cli_fail (args, CLI_FAILED, "%s", error.text) : CLI_OK;
}

int cmd_get (const struct cli_args *args)
{
    struct strata_error error;
    void *data = NULL;
    size_t size = 0;
    struct strata_client *client = open_client (args, &error);
    int rc = client ? (args->wait ? strata_get_wait : strata_get) (client, args->rest[0], args->rest[1], &data, &size, &error) : -1;
    strata_close (&client);
    if (rc < 0)
        return cli_fail (args, CLI_FAILED, "%s", error.text);
    FILE *out = args->rest_count > 2 ? fopen (args->rest[2], "wb") : stdout;
    bool written = out && (size == 0 || fwrite (data, 1, size, out) == size);
    int saved = errno;
    if (out && (out == stdout ? fflush (out) : fclose (out)) != 0 && written) {
        written = false;
        saved = errno;
    }
    free (data);
    return written ? CLI_OK : cli_fail (args, CLI_FAILED, "%s: %s", args->rest_count > 2 ? args->rest[2] : "standard output", strerror (saved));
}

static int add_object (const char *key, const struct strata_object_info *info, void *arg)
{
    if (!arg) {
        printf ("%12" PRIu64 "  %08" PRIx32 "  %4" PRIu64 "  %s\n", info->size, info->crc32c, info->generation, key);
        return 0;
    }
    json_array_append_new (arg,
                           json_pack ("{s:s s:I s:I s:I s:I}",
                                      "key", key,
                                      "size", (json_int_t)info->size,
                                      "crc32c", (json_int_t)info->crc32c,
                                      "generation", (json_int_t)info->generation,
                                      "mtime_us", (json_int_t)info->mtime_us));
    return 0;
}

int cmd_ls (const struct cli_args *args)
{
    struct strata_error error;
    json_t *objects = args->json ? json_array () : NULL;
    struct strata_client *client = open_client (args, &error);
    int rc = client ? strata_list (client, args->rest[0], args->rest_count > 1 ? args->rest[1] : "", add_object, objects, &error) : -1;
    strata_close (&client);
    if (rc < 0) {
        json_decref (objects);
        return cli_fail (args, CLI_FAILED, "%s", error.text);
    }
    if (objects)
        cli_print_json (json_pack ("{s:o}", "objects", objects));
    return CLI_OK;
}

int cmd_submit (const struct cli_args *args)
{
    struct strata_error error;
    char path[4096], *end;
    unsigned long long index = strtoull (args->rest[2], &end, 10);
    bool duplicate;
    if (!args->rest[2][0] || *end)
        return cli_fail (args, CLI_USAGE, "index '%s' is not a number", args->rest[2]);
    if (!realpath (args->rest[3], path))
        return cli_fail (args, CLI_FAILED, "snapshot %s: %s", args->rest[3], strerror (errno));
    struct strata_client *client = open_client (args, &error);
    int rc = client ? strata_append_snapshot (client, args->rest[0], args->rest[1], index, path, 0, &duplicate, &error) : -1;
    strata_close (&client);
    if (rc < 0)
        return cli_fail (args, CLI_FAILED, "%s", error.text);
    if (args->json)
        cli_print_json (json_pack ("{s:b}", "duplicate", duplicate));
    else
        printf ("%s\n", duplicate ? "a repeat: that simulation handed in this index, or a later one, before" : "queued");
    return CLI_OK;
}
