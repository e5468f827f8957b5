#!/usr/bin/env bash
# A stage is taken away from a campaign that works (strata scale stage 2 -> 1): its objects with their generations, its
# producers and the work in its queue go on at the other one, while both are killed again and again. Then it comes back, and
# goes once more. Nothing is lost, nothing counted twice, no request of a client fails.
. "$(dirname "$0")/lib.sh"

mkdir -p "$work"
sed -e "s|^workspace:.*|workspace: $workspace|" -e 's/^replicas:.*/replicas: {stage: 2, patch: 2}/' \
    -e 's/"--pace-ms", "2000"/"--pace-ms", "500"/' tests/crash/campaign.yaml > "$campaign"
"$bin/crash-load" model --out "$work/model.npz" --dimensions 4 --seed 3 || fail "crash-load model"
echo "replay: {stage: true, keep_mb: 64, checkpoint_mb: 4}" >> "$campaign"
"$bin/strata" up "$campaign" > "$work/up" 2>&1 || { cat "$work/up"; fail "strata up"; }

status () { "$bin/strata" status --json 2> /dev/null; }
done_at_least () { [ "$(metric schedule simulation_succeeded)" -ge "$1" ]; }
stages () { find "$workspace/cards" -name 'stage-*.json' | wc -l; }
names_of () { find "$workspace/claims" -lname "stage-$1" ! -path '*/retired/*' | wc -l; }
list () { "$bin/strata" ls test | awk '{print $1, $3, $4}'; }

# ---- before ----
for i in $(seq 1 30); do
    echo "object $i" > "$work/object"
    "$bin/strata" put test "dir-$i/obj" "$work/object" || fail "put $i"
    [ $((i % 3)) != 0 ] || "$bin/strata" put test "dir-$i/obj" "$work/object" || fail "put $i again"
done
list > "$work/before"
until_true 60 "simulations are done" done_at_least 2
[ "$(names_of 1)" -gt 40 ] || fail "stage-1 has only $(names_of 1) names before it goes"

# ---- clients ask all the time ----
ask () { # N: puts and gets until told to end; the first failure is kept
    local n=0
    until [ -e "$work/enough" ]; do
        n=$((n + 1))
        echo "$1 $n" > "$work/own-$1"
        "$bin/strata" put own "client-$1-$((n % 7))/x" "$work/own-$1" > "$work/ask-$1" 2>&1 \
            && "$bin/strata" get own "client-$1-$((n % 7))/x" > "$work/got-$1" 2>> "$work/ask-$1" \
            && cmp -s "$work/own-$1" "$work/got-$1" \
            && [ "$("$bin/strata" ls test 2>> "$work/ask-$1" | wc -l)" = 30 ] \
            || { mv "$work/ask-$1" "$work/failed-$1"; "$bin/strata" ls test > "$work/list-$1" 2>&1; return; }
    done
    echo "$n" > "$work/asked-$1"
}
ask 1 & asker=$!

# ---- away, under fire ----
away () { # KILLS: takes stage-1 away while both are killed so often
    "$bin/strata" scale stage 1 --timeout $((100 * slow)) > "$work/scale" 2>&1 & local scale=$!
    for round in $(seq 1 "$1"); do
        sleep 1.$((round * 7 % 10))
        local pid
        pid=$(pid_of stage-$((round % 2)))
        [ "${pid:-0}" -gt 0 ] && kill -KILL "$pid" 2> /dev/null && killed=$((killed + 1))
    done
    wait $scale || { cat "$work/scale"; fail "strata scale stage 1"; }
    [ "$(stages)" = 1 ] || fail "cards after the removal: $(ls "$workspace/cards")"
    [ "$(names_of 1)" = 0 ] || fail "stage-1 has gone and claims $(names_of 1) names"
    [ -z "$(find "$workspace/objects/stage-1" -type f 2> /dev/null)" ] || fail "stage-1 has left objects"
}
killed=0
away 3
grep -q 'stage-1 hands over: left are' "$work/scale" || { cat "$work/scale"; fail "no progress was shown"; }
echo "  stage-1 is gone, $killed kills meanwhile; $(tail -n 1 "$work/scale")"
list > "$work/after"
cmp "$work/before" "$work/after" || { diff "$work/before" "$work/after"; fail "objects are not what they were"; }
finished=$(metric schedule simulation_succeeded)
until_true 60 "the campaign goes on with one stage" done_at_least $((finished + 3))

# ---- back, and away once more; what is killed meanwhile is the supervisor ----
"$bin/strata" scale stage 2 > "$work/scale" 2>&1 || { cat "$work/scale"; fail "strata scale stage 2"; }
finished=$(metric schedule simulation_succeeded)
until_true 60 "the campaign goes on with two stages" done_at_least $((finished + 3))
touch "$work/enough"
wait $asker
[ ! -e "$work/failed-1" ] || { cat "$work/failed-1" "$work/list-1"; fail "a client's request failed"; }
echo "  $(cat "$work/asked-1") rounds of put, get and list meanwhile, none failed"
"$bin/strata" scale stage 1 --timeout 1 > "$work/scale" 2>&1
kill -KILL $(pgrep -f -- "strata (up|run) $campaign")
none_left () { [ -z "$(pgrep -f -- "strata-(stage|select|schedule|feedback|patch|status) .*$workspace")" ]; }
until_true 10 "the services have ended with their supervisor" none_left
"$bin/strata" up "$campaign" > "$work/up" 2>&1 || { cat "$work/up"; fail "strata up"; }
one_stage () { [ "$(stages)" = 1 ] && [ "$(names_of 1)" = 0 ]; }
until_true 60 "the next supervisor sees stage-1 to its end" one_stage

# ---- the end: all is read, then counted ----
touch "$work/hold"
all_read () { status | json "all(c == s['next'] for r in d['replicas'] if r['service']=='stage' for s in r['streams'] if s['stream']=='rdfs' for c in s['consumers'].values()) and all(s['queue']['waiting'] + s['queue']['leased'] == 0 for r in d['replicas'] if r['service']=='stage' for s in r['streams'] if s['stream']=='snapshots')" | grep -q True; }
until_true 60 "feedback has read all, and all snapshots are cut" all_read
"$bin/strata" down > /dev/null || fail "strata down"
audit_is_clean
replays_identical stage-0 stage-1
"$bin/crash-load" recount --workspace "$workspace" --frames 20 > "$work/recount" 2>&1 || fail "recount: $(cat "$work/recount")"
sed 's/^/  /' "$work/recount"
