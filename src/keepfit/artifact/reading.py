"""From bytes to a graph, or a `FormatError`."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from keepfit.artifact.header import GRAPH_NAME, Header, check_size, parse, quote
from keepfit.errors import FormatError
from keepfit.graph import LIMITS, PLAIN_DTYPES, Graph, Limits, from_json

__all__ = ["read", "read_facts", "verify_arrays"]

_WIDEST_ITEM = 8


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
    view = _bytes_of(data)
    header = parse(view, limits)
    check_size(header, len(view))
    base = view[header.data_start :]
    document = base[slice(*header.tensors[GRAPH_NAME].data_offsets)]
    if xxhash.xxh3_64_hexdigest(document) != header.checksums[-1]:
        raise FormatError("the graph does not match its checksum: the file is damaged; get it again")
    graph = from_json(document, limits=limits)
    _check_names(graph, header)
    if verify_arrays:
        _check_arrays(base, header)
    graph.arrays = _arrays(base, header, graph.names)
    return graph, header.facts


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
    view = _bytes_of(data)
    header = parse(view, limits)
    check_size(header, len(view))
    _check_arrays(view[header.data_start :], header)


def _bytes_of(data: Any) -> memoryview:
    view = memoryview(data)  # a TypeError of its own for what is not bytes-like
    if not view.contiguous:
        raise TypeError("the bytes must lie side by side; pass bytes(data)")
    return view.cast("B") if view.format != "B" or view.ndim != 1 else view


def _check_names(graph: Graph, header: Header) -> None:
    missing = set(graph.names).symmetric_difference(header.tensors) - {GRAPH_NAME}
    if missing or GRAPH_NAME in graph.names:
        name = min(missing, default=GRAPH_NAME)
        raise FormatError(f"the graph and the header do not name the same arrays; one of them lacks {quote(name)}")


def _check_arrays(base: memoryview, header: Header) -> None:
    digest = xxhash.xxh3_64_hexdigest
    for (name, tensor), checksum in zip(header.tensors.items(), header.checksums, strict=True):
        start, end = tensor.data_offsets
        if digest(base[start:end]) != checksum:
            raise FormatError(
                f"{quote(name)}: the array does not match its checksum; the file is damaged, get it again"
            )


def _arrays(base: memoryview, header: Header, names: list[str]) -> list[NDArray[Any]]:
    tensors, dtypes, make = header.tensors, PLAIN_DTYPES, np.ndarray
    arrays: list[NDArray[Any]] = []
    for name in names:
        tensor = tensors[name]
        array = make(tensor.shape, dtypes[tensor.dtype], base, tensor.data_offsets[0])
        if tensor.dtype == "BOOL":
            _check_bools(array, name)
        arrays.append(array)
    return arrays if _is_aligned(base) else [_aligned(array) for array in arrays]


def _is_aligned(base: memoryview) -> bool:
    address: int = np.frombuffer(base, np.uint8).__array_interface__["data"][0]
    return address % _WIDEST_ITEM == 0


def _aligned(array: NDArray[Any]) -> NDArray[Any]:
    if array.flags.aligned:
        return array
    copy = array.copy()
    copy.flags.writeable = array.flags.writeable
    return copy


def _check_bools(array: NDArray[Any], name: str) -> None:
    # numpy takes it that a bool is 0 or 1, in compiled code that allocates and indexes by counting them.
    if array.view(np.uint8).max(initial=0) > 1:
        raise FormatError(f"{quote(name)}: an array of bools holds a byte that is neither 0 nor 1")
