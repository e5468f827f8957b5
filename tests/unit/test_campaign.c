/* test_campaign.c - the campaign file: what loads, and the exact line that each mistake becomes.
 *
 * Run from the repository's root. Each case is the sound file below with one text replaced by another, and the complete
 * list of lines that must come out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/campaign.h"
#include "core/campaign_schema.h"
#include "core/campaign_template.h"
#include "core/campaign_yaml.h"
#include "random.h"
#include "scratch.h"

static char root[4096], folder[64];

static const char sound[] =
    "strata: 1\n"                                                                /* 1 */
    "campaign: test\n"                                                           /* 2 */
    "workspace: run/test\n"                                                      /* 3 */
    "patch:\n"                                                                   /* 4 */
    "  snapshots: snapshots\n"                                                   /* 5 */
    "  candidates: patches\n"                                                    /* 6 */
    "  encoder: {model: pca.npz}\n"                                              /* 7 */
    "select:\n"                                                                  /* 8 */
    "  from: patches\n"                                                          /* 9 */
    "  queues:\n"                                                                /* 10 */
    "    - {name: monomer, configuration: ras, quota: 0.5}\n"                    /* 11 */
    "    - {name: rest, configuration: other, quota: 0.5}\n"                     /* 12 */
    "jobs:\n"                                                                    /* 13 */
    "  - name: macro\n"                                                          /* 14 */
    "    start: always\n"                                                        /* 15 */
    "    command: [macro, \"{dir}\"]\n"                                          /* 16 */
    "  - name: setup\n"                                                          /* 17 */
    "    start: selection\n"                                                     /* 18 */
    "    command: [setup, \"{candidate}\"]\n"                                    /* 19 */
    "    success: [a.json]\n"                                                    /* 20 */
    "  - name: cg\n"                                                             /* 21 */
    "    start: after\n"                                                         /* 22 */
    "    after: setup\n"                                                         /* 23 */
    "    command: [cg, \"{input}\", \"{candidate}\"]\n"                          /* 24 */
    "feedback:\n"                                                                /* 25 */
    "  from: rdfs\n"                                                             /* 26 */
    "  uptake: uptakes\n"                                                        /* 27 */
    "  states: [RASa, RASb]\n"                                                   /* 28 */
    "  rows: [POPC, CHOL]\n"                                                     /* 29 */
    "goal: {job: cg, successes: 6, uptakes: 2}\n";                               /* 30 */

static void put (const char *path, const void *data, size_t size)
{
    FILE *f = fopen (path, "w");
    assert_non_null (f);
    assert_int_equal (fwrite (data, 1, size, f), size);
    assert_int_equal (fclose (f), 0);
}

static char *get (const char *path)
{
    FILE *f = fopen (path, "r");
    if (!f)
        fail_msg ("%s cannot be read; run this test from the repository's root", path);
    char *text = NULL;
    size_t size = 0;
    ssize_t n = getdelim (&text, &size, '\0', f);
    fclose (f);
    assert_true (n > 0);
    return text;
}

/* The sound file with the first `from` replaced by `to`; the caller frees it. */
static char *changed (const char *from, const char *to)
{
    const char *at = strstr (sound, from);
    if (!at)
        fail_msg ("the sound file holds no \"%s\"", from);
    char *text;
    assert_true (asprintf (&text, "%.*s%s%s", (int)(at - sound), sound, to, at + strlen (from)) >= 0);
    return text;
}

static void expect_lines (const char *file, const char *what, const char *expected)
{
    struct campaign_mistakes mistakes;
    struct campaign *self = campaign_load (file, &mistakes);
    size_t size = 1;
    for (size_t i = 0; i < mistakes.count; i++)
        size += strlen (mistakes.lines[i]) + 1;
    char *all = calloc (1, size);
    assert_non_null (all);
    for (size_t i = 0, n = 0; i < mistakes.count; i++)
        n += (size_t)sprintf (all + n, "%s%s", i ? "\n" : "", mistakes.lines[i]);
    if (self || strcmp (all, expected) != 0) {
        print_error ("case: %s\nexpected: %s\nfound:    %s\n", what, expected, self ? "(it loads)" : all);
        fail ();
    }
    free (all);
    campaign_mistakes_fini (&mistakes);
    campaign_free (&self);
}

struct wrong {
    const char *from, *to, *expected;
};

