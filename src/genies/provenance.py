"""The provenance of a result: command, machine, versions, commit."""

from __future__ import annotations

import platform
import socket
import subprocess
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import genies
from genies.credentials import published_items

_PACKAGES = ("torch", "transformers", "peft", "accelerate", "numpy", "scikit-learn", "safetensors", "tokenizers")


def surroundings(root: Path) -> dict[str, Any]:
    """The values that all jobs of a run share: host, platform, versions, git commit of the project."""
    return {
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "versions": {"genies": genies.__version__, "python": platform.python_version(), **_package_versions()},
        **git_state(root),
    }


def command(argv: Sequence[str]) -> list[str]:
    """A command line for publication: the program without its folder, secrets masked, and bytes that are not text
    escaped.

    >>> command(["/home/me/env/bin/python", "eval.py", "--url", "https://me:secret@host/x"])
    ['python', 'eval.py', '--url', 'https://host/x']
    """
    shown = [Path(item).name if place == 0 else item for place, item in enumerate(argv)]
    return published_items([item.encode("utf-8", "backslashreplace").decode() for item in shown])


@cache
def _package_versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


@cache
def git_state(root: Path) -> dict[str, Any]:
    """Commit of the project's checkout and whether tracked files differ from it; empty outside a checkout."""
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return {}
    changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    return {"git_commit": commit.strip(), "git_dirty": bool(changes and changes.strip())}


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
