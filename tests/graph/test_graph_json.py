"""The JSON form of a graph: written one way, and read only when it is well-formed."""

from __future__ import annotations

import random
import re

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepfit.errors import FormatError
from keepfit.graph import LIMITS, PLAIN_DTYPES, Graph, Limits, Node, Ref, first_objects, from_json, to_json

GROUP = '{"type":"t","state":{"a":null,"b":1},"array":0,"count":2,"columns":{"a":[3,[0]]},"lengths":[1,2]}'


def document(nodes: str = "", *, root: str = "null", arrays: str = "") -> bytes:
    return f'{{"versions":{{}},"roots":{{"object":{root}}},"arrays":[{arrays}],"nodes":[{nodes}]}}'.encode()


def item(value: str) -> bytes:
    return document(f'{{"type":"list","items":[{value}]}}')


def accept(data: bytes) -> Graph:
    graph = from_json(data)
    assert to_json(graph) == data
    return graph


# ---- what is accepted ----


@pytest.mark.parametrize(
    "data",
    [
        document(),
        document(root='"text"'),
        document('{"type":"list"}', root="[0]"),
        document('{"type":"list","items":[[0]]}', root="[0]"),  # a cycle
        document('{"type":"list","items":[[1]]},{"type":"list"}'),
        document('{"type":"dict","items":[1,2],"keys":["a",null]}'),
        document('{"type":"numpy.ndarray","array":0}', arrays='"x"'),
        document('{"type":"a","array":1},{"type":"b","array":0}', arrays='"x","y"'),
        document(GROUP, arrays='"x"', root="[1]"),
        document('{"type":"t","state":{"a":null},"count":2,"columns":{"a":[1,2]}}', root="[1]"),
        document('{"type":"t","array":0,"count":2,"lengths":[0,0]}', arrays='"x"'),
        b'{"versions":{"numpy":"2"},"roots":{"sample":1,"object":null},"arrays":[],"nodes":[]}',
    ],
)
def test_a_well_formed_graph_is_read_and_written_as_it_was(data: bytes) -> None:
    accept(data)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None),
        ("true", True),
        ("false", False),
        ("0", 0),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("1.0", 1.0),
        ("-0.0", -0.0),
        ("5e-324", 5e-324),
        ("1.7976931348623157e308", 1.7976931348623157e308),
        ('""', ""),
        (r'"\u0000\u001f\b\t\n\f\r\"\\/"', '\x00\x1f\b\t\n\f\r"\\/'),
        ('"ä✓😀\x7f"', "ä✓😀\x7f"),
    ],
)
def test_a_value_is_read_exactly(text: str, value: object) -> None:
    (found,) = accept(item(text)).nodes[0].items
    assert type(found) is type(value)
    assert repr(found) == repr(value)


@pytest.mark.parametrize(
    ("text", "value"), [("1E5", 1e5), ("100.00", 100.0), ("-0", 0), ("1e-999", 0.0), ("0.10e1", 1.0)]
)
def test_a_number_may_be_spelled_in_another_way(text: str, value: float) -> None:
    assert from_json(item(text)).nodes[0].items == [value]


def test_a_ref_is_told_from_any_other_value() -> None:
    graph = accept(document('{"type":"list","items":[[0],0]}', root="[0]"))
    assert graph.roots == {"object": Ref(0)}
    assert graph.nodes[0].items == [Ref(0), 0]


def test_what_is_read_is_made_of_nodes_that_share_nothing() -> None:
    graph = accept(document('{"type":"a"},{"type":"a"}'))
    assert all(isinstance(node, Node) for node in graph.nodes)
    graph.nodes[0].items.append(1)
    graph.nodes[0].state["a"] = 1
    assert graph.nodes[1] == accept(document('{"type":"a"}')).nodes[0]


def test_a_memoryview_is_read_as_bytes_are() -> None:
    data = document('{"type":"a"}')
    assert from_json(memoryview(bytearray(data))) == from_json(data)


def test_objects_are_numbered_through_groups() -> None:
    nodes = [Node("a"), Node("g", count=3), Node("b")]
    assert first_objects(nodes) == [0, 1, 4]
    assert first_objects([]) == []


def test_plain_dtypes_are_little_endian_and_of_1_to_8_bytes() -> None:
    for dtype in PLAIN_DTYPES.values():
        assert dtype.newbyteorder("<") == dtype
        assert dtype.itemsize in (1, 2, 4, 8)


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8")),
)


@settings(max_examples=100, deadline=None)
@given(
    state=st.dictionaries(st.text(st.characters(codec="utf-8")), values),
    pairs=st.lists(st.tuples(values, values)),
    columns=st.lists(st.tuples(values, values), min_size=1),
)
def test_any_values_come_back(state: dict, pairs: list, columns: list) -> None:
    group = Node("g", state={str(i): None for i in range(len(columns))}, count=2)
    group.columns = {str(i): list(column) for i, column in enumerate(columns)}
    nodes = [Node("dict", state=state, keys=[k for k, _ in pairs], items=[v for _, v in pairs]), group]
    graph = Graph({"object": Ref(2)}, nodes, [], [], {})
    again = accept(to_json(graph))
    assert repr(msgspec.to_builtins(again)) == repr(msgspec.to_builtins(graph))


