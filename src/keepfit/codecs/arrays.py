"""NumPy: arrays of every dtype, scalars, masked arrays."""

from __future__ import annotations

import math
import re
from functools import cache
from typing import Any

import numpy as np

from keepfit.codecs.codec import (
    GROUPED_BYTES_MAX,
    Building,
    Codec,
    CyclicCodec,
    Reducing,
    Whole,
    check_fields,
    note_whole,
    pieces_of,
)
from keepfit.codecs.dtypes import DTYPE, as_dtype, checked_dtype, scalar_types
from keepfit.codecs.functions import FUNCTION
from keepfit.codecs.layout import LONG, check_shape, gaps_of, note_strides, with_strides
from keepfit.codecs.numpy_seam import masked_array, masked_parts
from keepfit.errors import InvalidStateError, UnsupportedError
from keepfit.graph import PLAIN_DTYPES, Node, Rows, copy_of

__all__ = ["find"]

#: Members of a group that are larger than this, on average, are copied one by one where they must be copied: memory for
#: one small array has often been used before, that for all of them together is new, and would stay as long as any does.
_APART_BYTES = 2**11

_PLAIN = {dtype: name for name, dtype in PLAIN_DTYPES.items()}


class _Array(CyclicCodec):
    """An array: its tensor, and what a tensor cannot say (another dtype, Fortran order, strides, flags)."""

    type_name = "numpy.ndarray"
    groups = True

    def reduce(self, obj: Any, context: Reducing) -> Node:
        node = Node(self.type_name)
        dtype, flags = obj.dtype, obj.flags
        if dtype in _PLAIN and flags.c_contiguous and obj.size and dtype.metadata is None:  # as nearly all are
            node.array = np.asarray(obj)
            if not flags.writeable:
                node.state["writeable"] = False
            return node
        if not obj.nbytes and _is_endless(obj.shape):
            raise UnsupportedError(f"an array of no bytes and shape {obj.shape} cannot be kept")
        if dtype.hasobject or dtype.kind == "T":
            _reduce_objects(obj, node, context)
        else:
            data = np.asarray(obj)
            if not (obj.flags.c_contiguous or obj.flags.f_contiguous):
                note_strides(data, node)
                data = data.copy(order="K")
            order = "F" if data.flags.f_contiguous and not data.flags.c_contiguous else "C"
            data = np.ascontiguousarray(data.T if order == "F" else data)
            data = data.reshape(obj.shape[::-1] if order == "F" else obj.shape)  # ascontiguousarray drops 0-d
            node.array, extra = _plain(data, dtype, context)
            node.state.update(extra)
            if order == "F":
                node.state["order"] = "F"
        if not obj.flags.writeable:
            node.state["writeable"] = False
        return node

    def reduce_group(self, objects: list[Any], context: Reducing) -> Node | None:
        first = objects[0]
        dtype, ndim, rest, writeable = first.dtype, first.ndim, first.shape[1:], first.flags.writeable
        if type(first) is not np.ndarray or not first.ndim or dtype.kind not in "biufV":
            return None
        if dtype.metadata is not None or dtype.hasobject or not dtype.itemsize or _is_endless(first.shape):
            return None
        for obj in objects:
            if obj.dtype is not dtype or (obj.shape[1:] != rest if rest else obj.ndim != ndim):
                return None
            flags = obj.flags
            if not flags.c_contiguous or flags.writeable is not writeable:
                return None
        lengths = list(map(len, objects))
        if max(lengths) * math.prod(rest) * dtype.itemsize > GROUPED_BYTES_MAX:
            return None
        rows, fields = _plain_rows(objects, context)
        columns = {name: [value] * len(objects) for name, value in fields.items()}
        if not writeable:
            columns["writeable"] = [False] * len(objects)
        return Node(self.type_name, columns=columns, array=rows, lengths=lengths)

    def new(self, node: Node, context: Building) -> Any:
        """Only arrays of objects can be part of a cycle."""
        shape = node.state.get("dims")
        if type(shape) is not str:
            raise InvalidStateError("only an array of objects can be part of a cycle")
        dims = _dims(shape, context)
        if math.prod(dims) != len(node.items):
            raise InvalidStateError("an array of objects has as many items as its shape says")
        return np.empty(dims, object, order="F" if node.state.get("order") == "F" else "C")

    def fill(self, obj: Any, node: Node, context: Building) -> None:
        flat = obj.T.reshape(-1) if node.state.get("order") == "F" else obj.reshape(-1)
        flat[:] = np.fromiter(node.items, object, len(node.items))  # as they are, where a list would be taken apart
        if node.state.get("writeable", True) is not True:
            obj.flags.writeable = False

    def build(self, node: Node, context: Building) -> Any:
        state = node.state
        if not state and node.array is not None and node.array.dtype.kind in "iuf" and node.array.size:  # as most are
            return node.array if node.array.flags.writeable else copy_of(node.array)
        writeable = state.get("writeable", True)
        if type(writeable) is not bool or state.get("order", "C") not in ("C", "F"):
            raise InvalidStateError("an array's order is C or F, and its writeable flag is a bool")
        if node.array is None:
            array = self._build_objects(node, context)
        else:
            array = node.array
            if not state.keys() <= {"dtype", "order", "writeable", "dims", "strides"}:
                raise InvalidStateError(f"an array has no fields {sorted(state)}")
            if writeable and not array.flags.writeable:
                array = copy_of(array)  # as it stands in the file: NumPy copies records field by field
            if "dtype" in state:
                array = _from_plain(array, as_dtype(state["dtype"]), state.get("dims"), context)
            elif "dims" in state:
                raise InvalidStateError("an array's shape is that of its tensor")
            _check_contents(array)
            if state.get("order") == "F":
                array = array.T
            if "strides" in state:
                array = with_strides(array, state["strides"])
        if not writeable and array.flags.writeable:
            array = array.view()
            array.flags.writeable = False
        return array

    def build_group(self, group: Node, context: Building) -> list[Any]:
        """Members are rows of one array, which is checked and turned back as a whole."""
        state, order = group.state, group.state.get("order", "C")
        if group.columns or not group.lengths or not state.keys() <= {"dtype", "order", "writeable"}:
            return super().build_group(group, context)
        if ("dtype" in state and group.array.ndim < 2) or order not in ("C", "F"):  # rows may be the octets of an item
            return super().build_group(group, context)
        whole = {name: value for name, value in state.items() if name != "order"}
        given = group.array
        is_large = given.nbytes > _APART_BYTES * group.count
        is_apart = is_large and not given.flags.writeable and state.keys().isdisjoint({"dtype", "writeable"})
        if is_apart:
            whole["writeable"] = False
        array = self.build(Node(group.type, whole, array=given), context)
        pieces = pieces_of(array, group.lengths)
        if is_apart:
            pieces = [piece.copy() for piece in pieces]
        if order == "F":
            return [piece.T for piece in pieces]
        if not is_apart:
            note_whole(Whole(array, pieces, group.lengths), context)
        return pieces

    def _build_objects(self, node: Node, context: Building) -> Any:
        if not node.state.keys() <= {"dtype", "dims", "order", "writeable"} or "dims" not in node.state:
            raise InvalidStateError("an array of objects has the fields dtype, dims, order and writeable")
        array = self.new(node, context)
        _check_contents(array)
        self.fill(array, node, context)
        dtype = as_dtype(node.state.get("dtype", "|O"))
        if dtype.kind == "O":
            return array
        if dtype.kind != "T":
            raise InvalidStateError(f"an array of {dtype} is not kept item by item")
        if not all(type(item) is str or item is getattr(dtype, "na_object", "") for item in node.items):
            raise InvalidStateError("an array of strings holds only strings")
        return array.astype(dtype, order="K")


