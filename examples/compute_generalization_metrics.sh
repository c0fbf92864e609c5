#!/usr/bin/env bash
# A first look after download_data.py: one shift of the benchmark (distribution_shifts/test.json) with LoRA, five
# training steps and 100 examples. Models and results are written to models/first_look and results/first_look, apart
# from those of a real run. To use another model:
#   MODEL=models/pythia-410m bash examples/compute_generalization_metrics.sh
# For a real run, replace test.json by GENIES.json, write to
# results/generalization_metrics/<model>/lora_fine_tune/GENIES.csv, and leave out the last four arguments.
set -euo pipefail
cd "$(dirname "$0")/.."
source examples/environment.sh
PYTHON=$(project_python)

MODEL=${MODEL:-models/SmolLM2-135M-Instruct}
exec "$PYTHON" api/compute_generalization_metrics.py \
  --base_model_dir "$MODEL" \
  --intervention_dir src/interventions/lora_fine_tune \
  --target_tuned_capability_intervention src/interventions/lora_fine_tune \
  --path_to_distribution_shift_pairs distribution_shifts/test.json \
  --output_path "results/first_look/generalization_metrics/$(basename "$MODEL")/lora_fine_tune/test.csv" \
  --train_kwargs '{"num_train_steps": 5, "max_examples": 100}' \
  --eval_kwargs '{"max_examples": 100}' \
  --models_dir models/first_look \
  --results_dir results/first_look
