/* npz.c - see strata_npz.h
 *
 * An archive is written where it grows: each member is stored behind its header, without a copy. (By libzip an archive of a
 * patch's 13 small members took a third of all the patch cost.) libzip reads the container, in memory; this file reads the
 * NPY members. A member is read when it is first asked for: its stated sizes are checked before anything is allocated (a
 * stored member can't be longer than the archive, a deflated one not longer than deflate's best ratio allows), then its
 * CRC-32, then its header, then that the data's length is exactly what kind and shape say. Numbers are little-endian in the
 * file and in memory.
 */
#include "strata_npz.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>
#include <zlib.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "npz.c reads and writes little-endian numbers in place"
#endif

#define NPY_MAGIC_SIZE 8
static const unsigned char npy_magic[NPY_MAGIC_SIZE] = { 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0 }; /* NPY 1.0 */
#define NPY_ALIGN 64
#define NPY_HEADER_MAX 512                    /* of what we write: four 20-digit lengths fit twice over */
#define NPZ_SIZE_MAX ((uint64_t)1 << 30)      /* of a file, and of a member once inflated */
#define DEFLATE_RATIO_MAX 1032                /* zlib's documentation: no stream inflates by more */
#define DOS_DATE_1980 ((0 << 9) | (1 << 5) | 1)

static const struct {
    const char *descr;
    size_t width;
} kinds[] = {
    [NPY_F4] = { "<f4", 4 }, [NPY_F8] = { "<f8", 8 }, [NPY_I4] = { "<i4", 4 }, [NPY_I8] = { "<i8", 8 },
    [NPY_U2] = { "<u2", 2 }, [NPY_U4] = { "<u4", 4 }, [NPY_UNICODE] = { "<U", 4 },
};

/* ---- writing ---- */

/* Sizes of the fixed parts of PKWARE's APPNOTE 6.3.9: 4.3.7, 4.3.12, 4.3.16. */
#define ZIP_LOCAL 30
#define ZIP_CENTRAL 46
#define ZIP_END 22
#define ZIP_VERSION 20
#define ZIP_UTF8 (1 << 11) /* the name is */
#define MEMBERS_MAX 65535

struct member {
    size_t at;        /* of its local header, which the name and the bytes follow */
    size_t name_size; /* with ".npy" */
    size_t size;
};

struct npz_writer {
    unsigned char *bytes; /* the archive so far */
    size_t size, capacity;
    struct member *members;
    size_t count;
    char failed[160]; /* the first add that failed, for npz_finish: callers may chain adds and check once */
};

struct npz_writer *npz_writer_new (void)
{
    return calloc (1, sizeof (struct npz_writer));
}

void npz_writer_free (struct npz_writer **self)
{
    if (!self || !*self)
        return;
    free ((*self)->members);
    free ((*self)->bytes);
    free (*self);
    *self = NULL;
}

/* Room for `more` bytes behind what stands; false: out of memory. */
static bool writer_grow (struct npz_writer *self, size_t more)
{
    size_t capacity = self->capacity ? self->capacity : 4096;
    while (capacity - self->size < more)
        capacity *= 2;
    if (capacity == self->capacity)
        return true;
    unsigned char *grown = realloc (self->bytes, capacity);
    if (!grown)
        return false;
    self->bytes = grown;
    self->capacity = capacity;
    return true;
}

/* Little-endian numbers of a header, behind what stands: there is room. */
static void write_number (struct npz_writer *self, size_t bytes, size_t value)
{
    memcpy (self->bytes + self->size, &value, bytes);
    self->size += bytes;
}

static const unsigned char *member_name (const struct npz_writer *self, const struct member *m)
{
    return self->bytes + m->at + ZIP_LOCAL;
}

static int add_failed (struct npz_writer *self, const char *name, const char *why)
{
    if (!self->failed[0])
        snprintf (self->failed, sizeof (self->failed), "member '%.80s' was not added: %s", name, why);
    return -1;
}

