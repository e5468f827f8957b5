/* mdp.c - see mdp.h. */
#include "mdp.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TEMPERATURE 310

/* Straight cut-offs at 1.1 nm, reaction field with epsilon_rf infinite: "new-rf" of de Jong et al. 2016. */
static const char *const common =
    "nstlist = 20\n"
    "cutoff-scheme = Verlet\n"
    "verlet-buffer-tolerance = 0.005\n"
    "pbc = xyz\n"
    "coulombtype = reaction-field\n"
    "rcoulomb = 1.1\n"
    "epsilon_r = 15\n"
    "epsilon_rf = 0\n"
    "vdw_type = cutoff\n"
    "vdw-modifier = Potential-shift-verlet\n"
    "rvdw = 1.1\n"
    "constraints = none\n"
    "constraint_algorithm = lincs\n"
    "lincs_order = 8\n"
    "lincs_iter = 2\n";

static void write_dynamics (const struct mdp_stage *stage, int has_protein, uint64_t seed, FILE *file)
{
    const char *each = has_protein ? "1.0 1.0 1.0" : "1.0 1.0";

    fprintf (file, "integrator = md\ndt = %g\ncomm-mode = linear\ncomm-grps = system\n", stage->dt_ps);
    fprintf (file, "tcoupl = v-rescale\nld-seed = %u\ntc-grps = %smembrane solvent\ntau_t = %s\nref_t =",
             (unsigned) (seed % 1000000), has_protein ? "protein " : "", each);
    for (int i = 0; i < 2 + !!has_protein; i++)
        fprintf (file, " %d", TEMPERATURE);
    fputc ('\n', file);
    if (stage->kind == MDP_NVT)
        fprintf (file, "gen_vel = yes\ngen_temp = %d\ngen_seed = %u\n", TEMPERATURE, (unsigned) (seed % 1000000) + 1);
    else
        fprintf (
            file,
            "gen_vel = no\npcoupl = C-rescale\npcoupltype = semiisotropic\ntau_p = %g\ncompressibility = 3e-4 3e-4\n"
            "ref_p = 1.0 1.0\nrefcoord_scaling = com\n",
            stage->tau_p_ps);
}

int createsim_mdp_write (const struct mdp_stage *stage, int has_protein, uint64_t seed, const char *path,
                         struct strata_error *error)
{
    FILE *file = fopen (path, "w");

    if (file == NULL)
        return strata_fail (error, "%s: can't be written: %s", path, strerror (errno));
    fprintf (file, "; %s\nnsteps = %u\n", stage->name, stage->steps);
    if (stage->kind == MDP_MINIMISE)
        fprintf (file, "integrator = steep\nemtol = 500\nemstep = %g\nlincs-warnangle = 90\n", stage->dt_ps);
    else
        write_dynamics (stage, has_protein, seed, file);
    fprintf (file, "%s", common);
    if (stage->kind == MDP_PRODUCTION)
        fprintf (file, "; a frame each 5 ps\nnstxout-compressed = 250\ncompressed-x-precision = 1000\nnstenergy = "
                       "250\nnstlog = 2500\n"
                       "nstcalcenergy = 50\n");
    else
        fprintf (file, "nstxout = 0\nnstvout = 0\nnstenergy = 500\nnstlog = 500\nnstcalcenergy = 50\n");
    int bad = ferror (file);
    if (fclose (file) != 0 || bad)
        return strata_fail (error, "%s: can't be written: %s", path, strerror (errno));
    return 0;
}
