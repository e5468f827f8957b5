/* keys.c - see keys.h */
#include "mesh/keys.h"

#include <czmq.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"

#define ALLOWED_MAX 4096 /* keys at the most */
#define CERT_MAX 16384   /* bytes of a certificate file */

static const char *const role_names[] = { [KEYS_SERVICE] = "service", [KEYS_CLIENT] = "client" };

/* ---- making ---- */

/* 0600 from its first byte on: the folder is 0700, and the mask holds while the file is made. */
static int save (zcert_t *cert, bool secret, const char *path, struct strata_error *error)
{
    mode_t mask = umask (077);
    int rc = secret ? zcert_save_secret (cert, path) : zcert_save_public (cert, path);
    umask (mask);
    if (rc < 0 || chmod (path, secret ? 0600 : 0644) < 0)
        return strata_fail (error, "key file %s can't be written: %s", path, strerror (errno));
    return 0;
}

static int save_pair (const char *folder, const char *name, struct strata_error *error)
{
    char path[4300];
    zcert_t *cert = zcert_new ();
    if (!cert)
        return strata_fail (error, "no key pair can be made: this libzmq was built without CURVE");
    zcert_set_meta (cert, "name", "%s", name);
    snprintf (path, sizeof (path), "%s/%s.cert_secret", folder, name);
    int rc = save (cert, true, path, error);
    snprintf (path, sizeof (path), "%s/%s.cert", folder, name);
    rc = rc < 0 ? rc : save (cert, false, path, error);
    snprintf (path, sizeof (path), "%s/allowed/%s.cert", folder, name);
    rc = rc < 0 ? rc : save (cert, false, path, error);
    zcert_destroy (&cert);
    return rc;
}

static void remove_set (const char *folder)
{
    static const char *const files[] = { "allowed/service.cert", "allowed/client.cert", "service.cert", "client.cert",
                                         "service.cert_secret",  "client.cert_secret" };
    char path[4300];
    for (size_t i = 0; i < sizeof (files) / sizeof (files[0]); i++) {
        snprintf (path, sizeof (path), "%s/%s", folder, files[i]);
        unlink (path);
    }
    snprintf (path, sizeof (path), "%s/allowed", folder);
    rmdir (path);
    rmdir (folder);
}

int keys_make (const char *workspace, struct strata_error *error)
{
    char path[4200], temp[4220], allowed[4240];
    if (!zsys_has_curve ())
        return strata_fail (error, "no keys can be made: this libzmq was built without CURVE");
    snprintf (path, sizeof (path), "%s/keys", workspace);
    if (keys_exist (workspace)) {
        errno = EEXIST;
        return strata_fail (error,
                            "keys are there already (%s); for new ones stop the campaign and move that folder away",
                            path);
    }
    snprintf (temp, sizeof (temp), "%s.XXXXXX", path);
    if (!mkdtemp (temp)) /* 0700 */
        return strata_fail (error, "folder %s can't be made: %s", temp, strerror (errno));
    snprintf (allowed, sizeof (allowed), "%s/allowed", temp);
    int rc = 0;
    if (mkdir (allowed, 0700) < 0)
        rc = strata_fail (error, "folder %s can't be made: %s", allowed, strerror (errno));
    if (rc == 0)
        rc = save_pair (temp, "service", error);
    if (rc == 0)
        rc = save_pair (temp, "client", error);
    /* A folder that came into being meanwhile is not empty: then rename fails. */
    if (rc == 0 && rename (temp, path) < 0)
        rc = strata_fail (error, "keys can't be put at %s: %s", path, strerror (errno));
    if (rc < 0)
        remove_set (temp);
    return rc;
}

bool keys_exist (const char *workspace)
{
    char path[4200];
    struct stat st;
    snprintf (path, sizeof (path), "%s/keys", workspace);
    return lstat (path, &st) == 0;
}

/* ---- reading ---- */

/* The tree of a certificate file, NULL when it is none: it may have been edited by hand. Read here, since zconfig_load
 * loses memory over a broken file. */
static zconfig_t *load (const char *path)
{
    char text[CERT_MAX + 1];
    struct stat st;
    int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd >= 0 && fstat (fd, &st) == 0 && S_ISREG (st.st_mode) ? read (fd, text, sizeof (text)) : -1;
    zconfig_t *root = NULL;
    if (n > 0 && n <= CERT_MAX) {
        text[n] = '\0';
        root = zconfig_str_load (text);
    }
    if (fd >= 0)
        close (fd);
    explicit_bzero (text, sizeof (text));
    return root;
}

static int read_key (const char *path, const char *name, char text[KEY_TEXT], struct strata_error *error)
{
    uint8_t bytes[KEY_SIZE];
    zconfig_t *root = load (path);
    const char *value = root ? zconfig_get (root, name, NULL) : NULL;
    int rc = -1;
    if (!value || strlen (value) != KEY_TEXT - 1 || !zmq_z85_decode (bytes, value)) {
        errno = EINVAL;
        strata_fail (error,
                     "key file %s can't be read or has no %s of 40 characters; move keys/ away and run 'strata keygen'",
                     path,
                     name);
    } else {
        memcpy (text, value, KEY_TEXT);
        rc = 0;
    }
    explicit_bzero (bytes, sizeof (bytes));
    zconfig_destroy (&root);
    return rc;
}