/* Magic, header length, dict, padding; returns the size, a multiple of 64. */
static size_t format_header (unsigned char *out, enum npy_kind kind, size_t width, int ndim, const size_t *shape)
{
    char descr[32], dict[NPY_HEADER_MAX - 80];
    if (kind == NPY_UNICODE)
        snprintf (descr, sizeof (descr), "<U%zu", width / 4);
    else
        snprintf (descr, sizeof (descr), "%s", kinds[kind].descr);
    int n = snprintf (dict, sizeof (dict), "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (int i = 0; i < ndim; i++) /* a tuple of one needs its comma */
        n += snprintf (dict + n, sizeof (dict) - (size_t)n, "%zu%s", shape[i], ndim == 1 ? "," : i + 1 < ndim ? ", " : "");
    n += snprintf (dict + n, sizeof (dict) - (size_t)n, "), }");

    size_t total = (NPY_MAGIC_SIZE + 2 + (size_t)n + 1 + NPY_ALIGN - 1) / NPY_ALIGN * NPY_ALIGN;
    size_t length = total - NPY_MAGIC_SIZE - 2;
    memcpy (out, npy_magic, NPY_MAGIC_SIZE);
    out[8] = (unsigned char)(length & 0xff);
    out[9] = (unsigned char)(length >> 8);
    memset (out + 10, ' ', length);
    memcpy (out + 10, dict, (size_t)n);
    out[total - 1] = '\n';
    return total;
}

/* Appends a member of count * width bytes and returns where its data goes, until the next one is added; NULL on failure. */
static unsigned char *add_member (struct npz_writer *self, const char *name, enum npy_kind kind, size_t width, int ndim,
                                  const size_t *shape)
{
    size_t bytes = width;
    if (ndim < 0 || ndim > NPY_MAX_DIMS) {
        add_failed (self, name, "an array has 0 to 4 dimensions");
        return NULL;
    }
    for (int i = 0; i < ndim; i++)
        if (__builtin_mul_overflow (bytes, shape[i], &bytes) || bytes > NPZ_SIZE_MAX) {
            add_failed (self, name, "it is larger than 1 GiB");
            return NULL;
        }
    size_t name_size = strlen (name) + 4;
    if (name_size > UINT16_MAX || self->count == MEMBERS_MAX) {
        add_failed (self, name, name_size > UINT16_MAX ? "its name is too long" : "there are 65535 already");
        return NULL;
    }
    for (size_t i = 0; i < self->count; i++)
        if (self->members[i].name_size == name_size && memcmp (member_name (self, &self->members[i]), name, name_size - 4) == 0) {
            add_failed (self, name, "there is a member of that name; use another");
            return NULL;
        }

    unsigned char header[NPY_HEADER_MAX];
    size_t header_size = format_header (header, kind, width, ndim, shape);
    struct member m = { .at = self->size, .name_size = name_size, .size = header_size + bytes };
    if (m.at + ZIP_LOCAL + name_size + m.size > NPZ_SIZE_MAX) {
        add_failed (self, name, "the archive would be larger than 1 GiB");
        return NULL;
    }
    struct member *grown = realloc (self->members, (self->count + 1) * sizeof (*grown));
    if (grown)
        self->members = grown;
    if (!grown || !writer_grow (self, ZIP_LOCAL + name_size + m.size)) {
        add_failed (self, name, "out of memory");
        return NULL;
    }
    self->size += ZIP_LOCAL; /* written by npz_finish, which knows the checksum */
    memcpy (self->bytes + self->size, name, name_size - 4);
    memcpy (self->bytes + self->size + name_size - 4, ".npy", 4);
    memcpy (self->bytes + self->size + name_size, header, header_size);
    self->size += name_size + m.size;
    self->members[self->count++] = m;
    return self->bytes + self->size - bytes;
}

int npz_add (struct npz_writer *self, const char *name, enum npy_kind kind, int ndim, const size_t *shape, const void *data)
{
    if ((unsigned)kind >= NPY_UNICODE)
        return add_failed (self, name, "strings go through npz_add_strings");
    unsigned char *to = add_member (self, name, kind, kinds[kind].width, ndim, shape);
    if (!to)
        return -1;
    size_t count = 1;
    for (int i = 0; i < ndim; i++)
        count *= shape[i];
    if (count)
        memcpy (to, data, count * kinds[kind].width);
    return 0;
}

/* The next code point of UTF-8 text; *text moves on. -1 for what is not UTF-8 (overlong forms and surrogates too). */
static int32_t utf8_next (const char **text)
{
    static const int32_t least[] = { 0, 0x80, 0x800, 0x10000 };
    const unsigned char *p = (const unsigned char *)*text;
    int more = p[0] < 0x80 ? 0 : (p[0] & 0xe0) == 0xc0 ? 1 : (p[0] & 0xf0) == 0xe0 ? 2 : (p[0] & 0xf8) == 0xf0 ? 3 : -1;
    if (more < 0)
        return -1;
    int32_t code = more == 0 ? p[0] : p[0] & (0x3f >> more);
    for (int i = 1; i <= more; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return -1;
        code = code << 6 | (p[i] & 0x3f);
    }
    if (code < least[more] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return -1;
    *text += more + 1;
    return code;
}

int npz_add_strings (struct npz_writer *self, const char *name, const char *const *strings, size_t count, int scalar)
{
    size_t longest = 1;
    if (scalar && count != 1)
        return add_failed (self, name, "a scalar is one string");
    for (size_t i = 0; i < count; i++) {
        size_t length = 0;
        for (const char *p = strings[i]; *p; length++)
            if (utf8_next (&p) < 0)
                return add_failed (self, name, "a string is not UTF-8");
        if (length > longest)
            longest = length;
    }
    if (longest > NPZ_SIZE_MAX / 4)
        return add_failed (self, name, "it is larger than 1 GiB");
    unsigned char *to = add_member (self, name, NPY_UNICODE, longest * 4, scalar ? 0 : 1, &count);
    if (!to)
        return -1;
    memset (to, 0, count * longest * 4);
    for (size_t i = 0; i < count; i++) {
        unsigned char *at = to + i * longest * 4;
        for (const char *p = strings[i]; *p; at += 4) {
            int32_t code = utf8_next (&p);
            memcpy (at, &code, 4);
        }
    }
    return 0;
}

int npz_add_f8 (struct npz_writer *self, const char *name, double value)
{
    return npz_add (self, name, NPY_F8, 0, NULL, &value);
}

int npz_add_i8 (struct npz_writer *self, const char *name, int64_t value)
{
    return npz_add (self, name, NPY_I8, 0, NULL, &value);
}

/* What both headers of a member have: version to .. length of the extra field. Stored, with one fixed date so that equal
 * members give equal bytes. */
static void write_common (struct npz_writer *self, const struct member *m, uint32_t crc)
{
    bool ascii = true;
    for (size_t i = 0; i < m->name_size; i++)
        ascii = ascii && member_name (self, m)[i] < 0x80;
    write_number (self, 2, ZIP_VERSION);
    write_number (self, 2, ascii ? 0 : ZIP_UTF8);
    write_number (self, 2, ZIP_CM_STORE);
    write_number (self, 2, 0);
    write_number (self, 2, DOS_DATE_1980);
    write_number (self, 4, crc);
    write_number (self, 4, m->size);
    write_number (self, 4, m->size);
    write_number (self, 2, m->name_size);
    write_number (self, 2, 0);
}

/* The local header goes before the member, the central one to the end. */
static void write_headers (struct npz_writer *self, const struct member *m)
{
    size_t end = self->size;
    uint32_t crc = (uint32_t)crc32_z (0, member_name (self, m) + m->name_size, m->size);
    self->size = m->at;
    write_number (self, 4, 0x04034b50);
    write_common (self, m, crc);
    self->size = end;
    write_number (self, 4, 0x02014b50);
    write_number (self, 2, ZIP_VERSION);
    write_common (self, m, crc);
    write_number (self, 2, 0); /* comment, disk, attributes */
    write_number (self, 2, 0);
    write_number (self, 2, 0);
    write_number (self, 4, 0);
    write_number (self, 4, m->at);
    memcpy (self->bytes + self->size, member_name (self, m), m->name_size);
    self->size += m->name_size;
}

int npz_finish (struct npz_writer *self, void **data, size_t *size, struct strata_error *error)
{
    size_t directory = 0, begin = self->size;
    if (self->failed[0])
        return strata_fail (error, "npz archive: %s", self->failed);
    if (self->count == 0)
        return strata_fail (error, "npz archive: it has no member; add one first");
    for (size_t i = 0; i < self->count; i++)
        directory += ZIP_CENTRAL + self->members[i].name_size;
    if (begin + directory + ZIP_END > NPZ_SIZE_MAX)
        return strata_fail (error, "npz archive: it would be larger than 1 GiB");
    if (!writer_grow (self, directory + ZIP_END))
        return strata_fail (error, "npz archive: out of memory");
    for (size_t i = 0; i < self->count; i++)
        write_headers (self, &self->members[i]);
    write_number (self, 4, 0x06054b50);
    write_number (self, 2, 0); /* disks */
    write_number (self, 2, 0);
    write_number (self, 2, self->count);
    write_number (self, 2, self->count);
    write_number (self, 4, directory);
    write_number (self, 4, begin);
    write_number (self, 2, 0);
    void *trimmed = realloc (self->bytes, self->size); /* the caller may keep many */
    *data = trimmed ? trimmed : self->bytes;
    *size = self->size;
    *self = (struct npz_writer){ .members = self->members, .failed = "it was finished before" };
    return 0;
}

/* ---- reading ---- */

struct loaded {
    struct npy array;
    unsigned char *bytes; /* what array.data points into; NULL: not asked for yet */
    char *name;           /* without ".npy"; NULL: not asked for yet */
};

struct npz {
    char *label;          /* the file's path, for sentences */
    unsigned char *file;  /* its bytes; NULL when the caller keeps them */
    size_t size;
    zip_t *zip;
    size_t count;
    struct loaded *loaded; /* [count], by index in the archive */
};

struct npz *npz_open_memory (const void *data, size_t size, struct strata_error *error)
{
    zip_error_t why;
    zip_error_init (&why);
    struct npz *self = calloc (1, sizeof (*self));
    zip_source_t *source = self ? zip_source_buffer_create (data, size, 0, &why) : NULL;
    if (source && !(self->zip = zip_open_from_source (source, ZIP_RDONLY, &why)))
        zip_source_free (source);
    if (!self || !self->zip) {
        strata_fail (error,
                     "npz archive of %zu bytes: not a whole zip archive (%s); write it with numpy.savez",
                     size,
                     zip_error_strerror (&why));
        goto error;
    }
    zip_int64_t n = zip_get_num_entries (self->zip, 0);
    self->size = size;
    self->count = n > 0 ? (size_t)n : 0;
    self->loaded = calloc (self->count + 1, sizeof (*self->loaded));
    self->label = strdup ("npz archive");
    if (!self->loaded || !self->label) {
        strata_fail (error, "npz archive: out of memory");
        goto error;
    }
    zip_error_fini (&why);
    return self;
error:
    zip_error_fini (&why);
    npz_close (&self);
    return NULL;
}

/* The whole of a regular file, at most NPZ_SIZE_MAX bytes, malloc'ed. */
static unsigned char *read_all (const char *path, size_t *size, struct strata_error *error)
{
    struct stat st;
    unsigned char *bytes = NULL;
    int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat (fd, &st) != 0) {
        strata_fail (error, "%s: can't be opened: %s", path, strerror (errno));
        goto done;
    }
    if (!S_ISREG (st.st_mode) || (uint64_t)st.st_size > NPZ_SIZE_MAX) {
        strata_fail (error, "%s: not a regular file of at most 1 GiB", path);
        goto done;
    }
    *size = (size_t)st.st_size;
    bytes = malloc (*size + 1);
    size_t at = 0;
    while (bytes && at < *size) {
        ssize_t n = read (fd, bytes + at, *size - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            strata_fail (error, "%s: ended at byte %zu of %zu while being read", path, at, *size);
            free (bytes);
            bytes = NULL;
            goto done;
        }
        at += (size_t)n;
    }
    if (!bytes)
        strata_fail (error, "%s: out of memory for %zu bytes", path, *size);
done:
    if (fd >= 0)
        close (fd);
    return bytes;
}

struct npz *npz_open_take (void *data, size_t size, struct strata_error *error)
{
    struct npz *self = npz_open_memory (data, size, error);
    if (self)
        self->file = data;
    return self;
}

struct npz *npz_open_file (const char *path, struct strata_error *error)
{
    size_t size;
    unsigned char *bytes = read_all (path, &size, error);
    if (!bytes)
        return NULL;
    struct npz *self = npz_open_take (bytes, size, error);
    char *label = strdup (path);
    if (!self || !label) {
        if (self)
            strata_fail (error, "out of memory");
        strata_fail_prefix (error, "%s", path);
        if (!self)
            free (bytes);
        npz_close (&self);
        free (label);
        return NULL;
    }
    free (self->label);
    self->label = label;
    return self;
}

void npz_close (struct npz **self)
{
    if (!self || !*self)
        return;
    for (size_t i = 0; (*self)->loaded && i < (*self)->count; i++) {
        free ((*self)->loaded[i].bytes);
        free ((*self)->loaded[i].name);
    }
    free ((*self)->loaded);
    if ((*self)->zip)
        zip_discard ((*self)->zip);
    free ((*self)->file);
    free ((*self)->label);
    free (*self);
    *self = NULL;
}

/* ---- the header's dict literal: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } ---- */

struct cursor {
    const char *p, *end;
};

static void skip_space (struct cursor *c)
{
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\t'))
        c->p++;
}

static bool take (struct cursor *c, const char *token)
{
    skip_space (c);
    size_t n = strlen (token);
    if ((size_t)(c->end - c->p) < n || memcmp (c->p, token, n) != 0)
        return false;
    c->p += n;
    return true;
}

static bool take_string (struct cursor *c, char *out, size_t size)
{
    skip_space (c);
    if (c->p >= c->end || (*c->p != '\'' && *c->p != '"'))
        return false;
    char quote = *c->p++;
    size_t n = 0;
    while (c->p < c->end && *c->p != quote && n + 1 < size)
        out[n++] = *c->p++;
    out[n] = '\0';
    if (c->p >= c->end || *c->p != quote)
        return false;
    c->p++;
    return true;
}

static bool take_size (struct cursor *c, size_t *value)
{
    skip_space (c);
    const char *start = c->p;
    *value = 0;
    for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++)
        if (__builtin_mul_overflow (*value, 10, value) || __builtin_add_overflow (*value, (size_t)(*c->p - '0'), value))
            return false;
    return c->p > start;
}

