"""Settings of the process while many evaluations are read and compared."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def for_many_evaluations() -> Iterator[None]:
    """With one thread for matrix products and without the garbage collector.

    The matrices are small: on processors that also do other work, several threads take twice as long. They could also
    change the last digit, because they sum in another order. The collector would take a sixth of the time to search
    evaluations for cycles.
    """
    # Imported here: it sets an environment variable (KMP_DUPLICATE_LIB_OK).
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    enabled = gc.isenabled()
    gc.disable()
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        if enabled:
            gc.enable()
