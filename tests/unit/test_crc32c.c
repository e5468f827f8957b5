/* test_crc32c.c - the checksum against the published vectors, and its two ways of computing against each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/crc32c.h"

/* RFC 3720, appendix B.4, and the usual check value. */
static void the_published_vectors_come_out (void **state)
{
    uint8_t zeros[32], ones[32], up[32], down[32];
    for (size_t i = 0; i < 32; i++) {
        zeros[i] = 0;
        ones[i] = 0xff;
        up[i] = (uint8_t)i;
        down[i] = (uint8_t)(31 - i);
    }
    const struct {
        const void *data;
        size_t size;
        uint32_t crc;
    } cases[] = {
        { "", 0, 0 },
        { "123456789", 9, 0xE3069283u },
        { zeros, 32, 0x8A9136AAu },
        { ones, 32, 0x62A8AB43u },
        { up, 32, 0x46DD794Eu },
        { down, 32, 0x113FDB5Cu },
    };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        assert_int_equal (crc32c (0, cases[i].data, cases[i].size), cases[i].crc);
        assert_int_equal (crc32c_portable (0, cases[i].data, cases[i].size), cases[i].crc);
    }
}

static void both_ways_agree_at_every_length_offset_and_cut (void **state)
{
    uint8_t data[2500]; /* some of it is taken in three stretches, more than once */
    srand (7);
    for (size_t i = 0; i < sizeof (data); i++)
        data[i] = (uint8_t)rand ();
    for (size_t offset = 0; offset < 9; offset++)
        for (size_t size = 0; size + offset <= sizeof (data); size += 7) {
            uint32_t whole = crc32c (0, data + offset, size);
            assert_int_equal (whole, crc32c_portable (0, data + offset, size));
            size_t cut = size / 3;
            assert_int_equal (whole, crc32c (crc32c (0, data + offset, cut), data + offset + cut, size - cut));
        }
}

static void one_flipped_bit_is_seen (void **state)
{
    uint8_t data[64] = { 1, 2, 3 };
    uint32_t good = crc32c (0, data, sizeof (data));
    for (size_t bit = 0; bit < sizeof (data) * 8; bit++) {
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal (crc32c (0, data, sizeof (data)), good);
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (the_published_vectors_come_out),
        cmocka_unit_test (both_ways_agree_at_every_length_offset_and_cut),
        cmocka_unit_test (one_flipped_bit_is_seen),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
