"""Tensors as the Open Inference Protocol sends them: a name, a datatype, a shape, and raw bytes.

One form from the wire to the model and back: data is always the protocol's binary form, little-endian and in C order,
so that a binary request reaches a worker, and NumPy, without a copy. JSON is turned into it where it comes in.

The datatypes and the binary form are those of the Open Inference Protocol v2 and its binary tensor data extension.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from keepfit.serve.errors import RequestError

__all__ = ["DATATYPES", "Tensor", "datatype_of", "from_array", "to_array", "to_list"]

DATATYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
"""The protocol's datatypes of fixed size. ``BYTES`` is the other one: text or bytes, each with its length before it."""

if TYPE_CHECKING:
    _Data = bytes | memoryview
else:
    _Data = bytes  # msgspec encodes either, and decodes to bytes, which NumPy gets aligned

#: The same for `struct`.
_CODES = dict(zip(DATATYPES, "?BHIQbhiqefd", strict=True))
_FEW = 1000
_OF_DTYPE = {dtype.str: name for name, dtype in DATATYPES.items()}
_LENGTH = struct.Struct("<I")
_DIMENSIONS_MAX = 32


class Tensor(msgspec.Struct, frozen=True, array_like=True):
    """One input or output of a model.

    Attributes
    ----------
    name : str
    datatype : str
        One of `DATATYPES`, or ``"BYTES"``.
    shape : tuple of int
        None of them negative, and at most 32; a message of a worker with others is none.
    data : bytes-like
        The binary form: elements little-endian in C order; for ``BYTES``, each element after its length as 4 bytes.
    """

    name: str
    datatype: str
    shape: Annotated[tuple[Annotated[int, msgspec.Meta(ge=0)], ...], msgspec.Meta(max_length=_DIMENSIONS_MAX)]
    data: _Data


def datatype_of(dtype: np.dtype[Any]) -> str:
    """The protocol's name for a dtype; ``BYTES`` for text and objects, which are sent as text.

    Raises
    ------
    RequestError
        If the protocol has no such datatype (complex numbers, dates).
    """
    if dtype.kind in "OUST":
        return "BYTES"
    name = _OF_DTYPE.get(dtype.newbyteorder("<").str)
    if name is None:
        raise RequestError(f"values of dtype {dtype} have no datatype in the Open Inference Protocol")
    return name


def to_array(tensor: Tensor) -> np.ndarray[Any, Any]:
    """The tensor as a read-only array of its shape, over the same memory; ``BYTES`` as an object array of str.

    Raises
    ------
    RequestError
        If the datatype is unknown, the data is not as long as the shape says, or text is not UTF-8.
    """
    count = math.prod(tensor.shape)
    if tensor.datatype == "BYTES":
        if count * _LENGTH.size > len(tensor.data):  # before the array is made: a shape may say anything
            raise RequestError(f"{tensor.name!r} ends before its {count} elements do")
        found = np.empty(count, dtype=object)
        found[:] = list(_texts(tensor, count))
        return found.reshape(tensor.shape)
    dtype = DATATYPES.get(tensor.datatype)
    if dtype is None:
        raise RequestError(
            f"{tensor.name!r} has the datatype {tensor.datatype!r}; known are BYTES, {', '.join(DATATYPES)}"
        )
    if len(tensor.data) != count * dtype.itemsize:
        raise RequestError(
            f"{tensor.name!r} has {len(tensor.data)} bytes of data; its shape {list(tensor.shape)} of "
            f"{tensor.datatype} takes {count * dtype.itemsize}"
        )
    return np.frombuffer(tensor.data, dtype=dtype).reshape(tensor.shape)


def to_list(tensor: Tensor) -> list[Any]:
    """All elements in C order, as Python's own numbers and texts.

    Raises
    ------
    RequestError
        As for `to_array`.
    """
    count, code = math.prod(tensor.shape), _CODES.get(tensor.datatype)
    if code is not None and count <= _FEW and len(tensor.data) == count * DATATYPES[tensor.datatype].itemsize:
        return list(struct.unpack(f"<{count}{code}", tensor.data))  # a fraction of what making an array takes
    found: list[Any] = to_array(tensor).ravel().tolist()
    return found


def from_array(name: str, array: np.ndarray[Any, Any]) -> Tensor:
    """An array as a tensor; text and other objects as ``BYTES`` of their text.

    Raises
    ------
    RequestError
        If the protocol has no datatype for it.
    """
    datatype = datatype_of(array.dtype)
    if datatype == "BYTES":
        return Tensor(name, datatype, array.shape, _with_lengths(array.ravel().tolist()))
    return Tensor(name, datatype, array.shape, array.astype(DATATYPES[datatype], copy=False).tobytes())


def _texts(tensor: Tensor, count: int) -> Iterator[str]:
    data, place = memoryview(tensor.data), 0
    for _ in range(count):
        if place + 4 > len(data):
            raise RequestError(f"{tensor.name!r} ends before its {count} elements do")
        (length,) = _LENGTH.unpack_from(data, place)
        place += 4
        if length > len(data) - place:
            raise RequestError(f"{tensor.name!r} has an element of {length} bytes, with {len(data) - place} left")
        try:
            yield str(data[place : place + length], "utf-8")
        except UnicodeDecodeError:
            raise RequestError(f"{tensor.name!r} has an element that is not UTF-8") from None
        place += length
    if place != len(data):
        raise RequestError(f"{tensor.name!r} has {len(data) - place} bytes after its {count} elements")


def _with_lengths(values: Sequence[object]) -> bytes:
    texts = [value if type(value) is bytes else str(value).encode() for value in values]
    return b"".join(part for text in texts for part in (_LENGTH.pack(len(text)), text))
