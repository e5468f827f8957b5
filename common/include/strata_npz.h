/* strata_npz.h - numpy .npz archives (zip of NPY v1 members) in memory and on disk.
 *
 * Format: numpy NEP 1 (NPY 1.0: magic "\x93NUMPY", version, little-endian header length, a dict literal with descr,
 * fortran_order, shape; data starts at a multiple of 64). Kinds that occur here: f4 f8 i4 i8 u2 u4 and U (unicode,
 * UCS-4). Pickled members ("O") are refused. Reading is safe on bytes from outside: every size is checked.
 */
#ifndef STRATA_NPZ_H
#define STRATA_NPZ_H

#include <stddef.h>
#include <stdint.h>

#include "strata_error.h"

enum npy_kind { NPY_F4, NPY_F8, NPY_I4, NPY_I8, NPY_U2, NPY_U4, NPY_UNICODE };

#define NPY_MAX_DIMS 4

struct npy {
    enum npy_kind kind;
    int ndim;                      /* 0 = scalar */
    size_t shape[NPY_MAX_DIMS];    /* C order */
    size_t count;                  /* product of shape; 1 for a scalar */
    size_t width;                  /* bytes an element; NPY_UNICODE: 4 x the longest string's characters */
    const void *data;              /* count * width bytes, owned by the archive it was read from */
};

/* ---- writing: members are appended, then the archive is finished into one malloc'ed buffer ---- */
struct npz_writer;
struct npz_writer *npz_writer_new (void);
void npz_writer_free (struct npz_writer **self);
/* Copies data (C order). name without ".npy". Returns 0 or -1 (out of memory, name used twice,
 * more than 1 GiB in all). */
int npz_add (struct npz_writer *self, const char *name, enum npy_kind kind, int ndim, const size_t *shape, const void *data);
/* count UTF-8 strings as a 1-D unicode array; count = 1 and scalar = true gives shape (). Width = the longest, at least 1. */
int npz_add_strings (struct npz_writer *self, const char *name, const char *const *strings, size_t count, int scalar);
int npz_add_f8 (struct npz_writer *self, const char *name, double value);    /* scalar float64 */
int npz_add_i8 (struct npz_writer *self, const char *name, int64_t value);   /* scalar int64 */
/* Stored (not compressed), deterministic: equal members give equal bytes. *data is malloc'ed, the caller frees it; once. */
int npz_finish (struct npz_writer *self, void **data, size_t *size, struct strata_error *error);

/* ---- reading ---- */
struct npz;
/* Parses a copy-free view of `size` bytes that the caller keeps alive and unchanged until npz_close. */
struct npz *npz_open_memory (const void *data, size_t size, struct strata_error *error);
/* The same of malloc'ed bytes that npz_close frees; on failure they stay the caller's. */
struct npz *npz_open_take (void *data, size_t size, struct strata_error *error);
struct npz *npz_open_file (const char *path, struct strata_error *error);
void npz_close (struct npz **self);
/* 1 when there is a member of that name, for optional ones; it may still be refused by npz_get. */
int npz_has (struct npz *self, const char *name);
/* How many members there are, and the name of each without ".npy" (valid until npz_close; NULL: no such member). */
size_t npz_count (struct npz *self);
const char *npz_name (struct npz *self, size_t i);
/* NULL, with the names that are there in the error, when the member is missing. */
const struct npy *npz_get (struct npz *self, const char *name, struct strata_error *error);
/* Like npz_get, and checks kind and shape (SIZE_MAX = any length in that dimension). */
const struct npy *npz_get_shaped (struct npz *self, const char *name, enum npy_kind kind, int ndim, const size_t *shape,
                                  struct strata_error *error);
/* Element i of a unicode array as UTF-8, NUL-terminated, into buf (cut to fit). */
int npy_string (const struct npy *array, size_t i, char *buf, size_t size);

#endif
