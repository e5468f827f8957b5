/* dssp.h - secondary structure of a protein from the coordinates of its backbone.
 *
 * W. Kabsch and C. Sander, "Dictionary of Protein Secondary Structure", Biopolymers 22 (1983) 2577-2637: hydrogen bonds by an
 * electrostatic energy, and from their patterns turns, bridges, helices and ladders; bends by the chain's curvature. In what
 * the paper leaves open, and in what was added since (pi helices before alpha helices, polyproline II helices), this does
 * what Debian 12's mkdssp 4.2 does, residue for residue: tests/peers/dssp.sh compares the two.
 */
#ifndef MEMBRANE_DSSP_H
#define MEMBRANE_DSSP_H

#include <stdbool.h>
#include <stddef.h>

#include "strata_error.h"

/* A residue with a whole backbone; coordinates in Angstrom. Residues of a chain follow each other. */
struct dssp_residue {
    float n[3], ca[3], c[3], o[3];
    int chain;    /* residues of two chains are never bonded along the chain */
    bool proline; /* has no hydrogen to give */
};

/* structure: [count], one letter each: H alpha helix, G 3-10 helix, I pi helix, P polyproline II helix, E strand of a ladder,
 * B bridge alone, T turn, S bend, ' ' none of them. Takes time by count squared. -1: out of memory. */
int dssp_assign (const struct dssp_residue *residues, size_t count, char *structure, struct strata_error *error);

#endif
