"""From a graph to bytes. What `reading` would refuse is refused here, before a byte goes out."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from keepfit.artifact.compression import is_within, pack
from keepfit.artifact.header import (
    CHECKSUM_DIGITS,
    GRAPH_NAME,
    PACKED_VERSION,
    PLAIN_VERSION,
    RESERVED_FACTS,
    RESERVED_NAMES,
    encode,
    lay_out,
)
from keepfit.errors import UnsupportedError
from keepfit.graph import LIMITS, PLAIN_DTYPES, Graph, Rows, file_of_zeros, to_json

__all__ = ["NewFile", "to_bytes", "write"]

_DTYPE_NAMES = {dtype: name for name, dtype in PLAIN_DTYPES.items()}
# Arrays smaller than this are joined before they are written, so that a forest is not thousands of system calls.
_SMALL_BYTES = 1 << 16
_JOINED_BYTES = 1 << 20
# Larger files are put together block by block, so that there is no second copy of them meanwhile.
_LARGE_BYTES = 1 << 24
_CACHED_BYTES = 1 << 18  # which a processor's cache holds


class NewFile(io.FileIO):
    """A file that this process has just made, for itself: what was written can be gone back to."""


def write(graph: Graph, facts: Mapping[str, str], file: IO[bytes], *, level: int | None = None) -> None:
    """Write a graph to a binary file object.

    Parameters
    ----------
    graph : Graph
        Its arrays C-contiguous, of a plain dtype.
    facts : mapping of str to str
        What to tell about the file; readable without parsing the graph.
    file : binary file object
        Only its ``write`` is used, unless it is a `NewFile`; it is neither flushed nor closed.
    level : int, default=None
        Compress arrays that get smaller by it, at this level from 1 to 19.

    Raises
    ------
    UnsupportedError
        If the graph has an array that the format does not hold, or more of anything than a reader accepts, a fact has
        one of the format's own names or is not a str, or there is no library to compress with.
    TypeError
        If `file` is in text mode or no file object.
    OSError
        Whatever ``file.write`` raises.

    Notes
    -----
    Every array is read twice, once for its checksum and once to be written (once for both into a `NewFile`), and never
    copied as a whole unless it is compressed, or all of them are at most 1 MiB. The bytes depend on `graph` and `facts`
    alone, and on `level` and the library's release if there are compressed arrays. An array whose name is one of the
    format's own is renamed (``~2`` is added).
    """
    if isinstance(file, io.TextIOBase) or isinstance(getattr(file, "encoding", None), str):
        raise TypeError("the file is open in text mode; open it in binary mode, as in open(path, 'wb')")
    if not hasattr(file, "write"):
        raise TypeError(f"a path, URL or binary file object was expected, not {type(file).__name__}")
    contents = _Contents(graph, facts, level)
    if contents.data_bytes <= _JOINED_BYTES:
        _write_all(file, _joined(contents))
        return
    if isinstance(file, NewFile):
        _write_once(contents, file)
        return
    start = contents.start(_digest(block.data for block in _blocks(array)) for array in contents.arrays)
    for piece in _pieces(start, (block.data for array in contents.arrays for block in _blocks(array))):
        _write_all(file, piece)


def _write_once(contents: _Contents, file: IO[bytes]) -> None:
    """Write each block once it is hashed, while it is in the cache; the start, of known length, comes last."""
    checksums: list[str] = []
    for piece in _pieces(contents.start_without_checksums(), _hashed(contents.arrays, checksums)):
        _write_all(file, piece)
    file.seek(0)
    _write_all(file, contents.start(checksums))


def to_bytes(graph: Graph, facts: Mapping[str, str], *, level: int | None = None) -> bytes:
    """The bytes that `write` writes.

    Parameters
    ----------
    graph : Graph
    facts : mapping of str to str
    level : int, default=None
        As for `write`.

    Raises
    ------
    UnsupportedError
        As for `write`.
    """
    contents = _Contents(graph, facts, level)
    return _large_bytes(contents) if contents.data_bytes > _LARGE_BYTES else _joined(contents)


def _joined(contents: _Contents) -> bytes:
    pieces: list[Any] = [b""]
    checksums = []
    for array in contents.arrays:
        if isinstance(array, Rows):
            blocks = [block.data for block in array.blocks()]
            pieces += blocks
            checksums.append(_digest(blocks))
        else:
            whole = array.data
            pieces.append(whole)
            checksums.append(xxhash.xxh3_64_hexdigest(whole))
    pieces[0] = contents.start(checksums)
    return b"".join(pieces)


def _large_bytes(contents: _Contents) -> bytes:
    file = file_of_zeros(len(contents.start_without_checksums()) + contents.data_bytes)
    _write_once(contents, file)
    return file.getvalue()


class _Contents:
    """What goes into a file: the arrays in the order of their data, how long they are, and the bytes before them."""

    def __init__(self, graph: Graph, facts: Mapping[str, str], level: int | None) -> None:
        _check_facts(facts)
        graph = _packed(_with_free_names(graph), level)
        try:
            document = np.frombuffer(to_json(graph), np.uint8)
        except UnicodeEncodeError as error:
            raise UnsupportedError(f"a name or text is not valid Unicode: {error}") from None
        _check_limits(graph, document.nbytes)
        arrays: dict[str, NDArray[Any] | Rows] = {}
        for name, array in zip(graph.names, graph.arrays, strict=True):
            arrays[name] = array if type(array) is np.ndarray or isinstance(array, Rows) else np.asarray(array)
        arrays[GRAPH_NAME] = document
        self._version = PACKED_VERSION if graph.packed else PLAIN_VERSION
        self._facts = facts
        self._tensors = lay_out([_described(name, array) for name, array in arrays.items()])
        self.arrays = [arrays[name] for name in self._tensors]
        self.data_bytes = sum([array.nbytes for array in self.arrays])

    def start_without_checksums(self) -> bytes:
        """As many bytes as `start` gives, for when the data has been written."""
        return self.start(["0" * CHECKSUM_DIGITS] * len(self.arrays))

    def start(self, checksums: Iterable[str]) -> bytes:
        """The bytes before the data; their number does not depend on what the checksums are."""
        try:
            start = encode(self._version, self._facts, self._tensors, "".join(checksums))
        except UnicodeEncodeError as error:
            raise UnsupportedError(f"a fact is not valid Unicode: {error}") from None
        if len(start) - 8 > LIMITS.header_bytes:
            raise UnsupportedError(
                f"the names and facts of {len(self.arrays):,} arrays take {len(start):,} bytes, over the format's "
                f"limit of {LIMITS.header_bytes:,}; keep the parts in files of their own"
            )
        return start


def _packed(graph: Graph, level: int | None) -> Graph:
    """A graph with those arrays compressed that are worth it and that a reader will unpack."""
    if level is None:
        return msgspec.structs.replace(graph, packed=[]) if graph.packed else graph
    joined = [np.asarray(array) for array in graph.arrays]
    described = [_described(name, array) for name, array in zip(graph.names, joined, strict=True)]
    arrays: list[NDArray[Any] | Rows] = [*joined]
    packed = []
    stored_bytes = unpacked_bytes = 0
    for found in pack([(dtype, array) for (_, dtype, _, _), array in zip(described, joined, strict=True)], level):
        if found is None:
            continue
        packing, stored = found
        size = arrays[packing.array].nbytes
        if is_within(stored_bytes + stored.nbytes, unpacked_bytes + size, LIMITS):
            stored_bytes, unpacked_bytes = stored_bytes + stored.nbytes, unpacked_bytes + size
            arrays[packing.array] = stored
            packed.append(packing)
    return msgspec.structs.replace(graph, arrays=arrays, packed=packed)


def _blocks(array: NDArray[Any] | Rows) -> Iterable[NDArray[Any]]:
    return array.blocks() if isinstance(array, Rows) else (array,)


def _small_blocks(array: NDArray[Any] | Rows) -> Iterator[memoryview]:
    for block in _blocks(array):
        if block.nbytes <= _CACHED_BYTES:
            yield block.data
            continue
        octets = np.frombuffer(block.data, np.uint8).data
        for start in range(0, len(octets), _CACHED_BYTES):
            yield octets[start : start + _CACHED_BYTES]


def _hashed(arrays: Iterable[NDArray[Any] | Rows], checksums: list[str]) -> Iterator[memoryview]:
    """The bytes of arrays, block by block; the checksum of each array is added once its last block is had."""
    for array in arrays:
        hasher = xxhash.xxh3_64()
        for block in _small_blocks(array):
            hasher.update(block)
            yield block
        checksums.append(hasher.hexdigest())


def _digest(blocks: Iterable[memoryview]) -> str:
    hasher = xxhash.xxh3_64()
    for block in blocks:
        hasher.update(block)
    return hasher.hexdigest()


def _described(name: str, array: NDArray[Any] | Rows) -> tuple[str, str, tuple[int, ...], int]:
    dtype = _DTYPE_NAMES.get(array.dtype)
    if dtype is None or not (isinstance(array, Rows) or array.flags.c_contiguous):
        raise UnsupportedError(
            f"an array of dtype {array.dtype} does not stand in a file as it is; its codec must make it a C-contiguous "
            "one of a plain dtype",
            path=name,
        )
    if array.ndim > LIMITS.dimensions:
        raise UnsupportedError(f"an array of {array.ndim} dimensions; the format has {LIMITS.dimensions}", path=name)
    return name, dtype, array.shape, array.nbytes


def _check_facts(facts: Mapping[str, str]) -> None:
    for name, value in facts.items():
        if type(name) is not str or type(value) is not str:
            raise UnsupportedError(f"facts are strings under strings, not {type(value).__name__} under {name!r}")
        if name in RESERVED_FACTS:
            raise UnsupportedError(f"the fact {name!r} has a name that the format uses itself; give it another")


def _check_limits(graph: Graph, graph_bytes: int) -> None:
    for what, count, limit in (
        ("bytes of graph", graph_bytes, LIMITS.graph_bytes),
        ("objects", sum([node.count for node in graph.nodes]), LIMITS.nodes),
        ("arrays", len(graph.arrays), LIMITS.arrays),
    ):
        if count > limit:
            raise UnsupportedError(
                f"the object has {count:,} {what}, over the format's limit of {limit:,}; keep its parts in files of "
                "their own, or large lists of numbers as numpy arrays"
            )


def _with_free_names(graph: Graph) -> Graph:
    taken = set(graph.names)
    if len(taken) != len(graph.names) or len(graph.names) != len(graph.arrays):
        raise UnsupportedError(
            f"{len(graph.arrays)} arrays have {len(taken)} different names; each needs one of its own"
        )
    if taken.isdisjoint(RESERVED_NAMES):
        return graph
    names = []
    for name in graph.names:
        if name in RESERVED_NAMES:
            name = next(f"{name}~{n}" for n in range(2, 2**62) if f"{name}~{n}" not in taken)
        names.append(name)
    return msgspec.structs.replace(graph, names=names)


def _pieces(start: bytes, views: Iterable[memoryview]) -> Iterator[bytes | memoryview]:
    small: list[bytes | memoryview] = [start]
    size = len(start)
    for view in views:
        is_small = view.nbytes < _SMALL_BYTES
        if is_small:
            small.append(view)
            size += view.nbytes
        if size >= _JOINED_BYTES or (small and not is_small):
            yield b"".join(small)
            small, size = [], 0
        if not is_small:
            yield np.frombuffer(view, np.uint8).data  # bytes, where memoryview.cast knows no half-precision floats
    if small:
        yield b"".join(small)


def _write_all(file: IO[bytes], piece: bytes | memoryview) -> None:
    """Write to the end: an unbuffered file may take a part only, also a regular one past 2 GB."""
    written = file.write(piece)
    while written is not None and written < len(piece):
        piece = memoryview(piece)[written:]
        written = file.write(piece)
    if written is None and isinstance(file, io.RawIOBase):
        raise BlockingIOError("the file is in non-blocking mode and takes no more now; open it in blocking mode")
