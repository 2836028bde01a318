"""pandas: scalars, date offsets and dtypes."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from importlib import import_module
from typing import Any

import numpy as np

from keepfit.codecs import pandas_seam as seam
from keepfit.codecs.codec import Building, Codec, Reducing, check_fields
from keepfit.codecs.once import note_copied, once
from keepfit.errors import InvalidStateError, UnsupportedError
from keepfit.graph import Node

__all__ = ["CODECS", "aliases", "check_moments", "take", "times_dtype", "zone_of", "zone_value"]

_UNITS = ("s", "ms", "us", "ns")
_FREQ = re.compile(r"-?\d{0,9}[A-Za-z]{1,6}(-[A-Za-z0-9]{1,4}){0,3}", re.ASCII)
_ZONE = re.compile(r"pytz/([A-Za-z0-9_+-]{1,64}(/[A-Za-z0-9_+-]{1,64}){0,3})", re.ASCII)
_NAT = -(2**63)


class _Timestamp(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        state = {"value": int(obj.asm8.view("i8")), "unit": obj.unit, "tz": zone_value(obj.tz)}
        node = Node("pandas.Timestamp", state)
        try:
            again = self.build(node, Building())
        except (InvalidStateError, ValueError) as error:
            raise UnsupportedError(f"the Timestamp {obj} cannot be kept: {error}") from error
        if again != obj or again.fold != obj.fold or again.unit != obj.unit:
            raise UnsupportedError(f"the Timestamp {obj} with fold={obj.fold} cannot be kept exactly")
        return node

    def build(self, node: Node, context: Building) -> Any:
        import pandas as pd

        value, unit, tz = take(node, "value", "unit", "tz")
        if type(value) is not int or type(unit) is not str or unit not in _UNITS or value == _NAT:
            raise InvalidStateError("a Timestamp is a 64-bit number of s, ms, us or ns")
        zone = zone_of(tz)
        check_moments(np.array([value]), unit, zone, None)
        made = pd.Timestamp(np.int64(value).view(f"M8[{unit}]"))
        return made if zone is None else made.tz_localize("UTC").tz_convert(zone)


class _Timedelta(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node("pandas.Timedelta", {"value": int(obj.asm8.view("i8")), "unit": obj.unit})

    def build(self, node: Node, context: Building) -> Any:
        import pandas as pd

        value, unit = check_fields(node, value=int, unit=str)
        if unit not in _UNITS or value == _NAT:
            raise InvalidStateError("a Timedelta is a 64-bit number of s, ms, us or ns")
        made = pd.Timedelta(np.int64(value).view(f"m8[{unit}]"))
        if made.unit != unit:
            raise InvalidStateError(f"the running pandas keeps no Timedelta in {unit}")
        return made


class _Period(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node("pandas.Period", {"ordinal": obj.ordinal, "freq": obj.freqstr})

    def build(self, node: Node, context: Building) -> Any:
        import pandas as pd

        ordinal, freq = check_fields(node, ordinal=int, freq=str)
        if ordinal == _NAT:
            raise InvalidStateError("a Period is not NaT")
        return pd.Period(ordinal=ordinal, freq=_checked_freq(freq))


class _Interval(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node("pandas.Interval", {"left": obj.left, "right": obj.right, "closed": obj.closed})

    def build(self, node: Node, context: Building) -> Any:
        import pandas as pd

        left, right, closed = take(node, "left", "right", "closed")
        return pd.Interval(left, right, closed=closed)


class _Missing(Codec):
    """NaT and NA, of which there is one each."""

    def __init__(self, name: str) -> None:
        self._name = name

    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node(f"pandas.{self._name}")

    def build(self, node: Node, context: Building) -> Any:
        import pandas as pd

        check_fields(node)
        return getattr(pd, self._name)


class _Offset(Codec):
    """A date offset by its alias (``2ME``, ``W-SUN``), where the alias says all."""

    def reduce(self, obj: Any, context: Reducing) -> Node:
        freq = obj.freqstr
        try:
            again = _offset_of(freq)
        except (InvalidStateError, ValueError):
            again = None
        if again != obj or type(again) is not type(obj):
            raise UnsupportedError(f"the date offset {obj!r} has no alias that says all of it, so it cannot be kept")
        return Node("pandas.DateOffset", {"freq": freq})

    def build(self, node: Node, context: Building) -> Any:
        (freq,) = check_fields(node, freq=str)
        return _offset_of(freq)


class _CategoricalDtype(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node("pandas.CategoricalDtype", {"categories": obj.categories, "ordered": obj.ordered})

    def build(self, node: Node, context: Building) -> Any:
        import pandas as pd

        categories, ordered = take(node, "categories", "ordered")
        if not isinstance(categories, (pd.Index, type(None))) or type(ordered) not in (bool, type(None)):
            raise InvalidStateError("a CategoricalDtype has an Index of categories, and an order or none")
        if type(categories) is pd.Index:  # which looks for equal ones by a table of its own
            note_copied([seam.index_values(categories)], context)
        return pd.CategoricalDtype(categories, ordered=ordered)


class _DatetimeTZDtype(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node("pandas.DatetimeTZDtype", {"unit": obj.unit, "tz": zone_value(obj.tz)})

    def build(self, node: Node, context: Building) -> Any:
        import pandas as pd

        unit, tz = take(node, "unit", "tz")
        zone = zone_of(tz)
        if type(unit) is not str or unit not in _UNITS or zone is None:
            raise InvalidStateError("a DatetimeTZDtype has a unit of s, ms, us or ns, and a time zone")
        return pd.DatetimeTZDtype(unit, zone)


class _PeriodDtype(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node("pandas.PeriodDtype", {"freq": obj.name.removeprefix("period[").removesuffix("]")})

    def build(self, node: Node, context: Building) -> Any:
        import pandas as pd

        (freq,) = check_fields(node, freq=str)
        return pd.PeriodDtype(_checked_freq(freq))


class _IntervalDtype(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node("pandas.IntervalDtype", {"subtype": obj.subtype, "closed": obj.closed})

    def build(self, node: Node, context: Building) -> Any:
        import pandas as pd

        subtype, closed = take(node, "subtype", "closed")
        if not isinstance(subtype, (np.dtype, pd.DatetimeTZDtype, type(None))):
            raise InvalidStateError("the subtype of an IntervalDtype is a dtype")
        return pd.IntervalDtype(subtype, closed=closed)


class _SparseDtype(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node("pandas.SparseDtype", {"subtype": obj.subtype, "fill_value": obj.fill_value})

    def build(self, node: Node, context: Building) -> Any:
        import pandas as pd

        subtype, fill_value = take(node, "subtype", "fill_value")
        if not isinstance(subtype, np.dtype) or not np.isscalar(fill_value):
            raise InvalidStateError("a SparseDtype has a dtype and a scalar")
        return pd.SparseDtype(subtype, fill_value)


class _StringDtype(Codec):
    """The storage of strings, and what stands for a missing one. pandas 2.2 has one name for both."""

    def reduce(self, obj: Any, context: Reducing) -> Node:
        import pandas as pd

        storage = "pyarrow" if obj.storage == "pyarrow_numpy" else obj.storage
        return Node("pandas.StringDtype", {"storage": storage, "missing": "NA" if obj.na_value is pd.NA else "NaN"})

    def build(self, node: Node, context: Building) -> Any:
        import pandas as pd

        storage, missing = check_fields(node, storage=str, missing=str)
        if storage not in ("python", "pyarrow") or missing not in ("NA", "NaN"):
            raise InvalidStateError("a StringDtype is stored by python or pyarrow, and misses NA or NaN")
        try:
            return pd.StringDtype(storage, na_value=pd.NA if missing == "NA" else np.nan)
        except ImportError as error:
            raise UnsupportedError(f"strings stored by pyarrow need it: pip install pyarrow ({error})") from None
        except TypeError:  # before pandas 2.3
            if (storage, missing) == ("python", "NaN"):
                raise UnsupportedError("these strings need pandas 2.3 or newer") from None
            return pd.StringDtype(storage if missing == "NA" else "pyarrow_numpy")


class _PlainDtype(Codec):
    """A dtype that is all in its name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node(f"pandas.{self._name}")

    def build(self, node: Node, context: Building) -> Any:
        import pandas as pd

        check_fields(node)
        return getattr(pd, self._name)()


