"""Fixtures that several test folders use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# How long an example takes depends on the machine, not on the code.
hypothesis.settings.register_profile("genies", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("genies")


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function from (family, tokenizer style) to a model folder, made once a session: see tests/tiny_models.py."""
    made: dict[tuple[str, str], Path] = {}

    def folder(family: str = "llama", tokenizer: str = "byte_level") -> Path:
        if (family, tokenizer) not in made:
            # Imported here, so that tests of commands without a model need no torch.
            from tests.tiny_models import write_tiny_model

            made[family, tokenizer] = write_tiny_model(
                tmp_path_factory.mktemp("tiny") / f"{family}-{tokenizer}", family, tokenizer
            )
        return made[family, tokenizer]

    return folder


@pytest.fixture(scope="session")
def tiny_model(tiny_model_dir: Callable[..., Path]) -> Callable[..., Any]:
    """A function from (family, tokenizer style) to a loaded LanguageModel in float32 on the CPU."""
    made: dict[tuple[str, str], Any] = {}

    def model(family: str = "llama", tokenizer: str = "byte_level") -> Any:
        if (family, tokenizer) not in made:
            from genies.lm.arguments import ModelArguments
            from genies.lm.model import load_model

            made[family, tokenizer] = load_model(tiny_model_dir(family, tokenizer), ModelArguments(device="cpu"))
        return made[family, tokenizer]

    return model
