"""Changes of a graph, as a stranger who knows the format would make them: every typed field may be changed."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import array_changes
from array_changes import FLOATS, INTS

from keepfit.graph import Graph, Node, Ref

__all__ = ["copied", "mutate"]

_STRINGS = ("", "x", "euclidean", "precomputed", "brute", "kd_tree", "auto", "csr", "a" * 1000)
#: Names of types that are another kind's, that are nobody's, and that would be code.
_TYPE_NAMES = (
    "", "list", "dict", "tuple", "set", "frozenset", "numpy.ndarray", "numpy.random.mtrand.RandomState", "function",
    "class", "code", "os.system", "builtins.eval", "builtins.type", "functools.partial", "operator.attrgetter",
    "sklearn.svm._classes.SVC", "sklearn.svm.NoSuchClass", "keepfit.loads", "numpy.load", "collections.OrderedDict",
)  # fmt: skip
_RELEASES = ("1.9.1", "1.6.1", "1.7", "1.2", "99", "", "x", "1.9.1.dev0", "1." + "9" * 400)
_Random = random.Random


def mutate(
    graph: Graph, seed: int, donors: list[Graph], keep: frozenset[int] | None = None
) -> tuple[Graph, tuple[str, ...]]:
    """A copy of a graph with one to four changes, and what they are; with `keep`, only the changes of these numbers."""
    copy = copied(graph)
    notes = []
    for number in range(_Random(seed).choice((1, 1, 1, 1, 2, 2, 3, 4))):
        if keep is None or number in keep:
            rng = _Random(f"{seed} {number}")
            for change in rng.choices(_CHANGES, _WEIGHTS, k=4):
                try:
                    note = change(copy, rng, donors)
                except (TypeError, ValueError, LookupError, AttributeError) as error:
                    note = f"in vain, over what was changed before: {error}"
                if note != "nothing":  # most models have no groups, for one
                    break
            notes.append(f"{change.__name__.strip('_')}: {note}")
    return copy, tuple(notes)


def copied(graph: Graph) -> Graph:
    nodes = [_copied_node(node) for node in graph.nodes]
    return Graph(dict(graph.roots), nodes, list(graph.arrays), list(graph.names), dict(graph.versions))


def _copied_node(node: Node) -> Node:
    columns = {name: list(column) for name, column in node.columns.items()}
    return Node(
        node.type,
        dict(node.state),
        list(node.items),
        list(node.keys),
        node.array,
        node.count,
        columns,
        list(node.lengths),
    )


def _slots(graph: Graph) -> list[tuple[int, Any, Any]]:
    """Every place of a value: the number of its node, its container and its key there."""
    found: list[tuple[int, Any, Any]] = []
    for number, node in enumerate(graph.nodes):
        found += [(number, node.state, name) for name in node.state if name not in node.columns]
        for values in (node.items, node.keys, *node.columns.values()):
            found += [(number, values, place) for place in range(len(values))]
    return found


def _inline(value: Any, rng: _Random) -> Any:
    """Another inline value, mostly of the same type."""
    if type(value) is bool and rng.random() < 0.7:
        return not value
    if type(value) is int and rng.random() < 0.8:
        near = (value + 1, value - 1, -value, value * 2, value // 2, value * 1000)
        return max(-(2**63), min(2**63 - 1, rng.choice((*near, *INTS))))
    if type(value) is float and rng.random() < 0.8:
        return rng.choice((*FLOATS, -value, value + 1))
    if type(value) is str and value[:1].isdigit() and rng.random() < 0.7:  # lengths or strides
        numbers = value.split(",")
        numbers[rng.randrange(len(numbers))] = str(rng.choice((0, 1, 2, 3, -1, 2**24, 2**31, 2**40)))
        return ",".join(numbers)
    if type(value) is str and rng.random() < 0.8:
        return rng.choice((*_STRINGS, value[:-1], value + "x"))
    return rng.choice((None, True, False, rng.choice(INTS), rng.choice(FLOATS), rng.choice(_STRINGS)))


def _scalar(graph: Graph, rng: _Random, donors: list[Graph]) -> str:
    slots = [slot for slot in _slots(graph) if type(slot[1][slot[2]]) is not Ref]
    if not slots:
        return "nothing"
    number, container, key = rng.choice(slots)
    old, container[key] = container[key], _inline(container[key], rng)
    return f"node {number} {graph.nodes[number].type} {key!r}: {old!r} -> {container[key]!r}"


def _same_scalars(graph: Graph, rng: _Random, donors: list[Graph]) -> str:
    """One number that stands in many places (of features, of classes) is changed in all of them."""
    numbers = [
        (container, key) for _, container, key in _slots(graph) if type(container[key]) is int and container[key] > 1
    ]
    if not numbers:
        return "nothing"
    container, key = rng.choice(numbers)
    old, new = container[key], _inline(container[key], rng)
    for container, key in numbers:
        if container[key] == old and rng.random() < 0.9:
            container[key] = new
    return f"every {old} -> {new!r}"


def _ref(graph: Graph, rng: _Random, donors: list[Graph]) -> str:
    slots = [slot for slot in _slots(graph) if type(slot[1][slot[2]]) is Ref]
    if not slots:
        return "nothing"
    number, container, key = rng.choice(slots)
    old = container[key]
    total = sum(node.count for node in graph.nodes)
    choices: tuple[Any, ...] = (
        Ref(rng.randrange(max(1, old.index + 3))),
        Ref(rng.randrange(total)),
        rng.choice(slots)[1:],
        None,
        rng.choice(INTS),
        rng.choice(FLOATS),
    )
    new = rng.choices(choices, (4, 2, 4, 1, 1, 1))[0]
    container[key] = new[0][new[1]] if type(new) is tuple else new
    return f"node {number} {graph.nodes[number].type} {key!r}: {old} -> {container[key]!r}"


def _field(graph: Graph, rng: _Random, donors: list[Graph]) -> str:
    number = rng.randrange(len(graph.nodes))
    node = graph.nodes[number]
    if not node.state or rng.random() < 0.5:
        lists = [values for values in (node.items, node.keys, *node.columns.values()) if values]
        if lists:
            values = rng.choice(lists)
            place = rng.randrange(len(values))
            what = rng.choice(("drop", "double", "swap"))
            if what == "drop":
                del values[place]
            elif what == "double":
                values[place:place] = [values[place]] * rng.choice((1, 1, 2, 50))
            else:
                other = rng.randrange(len(values))
                values[place], values[other] = values[other], values[place]
            if node.keys and len(node.keys) != len(node.items):
                del node.keys[len(node.items) :], node.items[len(node.keys) :]
            return f"node {number} {node.type}: {what} item {place}"
    if not node.state:
        return "nothing"
    name = rng.choice(list(node.state))
    if rng.random() < 0.6:
        del node.state[name]
        node.columns.pop(name, None)
        return f"node {number} {node.type}: without {name!r}"
    other = rng.choice(list(node.state))
    if rng.random() < 0.2 and name not in node.columns and other not in node.columns:
        node.state[name] = node.state[other]
        return f"node {number} {node.type}: {name!r} is {other!r}"
    for values in (node.state, node.columns):
        if (name in node.columns) == (other in node.columns) and name in values:
            values[name], values[other] = values[other], values[name]
    return f"node {number} {node.type}: {name!r} and {other!r} change places"


def _kind(graph: Graph, rng: _Random, donors: list[Graph]) -> str:
    """A node takes the type of another one, of this graph or of another estimator's."""
    number = rng.randrange(len(graph.nodes))
    node = graph.nodes[number]
    old = node.type
    node.type = rng.choice(rng.choice((graph, rng.choice(donors))).nodes).type
    if rng.random() < 0.2:
        node.type = rng.choice(_TYPE_NAMES)
    return f"node {number}: {old} -> {node.type}"


