/* cards.h - how replicas find each other: a card is a small JSON file in <workspace>/cards, written by atomic rename. */
#ifndef STRATA_MESH_CARDS_H
#define STRATA_MESH_CARDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "strata_error.h"

#define REPLICA_NAME_MAX 64

struct card {
    char replica[REPLICA_NAME_MAX];  /* "stage-0" */
    char service[REPLICA_NAME_MAX];  /* "stage" */
    char node[REPLICA_NAME_MAX];
    char rpc[128], pub[128];         /* endpoints */
    char tcp_rpc[128], tcp_pub[128]; /* the same on TCP; "" when it listens on Unix sockets alone */
    char key[48];                    /* its CURVE public key there (Z85), "" without TCP */
    uint32_t pid;
    uint64_t boot, epoch;
    uint32_t shard;                  /* the number of the shard that epoch is of */
    bool active;                     /* holds its shard, or needs none */
    bool retiring;                   /* a stage that takes nothing new: it hands on what it keeps */
    int64_t started_us;
};

/* The 0700 folder of this node for the sockets of `workspace`; made when missing, refused when somebody else's. */
int cards_socket_dir (const char *workspace, char *dir, size_t size, struct strata_error *error);
int card_write (const char *workspace, const struct card *card, struct strata_error *error);
void card_remove (const char *workspace, const char *replica);
/* Whether the process that wrote it lives, on whichever node: it holds <workspace>/cards/<replica>.lock. */
bool card_is_held (const char *workspace, const char *replica);
/* All readable cards, malloc'ed; a broken one is skipped. Returns how many. */
size_t cards_read (const char *workspace, struct card **cards);
/* Changes whenever a card is written or removed. */
uint64_t cards_stamp (const char *workspace);

#endif
