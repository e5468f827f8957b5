#!/usr/bin/env bash
# The disk of the workspace fills up while a campaign runs: status shows it, no service ends, and when there is room again
# everything goes on with nothing lost and nothing twice. Needs a file system of its own, so it needs to be allowed to mount.
#
# Objects are in the store itself, whose log then meets the full disk as well; `full_disk.sh file` keeps them as files.
. "$(dirname "$0")/lib.sh"
backend=${1:-rocksdb}

mkdir -p "$workspace"
mount -t tmpfs -o size=256m tmpfs "$workspace" 2> /dev/null || { echo "a tmpfs can't be mounted here (root is needed): nothing tested"; exit 77; }
clean_up_mounted () {
    local rc=$? pid
    "$bin/strata" down > /dev/null 2>&1
    for pid in $(pgrep -f -- "$work"); do [ "$pid" = $$ ] || kill -KILL "$pid" 2> /dev/null; done
    umount -l "$workspace"
    rm -rf "$work"
    exit $rc
}
trap clean_up_mounted EXIT

# createsim and cg write files and take a second: they meet the full disk too.
cat > "$work/prepare" <<'SH'
#!/bin/sh
sleep 1
head -c 100000 /dev/urandom > system.gro && head -c 1000 /dev/urandom > system.top && date > sim.json
SH
chmod +x "$work/prepare"
make_campaign -e "s/^stage: .*/stage: {backend: $backend, quota_mb: 1024, queue_mb: 64}/" -e 's/--preset, quick\]/--preset, quick, --pace, "4", --snapshot-every, "10"]/' \
    -e "s|command: \[\"{bin_dir}/membrane-createsim\".*|command: [\"$work/prepare\"]|" \
    -e 's|command: \["{bin_dir}/membrane-cg".*|command: [cp, "{input}/sim.json", done.json]|' -e 's/^goal:.*/goal: {job: cg, successes: 1000}/'
"$bin/membrane-macro" --out "$work/macro" --no-mesh --steps 5 --snapshot-every 1 --pace 0 --seed 5 > "$work/out" 2>&1 || fail "membrane-macro: $(cat "$work/out")"
"$bin/strata" up "$campaign" || fail "strata up"
services () { pgrep -f -- "strata-(stage|select|schedule|feedback|patch|status) .*$workspace" | sort; }
before=$(services)
until_true 40 "a chain has run through" at_least schedule cg_succeeded 2

# ---- full ----
fill () { dd if=/dev/zero of="$workspace/filler" bs=4k oflag=append conv=notrunc 2> /dev/null; }
is_full () { fill; [ "$(df --output=avail "$workspace" | tail -1)" -lt 8 ]; }
until_true 10 "the disk is full" is_full
troubles () { "$bin/strata" status --json 2> /dev/null | json "'\n'.join(r['replica']+': '+r['trouble'] for r in d['replicas'] if r['trouble'])"; }
says_full () { fill; troubles | grep -i "no space" > /dev/null; }
# Now stage has something to write too.
if [ "$backend" = rocksdb ]; then # more than its store has set aside for its log
    head -c 12m /dev/urandom > "$work/object"
    for i in 1 2; do "$bin/strata" put full object-$i "$work/object" --timeout 60 > "$work/put-$i" 2>&1 & done
fi
(for i in 1 2 3; do "$bin/strata" submit snapshots other $i "$(printf '%s/macro/snapshot.%08d' "$work" $i)"; done) > "$work/submit" 2>&1 &
until_true 40 "status shows the full disk" says_full
data_says () { troubles | grep -i "^\(stage\|patch\)-0: .*no space" > /dev/null; }
until_true 20 "so does who can't write patches" data_says
troubles | cut -c1-200 | sed 's/^/  trouble  /'
"$bin/strata" status | grep "^trouble .*[Nn]o space" > /dev/null || fail "strata status does not show it to people"
# A while on a full disk: all that write meet it.
start=$SECONDS
while [ $((SECONDS - start)) -lt 8 ]; do
    fill
    sleep 0.5
done
[ "$before" = "$(services)" ] || fail "a service ended on the full disk: $(grep ended "$workspace/log/supervisor.log")"
troubles | cut -c1-200 | sed 's/^/  trouble  /'

# ---- room again ----
cut=$(metric patch snapshots_cut)
chains=$(metric schedule cg_succeeded)
steps=$(metric schedule createsim_succeeded)
rm "$workspace/filler"
# A status that does not answer is no end of the trouble.
over () { "$bin/strata" status --json > "$work/status" && ! troubles | grep -i "no space" > /dev/null; }
until_true 30 "the trouble is over" over
for i in 1 2 3; do # those that were answered are repeats, and dropped
    "$bin/strata" submit snapshots other $i "$(printf '%s/macro/snapshot.%08d' "$work" $i)" > /dev/null || fail "submit $i"
done
until_true 60 "simulations go on" at_least schedule cg_succeeded $((chains + 2))
until_true 60 "snapshots are cut again" at_least patch snapshots_cut $((cut + 1))
macro_runs () { [ "$(metric schedule macro_running)" = 1 ]; }
until_true 40 "the continuum runs" macro_runs
[ "$before" = "$(services)" ] || fail "a service ended: $(grep ended "$workspace/log/supervisor.log")"
echo "  no service ended; $steps prepared and $chains through when it was full"
"$bin/strata" jobs --state aside
"$bin/strata" down > /dev/null || fail "strata down"
audit_is_clean
