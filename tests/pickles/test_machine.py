"""The machine: every opcode family read as C pickle reads it, or refused."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import fractions
import pathlib
import pickle
import random
import struct
import time
import uuid
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inert import names_asked
from joblib.numpy_pickle import NumpyArrayWrapper

from keepfit import codecs, pickles
from keepfit.errors import FormatError, InvalidStateError, KeepfitError
from keepfit.graph import Limits
from keepfit.pickles.machine import Machine
from keepfit.pickles.stream import Stream
from keepfit.pickles.values import Global, Instance, Mapping

PROTOCOLS = range(6)


def value_of(data: bytes) -> Any:
    return Machine(Stream(data)).run()


def object_of(data: bytes) -> Any:
    return codecs.decode(pickles.read(data).graph())


def same(one: Any, other: Any) -> bool:
    """Equal, of equal types, with the same order; NaN is NaN."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return [*map(repr, one)] == [*map(repr, other)] and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, (set, frozenset)):
        return one == other
    return repr(one) == repr(other)


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.complex_numbers(),
    st.binary().map(bytearray), st.dates(), st.datetimes(), st.times(), st.timedeltas(), st.uuids(),
    st.fractions(), st.decimals(), st.frozensets(st.integers()), st.sets(st.text()),
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inside: st.one_of(
        st.lists(inside), st.lists(inside).map(tuple), st.dictionaries(st.one_of(st.text(), st.integers()), inside)
    ),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None)
@given(values, st.sampled_from(PROTOCOLS))
def test_what_python_pickles_comes_back_as_c_pickle_gives_it(value: Any, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    assert same(object_of(data), pickle.loads(data))


@settings(max_examples=40, deadline=None)
@given(values, st.sampled_from(PROTOCOLS))
def test_what_the_python_pickler_writes_comes_back_too(value: Any, protocol: int) -> None:
    data = pickle._dumps(value, protocol)  # type: ignore[attr-defined]
    assert same(object_of(data), pickle.loads(data))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "value",
    [
        collections.OrderedDict(b=1, a=[2]), collections.Counter("abcab"), collections.defaultdict(list, a=[1]),
        collections.deque([1, 2], 3), dt.timezone(dt.timedelta(hours=2), "here"), pathlib.PurePosixPath("/a/b"),
        dt.datetime(2020, 1, 2, tzinfo=dt.UTC), range(3, 9, 2), slice(1, None, 2), uuid.UUID(int=7), b"\xff" * 300,
        fractions.Fraction(1, 3), decimal.Decimal("-0.10"), 2**70, -(2**2100), "\ud800\n\\", {True: 1, 2: 0, 1.5: ()},
        [float("nan"), float("-inf"), -0.0], {"deep": [[[[(((),),)]]]]}, "x" * 70_000, Ellipsis is ...,
    ],
)  # fmt: skip
def test_values_of_the_standard_library_come_back(value: Any, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    assert same(object_of(data), pickle.loads(data))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3), np.arange(6).reshape(2, 3).T, np.array(3), np.zeros((0, 4)),
        np.array(["a", "bc"]),
        np.array([b"a", b"bc"]), np.array([1 + 2j]), np.array(["2020-01-01"], "M8[D]"), np.array([5], "m8[3s]"),
        np.array([(1, 2.0)], [("a", "i2"), ("b", ">f8")]), np.array([(1, 2.0)], np.dtype("i2,f8", align=True)),
        np.array([[1, "a"], [None, 2.5]], dtype=object), np.array([[1, "a"], [None, 2]], dtype=object, order="F"),
        np.array(None, dtype=object), np.array([[1, 2]], dtype=[("x", "f4", (2,))]), np.float32(2.5), np.int8(-3),
        np.str_("ab"), np.bool_(True), np.datetime64("2020-01-01T00", "h"), np.arange(4, dtype=">i4"),
        np.arange(2).reshape(1, 2).view(np.matrix),
        np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]), np.dtype("f4"),
        np.arange(24).reshape(2, 3, 4).transpose(1, 2, 0), np.longdouble(1) / 3,
    ],
    ids=repr,
)  # fmt: skip
def test_arrays_come_back_with_dtype_shape_and_order(array: Any, protocol: int) -> None:
    data = pickle.dumps(array, protocol)
    wanted, found = pickle.loads(data), object_of(data)
    assert type(found) is type(wanted)
    assert repr(found) == repr(wanted)
    if isinstance(wanted, np.ndarray):
        assert found.dtype == wanted.dtype
        assert found.flags.f_contiguous == wanted.flags.f_contiguous
        assert found.flags.writeable


def test_shared_objects_and_cycles_keep_their_identity() -> None:
    shared = [1]
    cycle: list[Any] = [shared, (shared, {"a": shared})]
    cycle.append((cycle,))
    for protocol in PROTOCOLS:
        found = object_of(pickle.dumps(cycle, protocol))
        assert found[0] is found[1][0] is found[1][1]["a"]
        assert found[2][0] is found


def test_calls_and_names_are_records() -> None:
    value = value_of(b"cposix\nsystem\n(Vls\ntR.")
    assert isinstance(value, Instance)
    assert isinstance(value.function, Global)
    assert (value.name, value.args) == ("posix.system", ("ls",))


