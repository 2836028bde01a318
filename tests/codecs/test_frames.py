"""What pandas holds comes back exactly, or is refused at once; crafted contents never reach its compiled code."""

from __future__ import annotations

import contextlib
import datetime as dt
import zoneinfo
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from exactness import assert_kept, round_trip
from hypothesis import given, settings
from hypothesis import strategies as st

from keepfit import codecs
from keepfit.errors import InvalidStateError, KeepfitError, UnsupportedError
from keepfit.graph import Graph, Node, Ref

DAYS = {"periods": 3}


def _mixed() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "int": [1, 2, 3],
            "float": [1.0, np.nan, -0.0],
            "text": ["x", "y", None],
            "utc": pd.date_range("2020", tz="UTC", **DAYS),
            "zone": pd.date_range("2020-03-28", tz="Europe/Paris", **DAYS),
            "category": pd.Categorical(["u", None, "v"], ordered=True),
            "day": pd.date_range("2020", **DAYS),
            "int again": [4, 5, 6],
            "period": pd.period_range("2020", freq="M", **DAYS),
            "interval": pd.interval_range(0, 3),
            "span": pd.timedelta_range("1D", **DAYS),
            "sparse": pd.arrays.SparseArray([0, 0, 1]),
            "Int64": pd.array([1, None, 3], dtype="Int64"),
            "objects": [[1], {"a": 2}, None],
            "arrow": pd.array([1, None, 3], dtype="int64[pyarrow]"),
            "string": pd.array(["a", None, "é"], dtype="string"),
            "bool": [True, False, True],
        }
    )


def _with_attrs() -> pd.DataFrame:
    frame = pd.DataFrame({"a": [1]})
    frame.attrs["source"] = ["lab", 3]
    return frame


FRAMES: dict[str, Callable[[], Any]] = {
    "mixed": _mixed,
    "empty": pd.DataFrame,
    "rows only": lambda: pd.DataFrame(index=range(3)),
    "columns only": lambda: pd.DataFrame(columns=["a", "b"]),
    "C order": lambda: pd.DataFrame(np.arange(6.0).reshape(2, 3)),
    "Fortran order": lambda: pd.DataFrame(np.asfortranarray(np.arange(6.0).reshape(2, 3))),
    "names twice": lambda: pd.DataFrame(np.arange(6).reshape(2, 3), columns=["a", "a", 1]),
    "named columns": lambda: pd.DataFrame([[1, 2]], columns=pd.Index(["a", "b"], name="letters")),
    "levels": lambda: pd.DataFrame({("a", 1): [1], ("b", 2): [2.5]}),
    "every other row": lambda: _mixed().iloc[::2],
    "some columns": lambda: _mixed()[["text", "int", "zone"]],
    "turned": lambda: pd.DataFrame(np.arange(6.0).reshape(2, 3)).T,
    "attrs": _with_attrs,
    "labels must be unique": lambda: pd.DataFrame({"a": [1]}).set_flags(allows_duplicate_labels=False),
    "joined": lambda: pd.concat([pd.DataFrame({"a": [1.0, 2]}), pd.DataFrame({"b": [3.0, 4]})], axis=1),
}


@pytest.mark.parametrize("make", FRAMES.values(), ids=FRAMES.keys())
def test_a_frame_comes_back_exactly(make: Callable[[], Any]) -> None:
    frame = make()
    built = assert_kept(frame)
    pd.testing.assert_frame_equal(frame, built, check_exact=True, check_freq=True, check_flags=True)
    assert frame.attrs == built.attrs


def test_the_memory_of_a_frame_has_the_order_it_had() -> None:
    values = np.random.default_rng(0).random((50, 3))
    for frame in (
        pd.DataFrame(values),
        pd.DataFrame(np.asfortranarray(values)),
        pd.DataFrame(dict(enumerate(values.T))),
    ):
        assert frame.to_numpy().flags.c_contiguous == round_trip(frame).to_numpy().flags.c_contiguous


def test_frames_that_share_an_index_go_on_sharing_it() -> None:
    index = pd.Index(["a", "b"])
    frame, series = pd.DataFrame({"x": [1, 2]}, index=index), pd.Series([1, 2], index=index)
    built_frame, built_series, built_index = round_trip([frame, series, index])
    assert built_frame.index.is_(built_index)
    assert built_series.index.is_(built_index)


