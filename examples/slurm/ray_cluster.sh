#!/usr/bin/env bash
# A Ray cluster inside one SLURM allocation, and a study on it. Adapt the #SBATCH lines below to your site, then:
#
#   sbatch examples/slurm/ray_cluster.sh --base_model_dir models/pythia-410m \
#     --intervention_dir src/interventions/mms --path_to_distribution_shift_pairs distribution_shifts/GENIES.json \
#     --output_path results/generalization_metrics/pythia-410m/mms/GENIES.csv
#
# Ray must be installed in .venv: .venv/bin/pip install -e .[ray] -c constraints.txt
# Submit it at the project root. The project, models and results must be on a file system that every node mounts.
#SBATCH --job-name=genies-ray
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=4
#SBATCH --mem=0
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@180
#SBATCH --output=%x-%j.out
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:?run it with sbatch}"

# Anyone who can connect to a Ray cluster without a token can run code on it. The token is made for this job and stored
# in a file that only its owner can read. Other users of the node could see it in an environment or on a command line.
umask 077
mkdir -p results/slurm
RAY_AUTH_TOKEN_PATH=$(mktemp "$PWD/results/slurm/ray-token-XXXXXXXX")
.venv/bin/python -c 'import secrets; print(secrets.token_hex(32), end="")' >"$RAY_AUTH_TOKEN_PATH"
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH RAY_USAGE_STATS_ENABLED=0

cpus=${SLURM_CPUS_PER_TASK:?}
gpus=${SLURM_GPUS_ON_NODE:-0}
mapfile -t nodes < <(scontrol show hostnames "${SLURM_JOB_NODELIST:?}")
head=${nodes[0]}
port=$((20000 + ${SLURM_JOB_ID:?} % 20000)) # differs between jobs, because two jobs can share a node
study=

finish() {
  [ -z "$study" ] || kill -TERM "$study" 2>/dev/null || true # ends running steps and writes the table
  [ -z "$study" ] || wait "$study" || true
  kill "${servers[@]}" 2>/dev/null || true
  wait "${servers[@]}" 2>/dev/null || true
  rm -f "$RAY_AUTH_TOKEN_PATH"
}
servers=()
trap finish EXIT
trap 'exit 143' TERM INT

srun --nodes=1 --ntasks=1 --exact --nodelist="$head" --cpus-per-task="$cpus" --gpus-per-node="$gpus" \
  .venv/bin/ray start --head --block --port="$port" --num-cpus="$cpus" --num-gpus="$gpus" \
  --include-dashboard=false --disable-usage-stats &
servers+=($!)
for node in "${nodes[@]:1}"; do
  # Retried for a while, because the head may not be listening yet. --block ends with the head.
  srun --nodes=1 --ntasks=1 --exact --nodelist="$node" --cpus-per-task="$cpus" --gpus-per-node="$gpus" \
    bash -c 'for _ in {1..30}; do .venv/bin/ray start "$@" && exit; sleep 2; done; exit 1' ray-node \
    --block --address="$head:$port" --num-cpus="$cpus" --num-gpus="$gpus" --disable-usage-stats &
  servers+=($!)
done

joined() { # whether all allocated nodes have joined
  .venv/bin/python - "$head:$port" "${#nodes[@]}" <<'PYTHON'
import sys
import ray
ray.init(address=sys.argv[1], logging_level="ERROR")
sys.exit(sum(node["Alive"] for node in ray.nodes()) < int(sys.argv[2]))
PYTHON
}
for attempt in {1..60}; do
  joined 2>/dev/null && break
  [ "$attempt" -lt 60 ] || { echo "error: the nodes did not join the Ray cluster; see above" >&2; exit 1; }
  sleep 2
done

# Each step gets a GPU and its share of the processors; without GPUs, four processors.
per_gpu=$((gpus > 0 ? cpus / gpus : 4))
.venv/bin/python api/compute_generalization_metrics.py "$@" --launcher ray --ray_address "$head:$port" \
  --gpus_per_step "$((gpus > 0))" --cpus_per_step "$((per_gpu > 0 ? per_gpu : 1))" &
study=$!
status=0
wait "$study" || status=$?
study=
exit "$status"
