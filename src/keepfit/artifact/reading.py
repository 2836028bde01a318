"""From bytes to a graph, or a `FormatError`."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Collection, Iterator, Set
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from keepfit.artifact.compression import checked_packings, unpack
from keepfit.artifact.header import GRAPH_NAME, PACKED_VERSION, Header, Tensor, check_size, is_ours, parse, quote
from keepfit.artifact.sources import BytesSource, FileSource, Source
from keepfit.errors import FormatError
from keepfit.graph import LIMITS, PLAIN_DTYPES, Graph, Limits, Packed, Stream, from_json

__all__ = ["LARGE_BYTES", "Choose", "Reader", "read", "read_facts", "read_source", "verify_arrays"]

#: Arrays of this size are read, or mapped, by themselves.
LARGE_BYTES = 1 << 20
_START_BYTES = 1 << 16  # of a file, which hold most headers whole
_FLOATS = frozenset({"F16", "F32", "F64"})

#: From a graph without its arrays, the names of some of them.
Choose = Callable[[Graph], Collection[str]]


def read(
    data: bytes | bytearray | memoryview | mmap.mmap, *, limits: Limits = LIMITS, verify_arrays: bool = True
) -> tuple[Graph, dict[str, str]]:
    """Read a whole file.

    Parameters
    ----------
    data : bytes, bytearray, memoryview or mmap
        The file, from its first byte to its last.
    limits : Limits, default=LIMITS
        Bounds on what the file may ask for.
    verify_arrays : bool, default=True
        Whether the contents of the arrays are compared with their checksums. The header and the graph always are.
        Without it, a memory-mapped file is not read through; see `verify_arrays`.

    Returns
    -------
    graph : Graph
        Its arrays are views of `data`, read-only when `data` is. Where `data` does not start at a multiple of 8 in
        memory, those that would be unaligned are copies.
    facts : dict of str to str
        As the writer gave them, by name.

    Raises
    ------
    FormatError
        If the bytes are anything but a whole, undamaged file within the limits. The message says what they are.
    TypeError
        If `data` is not a bytes-like object.

    Notes
    -----
    Cost is linear in the header and graph, plus one pass over the arrays when they are verified. Nothing larger than a
    fixed multiple of the header and the graph's JSON is allocated. Arrays of bools are looked at in any case, because
    numpy's compiled code relies on what is in them. A file that others may change while it is mapped is
    checked as it was at that moment only; read a file that you do not own into memory.
    """
    return read_source(BytesSource(_bytes_of(data)), limits=limits, verify_arrays=verify_arrays)


def read_source(
    source: Source,
    *,
    limits: Limits = LIMITS,
    verify_arrays: bool = True,
    may_map: Choose | None = None,
    may_stream: Choose | None = None,
) -> tuple[Graph, dict[str, str]]:
    """Read a whole file part by part, as `read` does.

    Parameters
    ----------
    source : Source
        Where the file is. Arrays of at least 1 MiB are taken by themselves and smaller ones up to 1 MiB together, so
        that whoever keeps an array keeps no more than that besides.
    limits : Limits, default=LIMITS
    verify_arrays : bool, default=True
    may_map : function, default=None
        For a `FileSource`: given the graph, it names the arrays whose contents building does not look at. Those of
        them that are floats and at least 1 MiB are mapped, and not compared with their checksums.
    may_stream : function, default=None
        For a `FileSource`: given the graph, it names the arrays that building takes in portions. Those of them that are
        at least 1 MiB and not compressed are streams, good while the source is open, and compared with their checksums
        when their last row is taken.

    Returns
    -------
    graph : Graph
    facts : dict of str to str

    Raises
    ------
    FormatError
        As for `read`.
    """
    if isinstance(source, FileSource) and source.size <= LARGE_BYTES:  # one read, and one piece of memory
        source = BytesSource(source.take(0, source.size))
    reader = Reader(source, limits=limits)
    graph = reader.graph
    streams = reader.streams(may_stream) if may_stream is not None else {}
    names = [name for name in graph.names if name not in streams] if streams else graph.names
    arrays: dict[str, Any] = reader.arrays(names, verify=verify_arrays, may_map=may_map)
    arrays.update(streams)
    graph.arrays = list(map(arrays.__getitem__, graph.names))
    return graph, reader.facts


class Reader:
    """A file whose header and graph have been read, and whose arrays are read when they are asked for.

    Parameters
    ----------
    source : Source
    limits : Limits, default=LIMITS

    Attributes
    ----------
    graph : Graph
        Without its arrays.
    facts : dict of str to str

    Raises
    ------
    FormatError
        If the header or the graph is not what it must be.
    """

    def __init__(self, source: Source, *, limits: Limits = LIMITS) -> None:
        header = self._header = _header_of(source, limits)
        self._source = source
        start = header.data_start
        document = source.take(*(start + offset for offset in header.tensors[GRAPH_NAME].data_offsets))
        if xxhash.xxh3_64_hexdigest(document) != header.checksums[GRAPH_NAME]:
            raise FormatError("the graph does not match its checksum: the file is damaged; get it again")
        self.graph = from_json(document, limits=limits, is_packed=header.version == PACKED_VERSION)
        self.facts = header.facts
        _check_names(self.graph, header)
        self._packings = checked_packings(self.graph, header, limits)

    def arrays(
        self, names: Collection[str], *, verify: bool = True, may_map: Choose | None = None
    ) -> dict[str, NDArray[Any]]:
        """Some of the arrays, by name.

        Parameters
        ----------
        names : collection of str
        verify : bool, default=True
            Whether they are compared with their checksums.
        may_map : function, default=None
            As for `read_source`.

        Raises
        ------
        FormatError
            If one is damaged.
        """
        header, source = self._header, self._source
        wanted = set(names)
        mapped: dict[str, memoryview] = {}
        if may_map is not None and isinstance(source, FileSource):
            mapped = _mapped(source, header, wanted, lambda: may_map(self.graph))
            wanted -= mapped.keys()
        parts = _parts(source, header, wanted, verify=verify)
        parts.update(mapped)
        described: dict[str, Tensor | Packed] = {**header.tensors, **self._packings}
        if self._packings:
            parts.update(unpack(parts, {name: each for name, each in self._packings.items() if name in parts}))
        return {name: _array(described[name], parts[name], name) for name in names}

    def streams(self, may_stream: Choose) -> dict[str, Stream]:
        """Large arrays that are read when their rows are taken, by name.

        Parameters
        ----------
        may_stream : function
            As for `read_source`.
        """
        header, source = self._header, self._source
        if not isinstance(source, FileSource):
            return {}
        tensors, checksums = header.tensors, header.checksums
        large = {name for name, tensor in tensors.items() if _size(tensor) >= LARGE_BYTES and tensor.dtype != "BOOL"}
        large -= self._packings.keys() | {GRAPH_NAME}
        if not large:
            return {}
        return {
            name: Stream(
                PLAIN_DTYPES[tensors[name].dtype],
                tuple(tensors[name].shape),
                _Filling(source, header.data_start, tensors[name], checksums[name], name),
            )
            for name in large.intersection(may_stream(self.graph))
            if tensors[name].shape
        }


class _Filling:
    """Reads the bytes of a tensor in order, and compares them with their checksum when the last has been read."""

    def __init__(self, source: FileSource, data_start: int, tensor: Tensor, checksum: str, name: str) -> None:
        self._source, self._checksum, self._name = source, checksum, name
        self._next, self._stop = (data_start + offset for offset in tensor.data_offsets)
        self._digest = xxhash.xxh3_64()

    def __call__(self, buffer: memoryview) -> None:
        assert len(buffer) <= self._stop - self._next
        self._source.fill(buffer, self._next)
        self._next += len(buffer)
        self._digest.update(buffer)
        if self._next == self._stop and self._digest.hexdigest() != self._checksum:
            raise _damaged(self._name)


def read_facts(data: bytes | bytearray | memoryview | mmap.mmap, *, limits: Limits = LIMITS) -> dict[str, str]:
    """Read the facts of a file without its graph and arrays.

    Parameters
    ----------
    data : bytes, bytearray, memoryview or mmap
        The file, or its first bytes up to the end of the header.
    limits : Limits, default=LIMITS

    Returns
    -------
    facts : dict of str to str

    Raises
    ------
    FormatError
        If the header is damaged, or not one of a keepfit file. What follows the header is not looked at.
    TypeError
        If `data` is not a bytes-like object.
    """
    return parse(_bytes_of(data), limits).facts


def verify_arrays(data: bytes | bytearray | memoryview | mmap.mmap, *, limits: Limits = LIMITS) -> None:
    """Compare every byte of a file with its checksums: what `read` leaves out without ``verify_arrays``.

    Parameters
    ----------
    data : bytes, bytearray, memoryview or mmap
        The whole file.
    limits : Limits, default=LIMITS

    Raises
    ------
    FormatError
        If a byte is not what was written; the message names the array.
    TypeError
        If `data` is not a bytes-like object.
    """
    source = BytesSource(_bytes_of(data))
    header = _header_of(source, limits)
    _parts(source, header, header.tensors.keys() - {GRAPH_NAME}, verify=True)


def _bytes_of(data: Any) -> memoryview:
    view = memoryview(data)  # a TypeError of its own for what is not bytes-like
    if not view.contiguous:
        raise TypeError("the bytes must lie side by side; pass bytes(data)")
    return view.cast("B") if view.format != "B" or view.ndim != 1 else view


def _check_names(graph: Graph, header: Header) -> None:
    names = header.tensors.keys() - {GRAPH_NAME}
    if names != set(graph.names):
        name = min(names.symmetric_difference(graph.names) - {GRAPH_NAME}, default=GRAPH_NAME)
        raise FormatError(f"the graph and the header do not name the same arrays; one of them lacks {quote(name)}")


def _header_of(source: Source, limits: Limits) -> Header:
    start = source.take(0, min(_START_BYTES, source.size))
    end = 8 + int.from_bytes(start[:8], "little")
    if not is_ours(start):  # what it is shows in its first bytes, or its last
        data = b"".join([start, source.take(max(len(start), source.size - _START_BYTES), source.size)])
        start = memoryview(data)
    elif len(start) < end <= 8 + limits.header_bytes:
        start = source.take(0, min(end, source.size))
    header = parse(start, limits)
    check_size(header, source.size)
    return header


def _mapped(
    source: FileSource, header: Header, wanted: Set[str], may_map: Callable[[], Collection[str]]
) -> dict[str, memoryview]:
    tensors = header.tensors
    large = {name for name in wanted if tensors[name].dtype in _FLOATS and _size(tensors[name]) >= LARGE_BYTES}
    names = large.intersection(may_map()) if large else large
    if not names:
        return {}
    data = source.map()[header.data_start :]
    return {name: data[slice(*tensors[name].data_offsets)] for name in names}


def _parts(source: Source, header: Header, wanted: Set[str], *, verify: bool) -> dict[str, memoryview]:
    """The bytes of these tensors, compared with their checksums if `verify`."""
    digest = xxhash.xxh3_64_hexdigest
    tensors, checksums = header.tensors, header.checksums
    parts = {}
    for names in _runs(header, wanted):
        first = tensors[names[0]].data_offsets[0]
        data = source.take(header.data_start + first, header.data_start + tensors[names[-1]].data_offsets[1])
        for name in names:
            start, stop = tensors[name].data_offsets
            part = parts[name] = data[start - first : stop - first]
            if verify and digest(part) != checksums[name]:
                raise _damaged(name)
    return parts


def _damaged(name: str) -> FormatError:
    return FormatError(f"{quote(name)}: the array does not match its checksum; the file is damaged, get it again")


def _runs(header: Header, wanted: Set[str]) -> Iterator[list[str]]:
    """Names of tensors to be taken together: large ones alone, others that lie side by side up to `LARGE_BYTES`."""
    run: list[str] = []
    run_bytes = 0
    for name, tensor in header.tensors.items():
        start, stop = tensor.data_offsets
        size = stop - start
        if run and (run_bytes + size > LARGE_BYTES or name not in wanted):
            yield run
            run, run_bytes = [], 0
        if name in wanted:
            run.append(name)
            run_bytes += size
    if run:
        yield run


def _size(tensor: Tensor) -> int:
    return tensor.data_offsets[1] - tensor.data_offsets[0]


def _array(tensor: Tensor | Packed, part: memoryview, name: str) -> NDArray[Any]:
    array: NDArray[Any] = np.ndarray(tensor.shape, PLAIN_DTYPES[tensor.dtype], part)
    if tensor.dtype == "BOOL":
        _check_bools(array, name)
    if array.flags.aligned:
        return array
    copy = array.copy()
    copy.flags.writeable = array.flags.writeable
    return copy


def _check_bools(array: NDArray[Any], name: str) -> None:
    # numpy takes it that a bool is 0 or 1, in compiled code that allocates and indexes by counting them.
    if array.view(np.uint8).max(initial=0) > 1:
        raise FormatError(f"{quote(name)}: an array of bools holds a byte that is neither 0 nor 1")
