/* cmd_tar.c - strata tar: indexed archives (strata_tar.h) from a shell. Needs no campaign, but for import. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "copy.h"
#include "strata_tar.h"

struct listing {
    json_t *members; /* NULL: lines */
};

static int show_member (const char *name, const struct tar_member *member, void *arg)
{
    struct listing *listing = arg;
    char shown[TAR_NAME_MAX + 1];
    if (!listing->members) {
        printf ("%12" PRIu64 "  %14" PRIu64 "  %s\n", member->size, member->offset, cli_clean (name, shown, sizeof (shown)));
        return copy_keep_going () ? 0 : 1;
    }
    json_t *json = json_pack ("{s:I s:I}", "size", (json_int_t)member->size, "offset", (json_int_t)member->offset);
    json_t *text = json_stringn (name, strlen (name)); /* NULL: no UTF-8 */
    json_object_set_new (json, text ? "name" : "name_bytes_not_utf8", text ? text : json_string (cli_clean (name, shown, sizeof (shown))));
    json_array_append_new (listing->members, json);
    return copy_keep_going () ? 0 : 1;
}

static int tar_ls (const struct cli_args *args)
{
    struct strata_error error;
    struct listing listing = { .members = args->json ? json_array () : NULL };
    struct tar *tar = tar_open (args->rest[1], TAR_READ, NULL, &error);
    int rc = tar ? tar_each (tar, args->rest_count > 2 ? args->rest[2] : "", show_member, &listing, &error) : -1;
    tar_close (&tar, NULL);
    if (rc < 0) {
        json_decref (listing.members);
        return cli_fail (args, CLI_FAILED, "%s", error.text);
    }
    if (listing.members)
        cli_print_json (json_pack ("{s:o}", "members", listing.members));
    return rc ? CLI_INTERRUPTED : CLI_OK;
}

/* In pieces: a member may be larger than memory. */
static int write_member (struct tar *tar, const char *name, const struct tar_member *member, FILE *out, struct strata_error *error)
{
    enum { PIECE = 1 << 20 };
    char *piece = malloc (PIECE);
    int rc = piece ? 0 : strata_fail (error, "out of memory");
    for (uint64_t at = 0; rc == 0 && at < member->size;) {
        size_t n = member->size - at < PIECE ? (size_t)(member->size - at) : PIECE;
        rc = tar_read (tar, name, member, at, n, piece, error);
        if (rc == 0 && fwrite (piece, 1, n, out) != n)
            rc = strata_fail (error, "member %.200s can't be written: %s", name, strerror (errno));
        if (rc == 0 && !copy_keep_going ())
            rc = strata_fail (error, "interrupted");
        at += n;
    }
    free (piece);
    return rc;
}

static int tar_get_member (const struct cli_args *args)
{
    struct strata_error error;
    struct tar_member member;
    void *first;
    size_t size;
    const char *name = args->rest[2], *file = args->rest_count > 3 ? args->rest[3] : NULL;
    struct tar *tar = tar_open (args->rest[1], TAR_READ, NULL, &error);
    int rc = tar ? tar_find (tar, name, &member, &error) : -1;
    if (rc == 0 && member.size < 1 << 20 && (rc = tar_get (tar, name, &first, &size, &error)) == 0) {
        free (first); /* a wrong index is found out now */
        rc = tar_find (tar, name, &member, &error);
    }
    FILE *out = rc == 0 && file ? fopen (file, "wb") : stdout;
    if (rc == 0)
        rc = out ? write_member (tar, name, &member, out, &error) : strata_fail (&error, "%s: %s", file, strerror (errno));
    if (out && (out == stdout ? fflush (out) : fclose (out)) != 0 && rc == 0)
        rc = strata_fail (&error, "%s: %s", file ? file : "standard output", strerror (errno));
    tar_close (&tar, NULL);
    return rc == 0 ? CLI_OK : cli_fail (args, copy_keep_going () ? CLI_FAILED : CLI_INTERRUPTED, "%s", error.text);
}

struct watch {
    struct progress progress;
    const char *what;
};

static bool show (uint64_t done, uint64_t total, void *arg)
{
    struct watch *watch = arg;
    progress_show (&watch->progress, watch->what, done, total, false);
    return copy_keep_going ();
}

