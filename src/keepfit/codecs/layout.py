"""How an array lies in memory: the strides of views, and the bytes that no value covers."""

from __future__ import annotations

import math
import re
from functools import cache
from typing import Any

import numpy as np

from keepfit.codecs.codec import Building
from keepfit.errors import InvalidStateError
from keepfit.graph import Node

__all__ = ["LONG", "check_shape", "gaps_of", "note_strides", "with_strides"]

#: How much memory a view may span: this many bytes, or this many times what it holds, whichever is more.
_SPAN_BYTES, _SPAN_RATIO = 2**20, 64


def check_shape(shape: tuple[Any, ...], context: Building) -> None:
    """Refuse a shape that is not one, or that has more dimensions or bytes than an array can have."""
    if type(shape) is not tuple or len(shape) > context.limits.dimensions:
        raise InvalidStateError(f"{shape!r} is not a shape")
    size = 1
    for length in shape:
        if type(length) is not int or length < 0:
            raise InvalidStateError(f"{shape!r} is not a shape")
        size *= length or 1
    if size >= 2**56:
        raise InvalidStateError("an array is larger than any memory")


def note_strides(array: Any, node: Node) -> None:
    """Note the strides of a view, because the last bit of a matrix product may depend on them.

    A view over overlapping memory, or over far more than it holds, becomes contiguous.
    """
    itemsize = array.dtype.itemsize
    if itemsize and all(stride % itemsize == 0 for stride in array.strides):
        strides = tuple(stride // itemsize for stride in array.strides)
        if _spans(array.shape, strides, itemsize):
            node.state["strides"] = ",".join(map(str, strides))


def _spans(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> int:
    """How many items a view spans from first to last; 0 if it overlaps itself or spans too many."""
    if len(shape) != len(strides) or 0 in shape:
        return 0
    span = 1
    steps = [abs(stride) for stride in strides]
    for stride, length in sorted(zip(steps, shape, strict=True)):
        if stride < span and length > 1:  # a step no longer than what the faster axes cover
            return 0
        span += stride * (length - 1)
    return span if span * itemsize <= max(_SPAN_BYTES, _SPAN_RATIO * math.prod(shape) * itemsize) else 0


def with_strides(array: Any, text: Any) -> Any:
    """A copy of an array with these strides, in items; `InvalidStateError` if they are not those of a view."""
    if type(text) is not str or not re.fullmatch(r"-?\d{1,18}(,-?\d{1,18})*", text, re.ASCII):
        raise InvalidStateError("strides are a list of steps")
    strides = tuple(map(int, text.split(",")))
    span = _spans(array.shape, strides, array.dtype.itemsize)
    if not span:
        raise InvalidStateError(f"strides of {text} do not fit an array of shape {array.shape}")
    # An axis that runs backwards starts at its far end.
    start = sum(-stride * (length - 1) for stride, length in zip(strides, array.shape, strict=True) if stride < 0)
    base = np.empty(span, array.dtype)[start:]
    view = np.lib.stride_tricks.as_strided(base, array.shape, [stride * array.dtype.itemsize for stride in strides])
    view[...] = array
    return view


#: The scalar types whose items have padding of their own on some processors.
LONG = (np.longdouble, np.clongdouble)


@cache
def gaps_of(dtype: np.dtype[Any]) -> list[slice]:
    """The bytes of an item that no value covers: padding between fields, and that of x87's 80 bits."""
    used = np.zeros(dtype.itemsize, bool)
    _cover(dtype, used)
    edges = np.flatnonzero(np.diff(np.concatenate([[True], used, [True]]).astype(np.int8))).tolist()
    return [slice(first, last) for first, last in zip(edges[::2], edges[1::2], strict=True)]


def _cover(dtype: np.dtype[Any], used: Any) -> None:
    if dtype.names is not None:
        for name in dtype.names:
            part, offset = dtype.fields[name][:2]  # type: ignore[index]
            _cover(part, used[offset : offset + part.itemsize])
    elif dtype.subdtype is not None:
        for start in range(0, dtype.itemsize, dtype.subdtype[0].itemsize or 1):
            _cover(dtype.subdtype[0], used[start : start + dtype.subdtype[0].itemsize])
    elif dtype.type in LONG and np.finfo(np.longdouble).nmant == 63:
        for start in range(0, dtype.itemsize, np.dtype(np.longdouble).itemsize):
            used[start : start + 10] = True
    else:
        used[:] = True
