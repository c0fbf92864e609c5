from pathlib import Path

import pytest

from genies.errors import InputError
from genies.methods.base_model import base_model_dir, write_base_model


def test_a_tuned_model_names_its_base(tmp_path):
    write_base_model(tmp_path, Path("models/base"))
    assert base_model_dir(tmp_path) == Path("models/base")


def test_an_untuned_model_is_its_own_base(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert base_model_dir(tmp_path) == tmp_path


def test_neither_is_a_message(tmp_path):
    with pytest.raises(InputError, match="neither"):
        base_model_dir(tmp_path)
    (tmp_path / "base_model.json").write_text("[]")
    with pytest.raises(InputError, match="base_model_dir"):
        base_model_dir(tmp_path)
