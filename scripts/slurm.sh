#!/usr/bin/env bash
# A real Slurm of one's own on this machine, without systemd: munged, slurmctld and a slurmd for each of N nodes, all in
# one folder and on 127.0.0.1 only. For tests and benches, and to try a campaign on the slurm executor at home.
#
#   scripts/slurm.sh up DIR [--nodes N] [--cpus C] [--gpus G] [--set KEY=VALUE]...   starts what does not run yet
#   scripts/slurm.sh status DIR      which daemons run, and what sinfo says; exit 1 when something is missing
#   scripts/slurm.sh stop DIR ctld|NODE     one daemon alone (SIGTERM); `up DIR` starts it again
#   scripts/slurm.sh down DIR        ends all jobs, then all daemons; the folder stays
#   eval "$(scripts/slurm.sh env DIR)"      what sbatch, squeue ... need to find it: SLURM_CONF
#
# Nodes are called n1 ... nN, with C CPUs (default 8: more than there are is allowed) and G GPUs each (default 0; as root
# they are character devices that do nothing). --set adds a line to slurm.conf, e.g. --set MinJobAge=5; like the other
# options it holds from the first `up` on. Debian's slurm-wlm and munge are needed; not root: jobs run as you.
set -euo pipefail

die () { printf 'slurm.sh: %s\n' "$*" >&2; exit 1; }
usage () { sed -n '2,14s/^# \{0,1\}//p' "$0"; }

