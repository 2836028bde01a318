"""One object out of a graph: found by its path, and cut out with all that it is made of and nothing else."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any, NamedTuple

import msgspec

from keepfit.codecs.codec import from_record
from keepfit.errors import PartNotFoundError
from keepfit.graph import Graph, Node, Ref, first_objects

__all__ = ["Rows", "cut_out", "find_part", "part_names"]

_SHOWN, _SHOWN_LENGTH = 8, 80


class Rows(NamedTuple):
    """What an array of a part is made of: some rows of an array of the whole, or all of it where `stop` is None."""

    array: int
    start: int = 0
    stop: int | None = None


def find_part(graph: Graph, path: str | tuple[str | int, ...]) -> Any:
    """The value at a path: a `Ref`, or what stands inline.

    Parameters
    ----------
    graph : Graph
    path : str or tuple of (str or int)
        Attributes, keys and places, from the object down. In a str they are joined by points; a key with points in it
        is found all the same, the longest key first. A named tuple, such as a pipeline's ``("scale", scaler)``, is
        found by its name or its place, and stands for what it names. An empty path is the object.

    Raises
    ------
    PartNotFoundError
        If there is nothing; its text says what there is in place of the first step that leads nowhere.
    """
    steps = (path.split(".") if path else []) if isinstance(path, str) else [str(step) for step in path]
    is_joined = isinstance(path, str)
    firsts = first_objects(graph.nodes)
    value: Any = graph.roots["object"]
    done: list[str] = []
    while steps:
        children = _named(graph, firsts, value)
        longest = len(steps) if is_joined else 1
        taken = next((n for n in range(longest, 0, -1) if ".".join(steps[:n]) in children), 0)
        if not taken:
            known = ", ".join(repr(name[:_SHOWN_LENGTH]) for name in list(children)[:_SHOWN])
            known += ", ..." if len(children) > _SHOWN else ""
            where = ".".join(done) or "the object"
            raise PartNotFoundError(f"there is no {steps[0]!r} in {where}; there is {known or 'nothing'}")
        value = children[".".join(steps[:taken])]
        done += steps[:taken]
        steps = steps[taken:]
    return value


def part_names(graph: Graph) -> tuple[str, ...]:
    """The first steps of paths: keys of a mapping, places in a sequence, attributes; each part by one name."""
    value = graph.roots["object"]
    if type(value) is not Ref:
        return ()
    node = _single(graph, first_objects(graph.nodes), value.index)
    keys = node.keys or range(len(node.items))
    return tuple(dict.fromkeys([*(str(key) for key in keys if type(key) is not Ref), *node.state]))


def _named(graph: Graph, firsts: list[int], value: Any) -> dict[str, Any]:
    """What a value holds, by the names that a path has for it."""
    if type(value) is not Ref:
        return {}
    node = _single(graph, firsts, value.index)
    pairs = [(key, item) for key, item in zip(node.keys, node.items, strict=False) if type(key) is not Ref]
    pairs.sort(key=lambda pair: type(pair[0]) is str)  # "3" is found before 3
    names: dict[str, Any] = {str(key): item for key, item in pairs}
    if not node.keys:
        for place, item in enumerate(node.items):
            name, named = _named_tuple(graph, firsts, item)
            names[str(place)] = named
            if name:
                names.setdefault(name, named)
    return {**names, **node.state}


def _named_tuple(graph: Graph, firsts: list[int], value: Any) -> tuple[str, Any]:
    """The name of a named tuple and what it names; no name and the value itself for anything else."""
    if type(value) is Ref and _node(graph, firsts, value.index).type == "tuple":
        items = _single(graph, firsts, value.index).items
        if len(items) > 1 and type(items[0]) is str and items[0].isidentifier():
            return items[0], items[1]
    return "", value


def _node(graph: Graph, firsts: list[int], index: int) -> Node:
    return graph.nodes[bisect_right(firsts, index) - 1]


def _single(graph: Graph, firsts: list[int], index: int) -> Node:
    """The node of one object; of a member of a group, the one it would have if it stood alone, without its array."""
    number = bisect_right(firsts, index) - 1
    node = graph.nodes[number]
    return node if node.count == 1 else _member(node, index - firsts[number])


def _member(group: Node, number: int) -> Node:
    columns = group.columns
    state = {name: columns[name][number] if name in columns else value for name, value in group.state.items()}
    return from_record(Node(group.type, state))


def cut_out(graph: Graph, value: Any) -> tuple[Graph, list[Rows]]:
    """A graph of one value and what it is made of, and where in the whole its arrays are.

    Parameters
    ----------
    graph : Graph
        The whole. Its arrays need not be there.
    value : value
        Of the whole: what `find_part` gives.

    Returns
    -------
    part : Graph
        Without its arrays.
    rows : list of Rows
        One for each of its arrays.

    Notes
    -----
    Of a group, of which some members are wanted, those become nodes of their own. Cost is linear in the number of nodes
    of the whole and in the size of the part.
    """
    firsts = first_objects(graph.nodes)
    members = _reachable(graph, firsts, value)
    nodes: list[Node] = []
    rows: list[Rows] = []
    places: dict[int, int] = {}
    count = 0
    for number, wanted in sorted(members.items()):
        node = graph.nodes[number]
        if len(wanted) == node.count:
            pieces = [(range(node.count), node, None if node.array is None else Rows(node.array))]
        else:
            ends = [0, *accumulate(node.lengths)]
            pieces = [
                (
                    range(member, member + 1),
                    _member(node, member),
                    None if node.array is None else Rows(node.array, ends[member], ends[member + 1]),
                )
                for member in sorted(wanted)
            ]
        for objects, piece, piece_rows in pieces:
            places.update((firsts[number] + member, count + place) for place, member in enumerate(objects))
            count += len(objects)
            nodes.append(msgspec.structs.replace(piece, array=None if piece_rows is None else len(rows)))
            if piece_rows is not None:
                rows.append(piece_rows)
    renumbered = [_renumbered(node, places) for node in nodes]
    root = Ref(places[value.index]) if type(value) is Ref else value
    names = [graph.names[each.array] for each in rows]
    return Graph({"object": root}, renumbered, [], names, graph.versions), rows


def _reachable(graph: Graph, firsts: list[int], value: Any) -> dict[int, set[int]]:
    """For each node that a value is made of, which of its members are wanted."""
    members: dict[int, set[int]] = {}
    stack = [value]
    while stack:
        value = stack.pop()
        if type(value) is not Ref:
            continue
        number = bisect_right(firsts, value.index) - 1
        member = value.index - firsts[number]
        wanted = members.setdefault(number, set())
        if member not in wanted:
            wanted.add(member)
            stack.extend(_held(graph.nodes[number], member))
    return members


def _held(node: Node, member: int) -> Iterator[Any]:
    yield from node.state.values()
    yield from node.items
    yield from node.keys
    for column in node.columns.values():
        yield column[member]


def _renumbered(node: Node, places: Mapping[int, int]) -> Node:
    def again(values: list[Any]) -> list[Any]:
        return [Ref(places[value.index]) if type(value) is Ref else value for value in values]

    return msgspec.structs.replace(
        node,
        state=dict(zip(node.state, again(list(node.state.values())), strict=True)),
        items=again(node.items),
        keys=again(node.keys),
        columns={name: again(column) for name, column in node.columns.items()},
    )
