#!/usr/bin/env bash
# A real SLURM of two nodes, n1 and n2, on this one machine: a fixture for tests. No systemd, nothing in /etc, loopback only.
#
#     two_nodes.sh start FOLDER    starts it, or finds it running; prints lines to `eval`
#     two_nodes.sh stop FOLDER     ends its jobs, its daemons, and what escaped from its jobs; safe to repeat
#     two_nodes.sh logs FOLDER     the ends of all logs
#
# FOLDER is made if missing and must lie on a short path (sockets: 108 characters). A killed fixture is cleaned up by the next
# start or stop of the same folder. Needs slurmctld, slurmd, slurm-client and munge (Debian 12: 22.05), as root or as any user.
#
#     CPUS_PER_NODE (2)  MEMORY_PER_NODE (4000, MiB)  GPUS_PER_NODE (0: files stand in for devices)  KILL_WAIT (3, s)
#     APART (0; with 1, as root, n2 sees neither n1's processes nor its /dev/shm, as another machine would not)
#
# Exported: SLURM_CONF, and ADDRESS_LOOKUP, a program that prints the address of a node, since n1 and n2 do not resolve.
# SLURM finishes a requeued job's wait in 6 s here (cred_expire; 121 s by default). A node that went down comes back with
# `scontrol update nodename=n2 state=resume`; `kill -9 $(cat FOLDER/n2.pid)` is a lost machine whose processes live on.
set -euo pipefail

usage() {
    sed -n '2,18s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

has() { # PROCESS PATTERN: a line of its environment
    [[ -n "$1" && -r "/proc/$1/environ" ]] && { tr '\0' '\n' <"/proc/$1/environ"; } 2>/dev/null | grep -qx "$2"
}

is_ours() { has "$1" "SLURM_CONF=$SLURM_CONF"; } # alive, and no other process that got the number of a dead one

escaped() { # PROCESS: of a job; whoever called this script has SLURM_CONF too, but is in no job
    is_ours "$1" && { has "$1" "SLURM_JOB_ID=.*" || [[ "$(cat "/proc/$1/comm" 2>/dev/null)" == slurmstepd ]]; }
}

daemon() { # NAME COMMAND ...: they write logs of their own
    setsid "${@:2}" </dev/null >/dev/null 2>&1 9>&- &
    echo "$!" >"$folder/$1.pid"
}

node() { # NAME
    local command=(slurmd -D -N "$1" -f "$SLURM_CONF")
    if [[ "$1" == n2 && "${APART:-0}" == 1 ]]; then
        # shellcheck disable=SC2016 # for the shell inside
        command=(unshare --mount --pid --fork --mount-proc --kill-child sh -c 'mount -t tmpfs tmpfs /dev/shm && exec "$@"' sh "${command[@]}")
    fi
    daemon "$1" "${command[@]}"
}

number_of() { cat "$folder/$1.pid" 2>/dev/null || true; }

is_up() {
    local state
    is_ours "$(number_of controller)" && state="$(timeout 5 sinfo --noheader --Node --partition=main --format=%T 2>/dev/null)" || return 1
    [[ "$(grep -cxE 'idle|mixed|allocated|completing' <<<"$state")" == 2 ]]
}

wait_for() { # SECONDS COMMAND ...
    local end=$((SECONDS + $1))
    until "${@:2}"; do
        ((SECONDS < end)) || return 1
        sleep 0.1
    done
}

is_gone() { ! is_ours "$1"; } # a zombie has no environment

has_no_jobs() { [[ -z "$(timeout 5 squeue --noheader 2>/dev/null)" ]]; }

end() { # NAME ...: politely, then not
    local name process
    for name; do
        process="$(number_of "$name")"
        if is_ours "$process"; then # unshare hands no signal on: its child gets one too
            # shellcheck disable=SC2046 # numbers
            kill "$process" $([[ "$(cat "/proc/$process/comm")" != unshare ]] || cat "/proc/$process/task/$process/children") 2>/dev/null || true
        fi
    done
    for name; do
        process="$(number_of "$name")"
        wait_for 5 is_gone "$process" || kill -KILL "$process" 2>/dev/null || true
        rm -f "$folder/$name.pid"
    done
}

free_ports() { # COUNT
    python3 - "$1" <<'PYTHON'
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(one.getsockname()[1] for one in held))
PYTHON
}