case ${1:-} in
-h | --help) usage; exit 0 ;;
up | status | stop | down | env) ;;
*) usage >&2; exit 2 ;;
esac
[ $# -ge 2 ] || { usage >&2; exit 2; }
action=$1 given=$2
shift 2
if [ "$action" = up ]; then mkdir -p "$given" || die "$given can't be made"; fi
dir=$(cd "$given" 2> /dev/null && pwd -P) || die "$given is not a folder; 'slurm.sh up $given' makes it"
conf=$dir/slurm.conf
export SLURM_CONF=$conf
PATH=$PATH:/usr/sbin

# ---- daemons ----

# The pid in DIR/NAME.pid, when that process still is the daemon of this folder.
pid_of () { # NAME
    local pid
    pid=$(cat "$dir/$1.pid" 2> /dev/null) && [ -n "$pid" ] || return 1
    tr '\0' '\n' 2> /dev/null < "/proc/$pid/cmdline" | grep -qF -- "$dir" || return 1
    [ "$(sed 's/.*) //;s/ .*//' "/proc/$pid/stat" 2> /dev/null)" != Z ] || return 1
    echo "$pid"
}

end () { # NAME: SIGTERM, after 10 s SIGKILL
    local pid i
    pid=$(pid_of "$1") || return 0
    kill -TERM "$pid" 2> /dev/null || return 0
    for ((i = 0; i < 100; i++)); do pid_of "$1" > /dev/null || return 0; sleep 0.1; done
    kill -KILL "$pid" 2> /dev/null || true
}

nodes () { sed -n 's/^NodeName=\(n[0-9]*\) .*/\1/p' "$conf"; }

start () { # NAME COMMAND...
    local name=$1
    shift
    pid_of "$name" > /dev/null && return 0
    rm -f "$dir/$name.pid"
    "$@" >> "$dir/$name.out" 2>&1 || { tail -n 5 "$dir/$name.out" "$dir/$name.log" >&2 2> /dev/null; die "$1 does not start"; }
}

wait_for () { # SECONDS TEXT COMMAND...
    local i limit=$(($1 * ${STRATA_SLOW:-1} * 10)) text=$2
    shift 2
    for ((i = 0; i < limit; i++)); do "$@" > /dev/null 2>&1 && return 0; sleep 0.1; done
    tail -n 5 "$dir"/*.log >&2 2> /dev/null
    die "$text, still after $((limit / 10)) s; the lines above are the daemons' last"
}

# ---- configuration ----

port_taken () { (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null; }

# The first of 64 free ports, sought from a place that depends on the folder, so that two folders seldom meet.
free_ports () {
    local base=$((20000 + $(cksum <<< "$dir" | cut -d' ' -f1) % 10000)) i
    while :; do
        for ((i = 0; i < 64; i++)); do port_taken $((base + i)) && break; done
        [ "$i" -lt 64 ] || break
        base=$((base + 64))
    done
    echo "$base"
}

configure () {
    local count=2 cpus=8 gpus=0 extra=() port host user memory i
    while [ $# -gt 0 ]; do
        [ $# -ge 2 ] || die "$1 needs a value"
        case $1 in
        --nodes) count=$2 ;;
        --cpus) cpus=$2 ;;
        --gpus) gpus=$2 ;;
        --set) extra+=("$2") ;;
        *) die "$1 is not known; see --help" ;;
        esac
        shift 2
    done
    for i in "$count" "$cpus" "$gpus"; do [[ $i =~ ^[0-9]+$ ]] || die "$i is not a whole number"; done
    if [ "$count" -lt 1 ] || [ "$count" -gt 60 ]; then die "--nodes must be 1 to 60"; fi
    port=$(free_ports) host=$(hostname -s) user=$(id -un)
    # What a node claims, not what is used: no job is refused for the memory of a small machine.
    memory=16000
    mkdir -p "$dir/state" "$dir/spool" "$dir/munge"
    chmod 700 "$dir/munge"
    (umask 277 && head -c 1024 /dev/urandom > "$dir/munge/key")
    {
        cat <<END
ClusterName=strata
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket
CryptoType=crypto/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool/%n
SlurmctldPidFile=$dir/ctld.pid
SlurmdPidFile=$dir/%n.pid
SlurmctldLogFile=$dir/ctld.log
SlurmdLogFile=$dir/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1,default_queue_depth=1000,sched_min_interval=0
JobCompType=jobcomp/filetxt
JobCompLoc=$dir/jobs.log
ReturnToService=2
SlurmdTimeout=30
KillWait=5
GresTypes=gpu
END
        [ ${#extra[@]} -eq 0 ] || printf '%s\n' "${extra[@]}"
        for ((i = 1; i <= count; i++)); do
            echo "NodeName=n$i NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + i)) CPUs=$cpus RealMemory=$memory$([ "$gpus" = 0 ] || echo " Gres=gpu:$gpus") State=UNKNOWN"
        done
        echo "PartitionName=all Nodes=n[1-$count] Default=YES MaxTime=INFINITE State=UP"
    } > "$conf.new"
    echo AutoDetect=off > "$dir/gres.conf"
    if [ "$gpus" != 0 ]; then
        if [ "$(id -u)" = 0 ]; then
            for ((i = 0; i < gpus; i++)); do [ -e "$dir/gpu$i" ] || mknod "$dir/gpu$i" c 1 3; done
            echo "Name=gpu File=$dir/gpu[0-$((gpus - 1))]" >> "$dir/gres.conf"
        else
            echo "Name=gpu Count=$gpus" >> "$dir/gres.conf"
        fi
    fi
    mv "$conf.new" "$conf"
}

# ---- actions ----

up () {
    local node program missing=()
    for program in munged slurmctld slurmd sbatch squeue; do command -v "$program" > /dev/null || missing+=("$program"); done
    [ ${#missing[@]} -eq 0 ] || die "${missing[*]} not found; 'apt install slurm-wlm munge' (or make deps-tests) brings them"
    [ -e "$conf" ] || configure "$@"
    start munged munged --socket="$dir/munge/socket" --key-file="$dir/munge/key" --log-file="$dir/munged.log" \
        --pid-file="$dir/munged.pid" --seed-file="$dir/munge/seed" --force
    wait_for 10 "munged does not answer" munge --no-input --socket="$dir/munge/socket"
    start ctld slurmctld -f "$conf"
    # The node's name goes into the command line of its daemon, and with it this folder's configuration.
    for node in $(nodes); do start "$node" slurmd -N "$node" -f "$conf"; done
    wait_for 30 "slurmctld does not answer" scontrol --local ping
    wait_for 60 "not all nodes are up" all_up
}

all_up () {
    local states
    states=$(sinfo -h -N -o '%N %t' | sort -u) || return 1
    [ "$(grep -cE ' (idle|mix|alloc|comp)$' <<< "$states")" = "$(nodes | wc -l)" ]
}

status () {
    local name rc=0
    [ -e "$conf" ] || die "$dir has no slurm.conf; 'slurm.sh up $dir' makes it"
    for name in munged ctld $(nodes); do
        if pid_of "$name" > /dev/null; then echo "$name runs (pid $(pid_of "$name"))"; else echo "$name does not run"; rc=1; fi
    done
    timeout 5 sinfo || rc=1
    return $rc
}

# A slurmstepd outlives its slurmd, so jobs are ended while their nodes still listen.
down () {
    local node i
    [ -e "$conf" ] || return 0
    if pid_of ctld > /dev/null && pid_of munged > /dev/null; then
        if [ -n "$(timeout 5 squeue -h -o %A 2> /dev/null)" ]; then
            timeout 10 scancel --user="$(id -un)" 2> /dev/null || true
            for ((i = 0; i < 100; i++)); do [ -n "$(timeout 5 squeue -h -o %A 2> /dev/null)" ] || break; sleep 0.1; done
        fi
    fi
    end ctld
    for node in $(nodes); do
        end "$node" &
    done
    wait
    # Steps whose node was gone before: they have this folder in their environment, over whose first part a step writes its title.
    for i in $(grep -lzx -e "STRATA_SLURM_DIR=$dir" -e "SLURM_CONF=$conf" /proc/[0-9]*/environ 2> /dev/null | cut -d/ -f3); do
        if grep -q '^slurm' "/proc/$i/comm" 2> /dev/null; then kill -KILL "$i" 2> /dev/null || true; fi
    done
    end munged
}

case $action in
up) export STRATA_SLURM_DIR=$dir; up "$@" ;;
status) status ;;
stop)
    [ $# = 1 ] || die "stop needs the name of one daemon: ctld, or a node"
    pid_of "$1" > /dev/null || die "$1 does not run"
    end "$1" ;;
down) down ;;
env) printf 'export SLURM_CONF=%q\n' "$conf" ;;
esac
