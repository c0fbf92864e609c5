"""Download the official distributions of GENIES or the results of its 2023 release, or install a local archive.

python download_data.py
python download_data.py --archive genies-datasets.tar.xz
python download_data.py --published_results True
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
from genies.data.published_results import URL as RESULTS_URL
from genies.data.published_results import install_results
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
    """Download the official distributions and install them. Each distribution is validated before it is installed.
    Distributions that already exist are not changed. After an interruption, run the command again to continue."""

    archive: Path | None = None
    """Local copy of the archive (tar, tar.gz, tar.xz) to install instead of downloading it."""
    url: str | None = None
    """Address of the archive (default: that of the official distributions or results)."""
    sha256: str | None = None
    """Expected sha256 of the archive; an archive with another one is rejected (default: not checked)."""
    distributions_dir: Path = Path("distributions")
    """Folder to install into."""
    overwrite: bool = False
    """Replace existing distributions whose content differs."""
    published_results: bool = False
    """Install the results of the 2023 release instead: about 6,000 files, from its repository or from --archive."""
    results_dir: Path = Path("results/release-2023")
    """New folder for the results; python api/tables.py --results results/release-2023 shows them."""


def main(args: DownloadDataArguments) -> int:
    """Return the exit status: 2 if a distribution in the archive is invalid."""
    sha256 = args.sha256.lower() if args.sha256 else None
    if sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise InputError(f"--sha256: expected 64 hexadecimal digits, got {args.sha256}")
    if args.archive is not None and args.archive.is_file() and sha256 is not None:
        found = sha256_of_file(args.archive)
        if found != sha256:
            raise InputError(f"--archive {args.archive}: expected sha256 {sha256}, got {found}; download it again")
    if args.published_results:
        return published_results(args, sha256)
    with work_folder(args.distributions_dir) as work:
        if args.archive is not None:
            installation = install(args.archive, args.distributions_dir, work, args.overwrite)
        else:
            installation = download(args, sha256, work)
    show(installation, args.distributions_dir)
    return BAD_INPUT if installation.with_status("invalid") else 0


def published_results(args: DownloadDataArguments, sha256: str | None) -> int:
    """Install the results of the 2023 release."""
    archive = args.archive
    if archive is None:
        url = args.url or RESULTS_URL
        print(f"downloading {url}", flush=True)
        instead = "To install a local copy, run: python download_data.py --published_results True --archive FILE"
        archive = fetch(url, args.results_dir.parent / ".release.tar.gz", sha256=sha256, instead=instead)
    try:
        count = install_results(archive, args.results_dir)
    finally:
        if args.archive is None:
            archive.unlink(missing_ok=True)
    print(f"{count:,} files of the 2023 results are in {args.results_dir}/")
    print(f"their tables: python api/tables.py --results {args.results_dir}")
    return 0


def download(args: DownloadDataArguments, sha256: str | None, work: Path) -> Installation:
    """Download the archive and install it, unless a record shows that it is already installed and unchanged."""
    url = args.url or URL
    names = recorded_names(work, args.distributions_dir, url, sha256)
    if names is not None:
        return Installation([count(args.distributions_dir / name) for name in names])
    print(f"downloading {url}", flush=True)
    archive = fetch(
        url,
        work / "archive",
        sha256=sha256,
        instead="To install a local copy of the archive, run: python download_data.py --archive FILE",
    )
    digest = sha256_of_file(archive)
    try:
        installation = install(archive, args.distributions_dir, work, args.overwrite)
    except InputError:
        # The next run would take the damaged file for the complete archive.
        archive.unlink()
        raise
    archive.unlink()
    if not installation.with_status("kept") and not installation.with_status("invalid"):
        names = [each.name for each in installation.distributions]
        write_record(work, args.distributions_dir, url, digest, names)
    return installation


def count(folder: Path) -> Installed:
    """A distribution that an earlier run installed, with its sizes."""
    distribution = Distribution(folder)
    return Installed(distribution.name, "already there", len(distribution.train), len(distribution.test))


def show(installation: Installation, distributions_dir: Path) -> None:
    """Print a line for each status, then the distributions that were not installed, with the reason."""
    print(f"\n{'':24}{'distributions':>14}{'train examples':>16}{'test examples':>15}")
    for status, label in STATUSES.items():
        group = installation.with_status(status)
        if group:
            train, test = (sum(each.train_examples for each in group), sum(each.test_examples for each in group))
            print(f"{label:24}{len(group):>14,}{train:>16,}{test:>15,}")
    if installation.stray_files:
        print(f"{installation.stray_files:,} other files in the archive were skipped")
    for each in installation.with_status("kept"):
        print(f"kept: {distributions_dir / each.name} differs from the archive's; replace it with --overwrite True")
    for each in installation.with_status("invalid"):
        print(f"error: {each.fault}", file=sys.stderr)
    print(f"the distributions are in {distributions_dir}/")


if __name__ == "__main__":
    run(main)
