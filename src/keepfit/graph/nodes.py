"""Nodes, refs and graphs, and the JSON form of a graph."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import accumulate
from operator import attrgetter, countOf
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from keepfit.errors import FormatError
from keepfit.graph.limits import LIMITS, Limits
from keepfit.graph.rows import Rows
from keepfit.graph.streams import Stream

__all__ = [
    "INLINE_TYPES",
    "PLAIN_DTYPES",
    "Graph",
    "Node",
    "Outline",
    "Packed",
    "Ref",
    "Value",
    "first_objects",
    "from_json",
    "refs_of",
    "to_json",
]

#: Python types whose values stand in a node as they are (ints of 64 bits and finite floats only).
INLINE_TYPES = frozenset({type(None), bool, int, float, str})

#: The dtypes an array of a graph may have, by the name safetensors gives them.
PLAIN_DTYPES = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype("u1"),
    "I8": np.dtype("i1"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "F16": np.dtype("<f2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "F32": np.dtype("<f4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F64": np.dtype("<f8"),
}


class Ref(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True, gc=False):
    """A reference to an object, by its number in the order of nodes. In JSON: ``[7]``."""

    index: Annotated[int, msgspec.Meta(ge=0)]


Value = None | bool | int | float | str | Ref


class Node(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, gc=False):  # nothing built holds a node
    """One typed thing.

    Parameters
    ----------
    type : str
        The name of what this is: ``list``, ``numpy.ndarray``, ``sklearn.svm._classes.SVC``.
    state : dict of str to value, default={}
        Named values, in order.
    items : list of value, default=[]
        Elements of a sequence, values of a mapping.
    keys : list of value, default=[]
        Keys of a mapping, as many as there are items; empty for a sequence.
    array : int or None, default=None
        The place of this node's array in the graph's table of arrays.
    count : int, default=1
        How many objects this node stands for. A node for several is a *group*: objects of one type, whose common state
        stands once in `state` and the rest in `columns`; a group has no items and no keys.
    columns : dict of str to list of value, default={}
        For a group, the fields in which its members differ, `count` values each. Such a field stands in `state` too, as
        None, so that the order of fields is kept.
    lengths : list of int, default=[]
        For a group with an array, how many rows of it each member has, in order.

    Notes
    -----
    A `Ref` counts objects: a node for one takes one place, a group takes `count` places in a row.

    While an object is taken apart or built, a codec sees a *live* node: the same fields, holding Python objects in
    place of refs and a numpy array in place of `array`.
    """

    type: str
    state: dict[str, Any] = {}
    items: list[Any] = []
    keys: list[Any] = []
    array: Any = None
    count: int = 1
    columns: dict[str, Any] = {}
    lengths: list[int] = []


_Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Size = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_WireValue = None | bool | _Integer | float | str | Ref


class _WireNode(Node):
    """`Node` with its fields typed: what JSON is read into, so that a graph that exists is well-formed."""

    state: dict[str, _WireValue] = {}
    items: list[_WireValue] = []
    keys: list[_WireValue] = []
    array: _Size | None = None
    count: _Size = 1
    columns: dict[str, list[_WireValue]] = {}
    lengths: list[_Size] = []


class Packed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one array stands in a file when it is compressed.

    Parameters
    ----------
    array : int
        The array's number.
    dtype : str
        A key of `PLAIN_DTYPES`.
    shape : list of int
    row, item : int
        Before compression the array's bytes, a matrix of rows of `row` bytes, were turned so that the first `item`
        bytes of all rows come first, then the next of all rows, and so on. Where both are 1 they stand as they are.
    block : int
        This happened to so many bytes at a time; the last block may be shorter.
    frames : list of int
        The length of each block's Zstandard frame, bytes.
    """

    array: _Size
    dtype: str
    shape: list[_Size]
    row: _Size
    item: _Size
    block: _Size
    frames: list[_Size]


