/* claims.h - which stage keeps a name: said once, for all nodes, by a symbolic link in <workspace>/claims.
 *
 *   claims/slots/<0000..1023>       objects: a name falls into one of 1,024 slots, a slot belongs to one stage
 *   claims/producers/<hash>         records: a producer (a simulation) belongs to one stage
 *   claims/keepers/<stage>          a stage that has, or had, slots: who must be asked for a whole list of names
 *   claims/retired/<stage>          a stage that was taken away (strata scale) and has handed everything over
 *
 * The link's target is the stage's name. Making a link fails when there is one, on every file system: of two stages that
 * want a name at once one wins and the other sees who did. A claim stays when its stage dies: what it keeps waits for it.
 * Only the stage that a claim names may pass it on. Names that share a hash share a stage, which does no harm.
 */
#ifndef STRATA_MESH_CLAIMS_H
#define STRATA_MESH_CLAIMS_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mesh/cards.h"
#include "strata_error.h"

#define CLAIM_SLOTS 1024

struct claim {
    char folder[4160], name[REPLICA_NAME_MAX];
};

uint64_t claim_hash (const char *text, size_t size);
/* The slot of an object. Keys that share their first part (up to '/') share it: one put of them is all or none, and a key
 * and a folder of the same name meet at one stage. */
unsigned claim_slot (const char *ns, const char *key);

void claim_of_slot (struct claim *claim, const char *workspace, unsigned slot);
void claim_of_producer (struct claim *claim, const char *workspace, const char *producer);
void claim_of_keeper (struct claim *claim, const char *workspace, const char *stage);
void claim_of_retired (struct claim *claim, const char *workspace, const char *stage);

/* 1: claimed, `owner` is filled. 0: not claimed. -1: can't be read. */
int claim_read (const struct claim *claim, char owner[REPLICA_NAME_MAX], struct strata_error *error);
/* Claims for `stage` what is not claimed. 1: it is stage's. 0: another's, in `owner`. -1 with errno: it can't be written
 * (ENOSPC ...). It is on disk when claim_sync has returned: nothing that relies on it may leave before. */
int claim_take (const struct claim *claim, const char *stage, char owner[REPLICA_NAME_MAX], struct strata_error *error);
/* The claims of this one's kind. */
int claim_sync (const struct claim *claim, struct strata_error *error);
/* Gives a claim that is the caller's to stage `to`, in one step; on disk when claim_sync has returned. */
int claim_pass (const struct claim *claim, const char *to, struct strata_error *error);
/* Takes a claim away; on disk when it returns. 0 also when there was none. */
int claim_drop (const struct claim *claim, struct strata_error *error);

/* One of the producers' claims after the other, in no order, as they stand in an open folder: 1, or 0 at its end. dir: of
 * claims_open_producers (NULL: there is none, or it can't be read); the caller closes it. */
DIR *claims_open_producers (const char *workspace);
int claims_next_producer (DIR *dir, const char *workspace, struct claim *claim);

/* Names of the stages in claims/keepers, in byte order; at most max, returns how many. */
size_t claim_keepers (const char *workspace, char (*stages)[REPLICA_NAME_MAX], size_t max);

#endif
