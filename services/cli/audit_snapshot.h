/* audit_snapshot.h - copies of the stores of a mesh that runs, so that nothing is trimmed or compacted away while they are
 * recounted. Tables and segments are linked and logs copied (store/generation.h): each copy is its store as it was at one
 * instant, and costs no room but the logs'. */
#ifndef STRATA_CLI_AUDIT_SNAPSHOT_H
#define STRATA_CLI_AUDIT_SNAPSHOT_H

#include "strata_error.h"

struct audit_snapshot {
    char root[4200]; /* the copies are root/shards/<name> */
    int lock_fd;
};

/* An empty one in the workspace; what a killed audit has left there is removed. */
int audit_snapshot_begin (struct audit_snapshot *self, const char *workspace, struct strata_error *error);
/* Adds store `name`. A damaged one is copied as it is, for the check of its files to tell. 0 also when it was never made. -1: the
 * disk is full ... */
int audit_snapshot_add (struct audit_snapshot *self, const char *workspace, const char *name, struct strata_error *error);
void audit_snapshot_end (struct audit_snapshot *self);

#endif
