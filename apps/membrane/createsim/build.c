/* build.c - see build.h. Stages: build, minimise, warm up at constant volume with a small step, then at constant
 * pressure up to the step of production. When a stage of GROMACS fails, all is done once more, from other places and
 * more carefully. */
#include "build.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "gmx.h"
#include "mdp.h"
#include "output.h"
#include "simjson.h"

static const struct mdp_stage quick[] = {
    { "minimise", MDP_MINIMISE, 600, 0.01, 0 },
    { "warm", MDP_NVT, 1000, 0.005, 0 },
    { "press", MDP_NPT, 2000, 0.01, 2 },
    { "equilibrate", MDP_NPT, 5000, 0.02, 4 },
};
static const struct mdp_stage careful[] = {
    { "minimise", MDP_MINIMISE, 2500, 0.005, 0 },
    { "warm", MDP_NVT, 3000, 0.001, 0 },
    { "press-gently", MDP_NPT, 3000, 0.004, 3 },
    { "press", MDP_NPT, 3000, 0.01, 4 },
    { "equilibrate", MDP_NPT, 4000, 0.02, 6 },
};
static const struct mdp_stage production = { "production", MDP_PRODUCTION, 10000, 0.02, 12 };

static double now (void)
{
    struct timespec t;

    clock_gettime (CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}

int createsim_finished (const char *out, char *patch_id, size_t size)
{
    char path[4200];
    size_t beads, natoms;
    double box[3];

    if (createsim_simjson_read (out, patch_id, size, &beads, NULL) < 0)
        return 0;
    snprintf (path, sizeof path, "%s/system.gro", out);
    if (createsim_gro_check (path, &natoms, box, NULL) < 0 || natoms != beads)
        return 0;
    static const char *const needed[] = { "system.top", "index.ndx", "cg.mdp" };
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        snprintf (path, sizeof path, "%s/%s", out, needed[i]);
        if (access (path, R_OK) < 0)
            return 0;
    }
    return 1;
}

/* mkdir -p */
static int make_folder (const char *path, struct strata_error *error)
{
    char partial[4200];

    if ((size_t) snprintf (partial, sizeof partial, "%s", path) >= sizeof partial - 64)
        return strata_fail (error, "%.100s...: the output folder's name is too long", path);
    for (char *slash = strchr (partial + 1, '/'); slash != NULL; slash = strchr (slash + 1, '/')) {
        *slash = '\0';
        if (mkdir (partial, 0777) < 0 && errno != EEXIST)
            return strata_fail (error, "%s: can't be made: %s", partial, strerror (errno));
        *slash = '/';
    }
    if (mkdir (partial, 0777) < 0 && errno != EEXIST)
        return strata_fail (error, "%s: can't be made: %s", partial, strerror (errno));
    return 0;
}

struct run {
    const struct createsim_job *job;
    char gmx[4096];
    uint64_t seed;
    int has_protein;
    unsigned attempt;           /* 1 or 2 */
};

/* gmx grompp and gmx mdrun of one stage: work/<from>.gro -> work/<stage>.gro. All names are relative to the output
 * folder. */
static int run_stage (const struct run *run, const struct mdp_stage *stage, unsigned number, const char *from,
                      struct strata_error *error)
{
    char mdp[4400], gro[4400], log[4400], parameters[64], input[64], tpr[64], result[64], threads[16], expanded[64];
    double start = now (), box[3];
    size_t natoms;

    snprintf (mdp, sizeof mdp, "%s/work/%s.mdp", run->job->out, stage->name);
    snprintf (parameters, sizeof parameters, "work/%s.mdp", stage->name);
    snprintf (expanded, sizeof expanded, "work/%s.out.mdp", stage->name);
    snprintf (input, sizeof input, "%s", from);
    snprintf (tpr, sizeof tpr, "work/%s.tpr", stage->name);
    snprintf (result, sizeof result, "work/%s", stage->name);
    snprintf (threads, sizeof threads, "%u", run->job->threads);
    if (createsim_mdp_write (stage, run->has_protein, run->seed, mdp, error) < 0)
        return -1;

