"""How often the parts of a model are met: a part that stands once in a file may be a part many times over.

An estimator of two members, each the same estimator of two members, and so on forty times, is a small file that calls
its last member 2**40 times; a parameter that is a list of such lists is copied by `clone`, or printed, as often. So
estimators, and the containers in them, are counted with what they hold, each time they hold it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from itertools import accumulate
from typing import Any

from keepfit.errors import InvalidStateError
from keepfit.graph import Node, Ref

__all__ = ["EXPANSION", "check_expansion"]

#: Parts of a model, each counted as often as it is called. More are fine where the file holds as many.
EXPANSION = 100_000
#: A model may have this many times more parts than its file has objects.
_SHARING = 10

_CONTAINERS = frozenset(
    {
        "collections.OrderedDict", "collections.defaultdict", "collections.deque", "dict", "frozenset",
        "functools.partial", "list", "numpy.ndarray", "set", "sklearn.utils.Bunch", "slice", "tuple",
    }
)  # fmt: skip


def check_expansion(nodes: Sequence[Node]) -> None:
    """Refuse graphs of estimators that make up far more parts than they have objects.

    Parameters
    ----------
    nodes : sequence of Node
        The nodes of a graph. What refers ahead closes a cycle, which Python's own limit of recursion ends.

    Raises
    ------
    InvalidStateError
        If an estimator has more than `EXPANSION` parts, each counted as often as it stands in another, and more than
        ten times as many as there are objects in the graph.

    Notes
    -----
    Cost is linear in the refs of estimators and of the containers between them.
    """
    if not any(node.type.startswith("sklearn.") for node in nodes):
        return
    firsts = list(accumulate((node.count for node in nodes), initial=0))
    wanted = _wanted(nodes, firsts)
    limit = max(EXPANSION, _SHARING * firsts[-1])
    parts: dict[int, int] = {}
    for number, node in enumerate(nodes):
        if not wanted[number]:
            continue
        first = firsts[number]
        common = 1 + _sum(parts, first, node.state.values()) + _sum(parts, first, node.items)
        for index, count in _members(parts, first, node, common):
            parts[index] = count
            if count > limit and _is_part(node):
                raise InvalidStateError(f"a model of more than {limit:,} parts, most of them the same ones again")


def _is_part(node: Node) -> bool:
    return node.type.startswith("sklearn.") and node.type not in _CONTAINERS


def _wanted(nodes: Sequence[Node], firsts: list[int]) -> bytearray:
    """Which nodes are estimators, or containers in one."""
    wanted = bytearray(len(nodes))
    for number in range(len(nodes) - 1, -1, -1):
        node = nodes[number]
        if _is_part(node):
            wanted[number] = 1
        elif not wanted[number]:
            continue
        for values in (node.state.values(), node.items, node.keys, *node.columns.values()):
            if Ref in set(map(type, values)):
                for index in {value.index for value in values if type(value) is Ref}:
                    place = bisect_right(firsts, index) - 1
                    wanted[place] |= nodes[place].type in _CONTAINERS
    return wanted


def _sum(parts: dict[int, int], first: int, values: Collection[Any]) -> int:
    if Ref not in set(map(type, values)):
        return 0
    return sum(parts.get(value.index, 0) for value in values if type(value) is Ref and value.index < first)


def _members(parts: dict[int, int], first: int, node: Node, common: int) -> Iterable[tuple[int, int]]:
    if not node.columns:
        return ((index, common) for index in range(first, first + node.count))
    columns = [column for column in node.columns.values() if Ref in set(map(type, column))]
    if not columns:
        return ((index, common) for index in range(first, first + node.count))
    return (
        (first + place, common + _sum(parts, first, values)) for place, values in enumerate(zip(*columns, strict=True))
    )
