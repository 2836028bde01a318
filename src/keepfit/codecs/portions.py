"""Arrays that are read as they are used: those of a group whose one owner is a group that copies them.

A forest's nodes are one array in a file, and each tree takes a copy of its own. Read some trees at a time, into the
same memory again and again, they are checked and copied while a processor's cache holds them.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from keepfit.codecs.codec import Building, Codec, find_codec
from keepfit.errors import InvalidStateError
from keepfit.graph import Graph, Node, Outline, Ref

__all__ = ["Portions", "arrays_in_portions", "streamed_arrays"]

_ARRAY = "numpy.ndarray"
_FIELDS = frozenset({"dtype", "writeable"})


class Portions:
    """The arrays of a group, of which the next are had when they are asked for.

    Parameters
    ----------
    codec : Codec
        That of arrays.
    group : Node
        The live group, with a `Stream` for its array.
    context : Building

    Attributes
    ----------
    lengths : list of int
        The number of rows of each member's array.
    row_bytes : int
        The size of a row.

    Raises
    ------
    InvalidStateError
        If the array does not have the rows that the members ask for.
    """

    def __init__(self, codec: Codec, group: Node, context: Building) -> None:
        self.lengths = group.lengths
        self.row_bytes = group.array.dtype.itemsize * math.prod(group.array.shape[1:])
        self._codec, self._state, self._stream, self._context = codec, group.state, group.array, context
        if min(self.lengths) < 0 or sum(self.lengths) != len(self._stream):
            raise InvalidStateError("the lengths of a group do not add up to its array")

    def take(self, first: int, last: int) -> NDArray[Any]:
        """The arrays of members `first` to before `last` end to end, until the next call.

        Calls go through all members once, in order.
        """
        rows = self._stream.take(sum(self.lengths[first:last]))
        array: NDArray[Any] = self._codec.build(Node(_ARRAY, self._state, array=rows), self._context)
        return array


def streamed_arrays(graph: Graph) -> list[str]:
    """The names of the arrays that `decode` does not need whole: it takes a `Stream` for each.

    Parameters
    ----------
    graph : Graph
        Its arrays need not be there.

    Notes
    -----
    Cost is linear in the number of references in the graph, and next to nothing where no codec takes portions.
    """
    if not any(map(_takes_portions, graph.nodes)):
        return []
    return [graph.names[place] for place in arrays_in_portions(graph, graph.outline)]


def arrays_in_portions(graph: Graph, outline: Outline) -> frozenset[int]:
    """The places of those arrays in the graph's table of arrays."""
    return frozenset(
        outline.nodes[group].array
        for number, node in enumerate(graph.nodes)
        if _takes_portions(node)
        for group in _groups_in_columns(node, outline)
        if group < number and _is_only_owner(number, group, graph, outline)
    )


def _takes_portions(node: Node) -> bool:
    if node.count == 1:
        return False
    codec = find_codec(node.type)
    return codec is not None and not codec.takes_portions.isdisjoint(node.columns)


def _groups_in_columns(node: Node, outline: Outline) -> Iterator[int]:
    """The groups of arrays whose members are, in order, the values of a column that may be had in portions."""
    codec = find_codec(node.type)
    assert codec is not None
    for field in codec.takes_portions & node.columns.keys():
        column = node.columns[field]
        if type(column[0]) is not Ref:
            continue
        number = bisect_right(outline.firsts, column[0].index) - 1
        group = outline.nodes[number]
        members = range(outline.firsts[number], outline.firsts[number] + group.count)
        if group.type != _ARRAY or group.array is None or group.columns or not group.state.keys() <= _FIELDS:
            continue
        if [value.index if type(value) is Ref else None for value in column] == list(members):
            yield number


def _is_only_owner(owner: int, group: int, graph: Graph, outline: Outline) -> bool:
    """Whether nothing but one column of node `owner` refers to the arrays of a group, each once."""
    start, stop = outline.firsts[group], outline.firsts[group] + outline.nodes[group].count
    members = range(start, stop)
    found = 0
    for number, refs in enumerate(outline.refs):
        if refs and max(refs) >= start and min(refs) < stop:
            here = sum(map(members.__contains__, refs))
            if here and number != owner:
                return False
            found += here
    roots = [value.index for value in graph.roots.values() if type(value) is Ref]
    return found == len(members) and not any(map(members.__contains__, roots))
