/* workspace.h - a workspace with a small campaign, and real processes that work on it, for the tests of services.
 *
 * The workspace stands on disk: what a service syncs is part of the matter. What the processes log goes to /dev/null,
 * or, with STRATA_TEST_LOG set, to the test's own output. A process ends with the test that started it.
 */
#ifndef STRATA_TESTS_WORKSPACE_H
#define STRATA_TESTS_WORKSPACE_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "mesh/cards.h"
#include "mesh/client.h"
#include "mesh/service.h"
#include "mesh/wire.h"
#include "status.pb-c.h"
#include "stream.pb-c.h"
#include "strata.h"

/* A campaign file's head, sound but for the sections that a test writes itself (feedback, stage, ...). */
#define CAMPAIGN_HEAD(name)                                                                                              \
    "strata: 1\ncampaign: " name "\nworkspace: w\nseed: 1\n"                                                             \
    "patch: {snapshots: snapshots, candidates: patches, encoder: {kind: pca, model: m.npz, dimensions: 2}}\n"            \
    "select: {from: patches, queues: [{name: all, configuration: other, quota: 1.0}]}\n"
#define CAMPAIGN_JOBS "jobs: [{name: a, start: always, command: [\"true\"]}]\n"
#define CAMPAIGN_FEEDBACK "feedback: {from: rdfs, uptake: uptakes, states: [S], rows: [R]}\n"

static char workspace[64], campaign_file[96];

