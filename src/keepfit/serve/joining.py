"""Calls as one: their rows end to end, and the answer taken apart again."""

from __future__ import annotations

import math
import struct
from collections.abc import Hashable, Sequence

from keepfit.serve.messages import Call
from keepfit.serve.tensors import DATATYPES, Tensor

__all__ = ["join", "kind_of", "rows_of", "split"]

_LENGTH = struct.Struct("<I")
_TEXTS_MAX = 100


def rows_of(call: Call) -> int:
    """How many rows a call has: the first length of its first input; 1 where it has none."""
    return call.inputs[0].shape[0] if call.inputs and call.inputs[0].shape else 1


def kind_of(call: Call) -> Hashable:
    """What two calls of one model must have in common to be joined; None where a call is to go alone.

    A call goes alone if its inputs do not have rows, and equally many, or not the bytes that these take: what is wrong
    with it must not shift the rows of others.
    """
    rows = rows_of(call)
    kind = []
    for tensor in call.inputs:
        if not tensor.shape or tensor.shape[0] != rows or not _is_whole(tensor):
            return None
        kind.append((tensor.name, tensor.datatype, tensor.shape[1:]))
    return (call.outputs, tuple(kind)) if kind and rows else None


def join(calls: Sequence[Call]) -> Call:
    """The calls, of one kind, as one: rows in their order."""
    rows = sum(map(rows_of, calls))
    inputs = (_join_column(column, rows) for column in zip(*(call.inputs for call in calls), strict=True))
    return Call(tuple(inputs), calls[0].outputs)


def _join_column(tensors: Sequence[Tensor], rows: int) -> Tensor:
    first = tensors[0]
    data = b"".join([tensor.data for tensor in tensors])
    return Tensor(first.name, first.datatype, (rows, *first.shape[1:]), data)


def split(outputs: Sequence[Tensor], counts: Sequence[int]) -> list[tuple[Tensor, ...]] | None:
    """For each of the calls that had so many rows, its rows of the outputs; None where outputs do not have as many."""
    if any(not tensor.shape or tensor.shape[0] != sum(counts) for tensor in outputs):
        return None
    parts = [_split_one(tensor, counts) for tensor in outputs]
    return [tuple(tensors) for tensors in zip(*parts, strict=True)]


def _split_one(tensor: Tensor, counts: Sequence[int]) -> list[Tensor]:
    data = memoryview(tensor.data)
    found, start = [], 0
    per_row = len(data) // sum(counts)  # of a fixed size; there is a row at least
    elements = math.prod(tensor.shape[1:])
    for count in counts:
        is_text = tensor.datatype == "BYTES"
        end = _skip(data, start, count * elements) if is_text else start + count * per_row
        found.append(Tensor(tensor.name, tensor.datatype, (count, *tensor.shape[1:]), data[start:end]))
        start = end
    return found


def _skip(data: memoryview, start: int, count: int) -> int:
    for _ in range(count):
        start += _LENGTH.size + _LENGTH.unpack_from(data, start)[0]
    return start


def _is_whole(tensor: Tensor) -> bool:
    count = math.prod(tensor.shape)
    if tensor.datatype != "BYTES":
        dtype = DATATYPES.get(tensor.datatype)
        return dtype is not None and len(tensor.data) == count * dtype.itemsize
    if count > _TEXTS_MAX:  # to look at more of them would hold up the front
        return False
    try:
        return _skip(memoryview(tensor.data), 0, count) == len(tensor.data)
    except struct.error:
        return False