static const struct wrong keys_and_types[] = {
    { "  snapshots: snap", "  snapshot: snap",
      "c.yaml:4: patch.snapshots: missing; it must be a name of 1 to 64 characters of a-z 0-9 -\n"
      "c.yaml:5: patch.snapshot: unknown key; did you mean snapshots? allowed here: snapshots, candidates, namespace, "
      "points, coarse, lipid_only, lipid_only_distance_nm, lease, tries, encoder" },
    { "  rows: [POPC, CHOL]\n", "  rows: [POPC, CHOL]\n  shards: 2\n  weights: true\nreplicas: {feedback: 2}\n",
      "c.yaml:31: feedback.weights: reports with weights are made from one shard: set it to false, or shards to 1, not 2" },
    { "goal: {", "zebra: 1\ngoal: {",
      "c.yaml:30: zebra: unknown key; allowed here: strata, campaign, workspace, seed, replicas, mesh, stage, patch, select, "
      "schedule, env, jobs, feedback, replay, goal, emulate" },
    { "{job: cg,", "{job: cg, uptake: 3,",
      "c.yaml:30: goal.uptake: unknown key; did you mean uptakes? allowed here: job, successes, uptakes" },
    { "    start: always\n", "    start: always\n    core: 2\n",
      "c.yaml:16: jobs[0].core: unknown key; did you mean cores? allowed here: name, start, after, command, restart, run, tracker, "
      "checkpoint, retry_delay, cores, "
      "gpus, nodes, near, share, parts, gpu_share, model, walltime, tries, memory_mb, output_mb, grace, success, exit_codes, buffer" },
    { "campaign: test\n", "campaign: test\ncampaign: other\n",
      "c.yaml:3: campaign: given twice; the first is in line 2" },
    { "    after: setup\n", "    after: setup\n    after: setup\n",
      "c.yaml:24: jobs[2].after: given twice; the first is in line 23" },
    { "strata: 1\n", "", "c.yaml:1: strata: missing; it must be 1" },
    { "strata: 1\n", "strata: one\n", "c.yaml:1: strata: must be 1, not one" },
    { "strata: 1\n", "strata: 2\nzebra: 1\n", "c.yaml:1: strata: this file is format 2, this build reads format 1" },
    { "strata: 1\n", "# first\nstrata: 0\n", "c.yaml:2: strata: this file is format 0, this build reads format 1" },
    { "campaign: test", "campaign: Test Run",
      "c.yaml:2: campaign: must be a name of 1 to 64 characters of a-z 0-9 -, not Test Run" },
    { "workspace: run/test", "workspace:",
      "c.yaml:3: workspace: must be one line of text of 1 to 1024 bytes, not an empty value" },
    { "workspace: run/test", "workspace: \"a\\nb\"",
      "c.yaml:3: workspace: must be one line of text of 1 to 1024 bytes, not the text \"a?b\"" },
    { "workspace: run/test", "workspace: \"a\\0b\"",
      "c.yaml:3: workspace: must be one line of text of 1 to 1024 bytes, not the text \"a?b\"" },
    { "workspace: run/test", "workspace: [a]",
      "c.yaml:3: workspace: must be one line of text of 1 to 1024 bytes, not a list" },
    { "campaign: test\n", "campaign: test\nseed: -1\n",
      "c.yaml:3: seed: must be a whole number from 0 to 18446744073709551615, not -1" },
    { "campaign: test\n", "campaign: test\nseed: 18446744073709551616\n",
      "c.yaml:3: seed: must be a whole number from 0 to 18446744073709551615, not 18446744073709551616" },
    { "campaign: test\n", "campaign: test\nreplicas: {patch: 0, select: 65}\n",
      "c.yaml:3: replicas.patch: must be a whole number from 1 to 64, not 0\n"
      "c.yaml:3: replicas.select: must be a whole number from 1 to 64, not 65" },
    { "campaign: test\n", "campaign: test\nstage: {backend: rockdb}\n",
      "c.yaml:3: stage.backend: must be one of file, rocksdb, tar, redis, not rockdb; did you mean rocksdb?" },
    { "campaign: test\n", "campaign: test\nstage: {backend: tape}\n",
      "c.yaml:3: stage.backend: must be one of file, rocksdb, tar, redis, not tape" },
    { "campaign: test\n", "campaign: test\nstage: {namespaces: [{name: a, backends: [tar, redis, tar]}, {name: a, backends: []}]}\n",
      "c.yaml:3: stage.namespaces[1].backends: must be a list of 1 to 4 items, not an empty list\n"
      "c.yaml:3: stage.namespaces[1].name: a is taken by stage.namespaces[0]; no two may be alike\n"
      "c.yaml:3: stage.namespaces[0].backends[2]: tar is taken by stage.namespaces[0].backends[0]; no two may be alike" },
    { "campaign: test\n", "campaign: test\nstage: file\n",
      "c.yaml:3: stage: must be a mapping with the keys backend, quota_mb, queue_mb, namespaces, cache, not file" },
    { "campaign: test\n", "campaign: test\nstage:\n",
      "c.yaml:3: stage: must be a mapping with the keys backend, quota_mb, queue_mb, namespaces, cache, not an empty value" },
    { "campaign: test\n", "campaign: test\nschedule: {executor: pbs}\n",
      "c.yaml:3: schedule.executor: must be one of local, nodes, slurm, flux, not pbs" },
    { "  candidates: patches\n", "  candidates: patches\n  points: 72\n",
      "c.yaml:7: patch.points: must be an odd whole number from 3 to 999, not 72" },
    { "  candidates: patches\n", "  candidates: patches\n  lipid_only: \"33\"\n",
      "c.yaml:7: patch.lipid_only: must be a whole number from 0 to 100000, not the text \"33\"" },
    { "  candidates: patches\n", "  candidates: patches\n  lipid_only: 033\n",
      "c.yaml:7: patch.lipid_only: must be a whole number from 0 to 100000, not 033" },
    { "  candidates: patches\n", "  candidates: patches\n  lipid_only_distance_nm: .inf\n",
      "c.yaml:7: patch.lipid_only_distance_nm: must be a number from 0 to 1000000, not .inf" },
    { "  candidates: patches\n", "  candidates: patches\n  namespace: a/b\n",
      "c.yaml:7: patch.namespace: must be a name of 1 to 200 characters of A-Z a-z 0-9 . _ + = @ -, not . or .., "
      "not a/b" },
    { "  candidates: patches\n", "  candidates: patches\n  lease: 0\n",
      "c.yaml:7: patch.lease: must be a whole number from 1 to 86400, not 0" },
    { "{model: pca.npz}", "{kind: torch, model: pca.npz, dimensions: 65}",
      "c.yaml:7: patch.encoder.kind: must be one of pca, network, not torch\n"
      "c.yaml:7: patch.encoder.dimensions: must be a whole number from 1 to 64, not 65" },
    { "{model: pca.npz}", "{}",
      "c.yaml:7: patch.encoder.model: missing; it must be one line of text of 1 to 1024 bytes" },
    { "  from: patches\n", "  from: patches\n  k: 1001\n",
      "c.yaml:10: select.k: must be a whole number from 1 to 1000, not 1001" },
    { "  from: patches\n", "  from: patches\n  k: 1.5\n",
      "c.yaml:10: select.k: must be a whole number from 1 to 1000, not 1.5" },
    { "  from: patches\n", "  from: patches\n  sampler: farthest\n",
      "c.yaml:10: select.sampler: must be one of farthest-point, binned, random, not farthest" },
    { "quota: 0.5}\n    -", "quota: 1.5}\n    -",
      "c.yaml:11: select.queues[0].quota: must be a number from 0 to 1, not 1.5" },
    { "quota: 0.5}\n    -", "quota: half}\n    -",
      "c.yaml:11: select.queues[0].quota: must be a number from 0 to 1, not half" },
    { "    start: always", "    start: allways",
      "c.yaml:15: jobs[0].start: must be one of always, selection, after, not allways; did you mean always?" },
    { "    start: always\n", "",
      "c.yaml:14: jobs[0].start: missing; it must be one of always, selection, after" },
    { "command: [macro, \"{dir}\"]", "command: []",
      "c.yaml:16: jobs[0].command: must be a list of 1 to 256 items, not an empty list" },
    { "command: [macro, \"{dir}\"]", "command: macro {dir}",
      "c.yaml:16: jobs[0].command: must be a list of 1 to 256 items, not macro {dir}" },
    { "command: [macro, \"{dir}\"]", "command: [macro, ~]",
      "c.yaml:16: jobs[0].command[1]: must be text of at most 32768 bytes, not an empty value" },
    { "command: [macro, \"{dir}\"]", "command:\n      - macro\n      - {a: b}",
      "c.yaml:18: jobs[0].command[1]: must be text of at most 32768 bytes, not a mapping" },
    { "    success: [a.json]\n", "    success: [a.json, ../b, /c, d//e]\n    walltime: 0\n",
      "c.yaml:20: jobs[1].success[1]: must be a path of 1 to 200 bytes inside {dir}, without / in front and "
      "without .., "
      "not ../b\n"
      "c.yaml:20: jobs[1].success[2]: must be a path of 1 to 200 bytes inside {dir}, without / in front and "
      "without .., "
      "not /c\n"
      "c.yaml:20: jobs[1].success[3]: must be a path of 1 to 200 bytes inside {dir}, without / in front and "
      "without .., "
      "not d//e\n"
      "c.yaml:21: jobs[1].walltime: must be a whole number from 1 to 31536000, not 0" },
    { "  rows: [POPC, CHOL]\n", "  rows: [POPC, CHOL]\n  weights: yes\n",
      "c.yaml:30: feedback.weights: must be true or false, not yes" },
    { "  states: [RASa, RASb]", "  states: [RAS a]",
      "c.yaml:28: feedback.states[0]: must be a name of 1 to 64 characters of A-Z a-z 0-9 . _ + = @ -, not . or .., "
      "not RAS a" },
    { "campaign: test", "campaign: !secret test",
      "c.yaml:2: campaign: has the tag !secret; tags mean nothing here, leave it out" },
    { "campaign: test\n", "campaign: test\n[a, b]: 1\n", "c.yaml:3: file: a key here is a list; keys are plain words" },
    { "campaign: test\n", "campaign: test\n<<: {seed: 1}\n",
      "c.yaml:3: <<: unknown key; allowed here: strata, campaign, workspace, seed, replicas, mesh, stage, patch, select, "
      "schedule, env, jobs, feedback, replay, goal, emulate" },
};

