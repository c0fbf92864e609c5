"""The results of the 2023 release are installed from an archive of the repository or of its results folder."""

import io
import json
import tarfile
from pathlib import Path

import pytest
from download_data import DownloadDataArguments
from download_data import main as download_data

from genies.data.published_results import install_results
from genies.errors import InputError
from genies.report.reading import read_study

TABLE = (
    "source,target,target_reference,generalization_accuracy,baseline_accuracy,baseline_intervention,"
    "target_tuned_capability,target_tuned_capability_intervention,source_ID_accuracy,RMS_calibration_error,"
    "differential_elicitation\na,b,b,0,0,zero_shot,0.8,mms,0,,0\n"
)
BEST = {"best_intervention": "mms", "best_intervention_accuracy": 0.8, "target_reference": "b", "target": "b"}


def archive(
    path: Path, top: str = "GENIES-main/", accuracy: float = 0.5, more: tuple[tarfile.TarInfo, ...] = ()
) -> Path:
    files = {
        "README.md": "text",
        "results/evaluations/mms/m-a/b.json": json.dumps({"eval_accuracy": accuracy}),
        "results/evaluations/mms/m-a/a.json": '{"eval_accuracy": NaN}',
        "results/evaluations/zero_shot/m-a/b.json": json.dumps({"eval_accuracy": 0.4}),
        "results/evaluations/zero_shot/plot.png": "picture",
        "results/generalization_metrics/m/mms/all.csv": TABLE,
        "results/target_tuned_capability/m/b.json": json.dumps(BEST),
    }
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(top + name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
        for info in more:
            tar.addfile(info)
    return path


@pytest.mark.parametrize("top", ["GENIES-main/", ""])
def test_results_are_installed_and_read_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], top: str
) -> None:
    folder = tmp_path / "results" / "release"
    file = archive(tmp_path / "a.tar.gz", top)
    assert download_data(DownloadDataArguments(published_results=True, archive=file, results_dir=folder)) == 0
    said = capsys.readouterr().out
    assert f"installed: {folder} (3 files in evaluations, 1 files in generalization_metrics" in said
    assert "2 other files" in said
    assert "m-a/a.json" in said
    (shift,) = read_study(folder).shifts
    assert (shift.row.generalization_accuracy, shift.row.baseline_accuracy) == (0.5, 0.4)
    assert shift.missing == ["source_ID_accuracy"]
    assert sorted(path.name for path in folder.parent.iterdir()) == ["release"]


def test_existing_results_are_kept_unless_overwrite_is_given(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    install_results(archive(tmp_path / "a.tar.gz"), folder)
    assert install_results(tmp_path / "a.tar.gz", folder).status == "already there"
    other = archive(tmp_path / "b.tar.gz", accuracy=0.75)
    assert install_results(other, folder).status == "kept"
    assert json.loads((folder / "evaluations/mms/m-a/b.json").read_text()) == {"eval_accuracy": 0.5}
    assert install_results(other, folder, overwrite=True).status == "replaced"
    assert json.loads((folder / "evaluations/mms/m-a/b.json").read_text()) == {"eval_accuracy": 0.75}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "b.tar.gz", "results"]


def test_results_that_an_interrupted_replacement_moved_away_come_back(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    install_results(archive(tmp_path / "a.tar.gz"), folder)
    folder.rename(tmp_path / ".results.replaced")
    assert install_results(tmp_path / "a.tar.gz", folder).status == "already there"


def test_bad_archives_and_arguments_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    link = tarfile.TarInfo("GENIES-main/results/evaluations/mms/m-a/c.json")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    outside = tarfile.TarInfo("GENIES-main/results/evaluations/../../../x.json")
    for fault, fact in ((link, "symbolic link"), (outside, "'..'")):
        with pytest.raises(InputError, match=fact):
            install_results(archive(tmp_path / "bad.tar.gz", more=(fault,)), tmp_path / "results")
    with pytest.raises(InputError, match="contains no results"):
        install_results(archive(tmp_path / "bad.tar.gz", top="one/two/"), tmp_path / "results")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        install_results(tmp_path / "bad.tar.gz", tmp_path / "file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.tar.gz", "file"]
    with pytest.raises(InputError, match="--published_results"):
        download_data(DownloadDataArguments(results_dir=tmp_path))
    with pytest.raises(InputError, match="--results_dir"):
        download_data(DownloadDataArguments(published_results=True, distributions_dir=tmp_path))
