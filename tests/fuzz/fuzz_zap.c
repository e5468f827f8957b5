/* fuzz_zap.c - an authentication request of libzmq (ZAP, RFC 27). Input: its frames, as parts. */
#include <string.h>

#include "fuzz.h"
#include "mesh/zap.h"

#define FRAMES 9

static const uint8_t allowed_key[KEY_SIZE] = "the only key that may connect: 1";

struct seen {
    int refused;
};

static void on_refused (void *arg, const char *address, const char *reason)
{
    struct seen *seen = arg;
    seen->refused++;
    fuzz_require_line (reason);
    FUZZ_REQUIRE (!strpbrk (address, "\r\n"));
}

/* The reply's frames: version, request id, status code, status text, user, metadata. */
static bool lets_in (zmsg_t *reply, const struct fuzz_part *id)
{
    zframe_t *frames[6];
    FUZZ_REQUIRE (zmsg_size (reply) == 6);
    for (size_t i = 0; i < 6; i++)
        frames[i] = i ? zmsg_next (reply) : zmsg_first (reply);
    FUZZ_REQUIRE (zframe_streq (frames[0], "1.0"));
    FUZZ_REQUIRE (zframe_size (frames[1]) == id->size && memcmp (zframe_data (frames[1]), id->data, id->size) == 0);
    FUZZ_REQUIRE (zframe_streq (frames[2], "200") || zframe_streq (frames[2], "400"));
    return zframe_streq (frames[2], "200");
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    static uint8_t keys[1][KEY_SIZE];
    static const struct keys_allowed allowed = { keys, 1, 0 };
    struct fuzz_part parts[FRAMES];
    struct seen seen = { 0 };
    const struct zap zap = { .allowed = &allowed, .on_refused = on_refused, .arg = &seen };
    memcpy (keys[0], allowed_key, KEY_SIZE);
    size_t count = size ? fuzz_split (data, size, parts, FRAMES) : 0;
    zmsg_t *request = zmsg_new ();
    if (!request)
        abort ();
    for (size_t i = 0; i < count; i++)
        zmsg_addmem (request, parts[i].data, parts[i].size);
    zmsg_t *reply = zap_answer (&zap, request);
    static const struct fuzz_part none = { (const uint8_t *)"", 0 };
    bool in = lets_in (reply, count > 1 ? &parts[1] : &none);
    FUZZ_REQUIRE (seen.refused == !in);
    if (in)
        FUZZ_REQUIRE (count == 7 && parts[6].size == KEY_SIZE && memcmp (parts[6].data, allowed_key, KEY_SIZE) == 0
                      && parts[2].size == strlen (ZAP_DOMAIN) && memcmp (parts[2].data, ZAP_DOMAIN, parts[2].size) == 0
                      && parts[5].size == 5 && memcmp (parts[5].data, "CURVE", 5) == 0);
    zmsg_destroy (&request);
    zmsg_destroy (&reply);
    return 0;
}
