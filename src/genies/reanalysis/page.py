"""The page of the analysis, in Markdown. Every number and every verdict in it is computed."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from genies import markdown
from genies.data.shifts import Shift
from genies.metrics.intervals import Interval
from genies.metrics.shift_means import Average
from genies.metrics.verdict import Difference, adjust
from genies.reanalysis.power import SOURCES, Spread, power, sources_needed, spread
from genies.reanalysis.release import BASELINE, LORA, MMS, READING, SIZES, Key, Release, Results
from genies.report.figures import ELICITATION

PERSONAS = "unwanted_personas"
EXAMINED = (0.02, 0.05, 0.1)
"""True differences for which the power of studies is computed."""


@dataclass(frozen=True)
class Row:
    """A comparison and its result."""

    name: str
    difference: Difference


def page(release: Release, figures: Sequence[tuple[str, str]]) -> str:
    """The page. figures: address and description of each picture."""
    tests = {each.title: between_methods(each) for each in (release.genies, release.every)}
    parts = [
        _introduction(release),
        _summary(release, tests),
        *(f"![{text}]({address})" for address, text in figures),
        "## All combinations",
        *(_combinations(each) for each in (release.genies, release.every)),
        "## Representations against fine-tuning",
        _between(tests),
        "## Against model size",
        _sizes(release.every),
        "## By label and category",
        _categories(release.every),
        "## The sentences of the abstract",
        _abstract(release, tests[release.every.title]),
        "## How many sources would tell mms from LoRA",
        _power(release.every),
        "## Sensitivity",
        _sensitivity(release),
        "## What this page does not say",
        _limits(),
    ]
    return "\n\n".join(map(_wrapped, parts)) + "\n"


def _wrapped(part: str) -> str:
    """A part of the page with its paragraphs and list items in lines of at most 120 characters."""
    blocks = []
    for block in part.split("\n\n"):
        if block.startswith(("```", "|", "#", "!", "**")):
            blocks.append(block)
            continue
        items = re.split(r"\n(?=- )", block)
        blocks.append(
            "\n".join(
                textwrap.fill(" ".join(item.split()), 120, subsequent_indent="  " * item.startswith("- "),
                              break_long_words=False, break_on_hyphens=False)
                for item in items
            )
        )  # fmt: skip
    return "\n\n".join(blocks)


def _introduction(release: Release) -> str:
    count = len(release.every.lines)
    shifts = len(next(iter(release.every.lines.values())))
    return f"""# The 2023 results, analysed again