static void print_report (const char *path, const struct tar_report *report, bool verify)
{
    char bytes[32];
    printf ("%s: %" PRIu64 " members, %s", path, report->members, cli_bytes ((double)report->bytes, bytes, sizeof (bytes)));
    if (report->passed_over)
        printf ("; %" PRIu64 " of other kinds passed over", report->passed_over);
    if (report->damaged_bytes)
        printf ("; %" PRIu64 " damaged bytes", report->damaged_bytes);
    if (report->tail_bytes)
        printf (verify ? "; a torn tail of %" PRIu64 " bytes" : "; a torn tail of %" PRIu64 " bytes was cut off", report->tail_bytes);
    if (report->not_indexed || report->wrongly_indexed)
        printf ("; %" PRIu64 " not in the index, %" PRIu64 " wrong in it", report->not_indexed, report->wrongly_indexed);
    printf ("%s%s\n", report->first[0] ? "\n    " : "", report->first);
}

/* verify and reindex, of several archives. */
static int look_through (const struct cli_args *args, bool verify)
{
    int code = CLI_OK;
    json_t *all = args->json ? json_array () : NULL;
    for (int i = 1; i < args->rest_count && copy_keep_going (); i++) {
        struct strata_error error = { "" };
        struct tar_report report = { .members = 0 };
        struct watch watch = { .progress = { .quiet = args->json }, .what = args->rest[i] };
        int rc = (verify ? tar_verify : tar_reindex) (args->rest[i], &report, show, &watch, &error);
        if (rc < 0) {
            code = CLI_FAILED;
            if (all)
                json_array_append_new (all, json_pack ("{s:s s:s}", "archive", args->rest[i], "error", error.text));
            else
                cli_fail (args, CLI_FAILED, "%s", error.text);
            continue;
        }
        if (report.damaged_bytes || (verify && (report.tail_bytes || report.not_indexed || report.wrongly_indexed)))
            code = CLI_FAILED;
        if (all)
            json_array_append_new (all, json_pack ("{s:s s:I s:I s:I s:I s:I s:I s:I s:s}", "archive", args->rest[i], "members",
                                                   (json_int_t)report.members, "bytes", (json_int_t)report.bytes, "passed_over",
                                                   (json_int_t)report.passed_over, "damaged_bytes", (json_int_t)report.damaged_bytes,
                                                   "tail_bytes", (json_int_t)report.tail_bytes, "not_indexed",
                                                   (json_int_t)report.not_indexed, "wrongly_indexed",
                                                   (json_int_t)report.wrongly_indexed, "first", report.first));
        else
            print_report (args->rest[i], &report, verify);
    }
    if (all)
        cli_print_json (json_pack ("{s:o}", "archives", all));
    return copy_keep_going () ? code : CLI_INTERRUPTED;
}

int cmd_tar (const struct cli_args *args)
{
    static const struct {
        const char *name, *usage;
        int least, most;
    } verbs[] = {
        { "ls", "ARCHIVE [PREFIX]", 2, 3 },       { "get", "ARCHIVE MEMBER [FILE]", 3, 4 },
        { "verify", "ARCHIVE ...", 2, 100000 },   { "reindex", "ARCHIVE ...", 2, 100000 },
        { "import", "ARCHIVE NAMESPACE", 3, 3 },
    };
    char to[300];
    size_t i = 0, count = sizeof (verbs) / sizeof (verbs[0]);
    while (i < count && strcmp (verbs[i].name, args->rest[0]) != 0)
        i++;
    if (i == count)
        return cli_fail (args, CLI_USAGE, "there is no `strata tar %s`: ls, get, verify, reindex, import", args->rest[0]);
    if (args->rest_count < verbs[i].least || args->rest_count > verbs[i].most)
        return cli_fail (args, CLI_USAGE, "usage: strata tar %s %s", verbs[i].name, verbs[i].usage);
    copy_catch_interrupts ();
    switch (i) {
    case 0:
        return tar_ls (args);
    case 1:
        return tar_get_member (args);
    case 2:
    case 3:
        return look_through (args, i == 2);
    default:
        snprintf (to, sizeof (to), "%.250s%s", args->rest[2], strchr (args->rest[2], ':') ? "" : ":");
        return copy_run (args, args->rest[1], to, true);
    }
}
