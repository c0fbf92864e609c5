"""Download the official distributions of GENIES, or install them from a local archive.

python download_data.py
python download_data.py --archive genies-datasets.tar.xz
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from api import installed  # noqa: F401

from genies.command_line import Arguments, run
from genies.data.distribution import Distribution
from genies.data.fetch import fetch
from genies.data.install import Installation, Installed, Status, install, recorded_names, work_folder, write_record
from genies.errors import BAD_INPUT, InputError
from genies.files import sha256_of_file

URL = "https://genies-data.s3.us-east-2.amazonaws.com/genies-datasets.tar"
STATUSES: dict[Status, str] = {
    "installed": "installed",
    "replaced": "replaced",
    "already there": "already there",
    "kept": "kept, another version",
    "invalid": "invalid, not installed",
}


class DownloadDataArguments(Arguments):
    """Download the official distributions and install them: each is checked and moved into place whole.
    A distribution that lies there already is left as it is. Run it again to go on after an interruption."""

    archive: Path | None = None
    """A local copy of the archive (tar, tar.gz, tar.xz) to install instead of downloading."""
    url: str = URL
    """Where the archive is downloaded from."""
    sha256: str | None = None
    """The archive's sha256; another content is refused (default: not checked; each distribution is, for its form)."""
    distributions_dir: Path = Path("distributions")
    """Folder to install into."""
    overwrite: bool = False
    """Replace distributions that lie there already with other content."""


def main(args: DownloadDataArguments) -> int:
    """Returns the exit status: 2 when a distribution of the archive is invalid."""
    sha256 = args.sha256.lower() if args.sha256 else None
    if sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise InputError(f"--sha256: expected 64 hexadecimal digits, got {args.sha256}")
    if args.archive is not None and args.archive.is_file() and sha256 is not None:
        found = sha256_of_file(args.archive)
        if found != sha256:
            raise InputError(f"--archive {args.archive}: expected sha256 {sha256}, got {found}; fetch it again")
    with work_folder(args.distributions_dir) as work:
        if args.archive is not None:
            installation = install(args.archive, args.distributions_dir, work, args.overwrite)
        else:
            installation = download(args, sha256, work)
    show(installation, args.distributions_dir)
    return BAD_INPUT if installation.with_status("invalid") else 0


def download(args: DownloadDataArguments, sha256: str | None, work: Path) -> Installation:
    """Fetch the archive, unless a finished download of it is still there unchanged, and install it."""
    names = recorded_names(work, args.distributions_dir, args.url, sha256)
    if names is not None:
        return Installation([count(args.distributions_dir / name) for name in names])
    print(f"downloading {args.url}", flush=True)
    archive = fetch(
        args.url,
        work / "archive",
        sha256=sha256,
        instead="With a copy of the archive on this machine, run: python download_data.py --archive FILE",
    )
    digest = sha256_of_file(archive)
    try:
        installation = install(archive, args.distributions_dir, work, args.overwrite)
    except InputError:
        # Kept, it would be taken for the whole archive by the next run.
        archive.unlink()
        raise
    archive.unlink()
    if not installation.with_status("kept") and not installation.with_status("invalid"):
        names = [each.name for each in installation.distributions]
        write_record(work, args.distributions_dir, args.url, digest, names)
    return installation


def count(folder: Path) -> Installed:
    """A distribution that a former run installed, with its sizes."""
    distribution = Distribution(folder)
    return Installed(distribution.name, "already there", len(distribution.train), len(distribution.test))


def show(installation: Installation, distributions_dir: Path) -> None:
    """Print a line for each status, then the distributions that were not installed, and why."""
    print(f"\n{'':24}{'distributions':>14}{'train examples':>16}{'test examples':>15}")
    for status, label in STATUSES.items():
        group = installation.with_status(status)
        if group:
            train, test = (sum(each.train_examples for each in group), sum(each.test_examples for each in group))
            print(f"{label:24}{len(group):>14,}{train:>16,}{test:>15,}")
    if installation.stray_files:
        print(f"{installation.stray_files:,} other files of the archive were left out")
    for each in installation.with_status("kept"):
        print(f"kept: {distributions_dir / each.name} differs from the archive's; --overwrite True replaces it")
    for each in installation.with_status("invalid"):
        print(f"error: {each.fault}", file=sys.stderr)
    print(f"the distributions are in {distributions_dir}/")


if __name__ == "__main__":
    run(main)