static const struct wrong references[] = {
    { "after: setup", "after: setip",
      "c.yaml:23: jobs[2].after: there is no job type setip; did you mean setup? defined: macro, setup, cg" },
    { "    after: setup\n", "",
      "c.yaml:22: jobs[2].after: missing; with start: after it names the job type before this one" },
    { "    start: selection\n", "    start: selection\n    after: macro\n",
      "c.yaml:19: jobs[1].after: goes with start: after only, but start is selection" },
    { "after: setup", "after: cg",
      "c.yaml:23: jobs[2].after: runs in a ring: cg after cg; the first of a chain needs start: selection or start: "
      "always" },
    { "start: selection\n", "start: after\n    after: cg\n",
      "c.yaml:19: jobs[1].after: runs in a ring: setup after cg after setup; the first of a chain needs start: "
      "selection "
      "or start: always" },
    { "    start: always\n", "    start: always\n    buffer: 3\n",
      "c.yaml:16: jobs[0].buffer: has no meaning with start: always; leave it out" },
    { "goal: {", "zebra: 1\ngoal: {job: cgs, successes: -1}\nother: {",
      "c.yaml:30: zebra: unknown key; allowed here: strata, campaign, workspace, seed, replicas, mesh, stage, patch, select, "
      "schedule, env, jobs, feedback, replay, goal, emulate\n"
      "c.yaml:31: goal.successes: must be a whole number from 0 to 1000000000, not -1\n"
      "c.yaml:31: goal.job: there is no job type cgs; did you mean cg? defined: macro, setup, cg\n"
      "c.yaml:32: other: unknown key; allowed here: strata, campaign, workspace, seed, replicas, mesh, stage, patch, select, "
      "schedule, env, jobs, feedback, replay, goal, emulate" },
    { "quota: 0.5}\n    -", "quota: 0.4}\n    -",
      "c.yaml:10: select.queues: the quotas must sum to 1, but sum to 0.9" },
    { "  from: patches\n", "  from: patches\n  sampler: binned\n",
      "c.yaml:10: select.bins: missing; sampler: binned needs an item for each coordinate of a point" },
    { "  from: patches\n", "  from: patches\n  dimensions: 4\n  bins: [{kind: spherical}, {kind: uniform, min: 1, max: 1}, "
      "{kind: edges, edges: [1, 3, 2]}, {kind: edges}]\n",
      "c.yaml:11: select.bins[1]: uniform needs bins of 1 or more and min below max\n"
      "c.yaml:11: select.bins[2]: edges must rise, but 2 follows 3\n"
      "c.yaml:11: select.bins[3]: kind: edges needs edges\n"
      "c.yaml:11: select.bins: divides 5 coordinates, but a point has 4; a spherical item divides 2, each other one 1" },
    { "  from: patches\n", "  from: patches\n  bins: [{kind: spherical}]\n",
      "c.yaml:10: select.bins: divides 2 coordinates, but a point has 9; a spherical item divides 2, each other one 1" },
    { "name: rest, configuration: other", "name: monomer, configuration: ras",
      "c.yaml:12: select.queues[1].name: monomer is taken by select.queues[0]; no two may be alike\n"
      "c.yaml:12: select.queues[1].configuration: ras is taken by select.queues[0]; no two may be alike" },
    { "  - name: cg\n", "  - name: macro\n",
      "c.yaml:21: jobs[2].name: macro is taken by jobs[0]; no two may be alike\n"
      "c.yaml:30: goal.job: there is no job type cg; defined: macro, setup, macro" },
    { "{job: cg,", "{job: ch,",
      "c.yaml:30: goal.job: there is no job type ch; did you mean cg? defined: macro, setup, cg" },
    { "{job: cg, ", "{", "c.yaml:30: goal.job: missing; it names the job type whose successes count" },
    { " successes: 6,", "", "c.yaml:30: goal.successes: missing; it says how many successes are enough" },
    { "\"{dir}\"", "\"{dirr}\"",
      "c.yaml:16: jobs[0].command[1]: unknown variable {dirr}; did you mean {dir}? allowed: job, simulation, "
      "candidate, "
      "attempt, dir, input, cores, gpus, workspace, campaign_dir, bin_dir, seed; write {{ and }} for literal braces" },
    { "\"{dir}\"", "\"{}\"",
      "c.yaml:16: jobs[0].command[1]: unknown variable {}; allowed: job, simulation, candidate, attempt, dir, input, "
      "cores, gpus, workspace, campaign_dir, bin_dir, seed; write {{ and }} for literal braces" },
    { "\"{dir}\"", "\"{dir\", \"dir}\"",
      "c.yaml:16: jobs[0].command[1]: { is never closed; write {{ for a literal brace\n"
      "c.yaml:16: jobs[0].command[2]: } was never opened; write }} for a literal brace" },
    { "\"{dir}\"", "\"{candidate}{input}\"",
      "c.yaml:16: jobs[0].command[1]: {candidate} has a value only in a chain that begins with start: selection\n"
      "c.yaml:16: jobs[0].command[1]: {input} has a value only with start: after" },
    { "after: setup", "after: macro",
      "c.yaml:24: jobs[2].command[2]: {candidate} has a value only in a chain that begins with start: selection" },
    { "[setup, ", "[\"\", ", "c.yaml:19: jobs[1].command[0]: is empty; the first item is the program to run" },
    { "    start: always\n", "    start: always\n    cores: 5\n    gpus: 1\n",
      "c.yaml:17: jobs[0].gpus: wants 1, but schedule.gpus is 0" },
    { "    start: always\n", "    start: always\n    cores: 2\n    parts: [{name: a, gpus: 1}, {name: a}]\n",
      "c.yaml:16: jobs[0].cores: can't stand beside `parts`, which say it\n"
      "c.yaml:17: jobs[0].gpus: wants 1, but schedule.gpus is 0\n"
      "c.yaml:17: jobs[0].parts[1].name: a is taken by jobs[0].parts[0]; no two may be alike" },
    { "strata: 1\n", "strata: 1\nschedule: {cores: 4, machine: {nodes: 2, sockets: 60, cores: 20, gpus: 2, reserved: 20}}\n",
      "c.yaml:2: schedule.machine.cores: must be at most 1024 on a node, but sockets * cores is 1200\n"
      "c.yaml:2: schedule.machine.gpus: must be at most 64 on a node, but sockets * gpus is 120\n"
      "c.yaml:2: schedule.machine.reserved: must be less than cores, which is 20\n"
      "c.yaml:2: schedule.cores: can't stand beside schedule.machine, which says it" },
    { "uptake: uptakes", "uptake: snapshots",
      "c.yaml:27: feedback.uptake: snapshots is the stream of patch.snapshots; give each a name of its own" },
    { "[RASa, RASb]", "[RASa, RASb, RASa]",
      "c.yaml:28: feedback.states[2]: RASa is taken by feedback.states[0]; no two may be alike" },
    { "  rows: [POPC, CHOL]\n", "  rows: [POPC, CHOL]\n  range_max_angstrom: 0.05\n",
      "c.yaml:30: feedback.range_max_angstrom: must be above range_min_angstrom, but is 0.05 while "
      "range_min_angstrom is "
      "0.1 by default" },
    { "  rows: [POPC, CHOL]\n", "  rows: [POPC, CHOL]\n  shards: 2\n",
      "c.yaml:30: feedback.shards: each shard needs a replica: must be at most replicas.feedback, which is 1, but is 2" },
    { "  rows:", "  patterns: {from: rdfs, proteins: [ras, ras], regions: [{name: HVR, first: 9, last: 8, share: 1}]}\n  rows:",
      "c.yaml:29: feedback.patterns.command: missing; feedback of patterns needs it\n"
      "c.yaml:29: feedback.patterns.proteins[1]: ras is taken by feedback.patterns.proteins[0]; no two may be alike\n"
      "c.yaml:29: feedback.patterns.regions[0].last: must be from first, which is 9, to 255 above it, but is 8\n"
      "c.yaml:29: feedback.patterns.from: rdfs is the stream of feedback.from; give each a name of its own" },
    { "  candidates: patches\n", "  candidates: patches\n  points: 31\n",
      "c.yaml:7: patch.coarse: must not be above patch.points, but is 37 by default while points is 31" },
};

