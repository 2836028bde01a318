"""What the standard library gives comes back as it was."""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import functools
import http
import inspect
import operator
import re
import types
import uuid
import zoneinfo
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from difflib import Match
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import pytest
from exactness import assert_kept, round_trip
from hypothesis import given, settings
from hypothesis import strategies as st

from keepfit import codecs
from keepfit.errors import InvalidStateError, KeepfitError, UnsupportedError, UntrustedError
from keepfit.graph import Graph, Node, Ref

VALUES = [
    OrderedDict(), OrderedDict([("b", 1), ("a", [2]), (1, None)]),
    Counter(), Counter("abracadabra"), Counter({True: 2, "x": -1.5}),
    defaultdict(None), defaultdict(None, {1: 2}), defaultdict(list, {"a": [1], ("b", 2): []}),
    deque(), deque([1, "a", None], maxlen=3), deque(maxlen=0), deque([[1], [2]]),
    dt.date(1, 1, 1), dt.date.max,
    dt.time(), dt.time(23, 59, 59, 999_999, fold=1), dt.time(1, 2, tzinfo=dt.UTC),
    dt.datetime(2024, 2, 29, 12, 30, 15, 7), dt.datetime(1, 1, 1), dt.datetime.max,
    dt.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Paris")),
    dt.timedelta.min, dt.timedelta.max, dt.timedelta(microseconds=-1),
    dt.UTC, dt.timezone(dt.timedelta(hours=-5, microseconds=3)), dt.timezone(dt.timedelta(hours=1), "CET"),
    zoneinfo.ZoneInfo("America/Argentina/Buenos_Aires"), zoneinfo.ZoneInfo("Etc/GMT+5"),
    *map(Decimal, ["0", "-0", "-0E+5", "1.10", "1E-7", "1.5E+999999999999999999", "Infinity", "-Infinity", "NaN",
                   "-NaN123", "sNaN", "-sNaN7", "0E-1999999999999999997", "9" * 6000, "-0.000000"]),
    Fraction(0), Fraction(-7, 3), Fraction(2**5000 + 1, 2**5000),
    uuid.UUID(int=0), uuid.UUID("12345678-1234-5678-1234-567812345678"), uuid.UUID(int=7, is_safe=uuid.SafeUUID.safe),
    PurePosixPath("a/b/../c"), PurePosixPath(), PurePosixPath("/"),
    PureWindowsPath(r"C:\x\y"), PureWindowsPath(r"\\h\s\f"),
    Path("models/rf.safetensors"), PurePosixPath("caf\udce9"),
    functools.partial(np.add, 1), functools.partial(np.sum, axis=0, keepdims=True),
    operator.itemgetter(1), operator.itemgetter("a", 0, (1, 2), b"x", None, 2.5, True),
    types.SimpleNamespace(), types.SimpleNamespace(a=1, b=[2]),
    re.I, re.I | re.M, http.HTTPStatus.NOT_FOUND, inspect.Parameter.KEYWORD_ONLY, uuid.SafeUUID.unknown,
    Match(1, 2, 3),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__}-{value!r:.30}")
def test_a_value_of_the_standard_library_comes_back_exactly(value: Any) -> None:
    if type(value) in (Decimal, dt.timezone, zoneinfo.ZoneInfo) or isinstance(value, PurePosixPath | PureWindowsPath):
        built = round_trip(value)
        assert type(built) is type(value)
        assert repr(built) == repr(value)
    else:
        assert_kept(value)


def test_a_decimal_is_exact_whatever_the_context_says() -> None:
    with decimal.localcontext(decimal.Context(prec=2, capitals=0, traps=[decimal.Inexact])):
        built = round_trip([Decimal("1.23456E+50"), Decimal("sNaN")])
    assert list(map(repr, built)) == ["Decimal('1.23456E+50')", "Decimal('sNaN')"]


def test_a_deque_keeps_its_maxlen_and_goes_on_forgetting() -> None:
    built = round_trip(deque([1, 2, 3], maxlen=3))
    built.append(4)
    assert built == deque([2, 3, 4])


def test_a_defaultdict_goes_on_making_defaults() -> None:
    built = round_trip(defaultdict(list, {"a": [1]}))
    assert built["b"] == []


