/* client_map.c - objects as files of the node's cache (services/stage/cache.h), mapped.
 *
 * A stage of the node says where the file is, with the version that counts now. The shared lock pins it; a file that was dropped
 * between the stage's word and the lock has no name any more, and is asked for again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mesh/client_internal.h"
#include "mesh/route.h"
#include "stage.pb-c.h"

#define TRIES 3                  /* of a file that is dropped again and again: then a copy will do */
#define NO_CACHE_US (10 * 1000000LL)

bool client_has_cache (struct strata_client *self, const char *ns, const char *key)
{
    mesh_look_at_cards (&self->mesh);
    return mesh_now_us () >= self->no_cache_until_us && mesh_route_cache (&self->mesh, ns, key);
}

/* 1: mapped. 0: it is not there, or not as it should be. */
static int map_file (const Strata__ObjectFetchReply *reply, struct strata_mapping *mapping)
{
    const Strata__ObjectInfo *info = reply->info;
    struct stat st;
    void *data = NULL;
    int fd = open (reply->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return 0;
    if (flock (fd, LOCK_SH) == 0 && fstat (fd, &st) == 0 && st.st_nlink && (uint64_t)st.st_size >= info->size)
        data = info->size ? mmap (NULL, info->size, PROT_READ, MAP_SHARED, fd, 0) : (void *)"";
    if (!data || data == MAP_FAILED) {
        close (fd);
        return 0;
    }
    *mapping = (struct strata_mapping){ .data = data, .size = info->size, .mapped = true, .fd = fd,
                                        .info = { info->size, info->crc32c, info->generation, info->mtime_us } };
    return 1;
}

int client_map_cached (struct strata_client *self, const char *ns, const char *key, bool wait, int64_t deadline_us,
                       struct strata_mapping *mapping, struct strata_error *error)
{
    Strata__ObjectFetch fetch = STRATA__OBJECT_FETCH__INIT;
    int rc = 0;
    fetch.namespace_ = (char *)ns;
    fetch.key = (char *)key;
    fetch.wait = wait;
    for (unsigned i = 0; rc == 0 && i < TRIES && client_has_cache (self, ns, key); i++) {
        struct client_call call = { .type = STRATA__MESSAGE_TYPE__TYPE_OBJECT_FETCH, .body = &fetch.base,
                                    .reply_body = &strata__object_fetch_reply__descriptor }, *calls[] = { &call };
        strncpy (call.peer, mesh_route_cache (&self->mesh, ns, key), sizeof (call.peer) - 1);
        client_calls (self, calls, 1, deadline_us);
        const Strata__ObjectFetchReply *reply = (const Strata__ObjectFetchReply *)call.reply;
        bool final = call.failed == ENOENT || call.failed == EINVAL || call.failed == EBADMSG;
        bool told = !call.failed && reply->info && reply->path[0];
        if (final) {
            if (error)
                *error = call.error;
            errno = call.failed;
            rc = -1;
        } else if (told)
            rc = map_file (reply, mapping);
        else if (!call.failed && !reply->info)
            self->no_cache_until_us = mesh_now_us () + NO_CACHE_US;
        client_call_fini (&call);
        if (!final && !told)
            break;
    }
    return rc;
}

int strata_map (struct strata_client *self, const char *ns, const char *key, bool wait, struct strata_mapping *mapping,
                struct strata_error *error)
{
    int64_t deadline_us = client_deadline_us (self);
    int rc = client_map_cached (self, ns, key, wait, deadline_us, mapping, error);
    if (rc)
        return rc < 0 ? -1 : 0;
    struct strata_object_info info;
    void *data;
    if (client_get (self, ns, key, wait, deadline_us, &data, &info, error) < 0)
        return -1;
    *mapping = (struct strata_mapping){ .data = data, .size = info.size, .info = info, .fd = -1 };
    return 0;
}

void strata_unmap (struct strata_mapping *mapping)
{
    if (mapping->mapped) {
        if (mapping->size)
            munmap ((void *)mapping->data, mapping->size);
        close (mapping->fd);
    } else
        free ((void *)mapping->data);
    *mapping = (struct strata_mapping){ .fd = -1 };
}
