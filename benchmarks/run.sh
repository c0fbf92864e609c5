#!/usr/bin/env bash
# Run all benchmarks in sequence: about an hour on two cores of a machine that is otherwise idle.
#   bash benchmarks/run.sh [FOLDER]      also writes the measurements to FOLDER/<benchmark>.json
# The variables BASE_MODEL_DIR and DISTRIBUTIONS_DIR select another model and another folder of official distributions.
set -euo pipefail
here=$PWD
cd "$(dirname "$0")/.."
source examples/environment.sh

folder=${1:-}
case "$folder" in
  "" | /*) ;;
  *) folder=$here/$folder ;;
esac
model=${BASE_MODEL_DIR:-models/SmolLM2-135M-Instruct}
distributions=${DISTRIBUTIONS_DIR:-distributions}
if [ ! -f "$distributions/alpaca_mmlu/test.json" ]; then
  echo "error: the official distributions are not in $distributions: python download_data.py fetches them" >&2
  exit 2
fi
ensure_environment bench
if [ -n "$folder" ]; then mkdir -p "$folder"; fi

run() {
  local name=$1
  shift
  echo
  .venv/bin/python "benchmarks/$name.py" "$@" ${folder:+--json "$folder/$name.json"}
}

for name in scoring rewards precision activations shared_work growth memory cost imports training; do
  run "$name" --base_model_dir "$model" --distributions_dir "$distributions"
done
run harness
run tables --distributions_dir "$distributions"
run report --distributions_dir "$distributions"
if [ -n "$folder" ]; then
  echo
  echo "as a page: .venv/bin/python benchmarks/collect.py --folder $folder --output benchmarks/README.md"
fi
