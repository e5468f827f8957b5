/* campaign_schema.c - see campaign_schema.h */
#include "core/campaign_schema.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/campaign.h"

#define AT(type, member) .offset = offsetof (type, member), .size = sizeof (((type *)0)->member)
#define LIST_AT(type, member)                                                                                          \
    .kind = KIND_LIST, .offset = offsetof (type, member), .size = sizeof (*((type *)0)->member),                       \
    .count_offset = offsetof (type, member##_count)
#define WHOLE(type, member, from, to) .kind = KIND_WHOLE, AT (type, member), .min = (from), .max = (to)
#define REAL(type, member, from, to) .kind = KIND_REAL, AT (type, member), .low = (from), .high = (to)
#define NAME(type, member) .kind = KIND_NAME, AT (type, member), .min = 1, .max = 64
#define TEXT(type, member) .kind = KIND_TEXT, AT (type, member), .min = 1, .max = 1024
#define WORD(type, member, list) .kind = KIND_WORD, AT (type, member), .words = (list)
#define MAP(type, member, table) .kind = KIND_MAP, AT (type, member), .fields = (table)
#define END { .key = NULL }

#define DAY_S 86400
#define YEAR_S 31536000

static const char *const transports[] = { "auto", "ipc", "tcp", NULL };
static const char *const backends[] = { "file", "rocksdb", "tar", "redis", NULL };
static const char *const executors[] = { "local", "nodes", "slurm", "flux", NULL };
static const char *const encoders[] = { "pca", "network", NULL };
static const char *const samplers[] = { "farthest-point", "binned", "random", NULL };
static const char *const batches[] = { "re-rank", "rank-once", NULL };
static const char *const nears[] = { "gpu", "any", NULL };
static const char *const shares[] = { "l2", "l3", "socket", "any", NULL };
static const char *const exit_codes[] = { "plain", "merlin", NULL };
static const char *const bin_kinds[] = { "uniform", "edges", "spherical", NULL };
static const char *const sources[] = {
    [JOB_ALWAYS] = "always", [JOB_SELECTION] = "selection", [JOB_AFTER] = "after", NULL,
};
static const cyaml_strval_t source_values[] = {
    { "always", JOB_ALWAYS }, { "selection", JOB_SELECTION }, { "after", JOB_AFTER },
};

static const struct campaign_field replicas_fields[] = {
    { .key = "stage", WHOLE (struct campaign_replicas, stage, 1, 64), .fallback = "1",
      .help = "Processes of the stage service; all work, each keeps its own part of the names.", .example = "stage: 2" },
    { .key = "patch", WHOLE (struct campaign_replicas, patch, 1, 64), .fallback = "1",
      .help = "Processes of the patch service; all work, each on the next snapshot.", .example = "patch: 2" },
    { .key = "select", WHOLE (struct campaign_replicas, select, 1, 64), .fallback = "1",
      .help = "Processes of the select service; one works, the others stand by.", .example = "select: 2" },
    { .key = "schedule", WHOLE (struct campaign_replicas, schedule, 1, 64), .fallback = "1",
      .help = "Processes of the schedule service; one works, the others stand by.", .example = "schedule: 2" },
    { .key = "feedback", WHOLE (struct campaign_replicas, feedback, 1, 64), .fallback = "1",
      .help = "Processes of the feedback service; `feedback.shards` work, the others stand by.", .example = "feedback: 2" },
    END,
};

static const struct campaign_field mesh_fields[] = {
    { .key = "transport", WORD (struct campaign_mesh, transport, transports), .fallback = "auto",
      .help = "How services listen: Unix sockets alone (`ipc`), or also TCP (under CURVE) for other nodes; `auto`: TCP unless "
              "`schedule.executor` is `local`.",
      .example = "transport: tcp" },
    { .key = "interface", .kind = KIND_TEXT, AT (struct campaign_mesh, interface), .min = 1, .max = 100,
      .fallback = "auto",
      .help = "Network interface for TCP, by name or address; a name when nodes differ. `auto`: what STRATA_ADDRESS says, else the "
              "first that is up; 127.0.0.1 when `schedule.executor` is `local`.", .example = "interface: ib0" },
    { .key = "lease", WHOLE (struct campaign_mesh, lease_s, 1, 3600), .fallback = "3",
      .help = "Seconds without a sign of life after which a standby takes a replica's shard; longer than the longest "
              "turn of a service's loop.",
      .example = "lease: 10" },
    END,
};

static const struct campaign_field backend_item = { .kind = KIND_WORD, .size = sizeof (char *), .words = backends };

static const struct campaign_field namespace_fields[] = {
    { .key = "name", .kind = KIND_LABEL, AT (struct campaign_namespace, name), .required = true, .min = 1, .max = 200,
      .help = "The namespace; no two alike.", .example = "name: rdfs" },
    { .key = "backends", LIST_AT (struct campaign_namespace, backends), .item = &backend_item, .required = true, .min = 1, .max = 4,
      .help = "Where its objects are kept: written to all, read from the first that has them whole.",
      .example = "backends: [redis, tar]" },
    END,
};
static const struct campaign_field namespace_item = { .kind = KIND_MAP, .size = sizeof (struct campaign_namespace),
                                                      .fields = namespace_fields };

static const struct campaign_field cache_fields[] = {
    { .key = "folder", TEXT (struct campaign_cache, folder), .fallback = "/dev/shm",
      .help = "A folder of each node, in memory (tmpfs) or on a local disk; the cache is a folder in it.",
      .example = "folder: /scratch" },
    { .key = "mb", WHOLE (struct campaign_cache, mb, 0, 16777216), .fallback = "0",
      .help = "Its size at the most, in MiB, each stage; 0: there is no cache.", .example = "mb: 4096" },
    END,
};

static const struct campaign_field stage_fields[] = {
    { .key = "backend", WORD (struct campaign_stage, backend, backends), .fallback = "file",
      .help = "Where objects are kept: a file each, a RocksDB, indexed tar archives, or Redis servers.", .example = "backend: rocksdb" },
    { .key = "quota_mb", WHOLE (struct campaign_stage, quota_mb, 1, 16777216), .fallback = "1024",
      .help = "Bytes of all objects at the most, in MiB; puts beyond it are refused.", .example = "quota_mb: 4096" },
    { .key = "queue_mb", WHOLE (struct campaign_stage, queue_mb, 1, 16777216), .fallback = "256",
      .help = "Bytes of unconsumed records at the most, in MiB, each stream.", .example = "queue_mb: 64" },
    { .key = "namespaces", LIST_AT (struct campaign_stage, namespaces), .item = &namespace_item, .min = 0, .max = 64,
      .help = "Namespaces that are kept elsewhere than in `backend`, or in several places.",
      .example = "namespaces: [{name: rdfs, backends: [redis, tar]}]" },
    { .key = "cache", MAP (struct campaign_stage, cache, cache_fields),
      .help = "Objects that programs of a node map as files, fetched once a node.", .example = "cache: {folder: /dev/shm, mb: 4096}" },
    END,
};

static const struct campaign_field encoder_fields[] = {
    { .key = "kind", WORD (struct campaign_encoder, kind, encoders), .fallback = "pca",
      .help = "How a patch becomes a point: principal components, or a network (TorchScript; needs libtorch-dev when Strata is "
              "built).",
      .example = "kind: network" },
    { .key = "model", TEXT (struct campaign_encoder, model), .required = true,
      .help = "The model: for `pca` a .npz of scripts/train_pca.py, for `network` a .pt of scripts/train_encoder.py. Relative to "
              "the campaign file; it must exist. It is trusted: a network may compute what it likes.",
      .example = "model: encoder/pca.npz" },
    { .key = "dimensions", WHOLE (struct campaign_encoder, dimensions, 1, 64), .fallback = "9",
      .help = "Numbers of an encoded patch.", .example = "dimensions: 9" },
    END,
};

static const struct campaign_field patch_fields[] = {
    { .key = "snapshots", NAME (struct campaign_patch, snapshots), .required = true,
      .help = "Queue of snapshots to take from.", .example = "snapshots: snapshots" },
    { .key = "candidates", NAME (struct campaign_patch, candidates), .required = true,
      .help = "Stream of candidates to append to.", .example = "candidates: patches" },
    { .key = "namespace", .kind = KIND_LABEL, AT (struct campaign_patch, namespace_), .min = 1, .max = 200,
      .fallback = "patches", .help = "Namespace of the patch objects in staging.", .example = "namespace: patches" },
    { .key = "points", WHOLE (struct campaign_patch, points, 3, 999), .odd = true, .fallback = "73",
      .help = "Edge of a patch as it is cut, in grid points.", .example = "points: 73" },
    { .key = "coarse", WHOLE (struct campaign_patch, coarse, 1, 999), .fallback = "37",
      .help = "Edge of a patch after the block mean; not above `points`.", .example = "coarse: 37" },
    { .key = "lipid_only", WHOLE (struct campaign_patch, lipid_only, 0, 100000), .fallback = "33",
      .help = "Patches without a protein cut from each snapshot.", .example = "lipid_only: 33" },
    { .key = "lipid_only_distance_nm", REAL (struct campaign_patch, lipid_only_distance_nm, 0, 1e6), .fallback = "50",
      .help = "How far such a patch's centre stays from proteins and other such centres, in nm.",
      .example = "lipid_only_distance_nm: 50" },
    { .key = "lease", WHOLE (struct campaign_patch, lease_s, 1, DAY_S), .fallback = "120",
      .help = "Seconds after which a snapshot that was not acknowledged is handed out again.",
      .example = "lease: 120" },
    { .key = "tries", WHOLE (struct campaign_patch, tries, 1, 1000), .fallback = "3",
      .help = "A snapshot that fails this often is set aside.", .example = "tries: 3" },
    { .key = "encoder", MAP (struct campaign_patch, encoder, encoder_fields), .required = true,
      .help = "What turns a patch into a point for selection.",
      .example = "encoder: {kind: network, model: encoder/model.pt, dimensions: 9}" },
    END,
};

static const struct campaign_field queue_fields[] = {
    { .key = "name", NAME (struct campaign_queue, name), .required = true,
      .help = "Name of the queue; no two alike.", .example = "name: monomer" },
    { .key = "configuration", .kind = KIND_TEXT, AT (struct campaign_queue, configuration), .required = true, .min = 1,
      .max = 200, .help = "Which candidates come in: patterns with `*` and `?`, separated by blanks; the first queue that fits "
      "takes a candidate, `other` what no other queue takes. No two alike.",
      .example = "configuration: ras*" },
    { .key = "quota", REAL (struct campaign_queue, quota, 0, 1), .required = true,
      .help = "Share of the selections; all quotas sum to 1.", .example = "quota: 0.5" },
    { .key = "cap", WHOLE (struct campaign_queue, cap, 0, 1000000000), .fallback = "0",
      .help = "Candidates that wait at the most; above it the lowest ranked tenth is discarded, counted and recorded. 0: "
      "no cap.", .example = "cap: 35000" },
    END,
};
static const struct campaign_field queue_item = { .kind = KIND_MAP, .size = sizeof (struct campaign_queue),
                                                  .fields = queue_fields };

static const struct campaign_field edge_item = { .kind = KIND_REAL, .size = sizeof (double), .low = -1e15, .high = 1e15 };
static const struct campaign_field bins_fields[] = {
    { .key = "kind", WORD (struct campaign_bins, kind, bin_kinds), .required = true,
      .help = "`uniform`: `bins` from `min` to `max`, what is outside in the outer ones; `edges`: split at each of `edges`; "
      "`spherical`: tilt 0..pi and rotation -pi..pi in 302 cells (two coordinates).", .example = "kind: spherical" },
    { .key = "min", REAL (struct campaign_bins, min, -1e15, 1e15), .fallback = "0",
      .help = "`uniform`: lower end.", .example = "min: 0" },
    { .key = "max", REAL (struct campaign_bins, max, -1e15, 1e15), .fallback = "0",
      .help = "`uniform`: upper end.", .example = "max: 24.2" },
    { .key = "bins", WHOLE (struct campaign_bins, bins, 0, 1000000), .fallback = "0",
      .help = "`uniform`: how many.", .example = "bins: 5" },
    { .key = "edges", LIST_AT (struct campaign_bins, edges), .item = &edge_item, .min = 1, .max = 1000,
      .help = "`edges`: where one bin ends and the next begins, rising.", .example = "edges: [1.5, 2, 2.5, 3]" },
    END,
};
static const struct campaign_field bins_item = { .kind = KIND_MAP, .size = sizeof (struct campaign_bins),
                                                 .fields = bins_fields };

static const struct campaign_field select_fields[] = {
    { .key = "from", NAME (struct campaign_select, from), .required = true,
      .help = "Stream of candidates to rank.", .example = "from: patches" },
    { .key = "sampler", WORD (struct campaign_select, sampler, samplers), .fallback = "farthest-point",
      .help = "What chooses in each queue: the point farthest from what was selected, a distribution over bins, or chance.",
      .example = "sampler: binned" },
    { .key = "k", WHOLE (struct campaign_select, k, 1, 1000), .fallback = "10",
      .help = "`farthest-point`: a candidate's rank is its mean distance to this many nearest selected points.",
      .example = "k: 10" },
    { .key = "min_random", WHOLE (struct campaign_select, min_random, 0, 1000000), .fallback = "0",
      .help = "`farthest-point`: picks are random until so many are selected in a queue, and until `k` are.",
      .example = "min_random: 50" },
    { .key = "batch", WORD (struct campaign_select, batch, batches), .fallback = "re-rank",
      .help = "`farthest-point`: ranks are those after each pick, or (as DynIm does) those before a proposal.",
      .example = "batch: rank-once" },
    { .key = "novelty", REAL (struct campaign_select, novelty, 0, 1), .fallback = "0.5",
      .help = "`binned`: 0 picks from bins as they are filled, 1 from all bins alike.", .example = "novelty: 0.8" },
    { .key = "bins", LIST_AT (struct campaign_select, bins), .item = &bins_item, .min = 1, .max = 64,
      .help = "`binned`: how each coordinate of a point is divided, in their order.",
      .example = "bins: [{kind: spherical}, {kind: edges, edges: [1.5, 2, 2.5, 3]}]" },
    { .key = "dimensions", WHOLE (struct campaign_select, dimensions, 0, 64), .fallback = "0",
      .help = "Numbers of a point; 0: those of `patch.encoder`.", .example = "dimensions: 3" },
    { .key = "lease", WHOLE (struct campaign_select, lease_s, 1, DAY_S), .fallback = "60",
      .help = "Seconds after which a proposal that was not confirmed comes back.", .example = "lease: 60" },
    { .key = "queues", LIST_AT (struct campaign_select, queues), .item = &queue_item, .required = true, .min = 1,
      .max = 64, .help = "The selection queues, in the order in which they are tried.",
      .example = "queues: [{name: all, configuration: other, quota: 1}]" },
    END,
};

static const struct campaign_field argument_item = { .kind = KIND_ARGUMENT, .size = sizeof (char *), .max = 32768 };

static const struct campaign_field engine_fields[] = {
    { .key = "queue", .kind = KIND_LABEL, AT (struct campaign_engine, queue), .min = 1, .max = 200,
      .help = "Slurm's partition, Flux's queue; without it the engine's default.", .example = "queue: gpu" },
    { .key = "commands", .kind = KIND_TEXT, AT (struct campaign_engine, commands), .min = 1, .max = 1000,
      .help = "Folder of the engine's commands; without it they are found by PATH.", .example = "commands: /opt/slurm/bin" },
    { .key = "options", LIST_AT (struct campaign_engine, options), .item = &argument_item, .min = 0, .max = 64,
      .help = "More words for the command that submits jobs.", .example = "options: [--account=cancer, --exclusive=user]" },
    END,
};

static const struct campaign_field machine_fields[] = {
    { .key = "nodes", WHOLE (struct campaign_machine, nodes, 1, 1000000), .required = true,
      .help = "Nodes, all alike.", .example = "nodes: 4000" },
    { .key = "sockets", WHOLE (struct campaign_machine, sockets, 1, 64), .fallback = "1",
      .help = "Sockets of a node.", .example = "sockets: 2" },
    { .key = "cores", WHOLE (struct campaign_machine, cores, 1, 1024), .required = true,
      .help = "Cores of a socket; at most 1024 on a node.", .example = "cores: 22" },
    { .key = "gpus", WHOLE (struct campaign_machine, gpus, 0, 64), .fallback = "0",
      .help = "GPUs of a socket; at most 64 on a node.", .example = "gpus: 3" },
    { .key = "reserved", WHOLE (struct campaign_machine, reserved, 0, 1023), .fallback = "0",
      .help = "The first cores of each socket that no job gets; fewer than `cores`.", .example = "reserved: 1" },
    { .key = "l2", WHOLE (struct campaign_machine, l2, 1, 1024), .fallback = "1",
      .help = "Cores that share an L2 cache.", .example = "l2: 2" },
    { .key = "memory_mb", WHOLE (struct campaign_machine, memory_mb, 0, UINT32_MAX), .fallback = "0",
      .help = "Memory of a node in MiB; 0: not counted.", .example = "memory_mb: 524288" },
    END,
};

static const struct campaign_field schedule_fields[] = {
    { .key = "executor", WORD (struct campaign_schedule, executor, executors), .fallback = "local",
      .help = "What starts jobs: `local` starts processes on this machine, `nodes` on all nodes that `strata up --join` was called "
              "on, `slurm` and `flux` hand them to these.",
      .example = "executor: slurm" },
    { .key = "node_timeout", WHOLE (struct campaign_schedule, node_timeout_s, 1, 86400), .fallback = "60",
      .help = "Seconds without an answer after which a node of `nodes` is lost, and its jobs are started elsewhere.",
      .example = "node_timeout: 120" },
    { .key = "engine", MAP (struct campaign_schedule, engine, engine_fields),
      .help = "How the engine is spoken to; not used by `local`.", .example = "engine: {queue: gpu, options: [--account=cancer]}" },
    { .key = "cores", WHOLE (struct campaign_schedule, cores, 0, 10000000), .fallback = "0",
      .help = "Cores to use; 0 uses all of this machine, or of the engine.", .example = "cores: 8" },
    { .key = "gpus", WHOLE (struct campaign_schedule, gpus, 0, 1000000), .fallback = "0",
      .help = "GPUs to use.", .example = "gpus: 1" },
    { .key = "machine", MAP (struct campaign_schedule, machine, machine_fields),
      .help = "The nodes, for an executor that can't tell them and for `strata emulate`.",
      .example = "machine: {nodes: 4000, sockets: 2, cores: 22, gpus: 3, reserved: 1}" },
    { .key = "submissions", WHOLE (struct campaign_schedule, submissions, 0, 10000000), .fallback = "0",
      .help = "Jobs started in a round at the most; 0: no limit.", .example = "submissions: 500" },
    { .key = "round", WHOLE (struct campaign_schedule, round_s, 1, DAY_S), .fallback = "1",
      .help = "Seconds of a round.", .example = "round: 60" },
    { .key = "end_margin", WHOLE (struct campaign_schedule, end_margin_s, 0, DAY_S), .fallback = "60",
      .help = "Seconds before the end of the allocation at which all jobs have ended; what can't end by then is not started. The end is "
              "that of the Slurm or Flux job that `strata up` runs in, or STRATA_END.",
      .example = "end_margin: 120" },
    END,
};

static const struct campaign_field success_item = { .kind = KIND_FILE, .size = sizeof (char *), .min = 1, .max = 200 };

static const struct campaign_field model_fields[] = {
    { .key = "hours", REAL (struct campaign_model, hours, 0, 1e9), .fallback = "0",
      .help = "Mean hours of a job that does not fail.", .example = "hours: 1.5" },
    { .key = "spread", REAL (struct campaign_model, spread, 0, 1), .fallback = "0.1",
      .help = "Standard deviation of the hours, as a part of their mean.", .example = "spread: 0.1" },
    { .key = "failures", REAL (struct campaign_model, failures, 0, 1), .fallback = "0",
      .help = "Share of the attempts that fail.", .example = "failures: 0.02" },
    { .key = "resumes", .kind = KIND_BOOL, AT (struct campaign_model, resumes), .fallback = "false",
      .help = "Whether an attempt goes on where the one before it ended.", .example = "resumes: true" },
    { .key = "frames", REAL (struct campaign_model, frames, 0, 1e6), .fallback = "0",
      .help = "Frames that a running job hands to feedback in an hour.", .example = "frames: 86.7" },
    END,
};

static const struct campaign_field emulate_fields[] = {
    { .key = "snapshot_seconds", REAL (struct campaign_emulate, snapshot_s, 1, 1e9), .fallback = "90",
      .help = "Seconds between two snapshots of the continuum model.", .example = "snapshot_seconds: 90" },
    { .key = "patches", WHOLE (struct campaign_emulate, patches, 0, 1000000), .fallback = "333",
      .help = "Candidates cut out of a snapshot.", .example = "patches: 333" },
    { .key = "node_losses", REAL (struct campaign_emulate, node_losses, 0, 1e6), .fallback = "0.3",
      .help = "Losses of a node in a year.", .example = "node_losses: 0.3" },
    { .key = "node_hours", REAL (struct campaign_emulate, node_hours, 0, 1e6), .fallback = "12",
      .help = "Hours until a lost node is there again.", .example = "node_hours: 12" },
    END,
};

static const struct campaign_field part_fields[] = {
    { .key = "name", NAME (struct campaign_part, name), .required = true,
      .help = "Name of the part; no two alike. The job finds its cores in the variable STRATA_CORES_<NAME>.",
      .example = "name: analysis" },
    { .key = "cores", WHOLE (struct campaign_part, cores, 0, 256), .fallback = "1",
      .help = "Cores of the part on each node.", .example = "cores: 2" },
    { .key = "gpus", WHOLE (struct campaign_part, gpus, 0, 64), .fallback = "0",
      .help = "GPUs of the part on each node.", .example = "gpus: 1" },
    { .key = "near", WORD (struct campaign_part, near, nears), .fallback = "gpu",
      .help = "As `jobs[].near`.", .example = "near: gpu" },
    { .key = "share", WORD (struct campaign_part, share, shares), .fallback = "any",
      .help = "As `jobs[].share`.", .example = "share: l2" },
    END,
};
static const struct campaign_field part_item = { .kind = KIND_MAP, .size = sizeof (struct campaign_part),
                                                 .fields = part_fields };

const struct campaign_field campaign_run_fields[] = {
    { .key = "cmd", .kind = KIND_ARGUMENT, AT (struct campaign_run, cmd), .required = true, .min = 1, .max = 32768,
      .help = "What a shell (bash) runs in the job's folder, with $(TOKENS).", .example = "cmd: $(LAUNCHER) gmx mdrun -deffnm cg" },
    { .key = "restart", .kind = KIND_ARGUMENT, AT (struct campaign_run, restart), .min = 1, .max = 32768,
      .help = "The same after an interruption: `jobs[].restart`.", .example = "restart: gmx mdrun -deffnm cg -cpi" },
    { .key = "nodes", WHOLE (struct campaign_run, nodes, 1, 1000000), .fallback = "1", .help = "Nodes.", .example = "nodes: 1" },
    { .key = "procs", WHOLE (struct campaign_run, procs, 1, 1000000), .fallback = "1",
      .help = "Processes that $(LAUNCHER) starts, on all nodes together.", .example = "procs: 4" },
    { .key = "cores", WHOLE (struct campaign_run, cores, 0, 100000), .fallback = "1",
      .help = "Cores of each process; 0 (one process only) shares cores with others.", .example = "cores: 3" },
    { .key = "cores per task", WHOLE (struct campaign_run, cores_per_task, 0, 100000), .fallback = "1",
      .help = "Another name of `cores`.", .example = "cores per task: 3" },
    { .key = "gpus", WHOLE (struct campaign_run, gpus, 0, 10000), .fallback = "0", .help = "GPUs of each node.", .example = "gpus: 1" },
    { .key = "walltime", .kind = KIND_TEXT, AT (struct campaign_run, walltime), .min = 1, .max = 32, .fallback = "1:00:00",
      .help = "Hours:minutes:seconds, or seconds.", .example = "walltime: '12:00:00'" },
    { .key = "max_retries", WHOLE (struct campaign_run, max_retries, 0, 999), .fallback = "2",
      .help = "Tries after the first.", .example = "max_retries: 3" },
    { .key = "retry_delay", WHOLE (struct campaign_run, retry_delay_s, 0, DAY_S), .fallback = "0",
      .help = "As `jobs[].retry_delay`.", .example = "retry_delay: 60" },
    END,
};

static const struct campaign_field job_fields[] = {
    { .key = "name", NAME (struct campaign_job, name), .required = true,
      .help = "Name of the job type; no two alike.", .example = "name: createsim" },
    { .key = "start", .kind = KIND_CHOICE, AT (struct campaign_job, start), .words = sources, .required = true,
      .help = "What starts a job: `always` keeps one going; `selection` one for each confirmed selection; `after` one "
              "for each success of the type named by the key `after`.",
      .example = "start: selection" },
    { .key = "after", NAME (struct campaign_job, after),
      .help = "With `start: after`, and only then: the type before it in the chain.", .example = "after: createsim" },
    { .key = "command", LIST_AT (struct campaign_job, command), .item = &argument_item, .min = 1, .max = 256,
      .help = "Program and arguments, with {variables}; no shell reads it. One of `command`, `run`, `tracker` must be there.",
      .example = "command: [\"{bin_dir}/membrane-cg\", --in, \"{input}\"]" },
    { .key = "restart", LIST_AT (struct campaign_job, restart), .item = &argument_item, .min = 1, .max = 256,
      .help = "Instead of `command` after an attempt that was interrupted: by its walltime, by the loss of its node, by the campaign's "
              "end, or as it asked for (Merlin's 100).",
      .example = "restart: [cg, --continue, \"{dir}\"]" },
    { .key = "run", MAP (struct campaign_job, run, campaign_run_fields),
      .help = "The job as a step of Maestro, instead of `command` and what else it says.", .example = "run: {cmd: make, cores: 2}" },
    { .key = "tracker", TEXT (struct campaign_job, tracker),
      .help = "A file of MuMMI's JobTracker that says it instead; relative to the campaign file.", .example = "tracker: jobs_cg.yaml" },
    { .key = "checkpoint", .kind = KIND_BOOL, AT (struct campaign_job, checkpoint), .fallback = "false",
      .help = "Whether a job that is stopped goes on where it was, and so may start when its walltime does not fit before the allocation's end. "
              "Those with `start: always` or `restart` do.",
      .example = "checkpoint: true" },
    { .key = "retry_delay", WHOLE (struct campaign_job, retry_delay_s, 0, DAY_S), .fallback = "0",
      .help = "Seconds before a failed job is tried again; 0: 1, 2, 4 ... 30.", .example = "retry_delay: 60" },
    { .key = "cores", WHOLE (struct campaign_job, cores, 0, 100000), .fallback = "1",
      .help = "Cores of its own; 0 shares cores with others, for a light job that runs long.", .example = "cores: 4" },
    { .key = "gpus", WHOLE (struct campaign_job, gpus, 0, 10000), .fallback = "0",
      .help = "GPUs of its own.", .example = "gpus: 1" },
    { .key = "nodes", WHOLE (struct campaign_job, nodes, 1, 1000000), .fallback = "1",
      .help = "Nodes; `cores`, `gpus` and `memory_mb` are of each.", .example = "nodes: 150" },
    { .key = "near", WORD (struct campaign_job, near, nears), .fallback = "gpu",
      .help = "`gpu`: cores in the socket of the job's GPUs, where that can be; `any`: wherever.", .example = "near: any" },
    { .key = "share", WORD (struct campaign_job, share, shares), .fallback = "any",
      .help = "What the job's cores have in common, where that can be.", .example = "share: l2" },
    { .key = "parts", LIST_AT (struct campaign_job, parts), .item = &part_item, .min = 0, .max = 4,
      .help = "Programs that run side by side in the job, each bound to cores of its own; instead of `cores` and `gpus`.",
      .example = "parts: [{name: simulation, gpus: 1}, {name: analysis, cores: 2, share: l2}]" },
    { .key = "gpu_share", REAL (struct campaign_job, gpu_share, 0, 1), .fallback = "0",
      .help = "Share of all GPUs: types that have less than theirs go first; 0: no share.", .example = "gpu_share: 0.8" },
    { .key = "model", MAP (struct campaign_job, model, model_fields),
      .help = "How long its jobs take, for `strata emulate`.", .example = "model: {hours: 1.5, failures: 0.02}" },
    { .key = "walltime", WHOLE (struct campaign_job, walltime_s, 1, YEAR_S), .fallback = "3600",
      .help = "Seconds after which a job that still runs is ended.", .example = "walltime: 600" },
    { .key = "tries", WHOLE (struct campaign_job, tries, 1, 1000), .fallback = "3",
      .help = "Starts at the most before a job is set aside.", .example = "tries: 2" },
    { .key = "memory_mb", WHOLE (struct campaign_job, memory_mb, 0, 16777216), .fallback = "0",
      .help = "Memory limit in MiB; 0 sets none.", .example = "memory_mb: 2048" },
    { .key = "output_mb", WHOLE (struct campaign_job, output_mb, 0, 16777216), .fallback = "1024",
      .help = "MiB that an attempt may write to stdout and stderr together; 0 sets no limit.", .example = "output_mb: 100" },
    { .key = "grace", WHOLE (struct campaign_job, grace_s, 1, DAY_S), .fallback = "20",
      .help = "Seconds between SIGTERM and SIGKILL when a job is ended.", .example = "grace: 10" },
    { .key = "success", LIST_AT (struct campaign_job, success_files), .item = &success_item, .min = 0, .max = 64,
      .help = "Files in {dir} that must exist and not be empty after exit code 0; else the job failed.",
      .example = "success: [sim.json, system.gro]" },
    { .key = "exit_codes", WORD (struct campaign_job, exit_codes, exit_codes), .fallback = "plain",
      .help = "merlin: 100 starts it again (no try is used), 101 and 102 set it aside at once, 103 is a success, 104 a failure to try again.",
      .example = "exit_codes: merlin" },
    { .key = "buffer", WHOLE (struct campaign_job, buffer, 1, 1000000), .fallback = "2",
      .help = "Finished but unconsumed jobs, and those in work, to keep ahead. Not with `start: always`.",
      .example = "buffer: 4" },
    END,
};
static const struct campaign_field job_item = { .kind = KIND_MAP, .size = sizeof (struct campaign_job),
                                                .fields = job_fields };

static const struct campaign_field label_item = { .kind = KIND_LABEL, .size = sizeof (char *), .min = 1, .max = 64 };

static const struct campaign_field region_fields[] = {
    { .key = "name", .kind = KIND_LABEL, AT (struct campaign_region, name), .min = 1, .max = 64, .required = true,
      .help = "Name of the region; no two alike.", .example = "name: HVR" },
    { .key = "chain", .kind = KIND_LABEL, AT (struct campaign_region, chain), .min = 1, .max = 1, .fallback = "A",
      .help = "The chain it is in.", .example = "chain: B" },
    { .key = "first", WHOLE (struct campaign_region, first, 0, 100000), .required = true,
      .help = "Number of its first residue.", .example = "first: 164" },
    { .key = "last", WHOLE (struct campaign_region, last, 0, 100000), .required = true,
      .help = "Number of its last residue; at most 256 residues.", .example = "last: 185" },
    { .key = "share", REAL (struct campaign_region, share, 0, 1), .required = true,
      .help = "Share of the frames above which the most common pattern comes into force.", .example = "share: 0.25" },
    { .key = "coil", .kind = KIND_LABEL, AT (struct campaign_region, coil), .min = 1, .max = 16, .fallback = "P",
      .help = "Letters that count as coil (C), as those without any do.", .example = "coil: PTSG" },
    END,
};
static const struct campaign_field region_item = { .kind = KIND_MAP, .size = sizeof (struct campaign_region), .fields = region_fields };

static const struct campaign_field patterns_fields[] = {
    { .key = "from", NAME (struct campaign_patterns, from),
      .help = "Stream of structures to look at; without it there is no feedback of patterns.", .example = "from: structures" },
    { .key = "command", LIST_AT (struct campaign_patterns, command), .item = &argument_item, .min = 0, .max = 64,
      .help = "A worker that stays: program and arguments; `{bin_dir}` and `{workspace}` are replaced.",
      .example = "command: [\"{bin_dir}/membrane-dssp\", --serve]" },
    { .key = "workers", WHOLE (struct campaign_patterns, workers, 1, 256), .fallback = "1",
      .help = "Workers at once.", .example = "workers: 8" },
    { .key = "frame_s", WHOLE (struct campaign_patterns, frame_s, 1, 86400), .fallback = "30",
      .help = "Seconds a worker has for a frame; then it is killed, and another one gets the frame.", .example = "frame_s: 10" },
    { .key = "tries", WHOLE (struct campaign_patterns, tries, 1, 100), .fallback = "3",
      .help = "Workers that may fail on a frame before it is set aside.", .example = "tries: 2" },
    { .key = "frames", WHOLE (struct campaign_patterns, frames, 1, 1000000000), .fallback = "100",
      .help = "New frames of each protein before a report is thought of.", .example = "frames: 500" },
    { .key = "proteins", LIST_AT (struct campaign_patterns, proteins), .item = &label_item, .min = 0, .max = 256,
      .help = "Kinds of protein; no two alike.", .example = "proteins: [ras4b, ras4b-raf]" },
    { .key = "regions", LIST_AT (struct campaign_patterns, regions), .item = &region_item, .min = 0, .max = 64,
      .help = "The residues whose pattern is looked at.",
      .example = "regions: [{name: HVR, first: 164, last: 185, share: 0.25, coil: PTSG}]" },
    END,
};

static const struct campaign_field feedback_fields[] = {
    { .key = "from", NAME (struct campaign_feedback, from), .required = true,
      .help = "Stream of histograms to sum.", .example = "from: rdfs" },
    { .key = "uptake", NAME (struct campaign_feedback, uptake), .required = true,
      .help = "Stream in which the model tells that it took a report.", .example = "uptake: uptakes" },
    { .key = "states", LIST_AT (struct campaign_feedback, states), .item = &label_item, .required = true, .min = 1,
      .max = 4096, .help = "Names of the row groups of the histograms; no two alike.",
      .example = "states: [RASa, RASb]" },
    { .key = "rows", LIST_AT (struct campaign_feedback, rows), .item = &label_item, .required = true, .min = 1,
      .max = 4096, .help = "Names of the rows of each group; no two alike.", .example = "rows: [POPC, CHOL]" },
    { .key = "bins", WHOLE (struct campaign_feedback, bins, 1, 1000000), .fallback = "599",
      .help = "Bins of a row.", .example = "bins: 599" },
    { .key = "range_min_angstrom", REAL (struct campaign_feedback, range_min_angstrom, 0, 1e6), .fallback = "0.1",
      .help = "Where the first bin begins, in Angstrom.", .example = "range_min_angstrom: 0.1" },
    { .key = "range_max_angstrom", REAL (struct campaign_feedback, range_max_angstrom, 0, 1e6), .fallback = "120",
      .help = "Where the last bin ends, in Angstrom; above `range_min_angstrom`.",
      .example = "range_max_angstrom: 120" },
    { .key = "frames", WHOLE (struct campaign_feedback, frames, 1, 1000000000), .fallback = "1000",
      .help = "New frames after which a report is made.", .example = "frames: 40" },
    { .key = "seconds", WHOLE (struct campaign_feedback, seconds, 1, YEAR_S), .fallback = "600",
      .help = "Seconds after which a report is made if there is at least one new frame.", .example = "seconds: 30" },
    { .key = "shards", WHOLE (struct campaign_feedback, shards, 1, 64), .fallback = "1",
      .help = "Replicas that share the simulations among them; at most `replicas.feedback`.", .example = "shards: 2" },
    { .key = "patterns", MAP (struct campaign_feedback, patterns, patterns_fields),
      .help = "A second feedback: which secondary structure the proteins of the finest simulations have.",
      .example = "patterns: {from: structures, command: [worker], proteins: [ras], regions: [...]}" },
    { .key = "weights", .kind = KIND_BOOL, AT (struct campaign_feedback, weights), .fallback = "false",
      .help = "Weight each simulation by 1 + the candidates nearest to it, as select says when the report is made; needs one shard.", .example = "weights: true" },
    END,
};

static const struct campaign_field goal_fields[] = {
    { .key = "job", NAME (struct campaign_goal, job),
      .help = "The job type whose successes count.", .example = "job: cg" },
    { .key = "successes", WHOLE (struct campaign_goal, successes, 0, 1000000000), .fallback = "0",
      .help = "Successes of that type; 0 asks for none.", .example = "successes: 6" },
    { .key = "uptakes", WHOLE (struct campaign_goal, uptakes, 0, 1000000000), .fallback = "0",
      .help = "Reports taken up by the model; 0 asks for none.", .example = "uptakes: 2" },
    END,
};

static const struct campaign_field replay_fields[] = {
    { .key = "select", .kind = KIND_BOOL, AT (struct campaign_replay, select), .fallback = "true",
      .help = "Whether the inputs of select are recorded.", .example = "select: false" },
    { .key = "schedule", .kind = KIND_BOOL, AT (struct campaign_replay, schedule), .fallback = "true",
      .help = "Whether the inputs of schedule are recorded.", .example = "schedule: false" },
    { .key = "feedback", .kind = KIND_BOOL, AT (struct campaign_replay, feedback), .fallback = "true",
      .help = "Whether the inputs of feedback are recorded: as many bytes as its frames have.",
      .example = "feedback: false" },
    { .key = "stage", .kind = KIND_BOOL, AT (struct campaign_replay, stage), .fallback = "false",
      .help = "Whether the inputs of each stage are recorded: every byte that simulations send it is written once more.",
      .example = "stage: true" },
    { .key = "keep_mb", WHOLE (struct campaign_replay, keep_mb, 4, 16777216), .fallback = "128",
      .help = "Recorded inputs and checkpoints at the most, in MiB, each shard; the oldest are removed.",
      .example = "keep_mb: 4096" },
    { .key = "checkpoint_mb", WHOLE (struct campaign_replay, checkpoint_mb, 1, 4194304), .fallback = "32",
      .help = "Inputs between two checkpoints, in MiB; at most a quarter of `keep_mb`.", .example = "checkpoint_mb: 512" },
    END,
};

static const struct campaign_field campaign_fields[] = {
    { .key = "strata", WHOLE (struct campaign, format, CAMPAIGN_FORMAT, CAMPAIGN_FORMAT), .required = true,
      .help = "Format of the file.", .example = "strata: 1" },
    { .key = "campaign", NAME (struct campaign, name), .required = true,
      .help = "Name of the campaign.", .example = "campaign: membrane-quick" },
    { .key = "workspace", TEXT (struct campaign, workspace), .required = true,
      .help = "Folder for all that the campaign writes; relative to the current folder of `strata run`.",
      .example = "workspace: run/membrane-quick" },
    { .key = "seed", WHOLE (struct campaign, seed, 0, UINT64_MAX), .fallback = "0",
      .help = "Start of every random number of the campaign.", .example = "seed: 2026" },
    { .key = "replicas", MAP (struct campaign, replicas, replicas_fields),
      .help = "How many processes of each service at first; `strata scale` changes it.", .example = "replicas: {patch: 2}" },
    { .key = "mesh", MAP (struct campaign, mesh, mesh_fields),
      .help = "How services reach each other.", .example = "mesh: {transport: tcp, interface: ib0}" },
    { .key = "stage", MAP (struct campaign, stage, stage_fields),
      .help = "Staging: objects and streams of the simulations.", .example = "stage: {backend: file, quota_mb: 4096}" },
    { .key = "patch", MAP (struct campaign, patch, patch_fields), .required = true,
      .help = "Cutting patches out of snapshots.",
      .example = "patch: {snapshots: snapshots, candidates: patches, encoder: {model: pca.npz}}" },
    { .key = "select", MAP (struct campaign, select, select_fields), .required = true,
      .help = "Choosing candidates.",
      .example = "select: {from: patches, queues: [{name: all, configuration: other, quota: 1}]}" },
    { .key = "schedule", MAP (struct campaign, schedule, schedule_fields),
      .help = "Where jobs run.", .example = "schedule: {executor: local, cores: 8}" },
    { .key = "env", .kind = KIND_FREE,
      .help = "`variables` and `labels`: what $(NAME) stands for in a `run`.",
      .example = "env: {variables: {FORCEFIELD: martini}}" },
    { .key = "jobs", LIST_AT (struct campaign, jobs), .item = &job_item, .required = true, .min = 1, .max = 64,
      .help = "The job types.", .example = "jobs: [{name: cg, start: selection, command: [cg, \"{candidate}\"]}]" },
    { .key = "feedback", MAP (struct campaign, feedback, feedback_fields), .required = true,
      .help = "Summing up what simulations measure and reporting it to the coarser model.",
      .example = "feedback: {from: rdfs, uptake: uptakes, states: [RASa], rows: [POPC]}" },
    { .key = "replay", MAP (struct campaign, replay, replay_fields),
      .help = "The record of inputs that strata replay plays again.",
      .example = "replay: {keep_mb: 4096, checkpoint_mb: 512}" },
    { .key = "goal", MAP (struct campaign, goal, goal_fields),
      .help = "When the campaign is complete; without it, it runs until it is stopped.",
      .example = "goal: {job: cg, successes: 6}" },
    { .key = "emulate", MAP (struct campaign, emulate, emulate_fields),
      .help = "What else happens in `strata emulate`.", .example = "emulate: {node_losses: 0.3}" },
    END,
};

const struct campaign_field campaign_schema = { .kind = KIND_MAP, .size = sizeof (struct campaign),
                                                .fields = campaign_fields };

/* ---- libcyaml's form ---- */

static struct {
    cyaml_schema_value_t root;
    cyaml_schema_field_t fields[320];
    cyaml_schema_value_t items[32];
    size_t fields_used, items_used;
    bool full;
} built;

static const cyaml_schema_field_t *build_fields (const struct campaign_field *fields);

static void build_value (const struct campaign_field *field, cyaml_schema_value_t *value)
{
    unsigned flags = field->required || !field->key ? CYAML_FLAG_DEFAULT : CYAML_FLAG_OPTIONAL;
    value->data_size = field->size;
    switch (field->kind) {
        case KIND_WHOLE:
            value->type = CYAML_UINT;
            break;
        case KIND_REAL:
            value->type = CYAML_FLOAT;
            break;
        case KIND_BOOL:
            value->type = CYAML_BOOL;
            break;
        case KIND_NAME:
        case KIND_LABEL:
        case KIND_TEXT:
        case KIND_ARGUMENT:
        case KIND_FILE:
        case KIND_WORD:
            value->type = CYAML_STRING;
            value->data_size = sizeof (char);
            value->string.max = CYAML_UNLIMITED;
            flags |= CYAML_FLAG_POINTER;
            break;
        case KIND_CHOICE: /* the only one: job.start */
            value->type = CYAML_ENUM;
            value->enumeration.strings = source_values;
            value->enumeration.count = CYAML_ARRAY_LEN (source_values);
            flags |= CYAML_FLAG_STRICT;
            break;
        case KIND_FREE:
            value->type = CYAML_IGNORE;
            break;
        case KIND_MAP:
            value->type = CYAML_MAPPING;
            value->mapping.fields = build_fields (field->fields);
            break;
        case KIND_LIST:
            value->type = CYAML_SEQUENCE;
            flags |= CYAML_FLAG_POINTER;
            if (built.items_used == CYAML_ARRAY_LEN (built.items)) {
                built.full = true;
                break;
            }
            cyaml_schema_value_t *item = &built.items[built.items_used++];
            build_value (field->item, item);
            value->sequence.entry = item;
            value->sequence.min = (uint32_t)field->min;
            value->sequence.max = (uint32_t)field->max;
            break;
    }
    value->flags = (enum cyaml_flag)flags;
}

static const cyaml_schema_field_t *build_fields (const struct campaign_field *fields)
{
    size_t n = 0;
    while (fields[n].key)
        n++;
    if (built.fields_used + n + 1 > CYAML_ARRAY_LEN (built.fields)) {
        built.full = true;
        return built.fields;
    }
    cyaml_schema_field_t *out = built.fields + built.fields_used;
    built.fields_used += n + 1; /* the last one stays zero: libcyaml's end mark */
    for (size_t i = 0; i < n; i++) {
        out[i].key = fields[i].key;
        out[i].data_offset = fields[i].offset;
        if (fields[i].kind == KIND_LIST) {
            out[i].count_offset = fields[i].count_offset;
            out[i].count_size = sizeof (unsigned);
        }
        build_value (&fields[i], &out[i].value);
    }
    return out;
}

static void build_root (void)
{
    build_value (&campaign_schema, &built.root);
    built.root.flags = CYAML_FLAG_POINTER;
}

const cyaml_schema_value_t *campaign_schema_cyaml (void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once (&once, build_root);
    return built.full ? NULL : &built.root;
}

/* ---- words about a field ---- */

void campaign_schema_allowed (const struct campaign_field *field, char *text, size_t size)
{
    switch (field->kind) {
        case KIND_WHOLE:
            if (field->min == field->max)
                snprintf (text, size, "%" PRIu64, field->min);
            else
                snprintf (text, size, "%s whole number from %" PRIu64 " to %" PRIu64, field->odd ? "an odd" : "a",
                          field->min, field->max);
            break;
        case KIND_REAL:
            snprintf (text, size, "a number from %g to %.15g", field->low, field->high);
            break;
        case KIND_BOOL:
            snprintf (text, size, "true or false");
            break;
        case KIND_NAME:
            snprintf (text, size,
                      "a name of %" PRIu64 " to %" PRIu64 " characters of a-z 0-9 -", field->min, field->max);
            break;
        case KIND_LABEL:
            snprintf (text, size,
                      "a name of %" PRIu64 " to %" PRIu64 " characters of A-Z a-z 0-9 . _ + = @ -, not . or ..",
                      field->min, field->max);
            break;
        case KIND_TEXT:
            snprintf (text, size, "one line of text of %" PRIu64 " to %" PRIu64 " bytes", field->min, field->max);
            break;
        case KIND_ARGUMENT:
            snprintf (text, size, "text of at most %" PRIu64 " bytes", field->max);
            break;
        case KIND_FILE:
            snprintf (text, size,
                      "a path of %" PRIu64 " to %" PRIu64 " bytes inside {dir}, without / in front and without ..",
                      field->min, field->max);
            break;
        case KIND_WORD:
        case KIND_CHOICE: {
            int n = snprintf (text, size, "%s", field->words[1] ? "one of " : "");
            for (size_t i = 0; field->words[i] && n >= 0 && (size_t)n < size; i++)
                n += snprintf (text + n, size - (size_t)n, "%s%s", i ? ", " : "", field->words[i]);
            break;
        }
        case KIND_MAP: {
            int n = snprintf (text, size, "a mapping with the keys ");
            for (size_t i = 0; field->fields[i].key && n >= 0 && (size_t)n < size; i++)
                n += snprintf (text + n, size - (size_t)n, "%s%s", i ? ", " : "", field->fields[i].key);
            break;
        }
        case KIND_FREE:
            snprintf (text, size, "a mapping");
            break;
        case KIND_LIST:
            snprintf (text, size, "a list of %" PRIu64 " to %" PRIu64 " items", field->min, field->max);
            break;
    }
}

static void document_fields (const struct campaign_field *fields, const char *prefix,
                             void (*each) (const char *row, void *arg), void *arg)
{
    for (const struct campaign_field *f = fields; f->key; f++) {
        char path[128], allowed[512], row[1536];
        snprintf (path, sizeof (path), "%s%s", prefix, f->key);
        campaign_schema_allowed (f, allowed, sizeof (allowed));
        if (f->kind == KIND_MAP)
            snprintf (allowed, sizeof (allowed), "a mapping");
        if (f->kind == KIND_LIST && f->item->kind != KIND_MAP) {
            size_t n = strlen (allowed);
            snprintf (allowed + n, sizeof (allowed) - n, ", each ");
            n = strlen (allowed);
            campaign_schema_allowed (f->item, allowed + n, sizeof (allowed) - n);
        }
        snprintf (row, sizeof (row), "| `%s` | %s | %s | %s | `%s` |", path, allowed,
                  f->required ? "required" : f->fallback ? f->fallback : "none", f->help, f->example);
        each (row, arg);
        const struct campaign_field *inner = f->kind == KIND_MAP                                     ? f->fields
                                             : f->kind == KIND_LIST && f->item->kind == KIND_MAP ? f->item->fields
                                                                                                     : NULL;
        if (inner) {
            char deeper[136];
            snprintf (deeper, sizeof (deeper), "%s%s.", path, f->kind == KIND_LIST ? "[]" : "");
            document_fields (inner, deeper, each, arg);
        }
    }
}

void campaign_schema_document (void (*each) (const char *row, void *arg), void *arg)
{
    document_fields (campaign_fields, "", each, arg);
}

/* ---- numbers ---- */

bool campaign_parse_whole (const char *text, uint64_t *value)
{
    if (!isdigit ((unsigned char)text[0]) || (text[0] == '0' && text[1]))
        return false; /* 010 is 8 to YAML 1.1 and 10 to a person */
    uint64_t sum = 0;
    for (const char *p = text; *p; p++) {
        if (!isdigit ((unsigned char)*p))
            return false;
        uint64_t digit = (uint64_t)(*p - '0');
        if (sum > (UINT64_MAX - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    *value = sum;
    return true;
}

bool campaign_parse_real (const char *text, double *value)
{
    /* strtod alone takes "inf", "nan" and "0x1p3". */
    if (strspn (text, "0123456789+-.eE") != strlen (text) || !strpbrk (text, "0123456789"))
        return false;
    char *end;
    errno = 0;
    *value = strtod (text, &end);
    return *end == '\0' && isfinite (*value);
}

int campaign_schema_value (const struct campaign_field *field, const char *text, void *at)
{
    uint64_t whole = 0;
    switch (field->kind) {
        case KIND_WHOLE:
            campaign_parse_whole (text, &whole);
            if (field->size == sizeof (uint64_t))
                *(uint64_t *)at = whole;
            else
                *(unsigned *)at = (unsigned)whole;
            return 0;
        case KIND_REAL:
            campaign_parse_real (text, at);
            return 0;
        case KIND_BOOL:
            *(bool *)at = strcmp (text, "true") == 0;
            return 0;
        default: /* the texts */
            *(char **)at = strdup (text);
            return *(char **)at ? 0 : -1;
    }
}

int campaign_schema_fill (struct campaign_yaml *yaml, const struct campaign_field *fields, yaml_node_t *node, void *base)
{
    for (const struct campaign_field *f = fields; f->key; f++) {
        const char *text = campaign_yaml_text (campaign_yaml_get (yaml, node, f->key, NULL));
        bool scalar = f->kind != KIND_MAP && f->kind != KIND_LIST && f->kind != KIND_FREE && f->kind != KIND_CHOICE;
        if (scalar && (text || f->fallback) && campaign_schema_value (f, text ? text : f->fallback, (char *)base + f->offset) != 0)
            return -1;
    }
    return 0;
}