static inline void nap_ms (long ms)
{
    nanosleep (&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

/* A file in the workspace, made or written anew. */
static inline void workspace_write (const char *name, const char *text)
{
    char path[192];
    snprintf (path, sizeof (path), "%s/%s", workspace, name);
    FILE *f = fopen (path, "w");
    assert_non_null (f);
    assert_true (fputs (text, f) >= 0);
    assert_int_equal (fclose (f), 0);
}

/* The campaign's file and the encoder's model in `workspace`, a folder that is there. */
static inline void workspace_fill (const char *campaign_text)
{
    snprintf (campaign_file, sizeof (campaign_file), "%s/c.yaml", workspace);
    workspace_write ("c.yaml", campaign_text);
    workspace_write ("m.npz", "model");
}

static inline void workspace_make (const char *campaign_text)
{
    strcpy (workspace, "/tmp/strata-test-XXXXXX");
    assert_non_null (mkdtemp (workspace));
    workspace_fill (campaign_text);
}

static inline int workspace_remove (void **state)
{
    char command[128];
    snprintf (command, sizeof (command), "rm -rf '%s'", workspace);
    return system (command) == 0 ? 0 : -1;
}

/* Where the programs stand that were built with this test: BUILD/bin beside BUILD/tests. */
static inline const char *bin_dir (void)
{
    static char dir[4096];
    if (!*dir) {
        ssize_t n = readlink ("/proc/self/exe", dir, sizeof (dir) - 16);
        assert_true (n > 0);
        dir[n] = '\0';
        for (int up = 0; up < 2; up++)
            *strrchr (dir, '/') = '\0';
        strcat (dir, "/bin");
    }
    return dir;
}

/* In a new process: what it logs goes to `log` (NULL: see above), and it dies with the test. */
static inline void process_prepare (const char *log)
{
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    if ((log || !getenv ("STRATA_TEST_LOG")) && !freopen (log ? log : "/dev/null", "a", stderr))
        _exit (3);
}

/* strata-SERVICE as replica `number`. log: the file that it logs to, NULL: see above. */
static inline pid_t program_start (const char *service, unsigned number, const char *log)
{
    char program[4200], text[16];
    snprintf (program, sizeof (program), "%s/strata-%s", bin_dir (), service);
    snprintf (text, sizeof (text), "%u", number);
    if (access (program, X_OK) < 0)
        fail_msg ("%s is not built: run make all", program);
    pid_t pid = fork ();
    assert_true (pid >= 0);
    if (pid == 0) {
        process_prepare (log);
        execl (program, program, "--campaign", campaign_file, "--workspace", workspace, "--replica", text, (char *)NULL);
        _exit (4);
    }
    return pid;
}

/* A replica of a service that the test makes up. */
static inline pid_t replica_start (const struct service_spec *spec, unsigned number)
{
    pid_t pid = fork ();
    assert_true (pid >= 0);
    if (pid == 0) {
        char text[16];
        char *argv[] = { "service", "--campaign", campaign_file, "--workspace", workspace, "--replica", text, NULL };
        snprintf (text, sizeof (text), "%u", number);
        process_prepare (NULL);
        _exit (service_main (spec, 7, argv));
    }
    return pid;
}

/* The process's status, as waitpid tells it. */
static inline int process_end (pid_t pid, int signum)
{
    int status;
    kill (pid, signum);
    assert_int_equal (waitpid (pid, &status, 0), pid);
    return status;
}

static inline struct strata_client *client_open (int timeout_ms)
{
    struct strata_error error = { "" };
    struct strata_client *c = strata_open (workspace, "test", timeout_ms, &error);
    if (!c)
        fail_msg ("%s", error.text);
    return c;
}

/* The streams of stage; the caller frees it. */
static inline Strata__StreamStatReply *ask_stat (struct strata_client *c)
{
    struct strata_error error = { "" };
    Strata__StreamStat ask = STRATA__STREAM_STAT__INIT;
    ProtobufCMessage *reply;
    if (client_request (c, "stage", STRATA__MESSAGE_TYPE__TYPE_STREAM_STAT, &ask.base, NULL, 0,
                        &strata__stream_stat_reply__descriptor, &reply, NULL, NULL, &error)
        < 0)
        fail_msg ("stat: %s", error.text);
    return (Strata__StreamStatReply *)reply;
}

/* A socket that hears the heartbeats of a replica, each waited for 10 s at most. Waits until the replica has a card. */
static inline zsock_t *heartbeats_of (const char *replica)
{
    zsock_t *socket = NULL;
    for (int i = 0; i < 200 && !socket; i++, nap_ms (50)) {
        struct card *cards;
        size_t count = cards_read (workspace, &cards);
        for (size_t n = 0; n < count && !socket; n++)
            if (strcmp (cards[n].replica, replica) == 0)
                socket = zsock_new_sub (cards[n].pub, "hb");
        free (cards);
    }
    assert_non_null (socket);
    zsock_set_rcvtimeo (socket, 10000);
    return socket;
}

/* The next one; the caller frees it. */
static inline Strata__Heartbeat *heartbeat_next (zsock_t *socket)
{
    struct wire_message message;
    struct strata_error error;
    Strata__RefusalCode code;
    zmsg_t *frames = zmsg_recv (socket);
    if (!frames)
        fail_msg ("no heartbeat in 10 s");
    free (zmsg_popstr (frames));
    assert_int_equal (wire_parse (&message, &frames, &code, &error), 0);
    Strata__Heartbeat *hb = (Strata__Heartbeat *)wire_body (&message, &strata__heartbeat__descriptor, &error);
    assert_non_null (hb);
    wire_fini (&message);
    return hb;
}

/* 0 when it has no such metric. */
static inline double heartbeat_figure (const Strata__Heartbeat *hb, const char *name)
{
    for (size_t i = 0; i < hb->n_metrics; i++)
        if (strcmp (hb->metrics[i]->name, name) == 0)
            return hb->metrics[i]->value;
    return 0;
}

/* Waits for a heartbeat that shows trouble with `word`, or none when it is NULL; each comes within 3 s. */
static inline void wait_trouble (zsock_t *heartbeats, const char *word)
{
    char last[512] = "";
    for (int i = 0; i < 60; i++) {
        Strata__Heartbeat *hb = heartbeat_next (heartbeats);
        snprintf (last, sizeof (last), "%s", hb->trouble);
        strata__heartbeat__free_unpacked (hb, NULL);
        if (word ? strstr (last, word) != NULL : last[0] == '\0')
            return;
    }
    fail_msg ("trouble is '%s'", last);
}

#endif
