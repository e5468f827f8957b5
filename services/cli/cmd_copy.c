/* cmd_copy.c - strata cp, and strata tar import: objects from one place to another. See place.h.
 *
 * What stands at the destination with the same length and checksum is passed over, so that a copy that was broken off goes on
 * where it was. Objects go in bunches, in byte order of their keys; one that is refused is told, counted, and the others go on.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "copy.h"
#include "core/crc32c.h"
#include "place.h"

#define BUNCH 128
#define BUNCH_BYTES ((uint64_t)32 << 20) /* but one object at least */
#define SHOWN 10                         /* failures that are told one by one */

static volatile sig_atomic_t interrupted;

static void on_signal (int number)
{
    interrupted = 1;
}

bool copy_keep_going (void)
{
    return !interrupted;
}

void copy_catch_interrupts (void)
{
    struct sigaction action = { .sa_handler = on_signal };
    interrupted = 0;
    sigaction (SIGINT, &action, NULL);
    sigaction (SIGTERM, &action, NULL);
}

void progress_show (struct progress *self, const char *what, uint64_t done, uint64_t total, bool last)
{
    double now = cli_now_s ();
    bool terminal = isatty (STDERR_FILENO);
    char a[32], b[32];
    if (self->began == 0)
        self->began = self->told = now;
    if (self->quiet || (last ? !self->shown || !terminal : now - self->told < (terminal ? 0.2 : 10)))
        return;
    self->told = now;
    self->shown = true;
    fprintf (stderr, "%s%s: %s of %s (%.0f%%), %.1f MB/s%s", terminal ? "\r" : "", what, cli_bytes ((double)done, a, sizeof (a)),
             cli_bytes ((double)total, b, sizeof (b)), total ? 100.0 * (double)done / (double)total : 100.0,
             (double)done / 1e6 / (now - self->began + 1e-6), terminal && !last ? "\033[K" : "\n");
}

struct copy {
    struct place *from, *to;
    const char *rename_to; /* a single object's new key, or NULL */
    uint64_t copied, copied_bytes, there, failed, done_bytes, total_bytes;
    struct progress progress;
};

static void tell_failures (struct copy *copy, const char *doing, const struct place_object *objects, const int *codes, size_t count,
                           const struct strata_error *why)
{
    bool told = false;
    for (size_t i = 0; i < count; i++) {
        char shown[120];
        if (!codes[i])
            continue;
        if (copy->failed++ < SHOWN)
            fprintf (stderr, "strata: %s %s: %s\n", doing, cli_clean (objects[i].key, shown, sizeof (shown)),
                     told ? strerror (codes[i]) : why->text);
        told = true;
    }
}

/* One bunch: reads, drops what is there already, writes the rest. */
static void copy_bunch (struct copy *copy, const struct place_object *objects, size_t count)
{
    void *data[BUNCH] = { NULL };
    size_t sizes[BUNCH], wanted[BUNCH], n = 0;
    uint32_t crcs[BUNCH];
    int codes[BUNCH] = { 0 };
    bool there[BUNCH];
    const char *keys[BUNCH];
    struct place_object rest[BUNCH];
    struct strata_error why = { "" };
    /* Checksums that are known already save the reading. */
    bool known = true;
    for (size_t i = 0; i < count; i++) {
        known &= objects[i].has_crc;
        keys[i] = copy->rename_to ? copy->rename_to : objects[i].key;
        sizes[i] = (size_t)objects[i].size;
        crcs[i] = objects[i].crc32c;
        there[i] = false;
    }
    if (known)
        place_has (copy->to, keys, sizes, crcs, count, there);
    for (size_t i = 0; i < count; i++) {
        copy->there += there[i];
        if (!there[i])
            rest[n++] = objects[i];
    }
    place_get (copy->from, rest, n, data, sizes, codes, &why);
    tell_failures (copy, "reading", rest, codes, n, &why);
    size_t got = 0;
    for (size_t i = 0; i < n; i++) {
        if (codes[i])
            continue;
        rest[got] = rest[i];
        data[got] = data[i];
        sizes[got] = sizes[i];
        crcs[got] = crc32c (0, data[got], sizes[got]);
        keys[got] = copy->rename_to ? copy->rename_to : rest[got].key;
        got++;
    }
    if (!known)
        place_has (copy->to, keys, sizes, crcs, got, there);
    n = 0;
    for (size_t i = 0; i < got; i++) {
        if (!known && there[i]) {
            copy->there++;
            free (data[i]);
            continue;
        }
        rest[n] = rest[i];
        keys[n] = keys[i];
        data[n] = data[i];
        sizes[n] = sizes[i];
        wanted[n] = sizes[i];
        n++;
    }
    memset (codes, 0, sizeof (codes));
    if (n)
        place_put (copy->to, keys, (const void *const *)data, sizes, n, codes, &why);
    tell_failures (copy, "writing", rest, codes, n, &why);
    for (size_t i = 0; i < n; i++) {
        free (data[i]);
        copy->copied += codes[i] == 0;
        copy->copied_bytes += codes[i] == 0 ? wanted[i] : 0;
    }
}