def _frame(graph: Graph, rng: _Random, donors: list[Graph]) -> str:
    """What stands around the nodes: roots, releases of libraries, names of arrays."""
    what = rng.choice(("root", "release", "name"))
    if what == "root":
        total = sum(node.count for node in graph.nodes)
        graph.roots[rng.choice(("object", "object", "sample", ""))] = rng.choice(
            (Ref(rng.randrange(total)), Ref(total), None, 1)
        )
    elif what == "release":
        graph.versions[rng.choice(("scikit-learn", "numpy", "scipy", "x"))] = rng.choice(_RELEASES)
    elif graph.names:
        graph.names[rng.randrange(len(graph.names))] = rng.choice((*_STRINGS, *graph.names, "keepfit.graph"))
    return what


def _group(graph: Graph, rng: _Random, donors: list[Graph]) -> str:
    groups = [number for number, node in enumerate(graph.nodes) if node.count != 1]
    if not groups:
        return "nothing"
    number = rng.choice(groups)
    node = graph.nodes[number]
    if node.lengths and rng.random() < 0.7:
        place, other = rng.randrange(len(node.lengths)), rng.randrange(len(node.lengths))
        by = rng.choice((1, 2, -1, node.lengths[place], 1000))
        node.lengths[place] += by
        if rng.random() < 0.7:
            node.lengths[other] -= by
        return f"node {number} {node.type}: length {place} + {by}"
    node.count = rng.choice((node.count + 1, node.count - 1, 1, 2, 1000))
    return f"node {number} {node.type}: count {node.count}"