def aliases(codec: Codec, *names: str) -> dict[str, Codec]:
    """A codec under the public name of its class, and under those that pandas gave it before 3.0."""
    return {f"pandas.{name}": codec for name in names}


_OFFSETS = (
    "BHalfYearBegin", "BHalfYearEnd", "BQuarterBegin", "BQuarterEnd", "BYearBegin", "BYearEnd", "BusinessDay",
    "BusinessHour", "BusinessMonthBegin", "BusinessMonthEnd", "CustomBusinessDay", "CustomBusinessHour",
    "CustomBusinessMonthBegin", "CustomBusinessMonthEnd", "DateOffset", "Day", "Easter", "FY5253", "FY5253Quarter",
    "HalfYearBegin", "HalfYearEnd", "Hour", "LastWeekOfMonth", "Micro", "Milli", "Minute", "MonthBegin", "MonthEnd",
    "Nano", "QuarterBegin", "QuarterEnd", "Second", "SemiMonthBegin", "SemiMonthEnd", "Week", "WeekOfMonth",
    "YearBegin", "YearEnd",
)  # fmt: skip
_INTEGERS = ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")
_DTYPES = "core.dtypes.dtypes"

CODECS: dict[str, Codec] = {
    **aliases(_Timestamp(), "Timestamp", "_libs.tslibs.timestamps.Timestamp"),
    **aliases(_Timedelta(), "Timedelta", "_libs.tslibs.timedeltas.Timedelta"),
    **aliases(_Period(), "Period", "_libs.tslibs.period.Period"),
    **aliases(_Interval(), "Interval", "_libs.interval.Interval"),
    **aliases(_Missing("NaT"), "NaT", "api.typing.NaTType", "_libs.tslibs.nattype.NaTType"),
    **aliases(_Missing("NA"), "NA", "api.typing.NAType", "_libs.missing.NAType"),
    **aliases(_Offset(), "DateOffset", *(f"_libs.tslibs.offsets.{name}" for name in _OFFSETS)),
    **aliases(_CategoricalDtype(), "CategoricalDtype", f"{_DTYPES}.CategoricalDtype"),
    **aliases(_DatetimeTZDtype(), "DatetimeTZDtype", f"{_DTYPES}.DatetimeTZDtype"),
    **aliases(_PeriodDtype(), "PeriodDtype", f"{_DTYPES}.PeriodDtype"),
    **aliases(_IntervalDtype(), "IntervalDtype", f"{_DTYPES}.IntervalDtype"),
    **aliases(_SparseDtype(), "SparseDtype", f"{_DTYPES}.SparseDtype"),
    **aliases(_StringDtype(), "StringDtype", "core.arrays.string_.StringDtype"),
    **aliases(_PlainDtype("BooleanDtype"), "BooleanDtype", "core.arrays.boolean.BooleanDtype"),
}
for _name in _INTEGERS:
    CODECS |= aliases(_PlainDtype(f"{_name}Dtype"), f"{_name}Dtype", f"core.arrays.integer.{_name}Dtype")
