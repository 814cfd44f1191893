#!/usr/bin/env bash
# Ray over all nodes of a SLURM job, and a command beside its head, inside an allocation:
#
#     slurm/start_ray.sh COMMAND [ARGUMENT ...]
#
# The command finds the cluster in RAY_ADDRESS (`--cluster.address auto`); its exit status is this script's. The cluster ends with
# it. Only holders of the job's token can talk to the cluster; the token travels in the environment and is on no command line.
# SIGTERM goes on to the command, which has all the time that it takes to end.
#
#     ADDRESS_LOOKUP   program that prints the address of the node it is given, where node names do not resolve to the right one
#     RAY_START_LIMIT  seconds until all nodes must have joined (default 300)
set -euo pipefail

REQUEUE=75

address_of() {
    if [[ -n "${ADDRESS_LOOKUP:-}" ]]; then
        "$ADDRESS_LOOKUP" "$1"
    else
        getent ahostsv4 "$1" | awk 'NR == 1 { print $1 }'
    fi
}

# One SLURM step per node; it ends when Ray on that node does, and Ray when it ends. Binding to cores is left to the trainer.
start_on() {
    srun --overlap --nodes=1 --ntasks=1 --nodelist="$1" --cpu-bind=none \
        python -m lmm_r1_mega.cluster.node --num-cpus="$SLURM_CPUS_ON_NODE" --node-ip-address="$2" "${@:3}" &
    steps+=("$!")
}

# shellcheck disable=SC2329 # a trap calls it
stop() {
    trap '' TERM
    kill "${gathering:-}" 2>/dev/null || true
    kill -USR2 "${steps[@]}" 2>/dev/null || true # srun takes SIGTERM for kill -9
    wait || true
}

# shellcheck disable=SC2329 # a trap calls it
pass_on() {
    [[ -n "${command:-}" ]] || exit "$REQUEUE"
    is_asked=1
    kill -TERM "$command" 2>/dev/null || true
}

fail() {
    echo "start_ray.sh: $1" >&2
    exit "$REQUEUE"
}

(($# > 0)) || { echo "usage: slurm/start_ray.sh COMMAND [ARGUMENT ...]" >&2; exit 2; }
: "${SLURM_JOB_ID:?start_ray.sh runs inside a SLURM job: sbatch slurm/train.sbatch}"

export RAY_AUTH_MODE=token
RAY_AUTH_TOKEN="$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')"
export RAY_AUTH_TOKEN

steps=()
trap stop EXIT
trap pass_on TERM
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head="$(address_of "${nodes[0]}")"
[[ -n "$head" ]] || fail "no address for node ${nodes[0]}: set ADDRESS_LOOKUP to a program that prints it"
export RAY_ADDRESS="$head:$((20000 + SLURM_JOB_ID % 10000))"

start_on "${nodes[0]}" "$head" --head --port="${RAY_ADDRESS##*:}" --include-dashboard=false --no-monitor
for node in "${nodes[@]:1}"; do
    start_on "$node" "$(address_of "$node")" --address="$RAY_ADDRESS"
done

python -m lmm_r1_mega.cluster.gather "${#nodes[@]}" "${RAY_START_LIMIT:-300}" &
gathering=$!
wait -n "$gathering" "${steps[@]}" || fail "Ray did not start on every node, see above"
! kill -0 "$gathering" 2>/dev/null || fail "Ray has ended on a node, see above"

"$@" &
command=$!
is_asked=1
while ((is_asked)); do # a signal ends `wait`, not the command
    is_asked=0 status=0
    wait "$command" || status=$?
done
exit "$status"
