/* test_campaign_run.c - job types as Maestro's steps and JobTracker's files: what they become, and what each mistake is called.
 *
 * The files have the shape of those that maestrowf and mummi-ras document and ship. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/campaign.h"
#include "scratch.h"

static char folder[64];

static const char before[] =
    "strata: 1\n"
    "campaign: test\n"
    "workspace: run/test\n"
    "patch: {snapshots: snapshots, candidates: patches, encoder: {model: pca.npz}}\n"
    "select: {from: patches, queues: [{name: all, configuration: other, quota: 1}]}\n"
    "feedback: {from: rdfs, uptake: uptakes, states: [RASa], rows: [POPC]}\n"; /* 6 lines */

static void put (const char *name, const char *text)
{
    char path[128];
    snprintf (path, sizeof (path), "%s/%s", folder, name);
    FILE *f = fopen (path, "w");
    assert_non_null (f);
    assert_true (fputs (text, f) >= 0);
    assert_int_equal (fclose (f), 0);
}

/* The campaign whose last lines are rest; NULL when it has mistakes, which *lines holds, the folder's name left out. */
static struct campaign *load (const char *rest, char **lines)
{
    char *text, path[128];
    size_t size;
    struct campaign_mistakes mistakes;
    assert_true (asprintf (&text, "%s%s", before, rest) >= 0);
    put ("c.yaml", text);
    free (text);
    snprintf (path, sizeof (path), "%s/c.yaml", folder);
    struct campaign *self = campaign_load (path, &mistakes);
    FILE *out = open_memstream (lines, &size);
    for (size_t i = 0; i < mistakes.count; i++) {
        const char *line = mistakes.lines[i];
        fprintf (out, "%s%s", i ? "\n" : "", strncmp (line, folder, strlen (folder)) == 0 ? line + strlen (folder) + 1 : line);
    }
    fclose (out);
    campaign_mistakes_fini (&mistakes);
    return self;
}

static struct campaign *sound (const char *rest)
{
    char *lines;
    struct campaign *self = load (rest, &lines);
    if (!self)
        fail_msg ("it does not load:\n%s", lines);
    free (lines);
    return self;
}

static void refused (const char *rest, const char *expected)
{
    char *lines;
    struct campaign *self = load (rest, &lines);
    if (self || !strstr (lines, expected)) {
        print_error ("file:\n%s\nexpected: %s\nfound:    %s\n", rest, expected, self ? "(it loads)" : lines);
        fail ();
    }
    free (lines);
}

static void check_shell (char *const *argv, unsigned count, const char *text, const char *name)
{
    assert_int_equal (count, 4);
    assert_string_equal (argv[0], "/bin/bash");
    assert_string_equal (argv[1], "-c");
    assert_string_equal (argv[2], text);
    assert_string_equal (argv[3], name);
}

static void a_step_of_maestro_becomes_a_job_type (void **state)
{
    (void)state;
    struct campaign *self = sound (
        "env:\n"
        "  variables: {FORCEFIELD: /opt/martini, STEPS: 5000}\n"
        "  labels: {PREFIX: $(FORCEFIELD)/v2}\n"
        "jobs:\n"
        "  - {name: createsim, start: selection, command: [setup]}\n"
        "  - name: cg\n"
        "    start: after\n"
        "    after: createsim\n"
        "    run:\n"
        "      cmd: |\n"
        "        for f in ${FILES}; do cp $(PREFIX)/$f $(WORKSPACE); done\n"
        "        $(LAUNCHER) gmx mdrun -s $(createsim.workspace)/topol.tpr -nsteps $(STEPS) -nt $(CORES) > $(date +%s).log\n"
        "      restart: gmx mdrun -cpi $(CANDIDATE).cpt\n"
        "      nodes: 1\n"
        "      procs: 2\n"
        "      cores: 3\n"
        "      gpus: 1\n"
        "      walltime: '12:00:30'\n"
        "      max_retries: 4\n"
        "      retry_delay: 7\n"
        "schedule: {executor: slurm}\n");
    const struct campaign_job *job = &self->jobs[1];
    check_shell (job->command, job->command_count,
                 "for f in ${{FILES}}; do cp /opt/martini/v2/$f {dir}; done\n"
                 "srun --nodes=1 --ntasks=2 --cpus-per-task=3 gmx mdrun -s {input}/topol.tpr -nsteps 5000 -nt {cores} > $(date +%s).log\n", "cg");
    check_shell (job->restart, job->restart_count, "gmx mdrun -cpi {candidate}.cpt", "cg");
    assert_int_equal (job->nodes, 1);
    assert_int_equal (job->cores, 6);
    assert_int_equal (job->gpus, 1);
    assert_int_equal (job->walltime_s, 12 * 3600 + 30);
    assert_int_equal (job->tries, 5);
    assert_int_equal (job->retry_delay_s, 7);
    assert_int_equal (self->jobs[0].restart_count, 0);
    campaign_free (&self);
}

