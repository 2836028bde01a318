"""Which arrays of a graph nothing looks into while objects are built: what may stay in a file that is mapped.

What was checked must be what is used, and a mapped file may change under the check. So an array may stay where it is
only if it is known that no check reads it; of all others this module knows nothing, and they are read into memory.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

from keepfit.codecs.codec import find_codec
from keepfit.graph import Graph, Node, Ref, first_objects

__all__ = ["unread_arrays"]

_CONTAINERS = frozenset({"dict", "list", "tuple"})
_ARRAY = "numpy.ndarray"


def unread_arrays(graph: Graph) -> list[str]:
    """The names of the arrays whose contents `decode` leaves alone, if they are of floats.

    Parameters
    ----------
    graph : Graph
        Its arrays need not be there.

    Returns
    -------
    names : list of str
        Of arrays as NumPy has them, which stand in attributes that no check reads (`Codec.leaves_unread`), directly or
        in lists, tuples and dicts; or in such containers that are in no object. None where the graph has a cycle.

    Notes
    -----
    Cost is linear in the size of the graph.
    """
    firsts = first_objects(graph.nodes)
    read = bytearray(len(graph.nodes))
    # Owners stand after what they hold: going backwards, all owners of a node have been met before it.
    for number in range(len(graph.nodes) - 1, -1, -1):
        node = graph.nodes[number]
        codec = find_codec(node.type)
        for name, ref in _refs(node):
            held = bisect_right(firsts, ref.index) - 1
            if held >= number:
                return []
            if node.type in _CONTAINERS:
                read[held] |= read[number]
            elif name is None or codec is None or not codec.leaves_unread(name):
                read[held] = 1
    return [
        graph.names[node.array]
        for number, node in enumerate(graph.nodes)
        if node.type == _ARRAY
        and node.array is not None
        and node.state.keys() <= {"order", "writeable"}
        and not read[number]
    ]


def _refs(node: Node) -> Iterator[tuple[str | None, Ref]]:
    """What a node refers to, each with the name of its field."""
    fields: list[tuple[str | None, Any]] = [(name, [value]) for name, value in node.state.items()]
    for name, values in (*fields, *node.columns.items(), (None, node.items), (None, node.keys)):
        for value in values:
            if type(value) is Ref:
                yield name, value
