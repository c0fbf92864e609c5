"""The state files of jobs: what runs, what failed before. They are only informative: no result depends on them."""

from __future__ import annotations

import json
import os
import socket
from typing import Any

from genies.errors import InputError
from genies.files import read_json, write_text
from genies.harness.fingerprint import fingerprint
from genies.harness.order import Order, Result


def _mark(order: Order) -> str:
    """Hash of what determines an attempt's outcome: the parts of the outputs and the time limit."""
    parts = [output.parts for output in order.check.wanted.values()]
    return fingerprint({"parts": parts, "timeout": order.settings.timeout})


def write_state(order: Order, state: str, **more: Any) -> None:
    """Write the job's state file. It is only informative: no result depends on it."""
    value = {
        "state": state,
        "step": order.job.title,
        "mark": _mark(order),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        **more,
    }
    text = json.dumps(value, ensure_ascii=False, indent=2) + "\n"
    write_text(order.settings.store.state_file(order.job), text, durable=False)


def remembered_failure(order: Order) -> Result | None:
    """The failure of the same job with the same inputs in an earlier run; None if there is none."""
    try:
        value = read_json(order.settings.store.state_file(order.job), "state")
    except (InputError, OSError):
        return None
    if not isinstance(value, dict) or value.get("state") != "failed" or value.get("mark") != _mark(order):
        return None
    failure = value.get("failure")
    if not isinstance(failure, str):
        return None
    again = f"{failure}\n  it failed like this in an earlier run and was not tried again; --retry_failed tries it again"
    return Result(order.job.title, failure=again, bad_input=value.get("bad_input") is True)
