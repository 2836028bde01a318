"""Changes of arrays: what stands in them, of which dtype and in which shape, alone or together with what bounds them.

A check is wrong most easily where two things meet: a number that is negative and a bound that is large, few bits and a
value that wraps to a valid one, another order of bytes. So dtypes change together with contents, and arrays together
with the numbers and lengths that go with them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np

from keepfit.codecs.sklearn_seam import predictor_record_dtype, tree_node_dtype
from keepfit.graph import PLAIN_DTYPES, Graph, Node, Ref

__all__ = ["FLOATS", "INTS", "RECORDS", "WEIGHTED"]

INTS = (-1, -2, 0, 1, 2, 3, 7, 255, 256, 65_536, 2**31 - 1, 2**31, -(2**31), 2**32, 2**40, 2**63 - 1, -(2**63))
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e308, -1e308, 5e-324, 1e9, 2.0**63)
_STRANGE = (np.nan, np.inf, -np.inf)
#: Structured dtypes whose fields are changed as what they are, not as octets.
RECORDS = {dtype.itemsize: dtype for dtype in (tree_node_dtype(), predictor_record_dtype())}
#: Every width of number, in both orders of bytes.
_DTYPES = [np.dtype("?"), *(np.dtype(order + code) for code in ("i1", "u1") for order in "|")] + [
    np.dtype(order + code) for code in ("i2", "i4", "i8", "u2", "u4", "u8", "f2", "f4", "f8") for order in "<>"
]
_RARE_DTYPES = [np.dtype(code) for code in ("<f16", "<c8", "<c16", ">c16", "M8[s]", "m8", "S1", "<U1", "V3")]
_PLAIN = frozenset(PLAIN_DTYPES.values())
#: Numbers of bits after which a number wraps.
_WRAPS = (2**8, 2**16, 2**31, 2**32, 2**63)
#: Arrays are not made larger: files would take longer to write than to try.
_SIZE_MAX = 300_000
_Random = random.Random
_Changed = tuple[Any, str]


def holders(graph: Graph) -> dict[int, Node]:
    """The node of each array, by the array's number."""
    return {node.array: node for node in graph.nodes if node.array is not None}


def owner_parts(graph: Graph, node: Node) -> tuple[list[tuple[Any, Any, int]], list[int]]:
    """The integers of an object and of the lists that it holds, as (container, key, value); and its arrays' numbers."""
    integers: list[tuple[Any, Any, int]] = []
    arrays: list[int] = []
    values = [*node.state.items()]
    for name, value in values:
        if type(value) is int:
            integers.append((node.state, name, value))
        elif type(value) is Ref and value.index < sum(each.count for each in graph.nodes):
            part = graph.node_of(value)
            if part.array is not None and type(part.array) is int and part.array < len(graph.arrays):
                arrays.append(part.array)
            if part.type == "numpy.scalar" and type(part.state.get("value")) is int:
                integers.append((part.state, "value", part.state["value"]))
            for place, item in enumerate(part.items[:50]):
                if type(item) is int:
                    integers.append((part.items, place, item))
                elif type(item) is Ref and part.type in ("list", "tuple") and item.index < value.index:
                    inner = graph.node_of(item)
                    if type(inner.array) is int and inner.array < len(graph.arrays):
                        arrays.append(inner.array)
    return integers, arrays


def _owners(graph: Graph) -> list[Node]:
    return [node for node in graph.nodes if len(node.state) > 2 and node.count == 1 and node.array is None]


def array(graph: Graph, rng: _Random, donors: list[Graph]) -> str:
    """Contents, shape or dtype of an array."""
    if not graph.arrays:
        return "nothing"
    number = rng.randrange(len(graph.arrays))
    old = np.asarray(graph.arrays[number])
    change = rng.choices((_contents, _shape, _dtype, _swap), (6, 3, 1, 1))[0]
    new, note = change(old.copy(), rng, graph)
    graph.arrays[number] = np.ascontiguousarray(new).reshape(new.shape)
    return f"{_name(graph, number)} {old.dtype}{old.shape}: {note}"


