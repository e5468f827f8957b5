/* rebuild.h - a service's shard made anew from what others hold: `strata-<service> --rebuild DIR`, run by `strata repair`.
 *
 * The service's own core takes in again what it took in before, from the stores of its peers (read only, checked first);
 * no socket, no clock. It is all or nothing: what can't be had whole is an error, and DIR is thrown away. But for what nobody
 * else ever knew (what a person told the service): that is had from the damaged store as far as it can be read, and said.
 */
#ifndef STRATA_MESH_REBUILD_H
#define STRATA_MESH_REBUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/campaign.h"
#include "store/shard.h"

struct rebuild;

struct shard *rebuild_shard (struct rebuild *self);
const struct campaign *rebuild_campaign (struct rebuild *self);
const char *rebuild_workspace (struct rebuild *self);

/* Hands every record of `stream` of each shard of service `from` to `each`, which returns 0, or -1 to give up, and sets the
 * cursors behind them. *records (may be NULL): how many. -1 when records were trimmed, or a store is damaged. */
typedef int rebuild_f (struct rebuild *self, int64_t time_us, const void *record, size_t size, void *arg,
                       struct strata_error *error);
int rebuild_stream (struct rebuild *self, const char *from, const char *stream, rebuild_f *each, void *arg, uint64_t *records,
                    struct strata_error *error);
/* The store of shard `name` ("schedule-0"), for reading; the caller closes it. *store NULL: it was never made. */
int rebuild_peer (struct rebuild *self, const char *name, struct shard **store, struct strata_error *error);
/* Calls each for every key under the prefixes (ends with NULL) that can still be read of the damaged store `name` itself; values
 * may be anything. */
typedef void rebuild_entry_f (const uint8_t *key, size_t key_size, const uint8_t *value, size_t value_size, void *arg);
struct rebuild_old {
    bool whole;             /* all was read, up to the damage of a log */
    uint64_t changes_lost;  /* behind that damage: they were acknowledged, and can't be read in their order */
};
int rebuild_old (struct rebuild *self, const char *name, const char *const *prefixes, rebuild_entry_f *each, void *arg,
                 struct rebuild_old *old, struct strata_error *error);
/* UTC, now. */
int64_t rebuild_now_us (void);
/* One line for the person who repairs. */
void rebuild_say (struct rebuild *self, const char *fmt, ...) __attribute__ ((format (printf, 2, 3)));

struct service_spec;
/* The whole of --rebuild: 0, or 1 with the reason on stderr; or REBUILD_PARTLY: made, and what was said to a person says what is
 * not in it. */
#define REBUILD_PARTLY 3
int rebuild_run (const struct service_spec *spec, const struct campaign *campaign, const char *workspace, const char *dir);

#endif
