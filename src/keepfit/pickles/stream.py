"""The bytes of a pickle stream, read once from start to end and never past what is there."""

from __future__ import annotations

from keepfit.errors import FormatError

__all__ = ["Stream"]

_LINE_USUAL, _LINE_MAX = 2**8, 2**20


class Stream:
    """The bytes of a stream, read once from start to end.

    Parameters
    ----------
    data : bytes-like
    """

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self.data = memoryview(data).cast("B")
        self.size = len(self.data)
        self.position = 0
        self.frame_end = 0
        self.end = self.size

    def take(self, count: int) -> bytes:
        """The next bytes, all of them."""
        start = self.position
        stop = start + count
        if stop > self.end:
            where = "its frame" if self.end == self.frame_end else "the file"
            raise FormatError(f"the pickle asks at byte {start:,} for {count:,} bytes, more than are left of {where}")
        self.position = stop
        return bytes(self.data[start:stop])

    def number(self, count: int) -> int:
        """An unsigned number, little-endian."""
        return int.from_bytes(self.take(count), "little")

    def line(self) -> bytes:
        """The bytes up to a line feed, which is left out."""
        width = _LINE_USUAL
        while True:
            window = bytes(self.data[self.position : min(self.end, self.position + width)])
            length = window.find(b"\n")
            if length >= 0:
                self.position += length + 1
                return window[:length]
            if len(window) < width or width >= _LINE_MAX:
                raise FormatError(f"the pickle has a line without end at byte {self.position:,}")
            width *= 16

    def enter_frame(self, size: int) -> None:
        """Hold everything up to the end of a frame to it."""
        if self.end != self.size:
            raise FormatError(f"the pickle has a frame inside a frame at byte {self.position:,}")
        if size > self.size - self.position:
            raise FormatError(f"the pickle has a frame of {size:,} bytes, more than are left of the file")
        self.frame_end = self.position + size
        if size:
            self.end = self.frame_end

    def leave_frame(self) -> None:
        """Go on behind a frame that is read."""
        self.end = self.size