class Graph(msgspec.Struct, dict=True):
    """A whole object, or several under names.

    Parameters
    ----------
    roots : dict of str to value
        What the graph is about: ``"object"`` always; further roots by name (``"sample"``).
    nodes : list of Node
        The table of nodes, in the order of building.
    arrays : list of (ndarray, Rows or Stream)
        The arrays, C-contiguous, of a plain dtype; those of a graph that was read are ndarrays, or streams where the
        reader was asked for some.
    names : list of str
        One readable, unique name for each array (``steps.scale.mean_``).
    versions : dict of str to str
        The release of each library whose types the graph names: ``{"scikit-learn": "1.9.1"}``.
    packed : list of Packed, default=[]
        Which arrays are compressed in the file that the graph was read from, and how. Of no meaning for its arrays.

    Notes
    -----
    How its nodes hang together (`outline`) is looked at once: whoever changes nodes after that makes a new graph.
    """

    roots: dict[str, Any]
    nodes: list[Node]
    arrays: Sequence[NDArray[Any] | Rows | Stream]
    names: list[str]
    versions: dict[str, str]
    packed: list[Packed] = []

    @cached_property
    def outline(self) -> Outline:
        return Outline(self.nodes)

    def node_of(self, ref: Ref) -> Node:
        """The node that stands for an object, alone or with others."""
        return self.nodes[bisect_right(first_objects(self.nodes), ref.index) - 1]


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    versions: dict[str, str]
    roots: dict[str, _WireValue]
    arrays: list[str]
    nodes: list[_WireNode]
    packed: list[Packed] = []


class _WrittenDocument(msgspec.Struct, omit_defaults=True):
    versions: dict[str, str]
    roots: dict[str, Any]
    arrays: list[str]
    nodes: list[Node]
    packed: list[Packed] = []


#: How many fields groups may expand to for each byte of the graph, besides what any graph may.
_GROUP_FIELDS_PER_BYTE = 8

#: What numbers are spelled with.
_NUMBER_BYTES = b"0123456789+-.eE"

_decoder = msgspec.json.Decoder(_Document)
_encoder = msgspec.json.Encoder()


def to_json(graph: Graph) -> bytes:
    """The canonical JSON of a graph, without the contents of its arrays.

    Members stand in the order versions, roots, arrays, nodes, packed (if any is); a node's empty fields are left out;
    no white space.

    Raises
    ------
    UnicodeEncodeError
        If a string holds a lone surrogate; codecs keep such strings as bytes.
    """
    return _encoder.encode(_WrittenDocument(graph.versions, graph.roots, graph.names, graph.nodes, graph.packed))


def from_json(data: bytes | memoryview, *, limits: Limits = LIMITS, is_packed: bool = False) -> Graph:
    """Read a graph's JSON. Its `arrays` are left empty for the caller to fill, one for each of its `names`.

    What comes back is well-formed: every field of its type, refs and array numbers within their tables, each array
    named by at most one node, keys and items of equal length.

    Parameters
    ----------
    data : bytes-like
        JSON as `to_json` writes it.
    limits : Limits, default=LIMITS
    is_packed : bool, default=False
        Whether it must say of some arrays that they are compressed; otherwise it must not.

    Raises
    ------
    FormatError
        If the bytes are anything else.

    Notes
    -----
    Cost is linear in `data`. Numbers may be spelled in another way than `to_json` spells them, everything else must be
    canonical: white space, other escapes, empty fields and a member name that stands twice are refused.
    """
    if len(data) > limits.graph_bytes:
        raise FormatError(f"the graph is {len(data):,} bytes long, over the limit of {limits.graph_bytes:,}")
    data = bytes(data)
    try:
        document = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(f"the graph is not what the format says: {str(error)[:200]}") from None
    nodes: list[Node] = [*document.nodes]
    names = document.arrays
    count = fields = 0
    for node in nodes:
        count += node.count
        if node.count != 1:
            _check_group(node)
            fields += node.count * len(node.state)
        elif node.columns or node.lengths:
            raise FormatError(f"in the graph, a node of type {node.type[:80]!r} for one object has columns")
    if count > limits.nodes:
        raise FormatError(f"the graph has {count:,} objects, over the limit of {limits.nodes:,}")
    if fields > limits.group_fields + _GROUP_FIELDS_PER_BYTE * len(data):
        raise FormatError(f"the groups of the graph expand to {fields:,} fields, over the limit for its length")
    if len(names) > limits.arrays:
        raise FormatError(f"the graph has {len(names):,} arrays, over the limit of {limits.arrays:,}")
    graph = Graph(document.roots, nodes, [], names, document.versions, document.packed)
    _check_places(graph, count)
    numbers = [each.array for each in graph.packed] if is_packed or graph.packed else []
    if bool(numbers) != is_packed or numbers != sorted(set(numbers)) or (numbers and numbers[-1] >= len(names)):
        raise FormatError("the graph does not say which arrays are compressed, as this version of the format does")
    again = to_json(graph)
    # Numbers apart, writing again only ever leaves something out: a second name, an escape, white space, a default.
    if again != data and again.translate(None, _NUMBER_BYTES) != data.translate(None, _NUMBER_BYTES):
        raise FormatError("the graph's JSON is not canonical: a name stands twice, or another program rewrote it")
    return graph