static const struct wrong syntax[] = {
    { "campaign: test", "campaign: test: more",
      "c.yaml:2: file: not valid YAML: mapping values are not allowed in this context" },
    { "campaign: test", "campaign: 'test",
      "c.yaml:31: file: not valid YAML: found unexpected end of stream, while scanning a quoted scalar that begins in "
      "line 2" },
    { "[RASa, RASb]", "[RASa, RASb",
      "c.yaml:29: file: not valid YAML: did not find expected ',' or ']', while parsing a flow sequence that begins in "
      "line 28" },
    { "campaign: test", "campaign: test\n\tseed: 1",
      "c.yaml:3: file: not valid YAML: found a tab character that violates indentation, while scanning a plain scalar "
      "that begins in line 2" },
    { "campaign: test", "campaign: *nothing",
      "c.yaml:2: file: not valid YAML: found undefined alias" },
    { "campaign: test", "campaign: \xff",
      "c.yaml:2: file: not valid text: invalid leading UTF-8 octet; the file must be UTF-8 without control "
      "characters" },
    { "campaign: test", "campaign: \x01",
      "c.yaml:2: file: not valid text: control characters are not allowed; the file must be UTF-8 without control "
      "characters" },
    { "goal:", "---\ngoal:", "c.yaml:30: file: a second document begins here; a campaign file is one document" },
    { "goal:", "_: [[[[[[[[[[[[[[[[[[[[\ngoal:", "c.yaml:30: file: nested deeper than 16 levels" },
};

