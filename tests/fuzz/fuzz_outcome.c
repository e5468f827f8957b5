/* fuzz_outcome.c - how an attempt of a job ended, and what it wrote. Input: outcome.json and stderr as parts. */
#include <jansson.h>
#include <string.h>

#include "core/outcome.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    struct strata_error error = { "" };
    struct outcome outcome;
    struct fuzz_part parts[2];
    char tail[OUTCOME_TAIL_MAX + 1];
    fuzz_split (data, size, parts, 2);
    fuzz_file ("outcome.json", parts[0].data, parts[0].size);
    int rc = outcome_read (fuzz_folder (), &outcome, &error);
    fuzz_require_sentence (rc, &error);
    FUZZ_REQUIRE (rc != 0);
    if (rc == 1) {
        FUZZ_REQUIRE (outcome.end != STRATA__JOB_END__END_NONE
                      && strcmp (outcome_end_name (outcome.end), "unknown") != 0);
        /* What is cut to fit is still UTF-8, as JSON and protobuf need it. */
        json_t *reason = json_string (outcome.reason), *text = json_string (outcome.stderr_tail);
        FUZZ_REQUIRE (reason && text);
        json_decref (reason);
        json_decref (text);
    }
    outcome_tail (fuzz_file ("stderr", parts[1].data, parts[1].size), tail);
    size_t lines = 0;
    for (const char *p = tail; *p; p++) {
        FUZZ_REQUIRE (*p == '\n' || (*p >= ' ' && *p <= '~'));
        lines += *p == '\n';
    }
    FUZZ_REQUIRE (lines < OUTCOME_TAIL_LINES);
    return 0;
}
