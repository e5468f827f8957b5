/* summary.c - see summary.h */
#include "summary.h"

#include <inttypes.h>

#include "cli.h"

void summary_checks (FILE *out, const struct audit *audit)
{
    for (size_t i = 0; i < AUDIT_CHECKS; i++) {
        const struct audit_check *check = &audit->checks[i];
        fprintf (out, "%s  %s: %s\n      %s\n", check->count ? "FAIL" : "ok  ", check->name, check->promise,
                 check->counted);
        for (size_t k = 0; k < check->kept; k++)
            fprintf (out, "      ! %s\n", check->violations[k]);
        if (check->count > check->kept)
            fprintf (out, "      ! and %" PRIu64 " more\n", check->count - check->kept);
    }
    if (audit->violations)
        fprintf (out, "audit: %" PRIu64 " violations\n", audit->violations);
    else
        fprintf (out, "audit: all holds%s\n",
                 audit->live ? "; the campaign runs, so what changed meanwhile was left out (exact after `strata down`)"
                             : "");
}

void summary_figures (FILE *out, const struct audit *audit, const struct campaign *campaign)
{
    const struct audit_summary *s = &audit->summary;
    char text[32];
    fprintf (out, "snapshots    %" PRIu64 " cut, %" PRIu64 " waiting, %" PRIu64 " set aside\n", s->snapshots_cut,
             s->snapshots_waiting, s->snapshots_aside);
    fprintf (out,
             "candidates   %" PRIu64 ": %" PRIu64 " waiting, %" PRIu64 " proposed, %" PRIu64 " selected, %" PRIu64
             " discarded, %" PRIu64 " invalid\n",
             s->candidates, s->waiting, s->proposed, s->selected, s->discarded, s->invalid);
    for (unsigned i = 0; i < campaign->jobs_count && i < AUDIT_TYPES_MAX; i++)
        fprintf (out,
                 "%-12s %" PRIu64 " succeeded, %" PRIu64 " waiting, %" PRIu64 " running, %" PRIu64 " set aside, %"
                 PRIu64 " cancelled\n",
                 campaign->jobs[i].name, s->jobs[i].succeeded, s->jobs[i].waiting, s->jobs[i].running, s->jobs[i].aside,
                 s->jobs[i].cancelled);
    fprintf (out,
             "feedback     %" PRIu64 " frames of %" PRIu64 " simulations; %" PRIu64 " reports written, %" PRIu64
             " taken up\n",
             s->frames, s->simulations, s->reports_written, s->reports_taken);
    fprintf (out, "objects      %" PRIu64 ", %s\n", s->objects,
             cli_bytes ((double)s->object_bytes, text, sizeof (text)));
    if (s->last_us > s->first_us && s->first_us)
        fprintf (out, "wall time    %s from the first job to the end of the last",
                 cli_duration ((double)(s->last_us - s->first_us) / 1e6, text, sizeof (text)));
    fprintf (out, "; %s of cores in the last attempts of jobs\n", cli_duration (s->core_seconds, text, sizeof (text)));
}

json_t *summary_json (const struct audit *audit, const struct campaign *campaign, const struct workspace *workspace)
{
    const struct audit_summary *s = &audit->summary;
    json_t *checks = json_array (), *jobs = json_object ();
    for (size_t i = 0; i < AUDIT_CHECKS; i++) {
        const struct audit_check *check = &audit->checks[i];
        json_t *violations = json_array ();
        for (size_t k = 0; k < check->kept; k++) {
            char clean[1100];
            json_array_append_new (violations, json_string (cli_clean (check->violations[k], clean, sizeof (clean))));
        }
        json_array_append_new (checks, json_pack ("{s:s s:s s:s s:I s:o}", "check", check->name, "promise",
                                                  check->promise, "counted", check->counted, "violations_count",
                                                  (json_int_t)check->count, "violations", violations));
    }
    for (unsigned i = 0; i < campaign->jobs_count && i < AUDIT_TYPES_MAX; i++)
        json_object_set_new (jobs, campaign->jobs[i].name,
                             json_pack ("{s:I s:I s:I s:I s:I}", "succeeded", (json_int_t)s->jobs[i].succeeded,
                                        "waiting", (json_int_t)s->jobs[i].waiting, "running",
                                        (json_int_t)s->jobs[i].running, "aside", (json_int_t)s->jobs[i].aside,
                                        "cancelled", (json_int_t)s->jobs[i].cancelled));
    json_t *figures = json_pack (
        "{s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:f s:f s:o}", "snapshots_cut",
        (json_int_t)s->snapshots_cut, "snapshots_waiting", (json_int_t)s->snapshots_waiting, "snapshots_aside",
        (json_int_t)s->snapshots_aside, "candidates", (json_int_t)s->candidates, "candidates_waiting",
        (json_int_t)s->waiting, "candidates_proposed", (json_int_t)s->proposed, "candidates_selected",
        (json_int_t)s->selected, "candidates_discarded", (json_int_t)s->discarded, "candidates_invalid",
        (json_int_t)s->invalid, "frames", (json_int_t)s->frames, "simulations", (json_int_t)s->simulations,
        "reports_written", (json_int_t)s->reports_written, "reports_taken", (json_int_t)s->reports_taken, "objects",
        (json_int_t)s->objects, "object_bytes", (json_int_t)s->object_bytes, "core_s", s->core_seconds, "wall_s",
        (double)(s->last_us - s->first_us) / 1e6, "jobs", jobs);
    return json_pack ("{s:s s:s s:b s:b s:I s:o s:o}", "campaign", workspace->campaign, "workspace", workspace->path,
                      "live", (int)audit->live, "ok", audit->violations == 0, "violations",
                      (json_int_t)audit->violations, "checks", checks, "figures", figures);
}
