/* cmd_repair.c - strata repair: finds what is damaged in each store, and puts back what can be had from somewhere.
 *
 * Nothing is changed in place. The new store is made beside the old one and takes its place in one step
 * (renameat2, RENAME_EXCHANGE), since a service that stands by looks at the place twice a second; the old one is kept as
 * damaged/<shard>-<time> of the workspace. In this order, and the first that gives a whole store is taken:
 *   1. the store's own files: CURRENT, MANIFEST, ANCHOR stand in another place too        nothing is lost
 *   2. made anew from what the others hold, by the service itself (strata-<service> --rebuild)   nothing is lost, or it
 *      says what only the damaged store knew and can't be read there
 *   3. the store as it was at the last change before the damage, when only logs are damaged      --accept-loss
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "core/files.h"
#include "mesh/rebuild.h"
#include "store/generation.h"
#include "store/lease.h"
#include "store/salvage.h"
#include "store/shard.h"
#include "store/stream.h"
#include "supervisor.h"
#include "verify.h"

enum outcome { WHOLE, HELD, REPAIRED, LEFT };

struct repair {
    const struct cli_args *args;
    const struct workspace *workspace;
    const char *name;               /* "select-0" */
    char dir[4300], made[4400];     /* the shard; what is being made */
    char files[LEASE_PATH_MAX], made_files[LEASE_PATH_MAX]; /* the folders in them with the store's files */
    char said[2000];                /* of the service that made it anew */
    json_t *json;
};

static void __attribute__ ((format (printf, 3, 4))) say (struct repair *self, const char *key, const char *fmt, ...)
{
    char text[2500];
    va_list ap;
    va_start (ap, fmt);
    vsnprintf (text, sizeof (text), fmt, ap);
    va_end (ap);
    if (self->args->json) {
        json_t *list = json_object_get (self->json, key);
        if (!list)
            json_object_set_new (self->json, key, list = json_array ());
        json_array_append_new (list, json_string (text));
    } else
        printf ("%-12s %s: %s\n", self->name, key, text);
}

