/* campaign.h - the campaign file: what one scientific run is made of.
 *
 * YAML, read once by every service and the command line. All checking happens here, before anything starts: each
 * mistake becomes one line `file:line: key: what is wrong and what is allowed`. The structs below are plain data after
 * that: every number is in range, every name that refers to another is defined, every default is filled in.
 */
#ifndef STRATA_CAMPAIGN_H
#define STRATA_CAMPAIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CAMPAIGN_FORMAT 1 /* the value of `strata:` that this build reads */

/* How a candidate finds its selection queue: the first queue with a pattern that its configuration matches (fnmatch; blanks
 * separate patterns), else the one with configuration "other". patch writes one of: lipid-only, ras, ras-raf, other,
 * invalid. */
struct campaign_queue {
    char *name;
    char *configuration;
    double quota;           /* 0..1; all quotas sum to 1 */
    unsigned cap;           /* candidates that wait at the most: above it the lowest ranked tenth is discarded; 0: no cap */
};

/* How the binned sampler divides one coordinate, or two. */
struct campaign_bins {
    char *kind;             /* "uniform", "edges", "spherical" */
    double min, max;        /* uniform */
    unsigned bins;          /* uniform */
    double *edges;          /* edges: rising */
    unsigned edges_count;
};

struct campaign_select {
    char *from;             /* stream of candidates to consume */
    char *sampler;          /* "farthest-point" (default), "binned", "random" */
    unsigned k;             /* farthest-point: mean distance to so many nearest selected points; 1..1000, default 10 */
    unsigned min_random;    /* farthest-point: fewer than this (and than k) selected: picks are random from the seed */
    char *batch;            /* farthest-point: "re-rank" after each pick (default), "rank-once" a proposal */
    double novelty;         /* binned: 0 as bins are filled .. 1 all bins alike; default 0.5 */
    struct campaign_bins *bins;
    unsigned bins_count;
    unsigned dimensions;    /* of a point; 0 (default): those of patch.encoder */
    unsigned lease_s;       /* a proposal not confirmed by then comes back; default 60 */
    struct campaign_queue *queues;
    unsigned queues_count;
};

struct campaign_encoder {
    char *kind;             /* "pca" (default), "network" */
    char *model;            /* its file (services/patch/patch_encode.h); relative to the campaign file */
    unsigned dimensions;    /* 1..64, default 9 */
};

struct campaign_patch {
    char *snapshots;        /* queue of snapshots to take from */
    char *candidates;       /* stream of candidates to append to */
    char *namespace_;       /* YAML key `namespace`: of the patch objects in staging; default "patches" */
    unsigned points;        /* native edge in grid points, odd; default 73 */
    unsigned coarse;        /* edge after block mean; default 37 */
    unsigned lipid_only;    /* lipid-only patches a snapshot; default 33 */
    double lipid_only_distance_nm; /* default 50 */
    unsigned lease_s;       /* a snapshot not acknowledged by then is handed out again; default 120 */
    unsigned tries;         /* a snapshot that fails this often is set aside; default 3 */
    struct campaign_encoder encoder;
};

/* What starts a job of a type. */
enum campaign_job_source {
    JOB_ALWAYS,             /* `start: always`      one instance, started again when it ends before the campaign does */
    JOB_SELECTION,          /* `start: selection`   one for each confirmed selection */
    JOB_AFTER,              /* `start: after`       one for each success of the type named by `after` */
};

/* How long the jobs of a type take, for `strata emulate`. */
struct campaign_model {
    double hours;           /* mean time of one that does not fail; 0 (default): not modelled */
    double spread;          /* standard deviation / mean of a normal distribution; default 0.1 */
    double failures;        /* share of attempts that fail, at any time; default 0 */
    bool resumes;           /* an attempt goes on where the one before it ended; default false */
    double frames;          /* it hands to feedback an hour; default 0 */
};

/* What else happens in an emulated campaign. */
struct campaign_emulate {
    double snapshot_s;      /* between the snapshots of the continuum model; default 90 */
    unsigned patches;       /* candidates cut out of a snapshot; default 333 */
    double node_losses;     /* of a node in a year; default 0.3 */
    double node_hours;      /* until a lost node is there again; default 12 */
};

/* Cores of a job that are bound together, as one of several programs that run side by side in it. */
struct campaign_part {
    char *name;             /* the job finds its cores in STRATA_CORES_<NAME> */
    unsigned cores, gpus;   /* on each node; default 1 and 0 */
    char *near;             /* as campaign_job.near */
    char *share;
};

