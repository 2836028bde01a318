"""The compiled half of decision trees: its nodes are checked to be a tree before they reach it."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keepfit.codecs.codec import Building, Codec, Reducing, check_columns, check_fields, pieces_of, whole_of
from keepfit.codecs.portions import Portions
from keepfit.codecs.sklearn_seam import tree_class, tree_node_dtype
from keepfit.codecs.tree_nodes import NodeFields, bunches, check_kinds, check_nodes, joined
from keepfit.errors import InvalidStateError
from keepfit.graph import Node

__all__ = ["CODECS"]


class _Tree(Codec):
    """``sklearn.tree._tree.Tree``. Rules: ``Tree.__setstate__`` and what its methods index without looking."""

    groups = True

    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node(_NAME, dict(zip(_FIELDS, _parts(obj, context), strict=True)))

    def reduce_group(self, objects: list[Any], context: Reducing) -> Node | None:
        rows = [_parts(obj, context) for obj in objects]
        return Node(_NAME, columns=dict(zip(_FIELDS, map(list, zip(*rows, strict=True)), strict=True)))

    takes_portions = frozenset({"nodes", "values"})

    def build(self, node: Node, context: Building) -> Any:
        return self._built([[value] for value in check_fields(node, **_FIELDS)], context)[0]

    def build_group(self, group: Node, context: Building) -> list[Any]:
        return self._built(check_columns(group, **_FIELDS), context)

    def _built(self, columns: list[list[Any]], context: Building) -> list[Any]:
        *others, all_nodes, all_values = columns
        features, depths = _integers(others[0]), _integers(others[3])
        if features.min() < 0:
            raise InvalidStateError("a tree has no negative number of features")
        nodes, values = _Nodes(all_nodes, context), _Arrays(all_values)
        trees: list[Any] = []
        most = _BYTES_TOGETHER // max(1, nodes.row_bytes + values.row_bytes)  # a file may have rows without bytes
        for first, last in bunches(nodes.lengths, most):  # a bunch is checked and copied while it is in the cache
            together = nodes.taken_together(first, last)
            lengths = nodes.lengths[first:last]
            _check_trees(features[first:last], depths[first:last], together, lengths)
            pieces = pieces_of(together, lengths)
            trees += _made([*(column[first:last] for column in others), pieces, values.take(first, last)])
        return trees


class _Arrays:
    """The arrays of trees, one each, of which those of the next few are taken at a time."""

    def __init__(self, arrays: list[Any]) -> None:
        self._arrays = arrays
        self._portions = arrays[0] if type(arrays[0]) is Portions else None
        self.row_bytes = self._portions.row_bytes if self._portions is not None else tree_node_dtype().itemsize

    def take(self, first: int, last: int) -> list[NDArray[Any]]:
        """Those of trees `first` to before `last`."""
        if self._portions is None:
            return self._arrays[first:last]
        return pieces_of(self._portions.take(first, last), self._portions.lengths[first:last])


class _Nodes(_Arrays):
    """The nodes of trees: not empty, and of the one dtype that compiled code takes."""

    def __init__(self, arrays: list[Any], context: Building) -> None:
        super().__init__(arrays)
        if self._portions is not None:
            self.lengths = self._portions.lengths
        else:
            self._whole = whole_of(arrays, context)
            self.lengths = list(map(len, arrays)) if self._whole is None else self._whole.lengths
            _check_used_once(arrays, context)
            _check_kinds(arrays if self._whole is None else [self._whole.array])
        if min(self.lengths) < 1:
            raise InvalidStateError("a tree has at least one node")
        self._starts = list(accumulate(self.lengths, initial=0))

    def taken_together(self, first: int, last: int) -> NDArray[Any]:
        """Those of trees `first` to before `last`, end to end."""
        if self._portions is not None:
            whole = self._portions.take(first, last)
            _check_kinds([whole])
        elif self._whole is not None:
            whole = self._whole.array[self._starts[first] : self._starts[last]]
        else:
            whole = joined(self._arrays[first:last])
        return whole.view(tree_node_dtype())  # the very dtype is known at once by compiled code


def _made(columns: list[list[Any]]) -> list[Any]:
    """Trees of nodes that have been checked."""
    make = tree_class()
    trees = []
    widths: dict[tuple[bytes, int], int] = {}  # by the octets of n_classes and by n_outputs
    for n_features, n_classes, n_outputs, max_depth, nodes, values in zip(*columns, strict=True):
        if n_classes.dtype != _INTEGERS:
            raise InvalidStateError("a tree has a number of classes for each output, an integer")
        key = n_classes.tobytes(), n_outputs
        width = widths.get(key)
        if width is None or n_classes.ndim != 1:
            width = widths[key] = _width(n_classes, n_outputs)
        if values.dtype != _FLOATS or values.shape != (len(nodes), n_outputs, width):
            raise InvalidStateError("a tree has one value for each node, output and class")
        tree = make(n_features, n_classes, n_outputs)
        tree.__setstate__({"max_depth": max_depth, "node_count": len(nodes), "nodes": nodes, "values": values})
        trees.append(tree)
    return trees


def _parts(tree: Any, context: Reducing) -> tuple[Any, ...]:
    """What a tree is made of, in the order of `_FIELDS`."""
    _, (n_features, n_classes, n_outputs), state = tree.__reduce__()
    nodes, values = state["nodes"], state["values"]
    dtype = context.shared.setdefault("tree nodes", nodes.dtype)
    if nodes.dtype is not dtype and nodes.dtype == dtype:
        nodes = nodes.view(dtype)
    # The tree takes a copy for itself. So load need not make one that can be written to.
    nodes.setflags(write=False)
    values.setflags(write=False)
    return n_features, n_classes, n_outputs, state["max_depth"], nodes, values


_NAME = "sklearn.tree._tree.Tree"
_FIELDS: dict[str, Any] = {
    "n_features": int,
    "n_classes": np.ndarray,
    "n_outputs": int,
    "max_depth": int,
    "nodes": (np.ndarray, Portions),
    "values": (np.ndarray, Portions),
}

_NODE_FIELDS = NodeFields("left_child", "right_child", "feature")
_INTEGERS, _FLOATS = np.dtype(np.intp), np.dtype(np.float64)


#: Trees are read, checked and built together up to this many bytes of nodes and values: what a processor's second
#: cache holds.
_BYTES_TOGETHER = 2_000_000


def _integers(values: list[int]) -> NDArray[np.int64]:
    try:
        return np.array(values, np.int64)
    except OverflowError:
        raise InvalidStateError("a number of a tree is beyond all bounds") from None


def _width(n_classes: NDArray[Any], n_outputs: int) -> int:
    """How many values a node has for each output."""
    if n_classes.shape != (n_outputs,) or not n_outputs or n_classes.min() < 1:
        raise InvalidStateError("a tree has outputs, and at least one class for each")
    return int(n_classes.max())


def _check_used_once(all_nodes: list[NDArray[Any]], context: Building) -> None:
    """A tree takes a copy of its nodes: a small file could name large ones for any number of trees."""
    used = context.memo.setdefault("nodes of trees", set())
    before = len(used)
    used.update(map(id, all_nodes))
    if len(used) != before + len(all_nodes):
        raise InvalidStateError("two trees have the same array of nodes")


def _check_kinds(arrays: list[NDArray[Any]]) -> None:
    check_kinds(arrays, tree_node_dtype())
    if any(one.ndim != 1 for one in arrays):
        raise InvalidStateError("the nodes of a tree are a row of records")


def _check_trees(n_features: NDArray[Any], max_depth: NDArray[Any], nodes: NDArray[Any], lengths: list[int]) -> None:
    """Raise unless these are the nodes of trees, each of the depth and the features it claims."""
    depths, _ = check_nodes(nodes, lengths, n_features, _NODE_FIELDS)
    if (depths != max_depth).any():
        raise InvalidStateError("the depth of a tree is not what its nodes say")


CODECS: dict[str, Codec] = {_NAME: _Tree()}
