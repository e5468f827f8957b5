/* cards.c - see cards.h */
#include "mesh/cards.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int cards_socket_dir (const char *workspace, char *dir, size_t size, struct strata_error *error)
{
    char base[96];
    struct stat st;
    const char *runtime = getenv ("XDG_RUNTIME_DIR");
    /* FNV-1a of the workspace's path: short, since the path of a Unix socket has at most 107 bytes. */
    uint64_t hash = 1469598103934665603u;
    for (const char *p = workspace; *p; p++)
        hash = (hash ^ (uint8_t)*p) * 1099511628211u;
    if (runtime && strlen (runtime) < 48 && stat (runtime, &st) == 0 && st.st_uid == getuid ())
        snprintf (base, sizeof (base), "%s/strata", runtime);
    else
        snprintf (base, sizeof (base), "/tmp/strata-%u", (unsigned)getuid ());
    snprintf (dir, size, "%s/%012" PRIx64, base, hash & 0xffffffffffff);
    for (int i = 0; i < 2; i++) {
        const char *path = i ? dir : base;
        if (mkdir (path, 0700) < 0 && errno != EEXIST)
            return strata_fail (error, "socket folder %s can't be made: %s", path, strerror (errno));
        if (lstat (path, &st) < 0 || !S_ISDIR (st.st_mode) || st.st_uid != getuid () || (st.st_mode & 077))
            return strata_fail (error, "socket folder %s is not a folder of this user alone (mode 0700); remove it", path);
    }
    return 0;
}

int card_write (const char *workspace, const struct card *card, struct strata_error *error)
{
    char path[4096], temp[4200];
    snprintf (path, sizeof (path), "%s/cards", workspace);
    if (mkdir (path, 0777) < 0 && errno != EEXIST)
        return strata_fail (error, "folder %s can't be made: %s", path, strerror (errno));
    snprintf (path, sizeof (path), "%s/cards/%s.json", workspace, card->replica);
    snprintf (temp, sizeof (temp), "%s.%d.tmp", path, (int)getpid ());
    char boot[24];
    snprintf (boot, sizeof (boot), "%016" PRIx64, card->boot);
    json_t *json = json_pack ("{s:s s:s s:s s:s s:s s:s s:s s:s s:i s:s s:I s:i s:b s:b s:I}",
                              "replica", card->replica,
                              "service", card->service,
                              "node", card->node,
                              "rpc", card->rpc,
                              "pub", card->pub,
                              "tcp_rpc", card->tcp_rpc,
                              "tcp_pub", card->tcp_pub,
                              "key", card->key,
                              "pid", (int)card->pid,
                              "boot", boot,
                              "epoch", (json_int_t)card->epoch,
                              "shard", (int)card->shard,
                              "active", card->active,
                              "retiring", card->retiring,
                              "started_us", (json_int_t)card->started_us);
    int rc = json ? json_dump_file (json, temp, JSON_INDENT (1)) : -1;
    json_decref (json);
    if (rc < 0 || rename (temp, path) < 0) {
        int saved = errno;
        unlink (temp);
        strata_fail (error, "card %s can't be written: %s", path, strerror (saved));
        errno = saved;
        return -1;
    }
    return 0;
}

void card_remove (const char *workspace, const char *replica)
{
    char path[4096];
    snprintf (path, sizeof (path), "%s/cards/%s.json", workspace, replica);
    unlink (path);
}

bool card_is_held (const char *workspace, const char *replica)
{
    char path[4096];
    snprintf (path, sizeof (path), "%s/cards/%s.lock", workspace, replica);
    int fd = open (path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool held = flock (fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
    close (fd);
    return held;
}

static bool take (char *out, size_t size, const char *in)
{
    return in && (size_t)snprintf (out, size, "%s", in) < size;
}

static bool card_read (const char *path, struct card *card)
{
    const char *replica, *service, *node, *rpc, *pub, *boot, *tcp_rpc = "", *tcp_pub = "", *key = "";
    json_int_t pid, epoch, shard = 0, started;
    int active, retiring = 0;
    json_t *json = json_load_file (path, JSON_REJECT_DUPLICATES, NULL);
    *card = (struct card){ .pid = 0 };
    bool ok = json
              && json_unpack (json,
                              "{s:s s:s s:s s:s s:s s?s s?s s?s s:I s:s s:I s?I s:b s?b s:I}",
                              "replica", &replica,
                              "service", &service,
                              "node", &node,
                              "rpc", &rpc,
                              "pub", &pub,
                              "tcp_rpc", &tcp_rpc,
                              "tcp_pub", &tcp_pub,
                              "key", &key,
                              "pid", &pid,
                              "boot", &boot,
                              "epoch", &epoch,
                              "shard", &shard,
                              "active", &active,
                              "retiring", &retiring,
                              "started_us", &started) == 0
              && take (card->replica, sizeof (card->replica), replica)
              && take (card->service, sizeof (card->service), service)
              && take (card->node, sizeof (card->node), node)
              && take (card->rpc, sizeof (card->rpc), rpc)
              && take (card->pub, sizeof (card->pub), pub)
              && take (card->tcp_rpc, sizeof (card->tcp_rpc), tcp_rpc)
              && take (card->tcp_pub, sizeof (card->tcp_pub), tcp_pub)
              && take (card->key, sizeof (card->key), key);
    if (ok) {
        card->pid = (uint32_t)pid;
        card->boot = strtoull (boot, NULL, 16);
        card->epoch = (uint64_t)epoch;
        card->shard = (uint32_t)shard;
        card->active = active;
        card->retiring = retiring;
        card->started_us = started;
    }
    json_decref (json);
    return ok;
}

static int by_name (const void *a, const void *b)
{
    return strcmp (((const struct card *)a)->replica, ((const struct card *)b)->replica);
}

size_t cards_read (const char *workspace, struct card **cards)
{
    char path[4600];
    size_t count = 0;
    *cards = NULL;
    snprintf (path, sizeof (path), "%s/cards", workspace);
    DIR *dir = opendir (path);
    if (!dir)
        return 0;
    for (struct dirent *entry; (entry = readdir (dir));) {
        size_t n = strlen (entry->d_name);
        if (n < 6 || strcmp (entry->d_name + n - 5, ".json") != 0)
            continue;
        struct card *grown = realloc (*cards, (count + 1) * sizeof (*grown));
        if (!grown)
            break;
        *cards = grown;
        snprintf (path, sizeof (path), "%s/cards/%s", workspace, entry->d_name);
        if (card_read (path, &grown[count]))
            count++;
    }
    closedir (dir);
    if (count)
        qsort (*cards, count, sizeof (**cards), by_name);
    return count;
}

uint64_t cards_stamp (const char *workspace)
{
    char path[4096];
    struct stat st;
    snprintf (path, sizeof (path), "%s/cards", workspace);
    if (stat (path, &st) < 0)
        return 0;
    return (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
}
