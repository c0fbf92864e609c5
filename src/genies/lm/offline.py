"""Loading from folders alone: the model hub is out of reach for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def offline() -> Iterator[None]:
    """Within the context, and in a function decorated with `@offline()`, huggingface_hub makes no request.

    transformers and PEFT ask the hub for optional files even of a model in a local folder. The environment stays as
    it is, and so does the hub for whoever uses it afterwards.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
