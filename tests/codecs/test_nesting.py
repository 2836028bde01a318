"""Objects that would exhaust the stack when they are freed are refused; all others nest as deep as they like."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import pytest
from exactness import assert_kept

from keepfit import codecs
from keepfit.codecs.nesting import DEPTH, check_nesting
from keepfit.errors import InvalidStateError
from keepfit.graph import Node, Outline, Ref

KINDS: dict[str, dict[str, Any]] = {
    "collections.deque": {"maxlen": None},
    "collections.defaultdict": {"default_factory": None},
    "numpy.ndarray": {"dims": "1"},
}


def _chain(kind: str, depth: int, *, ahead: bool = False) -> list[Node]:
    keys = [0] if kind.endswith("dict") else []
    chain = [Node(kind, KINDS[kind], [Ref(place + 1 if ahead else place)], keys) for place in range(depth)]
    return [*chain, Node("list")] if ahead else [Node("list"), *chain]


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_long_chain_is_refused(kind: str, ahead: bool) -> None:
    with pytest.raises(InvalidStateError, match=r"inside each other|contains itself"):
        check_nesting(Outline(_chain(kind, 5_000, ahead=ahead)))


def test_an_array_that_contains_itself_is_refused() -> None:
    for nodes in ([_chain("numpy.ndarray", 1)[1]], _chain("numpy.ndarray", 2, ahead=True)):
        nodes[0].items = [Ref(0)]
        with pytest.raises(InvalidStateError, match="contains itself"):
            check_nesting(Outline(nodes))


def test_slices_of_slices_are_refused() -> None:
    chain = [Node("slice", {"start": Ref(place), "stop": None, "step": None}) for place in range(5_000)]
    with pytest.raises(InvalidStateError, match="inside each other"):
        check_nesting(Outline([Node("list"), *chain]))


def test_a_chain_is_measured_across_types() -> None:
    nodes = [Node("list")]
    for _ in range(DEPTH):
        for kind in ("collections.deque", "numpy.ndarray"):
            nodes.append(Node(kind, KINDS[kind], [Ref(len(nodes) - 1)]))
    with pytest.raises(InvalidStateError, match="inside each other"):
        check_nesting(Outline(nodes))


@pytest.mark.parametrize("kind", KINDS)
def test_a_short_chain_is_built(kind: str) -> None:
    check_nesting(Outline(_chain(kind, DEPTH)))


def test_places_are_counted_by_object_where_groups_stand_between() -> None:
    group = Node("list", count=1000)
    chain = [Node("slice", {"start": Ref(1000 + place), "stop": None, "step": None}) for place in range(DEPTH + 1)]
    with pytest.raises(InvalidStateError, match="inside each other"):
        check_nesting(Outline([group, Node("list"), *chain]))


def test_lists_nest_as_deep_as_they_like() -> None:
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    check_nesting(Outline(codecs.encode(deep).nodes))


def test_a_deque_that_holds_itself_comes_back() -> None:
    box: deque[Any] = deque()
    box.append(box)
    check_nesting(Outline(codecs.encode(box).nodes))
    assert_kept(box)


def test_a_deque_in_an_array_in_a_deque_comes_back() -> None:
    array = np.empty(1, object)
    array[0] = deque([slice(1, 2)])
    assert_kept(deque([array, array]))
