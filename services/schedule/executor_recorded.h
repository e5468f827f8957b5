/* executor_recorded.h - an executor whose answers go through service_fact: in a replay nothing is started, asked or stopped,
 * and the recorded answers are given. */
#ifndef SCHEDULE_EXECUTOR_RECORDED_H
#define SCHEDULE_EXECUTOR_RECORDED_H

#include "executor.h"
#include "mesh/service.h"

/* What drive is given as its executor, with executor_recorded as its table. open and close are its owner's. */
struct executor_recorded {
    struct service *service;
    const struct executor_ops *ops;
    void *executor;                     /* NULL in a replay */
    char trouble[512];
};

extern const struct executor_ops executor_recorded;

#endif
