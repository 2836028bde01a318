"""The tree of types in a graph, bounded in depth, width and size."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from keepfit.graph import Graph, Node, Ref, first_objects

__all__ = ["TreeNode", "array_shape_and_dtype", "type_tree"]

#: How much of a tree is shown.
_DEPTH, _WIDTH, _SEQUENCE, _NODES = 8, 12, 4, 300
_LABEL, _TYPE = 80, 200


@dataclass(frozen=True)
class TreeNode:
    """One line of a type tree.

    Parameters
    ----------
    label : str
        The attribute, key or place under which it stands in the object above it; empty for the object itself.
    type : str
        The type's full name.
    detail : str, default=""
        A few words about it: dtype and shape of an array, number of items, name of a function.
    same_as : str, default=""
        Where the same object stands already; it is not shown again.
    children : tuple of TreeNode, default=()
    left_out : int, default=0
        How many more children there are.
    """

    label: str
    type: str
    detail: str = ""
    same_as: str = ""
    children: tuple[TreeNode, ...] = ()
    left_out: int = 0


@dataclass
class _Draft:
    """A line whose children are still being gathered."""

    label: str
    path: str
    depth: int
    node: Node
    member: int
    same_as: str = ""
    children: list[_Draft] = field(default_factory=list)
    left_out: int = 0


def type_tree(graph: Graph, root: str = "object") -> TreeNode:
    """The types below a root, nearest first until the tree is large enough.

    Parameters
    ----------
    graph : Graph
    root : str, default="object"

    Returns
    -------
    TreeNode
        At most 8 levels, 12 children for each line (4 of a sequence) and 300 lines.

    Notes
    -----
    The walk goes level by level and opens each object once, where it stands highest, so that a graph in which
    everything is shared costs no more than its nodes.
    """
    value = graph.roots[root]
    if type(value) is not Ref:
        return TreeNode("", type(value).__name__, _shown(value))
    objects = Objects(graph)
    top = _Draft("", "", 0, *objects[value.index])
    places = {value.index: "the top"}
    queue = deque([top])
    room = _NODES
    while queue:
        above = queue.popleft()
        width = _WIDTH if above.node.keys or not above.node.items else _SEQUENCE
        for label, index in _children(objects, above.node, above.member):
            if above.depth >= _DEPTH or len(above.children) >= width or not room:
                above.left_out += 1
                continue
            room -= 1
            path = f"{above.path}.{label}" if above.path else label
            draft = _Draft(label, path, above.depth + 1, *objects[index])
            above.children.append(draft)
            if index in places:
                draft.same_as = places[index]
            else:
                places[index] = path
                queue.append(draft)
    return _finished(graph, top)


class Objects:
    """The objects of a graph by the number that a ref holds: a node for one, or a member of a group.

    Parameters
    ----------
    graph : Graph
    """

    def __init__(self, graph: Graph) -> None:
        self._nodes = graph.nodes
        self._firsts = first_objects(graph.nodes)

    def __getitem__(self, index: int) -> tuple[Node, int]:
        number = bisect_right(self._firsts, index) - 1
        return self._nodes[number], index - self._firsts[number]


def array_shape_and_dtype(graph: Graph, node: Node, member: int | None = None) -> tuple[tuple[int, ...], str]:
    """The shape and dtype of the array of a node as its owner sees them, which a tensor cannot always say.

    For a group, those of one member, or of all of them together when `member` is None.
    """
    assert node.array is not None
    array = graph.arrays[node.array]
    shape = array.shape
    if node.lengths and member is not None:
        shape = (node.lengths[member], *shape[1:])
    dtype = _field(node, "dtype", member or 0)
    if type(dtype) is Ref:
        dtype, shape = "records", shape[:-1]
    elif type(dtype) is str:
        shape = shape if dtype[1:2] in "mM" else shape[:-1]
    else:
        dtype = str(array.dtype)
    return (shape[::-1] if node.state.get("order") == "F" else shape), dtype


def _finished(graph: Graph, top: _Draft) -> TreeNode:
    children = tuple(_finished(graph, child) for child in top.children)
    detail = _detail(graph, top.node, top.member)
    return TreeNode(top.label, top.node.type[:_TYPE], detail, top.same_as, children, top.left_out)


def _detail(graph: Graph, node: Node, member: int) -> str:
    if node.array is not None and node.type == "code":
        return f"{graph.arrays[node.array].nbytes:,} bytes that would run"
    if node.array is not None:
        shape, dtype = array_shape_and_dtype(graph, node, member)
        if node.type == "list":  # a long one, of one plain type
            length = shape[0] if shape else 1  # a crafted file may give a list one number without a dimension
            return f"{length:,} bytes of text" if dtype == "uint8" else f"{length:,} numbers"
        return f"{dtype} {_shape_words(shape)}"
    if node.type in ("function", "class"):
        return _shown(_field(node, "name", member))
    if node.type == "numpy.scalar" and "value" in node.state:
        return _shown(_field(node, "value", member))
    if "dims" in node.state:
        return f"object ({_shown(_field(node, 'dims', member))})"
    if node.items:
        return f"{len(node.items):,} item{'s' if len(node.items) > 1 else ''}"
    return ""


def _field(node: Node, name: str, member: int) -> Any:
    """A field of one object; the members of a group have some in columns."""
    return node.columns[name][member] if name in node.columns else node.state.get(name)


def _shape_words(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def _shown(value: Any) -> str:
    return value[:_LABEL] if isinstance(value, str) else str(value)[:_LABEL]


def _children(objects: Objects, node: Node, member: int) -> Iterator[tuple[str, int]]:
    """Label and number of the objects below one. What describes an array is not shown below it."""
    if node.array is not None:
        return
    for name in node.state:
        value = _field(node, name, member)
        if type(value) is Ref:
            yield name[:_LABEL], value.index
    for place, value in enumerate(node.items):
        if type(value) is Ref:
            yield _through_named_pair(objects, _label(node, place), value.index)
    for place, key in enumerate(node.keys):
        if type(key) is Ref:
            yield f"key {place}", key.index


def _label(node: Node, place: int) -> str:
    if not node.keys or type(node.keys[place]) is Ref:
        return f"[{place}]"
    key = node.keys[place]
    return key[:_LABEL] if type(key) is str else f"[{key}]"


def _through_named_pair(objects: Objects, label: str, index: int) -> tuple[str, int]:
    """A pair such as a pipeline's ``("scale", scaler)`` is shown as what its name stands for."""
    node, _ = objects[index]
    if node.type == "tuple" and len(node.items) > 1 and type(node.items[0]) is str:
        refs = [value for value in node.items if type(value) is Ref]
        if len(refs) == 1:
            return node.items[0][:_LABEL], refs[0].index
    return label, index
