"""Which base model an adapter's folder leads to."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from genies.adapter_base import find_base_model
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
    with pytest.raises(InputError, match=r"someone/small, which is not here.*--base_model_dir"):
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
    with pytest.raises(InputError, match=r"no longer in .*old/small, nor found by its name.*--base_model_dir"):
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