static bool take_shape (struct cursor *c, struct npy *array)
{
    if (!take (c, "("))
        return false;
    while (!take (c, ")")) {
        if (array->ndim == NPY_MAX_DIMS || !take_size (c, &array->shape[array->ndim++]))
            return false;
        if (!take (c, ",")) {
            if (array->ndim == 1) /* "(3)" is a number in Python, not a tuple */
                return false;
            return take (c, ")");
        }
    }
    return true;
}

/* The three keys in any order, each once, nothing else. */
static bool take_dict (struct cursor *c, struct npy *array, char *descr, size_t descr_size, bool *fortran)
{
    bool have_descr = false, have_order = false, have_shape = false;
    char key[32];
    if (!take (c, "{"))
        return false;
    while (!take (c, "}")) {
        if (!take_string (c, key, sizeof (key)) || !take (c, ":"))
            return false;
        if (strcmp (key, "descr") == 0 && !have_descr)
            have_descr = take_string (c, descr, descr_size) || take (c, "["); /* a list: fields, named in the refusal */
        else if (strcmp (key, "fortran_order") == 0 && !have_order)
            have_order = (*fortran = take (c, "True")) || take (c, "False");
        else if (strcmp (key, "shape") == 0 && !have_shape)
            have_shape = take_shape (c, array);
        else
            return false;
        if (descr[0] == '\0' && have_descr)
            return true;
        if (!take (c, ",") && !take (c, "}"))
            return false;
        if (c->p[-1] == '}')
            break;
    }
    skip_space (c);
    return have_descr && have_order && have_shape && c->p == c->end;
}

