"""GENIES measures how preference models generalize across distribution shifts (Clymer et al. 2023).

The names below are the library. They are imported when they are first used, so that `import genies` is fast and loads
no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genies import metrics
    from genies.data.conversation import Message
    from genies.data.distribution import Distribution, Example, Pair, one_pair_per_example, pairs
    from genies.data.shifts import Shift, read_shifts
    from genies.errors import InputError
    from genies.library.activations import PairActivations, read_activations
    from genies.library.models import load_model
    from genies.library.scores import PairScores, score_pairs
    from genies.library.studies import StudyFailed, check_intervention, run_study
    from genies.lm.model import LanguageModel
    from genies.lm.sites import Site
    from genies.report.frames import Frames, read_results

__version__ = "1.0.0.dev0"

NUMERICS_VERSION = 2
"""Raised whenever results of our interventions may change: it is part of every fingerprint of theirs."""

__all__ = [
    "Distribution",
    "Example",
    "Frames",
    "InputError",
    "LanguageModel",
    "Message",
    "Pair",
    "PairActivations",
    "PairScores",
    "Shift",
    "Site",
    "StudyFailed",
    "check_intervention",
    "load_model",
    "metrics",
    "one_pair_per_example",
    "pairs",
    "read_activations",
    "read_results",
    "read_shifts",
    "run_study",
    "score_pairs",
]

_MODULES = {
    "genies.data.conversation": ("Message",),
    "genies.data.distribution": ("Distribution", "Example", "Pair", "one_pair_per_example", "pairs"),
    "genies.data.shifts": ("Shift", "read_shifts"),
    "genies.errors": ("InputError",),
    "genies.library.activations": ("PairActivations", "read_activations"),
    "genies.library.models": ("load_model",),
    "genies.library.scores": ("PairScores", "score_pairs"),
    "genies.library.studies": ("StudyFailed", "check_intervention", "run_study"),
    "genies.lm.model": ("LanguageModel",),
    "genies.lm.sites": ("Site",),
    "genies.report.frames": ("Frames", "read_results"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "metrics":
        return import_module("genies.metrics")
    if name not in _HOME:
        raise AttributeError(f"module 'genies' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
