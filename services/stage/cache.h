/* cache.h - objects of any stage as files of this node, so that its programs map them: bounded, the longest unused go first.
 *
 *   <folder>/strata-<hash of the workspace>/<stage>[.n]/<number>          the object's bytes, then a trailer that says whose they are
 *                                                      /<number>.part     not whole yet: nobody is told of it
 *
 * Nothing here is the only copy of anything: an object stands in its backend before a cache can have it. So no file is synced, a
 * start takes what it finds whole and checks its bytes before it is handed out, and whatever is wrong is dropped.
 *
 * A file is of one version: its size, checksum, generation and time are those that the stage that keeps the name told. A reader
 * pins what he maps by a shared lock (flock) on the file: it is not dropped while he lives, and his death ends the lock. Room is
 * counted in pages, the trailer included.
 */
#ifndef STRATA_STAGE_CACHE_H
#define STRATA_STAGE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stage.pb-c.h"
#include "strata_error.h"

#define CACHE_PATH_MAX 4400

struct cache;
struct cache_file;

struct cache_figures {
    uint64_t bytes, limit_bytes; /* those of files that are not whole yet included */
    uint64_t objects, pinned;
    uint64_t evicted;            /* since this process started */
};

/* folder: of the node, must be there. stage: "stage-0". A folder that another process holds, a stage that was fenced and lives,
 * is left to it. */
struct cache *cache_open (const char *folder, const char *workspace, const char *stage, uint64_t limit_bytes,
                          struct strata_error *error);
/* clear: its files are removed, as when the campaign goes down; else they are there for the next start. */
void cache_close (struct cache **self, bool clear);

/* What identifies a version, and nothing else. */
void cache_set_version (Strata__ObjectInfo *to, const Strata__ObjectInfo *from);
/* Whether two infos tell of the same version of an object. */
bool cache_same_version (const Strata__ObjectInfo *a, const Strata__ObjectInfo *b);
/* The file of this version, NULL: it is not here. Valid until the next call. The caller hands it to a reader. */
const char *cache_find (struct cache *self, const char *ns, const char *key, const Strata__ObjectInfo *version);
/* A part of this version; *data is malloc'ed, the caller frees it. -1, errno ENOENT: it is not here. */
int cache_read (struct cache *self, const char *ns, const char *key, const Strata__ObjectInfo *version, uint64_t offset,
                uint64_t length, void **data, size_t *got, struct strata_error *error);

/* A file for this version, of its size. NULL with errno ENOSPC: there is no room, what is there is pinned or the object is
 * larger than the cache. */
struct cache_file *cache_begin (struct cache *self, const char *ns, const char *key, const Strata__ObjectInfo *version,
                                struct strata_error *error);
int cache_write (struct cache_file *file, uint64_t offset, const void *data, size_t size, struct strata_error *error);
/* Checks the bytes and shows the file, in place of another version. -1, errno EBADMSG: they are not those of the version; it
 * can be written again. */
int cache_check (struct cache_file *file, struct strata_error *error);
int cache_end (struct cache_file **file, struct strata_error *error);
void cache_abort (struct cache_file **file);

void cache_figures (struct cache *self, int64_t now_us, struct cache_figures *figures);

#endif