def retyped(graph: Graph, rng: _Random, donors: list[Graph]) -> str:
    """An array takes another dtype, and numbers that this dtype can hold and its reader may not expect."""
    number, node = _some_array(graph, rng)
    if node is None:
        return "nothing"
    return f"{_name(graph, number)}: {_retype(graph, number, node, rng, _bounds(graph, rng))}"


def bounded(graph: Graph, rng: _Random, donors: list[Graph]) -> str:
    """A number that may bound an array is changed together with what stands in the array."""
    owners = _owners(graph)
    if not owners:
        return "nothing"
    owner = rng.choice(owners)
    integers, arrays = owner_parts(graph, owner)
    if not integers or not arrays:
        return "nothing"
    container, key, old = rng.choice(integers)
    new = rng.choice((old + 1, old - 1, 2 * old, 200, *_WRAPS, *(wrap + old for wrap in _WRAPS), 2**31 + 1, 2**62))
    container[key] = min(new, 2**63 - 1)
    numbers = [each for each in arrays if graph.arrays[each].dtype.kind in "iu"] or arrays
    number, nodes = rng.choice(numbers if rng.random() < 0.8 else arrays), holders(graph)
    note = f"{owner.type} {key!r}: {old} -> {container[key]}"
    if number in nodes:
        keep = rng.random() < 0.4
        note += f"; {_name(graph, number)}: {_retype(graph, number, nodes[number], rng, [old, container[key]], keep)}"
    return note


def together(graph: Graph, rng: _Random, donors: list[Graph]) -> str:
    """A length that arrays of one object share, and its numbers that are as large, is changed in some of them."""
    owners = _owners(graph)
    if not owners:
        return "nothing"
    owner = rng.choice(owners)
    integers, arrays = owner_parts(graph, owner)
    lengths = sorted({length for number in arrays for length in graph.arrays[number].shape})
    if not lengths:
        return "nothing"
    old = rng.choice(lengths)
    new = rng.choice((old - 1, old + 1, old + 1, 0, 1, old * 2, old + 300))
    share = rng.choice((0.3, 0.6, 1.0))
    changed = []
    for number in arrays:
        each = graph.arrays[number]
        for axis, length in enumerate(each.shape):
            if length == old and rng.random() < share:
                graph.arrays[number] = _resized(graph.arrays[number], axis, max(0, new))
                changed.append(_name(graph, number))
    for container, key, value in integers:
        if value == old and rng.random() < share:
            container[key] = new
            changed.append(repr(key))
    note = f"{owner.type}: {old} -> {new} in {', '.join(changed[:6])}"
    nodes = holders(graph)
    integers_of = [number for number in arrays if graph.arrays[number].dtype.kind in "iu" and number in nodes]
    if integers_of and rng.random() < 0.3:  # the length may bound what stands in them
        number = rng.choice(integers_of)
        note += f"; {_name(graph, number)}: {_retype(graph, number, nodes[number], rng, [new])}"
    return note


def same_lengths(graph: Graph, rng: _Random, donors: list[Graph]) -> str:
    """One length that many arrays share (of features, of samples) is changed in all of them, and equal numbers."""
    lengths = sorted({length for array in graph.arrays for length in array.shape if length > 1})
    if not lengths:
        return "nothing"
    old = rng.choice(lengths)
    new = rng.choice((old - 1, old + 1, 1, old * 2))
    for number, each in enumerate(graph.arrays):
        for axis, length in enumerate(each.shape):
            if length == old and rng.random() < 0.9:
                graph.arrays[number] = _resized(graph.arrays[number], axis, new)
    if rng.random() < 0.7:
        for node in graph.nodes:
            for values in (node.state, *node.columns.values(), node.items):
                places = values.items() if values is node.state else enumerate(values)
                for key in [key for key, value in places if type(value) is int and value == old]:
                    values[key] = new
    return f"every length {old} -> {new}"