/* Kind and width from a descr such as "<f4" or "<U12"; a reason when there is none. */
static const char *parse_descr (const char *descr, struct npy *array)
{
    for (size_t k = 0; k < NPY_UNICODE; k++)
        if (strcmp (descr, kinds[k].descr) == 0) {
            array->kind = (enum npy_kind)k;
            array->width = kinds[k].width;
            return NULL;
        }
    if (descr[0] == '\0')
        return "structured arrays are not read; save each field as a member";
    if (strchr (descr, 'O'))
        return "pickled objects are refused; save plain arrays";
    if (descr[0] == '>')
        return "big-endian numbers are not read; save with .astype of the little-endian type";
    struct cursor c = { descr + 2, descr + strlen (descr) };
    if (strncmp (descr, "<U", 2) == 0 && take_size (&c, &array->width) && c.p == c.end && array->width > 0
        && !__builtin_mul_overflow (array->width, 4, &array->width)) {
        array->kind = NPY_UNICODE;
        return NULL;
    }
    return "of a type that is not read; save it as f4, f8, i4, i8, u2, u4 or str";
}

/* Parses `size` bytes of a member; array->data points into them. */
static int parse_npy (const unsigned char *bytes, size_t size, struct npy *array, struct strata_error *error)
{
    if (size < NPY_MAGIC_SIZE + 2 || memcmp (bytes, npy_magic, NPY_MAGIC_SIZE) != 0)
        return strata_fail (error, "no NPY 1.0 header; write it with numpy.save");
    size_t header = (size_t)bytes[8] | (size_t)bytes[9] << 8;
    size_t start = NPY_MAGIC_SIZE + 2 + header;
    if (start > size)
        return strata_fail (error, "truncated: its header of %zu bytes doesn't fit its %zu bytes", header, size);
    char descr[64] = "";
    bool fortran = false;
    struct cursor c = { (const char *)bytes + NPY_MAGIC_SIZE + 2, (const char *)bytes + start };
    if (!take_dict (&c, array, descr, sizeof (descr), &fortran))
        return strata_fail (error, "its header is not a dict of descr, fortran_order and a shape of at most 4 dimensions");
    const char *reason = parse_descr (descr, array);
    if (reason)
        return strata_fail (error, "descr '%s': %s", descr, reason);
    if (fortran && array->ndim > 1)
        return strata_fail (error, "stored in Fortran order; save it through numpy.ascontiguousarray");
    array->count = 1;
    size_t want = 0;
    bool over = false;
    for (int i = 0; i < array->ndim; i++)
        over |= __builtin_mul_overflow (array->count, array->shape[i], &array->count);
    over |= __builtin_mul_overflow (array->count, array->width, &want);
    if (over || want != size - start)
        return strata_fail (error, "its shape needs %zu bytes of data, there are %zu", over ? SIZE_MAX : want, size - start);
    array->data = bytes + start;
    return 0;
}

