/* summary.h - an audit as text and JSON: its checks, and what the campaign has done. */
#ifndef STRATA_CLI_SUMMARY_H
#define STRATA_CLI_SUMMARY_H

#include <jansson.h>
#include <stdio.h>

#include "audit.h"
#include "workspace.h"

/* One line a check; violations below it. */
void summary_checks (FILE *out, const struct audit *audit);
/* What the campaign has done. */
void summary_figures (FILE *out, const struct audit *audit, const struct campaign *campaign);
json_t *summary_json (const struct audit *audit, const struct campaign *campaign, const struct workspace *workspace);

#endif
