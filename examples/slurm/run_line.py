"""Run the steps of an --emit_commands file by level, as a task of a SLURM array. Uses the standard library only.

    python examples/slurm/run_line.py STEPS.jsonl count LEVEL          print the number of steps of the level
    python examples/slurm/run_line.py STEPS.jsonl run LEVEL INDEX      run one of them, counted from 0

Steps of level 0 (trainings and baselines) need no other step; those of level 1 (evaluations) need steps of level 0.
"""

import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def levels(steps: list[dict]) -> list[list[dict]]:
    """The steps of each level, in file order."""
    level: dict[int, int] = {}
    remaining = steps
    while remaining:
        ready = [step for step in remaining if all(need in level for need in step["needs"])]
        if not ready:
            sys.exit(f"error: step {remaining[0]['id']} needs {remaining[0]['needs']}, which are not in the file")
        level |= {step["id"]: max((level[need] + 1 for need in step["needs"]), default=0) for step in ready}
        remaining = [step for step in remaining if step["id"] not in level]
    return [
        [step for step in steps if level[step["id"]] == number] for number in range(max(level.values(), default=-1) + 1)
    ]


def main() -> None:
    if len(sys.argv) < 4 or sys.argv[2] not in ("count", "run") or len(sys.argv) != {"count": 4, "run": 5}[sys.argv[2]]:
        sys.exit(__doc__)
    try:
        lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
        numbers = [int(item) for item in sys.argv[3:]]
        by_level = levels([json.loads(line) for line in lines])
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.exit(f"error: {' '.join(sys.argv[1:])}: expected a file of --emit_commands and whole numbers ({error})")
    chosen = by_level[numbers[0]] if 0 <= numbers[0] < len(by_level) else []
    if sys.argv[2] == "count":
        print(len(chosen))
        return
    if not 0 <= numbers[1] < len(chosen):
        sys.exit(f"error: level {numbers[0]} has {len(chosen)} steps; index {numbers[1]} does not exist")
    print(chosen[numbers[1]]["step"], flush=True)
    os.chdir(ROOT)
    argv = chosen[numbers[1]]["argv"]
    os.execv(argv[0], argv)  # replaces this process, so that SLURM's signals reach the harness of the step


if __name__ == "__main__":
    main()
