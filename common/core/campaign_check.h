/* campaign_check.h - finds every mistake in a parsed campaign file. */
#ifndef STRATA_CAMPAIGN_CHECK_H
#define STRATA_CAMPAIGN_CHECK_H

#include "core/campaign_schema.h"
#include "core/campaign_yaml.h"

/* Each key of a file of another kind, by its table alone. */
void campaign_check_table (struct campaign_yaml *yaml, const struct campaign_field *table, struct campaign_found *found);

/* Each key on its own, by the table of campaign_schema.h: known, once, there if required, type, range. When the file is
 * of another format, says only that. dir: of the campaign file, for paths relative to it. */
void campaign_check (struct campaign_yaml *yaml, const char *dir, struct campaign_found *found);

/* What one key says about another: names that refer to names, sums, chains of jobs, variables of commands. Looks only
 * at values that have the right type. campaign_check calls it. */
void campaign_check_cross (struct campaign_yaml *yaml, const char *dir, struct campaign_found *found);

#endif
