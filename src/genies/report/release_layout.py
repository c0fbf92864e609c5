"""The layout of the results folder in the repository of the 2023 release (Clymer et al. 2023).

What differs from the layout of this project:

    evaluations/zero_shot/<model>-<source>/<target>.json    the baseline, stored anew for every source
    target_tuned_capability/<model>/<target>.json           the reference: the best of all interventions on the target
    evaluations/<intervention>/<model>-<source>-<other>-N%  tuned on a mixture with N % of another distribution
"""

from __future__ import annotations

import re
from pathlib import Path

from genies.errors import InputError
from genies.evaluation_file import Evaluation
from genies.files import read_json

BEST_OF_ALL = "best of all interventions"
"""The name of the reference in tables."""

SINGLE_RESPONSES = "ccs"
"""The intervention whose accuracy in the release is that of single responses, or 1 minus it if that is larger."""

_CAPABILITIES = "target_tuned_capability"
_MIXTURE = re.compile(r"-\d+%$")


def is_release(results_dir: Path) -> bool:
    """Whether a results folder has the layout of the release."""
    return (results_dir / _CAPABILITIES).is_dir()


def best_capability(results_dir: Path, base_model: str, target: str, reference: str) -> Evaluation | None:
    """The stored accuracy of the best intervention tuned and tested on `reference`, the target reference of `target`.

    Files are named after targets. None without the file, or if it is about another reference. Raises InputError for a
    damaged file.
    """
    path = results_dir / _CAPABILITIES / base_model / f"{target}.json"
    if not path.is_file():
        return None
    value = read_json(path, "target-tuned capability")
    accuracy = value.get("best_intervention_accuracy") if isinstance(value, dict) else None
    if isinstance(accuracy, bool) or not isinstance(accuracy, int | float) or not 0 <= accuracy <= 1:
        raise InputError(
            f"target-tuned capability {path}, field best_intervention_accuracy: expected a number from 0 to 1, got "
            f"{str(accuracy)[:40]!r}"
        )
    same = value.get("target_reference", target) == reference
    return Evaluation(eval_accuracy=float(accuracy)) if same else None


def mixtures(results_dir: Path) -> list[str]:
    """The names, <intervention>/<folder>, of evaluations of models that were tuned on mixtures."""
    folders = (results_dir / "evaluations").glob("*/*%")
    return sorted(f"{each.parent.name}/{each.name}" for each in folders if _MIXTURE.search(each.name))
