"""How deep objects may lie inside each other.

Lists, tuples, dicts and instances of Python classes may nest without end: CPython frees what lies deep in them later,
by its trash can. A few compiled types free their contents at once instead, one C call inside the other; some hundred
thousand of them, each inside the next, exhaust the stack and end the process. Those are held to a depth here.
"""

from __future__ import annotations

from bisect import bisect_right

from keepfit.errors import InvalidStateError
from keepfit.graph import Outline

__all__ = ["DEPTH", "NESTED", "check_nesting"]

#: How many of these types may lie inside each other, and how often, besides, one may refer ahead to another. Together
#: they bound any way through a graph to `DEPTH` squared calls.
DEPTH = 100

#: Types whose contents are freed inside the call that frees them (CPython 3.11 to 3.13, NumPy 1.26 to 2.5).
NESTED = frozenset(
    {
        "collections.defaultdict", "collections.deque", "functools.partial", "numpy.ndarray", "numpy.matrix",
        "numpy.recarray", "numpy.scalar", "operator.itemgetter", "slice",
    }
)  # fmt: skip
_ARRAYS = frozenset({"numpy.ndarray", "numpy.matrix", "numpy.recarray", "numpy.scalar"})


def check_nesting(outline: Outline) -> None:
    """Refuse graphs in which objects of such types lie too deep inside each other.

    Parameters
    ----------
    outline : Outline
        Of a graph. Nodes of other types between two of these start a new count.

    Raises
    ------
    InvalidStateError
        If more than `DEPTH` lie inside each other, or more than that refer ahead to each other; if an array of objects
        contains itself with nothing but arrays between.

    Notes
    -----
    Cost is linear in the nodes of these types and what they refer to.
    """
    nodes, firsts = outline.nodes, outline.firsts
    depths: dict[int, int] = {}  # of nodes that refer to others
    ahead = 0
    for number, (node, refs, highest) in enumerate(zip(nodes, outline.refs, outline.highest, strict=True)):
        if not refs or node.type not in NESTED:
            continue
        depth = 1
        if (
            len(refs) > 1
            and highest < firsts[number]
            and bisect_right(firsts, highest) == bisect_right(firsts, min(refs))
        ):
            refs = refs[:1]  # all belong to one node before this one, as the trees of a stage of boosting do
        for index in refs:
            target = bisect_right(firsts, index) - 1
            if target < number:
                depth = max(depth, depths.get(target, int(nodes[target].type in NESTED)) + 1)
            elif node.type in _ARRAYS and nodes[target].type in _ARRAYS:
                raise InvalidStateError("an array contains itself; arithmetic on it would never end")
            elif target > number and nodes[target].type in NESTED:
                ahead += 1
        depths[number] = depth
        if depth > DEPTH or ahead > DEPTH:
            raise InvalidStateError(f"more than {DEPTH} objects such as a {node.type} lie inside each other")