for _name in ("Float32", "Float64"):
    CODECS |= aliases(_PlainDtype(f"{_name}Dtype"), f"{_name}Dtype", f"core.arrays.floating.{_name}Dtype")


def zone_value(zone: Any) -> Any:
    """How a time zone stands in a node: as itself, or by its name where it is one of pytz's."""
    if zone is None or not type(zone).__module__.startswith("pytz"):
        return zone
    value = f"pytz/{zone.zone}"
    if not _ZONE.fullmatch(value):
        raise UnsupportedError(f"the time zone {zone!r} cannot be kept; use zoneinfo.ZoneInfo or datetime.timezone")
    return value


def zone_of(value: Any) -> dt.tzinfo | None:
    """The time zone that `zone_value` told."""
    if value is None or isinstance(value, dt.tzinfo):
        return value
    found = _ZONE.fullmatch(value) if type(value) is str else None
    if found is None:
        raise InvalidStateError("a time zone is an object of datetime, or the name of one of pytz's")
    try:
        pytz = import_module("pytz")
    except ImportError:
        raise UnsupportedError("a time zone of pytz needs it: pip install pytz") from None
    zone: dt.tzinfo = pytz.timezone(found[1])
    return zone


def times_dtype(dtype: Any, kind: str) -> bool:
    """Whether `dtype` is one of NumPy's that pandas can keep dates (kind ``M``) or time differences (``m``) in."""
    return isinstance(dtype, np.dtype) and dtype in [np.dtype(f"{kind}8[{unit}]") for unit in _UNITS]


def check_moments(values: Any, unit: str, zone: dt.tzinfo | None, context: Building | None) -> None:
    """Hold moments to what Python's calendar reaches: pandas 2.2 crashes on others when it is asked for one.

    Parameters
    ----------
    values : ndarray of datetime64 or int64
        Counts of `unit` since 1970; the lowest number stands for none.
    unit : str
    zone : tzinfo or None
        Local times need a margin. Before 1678 pandas 2.2 looks for a zone's offset outside its table.
    context : Building or None

    Raises
    ------
    InvalidStateError
        If a moment lies outside.
    """
    if unit == "ns" or not values.size:
        return  # 64 bits of nanoseconds reach from 1677 to 2262
    fixed = zone is None or isinstance(zone, dt.timezone)
    first = "0001-01-01" if zone is None else "0001-01-03" if fixed else "1678-01-01"
    last = "9999-12-31T23:59:59.999999" if zone is None else "9999-12-29"
    low, high = (int(np.array(day, f"M8[{unit}]").astype(np.int64)) for day in (first, last))
    lowest, highest = once(context, ("moments", id(values)), lambda: _extremes(values))
    if lowest < low or highest > high:
        raise InvalidStateError(f"a moment lies outside the years of the calendar ({first} to {last})")


def _extremes(values: Any) -> tuple[int, int]:
    counts = values.view(np.int64)
    known = counts[counts != _NAT]
    return (int(known.min()), int(known.max())) if known.size else (0, 0)


def take(node: Node, *names: str) -> Iterable[Any]:
    """The values of a node's state, which must have exactly these fields, of whatever types."""
    if node.state.keys() != set(names):
        raise InvalidStateError(f"a {node.type} has the fields {sorted(names)}, not {sorted(node.state)}")
    return [node.state[name] for name in names]


def _checked_freq(freq: str) -> str:
    if not _FREQ.fullmatch(freq):
        raise InvalidStateError(f"{freq[:40]!r} is not the alias of a frequency")
    return freq


def _offset_of(freq: str) -> Any:
    from pandas.tseries.frequencies import to_offset

    return to_offset(_checked_freq(freq))
