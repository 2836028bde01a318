"""How often the parts of a model are met: a part that stands once in a file may be a part many times over.

An estimator of two members, each the same estimator of two members, and so on forty times, is a small file that calls
its last member 2**40 times; a parameter that is a list of such lists is copied by `clone`, or printed, as often. So
estimators, and the containers in them, are counted with what they hold, each time they hold it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import compress, islice
from operator import countOf, eq

from keepfit.errors import InvalidStateError
from keepfit.graph import Node, Outline, Ref, refs_of

__all__ = ["EXPANSION", "EXPANSION_TOGETHER", "check_expansion"]

#: Parts of a model, each counted as often as it is called. More are fine where the file holds as many.
EXPANSION = 100_000
#: A model may have this many times more parts than its file has objects.
_SHARING = 10
#: Checks of a model go through its parts. So all models of a file together may have more than one, but so many times.
_TOGETHER = 10
#: So many are fine in any file: copies of a model that share what they are made of are kept as what they share.
EXPANSION_TOGETHER = 10_000_000


def check_expansion(outline: Outline) -> None:
    """Refuse graphs of estimators that make up far more parts than they have objects.

    Parameters
    ----------
    outline : Outline
        Of a graph.

    Raises
    ------
    InvalidStateError
        If an estimator has more than `EXPANSION` parts, each counted as often as it stands in another, and more than
        ten times as many as there are objects in the graph; if all estimators together have more than ten million, and
        more than a hundred times as many as there are objects; if a part of an estimator contains itself.

    Notes
    -----
    Cost is linear in the size of the graph.
    """
    nodes = outline.nodes
    holding = [
        (first, node, refs, highest)
        for first, node, refs, highest in zip(outline.firsts, nodes, outline.refs, outline.highest, strict=True)
        if refs and node.array is None and node.type not in _WITHOUT_PARTS and not node.type.startswith(_RANDOM)
    ]
    if not holding:
        return
    objects = outline.firsts[-1] + nodes[-1].count
    limit = max(EXPANSION, _SHARING * objects)
    if _most_parts_of_trees(holding) <= limit or not any(node.type.startswith("sklearn.") for node in nodes):
        return
    limit_together = max(EXPANSION_TOGETHER, _TOGETHER * _SHARING * objects)
    together = 0
    parts: dict[int, int] = {}  # of objects that have any
    for first, node, refs, _ in holding:
        most = _count(node, first, refs, parts)
        if not node.type.startswith("sklearn."):
            continue
        if most >= _ENDLESS:
            raise InvalidStateError(f"a {node.type} contains itself, or a part of it does; no fit makes one")
        if most > limit:
            raise InvalidStateError(f"a {node.type} of more than {limit:,} parts, most of them the same ones again")
        together += sum(map(parts.__getitem__, range(first, first + node.count)))
        if together > limit_together:
            raise InvalidStateError(f"models of more than {limit_together:,} parts together, most of them the same")


#: The parts of what contains itself. Python's limit of recursion ends no walk that tries the next part after an error,
#: as that for the tags of estimators does, and NumPy has none: it makes 2**64 items of a list that holds itself twice.
_ENDLESS = 2**62
#: The leaves of a Birch stand in a ring, and what asks for metadata knows whom it asks for. No walk goes round by them.
_RINGS = frozenset(
    {
        "sklearn.cluster._birch._CFNode", "sklearn.utils._metadata_requests.MetadataRequest",
        "sklearn.utils._metadata_requests.MethodMetadataRequest",
    }
)  # fmt: skip
#: By which no part is held: each leaf of a Birch knows the one before it and the one after it.
_LINKS = {"sklearn.cluster._birch._CFNode": frozenset({"prev_leaf_", "next_leaf_"})}
#: What refers to arrays, dtypes and plain values only; so does whatever has an array itself.
_RANDOM = "numpy.random."
_WITHOUT_PARTS = frozenset({"sklearn.tree._tree.Tree", "numpy.dtype", "numpy.scalar"})


def _most_parts_of_trees(holding: list[tuple[int, Node, list[int], int]]) -> float:
    """What no object's number of parts is over, if whatever has parts is in one place only; otherwise infinity."""
    starts: list[int] = []  # of the nodes that hold something, which are in order, and where each ends
    stops: list[int] = []
    to_holders: list[int] = []
    found = 1
    for first, node, refs, highest in holding:
        if highest >= first:
            return math.inf
        common = [] if node.count == 1 else [value.index for value in node.state.values() if type(value) is Ref]
        found += len(refs) + len(common) * node.count
        before = bisect_right(starts, highest)  # of arrays, which most refer to, nothing more need be known
        if before and stops[before - 1] > min(refs):
            to_holders += refs
        to_holders += common
        starts.append(first)
        stops.append(first + node.count)
    to_holders.sort()
    for again in compress(to_holders, map(eq, to_holders, islice(to_holders, 1, None))):
        before = bisect_right(starts, again)
        if before and stops[before - 1] > again:
            return math.inf
    return found


def _count(node: Node, first: int, refs: list[int], parts: dict[int, int]) -> int:
    """Note the parts of the objects of a node; gives the most that one of them has."""
    ahead = 0 if node.type in _RINGS else _ENDLESS
    links = _LINKS.get(node.type)
    if links is not None:
        state, columns = ({n: v for n, v in of.items() if n not in links} for of in (node.state, node.columns))
        node = Node(node.type, state, count=node.count, columns=columns)
        refs = refs_of(node)
    if node.count == 1:
        count = 1 + sum([parts.get(index, 1) if index < first else ahead for index in refs])
        parts[first] = min(count, _ENDLESS)
        return count
    common = [value.index for value in node.state.values() if type(value) is Ref]
    counts = [1 + sum([parts.get(index, 1) if index < first else ahead for index in common])] * node.count
    refs_in_column = [countOf(map(type, column), Ref) for column in node.columns.values()]
    if max(refs, default=0) < first and set(refs_in_column) <= {0, node.count} and parts.keys().isdisjoint(refs):
        count = counts[0] + len(refs_in_column) - refs_in_column.count(0)
        parts.update(dict.fromkeys(range(first, first + node.count), count))
        return count
    for column, ref_count in zip(node.columns.values(), refs_in_column, strict=True):
        if ref_count:
            for place, value in enumerate(column):
                if type(value) is Ref:
                    counts[place] += parts.get(value.index, 1) if value.index < first else ahead
    parts.update(zip(range(first, first + node.count), (min(count, _ENDLESS) for count in counts), strict=True))
    return max(counts)