/* Inflates member `index` into *bytes and checks its CRC. */
static int read_member (struct npz *self, size_t index, unsigned char **bytes, size_t *size, struct strata_error *error)
{
    const zip_uint64_t needed = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD;
    zip_stat_t st;
    if (zip_stat_index (self->zip, index, 0, &st) != 0 || (st.valid & needed) != needed)
        return strata_fail (error, "its place in the archive can't be read");
    if (st.comp_method != ZIP_CM_STORE && st.comp_method != ZIP_CM_DEFLATE)
        return strata_fail (error, "compressed by method %u; only stored and deflated members are read", st.comp_method);
    uint64_t most = st.comp_method == ZIP_CM_STORE ? st.comp_size : st.comp_size * DEFLATE_RATIO_MAX + 1024;
    if (st.comp_size > self->size || st.size > most || st.size > NPZ_SIZE_MAX)
        return strata_fail (error, "its stated size of %llu bytes can't be true", (unsigned long long)st.size);
    zip_file_t *file = zip_fopen_index (self->zip, index, 0);
    if (!file)
        return strata_fail (error, "can't be read: %s", zip_strerror (self->zip));
    *size = st.size;
    *bytes = malloc (st.size + 1);
    size_t done = 0;
    zip_int64_t n = -1;
    /* One byte more than stated: libzip compares the CRC when it meets the end. */
    while (*bytes && done <= *size && (n = zip_fread (file, *bytes + done, *size + 1 - done)) > 0)
        done += (size_t)n;
    int rc = 0;
    if (!*bytes)
        rc = strata_fail (error, "out of memory for %zu bytes", *size);
    else if (n < 0 || done != *size)
        rc = strata_fail (error, "damaged: %s", n < 0 ? zip_file_strerror (file) : "not of its stated size");
    if (rc != 0) {
        free (*bytes);
        *bytes = NULL;
    }
    zip_fclose (file);
    return rc;
}

