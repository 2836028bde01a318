"""Compressed files: unpacked under limits before anything in them is looked at."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from importlib import import_module
from typing import Any

from keepfit.errors import FormatError, UnsupportedError
from keepfit.graph import LIMITS, Limits

__all__ = ["compression_of", "unpack"]

_CHUNK = 1 << 20
_LZMA_MEMORY = 1 << 28
#: The header of joblib before 0.10: ``ZF``, and the length in hexadecimal digits.
_OLD_HEADER = b"ZF"
_OLD_LENGTH = 19


class _Zlib:
    """zlib's object with the interface of the others."""

    def __init__(self, window: int) -> None:
        self._inner = zlib.decompressobj(window)
        self._left = b""

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


def _lz4() -> Any:
    try:
        frame = import_module("lz4.frame")
    except ImportError:
        raise UnsupportedError("the file is compressed with lz4, which needs `pip install lz4`") from None
    return frame.LZ4FrameDecompressor()


#: First bytes, name, and what unpacks; joblib's own rows, in its order.
_COMPRESSIONS: tuple[tuple[bytes, str, Callable[[], Any]], ...] = (
    (b"\x1f\x8b", "gzip", lambda: _Zlib(31)),
    (b"BZh", "bz2", bz2.BZ2Decompressor),
    (b"\xfd7zXZ", "xz", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _LZMA_MEMORY)),
    (b"]\x00\x00", "lzma", lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, _LZMA_MEMORY)),
    (b"\x04\x22\x4d\x18", "lz4", _lz4),
    (_OLD_HEADER, "zlib of an old joblib", lambda: _Zlib(15)),
    *((bytes((0x78, level)), "zlib", lambda: _Zlib(15)) for level in (0x01, 0x5E, 0x9C, 0xDA)),
)


def compression_of(data: memoryview) -> str:
    """How bytes are compressed; empty where they are not, or in a way that is not known."""
    return next((name for magic, name, _ in _COMPRESSIONS if data[: len(magic)] == magic), "")


def unpack(data: memoryview, *, limits: Limits = LIMITS) -> bytearray:
    """What compressed bytes unpack to.

    Parameters
    ----------
    data : memoryview
        The whole file, of a kind that `compression_of` knows.
    limits : Limits, default=LIMITS

    Raises
    ------
    FormatError
        If they are damaged, cut short, followed by more, or unpack to more than the limits.
    UnsupportedError
        If what unpacks them is not installed.
    """
    name, make = next((name, make) for magic, name, make in _COMPRESSIONS if data[: len(magic)] == magic)
    most = min(limits.pickle_unpacked_bytes, max(limits.unpacked_free_bytes, limits.pickle_unpacked_ratio * len(data)))
    expected = None
    if data[:2] == _OLD_HEADER:
        expected, data = _old_header(data)
    machine, out, start = make(), bytearray(), 0
    try:
        while not machine.eof:
            chunk = b""
            if machine.needs_input:
                chunk = bytes(data[start : start + _CHUNK])
                start += len(chunk)
                if not chunk:
                    raise FormatError(f"the {name} data end too early; the file is cut short")
            out += machine.decompress(chunk, _CHUNK)
            if len(out) > most:
                raise FormatError(f"{len(data):,} bytes of {name} unpack to more than {most:,}, over the limit")
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, RuntimeError) as error:
        raise FormatError(f"the {name} data are damaged: {str(error)[:200]}") from None
    if machine.unused_data or start < len(data):
        raise FormatError(f"bytes follow the end of the {name} data")
    if expected not in (None, len(out)):
        raise FormatError(f"the {name} data unpack to {len(out):,} bytes, not the {expected:,} they say")
    return out


def _old_header(data: memoryview) -> tuple[int, memoryview]:
    end = len(_OLD_HEADER) + _OLD_LENGTH
    text = bytes(data[len(_OLD_HEADER) : end]).rstrip(b" ")
    end += bytes(data[end : end + 1]) == b" "
    digits = text.removeprefix(b"0x")
    if not digits or len(digits) > 16 or not set(digits) <= set(b"0123456789abcdef"):
        raise FormatError("the header of an old joblib file is damaged")
    return int(digits, 16), data[end:]
