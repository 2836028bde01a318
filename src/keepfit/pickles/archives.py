"""Zip archives: their members, unpacked under limits."""

from __future__ import annotations

import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator

from keepfit.errors import FormatError
from keepfit.graph import LIMITS, Limits

__all__ = ["is_zip", "member_names", "members"]

_MAGIC = b"PK\x03\x04"
_CHUNK = 1 << 20
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, NotImplementedError, RuntimeError,
    KeyError, IndexError, OverflowError,
)  # fmt: skip


def is_zip(data: memoryview) -> bool:
    """Whether bytes begin as a zip archive does."""
    return data[: len(_MAGIC)] == _MAGIC


def member_names(data: memoryview, *, limits: Limits = LIMITS) -> list[str]:
    """The names of an archive's members.

    Raises
    ------
    FormatError
        If the archive is damaged, has a name twice, or has more members than the limits let it.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
    except _DAMAGE as error:
        raise FormatError(f"the zip archive is damaged: {str(error)[:200]}") from None
    if len(names) > limits.archive_members:
        raise FormatError(f"the zip archive has {len(names):,} members, over the limit of {limits.archive_members:,}")
    if len(set(names)) != len(names):
        raise FormatError("two members of the zip archive have one name")
    return names


def members(data: memoryview, *, limits: Limits = LIMITS) -> Iterator[tuple[str, bytes]]:
    """Name and contents of each file in an archive, in its order.

    Raises
    ------
    FormatError
        If the archive is damaged, or unpacks to more than the limits.
    """
    names = member_names(data, limits=limits)
    room = min(limits.pickle_unpacked_bytes, max(limits.unpacked_free_bytes, limits.pickle_unpacked_ratio * len(data)))
    for name in names:
        if name.endswith("/"):
            continue
        try:
            contents = _unpacked(data, name, room)
        except _DAMAGE as error:
            raise FormatError(f"{name[:80]!r} in the zip archive is damaged: {str(error)[:200]}") from None
        room -= len(contents)
        yield name, contents


def _unpacked(data: memoryview, name: str, room: int) -> bytes:
    out = bytearray()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open(name) as file:
        while chunk := file.read(_CHUNK):
            out += chunk
            if len(out) > room:
                raise FormatError(f"the zip archive of {len(data):,} bytes unpacks to more than the limit")
    return bytes(out)