static void run_table (const struct wrong *table, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *text = changed (table[i].from, table[i].to);
        put ("c.yaml", text, strlen (text));
        expect_lines ("c.yaml", table[i].to, table[i].expected);
        free (text);
    }
}
#define RUN_TABLE(t) run_table (t, sizeof (t) / sizeof ((t)[0]))

static void each_wrong_key_and_value_is_told_with_its_line (void **state)
{
    RUN_TABLE (keys_and_types);
}

static void each_broken_reference_is_told_with_its_line (void **state)
{
    RUN_TABLE (references);
}

static void text_that_is_no_yaml_is_told_with_its_line (void **state)
{
    RUN_TABLE (syntax);
}

static void a_job_that_wants_more_than_the_schedule_has_is_refused (void **state)
{
    char *text = changed ("    start: always\n", "    start: always\n    cores: 5\n    gpus: 2\n");
    char *both;
    assert_true (asprintf (&both, "%sschedule: {cores: 4, gpus: 1}\n", text) >= 0);
    put ("c.yaml", both, strlen (both));
    expect_lines ("c.yaml", "cores: 5",
                  "c.yaml:16: jobs[0].cores: wants 5, but schedule.cores is 4\n"
                  "c.yaml:17: jobs[0].gpus: wants 2, but schedule.gpus is 1");
    free (both);
    free (text);
}

static void a_missing_model_is_named_with_its_path (void **state)
{
    char *text = changed ("pca.npz", "no/such.npz");
    put ("c.yaml", text, strlen (text));
    free (text);
    char *here = realpath (".", NULL), *expected;
    assert_true (asprintf (&expected,
                           "c.yaml:7: patch.encoder.model: %s/no/such.npz: No such file or directory; the path is "
                           "relative to the campaign file",
                           here) >= 0);
    expect_lines ("c.yaml", "no/such.npz", expected);
    free (expected);
    text = changed ("pca.npz", here);
    put ("c.yaml", text, strlen (text));
    free (text);
    assert_true (asprintf (&expected, "c.yaml:7: patch.encoder.model: %s: not a file", here) >= 0);
    expect_lines ("c.yaml", "a folder as the model", expected);
    free (expected);
    free (here);
}

static void files_that_hold_no_campaign_are_refused (void **state)
{
    put ("c.yaml", "", 0);
    expect_lines ("c.yaml", "empty",
                  "c.yaml:1: file: is empty; see docs/campaign-file.md for what a campaign file needs");
    put ("c.yaml", "# only a comment\n", 17);
    expect_lines ("c.yaml", "comment",
                  "c.yaml:1: file: holds no keys; see docs/campaign-file.md for what a campaign file needs");
    put ("c.yaml", "- a\n- b\n", 8);
    expect_lines ("c.yaml", "list", "c.yaml:1: file: must be a mapping of keys to values, not a list");
    expect_lines ("none.yaml", "missing", "none.yaml:1: file: cannot be read: No such file or directory");
    expect_lines (".", "folder", ".:1: file: is a folder; name the campaign file in it");
    expect_lines ("/dev/null", "device", "/dev/null:1: file: is not a regular file");
    char *big = malloc (1048577);
    assert_non_null (big);
    memset (big, '#', 1048577);
    put ("c.yaml", big, 1048577);
    expect_lines ("c.yaml", "large", "c.yaml:1: file: is larger than 1 MiB; a campaign file is a few KiB");
    free (big);
}

static void an_empty_mapping_lists_all_that_is_required (void **state)
{
    put ("c.yaml", "{}\n", 3);
    struct campaign_mistakes mistakes;
    assert_null (campaign_load ("c.yaml", &mistakes));
    assert_int_equal (mistakes.count, 7); /* strata campaign workspace patch select jobs feedback */
    campaign_mistakes_fini (&mistakes);
}

