/* fuzz.h - what the fuzz targets in this folder share.
 *
 * A target is fuzz_<name>.c with LLVMFuzzerTestOneInput: it hands the bytes to one parser and checks what must hold for
 * any bytes: no sanitizer report, no hang, a failure with a sentence, and what was read can be used, written and read
 * again. Built with FUZZ=1, libFuzzer makes up the bytes; else standalone.c feeds files (`make test`).
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "strata_error.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* Says what does not hold and aborts, so that the input is kept. */
#define FUZZ_REQUIRE(condition) ((condition) ? (void)0 : fuzz_broken (__FILE__, __LINE__, #condition, NULL))
void fuzz_broken (const char *file, int line, const char *what, const char *text) __attribute__ ((noreturn));

/* A failed call (rc < 0) must have told why, in one line. With FUZZ_SAY in the environment the sentence is shown: what
 * an input fails at. */
void fuzz_require_sentence (int rc, const struct strata_error *error);
void fuzz_require_line (const char *text);

/* A folder of this process in memory (/dev/shm, or $FUZZ_TMP), emptied and removed when it ends in order. */
const char *fuzz_folder (void);
/* <folder>/<name> as a static string; a subfolder in name is made. */
const char *fuzz_path (const char *name);
/* Puts the bytes into <folder>/<name> and returns that path. */
const char *fuzz_file (const char *name, const void *data, size_t size);
/* Removes a file or a folder with all that is in it. */
void fuzz_remove (const char *path);

/* One input as several files: cut at each "=====" with its newline. Returns how many of `most` parts there are; the
 * rest are empty. */
struct fuzz_part {
    const uint8_t *data;
    size_t size;
};
size_t fuzz_split (const uint8_t *data, size_t size, struct fuzz_part *parts, size_t most);

/* A malloc'ed copy of a zip archive with the CRC-32 of each stored member made right, so that changed bytes get past
 * the checksum to the parser behind it. Bytes that are no zip are copied as they are. */
uint8_t *fuzz_zip_mend (const uint8_t *data, size_t size);

#endif
