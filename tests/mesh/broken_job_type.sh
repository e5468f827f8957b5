#!/usr/bin/env bash
# A program that all jobs of a type need is missing: a few are set aside, then the type is paused and status says why. With
# the program there, strata retry brings back what was set aside, all of it succeeds, and the audit is clean.
. "$(dirname "$0")/lib.sh"

# createsim is a shell that needs the program tools/maker: not there at first.
cat > "$work/prepare" <<'SH'
#!/bin/sh
"$1" > sim.json || exit 4
cp sim.json system.gro && cp sim.json system.top
SH
chmod +x "$work/prepare"
mkdir "$work/tools"
make_campaign -e 's|command: \["{bin_dir}/membrane-macro".*|command: [sleep, "100000"]|' \
    -e "s|command: \[\"{bin_dir}/membrane-createsim\".*|command: [\"$work/prepare\", \"$work/tools/maker\"]|" \
    -e 's|command: \["{bin_dir}/membrane-cg".*|command: [cp, "{input}/sim.json", done.json]|' \
    -e 's/^goal:.*/goal: {job: cg, successes: 100}/'
"$bin/membrane-macro" --out "$work/macro" --no-mesh --steps 30 --snapshot-every 10 --pace 0 --seed 5 > "$work/out" 2>&1 || fail "membrane-macro: $(cat "$work/out")"
"$bin/strata" up "$campaign" || fail "strata up"
for i in 10 20 30; do
    "$bin/strata" submit snapshots continuum $i "$work/macro/snapshot.000000$i" > /dev/null || fail "submit $i"
done

trouble () { "$bin/strata" status --json 2> /dev/null | json "next(r['trouble'] for r in d['replicas'] if r['replica']=='schedule-0')"; }
aside () { "$bin/strata" jobs --json --state aside 2> /dev/null | json "len(d['jobs'])"; }
until_true 60 "createsim is paused" at_least schedule createsim_paused 1
trouble > "$work/trouble"
grep -q "^createsim: .* jobs in a row were set aside, the last failure: exit code 4: .*tools/maker: not found" "$work/trouble" || fail "trouble is: $(cat "$work/trouble")"
echo "  trouble: $(cat "$work/trouble")"
"$bin/strata" status | grep "^trouble .*createsim" > /dev/null || fail "strata status does not show it"
"$bin/strata" jobs --state aside | grep "exit code 4: .*tools/maker: not found" > /dev/null || fail "the table of jobs has no reason: $("$bin/strata" jobs --state aside)"
told () { "$bin/strata" events | grep "$1" > /dev/null; }
until_true 10 "an event says so" told job-type-paused

# A restart is no way around it, and a probe goes when the pause is over.
paused_again () { "$bin/strata" events | grep -c "job-type-paused" | grep -qv '^[01]$'; }
before=$(pid_of schedule-0)
kill -KILL "$before"
until_true 20 "schedule serves again" is_alive schedule-0 "$before"
[ "$(metric schedule createsim_paused)" = 1 ] || fail "the pause was forgotten by a restart"
until_true 30 "a probe has failed and doubled the pause" paused_again
n=$(aside)
[ "$n" -ge 3 ] && [ "$n" -le 5 ] || fail "$n jobs are aside"
left=$(metric select candidates_waiting)
[ "$left" -ge 5 ] || fail "only $left candidates are left"
echo "  $n jobs are aside, $left candidates wait unharmed"

# ---- mended ----
ln -s /bin/date "$work/tools/maker"
"$bin/strata" retry > "$work/out" 2>&1
[ $? = 2 ] || fail "strata retry without anything: not exit 2"
"$bin/strata" retry no-such-job > "$work/out" 2>&1 && fail "retrying what is not there succeeded"
grep -q "no-such-job" "$work/out" || fail "no-such-job was not named: $(cat "$work/out")"
id=$("$bin/strata" jobs --json --state aside | json "d['jobs'][0]['id']")
"$bin/strata" retry "$id" | grep "^retried $id$" > /dev/null || fail "strata retry $id"
[ "$("$bin/strata" retry --type createsim --json | json "len(d['retried'])")" = $((n - 1)) ] || fail "strata retry --type createsim"
[ "$(aside)" = 0 ] || fail "jobs are still aside"
resumed () { [ "$(metric schedule createsim_paused)" = 0 ] && told job-type-resumed; }
until_true 60 "the pause is over" resumed
[ -z "$(trouble)" ] || until_true 5 "the trouble is over" test -z "$(trouble)"
until_true 60 "what was set aside has succeeded" at_least schedule createsim_succeeded "$n"
[ "$(aside)" = 0 ] || fail "jobs are aside again"
"$bin/strata" down > /dev/null || fail "strata down"
audit_is_clean
