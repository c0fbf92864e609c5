"""Upload a tuned model to the model hub, on request.

The upload runs in a separate process, because training is offline:

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

_NOT_UPLOADED = ["checkpoint-*", "tensorboard/*", "*.partial", FILE_NAME, "training_step.json", "adapter_config.json"]
"""Files that contain paths of this machine, and adapter_config.json, which is uploaded separately."""


class UploadArguments(Arguments):
    """Upload a tuned model's folder to the model hub."""

    folder: Path
    """Folder of the tuned model."""
    repository: str
    """Repository to upload to, as owner/name; created if it does not exist."""
    private: bool = True
    """Whether a new repository is private."""
    base_name: str | None = None
    """The base model's name on the hub, for an adapter's configuration (default: the name of its folder)."""


def check_repository(name: str) -> None:
    """Raise InputError unless `name` is a valid name of a repository on the model hub."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # public, but not in its __all__

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise InputError(f"--push_to_hub {name}: expected owner/name; {first_line(error)}") from None


def push(folder: Path, repository: str, private: bool, base_name: str | None) -> bool:
    """Upload in a process with network access; prints a warning with the command to repeat it if it fails."""
    argv = [sys.executable, "-m", "genies.methods.training.hub", "--folder", str(folder), "--repository", repository]
    argv += ["--private", str(private), *(["--base_name", base_name] if base_name else [])]
    ended = subprocess.run(argv, env={**os.environ, "HF_HUB_OFFLINE": "0"}, check=False)
    if ended.returncode:
        print(
            f"warning: the tuned model was not uploaded to {repository}; it is complete, so you can upload it with "
            f"python -m genies.methods.training.hub --folder FOLDER --repository {repository}",
            file=sys.stderr,
        )
    return ended.returncode == 0


def upload(args: UploadArguments) -> None:
    """Create the repository and upload the files. In an adapter's configuration, the base model's local path is
    replaced by its name on the hub."""
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
        hub.upload_folder(repo_id=args.repository, folder_path=args.folder, ignore_patterns=_NOT_UPLOADED)
    except Exception as error:  # network errors have many types
        raise InputError(f"upload to {args.repository} failed: {first_line(error)}") from None


if __name__ == "__main__":
    run(upload)