SERIES: list[Callable[[], Any]] = [
    lambda: pd.Series([1, 2], name="x"),
    lambda: pd.Series(["a", None]),
    lambda: pd.Series([], dtype=object),
    lambda: pd.Series([True]),
    lambda: pd.Series([1 + 2j]),
    lambda: pd.Series(np.array([1, 2], np.float16)),
    lambda: pd.Series(pd.date_range("2020", **DAYS)),
    lambda: pd.Series([1.5], index=pd.MultiIndex.from_tuples([("a", 1)], names=["x", ("y", 2)]), name=("n", 1)),
    lambda: pd.Series([None, "x"], dtype=object, index=[2.5, 1.5]),
    lambda: pd.Series([Decimal("1.50"), None], dtype=pd.ArrowDtype(pa.decimal128(10, 2))),
    lambda: pd.Series([b"a", None], dtype=pd.ArrowDtype(pa.binary())),
    lambda: pd.Series(["a", None], dtype=pd.ArrowDtype(pa.string())),
]


@pytest.mark.parametrize("make", SERIES, ids=lambda make: repr(make().dtype))
def test_a_series_comes_back_exactly(make: Callable[[], Any]) -> None:
    built = assert_kept(make())
    pd.testing.assert_series_equal(make(), built, check_exact=True, check_flags=True)


INDEXES: list[Callable[[], Any]] = [
    lambda: pd.Index([1, 2], name="q"),
    lambda: pd.Index(["a", "b"]),
    lambda: pd.Index(["a", 1, None, 2.5, b"x", ("x", 1), pd.NaT, pd.NA], dtype=object, tupleize_cols=False),
    lambda: pd.Index([1.5, np.nan]),
    lambda: pd.Index([True, False]),
    lambda: pd.Index([1, 2], dtype="uint8"),
    lambda: pd.Index([]),
    lambda: pd.Index(pd.array([1, None], dtype="Int64")),
    lambda: pd.Index(pd.array([1, None], dtype="int32[pyarrow]")),
    lambda: pd.Index(pd.array(["a", None], dtype="string[python]")),
    lambda: pd.Index([dt.date(2020, 1, 1)]),
    lambda: pd.RangeIndex(3),
    lambda: pd.RangeIndex(5, -5, -3, name=("a", 1)),
    lambda: pd.RangeIndex(0, 10**15, 7),
    lambda: pd.MultiIndex.from_product([[1, 2], ["a", "b"]], names=["x", None]),
    lambda: pd.MultiIndex.from_arrays([[1, np.nan], ["a", "b"]]),
    lambda: pd.MultiIndex.from_arrays([pd.date_range("2020", periods=2), pd.Categorical(["b", "a"])], sortorder=0),
    lambda: pd.date_range("2020", periods=4),
    lambda: pd.date_range("2020", periods=4, freq="ME", tz="Europe/Paris", name="d"),
    lambda: pd.date_range("2020", periods=4, freq="B"),
    lambda: pd.date_range("2020", periods=3, freq="W-TUE"),
    lambda: pd.date_range("2020-10-24", periods=480, freq="h", tz="America/New_York"),
    lambda: pd.date_range("2020", periods=3, tz=dt.timezone(dt.timedelta(hours=2))),
    lambda: pd.date_range("2020", periods=3, tz=zoneinfo.ZoneInfo("Asia/Tokyo"), unit="s"),
    lambda: pd.DatetimeIndex(["2020", "NaT", None]),
    lambda: pd.timedelta_range("1D", periods=3),
    lambda: pd.TimedeltaIndex([1, 5, 3]),
    lambda: pd.period_range("2020", periods=3, freq="Q-MAR"),
    lambda: pd.PeriodIndex(["2020", "NaT"], freq="M"),
    lambda: pd.interval_range(0, 3, closed="both"),
    lambda: pd.interval_range(pd.Timestamp("2020"), periods=3),
    lambda: pd.IntervalIndex.from_tuples([(0, 1), np.nan, (2.5, 3)]),
    lambda: pd.CategoricalIndex(["a", "b", None], ordered=True, categories=["b", "a"], name="c"),
]


@pytest.mark.parametrize("make", INDEXES, ids=lambda make: f"{type(make()).__name__}-{make().dtype}")
def test_an_index_comes_back_exactly(make: Callable[[], Any]) -> None:
    built = assert_kept(make())
    pd.testing.assert_index_equal(make(), built, exact=True, check_exact=True)
    assert getattr(make(), "freq", None) == getattr(built, "freq", None)
    assert make().names == built.names


