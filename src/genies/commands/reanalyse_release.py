"""Analyse the results of the 2023 release again, with intervals, and write the page docs/reanalysis-2023.md."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from genies.command_line import Arguments
from genies.errors import InputError
from genies.files import write_text
from genies.shipped import place


class ReanalysisArguments(Arguments):
    """Write a page of the release's results with intervals, paired differences and the power of larger studies.

    Example:
      python api/reanalyse_release.py --results_dir results/release-2023 --output reanalysis.md

    python download_data.py --published_results True installs the results, and python download_data.py the data.
    """

    aliases: ClassVar[dict[str, str]] = {"results": "results_dir"}

    results_dir: Path = Path("results/release-2023")
    """Folder of the release's results."""
    output: Path = Path("reanalysis.md")
    """Markdown file to write; its figures are written beside it."""
    distributions_dir: Path = Path("distributions")
    """Folder of the official distributions, which name the example of each pair and the leaks."""


def main(args: ReanalysisArguments, root: Path) -> None:
    given = args.model_fields_set
    results = args.results_dir if "results_dir" in given else root / args.results_dir
    distributions = args.distributions_dir if "distributions_dir" in given else place(args.distributions_dir, root)
    if args.output.is_dir():
        raise InputError(f"--output {args.output} is a folder; expected the name of a Markdown file to write")
    # Imported here: --help must not wait for the statistics.
    from genies.reanalysis.figures import write_figures
    from genies.reanalysis.page import page
    from genies.reanalysis.release import read_release
    from genies.report.process_settings import for_many_evaluations

    with for_many_evaluations():
        release = read_release(results, place(Path("distribution_shifts"), root), distributions)
        args.output.parent.mkdir(parents=True, exist_ok=True)
        write_text(args.output, page(release, write_figures(release, args.output.parent)))
    print(f"wrote {args.output}")
