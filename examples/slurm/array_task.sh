#!/usr/bin/env bash
# One task of an array that submit.sh submits: `array_task.sh STEPS.jsonl LEVEL FIRST` runs the step with the number
# FIRST + SLURM_ARRAY_TASK_ID. Change the resources of one step here:
#SBATCH --job-name=genies
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=32G
#SBATCH --gpus=1
#SBATCH --time=04:00:00
#SBATCH --signal=B:TERM@120
set -euo pipefail
cd "${GENIES_ROOT:?submit.sh sets it: the project root}"
export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"
exec "${GENIES_PYTHON:-.venv/bin/python}" examples/slurm/run_line.py "$1" run "$2" \
  "$(($3 + ${SLURM_ARRAY_TASK_ID:?SLURM sets it: use submit.sh}))"
