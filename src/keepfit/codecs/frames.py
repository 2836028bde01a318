"""pandas: frames, series and indexes, exactly as they stand.

A frame is kept by its blocks, so that its memory has the layout it had, and what is computed from it the same last bit.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np

from keepfit.codecs import pandas_seam as seam
from keepfit.codecs.builtin import check_equal_hashes
from keepfit.codecs.codec import Building, Codec, Reducing, check_fields
from keepfit.codecs.once import check_used_once, note_copied, once, value_range
from keepfit.codecs.pandas_arrays import CODECS as ARRAYS
from keepfit.codecs.pandas_values import CODECS as VALUES
from keepfit.codecs.pandas_values import aliases, check_moments, take, times_dtype, zone_of, zone_value
from keepfit.errors import InvalidStateError, UnsupportedError
from keepfit.graph import Node

__all__ = ["find"]

_OPTIONS = {"attrs", "unique_labels"}


class _Frame(Codec):
    """A DataFrame: its two indexes, its blocks as items, and the places of each block's columns in one array."""

    def reduce(self, obj: Any, context: Reducing) -> Node:
        _refuse_attributes(obj)
        parts = seam.block_parts(obj)
        places = np.concatenate([place for _, place in parts]) if parts else np.empty(0, np.int64)
        state = {"columns": obj.columns, "index": obj.index, "places": places, **_options(obj)}
        return Node("pandas.DataFrame", state, items=[values for values, _ in parts])

    def build(self, node: Node, context: Building) -> Any:
        import pandas as pd

        needed = {"columns", "index", "places"}
        if not needed <= node.state.keys() <= needed | _OPTIONS:
            raise InvalidStateError(f"a DataFrame has the fields {sorted(needed)}")
        columns, index, places = (node.state[name] for name in ("columns", "index", "places"))
        if not isinstance(columns, pd.Index) or not isinstance(index, pd.Index):
            raise InvalidStateError("the columns and the index of a DataFrame are indexes")
        if type(places) is not np.ndarray or places.dtype != np.int64 or places.shape != columns.shape:
            raise InvalidStateError("a DataFrame has one place for each column")
        note_copied([places], context)
        if not np.array_equal(np.sort(places), np.arange(len(columns))):
            raise InvalidStateError("the places of a DataFrame's columns are not each number once")
        blocks, start = [], 0
        for values in node.items:
            count = _columns_of(values, len(index))
            blocks.append((values, places[start : start + count]))
            start += count
        if start != len(columns):
            raise InvalidStateError("a DataFrame has as many columns as its blocks")
        return _finished(seam.frame_of_blocks(blocks, index, columns), node, context)


