"""What to change in a script that failed, from the end of its log."""

from __future__ import annotations

import re

from genies.harness.checking.runs import Ran
from genies.processes.process import last_lines

_ARGUMENTS = re.compile(
    r"unrecognized arguments|arguments are required|(no such|missing) option|unknown argument|could not consume arg"
    r"|argument -\S+: |^error: --|JSONDecodeError|No such file or directory: '\[",
    re.IGNORECASE | re.MULTILINE,
)
"""Arguments that a parser refuses, text that is not JSON, and a JSON list that is used as one path."""

_ABSENT_FILE = re.compile(r"FileNotFoundError: .*?'(?P<path>[^'\n]+)'")


def advice(ran: Ran, arguments: str) -> str:
    """What to change after a failed run; `arguments` is the advice if it expects other arguments."""
    if ran.outcome.timed_out:
        return "look for an infinite loop, or give a longer --timeout"
    said = "\n".join(last_lines(ran.log))
    absent = _ABSENT_FILE.search(said)
    if ran.script == "eval.py" and absent is not None and ran.model_dir and absent["path"].startswith(ran.model_dir):
        return "train.py must write to --output_dir every file that eval.py reads in --model_dir"
    return arguments if _ARGUMENTS.search(said) else "correct the error above; the log may contain more"
