/* fuzz_cards.c - a replica's card in a workspace. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "mesh/cards.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    struct card *cards = NULL;
    fuzz_file ("cards/a-0.json", data, size);
    size_t count = cards_read (fuzz_folder (), &cards);
    FUZZ_REQUIRE (count <= 1);
    for (size_t i = 0; i < count; i++) {
        FUZZ_REQUIRE (memchr (cards[i].replica, '\0', sizeof (cards[i].replica)));
        FUZZ_REQUIRE (memchr (cards[i].service, '\0', sizeof (cards[i].service)));
        FUZZ_REQUIRE (memchr (cards[i].node, '\0', sizeof (cards[i].node)));
        FUZZ_REQUIRE (memchr (cards[i].rpc, '\0', sizeof (cards[i].rpc)));
        FUZZ_REQUIRE (memchr (cards[i].pub, '\0', sizeof (cards[i].pub)));
        FUZZ_REQUIRE (memchr (cards[i].tcp_rpc, '\0', sizeof (cards[i].tcp_rpc)));
        FUZZ_REQUIRE (memchr (cards[i].tcp_pub, '\0', sizeof (cards[i].tcp_pub)));
        FUZZ_REQUIRE (memchr (cards[i].key, '\0', sizeof (cards[i].key)));
    }
    free (cards);
    return 0;
}
