#!/usr/bin/env bash
# A study as SLURM job arrays: first the steps that need no other step, then those that need them, then the table.
#
#   bash examples/slurm/submit.sh --base_model_dir models/pythia-410m --intervention_dir src/interventions/mms \
#     --path_to_distribution_shift_pairs distribution_shifts/GENIES.json \
#     --output_path results/generalization_metrics/pythia-410m/mms/GENIES.csv
#
# The arguments are those of api/compute_generalization_metrics.py, with paths relative to the project root. The
# project, its .venv, models and results must be on a file system that every node mounts. Environment variables:
#   SBATCH_OPTIONS   options that override the resources in array_task.sh, such as "--partition=gpu --account=me"
#   AT_ONCE          maximum number of steps of an array that run at once (default: 16)
#   ARRAY_SIZE       maximum size of an array (default: 1000; `scontrol show config` prints MaxArraySize)
#   GENIES_PYTHON    a Python with this project installed (default: .venv/bin/python, made by examples/quickstart.sh)
#   LOGS             folder for the list of steps and SLURM's logs (default: results/slurm)
set -euo pipefail
cd "$(dirname "$0")/../.."
export GENIES_ROOT="$PWD"
python=${GENIES_PYTHON:-.venv/bin/python}
logs=${LOGS:-results/slurm}
size=${ARRAY_SIZE:-1000}
read -ra options <<<"${SBATCH_OPTIONS:-}"

mkdir -p "$logs"
steps=$logs/steps-$(date +%Y%m%d-%H%M%S)-$$.jsonl
"$python" api/compute_generalization_metrics.py "$@" --emit_commands "$steps"

after=()
for ((level = 0; ; level++)); do
  count=$("$python" examples/slurm/run_line.py "$steps" count "$level")
  [ "$count" -gt 0 ] || break
  # A level starts when the previous one has ended, even if steps failed: only their own evaluations are missing then.
  dependency=--dependency=afterany
  for ((first = 0; first < count; first += size)); do
    last=$((first + size < count ? size - 1 : count - first - 1))
    job=$(sbatch --parsable "${options[@]}" "${after[@]}" --array="0-$last%${AT_ONCE:-16}" \
      --output="$logs/%A_%a.out" examples/slurm/array_task.sh "$steps" "$level" "$first")
    dependency+=":${job%%;*}"
  done
  echo "level $level: $count steps, ${dependency#*:}"
  after=("$dependency")
done

# The main job comes last: it reuses the finished steps, runs any that are missing, and writes the table.
job=$(sbatch --parsable --job-name=genies-table --cpus-per-task=4 --mem=32G --gpus=1 "${options[@]}" "${after[@]}" \
  --output="$logs/%j-table.out" <<TABLE
#!/usr/bin/env bash
cd $(printf %q "$GENIES_ROOT")
exec $(printf '%q ' "$python" api/compute_generalization_metrics.py "$@")
TABLE
)
echo "table: ${job%%;*}"
