"""Which tests run in one worker of pytest-xdist, and which are the first.

A test runs in whichever worker is free. Tests that share something that takes seconds to make run in one worker, before
the others, so that no worker is busy with them at the end. The mark xdist_group has no effect with pytest 9.2
(pytest-xdist 3.8).
"""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER = {
    "tests/end_to_end/test_readme.py": "a copy of the project",
    "tests/harness/test_ray.py": "a cluster",
    "tests/methods/test_training_sharding.py": "models tuned by two processes",
    "tests/report/test_access.py": "a browser",
    "tests/report/test_browser.py": "a browser",
    "tests/report/test_live.py": "a browser",
    "tests/report/test_paper_figures.py": "a browser",
    "tests/report/test_sample_browser.py": "a browser",
    "tests/report/test_token_scores.py": "a browser",
    "tests/data/test_audit_official.py": "the audit of the official data",
    "tests/end_to_end/test_docs.py": "the site",
    "tests/test_wheel.py": "an environment",
    "tests/reanalysis/test_release.py": "the results of the release",
}
"""Files of such tests in the order in which they start, and what they share."""


def shared_first(items: list[pytest.Item]) -> None:
    """Move the tests of these files to the start."""
    order = {file: place for place, file in enumerate(TOGETHER)}
    items.sort(key=lambda item: order.get(item.nodeid.partition("::")[0], len(order)))


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Sends a test to a worker, or all tests that share something."""

    def _split_scope(self, nodeid: str) -> str:
        return TOGETHER.get(nodeid.partition("::")[0], nodeid)
