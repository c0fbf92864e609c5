"""The files that evaluation runs of a check wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from genies.errors import InputError
from genies.evaluation_file import Evaluation, read_evaluation
from genies.harness.checking.made_project import Role
from genies.harness.checking.runs import Ran


@dataclass(frozen=True)
class Outputs:
    """The files of evaluation runs, by distribution."""

    ran: Mapping[Role, Ran]
    valid: dict[Role, Evaluation]
    faults: dict[Role, str]
    """Why an existing file is not a valid evaluation."""
    missing: list[Role]


def read_outputs(ran: Mapping[Role, Ran]) -> Outputs:
    """Read the file that each run was to write for its distribution."""
    files = Outputs(ran, {}, {}, [])
    for role, run in ran.items():
        path = run.outputs[role]
        if not path.is_file():
            files.missing.append(role)
            continue
        try:
            files.valid[role] = read_evaluation(path)[0]
        except InputError as error:
            files.faults[role] = str(error)
    return files