/* The archive's index of member `name`, -1 when there is none, -2 when there are two. */
static int64_t find_member (struct npz *self, const char *name)
{
    int64_t found = -1;
    size_t length = strlen (name);
    for (size_t i = 0; i < self->count; i++) {
        const char *there = zip_get_name (self->zip, i, ZIP_FL_ENC_RAW);
        if (there && strncmp (there, name, length) == 0 && strcmp (there + length, ".npy") == 0) {
            if (found >= 0)
                return -2;
            found = (int64_t)i;
        }
    }
    return found;
}

int npz_has (struct npz *self, const char *name)
{
    return find_member (self, name) != -1;
}

size_t npz_count (struct npz *self)
{
    return self->count;
}

const char *npz_name (struct npz *self, size_t i)
{
    const char *there = i < self->count ? zip_get_name (self->zip, i, ZIP_FL_ENC_RAW) : NULL;
    if (!there)
        return NULL;
    size_t n = strlen (there);
    if (n > 4 && strcmp (there + n - 4, ".npy") == 0)
        n -= 4;
    if (!self->loaded[i].name)
        self->loaded[i].name = strndup (there, n);
    return self->loaded[i].name;
}

static void fail_missing (struct npz *self, const char *name, struct strata_error *error)
{
    char names[320] = "";
    size_t at = 0;
    for (size_t i = 0; i < self->count && at < sizeof (names) - 40; i++) {
        const char *there = zip_get_name (self->zip, i, ZIP_FL_ENC_RAW);
        int length = there ? (int)strnlen (there, 30) : 0;
        if (length > 4 && strcmp (there + length - 4, ".npy") == 0)
            length -= 4;
        at += (size_t)snprintf (names + at, sizeof (names) - at, "%s%.*s", at ? ", " : "", length, there ? there : "");
    }
    strata_fail (error, "%s: no member '%s'; there are: %s", self->label, name, at ? names : "none");
}

