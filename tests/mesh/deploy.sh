#!/usr/bin/env bash
# deploy/: each launcher starts a campaign on several nodes, is called again without harm, shows them, and stops them. `local` and
# `ssh` (a sshd of this test, on loopback) and `slurm` (inside an allocation of a real Slurm) run here, `flux` (in an instance of two
# brokers) where it is on PATH.
. "$(dirname "$0")/lib.sh"
PATH=$PATH:/usr/sbin

mkdir -p "$work"
make_small_campaign -e 's/^schedule:.*/schedule: {executor: nodes}/' -e 's/cores: 0/cores: 1/' -e 's/"--pace-ms", "2000"/"--pace-ms", "700"/'
nodes_up () { "$bin/strata" node --workspace "$workspace" --json 2> /dev/null | json "sum(n['state']=='up' and n['cores']>0 for n in d['nodes'])"; }
are_up () { [ "$(nodes_up)" = "$1" ]; }
jobs_began_on () { [ "$(cat "$workspace"/jobs/*/attempt-*/node 2> /dev/null | sort -u | wc -l)" -ge "$1" ]; }
no_supervisor () { ! pgrep -f -- "strata up.*$work" > /dev/null; }

# try LAUNCHER NODES OPTION...
try () {
    local launcher=$1 nodes=$2
    shift 2
    rm -rf "$workspace"
    "deploy/$launcher.sh" up "$campaign" "$@" || fail "$launcher.sh up"
    until_true 30 "$launcher: $nodes nodes are up" are_up "$nodes"
    "deploy/$launcher.sh" up "$campaign" "$@" > "$work/again" 2>&1 || fail "$launcher.sh up again: $(cat "$work/again")"
    grep -q 'up already' "$work/again" || fail "$launcher.sh does not say that all was up: $(cat "$work/again")"
    until_true 40 "$launcher: jobs begin on $nodes nodes" jobs_began_on "$nodes"
    "deploy/$launcher.sh" status "$campaign" "$@" > "$work/status" || fail "$launcher.sh status"
    [ "$(grep -c ' up ' "$work/status")" -ge "$nodes" ] || fail "status does not show $nodes nodes: $(cat "$work/status")"
    "deploy/$launcher.sh" down "$campaign" "$@" > "$work/down" || fail "$launcher.sh down: $(cat "$work/down")"
    until_true 10 "$launcher: no supervisor is left" no_supervisor
    audit_is_clean > /dev/null
}

# ---- local ----
try local 3 --nodes 3

# ---- ssh ----
if command -v sshd > /dev/null && command -v ssh > /dev/null; then
    port=$((20000 + RANDOM % 20000))
    ssh-keygen -q -t ed25519 -N '' -f "$work/host" && ssh-keygen -q -t ed25519 -N '' -f "$work/user" || fail "ssh-keygen"
    mkdir -p /run/sshd 2> /dev/null
    printf '%s\n' "Port $port" "ListenAddress 127.0.0.1" "ListenAddress 127.0.0.2" "HostKey $work/host" "AuthorizedKeysFile $work/user.pub" \
        "PidFile $work/sshd.pid" "StrictModes no" "UsePAM no" "PermitRootLogin yes" "PasswordAuthentication no" > "$work/sshd_config"
    "$(command -v sshd)" -f "$work/sshd_config" -E "$work/sshd.log" || fail "sshd: $(cat "$work/sshd.log")"
    printf '127.0.0.1\n127.0.0.2 # the second\n' > "$work/hosts"
    try ssh 2 --hosts "$work/hosts" --ssh "ssh -p $port -i $work/user -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
    kill "$(cat "$work/sshd.pid")"
else
    echo "  ssh: SKIPPED, openssh-server is not installed (make deps-tests)"
fi

# ---- slurm ----
if command -v slurmctld munged > /dev/null; then
    slurm=$work/slurm
    trap 'scripts/slurm.sh down "$slurm" > "$work/slurm-down" 2>&1; clean_up' EXIT
    scripts/slurm.sh up "$slurm" --nodes 2 --cpus 4 || fail "slurm.sh up"
    eval "$(scripts/slurm.sh env "$slurm")"
    "deploy/slurm.sh" up "$campaign" 2> "$work/err" && fail "slurm.sh went on outside of an allocation"
    grep -q 'inside sbatch or salloc' "$work/err" || fail "not told that there is no allocation: $(cat "$work/err")"
    salloc --quiet --nodes=2 --ntasks-per-node=1 --cpus-per-task=4 sleep 1000 > "$work/salloc" 2>&1 &
    allocation=$!
    has_allocation () { squeue -h -t RUNNING -o %A | grep -q .; }
    until_true 30 "slurm: an allocation of 2 nodes" has_allocation
    SLURM_JOB_ID=$(squeue -h -o %A) SLURM_JOB_NODELIST=$(squeue -h -o %N) SLURM_JOB_NUM_NODES=2 SLURM_CPUS_ON_NODE=4
    export SLURM_JOB_ID SLURM_JOB_NODELIST SLURM_JOB_NUM_NODES SLURM_CPUS_ON_NODE
    try slurm 2
    scancel "$SLURM_JOB_ID"
    pkill -TERM -P "$allocation"
    wait "$allocation"
    scripts/slurm.sh down "$slurm" > "$work/slurm-down" 2>&1
    trap clean_up EXIT
else
    echo "  slurm: SKIPPED, slurm-wlm and munge are not installed (make deps-tests)"
fi

# ---- flux ----
if command -v flux > /dev/null; then
    "deploy/flux.sh" up "$campaign" 2> "$work/err" && fail "flux.sh went on outside of an instance"
    grep -q 'inside flux batch or flux alloc' "$work/err" || fail "not told that there is no instance: $(cat "$work/err")"
    flux_up 2
    try flux 2
    flux_down || fail "flux start did not end well"
else
    echo "  flux: SKIPPED, there is no flux on PATH"
fi
