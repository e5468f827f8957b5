#!/usr/bin/env bash
# A whole mesh over TCP, as on several nodes: no Unix socket is used, every peer shows its key; strangers are refused and
# counted, the work goes on, and the audit finds nothing lost and nothing twice.
. "$(dirname "$0")/lib.sh"
export STRATA_FORCE_TCP=1

"$bin/membrane-macro" --out "$work/macro" --no-mesh --steps 40 --snapshot-every 10 --pace 0 --seed 5 > "$work/out" 2>&1 || fail "membrane-macro: $(cat "$work/out")"
# Jobs stay in the mesh's hands without GROMACS; snapshots come from here.
make_campaign -e 's|command: \["{bin_dir}/membrane-macro".*|command: [sleep, "100000"]|' \
    -e 's|command: \["{bin_dir}/membrane-createsim",|command: [env, PATH=/nowhere, "{bin_dir}/membrane-createsim",|'
echo 'mesh: {transport: tcp}' >> "$campaign"

# ---- keys ----
"$bin/strata" keygen --workspace "$workspace" > /dev/null || fail "strata keygen"
before=$(cat "$workspace/keys/service.cert_secret" | cksum)
"$bin/strata" keygen --workspace "$workspace" > "$work/out" 2>&1 && fail "strata keygen overwrote keys"
grep -q "keys are there already" "$work/out" || fail "strata keygen didn't say why: $(cat "$work/out")"
rm -r "$workspace/keys"
"$bin/strata" up "$campaign" || fail "strata up"
[ "$(stat -c %a "$workspace/keys" "$workspace"/keys/*_secret | tr '\n' ' ')" = "700 600 600 " ] || fail "keys made by strata up are open: $(ls -lR "$workspace/keys")"
[ "$before" != "$(cat "$workspace/keys/service.cert_secret" | cksum)" ] || fail "the keys are not new ones"

# ---- every replica listens on TCP, and the Unix sockets are taken away: nothing else can carry what follows ----
/usr/bin/python3 - "$workspace"/cards/*.json <<'PY' || fail "a card without TCP"
import json, os, sys
for path in sys.argv[1:]:
    card = json.load(open(path))
    assert card['tcp_rpc'].startswith('tcp://127.0.0.1:') and card['tcp_pub'].startswith('tcp://127.0.0.1:'), path
    assert len(card['key']) == 40, path
    for name in ('rpc', 'pub'):
        os.unlink(card[name][len('ipc://'):])
PY

# ---- work ----
submit () { "$bin/strata" submit snapshots tcp "$1" "$work/macro/snapshot.$(printf %08d "$1")" > /dev/null || fail "submit $1"; }
submit 10
submit 20
until_true 60 "two snapshots are cut" at_least patch snapshots_cut 2
aside () { [ "$("$bin/strata" jobs --json --state aside --type createsim 2> /dev/null | json "len(d['jobs'])")" -ge 1 ]; }
until_true 90 "selections became jobs" aside
head -c 3000000 /dev/urandom > "$work/object"
"$bin/strata" put test object "$work/object" || fail "strata put"
"$bin/strata" get test object "$work/back" && cmp "$work/object" "$work/back" || fail "an object came back changed"

# ---- strangers: plain TCP with bytes of no protocol, then a workspace's copy with keys of its own ----
mkdir -p "$work/stranger" && cp "$workspace/workspace.json" "$workspace/campaign.yaml" "$work/stranger/" && cp -r "$workspace/cards" "$work/stranger/"
"$bin/strata" keygen --workspace "$work/stranger" > /dev/null || fail "strata keygen for a stranger"
"$bin/strata" put test stranger "$work/object" --workspace "$work/stranger" --timeout 3 > "$work/out" 2>&1 && fail "a stranger put an object"
grep -q "another server key" "$work/out" || fail "a stranger wasn't told: $(cat "$work/out")"
# With the service's public key too, so that only the list of allowed keys stands in the way.
cp "$workspace/keys/service.cert" "$work/stranger/keys/service.cert"
"$bin/strata" put test stranger "$work/object" --workspace "$work/stranger" --timeout 3 > "$work/out" 2>&1 && fail "a stranger put an object"
grep -q "keys/allowed" "$work/out" || fail "a stranger wasn't told: $(cat "$work/out")"
echo "  said: $(cut -c1-150 "$work/out" | tail -n 1)"
until_true 20 "the stranger is counted" at_least stage peers_refused 1
told () { "$bin/strata" events 2> /dev/null | grep -q "peer-refused.*127.0.0.1"; }
until_true 30 "and told in an event" told

# ---- the list changes while the mesh works: every peer is checked again, nothing is lost ----
mv "$workspace/keys/allowed/client.cert" "$work/client.cert"
out () { ! "$bin/strata" ls test --timeout 2; }
until_true 20 "the command line's key was taken away" out
mv "$work/client.cert" "$workspace/keys/allowed/"
let_in () { "$bin/strata" ls test --timeout 5; }
until_true 20 "and is good again" let_in
submit 30
until_true 60 "a third snapshot is cut" at_least patch snapshots_cut 3
kill -KILL "$(pid_of select-0)" && echo "  killed select-0"
until_true 20 "select-0 serves again, on other ports" is_alive select-0
submit 40
until_true 60 "a fourth snapshot is cut" at_least patch snapshots_cut 4
"$bin/strata" down > /dev/null || fail "strata down"
audit_is_clean
