"""pandas: extension arrays, each by the plain arrays it is made of."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import numpy as np

from keepfit.codecs import pandas_seam as seam
from keepfit.codecs.codec import Building, Codec, Reducing, check_fields
from keepfit.codecs.once import note_copied, value_range
from keepfit.codecs.pandas_values import aliases, check_moments, take, times_dtype
from keepfit.errors import InvalidStateError, UnsupportedError
from keepfit.graph import Node

__all__ = ["CODECS"]

_OPTIONAL_ARRAY = (np.ndarray, type(None))


class _ReadOnly(Codec):
    """The codec of an extension array, with the flag that it refuses to be written to."""

    def __init__(self, inner: Codec) -> None:
        self._inner = inner

    def reduce(self, obj: Any, context: Reducing) -> Node:
        node = self._inner.reduce(obj, context)
        if seam.is_readonly(obj):
            node.state["readonly"] = True
        return node

    def build(self, node: Node, context: Building) -> Any:
        if node.state.get("readonly", True) is not True:
            raise InvalidStateError(f"a {node.type} is read-only, or does not say so")
        state = {name: value for name, value in node.state.items() if name != "readonly"}
        made = self._inner.build(Node(node.type, state, node.items, node.keys, node.array), context)
        if "readonly" in node.state:
            seam.set_readonly(made)
        return made


class _DatetimeArray(Codec):
    """Dates, with their time zone where they have one. A block of a frame is one of two dimensions."""

    def reduce(self, obj: Any, context: Reducing) -> Node:
        if getattr(obj, "freq", None) is not None:
            raise UnsupportedError(
                "an array of dates with a frequency cannot be kept by itself; keep its DatetimeIndex"
            )
        values = obj.asi8.view(f"M8[{obj.unit}]")
        dtype = None if obj.tz is None else obj.dtype
        try:
            check_moments(values, obj.unit, obj.tz, None)
        except InvalidStateError as error:
            raise UnsupportedError(error.message) from None
        return Node("pandas.arrays.DatetimeArray", {"values": values, "dtype": dtype})

    def build(self, node: Node, context: Building) -> Any:
        import pandas as pd

        values, dtype = take(node, "values", "dtype")
        _check_times(values, "M")
        if dtype is None:
            dtype = values.dtype
        elif not isinstance(dtype, pd.DatetimeTZDtype) or dtype.base != values.dtype:
            raise InvalidStateError("the dtype of dates is one with a time zone and their unit")
        unit = np.datetime_data(values.dtype)[0]
        check_moments(values, unit, getattr(dtype, "tz", None), context)
        return seam.time_array("DatetimeArray", values, dtype)


class _TimedeltaArray(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        if getattr(obj, "freq", None) is not None:
            raise UnsupportedError("an array of times with a frequency cannot be kept by itself; keep its index")
        return Node("pandas.arrays.TimedeltaArray", {"values": obj.asi8.view(f"m8[{obj.unit}]")})

    def build(self, node: Node, context: Building) -> Any:
        (values,) = check_fields(node, values=np.ndarray)
        _check_times(values, "m")
        return seam.time_array("TimedeltaArray", values, values.dtype)


class _PeriodArray(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node("pandas.arrays.PeriodArray", {"ordinals": obj.asi8, "dtype": obj.dtype})

    def build(self, node: Node, context: Building) -> Any:
        import pandas as pd

        ordinals, dtype = check_fields(node, ordinals=np.ndarray, dtype=pd.PeriodDtype)
        if ordinals.dtype != np.int64 or ordinals.ndim not in (1, 2):
            raise InvalidStateError("periods are 64-bit integers in one or two dimensions")
        return seam.time_array("PeriodArray", ordinals, dtype)


class _IntervalArray(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        state = {"left": obj.left, "right": obj.right, "closed": obj.closed}
        return Node("pandas.arrays.IntervalArray", state)

    def build(self, node: Node, context: Building) -> Any:
        import pandas as pd

        left, right, closed = take(node, "left", "right", "closed")
        if not isinstance(left, pd.Index) or not isinstance(right, pd.Index) or type(closed) is not str:
            raise InvalidStateError("intervals have an Index to the left and one to the right")
        if isinstance(left, pd.RangeIndex) or isinstance(right, pd.RangeIndex):  # which may be small and very long
            raise InvalidStateError("the bounds of intervals are numbers or times, one by one")
        note_copied([seam.index_values(left), seam.index_values(right)], context)
        return pd.arrays.IntervalArray.from_arrays(left, right, closed=closed, copy=False)


class _Categorical(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node("pandas.Categorical", {"codes": seam.category_codes(obj), "dtype": obj.dtype})

    def build(self, node: Node, context: Building) -> Any:
        import pandas as pd

        codes, dtype = check_fields(node, codes=np.ndarray, dtype=pd.CategoricalDtype)
        if codes.dtype.kind != "i" or codes.ndim not in (1, 2) or dtype.categories is None:
            raise InvalidStateError("the codes of categories are signed integers, and their dtype has categories")
        if codes.size:
            lowest, highest = value_range(context, codes)
            if lowest < -1 or highest >= len(dtype.categories):
                raise InvalidStateError("the code of a category is out of range")
        note_copied([codes], context)
        return pd.Categorical.from_codes(codes, dtype=dtype, validate=False)


class _MaskedArray(Codec):
    """Integers, floats or booleans with a mask."""

    def __init__(self, name: str, kinds: str) -> None:
        self._name = name
        self._kinds = kinds

    def reduce(self, obj: Any, context: Reducing) -> Node:
        values, mask = seam.masked_parts(obj)
        return Node(f"pandas.arrays.{self._name}", {"values": values, "mask": mask})

    def build(self, node: Node, context: Building) -> Any:
        import pandas as pd

        values, mask = check_fields(node, values=np.ndarray, mask=np.ndarray)
        if values.dtype.kind not in self._kinds or mask.dtype != np.bool_ or mask.shape != values.shape:
            raise InvalidStateError(f"the values of this {self._name} do not fit it, or its mask them")
        return getattr(pd.arrays, self._name)(values, mask, copy=False)


class _StringArray(Codec):
    """Strings, one by one, and none where one is missing. The dtype says where they are to be stored."""

    def reduce(self, obj: Any, context: Reducing) -> Node:
        items = obj.to_numpy(dtype=object, na_value=None).tolist()
        if not {str, type(None)}.issuperset(map(type, items)):
            raise UnsupportedError("a string array that holds something else than str cannot be kept")
        return Node("pandas.arrays.StringArray", {"dtype": obj.dtype}, items=items)

    def build(self, node: Node, context: Building) -> Any:
        import pandas as pd

        (dtype,) = check_fields(node, dtype=pd.StringDtype)
        if not {str, type(None)}.issuperset(map(type, node.items)):
            raise InvalidStateError("an array of strings holds strings")
        items = np.empty(len(node.items), object)
        items[:] = node.items
        return pd.array(items, dtype=dtype)


class _NumpyArray(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node("pandas.arrays.NumpyExtensionArray", {"values": np.asarray(obj)})

    def build(self, node: Node, context: Building) -> Any:
        import pandas as pd

        (values,) = check_fields(node, values=np.ndarray)
        return pd.arrays.NumpyExtensionArray(values)


class _SparseArray(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        values, places, lengths, length = seam.sparse_parts(obj)
        state = {"values": values, "places": places, "lengths": lengths, "length": int(length)}
        return Node("pandas.arrays.SparseArray", {**state, "dtype": obj.dtype})

    def build(self, node: Node, context: Building) -> Any:
        import pandas as pd

        values, places, lengths, length, dtype = check_fields(
            node, values=np.ndarray, places=np.ndarray, lengths=_OPTIONAL_ARRAY, length=int, dtype=pd.SparseDtype
        )
        _check_runs(places, lengths, length)
        if not 0 <= length < 2**31 or values.ndim != 1 or values.dtype != dtype.subtype:
            raise InvalidStateError("the values or the length of a SparseArray do not fit its dtype")
        note_copied([places], context)
        index = seam.sparse_index(places, lengths, length)
        if index.npoints != len(values):
            raise InvalidStateError("a SparseArray has as many values as places")
        return seam.sparse_array(values, index, dtype)


#: Types of Arrow by the name they print: the dtype of what carries their values, and that of Arrow it is viewed from.
_CARRIED = {
    "bool": ("?", "bool_"), "int8": ("i1", "int8"), "int16": ("i2", "int16"), "int32": ("i4", "int32"),
    "int64": ("i8", "int64"), "uint8": ("u1", "uint8"), "uint16": ("u2", "uint16"), "uint32": ("u4", "uint32"),
    "uint64": ("u8", "uint64"), "halffloat": ("f2", "float16"), "float": ("f4", "float32"),
    "double": ("f8", "float64"), "date32[day]": ("i4", "int32"), "date64[ms]": ("i8", "int64"),
    "time32[s]": ("i4", "int32"), "time32[ms]": ("i4", "int32"), "time64[us]": ("i8", "int64"),
    "time64[ns]": ("i8", "int64"),
}  # fmt: skip
_ITEMS = {"string": str, "large_string": str, "binary": bytes, "large_binary": bytes}
_STAMP = re.compile(r"timestamp\[(s|ms|us|ns)(?:, tz=([A-Za-z0-9_+:/-]{1,64}))?\]", re.ASCII)
_SPAN = re.compile(r"duration\[(s|ms|us|ns)\]", re.ASCII)
_DECIMAL = re.compile(r"decimal(128|256)\((\d{1,2}), (-?\d{1,2})\)", re.ASCII)
#: Counts in a day, and the first and last day that Python's calendar knows, in days since 1970.
_DAY = {"time32[s]": 86_400, "time32[ms]": 86_400_000, "time64[us]": 86_400_000_000, "time64[ns]": 86_400_000_000_000}
_DAYS = {"date32[day]": (-719_162, 2_932_896), "date64[ms]": (-719_162 * 86_400_000, 2_932_896 * 86_400_000)}


class _ArrowDtype(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node("pandas.ArrowDtype", {"type": _arrow_name(obj.pyarrow_dtype)})

    def build(self, node: Node, context: Building) -> Any:
        import pandas as pd

        (name,) = check_fields(node, type=str)
        return pd.ArrowDtype(_arrow_type(name))


class _ArrowArray(Codec):
    """An array of Arrow: its numbers and which are missing, or its strings, octets and decimals one by one."""

    def reduce(self, obj: Any, context: Reducing) -> Node:
        import pyarrow as pa

        column = obj.__arrow_array__()
        column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        name = _arrow_name(column.type)
        node = Node("pandas.arrays.ArrowExtensionArray", {"type": name})
        carrier = _carrier(name)
        if carrier is None:
            node.items = column.to_pylist()
            return node
        missing = np.asarray(column.is_null().to_numpy(zero_copy_only=False), np.bool_) if column.null_count else None
        if name != carrier[1].removesuffix("_"):
            column = column.view(getattr(pa, carrier[1])())
        if missing is not None:
            column = column.fill_null(pa.scalar(False if carrier[0] == "?" else 0, column.type))
        node.state |= {"values": column.to_numpy(zero_copy_only=False), "missing": missing}
        return node

    def build(self, node: Node, context: Building) -> Any:
        import pandas as pd

        name = node.state.get("type")
        if type(name) is not str:
            raise InvalidStateError("an array of Arrow has a type")
        carrier = _carrier(name)
        column = _arrow_items(node, name) if carrier is None else _arrow_values(node, name, carrier, context)
        return pd.arrays.ArrowExtensionArray(column)


def _arrow_items(node: Node, name: str) -> Any:
    import pyarrow as pa

    check_fields(node, type=str)
    kind = _ITEMS.get(name, Decimal)
    if not {kind, type(None)}.issuperset(map(type, node.items)):
        raise InvalidStateError(f"an item of an array of Arrow is not a {kind.__name__}")
    return pa.chunked_array([pa.array(node.items, type=_arrow_type(name))])


def _arrow_values(node: Node, name: str, carrier: tuple[str, str], context: Building) -> Any:
    import pyarrow as pa

    _, values, missing = check_fields(node, type=str, values=np.ndarray, missing=_OPTIONAL_ARRAY)
    if values.dtype != np.dtype(carrier[0]) or values.ndim != 1 or node.items:
        raise InvalidStateError(f"the values of an array of Arrow's {name} are one row of {carrier[0]}")
    if missing is not None and (missing.dtype != np.bool_ or missing.shape != values.shape):
        raise InvalidStateError("what is missing in an array of Arrow is told by one bool for each value")
    bounds = _DAYS.get(name) or ((0, _DAY[name] - 1) if name in _DAY else None)
    if bounds is not None and len(values):
        lowest, highest = value_range(context, values)
        if lowest < bounds[0] or highest > bounds[1]:
            raise InvalidStateError(f"a value is no {name.partition('[')[0]}")
    stamp = _STAMP.fullmatch(name)
    if stamp is not None:
        import zoneinfo

        check_moments(values, stamp[1], None if stamp[2] is None else zoneinfo.ZoneInfo("UTC"), context)
    note_copied([values], context)
    column = pa.array(values, mask=missing)
    kind = _arrow_type(name)
    return pa.chunked_array([column if column.type == kind else column.view(kind)])


def _carrier(name: str) -> tuple[str, str] | None:
    if _STAMP.fullmatch(name) or _SPAN.fullmatch(name):
        return "i8", "int64"
    return _CARRIED.get(name)


def _arrow_name(kind: Any) -> str:
    name = str(kind)
    try:
        known = _arrow_type(name) == kind
    except InvalidStateError:
        known = False
    if not known:
        raise UnsupportedError(f"columns of Arrow's type {name} cannot be kept; convert them to another dtype")
    return name


def _arrow_type(name: str) -> Any:
    try:
        import pyarrow as pa
    except ImportError:
        raise UnsupportedError("columns of Arrow need it: pip install pyarrow") from None
    if found := _STAMP.fullmatch(name):
        return pa.timestamp(found[1], tz=found[2])
    if found := _SPAN.fullmatch(name):
        return pa.duration(found[1])
    if found := _DECIMAL.fullmatch(name):
        return getattr(pa, f"decimal{found[1]}")(int(found[2]), int(found[3]))
    if name in _ITEMS:
        return getattr(pa, name)()
    if name in _CARRIED:
        head, _, unit = name.removesuffix("]").partition("[")
        return getattr(pa, head)(unit) if head in ("time32", "time64") else getattr(pa, _FACTORIES.get(head, head))()
    raise InvalidStateError(f"{name[:80]!r} is not a type of Arrow that can be kept")


_FACTORIES = {"bool": "bool_", "halffloat": "float16", "float": "float32", "double": "float64"}
_STRINGS = (
    "core.arrays.string_.StringArray", "core.arrays.string_.StringArrayNumpySemantics",
    "core.arrays.string_arrow.ArrowStringArray", "core.arrays.string_arrow.ArrowStringArrayNumpySemantics",
)  # fmt: skip

CODECS: dict[str, Codec] = {
    **aliases(_ReadOnly(_DatetimeArray()), "arrays.DatetimeArray", "core.arrays.datetimes.DatetimeArray"),
    **aliases(_ReadOnly(_TimedeltaArray()), "arrays.TimedeltaArray", "core.arrays.timedeltas.TimedeltaArray"),
    **aliases(_ReadOnly(_PeriodArray()), "arrays.PeriodArray", "core.arrays.period.PeriodArray"),
    **aliases(_ReadOnly(_IntervalArray()), "arrays.IntervalArray", "core.arrays.interval.IntervalArray"),
    **aliases(_ReadOnly(_Categorical()), "Categorical", "core.arrays.categorical.Categorical"),
    **aliases(_ReadOnly(_MaskedArray("IntegerArray", "iu")), "arrays.IntegerArray", "core.arrays.integer.IntegerArray"),
    **aliases(
        _ReadOnly(_MaskedArray("FloatingArray", "f")), "arrays.FloatingArray", "core.arrays.floating.FloatingArray"
    ),
    **aliases(_ReadOnly(_MaskedArray("BooleanArray", "b")), "arrays.BooleanArray", "core.arrays.boolean.BooleanArray"),
    **aliases(_ReadOnly(_StringArray()), "arrays.StringArray", "arrays.ArrowStringArray", *_STRINGS),
    **aliases(_ReadOnly(_NumpyArray()), "arrays.NumpyExtensionArray", "core.arrays.numpy_.NumpyExtensionArray"),
    **aliases(_ReadOnly(_SparseArray()), "arrays.SparseArray", "core.arrays.sparse.array.SparseArray"),
    **aliases(_ArrowDtype(), "ArrowDtype", "core.dtypes.dtypes.ArrowDtype"),
    **aliases(_ReadOnly(_ArrowArray()), "arrays.ArrowExtensionArray", "core.arrays.arrow.array.ArrowExtensionArray"),
}


def _check_runs(places: Any, lengths: Any, length: int) -> None:
    """Hold the places of a SparseArray to order and range; pandas itself looks at neither sign nor overflow."""
    for part in (places,) if lengths is None else (places, lengths):
        if part.dtype != np.int32 or part.ndim != 1 or part.shape != places.shape:
            raise InvalidStateError("the places of a SparseArray are 32-bit integers")
    starts = places.astype(np.int64)
    ends = starts + (1 if lengths is None else lengths)
    if starts.size and (starts[0] < 0 or ends[-1] > length or (ends <= starts).any() or (starts[1:] < ends[:-1]).any()):
        raise InvalidStateError("the places of a SparseArray are out of order or range")


def _check_times(values: Any, kind: str) -> None:
    if type(values) is not np.ndarray or values.ndim not in (1, 2) or not times_dtype(values.dtype, kind):
        raise InvalidStateError("dates and times of pandas are counts of s, ms, us or ns in one or two dimensions")