def record_dtype(graph: Graph, rng: _Random, donors: list[Graph]) -> str:
    """A structured dtype with its fields in another order, at other places, aligned, or of other formats."""
    dtypes = [node for node in graph.nodes if node.type == "numpy.dtype" and "names" in node.state]
    parts = ("names", "formats", "offsets", "titles")
    if not dtypes:
        return "nothing"
    node = rng.choice(dtypes)
    if not all(type(node.state.get(part)) is Ref for part in parts):
        return "nothing"
    names, formats, offsets, titles = (graph.node_of(node.state[part]).items for part in parts)
    count = min(map(len, (names, formats, offsets, titles)))
    if not count:
        return "nothing"
    one, other = rng.randrange(count), rng.randrange(count)
    what = rng.choice(("order", "offsets", "names", "format", "aligned", "itemsize", "offset", "gone"))
    if what == "order":
        for values in (names, formats, offsets, titles):
            values[one], values[other] = values[other], values[one]
    elif what in ("offsets", "names", "format"):
        values = {"offsets": offsets, "names": names, "format": formats}[what]
        values[one], values[other] = values[other], values[one]
    elif what == "aligned":
        node.state["aligned"] = not node.state.get("aligned")
    elif what == "itemsize":
        node.state["itemsize"] = rng.choice((0, 8, 16, node.state["itemsize"] + 8, 2**31))
    elif what == "offset":
        offsets[one] = rng.choice((0, -1, 1, 2**31, 2**63 - 1, *INTS))
    else:
        for values in (names, formats, offsets, titles):
            del values[one]
    return f"{what} of fields {one}, {other}"


def records(graph: Graph, rng: _Random, donors: list[Graph]) -> str:
    """Fields of the nodes of a tree that compiled code follows: of those nodes mostly that have children."""
    found = [
        number
        for number, each in enumerate(graph.arrays)
        if each.dtype == np.uint8 and each.ndim == 2 and each.shape[-1] in RECORDS and each.size
    ]
    if not found:
        return "nothing"
    number = rng.choice(found)
    graph.arrays[number] = np.array(graph.arrays[number])
    nodes = graph.arrays[number].reshape(-1).view(RECORDS[graph.arrays[number].shape[-1]])
    integers = [name for name in nodes.dtype.names or () if nodes.dtype[name].kind in "iu"]
    field = rng.choice(integers if rng.random() < 0.9 else list(nodes.dtype.names or ()))
    values = nodes[field]
    used = np.flatnonzero(values.view("u1" if values.itemsize == 1 else values.dtype) > 0)
    places = used if len(used) and rng.random() < 0.8 else np.arange(len(values))
    place = int(rng.choice(places))
    if rng.random() < 0.3:
        new = values[int(rng.choice(places))]
    else:
        near = (place, place + 1, place - 1, 0, len(values), int(values[place]) + 1 if values.dtype.kind in "iu" else 1)
        bound = rng.choice((*near, *_bounds(graph, rng)))
        new = rng.choice((bound, _extreme(values.dtype, bound, rng))) if bound >= 0 else bound
    if values.dtype.kind in "iu":
        new = np.array(int(new) % 2**64, "u8").astype(values.dtype)
    values[place] = new
    return f"{_name(graph, number)}: {field} of {place} -> {new}"


def _name(graph: Graph, number: int) -> str:
    return graph.names[number] if number < len(graph.names) else str(number)


def _some_array(graph: Graph, rng: _Random) -> tuple[int, Node | None]:
    """An array that is not of records, with its node; arrays of integers are met more often."""
    nodes = {
        number: node
        for number, node in holders(graph).items()
        if type(node.state.get("dtype")) is not Ref and number < len(graph.arrays)
    }
    if not nodes:
        return 0, None
    integers = [number for number in nodes if graph.arrays[number].dtype.kind in "iub"]
    number = rng.choice(integers if integers and rng.random() < 0.6 else list(nodes))
    return number, nodes[number]


