/* audit_stores.c - are the stores whole, before anything is recounted from them; and what a repair gave up. */
#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit_impl.h"
#include "store/damage.h"
#include "verify.h"

static void check_files (struct audit_world *world, const char *dir)
{
    const char *name = strrchr (dir, '/') + 1;
    struct damage_report report;
    struct strata_error error;
    int rc = shard_check (dir, &report, &error);
    if (rc < 0)
        audit_violation (world->audit, AUDIT_STORES, "%s", error.text);
    for (size_t i = 0; rc == 0 && i < report.count && i < DAMAGE_FINDINGS_MAX; i++)
        audit_violation (world->audit, AUDIT_STORES, "store %s is damaged: %s: %s; 'strata repair %s' says what can be put back",
                         name, report.findings[i].file, report.findings[i].what, name);
}

bool audit_check_files (struct audit_world *world)
{
    char pattern[4200];
    glob_t found;
    snprintf (pattern, sizeof (pattern), "%s/shards/*-[0-9]*", world->stores);
    if (glob (pattern, 0, NULL, &found) != 0)
        return true;
    size_t count = 0;
    for (size_t i = 0; i < found.gl_pathc; i++, count++)
        check_files (world, found.gl_pathv[i]);
    globfree (&found);
    audit_counted (world->audit, AUDIT_STORES, "%zu stores: files, lengths and logs are as they must be", count);
    return world->audit->checks[AUDIT_STORES].count == 0;
}

static void verify (struct audit_world *world, struct shard *shard, const char *name, uint64_t *keys)
{
    struct strata_error error;
    if (shard && verify_store (shard_dir (shard), keys, &error) < 0)
        audit_violation (world->audit, AUDIT_STORES, "%s; 'strata repair %s' says what can be put back", error.text, name);
}

static void each_store (struct audit_world *world, void (*each) (struct audit_world *, struct shard *, const char *, uint64_t *),
                        uint64_t *sum)
{
    each (world, world->feedback, "feedback-0", sum);
    for (unsigned i = 1; i < AUDIT_SHARDS_MAX; i++) {
        char name[32];
        snprintf (name, sizeof (name), "feedback-%u", i);
        each (world, world->collectors[i], name, sum);
    }
    each (world, world->schedule, "schedule-0", sum);
    each (world, world->select, "select-0", sum);
    for (size_t i = 0; i < world->stages_count; i++)
        each (world, world->stages[i], world->stage_names[i], sum);
}

bool audit_verify_stores (struct audit_world *world)
{
    uint64_t keys = 0;
    each_store (world, verify, &keys);
    audit_counted (world->audit, AUDIT_STORES, "; every block and record of %" PRIu64 " keys is whole", keys);
    return world->audit->checks[AUDIT_STORES].count == 0;
}

static void tell_losses (struct audit_world *world, struct shard *shard, const char *name, uint64_t *sum)
{
    struct shard_iter it;
    if (!shard)
        return;
    for (bool more = shard_iter_begin (shard, &it, SHARD_LOSS, strlen (SHARD_LOSS), NULL, 0); more; more = shard_iter_next (&it)) {
        audit_violation (world->audit, AUDIT_STORES, "%s: declared loss: %.*s", name, (int)it.value_size, (const char *)it.value);
        ++*sum;
    }
    shard_iter_end (&it);
}

void audit_tell_losses (struct audit_world *world)
{
    uint64_t losses = 0;
    each_store (world, tell_losses, &losses);
    if (losses)
        audit_counted (world->audit, AUDIT_STORES, "; %" PRIu64 " losses were accepted in repairs", losses);
}