def test_dicts_are_not_hashed() -> None:
    value = value_of(b"\x80\x02}(]NU\x01aNu.")
    assert isinstance(value, Mapping)
    assert value.keys == [[], "a"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"I0x10\n.", "spelled"), (b"I1_0\n.", "spelled"), (b"I010\n.", "spelled"), (b"I 1\n.", "spelled"),
        (b"F1.00\n.", "spelled"), (b"Fnan \n.", "spelled"), (b"L1\n.", "spelled"), (b"S'\\n'\n.", "spelled"),
        (b"V\\u0041\n.", "spelled"), (b"Nh\x00.", "memo"), (b"\x80\x04\x8c", "asks"), (b"\x80\x02N", "STOP"),
        (b"\x80\x02NN.", "one value"), (b"\x80\x02(.", "one value"), (b"\x80\x020N.", "mark"), (b"\x80\x02tN.", "mark"),
        (b"\x80\x02h\x00.", "memo"), (b"\x80\x02Nq\x00q\x00.", "memo"), (b"\x80\x02Nr\xff\xff\xff\xff.", "memo"),
        (b"\x80\x06N.", "PROTO"), (b"\x80\x02\x80\x02N.", "PROTO"), (b"\x80\x02\x82\x01.", "no opcode"),
        (b"PX\n.", "no opcode"), (b"\x80\x02NQ.", "no opcode"), (b"\x80\x05\x97.", "no opcode"),
        (b"\x80\x02\x8c\x01a.", "protocol 4"), (b"\x80\x04\x95\xff\0\0\0\0\0\0\0N.", "frame"),
        (b"\x80\x04\x95\x02\0\0\0\0\0\0\0K\x01.", "STOP|ends"), (b"\x80\x04\x95\x01\0\0\0\0\0\0\0K\x01.", "frame"),
        (b"\x80\x02}NNsNa.", "items"), (b"\x80\x02NNb.", "state"), (b"\x80\x02cos\nsystem\n)R}b}b.", "state"),
        (b"\x80\x04X\x02\0\0\0osK\x01\x93.", "computed"), (b"\x80\x02cos\npath.join\n.", "no import"),
        (b"\x80\x02cos\nsystem\n]R.", "not a tuple"), (b"\x80\x02(NdN.", "no value"),
        (b"\x80\x02\x8b\0\0\0\x80.", "int of"),
    ],
)  # fmt: skip
def test_what_two_readers_could_take_in_different_ways_is_refused(data: bytes, words: str) -> None:
    if words == "STOP|ends":  # a frame that ends where its opcode does is fine
        assert value_of(data) == 1
        return
    with pytest.raises(FormatError, match=words):
        value_of(data)


def test_limits_are_held() -> None:
    for limits in (Limits(pickle_opcodes=9), Limits(pickle_records=9)):
        with pytest.raises(FormatError, match="more than 9"):
            Machine(Stream(b"\x80\x02(" + b"]" * 50 + b"l."), limits=limits).run()
    with pytest.raises(FormatError, match="marks"):
        Machine(Stream(b"\x80\x02" + b"(" * 50), limits=Limits(pickle_marks=9)).run()


def test_any_bytes_give_contents_and_never_another_error() -> None:
    rng = random.Random(0)
    honest = [pickle.dumps([{"a": (1, 2.5)}, np.arange(3), {1, 2}], protocol) for protocol in PROTOCOLS]
    for number in range(4000):
        data = bytearray(rng.choice(honest))
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        contents = pickles.read(data)
        try:
            codecs.decode(contents.graph())
        except KeepfitError:
            pass
        except Exception as error:
            raise AssertionError(f"case {number}: {bytes(data)!r}") from error


def test_no_name_is_read_that_c_pickle_would_not_ask_for() -> None:
    """Changed pickles that are read to the end: C pickle asks for the same names, in a reader whose names are inert."""

    rng = random.Random(1)
    honest = [pickle.dumps([np.arange(3), np.float64(2), collections.Counter("ab")], n) for n in PROTOCOLS]
    read = 0
    for _ in range(4000):
        data = bytearray(rng.choice(honest))
        for _ in range(rng.randint(1, 2)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        contents = pickles.read(bytes(data))
        if contents.error is None:
            read += 1
            asked, to_the_end = names_asked(bytes(data))
            assert asked <= contents.log.imports.keys(), data
            assert not to_the_end or asked == contents.log.imports.keys(), data
    assert read > 500


def test_frames_of_any_size_are_read() -> None:
    value = ["x" * size for size in (1, 70_000, 5, 65_536, 2**20)] + [bytes(2**17)]
    assert value_of(pickle.dumps(value, 5)) == value
    assert value_of(b"\x80\x04\x95" + struct.pack("<Q", 3) + b"K\x07.") == 7


@pytest.mark.parametrize(
    ("made_of", "called"),
    [
        (
            b"](" + b"".join(b"M" + struct.pack("<H", number) for number in range(3000)) + b"e",
            b"cbuiltins\nfrozenset\n",
        ),
        (b"B" + struct.pack("<I", 10**5) + b"x" * 10**5, b"cbuiltins\nbytearray\n"),
    ],
    ids=["a list", "bytes"],
)
def test_large_contents_that_many_records_would_copy_are_refused(made_of: bytes, called: bytes) -> None:
    def named(times: int) -> bytes:
        return b"\x80\x03" + made_of + b"\x85q\x000" + b"(" + (called + b"h\x00R") * times + b"l."

    assert len(object_of(named(3))) == 3
    with pytest.raises(InvalidStateError, match="a copy for each"):
        pickles.read(named(2000)).graph()


def test_a_raw_array_that_looks_like_lines_takes_time_by_its_length_alone() -> None:
    size = 3 * 500_000
    wrapper = NumpyArrayWrapper(np.ndarray, (size,), "C", np.dtype("u1"))
    del wrapper.numpy_array_alignment_bytes
    start = time.process_time()
    contents = pickles.read(pickle.dumps(wrapper, 3)[:-1] + b"I1\n" * (size // 3) + b".")
    assert time.process_time() - start < 4
    assert contents.root.shape == (size,)