def test_a_time_keeps_fold_and_the_identity_of_its_zone() -> None:
    zone = zoneinfo.ZoneInfo.no_cache("Europe/Paris")
    first, second = round_trip([dt.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=zone), dt.time(1, tzinfo=zone)])
    assert first.fold == 1
    assert first.utcoffset() == dt.timedelta(hours=1)
    assert first.tzinfo is second.tzinfo
    assert first.tzinfo is not zoneinfo.ZoneInfo("Europe/Paris")


def test_a_partial_of_a_partial_is_not_merged() -> None:
    inner = functools.partial(np.power, 2)
    inner.step = "inner"  # type: ignore[attr-defined]
    outer = functools.partial(inner, casting="safe")
    built = round_trip([outer, inner])
    assert built[0].func is built[1]
    assert built[1].step == "inner"
    assert built[0](3) == 8


def test_a_partial_that_asks_for_a_million_jobs_is_refused() -> None:
    graph = codecs.encode(functools.partial(np.sum, axis=0))
    keywords = next(node for node in graph.nodes if node.keys == ["axis"])
    keywords.keys, keywords.items = ["n_jobs"], [10**6]
    with pytest.raises(InvalidStateError, match="threads"):
        codecs.decode(graph)


def test_containers_that_hold_themselves_come_back() -> None:
    for empty, put in [
        (deque(maxlen=5), lambda box: box.append(box)),
        (OrderedDict(), lambda box: box.update(me=box)),
        (defaultdict(list), lambda box: box.update(me=box)),
        (Counter(), lambda box: dict.update(box, me=box)),
        (types.SimpleNamespace(), lambda box: vars(box).update(me=box)),
    ]:
        put(empty)
        built = assert_kept(empty)
        inside = built[0] if type(built) is deque else built.me if hasattr(built, "me") else built["me"]
        assert inside is built


@pytest.mark.parametrize("text", ["a+b", "", "(?i)x"])
def test_a_pattern_is_kept_and_built_only_for_a_caller_who_allows_it(text: str) -> None:
    for pattern in (re.compile(text, re.M), re.compile(text.encode(), re.S)):
        graph = codecs.encode(pattern)
        with pytest.raises(UntrustedError, match="'patterns'"):
            codecs.decode(graph)
        assert codecs.decode(graph, allow={"patterns"}) == pattern


def _with_attribute(value: Any) -> Any:
    value.extra = 1
    return value