class _Matrix(_Array):
    type_name = "numpy.matrix"

    def new(self, node: Node, context: Building) -> Any:
        raise InvalidStateError("a matrix cannot be part of a cycle")

    def build(self, node: Node, context: Building) -> Any:
        base = _ARRAY.build(node, context)
        if base.ndim != 2:
            raise InvalidStateError("a matrix has two dimensions")
        return base.view(np.matrix)


class _Records(_Array):
    type_name = "numpy.recarray"

    def reduce(self, obj: Any, context: Reducing) -> Node:
        if obj.dtype.type is not np.record:
            raise UnsupportedError("a record array whose dtype is not of records cannot be kept")
        plain = obj.view(np.dtype((np.void, obj.dtype)), np.ndarray)
        node = super().reduce(plain, context)
        node.type = self.type_name
        return node

    def new(self, node: Node, context: Building) -> Any:
        raise InvalidStateError("a record array cannot be part of a cycle")

    def build(self, node: Node, context: Building) -> Any:
        base = _ARRAY.build(node, context)
        if base.dtype.names is None:
            raise InvalidStateError("a record array has named fields")
        return base.view(np.recarray)


class _Masked(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        if obj is np.ma.masked:
            return Node("numpy.ma.MaskedConstant")
        mask, shared_mask, fill_value = masked_parts(obj)
        return Node(
            "numpy.ma.MaskedArray",
            {
                "data": np.asarray(obj.data),
                "mask": mask,
                # NumPy gives an array of objects a fill value of text of its own accord; as of objects it is the same.
                "fill_value": None if fill_value is None else np.asarray(fill_value).astype(obj.dtype, copy=False),
                "hard_mask": bool(obj.hardmask),
                "shared_mask": shared_mask,
            },
        )

    def build(self, node: Node, context: Building) -> Any:
        optional = (np.ndarray, type(None))
        data, mask, fill_value, hard, shared = check_fields(
            node, data=np.ndarray, mask=optional, fill_value=optional, hard_mask=bool, shared_mask=bool
        )
        if mask is not None and (mask.shape != data.shape or mask.dtype != np.ma.make_mask_descr(data.dtype)):
            raise InvalidStateError("the mask of a masked array does not fit its data")
        if fill_value is not None and (fill_value.shape != () or fill_value.dtype != data.dtype):
            raise InvalidStateError("the fill value of a masked array does not fit its data")
        return masked_array(data, mask, hard_mask=hard, shared_mask=shared, fill_value=fill_value)


class _MaskedConstant(Codec):
    def build(self, node: Node, context: Building) -> Any:
        check_fields(node)
        return np.ma.masked


class _Scalar(Codec):
    """A NumPy scalar: its value where that is exact in JSON's types, its bytes otherwise."""

    groups = True

    def reduce(self, obj: Any, context: Reducing) -> Node:
        dtype = obj.dtype
        if dtype.kind == "U":  # item() and tobytes() would drop zeros at the end
            return Node("numpy.scalar", {"dtype": dtype.str, "value": str.__str__(obj)})
        if dtype.kind == "S":
            return Node("numpy.scalar", {"dtype": dtype.str, "hex": bytes.hex(obj)})
        if dtype.kind in "biu" or (dtype.char == "d" and math.isfinite(obj)):
            return Node("numpy.scalar", {"dtype": _spelled(dtype.type), "value": obj.item()})
        if dtype.hasobject or dtype.names is not None or dtype.metadata or dtype.type in LONG:
            return Node("numpy.scalar", {"array": np.asarray(obj)})
        return Node("numpy.scalar", {"dtype": dtype.str, "hex": obj.tobytes().hex()})

    def reduce_group(self, objects: list[Any], context: Reducing) -> Node | None:
        dtypes = {obj.dtype for obj in objects}
        if any(dtype.kind not in "biu" or dtype.metadata for dtype in dtypes):
            return None
        columns = {"dtype": [_spelled(obj.dtype.type) for obj in objects], "value": [obj.item() for obj in objects]}
        return Node("numpy.scalar", columns=columns)

    def build(self, node: Node, context: Building) -> Any:
        if "array" in node.state:
            (array,) = check_fields(node, array=np.ndarray)
            if array.shape != ():
                raise InvalidStateError("a scalar has no dimensions")
            return array[()]
        if "hex" in node.state:
            string, digits = check_fields(node, dtype=str, hex=str)
            dtype = checked_dtype(string)
            data = bytes.fromhex(digits)
            if dtype.kind == "S" and np.bytes_(data).dtype == dtype:
                return np.bytes_(data)  # an array would drop octets of zero at the end
            if dtype.hasobject or dtype.kind in "SU" or len(data) != dtype.itemsize:
                raise InvalidStateError("the bytes of a scalar do not fit its dtype")
            return np.frombuffer(data, dtype, 1)[0] if data else np.zeros((), dtype)[()]
        string, value = check_fields(node, dtype=str, value=(bool, int, float, str))
        dtype = checked_dtype(string)
        if dtype.kind not in "biufU":
            raise InvalidStateError(f"a scalar of dtype {string} is kept by its bytes")
        if dtype.kind == "U":
            if type(value) is not str or np.str_(value).dtype != dtype:
                raise InvalidStateError(f"a scalar of dtype {string} is a string of that length")
            return np.str_(value)
        number = dtype.type(value)
        back = number.item()
        if type(back) is not type(value) or back != value:
            raise InvalidStateError(f"{value!r:.40} is not a value of dtype {dtype}")
        return number

    def build_group(self, group: Node, context: Building) -> list[Any]:
        """Numbers of one dtype are made together."""
        if group.state.keys() != {"dtype", "value"} or group.lengths:
            return super().build_group(group, context)
        strings, values = (group.columns.get(name) or [group.state[name]] * group.count for name in ("dtype", "value"))
        if not set(map(type, values)) <= {bool, int, float} or set(map(type, strings)) != {str}:
            return super().build_group(group, context)
        if len(set(strings)) > 1 or checked_dtype(strings[0]).kind not in "biuf":
            return super().build_group(group, context)
        return _numbers(values, checked_dtype(strings[0]))


@cache
def _spelled(kind: type[np.generic]) -> str:
    """The string of the dtype of scalars, which tells the two types apart that a C compiler has for 64 bits."""
    dtype = np.dtype(kind)
    string = dtype.str
    return string if np.dtype(string).char == dtype.char or dtype.char not in "qQ" else dtype.char


def _numbers(values: list[Any], dtype: np.dtype[Any]) -> list[Any]:
    """NumPy scalars of these values, which must be values of the dtype."""
    numbers = np.array(values, dtype)
    back = numbers.tolist()
    if numbers.ndim != 1 or list(map(type, back)) != list(map(type, values)) or back != values:
        raise InvalidStateError(f"one of {len(values):,} numbers is not a value of dtype {dtype}")
    return list(numbers)


def _reduce_objects(obj: Any, node: Node, context: Reducing) -> None:
    dtype = obj.dtype
    order = "F" if obj.flags.f_contiguous and not obj.flags.c_contiguous else "C"
    if dtype.kind == "T":
        node.state["dtype"] = dtype
    elif dtype.names is not None or dtype.subdtype is not None:
        raise UnsupportedError(f"arrays of dtype {dtype}, with objects inside records, cannot be kept")
    node.state["dims"] = ",".join(map(str, obj.shape))
    if order == "F":
        node.state["order"] = "F"
    flat = np.asarray(obj).T if order == "F" else np.asarray(obj)
    node.items = flat.reshape(-1).tolist()


def _plain(data: Any, dtype: np.dtype[Any], context: Reducing) -> tuple[Any, dict[str, Any]]:
    """A C-contiguous array as one of plain dtype, and what its node must say so that it can be turned back."""
    if dtype in _PLAIN and dtype.metadata is None:
        return data, {}
    extra: dict[str, Any] = {"dtype": dtype.str}
    if dtype.names is not None or dtype.metadata or dtype.type not in scalar_types():
        extra["dtype"] = _shared(dtype, context)
    if dtype.kind in "mM" and dtype.isnative:
        return data.view("<i8"), extra
    if dtype.kind == "c" and dtype.itemsize in (8, 16) and dtype.isnative:
        half = np.dtype(f"<f{dtype.itemsize // 2}")
        return data.reshape(*data.shape, 1).view(half).reshape(*data.shape, 2), extra
    if dtype.itemsize == 0:
        extra["dims"] = ",".join(map(str, data.shape))
        return np.empty(0, "u1"), extra
    raw = data.reshape(*data.shape, 1).view("u1").reshape(*data.shape, dtype.itemsize)
    gaps = gaps_of(dtype)
    if gaps:  # they hold whatever lay there, and equal values are to be equal bytes
        rows = Rows([data.reshape(-1)], gaps, like=raw.reshape(-1, dtype.itemsize))
        return rows if data.ndim == 1 else np.asarray(rows).reshape(raw.shape), extra
    return raw, extra


def _plain_rows(arrays: list[Any], context: Reducing) -> tuple[Rows, dict[str, Any]]:
    """What `_plain` gives, for C-contiguous arrays of one dtype together."""
    sample, fields = _plain(arrays[0], arrays[0].dtype, context)
    return Rows(arrays, gaps_of(arrays[0].dtype) if fields else (), like=sample), fields


def _shared(dtype: np.dtype[Any], context: Reducing) -> np.dtype[Any]:
    """The first dtype that was met of those that are alike in every way."""
    met = context.shared.setdefault(("dtype", dtype, dtype.isalignedstruct), [dtype])
    for first in met:
        if first is dtype or str(first) == str(dtype):  # to spell out a dtype takes a while
            return first  # type: ignore[no-any-return]
    met.append(dtype)
    return dtype


def _from_plain(data: Any, dtype: np.dtype[Any], dims: Any, context: Building) -> Any:
    if dtype.hasobject or dtype.kind == "T":
        raise InvalidStateError("the contents of an array of objects are not bytes")
    if dtype.itemsize == 0:
        shape = _dims(dims, context)
        return np.empty(shape, dtype)
    if dims is not None:
        raise InvalidStateError("an array's shape is that of its tensor")
    if dtype.kind in "mM" and dtype.isnative:
        if data.dtype != np.dtype("<i8"):
            raise InvalidStateError("dates are kept as 64-bit integers")
        return data.view(dtype)
    last = 2 if dtype.kind == "c" and dtype.itemsize in (8, 16) and dtype.isnative else dtype.itemsize
    part = np.dtype(f"<f{dtype.itemsize // 2}") if last == 2 and dtype.kind == "c" else np.dtype("u1")
    if data.dtype != part or data.ndim == 0 or data.shape[-1] != last:
        raise InvalidStateError(f"a tensor of {data.dtype} and shape {data.shape} does not hold values of {dtype}")
    if not data.size:
        return np.empty(data.shape[:-1], dtype)
    if not data.flags.c_contiguous:
        data = np.ascontiguousarray(data)
    return data.reshape(*data.shape[:-1], -1).view(dtype).reshape(data.shape[:-1])


def _check_contents(array: Any) -> None:
    """Refuse what no array made by NumPy holds: bools besides 0 and 1, and characters that are none."""
    if array.dtype.kind == "b" and array.size and array.view("u1").max() > 1:
        raise InvalidStateError("a bool is 0 or 1")
    if array.dtype.kind == "U" and array.dtype.itemsize and array.size:
        points = np.ascontiguousarray(array).reshape(-1).view(array.dtype.byteorder.replace("|", "=") + "u4")
        if points.max() >= 0x110000:
            raise InvalidStateError("a character of a string is none of Unicode's")
    if not array.nbytes and _is_endless(array.shape):
        raise InvalidStateError(f"an array of shape {array.shape} takes no memory, and no end of time")


def _is_endless(shape: tuple[int, ...]) -> bool:
    return max(shape, default=0) > _EMPTY_LENGTH_MAX


#: An array that takes no memory may have any length; going through it then takes for ever.
_EMPTY_LENGTH_MAX = 2**24


_DIMS = re.compile(r"(\d{1,18}(,\d{1,18})*)?", re.ASCII)


def _dims(text: Any, context: Building) -> tuple[int, ...]:
    if type(text) is not str or not _DIMS.fullmatch(text):
        raise InvalidStateError("a shape is a list of lengths")
    dims = tuple(map(int, text.split(","))) if text else ()
    check_shape(dims, context)
    return dims


@cache
def _scalar_names() -> frozenset[str]:
    return frozenset(f"numpy.{scalar.__name__}" for scalar in scalar_types())


_ARRAY, _SCALAR, _MASKED = _Array(), _Scalar(), _Masked()

_CODECS: dict[str, Codec] = {
    "numpy._ArrayFunctionDispatcher": FUNCTION,
    "numpy.dtype": DTYPE,
    "numpy.ma.MaskedArray": _MASKED,
    "numpy.ma.MaskedConstant": _MaskedConstant(),
    "numpy.ma.core.MaskedArray": _MASKED,
    "numpy.ma.core.MaskedConstant": _MASKED,
    "numpy.matrix": _Matrix(),
    "numpy.matrixlib.defmatrix.matrix": _Matrix(),
    "numpy.memmap": _ARRAY,  # where the bytes live is not what the array is
    "numpy.ndarray": _ARRAY,
    "numpy.rec.recarray": _Records(),
    "numpy.recarray": _Records(),
    "numpy.scalar": _SCALAR,
    "numpy.ufunc": FUNCTION,
    "numpy.core._multiarray_umath._ArrayFunctionDispatcher": FUNCTION,
}


def find(name: str) -> Codec | None:
    """The codec of a NumPy type."""
    codec = _CODECS.get(name)
    if codec is not None:
        return codec
    last = name.rpartition(".")[2]
    if name.startswith("numpy.dtypes.") and isinstance(getattr(np.dtypes, last, None), type):
        return DTYPE
    return _SCALAR if name in _scalar_names() else None
