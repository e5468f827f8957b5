#!/usr/bin/env bash
# strata jobs as flux-jobs(1): columns, filters, formats and counts over a campaign whose jobs run, wait, end well, fail and time out, and
# why each does so.
. "$(dirname "$0")/lib.sh"

# Every third setup fails, the others run into their walltime of 6 s, until the cause is mended: then all end well.
make_small_campaign -e 's/^replicas:.*/replicas: {patch: 1}/' \
    -e 's|command: \["{bin_dir}/crash-load", setup.*|command: [/bin/sh, "'"$work"'/setup", "{job}"]\n    grace: 2|' \
    -e 's/^schedule:.*/schedule: {executor: local, cores: 2}/'
cat > "$work/setup" << EOF
case \$1 in *[147]) [ -e $work/go ] || { echo no such table >&2; exit 4; } ;; esac
until [ -e $work/go ]; do sleep 0.1; done
echo {} > sim.json
EOF
sed -i -e '/- name: setup/,/- name: simulation/s/cores: 0/cores: 1/' -e '/- name: setup/,/- name: simulation/s/walltime: .*/walltime: 6/' \
    -e '/- name: setup/,/- name: simulation/s/tries: .*/tries: 1/' "$campaign"
"$bin/strata" up "$campaign" > "$work/up" 2>&1 || { cat "$work/up"; fail "strata up"; }
jobs () { "$bin/strata" jobs "$@"; }
number () { jobs -n -o '{id}' "$@" 2> /dev/null | wc -l; }
says () { # WORDS COMMAND...
    local words=$1
    shift
    "$@" > "$work/out" 2>&1
    grep -q -- "$words" "$work/out" || { cat "$work/out"; fail "$* does not say: $words"; }
}
both () { [ "$(number -f failed)" -ge 1 ] && [ "$(number -f run --type setup)" = 2 ]; }
until_true 60 "two setups run, and one has failed" both
jobs > "$work/list"
grep -qE '^setup-[0-9]+ +setup +\S+ +R +1 +1 +\S+[sm] 0$' "$work/list" || { cat "$work/list"; fail "no line of a job that runs"; }
grep -qE '^setup-[0-9]+ +setup +\S+ +S +1 +1 +- waits: cores$' "$work/list" || { cat "$work/list"; fail "no line of a job that waits"; }
timed_out () { [ "$(number -f timeout)" -ge 1 ]; }
until_true 60 "a setup ran into its walltime" timed_out

# ---- columns ----
jobs | head -n 1 | grep -qE '^JOBID +TYPE +NAME +ST NTASKS NNODES +TIME INFO$' || { jobs; fail "the columns are not those of flux jobs"; }
jobs -n | grep -q JOBID && fail "-n has a header"
jobs -a | grep -qE '^setup-[0-9]*[147] +setup +\S+ +F +1 +1 +\S+ exit code 4: no such table$' || { jobs -a; fail "no line of a job that failed"; }
jobs -a | grep -qE '^setup-[0-9]*[258] +setup +\S+ +TO +1 +1 +[678]\S*s .*walltime' || { jobs -a; fail "no line of a job that ran into its walltime"; }
jobs | grep -qE ' (F|TO|CD|CA) ' && { jobs; fail "jobs that have ended stand in the list of those that have not"; }
[ "$(jobs -n -c 1 -f failed -o '{id:.5}|{status}|{end}|{returncode}')" = "setup|FAILED|exit|4" ] || fail "-o: $(jobs -n -c 1 -f failed -o '{id:.5}|{status}|{end}|{returncode}')"
says 'no field {nothing}; there are: id ' jobs -o '{nothing}'

# ---- filters ----
[ "$(number -a)" -gt "$(number)" ] || fail "-a does not list more"
same () { [ "$(number -f failed,timeout)" = "$(number --state aside)" ]; }
until_true 20 "failed and timeout are those set aside" same
[ "$(number -a -c 2)" = 2 ] || fail "-c 2 lists $(number -a -c 2)"
name=$(jobs -n -c 1 -f failed -o '{name}')
[ "$(number -a --name "$name")" = 1 ] || fail "--name $name lists $(number -a --name "$name")"
[ "$(number --queue continuum)" = 1 ] || fail "--queue continuum"
same () { [ "$(number --since -1d)" = "$(number -a)" ]; } # a job may come between the two
until_true 20 "all are of the last day" same
[ "$(number --since -0s -f inactive)" = 0 ] || fail "--since -0s lists what has ended"
says 'is no state of a job; there are proposed, .*flux-jobs' jobs -f asleep
says 'is no time' jobs --since yesterday

# ---- counts ----
jobs --stats --json | json "d['types']['setup']['aside'] >= 2 and d['total']['aside'] == sum(t['aside'] for t in d['types'].values())" | grep -q True \
    || fail "--stats: $(jobs --stats --json)"
says '^setup  *0 ' jobs --stats --type setup
says 'no job type nothing' jobs --stats --type nothing

# ---- why ----
failed=$(jobs -n -c 1 -f failed -o '{id}')
says "^$failed is aside: it failed 1 times, the last time (exit): exit code 4: no such table. When the cause is mended: strata retry $failed" jobs --why "$failed"
says '^stderr  *no such table' jobs --why "$failed"
says 'last time (walltime)' jobs --why "$(jobs -n -c 1 -f timeout -o '{id}')"
says 'which\|why is what so' jobs --why
says 'there is no job nothing' jobs --why nothing
paused () { "$bin/strata" jobs --why setup 2> /dev/null | grep -q 'jobs in a row were set aside\|its buffer of 6 is full'; }
until_true 60 "why no more are selected is said" paused
moves=$(jobs --json "$failed" | json "' '.join(m['state'] for m in d['moves'])")
[ "$moves" = "proposed waiting launching running aside" ] || fail "the moves of $failed: $moves"
jobs "$failed" | grep -qE '^moves +[0-9:]{8} proposed ' || fail "strata jobs ID does not tell the moves"

# ---- mended ----
touch "$work/go"
"$bin/strata" retry --type setup > "$work/out" 2>&1 || { cat "$work/out"; fail "strata retry --type setup"; }
succeeded () { [ "$(number -f completed)" -ge 1 ]; }
until_true 60 "a job has ended well" succeeded
"$bin/strata" down > "$work/down" 2>&1 || { cat "$work/down"; fail "strata down"; }
audit_is_clean
