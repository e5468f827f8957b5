/* holders.h - at the stage that keeps a name: which other stages have the object in their caches.
 *
 * A hint that spares this stage the bytes: who is named may have dropped them, and who asks him in vain says so. So it stands in
 * memory, in a table of fixed size whose places are taken by whoever comes last, and is gone with the process.
 */
#ifndef STRATA_STAGE_HOLDERS_H
#define STRATA_STAGE_HOLDERS_H

#include "mesh/cards.h"
#include "stage.pb-c.h"

#define HOLDERS_EACH 4 /* stages that are remembered of an object */

struct holders;

struct holders *holders_new (void);
void holders_free (struct holders **self);
void holders_add (struct holders *self, const char *ns, const char *key, const Strata__ObjectInfo *version, const char *stage);
void holders_remove (struct holders *self, const char *ns, const char *key, const Strata__ObjectInfo *version, const char *stage);
/* Those of this version, another one first each time; returns how many. The names stay the table's until it changes. */
size_t holders_of (struct holders *self, const char *ns, const char *key, const Strata__ObjectInfo *version,
                   char *names[HOLDERS_EACH]);

#endif