static void a_launcher_is_the_engines (void **state)
{
    (void)state;
    static const struct { const char *executor, *step, *command; } cases[] = {
        { "local", "cmd: $(LAUNCHER) a", "a" },
        { "local", "cmd: $(LAUNCHER) a, procs: 4", "mpiexec -n 4 a" },
        { "nodes", "cmd: $(LAUNCHER) a, cores: 2", "a" },
        { "slurm", "cmd: $(LAUNCHER) a, nodes: 2, procs: 8", "srun --nodes=2 --ntasks=8 --cpus-per-task=1 a" },
        { "slurm", "cmd: '$(LAUNCHER)[1n, 2p] a', nodes: 2, procs: 8, cores per task: 3", "srun --nodes=1 --ntasks=2 --cpus-per-task=3 a" },
        { "flux", "cmd: $(LAUNCHER) a, procs: 3, cores: 2", "flux run --nodes=1 --ntasks=3 --cores-per-task=2 a" },
    };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        char rest[512];
        snprintf (rest, sizeof (rest), "schedule: {executor: %s}\njobs:\n  - {name: a, start: always, run: {%s}}\n", cases[i].executor, cases[i].step);
        struct campaign *self = sound (rest);
        check_shell (self->jobs[0].command, self->jobs[0].command_count, cases[i].command, "a");
        campaign_free (&self);
    }
}

static void each_mistake_of_a_step_is_told (void **state)
{
    (void)state;
#define STEP(step) "jobs:\n  - {name: a, start: always, run: {" step "}}\n"
    refused (STEP ("cores: 2"), "c.yaml:8: jobs[0].run.cmd: missing; it must be text of at most 32768 bytes");
    refused (STEP ("cmd: a, core: 2"), "jobs[0].run.core: unknown key; did you mean cores?");
    refused (STEP ("cmd: a, walltime: '12:61:00'"), "walltime must be hours:minutes:seconds or whole seconds, above 0 and up to a year, not 12:61:00");
    refused (STEP ("cmd: a, walltime: '90:00'"), "walltime must be");
    refused (STEP ("cmd: a, cores: 2, cores per task: 2"), "has both `cores` and `cores per task`");
    refused (STEP ("cmd: a, nodes: 4, procs: 2"), "has fewer procs (2) than nodes (4)");
    refused (STEP ("cmd: a $(STEPZ)") "env: {variables: {STEPS: 5}}\n", "c.yaml:8: jobs[0].run.cmd: there is no variable $(STEPZ); did you mean $(STEPS)?");
    refused (STEP ("cmd: a $(setup.workspace)"), "$(setup.workspace): only the folder of the job type before this one is known; this one has none");
    refused (STEP ("cmd: a $(CANDIDATE)"), "{candidate} has a value only in a chain that begins with start: selection");
    refused (STEP ("cmd: a $(A)") "env: {variables: {A: $(B), B: $(A)}}\n", "is a variable within 8 others; do they name each other?");
    refused (STEP ("cmd: a") "env: {variables: {A: [1]}}\n", "env.variables.A: must be text or a number, not a list");
    refused (STEP ("cmd: a") "env: {dependencies: {git: []}}\n", "env: unknown key dependencies; allowed here: variables, labels");
    refused ("jobs:\n  - {name: a, start: always, cores: 2, run: {cmd: a}}\n", "c.yaml:8: jobs[0].cores: can't stand beside `run`, which says it");
    refused ("jobs:\n  - {name: a, start: always}\n", "c.yaml:8: jobs[0].command: missing; a job type needs one of command, run, tracker");
    refused ("schedule: {cores: 4}\n" STEP ("cmd: a, procs: 3, cores: 2"), "jobs[0].run.cmd: wants 6, but schedule.cores is 4");
}

static const char tracker[] =
    "job_type: cg\n"
    "config:\n"
    "  bundle_size: 1\n"
    "  jobname:    cganalysis\n"
    "  jobdesc:    CGAnalysis ({}).\n"
    "  nnodes:     1\n"
    "  nprocs:     1\n"
    "  cores per task: 3 # 3 summit use 5 on lassen\n"
    "  ngpus:      1\n"
    "  walltime:   '04:00:00'\n"
    "  use_broker: True\n"
    "  addtl_args: {mpi: spectrum}\n"
    "imports: [mummi_ras]\n"
    "dir_sim: cg\n"
    "variables:\n"
    "  simname: null # value supplied by jobTracker\n"
    "  timestamp: null\n"
    "  outpath: '{dir}/{simname}'\n"
    "  outfile: [cg_, analysis, '.out']\n"
    "script: |\n"
    "  outpath={outpath}\n"
    "  for f in ${{FILES}}; do echo $f >> {outfile}; done\n"
    "  $(LAUNCHER) sh -c \"mummi_cganalysis --simname {simname} --path {input}\"\n";
