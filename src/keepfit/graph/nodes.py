"""Nodes, refs and graphs, and the JSON form of a graph."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from keepfit.errors import FormatError
from keepfit.graph.limits import LIMITS, Limits

__all__ = ["INLINE_TYPES", "PLAIN_DTYPES", "Graph", "Node", "Ref", "Value", "from_json", "to_json"]

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


class Ref(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A reference to a node, by its place in the table. In JSON: ``[7]``."""

    index: int


Value = None | bool | int | float | str | Ref


class Node(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
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

    Notes
    -----
    While an object is taken apart or built, a codec sees a *live* node: the same fields, holding Python objects in
    place of refs and a numpy array in place of `array`.
    """

    type: str
    state: dict[str, Any] = {}
    items: list[Any] = []
    keys: list[Any] = []
    array: Any = None


class _WireNode(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """`Node` with its fields typed: what JSON is read into, so that a graph that exists is well-formed."""

    type: str
    state: dict[str, Value] = {}
    items: list[Value] = []
    keys: list[Value] = []
    array: int | None = None


class Graph(msgspec.Struct):
    """A whole object, or several under names.

    Parameters
    ----------
    roots : dict of str to value
        What the graph is about: ``"object"`` always; further roots by name (``"sample"``).
    nodes : list of Node
        The table of nodes, in the order of building.
    arrays : list of ndarray
        The arrays, C-contiguous, of a plain dtype.
    names : list of str
        One readable, unique name for each array (``steps.scale.mean_``).
    versions : dict of str to str
        The release of each library whose types the graph names: ``{"scikit-learn": "1.9.1"}``.
    """

    roots: dict[str, Any]
    nodes: list[Node]
    arrays: list[NDArray[Any]]
    names: list[str]
    versions: dict[str, str]


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    versions: dict[str, str]
    roots: dict[str, Value]
    arrays: list[str]
    nodes: list[_WireNode]


class _WrittenDocument(msgspec.Struct):
    versions: dict[str, str]
    roots: dict[str, Any]
    arrays: list[str]
    nodes: list[Node]


_decoder = msgspec.json.Decoder(_Document)
_encoder = msgspec.json.Encoder()


def to_json(graph: Graph) -> bytes:
    """The canonical JSON of a graph, without the contents of its arrays.

    Members stand in the order versions, roots, arrays, nodes; a node's empty fields are left out; no white space.

    Raises
    ------
    UnicodeEncodeError
        If a string holds a lone surrogate; codecs keep such strings as bytes.
    """
    return _encoder.encode(_WrittenDocument(graph.versions, graph.roots, graph.names, graph.nodes))


def from_json(data: bytes | memoryview, *, limits: Limits = LIMITS) -> Graph:
    """Read a graph's JSON. Its `arrays` are left empty for the caller to fill, one for each of its `names`.

    What comes back is well-formed: every field of its type, refs and array numbers within their tables, each array
    named by at most one node, keys and items of equal length.

    Parameters
    ----------
    data : bytes-like
        JSON as `to_json` writes it.
    limits : Limits, default=LIMITS

    Raises
    ------
    FormatError
        If the bytes are anything else.

    Notes
    -----
    Cost is linear in `data`. Numbers may be spelled in another way than `to_json` spells them, everything else must be
    canonical: a member name that stands twice is refused.
    """
    if len(data) > limits.graph_bytes:
        raise FormatError(f"the graph is {len(data):,} bytes long, over the limit of {limits.graph_bytes:,}")
    try:
        document = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(f"the graph is not what the format says: {error}") from None
    nodes, names = document.nodes, document.arrays
    if len(nodes) > limits.nodes:
        raise FormatError(f"the graph has {len(nodes):,} nodes, over the limit of {limits.nodes:,}")
    if len(names) > limits.arrays:
        raise FormatError(f"the graph has {len(names):,} arrays, over the limit of {limits.arrays:,}")
    graph = Graph(document.roots, nodes, [], names, document.versions)  # type: ignore[arg-type]
    _check_places(graph)
    if to_json(graph) != data:
        _check_no_name_twice(bytes(data))
    return graph


def _check_places(graph: Graph) -> None:
    node_count, array_count = len(graph.nodes), len(graph.names)
    if len(set(graph.names)) != array_count:
        raise FormatError("two arrays of the graph have the same name")
    if "object" not in graph.roots:
        raise FormatError("the graph has no root named 'object'")
    array_seen = bytearray(array_count)

    def check_refs(values: Any) -> None:
        if Ref in set(map(type, values)):
            for value in values:
                if type(value) is Ref and not 0 <= value.index < node_count:
                    raise FormatError(f"a ref to node {value.index} of {node_count}")

    check_refs(graph.roots.values())
    for node in graph.nodes:
        check_refs(node.state.values())
        check_refs(node.items)
        if node.keys:
            check_refs(node.keys)
            if len(node.keys) != len(node.items):
                raise FormatError(f"a node of type {node.type!r} has {len(node.keys)} keys for {len(node.items)} items")
        if node.array is not None:
            if not 0 <= node.array < array_count or array_seen[node.array]:
                raise FormatError(f"array {node.array} is out of range or named by two nodes")
            array_seen[node.array] = 1
    if sum(array_seen) != array_count:
        raise FormatError("an array of the graph belongs to no node")


def _check_no_name_twice(data: bytes) -> None:
    def pairs(members: list[tuple[str, Any]]) -> None:
        if len({name for name, _ in members}) != len(members):
            raise FormatError("a member name stands twice in the graph's JSON")

    try:
        json.loads(data, object_pairs_hook=pairs, parse_int=str, parse_float=str)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"the graph is not what the format says: {error}") from None
