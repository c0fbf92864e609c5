#!/usr/bin/env bash
# The quick tests with each supported Python that this machine has, each in its own environment below .venvs:
#   bash tests/versions.sh
# One version, and arguments for pytest:
#   VERSIONS=3.13 bash tests/versions.sh tests/harness
set -euo pipefail
cd "$(dirname "$0")/.."
source examples/environment.sh

find_version() {
  local candidate
  for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python "$(uv python find "$1" 2>/dev/null)"; do
    if [ "$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$1" ]; then
      echo "$candidate"
      return
    fi
  done
  return 1
}

export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
unset PYTHONDONTWRITEBYTECODE
ran=0 status=0
for version in ${VERSIONS:-3.11 3.12 3.13 3.14}; do
  if ! PYTHON=$(find_version "$version"); then
    echo "Python $version is not installed; left out"
    continue
  fi
  export PYTHON ENVIRONMENT=.venvs/$version
  ensure_environment test
  echo "== $("$ENVIRONMENT/bin/python" --version)"
  "$ENVIRONMENT/bin/python" -m pytest --numprocesses "$(getconf _NPROCESSORS_ONLN)" --quick "$@" || status=$?
  ran=$((ran + 1))
done
echo "tested with $ran versions of Python"
exit "$status"
