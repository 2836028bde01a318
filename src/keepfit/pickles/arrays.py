"""NumPy's constructors: arrays, dtypes and scalars become our own, from a checked dtype, shape and bytes.

No array of objects is ever made of bytes: those would be taken for addresses.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from keepfit.codecs.codec import Building, find_codec
from keepfit.codecs.layout import check_shape
from keepfit.errors import InvalidStateError
from keepfit.graph import Node
from keepfit.pickles.reading import Maker, Reader, entries_of, no_more, refused, text_of
from keepfit.pickles.values import MISSING, Derived, Global, Instance

__all__ = ["MAKERS", "array_of_bytes", "array_of_items", "native"]

_SIMPLE = re.compile(r"b1|[iu][1248]|f(2|4|8|12|16)|c(8|16|24|32)|[SUV]\d{1,9}|O8|O4", re.ASCII)
_UNITS = frozenset(["generic", "Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as"])
_ALIGNED_STRUCT = 0x80  # NPY_ALIGNED_STRUCT in numpy/core/include/numpy/ndarraytypes.h
_BUILDING = Building()
_ARRAY_CLASSES = {
    "numpy.ndarray": np.ndarray,
    "numpy.memmap": np.ndarray,  # where the bytes lived is not what the array is
    "numpy.core.memmap.memmap": np.ndarray,
    "numpy._core.memmap.memmap": np.ndarray,
    "numpy.matrix": np.matrix,
    "numpy.matrixlib.defmatrix.matrix": np.matrix,
    "numpy.recarray": np.recarray,
    "numpy.rec.recarray": np.recarray,
    "numpy.core.records.recarray": np.recarray,
}


def array_of_bytes(cls: Any, dtype: Any, shape: Any, data: Any, order: str) -> Any:
    """An array of plain values from its bytes."""
    check_shape(shape, _BUILDING)
    if dtype.hasobject or dtype.kind == "T":
        raise InvalidStateError("an array of objects is made of bytes, which would be taken for addresses")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise InvalidStateError(f"an array of {dtype} and shape {shape} is made of {len(data):,} bytes")
    array = np.ndarray(shape, dtype, bytearray(data) if len(data) else None, order="F" if order == "F" else "C")
    if cls is np.matrix and array.ndim != 2:
        raise InvalidStateError("a matrix has two dimensions")
    return array if cls is np.ndarray else array.view(cls)


def native(array: Any) -> Any:
    """An array in this machine's byte order, as NumPy turns one that it unpickles (``array_setstate``)."""
    dtype = array.dtype
    if dtype.isnative or dtype.names is not None or dtype.subdtype is not None:
        return array
    return array.astype(dtype.newbyteorder("="))


def array_of_items(cls: Any, shape: Any, items: Any, order: str) -> Node:
    """The node of an array of objects."""
    check_shape(shape, _BUILDING)
    if cls is not np.ndarray or type(items) is not list or math.prod(shape) != len(items):
        raise InvalidStateError("an array of objects has as many items as its shape says, in a list")
    node = Node("numpy.ndarray", {"dims": ",".join(map(str, shape))}, items=items)
    if order == "F" and len(items) > 1:  # a pickle has the items in C order all the same, a node in the array's own
        node.state["order"] = "F"
        node.items = [items[place] for place in np.arange(len(items)).reshape(shape).ravel("F").tolist()]
    return node


def _array_class(value: Any) -> Any:
    name = value.full_name if type(value) is Global else ""
    if name not in _ARRAY_CLASSES:
        raise InvalidStateError(f"{name or 'a computed class'} is no class of arrays in keepfit's tables")
    return _ARRAY_CLASSES[name]


def _array(reader: Reader, record: Instance) -> Any:
    """``_reconstruct(ndarray, (0,), b'b')`` and a state of version, shape, dtype, order and contents."""
    no_more(record, state=True)
    cls, shape, code = record.args
    if shape != (0,) or type(code) is Global or reader.live(code, bytes, str) not in (b"b", "b"):
        raise InvalidStateError("an array is begun in another way than NumPy does")
    version, shape, dtype, is_fortran, data = _tuple(record.state, 5)
    if version != 1 or type(is_fortran) is not bool:
        raise InvalidStateError("the state of an array is not of version 1")
    return _contents(reader, _array_class(cls), dtype, shape, data, "F" if is_fortran else "C")


