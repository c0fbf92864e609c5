"""Make the HTML report of a results folder, or a browser of distributions alone.

python api/report.py --results_dir results --output report
python api/report.py --distributions_dir distributions --output samples
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from genies.command_line import Arguments
from genies.data.shifts import read_shifts
from genies.errors import InputError
from genies.report.reading import check_given_interventions
from genies.report.token_scores import TokenRequest
from genies.report.writing import Content, write_report
from genies.shipped import place


class ReportArguments(Arguments):
    """Make a report: summary, heat map, a page for each shift, comparison of interventions, and a sample browser.

    Example:
      python api/report.py --results_dir results --output report

    The report is a folder of files that opens from disk (report/index.html) and may be copied anywhere. With
    --distributions_dir and without --results_dir it shows the samples of distributions only.
    """

    aliases: ClassVar[dict[str, str]] = {
        "results": "results_dir",
        "distributions": "distributions_dir",
        "models": "models_dir",
    }

    results_dir: Path | None = None
    """Folder of the evaluations and tables (default: results, unless only --distributions_dir is given)."""
    output: Path = Path("report")
    """Folder of the report; an existing report is replaced, any other folder is refused."""
    distributions_dir: Path | None = None
    """Folder of the distributions whose samples are shown (default: distributions, if it exists)."""
    shifts: Path | None = None
    """File of the shifts to report (default: those in the tables of the results folder)."""
    baseline: str = "zero_shot"
    """With --shifts: the intervention that evaluates the untuned model for the baseline."""
    reference: str = "lora_fine_tune"
    """With --shifts: the reference intervention of the target-tuned capability."""
    published_weights: bool = False
    """Count each shift in a mean as often as it is listed, as the release does with its 69 rows."""
    exclude_leaked: bool = False
    """Leave out test examples whose prompt is in the train split of the distribution tuned on."""
    splits: Annotated[list[Literal["train", "test"]], Field(min_length=1, default=["test"])]
    """Splits that the sample browser shows, such as '["train", "test"]'."""
    token_scores: Annotated[int, Field(ge=1)] | None = None
    """Show the log-probability of each token of the responses of this many test examples of each distribution: those
    on which the untuned model and the best intervention differ most. Models are run in a process of its own; only
    those that score by log-probabilities have them."""
    model_dir: Path | None = None
    """With --token_scores: folder of the untuned base model."""
    models_dir: Path | None = None
    """With --token_scores: folder of the tuned models (default: models, beside the results folder)."""


def main(args: ReportArguments, root: Path) -> int:
    results = args.results_dir
    if results is None and args.distributions_dir is None:
        results = root / "results"
    distributions = args.distributions_dir
    default = place(Path("distributions"), root)
    if distributions is None and default.is_dir():
        distributions = default
    if results is not None:
        check_given_interventions(results, args)
    content = Content(
        results,
        distributions,
        None if args.shifts is None else read_shifts(args.shifts),
        args.baseline,
        args.reference,
        "published" if args.published_weights else "unique",
        args.exclude_leaked,
        tuple(dict.fromkeys(args.splits)),
        _token_request(args, results),
    )
    written = write_report(args.output, content)
    for note in written.notes:
        print(f"note: {note}", file=sys.stderr)
    print(f"report: {written.entry}   {written.pages} pages, samples of {written.distributions} distributions")
    return 0


def _token_request(args: ReportArguments, results: Path | None) -> TokenRequest | None:
    if args.token_scores is None:
        if args.model_dir is not None or args.models_dir is not None:
            given = "models_dir" if args.model_dir is None else "model_dir"
            raise InputError(f"--{given} has no effect without --token_scores; add the number of samples")
        return None
    if results is None:
        raise InputError("--token_scores needs the evaluations that choose the samples; pass --results_dir")
    if args.model_dir is None:
        raise InputError("--token_scores runs the untuned model; pass its folder with --model_dir")
    if not (args.model_dir / "config.json").is_file():
        raise InputError(f"--model_dir {args.model_dir} contains no config.json; expected the folder of a base model")
    models = args.models_dir or results.resolve().parent / "models"
    return TokenRequest(args.token_scores, args.model_dir, models, args.baseline)