def _members(graph: Graph, rng: _Random, donors: list[Graph]) -> str:
    """A group has a member more or less, in all its columns; what stands after it is still what it was."""
    groups = [number for number, node in enumerate(graph.nodes) if node.count > 2]
    if not groups:
        return "nothing"
    number = rng.choice(groups)
    node = graph.nodes[number]
    first = sum(each.count for each in graph.nodes[:number])
    by = rng.choice((-1, 1, 1, node.count))
    _shift(graph, by, first + node.count)
    for column in node.columns.values():
        column[:] = column[:by] if by < 0 else [*column, *column[-by:]]
    if node.lengths:
        node.lengths[:] = node.lengths[:by] if by < 0 else [*node.lengths, *rng.choice(([0] * by, node.lengths[-by:]))]
    node.count += by
    return f"node {number} {node.type}: {by} members more"


def _shift(graph: Graph, by: int, start: int = 0) -> None:
    """Have all refs to objects from `start` on lead to objects that stand `by` places later."""

    def shifted(value: Any) -> Any:
        return Ref(max(0, value.index + by)) if type(value) is Ref and value.index >= start else value

    for node in graph.nodes:
        node.state.update({name: shifted(value) for name, value in node.state.items()})
        for values in (node.items, node.keys, *node.columns.values()):
            values[:] = map(shifted, values)
    graph.roots = {name: shifted(value) for name, value in graph.roots.items()}


def _put_before(graph: Graph, donor: Graph) -> None:
    """Put the nodes and arrays of a graph before those of another."""
    _shift(graph, sum(node.count for node in donor.nodes))
    for node in graph.nodes:
        if node.array is not None:
            node.array += len(donor.arrays)
    graph.nodes[:0] = [_copied_node(node) for node in donor.nodes]
    graph.arrays[:0] = donor.arrays
    graph.names[:] = [str(number) for number in range(len(graph.arrays))]


def _transplant(graph: Graph, rng: _Random, donors: list[Graph]) -> str:
    """A value becomes an object of another estimator, which is put before everything."""
    donor = rng.choice(donors)
    slots = _slots(graph)
    if len(donor.nodes) + len(graph.nodes) > 5000 or not slots:
        return "nothing"
    number, container, key = rng.choice(slots)
    given = Ref(rng.randrange(sum(node.count for node in donor.nodes)))
    _put_before(graph, donor)
    container[key] = given
    return f"node {number} {key!r} -> object {given.index} of {donor.nodes[-1].type}"


def _splice(graph: Graph, rng: _Random, donors: list[Graph]) -> str:
    """An attribute becomes another estimator's of the same name, or an object one of the same type."""
    slots = [slot for slot in _slots(graph) if type(slot[1][slot[2]]) is Ref]
    if not slots:
        return "nothing"
    owned = [slot for slot in slots if slot[1] is graph.nodes[slot[0]].state and len(slot[1]) > 1]
    number, container, key = rng.choice(owned if owned and rng.random() < 0.7 else slots)
    kind = graph.node_of(container[key]).type
    by_name = type(key) is str and rng.random() < 0.5
    for donor in rng.sample(donors, min(len(donors), 25)):
        if by_name:
            found = [node.state[key] for node in donor.nodes if type(node.state.get(key)) is Ref]
        else:
            found = [ref for ref in _refs(donor) if donor.node_of(ref).type == kind]
        if found and len(donor.nodes) + len(graph.nodes) < 5000:
            break
    else:
        return "nothing"
    given = rng.choice(found)
    _put_before(graph, donor)
    container[key] = given
    return f"node {number} {key!r} -> {donor.node_of(given).type} of {donor.nodes[-1].type}"


def _refs(graph: Graph) -> list[Ref]:
    return [container[key] for _, container, key in _slots(graph) if type(container[key]) is Ref]


_Change = Callable[[Graph, _Random, list[Graph]], str]
_WEIGHTED: dict[_Change, int] = {
    **array_changes.WEIGHTED,
    _scalar: 15,
    _ref: 12,
    _field: 9,
    _same_scalars: 6,
    _kind: 4,
    _group: 2,
    _members: 2,
    _transplant: 8,
    _splice: 10,
    _frame: 2,
}
_CHANGES, _WEIGHTS = list(_WEIGHTED), list(_WEIGHTED.values())
