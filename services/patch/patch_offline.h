/* patch_offline.h - `strata-patch --cut SNAPSHOT --out DIR`: cuts one snapshot without any service running. */
#ifndef PATCH_OFFLINE_H
#define PATCH_OFFLINE_H

#include <stdio.h>

#include "patch_cut.h"
#include "patch_encode.h"
#include "strata_error.h"

/* Reads snapshot folder `snapshot`, cuts it and writes each patch, invalid ones too, as <out>/<id>.npz (by rename; out is
 * made when missing). report (NULL: none) gets a line a patch - id, configuration, with an encoder its coordinates, why it
 * is invalid - separated by tabs, and a last line with the counts of each configuration. encoder may be NULL. */
int patch_offline (const char *snapshot, const char *out, const struct patch_params *params,
                   const struct patch_encoder *encoder, FILE *report, struct strata_error *error);

/* The program's offline mode: takes main's arguments, reports on stdout, returns the exit code: 0, 1 failed, 2 usage.
 * Options: --cut SNAPSHOT --out DIR, and --simulation --points --coarse --lipid-only --distance-nm --seed --encoder --kind
 * --dimensions, each with the campaign file's default. patch_offline_usage: one line an option, for --help. */
int patch_offline_main (int argc, char **argv);
extern const char *const patch_offline_usage;

#endif
