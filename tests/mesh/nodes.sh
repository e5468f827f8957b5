#!/usr/bin/env bash
# Three nodes (names and addresses of their own on this machine, TCP between them) run one campaign: jobs run on all three, a node
# that dies as a whole is made up for by the others - also the first one, which has the stage - and nothing is lost or runs twice.
# Stopped there, it goes on on one node that was none of them.
. "$(dirname "$0")/lib.sh"

mkdir -p "$work"
make_small_campaign -e 's/^schedule:.*/schedule: {executor: nodes, node_timeout: 3}/' -e 's/cores: 0/cores: 1/' \
    -e 's/"--pace-ms", "2000"/"--pace-ms", "700"/' -e 's/tries: 4$/tries: 8/' -e 's/tries: 3$/tries: 8/'
on () { local node=$1; shift; STRATA_NODE=$node STRATA_ADDRESS=127.0.0.$(($(printf %d "'$node") - 96)) "$@"; }

# All of a node ends at once, as when it loses its power: supervisor, services, and the jobs with their shepherds.
power_off () {
    local pids
    pids=$(grep -lzx -- "STRATA_NODE=$1" /proc/[0-9]*/environ 2> /dev/null | cut -d/ -f3 | while read -r pid; do
        tr '\0' ' ' < "/proc/$pid/cmdline" 2> /dev/null | grep -q -- "$work" && echo "$pid"
    done)
    [ -n "$pids" ] || fail "nothing runs on node $1"
    kill -KILL $pids 2> /dev/null
    echo "  node $1 is off ($(wc -w <<< "$pids") processes)"
}
done_at_least () { [ "$(metric schedule simulation_succeeded)" -ge "$1" ]; }
state_of () { "$bin/strata" node --json 2> /dev/null | json "next(n['state'] for n in d['nodes'] if n['name']=='$1')"; }
is_state () { [ "$(state_of "$1")" = "$2" ]; }
began_on () { cat "$workspace"/jobs/*/attempt-*/node 2> /dev/null | grep -c "^$1$"; }
began_more () { [ "$(began_on "$1")" -gt "$2" ]; }
runs_on () { "$bin/strata" status --json 2> /dev/null | json "next(r['node'] for r in d['replicas'] if r['replica']=='$1' and r['alive'])"; }
moved_to () { [ "$(runs_on "$1")" = "$2" ]; }

# ---- three nodes ----
on b "$bin/strata" up --join "$campaign" 2> "$work/err" && fail "a node joined a campaign that is not up"
grep -q 'nothing to join' "$work/err" || fail "not told why it can't join: $(cat "$work/err")"
on a "$bin/strata" up "$campaign" || fail "strata up"
on b "$bin/strata" up --join "$campaign" || fail "node b can't join"
on c "$bin/strata" up --join "$campaign" || fail "node c can't join"
on c "$bin/strata" up --join "$campaign" 2> "$work/err" && fail "node c joined twice"
grep -q 'node c has a supervisor' "$work/err" || fail "not told that it joined already: $(cat "$work/err")"
export STRATA_NODE=c
for node in a b c; do until_true 30 "jobs begin on node $node" began_more $node 0; done
until_true 30 "select-1 is on node b" moved_to select-1 b

# ---- one is lost, and comes back ----
power_off b
until_true 20 "node b is lost" is_state b lost
until_true 20 "select-1 is on node c" moved_to select-1 c
before=$(metric schedule simulation_succeeded)
until_true 40 "simulations go on" done_at_least $((before + 3))
before=$(began_on b)
on b "$bin/strata" up --join "$campaign" || fail "node b can't come back"
until_true 20 "node b works again" is_state b up
until_true 30 "jobs begin on node b again" began_more b "$before"

# ---- the first one, with the stage ----
power_off a
until_true 30 "stage-0 is on node b" moved_to stage-0 b
until_true 20 "node a is lost" is_state a lost
before=$(metric schedule simulation_succeeded)
until_true 60 "simulations go on without node a" done_at_least $((before + 3))

# ---- the end, asked for on a node that is not the first ----
touch "$work/hold"
on c "$bin/strata" down > "$work/down" || fail "strata down: $(cat "$work/down")"
for node in b c; do
    pgrep -f -- "strata up.*$work" > /dev/null && fail "a supervisor runs on after strata down"
done
[ -e "$workspace/down" ] && fail "what asks nodes to go down is left behind"

# ---- goes on on another machine: one new node ----
rm "$work/hold"
on d "$bin/strata" up "$campaign" || fail "strata up on node d alone"
export STRATA_NODE=d
until_true 30 "jobs begin on node d" began_more d 0
before=$(metric schedule simulation_succeeded)
until_true 60 "simulations go on on node d alone" done_at_least $((before + 3))
elsewhere () { "$bin/strata" jobs -n -f running -o '{nodelist}' | grep -v '^d$'; }
elsewhere > "$work/elsewhere" && [ -s "$work/elsewhere" ] && { "$bin/strata" jobs; fail "jobs run on nodes that are not there"; }
touch "$work/hold"
on d "$bin/strata" down > "$work/down" || fail "strata down: $(cat "$work/down")"
on c "$bin/strata" audit > "$work/audit" 2>&1 || fail "the audit found a violation: $(cat "$work/audit")"
sed 's/^/  /' "$work/audit"
