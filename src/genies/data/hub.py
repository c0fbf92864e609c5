"""Download files of a model or data set from the hub, all from one commit. HF_ENDPOINT names another hub."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from genies.data.fetch import fetch
from genies.errors import InputError, describe_os_error

Kind = Literal["model", "dataset"]

_EXAMPLE = {"model": "EleutherAI/pythia-410m", "dataset": "allenai/reward-bench-2"}


@dataclass(frozen=True)
class Repository:
    """A repository of the hub, and how messages speak of it."""

    kind: Kind
    id: str
    revision: str | None
    """Branch, tag or commit; None for the newest."""
    instead: str = ""
    """Another way to get the files, for messages."""
    access: str = "set HF_TOKEN"
    """How to give an access token, for messages."""

    def __str__(self) -> str:
        return f"{'data set' if self.kind == 'dataset' else 'model'} {self.id}"


@dataclass(frozen=True)
class Downloaded:
    """Files of one commit."""

    folder: Path
    commit: str


def download(
    repository: Repository,
    staging: Path,
    choose: Callable[[Mapping[str, Any]], Iterable[str]],
    token: str | None = None,
) -> Downloaded:
    """Download the files that `choose` selects from the repository's files into `staging`/<commit>.

    Interrupted files are resumed, which the hub's own client no longer does. The size of every file is checked, and the
    sha256 where the hub has one. `choose` gets the files by name and may raise InputError.
    """
    from huggingface_hub import HfApi, get_token, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    # The base class of the HTTP library that this version of the hub's client uses.
    http_error: type[Exception] = HfHubHTTPError.__bases__[0]
    api = HfApi(token=token)
    try:
        ask = api.model_info if repository.kind == "model" else api.dataset_info
        info = ask(repository.id, revision=repository.revision, files_metadata=True, timeout=30)
        commit = info.sha or "unknown"
        files = {file.rfilename: file for file in info.siblings or []}
        names = list(choose(files))
    except (http_error, OSError, ValueError) as error:
        if isinstance(error, OSError) and describe_os_error(error):
            raise
        raise InputError(_explain(error, repository)) from None
    # Partial files of another commit cannot be used.
    folder = staging / commit
    staging.mkdir(parents=True, exist_ok=True)
    for other in staging.iterdir():
        if other.is_dir() and other != folder:
            shutil.rmtree(other)
    plural = "file" if len(names) == 1 else "files"
    print(f"downloading {repository.id} at commit {commit}: {len(names)} {plural}", flush=True)
    token = token or get_token()
    for name in names:
        size, large = files[name].size, files[name].lfs
        path = fetch(
            hf_hub_url(repository.id, name, revision=commit, repo_type=repository.kind),
            folder / name,
            sha256=large.sha256 if large else None,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            max_bytes=size or 1 << 40,
            instead=repository.instead,
        )
        if size is not None and (found := path.stat().st_size) != size:
            path.unlink()
            raise InputError(f"{name}: expected {size:,} bytes, received {found:,}; run the same command again")
    return Downloaded(folder, commit)


def _explain(error: Exception, repository: Repository) -> str:
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, HFValidationError):
        kind = str(repository).removesuffix(f" {repository.id}")
        return (
            f"{repository.id!r} is not a {kind} id of the hub; expected OWNER/NAME, such as {_EXAMPLE[repository.kind]}"
        )
    if isinstance(error, GatedRepoError):
        return f"{repository} requires accepting its terms on the hub; accept them and {repository.access}"
    if isinstance(error, RevisionNotFoundError):
        return f"{repository} has no revision {repository.revision!r}; expected a branch, tag or commit of it"
    if isinstance(error, RepositoryNotFoundError):
        return f"the hub has no {repository}, or it is private: check the name, or {repository.access}"
    reason = "HF_HUB_OFFLINE is set" if isinstance(error, OfflineModeIsEnabled) else str(error).split("\n")[0]
    return f"cannot download {repository} from {constants.ENDPOINT}: {reason}. {repository.instead}".rstrip()
