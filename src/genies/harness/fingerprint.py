"""Hashes of everything that determines a job's result; they decide which results are reused.

A job's *parts* are a plain dict (JSON) of hashes and arguments; its fingerprint is the sha256 of their canonical
JSON. Parts are published with the results, so secrets in arguments are masked. A part whose folder is missing is None
and matches any value, so that a table whose evaluations all exist needs neither the base model nor the data.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

from genies.adapter_base import CONFIG, find_base_model
from genies.contract import CONTRACT_VERSION
from genies.credentials import published
from genies.declaration import Declaration, Role, read_declaration
from genies.errors import InputError
from genies.file_hashes import FileHashes
from genies.folder_hashes import distribution_identity, model_content
from genies.harness.job import Job
from genies.intervention_code import intervention_identity
from genies.processes.hardware import HALF, UNKNOWN, Hardware

Parts = dict[str, Any]
T = TypeVar("T")


class Identities:
    """Identities of the input folders of jobs; each folder is read once, so an object serves one pass over a plan.

    Relative paths in arguments are relative to `root`, the project root, where jobs run.
    """

    def __init__(self, hashes: FileHashes, root: Path = Path(), hardware: Hardware = UNKNOWN) -> None:
        self.hashes = hashes
        self.root = root
        self._hardware = hardware
        self._known: dict[tuple[str, Path], Any] = {}

    def intervention(self, folder: Path, role: Role) -> Parts:
        return self._once(role, folder, lambda hashes, folder: intervention_identity(hashes, folder, role))

    def declaration(self, folder: Path) -> Declaration:
        return self._once("declaration", folder, lambda _, folder: read_declaration(folder))

    def ignored(self, folder: Path, parts: Parts) -> frozenset[str]:
        """The arguments that have no effect on a result with these parts."""
        return self.declaration(folder).ignored(in_16_bits=parts.get("dtype") in HALF)

    def distribution(self, folder: Path) -> str | None:
        return self._once("distribution", folder, distribution_identity)

    def model(self, folder: Path) -> str | None:
        return self._once("model", folder, model_content)

    def _once(self, kind: str, folder: Path, identity: Callable[[FileHashes, Path], T]) -> T:
        if (kind, folder) not in self._known:
            self._known[kind, folder] = identity(self.hashes, folder)
        known: T = self._known[kind, folder]
        return known

    def parts(self, job: Job, name: str, model: Parts | None = None) -> Parts:
        """The parts of a job's output for the distribution `name`.

        model: for an evaluation, the parts of the training that made its model, or {"files": identity}.
        """
        if model is None:
            inputs: Parts = {"base_model": self.model(job.model_dir)}
        else:
            inputs = {"model": model, **self._base_parts(job, model)}
        inputs["distribution"] = self.distribution(job.distributions[name])
        if job.unlabelled is not None:
            inputs["unlabelled"] = self.distribution(job.unlabelled)
        code = self.intervention(job.intervention_dir, job.role)
        # Without the model nothing can run here, so the number format of this machine does not matter.
        dtype = None if base_model(inputs) is None else self._hardware.dtype(job.kwargs)
        ignored = self.declaration(job.intervention_dir).ignored(in_16_bits=dtype in HALF)
        kwargs = {name: each for name, each in sorted(job.kwargs.items()) if each is not None and name not in ignored}
        return {
            "contract": CONTRACT_VERSION,
            "kind": job.role,
            **code,
            **({"dtype": dtype} if code["numerics_version"] else {}),
            "kwargs": published(kwargs),
            **inputs,
        }

    def _base_parts(self, job: Job, model: Parts) -> Parts:
        """The base model of an evaluation, if the arguments name one or the model is an adapter without a training
        record. Other models have no base model, or their training record contains it."""
        given = job.kwargs.get("base_model_dir")
        if isinstance(given, str):
            return {"base_model": self.model(self.root / given)}
        if model.keys() != {"files"} or not (job.model_dir / CONFIG).is_file():
            return {}
        try:
            return {"base_model": self.model(find_base_model(job.model_dir, root=self.root))}
        except InputError:
            return {"base_model": None}


_LATER = frozenset({"dtype", "code"})
"""Parts that older records lack; compared only if both sides have them."""


def base_model(parts: Parts) -> str | None:
    """Identity of the untuned model in the parts of a training or an evaluation."""
    model = parts.get("model")
    found = parts.get("base_model") or (isinstance(model, dict) and (model.get("base_model") or model.get("files")))
    return found if isinstance(found, str) else None


def fingerprint(parts: Parts) -> str:
    """Hexadecimal sha256 of the canonical JSON of the parts."""
    return hashlib.sha256(json.dumps(_determining(parts), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _determining(parts: Parts) -> Parts:
    """The parts without the hash of all files of the intervention, if they contain that of the determining files."""
    kept = {name: _determining(value) if name == "model" else value for name, value in parts.items()}
    return {name: value for name, value in kept.items() if name != "intervention_files" or "code" not in parts}


def differences(now: Parts, then: Parts, ignored: Collection[str] = (), inside: str = "") -> list[str]:
    """The names of the parts that differ, such as `model.kwargs.seed`; None in `now` matches any value.

    ignored: arguments that are known to have no effect; older records may contain them.

    >>> differences({"kwargs": {"k": 2}, "model": {"a": 1}, "u": None}, {"kwargs": {}, "model": {"a": 3}, "u": "x"})
    ['kwargs.k', 'model.a']
    """
    found: list[str] = []
    for key in sorted({*now, *then}):
        here, there = now.get(key), then.get(key)
        if key == "kwargs":  # a None in an argument is a value, not an unknown part
            found += [f"{inside}kwargs.{name}" for name in _differing_arguments(here or {}, there or {}, ignored)]
        elif isinstance(here, dict) and isinstance(there, dict):
            found += differences(here, there, ignored, f"{inside}{key}.")
        elif (key in _LATER and there is None) or (
            key == "intervention_files" and None not in (now.get("code"), then.get("code"))
        ):
            continue
        elif here is not None and here != there:
            found.append(f"{inside}{key}")
    return found


def _differing_arguments(here: Parts, there: Parts, ignored: Collection[str]) -> list[str]:
    # Compared as JSON: 1, 1.0 and True are equal in Python, but not on a command line. Older records may show secrets.
    here, there = published(here), published(there)
    return [
        name
        for name in sorted({*here, *there} - {*ignored})
        if json.dumps(here.get(name), sort_keys=True) != json.dumps(there.get(name), sort_keys=True)
    ]


def unknown_parts(parts: Parts, inside: str = "") -> list[str]:
    """The names of the parts that are None, because their folder is missing."""
    found: list[str] = []
    for key, value in parts.items():
        if key in _LATER:
            continue
        if value is None:
            found.append(f"{inside}{key}")
        elif isinstance(value, dict) and key != "kwargs":
            found += unknown_parts(value, f"{inside}{key}.")
    return found