def _contents(reader: Reader, cls: Any, dtype: Any, shape: Any, data: Any, order: str) -> Any:
    dtype = reader.live(dtype, np.dtype)
    if not dtype.hasobject:
        return native(array_of_bytes(cls, dtype, shape, reader.live(data, bytes, bytearray), order))
    if dtype != np.dtype(object):
        raise InvalidStateError("an array of records with objects inside cannot be kept")
    return array_of_items(cls, shape, data, order)


def _from_buffer(reader: Reader, record: Instance) -> Any:
    """``_frombuffer(buffer, dtype, shape, order)``, of protocol 5; order K names the axes (NumPy 2.3 on)."""
    no_more(record)
    data, dtype, shape, order, axes = _tuple((*record.args, None) if len(record.args) == 4 else record.args, 5)
    plain = reader.live(dtype, np.dtype)
    made = array_of_bytes(np.ndarray, plain, shape, reader.live(data, bytes, bytearray), text_of(order, "C", "F", "K"))
    if order == "K":
        if type(axes) is not tuple or sorted(axes) != list(range(made.ndim)):
            raise InvalidStateError("the order of an array's axes is not each of them once")
        made = made.transpose(axes)
    if type(data) is bytes:
        made.flags.writeable = False
    return made


def _scalar(reader: Reader, record: Instance) -> Any:
    no_more(record)
    dtype, data = _tuple(record.args, 2)
    dtype = reader.live(dtype, np.dtype)
    data = reader.live(data, bytes)
    if dtype.hasobject or dtype.kind == "T" or len(data) != dtype.itemsize:
        raise InvalidStateError(f"a scalar of {dtype} is made of {len(data):,} bytes")
    if dtype.kind == "b" and data not in (b"\0", b"\1"):
        raise InvalidStateError("a bool is 0 or 1")
    return np.ndarray((), dtype, bytearray(data) if data else None)[()]


def _dtype(reader: Reader, record: Instance) -> Any:
    no_more(record, state=True)
    if not 1 <= len(record.args) <= 3 or record.args[1:] not in ((), (False, True), (0, 1), (False, False)):
        raise InvalidStateError("a dtype is begun in another way than NumPy does")
    start = record.args[0]
    is_record = type(start) is Global and start.full_name in ("numpy.record", "numpy.rec.record")
    text = "V0" if is_record else text_of(start)
    if record.state is MISSING:
        return _simple(text, "|")
    state = record.state
    if type(state) is not tuple or len(state) not in (8, 9) or state[0] not in (3, 4):
        raise InvalidStateError("the state of a dtype is not of version 3 or 4")
    byte_order, subdtype, names, fields, itemsize, _, flags = state[1:8]
    metadata = state[8] if len(state) == 9 else None
    if text in ("M8", "m8"):
        return np.dtype(f"{text_of(byte_order, '<', '>', '|', '=')}{text}{_unit(reader, metadata)}")
    if metadata:
        raise refused("a dtype with metadata, which cannot be kept,", record)
    if subdtype is not None:
        base, shape = _tuple(subdtype, 2)
        return _checked(Node("numpy.dtype", {"base": reader.live(base, np.dtype), "shape": shape}))
    if names is None:
        dtype = _simple(text, text_of(byte_order, "<", ">", "|", "="))
        if dtype.kind in "SUV" and itemsize != dtype.itemsize:
            raise InvalidStateError("the size of a dtype is not what its name says")
        return dtype
    dtype = _structured(reader, names, fields, itemsize, flags)
    if not is_record and itemsize != int(text[1:] or -1):
        raise InvalidStateError("the size of a dtype is not what its name says")
    return np.dtype((np.record, dtype)) if is_record else dtype


def _simple(text: str, byte_order: str) -> Any:
    if not _SIMPLE.fullmatch(text):
        raise InvalidStateError(f"{text[:80]!r} is no dtype that can be kept")
    dtype = np.dtype(text)
    return dtype if byte_order == "|" else dtype.newbyteorder(byte_order)  # type: ignore[arg-type]