static int copy_all (struct copy *copy, const struct place_object *objects, size_t count)
{
    for (size_t i = 0; i < count; i++)
        copy->total_bytes += objects[i].size;
    for (size_t i = 0; i < count && !interrupted;) {
        size_t n = 0;
        uint64_t bytes = 0;
        do
            bytes += objects[i + n++].size;
        while (i + n < count && n < BUNCH && bytes + objects[i + n].size <= BUNCH_BYTES);
        copy_bunch (copy, objects + i, n);
        i += n;
        copy->done_bytes += bytes;
        progress_show (&copy->progress, "copying", copy->done_bytes, copy->total_bytes, i == count);
    }
    return interrupted ? -1 : 0;
}

static int finish (const struct cli_args *args, const struct copy *copy, size_t count)
{
    char bytes[32];
    if (args->json)
        cli_print_json (json_pack ("{s:I s:I s:I s:I s:I s:b}", "objects", (json_int_t)count, "copied", (json_int_t)copy->copied,
                                   "copied_bytes", (json_int_t)copy->copied_bytes, "there_already", (json_int_t)copy->there, "failed",
                                   (json_int_t)copy->failed, "interrupted", (int)interrupted));
    else
        printf ("%" PRIu64 " copied (%s), %" PRIu64 " there already, %" PRIu64 " failed%s\n", copy->copied,
                cli_bytes ((double)copy->copied_bytes, bytes, sizeof (bytes)), copy->there, copy->failed,
                interrupted ? "; interrupted: the same command goes on" : "");
    return interrupted ? CLI_INTERRUPTED : copy->failed ? CLI_FAILED : CLI_OK;
}

int copy_run (const struct cli_args *args, const char *from, const char *to, bool recursive)
{
    struct strata_error error;
    struct place_object *objects = NULL;
    size_t count = 0;
    struct copy copy = { .progress = { .quiet = args->json } };
    char folder[4096];
    copy_catch_interrupts ();
    copy.from = place_open (from, false, args, &error);
    int rc = copy.from ? place_list (copy.from, copy_keep_going, &objects, &count, &error) : -1;
    if (rc == 0 && !recursive && !place_is_one_file (copy.from)) {
        /* Exactly that object: what is left of its key behind the whole of it is nothing. */
        place_close (&copy.from, NULL);
        place_list_free (objects, count);
        return cli_fail (args, CLI_USAGE, "%s may be many objects: strata cp -r", from);
    }
    const char *target = to;
    if (rc == 0 && place_is_one_file (copy.from) && !recursive) {
        /* A single file: to ns:KEY, or a folder; "FOLDER/" and "ns:" keep its name. */
        char *colon = strchr (to, ':');
        if (colon && colon[1] && colon[strlen (colon) - 1] != '/' && (size_t)(colon + 1 - to) < sizeof (folder)) {
            snprintf (folder, sizeof (folder), "%.*s", (int)(colon + 1 - to), to);
            target = folder;
            copy.rename_to = colon + 1;
        }
    }
    if (rc == 0)
        rc = (copy.to = place_open (target, true, args, &error)) ? 0 : -1;
    if (rc == 0)
        copy_all (&copy, objects, count);
    place_close (&copy.from, NULL);
    if (place_close (&copy.to, rc == 0 ? &error : NULL) < 0)
        rc = -1;
    place_list_free (objects, rc < 0 && !objects ? 0 : count);
    if (rc < 0)
        return cli_fail (args, interrupted ? CLI_INTERRUPTED : CLI_FAILED, "%s", error.text);
    return finish (args, &copy, count);
}

int cmd_cp (const struct cli_args *args)
{
    return copy_run (args, args->rest[0], args->rest[1], args->recursive);
}