    char *const grompp[] = { (char *) run->gmx, "grompp", "-f", parameters, "-c", input, "-p", "system.top",
                             "-n", "index.ndx", "-o", tpr, "-po", expanded, NULL };
    char *const mdrun[] = { (char *) run->gmx, "mdrun", "-deffnm", result, "-ntmpi", "1", "-ntomp", threads,
                            "-pin", "off", NULL };
    snprintf (log, sizeof log, "%s/log/%u.%u-%s.grompp.log", run->job->out, run->attempt, number, stage->name);
    if (createsim_gmx_run (grompp, run->job->out, log, error) < 0)
        return -1;
    snprintf (log, sizeof log, "%s/log/%u.%u-%s.mdrun.log", run->job->out, run->attempt, number, stage->name);
    if (createsim_gmx_run (mdrun, run->job->out, log, error) < 0)
        return -1;
    snprintf (gro, sizeof gro, "%s/work/%s.gro", run->job->out, stage->name);
    if (createsim_gro_check (gro, &natoms, box, error) < 0)
        return -1;
    printf ("createsim: %s: %u steps, box %.2f x %.2f x %.2f nm, %.1f s\n", stage->name, stage->steps, box[0], box[1],
            box[2], now () - start);
    fflush (stdout);
    return 0;
}

/* A full disk shows as any failure of GROMACS; this tells. */
static int disk_is_full (const char *dir)
{
    struct statvfs fs;

    return statvfs (dir, &fs) == 0 && (double) fs.f_bavail * (double) fs.f_frsize < 4e6;
}

static void remove_work (const char *out)
{
    static const char *const ends[] = { "mdp", "out.mdp", "tpr", "gro", "trr", "edr", "log", "cpt" };
    char path[4400];

    for (size_t list = 0; list < 2; list++)
        for (size_t i = 0; i < (list ? sizeof careful / sizeof *careful : sizeof quick / sizeof *quick); i++)
            for (size_t e = 0; e < sizeof ends / sizeof *ends; e++) {
                snprintf (path, sizeof path, "%s/work/%s.%s", out, (list ? careful : quick)[i].name, ends[e]);
                unlink (path);
            }
    snprintf (path, sizeof path, "%s/work", out);
    rmdir (path);
    snprintf (path, sizeof path, "%s/start.gro", out);
    unlink (path);
}

/* Names what in the folder is of this build, moves the last coordinates into place, says it is done. */
static int finish (const struct run *run, const struct createsim_patch *patch, const struct createsim_system *system,
                   const char *last, struct strata_error *error)
{
    static const char *const kept[] = {
        "system.gro", "system.top", "index.ndx", "cg.mdp", "martini.itp", "solvent.itp"
    };
    char from[4400], to[4400];
    size_t natoms;
    double box[3];

    snprintf (to, sizeof to, "%s/cg.mdp", run->job->out);
    if (createsim_mdp_write (&production, run->has_protein, run->seed, to, error) < 0)
        return -1;
    snprintf (from, sizeof from, "%s/work/%s.gro", run->job->out, last);
    snprintf (to, sizeof to, "%s/system.gro", run->job->out);
    if (createsim_gro_check (from, &natoms, box, error) < 0)
        return -1;
    if (natoms != system->natoms)
        return strata_fail (error, "%s: has %zu beads; %zu were built", from, natoms, system->natoms);
    if (rename (from, to) < 0)
        return strata_fail (error, "%s: can't be written: %s", to, strerror (errno));
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        snprintf (to, sizeof to, "%s/%s", run->job->out, kept[i]);
        if (createsim_sync (to, error) < 0)
            return -1;
    }
    remove_work (run->job->out);
    return createsim_simjson_write (run->job->out, patch, system, &run->job->options, run->attempt, box, error);
}

/* 0, or -1: build.c's caller tells the kinds of failure apart by *kind. */
static int attempt (struct run *run, const struct createsim_patch *patch, const struct forcefield *forcefield,
                    enum createsim_exit *kind, struct strata_error *error)
{
    const struct mdp_stage *stages = run->attempt == 1 ? quick : careful;
    const size_t nstages = run->attempt == 1 ? sizeof quick / sizeof *quick : sizeof careful / sizeof *careful;
    struct createsim_options options = run->job->options;
    struct createsim_system system;
    char title[300], from[64] = "start.gro";
    double start = now ();
    int rc = -1;

