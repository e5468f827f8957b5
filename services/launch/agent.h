/* agent.h - what a launch agent does for schedule's executor `nodes`: starts attempts on this node, stops them, tells of them. */
#ifndef LAUNCH_AGENT_H
#define LAUNCH_AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include "launch.pb-c.h"
#include "strata_error.h"

struct agent;

/* Finds the attempts that run on this node already. node: its name. */
struct agent *agent_new (const char *workspace, const char *bin_dir, const char *node, struct strata_error *error);
void agent_free (struct agent **self);

/* Fills a reply, whose parts are freed by agent_reply_fini. */
void agent_attend (struct agent *self, const Strata__Attend *ask, Strata__AttendReply *reply);
void agent_reply_fini (Strata__AttendReply *reply);

/* Now and then. Ends attempts that schedule has given up: a later one of the same job stands in the workspace. */
void agent_tick (struct agent *self);
/* The node leaves: asks all to end. True when none runs any more. */
bool agent_stop_all (struct agent *self);
/* Attempts that run; seconds that the slowest of them may take to end. */
size_t agent_running (const struct agent *self);
unsigned agent_grace_s (const struct agent *self);

#endif
