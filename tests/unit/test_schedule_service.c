/* test_schedule_service.c - strata-schedule as a process, with the real select, real jobs, and kills.
 *
 * The stage is the shell alone over a shard that was filled with candidates; select and schedule are the built
 * programs.
 */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "mesh/client.h"
#include "patch.pb-c.h"
#include "schedule.pb-c.h"
#include "store/stream.h"

#define S(state) STRATA__JOB_STATE__JOB_##state
#define LIMIT_MS 60000
#define CANDIDATES 12

static char workspace[64], campaign_file[96], bin_dir[PATH_MAX];
static pid_t stage_pid, select_pid, schedule_pid;

#define SAY "echo $STRATA_JOB.$STRATA_ATTEMPT >> {workspace}/ran; "

static const char campaign_text[] =
    "strata: 1\ncampaign: schedule-test\nworkspace: w\nseed: 1\n"
    "patch: {snapshots: snapshots, candidates: patches, encoder: {kind: pca, model: m.npz, dimensions: 2}}\n"
    "select: {from: patches, queues: [{name: all, configuration: other, quota: 1.0}]}\n"
    "feedback: {from: rdfs, uptake: uptakes, states: [S], rows: [R]}\n"
    "jobs:\n"
    "  - {name: macro, start: always, cores: 0, grace: 2,\n"
    "     command: [sh, -c, \"" SAY "echo $$ > pid; sleep 1000\"]}\n"
    "  - {name: createsim, start: selection, success: [sim.json], buffer: 2, tries: 5,\n"
    "     command: [sh, -c, \"" SAY "echo {candidate} > sim.json\"]}\n"
    "  - {name: cg, start: after, after: createsim, success: [done.json], tries: 5,\n"
    "     command: [sh, -c, \"" SAY "sleep 0.3; cp {input}/sim.json done.json\"]}\n";

static void pause_ms (long ms)
{
    struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };
    nanosleep (&ts, NULL);
}

static void write_file (const char *path, const char *text)
{
    FILE *file = fopen (path, "w");
    assert_non_null (file);
    fputs (text, file);
    fclose (file);
}

/* What stage would hold after patch had cut a few snapshots. */
static void fill_stage (unsigned count)
{
    char dir[128];
    struct strata_error error = { "" };
    snprintf (dir, sizeof (dir), "%s/shards", workspace);
    mkdir (dir, 0755);
    snprintf (dir, sizeof (dir), "%s/shards/stage-0", workspace);
    struct shard *shard = shard_open (dir, &error);
    if (!shard)
        fail_msg ("%s", error.text);
    for (unsigned i = 0; i < count; i++) {
        Strata__Candidate candidate = STRATA__CANDIDATE__INIT;
        char id[32];
        float point[2] = { (float)i, (float)(i * i % 7) };
        uint8_t data[256];
        uint64_t sequence;
        snprintf (id, sizeof (id), "macro.%u", i);
        candidate.id = id;
        candidate.configuration = (char *)"ras";
        candidate.point = point;
        candidate.n_point = 2;
        size_t n = strata__candidate__pack (&candidate, data);
        assert_int_equal (stream_append (shard, "patches", NULL, 0, data, n, 1, &sequence, &error), 1);
    }
    assert_int_equal (shard_commit (shard, &error), 0);
    shard_close (&shard);
}

static pid_t start_program (const char *name)
{
    char path[PATH_MAX + 64], log[128];
    snprintf (path, sizeof (path), "%s/%s", bin_dir, name);
    snprintf (log, sizeof (log), "%s/%s.log", workspace, name);
    pid_t pid = fork ();
    assert_true (pid >= 0);
    if (pid == 0) {
        if (!freopen (log, "a", stderr))
            _exit (3);
        execl (path, path, "--campaign", campaign_file, "--workspace", workspace, (char *)NULL);
        _exit (127);
    }
    return pid;
}

static int nothing_to_start (struct service *service, struct strata_error *error)
{
    return 0;
}

static pid_t start_stage (void)
{
    static const struct service_spec spec = { .name = "stage", .about = "the shell alone", .has_shard = true,
                                              .start = nothing_to_start };
    pid_t pid = fork ();
    assert_true (pid >= 0);
    if (pid == 0) {
        char *argv[] = { (char *)"stage", (char *)"--campaign", campaign_file, (char *)"--workspace", workspace, NULL };
        if (!freopen ("/dev/null", "w", stderr))
            _exit (3);
        _exit (service_main (&spec, 5, argv));
    }
    return pid;
}