/* A job type as a step of Maestro (campaign_run.h), as it stands in the file: what it means is in the job's other members. */
struct campaign_run {
    char *cmd, *restart;    /* for a shell */
    unsigned nodes, procs;
    unsigned cores;         /* of each process; "cores per task" is the same */
    unsigned cores_per_task;
    unsigned gpus;          /* of each node */
    char *walltime;         /* "HH:MM:SS", or seconds */
    unsigned max_retries, retry_delay_s;
};

struct campaign_job {
    char *name;             /* the job type */
    enum campaign_job_source start;
    char *after;            /* JOB_AFTER: name of the type before it in the chain */
    char **command;         /* argv; {variables} as in docs: job simulation candidate attempt dir input cores gpus workspace campaign_dir bin_dir seed */
    unsigned command_count;
    char **restart;         /* argv of an attempt after one that was interrupted; none: command */
    unsigned restart_count;
    struct campaign_run run;
    char *tracker;          /* a JobTracker file; NULL: none */
    bool checkpoint;        /* one that is stopped goes on where it was; default false, but see schedule_end.c */
    unsigned retry_delay_s; /* before a failed job is tried again; 0 (default): 1, 2, 4 .. 30 s */
    unsigned nodes;         /* cores, gpus and memory_mb are of each; default 1 */
    unsigned cores;         /* 0 = shares cores with others (for a long-running light job); default 1, with parts their sum */
    unsigned gpus;          /* default 0, with parts their sum */
    char *near;             /* "gpu" (default): cores in the socket of the job's GPUs; "any" */
    char *share;            /* cores that have it in common: "l2", "l3", "socket", "any" (default) */
    struct campaign_part *parts;
    unsigned parts_count;   /* 0: one program, with all cores */
    struct campaign_model model;
    double gpu_share;       /* 0..1 of all GPUs: above it types that are below theirs go first; 0 (default): none */
    unsigned walltime_s;    /* a job still running then is ended; default 3600 */
    unsigned tries;         /* starts at the most before it is set aside; default 3 */
    unsigned memory_mb;     /* 0 = no limit of its own */
    unsigned output_mb;     /* of an attempt's stdout and stderr; 0 = no limit */
    unsigned grace_s;       /* between SIGTERM and SIGKILL; default 20 */
    char **success_files;   /* YAML `success: [file, ...]`: must exist, not empty, in {dir} after exit code 0 */
    unsigned success_files_count;
    char *exit_codes;       /* "plain" (default), or "merlin": 100-104 mean what they mean there (services/schedule/README.md) */
    unsigned buffer;        /* JOB_SELECTION chains: how many finished-but-unconsumed plus in-work instances to keep ahead; default 2 */
};

/* How a batch system is spoken to. */
struct campaign_engine {
    char *queue;            /* Slurm's partition, Flux's queue; NULL: its default */
    char *commands;         /* folder of its commands; NULL: they are found by PATH */
    char **options;         /* more words for its submitting command */
    unsigned options_count;
};

/* Nodes, for an executor that can't tell, and for `strata emulate`. cores, gpus, reserved: of each socket. */
struct campaign_machine {
    unsigned nodes;         /* 0: not described */
    unsigned sockets, cores, gpus;
    unsigned reserved;      /* the first cores of each socket are the system's; below cores */
    unsigned l2;            /* cores that share an L2 cache; default 1 */
    unsigned memory_mb;     /* of a node; 0 (default): not counted */
};

struct campaign_schedule {
    char *executor;         /* "local", "nodes", "slurm", "flux" */
    unsigned node_timeout_s; /* default 60 */
    struct campaign_engine engine;
    unsigned cores;         /* 0 = all there are */
    unsigned gpus;          /* default 0 */
    struct campaign_machine machine;
    unsigned submissions;   /* starts of jobs in a round at the most; 0 (default): no limit */
    unsigned round_s;       /* seconds of a round; default 1 */
    unsigned end_margin_s;  /* all jobs have ended so long before the allocation does; default 60 */
};

#define CAMPAIGN_REGION_MAX 256 /* residues of a region */
/* Residues whose secondary structure the finest simulations show: first and last, as their file numbers them. */
struct campaign_region {
    char *name;             /* "HVR" */
    char *chain;            /* one letter; default "A" */
    unsigned first, last;
    double share;           /* the most common pattern's share of the frames, above which it comes into force */
    char *coil;             /* letters that count as coil besides "-"; default "P" */
};

/* AA -> CG: which pattern of secondary structure a protein has (services/feedback/patterns.h). */
struct campaign_patterns {
    char *from;             /* stream of structures; NULL: there is no such feedback */
    char **command;         /* a worker: services/feedback/workers.h */
    unsigned command_count;
    unsigned workers;       /* default 1 */
    unsigned frame_s;       /* a worker's time for a frame; default 30 */
    unsigned tries;         /* workers that may fail on a frame; default 3 */
    unsigned frames;        /* new ones of each protein before a report; default 100 */
    char **proteins;
    unsigned proteins_count;
    struct campaign_region *regions;
    unsigned regions_count;
};