# ---- what is refused ----

# (what is wrong, the JSON, words of the message)
REFUSED = [
    ("nothing", b"", "not what the format says"),
    ("null", b"null", "not what the format says"),
    ("a list", b"[]", "not what the format says"),
    ("no members", b"{}", "missing required field"),
    ("a member too many", document().replace(b'"nodes"', b'"more":1,"nodes"'), "unknown field"),
    ("a cut document", document()[:-1], "not what the format says"),
    ("two documents", document() + document(), "not what the format says"),
    ("a byte order mark", b"\xef\xbb\xbf" + document(), "not what the format says"),
    ("UTF-16", document().decode().encode("utf-16"), "not what the format says"),
    ("no root", document().replace(b"object", b"abject"), "no root named 'object'"),
    ("a root that is an object", document(root="{}"), "not what the format says"),
    ("a version that is no string", document().replace(b'"versions":{}', b'"versions":{"a":1}'), "not what"),
    ("an array's name that is no string", document(arrays="1"), "not what the format says"),
    ("a node without a type", document('{"items":[1]}'), "missing required field"),
    ("a type that is no string", document('{"type":1}'), "not what the format says"),
    ("a node that is a list", document('["list"]'), "not what the format says"),
    ("a node with a member too many", document('{"type":"a","code":"x"}'), "unknown field"),
    ("an int of 65 bits", item("9223372036854775808"), "not what the format says"),
    ("an int of 65 bits, negative", item("-9223372036854775809"), "not what the format says"),
    ("an int of 5,000 digits", item("9" * 5000), "not what the format says"),
    ("a float past the largest", item("1e309"), "out of range"),
    ("NaN", item("NaN"), "not what the format says"),
    ("Infinity", item("-Infinity"), "not what the format says"),
    ("a number with a leading zero", item("01"), "not what the format says"),
    ("an object for a value", item("{}"), "not what the format says"),
    ("an empty ref", item("[]"), "not what the format says"),
    ("a ref with two numbers", item("[0,0]"), "not what the format says"),
    ("a ref to a float", item("[0.0]"), "not what the format says"),
    ("a ref to true", item("[true]"), "not what the format says"),
    ("a ref to a string", item('["0"]'), "not what the format says"),
    ("a negative ref", item("[-1]"), "not what the format says"),
    ("a ref past the last object", item("[1]"), "refers to object 1"),
    ("a ref of 64 bits", item("[18446744073709551616]"), "refers to object"),
    ("a root past the last object", document(root="[0]"), "refers to object 0"),
    ("a key past the last object", document('{"type":"d","items":[1],"keys":[[1]]}'), "refers to object 1"),
    ("a field past the last object", document('{"type":"d","state":{"a":[1]}}'), "refers to object 1"),
    ("a column past the last object", document(GROUP.replace("[0]", "[2]"), arrays='"x"'), "refers to object 2"),
    ("100,000 brackets", item("[" * 100_000), "not what the format says"),
    ("100,000 braces", item('{"a":' * 100_000), "not what the format says"),
    ("fewer keys than items", document('{"type":"d","items":[1,2],"keys":[1]}'), "1 keys for 2 items"),
    ("keys without items", document('{"type":"d","keys":[1]}'), "1 keys for 0 items"),
    ("an array past the last", document('{"type":"a","array":0}'), "array 0 is out of range"),
    ("a negative array", document('{"type":"a","array":-1}', arrays='"x"'), "not what the format says"),
    ("an array that is true", document('{"type":"a","array":true}', arrays='"x"'), "not what the format says"),
    ("an array of two nodes", document('{"type":"a","array":0},{"type":"b","array":0}', arrays='"x"'), "two nodes"),
    ("an array of no node", document(arrays='"x"'), "belongs to no node"),
    (
        "two arrays of one name",
        document('{"type":"a","array":0},{"type":"b","array":1}', arrays='"x","x"'),
        "same name",
    ),
    ("a name twice", document('{"type":"a","state":{"x":1,"x":1}}'), "not canonical"),
    ("a name twice, with an escape", document(r'{"type":"a","state":{"x":1,"\u0078":1}}'), "not canonical"),
    ("a type twice", document('{"type":"a","type":"a"}'), "not canonical"),
    ("a table twice", document().replace(b'"nodes":[]', b'"nodes":[],"nodes":[]'), "not canonical"),
    ("a name of digits twice", document('{"type":"a","state":{"1":1,"1":1}}'), "not canonical"),
    ("an empty name twice", document('{"type":"a","state":{"":1,"":1}}'), "not canonical"),
    ("white space", document('{"type": "a"}'), "not canonical"),
    ("a line at the end", document() + b"\n", "not canonical"),
    ("a needless escape", item(r'"\u0061"'), "not canonical"),
    ("an escaped digit", item(r'"\u0031"'), "not canonical"),
    ("an escaped slash", item(r'"\/"'), "not canonical"),
    ("an escape in capitals", item(r'"\u001F"'), "not canonical"),
    ("an escape that is a lone surrogate", item(r'"\ud800"'), "not what the format says"),
    ("an escape that is half a pair", item(r'"\ud800\u0041"'), "not what the format says"),
    ("a raw control character", item('"\x01"'), "not what the format says"),
    ("bytes that are no UTF-8", item('"?"').replace(b"?", b"\xff"), "not what the format says"),
    ("an overlong slash", item('"?"').replace(b"?", b"\xc0\xaf"), "not what the format says"),
    ("a raw surrogate", item('"?"').replace(b"?", b"\xed\xa0\x80"), "not what the format says"),
    ("a default that stands", document('{"type":"a","items":[]}'), "not canonical"),
    ("an array that is null", document('{"type":"a","array":null}'), "not canonical"),
    ("a count of 1 that stands", document('{"type":"a","count":1}'), "not canonical"),
    ("members in another order", document('{"items":[1],"type":"a"}'), "not canonical"),
    ("a count of 0", document('{"type":"a","count":0}'), "not a group of 0"),
    ("a negative count", document('{"type":"a","count":-1}'), "not what the format says"),
    ("a count without columns", document('{"type":"a","count":1000000000000}'), "not a group of 1000000000000"),
    ("a count past its columns", document(GROUP.replace('"count":2', '"count":3'), arrays='"x"'), "do not fit"),
    ("a group with items", document(GROUP.replace('"array":0', '"items":[1],"array":0'), arrays='"x"'), "not a group"),
    ("a group with keys", document(GROUP.replace('"array":0', '"keys":[1],"array":0'), arrays='"x"'), "not a group"),
    ("a column that is no field", document(GROUP.replace('{"a":[', '{"c":['), arrays='"x"'), "do not fit"),
    ("a column beside a value", document(GROUP.replace('{"a":null', '{"a":0'), arrays='"x"'), "common value"),
    ("a length too few", document(GROUP.replace('"lengths":[1,2]', '"lengths":[3]'), arrays='"x"'), "lengths"),
    ("a negative length", document(GROUP.replace('"lengths":[1,2]', '"lengths":[-1,4]'), arrays='"x"'), "not what"),
    ("lengths without an array", document(GROUP.replace('"array":0,', "")), "lengths"),
    ("an array without lengths", document(GROUP.replace(',"lengths":[1,2]', ""), arrays='"x"'), "lengths"),
    ("columns of one object", document('{"type":"a","state":{"x":null},"columns":{"x":[1]}}'), "for one object"),
    ("lengths of one object", document('{"type":"a","array":0,"lengths":[1]}', arrays='"x"'), "for one object"),
]


