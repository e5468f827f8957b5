/* fuzz_npz.c - an .npz archive as it is, and with its checksums mended: every member by every getter. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "strata_npz.h"

static void use (struct npz *npz, const char *name)
{
    static const size_t any[NPY_MAX_DIMS] = { SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX };
    struct strata_error error = { "" };
    char text[9];
    const struct npy *array = npz_get (npz, name, &error);
    fuzz_require_sentence (array ? 0 : -1, &error);
    for (int kind = 0; kind <= NPY_UNICODE; kind++)
        for (int ndim = 0; ndim <= NPY_MAX_DIMS; ndim++) {
            const struct npy *shaped = npz_get_shaped (npz, name, (enum npy_kind)kind, ndim, any, &error);
            FUZZ_REQUIRE (!shaped || (shaped == array && (int)shaped->kind == kind && shaped->ndim == ndim));
        }
    if (!array)
        return;
    FUZZ_REQUIRE (npz_has (npz, name));
    size_t count = 1;
    for (int i = 0; i < array->ndim; i++)
        count *= array->shape[i];
    FUZZ_REQUIRE (count == array->count && (uintptr_t)array->data % sizeof (double) == 0);
    unsigned sum = 0; /* every byte that is promised can be read */
    for (size_t i = 0; i < array->count * array->width; i++)
        sum += ((const unsigned char *)array->data)[i];
    memcpy (text, &sum, sizeof (sum));
    for (size_t i = 0; i < array->count && i < 100; i++)
        for (size_t room = 0; room <= sizeof (text); room += 3) {
            int rc = npy_string (array, i, text, room);
            FUZZ_REQUIRE (rc < 0 || (room && memchr (text, '\0', room)));
        }
    FUZZ_REQUIRE (npy_string (array, array->count, text, sizeof (text)) == -1);
}

static void open_and_use (const uint8_t *data, size_t size)
{
    static const char *const names[] = { "a", "mean", "concentrations", "id", "states", "" };
    struct strata_error error = { "" };
    struct npz *npz = npz_open_memory (data, size, &error);
    fuzz_require_sentence (npz ? 0 : -1, &error);
    for (size_t i = 0; npz && i < sizeof (names) / sizeof (names[0]); i++)
        use (npz, names[i]);
    npz_close (&npz);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    uint8_t *mended = fuzz_zip_mend (data, size);
    open_and_use (data, size);
    open_and_use (mended, size);
    free (mended);
    return 0;
}
