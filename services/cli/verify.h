/* verify.h - reads every byte of a store. */
#ifndef STRATA_CLI_VERIFY_H
#define STRATA_CLI_VERIFY_H

#include <stdint.h>

#include "strata_error.h"

/* Every block of every table, and every record of every stream, against their checksums, of the store of the shard in folder
 * `dir`. In a process of its own, since reading damaged bytes ends one. *keys grows by the keys read. -1 with the first
 * damaged file's name. Shows its progress on a terminal. */
int verify_store (const char *dir, uint64_t *keys, struct strata_error *error);

#endif
