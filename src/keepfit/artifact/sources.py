"""What a file is read from, part by part: bytes in memory, a file of the disk, or one elsewhere."""

from __future__ import annotations

import io
import mmap
import os
from typing import Any, Protocol

from keepfit.errors import FormatError
from keepfit.graph import fresh_memory

__all__ = ["BytesSource", "DiskFile", "FileSource", "RemoteSource", "Source"]

#: What Python opens a file of the disk as, in binary mode and for reading.
DiskFile = io.FileIO | io.BufferedReader | io.BufferedRandom


class Source(Protocol):
    """Bytes that can be had in parts.

    Parameters
    ----------
    size : int
        How many there are.
    """

    @property
    def size(self) -> int: ...

    def take(self, start: int, stop: int) -> memoryview:
        """The bytes from `start` to before `stop`, in memory that nobody else changes, aligned if `start` is."""


class BytesSource:
    """Bytes that are in memory: every part is a view."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self.size = len(data)

    def take(self, start: int, stop: int) -> memoryview:
        return self._data[start:stop]


class RemoteSource:
    """A file of one of fsspec's file systems: every part is fetched by itself.

    A server that knows no parts, as plain ones do, answers with all of the file, which is then held.
    """

    def __init__(self, system: Any, path: str, size: int) -> None:
        self._system = system
        self._path = path
        self._all: memoryview | None = None
        self.size = size

    def take(self, start: int, stop: int) -> memoryview:
        if self._all is not None:
            return self._all[start:stop]
        data = self._system.cat_file(self._path, start=start, end=stop) if start < stop else b""
        if len(data) == self.size:
            self._all = memoryview(data)
            return self._all[start:stop]
        if len(data) != stop - start:
            raise FormatError(f"the file is cut short: it lost its end, at {start + len(data):,}, while it was read")
        return memoryview(data)


class FileSource:
    """A regular file, from a place in it on: every part is read into memory of its own, which can be written to."""

    def __init__(self, file: DiskFile, start: int = 0) -> None:
        self._file = file
        self._start = start
        self.size = max(0, os.fstat(file.fileno()).st_size - start)

    def take(self, start: int, stop: int) -> memoryview:
        buffer = fresh_memory(stop - start)
        self.fill(buffer, start)
        return buffer

    def fill(self, buffer: memoryview, start: int) -> None:
        """Fill memory with the bytes from `start` on."""
        self._file.seek(self._start + start)
        end = 0
        while end < len(buffer):
            count = self._file.readinto(buffer[end:])
            if not count:
                raise FormatError(f"the file is cut short: it lost its end, at {start + end:,}, while it was read")
            end += count

    def map(self) -> memoryview:
        """All bytes, mapped: shared with who else maps the file until they are written to, and then this process's."""
        return memoryview(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_COPY))