static int end (pid_t *pid, int sig)
{
    int status = 0;
    if (*pid <= 0)
        return 0;
    kill (*pid, sig);
    assert_int_equal (waitpid (*pid, &status, 0), *pid);
    *pid = 0;
    return status;
}

static int set_up (void **state)
{
    char model[96];
    strcpy (workspace, "/tmp/strata-schedule-XXXXXX");
    assert_non_null (mkdtemp (workspace));
    snprintf (campaign_file, sizeof (campaign_file), "%s/c.yaml", workspace);
    snprintf (model, sizeof (model), "%s/m.npz", workspace);
    write_file (campaign_file, campaign_text);
    write_file (model, "model");
    return 0;
}

static int tear_down (void **state)
{
    char command[128];
    end (&schedule_pid, SIGTERM);
    end (&select_pid, SIGKILL);
    end (&stage_pid, SIGKILL);
    snprintf (command, sizeof (command), "rm -rf '%s'", workspace);
    return system (command) == 0 ? 0 : -1;
}

/* ---- asking ---- */

static struct strata_client *client (void)
{
    struct strata_error error = { "" };
    struct strata_client *self = strata_open (workspace, "test", 20000, &error);
    if (!self)
        fail_msg ("%s", error.text);
    return self;
}

/* All jobs of a type in a state; the caller frees. */
static Strata__JobsReply *jobs (struct strata_client *self, const char *type, const char *state, const char *id)
{
    struct strata_error error = { "" };
    ProtobufCMessage *reply = NULL;
    Strata__Jobs query = STRATA__JOBS__INIT;
    query.type = (char *)type;
    query.state = (char *)state;
    query.id = (char *)id;
    if (client_request (self, "schedule", STRATA__MESSAGE_TYPE__TYPE_JOBS, &query.base, NULL, 0,
                        &strata__jobs_reply__descriptor, &reply, NULL, NULL, &error)
        != 0)
        fail_msg ("%s", error.text);
    return (Strata__JobsReply *)reply;
}

static size_t count (struct strata_client *self, const char *type, const char *state, const char *id)
{
    Strata__JobsReply *reply = jobs (self, type, state, id);
    size_t n = reply->total;
    strata__jobs_reply__free_unpacked (reply, NULL);
    return n;
}

static bool wait_count (struct strata_client *self, const char *type, const char *state, size_t wanted)
{
    for (int i = 0; i < LIMIT_MS / 50; i++) {
        if (count (self, type, state, "") >= wanted)
            return true;
        pause_ms (50);
    }
    return false;
}

static int cancel (struct strata_client *self, const char *id, struct strata_error *error)
{
    ProtobufCMessage *reply = NULL;
    Strata__Cancel body = STRATA__CANCEL__INIT;
    body.id = (char *)id;
    int rc = client_request (self, "schedule", STRATA__MESSAGE_TYPE__TYPE_CANCEL, &body.base, NULL, 0,
                             &strata__cancel_reply__descriptor, &reply, NULL, NULL, error);
    int saved = errno;
    if (reply)
        protobuf_c_message_free_unpacked (reply, NULL);
    errno = saved;
    return rc;
}

static pid_t wait_pid_file (const char *job)
{
    char path[256];
    int pid;
    snprintf (path, sizeof (path), "%s/jobs/%s/pid", workspace, job);
    for (int i = 0; i < LIMIT_MS / 20; i++) {
        FILE *file = fopen (path, "r");
        int n = file ? fscanf (file, "%d", &pid) : 0;
        if (file)
            fclose (file);
        if (n == 1)
            return (pid_t)pid;
        pause_ms (20);
    }
    fail_msg ("%s did not come", path);
    return 0;
}

static bool is_gone (pid_t pid)
{
    return kill (pid, 0) != 0 && errno == ESRCH;
}

/* ---- tests ---- */

static void a_running_job_is_cancelled_over_the_wire_and_really_ends (void **state)
{
    struct strata_error error = { "" };
    schedule_pid = start_program ("strata-schedule");
    struct strata_client *self = client ();
    assert_true (wait_count (self, "macro", "running", 1));
    pid_t pid = wait_pid_file ("macro-000001");
    assert_int_equal (cancel (self, "no-such-job", &error), -1);
    assert_int_equal (errno, ENOENT);
    assert_non_null (strstr (error.text, "no-such-job"));
    assert_int_equal (cancel (self, "macro-000001", &error), 0);
    assert_true (wait_count (self, "macro", "cancelled", 1));
    assert_true (is_gone (pid));
    assert_int_equal (cancel (self, "macro-000001", &error), -1);
    assert_non_null (strstr (error.text, "ended already"));
    strata_close (&self);
    assert_int_equal (end (&schedule_pid, SIGTERM), 0);
}