def _check_group(node: Node) -> None:
    """A group has a column or lengths, so that it cannot stand for more objects than it has values."""
    count, columns = node.count, node.columns
    if count < 1 or not (columns or node.lengths) or node.items or node.keys:
        raise FormatError(f"in the graph, a node of type {node.type[:80]!r} is not a group of {count}")
    if any(len(column) != count for column in columns.values()) or not columns.keys() <= node.state.keys():
        raise FormatError(f"in the graph, the columns of a group of {count} {node.type[:80]!r} do not fit it")
    if any(node.state[name] is not None for name in columns):
        raise FormatError(f"in the graph, a group of {count} {node.type[:80]!r} has a column beside a common value")
    if (node.array is None) == bool(node.lengths) or len(node.lengths) not in (0, count):
        raise FormatError(f"in the graph, the lengths of a group of {count} {node.type[:80]!r} do not fit it")


_index = attrgetter("index")


def first_objects(nodes: list[Node]) -> list[int]:
    """The number of each node's first object: what a `Ref` to it holds."""
    return [0, *accumulate([node.count for node in nodes[:-1]])] if nodes else []


def refs_of(node: Node) -> list[int]:
    """The numbers of the objects that a node refers to: those in its state, items, keys and columns, in that order."""
    found: list[int] = []
    if node.state:
        found = [value.index for value in node.state.values() if type(value) is Ref]
    if node.items:
        found += _indices(node.items)
        if node.keys:
            found += _indices(node.keys)
    if node.columns:
        for column in node.columns.values():
            found += _indices(column)
    return found


def _indices(values: list[Any]) -> Iterable[int]:
    count = countOf(map(type, values), Ref)  # most have none, and long ones take time
    if not count:
        return ()
    return map(_index, values if count == len(values) else [value for value in values if type(value) is Ref])


class Outline:
    """How the nodes of a graph hang together, found in one pass over them.

    Parameters
    ----------
    nodes : list of Node

    Attributes
    ----------
    nodes : list of Node
    firsts : list of int
        The number of each node's first object.
    refs : list of list of int
        What `refs_of` gives for each node.
    highest : list of int
        The highest of these for each node; -1 where it refers to nothing.
    """

    __slots__ = ("firsts", "highest", "nodes", "refs")

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes
        self.firsts = first_objects(nodes)
        self.refs = list(map(refs_of, nodes))
        self.highest = [max(refs) if refs else -1 for refs in self.refs]


def _check_places(graph: Graph, node_count: int) -> None:
    array_count = len(graph.names)
    if len(set(graph.names)) != array_count:
        raise FormatError("two arrays of the graph have the same name")
    if "object" not in graph.roots:
        raise FormatError("the graph has no root named 'object'")
    array_seen = bytearray(array_count)
    last = max([value.index for value in graph.roots.values() if type(value) is Ref], default=-1)
    last = max(last, max(graph.outline.highest, default=-1))
    for node in graph.nodes:
        if node.keys and len(node.keys) != len(node.items):
            raise FormatError(
                f"in the graph, a node of type {node.type[:80]!r} has {len(node.keys)} keys for {len(node.items)} items"
            )
        if node.array is not None:
            if node.array >= array_count or array_seen[node.array]:
                raise FormatError(f"in the graph, array {node.array} is out of range or belongs to two nodes")
            array_seen[node.array] = 1
    if sum(array_seen) != array_count:
        raise FormatError("an array of the graph belongs to no node")
    if last >= node_count:
        raise FormatError(f"the graph refers to object {last} and has {node_count:,}")
