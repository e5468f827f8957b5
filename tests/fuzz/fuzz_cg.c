/* fuzz_cg.c - the folder that membrane-cg starts from or goes on in.
 * Input: sim.json, system.gro, index.ndx, cg.mdp, run.json, done.json and frames.jsonl as parts. */
#include <stdio.h>
#include <string.h>

#include "../../apps/membrane/cg/mdp.h"
#include "../../apps/membrane/cg/publish.h"
#include "../../apps/membrane/cg/record.h"
#include "../../apps/membrane/cg/system.h"
#include "fuzz.h"

#define FILES 7

static void require_group (const struct cg_group *group, int32_t beads)
{
    for (size_t i = 0; i < group->count; i++)
        FUZZ_REQUIRE (group->atoms[i] >= 0 && group->atoms[i] < beads);
}

static void load_system (const char *dir)
{
    struct strata_error error = { "" };
    struct cg_system *system = cg_system_load (dir, &error);
    fuzz_require_sentence (system ? 0 : -1, &error);
    if (!system)
        return;
    require_group (&system->anchor, system->beads);
    require_group (&system->gdomain, system->beads);
    require_group (&system->inner, system->beads);
    require_group (&system->outer, system->beads);
    for (int i = 0; i < CG_RDF_ROWS; i++)
        require_group (&system->row[i], system->beads);
    cg_system_free (&system);
}

static void load_run (const char *dir, const char *mdp)
{
    struct strata_error error = { "" };
    struct cg_plan plan;
    int starts = 0;
    int rc = cg_plan_make (&plan, mdp, 1, 20, 1000, "s-1", &error);
    fuzz_require_sentence (rc, &error);
    if (rc == 0) {
        FUZZ_REQUIRE (plan.steps > 0 && plan.steps_per_frame > 0 && plan.segment > 0
                      && plan.segment % plan.steps_per_frame == 0);
        FUZZ_REQUIRE (cg_mdp_write (&plan, mdp, fuzz_path ("out.mdp"), &error) == 0);
        fuzz_require_sentence (cg_record_load (dir, "s-1", &plan, &starts, &error), &error);
    }
    error.text[0] = '\0';
    fuzz_require_sentence (cg_done_load (dir, "s-1", &error), &error);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    static const char *const names[FILES] = { "cg/sim.json", "cg/system.gro", "cg/index.ndx", "cg/cg.mdp",
                                              "cg/run.json", "cg/done.json",  "cg/frames.jsonl" };
    struct strata_error error = { "" };
    struct fuzz_part parts[FILES];
    struct cg_publish lines;
    char dir[512], mdp[600];
    fuzz_split (data, size, parts, FILES);
    for (int i = 0; i < FILES; i++)
        fuzz_file (names[i], parts[i].data, parts[i].size);
    strcpy (dir, fuzz_path ("cg"));
    snprintf (mdp, sizeof (mdp), "%s/cg.mdp", dir);
    load_system (dir);
    load_run (dir, mdp);
    int rc = cg_publish_lines (&lines, "s-1", fuzz_path ("cg/frames.jsonl"), &error);
    fuzz_require_sentence (rc, &error);
    if (rc == 0) {
        uint64_t last;
        FUZZ_REQUIRE (lines.last (lines.impl, &last, &error) == 0);
        lines.close (lines.impl);
    }
    return 0;
}
