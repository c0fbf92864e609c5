#!/usr/bin/env bash
# Evaluate the model that examples/train.sh tuned. To use another model: MODEL=models/pythia-410m bash examples/eval.sh
set -euo pipefail
cd "$(dirname "$0")/.."
source examples/environment.sh
PYTHON=$(project_python)

MODEL=${MODEL:-models/SmolLM2-135M-Instruct}
exec "$PYTHON" api/evaluate.py \
  --model_dir "models/first_look/lora_fine_tune/$(basename "$MODEL")-us_history_textbook" \
  --intervention_dir src/interventions/lora_fine_tune \
  --distributions '["distributions/us_history_textbook", "distributions/us_history_fiction"]' \
  --eval_kwargs '{"max_examples": 100}' \
  --models_dir models/first_look \
  --results_dir results/first_look
