#!/usr/bin/env bash
# Tune one model on one source. The model is written to models/first_look, apart from those of a real run. To use
# another model: MODEL=models/pythia-410m bash examples/train.sh
set -euo pipefail
cd "$(dirname "$0")/.."
source examples/environment.sh
PYTHON=$(project_python)

MODEL=${MODEL:-models/SmolLM2-135M-Instruct}
exec "$PYTHON" api/train.py \
  --model_dir "$MODEL" \
  --intervention_dir src/interventions/lora_fine_tune \
  --train_distribution distributions/us_history_textbook \
  --train_kwargs '{"num_train_steps": 5, "max_examples": 100}' \
  --models_dir models/first_look \
  --results_dir results/first_look
