#!/usr/bin/env bash
# A study as SLURM arrays: the steps that need nothing, then those that need them, then the table.
#
#   bash examples/slurm/submit.sh --base_model_dir models/pythia-410m --intervention_dir src/interventions/mms \
#     --path_to_distribution_shift_pairs distribution_shifts/GENIES.json \
#     --output_path results/generalization_metrics/pythia-410m/mms/GENIES.csv
#
# The arguments are those of api/compute_generalization_metrics.py, with paths as seen from the project root. The
# project, its .venv, models and results must lie on a file system that every node mounts. From the environment:
#   SBATCH_OPTIONS   options that win over the resources in array_task.sh, as "--partition=gpu --account=me"
#   AT_ONCE          how many steps of an array run at once (default: 16)
#   ARRAY_SIZE       how many steps an array may have (default: 1000; `scontrol show config` knows MaxArraySize)
#   GENIES_PYTHON    the Python that has this project (default: .venv/bin/python, which examples/quickstart.sh makes)
#   LOGS             folder of the list of steps and of SLURM's logs (default: results/slurm)
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
  # A level starts when the one before has ended, well or not: what failed costs its own evaluations, not the others'.
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

# The main job itself comes last: it finds the steps done, runs what is not, and writes the table.
job=$(sbatch --parsable --job-name=genies-table --cpus-per-task=4 --mem=32G --gpus=1 "${options[@]}" "${after[@]}" \
  --output="$logs/%j-table.out" <<TABLE
#!/usr/bin/env bash
cd $(printf %q "$GENIES_ROOT")
exec $(printf '%q ' "$python" api/compute_generalization_metrics.py "$@")
TABLE
)
echo "table: ${job%%;*}"