_ARROW = [
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float", "double", "bool",
    "timestamp[us]", "timestamp[ns, tz=Europe/Paris]", "duration[ms]", "date32[day]", "date64[ms]",
    "time64[us]", "time64[ns]", "time32[s]", "time32[ms]",
]  # fmt: skip
_MASKED = ["Int8", "UInt64", "Float32", "Float64", "boolean"]
ARRAYS: list[Callable[[], Any]] = [
    lambda: pd.Categorical([1, 2, None]),
    lambda: pd.Categorical([], categories=[]),
    lambda: pd.Categorical([pd.Timestamp("2020")]),
    lambda: pd.Categorical(["a"], categories=pd.Index(["a", "b"], name="q")),
    lambda: pd.Categorical(range(300)),
    *[lambda name=name: pd.array([1, None], dtype=name) for name in _MASKED],
    lambda: pd.array(["a", None, "\u00e9"], dtype="string[python]"),
    lambda: pd.array(["a", None, ""], dtype="string[pyarrow]"),
    lambda: pd.array([], dtype="string"),
    *[lambda name=name: pd.array([1, None, 3], dtype=f"{name}[pyarrow]") for name in _ARROW],
    lambda: pd.arrays.ArrowExtensionArray(pa.chunked_array([[1.5, None], [float("nan")]])),
    lambda: pd.array([1.5, 0, 0], dtype="Sparse[float]"),
    lambda: pd.arrays.SparseArray([0, 0, 1, 1, 0], kind="block"),
    lambda: pd.arrays.SparseArray([True, False]),
    lambda: pd.arrays.NumpyExtensionArray(np.array([1, 2])),
    lambda: pd.Series([1, 2]).array,
    lambda: pd.Series(pd.date_range("2020", **DAYS, tz="UTC")).array,
    lambda: pd.interval_range(0, 2).array,
    lambda: pd.period_range("2020", freq="D", **DAYS).array,
]  # fmt: skip


@pytest.mark.parametrize("make", ARRAYS, ids=lambda make: f"{type(make()).__name__}-{make().dtype}")
def test_an_extension_array_comes_back_exactly(make: Callable[[], Any]) -> None:
    assert_kept(make())


SCALARS: list[Any] = [
    pd.Timestamp("2020-01-01 00:00:00.000000001"),
    pd.Timestamp("2020", tz="UTC"),
    pd.Timestamp("2020").as_unit("s"),
    pd.Timestamp("9999-12-31").as_unit("us"),
    pd.Timestamp("2020", tz=dt.timezone(dt.timedelta(hours=2))),
    pd.Timestamp("2020", tz=zoneinfo.ZoneInfo("Asia/Tokyo")),
    pd.Timestamp(dt.datetime(2024, 10, 27, 2, 30)).tz_localize("Europe/Paris", ambiguous=False),
    pd.Timestamp(dt.datetime(2024, 10, 27, 2, 30)).tz_localize("Europe/Paris", ambiguous=True),
    pd.Timedelta("1 day 3ns"),
    pd.Timedelta(5, "s"),
    pd.Period("2020-02", "M"),
    pd.Period("2020", "D"),
    pd.Period("2020Q1", "Q-MAR"),
    pd.Interval(0, 1),
    pd.Interval(pd.Timestamp("2020"), pd.Timestamp("2021"), closed="neither"),
    pd.NaT,
    pd.NA,
    pd.offsets.MonthEnd(2),
    pd.offsets.Day(1),
    pd.offsets.BDay(),
    pd.offsets.Week(weekday=2),
    pd.offsets.Hour(-3),
    pd.CategoricalDtype(["a", "b"], ordered=True),
    pd.CategoricalDtype(),
    pd.DatetimeTZDtype("ns", "UTC"),
    pd.PeriodDtype("M"),
    pd.IntervalDtype("int64", "left"),
    pd.SparseDtype(float, 0.0),
    pd.StringDtype("python"),
    pd.StringDtype("pyarrow"),
    pd.Int8Dtype(),
    pd.Float32Dtype(),
    pd.BooleanDtype(),
    pd.ArrowDtype(pa.decimal128(10, 2)),
    pd.ArrowDtype(pa.timestamp("us", tz="UTC")),
]


