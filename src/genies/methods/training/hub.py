"""Upload of a tuned model to the model hub, when asked for and never else: a process of its own, since training is
off line.

    python -m genies.methods.training.hub --folder F --repository owner/name --private True
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from genies.command_line import Arguments, run
from genies.errors import InputError
from genies.files import read_json
from genies.lm.capability import first_line
from genies.methods.base_model import FILE_NAME

_STAYS_HERE = ["checkpoint-*", "tensorboard/*", "*.partial", FILE_NAME, "training_step.json", "adapter_config.json"]
"""What names folders of this machine, or is uploaded by itself."""


class UploadArguments(Arguments):
    """Upload a tuned model's folder to the model hub."""

    folder: Path
    """The tuned model."""
    repository: str
    """Where to, as owner/name; made when it is not there."""
    private: bool = True
    """Whether a repository that is made is private."""
    base_name: str | None = None
    """The base model's name on the hub, for an adapter's configuration (default: as it stands there)."""


def check_repository(name: str) -> None:
    """InputError unless a repository of the model hub can have this name."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # public, but not in its __all__

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise InputError(f"--push_to_hub {name}: expected owner/name; {first_line(error)}") from None


def push(folder: Path, repository: str, private: bool, base_name: str | None) -> bool:
    """Upload in a process that may use the network; on failure a warning that says how to do it again."""
    argv = [sys.executable, "-m", "genies.methods.training.hub", "--folder", str(folder), "--repository", repository]
    argv += ["--private", str(private), *(["--base_name", base_name] if base_name else [])]
    ended = subprocess.run(argv, env={**os.environ, "HF_HUB_OFFLINE": "0"}, check=False)
    if ended.returncode:
        print(
            f"warning: the tuned model was not uploaded to {repository}; it is complete, and can be uploaded with "
            f"python -m genies.methods.training.hub --folder FOLDER --repository {repository}",
            file=sys.stderr,
        )
    return ended.returncode == 0


def upload(args: UploadArguments) -> None:
    """Make the repository and fill it. Local paths stay here: an adapter names its base model as the hub does."""
    from huggingface_hub import HfApi

    if not args.folder.is_dir():
        raise InputError(f"--folder {args.folder} does not exist; expected a tuned model's folder")
    try:
        hub = HfApi()
        hub.create_repo(args.repository, private=args.private, exist_ok=True)
        path = args.folder / "adapter_config.json"
        if path.is_file():
            config = read_json(path, "adapter configuration")
            config["base_model_name_or_path"] = args.base_name or Path(config["base_model_name_or_path"]).name
            data = json.dumps(config, indent=2).encode("utf-8")
            hub.upload_file(path_or_fileobj=data, path_in_repo=path.name, repo_id=args.repository)
        hub.upload_folder(repo_id=args.repository, folder_path=args.folder, ignore_patterns=_STAYS_HERE)
    except Exception as error:  # whatever a network does
        raise InputError(f"upload to {args.repository} failed: {first_line(error)}") from None


if __name__ == "__main__":
    run(upload)
