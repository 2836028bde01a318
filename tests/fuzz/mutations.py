"""Changes of a graph, as a stranger who knows the format would make them: every typed field may be changed."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np

from keepfit.codecs.sklearn_seam import predictor_record_dtype, tree_node_dtype
from keepfit.graph import PLAIN_DTYPES, Graph, Node, Ref

__all__ = ["RECORDS", "copied", "mutate"]

_INTS = (-1, -2, 0, 1, 2, 3, 7, 255, 256, 65_536, 2**31 - 1, 2**31, -(2**31), 2**32, 2**40, 2**63 - 1, -(2**63))
_FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e308, -1e308, 5e-324, 1e9, 2.0**63)
_STRINGS = ("", "x", "euclidean", "precomputed", "brute", "kd_tree", "auto", "csr", "a" * 1000)
#: Names of types that are another kind's, that are nobody's, and that would be code.
_TYPE_NAMES = (
    "", "list", "dict", "tuple", "set", "frozenset", "numpy.ndarray", "numpy.random.mtrand.RandomState", "function",
    "class", "code", "os.system", "builtins.eval", "builtins.type", "functools.partial", "operator.attrgetter",
    "sklearn.svm._classes.SVC", "sklearn.svm.NoSuchClass", "keepfit.loads", "numpy.load", "collections.OrderedDict",
)  # fmt: skip
_RELEASES = ("1.9.1", "1.6.1", "1.7", "1.2", "99", "", "x", "1.9.1.dev0", "1." + "9" * 400)
#: Structured dtypes whose fields are changed as what they are, not as octets.
RECORDS = {dtype.itemsize: dtype for dtype in (tree_node_dtype(), predictor_record_dtype())}
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
            change = rng.choices(_CHANGES, _WEIGHTS)[0]
            notes.append(f"{change.__name__.strip('_')}: {change(copy, rng, donors)}")
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
        return max(-(2**63), min(2**63 - 1, rng.choice((*near, *_INTS))))
    if type(value) is float and rng.random() < 0.8:
        return rng.choice((*_FLOATS, -value, value + 1))
    if type(value) is str and rng.random() < 0.8:
        return rng.choice((*_STRINGS, value[:-1], value + "x"))
    return rng.choice((None, True, False, rng.choice(_INTS), rng.choice(_FLOATS), rng.choice(_STRINGS)))


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
        rng.choice(_INTS),
        rng.choice(_FLOATS),
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
    if name not in node.columns and other not in node.columns:
        node.state[name], node.state[other] = node.state[other], node.state[name]
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


def _transplant(graph: Graph, rng: _Random, donors: list[Graph]) -> str:
    """A value becomes an object of another estimator, which is put before everything."""
    donor = rng.choice(donors)
    if len(donor.nodes) + len(graph.nodes) > 5000 or not _slots(graph):
        return "nothing"
    by = sum(node.count for node in donor.nodes)
    given = rng.randrange(by)

    def shifted(value: Any, by: int) -> Any:
        return Ref(value.index + by) if type(value) is Ref else value

    for node in graph.nodes:
        node.state = {name: shifted(value, by) for name, value in node.state.items()}
        node.items = [shifted(value, by) for value in node.items]
        node.keys = [shifted(value, by) for value in node.keys]
        node.columns = {name: [shifted(value, by) for value in column] for name, column in node.columns.items()}
        if node.array is not None:
            node.array += len(donor.arrays)
    graph.roots = {name: shifted(value, by) for name, value in graph.roots.items()}
    slots = _slots(graph)
    graph.nodes[:0] = [_copied_node(node) for node in donor.nodes]
    graph.arrays[:0] = donor.arrays
    graph.names[:] = [str(number) for number in range(len(graph.arrays))]
    number, container, key = rng.choice(slots)
    container[key] = Ref(given)
    return f"node {number} {key!r} -> object {given} of {donor.nodes[-1].type}"


def _array(graph: Graph, rng: _Random, donors: list[Graph]) -> str:
    """Contents, shape or dtype of an array."""
    if not graph.arrays:
        return "nothing"
    number = rng.randrange(len(graph.arrays))
    array = graph.arrays[number]
    change = rng.choices((_contents, _shape, _dtype, _swap), (6, 3, 1, 1))[0]
    new, note = change(array.copy(), rng, graph)
    graph.arrays[number] = np.ascontiguousarray(new).reshape(new.shape)
    return f"{graph.names[number] if number < len(graph.names) else number} {array.dtype}{array.shape}: {note}"


def _extremes(dtype: np.dtype[Any], size: int, rng: _Random) -> Any:
    if dtype.kind == "b":
        return rng.random() < 0.5
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        value = rng.choice((*_INTS, size, size - 1, size + 1, rng.randrange(size + 2), limits.max, limits.min))
        return max(limits.min, min(limits.max, value))
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return dtype.type(
                rng.choice((*_FLOATS, np.nan, np.inf, -np.inf, rng.gauss(0, 1), float(rng.choice(_INTS))))
            )
    return np.zeros((), dtype)[()]


def _contents(array: Any, rng: _Random, graph: Graph) -> tuple[Any, str]:
    if not array.size:
        return array, "empty"
    target, field = array, ""
    record = RECORDS.get(array.shape[-1]) if array.dtype == np.uint8 and array.ndim == 2 else None
    if record is not None and rng.random() < 0.9:
        field = rng.choice(record.names or ())
        target = array.reshape(-1).view(record)[field]
    size = len(target) if target.ndim else 1
    count = rng.choice((1, 1, 1, 2, 5, target.size))
    flat = target.reshape(-1) if not field else target
    value = None
    for _ in range(min(count, target.size)):
        value = _extremes(target.dtype, rng.choice((size, *array.shape)) if array.ndim else 1, rng)
        if count == target.size:
            flat[:] = value
            break
        flat[rng.randrange(target.size)] = value
    return array, f"{field} {count} of {target.size} -> {value!r}"


def _shape(array: Any, rng: _Random, graph: Graph) -> tuple[Any, str]:
    if array.ndim == 0:
        return array.reshape(1), "1-d"
    axis = rng.randrange(array.ndim)
    length = array.shape[axis]
    what = rng.choice(("shorter", "one", "empty", "longer", "twice", "transposed", "flat", "axis", "reshaped"))
    if what in ("shorter", "one", "empty"):
        array = array.take(range({"shorter": max(0, length - 1), "one": min(1, length), "empty": 0}[what]), axis)
    elif what in ("longer", "twice"):
        if length:
            more = array.take([-1], axis) if what == "longer" else array
            array = np.concatenate([array, more], axis)
    elif what == "transposed":
        array = array.T
    elif what == "axis":
        array = np.expand_dims(array, axis)
    else:
        array = array.reshape(-1) if what == "flat" or array.ndim == 1 else array.reshape(array.shape[::-1])
    return array, f"{what}, axis {axis}: {array.shape}"


def _dtype(array: Any, rng: _Random, graph: Graph) -> tuple[Any, str]:
    dtype = rng.choice(list(PLAIN_DTYPES.values()))
    with np.errstate(all="ignore"):
        if rng.random() < 0.5 and array.ndim and (array.shape[-1] * array.itemsize) % dtype.itemsize == 0:
            return array.view(dtype), f"view {dtype}"
        return array.astype(dtype), f"astype {dtype}"


def _swap(array: Any, rng: _Random, graph: Graph) -> tuple[Any, str]:
    number = rng.randrange(len(graph.arrays))
    return graph.arrays[number], f"as {graph.names[number] if number < len(graph.names) else number}"


def _same_lengths(graph: Graph, rng: _Random, donors: list[Graph]) -> str:
    """One length that many arrays share (of features, of samples) is changed in all of them, and equal numbers."""
    lengths = sorted({length for array in graph.arrays for length in array.shape if length > 1})
    if not lengths:
        return "nothing"
    old = rng.choice(lengths)
    new = rng.choice((old - 1, old + 1, 1, old * 2))
    for number, array in enumerate(graph.arrays):
        for axis, length in enumerate(array.shape):
            if length == old and rng.random() < 0.9:
                array = array.take(np.arange(new) % old, axis)
        graph.arrays[number] = np.ascontiguousarray(array).reshape(array.shape)
    if rng.random() < 0.7:
        for _, container, key in _slots(graph):
            if type(container[key]) is int and container[key] == old:
                container[key] = new
    return f"every length {old} -> {new}"


_Change = Callable[[Graph, _Random, list[Graph]], str]
_WEIGHTED: dict[_Change, int] = {
    _array: 40,
    _scalar: 15,
    _ref: 12,
    _field: 8,
    _same_scalars: 6,
    _same_lengths: 6,
    _kind: 4,
    _group: 3,
    _transplant: 10,
    _frame: 2,
}
_CHANGES, _WEIGHTS = list(_WEIGHTED), list(_WEIGHTED.values())
