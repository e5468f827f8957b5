/* forcefield.h - the Martini 2 force field as this program uses it, read from the tables in its forcefield/ folder.
 *
 * nonbonded.dat: interaction levels and the matrix of bead types. <LIPID>.itp: GROMACS molecule types, copied to the
 * simulation as they are; here only their beads are read. geometry.dat: starting shapes and areas. residues.dat,
 * proteins.dat: what proteins are made of. Each file's header names its literature source.
 */
#ifndef CREATESIM_FORCEFIELD_H
#define CREATESIM_FORCEFIELD_H

#include <stddef.h>

#include "strata_error.h"

#define FF_NAME 12
#define FF_TYPES_MAX 64
#define FF_LEVELS_MAX 16
#define FF_EXCEPTIONS_MAX 16
#define FF_BEADS_MAX 32         /* of a lipid */
#define FF_LIPIDS_MAX 16
#define FF_RESIDUES_MAX 24
#define FF_SIDE_MAX 8           /* beads, bonds or angles of a side chain or anchor */
#define FF_SEQUENCE_MAX 512
#define FF_DOMAINS_MAX 8

struct forcefield_level {
    char name[FF_NAME];
    double epsilon;             /* kJ/mol */
    double sigma;               /* nm */
};

struct forcefield_exception {
    char a[FF_NAME], b[FF_NAME];
    double epsilon, sigma;
};

struct forcefield_bead {
    char name[FF_NAME];
    char type[FF_NAME];
    double charge;
    double shape[3];            /* nm: z over the bilayer's middle, x y from the lipid's axis */
    int placed;                 /* geometry.dat has it */
};

struct forcefield_lipid {
    char name[FF_NAME];
    double area;                /* nm^2 */
    size_t reference;           /* bead that stands for the lipid in an RDF */
    size_t nbeads;
    struct forcefield_bead beads[FF_BEADS_MAX];
};

struct forcefield_side_bead {
    char name[FF_NAME], type[FF_NAME], parent[FF_NAME];
    double charge, mass, length, force;     /* force 0: a constraint */
};

struct forcefield_side_angle {
    char a[FF_NAME], b[FF_NAME], c[FF_NAME];
    double degrees, force;
};

/* A side chain, or (letter 0) a lipid anchor. */
struct forcefield_residue {
    char letter;
    char name[FF_NAME];
    size_t nbeads, nrings, nangles;
    struct forcefield_side_bead beads[FF_SIDE_MAX];
    struct forcefield_side_bead rings[FF_SIDE_MAX];     /* name, parent, length */
    struct forcefield_side_angle angles[FF_SIDE_MAX];
};

/* A run of residues: a folded domain, or the tail of an isoform. */
struct forcefield_sequence {
    char name[FF_NAME];
    int first;                  /* number of the first residue */
    size_t length;
    char letters[FF_SEQUENCE_MAX];
};

struct forcefield_anchor {
    char tail[FF_NAME], lipid[FF_NAME];
    int residue;
};

struct forcefield {
    char dir[4096];
    size_t nlevels;
    struct forcefield_level levels[FF_LEVELS_MAX];
    size_t ntypes;              /* of the matrix; with S beads twice as many, and the exceptions' own */
    char types[FF_TYPES_MAX][FF_NAME];
    signed char matrix[FF_TYPES_MAX][FF_TYPES_MAX];     /* level, -1 = not given */
    size_t nexceptions;
    struct forcefield_exception exceptions[FF_EXCEPTIONS_MAX];
    size_t nlipids;
    struct forcefield_lipid lipids[FF_LIPIDS_MAX];
    size_t nresidues;
    struct forcefield_residue residues[FF_RESIDUES_MAX];
    size_t ndomains, ntails, nlipid_anchors, nanchors;
    struct forcefield_sequence domains[FF_DOMAINS_MAX], tails[FF_DOMAINS_MAX];
    struct forcefield_residue lipid_anchors[FF_DOMAINS_MAX];
    struct forcefield_anchor anchors[FF_DOMAINS_MAX];
    double elastic_cutoff;      /* nm */
    double elastic_force;       /* kJ/mol/nm2 */
};

/* Reads every table under dir and checks that they fit each other: the matrix is whole and symmetric, every bead has a
 * known type and a place, every lipid of createsim_lipid_names is there. NULL on failure. */
struct forcefield *forcefield_read (const char *dir, struct strata_error *error);
void forcefield_free (struct forcefield **self);

const struct forcefield_lipid *forcefield_lipid (const struct forcefield *self, const char *name);
const struct forcefield_residue *forcefield_residue (const struct forcefield *self, char letter);
const struct forcefield_residue *forcefield_lipid_anchor (const struct forcefield *self, const char *name);
const struct forcefield_sequence *forcefield_domain (const struct forcefield *self, const char *name);
const struct forcefield_sequence *forcefield_tail (const struct forcefield *self, const char *name);

/* Lennard-Jones epsilon (kJ/mol) and sigma (nm) of a pair of bead types; -1 for an unknown type. */
int forcefield_pair (const struct forcefield *self, const char *a, const char *b, double *epsilon, double *sigma);
/* All bead types, one by one: NULL after the last. buf gets the name. */
const char *forcefield_type (const struct forcefield *self, size_t i, char buf[FF_NAME]);

/* Writes [ defaults ], [ atomtypes ] and [ nonbond_params ] of all pairs as a GROMACS topology file. */
int forcefield_write_nonbonded (const struct forcefield *self, const char *path, struct strata_error *error);

/* Where the tables are: `given` (may be NULL), else beside the program's source tree, else in the campaign's folder,
 * else installed. The first folder with a nonbonded.dat. Fails naming all that were tried. */
int forcefield_find (const char *given, char *path, size_t size, struct strata_error *error);

#endif