def _structured(reader: Reader, names: Any, fields: Any, itemsize: Any, flags: Any) -> Any:
    table = entries_of(fields)
    if type(names) is not tuple or type(flags) is not int:
        raise InvalidStateError("the fields of a dtype are named by a tuple")
    rows = [table[text_of(name)] for name in names]
    if any(type(row) is not tuple or len(row) not in (2, 3) for row in rows):
        raise InvalidStateError("a field of a dtype has a dtype, an offset and perhaps a title")
    titles = [row[2] if len(row) == 3 else None for row in rows]
    if len(table) != len(names) + sum(title is not None for title in titles):
        raise InvalidStateError("the fields of a dtype are not those it names")
    return _checked(
        Node(
            "numpy.dtype",
            {
                "names": list(names),
                "formats": [reader.live(row[0], np.dtype) for row in rows],
                "offsets": [row[1] for row in rows],
                "titles": titles,
                "itemsize": itemsize,
                "aligned": bool(flags & _ALIGNED_STRUCT),
            },
        )
    )


def _checked(node: Node) -> Any:
    codec = find_codec(node.type)
    assert codec is not None
    return codec.build(node, _BUILDING)


def _unit(reader: Reader, metadata: Any) -> str:
    _, parts = _tuple(metadata, 2)
    unit, number, divisor, events = _tuple(parts, 4)
    name = reader.live(unit, bytes, str)
    name = name.decode("ascii", "replace") if type(name) is bytes else name
    if name not in _UNITS or type(number) is not int or not 1 <= number < 10**9 or (divisor, events) != (1, 1):
        raise InvalidStateError("the unit of a dtype of dates is none of NumPy's")
    if name == "generic":
        return ""
    return f"[{number if number != 1 else ''}{name}]"


def _masked(reader: Reader, record: Instance) -> Node:
    """``_mareconstruct(MaskedArray, ndarray, (0,), 'b')`` and a state: that of the data, the mask, the fill value."""
    no_more(record, state=True)
    cls, base, shape, code = _tuple(record.args, 4)
    if type(cls) is not Global or cls.full_name not in ("numpy.ma.MaskedArray", "numpy.ma.core.MaskedArray"):
        raise InvalidStateError("a masked array is of a class that is not in keepfit's tables")
    if _array_class(base) is not np.ndarray or shape != (0,) or reader.live(code, bytes, str) not in (b"b", "b"):
        raise InvalidStateError("a masked array is begun in another way than NumPy does")
    version, shape, dtype, is_fortran, data, mask, fill_value = _tuple(record.state, 7)
    if version != 1 or type(is_fortran) is not bool:
        raise InvalidStateError("the state of a masked array is not of version 1")
    order = "F" if is_fortran else "C"
    kind = reader.live(dtype, np.dtype)
    mask_dtype = np.ma.make_mask_descr(kind)
    masks = array_of_bytes(np.ndarray, mask_dtype, shape, reader.live(mask, bytes), order)
    if mask_dtype.kind == "b" and masks.size and masks.view("u1").max() > 1:
        raise InvalidStateError("a bool is 0 or 1")
    contents = _contents(reader, np.ndarray, dtype, shape, data, order)
    if kind.hasobject and type(filled := reader.value_of(fill_value)) is np.ndarray:  # as NumPy's own __setstate__ does
        fill_value = Derived(array_of_items(np.ndarray, (), [filled.item()], "C"))
    return Node(
        "numpy.ma.MaskedArray",
        {
            "data": Derived(contents),
            "mask": masks,
            "fill_value": fill_value,
            "hard_mask": False,
            "shared_mask": False,
        },
    )


def _masked_constant(reader: Reader, record: Instance) -> Node:
    no_more(record)
    _tuple(record.args, 0)
    return Node("numpy.ma.MaskedConstant")


def _tuple(value: Any, length: int) -> Any:
    if type(value) is not tuple or len(value) != length:
        raise InvalidStateError(f"a tuple of {length} values is not there")
    return value


MAKERS: dict[str, Maker] = {
    **{f"numpy.{core}.multiarray._reconstruct": _array for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _scalar for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _from_buffer for core in ("core", "_core")},
    "numpy.dtype": _dtype,
    "numpy.ma.core._mareconstruct": _masked,
    "numpy.ma.core.MaskedConstant": _masked_constant,
}