@pytest.mark.parametrize("value", SCALARS, ids=lambda value: f"{type(value).__name__}-{value!r:.40}")
def test_a_scalar_or_dtype_comes_back_exactly(value: Any) -> None:
    built = assert_kept(value)
    assert repr(value) == repr(built)
    assert getattr(value, "fold", 0) == getattr(built, "fold", 0)


def test_missing_values_stay_the_ones_there_are() -> None:
    first, second = round_trip([pd.NaT, pd.NA])
    assert first is pd.NaT
    assert second is pd.NA


def _stamped() -> Any:
    index = pd.Index([1, 2])
    index.note = "mine"
    return index


class _Mine:
    pass


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_stamped, "'note'"),
        (lambda: pd.Index([_Mine()]), "is no label"),
        (lambda: pd.Index([(1, (2, 3))], tupleize_cols=False), "is no label"),
        (lambda: pd.Series([1], name=frozenset([1])), "names are scalars"),
        (lambda: pd.DataFrame().flags, "keep the frame"),
        (lambda: pd.offsets.CustomBusinessDay(holidays=["2020-01-01"]), "no alias"),
        (lambda: pd.offsets.DateOffset(months=3), "no alias"),
        (lambda: pd.array([[1]], dtype=pd.ArrowDtype(pa.list_(pa.int64()))), "Arrow's type"),
        (lambda: pd.Series([{"a": 1}], dtype=pd.ArrowDtype(pa.struct([("a", pa.int8())]))), "Arrow's type"),
        (lambda: pd.Timestamp("0001-01-01").as_unit("s").tz_localize(dt.UTC), "calendar"),
    ],
)
def test_what_cannot_be_kept_exactly_is_refused(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(UnsupportedError, match=words):
        codecs.encode(make())


def _state(kind: str, **fields: Any) -> Callable[[Graph], None]:
    def edit(graph: Graph) -> None:
        for node in graph.nodes:
            if node.type == f"pandas.{kind}":
                node.state.update(fields)

    return edit


def _array(name: int | str, change: Callable[[Any], Any]) -> Callable[[Graph], None]:
    """Change the array of that name, or number."""

    def edit(graph: Graph) -> None:
        place = graph.names.index(name) if isinstance(name, str) else name
        graph.arrays[place] = np.ascontiguousarray(change(graph.arrays[place].copy()))

    return edit


def _one(place: int, value: Any) -> Callable[[Any], Any]:
    def change(array: Any) -> Any:
        array[place] = value
        return array

    return change


def _swap(old: str, new: Node) -> Callable[[Graph], None]:
    def edit(graph: Graph) -> None:
        for place, node in enumerate(graph.nodes):
            if node.type == old:
                graph.nodes[place] = new

    return edit


def _places(*places: int) -> Callable[[Graph], None]:
    def edit(graph: Graph) -> None:
        frame = graph.nodes[graph.roots["object"].index]
        graph.arrays[graph.nodes[frame.state["places"].index].array] = np.array(places)

    return edit


def _items(kind: str, *items: Any) -> Callable[[Graph], None]:
    def edit(graph: Graph) -> None:
        for node in graph.nodes:
            if node.type == f"pandas.{kind}":
                node.items = list(items)

    return edit


def _days() -> Any:
    return pd.Series(pd.date_range("2020", periods=3, unit="s")).array


def _zoned() -> Any:
    return pd.Series(pd.date_range("2020", periods=3, unit="s", tz="Europe/Paris")).array


_FRAME = FRAMES["levels"]
_RUNS = ARRAYS[-7]
_SPARSE = ARRAYS[-8]
HOSTILE: list[tuple[str, Callable[[], Any], Callable[[Graph], None], str]] = [
    ("a column placed twice", _FRAME, _places(0, 0), "each number once"),
    ("a column placed outside", _FRAME, _places(0, 5), "each number once"),
    ("a column placed before", _FRAME, _places(0, -1), "each number once"),
    ("too few places", _FRAME, _places(0), "one place for each column"),
    ("no blocks", _FRAME, _items("DataFrame"), "as many columns"),
    ("blocks of words", _FRAME, _items("DataFrame", "a", "b"), "as long as the index"),
    ("columns of words", _FRAME, _state("DataFrame", columns="ab"), "are indexes"),
    ("an index of another length", _FRAME, _state("RangeIndex", stop=99), "as long as the index"),
    ("attrs of words", _FRAME, _state("DataFrame", attrs="a"), "attrs of a frame"),
    ("more fields", _FRAME, _state("DataFrame", mgr=1), "has the fields"),
    ("equal labels where none may be", FRAMES["names twice"], _state("DataFrame", unique_labels=True), "do not fit"),
    ("a series too long", SERIES[0], _array(0, lambda a: np.r_[a, a]), "as many values"),
    ("a series of two dimensions", SERIES[0], _array(0, lambda a: a[None]), "as many values"),
    ("a series with a list for a name", SERIES[0], _state("Series", name=Ref(0)), "a label"),
    ("an endless range", INDEXES[11], _state("RangeIndex", step=0), "do not fit"),
    ("a range of words", INDEXES[11], _state("RangeIndex", step="1"), "three 64-bit"),
    ("a code past the categories", ARRAYS[0], _array("codes", _one(0, 2)), "out of range"),
    ("a code before the categories", ARRAYS[0], _array("codes", _one(0, -2)), "out of range"),
    ("codes unsigned", ARRAYS[0], _array("codes", lambda a: a.astype(np.uint8)), "signed"),
    ("categories twice", ARRAYS[0], _array("dtype.categories.values", lambda a: a * 0), "do not fit"),
    ("no categories", ARRAYS[0], _state("CategoricalDtype", categories=None), "has categories"),
    ("categories of words", ARRAYS[0], _state("CategoricalDtype", categories="ab"), "Index of categories"),
    ("a code past its level", INDEXES[14], _array(-1, _one(0, 2)), "out of range"),
    ("a code before its level", INDEXES[14], _array(-1, _one(0, -2)), "out of range"),
    ("codes of unequal length", INDEXES[14], _array(-1, lambda a: a[:-1]), "do not fit|different lengths"),
    ("an order that is none", INDEXES[14], _state("MultiIndex", sortorder=99), "do not fit"),
    ("a mask too short", ARRAYS[5], _array(1, lambda a: a[:-1]), "do not fit"),
    ("a mask of numbers", ARRAYS[5], _array(1, lambda a: a.astype(np.uint8)), "do not fit"),
    ("integers that are floats", ARRAYS[5], _array(0, lambda a: a.astype(float)), "do not fit"),
    ("strings that are numbers", ARRAYS[10], _items("arrays.StringArray", 1, 2), "holds strings"),
    ("strings stored in another way", ARRAYS[10], _state("StringDtype", storage="file"), "python or pyarrow"),
    ("a sparse place past the end", _SPARSE, _array("places", _one(0, 2**30)), "order or range"),
    ("a sparse place before the start", _SPARSE, _array("places", _one(0, -1)), "order or range"),
    ("a sparse run before the start", _RUNS, _array("places", _one(0, -1)), "order or range"),
    ("a sparse run past the end", _RUNS, _array("lengths", _one(0, 2**31 - 1)), "order or range"),
    ("a sparse run of nothing", _RUNS, _array("lengths", _one(0, 0)), "order or range"),
    ("sparse runs without lengths", _RUNS, _array("lengths", lambda a: a[:0]), "32-bit"),
    ("sparse values too few", _SPARSE, _array("values", lambda a: a[:0]), "as many values"),
    ("sparse places of bytes", _SPARSE, _array("places", lambda a: a.astype(np.int8)), "32-bit"),
    ("a sparse array of giant length", _SPARSE, _state("arrays.SparseArray", length=2**40), "length"),
    ("a moment outside the calendar", _days, _array(0, _one(0, 2**62)), "calendar"),
    ("a moment before the calendar", _days, _array(0, _one(0, -(2**62))), "calendar"),
    ("a moment before the table of its zone", _zoned, _array(0, _one(0, -(10**10))), "calendar"),
    ("moments that are floats", _days, _array(0, lambda a: a.astype(float)), "64-bit|counts"),
    ("a frequency it does not have", INDEXES[17], _array(0, _one(0, 0)), "do not fit"),
    ("a frequency of words", INDEXES[17], _state("DatetimeIndex", freq="D"), "date offset"),
    ("an alias of no offset", INDEXES[17], _state("DateOffset", freq="((((("), "not the alias"),
    ("an alias that pandas does not know", INDEXES[17], _state("DateOffset", freq="QQQ"), "do not fit"),
    ("a period of no frequency", SCALARS[10], _state("Period", freq="nope"), "do not fit"),
    ("a timestamp of no unit", SCALARS[0], _state("Timestamp", unit="D"), "64-bit number"),
    ("a timestamp in no zone", SCALARS[0], _state("Timestamp", tz="../../etc/passwd"), "time zone"),
    ("a timestamp that is none", SCALARS[0], _state("Timestamp", value=-(2**63)), "64-bit number"),
    ("a timestamp too far", SCALARS[2], _state("Timestamp", value=2**62), "calendar"),
    ("a span that is none", SCALARS[8], _state("Timedelta", value=-(2**63)), "64-bit number"),
    ("an interval the wrong way round", SCALARS[13], _state("Interval", left=2), "do not fit"),
    ("an interval of words", SCALARS[13], _state("Interval", left="a", right="b"), "do not fit"),
    ("an arrow type of words", ARRAYS[13], _state("arrays.ArrowExtensionArray", type="extension<x>"), "fields"),
    ("arrow values of another width", ARRAYS[13], _array(0, lambda a: a.astype(np.int64)), "one row"),
    ("an arrow mask too short", ARRAYS[13], _array(1, lambda a: a[:-1]), "one bool for each"),
    ("an arrow day outside the calendar", ARRAYS[27], _array(0, _one(0, 2**30)), "no date32"),
    ("an arrow moment outside the calendar", ARRAYS[24], _array(0, _one(0, 2**62)), "calendar"),
    ("an arrow time past midnight", ARRAYS[29], _array(0, _one(0, 2**62)), "no time64"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "edit", "words"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
def test_crafted_contents_are_refused(make: Callable[[], Any], edit: Callable[[Graph], None], words: str) -> None:
    graph = codecs.encode(make() if callable(make) else make)
    edit(graph)
    with pytest.raises(InvalidStateError, match=words):
        codecs.decode(graph)


def test_a_label_that_would_never_finish_hashing_is_refused() -> None:
    nodes = [Node("tuple")]
    for _ in range(60):
        nodes.append(Node("tuple", items=[Ref(len(nodes) - 1)] * 2))
    array = Node("numpy.ndarray", {"dims": "1"}, [Ref(len(nodes) - 1)])
    index = Node("pandas.Index", {"values": Ref(len(nodes)), "name": None})
    graph = Graph({"object": Ref(len(nodes) + 1)}, [*nodes, array, index], [], [], {})
    with pytest.raises(InvalidStateError, match="label"):
        codecs.decode(graph)


def test_labels_cannot_be_changed_after_they_were_checked() -> None:
    """A cycle: the array of labels is built after the index that names it."""
    index = Node("pandas.Index", {"values": Ref(1), "name": None})
    array = Node("numpy.ndarray", {"dims": "1"}, [Ref(2)])
    graph = Graph({"object": Ref(3)}, [index, array, Node("list"), Node("list", items=[Ref(0), Ref(1)])], [], [], {})
    with contextlib.suppress(KeepfitError):
        assert type(codecs.decode(graph)[0][0]) is not list


_CELLS = st.one_of(
    st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(max_size=4), st.booleans(), st.binary(max_size=3)
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(_CELLS, min_size=2, max_size=2), max_size=4),
    st.lists(st.text(max_size=3), min_size=2, max_size=2),
)
def test_any_small_frame_comes_back_exactly(rows: list[Any], names: list[str]) -> None:
    assert_kept(pd.DataFrame(rows, columns=names))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([_mixed, INDEXES[14], ARRAYS[0], _SPARSE, ARRAYS[13], INDEXES[16]]), st.data())
def test_any_damage_to_whole_numbers_is_refused_or_harmless(make: Callable[[], Any], data: Any) -> None:
    graph = codecs.encode(make())
    whole = [place for place, array in enumerate(graph.arrays) if array.dtype.kind in "iu" and array.size]
    for place in data.draw(st.lists(st.sampled_from(whole), min_size=1, max_size=3)):
        array = graph.arrays[place].copy()
        limits = np.iinfo(array.dtype)
        value = data.draw(st.one_of(st.integers(-3, 5), st.integers(limits.min, limits.max)))
        array.reshape(-1)[data.draw(st.integers(0, array.size - 1))] = min(max(value, limits.min), limits.max)
        graph.arrays[place] = array
    try:
        built = codecs.decode(graph)
    except KeepfitError:
        return
    with contextlib.suppress(ValueError, OverflowError, KeyError):  # a date or period that has no name
        repr(built), list(built), built.copy()
