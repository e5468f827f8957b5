/* campaign_tracker.h - a job as MuMMI's JobTracker reads it (mummi-core, workflow/jobTracker.py).
 *
 *     job_type: cg
 *     config: {jobname: cganalysis, nnodes: 1, nprocs: 1, "cores per task": 3, ngpus: 1, walltime: '04:00:00'}
 *     variables: {simname: null, outpath: "{dir}", outfile: cg.out}
 *     script: |
 *       simname={simname}
 *       $(LAUNCHER) sh -c "mummi_cganalysis --outpath {outpath} >> {outfile}"
 *
 * The script and the variables are what Python's str.format reads: {name} stands for a variable of the file, or for
 * one of Strata's ({dir}, {input} ...). What only Python can compute (`eval`) is refused.
 */
#ifndef STRATA_CAMPAIGN_TRACKER_H
#define STRATA_CAMPAIGN_TRACKER_H

#include "core/campaign.h"
#include "core/campaign_run.h"

/* Reads the file into *run (as libcyaml does `run:`; texts malloc'ed), with run->cmd as a template of campaign_template.h.
 * Mistakes are added under the file's own name and lines. *fingerprint: CRC-32C of its text. 0 or -1. */
int campaign_tracker_read (const struct campaign_step_place *place, const char *file, struct campaign_run *run,
                           uint32_t *fingerprint, struct campaign_found *found);

#endif