const struct npy *npz_get (struct npz *self, const char *name, struct strata_error *error)
{
    int64_t index = find_member (self, name);
    if (index == -2)
        strata_fail (error, "%s: two members are called '%s'; write the archive anew", self->label, name);
    else if (index < 0)
        fail_missing (self, name, error);
    if (index < 0)
        return NULL;
    struct loaded *l = &self->loaded[index];
    if (l->bytes)
        return &l->array;
    unsigned char *bytes = NULL;
    size_t size = 0;
    struct npy array = { .ndim = 0 };
    if (read_member (self, (size_t)index, &bytes, &size, error) != 0 || parse_npy (bytes, size, &array, error) != 0) {
        free (bytes);
        strata_fail_prefix (error, "%s: member '%s'", self->label, name);
        return NULL;
    }
    /* Other writers may pad less: callers read the data in place, so it has to be aligned. */
    size_t start = (size_t)((const unsigned char *)array.data - bytes);
    if (start % sizeof (double) != 0) {
        memmove (bytes, bytes + start, size - start);
        array.data = bytes;
    }
    l->bytes = bytes;
    l->array = array;
    return &l->array;
}

/* "(37, 37, 14)", "*" for SIZE_MAX, into buf. */
static const char *shape_text (char *buf, size_t size, int ndim, const size_t *shape)
{
    size_t at = (size_t)snprintf (buf, size, "(");
    for (int i = 0; i < ndim && at < size; i++) {
        if (shape[i] == SIZE_MAX)
            at += (size_t)snprintf (buf + at, size - at, "%s*", i ? ", " : "");
        else
            at += (size_t)snprintf (buf + at, size - at, "%s%zu", i ? ", " : "", shape[i]);
    }
    if (at < size)
        snprintf (buf + at, size - at, ")");
    return buf;
}

