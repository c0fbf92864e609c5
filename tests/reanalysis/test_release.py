"""The analysis of the release against its published means, and the page against the analysis."""

from __future__ import annotations

import csv
import os
import re
import shutil
from pathlib import Path

import pytest

from genies.errors import InputError
from genies.reanalysis.figures import write_figures
from genies.reanalysis.page import between_methods, page
from genies.reanalysis.release import LORA, MMS, Release, read_release
from tests.support.project import ROOT

SHARED = Path(os.environ.get("GENIES_SHARED", ROOT.parent / "shared"))
RESULTS = SHARED / "golden" / "release-2023" / "results.tar.xz"
MEANS = SHARED / "golden" / "published_means.csv"
needs_release = pytest.mark.skipif(not RESULTS.is_file(), reason="the release's results are not here")


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory, official_distributions: Path) -> Release:
    folder = tmp_path_factory.mktemp("release")
    shutil.unpack_archive(RESULTS, folder, filter="data")
    return read_release(folder / "results", ROOT / "distribution_shifts", official_distributions)


@needs_release
@pytest.mark.slow
def test_the_page_says_what_was_computed(release: Release, tmp_path: Path) -> None:
    assert len(release.every.lines) == 25
    assert {len(lines) for lines in release.every.lines.values()} == {56}
    assert {len(lines) for lines in release.genies.lines.values()} == {15}
    with open(MEANS, newline="") as file:
        published = {
            (row["model"], row["intervention"]): float(row["generalization_accuracy"])
            for row in csv.DictReader(file)
            if row["set"] == "GENIES15"
        }
    checked = 0
    for key in release.genies.lines:
        if key in published:
            assert release.genies.mean(key).value == pytest.approx(published[key], abs=1e-6)
            checked += 1
    assert checked >= 20
    text = page(release, write_figures(release, tmp_path))
    difference = release.every.difference(("llama-30b", MMS), ("llama-30b", LORA))
    assert f"{difference.value:+.3f}" in text
    by_hand = [  # the mean over shifts of differences of accuracies
        (ours.estimate("generalization_accuracy").value or 0) - (theirs.estimate("generalization_accuracy").value or 0)
        for ours, theirs in zip(
            release.every.lines["llama-30b", MMS], release.every.lines["llama-30b", LORA], strict=True
        )
    ]
    assert difference.value == pytest.approx(sum(by_hand) / 56, abs=1e-9)
    told = [row for row in between_methods(release.every) if row.difference.verdict in ("higher", "lower")]
    table = re.findall(r"^\| all shifts .*\| (lower|higher) +\|$", text, re.MULTILINE)
    assert len(table) == len(told)
    committed = (ROOT / "docs" / "reanalysis-2023.md").read_text(encoding="utf-8")
    assert text == committed  # the page in the documentation is the one that the command writes
    assert (tmp_path / "reanalysis-2023-gains.svg").stat().st_size > 10_000


def test_other_results_are_refused(tmp_path: Path) -> None:
    (tmp_path / "evaluations").mkdir()
    with pytest.raises(InputError, match="does not contain the results of the 2023 release"):
        read_release(tmp_path, ROOT / "distribution_shifts", tmp_path)
