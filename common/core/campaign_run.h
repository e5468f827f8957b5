/* campaign_run.h - job types as Maestro and MuMMI's JobTracker write them, made into Strata's own form.
 *
 * `run:` of a job type is a Maestro step's (maestrowf, "Study Specification": run, env); `tracker:` names a file as
 * MuMMI's JobTracker reads it (mummi-core, workflow/jobTracker.py), whose `config` and `script` become the same step.
 * A step's text becomes one argument with {variables} for a shell; its numbers become those of a job type.
 */
#ifndef STRATA_CAMPAIGN_RUN_H
#define STRATA_CAMPAIGN_RUN_H

#include "core/campaign_yaml.h"

/* Where a step stands, and so what its text may name. All borrowed. */
struct campaign_step_place {
    struct campaign_yaml *yaml;
    const char *dir;        /* of the campaign file: tracker files are relative to it */
    yaml_node_t *job;       /* the item of `jobs` */
    size_t index;           /* in `jobs` */
    int chain;              /* enum campaign_job_source of the first of its chain; -1: a mistake hides it */
    const char *after;      /* job type before it; NULL: none */
};

/* A step in Strata's terms. */
struct campaign_step {
    char *command;          /* text for a shell, with {variables} (campaign_template.h) */
    char *restart;          /* the same, after an interruption; NULL: command */
    char *path;             /* of the key that command came from, for messages: "jobs[1].run.cmd" */
    size_t line;
    unsigned nodes, cores, gpus; /* cores and gpus: of each node */
    unsigned walltime_s, tries, retry_delay_s;
    uint32_t fingerprint;   /* CRC-32C of the tracker file; 0: there is none */
};

/* Whether the job type is written as a step: has `run` or `tracker`. */
bool campaign_is_step (const struct campaign_step_place *place);
/* 0, or -1 with mistakes added. The caller calls campaign_step_fini in any case. */
int campaign_step_read (const struct campaign_step_place *place, struct campaign_step *step, struct campaign_found *found);
void campaign_step_fini (struct campaign_step *step);

/* Gives each job type that is written as a step the command and the numbers that it means. 0, or -1: with mistakes added (a
 * tracker file changed since it was checked), or out of memory. */
int campaign_settle_steps (struct campaign *campaign, struct campaign_yaml *yaml, struct campaign_found *found);

/* Mistakes in the campaign file's `env`. */
void campaign_check_env (struct campaign_yaml *yaml, struct campaign_found *found);

#endif