static void sigterm_stops_the_jobs_and_the_next_start_goes_on_with_them (void **state)
{
    schedule_pid = start_program ("strata-schedule");
    struct strata_client *self = client ();
    assert_true (wait_count (self, "macro", "running", 1));
    pid_t pid = wait_pid_file ("macro-000001");
    assert_int_equal (end (&schedule_pid, SIGTERM), 0);
    assert_true (is_gone (pid));
    schedule_pid = start_program ("strata-schedule");
    assert_true (wait_count (self, "macro", "running", 1));
    Strata__JobsReply *reply = jobs (self, "macro", "", "");
    assert_int_equal (reply->total, 1);
    assert_int_equal (reply->jobs[0]->attempt, 2);
    assert_int_equal (reply->jobs[0]->tries, 0);
    strata__jobs_reply__free_unpacked (reply, NULL);
    strata_close (&self);
}

static void running_jobs_outlive_a_kill_of_the_scheduler_and_are_found_again (void **state)
{
    schedule_pid = start_program ("strata-schedule");
    struct strata_client *self = client ();
    assert_true (wait_count (self, "macro", "running", 1));
    pid_t pid = wait_pid_file ("macro-000001");
    end (&schedule_pid, SIGKILL);
    assert_false (is_gone (pid));
    schedule_pid = start_program ("strata-schedule");
    assert_true (wait_count (self, "macro", "running", 1));
    assert_false (is_gone (pid));
    Strata__JobsReply *reply = jobs (self, "macro", "", "");
    assert_int_equal (reply->total, 1);
    assert_int_equal (reply->jobs[0]->attempt, 1);
    strata__jobs_reply__free_unpacked (reply, NULL);
    strata_close (&self);
}

static void schedule_and_select_killed_again_and_again_leave_each_candidate_one_chain (void **state)
{
    char command[256];
    srand (2026);
    fill_stage (CANDIDATES);
    stage_pid = start_stage ();
    select_pid = start_program ("strata-select");
    schedule_pid = start_program ("strata-schedule");
    for (int i = 0; i < 10; i++) {
        pause_ms (300 + rand () % 900);
        end (&schedule_pid, SIGKILL);
        if (i % 3 == 1) {
            end (&select_pid, SIGKILL);
            select_pid = start_program ("strata-select");
        }
        schedule_pid = start_program ("strata-schedule");
    }
    struct strata_client *self = client ();
    assert_true (wait_count (self, "cg", "succeeded", CANDIDATES));
    assert_int_equal (count (self, "createsim", "", ""), CANDIDATES);
    assert_int_equal (count (self, "cg", "", ""), CANDIDATES);
    for (unsigned i = 0; i < CANDIDATES; i++) {
        char id[32];
        snprintf (id, sizeof (id), "macro.%u", i);
        assert_int_equal (count (self, "createsim", "succeeded", id), 1);
        assert_int_equal (count (self, "cg", "succeeded", id), 1);
    }
    /* Every attempt wrote one line when it ran. */
    snprintf (command, sizeof (command), "test -z \"$(sort '%s/ran' | uniq -d)\"", workspace);
    assert_int_equal (system (command), 0);
    snprintf (command, sizeof (command), "test \"$(grep -c '^macro-' '%s/ran')\" = 1", workspace);
    assert_int_equal (system (command), 0);
    strata_close (&self);
}

int main (int argc, char **argv)
{
    ssize_t n = readlink ("/proc/self/exe", bin_dir, sizeof (bin_dir) - 16);
    bin_dir[n > 0 ? n : 0] = '\0';
    for (int i = 0; i < 2; i++)
        if (strrchr (bin_dir, '/'))
            *strrchr (bin_dir, '/') = '\0';
    strcat (bin_dir, "/bin");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (a_running_job_is_cancelled_over_the_wire_and_really_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown (sigterm_stops_the_jobs_and_the_next_start_goes_on_with_them, set_up,
                                         tear_down),
        cmocka_unit_test_setup_teardown (running_jobs_outlive_a_kill_of_the_scheduler_and_are_found_again, set_up,
                                         tear_down),
        cmocka_unit_test_setup_teardown (schedule_and_select_killed_again_and_again_leave_each_candidate_one_chain,
                                         set_up, tear_down),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
