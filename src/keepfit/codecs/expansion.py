"""How often the parts of a model are called: a part that stands once in a file may be a part many times over.

An estimator of two members, each the same estimator of two members, and so on forty times, is a small file that calls
its last member 2**40 times. So what holds estimators is counted with what it holds, each time it holds it.
"""

from __future__ import annotations

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

_CONTAINERS = frozenset({"dict", "list", "tuple", "numpy.ndarray", "sklearn.utils.Bunch"})
#: Classes whose members are arrays, numbers and compiled objects: nothing below them calls anything again.
_WITHOUT_MEMBERS = ("sklearn.linear_model.", "sklearn.tree.", "sklearn.svm.", "sklearn.metrics.", "sklearn._loss.")


def check_expansion(nodes: Sequence[Node]) -> None:
    """Refuse graphs of estimators that make up far more parts than they have objects.

    Parameters
    ----------
    nodes : sequence of Node
        The nodes of a graph. What refers ahead closes a cycle, which Python's own limit of recursion ends.

    Raises
    ------
    InvalidStateError
        If a model has more than `EXPANSION` parts, each counted as often as it stands in another, and more than ten
        times as many as there are objects in the graph.

    Notes
    -----
    Cost is linear in the refs of estimators and of the containers between them.
    """
    if not any(node.type.startswith("sklearn.") for node in nodes):
        return
    firsts = list(accumulate((node.count for node in nodes), initial=0))
    limit = max(EXPANSION, _SHARING * firsts[-1])
    parts: dict[int, int] = {}
    for first, node in zip(firsts, nodes, strict=False):
        is_part = node.type.startswith("sklearn.") and node.type not in _CONTAINERS
        if not is_part and node.type not in _CONTAINERS:
            continue
        own = int(is_part)
        if is_part and node.type.startswith(_WITHOUT_MEMBERS):
            parts.update(dict.fromkeys(range(first, first + node.count), own))
            continue
        common = own + _sum(parts, first, node.state.values()) + _sum(parts, first, node.items)
        for index, count in _members(parts, first, node, common):
            if count > limit:
                raise InvalidStateError(f"a model of more than {limit:,} parts, most of them the same ones again")
            if count:
                parts[index] = count


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