def _nested_partial(depth: int) -> Any:
    made: Any = np.sum
    for _ in range(depth):
        outer: Any = functools.partial(np.sum)
        outer.__setstate__((made, (), {}, None))
        made = outer
    return made


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (_with_attribute(OrderedDict()), "attributes of its own"),
        (_with_attribute(Counter()), "attributes of its own"),
        (Fraction(1, 2**20_000), "longer than"),
        (operator.itemgetter([1]), "itemgetter"),
        (str.split, r"the method str\.split cannot be kept as data.* Call it in a function"),
        (types.SimpleNamespace(__array_interface__={}), "__array_interface__"),
        (_nested_partial(200), "nested more than"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_cannot_be_kept_is_refused_at_once(value: Any, words: str) -> None:
    with pytest.raises(UnsupportedError, match=words):
        codecs.encode(value)


def test_a_time_zone_read_from_a_file_of_its_own_is_refused() -> None:
    import importlib.resources

    with importlib.resources.files("tzdata").joinpath("zoneinfo/Europe/Paris").open("rb") as file:
        zone = zoneinfo.ZoneInfo.from_file(file)
    with pytest.raises(UnsupportedError, match="by its key"):
        codecs.encode(zone)


def _moment(name: str, value: Any, fold: int, zone: Any) -> Node:
    return Node(f"datetime.{name}", {"value": value, "fold": fold, "tzinfo": zone})


def _span(kind: str, days: int, seconds: int, **more: Any) -> Node:
    return Node(f"datetime.{kind}", {"days": days, "seconds": seconds, "microseconds": 0, **more})


HOSTILE = [
    ("deque longer than maxlen", Node("collections.deque", {"maxlen": 1}, [1, 2]), "at most maxlen"),
    ("deque of negative length", Node("collections.deque", {"maxlen": -1}), "not negative"),
    ("deque of true length", Node("collections.deque", {"maxlen": True}), "is a bool"),
    ("deque of huge length", Node("collections.deque", {"maxlen": 2**63}), "do not fit"),
    ("deque with more fields", Node("collections.deque", {"maxlen": 1, "x": 1}), "must have the fields"),
    ("defaultdict of a number", Node("collections.defaultdict", {"default_factory": 3}), "can be called"),
    ("defaultdict without factory", Node("collections.defaultdict"), "default_factory"),
    ("counter without items", Node("collections.Counter", keys=["a"]), "as many keys"),
    ("ordered dict with equal keys", Node("collections.OrderedDict", {}, [1, 2], ["a", "a"]), "equal"),
    ("date out of range", Node("datetime.date", {"value": "2023-02-29"}), "do not fit"),
    ("date in another spelling", Node("datetime.date", {"value": "20230228"}), "not how a date is spelled"),
    ("datetime with offset", _moment("datetime", "2023-01-01T00:00:00+01:00", 0, None), "no offset"),
    ("datetime of fold 2", _moment("datetime", "2023-01-01T00:00:00", 2, None), "fold"),
    ("datetime in no zone", _moment("datetime", "2023-01-01T00:00:00", 0, "UTC"), "time zone"),
    ("time of a number", _moment("time", 3, 0, None), "ISO text"),
    ("difference not normal", _span("timedelta", 0, 86_400), "range"),
    ("difference too long", _span("timedelta", 10**18, 0), "do not fit"),
    ("zone of 25 hours", _span("timezone", 1, 3600, name=None), "do not fit"),
    ("zone above the database", Node("zoneinfo.ZoneInfo", {"key": "../../etc/passwd", "cached": True}), "not the key"),
    ("zone at the root", Node("zoneinfo.ZoneInfo", {"key": "/etc/passwd", "cached": True}), "not the key"),
    ("zone inside a dot folder", Node("zoneinfo.ZoneInfo", {"key": "a/./b", "cached": True}), "not the key"),
    ("zone that is a folder", Node("zoneinfo.ZoneInfo", {"key": "America", "cached": False}), "no time zone"),
    ("zone that is none", Node("zoneinfo.ZoneInfo", {"key": "leapseconds", "cached": False}), "no time zone"),
    ("decimal of words", Node("decimal.Decimal", {"value": "abc"}), "not a decimal"),
    ("decimal in other digits", Node("decimal.Decimal", {"value": "\u0661"}), "not a decimal"),
    ("decimal beyond all exponents", Node("decimal.Decimal", {"value": "1E+9999999999999999999"}), "not how a Decimal"),
    ("decimal with a plus", Node("decimal.Decimal", {"value": "+1"}), "not a decimal"),
    ("fraction by nothing", Node("fractions.Fraction", {"numerator": 1, "denominator": 0}), "positive"),
    ("fraction not reduced", Node("fractions.Fraction", {"numerator": 2, "denominator": 4}), "lowest terms"),
    ("fraction below zero", Node("fractions.Fraction", {"numerator": 2, "denominator": -3}), "positive"),
    ("uuid too short", Node("uuid.UUID", {"hex": "12", "is_safe": "unknown"}), "32 hexadecimal"),
    ("uuid of unknown safety", Node("uuid.UUID", {"hex": "0" * 32, "is_safe": "very"}), "do not fit"),
    ("path not as it is spelled", Node("pathlib.PurePosixPath", {"path": "a//b"}), "not how a PurePosixPath"),
    ("path of a number", Node("pathlib.PurePosixPath", {"path": 1}), "is a int"),
    ("path for another system", Node("pathlib.WindowsPath", {"path": "a"}), "PureWindowsPath"),
    ("partial of a number", Node("functools.partial", {"func": 1, "args": Ref(0), "keywords": Ref(1)}), "callable"),
    ("itemgetter of nothing", Node("operator.itemgetter"), "items"),
    ("namespace of an interface", Node("types.SimpleNamespace", {}, [1], ["__array_interface__"]), "named"),
    ("namespace with a number for a name", Node("types.SimpleNamespace", {}, [1], [1]), "attribute named"),
    ("status that does not exist", Node("http.HTTPStatus", {"value": 999}), "do not fit"),
    ("named tuple too long", Node("difflib.Match", {}, [1, 2, 3, 4]), "do not fit"),
]  # fmt: skip


@pytest.mark.parametrize(("node", "words"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
def test_a_crafted_node_is_refused(node: Node, words: str) -> None:
    nodes = [Node("tuple"), Node("dict"), node]
    with pytest.raises((InvalidStateError, UnsupportedError), match=words):
        codecs.decode(Graph({"object": Ref(2)}, nodes, [], [], {}))


@pytest.mark.parametrize("flags", [-1, 128, 2**40])
def test_a_pattern_with_flags_that_none_has_is_refused_even_when_allowed(flags: int) -> None:
    nodes = [Node("re.Pattern", {"pattern": "a", "flags": flags})]
    with pytest.raises(InvalidStateError, match="flags"):
        codecs.decode(Graph({"object": Ref(0)}, nodes, [], [], {}), allow={"patterns"})


def test_a_pattern_that_is_none_is_refused() -> None:
    nodes = [Node("re.Pattern", {"pattern": "(", "flags": 32})]
    with pytest.raises(InvalidStateError, match="cannot be compiled"):
        codecs.decode(Graph({"object": Ref(0)}, nodes, [], [], {}), allow={"patterns"})


def test_dump_refuses_a_partial_that_load_would_refuse() -> None:
    with pytest.raises(UnsupportedError, match="may not start threads"):
        codecs.encode(functools.partial(np.mean, n_jobs=2))


def test_partials_nested_by_hand_are_refused_before_they_can_exhaust_the_stack() -> None:
    nodes = [Node("tuple"), Node("dict"), *codecs.encode(np.sum).nodes]
    for _ in range(200):
        state = {"func": Ref(len(nodes) - 1), "args": Ref(0), "keywords": Ref(1)}
        nodes.append(Node("functools.partial", state))
    with pytest.raises(InvalidStateError, match=r"nested|inside each other"):
        codecs.decode(Graph({"object": Ref(len(nodes) - 1)}, nodes, [], [], {}))


def test_an_attrgetter_is_built_only_on_trust() -> None:
    graph = codecs.encode(operator.attrgetter("real"))
    with pytest.raises(UntrustedError, match="attrgetter"):
        codecs.decode(graph)


_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=5),
    st.complex_numbers(), st.dates(), st.times(), st.datetimes(), st.timedeltas(), st.fractions(), st.uuids(),
)  # fmt: skip
_KEYS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(max_size=5),
    st.dates(),
    st.tuples(st.integers(), st.text(max_size=2)),
)


