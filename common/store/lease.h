/* lease.h - who holds a shard: a file whose lock says that its holder lives, and whose name counts the renewals.
 *
 * A shard's folder holds one folder a generation, 00000001, 00000002, ...; the highest is the shard, the others are
 * leftovers. A generation holds the store's files and one file more:
 *
 *   LEASE.<number>   its holder has it locked (flock), and renames it to the next number every fifth of the lease
 *   TAKEN            the same file, renamed by a standby that took the shard by force: this generation is over
 *
 * Whoever renames it has it: a rename succeeds for one of two, and on the server of a network file system, whatever a
 * client has cached. So
 *   - the lock is free (the holder is dead): the standby locks it, renames it to the next number, and holds the shard
 *     where it is, at once;
 *   - the lock is held, but the number has not moved for a lease's length by the standby's own clock (the holder is
 *     stopped, hung, or on a node that nobody reaches): the standby renames it to TAKEN and makes the next generation
 *     from what the store's files hold then, see generation.h;
 *   - the holder's next renewal then fails: it has lost the shard, and can't harm the new generation, whose files are
 *     others.
 *
 * What a holder may send: it looks at its own clock after each commit. Within the lease no standby can have begun to copy,
 * so the commit is in whatever any standby will copy. After it a renewal decides: when it succeeds nobody had taken
 * the shard up to then, else nothing may leave (lease_keep).
 *
 * Clocks: CLOCK_BOOTTIME, which goes on while a machine sleeps; only differences on one machine. File systems: rename is
 * atomic and fails when the source is gone; what one process has synced another that opens the file then reads; flock is
 * known to all nodes (else a dead holder is taken over after the lease, as if it were stopped).
 */
#ifndef STRATA_STORE_LEASE_H
#define STRATA_STORE_LEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "strata_error.h"

#define LEASE_PATH_MAX 4300

struct lease;

/* What a standby saw last, and since when; zero at first. Without one (NULL) nothing is taken by force. */
struct lease_watch {
    uint64_t generation, number;
    int64_t since_us, looked_us;
};

/* Opens the store in folder `path` for writing and closes it again: 0 when it is whole. */
typedef int lease_try_f (const char *path, void *arg, struct strata_error *error);

/* Takes the shard in folder `dir` (made when missing). NULL with errno EBUSY: another process holds it, ask again; any other
 * errno: why not. Until the first lease_keep a thread renews it, a minute at the most: opening a store takes what it takes. */
struct lease *lease_take (const char *dir, struct lease_watch *watch, int64_t length_us, lease_try_f *try_store, void *arg,
                          struct strata_error *error);
/* Gives it up: the next one takes it at once. NULL is allowed. */
void lease_free (struct lease **self);

const char *lease_path (const struct lease *self);   /* where the store's files are */
bool lease_by_force (const struct lease *self);
/* Renews when a fifth has passed. 0: held now, what was committed before this call may be told. -1 with errno ESTALE: lost for
 * ever; with another errno: it ran out and can't be renewed now, tell nobody and call again. */
int lease_keep (struct lease *self, struct strata_error *error);
bool lease_lost (const struct lease *self);
/* Removes older generations, and what takers left that died. Once the store of this one is open. */
void lease_sweep (const struct lease *self);

/* Of a generation's folder `path` that a repair has filled: a lease that nobody holds. */
int lease_put (const char *path, struct strata_error *error);
/* Whether a process holds the shard in folder `dir` now. */
bool lease_held (const char *dir);
/* The folder of a shard's store, for looking only: the newest generation; `dir` itself where there is none (stores made before
 * there were generations). */
void lease_newest (const char *dir, char path[LEASE_PATH_MAX]);

#endif
