"""Arrays come back exactly as they were, or are refused; and hostile ones are refused before anything reads them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from exactness import assert_kept
from numpy.lib.stride_tricks import as_strided

from keepfit import codecs
from keepfit.errors import InvalidStateError, KeepfitError, UnsupportedError
from keepfit.graph import Graph, Node, Ref

DTYPES = [
    "?", "b", "B", "h", "H", "i", "I", "l", "L", "q", "Q", "e", "f", "d", "g", "F", "D", "G",
    ">i2", ">u4", ">i8", ">f4", ">f8", ">c8", ">c16",
    "S1", "S7", "U1", "U7", ">U3", "V1", "V5", "M8[ns]", "M8[D]", "M8[25s]", "m8[us]", "m8", "M8", ">M8[ms]",
]  # fmt: skip
STRUCTURED = {
    "packed": np.dtype([("a", "<f8"), ("b", "<i4"), ("c", "S3")]),
    "aligned": np.dtype([("a", "u1"), ("b", "<f8"), ("c", "<i2")], align=True),
    "with gaps": np.dtype({"names": ["a", "b"], "formats": ["<i4", "<f4"], "offsets": [4, 16], "itemsize": 32}),
    "overlapping": np.dtype({"names": ["a", "b"], "formats": ["<i4", "<u2"], "offsets": [0, 1], "itemsize": 4}),
    "nested": np.dtype([("a", [("x", "<f4"), ("y", ">i2")]), ("b", "<f8", (2, 3))]),
    "titled": np.dtype([(("a title", "a"), "<f8"), ("b", "?")]),
    "empty": np.dtype([]),
    "of bools": np.dtype([("a", "?"), ("b", "?", (2,))]),
}
SHAPES = [(), (0,), (1,), (5,), (2, 3), (0, 4), (4, 0), (2, 0, 3), (1, 1, 1), (2, 3, 4)]


def filled(dtype: Any, shape: tuple[int, ...]) -> Any:
    """An array of random bits, where any bits are a value; of small numbers otherwise."""
    dtype = np.dtype(dtype)
    rng = np.random.RandomState(0)
    if dtype.kind in "iufc" and dtype.char not in "gG":
        return np.frombuffer(rng.bytes(dtype.itemsize * int(np.prod(shape))), dtype).reshape(shape).copy()
    if dtype.names is not None:
        array = np.zeros(shape, dtype)
        for name in dtype.names:
            array[name] = filled(dtype[name].base, (*shape, *dtype[name].shape))
        return array
    return rng.randint(0, 2, shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_dtype_and_shape_comes_back_to_the_bit(dtype: str, shape: tuple[int, ...]) -> None:
    assert_kept(filled(dtype, shape))


@pytest.mark.parametrize("name", STRUCTURED)
@pytest.mark.parametrize("shape", [(), (3,), (2, 2), (0,)], ids=str)
def test_structured_dtypes_keep_their_layout(name: str, shape: tuple[int, ...]) -> None:
    assert_kept(filled(STRUCTURED[name], shape))


def test_the_dtypes_of_equal_records_stay_one_object_only_in_the_file() -> None:
    built = assert_kept([filled(STRUCTURED["packed"], (3,)), filled(STRUCTURED["packed"], (2,))])
    assert built[0].dtype == built[1].dtype


@pytest.mark.parametrize("bits", [0x7FF8000000000001, 0xFFF0000000000000, 0x7FF0000000000001, 0x8000000000000000])
def test_the_bits_of_nan_infinity_and_negative_zero_are_kept(bits: int) -> None:
    assert_kept(np.array([bits], "u8").view("f8"))


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0).reshape(3, 4, order="F"),
        np.asfortranarray(np.arange(24).reshape(2, 3, 4)),
        np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
        np.arange(20.0).reshape(4, 5)[:, ::2],
        np.arange(20.0).reshape(4, 5)[1:3, 1:4],
        np.arange(20.0).reshape(4, 5).T[::2],
        np.array(list("abcdef")).reshape(2, 3, order="F"),
        np.arange(6).astype("M8[D]").reshape(2, 3, order="F"),
        np.array([[None, 1], ["a", 2.5]], dtype=object, order="F"),
    ],
    ids=[
        "F",
        "F of three",
        "transposed",
        "step",
        "window",
        "transposed step",
        "F of strings",
        "F of dates",
        "F of objects",
    ],
)
def test_the_order_of_memory_is_kept(array: Any) -> None:
    built = assert_kept(array)
    assert built.strides == array.strides or not array.size


@pytest.mark.parametrize("array", [as_strided(np.arange(3.0), (2, 3), (0, 8)), np.broadcast_to(np.arange(3), (4, 3))])
def test_a_view_over_itself_becomes_contiguous_and_keeps_its_values(array: Any) -> None:
    built = codecs.decode(codecs.encode(array))
    assert np.array_equal(built, array)
    assert built.flags.forc


def test_a_thin_view_of_much_memory_does_not_bring_it_along() -> None:
    array = np.zeros(10_000_000)[::1_000_000]
    built = codecs.decode(codecs.encode(array))
    assert built.base is None or built.base.nbytes < 1_000_000


@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
@pytest.mark.parametrize("dtype", ["f8", "U2", "M8[s]", "O"])
def test_read_only_stays_read_only_and_writable_stays_writable(shape: tuple[int, ...], dtype: str) -> None:
    array = np.zeros(shape, dtype)
    array.flags.writeable = False
    assert_kept([array, np.zeros(shape, dtype)])


def test_what_is_built_from_read_only_memory_is_writable_where_it_was() -> None:
    graph = codecs.encode([np.arange(3.0), np.array(["a", "b"])])
    for array in graph.arrays:
        array.flags.writeable = False
    for array in codecs.decode(graph):
        array[0] = array[1]


@pytest.mark.parametrize(
    "array",
    [
        np.array(None, dtype=object),
        np.array([], dtype=object),
        np.empty((0, 3), dtype=object),
        np.array([[1, "a"], [2.5, None]], dtype=object),
        np.array([np.int8(1), np.float32(2), b"c", (1, 2), {"a": [1]}], dtype=object),
    ],
    ids=["0-d", "empty", "empty with columns", "mixed", "nested"],
)
def test_arrays_of_objects_keep_shape_and_types(array: Any) -> None:
    assert_kept(array)


def test_an_array_of_lists_or_arrays_stays_one() -> None:
    array = np.empty(3, dtype=object)
    array[:] = [[1], [2, 3], np.arange(4)]
    zero = np.empty((), dtype=object)
    zero[()] = [1, 2]
    assert_kept([array, zero])


def test_an_array_in_an_array_of_objects_keeps_its_identity() -> None:
    inner = np.arange(3)
    outer = np.empty(2, dtype=object)
    outer[:] = [inner, inner]
    built = codecs.decode(codecs.encode([outer, inner]))
    assert built[0][0] is built[0][1] is built[1]


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="numpy 2 has variable-width strings")
@pytest.mark.parametrize("options", [{}, {"coerce": False}, {"na_object": None}, {"na_object": float("nan")}])
def test_arrays_of_variable_width_strings_come_back(options: dict[str, Any]) -> None:
    dtype = np.dtypes.StringDType(**options)
    array = np.array(["", "a", "ä" * 100, "\x00b"], dtype)
    built = codecs.decode(codecs.encode(array))
    assert built.dtype == dtype or options.get("na_object") != options.get("na_object")
    assert list(built) == list(array)


@pytest.mark.parametrize(
    "scalar",
    [
        np.True_, np.int8(-5), np.uint64(2**64 - 1), np.float16(0.1), np.float32("nan"), np.float64("-0.0"),
        np.float64("inf"), np.longdouble(1) / 3, np.complex64(1 - 2j), np.str_(""), np.str_("a\x00b"),
        np.str_("a\x00"), np.bytes_(b"a\x00"), np.bytes_(b""), np.bool_(False), np.uint8(255), np.complex128("nan"),
        np.datetime64("2024-02-29", "D"), np.datetime64("NaT", "s"), np.timedelta64(5, "m"), np.void(b"abc"),
        filled(STRUCTURED["packed"], (1,))[0],
    ],
    ids=repr,
)  # fmt: skip
def test_scalars_keep_type_and_bits(scalar: Any) -> None:
    assert_kept(scalar)


@pytest.mark.parametrize(
    "dtype",
    [*(code for code in DTYPES if code not in "qQ"), *STRUCTURED.values(), np.dtype(("<f4", (2, 3))), np.dtype("O")],
    ids=str,
)
def test_dtypes_come_back(dtype: Any) -> None:
    assert_kept(np.dtype(dtype))


@pytest.mark.parametrize("hard", [False, True])
def test_masked_arrays_keep_mask_fill_value_and_hardness(hard: bool) -> None:
    plain = np.ma.masked_array([1.0, 2.0, 3.0], mask=[0, 1, 0], hard_mask=hard)
    filled_with = np.ma.masked_array([1, 2], mask=[1, 0], fill_value=-7)
    unmasked = np.ma.masked_array([[1, 2], [3, 4]])
    records = np.ma.masked_array(filled(STRUCTURED["packed"], (2,)), mask=[(0, 1, 0), (1, 0, 1)])
    for array in codecs.decode(codecs.encode([plain, filled_with, unmasked, records])), [plain, filled_with, unmasked]:
        assert array[0].hardmask is hard
        assert (array[1].fill_value, array[2].mask is np.ma.nomask) == (-7, True)
    built = codecs.decode(codecs.encode(records))
    assert built.mask.tolist() == records.mask.tolist()
    assert codecs.decode(codecs.encode(np.ma.masked)) is np.ma.masked


def test_matrices_and_record_arrays_keep_their_class() -> None:
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix([[1.0, 2.0], [3.0, 4.0]])
    assert_kept([matrix, np.rec.array([(1, 2.0), (3, 4.0)], dtype=[("a", "i4"), ("b", "f8")])])


def test_a_memory_map_is_kept_as_an_array(tmp_path: Any) -> None:
    mapped = np.memmap(tmp_path / "numbers", "f8", "w+", shape=(3,))
    mapped[:] = [1, 2, 3]
    built = codecs.decode(codecs.encode(mapped))
    assert type(built) is np.ndarray
    assert built.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "obj",
    [
        np.dtype("f8", metadata={"unit": "m"}),
        np.zeros(2, np.dtype("f8", metadata={"unit": "m"})),
        np.zeros(2, [("a", "O")]),
        np.zeros((2**25, 0)),
    ],
    ids=["dtype with metadata", "array with metadata", "objects in records", "endless and empty"],
)
def test_what_cannot_be_kept_exactly_is_refused(obj: Any) -> None:
    with pytest.raises(UnsupportedError):
        codecs.encode(obj)


def hostile(*nodes: Node, arrays: tuple[Any, ...] = ()) -> Graph:
    count = sum(node.count for node in nodes)
    return Graph({"object": Ref(count - 1)}, list(nodes), list(arrays), [str(n) for n in range(len(arrays))], {})


def array_node(array: Any, **state: Any) -> Graph:
    return hostile(Node("numpy.ndarray", state, array=0), arrays=(array,))


def of_records(itemsize: int, data: Any, **fields: list[Any]) -> Graph:
    """An array whose dtype has these fields, by their JSON values; formats are strings."""
    formats = [Node("numpy.dtype", {"string": form}) for form in fields["formats"]]
    start = len(formats)
    lists = [
        Node("list", items=list(fields["names"])),
        Node("list", items=[Ref(place) for place in range(start)]),
        Node("list", items=list(fields["offsets"])),
        Node("list", items=[None] * start),
    ]
    dtype = Node(
        "numpy.dtype",
        {
            "names": Ref(start), "formats": Ref(start + 1), "offsets": Ref(start + 2), "titles": Ref(start + 3),
            "itemsize": itemsize, "aligned": False,
        },
    )  # fmt: skip
    return hostile(*formats, *lists, dtype, Node("numpy.ndarray", {"dtype": Ref(start + 4)}, array=0), arrays=(data,))


OCTETS = np.full((3, 8), 7, "u1")
HOSTILE = {
    "objects from octets": array_node(OCTETS, dtype="|O"),
    "objects in records": of_records(8, OCTETS, names=["a"], formats=["|O"], offsets=[0]),
    "strings of pointers": hostile(
        Node("numpy.dtype", {"string": "T", "coerce": True}),
        Node("numpy.ndarray", {"dtype": Ref(0)}, array=0),
        arrays=(np.full((3, 16), 7, "u1"),),
    ),
    "a field outside its record": of_records(8, OCTETS, names=["a"], formats=["<f8"], offsets=[1]),
    "a field before its record": of_records(8, OCTETS, names=["a"], formats=["<f8"], offsets=[-8]),
    "two fields of one name": of_records(8, OCTETS, names=["a", "a"], formats=["<f4", "<f4"], offsets=[0, 4]),
    "an itemsize of two gigabytes": of_records(2**31, OCTETS, names=["a"], formats=["<f8"], offsets=[0]),
    "a negative itemsize": of_records(-8, OCTETS, names=["a"], formats=["<f8"], offsets=[0]),
    "octets that do not fit": array_node(OCTETS, dtype="<c16"),
    "a dtype by another name": array_node(OCTETS, dtype="float"),
    "a dtype with a comma": array_node(OCTETS, dtype="i4,i4"),
    "a dtype that is a number": array_node(OCTETS, dtype=8),
    "characters beyond Unicode": array_node(np.full((2, 4), 255, "u1"), dtype="<U1"),
    "bools of two": array_node(np.array([0, 1, 2, 255], "u1").view("?")),
    "a shape beside a tensor": array_node(np.zeros(3), dims="2,2"),
    "a field of its own": array_node(np.zeros(3), base=1),
    "an order that is none": array_node(np.zeros(3), order="A"),
    "a flag that is none": array_node(np.zeros(3), writeable=1),
    "strides past the end": array_node(np.zeros((2, 2)), strides="100000000000,1"),
    "strides over itself": array_node(np.zeros((2, 2)), strides="1,1"),
    "strides of zero": array_node(np.zeros((2, 2)), strides="0,1"),
    "negative strides": array_node(np.zeros(4), strides="--1"),
    "too few strides": array_node(np.zeros((2, 2)), strides="1"),
    "strides in fractions": array_node(np.zeros(4), strides="0.5"),
    "an endless array of nothing": array_node(np.zeros(0, "u1"), dtype="|V0", dims=str(2**50)),
    "an endless empty array": array_node(np.zeros((2**50, 0))),
    "an endless array of no objects": hostile(Node("numpy.ndarray", {"dims": f"{2**50},0"})),
    "too few objects": hostile(Node("numpy.ndarray", {"dims": "5"}, items=[1, 2])),
    "a negative number of objects": hostile(Node("numpy.ndarray", {"dims": "-1"}, items=[1])),
    "too many dimensions": hostile(Node("numpy.ndarray", {"dims": ",".join(["1"] * 65)}, items=[1])),
    "more than any memory": hostile(Node("numpy.ndarray", {"dims": f"{2**40},{2**40}"}, items=[1])),
    "objects and no shape": hostile(Node("numpy.ndarray", items=[1])),
    "a matrix of one dimension": hostile(Node("numpy.matrix", array=0), arrays=(np.zeros(3),)),
    "records without names": hostile(Node("numpy.recarray", array=0), arrays=(np.zeros(3),)),
    "a mask that does not fit": hostile(
        Node("numpy.ndarray", array=0),
        Node("numpy.ndarray", array=1),
        Node(
            "numpy.ma.MaskedArray",
            {"data": Ref(0), "mask": Ref(1), "fill_value": None, "hard_mask": False, "shared_mask": False},
        ),
        arrays=(np.zeros(3), np.zeros(4, "?")),
    ),
    "a scalar too wide": hostile(Node("numpy.scalar", {"dtype": "<U999999999", "value": "a"})),
    "a scalar of another type": hostile(Node("numpy.scalar", {"dtype": "<i8", "value": "5"})),
    "a scalar out of range": hostile(Node("numpy.scalar", {"dtype": "|i1", "value": 1000})),
    "a scalar of too few octets": hostile(Node("numpy.scalar", {"dtype": "<f8", "hex": "00"})),
    "a scalar that is a pointer": hostile(Node("numpy.scalar", {"dtype": "|O", "hex": "00" * 8})),
    "a scalar of a character that is none": hostile(Node("numpy.scalar", {"dtype": "<U1", "hex": "ff" * 4})),
    "a dtype inside itself": hostile(Node("numpy.dtype", {"base": Ref(0), "shape": Ref(0)})),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:NumPy will stop allowing conversion of out-of-bound:DeprecationWarning")  # 1.26
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_array_is_refused(name: str) -> None:
    with pytest.raises(InvalidStateError):
        codecs.decode(HOSTILE[name])


def test_an_array_of_all_dtypes_of_octets_is_refused_or_is_what_it_says() -> None:
    for dtype in DTYPES:
        try:
            built = codecs.decode(array_node(OCTETS.copy(), dtype=np.dtype(dtype).str))
        except KeepfitError:
            continue
        assert built.dtype == np.dtype(dtype)
        assert built.nbytes == OCTETS.nbytes


@pytest.mark.parametrize("dtype", [*DTYPES, *STRUCTURED.values()], ids=str)
@pytest.mark.parametrize("shape", [(), (3,), (0,), (2, 3)], ids=str)
def test_arrays_that_stand_together_come_back_as_those_that_stand_alone(dtype: Any, shape: tuple[int, ...]) -> None:
    many = [filled(dtype, shape) for _ in range(9)]
    assert_kept(many)
    if isinstance(dtype, str):  # a copy of records to another order leaves their gaps as they lie
        assert_kept([filled(dtype, shape[::-1]).T for _ in range(9)])
    if not shape:
        assert_kept([one[()] for one in many])


def test_scalars_in_a_group_must_be_numbers() -> None:
    nodes = [Node("list", items=[0, 0])]
    nodes += [Node("list", items=[Ref(number), Ref(number)]) for number in range(40)]  # 2**40 zeros to whoever looks
    nodes.append(Node("numpy.scalar", {"dtype": "<f8", "value": None}, count=2, columns={"value": [Ref(40), Ref(40)]}))
    for value in (Ref(40), "1.0", None):
        nodes[-1].columns["value"] = [value, value]
        with pytest.raises(InvalidStateError) as caught:
            codecs.decode(Graph({"object": Ref(41)}, nodes, [], [], {}))
        assert len(str(caught.value)) < 300


def test_the_title_of_a_field_is_a_string() -> None:
    graph = codecs.encode(np.dtype({"names": ["a"], "formats": ["i4"], "titles": ["A"]}))
    titles = next(node for node in graph.nodes if node.items == ["A"])
    titles.items = [1]
    with pytest.raises(InvalidStateError, match="titles"):
        codecs.decode(graph)
