/* executor_flux.h - what Flux's commands look like (engine.h), for executor_flux.c and its test. */
#ifndef SCHEDULE_EXECUTOR_FLUX_H
#define SCHEDULE_EXECUTOR_FLUX_H

#include "engine.h"

extern const struct engine_table executor_flux_table;

#endif
