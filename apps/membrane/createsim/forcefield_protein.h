/* forcefield_protein.h - reads residues.dat and proteins.dat into a force field; called by forcefield_read only. */
#ifndef CREATESIM_FORCEFIELD_PROTEIN_H
#define CREATESIM_FORCEFIELD_PROTEIN_H

#include "forcefield.h"

int forcefield_read_proteins (struct forcefield *self, struct strata_error *error);

#endif
