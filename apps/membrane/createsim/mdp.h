/* mdp.h - GROMACS run parameters of each stage. */
#ifndef CREATESIM_MDP_H
#define CREATESIM_MDP_H

#include <stdint.h>

#include "strata_error.h"

enum mdp_kind { MDP_MINIMISE, MDP_NVT, MDP_NPT, MDP_PRODUCTION };

struct mdp_stage {
    const char *name;       /* of the stage and its files */
    enum mdp_kind kind;
    unsigned steps;
    double dt_ps;           /* MDP_MINIMISE: largest move, nm */
    double tau_p_ps;
};

/* Writes a stage's .mdp. Martini's settings for the Verlet scheme: D.H. de Jong et al., Comput. Phys. Commun. 199
 * (2016) 1. */
int createsim_mdp_write (const struct mdp_stage *stage, int has_protein, uint64_t seed, const char *path,
                         struct strata_error *error);

#endif
