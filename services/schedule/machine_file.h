/* machine_file.h - what one node has, as a file in the workspace: nodes/<name>.json, written by the node's launch agent.
 *
 *   { "format": 1, "memory_mb": 23000, "gpus": [0, 1], "cores": [[id, l2, l3, socket], ...] }   gpus: the socket of each
 */
#ifndef SCHEDULE_MACHINE_FILE_H
#define SCHEDULE_MACHINE_FILE_H

#include "machine.h"

/* The first node of `machine`. Written by atomic rename. */
int machine_save (const struct machine *machine, const char *workspace, const char *node, struct strata_error *error);
/* Adds that node; as one of the last group when it is alike. 1: added; 0: there is no file (yet), and a node of no cores is added,
 * so that the nodes after it keep their numbers; -1. */
int machine_load (struct machine *machine, const char *workspace, const char *node, struct strata_error *error);

#endif