def _bounds(graph: Graph, rng: _Random) -> list[int]:
    """Numbers that something of this graph may be compared with: a few lengths and counts."""
    lengths = [length for each in graph.arrays for length in each.shape]
    counts = [value for node in graph.nodes for value in node.state.values() if type(value) is int and value > 1]
    counts += [len(node.items) for node in graph.nodes if node.items]
    return [rng.choice(some) for some in (lengths, lengths, counts) if some] or [1]


def _retype(graph: Graph, number: int, node: Node, rng: _Random, bounds: list[int], keep: bool = False) -> str:
    """Give an array another dtype (at times its own), other contents in places, and another layout."""
    old = np.asarray(graph.arrays[number])
    if type(node.state.get("dtype")) is str and old.ndim and old.shape[-1]:  # its last axis are octets
        old = old[..., 0]
    if keep or rng.random() < 0.3:
        dtype = old.dtype
    elif rng.random() < 0.6 and old.dtype.kind in "iuf":
        dtype = rng.choice([each for each in _DTYPES if each.kind in ("f" if old.dtype.kind == "f" else "iu")])
    else:
        dtype = rng.choice(_DTYPES if rng.random() < 0.9 else _RARE_DTYPES)
    with np.errstate(all="ignore"):
        new = old.astype(dtype) if dtype.kind in "biuf" else np.zeros(old.shape, dtype)
    value, count = None, 0
    if new.size and dtype.kind in "biuf" and rng.random() < 0.9:
        count = rng.choice((1, 1, 2, 5, new.size))
        value = _extreme(dtype, rng.choice(bounds), rng)
        flat = new.reshape(-1)
        places = range(new.size) if count >= new.size else [rng.randrange(new.size) for _ in range(count)]
        flat[list(places)] = value
    layout = rng.choice(("C", "C", "C", "C", "F", "strides", "read only"))
    _put(graph, number, node, new, layout)
    return f"{old.dtype} -> {dtype}{new.shape} {layout}, {count} are {value!r}"


def _put(graph: Graph, number: int, node: Node, new: Any, layout: str) -> None:
    """Have a node stand for an array of any dtype of fixed size, as the codec of arrays writes it."""
    for name in ("dtype", "order", "strides", "dims", "writeable"):
        node.state.pop(name, None)
        node.columns.pop(name, None)
    if layout == "F" and node.count == 1:
        node.state["order"], new = "F", new.T
    elif layout == "strides" and new.ndim and node.count == 1:
        steps = np.cumprod((2, *new.shape[:0:-1]))[::-1]
        node.state["strides"] = ",".join(map(str, steps.tolist()))
    elif layout == "read only":
        node.state["writeable"] = False
    dtype, shape = new.dtype, new.shape
    new = np.ascontiguousarray(new).reshape(shape)
    if dtype not in _PLAIN:
        node.state["dtype"] = dtype.str
        if dtype.kind in "mM":
            new = new.view("<i8")
        elif dtype.kind == "c" and dtype.isnative:
            new = new.reshape(*shape, 1).view(f"<f{dtype.itemsize // 2}")
        else:
            new = new.reshape(*shape, 1).view("u1").reshape(*shape, dtype.itemsize)
    graph.arrays[number] = new


