# Sourced by the project's scripts. Makes .venv at the project root if there is none, and installs the project into it.
#   ensure_environment [EXTRA]      for example ensure_environment test
# The variable ENVIRONMENT names another folder than .venv.

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

# What an installation depends on: setup.py, constraints.txt, and the path of this folder. An editable installation
# refers to that path, so a project that was moved must be installed again.
installation_mark() {
  { pwd -P && cat setup.py constraints.txt; } | cksum
}

ensure_environment() {
  local extra="${1:-}" folder="${ENVIRONMENT:-.venv}" python installed wanted markers
  # An environment without pip is incomplete: an earlier run was stopped while making it.
  if ! "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python) || return 2
    echo "making $folder with $($python --version)"
    "$python" -m venv --clear "$folder" || { echo "error: could not make $folder (on Debian and Ubuntu: apt install python3-venv)" >&2; return 2; }
  fi
  # A mark records what is installed, so that a second run installs nothing. An installation with an extra includes
  # everything that is needed without one.
  wanted=$(installation_mark)
  installed="$folder/.installed${extra:+-$extra}"
  markers=("$installed")
  if [ -z "$extra" ]; then markers+=("$folder"/.installed-*); fi
  if ! grep -qsxF "$wanted" "${markers[@]}"; then
    echo "installing into $folder (a few minutes the first time)"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".${extra:+[$extra]}" || {
      echo "error: the installation failed; the lines above say why. Run the same command again to go on." >&2
      return 2
    }
    echo "$wanted" >"$installed"
  fi
}

# The Python to run commands with: that of the active environment if it has genies, else that of .venv.
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
