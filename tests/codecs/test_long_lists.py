"""Long lists of one plain type, and long dicts of text, as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from exactness import assert_kept

import keepfit
from keepfit import codecs
from keepfit.codecs.long_lists import LONG_MIN
from keepfit.errors import InvalidStateError
from keepfit.graph import Graph, Node, Ref

N = LONG_MIN
LONG: dict[str, Any] = {
    "texts": [f"wörd {n}" for n in range(N)],
    "empty texts": [""] * N,
    "integers": [-(2**63), 2**63 - 1, *range(N)],
    "floats": [-0.0, 5e-324, 1.7976931348623157e308, *map(float, range(N))],
    "vocabulary": {f"word{n}": n for n in range(N)},
    "weights": {f"word{n}": n / 7 for n in range(N)},
    "mixed values": {f"word{n}": (None, True, 1, 2.5, "x")[n % 5] for n in range(N)},
}
#: What looks like these, and has to stand in JSON or as nodes.
OTHERS: dict[str, Any] = {
    "texts with the separator": ["a\0b", *LONG["texts"]],
    "lone surrogates": ["\ud800", *LONG["texts"]],
    "large integers": [2**63, *range(N)],
    "bools": [True] * N,
    "bools among integers": [True, *range(N)],
    "not finite": [float("inf"), float("nan"), *map(float, range(N))],
    "short": ["a"] * (N - 1),
    "keys with the separator": {f"a\0{n}": n for n in range(N)},
    "keys that are surrogates": {"\ud800": 0, **LONG["vocabulary"]},
    "keys of two types": {0: 0, **LONG["vocabulary"]},
    "values that are lists": {**LONG["vocabulary"], "last": [1]},
    "values that are not finite": {**LONG["weights"], "last": float("inf")},
}


@pytest.mark.parametrize("name", LONG | OTHERS)
def test_comes_back_as_it_was(name: str) -> None:
    assert_kept((LONG | OTHERS)[name])


@pytest.mark.parametrize("name", LONG)
def test_long_ones_of_one_type_stand_as_arrays(name: str) -> None:
    graph = codecs.encode(LONG[name])
    values = [value for node in graph.nodes for value in (*node.items, *node.keys)]
    assert len(values) == (N if name == "mixed values" else 0)


def test_numbers_take_32_bits_where_all_fit() -> None:
    ends = [-(2**31), 2**31 - 1, *range(N)]
    for values, dtype in ((ends, "<i4"), ([*ends, 2**31], "<i8"), ([*ends, -(2**31) - 1], "<i8")):
        (array,) = codecs.encode(values).arrays
        assert array.dtype == dtype
        assert_kept(values)


def test_small_numbers_of_64_bits_as_older_files_have_them_are_read() -> None:
    assert codecs.decode(graph_of(np.arange(N, dtype="<i8"))) == list(range(N))


def test_many_long_lists_and_dicts_stand_as_a_group() -> None:
    many = [[f"{row} {n}" for n in range(N)] for row in range(20)] + [
        {f"{row} {n}": n for n in range(N)} for row in range(20)
    ]
    assert_kept(many)
    assert len(codecs.encode(many).nodes) < 20


def test_a_list_shared_by_two_is_shared_again() -> None:
    words = list(LONG["texts"])
    one, other = keepfit.loads(keepfit.dumps([words, words]))
    assert one is other


def graph_of(array: np.ndarray[Any, Any], *nodes: Node) -> Graph:
    made = [Node("list", array=0), *nodes]
    return Graph({"object": Ref(len(made) - 1)}, made, [array], ["words"], {})


@pytest.mark.parametrize(
    "array",
    [
        np.frombuffer(b"\xff\0" * N, "u1"),
        np.frombuffer(b"a\0b", "u1"),
        np.arange(N - 1),
        np.arange(N, dtype="<i2"),
        np.zeros((N, 2)),
        np.full(N, np.nan),
    ],
)
def test_an_array_that_no_list_is_written_as_is_refused(array: np.ndarray[Any, Any]) -> None:
    with pytest.raises(InvalidStateError):
        codecs.decode(graph_of(array))


def test_a_list_of_items_and_an_array_is_refused() -> None:
    graph = graph_of(np.arange(N))
    graph.nodes[0].items = [1]
    with pytest.raises(InvalidStateError, match="items or as an array"):
        codecs.decode(graph)


@pytest.mark.parametrize("keys", [np.arange(N), np.frombuffer(b"a\0" * N + b"b", "u1")])
def test_a_long_dict_of_numbers_or_equal_words_is_refused(keys: np.ndarray[Any, Any]) -> None:
    words = Node("long_dict", {"keys": Ref(0), "values": Ref(0)})
    with pytest.raises(InvalidStateError, match=r"two keys|text for keys"):
        codecs.decode(graph_of(keys, words))