static void hostile_files_are_refused_quickly (void **state)
{
    static const struct { const char *what, *before, *again, *after; } cases[] = {
        { "a bomb of aliases", "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\n",
          "c: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nb: &b [*c,*c,*c,*c,*c,*c,*c,*c]\n", "" },
        { "deep brackets", "a: ", "[", "" },
        { "deep braces", "a: ", "{a: ", "" },
        { "deep dashes", "a: ", "\n - ", "" },
        { "complex keys", "", "? ", "" },
        { "many anchors", "a:\n", "- &a x\n", "" },
        { "many keys", "", "a: 1\n", "" },
        { "many unknown keys", "strata: 1\n", "[a]: 1\n", "" },
        { "one long key", "", "abcdefgh", ": 1\n" },
        { "one long quoted text", "a: \"", "\\n\\t", "\"\n" },
        { "many comments", "", "# \n", "a: 1\n" },
        { "a mapping within itself", "patch: &p {encoder: *p}\n", "#\n", "" },
        { "a list within itself", "jobs: &j [{name: *j, command: *j}, *j]\n", "#\n", "" },
    };
    char *text = malloc (1100000);
    assert_non_null (text);
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        size_t n = (size_t)sprintf (text, "%s", cases[i].before);
        while (n < 1040000)
            n += (size_t)sprintf (text + n, "%s", cases[i].again);
        n += (size_t)sprintf (text + n, "%s", cases[i].after);
        put ("c.yaml", text, n);
        struct timespec from, to;
        clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &from);
        struct campaign_mistakes mistakes;
        struct campaign *self = campaign_load ("c.yaml", &mistakes);
        clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &to);
        double s = (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
        assert_null (self);
        assert_in_range (mistakes.count, 1, 201);
        if (s > 5)
            fail_msg ("%s took %.1f s", cases[i].what, s);
        campaign_mistakes_fini (&mistakes);
    }
    free (text);
}

static void every_cut_of_the_file_is_refused_or_loads (void **state)
{
    size_t loads = 0;
    for (size_t n = 1; n < sizeof (sound); n++) {
        put ("c.yaml", sound, n);
        struct campaign_mistakes mistakes;
        struct campaign *self = campaign_load ("c.yaml", &mistakes);
        assert_true ((self == NULL) == (mistakes.count > 0));
        loads += self != NULL;
        campaign_mistakes_fini (&mistakes);
        campaign_free (&self);
    }
    assert_in_range (loads, 2, 30); /* the whole file, without its last newline, and cuts within an optional end */
}

/* Deterministic noise: whatever the bytes, either a campaign or mistakes, never both, none or a crash. */
static void files_with_flipped_bytes_are_refused_or_load (void **state)
{
    random_state = 88172645463325252u;
    char text[sizeof (sound)];
    for (size_t round = 0; round < 3000; round++) {
        memcpy (text, sound, sizeof (sound));
        for (size_t flips = 0; flips < 1 + round % 4; flips++) {
            uint64_t random = random_next ();
            static const char bytes[] = "{}[]:,-&*!|>'\"#?%@ \n\t0a~\\";
            text[random % (sizeof (sound) - 1)] = bytes[(random >> 32) % (sizeof (bytes) - 1)];
        }
        put ("c.yaml", text, sizeof (sound) - 1);
        struct campaign_mistakes mistakes;
        struct campaign *self = campaign_load ("c.yaml", &mistakes);
        if ((self == NULL) != (mistakes.count > 0))
            fail_msg ("round %zu: %zu mistakes and %s campaign", round, mistakes.count, self ? "a" : "no");
        for (size_t i = 0; i < mistakes.count; i++)
            if (strchr (mistakes.lines[i], '\n') || strstr (mistakes.lines[i], "libcyaml"))
                fail_msg ("round %zu: %s\n%s", round, mistakes.lines[i], text);
        campaign_mistakes_fini (&mistakes);
        campaign_free (&self);
    }
}

static struct campaign *load_sound (const char *file)
{
    struct campaign_mistakes mistakes;
    struct campaign *self = campaign_load (file, &mistakes);
    for (size_t i = 0; i < mistakes.count; i++)
        print_error ("%s\n", mistakes.lines[i]);
    assert_non_null (self);
    assert_int_equal (mistakes.count, 0);
    campaign_mistakes_fini (&mistakes);
    return self;
}

