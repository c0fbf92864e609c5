#!/usr/bin/env bash
# Run the nine interventions of the release, and random, on one list of shifts: one command for each, all with the same
# reference (lora_fine_tune, tuned and tested on the target). Later commands reuse what earlier ones computed. Stop and
# restart the script at any time.
#   bash examples/sweep_all.sh
# Variables:
#   MODEL           folder of the base model (default: models/SmolLM2-135M-Instruct)
#   SHIFTS          a list in distribution_shifts/ (default: GENIES)
#   INTERVENTIONS   names of the interventions
#   TRAIN_EXAMPLES, TEST_EXAMPLES, STEPS   limits of the examples and of the reward-training steps (default: none)
#   SEEDS, SEEDED   the seeds, and the interventions to run with them (default: those that read representations)
#   SAMPLE          seeded draws the TRAIN_EXAMPLES of each seed (default); first takes the first ones of the file
#   DTYPE, PRECISION   dtype and matmul_precision of every step
#   ARGUMENTS       more arguments for every command, such as "--slots 2" or "--gpus 0,1"
set -euo pipefail
cd "$(dirname "$0")/.."
source examples/environment.sh
PYTHON=$(project_python)

MODEL=${MODEL:-models/SmolLM2-135M-Instruct}
SHIFTS=${SHIFTS:-GENIES}
SHIFTS=${SHIFTS#distribution_shifts/}
SHIFTS=${SHIFTS%.json}
SEEDS=${SEEDS:-[0, 1, 2]}
INTERVENTIONS=${INTERVENTIONS:-lora_fine_tune random zero_shot few_shot mms lat_stim_1 lat_stim_2 cra ccs prompt_tuning}
SEEDED=${SEEDED:-mms lat_stim_1 lat_stim_2 cra ccs}
SAMPLE=${SAMPLE:-seeded}
DTYPE=${DTYPE:-float32}
PRECISION=${PRECISION:-}
read -r -a ARGUMENTS <<<"${ARGUMENTS:-}"

if [ $# -gt 0 ]; then
  echo "error: $0 takes no arguments, got $1; the head of the script lists the variables that it reads" >&2
  exit 2
fi
if [ ! -d "$MODEL" ]; then
  echo "error: MODEL: expected the folder of a base model, got $MODEL; download_model_from_hf.py fetches one" >&2
  exit 2
fi
if [ ! -f "distribution_shifts/$SHIFTS.json" ]; then
  echo "error: SHIFTS: expected the name of a list of shifts, and distribution_shifts/$SHIFTS.json is no file;" \
    "there are $(cd distribution_shifts && echo *.json)" >&2
  exit 2
fi

# kwargs NAME=VALUE ...: a JSON object of those whose value is not empty
kwargs() {
  "$PYTHON" -c 'import json, sys
pairs = (each.split("=", 1) for each in sys.argv[1:])
print(json.dumps({name: int(value) if value.isdigit() else value for name, value in pairs if value}))' "$@"
}

# Without a limit there is nothing to draw, and the argument would only change the fingerprints.
train=("max_examples=${TRAIN_EXAMPLES:-}" "sample=${TRAIN_EXAMPLES:+$SAMPLE}" "dtype=$DTYPE" "matmul_precision=$PRECISION")
reference=$(kwargs "${train[@]}" "num_train_steps=${STEPS:-}")
evaluation=$(kwargs "max_examples=${TEST_EXAMPLES:-}" "dtype=$DTYPE" "matmul_precision=$PRECISION")
failed=0 checked=
for intervention in $INTERVENTIONS; do
  own=$(kwargs "${train[@]}")
  seeds=()
  case "$intervention" in lora_fine_tune | prompt_tuning) own=$reference ;; esac
  case " $SEEDED " in *" $intervention "*) seeds=(--seeds "$SEEDS") ;; esac
  echo "== $intervention"
  job=("$PYTHON" api/compute_generalization_metrics.py
    --base_model_dir "$MODEL"
    --intervention_dir "src/interventions/$intervention"
    --target_tuned_capability_intervention src/interventions/lora_fine_tune
    --path_to_distribution_shift_pairs "distribution_shifts/$SHIFTS.json"
    --output_path "results/generalization_metrics/$(basename "$MODEL")/$intervention/$SHIFTS.csv"
    --train_kwargs "$own"
    --target_tuned_train_kwargs "$reference"
    --eval_kwargs "$evaluation"
    "${seeds[@]}" "${ARGUMENTS[@]}")
  # What is wrong for the first one, such as missing data, is wrong for all.
  if [ -z "$checked" ]; then "${job[@]}" --dry_run True >/dev/null || exit $?; fi
  checked=yes
  "${job[@]}" || failed=$?
done
"$PYTHON" api/tables.py --results_dir results --shifts "distribution_shifts/$SHIFTS.json" || true
exit "$failed"