static void remove_made (struct repair *self)
{
    pid_t pid = fork ();
    if (pid == 0) {
        execlp ("rm", "rm", "-rf", "--", self->made, (char *)NULL);
        _exit (127);
    }
    while (pid > 0 && waitpid (pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* True when the store in dir is whole, to its last block; else says what is not, under `key` (NULL: nothing). */
static bool is_whole (struct repair *self, const char *dir, const char *key, struct damage_report *report)
{
    struct strata_error error;
    uint64_t keys = 0;
    if (shard_check (dir, report, &error) < 0) {
        if (key)
            say (self, key, "%s", error.text);
        return false;
    }
    for (size_t i = 0; key && i < report->count && i < DAMAGE_FINDINGS_MAX; i++)
        say (self, key, "%s: %s", report->findings[i].file, report->findings[i].what);
    if (report->count || report->fresh)
        return !report->count;
    bool whole = verify_store (dir, &keys, &error) == 0;
    if (!whole && key)
        say (self, key, "%s", error.text);
    return whole;
}

static int put_in_place (struct repair *self, struct strata_error *error)
{
    char kept[4500], stamp[32];
    time_t now = time (NULL);
    struct tm tm;
    strftime (stamp, sizeof (stamp), "%Y%m%dT%H%M%SZ", gmtime_r (&now, &tm));
    snprintf (kept, sizeof (kept), "%s/damaged/%s-%s", self->workspace->path, self->name, stamp);
    if (renameat2 (AT_FDCWD, self->made, AT_FDCWD, self->dir, RENAME_EXCHANGE) < 0 || rename (self->made, kept) < 0)
        return strata_fail (error, "%s can't take the place of %s: %s", self->made, self->dir, strerror (errno));
    int folder = open (self->workspace->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0) {
        syncfs (folder);
        close (folder);
    }
    say (self, "kept", "the damaged store is in %s", kept);
    return 0;
}

/* ---- 2: made anew by its service ---- */

enum made { NOT_MADE, MADE, MADE_PARTLY };

static enum made made_anew (struct repair *self, const struct campaign *campaign)
{
    char bin[4096], program[4300];
    int ends[2];
    struct strata_error error;
    if (supervisor_bin_dir (bin, sizeof (bin), &error) < 0 || pipe2 (ends, O_CLOEXEC) < 0)
        return NOT_MADE;
    snprintf (program, sizeof (program), "%s/strata-%.*s", bin, (int)strcspn (self->name, "-"), self->name);
    fflush (NULL);
    pid_t pid = fork ();
    if (pid == 0) {
        dup2 (ends[1], 1);
        dup2 (ends[1], 2);
        execl (program, program, "--campaign", campaign->path, "--workspace", self->workspace->path, "--rebuild", self->made,
               (char *)NULL);
        _exit (127);
    }
    close (ends[1]);
    size_t used = 0;
    for (ssize_t n; used < sizeof (self->said) - 1
                    && (n = read (ends[0], self->said + used, sizeof (self->said) - 1 - used)) > 0;)
        used += (size_t)n;
    close (ends[0]);
    int status = 0;
    while (pid > 0 && waitpid (pid, &status, 0) < 0 && errno == EINTR)
        ;
    while (used && self->said[used - 1] == '\n')
        used--;
    self->said[used] = '\0';
    int code = pid > 0 && WIFEXITED (status) ? WEXITSTATUS (status) : 1;
    return code == 0 ? MADE : code == REBUILD_PARTLY ? MADE_PARTLY : NOT_MADE;
}

/* ---- 3: as it was before the damage ---- */

static void words_of_loss (const struct damage_report *report, const struct salvage_loss *loss, char *text, size_t size)
{
    size_t used = (size_t)snprintf (text, size, "changes %" PRIu64 " to %" PRIu64 " (%s: %s)", report->recoverable + 1,
                                    report->acknowledged, report->findings[0].file, report->findings[0].what);
    if (used < size)
        used += (size_t)snprintf (text + used, size - used, "; of them can still be read, but not used: %" PRIu64 " in %" PRIu64
                                  " commits", loss->changes, loss->batches);
    for (size_t i = 0; i < loss->kinds_count && used < size; i++)
        used += (size_t)snprintf (text + used, size - used, ", %" PRIu64 " of %s", loss->kinds[i].count, loss->kinds[i].keys);
}

/* ---- who has read from it ---- */

typedef void reader_f (struct shard *shard, const char *reader, const char *stream, uint64_t cursor, const struct stream_seen *seen,
                       void *arg);

static void streams_read (struct repair *self, struct shard *shard, struct shard *reader, const char *name, reader_f *each, void *arg)
{
    char prefix[300];
    struct shard_iter it;
    snprintf (prefix, sizeof (prefix), "cursor/%s/", self->name);
    for (bool more = shard_iter_begin (reader, &it, prefix, strlen (prefix), NULL, 0); more; more = shard_iter_next (&it)) {
        char stream[STREAM_NAME_MAX + 1];
        struct stream_seen seen;
        size_t n = it.key_size - strlen (prefix);
        if (n > STREAM_NAME_MAX || it.value_size != 8)
            continue;
        memcpy (stream, it.key + strlen (prefix), n);
        stream[n] = '\0';
        stream_seen_get (reader, self->name, stream, &seen);
        each (shard, name, stream, shard_u64 (it.value), &seen, arg);
    }
    shard_iter_end (&it);
}

/* Calls each for every stream of this store that another store has a cursor in. all: a store that can't be read is an error. */
static int each_reader (struct repair *self, struct shard *shard, bool all, reader_f *each, void *arg, struct strata_error *error)
{
    char pattern[4300];
    glob_t found;
    int rc = 0;
    snprintf (pattern, sizeof (pattern), "%s/shards/*-[0-9]*", self->workspace->path);
    if (glob (pattern, 0, NULL, &found) != 0)
        return 0;
    for (size_t i = 0; i < found.gl_pathc && rc == 0; i++) {
        const char *name = strrchr (found.gl_pathv[i], '/') + 1;
        struct shard *reader;
        if (strcmp (name, self->name) == 0)
            continue;
        if ((reader = shard_open_readonly (found.gl_pathv[i], error)))
            streams_read (self, shard, reader, name, each, arg);
        else
            rc = all ? strata_fail_prefix (error, "repair %s first", name) : 0;
        shard_close (&reader);
    }
    globfree (&found);
    return rc;
}

/* What was read may be more than is left: the next records get numbers that were never used, so that nothing is skipped and
 * nothing counted twice; and the readers are told that this store is in the place of the one they know. */
static void let_read_on (struct shard *shard, const char *reader, const char *stream, uint64_t cursor, const struct stream_seen *seen,
                         void *arg)
{
    stream_skip_to (shard, stream, cursor);
    if (seen->store)
        shard_put_replaces (shard, seen->store);
}

/* The store has lost something: from here on it is another one. */
static int begin_anew (struct repair *self, struct shard *shard, const char *loss, struct strata_error *error)
{
    char key[64];
    uint64_t now = (uint64_t)time (NULL), epoch = shard_epoch (shard);
    int rc = shard_renew_id (shard, error);
    shard_raise_epoch (shard, epoch >= now ? epoch + 1 : now);
    snprintf (key, sizeof (key), SHARD_LOSS "%llu", (unsigned long long)now);
    shard_put (shard, key, strlen (key), loss, strlen (loss));
    return rc == 0 ? each_reader (self, shard, true, let_read_on, NULL, error) : rc;
}

/* Numbers of jobs whose records are lost stand on folders that hold what they left: none is given again. */
static void skip_job_folders (struct repair *self, struct shard *shard)
{
    char pattern[4300], key[128];
    glob_t found;
    snprintf (pattern, sizeof (pattern), "%s/jobs/*-[0-9]*", self->workspace->path);
    if (strncmp (self->name, "schedule-", 9) != 0 || glob (pattern, 0, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        const char *name = strrchr (found.gl_pathv[i], '/') + 1, *dash = strrchr (name, '-');
        uint64_t number = strtoull (dash + 1, NULL, 10);
        snprintf (key, sizeof (key), "next/%.*s", (int)(dash - name), name); /* services/schedule/schedule_core.h */
        if (shard_get_u64 (shard, key, 0) < number)
            shard_put_u64 (shard, key, number);
    }
    globfree (&found);
}

static int cut (struct repair *self, const struct damage_report *report, const char *loss, struct strata_error *error)
{
    uint64_t id = salvage_id (self->made);
    if (salvage_cut (self->made_files, report->recoverable, error) < 0 || anchor_put (self->made_files, id, error) < 0)
        return -1;
    struct shard *shard = shard_open (self->made, error);
    if (!shard)
        return -1;
    shard_put_replaces (shard, id);
    int rc = begin_anew (self, shard, loss, error);
    skip_job_folders (self, shard);
    if (rc == 0)
        rc = shard_commit (shard, error);
    shard_close (&shard);
    return rc;
}

static bool only_logs (const struct damage_report *report)
{
    for (size_t i = 0; i < report->count && i < DAMAGE_FINDINGS_MAX; i++)
        if (report->findings[i].kind != DAMAGE_LOG)
            return false;
    return report->count > 0 && report->count <= DAMAGE_FINDINGS_MAX;
}

static enum outcome give_up_the_end (struct repair *self, const struct damage_report *report)
{
    struct strata_error error;
    struct damage_report after;
    struct salvage_loss loss;
    char words[1800];
    if (salvage_lost (self->made_files, report->recoverable, &loss, &error) < 0) {
        say (self, "failed", "%s", error.text);
        return LEFT;
    }
    words_of_loss (report, &loss, words, sizeof (words));
    if (!self->args->accept_loss) {
        say (self, "would lose", "%s; the rest can be put back with --accept-loss", words);
        return LEFT;
    }
    if (cut (self, report, words, &error) < 0 || !is_whole (self, self->made, "failed", &after)
        || put_in_place (self, &error) < 0) {
        say (self, "failed", "%s", error.text);
        return LEFT;
    }
    say (self, "lost", "%s", words);
    return REPAIRED;
}

/* ---- whole, but not the store that others know: it was lost and made anew, or put back from an old copy ---- */

struct strangers {
    char text[1200];
};

static void find_stranger (struct shard *shard, const char *reader, const char *stream, uint64_t cursor, const struct stream_seen *seen,
                           void *arg)
{
    struct strangers *s = arg;
    struct stream_stat stat;
    size_t used = strlen (s->text);
    stream_stat (shard, stream, &stat);
    if (stat.next >= cursor && !stream_is_other (shard, stream, seen))
        return;
    snprintf (s->text + used, sizeof (s->text) - used, "%s%s has read %" PRIu64 " records of another stream %s, this one has %" PRIu64,
              used ? "; " : "", reader, cursor - 1, stream, stat.next - 1);
}

static enum outcome known_to_all (struct repair *self)
{
    struct strata_error error = { "" };
    struct strangers strangers = { "" };
    struct shard *shard = shard_open_readonly (self->dir, &error);
    int rc = shard ? each_reader (self, shard, false, find_stranger, &strangers, &error) : -1;
    shard_close (&shard);
    if (rc == 0 && !strangers.text[0])
        return WHOLE;
    say (self, rc < 0 ? "failed" : "not known", "%s", rc < 0 ? error.text : strangers.text);
    if (rc < 0)
        return LEFT;
    if (!self->args->accept_loss) {
        say (self, "would lose", "what stood in the store before it; its readers go on with this one with --accept-loss");
        return LEFT;
    }
    if (!(shard = shard_open (self->dir, &error)) || begin_anew (self, shard, strangers.text, &error) < 0
        || shard_commit (shard, &error) < 0) {
        say (self, "failed", "%s", error.text);
        shard_close (&shard);
        return LEFT;
    }
    shard_close (&shard);
    say (self, "lost", "what stood in the store before it; its readers go on with this one");
    return REPAIRED;
}

/* ---- one store ---- */

static enum outcome mend (struct repair *self, const struct campaign *campaign)
{
    struct strata_error error = { "" };
    struct damage_report report, after;
    char done[300];
    snprintf (self->made, sizeof (self->made), "%s/damaged", self->workspace->path);
    if (files_make_dirs (self->made, &error) < 0) {
        say (self, "failed", "%s", error.text);
        return LEFT;
    }
    snprintf (self->made, sizeof (self->made), "%s/damaged/%s.new", self->workspace->path, self->name);
    generation_path (self->made, generation_newest (self->dir) + 1, self->made_files);
    remove_made (self);
    if (is_whole (self, self->dir, "damaged", &report)) {
        /* A service found what its files don't show: what stands in them is wrong. */
        damage_refuse_marked (self->files, &error);
        say (self, "damaged", "%s", error.text);
    } else if (salvage_copy (self->files, self->made_files, &error) == 0
               && salvage_metadata (self->made_files, &report, done, sizeof (done), &error) == 0 && done[0]
               && is_whole (self, self->made, NULL, &after)) {
        if (put_in_place (self, &error) < 0) {
            say (self, "failed", "%s", error.text);
            return LEFT;
        }
        say (self, "put back", "%s; nothing is lost", done);
        return REPAIRED;
    }
    remove_made (self);
    enum made made = made_anew (self, campaign);
    if (made != NOT_MADE && is_whole (self, self->made, NULL, &after) && put_in_place (self, &error) == 0) {
        say (self, "made anew", "%s%s", self->said, made == MADE ? "; nothing is lost" : "");
        return REPAIRED;
    }
    say (self, "not made anew", "%s", self->said);
    remove_made (self);
    if (salvage_copy (self->files, self->made_files, &error) == 0 && salvage_metadata (self->made_files, &report, done, sizeof (done), &error) == 0
        && shard_check (self->made, &after, &error) == 0 && only_logs (&after)) {
        if (done[0])
            say (self, "put back", "%s", done);
        return give_up_the_end (self, &after);
    }
    say (self, "can't", "a table, or what says which tables there are, is damaged: which changes are lost can't be told, and the "
         "rest is no state that the service was ever in. Put a copy of %s back, or start a new campaign", self->dir);
    return LEFT;
}

static enum outcome repair_one (struct repair *self, const struct campaign *campaign)
{
    struct damage_report report;
    struct strata_error error;
    lease_newest (self->dir, self->files);
    bool marked = damage_refuse_marked (self->files, &error) < 0;
    if (!marked && lease_held (self->dir)) {
        say (self, "held", "a service works with it: not looked at (strata audit --deep does)");
        return HELD;
    }
    if (!marked && is_whole (self, self->dir, NULL, &report)) {
        enum outcome outcome = known_to_all (self);
        if (outcome == WHOLE)
            say (self, "whole", "nothing is damaged");
        return outcome;
    }
    enum outcome outcome = mend (self, campaign);
    remove_made (self);
    return outcome;
}

int cmd_repair (const struct cli_args *args)
{
    struct strata_error error;
    struct workspace workspace;
    char pattern[4300];
    glob_t found;
    if (workspace_find (args->workspace, &workspace, &error) < 0)
        return cli_fail (args, CLI_FAILED, "%s", error.text);
    struct campaign *campaign = workspace_campaign (&workspace, &error);
    if (!campaign)
        return cli_fail (args, CLI_FAILED, "%s", error.text);
    snprintf (pattern, sizeof (pattern), "%s/shards/%s", workspace.path, args->rest_count ? args->rest[0] : "*-[0-9]*");
    if (glob (pattern, 0, NULL, &found) != 0) {
        campaign_free (&campaign);
        return cli_fail (args, CLI_FAILED, "there is no store %s", pattern);
    }
    json_t *all = json_array ();
    int code = CLI_OK;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        const char *name = strrchr (found.gl_pathv[i], '/') + 1;
        struct repair repair = { .args = args, .workspace = &workspace, .name = name, .json = json_object () };
        snprintf (repair.dir, sizeof (repair.dir), "%s", found.gl_pathv[i]);
        json_object_set_new (repair.json, "shard", json_string (name));
        if (repair_one (&repair, campaign) == LEFT)
            code = CLI_FAILED;
        json_array_append_new (all, repair.json);
    }
    globfree (&found);
    campaign_free (&campaign);
    if (args->json)
        cli_print_json (all);
    else
        json_decref (all);
    return code;
}