write_configuration() {
    local user host gpus=() ports node
    user="$(id -un)" host="$(hostname -s)"
    read -ra ports <<<"$(free_ports 3)"
    if ((${GPUS_PER_NODE:-0})); then
        gpus=("GresTypes=gpu")
        for ((device = 0; device < GPUS_PER_NODE; device++)); do : >"$folder/gpu$device"; done
        echo "Name=gpu File=$folder/gpu[0-$((GPUS_PER_NODE - 1))]" >"$folder/gres.conf"
    fi
    cat >"$SLURM_CONF" <<CONF
ClusterName=two
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket,cred_expire=5
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool.%n
SlurmctldPidFile=$folder/state/controller.pid
SlurmdPidFile=$folder/spool.%n/daemon.pid
SlurmctldLogFile=$folder/log/controller.log
SlurmdLogFile=$folder/log/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,bf_interval=2
SlurmdParameters=config_overrides
SlurmctldParameters=preempt_send_user_signal
SlurmctldTimeout=30
SlurmdTimeout=10
KillWait=${KILL_WAIT:-3}
MinJobAge=300
ReturnToService=1
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
${gpus[*]}
CONF
    for node in 1 2; do
        echo "NodeName=n$node NodeHostname=$host NodeAddr=127.0.0.1 Port=${ports[$node]} CPUs=${CPUS_PER_NODE:-2}" \
            "RealMemory=${MEMORY_PER_NODE:-4000} State=UNKNOWN ${gpus:+Gres=gpu:$GPUS_PER_NODE}" >>"$SLURM_CONF"
    done
    cat >>"$SLURM_CONF" <<CONF
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=10
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
CONF
}

start() {
    exec 9>"$folder.lock" # one start or stop at a time
    flock 9
    if ! is_up; then
        stop_everything
        rm -rf "$folder"
        mkdir -p "$folder"/{log,state,spool.n1,spool.n2}
        chmod 755 "$folder" # munge refuses a socket that others cannot reach
        install -m 600 /dev/null "$folder/munge.key"
        head -c 1024 /dev/urandom >"$folder/munge.key"
        # shellcheck disable=SC2016 # for the program that is written
        printf '#!/bin/sh\necho "127.0.0.1${1#n}"\n' >"$folder/address_of"
        chmod 755 "$folder/address_of"
        write_configuration
        daemon munge munged --foreground --force --socket="$folder/munge.socket" --key-file="$folder/munge.key" \
            --pid-file="$folder/state/munge.pid" --log-file="$folder/log/munge.log" --seed-file="$folder/state/munge.seed" --num-threads=2
        wait_for 10 test -S "$folder/munge.socket" || give_up "munge did not start"
        daemon controller slurmctld -D -f "$SLURM_CONF"
        node n1
        node n2
        wait_for 20 is_up || give_up "the nodes did not become idle"
        timeout 20 srun --quiet --nodes=2 --time=1 true || give_up "a step over both nodes failed" # sinfo alone says idle too early
    fi
    echo "export SLURM_CONF=$SLURM_CONF ADDRESS_LOOKUP=$folder/address_of"
}

give_up() {
    echo "two_nodes.sh: $1" >&2
    logs >&2
    stop_everything
    exit 1
}

logs() {
    for file in "$folder"/log/*.log; do
        echo "== $file" && grep -v pmix "$file" | tail -n 15
    done
}

stop_everything() {
    local process
    if is_ours "$(number_of controller)"; then
        timeout 5 scancel --user="$(id -un)" 2>/dev/null || true
        wait_for $((${KILL_WAIT:-3} + 5)) has_no_jobs || true # before the daemons go, or jobs outlive them
    fi
    end n1 n2 controller
    end munge
    for process in /proc/[0-9]*; do
        process="${process#/proc/}"
        if escaped "$process"; then kill -KILL "$process" 2>/dev/null || true; fi
    done
}

(($# == 2)) || usage
export PATH="$PATH:/usr/sbin:/sbin"
folder="$(realpath -m "$2")"
export SLURM_CONF="$folder/slurm.conf"
case "$1" in
    start) start ;;
    stop)
        exec 9>"$folder.lock"
        flock 9
        stop_everything
        rm -rf "$folder" "$folder.lock"
        ;;
    logs) logs ;;
    *) usage ;;
esac