@pytest.mark.parametrize(("data", "words"), [pytest.param(*case[1:], id=case[0]) for case in REFUSED])
def test_a_graph_that_is_not_well_formed_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=re.escape(words)) as caught:
        from_json(data)
    assert "graph" in str(caught.value)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(graph_bytes=20), "bytes long, over the limit of 20"),
        (Limits(nodes=2), "3 objects, over the limit of 2"),
        (Limits(arrays=0), "1 arrays, over the limit of 0"),
    ],
)
def test_limits_are_held(limits: Limits, words: str) -> None:
    data = document(GROUP + ',{"type":"a"}', arrays='"x"')
    from_json(data, limits=LIMITS)
    with pytest.raises(FormatError, match=words):
        from_json(data, limits=limits)


def test_a_graph_changed_anyhow_is_refused_or_written_again_as_it_was() -> None:
    generator = random.Random(0)
    good = document(
        GROUP + ',{"type":"dict","state":{"k":2.5},"items":[[0],"x"],"keys":["a",1]}', arrays='"x"', root="[2]"
    ).decode()
    pieces = re.findall(r'"[^"]*"|[\d.]+|[a-z]+|.', good)
    accepted = 0
    for _ in range(5000):
        tokens = list(pieces)
        for _ in range(generator.randint(1, 3)):
            place = generator.randrange(len(tokens))
            tokens[place] = generator.choice([*pieces, "", " ", "-1", "null", "[1]", tokens[place] * 2])
        data = "".join(tokens).encode()
        try:
            graph = from_json(data)
        except FormatError:
            continue
        accepted += 1
        assert to_json(graph) == data
    assert accepted


def test_a_lone_surrogate_is_not_written() -> None:
    with pytest.raises(UnicodeEncodeError):
        to_json(Graph({"object": "\ud800"}, [], [], [], {}))


def test_writing_leaves_arrays_out() -> None:
    graph = Graph({"object": Ref(0)}, [Node("numpy.ndarray", array=0)], [np.arange(3)], ["x"], {})
    assert to_json(graph) == document('{"type":"numpy.ndarray","array":0}', arrays='"x"', root="[0]")
