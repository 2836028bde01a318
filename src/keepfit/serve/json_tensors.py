"""The data of a tensor as JSON has it, flat or nested, to and from the protocol's binary form.

Each datatype and depth has a decoder of its own, made once, so that what is no number is refused while it is parsed,
and numbers go straight from text into an array. ``null`` stands for NaN among floats, as JSON has no word for it.
"""

from __future__ import annotations

import math
import struct
from functools import lru_cache
from itertools import chain
from typing import Annotated, Any

import msgspec
import numpy as np

from keepfit.serve.errors import RequestError
from keepfit.serve.tensors import DATATYPES, Tensor, from_array

__all__ = ["tensor_of_json"]

_WHITE = b" \t\r\n"
_FEW = 1000


def tensor_of_json(name: str, datatype: str, shape: tuple[int, ...], data: msgspec.Raw) -> Tensor:
    """A tensor whose data is JSON.

    Parameters
    ----------
    name : str
    datatype : str
    shape : tuple of int
        Not negative, and within the limits.
    data : msgspec.Raw
        A list of all elements in C order, or lists nested as the shape is.

    Returns
    -------
    Tensor

    Raises
    ------
    RequestError
        If the datatype is unknown, the data is not of it, or not of the shape.
    """
    if datatype != "BYTES" and datatype not in DATATYPES:
        raise RequestError(f"{name!r} has the datatype {datatype[:20]!r}; known are BYTES, {', '.join(DATATYPES)}")
    depth = _depth(data)
    if depth != 1 and (depth == 0 or depth != len(shape)):
        raise RequestError(
            f"the data of {name!r} is nested {depth} deep; it has to be one list, or nested as the shape {list(shape)}"
        )
    elements = _decoded(name, datatype, depth, data)
    if depth > 1:
        elements = _flattened(name, elements, shape)
    count = math.prod(shape)
    if len(elements) != count:
        raise RequestError(f"{name!r} has {len(elements)} elements; its shape {list(shape)} takes {count}")
    if datatype == "BYTES":
        array = np.empty(count, dtype=object)
        array[:] = elements
        return from_array(name, array.reshape(shape))
    return Tensor(name, datatype, shape, _packed(name, datatype, elements))


def _depth(data: msgspec.Raw) -> int:
    depth = 0
    for byte in memoryview(data):
        if byte == 0x5B:  # [
            depth += 1
        elif byte not in _WHITE:
            break
    return depth


def _decoded(name: str, datatype: str, depth: int, data: msgspec.Raw) -> list[Any]:
    try:
        try:
            found: list[Any] = _decoder(datatype, depth).decode(data)
        except msgspec.ValidationError:
            if "INT" not in datatype:
                raise
            found = _whole_numbers(datatype, depth, data)  # some clients know no integers, and send 1.0
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the data of {name!r} is not {datatype}: {error}") from None
    return found


@lru_cache(maxsize=256)
def _decoder(datatype: str, depth: int) -> msgspec.json.Decoder[Any]:
    kind: Any = _integer(datatype) if "INT" in datatype else {"BOOL": bool, "BYTES": str}.get(datatype, float | None)
    for _ in range(depth):
        kind = list[kind]
    return msgspec.json.Decoder(kind)


def _integer(datatype: str) -> Any:
    bounds = np.iinfo(DATATYPES[datatype])
    if datatype.endswith("64"):  # NumPy refuses what 64 bits do not hold
        return Annotated[int, msgspec.Meta(ge=int(bounds.min))]
    return Annotated[int, msgspec.Meta(ge=int(bounds.min), le=int(bounds.max))]


@lru_cache(maxsize=8)
def _number_decoder(depth: int) -> msgspec.json.Decoder[Any]:
    kind: Any = int | float
    for _ in range(depth):
        kind = list[kind]
    return msgspec.json.Decoder(kind)


def _whole_numbers(datatype: str, depth: int, data: msgspec.Raw) -> list[Any]:
    bounds = np.iinfo(DATATYPES[datatype])

    def whole(value: Any) -> Any:
        if isinstance(value, list):
            return [whole(one) for one in value]
        if isinstance(value, float) and not value.is_integer():
            raise ValueError(f"{value} is not a whole number")
        if not bounds.min <= value <= bounds.max:
            raise ValueError(f"{value} is out of its range")
        return int(value)

    found: list[Any] = whole(_number_decoder(depth).decode(data))
    return found


def _flattened(name: str, elements: list[Any], shape: tuple[int, ...]) -> list[Any]:
    for inner in shape[1:]:
        if any(len(one) != inner for one in elements):
            raise RequestError(f"the lists in the data of {name!r} are not as long as its shape {list(shape)} says")
        elements = elements[0] if len(elements) == 1 else list(chain.from_iterable(elements))
    return elements


@lru_cache(maxsize=_FEW + 1)
def _doubles(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}d")


def _packed(name: str, datatype: str, elements: list[Any]) -> bytes:
    if datatype == "FP64" and len(elements) <= _FEW:
        try:
            return _doubles(len(elements)).pack(*elements)  # a fraction of what making an array takes
        except struct.error:
            pass  # there is a null
    dtype = DATATYPES[datatype]
    try:
        if dtype.itemsize < 8 and dtype.kind == "f":
            with np.errstate(over="raise"):
                return np.array(elements, dtype=dtype).tobytes()
        return np.array(elements, dtype=dtype).tobytes()
    except (OverflowError, FloatingPointError):
        raise RequestError(f"{name!r} has a number that {datatype} does not hold") from None
