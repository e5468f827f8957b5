/* drive.h - one tick between the core and an executor: launches what may be, looks what became of the rest. */
#ifndef SCHEDULE_DRIVE_H
#define SCHEDULE_DRIVE_H

#include "executor.h"
#include "schedule_core.h"
#include "template.h"

struct drive {
    struct schedule *core;
    const struct executor_ops *ops;
    void *executor;
    struct template_context context;
    size_t launches;                    /* in this tick */
};

void drive_tick (struct drive *self, int64_t now_us);
/* Jobs that an executor may have in hands. */
size_t drive_in_hands (const struct drive *self);

#endif
