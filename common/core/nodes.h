/* nodes.h - the nodes that a campaign's services run on.
 *
 * Each node has a supervisor (`strata up` on the first, `strata up --join` on the others), and in the workspace
 *   nodes.json           {"format": 1, "nodes": ["a", "b"]}: in the order they joined; a node's number is its place, and stays
 *   nodes/<name>.lock    held (flock) by its supervisor as long as it lives; says its pid
 *   nodes/<name>.json    what there is to run jobs on (services/schedule/machine.h); written by its launch agent
 *   down                 is there from `strata down` on until all supervisors have ended
 *
 * Which node runs a replica follows from the list alone, so nobody has to be asked: replica n of a service belongs to node n
 * modulo their number, and while that one's supervisor does not live, to the next one that does.
 */
#ifndef STRATA_CORE_NODES_H
#define STRATA_CORE_NODES_H

#include <stdbool.h>
#include <stddef.h>

#include "strata_error.h"

#define NODE_NAME_MAX 64
#define NODES_MAX 10000
#define NODES_SERVING 64 /* the first so many run services; those after them launch jobs only */

struct nodes {
    char (*names)[NODE_NAME_MAX]; /* [count], ours */
    size_t count;
};

/* A name is 1-63 letters, digits, '.', '_', '-', and does not begin with '.'. */
bool nodes_name_valid (const char *name);
/* Empty when there is no list yet. -1: it can't be read or understood. */
int nodes_read (const char *workspace, struct nodes *self, struct strata_error *error);
void nodes_fini (struct nodes *self);
/* Its number; -1: not in the list. */
int nodes_find (const struct nodes *self, const char *name);

/* An open descriptor that holds the node's lock as long as it is open; -1 with the sentence, errno EWOULDBLOCK when a supervisor
 * of that node runs. */
int nodes_lock (const char *workspace, const char *name, struct strata_error *error);
bool nodes_is_up (const char *workspace, const char *name);
/* Writes the supervisor's pid into the lock. */
void nodes_sign (int fd, long pid);
/* Whether the supervisor of a node other than `name` lives. */
bool nodes_live (const char *workspace, const char *name);
/* Puts the node on the list when it is not there, behind the others. alone: takes all others off it. */
int nodes_join (const char *workspace, const char *name, bool alone, struct strata_error *error);
/* The pid that the lock of a node says; 0: its supervisor does not run. */
long nodes_supervisor (const char *workspace, const char *name);

/* Whether replica `number` of a service is node `mine`'s. up[count]: whose supervisors live (only NODES_SERVING are looked at). */
bool nodes_own (const bool *up, size_t count, size_t mine, unsigned number);

int nodes_say_down (const char *workspace, struct strata_error *error);
bool nodes_go_down (const char *workspace);
void nodes_forget_down (const char *workspace);

/* The address that other nodes reach this one at: STRATA_ADDRESS, else that of the first network interface that is up and no
 * loopback, else 127.0.0.1. */
void nodes_address (char *address, size_t size);

#endif
