/* tar_walk.h - goes through an archive's headers, and past what is broken in it. See strata_tar.h. */
#ifndef STRATA_DATA_TAR_WALK_H
#define STRATA_DATA_TAR_WALK_H

#include "strata_tar.h"

struct tar_walk {
    int fd;
    uint64_t size; /* of the file: nothing is read behind it */
    uint64_t at;   /* where the next header is looked for */
    bool resync;   /* what is broken is passed over, as far as another header is found */
    /* The last member found: */
    uint64_t start; /* of its first header block */
    struct tar_member member;
    char name[TAR_NAME_MAX + 1];
    size_t name_size;
    /* What was met so far: */
    uint64_t passed_over, damaged_bytes;
    uint64_t damaged_at; /* the first place of it */
    bool dropped;        /* the member that was found before this one was overwritten: it is none */
    /* for what comes next */
    bool has_last;
    uint64_t last_start;
    struct tar_member last;
    uint8_t *window; /* for searching; the walk's own */
};

enum tar_step {
    TAR_STEP_MEMBER,
    TAR_STEP_END,    /* the file's end, or nothing but zeros: at says where the next member belongs */
    TAR_STEP_TORN,   /* the last member was not written whole: it begins at `at` */
    TAR_STEP_BROKEN, /* no header at `at`, and none behind it (or not looked for) */
    TAR_STEP_ERROR,  /* can't be read; errno */
};

void tar_walk_init (struct tar_walk *walk, int fd, uint64_t from, uint64_t size, bool resync);
void tar_walk_fini (struct tar_walk *walk);
enum tar_step tar_walk_next (struct tar_walk *walk);

#endif