/* Whoever else can write here can put own keys in place; whoever can read a secret can pass as its owner. */
static int check_private (const char *path, mode_t forbidden, struct strata_error *error)
{
    struct stat st;
    if (stat (path, &st) < 0)
        return strata_fail (error, errno == ENOENT ? "%s is missing (%s); 'strata keygen' makes keys" : "%s: %s", path,
                            strerror (errno));
    if (st.st_uid != getuid () || (st.st_mode & forbidden)) {
        errno = EACCES;
        return strata_fail (error, "%s is open to others (owner %u, mode %04o); chmod go= it, or make new keys", path,
                            (unsigned)st.st_uid, (unsigned)(st.st_mode & 07777));
    }
    return 0;
}

int keys_load (const char *workspace, enum keys_role role, struct keys *keys, struct strata_error *error)
{
    char path[4300];
    *keys = (struct keys){ .public_key = "" };
    snprintf (path, sizeof (path), "%s/keys", workspace);
    if (check_private (path, 077, error) < 0)
        return -1;
    snprintf (path, sizeof (path), "%s/keys/service.cert", workspace);
    if (read_key (path, "curve/public-key", keys->service_key, error) < 0)
        return -1;
    snprintf (path, sizeof (path), "%s/keys/%s.cert_secret", workspace, role_names[role]);
    if (check_private (path, 077, error) < 0 || read_key (path, "curve/public-key", keys->public_key, error) < 0
        || read_key (path, "curve/secret-key", keys->secret_key, error) < 0) {
        keys_wipe (keys);
        return -1;
    }
    if (role == KEYS_SERVICE && strcmp (keys->public_key, keys->service_key) != 0) {
        keys_wipe (keys);
        errno = EINVAL;
        return strata_fail (error, "%s and service.cert are of different key pairs; make new keys", path);
    }
    return 0;
}

void keys_wipe (struct keys *keys)
{
    explicit_bzero (keys, sizeof (*keys));
}

/* ---- who may connect ---- */

static int by_bytes (const void *a, const void *b)
{
    return memcmp (a, b, KEY_SIZE);
}

static uint64_t mix (uint64_t hash, const void *data, size_t size)
{
    for (const uint8_t *p = data; size; size--)
        hash = (hash ^ *p++) * 1099511628211u; /* FNV-1a */
    return hash;
}

static bool is_cert (const char *name)
{
    size_t n = strlen (name);
    return n > 5 && strcmp (name + n - 5, ".cert") == 0;
}

/* Of names, times and sizes: a file edited in place shows too. Never 0. */
static uint64_t folder_stamp (const char *folder)
{
    char path[4600];
    struct stat st;
    uint64_t sum = 1;
    DIR *dir = opendir (folder);
    for (struct dirent *entry; dir && (entry = readdir (dir));) {
        if (!is_cert (entry->d_name))
            continue;
        snprintf (path, sizeof (path), "%s/%s", folder, entry->d_name);
        if (stat (path, &st) < 0)
            continue;
        uint64_t hash = mix (1469598103934665603u, entry->d_name, strlen (entry->d_name));
        hash = mix (hash, &st.st_mtim, sizeof (st.st_mtim));
        hash = mix (hash, &st.st_ino, sizeof (st.st_ino));
        sum += mix (hash, &st.st_size, sizeof (st.st_size)) | 1; /* in any order */
    }
    if (dir)
        closedir (dir);
    return sum ? sum : 1;
}

static void read_allowed (const char *folder, struct keys_allowed *allowed)
{
    char path[4600], text[KEY_TEXT];
    struct strata_error error;
    DIR *dir = opendir (folder);
    if (!dir)
        log_warn ("%s: %s; nobody may connect over TCP", folder, strerror (errno));
    for (struct dirent *entry; dir && (entry = readdir (dir));) {
        if (!is_cert (entry->d_name))
            continue;
        snprintf (path, sizeof (path), "%s/%s", folder, entry->d_name);
        if (read_key (path, "curve/public-key", text, &error) < 0) {
            log_warn ("%s", error.text);
            continue;
        }
        uint8_t (*grown)[KEY_SIZE] = allowed->count < ALLOWED_MAX
                                         ? realloc (allowed->keys, (allowed->count + 1) * sizeof (*grown))
                                         : NULL;
        if (!grown) {
            log_warn ("%s is not taken: out of memory, or more than %d keys", path, ALLOWED_MAX);
            break;
        }
        allowed->keys = grown;
        zmq_z85_decode (grown[allowed->count++], text);
    }
    if (dir)
        closedir (dir);
    if (allowed->count)
        qsort (allowed->keys, allowed->count, sizeof (*allowed->keys), by_bytes);
}

bool keys_allowed_look (const char *workspace, struct keys_allowed *allowed)
{
    char folder[4200];
    snprintf (folder, sizeof (folder), "%s/keys/allowed", workspace);
    uint64_t stamp = folder_stamp (folder);
    if (stamp == allowed->stamp)
        return false;
    struct keys_allowed read = { .stamp = stamp };
    read_allowed (folder, &read);
    bool same = read.count == allowed->count
                && (!read.count || memcmp (read.keys, allowed->keys, read.count * sizeof (*read.keys)) == 0);
    keys_allowed_fini (allowed);
    *allowed = read;
    return !same;
}

bool keys_allowed_has (const struct keys_allowed *allowed, const uint8_t key[KEY_SIZE])
{
    return allowed->count && bsearch (key, allowed->keys, allowed->count, sizeof (*allowed->keys), by_bytes) != NULL;
}

void keys_allowed_fini (struct keys_allowed *allowed)
{
    free (allowed->keys);
    *allowed = (struct keys_allowed){ .keys = NULL };
}
