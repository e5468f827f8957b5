/* place.h - where objects can be copied from and to: a namespace of staging, a folder, a tar archive.
 *
 *   NAMESPACE:[PREFIX]     objects of staging whose keys begin with PREFIX
 *   FILE.tar               members of an indexed archive (strata_tar.h)
 *   anything else          a folder, or a single file; FOLDER/NAME:X is meant where a name has a ':' ("./NAME:X")
 *
 * Keys are relative: what comes behind PREFIX, or below the folder. They are the same in all places. A key that would lead out
 * of a folder ("../", "/") is refused by it; one that staging does not allow (strata.h) is refused by that.
 */
#ifndef STRATA_CLI_PLACE_H
#define STRATA_CLI_PLACE_H

#include "cli.h"

struct place;

struct place_object {
    char *key;
    uint64_t size;
    uint32_t crc32c;
    bool has_crc; /* it is known without reading */
};

/* writing: made if missing. NULL on failure. */
struct place *place_open (const char *text, bool writing, const struct cli_args *args, struct strata_error *error);
/* -1: what was put last may not be on disk. */
int place_close (struct place **self, struct strata_error *error);
bool place_is_one_file (const struct place *self);

/* All objects, in byte order of their keys; place_list_free frees them. keep_going is asked now and then. */
int place_list (struct place *self, bool (*keep_going) (void), struct place_object **objects, size_t *count, struct strata_error *error);
void place_list_free (struct place_object *objects, size_t count);

/* Each of these does `count` at once. codes: [count], 0 or the errno of each; why: of the first that failed; never all or none. */
void place_get (struct place *self, const struct place_object *objects, size_t count, void **data, size_t *sizes, int *codes,
                struct strata_error *why);
void place_put (struct place *self, const char *const *keys, const void *const *data, const size_t *sizes, size_t count, int *codes,
                struct strata_error *why);
/* Which of them are there already with that size and checksum: there [count]. */
void place_has (struct place *self, const char *const *keys, const size_t *sizes, const uint32_t *crcs, size_t count, bool *there);

#endif