def _extreme(dtype: np.dtype[Any], bound: int, rng: _Random) -> Any:
    """A number of a dtype: near a bound, far past it, at an end of the dtype, or one that wraps to a valid one."""
    near = rng.choice((bound - 1, bound, bound + 1, bound, rng.randrange(max(1, bound)), -1, 0, -bound, -bound - 1))
    number = rng.choice((near, near, near + rng.choice(_WRAPS), near - rng.choice(_WRAPS), rng.choice(INTS)))
    if dtype.kind == "b":
        return rng.random() < 0.5
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if rng.random() < 0.2:
            return rng.choice((limits.min, limits.max, limits.max - 1, -100 if limits.min else limits.max // 2))
        if rng.random() < 0.15:  # what would be valid in the other order of bytes
            valid = rng.randrange(max(1, min(bound, limits.max)))
            return int.from_bytes(valid.to_bytes(dtype.itemsize, "little"), "big", signed=dtype.kind == "i")
        if not limits.min <= number <= limits.max and rng.random() < 0.5:
            number = near
        return (number - limits.min) % (limits.max - limits.min + 1) + limits.min
    with np.errstate(over="ignore"):
        return np.asarray(rng.choice((*FLOATS, *_STRANGE, *_STRANGE, number, number, rng.gauss(0, 1)))).astype(dtype)


def _contents(array: Any, rng: _Random, graph: Graph) -> _Changed:
    if not array.size:
        return array, "empty"
    target, field = array, ""
    record = RECORDS.get(array.shape[-1]) if array.dtype == np.uint8 and array.ndim == 2 else None
    if record is not None and rng.random() < 0.9:
        field = rng.choice(record.names or ())
        target = array.reshape(-1).view(record)[field]
    sizes = (len(target) if target.ndim else 1, *array.shape, *_bounds(graph, rng))
    count = rng.choice((1, 1, 1, 2, 5, target.size))
    flat = target.reshape(-1) if not field else target
    value = None
    for _ in range(min(count, target.size)):
        value = _extreme(target.dtype, rng.choice(sizes), rng)
        if count == target.size:
            flat[:] = value
            break
        flat[rng.randrange(target.size)] = value
    return array, f"{field} {count} of {target.size} -> {value!r}"


def _resized(array: Any, axis: int, length: int) -> Any:
    """An array of another length along an axis: cut off, or repeated."""
    old, shape = array.shape[axis], (*array.shape[:axis], length, *array.shape[axis + 1 :])
    if math.prod(shape) > _SIZE_MAX:
        return array
    if not old:
        return np.zeros(shape, array.dtype)
    new = array.take(np.arange(length) % old, axis)
    return np.ascontiguousarray(new).reshape(new.shape)


def _shape(array: Any, rng: _Random, graph: Graph) -> _Changed:
    if array.ndim == 0:
        return array.reshape(1), "1-d"
    axis = rng.randrange(array.ndim)
    length = array.shape[axis]
    what = rng.choice(
        ("shorter", "one", "empty", "longer", "twice", "transposed", "flat", "axis", "reshaped", "scalar", "zeros")
    )
    if what in ("shorter", "one", "empty"):
        array = array.take(range({"shorter": max(0, length - 1), "one": min(1, length), "empty": 0}[what]), axis)
    elif what in ("longer", "twice"):
        if length:
            more = array.take([-1], axis) if what == "longer" or array.size > _SIZE_MAX else array
            array = np.concatenate([array, more], axis)
    elif what == "transposed":
        array = array.T
    elif what == "axis":
        array = np.expand_dims(array, axis)
    elif what == "scalar":
        array = array.reshape(-1)[:1].reshape(()) if array.size else array
    elif what == "zeros":  # nothing in it, and yet another shape
        array = np.zeros(rng.choice(((0,), (0, length), (length, 0), (0, 2**20), (0, 0, 0))), array.dtype)
    else:
        array = array.reshape(-1) if what == "flat" or array.ndim == 1 else array.reshape(array.shape[::-1])
    return array, f"{what}, axis {axis}: {array.shape}"


def _dtype(array: Any, rng: _Random, graph: Graph) -> _Changed:
    dtype = rng.choice(list(PLAIN_DTYPES.values()))
    with np.errstate(all="ignore"):
        if rng.random() < 0.5 and array.ndim and (array.shape[-1] * array.itemsize) % dtype.itemsize == 0:
            return array.view(dtype), f"view {dtype}"
        return array.astype(dtype), f"astype {dtype}"


def _swap(array: Any, rng: _Random, graph: Graph) -> _Changed:
    number = rng.randrange(len(graph.arrays))
    return graph.arrays[number], f"as {_name(graph, number)}"


_Change = Callable[[Graph, _Random, list[Graph]], str]
#: Change -> how often it is made.
WEIGHTED: dict[_Change, int] = {
    array: 25,
    retyped: 15,
    bounded: 10,
    together: 8,
    same_lengths: 6,
    records: 8,
    record_dtype: 2,
}
