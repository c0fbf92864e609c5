"""Loading from folders alone: the model hub is out of reach for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def offline() -> Iterator[None]:
    """Within the context, and in a function decorated with `@offline()`, huggingface_hub makes no request.

    transformers and PEFT ask the hub for optional files even of a model in a local folder. The environment is not
    changed, and later code can use the hub as before.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
