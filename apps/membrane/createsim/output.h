/* output.h - the files of a simulation: topology, coordinates, index groups, run parameters. */
#ifndef CREATESIM_OUTPUT_H
#define CREATESIM_OUTPUT_H

#include "forcefield.h"
#include "system.h"

/* start.gro, system.top, martini.itp, the lipids', solvent's and proteins' .itp, index.ndx into dir, which exists.
 * title goes into the files' first lines. */
int createsim_output_write (const struct createsim_system *system, const struct forcefield *forcefield, const char *dir,
                            const char *title, struct strata_error *error);

/* Reads only what is needed of a .gro: number of atoms and box (nm), and that every number in it is one.
 * A broken, truncated or NaN-ridden file fails. */
int createsim_gro_check (const char *path, size_t *natoms, double box[3], struct strata_error *error);

/* fsync of a file or folder by name. */
int createsim_sync (const char *path, struct strata_error *error);

#endif
