/* emulated.h - an executor in virtual time: attempts end when the model says so. Knows no clock: the caller moves it on. */
#ifndef EMULATE_EMULATED_H
#define EMULATE_EMULATED_H

#include "../schedule/executor.h"
#include "model.h"

extern const struct executor_ops executor_emulated;

/* campaign must outlive it. */
struct emulated *emulated_new (const struct campaign *campaign, uint64_t seed, int64_t now_us);
void emulated_free (struct emulated **self);
void emulated_move_on (struct emulated *self, int64_t now_us);
/* While it is on, jobs of types that don't resume take a second and don't fail. */
void emulated_prepare (struct emulated *self, bool on);
/* The first `count` jobs of a type that resumes have done a part of their work, evenly spread, when they are started: the
 * campaign has run for long. */
void emulated_have_begun (struct emulated *self, const char *type, uint64_t count);
/* What runs on the node is gone; what it had done is kept by those that resume. */
void emulated_lose_node (struct emulated *self, uint32_t node);
/* Calls each (id, frames, arg) for the running jobs that hand frames to feedback: as many as they made since the last call, the
 * last one having number `last`. */
void emulated_frames (struct emulated *self, void (*each) (const char *id, uint64_t last, uint64_t frames, void *arg), void *arg);
uint64_t emulated_started (const struct emulated *self);

#endif