static void defaults_are_filled_in (void **state)
{
    put ("c.yaml", sound, sizeof (sound) - 1);
    struct campaign *self = load_sound ("c.yaml");
    assert_int_equal (self->format, 1);
    assert_int_equal (self->seed, 0);
    assert_int_equal (self->replicas.patch, 1);
    assert_int_equal (self->replicas.select, 1);
    assert_int_equal (self->replicas.schedule, 1);
    assert_int_equal (self->replicas.feedback, 1);
    assert_string_equal (self->stage.backend, "file");
    assert_int_equal (self->stage.quota_mb, 1024);
    assert_int_equal (self->stage.queue_mb, 256);
    assert_string_equal (self->patch.namespace_, "patches");
    assert_int_equal (self->patch.points, 73);
    assert_int_equal (self->patch.coarse, 37);
    assert_int_equal (self->patch.lipid_only, 33);
    assert_true (self->patch.lipid_only_distance_nm == 50);
    assert_int_equal (self->patch.lease_s, 120);
    assert_int_equal (self->patch.tries, 3);
    assert_string_equal (self->patch.encoder.kind, "pca");
    assert_int_equal (self->patch.encoder.dimensions, 9);
    assert_int_equal (self->select.k, 10);
    assert_int_equal (self->select.lease_s, 60);
    assert_string_equal (self->schedule.executor, "local");
    assert_int_equal (self->schedule.cores, 0);
    assert_int_equal (self->schedule.gpus, 0);
    const struct campaign_job *job = campaign_job_find (self, "cg");
    assert_ptr_equal (job, &self->jobs[2]);
    assert_null (campaign_job_find (self, "aa"));
    assert_int_equal (job->cores, 1);
    assert_int_equal (job->gpus, 0);
    assert_int_equal (job->walltime_s, 3600);
    assert_int_equal (job->tries, 3);
    assert_int_equal (job->memory_mb, 0);
    assert_int_equal (job->grace_s, 20);
    assert_int_equal (job->buffer, 2);
    assert_int_equal (job->success_files_count, 0);
    assert_int_equal (self->feedback.bins, 599);
    assert_true (self->feedback.range_min_angstrom == 0.1);
    assert_true (self->feedback.range_max_angstrom == 120);
    assert_int_equal (self->feedback.frames, 1000);
    assert_int_equal (self->feedback.seconds, 600);
    assert_false (self->feedback.weights);
    campaign_free (&self);
    assert_null (self);
    campaign_free (&self);
}

static void given_values_are_taken (void **state)
{
    put ("c.yaml", sound, sizeof (sound) - 1);
    char *more;
    assert_true (asprintf (&more,
                           "%sseed: 18446744073709551615\nreplicas: {patch: 3}\nstage: {backend: rocksdb}\n"
                           "schedule: {cores: 6, gpus: 2}\n",
                           sound) >= 0);
    char *at = strstr (more, "  rows:");
    assert_non_null (at);
    char *text;
    assert_true (asprintf (&text, "%.*s  weights: true\n  bins: 10\n  range_max_angstrom: 1.5e1\n%s", (int)(at - more),
                           more, at) >= 0);
    put ("c.yaml", text, strlen (text));
    struct campaign *self = load_sound ("c.yaml");
    assert_true (self->seed == UINT64_MAX);
    assert_int_equal (self->replicas.patch, 3);
    assert_int_equal (self->replicas.select, 1);
    assert_string_equal (self->stage.backend, "rocksdb");
    assert_int_equal (self->schedule.cores, 6);
    assert_int_equal (self->schedule.gpus, 2);
    assert_true (self->feedback.weights);
    assert_int_equal (self->feedback.bins, 10);
    assert_true (self->feedback.range_max_angstrom == 15);
    assert_int_equal (self->select.queues_count, 2);
    assert_string_equal (self->select.queues[1].configuration, "other");
    assert_true (self->select.queues[1].quota == 0.5);
    assert_int_equal (self->jobs[1].start, JOB_SELECTION);
    assert_string_equal (self->jobs[1].success_files[0], "a.json");
    assert_int_equal (self->jobs[2].start, JOB_AFTER);
    assert_string_equal (self->jobs[2].after, "setup");
    assert_int_equal (self->jobs[2].command_count, 3);
    assert_string_equal (self->jobs[2].command[1], "{input}");
    char *here = realpath (".", NULL);
    assert_string_equal (self->dir, here);
    assert_true (strncmp (self->path, here, strlen (here)) == 0);
    assert_string_equal (self->path + strlen (here), "/c.yaml");
    free (here);
    campaign_free (&self);
    free (text);
    free (more);
}

static void an_alias_stands_for_its_anchor (void **state)
{
    char *text = changed ("command: [setup, \"{candidate}\"]", "command: &c [setup, \"{candidate}\", 5, \"{{}}\"]");
    char *at = strstr (text, "[cg, \"{input}\", \"{candidate}\"]");
    assert_non_null (at);
    char *both;
    assert_true (asprintf (&both, "%.*s*c\n%s", (int)(at - text), text, strchr (at, '\n') + 1) >= 0);
    put ("c.yaml", both, strlen (both));
    struct campaign *self = load_sound ("c.yaml");
    assert_int_equal (self->jobs[2].command_count, 4);
    assert_string_equal (self->jobs[2].command[1], "{candidate}");
    assert_string_equal (self->jobs[2].command[2], "5");
    campaign_free (&self);
    free (both);
    free (text);
}

static void the_fingerprint_is_the_crc_of_the_text_that_was_read (void **state)
{
    put ("c.yaml", sound, sizeof (sound) - 1);
    struct campaign *self = load_sound ("c.yaml");
    uint32_t first = campaign_fingerprint (self);
    put ("c.yaml", "x", 1);
    assert_int_equal (campaign_fingerprint (self), first);
    campaign_free (&self);
    /* Bit-by-bit long division in another form than the code's: shift register over the message, MSB first. */
    uint32_t reg = 0xffffffffu;
    for (size_t i = 0; i < sizeof (sound) - 1; i++)
        for (int bit = 0; bit < 8; bit++) {
            uint32_t in = ((unsigned)(unsigned char)sound[i] >> bit) & 1u;
            uint32_t top = reg >> 31;
            reg <<= 1;
            if (top ^ in)
                reg ^= 0x1edc6f41u;
        }
    uint32_t expected = 0;
    for (int bit = 0; bit < 32; bit++)
        expected |= ((~reg >> bit) & 1u) << (31 - bit);
    assert_int_equal (first, expected);
    char *text;
    assert_true (asprintf (&text, "%s#\n", sound) >= 0);
    put ("c.yaml", text, strlen (text));
    self = load_sound ("c.yaml");
    assert_int_not_equal (campaign_fingerprint (self), first);
    campaign_free (&self);
    free (text);
}

