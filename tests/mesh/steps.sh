#!/usr/bin/env bash
# A campaign whose jobs are written for other systems: createsim as a file of MuMMI's JobTracker, cg as a step of Maestro with
# a restart command. The step's first attempt is ended by its walltime, its second goes on by `restart`.
. "$(dirname "$0")/lib.sh"

cat > "$work/jobs_createsim.yaml" <<'Y'
job_type: createsim
config:
  jobname: createsim
  jobdesc: CreateSim ({})
  nnodes: 1
  nprocs: 1
  cores per task: 1
  walltime: '00:05:00'
imports: [mummi_ras]
dir_sim: cg
variables:
  simname: null # value supplied by jobTracker
  outpath: '{dir}'
  outfile: 'createsims.out'
script: |
  simname={simname}
  cd {outpath}
  $(LAUNCHER) sh -c "echo made $simname >> {outfile} 2>&1"
  for f in sim.json system.gro system.top; do echo "$simname" > ${{f}}; done
  wait
Y
cat > "$work/cg" <<'Y'
    run:
      cmd: |
        echo "begun with $(VERB) $(CANDIDATE)" > log
        sleep 1000
      restart: |
        cmp $(createsim.workspace)/sim.json $(WORKSPACE)/../../jobs/$(basename $(INPUT))/sim.json && echo "goes on, attempt $(ATTEMPT)" >> log
        echo '{}' > done.json
      cores: 1
      walltime: 2
      max_retries: 1
      retry_delay: 1
Y
# The shipped campaign's createsim and cg in these shapes.
make_campaign -e 's|command: \["{bin_dir}/membrane-macro".*|command: [sleep, "100000"]|' \
    -e "s|^workspace:|env: {variables: {VERB: care}}\\nworkspace:|" \
    -e "s|command: \[\"{bin_dir}/membrane-createsim\".*|tracker: jobs_createsim.yaml|" \
    -e "/membrane-cg/{r $work/cg
d}" -e 's/^goal:.*/goal: {job: cg, successes: 2}/'
/usr/bin/python3 - "$campaign" <<'P' || fail "the campaign could not be changed"
# What a step says can't stand beside it.
import re, sys
text = open(sys.argv[1]).read()
head, jobs = text.split("jobs:\n", 1)
parts = re.split(r"(?m)^(?=  - name: )", jobs)
parts = [p if "tracker:" not in p and "run:" not in p else re.sub(r"(?m)^    (cores|walltime|tries): .*\n", "", p) for p in parts]
open(sys.argv[1], "w").write(head + "jobs:\n" + "".join(parts))
P
"$bin/membrane-macro" --out "$work/macro" --no-mesh --steps 10 --snapshot-every 10 --pace 0 --seed 5 > "$work/out" 2>&1 || fail "membrane-macro: $(cat "$work/out")"

# A mistake in the JobTracker's file is told in its own lines, and nothing starts.
sed -i "s|outpath: '{dir}'|outpath: {eval: \"mummi_ras.Naming.dir_sim('cg', '{simname}')\"}|" "$work/jobs_createsim.yaml"
"$bin/strata" up "$campaign" > "$work/out" 2>&1 && fail "a campaign with eval started"
grep -q "jobs_createsim.yaml:13: variables.outpath: is computed by Python (eval)" "$work/out" || fail "eval is refused with: $(cat "$work/out")"
sed -i "s|outpath: .*|outpath: '{dir}'|" "$work/jobs_createsim.yaml"

"$bin/strata" up "$campaign" > "$work/out" 2>&1 || fail "strata up: $(cat "$work/out")"
"$bin/strata" submit snapshots continuum 10 "$work/macro/snapshot.00000010" > /dev/null || fail "submit"
until_true 90 "two cg have succeeded" at_least schedule cg_succeeded 2
id=$("$bin/strata" jobs --json --state succeeded --type cg | json "d['jobs'][-1]['id']")
job=$("$bin/strata" jobs --json "$id")
candidate=$(echo "$job" | json "d['candidate']")
log=$(cat "$workspace/jobs/$id/log")
[ "$log" = "begun with care $candidate
goes on, attempt 2" ] || fail "job $id, candidate $candidate: its log is: $log"
[ "$(echo "$job" | json "d['attempt']")" = 2 ] || fail "job $id did not take two attempts: $job"
walltime_told () { "$bin/strata" events | grep "$id: attempt 1: .*walltime" > /dev/null; }
until_true 10 "an event tells of the walltime" walltime_told
made=$("$bin/strata" jobs --json --state succeeded --type createsim | json "d['jobs'][0]['id']")
grep -q "^made " "$workspace/jobs/$made/createsims.out" || fail "the JobTracker's script did not write its file"
"$bin/strata" down > /dev/null || fail "strata down"
audit_is_clean