const struct npy *npz_get_shaped (struct npz *self, const char *name, enum npy_kind kind, int ndim, const size_t *shape,
                                  struct strata_error *error)
{
    const struct npy *array = npz_get (self, name, error);
    if (!array)
        return NULL;
    bool fits = array->kind == kind && array->ndim == ndim;
    for (int i = 0; fits && i < ndim; i++)
        fits = shape[i] == SIZE_MAX || shape[i] == array->shape[i];
    if (fits)
        return array;
    char have[100], want[100];
    strata_fail (error,
                 "%s: member '%s' is %s%s, it has to be %s%s",
                 self->label,
                 name,
                 kinds[array->kind].descr + 1,
                 shape_text (have, sizeof (have), array->ndim, array->shape),
                 kinds[kind].descr + 1,
                 shape_text (want, sizeof (want), ndim, shape));
    return NULL;
}

int npy_string (const struct npy *array, size_t i, char *buf, size_t size)
{
    if (size)
        buf[0] = '\0';
    if (!array || array->kind != NPY_UNICODE || i >= array->count || size == 0)
        return -1;
    const unsigned char *at = (const unsigned char *)array->data + i * array->width;
    size_t n = 0;
    for (size_t k = 0; k < array->width; k += 4) {
        uint32_t code;
        unsigned char utf8[4];
        memcpy (&code, at + k, 4);
        if (code == 0)
            break;
        if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) {
            buf[0] = '\0';
            return -1;
        }
        size_t more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
        for (size_t b = more; b > 0; b--, code >>= 6)
            utf8[b] = (unsigned char)(0x80 | (code & 0x3f));
        utf8[0] = (unsigned char)(more == 0 ? code : code | (0xff00u >> (more + 1) & 0xff));
        if (n + more + 1 >= size)
            break;
        memcpy (buf + n, utf8, more + 1);
        n += more + 1;
    }
    buf[n] = '\0';
    return 0;
}