def _deeper(children: Any) -> Any:
    return st.one_of(
        st.lists(children, max_size=4),
        st.lists(children, max_size=4).map(tuple),
        st.lists(children, max_size=4).map(deque),
        st.dictionaries(_KEYS, children, max_size=4),
        st.dictionaries(_KEYS, children, max_size=4).map(OrderedDict),
        st.dictionaries(_KEYS, children, max_size=4).map(lambda found: defaultdict(list, found)),
        st.dictionaries(st.sampled_from("abc"), children).map(lambda found: types.SimpleNamespace(**found)),
        st.frozensets(_KEYS, max_size=4),
        children.map(lambda child: [child, child]),
    )


@settings(max_examples=100, deadline=None)
@given(st.recursive(_SCALARS, _deeper, max_leaves=20))
def test_any_nesting_of_builtin_and_standard_objects_comes_back_exactly(value: Any) -> None:
    assert_kept(value)


@settings(max_examples=60, deadline=None)
@given(st.decimals(), st.data())
def test_any_decimal_comes_back_to_the_digit(value: Decimal, data: Any) -> None:
    assert round_trip(value).as_tuple() == value.as_tuple()


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([case[1].type for case in HOSTILE]),
    st.dictionaries(
        st.sampled_from(
            ["value", "fold", "tzinfo", "days", "seconds", "microseconds", "maxlen", "key", "cached", "hex"]
        ),
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(-(2**63), 2**63 - 1),
            st.floats(allow_nan=False, allow_infinity=False),
            st.text(max_size=8),
        ),
    ),
)
def test_any_contents_give_a_value_or_an_error_of_ours(kind: str, state: dict[str, Any]) -> None:
    with contextlib.suppress(KeepfitError):
        codecs.decode(Graph({"object": Ref(0)}, [Node(kind, state)], [], [], {}))
