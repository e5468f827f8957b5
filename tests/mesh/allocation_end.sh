#!/usr/bin/env bash
# An allocation that ends soon: a job that can't end by then is not started and says why; the coarse model and set-up are
# stopped first, the simulations after them, all before the end; the next allocation goes on with the same jobs.
. "$(dirname "$0")/lib.sh"

# cg and its long sister follow createsim; both end well on SIGTERM, as simulations that write a checkpoint do.
cat > "$work/simulate" <<'SH'
#!/bin/sh
trap 'echo stopped >> log; exit 0' TERM
echo started >> log
sleep 1000 & wait
SH
chmod +x "$work/simulate"
make_campaign -e "s|command: \[\"{bin_dir}/membrane-macro\".*|command: [\"$work/simulate\"]|" \
    -e 's|command: \["{bin_dir}/membrane-createsim".*|command: [sh, -c, "for f in sim.json system.gro system.top; do echo x > $f; done"]|' \
    -e "s|command: \[\"{bin_dir}/membrane-cg\".*|command: [\"$work/simulate\"]|" \
    -e 's/^schedule:.*/schedule: {executor: local, end_margin: 4}/' -e 's/cores: 1$/cores: 0/' -e 's/grace: 10/grace: 3/' -e 's/walltime: 300/walltime: 20\n    grace: 3/' \
    -e 's/^goal:.*/goal: {job: cg, successes: 100}/' -e '/^feedback:/i\
  - {name: long, start: after, after: createsim, cores: 0, walltime: 600, grace: 3, command: [sleep, "1000"]}' \
    -e 's/    checkpoint: true/    checkpoint: true\n    grace: 3/'
grep -q "grace: 3" "$campaign" || fail "the shipped campaign has another shape"
"$bin/membrane-macro" --out "$work/macro" --no-mesh --steps 10 --snapshot-every 10 --pace 0 --seed 5 > "$work/out" 2>&1 || fail "membrane-macro: $(cat "$work/out")"

# More than the minute that what goes on where it was needs.
end=$(($(date +%s) + 100 + 60 * slow))
STRATA_END=$end "$bin/strata" up "$campaign" > "$work/out" 2>&1 || fail "strata up: $(cat "$work/out")"
"$bin/strata" submit snapshots continuum 10 "$work/macro/snapshot.00000010" > /dev/null || fail "submit"
until_true 30 "two simulations run" at_least schedule cg_running 2
"$bin/strata" status | grep "the allocation ends in [0-9]* s" > /dev/null || fail "status does not say it: $("$bin/strata" status)"
until_true 10 "the long ones wait" at_least schedule long_waiting 1
[ "$(metric schedule long_running)" = 0 ] || fail "a job that can't end in time runs"
"$bin/strata" jobs long-000001 > "$work/out" || fail "strata jobs long-000001"
grep -q "may take its walltime of 600 s, and can't go on where it was" "$work/out" || fail "why it waits: $(cat "$work/out")"

# The scheduler may be killed on the way.
before=$(pid_of schedule-0)
kill -KILL "$before"
until_true 20 "schedule serves again" is_alive schedule-0 "$before"
[ "$(metric schedule allocation_left_s)" -gt 0 ] || fail "the end was forgotten by a restart"

# Rather than for the minute to pass, an allocation is cut short.
end=$(($(date +%s) + 16 * slow))
"$bin/strata" update end_s=$end > /dev/null || fail "strata update end_s"
stopped () { [ "$(metric schedule jobs_running)" = 0 ]; }
until_true 30 "all is stopped" stopped
[ "$(date +%s)" -lt "$end" ] || fail "it was stopped after the end"
told () { "$bin/strata" events | grep "$1" > /dev/null; }
until_true 10 "events tell both stages" told "job-stopped cg-000002"
told "allocation-ends.*simulations are stopped" || fail "no event tells of the last stage"
macro=$("$bin/strata" events | grep -n "job-stopped macro-000001" | head -1 | cut -d: -f1)
cg=$("$bin/strata" events | grep -n "job-stopped cg-" | head -1 | cut -d: -f1)
[ -n "$macro" ] && [ -n "$cg" ] && [ "$macro" -lt "$cg" ] || fail "macro was stopped in line $macro, cg in $cg: $("$bin/strata" events | tail -n 20)"
"$bin/strata" jobs cg-000001 | grep "go on in the next one" > /dev/null || fail "why cg waits: $("$bin/strata" jobs cg-000001)"
"$bin/strata" down > /dev/null || fail "strata down"

# The next allocation: nobody says when it ends.
"$bin/strata" up "$campaign" > "$work/out" 2>&1 || fail "strata up again: $(cat "$work/out")"
until_true 30 "the simulations go on" at_least schedule cg_running 2
until_true 10 "the long ones run" at_least schedule long_running 1
[ "$(tr '\n' ' ' < "$workspace/jobs/cg-000001/log")" = "started stopped started " ] || fail "cg-000001: $(cat "$workspace/jobs/cg-000001/log")"
[ "$("$bin/strata" jobs --json cg-000001 | json "d['tries']")" = 0 ] || fail "to be stopped has cost a try"
"$bin/strata" down > /dev/null || fail "strata down"
audit_is_clean
