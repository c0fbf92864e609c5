"""The sample browser of a report: distributions, their evaluations, and leaked examples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlencode

from genies.data.audit.overlap import with_prompts
from genies.data.conversation import Prompt
from genies.data.distribution import Distribution, SplitName
from genies.errors import InputError
from genies.files import is_unicode
from genies.report.embedding import visible
from genies.report.pages import Site
from genies.report.samples import Leak, Sampled, Scored, by_example, write_samples
from genies.report.study import Reading
from genies.report.token_scores import TokenScores

PAGE = "samples.html"


@dataclass(frozen=True)
class Browser:
    """The content of the sample browser, for pages that link to it."""

    sampled: Mapping[str, Sampled]
    notes: list[str]

    def link(self, distribution: str, **view: str | int | None) -> str | None:
        """The address of a view of a distribution; None if its samples are not in the report.

        view: the parts of the address that assets/samples.js reads, such as f="wrong" or i=17.
        """
        return view_address(distribution, **view) if distribution in self.sampled else None


def view_address(distribution: str, **view: str | int | None) -> str:
    """The address of a view of the sample browser."""
    given = {"d": distribution} | {name: value for name, value in view.items() if value is not None}
    return f"{PAGE}#{urlencode(given)}"


def evaluation_key(reading: Reading) -> str:
    """The key of an evaluation in links: its folder."""
    return f"{reading.path.parent.parent.name}/{reading.path.parent.name}"


def group_key(reading: Reading) -> str:
    """The key of an evaluation without its seed, for the mean over seeds."""
    return evaluation_key(reading).removesuffix("" if reading.seed is None else f"-seed{reading.seed}")


def write_browser(
    site: Site,
    distributions_dir: Path | None,
    readings: Sequence[Reading],
    splits: Sequence[SplitName] = ("test",),
    token_scores: TokenScores | None = None,
) -> Browser:
    """Write samples.html and its data for the distributions with evaluations, or for all if there are no readings."""
    sampled: list[Sampled] = []
    notes: list[str] = []
    by_target: dict[str, list[Reading]] = {}
    for reading in readings:
        by_target.setdefault(reading.target, []).append(reading)
    train_prompts = _Prompts()
    there = [] if distributions_dir is None else distribution_folders(distributions_dir)
    for folder in [each for each in there if not readings or each.name in by_target]:
        distribution = Distribution(folder)
        evaluated = by_target.get(distribution.name, [])
        try:
            leaks = _leaks(distribution, evaluated, folder.parent, train_prompts)
            scored, misfits = _scored(distribution, evaluated)
            made = write_samples(distribution, splits, scored, leaks, site.folder / "data")
            of_tokens = token_scores is not None and token_scores.choose(
                distribution, made.file, scored, {evaluation_key(each): each.evaluation for each in evaluated}
            )
            sampled.append(replace(made, tokens=of_tokens))
        except InputError as error:
            notes.append(f"skipped: {error}")
            continue
        notes += misfits
    if token_scores is not None:
        token_scores.write(site.folder / "data")
        notes += token_scores.notes
    missing = sorted(set(by_target) - {each.name for each in there})
    if missing and distributions_dir is not None:
        notes.append(
            f"no samples of these distributions, because their data is not in {_name(distributions_dir)} "
            f"(python download_data.py downloads it): {', '.join(missing)}"
        )
    _write_page(site, sampled, notes, splits, given=distributions_dir is not None)
    return Browser({each.name: each for each in sampled}, notes)


def distribution_folders(folder: Path) -> list[Path]:
    """The distributions in a folder, by name, or the folder itself if it is a distribution."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; expected a folder of distributions")
    if (folder / "test.json").exists():
        return [folder]
    inside = (each for each in folder.iterdir() if not each.name.startswith(".") and is_unicode(each.name))
    found = sorted(each for each in inside if (each / "test.json").exists())
    if not found:
        raise InputError(
            f"{folder} contains no distribution; expected folders with train.json and test.json "
            "(python download_data.py downloads the official ones)"
        )
    return found


def _name(folder: Path) -> str:
    """A folder's name without its path, which is meaningless to readers on other machines."""
    return folder.name or folder.resolve().name


class _Prompts:
    """The prompts of train splits, which are read once; None for a split that is missing or cannot be read."""

    def __init__(self) -> None:
        self._read: dict[Path, frozenset[Prompt] | None] = {}

    def of(self, folder: Path) -> frozenset[Prompt] | None:
        if folder not in self._read:
            try:
                self._read[folder] = frozenset(example.prompt for example in Distribution(folder).train)
            except InputError:
                self._read[folder] = None
        return self._read[folder]


def _leaks(
    distribution: Distribution, evaluated: Iterable[Reading], distributions_dir: Path, prompts: _Prompts
) -> list[Leak] | None:
    """Leaks from the distribution's own train split and from the sources of the models evaluated on it."""
    sources = [distribution.name, *sorted({each.source for each in evaluated if each.source is not None})]
    leaks = []
    for source in dict.fromkeys(sources):
        tuned_on = prompts.of(distributions_dir / source)
        if tuned_on is not None:
            leaks.append(Leak(source, with_prompts(tuned_on, distribution.test)))
    return leaks if any(leak.where == distribution.name for leak in leaks) else None


def _scored(distribution: Distribution, evaluated: Sequence[Reading]) -> tuple[list[Scored], list[str]]:
    """Evaluations whose probabilities match the current test split, and a note for each that does not."""
    scored: list[Scored] = []
    notes: list[str] = []
    tuned_first = sorted(evaluated, key=lambda each: (each.source is None, each.source == distribution.name))
    for reading in tuned_first:
        evaluation = reading.evaluation
        if not evaluation.eval_probabilities:
            continue
        grouped = by_example(distribution.test, evaluation.eval_probabilities, evaluation.eval_example_indices)
        if grouped is None:
            notes.append(
                f"{reading.path.parent.parent.name}/{reading.path.parent.name}/{reading.path.name} does not match the "
                "current test split (different numbers of pairs); its samples are shown without probabilities"
            )
            continue
        scored.append(
            Scored(
                evaluation_key(reading),
                group_key(reading),
                reading.intervention,
                reading.base_model,
                reading.source,
                reading.seed,
                grouped,
                evaluation.eval_accuracy,
            )
        )
    return scored, notes


def _write_page(
    site: Site, sampled: Sequence[Sampled], notes: list[str], splits: Sequence[SplitName], given: bool
) -> None:
    listing = [
        {
            "name": each.name,
            "file": each.file,
            "splits": each.splits,
            "scores": each.scores,
            "tokens": each.tokens,
            "leaked": each.leaked,
            "about": each.about,
        }
        for each in sampled
    ]
    rows = [
        {
            "name": each.name,
            "href": view_address(each.name),
            "splits": each.splits,
            "leaked": each.leaked,
            "evaluations": each.evaluations,
            "license": each.license,
        }
        for each in sampled
    ]
    site.page(
        "samples.html",
        PAGE,
        "samples",
        distributions=rows,
        given=given,
        listing=listing,
        split_names=list(splits),
        notes=[visible(note) for note in notes],
        has_scores=any(each.evaluations for each in sampled),
        has_leaks=any(each.leaked is not None for each in sampled),
        has_license=any(each.license for each in sampled),
    )
