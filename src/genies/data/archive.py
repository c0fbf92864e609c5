"""Unpack a tar archive that may be damaged or malicious: only regular files, inside one folder, up to a size limit."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from genies.errors import InputError

_BLOCK = 512
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits for an archive. The official one has 121 MB in a few hundred members."""

    total_bytes: int = 2 << 30
    """Size of the decompressed archive in bytes, including headers."""
    members: int = 20_000
    name_bytes: int = 200
    """Length of one part of a member's path in UTF-8 bytes."""


class _Guarded(io.RawIOBase):
    """A decompressed archive that raises InputError for reads beyond the limit and for very large reads."""

    def __init__(self, file: IO[bytes], archive: Path, limits: Limits) -> None:
        self._file = file
        self._archive = archive
        self._limits = limits

    def read(self, size: int = -1) -> bytes:
        # tarfile reads an extended header at once, whatever length the archive declares for it.
        if not 0 <= size <= 4 * _CHUNK:
            raise InputError(f"archive {self._archive} has a header of {size} bytes; it is damaged or malicious")
        data = self._file.read(size)
        self._check(self._file.tell())
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._check(offset)
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def _check(self, position: int) -> None:
        if position < 0:
            raise InputError(f"archive {self._archive} has a negative size in a header; it is damaged or malicious")
        if position > self._limits.total_bytes:
            raise InputError(
                f"archive {self._archive} unpacks to more than the {self._limits.total_bytes:,} bytes allowed; "
                "nothing was installed"
            )


def unpack(
    archive: Path,
    folder: Path,
    place: Callable[[tuple[str, ...]], Path | None],
    limits: Limits = Limits(),
) -> int:
    """Write the members of a tar archive that `place` selects to `folder`.

    The archive may be plain or compressed with gzip, bzip2 or xz, which is detected from its content. `place` maps the
    parts of a member's path to a path relative to `folder`, or to None to skip the member. Returns the number of
    skipped regular files.

    Raises InputError for any member, selected or not, that has an absolute path, a `..` or a name that is not clean
    UTF-8 text, or that is not a regular file or folder (links, devices, pipes, sparse files); for a selected path that
    occurs twice; and for an archive that exceeds the limits, is truncated or damaged. Files that were already written
    remain in `folder`.
    """
    left_out = 0
    taken: set[Path] = set()
    try:
        with _decompressed(archive) as file:
            guarded = cast(IO[bytes], _Guarded(file, archive, limits))
            with tarfile.open(fileobj=guarded, mode="r:", encoding="utf-8", errors="surrogateescape") as tar:
                count = 0
                while (member := tar.next()) is not None:
                    count += 1
                    if count > limits.members:
                        raise InputError(f"archive {archive} has more than the {limits.members:,} members allowed")
                    # tarfile keeps every header it has read; many long headers would fill the memory.
                    tar.members = []  # type: ignore[attr-defined]
                    parts = _safe_parts(member, archive, limits)
                    if not member.isreg():
                        continue
                    wanted = place(parts)
                    if wanted is None:
                        left_out += 1
                        continue
                    if wanted in taken:
                        raise InputError(f"archive {archive} contains {wanted} twice; expected every file once")
                    taken.add(wanted)
                    _write(tar, member, folder / wanted, archive)
                _check_end(guarded, tar.offset, archive)
    except (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, ValueError, OverflowError, RecursionError) as error:
        raise InputError(f"archive {archive} is damaged or truncated ({error}); download it again") from None
    except OSError as error:
        if error.errno is not None:
            raise
        # gzip and bz2 report damage as an OSError without errno.
        raise InputError(f"archive {archive} is damaged or truncated ({error}); download it again") from None
    return left_out


def _decompressed(archive: Path) -> IO[bytes]:
    if not archive.is_file():
        found = "is not a regular file" if archive.exists() else "does not exist"
        raise InputError(f"archive {archive} {found}; expected a tar, tar.gz or tar.xz file")
    with open(archive, "rb") as file:
        start = file.read(_BLOCK)
    if start.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.open(archive))
    if start.startswith(b"\xfd7zXZ\0"):
        return cast(IO[bytes], lzma.open(archive))
    if start.startswith(b"BZh"):
        return cast(IO[bytes], bz2.open(archive))
    if start[257:262] != b"ustar" and not _is_old_tar(start):
        found = "an empty file" if not start else f"a file that starts with {start[:8]!r}"
        raise InputError(f"archive {archive}: expected a tar, tar.gz or tar.xz file, got {found}")
    return open(archive, "rb")


def _is_old_tar(start: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(start, "utf-8", "surrogateescape")
    except tarfile.TarError:
        return False
    return True


def _safe_parts(member: tarfile.TarInfo, archive: Path, limits: Limits) -> tuple[str, ...]:
    name = member.name

    def refuse(why: str) -> InputError:
        shown = name if len(name) <= 100 else name[:97] + "..."
        return InputError(f"archive {archive}: member {shown!r} {why}; nothing was installed")

    if not member.isreg() and not member.isdir():
        kind = "a symbolic link" if member.issym() else "a hard link" if member.islnk() else "a special file"
        raise refuse(f"is {kind}; expected only regular files and folders")
    if member.size < 0:
        raise refuse("has a negative size")
    if member.issparse():
        raise refuse("is a sparse file; expected only regular files and folders")
    if name.startswith("/"):
        raise refuse("has an absolute path")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise refuse("has '..' in its path")
    for part in parts:
        if "\\" in part or not part.isprintable():
            # Includes control characters and the surrogates that represent bytes that are not UTF-8.
            raise refuse("has a name with a control character, a backslash or bytes that are not UTF-8")
        if len(part.encode()) > limits.name_bytes:
            raise refuse(f"has a name longer than {limits.name_bytes} bytes")
    return parts


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path, archive: Path) -> None:
    source = tar.extractfile(member)
    assert source is not None  # None only for members that are not regular files
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with open(path, "xb") as destination:
        while data := source.read(_CHUNK):
            written += destination.write(data)
    if written != member.size:
        raise InputError(
            f"archive {archive} is truncated: {member.name} has {written:,} of {member.size:,} bytes; download it again"
        )


def _check_end(file: IO[bytes], offset: int, archive: Path) -> None:
    """Check that the archive ends with a block of zeros. tarfile also ends at a missing or unreadable header."""
    file.seek(offset)
    if file.read(_BLOCK) != bytes(_BLOCK):
        raise InputError(f"archive {archive} is damaged or truncated at byte {offset:,}; download it again")
    # The checksum of a compressed archive is at its end.
    while file.read(_CHUNK):
        pass
