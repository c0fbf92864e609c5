"""Installing an archive's distributions: whole and valid or not at all, and never over another version."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from genies.data.distribution import Distribution
from genies.data.install import Installation, install, work_folder
from genies.errors import InputError

Members = dict[str, bytes]
OFFICIAL_SHA256 = "77b9e9d962be09f2733b19f934847f7fd6fc95b74d624c9427d8cbec3d21162c"


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def split(count: int, word: str = "") -> bytes:
    return json.dumps([{"prompt": f"{word}{i}", "responses": {"yes": 1.0, "no": 0.0}} for i in range(count)]).encode()


def distribution(name: str, word: str = "", train: int = 3, test: int = 2) -> Members:
    folder = f"distributions/{name}"
    return {
        f"{folder}/train.json": split(train, word),
        f"{folder}/test.json": split(test, word),
        f"{folder}/metadata.json": b'{"id": "x"}',
    }


def make_archive(path: Path, members: Members) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def run(tmp_path: Path, members: Members, overwrite: bool = False) -> Installation:
    archive = make_archive(tmp_path / "archive", members)
    with work_folder(tmp_path / "distributions") as work:
        return install(archive, tmp_path / "distributions", work, overwrite)


def statuses(installation: Installation) -> dict[str, str]:
    return {each.name: each.status for each in installation.distributions}


def test_distributions_are_installed_and_counted_and_nothing_else_is_left(tmp_path: Path) -> None:
    strays = {"distributions/a/extra.json": b"[]", "distributions/.a.swp": b"", "README": b"", "distributions/h/x": b""}
    result = run(tmp_path, distribution("a") | strays | distribution("b", train=5))
    assert statuses(result) == {"a": "installed", "b": "installed"}
    assert [(each.train_examples, each.test_examples) for each in result.distributions] == [(3, 2), (5, 2)]
    assert result.stray_files == 4
    assert entries(tmp_path / "distributions") == ["a", "b"]
    assert entries(tmp_path / "distributions" / "a") == ["metadata.json", "test.json", "train.json"]
    assert len(Distribution(tmp_path / "distributions" / "b").train) == 5


def test_distributions_at_the_top_of_the_archive_are_found_too(tmp_path: Path) -> None:
    result = run(tmp_path, {name.removeprefix("distributions/"): data for name, data in distribution("a").items()})
    assert statuses(result) == {"a": "installed"}


def test_a_second_run_finds_all_there(tmp_path: Path) -> None:
    run(tmp_path, distribution("a"))
    before = (tmp_path / "distributions" / "a" / "train.json").stat().st_mtime_ns
    assert statuses(run(tmp_path, distribution("a"))) == {"a": "already there"}
    assert (tmp_path / "distributions" / "a" / "train.json").stat().st_mtime_ns == before


def test_another_version_is_kept_unless_overwrite_is_asked(tmp_path: Path) -> None:
    run(tmp_path, distribution("a", "old"))
    assert statuses(run(tmp_path, distribution("a", "new") | distribution("b"))) == {"a": "kept", "b": "installed"}
    assert Distribution(tmp_path / "distributions" / "a").train[0].prompt == "old0"
    assert statuses(run(tmp_path, distribution("a", "new"), overwrite=True)) == {"a": "replaced"}
    assert Distribution(tmp_path / "distributions" / "a").train[0].prompt == "new0"
    assert entries(tmp_path / "distributions") == ["a", "b"]


def test_a_link_in_the_way_is_never_written_through(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "train.json").write_bytes(split(1, "mine"))
    (tmp_path / "distributions").mkdir()
    (tmp_path / "distributions" / "a").symlink_to(elsewhere)
    assert statuses(run(tmp_path, distribution("a"))) == {"a": "kept"}
    assert statuses(run(tmp_path, distribution("a"), overwrite=True)) == {"a": "replaced"}
    assert entries(elsewhere) == ["train.json"]


@pytest.mark.parametrize(
    ("file", "content", "fault"),
    [
        ("train.json", b'[{"prompt": "p", "responses": {"x": 1.0}}]', "bad/train.json, example 0, field responses"),
        ("test.json", b"[]", "bad/test.json has no examples"),
        ("test.json", b"[{", "bad/test.json is not valid JSON"),
        ("metadata.json", b"[]", "bad/metadata.json contains a list"),
        ("metadata.json", None, "bad has no metadata.json"),
        ("train.json", None, "bad has no train.json"),
    ],
)
def test_an_invalid_distribution_is_named_and_the_others_installed(
    tmp_path: Path, file: str, content: bytes | None, fault: str
) -> None:
    members = distribution("bad") | distribution("good")
    if content is None:
        del members[f"distributions/bad/{file}"]
    else:
        members[f"distributions/bad/{file}"] = content
    result = run(tmp_path, members)
    assert statuses(result) == {"bad": "invalid", "good": "installed"}
    assert fault in result.distributions[0].fault
    assert entries(tmp_path / "distributions") == ["good"]


@pytest.mark.parametrize("name", ["distributions/../escaped", "/tmp/escaped", "distributions/a\nb"])
def test_a_hostile_archive_installs_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="nothing was installed"):
        run(tmp_path, distribution("a") | {f"{name}/train.json": b"[]"})
    assert entries(tmp_path / "distributions") == []
    assert entries(tmp_path) == ["archive", "distributions"]


def test_an_archive_without_distributions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="contains no distribution"):
        run(tmp_path, {"distributions/a/metadata.json": b"{}", "x/y/z/train.json": b"[]", ".git/train.json": b"[]"})


def test_what_a_killed_run_left_is_cleared_and_what_it_set_aside_given_back(tmp_path: Path) -> None:
    run(tmp_path, distribution("a", "old"))
    work = tmp_path / "distributions" / ".genies_download"
    (work / "staging" / "half").mkdir(parents=True)
    (work / "replaced").mkdir()
    (tmp_path / "distributions" / "a").rename(work / "replaced" / "a")
    assert statuses(run(tmp_path, distribution("a", "new"))) == {"a": "kept"}
    assert Distribution(tmp_path / "distributions" / "a").train[0].prompt == "old0"
    assert entries(tmp_path / "distributions") == ["a"]


def test_a_second_download_at_the_same_time_is_refused(tmp_path: Path) -> None:
    with work_folder(tmp_path), pytest.raises(InputError, match="another download is running"), work_folder(tmp_path):
        pass


def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"), work_folder(tmp_path / "file"):
        pass


def test_the_official_archive_gives_its_66_distributions(tmp_path: Path, official_archive: Path) -> None:
    assert hashlib.sha256(official_archive.read_bytes()).hexdigest() == OFFICIAL_SHA256
    with work_folder(tmp_path) as work:
        result = install(official_archive, tmp_path, work)
    assert set(statuses(result).values()) == {"installed"}
    assert len(result.distributions) == 66
    assert sum(each.train_examples for each in result.distributions) == 45_237
    assert sum(each.test_examples for each in result.distributions) == 18_996


@pytest.fixture
def official_archive() -> Path:
    shared = Path(os.environ.get("GENIES_SHARED") or Path(__file__).resolve().parents[2].parent / "shared")
    path = shared / "data" / "genies-datasets.tar.xz"
    if not path.is_file():
        pytest.skip(f"the official archive is not at {path} (GENIES_SHARED names another folder)")
    return path
