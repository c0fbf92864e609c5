"""Which base model an adapter's folder leads to."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from genies.adapter_base import find_base_model, revision_doubt
from genies.errors import InputError
from genies.lm.model_folder import base_model


def adapter(folder: Path, name: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": name}), encoding="utf-8")
    return folder


def model(folder: Path, model_id: str | None = None) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}", encoding="utf-8")
    if model_id is not None:
        (folder / "genies_download.json").write_text(json.dumps({"model_id": model_id}), encoding="utf-8")
    return folder


def test_a_download_record_of_that_name_comes_before_a_folder_of_that_name(tmp_path: Path) -> None:
    found = adapter(tmp_path / "adapter", "someone/small")
    model(tmp_path / "models" / "small", "another/small")
    right = model(tmp_path / "models" / "renamed", "someone/small")
    assert find_base_model(found, root=tmp_path) == right


def test_a_folder_whose_record_names_another_owner_is_not_taken(tmp_path: Path) -> None:
    found = adapter(tmp_path / "adapter", "someone/small")
    model(tmp_path / "models" / "small", "another/small")
    with pytest.raises(InputError, match=r"someone/small, .*not found.*--base_model_dir"):
        find_base_model(found, root=tmp_path)
    beside = model(tmp_path / "small")
    assert find_base_model(found, root=tmp_path) == beside


@pytest.mark.parametrize("model_id", [None, "small", "someone/small"])
def test_a_folder_of_that_name_is_taken_where_nothing_says_otherwise(model_id: str | None, tmp_path: Path) -> None:
    right = model(tmp_path / "models" / "small", model_id)
    assert find_base_model(adapter(tmp_path / "one", "someone/small"), root=tmp_path) == right
    assert find_base_model(adapter(tmp_path / "two", "/disk/of/another/machine/small"), root=tmp_path) == right


def test_a_recorded_base_model_that_has_gone_is_searched_by_name(tmp_path: Path) -> None:
    found = adapter(tmp_path / "tuned" / "adapter", str(tmp_path / "old" / "small"))
    record = {"base_model_dir": str(tmp_path / "old" / "small")}
    (found / "base_model.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(InputError, match=r"no longer in .*old/small.*--base_model_dir"):
        find_base_model(found, root=tmp_path)
    moved = model(tmp_path / "models" / "small")
    assert find_base_model(found, root=tmp_path) == moved


@pytest.mark.parametrize("name", [None, 7, "", "..", "x" * 300, "a\0b", "someone/" + "y" * 5000])
def test_a_name_that_is_none_ends_with_one_message(name: object, tmp_path: Path) -> None:
    found = adapter(tmp_path / "adapter", name)
    with pytest.raises(InputError, match="--base_model_dir") as told:
        find_base_model(found, root=tmp_path)
    assert len(str(told.value)) < 1000
    if not isinstance(name, str) or not name:
        assert "which it does not name" in str(told.value)
        assert base_model(found) == ""


def test_the_search_loads_no_torch() -> None:
    code = "import sys, genies.adapter_base; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def with_revision(found: Path, revision: str) -> Path:
    path = found / "adapter_config.json"
    value = {**json.loads(path.read_text(encoding="utf-8")), "revision": revision}
    path.write_text(json.dumps(value), encoding="utf-8")
    return found


def download(folder: Path, model_id: str, revision: str | None, commit: str) -> Path:
    """A base model's folder as a download leaves it."""
    record = {"source": "hub", "model_id": model_id, "revision": revision, "commit": commit}
    (model(folder) / "genies_download.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize("revision", ["step1000", COMMIT, COMMIT[:8]])
def test_the_folder_of_the_revision_that_an_adapter_names_is_taken(revision: str, tmp_path: Path) -> None:
    found = with_revision(adapter(tmp_path / "adapter", "someone/small"), revision)
    download(tmp_path / "models" / "small", "someone/small", None, "f" * 40)
    right = download(tmp_path / "models" / "small-at-1000", "someone/small", "step1000", COMMIT)
    assert find_base_model(found, root=tmp_path) == right
    assert revision_doubt(found, right) is None


@pytest.mark.parametrize(("named", "held"), [("step1000", None), ("step1000", "main"), ("main", "step1000")])
def test_a_base_model_of_another_revision_is_refused_with_how_to_fetch_it(
    named: str, held: str | None, tmp_path: Path
) -> None:
    found = with_revision(adapter(tmp_path / "adapter", "someone/small"), named)
    other = download(tmp_path / "models" / "small", "someone/small", held, COMMIT)
    with pytest.raises(InputError, match=rf"at the revision {named}, .*small has the revision .*--revision {named}"):
        find_base_model(found, root=tmp_path)
    # Named by hand it is taken, and what is not as the adapter says is told.
    assert find_base_model(found, other, root=tmp_path) == other
    assert f"{other} has the revision {held or 'main'}" in str(revision_doubt(found, other))


def test_a_base_model_that_does_not_say_its_revision_is_taken_with_a_doubt(tmp_path: Path) -> None:
    found = with_revision(adapter(tmp_path / "adapter", "someone/small"), "step1000")
    base = model(tmp_path / "models" / "small")
    assert find_base_model(found, root=tmp_path) == base
    assert f"revision step1000 of its base model, but {base} has no record" in str(revision_doubt(found, base))


def test_an_adapter_that_names_no_revision_takes_any(tmp_path: Path) -> None:
    found = adapter(tmp_path / "adapter", "someone/small")
    base = download(tmp_path / "models" / "small", "someone/small", "step1000", COMMIT)
    assert find_base_model(found, root=tmp_path) == base
    assert revision_doubt(found, base) is None
    main = with_revision(adapter(tmp_path / "another", "someone/new"), "main")
    newest = download(tmp_path / "models" / "new", "someone/new", None, COMMIT)
    assert find_base_model(main, root=tmp_path) == newest
