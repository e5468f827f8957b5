/* pdb.h - the protein of a PDB file: residues with a whole backbone, of the first model. */
#ifndef MEMBRANE_PDB_H
#define MEMBRANE_PDB_H

#include <stdio.h>

#include "dssp.h"

/* What the file calls a residue. */
struct pdb_name {
    char chain, insertion; /* ' ' when there is none */
    int number;
    char residue[4]; /* "ALA" */
};

struct pdb {
    size_t count;
    struct dssp_residue *residues; /* [count] */
    struct pdb_name *names;        /* [count] */
    size_t incomplete;             /* residues left out because N, CA, C or O is not there */
};

/* Reads columns of ATOM records, and of HETATM records whose residue stands in the chain's SEQRES (modified residues). Of
 * alternative places of an atom the last one counts, as in mkdssp. path "-": standard input. A file without a whole residue is
 * refused. On success pdb_fini frees. */
int pdb_read (struct pdb *self, const char *path, struct strata_error *error);
/* The same from an open file, which sentences call `name`. */
int pdb_read_from (struct pdb *self, FILE *in, const char *name, struct strata_error *error);
void pdb_fini (struct pdb *self);

#endif
