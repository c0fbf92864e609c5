"""The console script `genies`: the same commands as in api/, without a checkout."""

from __future__ import annotations

import difflib
import sys
from importlib import import_module
from pathlib import Path

from genies import __version__
from genies.errors import interrupt_without_traceback
from genies.spelling import COMMANDS

SUMMARIES = {
    "run": "measure how interventions generalize: train, evaluate, write the table",
    "train": "train one intervention on one source",
    "evaluate": "evaluate one model on distributions",
    "check": "check that an intervention honours the contract",
    "tables": "print tables of a results folder, with intervals",
    "report": "make the HTML report of a results folder",
    "card": "say what a scorer prefers, as answers to questions",
    "curve": "evaluate the models after single steps of a training",
    "reanalyse": "analyse the results of the 2023 release again",
    "import": "make a distribution from preference data",
    "transform": "make probing targets of a distribution",
    "audit": "look for defects in distributions",
}


def main() -> None:
    """Run the command named by the first item; the current folder is the project root."""
    items = sys.argv[1:]
    if not items or items[0] in ("-h", "--help", "help"):
        print(help_text(), end="")
        sys.exit(0 if items else 2)
    if items[0] == "--version":
        print(f"genies {__version__}")
        sys.exit(0)
    name = items[0]
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ";"
        print(f"error: unknown command {name!r}{hint} known: {', '.join(COMMANDS)}", file=sys.stderr)
        sys.exit(2)
    interrupt_without_traceback()
    sys.argv = [f"genies {name}", *items[1:]]
    # Imported here: --help must not wait for the libraries of every command.
    from genies.command_line import run

    run(import_module(f"genies.commands.{COMMANDS[name]}").main, Path.cwd())


def help_text() -> str:
    """The list of commands, one line each."""
    width = max(map(len, SUMMARIES))
    lines = [f"  {name.ljust(width)}  {summary}" for name, summary in SUMMARIES.items()]
    return "\n".join(
        [
            "usage: genies COMMAND --name value ...",
            "",
            "Measures how preference models generalize across distribution shifts.",
            "",
            *lines,
            "",
            "genies COMMAND --help lists the arguments of a command. models/, results/ and distributions/ are in the",
            "current folder. What the project contains is found from any folder, as mms, starter_everyday and",
            "distribution_shifts/GENIES.json.",
            "",
        ]
    )
