"""Compressed arrays: bytes turned where that makes them smaller, in blocks, each a Zstandard frame of its own.

Blocks are turned back in threads, and what a frame says of its length is compared with what the graph says before
anything is set aside for it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import import_module
from itertools import accumulate, pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from keepfit.artifact.header import Header, checked_size, quote
from keepfit.errors import FormatError, UnsupportedError
from keepfit.graph import PLAIN_DTYPES, Graph, Limits, Packed

__all__ = ["checked_packings", "is_within", "level_of", "pack", "unpack"]

_LEVELS = range(1, 20)  # from fast to small; those above take far more memory
_USUAL_LEVEL = 3
_BLOCK_BYTES = 1 << 20  # that are turned stay in the processor's cache; frames of more are hardly smaller
_BLOCK_BYTES_MAX = 1 << 24  # that a reader takes
_WINDOW_LOG_MAX = 24
_SMALL_BYTES = 1 << 11  # not worth a place in the graph
_WORTH = 0.9  # of its size, for an array to be compressed or turned
_SAMPLE_BYTES = 1 << 16  # of each of three places
_ROW_BYTES_MAX = 1 << 10
_THREADED_BYTES = 1 << 22

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


def level_of(compress: str | int | None) -> int | None:
    """The level of compression that a caller's ``compress=`` asks for; None for none.

    Raises
    ------
    ValueError
        If it is not None, ``"zstd"`` or a level.
    """
    if compress is None:
        return None
    if type(compress) is str and compress == "zstd":
        return _USUAL_LEVEL
    if type(compress) is int and compress in _LEVELS:
        return compress
    raise ValueError(f"compress= takes None, 'zstd' or a level from 1 to 19, not {compress!r}")


@cache
def _zstd() -> Any:
    try:
        return import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    except ImportError:
        raise UnsupportedError("compressed arrays need Zstandard: pip install 'keepfit[zstd]'") from None


def pack(arrays: Iterable[tuple[str, NDArray[Any]]], level: int) -> list[tuple[Packed, NDArray[Any]] | None]:
    """Compress each array that gets smaller by a tenth at least.

    Parameters
    ----------
    arrays : iterable of (str, ndarray)
        The name of each one's dtype, a key of `PLAIN_DTYPES`, and the array, C-contiguous.
    level : int
        From 1 to 19.

    Returns
    -------
    packed : list of ((Packed, ndarray of uint8) or None)
        For each array how it is compressed and the bytes; None where it stays as it is.

    Raises
    ------
    UnsupportedError
        If there is no library for it.
    """
    zstd = _zstd()

    def compress(block: NDArray[Any]) -> bytes:
        compressor = zstd.ZstdCompressor(level)
        frame: bytes = compressor.compress(block, compressor.FLUSH_FRAME)  # in one go, so that it tells its length
        return frame

    found: list[tuple[Packed, NDArray[Any]] | None] = []
    for number, (dtype, unjoined) in enumerate(arrays):
        array = np.asarray(unjoined)
        data = array.reshape(-1).view(np.uint8) if array.size else np.empty(0, np.uint8)
        turn = _best_turn(array, data, compress)
        if turn is None:
            found.append(None)
            continue
        row, item = turn
        block = _BLOCK_BYTES // row * row
        blocks = [data[start : start + block] for start in range(0, len(data), block)]
        frames = _in_threads(lambda each: compress(_turned(each, *turn)), blocks, len(data))  # noqa: B023
        stored = np.frombuffer(b"".join(frames), np.uint8)
        packed = Packed(number, dtype, list(array.shape), row, item, block, list(map(len, frames)))
        found.append((packed, stored) if len(stored) <= _WORTH * len(data) else None)
    return found


def _best_turn(
    array: NDArray[Any], data: NDArray[Any], compress: Callable[[NDArray[Any]], bytes]
) -> tuple[int, int] | None:
    """The row and item with which a sample of an array gets smallest; None if it hardly gets smaller."""
    if len(data) < _SMALL_BYTES:
        return None
    turns = _turns(array)
    row = max(row for row, _ in turns)
    length = max(_SAMPLE_BYTES // row, 1) * row
    starts = sorted({0, (len(data) - length) // 2 // row * row, (len(data) - length) // row * row})
    samples = [data[start : start + length] for start in starts if start >= 0] or [data]
    sizes = {turn: sum(len(compress(_turned(sample, *turn))) for sample in samples) for turn in turns}
    plain = sizes.pop((1, 1))
    turn = min(sizes, key=lambda turn: sizes[turn], default=(1, 1))
    if turn == (1, 1) or sizes[turn] > _WORTH * plain:  # turning back takes time
        turn, size = (1, 1), plain
    else:
        size = sizes[turn]
    return turn if size <= _WORTH * sum(map(len, samples)) else None


def _turns(array: NDArray[Any]) -> list[tuple[int, int]]:
    """What may make an array smaller: nothing, bytes of items apart, bytes of rows apart, columns apart."""
    width = array.itemsize
    turns = [(1, 1)] + [(width, 1)] * (width > 1)
    row = array.shape[-1] * width if array.ndim > 1 else width
    if width < row <= _ROW_BYTES_MAX:
        turns.append((row, 1))
        turns += [(row, item) for item in ((8, 4) if width == 1 else (width,)) if row % item == 0 and 1 < item < row]
    return turns


def _turned(data: NDArray[Any], row: int, item: int) -> NDArray[Any]:
    if row == item:
        return data
    return np.ascontiguousarray(_items(data, row, item).transpose(1, 0, 2)).reshape(-1)


def _items(data: NDArray[Any], row: int, item: int) -> NDArray[Any]:
    """Bytes as rows of items. Items are of a dtype of their size where there is one, which is faster to move."""
    if item in (2, 4, 8):
        return data.view(f"u{item}").reshape(-1, row // item, 1)
    return data.reshape(-1, row // item, item)


def checked_packings(graph: Graph, header: Header, limits: Limits) -> dict[str, Packed]:
    """The compressed arrays of a graph by name, once what the graph says of them is sound.

    Raises
    ------
    FormatError
        If it does not fit itself or the header, or asks for more memory than the limits allow.
    """
    packings = {}
    stored_bytes = unpacked_bytes = 0
    for packed in graph.packed:
        name = graph.names[packed.array]
        tensor = header.tensors[name]
        try:
            size = checked_size(name, packed.dtype, packed.shape, limits)
        except FormatError as error:
            raise FormatError(f"the graph describes a compressed array that cannot be: {error}") from None
        row, item, block = packed.row, packed.item, packed.block
        if not 0 < item <= row <= block <= _BLOCK_BYTES_MAX or not size or row % item or block % row or size % row:
            raise FormatError(f"{quote(name)}: the blocks of the compressed array do not fit its shape")
        if (
            tensor.dtype != "U8"
            or tensor.shape != [sum(packed.frames)]
            or len(packed.frames) != -(-size // block)
            or not all(packed.frames)
        ):
            raise FormatError(f"{quote(name)}: the frames of the compressed array do not fit its blocks or its tensor")
        packings[name] = packed
        stored_bytes += tensor.shape[0]
        unpacked_bytes += size
    if not is_within(stored_bytes, unpacked_bytes, limits):
        raise FormatError(
            f"the compressed arrays unpack from {stored_bytes:,} to {unpacked_bytes:,} bytes, over the limit"
        )
    return packings


def is_within(stored_bytes: int, unpacked_bytes: int, limits: Limits) -> bool:
    """Whether compressed arrays of so many bytes may unpack to so many."""
    allowed = limits.unpacked_free_bytes + limits.unpacked_ratio * stored_bytes
    return unpacked_bytes <= min(limits.unpacked_bytes, allowed)


def unpack(parts: Mapping[str, memoryview], packings: Mapping[str, Packed]) -> dict[str, memoryview]:
    """The bytes of compressed arrays.

    Parameters
    ----------
    parts : mapping of str to memoryview
        The compressed bytes of each, by name.
    packings : mapping of str to Packed
        As `checked_packings` gives them.

    Raises
    ------
    FormatError
        If a frame is anything but one whole Zstandard frame of its block, without a dictionary.
    UnsupportedError
        If there is no library for it.
    """
    if not packings:
        return {}
    unpacked = {}
    blocks: list[tuple[str, memoryview, NDArray[Any], Packed]] = []
    for name, packed in packings.items():
        size = int(np.prod(packed.shape, dtype=np.int64)) * PLAIN_DTYPES[packed.dtype].itemsize
        data = np.empty(size, np.uint8)
        unpacked[name] = data.data
        frames = pairwise(accumulate(packed.frames, initial=0))
        blocks += [
            (name, parts[name][start:stop], data[place : place + packed.block], packed)
            for place, (start, stop) in zip(range(0, size, packed.block), frames, strict=True)
        ]
    _in_threads(lambda block: _unpack_block(*block), blocks, sum(map(len, unpacked.values())))
    return unpacked


def _unpack_block(name: str, frame: memoryview, data: NDArray[Any], packed: Packed) -> None:
    zstd = _zstd()
    size = len(data)
    try:
        info = zstd.get_frame_info(frame)
        if info.decompressed_size != size or info.dictionary_id:
            raise FormatError(
                f"{quote(name)}: a frame of the compressed array has not its block's length, or has a dictionary"
            )
        decompressor = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG_MAX})
        block = decompressor.decompress(frame, size + 1)
    except zstd.ZstdError as error:
        raise FormatError(f"{quote(name)}: the compressed array cannot be unpacked: {error}") from None
    if len(block) != size or not decompressor.eof or decompressor.unused_data:
        raise FormatError(f"{quote(name)}: a frame of the compressed array is not whole, or something follows it")
    source = np.frombuffer(block, np.uint8)
    if packed.row == packed.item:
        data[:] = source
        return
    items = _items(data, packed.row, packed.item)
    rows, columns, item = items.shape
    items[...] = source.view(items.dtype).reshape(columns, rows, item).transpose(1, 0, 2)


def _in_threads(function: Callable[[_Given], _Made], values: list[_Given], size: int) -> list[_Made]:
    """What a function makes of each value; in threads if they are of `size` bytes together that make it worth while."""
    threads = min(os.cpu_count() or 1, 8, len(values))
    if threads < 2 or size < _THREADED_BYTES:
        return list(map(function, values))
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, values))
