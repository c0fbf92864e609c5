"""The release's results are installed whole or not at all, and nothing else of its repository."""

import io
import runpy
import sys
import tarfile
from pathlib import Path

import pytest

from genies.data.published_results import install_results
from genies.errors import InputError
from tests.support.project import ROOT


def archive(path: Path, names: list[str]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 2
            tar.addfile(member, io.BytesIO(b"{}"))
    return path


NAMES = [
    "GENIES-main/results/evaluations/mms/m-a/a.json",
    "GENIES-main/results/generalization_metrics/m/mms/all.csv",
    "GENIES-main/results/target_tuned_capability/m/a.json",
    "GENIES-main/results/evaluations/zero_shot/picture.png",
    "GENIES-main/results/evaluations/.hidden/a.json",
    "GENIES-main/results/notes.json",
    "GENIES-main/src/more/results/evaluations/x/y/z.json",
    "GENIES-main/README.md",
]


@pytest.mark.parametrize("prefix", ["GENIES-main/", ""])
def test_only_results_are_installed(tmp_path: Path, prefix: str) -> None:
    names = [name.replace("GENIES-main/", prefix) for name in NAMES]
    assert install_results(archive(tmp_path / "r.tar.gz", names), tmp_path / "results" / "release") == 3
    found = {str(path.relative_to(tmp_path / "results")) for path in (tmp_path / "results").rglob("*.*")}
    assert found == {
        "release/evaluations/mms/m-a/a.json",
        "release/generalization_metrics/m/mms/all.csv",
        "release/target_tuned_capability/m/a.json",
    }
    with pytest.raises(InputError, match="release exists; choose a new folder"):
        install_results(tmp_path / "r.tar.gz", tmp_path / "results" / "release")


@pytest.mark.parametrize(
    ("names", "said"),
    [(["README.md"], "contains no results"), ([NAMES[0], "../x/results/evaluations/a.json"], r"\.\.")],
)
def test_other_archives_leave_nothing(tmp_path: Path, names: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        install_results(archive(tmp_path / "r.tar.gz", names), tmp_path / "release")
    assert [path.name for path in tmp_path.iterdir()] == ["r.tar.gz"]


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path = archive(tmp_path / "r.tar.gz", NAMES)
    items = ["--published_results", "True", "--archive", str(path), "--results_dir", str(tmp_path / "release")]
    monkeypatch.setattr(sys, "argv", ["download_data.py", *items])
    with pytest.raises(SystemExit) as done:
        runpy.run_path(str(ROOT / "download_data.py"), run_name="__main__")
    assert done.value.code in (0, None)
    assert "3 files of the 2023 results" in capsys.readouterr().out
