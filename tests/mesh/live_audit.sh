#!/usr/bin/env bash
# strata audit beside a campaign that deletes, overwrites and trims all the time finds nothing wrong, again and again; what is
# wrong it finds there too. The copies that it makes of the stores are gone afterwards, also those of an audit that was killed.
. "$(dirname "$0")/lib.sh"

make_small_campaign -e 's/^replicas:.*/replicas: {stage: 2}/' -e 's/queue_mb: 16384/queue_mb: 4/' -e 's/--pace-ms, "2000"/--pace-ms, "500"/'
"$bin/strata" up "$campaign" > "$work/up" 2>&1 || { cat "$work/up"; fail "strata up"; }

# ---- what changes all the time: objects, and records large enough to stand in files beside the store ----
cat > "$work/churn.py" << 'PYTHON'
import os, sys
import strata
client = strata.Client(name="churn", timeout=60)
n = 0
while not os.path.exists(sys.argv[1]):
    n += 1
    client.put("churn", "a-%d/x" % (n % 40), os.urandom(3000 + n % 50000))
    if n > 20:
        client.delete("churn", "a-%d/x" % ((n - 20) % 40))
    client.append("rdfs", "churn-%d" % (n % 5), n, os.urandom(100000))
print(n)
PYTHON
strata_python "$work/churn.py" "$work/enough" > "$work/churned" 2>&1 & churn=$!

trimmed () { "$bin/strata" status --json | json "sum(s['first'] - 1 for r in d['replicas'] if r['service']=='stage' for s in r['streams'] if s['stream']=='rdfs') >= $1" | grep -q True; }
until_true 60 "records of stream rdfs are trimmed" trimmed 20
until_true 60 "simulations are done" at_least schedule simulation_succeeded 2
for round in 1 2 3; do
    audit_is_clean > "$work/said" || { cat "$work/said"; exit 1; }
    grep -q "it runs" "$work/audit" || fail "the audit did not see that the mesh runs"
done
echo "  3 audits beside it found nothing: $(grep -A1 'ok    objects' "$work/audit" | tail -n 1 | sed 's/^ *//')"
before=$("$bin/strata" status --json | json "sum(s['first'] for r in d['replicas'] if r['service']=='stage' for s in r['streams'] if s['stream']=='rdfs')")
until_true 30 "records are still being trimmed" trimmed "$before"
"$bin/strata" audit > /dev/null 2>&1 & audit=$!
copying () { [ -n "$(find "$workspace" -maxdepth 1 -name 'audit-*')" ]; }
until_true 10 "an audit has begun its copies" copying
kill -KILL $audit 2> /dev/null
wait $audit 2> /dev/null
touch "$work/enough"
wait $churn || { cat "$work/churned"; fail "the client that changes things failed"; }
echo "  $(cat "$work/churned") rounds of put, delete and append meanwhile"

# ---- what is wrong is found there too ----
file=$(find "$workspace/objects/stage-0/patches" "$workspace/objects/stage-1/patches" -type f | head -n 1)
name=patches/${file##*/}
mv "$file" "$work/taken-away"
"$bin/strata" audit > "$work/audit" 2>&1 && fail "the audit beside the mesh does not see that $file is gone"
grep -q "object $name of stage-[01] can't be read" "$work/audit" || { cat "$work/audit"; fail "the audit does not name $name"; }
mv "$work/taken-away" "$file"
[ -z "$(find "$workspace" -maxdepth 1 -name 'audit-*')" ] || fail "copies are left: $(find "$workspace" -maxdepth 1 -name 'audit-*')"
"$bin/strata" down > /dev/null || fail "strata down"
audit_is_clean