The release of GENIES (Clymer et al. 2023, [arXiv 2311.07723](https://arxiv.org/abs/2311.07723)) contains {count}
combinations of a base model and an intervention, each evaluated on {shifts} different shifts and stored with the
probability of every pair. It reports means without intervals. This page gives the same means with intervals, and says
which differences are larger than the variation between sources, test sets and prompts. One command makes it:

```bash
python api/reanalyse_release.py --results_dir results/release-2023 --output docs/reanalysis-2023.md
```

An interval in brackets has a level of 95 % and is about other sources and other test sets of the same kind: sources
and test sets are random effects, because shifts with the same source share a tuned model
([Metrics and intervals](metrics.md)). GENIES has 15 shifts with 8 sources, the whole list {shifts} shifts with 26.
Differences are paired by prompt. p is adjusted by Holm's method over the rows of a table, apart for each list of
shifts. The release lists 13 shifts twice; here each counts once. `lora_fine_tuning` is the release's name of
`lora_fine_tune`, and `{BASELINE}` is the untuned model."""


def _summary(release: Release, tests: dict[str, list[Row]]) -> str:
    every = release.every
    gains = _against_untuned(every)
    clear = [row for row in gains if row.difference.verdict == "higher"]
    worse = [row for row in gains if row.difference.verdict == "lower"]
    told = [row for rows in tests.values() for row in rows if row.difference.verdict in ("higher", "lower")]
    best = max(gains, key=lambda row: row.difference.value)
    lines = [
        f"- Of {len(gains)} tuned or prompted combinations, {_named(clear)} significantly more accurate than the "
        f"untuned model over all shifts, and {_named(worse)} significantly less accurate. The largest gain is that of "
        f"{best.name}: {_signed(best.difference)}.",
        f"- Of {sum(map(len, tests.values()))} comparisons of a method that reads representations with LoRA, "
        f"{_named(told)} significant.",
    ]
    for size in SIZES:
        row = next(each for each in tests[every.title] if each.name == f"{MMS}, {size}")
        benchmark = next(each for each in tests[release.genies.title] if each.name == row.name)
        lines.append(
            f"- {MMS} minus LoRA, {size}: {_signed(row.difference)} over all shifts, "
            f"{_signed(benchmark.difference)} on GENIES."
        )
    return "\n".join(lines)


def _named(rows: Sequence[Row]) -> str:
    if not rows:
        return "none is"
    names = ", ".join(row.name for row in rows)
    return f"{len(rows)} ({names}) {'is' if len(rows) == 1 else 'are'}"


def _against_untuned(results: Results) -> list[Row]:
    keys = [key for key in results.lines if key[1] != BASELINE and results.is_comparable(key)]
    adjusted = adjust([results.over_baseline(key) for key in keys])
    return [Row(f"{key[1]}, {key[0]}", each) for key, each in zip(keys, adjusted, strict=True) if each is not None]


def between_methods(results: Results) -> list[Row]:
    """Each method that reads representations minus LoRA on the same model, as one family of tests."""
    keys = [(model, name) for model in SIZES for name in READING if (model, name) in results.lines]
    adjusted = adjust([results.difference(key, (key[0], LORA)) for key in keys])
    return [
        Row(f"{name}, {model}", each) for (model, name), each in zip(keys, adjusted, strict=True) if each is not None
    ]


def _combinations(results: Results) -> str:
    gains = {row.name: row.difference for row in _against_untuned(results)}
    rows = []
    for key in results.lines:
        accuracy, elicitation = results.mean(key), results.mean(key, ELICITATION.name)
        found = gains.get(f"{key[1]}, {key[0]}")
        rows.append(
            [
                *key,
                f"{accuracy.value:.3f} {_ends(accuracy.interval)}",
                "" if found is None else _signed(found),
                "" if found is None else _p(found),
                "" if found is None else f"{elicitation.value:+.3f} {_ends(elicitation.interval, '+')}",
            ]
        )
    header = ["base model", "intervention", "accuracy on targets", "minus untuned", "p, adjusted", "diff. elicitation"]
    shifts = len(next(iter(results.lines.values())))
    name = f"GENIES, {shifts} shifts" if results.title == "GENIES" else f"All {shifts} shifts"
    return f"**{name}**\n\n" + "\n".join(markdown.table(header, rows, numbers=range(2, 6)))


def _between(tests: dict[str, list[Row]]) -> str:
    rows = [
        [title, *row.name.split(", "), _signed(row.difference), _p(row.difference), row.difference.verdict]
        for title, found in tests.items()
        for row in found
    ]
    header = ["shifts", "method", "base model", "minus LoRA", "p, adjusted", "verdict"]
    return "\n".join(markdown.table(header, rows, numbers=(3, 4)))


def _sizes(results: Results) -> str:
    small, _, large = SIZES
    names = [name for name in results.interventions(large) if (small, name) in results.lines]
    adjusted = adjust([results.difference((large, name), (small, name)) for name in names])
    rows = []
    for name, each in zip(names, adjusted, strict=True):
        assert each is not None
        values = [f"{results.mean((size, name)).value:.3f}" for size in SIZES]
        rows.append([name, *values, _signed(each), _p(each)])
    text = f"Accuracy on the targets of all shifts, and that of {large} minus that of {small} on the same shifts.\n\n"
    return text + "\n".join(
        markdown.table(["intervention", *SIZES, "difference", "p, adjusted"], rows, numbers=range(1, 6))
    )


def _categories(results: Results) -> str:
    lines = next(iter(results.lines.values()))
    groups: list[tuple[str, Callable[[Shift], bool]]] = [
        (label, lambda shift, label=label: shift.label == label)  # type: ignore[misc]
        for label in dict.fromkeys(line.shift.label for line in lines)
        if label
    ]
    groups += [
        (name, lambda shift, name=name: shift.category == name)  # type: ignore[misc]
        for name in dict.fromkeys(line.shift.category for line in lines)
        if name
    ]
    rows = []
    for name, chosen in groups:
        part = results.of(chosen)
        of = next(iter(part.lines.values()))
        sources = len({line.shift.source for line in of})
        lora, mms = (SIZES[-1], LORA), (SIZES[-1], MMS)
        cells = [part.over_baseline(lora), part.over_baseline(mms), part.difference(mms, lora)]
        rows.append([name, str(len(of)), str(sources), *map(_signed, cells)])
    header = ["shifts", "n", "sources", "LoRA minus untuned", "mms minus untuned", "mms minus LoRA"]
    text = (
        f"{SIZES[-1]}. With fewer than five sources, an interval is about these shifts alone: only prompts vary. It is "
        "then narrower, and says nothing about other shifts of the category. No correction for the number of rows."
        "\n\n"
    )
    return text + "\n".join(markdown.table(header, rows, numbers=range(1, 6)))


def _abstract(release: Release, tests: Sequence[Row]) -> str:
    every, large = release.every, SIZES[-1]
    personas = every.of(lambda shift: shift.category == PERSONAS)
    counts = {}
    for key in ((large, LORA), (large, MMS)):
        for title, part in (("all", every), (PERSONAS, personas)):
            found = [each.verdict for each in part.against_chance(key)]
            counts[key[1], title] = found.count("lower"), found.count("higher"), len(found)
    mean = personas.mean((large, LORA))
    row = next(each for each in tests if each.name == f"{MMS}, {large}")
    below, above, number = counts[LORA, PERSONAS]
    all_below, all_above, all_number = counts[MMS, "all"]
    lora_below, lora_above, _ = counts[LORA, "all"]
    decided = row.difference.verdict in ("higher", "lower")
    reading = (
        "The sign of the difference is decided."
        if decided
        else "The difference is not decided: the interval contains zero, and gains and losses of several points remain "
        "possible. The statement needs more sources."
    )
    return f"""The verdicts below are about {large}. Accuracies on single shifts are tested against one half, with
Holm's correction over the shifts that are counted.

- *Reward models do not learn to evaluate instruction-following by default and instead favor personas that resemble
internet text.* On the {number} shifts to unwanted personas, LoRA is significantly below one half on {below} and
significantly above it on {above}; its mean accuracy is {mean.value:.3f} {_ends(mean.interval)} ({mean.about}). Where it
is below one half, it prefers the response of the persona, so the statement holds for {below} of {number} test sets. As
12 of the 13 shifts share one source, alpaca_mmlu, nothing follows for reward models of other sources.
- *Techniques for interpreting reward models' internal representations achieve better generalization than standard
fine-tuning.* {MMS} minus LoRA over all shifts: {_signed(row.difference)}, p = {_p(row.difference)}. {reading}
- *... but still frequently fail to distinguish instruction-following from conflated behaviors.* {MMS} is not
significantly above one half on {all_number - all_above} of {all_number} shifts, and significantly below it on
{all_below}; LoRA is not above on {all_number - lora_above} and below on {lora_below}. Both fail on some shifts and not
on most."""


def difference_spread(results: Results, first: Key, second: Key) -> Spread:
    """How the difference of two interventions varies between sources and shifts."""
    found = results.shift_differences(first, second)
    return spread([value for _, value in found], [shift.source for shift, _ in found])


def _power(results: Results) -> str:
    large = SIZES[-1]
    of = difference_spread(results, (large, MMS), (large, LORA))
    differences = [abs(of.mean), *EXAMINED]
    rows = []
    for difference in differences:
        needed = sources_needed(difference, of)
        cells = [f"{power(difference, of, count):.2f}" for count in (8, 26, 80)]
        name = f"{difference:.3f}" + (" (as observed)" if difference == differences[0] else "")
        rows.append([name, *cells, f"more than {SOURCES[-1]}" if needed is None else str(needed)])
    header = ["true difference", "8 sources", "26 sources", "80 sources", "sources for a power of 0.8"]
    text = (
        f"Simulated studies with two shifts for each source and the variation of {MMS} minus LoRA in {large}: standard "
        f"deviation {of.sources:.3f} between sources and {of.shifts:.3f} between shifts of one source. Power is the "
        "share of studies with p < 0.05 in a t test of the sources' means.\n\n"
    )
    return text + "\n".join(markdown.table(header, rows, numbers=range(1, 5)))


def _sensitivity(release: Release) -> str:
    large, every = SIZES[-1], release.every
    without = every.of(lambda shift: "reward_seeking" not in (shift.source, shift.target))
    rows = []
    for name, results, average in (
        ("as above", every, "shifts"),
        ("without test examples that leak from the source", release.without_leaks, "shifts"),
        ("without reward_seeking", without, "shifts"),
        ("mean over sources", every, "sources"),
    ):
        kind: Average = "sources" if average == "sources" else "shifts"
        cells = [_signed(results.over_baseline((large, method), kind)) for method in (LORA, MMS)]
        rows.append([name, *cells, _signed(results.difference((large, MMS), (large, LORA), kind))])
    header = ["analysis", "LoRA minus untuned", "mms minus untuned", "mms minus LoRA"]
    first = "\n".join(markdown.table(header, rows, numbers=(1, 2, 3)))
    elicited = []
    for name, results in (("best of all interventions", every), ("LoRA", release.lora_capability)):
        means = [results.mean((large, method), ELICITATION.name) for method in (LORA, MMS)]
        shifts = len(results.lines[large, MMS])
        elicited.append([name, str(shifts), *(f"{each.value:+.3f} {_ends(each.interval, '+')}" for each in means)])
    header = ["target-tuned capability", "shifts", "LoRA", "mms"]
    second = "\n".join(markdown.table(header, elicited, numbers=(1, 2, 3)))
    return (
        f"{large}, all shifts. `reward_seeking` is left out in one row because its labels contradict each other."
        f"\n\n{first}\n\nDifferential elicitation divides by the target-tuned capability. The release took the most "
        "accurate of all interventions on each target, which favours none of them but is not the capability of one "
        f"method.\n\n{second}"
    )


def _limits() -> str:
    return """- Each combination was trained once. How much results vary between trainings is not in any interval.
- The models are of the LLaMA family of 2023 and one OpenLLaMA. Nothing is said about others.
- Shifts were chosen by their authors. An interval about other sources means sources chosen in the same way.
- A difference that is not significant is not shown to be zero.
- Nothing is said about ccs: the release stored its accuracy over single responses, or 1 minus it where that is larger.
The tables contain it, but it is not compared with accuracies over pairs."""


def _signed(difference: Difference) -> str:
    return f"{difference.value:+.3f} {_ends(difference.interval, '+')}".rstrip()


def _ends(interval: Interval | None, sign: str = "") -> str:
    return "" if interval is None else f"[{interval.low:{sign}.3f}, {interval.high:{sign}.3f}]"


def _p(difference: Difference) -> str:
    p = difference.p_value if difference.adjusted_p_value is None else difference.adjusted_p_value
    return "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"
