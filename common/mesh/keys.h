/* keys.h - the CURVE keys of a campaign: files under <workspace>/keys, a folder of its owner alone (0700).
 *
 *   service.cert, service.cert_secret    the key pair that every replica shows, as server and to its peers
 *   client.cert, client.cert_secret      the key pair of simulations and of the command line
 *   allowed/NAME.cert                    public keys that may connect; read again when the folder changes
 *
 * A file is a CURVE certificate of czmq (ZPL: curve / public-key, secret-key, in Z85). Secrets are 0600. A set is made
 * in a folder of another name and renamed into place: there is a whole set or none.
 */
#ifndef STRATA_MESH_KEYS_H
#define STRATA_MESH_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "strata_error.h"

#define KEY_TEXT 41 /* 40 characters of Z85 and NUL */
#define KEY_SIZE 32

enum keys_role { KEYS_SERVICE, KEYS_CLIENT };

struct keys {
    char public_key[KEY_TEXT], secret_key[KEY_TEXT]; /* own */
    char service_key[KEY_TEXT];                      /* public key of the campaign's services */
};

/* The public keys that may connect. All zero: nobody may. */
struct keys_allowed {
    uint8_t (*keys)[KEY_SIZE]; /* sorted */
    size_t count;
    uint64_t stamp; /* of the folder when it was read */
};

/* Makes <workspace>/keys. Refused (EEXIST) when it is there: whoever wants new keys moves the old ones away first. */
int keys_make (const char *workspace, struct strata_error *error);
bool keys_exist (const char *workspace);
/* Refused when the folder or the secret can be read or written by others, or is somebody else's. */
int keys_load (const char *workspace, enum keys_role role, struct keys *keys, struct strata_error *error);
void keys_wipe (struct keys *keys);

/* Reads allowed/ when it has changed since the last look (or was never read). A file that can't be read allows nobody
 * and is named in the log. True when the set of keys is another one now. */
bool keys_allowed_look (const char *workspace, struct keys_allowed *allowed);
bool keys_allowed_has (const struct keys_allowed *allowed, const uint8_t key[KEY_SIZE]);
void keys_allowed_fini (struct keys_allowed *allowed);

#endif
