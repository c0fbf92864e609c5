"""Unpacking: what a good archive gives, and that no bad one writes outside its folder or leaves us with a traceback."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import random
import tarfile
from pathlib import Path

import pytest

from genies.data.archive import Limits, unpack
from genies.errors import InputError

CONTENT = {"a/one.txt": b"first", "a/b/two.bin": bytes(range(256)) * 9, "c": b""}


def member(name: str, data: bytes = b"x", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def tar_bytes(members: list[tuple[tarfile.TarInfo, bytes]], form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def plain(content: dict[str, bytes] = CONTENT) -> bytes:
    return tar_bytes([member(name, data) for name, data in content.items()])


def everything(parts: tuple[str, ...]) -> Path:
    return Path(*parts)


def unpack_bytes(tmp_path: Path, data: bytes, limits: Limits | None = None) -> dict[str, bytes]:
    archive, folder = tmp_path / "archive", tmp_path / "in" / "folder"
    archive.write_bytes(data)
    folder.mkdir(parents=True)
    before = {path for path in tmp_path.rglob("*") if folder not in path.parents}
    try:
        unpack(archive, folder, everything, limits or Limits())
    finally:
        assert {path for path in tmp_path.rglob("*") if folder not in path.parents} == before
        assert all(path.is_dir() or (path.is_file() and not path.is_symlink()) for path in folder.rglob("*"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "compress", [bytes, gzip.compress, bz2.compress, lzma.compress], ids=lambda each: each.__name__
)
def test_the_compression_is_told_by_content(tmp_path: Path, compress: object) -> None:
    assert unpack_bytes(tmp_path, compress(plain())) == CONTENT  # type: ignore[operator]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_tar_dialect_is_read(tmp_path: Path, form: int) -> None:
    content = {"d/" + "n" * 90 + "/" + "ü" * 10: b"long name"}
    assert unpack_bytes(tmp_path, tar_bytes([member(n, d) for n, d in content.items()], form)) == content


def test_only_wanted_members_are_written_and_the_others_counted(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(plain())
    folder = tmp_path / "out"
    folder.mkdir()
    left_out = unpack(tmp_path / "a.tar", folder, lambda parts: Path("kept") if parts == ("a", "one.txt") else None)
    assert left_out == 2
    assert [(path.name, path.read_bytes()) for path in folder.iterdir()] == [("kept", b"first")]


def test_a_leading_dot_and_folders_are_harmless(tmp_path: Path) -> None:
    members = [
        member("./", b"", type=tarfile.DIRTYPE),
        member("./x/", b"", type=tarfile.DIRTYPE),
        member("./x//y", b"1"),
    ]
    assert unpack_bytes(tmp_path, tar_bytes(members)) == {"x/y": b"1"}


HOSTILE = {
    "absolute path": member("/etc/x"),
    "double slash": member("//etc/x"),
    "parent at start": member("../x"),
    "parent inside": member("a/../../x"),
    "parent folder": member("a/..", b"", type=tarfile.DIRTYPE),
    "symlink": member("link", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "hard link": member("link", b"", type=tarfile.LNKTYPE, linkname="a/one.txt"),
    "character device": member("dev", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=5),
    "block device": member("dev", b"", type=tarfile.BLKTYPE, devmajor=8, devminor=0),
    "pipe": member("pipe", b"", type=tarfile.FIFOTYPE),
    "newline": member("a\nb"),
    "escape sequence": member("a\x1b[2Jb"),
    "backslash": member("..\\..\\x"),
    "not UTF-8": member("caf\udce9"),
    "right-to-left override": member("a\u202ecod"),
    "long part": member("n" * 201),
    "duplicate": member("./a/one.txt"),
    "unwanted but twice": member("a//one.txt"),
}


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=["gnu", "pax"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_member_is_refused_by_name(tmp_path: Path, kind: str, form: int) -> None:
    data = tar_bytes([member("a/one.txt"), HOSTILE[kind]], form)
    with pytest.raises(InputError, match=r"archive .* (member|twice)") as caught:
        unpack_bytes(tmp_path, data)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_link_is_never_written_through(tmp_path: Path) -> None:
    data = tar_bytes([member("a", b"", type=tarfile.SYMTYPE, linkname=".."), member("a/x")])
    with pytest.raises(InputError, match="symbolic link"):
        unpack_bytes(tmp_path, data)


def test_a_sparse_file_is_refused(tmp_path: Path) -> None:
    info, data = member("s", b"x" * 10, pax_headers={"GNU.sparse.size": str(1 << 40), "GNU.sparse.map": "0,10"})
    with pytest.raises(InputError):
        unpack_bytes(tmp_path, tar_bytes([(info, data)]))


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress])
def test_a_bomb_stops_at_the_limit(tmp_path: Path, compress: object) -> None:
    data = compress(plain({"zeros": bytes(30_000_000)}))  # type: ignore[operator]
    with pytest.raises(InputError, match="more than the 1,000,000 bytes"):
        unpack_bytes(tmp_path, data, Limits(total_bytes=1_000_000))
    assert sum(path.stat().st_size for path in (tmp_path / "in").rglob("*") if path.is_file()) <= 2_100_000


def test_a_bomb_in_an_unwanted_member_stops_at_the_limit(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(gzip.compress(plain({"zeros": bytes(30_000_000), "b": b""})))
    with pytest.raises(InputError, match="more than the 1,000,000 bytes"):
        unpack(tmp_path / "a", tmp_path, lambda parts: None, Limits(total_bytes=1_000_000))


def test_too_many_members_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="more than the 10 members"):
        unpack_bytes(tmp_path, plain({f"f{i}": b"" for i in range(11)}), Limits(members=10))


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("h")
    info.type, info.size = kind, 1 << 30
    with pytest.raises(InputError, match="header of 1073741824 bytes"):
        unpack_bytes(tmp_path, info.tobuf(tarfile.GNU_FORMAT) + bytes(100_000))


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_negative_size_is_refused(tmp_path: Path, kind: bytes) -> None:
    # Some versions of tarfile seek backwards on it, for ever.
    info = tarfile.TarInfo("h")
    info.type, info.size = kind, -1024
    with pytest.raises(InputError):
        unpack_bytes(tmp_path, plain()[:1024] + info.tobuf(tarfile.GNU_FORMAT) + bytes(10_000))


@pytest.mark.parametrize("compress", [bytes, gzip.compress, lzma.compress], ids=lambda each: each.__name__)
def test_an_archive_cut_off_anywhere_is_refused(tmp_path: Path, compress: object) -> None:
    whole: bytes = compress(plain())  # type: ignore[operator]
    # A plain tar is whole from its first block of zeros on: three headers, data in 1, 5 and 0 blocks.
    end = 9 * 512 + 512 if compress is bytes else len(whole)
    cuts = range(0, end, 256) if compress is bytes else range(0, end, max(1, end // 20))
    for number, cut in enumerate(cuts):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.raises(InputError):
            unpack_bytes(folder, whole[:cut])


def test_damage_anywhere_never_ends_in_a_traceback(tmp_path: Path) -> None:
    draw = random.Random(0)
    sources = [plain(), tar_bytes([member("ü" * 70, b"1")], tarfile.PAX_FORMAT), gzip.compress(plain())]
    for number in range(400):
        data = bytearray(sources[number % len(sources)])
        for _ in range(draw.randint(1, 6)):
            data[draw.randrange(min(len(data), 3000))] = draw.randrange(256)
        if number % 3 != 2:
            # Mend the header's checksum, or nearly all damage would be caught by it.
            data[148:156] = b"%06o\0 " % (256 + sum(data[:148]) + sum(data[156:512]))
        folder = tmp_path / str(number)
        folder.mkdir()
        with contextlib.suppress(InputError):
            unpack_bytes(folder, bytes(data))


@pytest.mark.parametrize("data", [b"", b"{}", b"PK\x03\x04" + bytes(600), b"<html>" + b" " * 1000])
def test_what_is_no_tar_is_said_to_be_none(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InputError, match=r"expected a tar, tar\.gz or tar\.xz"):
        unpack_bytes(tmp_path, data)


def test_an_absent_archive_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        unpack(tmp_path / "none.tar", tmp_path, everything)
    with pytest.raises(InputError, match="not a regular file"):
        unpack(tmp_path, tmp_path, everything)