struct campaign_feedback {
    char *from;             /* stream of histograms */
    char *uptake;           /* stream in which the model tells that it took a report */
    char **states;          /* row group names, e.g. the 18 protein states */
    unsigned states_count;
    char **rows;            /* row names, e.g. the 8 inner lipids */
    unsigned rows_count;
    unsigned bins;          /* default 599 */
    double range_min_angstrom; /* 0.1 */
    double range_max_angstrom; /* 120 */
    unsigned frames;        /* report every so many frames ... */
    unsigned seconds;       /* ... or after so long, if there is at least one new frame; */
    unsigned shards;        /* simulations are shared out among so many replicas; default 1 */
    struct campaign_patterns patterns;
    bool weights;           /* weight each simulation by 1 + candidates nearest to it (needs select); default false */
};

/* Where one namespace's objects are kept: written to all, read from the first that has them. */
struct campaign_namespace {
    char *name;
    char **backends;
    unsigned backends_count;
};

/* What a stage has in files of its node, so that other processes there map it. */
struct campaign_cache {
    char *folder;           /* of the node: tmpfs or a local disk; default /dev/shm */
    unsigned mb;            /* MiB at the most; default 0: there is no cache */
};

struct campaign_stage {
    char *backend;          /* "file", "rocksdb", "tar" or "redis" */
    unsigned quota_mb;      /* objects' bytes at the most; default 1024 */
    unsigned queue_mb;      /* bytes of unconsumed records at the most, each stream; default 256 */
    struct campaign_namespace *namespaces; /* those that have another backend, or several; default none */
    unsigned namespaces_count;
    struct campaign_cache cache;
};

/* How services listen. Unix sockets always; with tcp also TCP sockets, each under CURVE (docs/security.md). */
struct campaign_mesh {
    char *transport;        /* "ipc" or "tcp": once loaded never "auto" */
    char *interface;        /* network interface for TCP, by name or address; once loaded never "auto" */
    unsigned lease_s;       /* YAML key `lease`: a holder that shows no life for so long loses its shard; default 3 */
};

/* Which shards keep a record of their inputs, for `strata replay`. */
struct campaign_replay {
    bool select, schedule, feedback; /* default true */
    bool stage;             /* default false: each byte that comes in is written once more */
    unsigned keep_mb;       /* inputs and checkpoints of a shard at the most; default 128 */
    unsigned checkpoint_mb; /* a checkpoint after so many inputs; at most a quarter of keep_mb; default 32 */
};

/* The campaign is complete when all of these hold; 0 = not asked for. */
struct campaign_goal {
    char *job;              /* job type that counts */
    unsigned successes;     /* of that type */
    unsigned uptakes;       /* reports taken up by the model */
};

struct campaign_replicas {
    unsigned stage, patch, select, schedule, feedback; /* default 1 each; select, schedule: 1 holds, others stand by; feedback:
                                                          feedback.shards hold */
};

struct campaign {
    unsigned format;        /* YAML key `strata` */
    char *name;             /* YAML key `campaign` */
    char *workspace;        /* folder; relative to the current folder of `strata run` */
    uint64_t seed;
    struct campaign_replicas replicas;
    struct campaign_mesh mesh;
    struct campaign_stage stage;
    struct campaign_patch patch;
    struct campaign_select select;
    struct campaign_schedule schedule;
    struct campaign_job *jobs;
    unsigned jobs_count;
    struct campaign_feedback feedback;
    struct campaign_replay replay;
    struct campaign_goal goal;
    struct campaign_emulate emulate;
    /* not in the file: */
    char *path;             /* absolute path of the file */
    char *dir;              /* its folder */
    uint32_t fingerprint;   /* of the text as it was read, and of the tracker files; see campaign_fingerprint */
};

/* One mistake a line. */
struct campaign_mistakes {
    char **lines;           /* "file:line: key: sentence" */
    size_t count;
};

/* Reads and checks `path`. NULL with at least one mistake on failure (also when the file can't be read). The caller
 * frees both with the functions below, in any order. */
struct campaign *campaign_load (const char *path, struct campaign_mistakes *mistakes);
void campaign_free (struct campaign **self);
void campaign_mistakes_fini (struct campaign_mistakes *self);
/* NULL when there is no such type. */
const struct campaign_job *campaign_job_find (const struct campaign *self, const char *name);
/* CRC-32C of the file's text: a workspace refuses another campaign with it. */
uint32_t campaign_fingerprint (const struct campaign *self);

#endif
