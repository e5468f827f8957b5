#!/usr/bin/env bash
# What is wrong is named, set aside and shown; nothing else is lost and no service ends.
. "$(dirname "$0")/lib.sh"

expect () { # TEXT FILE: the file has the text
    grep -qF -- "$1" "$2" || { cat "$2"; fail "'$1' was not said"; }
    echo "  said: $(grep -m1 -F -- "$1" "$2" | cut -c1-150)"
}

# ---- the campaign file ----
make_campaign
sed -e 's/^strata: 1/strata: 2/' "$campaign" > "$work/version.yaml"
sed -e 's/quota: 0.4/quota: 0.9/' -e 's/cores: 1/cores: many/' -e 's/  lipid_only: 1/  lipid_onyl: 1/' "$campaign" > "$work/mistakes.yaml"
sed -e 's/^campaign: .*/campaign: another/' "$campaign" > "$work/another.yaml"
for command in check up run; do
    "$bin/strata" $command "$work/mistakes.yaml" > "$work/out" 2>&1
    [ $? = 2 ] || fail "strata $command on a file with mistakes: not exit 2"
done
expect "mistakes.yaml:14: patch.lipid_onyl" "$work/out"
grep -qE 'mistakes.yaml:[0-9]+: jobs\[1\].cores: ' "$work/out" || fail "jobs[1].cores was not named"
grep -qE 'mistakes.yaml:[0-9]+: select.queues' "$work/out" || fail "the quotas were not named"
[ ! -e "$workspace" ] || fail "a workspace was made for a broken campaign file"
"$bin/strata" up "$work/version.yaml" > "$work/out" 2>&1
[ $? = 2 ] || fail "a file of another version: not exit 2"
expect "format 2" "$work/out"
"$bin/strata" up "$work/nowhere.yaml" > "$work/out" 2>&1
[ $? = 2 ] || fail "a missing file: not exit 2"
expect "nowhere.yaml" "$work/out"

# ---- a mesh without GROMACS for its jobs; snapshots come from here ----
"$bin/membrane-macro" --out "$work/macro" --no-mesh --steps 20 --snapshot-every 10 --pace 0 --seed 5 > "$work/out" 2>&1 || fail "membrane-macro: $(cat "$work/out")"
make_campaign -e "s|command: \[\"{bin_dir}/membrane-macro\".*|command: [sleep, \"100000.$$\"]|" \
    -e 's|command: \["{bin_dir}/membrane-createsim",|command: [env, PATH=/nowhere, "{bin_dir}/membrane-createsim",|'
"$bin/strata" up "$campaign" || fail "strata up"
services=$(pgrep -f -- "strata-(stage|select|schedule|feedback|patch|status) .*$workspace" | sort)

"$bin/strata" up "$work/another.yaml" --workspace "$workspace" > "$work/out" 2>&1 && fail "a second campaign was let into the workspace"
expect "membrane-quick" "$work/out"
"$bin/strata" up "$campaign" > "$work/out" 2>&1 && fail "the same campaign was started twice"
expect "pid" "$work/out"

good=$work/macro/snapshot.00000010
other=$work/macro/snapshot.00000020
broken () { # NAME: a copy of the good snapshot to break
    mkdir -p "$work/broken/$1" && cp -r "$good" "$work/broken/$1/" && echo "$work/broken/$1/snapshot.00000010"
}
s=$(broken truncated) && truncate -s -1000 "$s/densities#000000"
s=$(broken header) && sed -i '0,/nx *=/s//mx =/' "$s/densities#000000"
s=$(broken mixed) && cp "$other/atoms#000000" "$s/atoms#000000"
s=$(broken nan) && /usr/bin/python3 - "$s/densities#000000" <<'PY'
import struct, sys
data = bytearray(open(sys.argv[1], 'rb').read())
start = data.index(b'}\n\n') + 3
data[start + 17 * 4 * 1000 + 4 * 5:start + 17 * 4 * 1000 + 4 * 6] = struct.pack('<f', float('nan'))
open(sys.argv[1], 'wb').write(data)
PY
rm -rf "$work/broken/gone" && mkdir -p "$work/broken/gone/snapshot.00000010"
i=0
for name in truncated header mixed nan gone; do
    "$bin/strata" submit snapshots "$name" 10 "$work/broken/$name/snapshot.00000010" > /dev/null || fail "submit $name"
    i=$((i + 1))
done
"$bin/strata" submit snapshots good 10 "$good" > /dev/null || fail "submit the good one"
[ "$("$bin/strata" submit snapshots good 10 "$good" --json | json "d['duplicate']")" = True ] || fail "a snapshot handed in twice was taken twice"

queue () { "$bin/strata" status --json 2> /dev/null | json "next(s['queue']['$1'] for r in d['replicas'] for s in r.get('streams') or [] if s['stream']=='snapshots')"; }
all_aside () { [ "$(queue aside)" = $i ] && [ "$(queue done)" = 1 ]; }
until_true 60 "$i broken snapshots are aside, the good one is cut" all_aside
all_told () { # events reach status by pub/sub, a moment after the queue's figures
    "$bin/strata" events > "$work/events" 2>&1 || return 1
    local name
    for name in truncated header mixed nan gone; do grep -qF "broken/$name/snapshot.00000010" "$work/events" || return 1; done
}
until_true 20 "each broken snapshot is named in the events" all_told
for name in truncated header mixed nan gone; do expect "broken/$name/snapshot.00000010" "$work/events"; done
grep -F "broken/nan" "$work/events" | grep -qi nan || fail "the NaN was not named"

# ---- GROMACS missing: the job is set aside with its reason and what it wrote ----
aside () { [ "$("$bin/strata" jobs --json --state aside --type createsim 2> /dev/null | json "len(d['jobs'])")" -ge 1 ]; }
until_true 60 "a simulation that needs GROMACS is aside" aside
id=$("$bin/strata" jobs --json --state aside --type createsim | json "d['jobs'][0]['id']")
"$bin/strata" jobs "$id" > "$work/job" 2>&1
expect "exit code 4" "$work/job"
expect "gmx" "$work/job"

# ---- cancel ----
macro=$("$bin/strata" jobs --json --state running --type macro | json "d['jobs'][0]['id']")
pid=$(pgrep -fx -- "sleep 100000.$$")
[ -n "$pid" ] || fail "the job's process was not found"
"$bin/strata" cancel "$macro" > /dev/null || fail "strata cancel $macro"
gone () { ! kill -0 "$pid"; }
until_true 30 "a cancelled job's process is gone" gone
cancelled () { [ "$("$bin/strata" jobs --json --state cancelled | json "len(d['jobs'])")" = 1 ]; }
until_true 30 "it is shown as cancelled" cancelled
"$bin/strata" cancel no-such-job > "$work/out" 2>&1 && fail "cancelling what is not there succeeded"
expect "no-such-job" "$work/out"

[ "$services" = "$(pgrep -f -- "strata-(stage|select|schedule|feedback|patch|status) .*$workspace" | sort)" ] || fail "a service ended meanwhile"
echo "  no service ended"
"$bin/strata" down > /dev/null || fail "strata down"
audit_is_clean
