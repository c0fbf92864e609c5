# Sourced by the scripts of this project: makes .venv at the project root when there is none and installs into it.
# ensure_environment [EXTRA]   e.g. ensure_environment test

find_python() {
  local candidate
  for candidate in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11 python; do
    if command -v "$candidate" >/dev/null 2>&1 &&
      "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "error: Python 3.11 or newer is needed and none was found; install one, or name it: PYTHON=/path/to/python3 bash $0" >&2
  return 2
}

# What an installation depends on: what setup.py and constraints.txt ask for, and this folder, into which an editable
# installation points, so that a project that was moved is installed again.
installation_mark() {
  { pwd -P && cat setup.py constraints.txt; } | cksum
}

ensure_environment() {
  local extra="${1:-}" python installed wanted markers
  # Without pip it is half an environment: a run was stopped while it was made.
  if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    python=$(find_python) || return 2
    echo "making .venv with $($python --version)"
    "$python" -m venv --clear .venv || { echo "error: could not make .venv (on Debian and Ubuntu: apt install python3-venv)" >&2; return 2; }
  fi
  # What is installed is marked, so that a second run installs nothing. With an extra, all is there that is needed
  # without one.
  wanted=$(installation_mark)
  installed=".venv/.installed${extra:+-$extra}"
  markers=("$installed")
  if [ -z "$extra" ]; then markers+=(.venv/.installed-*); fi
  if ! grep -qsxF "$wanted" "${markers[@]}"; then
    echo "installing into .venv (a few minutes the first time)"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".${extra:+[$extra]}" || {
      echo "error: the installation failed; the lines above say why. Run the same command again to go on." >&2
      return 2
    }
    echo "$wanted" >"$installed"
  fi
}

# The Python to run commands with: that of an environment in use, else the project's own.
project_python() {
  if [ -n "${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ] && python -c 'import genies' 2>/dev/null; then
    command -v python
  elif [ -x .venv/bin/python ]; then
    echo .venv/bin/python
  elif python -c 'import genies' 2>/dev/null; then
    command -v python # installed for all, as in a container
  else
    echo "error: genies is not installed: pip install -e . in an environment of yours, or bash examples/quickstart.sh" >&2
    return 2
  fi
}