    options.seed = run->seed;
    *kind = CREATESIM_UNBUILDABLE;
    if (createsim_system_build (patch, forcefield, &options, &system, error) < 0)
        return -1;
    run->has_protein = system.nproteins > 0;
    snprintf (title, sizeof title, "patch %.200s", patch->id);
    *kind = CREATESIM_IO;
    if (createsim_output_write (&system, forcefield, run->job->out, title, error) < 0)
        goto done;
    printf ("createsim: build: %zu beads, %zu inner and %zu outer lipids, %zu proteins, %.1f s\n", system.natoms,
            createsim_composition_count (&system.composition, CREATESIM_LEAFLET_INNER),
            createsim_composition_count (&system.composition, CREATESIM_LEAFLET_OUTER), system.nproteins,
            now () - start);
    fflush (stdout);
    *kind = CREATESIM_UNBUILDABLE;
    for (size_t i = 0; i < nstages; i++) {
        if (run_stage (run, &stages[i], (unsigned) i + 1, from, error) < 0) {
            if (createsim_gmx_stopped ())
                *kind = (enum createsim_exit) (128 + createsim_gmx_stopped ());
            else if (disk_is_full (run->job->out)) {
                *kind = CREATESIM_IO;
                strata_fail (error, "%s: the disk is full; free some space and start again", run->job->out);
            } else
                strata_fail_prefix (error, "stage %s", stages[i].name);
            goto done;
        }
        snprintf (from, sizeof from, "work/%s.gro", stages[i].name);
    }
    *kind = CREATESIM_IO;
    rc = finish (run, patch, &system, stages[nstages - 1].name, error);
done:
    createsim_system_fini (&system);
    return rc;
}

static int prepare (struct run *run, struct strata_error *error)
{
    char path[4400];

    if (make_folder (run->job->out, error) < 0)
        return -1;
    snprintf (path, sizeof path, "%s/sim.json", run->job->out);
    if (unlink (path) < 0 && errno != ENOENT)
        return strata_fail (error, "%s: can't be removed: %s", path, strerror (errno));
    snprintf (path, sizeof path, "%s/log", run->job->out);
    if (make_folder (path, error) < 0)
        return -1;
    snprintf (path, sizeof path, "%s/work", run->job->out);
    if (make_folder (path, error) < 0)
        return -1;
    setenv ("GMX_MAXBACKUP", "-1", 1);  /* no #files# */
    unsetenv ("OMP_NUM_THREADS");       /* --threads says it; a contradiction ends mdrun */
    return 0;
}

int createsim_build (const struct createsim_job *job, const struct createsim_patch *patch, struct strata_error *error)
{
    struct run run = { .job = job, .seed = job->options.seed, .attempt = 1 };
    struct forcefield *forcefield;
    enum createsim_exit kind = CREATESIM_OK;
    double start = now ();
    char folder[4096];

    if (createsim_gmx_find (job->gmx, run.gmx, sizeof run.gmx, error) < 0)
        return CREATESIM_NO_GROMACS;
    if (createsim_patch_check (patch, error) < 0) {
        strata_fail_prefix (error, "patch %.100s", patch->id);
        return CREATESIM_UNBUILDABLE;
    }
    if (forcefield_find (job->forcefield, folder, sizeof folder, error) < 0
        || (forcefield = forcefield_read (folder, error)) == NULL)
        return CREATESIM_USAGE;
    if (prepare (&run, error) < 0) {
        forcefield_free (&forcefield);
        return CREATESIM_IO;
    }
    int rc = attempt (&run, patch, forcefield, &kind, error);
    if (rc < 0 && kind == CREATESIM_UNBUILDABLE && strncmp (error->text, "stage ", 6) == 0) {
        printf ("createsim: %s; once more, carefully\n", error->text);
        fflush (stdout);
        run.attempt = 2;
        run.seed = job->options.seed + 0x5bd1e995u;
        rc = attempt (&run, patch, forcefield, &kind, error);
    }
    forcefield_free (&forcefield);
    if (rc < 0) {
        strata_fail_prefix (error, "patch %.100s", patch->id);
        return kind;
    }
    printf ("createsim: done: %s, %.1f s\n", job->out, now () - start);
    return CREATESIM_OK;
}