class _Series(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        _refuse_attributes(obj)
        _refuse_label(obj.name)
        state = {"values": seam.series_values(obj), "index": obj.index, "name": obj.name, **_options(obj)}
        return Node("pandas.Series", state)

    def build(self, node: Node, context: Building) -> Any:
        import pandas as pd

        needed = {"values", "index", "name"}
        if not needed <= node.state.keys() <= needed | _OPTIONS:
            raise InvalidStateError(f"a Series has the fields {sorted(needed)}")
        values, index, name = (node.state[field] for field in ("values", "index", "name"))
        _check_label(name)
        if not isinstance(index, pd.Index) or not _is_values(values, 1) or len(values) != len(index):
            raise InvalidStateError("a Series has an index, and an array of as many values")
        made = pd.Series(values, index=index, name=name, dtype=values.dtype, copy=False)
        return _finished(made, node, context)


class _Index(Codec):
    """An Index whose values are an array of NumPy's or of pandas' own."""

    def reduce(self, obj: Any, context: Reducing) -> Node:
        _refuse_attributes(obj)
        _refuse_label(obj.name)
        values = seam.index_values(obj)
        try:
            _labels(values, None)
        except InvalidStateError as error:
            raise UnsupportedError(f"this Index cannot be kept: {error.message}") from None
        return Node("pandas.Index", {"values": values, "name": obj.name})

    def build(self, node: Node, context: Building) -> Any:
        import pandas as pd

        values, name = take(node, "values", "name")
        _check_label(name)
        if not _is_values(values, 1):
            raise InvalidStateError("the values of an Index are an array")
        values = _labels(values, context)
        made = pd.Index(values, dtype=values.dtype, name=name, copy=False, tupleize_cols=False)
        if type(made) is not pd.Index or made.dtype != values.dtype:
            raise InvalidStateError(f"values of {values.dtype} do not make an Index")
        return made


class _RangeIndex(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        _refuse_attributes(obj)
        _refuse_label(obj.name)
        state = {"start": obj.start, "stop": obj.stop, "step": obj.step, "name": obj.name}
        return Node("pandas.RangeIndex", state)

    def build(self, node: Node, context: Building) -> Any:
        import pandas as pd

        start, stop, step, name = take(node, "start", "stop", "step", "name")
        _check_label(name)
        if not all(type(value) is int for value in (start, stop, step)) or len(range(start, stop, step)) >= 2**62:
            raise InvalidStateError("a RangeIndex has three 64-bit numbers")
        return pd.RangeIndex(start, stop, step, name=name)


class _TimesIndex(Codec):
    """A DatetimeIndex or TimedeltaIndex, with its frequency, which pandas checks."""

    def __init__(self, name: str, kind: str) -> None:
        self._name = name
        self._kind = kind

    def reduce(self, obj: Any, context: Reducing) -> Node:
        _refuse_attributes(obj)
        _refuse_label(obj.name)
        values = obj.asi8.view(f"{self._kind}8[{obj.unit}]")
        state = {"values": values, "freq": obj.freq, "name": obj.name}
        if self._kind == "M":
            state["tz"] = zone_value(obj.tz)
            try:
                check_moments(values, obj.unit, obj.tz, None)
            except InvalidStateError as error:
                raise UnsupportedError(error.message) from None
        return Node(f"pandas.{self._name}", state)

    def build(self, node: Node, context: Building) -> Any:
        import pandas as pd

        fields = ["values", "freq", "name"] + (["tz"] if self._kind == "M" else [])
        values, freq, name, *rest = take(node, *fields)
        _check_label(name)
        if type(values) is not np.ndarray or values.ndim != 1 or not times_dtype(values.dtype, self._kind):
            raise InvalidStateError(f"the values of a {node.type} are one row of counts of s, ms, us or ns")
        if not isinstance(freq, (pd.offsets.BaseOffset, type(None))):
            raise InvalidStateError(f"the frequency of a {node.type} is a date offset")
        dtype: Any = values.dtype
        if rest:
            zone = zone_of(rest[0])
            unit = np.datetime_data(values.dtype)[0]
            check_moments(values, unit, zone, context)
            dtype = dtype if zone is None else pd.DatetimeTZDtype(unit, zone)
        array = seam.time_array(self._name.replace("Index", "Array"), values, dtype)
        made = getattr(pd, self._name)(array, name=name, copy=False)
        if freq is not None:
            note_copied([values], context)
            made.freq = freq  # pandas refuses one that the values do not have
        return made


class _ArrayIndex(Codec):
    """A CategoricalIndex, IntervalIndex or PeriodIndex: its array and its name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def reduce(self, obj: Any, context: Reducing) -> Node:
        _refuse_attributes(obj)
        _refuse_label(obj.name)
        return Node(f"pandas.{self._name}", {"array": seam.index_values(obj), "name": obj.name})

    def build(self, node: Node, context: Building) -> Any:
        import pandas as pd

        array, name = take(node, "array", "name")
        _check_label(name)
        kinds = {
            "CategoricalIndex": pd.Categorical,
            "IntervalIndex": pd.arrays.IntervalArray,
            "PeriodIndex": pd.arrays.PeriodArray,
        }
        if type(array) is not kinds[self._name] or array.ndim != 1:
            raise InvalidStateError(f"a {self._name} has an array of its own kind")
        return getattr(pd, self._name)(array, name=name, copy=False)


class _MultiIndex(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        _refuse_attributes(obj)
        names = list(obj.names)
        for name in names:
            _refuse_label(name)
        state = {"levels": [level.rename(None) for level in obj.levels], "codes": list(obj.codes), "names": names}
        return Node("pandas.MultiIndex", {**state, "sortorder": obj.sortorder})

    def build(self, node: Node, context: Building) -> Any:
        import pandas as pd

        levels, codes, names, sortorder = check_fields(
            node, levels=list, codes=list, names=list, sortorder=(int, type(None))
        )
        if not len(levels) == len(codes) == len(names) or not all(isinstance(level, pd.Index) for level in levels):
            raise InvalidStateError("a MultiIndex has as many levels, which are indexes, as codes and names")
        for name in names:
            _check_label(name)
        for level, code in zip(levels, codes, strict=True):
            if type(code) is not np.ndarray or code.dtype.kind != "i" or code.ndim != 1:
                raise InvalidStateError("the codes of a MultiIndex are signed integers")
            if len(code):
                lowest, highest = value_range(context, code)
                if lowest < -1 or highest >= len(level):
                    raise InvalidStateError("a code of a MultiIndex is out of range")
        note_copied(codes, context)
        made = pd.MultiIndex(levels=levels, codes=codes, names=names, sortorder=sortorder, copy=False)
        if len(made) != len(codes[0]):
            raise InvalidStateError("the codes of a MultiIndex are of different lengths")
        return made


class _Flags(Codec):
    """Flags belong to a frame and are kept with it."""

    def reduce(self, obj: Any, context: Reducing) -> Node:
        raise UnsupportedError("the flags of a frame cannot be kept by themselves; keep the frame")

    def build(self, node: Node, context: Building) -> Any:
        raise InvalidStateError("the flags of a frame are kept with it")


_CODECS: dict[str, Codec] = {
    **VALUES,
    **ARRAYS,
    **aliases(_Frame(), "DataFrame", "core.frame.DataFrame"),
    **aliases(_Series(), "Series", "core.series.Series"),
    **aliases(_Index(), "Index", "core.indexes.base.Index"),
    **aliases(_RangeIndex(), "RangeIndex", "core.indexes.range.RangeIndex"),
    **aliases(_TimesIndex("DatetimeIndex", "M"), "DatetimeIndex", "core.indexes.datetimes.DatetimeIndex"),
    **aliases(_TimesIndex("TimedeltaIndex", "m"), "TimedeltaIndex", "core.indexes.timedeltas.TimedeltaIndex"),
    **aliases(_ArrayIndex("CategoricalIndex"), "CategoricalIndex", "core.indexes.category.CategoricalIndex"),
    **aliases(_ArrayIndex("IntervalIndex"), "IntervalIndex", "core.indexes.interval.IntervalIndex"),
    **aliases(_ArrayIndex("PeriodIndex"), "PeriodIndex", "core.indexes.period.PeriodIndex"),
    **aliases(_MultiIndex(), "MultiIndex", "core.indexes.multi.MultiIndex"),
    **aliases(_Flags(), "Flags", "core.flags.Flags"),
}


def find(name: str) -> Codec | None:
    """The codec of a type of pandas."""
    return _CODECS.get(name)


def _options(obj: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"attrs": dict(obj.attrs)} if obj.attrs else {}
    if not obj.flags.allows_duplicate_labels:
        options["unique_labels"] = True
    return options


def _finished(made: Any, node: Node, context: Building) -> Any:
    attrs, unique = node.state.get("attrs", {}), node.state.get("unique_labels", False)
    if type(attrs) is not dict or type(unique) is not bool:
        raise InvalidStateError("the attrs of a frame are a dict")
    if attrs:
        check_used_once(attrs, context)
        made.attrs = attrs
    if unique:
        made.flags.allows_duplicate_labels = False
    return made


def _refuse_attributes(obj: Any) -> None:
    unknown = seam.attribute_names(obj)
    if unknown:
        raise UnsupportedError(
            f"a {type(obj).__name__} with an attribute {min(unknown)!r} of its own cannot be kept; put it into .attrs"
        )


def _is_values(values: Any, dimensions: int) -> bool:
    """Whether an array can be a column or an index: NumPy's of plain numbers or objects, or one of pandas' own."""
    import pandas as pd

    if type(values) is np.ndarray:
        return values.ndim == dimensions and values.dtype.kind in "biufcO" and values.dtype.isnative
    return (
        isinstance(values, pd.api.extensions.ExtensionArray)
        and type(values) is not pd.arrays.NumpyExtensionArray
        and values.ndim == 1
    )


def _columns_of(values: Any, length: int) -> int:
    """How many columns a block has; refused where it does not fit the index."""
    import pandas as pd

    planes = (pd.arrays.DatetimeArray, pd.arrays.TimedeltaArray, pd.arrays.PeriodArray)
    if type(values) is np.ndarray or type(values) in planes:
        known = type(values) in planes or _is_values(values, 2)
        if not known or values.ndim != 2 or values.shape[1] != length:
            raise InvalidStateError("a block of a DataFrame has one row for each column, as long as the index")
        return int(values.shape[0])
    if not _is_values(values, 1) or len(values) != length:
        raise InvalidStateError("a block of a DataFrame is an array as long as the index")
    return 1


@cache
def _label_types() -> frozenset[type]:
    import pandas as pd

    return frozenset(
        {
            bool, bytes, complex, dt.date, dt.datetime, dt.time, dt.timedelta, Decimal, float, int, str, type(None),
            pd.Interval, pd.Period, pd.Timedelta, pd.Timestamp, type(pd.NA), type(pd.NaT),
        }
    )  # fmt: skip


def _is_label(value: Any) -> bool:
    """Whether a value is a label: one scalar, or a tuple of them. What nests deeper may take for ever to hash."""
    types = _label_types()
    if type(value) is tuple:
        return all(type(part) in types or isinstance(part, np.generic) for part in value) and len(value) <= 1000
    return type(value) in types or isinstance(value, np.generic)


def _check_label(value: Any) -> None:
    if not _is_label(value):
        raise InvalidStateError("a label is a scalar or a tuple of scalars")


def _refuse_label(value: Any) -> None:
    if not _is_label(value):
        raise UnsupportedError(f"the name {value!r:.80} cannot be kept; names are scalars or tuples of scalars")


def _labels(values: Any, context: Building | None) -> Any:
    """The values of an Index. Objects are looked at one by one, in an array of their own that nothing fills later."""
    if type(values) is not np.ndarray or values.dtype != object:
        return values
    return once(context, ("labels", id(values)), lambda: _checked_labels(values, context))


def _checked_labels(values: Any, context: Building | None) -> Any:
    types = _label_types()
    for value in values:
        if type(value) not in types and not _is_label(value):
            raise InvalidStateError(f"a {type(value).__name__} is no label: labels are scalars or tuples of scalars")
    if context is None:
        return values
    check_equal_hashes(list(values), context)
    copied = values.copy()
    copied.flags.writeable = values.flags.writeable
    return copied
