#!/usr/bin/env bash
# A campaign on a real Flux: one line of its file is changed (schedule.executor), the schedule service is killed in the middle, and the
# audit finds nothing lost and nothing twice.
. "$(dirname "$0")/lib.sh"

command -v flux > /dev/null || { echo "there is no flux on PATH"; exit 77; }
trap '"$bin/strata" down --workspace "$workspace" > /dev/null 2>&1; flux_down; clean_up' EXIT
flux_up 1
campaign_on_engine flux
"$bin/strata" down || fail "strata down"
[ "$(flux jobs --no-header | wc -l)" = 0 ] || { flux jobs; fail "jobs are left in Flux after strata down"; }
nothing_submitted_twice
audit_is_clean
