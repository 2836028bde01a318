"""How often the parts of a model are met: a part that stands once in a file may be a part many times over.

An estimator of two members, each the same estimator of two members, and so on forty times, is a small file that calls
its last member 2**40 times; a parameter that is a list of such lists is copied by `clone`, or printed, as often. So
estimators, and the containers in them, are counted with what they hold, each time they hold it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection
from operator import countOf
from typing import Any

from keepfit.errors import InvalidStateError
from keepfit.graph import Node, Ref, first_objects

__all__ = ["EXPANSION", "check_expansion"]

#: Parts of a model, each counted as often as it is called. More are fine where the file holds as many.
EXPANSION = 100_000
#: A model may have this many times more parts than its file has objects.
_SHARING = 10


def check_expansion(nodes: list[Node]) -> None:
    """Refuse graphs of estimators that make up far more parts than they have objects.

    Parameters
    ----------
    nodes : list of Node
        The nodes of a graph. What refers ahead closes a cycle, which Python's own limit of recursion ends. NumPy has
        none: of a list in itself, twice, it would make an array of 2**64 items. Such a sequence has parts without end.

    Raises
    ------
    InvalidStateError
        If an estimator has more than `EXPANSION` parts, each counted as often as it stands in another, and more than
        ten times as many as there are objects in the graph.

    Notes
    -----
    Cost is linear in the size of the graph.
    """
    if not any(node.type.startswith("sklearn.") for node in nodes):
        return
    objects = sum(node.count for node in nodes)
    limit = max(EXPANSION, _SHARING * objects)
    parts: dict[int, int] = {}  # of objects that have any
    endless = _in_themselves(nodes)
    first = 0
    for number, node in enumerate(nodes):
        if number in endless:
            parts[first] = _MANY
        elif node.array is None and node.type not in _WITHOUT_PARTS:
            most = _count(node, first, parts)
            if most > limit and node.type.startswith("sklearn."):
                raise InvalidStateError(f"a {node.type} of more than {limit:,} parts, most of them the same ones again")
        first += node.count


def _in_themselves(nodes: list[Node]) -> set[int]:
    """The sequences that may hold themselves with nothing but sequences between."""
    firsts = first_objects(nodes)
    return {
        number
        for number, node in enumerate(nodes)
        if node.type in _SEQUENCES
        for value in node.items
        if type(value) is Ref and value.index >= firsts[number]
        if nodes[bisect_right(firsts, value.index) - 1].type in _SEQUENCES
    }


#: What NumPy looks into for numbers, and a cycle may pass.
_SEQUENCES = frozenset({"list", "tuple", "collections.deque", "numpy.ndarray", "numpy.matrix", "numpy.recarray"})
#: What refers to arrays and dtypes only; so does whatever has an array itself.
_WITHOUT_PARTS = frozenset({"sklearn.tree._tree.Tree", "numpy.dtype", "numpy.scalar"})


def _count(node: Node, first: int, parts: dict[int, int]) -> int:
    """Note the parts of the objects of a node; gives the most that one of them has."""
    common = 1 + _sum(parts, first, node.state.values()) + _sum(parts, first, node.items)
    counts = [common] * node.count
    for column in node.columns.values():
        if countOf(map(type, column), Ref):
            for place, value in enumerate(column):
                if type(value) is Ref and value.index < first:
                    counts[place] += parts.get(value.index, 1)
    most = max(counts)
    if most > 1:
        parts.update(zip(range(first, first + node.count), (min(count, _MANY) for count in counts), strict=True))
    return most


_MANY = 2**62


def _sum(parts: dict[int, int], first: int, values: Collection[Any]) -> int:
    """How many parts some values are, each counted with all that it holds."""
    if not countOf(map(type, values), Ref):
        return 0
    return sum(parts.get(value.index, 1) for value in values if type(value) is Ref and value.index < first)