#define BY_TRACKER                                                                                                     \
    "jobs:\n  - {name: createsim, start: selection, command: [setup]}\n"                                               \
    "  - {name: cg, start: after, after: createsim, tracker: jobs_cg.yaml, success: [cg.out]}\nschedule: {gpus: 1}\n"

static void a_file_of_the_jobtracker_becomes_a_job_type (void **state)
{
    (void)state;
    char *changed = strdup (tracker);
    put ("jobs_cg.yaml", tracker);
    struct campaign *self = sound (BY_TRACKER);
    const struct campaign_job *job = &self->jobs[1];
    check_shell (job->command, job->command_count,
                 "outpath={dir}/{candidate}\n"
                 "for f in ${{FILES}}; do echo $f >> cg_analysis.out; done\n"
                 "sh -c \"mummi_cganalysis --simname {candidate} --path {input}\"\n", "cg");
    assert_int_equal (job->cores, 3);
    assert_int_equal (job->gpus, 1);
    assert_int_equal (job->walltime_s, 4 * 3600);
    assert_int_equal (job->success_files_count, 1);
    uint32_t fingerprint = campaign_fingerprint (self);
    campaign_free (&self);

    /* A workspace takes a changed file for another campaign, as it does with the campaign file. */
    strstr (changed, "nprocs:     1")[strlen ("nprocs:     ")] = '2';
    put ("jobs_cg.yaml", changed);
    self = sound (BY_TRACKER);
    assert_int_equal (self->jobs[1].cores, 6);
    assert_int_not_equal (campaign_fingerprint (self), fingerprint);
    campaign_free (&self);
    free (changed);
}

/* The tracker file with the first `from` replaced. */
static void refused_tracker (const char *from, const char *to, const char *expected)
{
    char *text;
    const char *at = strstr (tracker, from);
    assert_non_null (at);
    assert_true (asprintf (&text, "%.*s%s%s", (int)(at - tracker), tracker, to, at + strlen (from)) >= 0);
    put ("jobs_cg.yaml", text);
    refused (BY_TRACKER, expected);
    free (text);
}

static void each_mistake_of_a_tracker_file_is_told_in_its_own_lines (void **state)
{
    (void)state;
    refused_tracker ("'{dir}/{simname}'", "{eval: \"mummi_ras.Naming.dir_sim('cg', '{simname}')\"}",
                     "jobs_cg.yaml:18: variables.outpath: is computed by Python (eval), which Strata does not run; write a text, with {dir}");
    refused_tracker ("nnodes:     1", "nodes:     1", "jobs_cg.yaml:6: config.nodes: unknown key; did you mean nnodes?");
    refused_tracker ("nprocs:     1", "nprocs:     one", "jobs_cg.yaml:7: config.nprocs: must be a whole number from 1 to 1000000, not one");
    refused_tracker ("bundle_size: 1", "bundle_size: 4", "jobs_cg.yaml:3: config.bundle_size: must be 1, not 4");
    refused_tracker ("{outpath}", "{outpaht}", "jobs_cg.yaml:20: script: unknown variable {outpaht}");
    refused_tracker ("${{FILES}}", "${FILES}", "jobs_cg.yaml:20: script: unknown variable {FILES}");
    refused_tracker ("${{FILES}}", "${FILES", "jobs_cg.yaml:20: script: has an unbalanced brace");
    refused_tracker ("'{dir}/{simname}'", "'{outpath}'", "jobs_cg.yaml:18: variables.outpath: is a variable within 8 others");
    refused_tracker ("script: |", "script: {eval: x}\nother: |", "jobs_cg.yaml:20: script: must be text");
    refused_tracker ("job_type: cg\n", "", "jobs_cg.yaml:1: job_type: missing");
    char path[128];
    snprintf (path, sizeof (path), "%s/jobs_cg.yaml", folder);
    unlink (path);
    refused (BY_TRACKER, "jobs_cg.yaml:1: file: cannot be read: No such file or directory");
}

static int set_up (void **state)
{
    (void)state;
    if (!scratch_new (folder, sizeof (folder)))
        return -1;
    put ("pca.npz", "x");
    return 0;
}

static int tear_down (void **state)
{
    static const char *const files[] = { "pca.npz", "c.yaml", "jobs_cg.yaml", "" };
    (void)state;
    for (size_t i = 0; i < sizeof (files) / sizeof (files[0]); i++) {
        char path[128];
        snprintf (path, sizeof (path), "%s/%s", folder, files[i]);
        remove (path);
    }
    return 0;
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_step_of_maestro_becomes_a_job_type),
        cmocka_unit_test (a_launcher_is_the_engines),
        cmocka_unit_test (each_mistake_of_a_step_is_told),
        cmocka_unit_test (a_file_of_the_jobtracker_becomes_a_job_type),
        cmocka_unit_test (each_mistake_of_a_tracker_file_is_told_in_its_own_lines),
    };
    return cmocka_run_group_tests (tests, set_up, tear_down);
}
