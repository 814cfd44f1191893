#!/usr/bin/env bash
# Ray over all nodes of a SLURM job, and a command beside its head, inside an allocation:
#
#     slurm/start_ray.sh COMMAND [ARGUMENT ...]
#
# The command finds the cluster in RAY_ADDRESS (`--cluster.address auto`); its exit status is this script's. The cluster ends with
# it. Only holders of the job's token can talk to the cluster; the token travels in the environment and is on no command line.
#
#     ADDRESS_LOOKUP   program that prints the address of the node it is given, where node names do not resolve to the right one
#     RAY_START_LIMIT  seconds until all nodes must have joined (default 300)
set -euo pipefail

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
        ray start --block --disable-usage-stats --num-cpus="$SLURM_CPUS_ON_NODE" --node-ip-address="$2" "${@:3}" &
    steps+=("$!")
}

num_alive() {
    python -c 'import ray
ray.init(address="auto", log_to_driver=False, logging_level="error")
print(sum(node["Alive"] for node in ray.nodes()))' 2>/dev/null || echo 0
}

# shellcheck disable=SC2329 # a trap calls it
stop() {
    trap - EXIT
    kill "${steps[@]}" 2>/dev/null || true
    wait || true
}

fail() {
    echo "start_ray.sh: $1" >&2
    exit 75 # please requeue
}

(($# > 0)) || { echo "usage: slurm/start_ray.sh COMMAND [ARGUMENT ...]" >&2; exit 2; }
: "${SLURM_JOB_ID:?start_ray.sh runs inside a SLURM job: sbatch slurm/train.sbatch}"

export RAY_AUTH_MODE=token
RAY_AUTH_TOKEN="$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')"
export RAY_AUTH_TOKEN

steps=()
trap stop EXIT
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head="$(address_of "${nodes[0]}")"
[[ -n "$head" ]] || fail "no address for node ${nodes[0]}: set ADDRESS_LOOKUP to a program that prints it"
export RAY_ADDRESS="$head:$((20000 + SLURM_JOB_ID % 10000))"

start_on "${nodes[0]}" "$head" --head --port="${RAY_ADDRESS##*:}" --include-dashboard=false --temp-dir="/tmp/ray_$SLURM_JOB_ID"
for node in "${nodes[@]:1}"; do
    start_on "$node" "$(address_of "$node")" --address="$RAY_ADDRESS"
done

deadline=$((SECONDS + ${RAY_START_LIMIT:-300}))
until (($(num_alive) >= ${#nodes[@]})); do
    ((SECONDS < deadline)) || fail "of ${#nodes[@]} nodes only $(num_alive) joined Ray in time"
    for step in "${steps[@]}"; do
        kill -0 "$step" 2>/dev/null || fail "Ray did not start on every node, see above"
    done
    sleep 1
done

"$@" &
command=$!
trap 'kill -TERM "$command" 2>/dev/null || true' TERM
status=0
wait "$command" || status=$?
exit "$status"
