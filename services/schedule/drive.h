/* drive.h - one tick between the core and an executor: launches what may be, looks what became of the rest. */
#ifndef SCHEDULE_DRIVE_H
#define SCHEDULE_DRIVE_H

#include <czmq.h>

#include "executor.h"
#include "schedule_core.h"
#include "template.h"

struct drive {
    struct schedule *core;
    const struct executor_ops *ops;
    void *executor;
    struct template_context context;
    zhash_t *handed;                    /* attempt by job id: an executor has taken it on, and has not told that it runs or ended */
};

void drive_fini (struct drive *self);

/* Before the first tick after a restart of this machine, on which the jobs ran: what has no outcome ended with it. */
void drive_machine_restarted (struct drive *self, int64_t now_us);
void drive_tick (struct drive *self, int64_t now_us);
/* Jobs that an executor may have in hands. */
size_t drive_in_hands (const struct drive *self);

#endif
