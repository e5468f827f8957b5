/* schedule_end.c - the end of the allocation: what still starts before it, and when what runs is stopped.
 *
 * The end is what the machine says (machine.end_us), or the setting end_s. Counted back from it, all seconds:
 *
 *        feeders stop           simulations stop        quiet           end
 *   ------------|------------------------|----------------|---------------|
 *                 grace of the feeders     grace of theirs   schedule.end_margin
 *
 * Feeders are the types that make work for others: `always` (the coarse model) and `selection` (set-up). They are stopped first,
 * and select is not asked any more; then the simulations are. Stopped means asked to write a checkpoint and to end (SIGTERM, grace), as
 * when the campaign goes down: no try is lost, and the job waits for the next allocation.
 *
 * A job starts only if it would end by itself before it is stopped, by its walltime; one that goes on where it was (jobs[].checkpoint)
 * starts as long as there is a minute for it.
 */
#include <stdio.h>

#include "schedule_impl.h"

#define WORTH_US 60000000 /* of a job that goes on where it was */

static bool is_feeder (const struct job_type *type)
{
    return type->campaign->start != JOB_AFTER;
}

static bool goes_on (const struct job_type *type)
{
    return type->campaign->start == JOB_ALWAYS || type->campaign->checkpoint || type->campaign->restart_count;
}

void schedule_end_set (struct schedule *self)
{
    int64_t grace_s[2] = { 0, 0 }, quiet_s = (int64_t)self->settings.end_s - self->campaign->schedule.end_margin_s;
    for (size_t i = 0; i < self->types_count; i++) {
        int64_t *most = &grace_s[is_feeder (&self->types[i])];
        if (self->types[i].campaign->grace_s > *most)
            *most = self->types[i].campaign->grace_s;
    }
    for (size_t feeder = 0; feeder < 2; feeder++) {
        quiet_s -= grace_s[feeder];
        self->stop_us[feeder] = !self->settings.end_s ? 0 : quiet_s > 0 ? quiet_s * 1000000 : 1;
    }
}

/* When jobs of the type are stopped; 0: never. */
static int64_t stop_us (const struct schedule *self, const struct job_type *type)
{
    return self->stop_us[is_feeder (type)];
}

bool schedule_end_stops (const struct schedule *self, const struct job_type *type)
{
    int64_t at_us = stop_us (self, type);
    return at_us && self->since_us >= at_us;
}

bool schedule_end_lets (const struct schedule *self, const struct job_type *type, int64_t now_us)
{
    int64_t at_us = stop_us (self, type);
    int64_t needs_us = goes_on (type) ? WORTH_US : (int64_t)type->campaign->walltime_s * 1000000;
    return !at_us || now_us + needs_us <= at_us;
}

void schedule_end_why (const struct schedule *self, const struct job_type *type, int64_t now_us, char *text, size_t size)
{
    double left_s = (double)((int64_t)self->settings.end_s * 1000000 - now_us) / 1e6, stops_s = (double)(stop_us (self, type) - now_us) / 1e6;
    if (stops_s <= 0)
        snprintf (text, size, "the allocation ends in %.0f s: jobs of type %s are stopped, and go on in the next one (strata update end_s=SECONDS)",
                  left_s > 0 ? left_s : 0, type->campaign->name);
    else if (goes_on (type))
        snprintf (text, size, "the allocation ends in %.0f s: nothing of type %s starts in the last minute before it is stopped", left_s, type->campaign->name);
    else
        snprintf (text, size, "the allocation ends in %.0f s, jobs of type %s are stopped in %.0f s: it may take its walltime of %u s, and can't go on "
                  "where it was (jobs[].checkpoint, jobs[].restart)", left_s, type->campaign->name, stops_s, type->campaign->walltime_s);
}

bool schedule_ending (const struct schedule *self)
{
    for (size_t i = 0; i < self->types_count; i++)
        if (schedule_end_stops (self, &self->types[i]))
            return true;
    return false;
}

void schedule_end_tell (struct schedule *self)
{
    unsigned told = 0;
    for (size_t i = 0; i < self->types_count; i++)
        if (schedule_end_stops (self, &self->types[i]))
            told |= is_feeder (&self->types[i]) ? 1 : 2;
    if ((told & 1) && !(self->end_told & 1))
        schedule_event (self, "allocation-ends", "schedule", "in %lld s: nothing new is selected, and the jobs that feed others are stopped",
                        (long long)self->settings.end_s - (long long)(self->since_us / 1000000));
    if ((told & 2) && !(self->end_told & 2))
        schedule_event (self, "allocation-ends", "schedule", "in %lld s: simulations are stopped; they go on in the next allocation",
                        (long long)self->settings.end_s - (long long)(self->since_us / 1000000));
    self->end_told = told;
}
