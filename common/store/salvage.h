/* salvage.h - what can be had back from a damaged store's own files. Works on a copy; the damaged folder is only read. */
#ifndef STRATA_STORE_SALVAGE_H
#define STRATA_STORE_SALVAGE_H

#include "store/damage.h"

/* Makes folder `to` with the store's files of `from`: tables and segments of streams are linked (what they hold never changes),
 * the rest copied. */
int salvage_copy (const char *from, const char *to, struct strata_error *error);

/* Puts back without loss what stands somewhere else too: CURRENT, the MANIFEST from ANCHOR.manifest, ANCHOR from the store.
 * done: what was put back, as a sentence; "" nothing. */
int salvage_metadata (const char *dir, const struct damage_report *report, char *done, size_t size,
                      struct strata_error *error);

/* The id that stands in the store; 0: it can't be read. */
uint64_t salvage_id (const char *dir);

/* Cuts the logs behind the last change that can be recovered without a gap. */
int salvage_cut (const char *dir, uint64_t recoverable, struct strata_error *error);

#define SALVAGE_KINDS 24
struct salvage_loss {
    uint64_t batches, changes;  /* behind that change, as far as they can still be read */
    struct {
        char keys[80];          /* what the keys begin with: "s/frames", "job" */
        uint64_t count;
    } kinds[SALVAGE_KINDS];
    size_t kinds_count;
};
int salvage_lost (const char *dir, uint64_t recoverable, struct salvage_loss *loss, struct strata_error *error);

#endif