static void the_shipped_campaign_loads (void **state)
{
    char path[4200];
    snprintf (path, sizeof (path), "%s/apps/membrane/campaign.yaml", root);
    char *text = get (path);
    put ("shipped.yaml", text, strlen (text));
    free (text);
    mkdir ("encoder", 0755);
    put ("encoder/model.pt", "PK", 2);
    struct campaign *self = load_sound ("shipped.yaml");
    assert_string_equal (self->name, "membrane-quick");
    assert_int_equal (self->select.queues_count, 5);
    assert_non_null (campaign_job_find (self, "createsim"));
    assert_int_equal (self->feedback.states_count, 18);
    assert_int_equal (self->feedback.rows_count, 8);
    assert_string_equal (self->goal.job, "cg");
    campaign_free (&self);
    unlink ("encoder/model.pt");
    rmdir ("encoder");
    unlink ("shipped.yaml");
}

static const char *look_up (void *arg, const char *name)
{
    return strcmp (name, "dir") == 0 ? "/w/7" : strcmp (name, "seed") == 0 ? "{dir}" : NULL;
}

static void variables_are_replaced_once_and_doubled_braces_become_one (void **state)
{
    static const struct { const char *text, *expected; } cases[] = {
        { "", "" }, { "plain", "plain" }, { "{dir}", "/w/7" }, { "a{dir}b{dir}", "a/w/7b/w/7" },
        { "{{dir}}", "{dir}" }, { "{{{dir}}}", "{/w/7}" }, { "{seed}", "{dir}" }, { "}}{{", "}{" },
        { "{none}", NULL }, { "{dir", NULL }, { "dir}", NULL }, { "{", NULL }, { "}", NULL }, { "{}", NULL },
        { "{a{dir}", NULL },
    };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        struct strata_error error = { "" };
        char *out = campaign_template_expand (cases[i].text, look_up, NULL, &error);
        if (cases[i].expected) {
            assert_non_null (out);
            assert_string_equal (out, cases[i].expected);
        } else {
            assert_null (out);
            assert_non_null (strstr (error.text, cases[i].text));
        }
        free (out);
    }
}

static void near_words_are_guessed_and_far_ones_are_not (void **state)
{
    static const char *const words[] = { "snapshots", "cores", "k", "gpus", NULL };
    assert_string_equal (campaign_nearest ("snapshto", words), "snapshots");
    assert_string_equal (campaign_nearest ("croes", words), "cores");
    assert_string_equal (campaign_nearest ("gpu", words), "gpus");
    assert_null (campaign_nearest ("walltime", words));
    char longer[200];
    memset (longer, 'a', sizeof (longer) - 1);
    longer[sizeof (longer) - 1] = '\0';
    assert_null (campaign_nearest (longer, words));
}

struct document {
    const char *text;
    size_t rows, missing;
};

static void look_for_row (const char *row, void *arg)
{
    struct document *document = arg;
    document->rows++;
    if (strstr (document->text, row))
        return;
    if (document->missing++ == 0)
        print_error ("docs/campaign-file.md lacks these rows:\n");
    print_error ("%s\n", row);
}

static void every_key_stands_in_the_document (void **state)
{
    char path[4200];
    snprintf (path, sizeof (path), "%s/docs/campaign-file.md", root);
    struct document document = { get (path), 0, 0 };
    campaign_schema_document (look_for_row, &document);
    size_t rows = 0;
    for (const char *p = document.text; (p = strstr (p, "\n| `")); p++)
        rows++;
    for (const char *const *v = campaign_template_names; *v; v++) {
        char variable[64];
        snprintf (variable, sizeof (variable), "- `{%s}` ", *v);
        assert_non_null (strstr (document.text, variable));
    }
    assert_int_equal (document.missing, 0);
    assert_int_equal (rows, document.rows); /* and no row of a key that is gone */
    free ((char *)document.text);
}

static int enter_folder (void **state)
{
    if (!getcwd (root, sizeof (root)))
        return -1;
    if (!scratch_new (folder, sizeof (folder)) || chdir (folder) != 0)
        return -1;
    put ("pca.npz", "PK", 2);
    return 0;
}

static int leave_folder (void **state)
{
    unlink ("c.yaml");
    unlink ("pca.npz");
    return chdir (root) == 0 && rmdir (folder) == 0 ? 0 : -1;
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (the_shipped_campaign_loads),
        cmocka_unit_test (defaults_are_filled_in),
        cmocka_unit_test (given_values_are_taken),
        cmocka_unit_test (an_alias_stands_for_its_anchor),
        cmocka_unit_test (the_fingerprint_is_the_crc_of_the_text_that_was_read),
        cmocka_unit_test (each_wrong_key_and_value_is_told_with_its_line),
        cmocka_unit_test (each_broken_reference_is_told_with_its_line),
        cmocka_unit_test (text_that_is_no_yaml_is_told_with_its_line),
        cmocka_unit_test (a_job_that_wants_more_than_the_schedule_has_is_refused),
        cmocka_unit_test (a_missing_model_is_named_with_its_path),
        cmocka_unit_test (files_that_hold_no_campaign_are_refused),
        cmocka_unit_test (an_empty_mapping_lists_all_that_is_required),
        cmocka_unit_test (hostile_files_are_refused_quickly),
        cmocka_unit_test (every_cut_of_the_file_is_refused_or_loads),
        cmocka_unit_test (files_with_flipped_bytes_are_refused_or_load),
        cmocka_unit_test (variables_are_replaced_once_and_doubled_braces_become_one),
        cmocka_unit_test (near_words_are_guessed_and_far_ones_are_not),
        cmocka_unit_test (every_key_stands_in_the_document),
    };
    return cmocka_run_group_tests (tests, enter_folder, leave_folder);
}
