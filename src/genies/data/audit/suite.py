"""Audit a folder of distributions, which may include malformed ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tqdm import tqdm

from genies.data.audit.baselines import baselines
from genies.data.audit.finding import MAX_EXAMPLES, Audit, Content, Finding, Part, Rule
from genies.data.audit.labels import constants, contradictory_labels, empty_responses, equal_after_folding, sizes
from genies.data.audit.overlap import (
    duplicates,
    identical_distributions,
    source_target_overlap,
    suite_overlap,
    train_test_overlap,
)
from genies.data.audit.requests import label_against_prompt
from genies.data.distribution import Distribution, Example, read_example
from genies.data.shifts import Shift
from genies.errors import InputError
from genies.files import read_json

RULES: tuple[Callable[[Content], list[Finding]], ...] = (
    sizes,
    label_against_prompt,
    contradictory_labels,
    constants,
    train_test_overlap,
    duplicates,
    empty_responses,
    equal_after_folding,
    baselines,
)
"""The rules about a single distribution."""

FILES = ("train.json", "test.json")


def audit(folder: Path | Sequence[Path], shifts: Sequence[Shift] = (), progress: bool = False) -> Audit:
    """Audit the distributions in `folder` (or `folder` itself, if it is a distribution), or in several folders, and the
    shifts between them. A shift without a source has nothing to check.

    A malformed distribution is a finding. Raises InputError if there is no distribution.
    progress: show a progress bar on standard error if it is a terminal.
    """
    contents: dict[str, Content] = {}
    findings: list[Finding] = []
    faults: list[str] = []
    paths = distribution_folders(folder) if isinstance(folder, Path) else list(folder)
    for path in tqdm(paths, desc="audit", leave=False, disable=None if progress else True):
        content, malformed, messages = read(Distribution(path))
        findings += malformed
        faults += messages
        if content is not None:
            contents[content.name] = content
            findings += [finding for rule in RULES for finding in rule(content)]
    findings += identical_distributions(contents.values())
    findings += suite_overlap(list(contents.values()))
    pairs = dict.fromkeys((shift.source, shift.target) for shift in shifts if shift.source)
    checked = [(source, target) for source, target in pairs if source in contents and target in contents]
    for source, target in checked:
        findings += source_target_overlap(contents[source], contents[target])
    order = list(Rule)
    return Audit(
        list(contents.values()),
        sorted(findings, key=lambda each: (order.index(each.rule), each.distribution, each.other or "", each.split)),
        faults,
        len(checked),
        [f"{source} > {target}" for source, target in pairs if (source, target) not in checked],
    )


def distribution_folders(folder: Path) -> list[Path]:
    """The folders to audit, by name: all visible ones in `folder`, or `folder` itself if it is a distribution."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; expected a folder of distributions")
    if _is_distribution(folder):
        return [folder]
    found = sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    if not any(_is_distribution(each) for each in found):
        raise InputError(
            f"{folder} contains no distribution; expected folders with train.json and test.json "
            "(python download_data.py downloads the official ones)"
        )
    return found


def _is_distribution(folder: Path) -> bool:
    return any((folder / file).exists() for file in FILES)


def read(distribution: Distribution) -> tuple[Content | None, list[Finding], list[str]]:
    """The content of a distribution (None if it is malformed), its schema findings, and a message for each error."""
    name = _legible(distribution.name)
    splits: dict[str, list[Example]] = {}
    findings: list[Finding] = []
    faults: list[str] = []

    def fault(part: Part, messages: list[str], of: int, examples: Iterable[int] = ()) -> None:
        first = tuple(examples)[:MAX_EXAMPLES]
        findings.append(Finding(Rule.SCHEMA, name, None, part, len(messages), of, first))
        faults.extend(map(_legible, messages))

    parts: tuple[Part, Part] = ("train", "test")
    for part in parts:
        if part == "train" and is_target_only(distribution.folder):
            splits[part] = []
            continue
        try:
            splits[part], malformed, size = read_entries(distribution.folder / f"{part}.json")
        except (InputError, OSError) as error:
            fault(part, [str(error)], 1)
        else:
            if malformed:
                fault(part, list(malformed.values()), size, malformed)
    readable = not findings
    suite = None
    try:
        suite = distribution.metadata.get("suite")
    except (InputError, OSError) as error:
        fault("metadata", [str(error)], 1)
    if not readable:
        return None, findings, faults
    named = suite if isinstance(suite, str) else None
    only_target = is_target_only(distribution.folder)
    return Content(name, splits["train"], splits["test"], only_target, named), findings, faults


def is_target_only(folder: Path) -> bool:
    """Whether a distribution has a test split alone, as a benchmark does."""
    return (folder / "test.json").is_file() and not (folder / "train.json").exists()


def _legible(text: str) -> str:
    """Escape bytes that are not text, which a folder name can contain but JSON cannot."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def read_entries(path: Path) -> tuple[list[Example], dict[int, str], int]:
    """The valid examples of a split, a message for each malformed entry by index, and the number of entries."""
    value = read_json(path, "distribution file")
    if not isinstance(value, list):
        raise InputError(f"distribution file {path} does not contain a list; expected a list of examples")
    examples: list[Example] = []
    malformed: dict[int, str] = {}
    for index, item in enumerate(value):
        try:
            examples.append(read_example(item, index, path))
        except InputError as error:
            malformed[index] = str(error)
    return examples, malformed, len(value)
