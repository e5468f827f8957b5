#!/usr/bin/env bash
# strata cancel takes jobs by id, state, type or all of them, and says of each how it ended, when it has; strata node drains this
# machine, also over the death of the scheduler, and gives it back; strata
# update changes how many jobs are kept ahead.
. "$(dirname "$0")/lib.sh"

# Setups that run until they are told to end (one in three needs its whole grace of 2 s), so that something can be cancelled.
make_small_campaign -e 's/^replicas:.*/replicas: {patch: 1}/' \
    -e 's|command: \["{bin_dir}/crash-load", setup.*|command: [/bin/sh, -c, "case {job} in *[369]) trap : TERM;; esac; while :; do sleep 1; done"]\n    grace: 2|' \
    -e 's/^schedule:.*/schedule: {executor: local, cores: 2}/'
sed -i '/- name: setup/,/- name: simulation/s/cores: 0/cores: 1/' "$campaign"
"$bin/strata" up "$campaign" > "$work/up" 2>&1 || { cat "$work/up"; fail "strata up"; }

count () { "$bin/strata" jobs --state "$1" --type setup --json 2> /dev/null | json "d['total']" || echo 0; }
two_run () { [ "$(count running)" = 2 ] && [ "$(count waiting)" -ge 1 ]; }
until_true 60 "two setups run, others wait for cores" two_run

# ---- cancel ----
"$bin/strata" cancel > "$work/out" 2>&1; [ $? = 2 ] && grep -q -- '--all' "$work/out" || fail "strata cancel without a job: $(cat "$work/out")"
"$bin/strata" cancel --state nonsense > "$work/out" 2>&1; [ $? = 2 ] || [ $? = 1 ] && grep -q 'is no state of a job' "$work/out" || fail "an unknown state: $(cat "$work/out")"
"$bin/strata" cancel --type nothing > "$work/out" 2>&1 && fail "an unknown type was taken"
grep -q 'no job type nothing' "$work/out" || fail "an unknown type: $(cat "$work/out")"
why () { "$bin/strata" jobs "$1" --json | json "d['why']"; }
waiting=$("$bin/strata" jobs --state waiting --type setup --json | json "d['jobs'][0]['id']")
why "$waiting" | grep -q 'it waits for cores: it asks for 1 cores, 0 GPUs on 1 of the 1 nodes; of 2 cores 0 are free' || fail "why $waiting waits: $(why "$waiting")"
"$bin/strata" cancel "$waiting" > "$work/out" 2>&1 || { cat "$work/out"; fail "cancel $waiting"; }
grep -qx "cancelled $waiting" "$work/out" || fail "cancel $waiting said: $(cat "$work/out")"
start=$SECONDS
"$bin/strata" cancel --state running --type setup --json > "$work/out" 2>&1 || { cat "$work/out"; fail "cancel --state running --type setup"; }
json "len(d['ended']) == 2 and set(d['ended'].values()) == {'cancelled'} and d['ending'] == []" < "$work/out" | grep -q True || fail "it said: $(cat "$work/out")"
for id in $(json "' '.join(d['ended'])" < "$work/out"); do
    pgrep -f -- "case $id in" > /dev/null && fail "$id is said to have ended and runs"
done
echo "  the two that ran have ended after $((SECONDS - start)) s, as it was said"
until_true 60 "two others run" two_run

# ---- drain ----
"$bin/strata" node | tail -n 1 | grep -q '^0 .* up ' || { "$bin/strata" node; fail "strata node does not list this machine"; }
"$bin/strata" node lost 0 > "$work/out" 2>&1 && fail "this machine was declared lost"
"$bin/strata" node drain nowhere > "$work/out" 2>&1 && fail "a node that is not there was drained"
"$bin/strata" node drain 0 > "$work/out" 2>&1 || { cat "$work/out"; fail "strata node drain 0"; }
[ "$(count running)" = 2 ] || fail "what ran on the drained node was ended"
kill -KILL "$(pid_of schedule-0)"
drained () { [ "$(metric schedule nodes_drained)" = 1 ]; }
until_true 20 "the node is drained after the scheduler's death, too" drained
"$bin/strata" cancel --state running --type setup > "$work/out" 2>&1 || { cat "$work/out"; fail "cancel the rest"; }
sleep 2
[ "$(count running)" = 0 ] && [ "$(count launching)" = 0 ] || fail "a job was started on the drained node"
"$bin/strata" node undrain 0 > /dev/null || fail "strata node undrain 0"
until_true 30 "two others run again" two_run

# ---- settings ----
"$bin/strata" update nothing=3 > "$work/out" 2>&1 && fail "an unknown setting was changed"
"$bin/strata" update buffer.setup=0 > "$work/out" 2>&1 && fail "a buffer of 0 was taken"
grep -q 'from 1 to' "$work/out" || fail "a buffer of 0: $(cat "$work/out")"
"$bin/strata" update buffer.setup=9 submissions=3 > "$work/out" 2>&1 || { cat "$work/out"; fail "strata update"; }
nine () { [ $(($(count running) + $(count waiting))) = 9 ]; }
until_true 60 "nine setups are ahead instead of six" nine
kill -KILL "$(pid_of schedule-0)"
kept () { "$bin/strata" update --json | json "d['settings']['buffer.setup'] == {'value': 9, 'of_file': 6} and d['settings']['submissions']['value'] == 3" | grep -q True; }
until_true 20 "the settings hold after the scheduler's death" kept
"$bin/strata" update submissions= --json | json "d['settings']['submissions']['value'] == 0" | grep -q True || fail "the campaign file's value was not put back"

# ---- all ----
"$bin/strata" node drain 0 > /dev/null || fail "strata node drain 0"
"$bin/strata" cancel --all > "$work/out" 2>&1 || { cat "$work/out"; fail "cancel --all"; }
grep -q '^cancelled continuum-' "$work/out" || fail "cancel --all left the continuum out: $(cat "$work/out")"
[ "$(count running)" = 0 ] || fail "something runs after cancel --all"
"$bin/strata" down > "$work/down" 2>&1 || { cat "$work/down"; fail "strata down"; }
audit_is_clean
