/* schedule_settings.c - what of the campaign file can be changed while it runs. Each setting that was changed is in the shard:
 *
 *   set/<name>     u64, of shares the millionths; without it the campaign file's value holds
 *
 * Names: submissions, round_s (schedule.submissions, schedule.round_s), end_s (the allocation's end, seconds since 1970; when the service
 * starts in another allocation, whose end is not the one that it had when that was changed (end-of, u64), or when it has gone by, it
 * is forgotten); buffer.<type> (jobs[].buffer) of each type that begins with a selection; share.<type> (jobs[].gpu_share) of each
 * that asks for GPUs. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/campaign_schema.h"
#include "schedule_impl.h"

/* One of them: where it stands, what the file says, and what is allowed. */
struct setting {
    char name[80];
    uint64_t *value;
    uint64_t of_file, least, most;
    uint64_t per;               /* all of these are so many parts of 1 */
};

#define FIXED 3                 /* settings that are of no type */

static size_t settings_count (const struct schedule *self)
{
    return FIXED + 2 * self->types_count;
}

/* The i-th; false: that type has no such setting. */
static bool setting_at (struct schedule *self, size_t i, struct setting *out)
{
    const struct campaign_schedule *file = &self->campaign->schedule;
    if (i == 0)
        *out = (struct setting){ "submissions", &self->settings.submissions, file->submissions, 0, 1000000, 1 };
    else if (i == 1)
        *out = (struct setting){ "round_s", &self->settings.round_s, file->round_s ? file->round_s : 1, 1, 86400, 1 };
    else if (i == 2)
        *out = (struct setting){ "end_s", &self->settings.end_s, (uint64_t)(self->end_us / 1000000), 0, INT64_MAX / 1000000, 1 };
    else {
        struct job_type *type = &self->types[(i - FIXED) % self->types_count];
        bool share = i - FIXED >= self->types_count;
        if (share ? !type->campaign->gpus : type->campaign->start != JOB_SELECTION)
            return false;
        if (share)
            *out = (struct setting){ "", &type->share, (uint64_t)(type->campaign->gpu_share * SCHEDULE_SHARE + 0.5), 0, SCHEDULE_SHARE, SCHEDULE_SHARE };
        else
            *out = (struct setting){ "", &type->buffer, type->campaign->buffer, 1, 1000000, 1 };
        snprintf (out->name, sizeof (out->name), "%s.%.64s", share ? "share" : "buffer", type->campaign->name);
    }
    return true;
}

void schedule_settings_load (struct schedule *self, int64_t now_us)
{
    struct setting s;
    char key[100];
    for (size_t i = 0; i < settings_count (self); i++)
        if (setting_at (self, i, &s)) {
            snprintf (key, sizeof (key), "set/%s", s.name);
            *s.value = shard_get_u64 (self->shard, key, s.of_file);
        }
    uint64_t end_s = (uint64_t)(self->end_us / 1000000);
    if (self->settings.end_s != end_s
        && (shard_get_u64 (self->shard, "end-of", 0) != end_s || (int64_t)self->settings.end_s * 1000000 <= now_us)) {
        shard_delete (self->shard, "set/end_s", strlen ("set/end_s"));
        self->settings.end_s = end_s;
    }
    schedule_end_set (self);
}

/* A whole number, or where parts are allowed a decimal fraction that comes out even. False: it is none, or not allowed. */
static bool parse (const struct setting *s, const char *text, uint64_t *value)
{
    uint64_t per = s->per;
    if (s->per == 1)
        return campaign_parse_whole (text, value) && *value >= s->least && *value <= s->most;
    *value = 0;
    for (bool point = false, digit = false; *text || !digit; text++) {
        if (*text == '.' && !point)
            point = true;
        else if (*text < '0' || *text > '9' || (point && per == 1))
            return false;
        else {
            digit = true;
            per /= point ? 10 : 1;
            *value = point ? *value + (uint64_t)(*text - '0') * per : *value * 10 + (uint64_t)(*text - '0') * per;
        }
        if (*value > s->most)
            return false;
    }
    return *value >= s->least;
}

void schedule_settings (struct schedule *self, void (*each) (const char *name, uint64_t value, uint64_t of_file, uint64_t per, void *arg), void *arg)
{
    struct setting s;
    for (size_t i = 0; i < settings_count (self); i++)
        if (setting_at (self, i, &s))
            each (s.name, *s.value, s.of_file, s.per, arg);
}

int schedule_update (struct schedule *self, const char *name, const char *text, struct strata_error *error)
{
    struct setting s = { .per = 1 };
    uint64_t value;
    char key[100];
    size_t i = 0;
    while (i < settings_count (self) && (!setting_at (self, i, &s) || strcmp (s.name, name) != 0))
        i++;
    if (i == settings_count (self)) {
        errno = ENOENT;
        return strata_fail (error, "there is no setting %.80s that can be changed while the campaign runs; `strata update` lists them", name);
    }
    value = s.of_file;
    errno = EINVAL;
    if (*text && !parse (&s, text, &value))
        return strata_fail (error, "%s must be a %s from %" PRIu64 " to %" PRIu64 ", or nothing for that of the campaign file, not %.40s", s.name,
                            s.per > 1 ? "number" : "whole number", s.least / s.per, s.most / s.per, text);
    snprintf (key, sizeof (key), "set/%s", s.name);
    if (*text)
        shard_put_u64 (self->shard, key, value);
    else
        shard_delete (self->shard, key, strlen (key));
    if (value != *s.value)
        schedule_event (self, "setting-changed", s.name, "%s is %.15g, and was %.15g; the campaign file says %.15g", s.name,
                        (double)value / (double)s.per, (double)*s.value / (double)s.per, (double)s.of_file / (double)s.per);
    *s.value = value;
    if (i == 2)
        shard_put_u64 (self->shard, "end-of", s.of_file);
    schedule_end_set (self);
    return 0;
}
