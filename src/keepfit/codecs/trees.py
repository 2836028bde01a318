"""The compiled half of decision trees: its nodes are checked to be a tree before they reach it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keepfit.codecs.codec import Building, Codec, Reducing, check_columns, check_fields, pieces_of, whole_of
from keepfit.codecs.sklearn_seam import tree_class, tree_node_dtype
from keepfit.errors import InvalidStateError, VersionError
from keepfit.graph import Node

__all__ = ["CODECS", "LEAF", "check_children"]

LEAF = -1  # sklearn.tree._tree.TREE_LEAF


class _Tree(Codec):
    """``sklearn.tree._tree.Tree``. Rules: ``Tree.__setstate__`` and what its methods index without looking."""

    groups = True

    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node(_NAME, dict(zip(_FIELDS, _parts(obj, context), strict=True)))

    def reduce_group(self, objects: list[Any], context: Reducing) -> Node | None:
        rows = [_parts(obj, context) for obj in objects]
        return Node(_NAME, columns=dict(zip(_FIELDS, map(list, zip(*rows, strict=True)), strict=True)))

    def build(self, node: Node, context: Building) -> Any:
        return self._built([[value] for value in check_fields(node, **_FIELDS)], context)[0]

    def build_group(self, group: Node, context: Building) -> list[Any]:
        return self._built(check_columns(group, **_FIELDS), context)

    def _built(self, columns: list[list[Any]], context: Building) -> list[Any]:
        all_features, _, _, all_depths, all_nodes, _ = columns
        _check_used_once(all_nodes, context)
        whole = whole_of(all_nodes, context)
        if whole is not None and whole.dtype == tree_node_dtype():  # the very dtype is known at once by compiled code
            whole = whole.view(tree_node_dtype())
            all_nodes = columns[4] = pieces_of(whole, list(map(len, all_nodes)))
        _check_kinds(all_features, all_nodes)
        features, depths = np.array(all_features), np.array(all_depths)
        trees: list[Any] = []
        for first, last, nodes in _bunches(all_nodes, whole):  # a bunch is checked and copied while it is in the cache
            counts = np.array(list(map(len, all_nodes[first:last])))
            _check_trees(features[first:last], depths[first:last], nodes, counts)
            trees += _made([column[first:last] for column in columns])
        return trees


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
        # The compiled walk trusts the children, which have been checked. It starts counting at 1.
        if len(nodes) >= _LARGE and tree.compute_node_depths().max() != max_depth + 1:
            raise InvalidStateError("the depth of a tree is not what its nodes say")
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
    "nodes": np.ndarray,
    "values": np.ndarray,
}

_INTEGERS, _FLOATS = np.dtype(np.intp), np.dtype(np.float64)

#: Trees are checked together up to this many nodes: numpy's cost per call is shared, and all stays in a processor's
#: cache.
_NODES_TOGETHER = 8_000
#: The depths of a tree of so many nodes are walked by itself; below, those of many trees are worked out together.
_LARGE = 500


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


def _check_kinds(n_features: list[int], nodes: list[NDArray[Any]]) -> None:
    dtype = tree_node_dtype()
    for found in {id(one.dtype): one.dtype for one in nodes}.values():
        if found != dtype:
            fields = ", ".join(found.names or ())
            raise VersionError(f"the nodes of this tree have the fields of another scikit-learn release: {fields}")
    if min(map(len, nodes)) < 1 or min(n_features) < 0 or any(one.ndim != 1 for one in nodes):
        raise InvalidStateError("a tree has at least one node, and no negative number of features")


def _bunches(trees: list[NDArray[Any]], whole: NDArray[Any] | None) -> Iterator[tuple[int, int, NDArray[Any]]]:
    """The nodes of some trees after the other, with the numbers of the first of these trees and of the one after them.

    `whole` is the array that all of them are the rows of, if there is one.
    """
    ends = np.cumsum(list(map(len, trees)))
    first = start = 0
    while first < len(trees):
        last = max(int(np.searchsorted(ends, start + _NODES_TOGETHER, "right")), first + 1)
        stop = int(ends[last - 1])
        yield first, last, whole[start:stop] if whole is not None else _joined(trees[first:last])
        first, start = last, stop


def _joined(trees: list[NDArray[Any]]) -> NDArray[Any]:
    if len(trees) == 1:
        return trees[0]
    dtype = trees[0].dtype
    raw = np.dtype((np.void, dtype.itemsize))  # concatenating structured arrays would pack their dtype anew
    return np.concatenate([one.view(raw) for one in trees]).view(dtype)


def _check_trees(n_features: NDArray[Any], max_depth: NDArray[Any], nodes: NDArray[Any], counts: NDArray[Any]) -> None:
    """Raise unless these nodes are trees, one after the other, each of the depth and the features it claims."""
    starts = np.cumsum(counts) - counts
    left, right = nodes["left_child"].copy(), nodes["right_child"].copy()
    inner = np.flatnonzero(left != LEAF)
    above = check_children(inner, left, right, starts, counts)
    if inner.size:
        feature = nodes["feature"][inner]
        is_known = feature.max() < n_features.min() or (feature < np.repeat(n_features, counts)[inner]).all()
        if feature.min() < 0 or not is_known:
            raise InvalidStateError("a tree splits on a feature it does not have")
    if counts.min() < _LARGE and (_depths(above, inner, starts, int(max_depth.max())) != max_depth).any():
        raise InvalidStateError("the depth of a tree is not what its nodes say")


def check_children(
    inner: NDArray[Any], left: NDArray[Any], right: NDArray[Any], starts: NDArray[Any], counts: NDArray[Any]
) -> NDArray[Any]:
    """The parent of each inner node of several trees laid end to end, by its place in `inner`; a root is its own.

    Raises unless every inner node has two children after it in its own tree, every leaf none, and every node but the
    roots one parent. Then every walk from a root ends, inside the array.

    Parameters
    ----------
    inner : ndarray of shape (n_inner,)
        The nodes with children, in order.
    left, right : ndarray of shape (n_nodes,)
        Children, counted from the start of their tree; -1 in `right` for a leaf.
    starts, counts : ndarray of shape (n_trees,)
        Where each tree starts, and its number of nodes.

    Returns
    -------
    ndarray of shape (n_inner,)

    Raises
    ------
    InvalidStateError
        If the nodes are anything else.
    """
    if 2 * inner.size != len(left) - len(starts) or np.count_nonzero(right != LEAF) != inner.size:
        raise InvalidStateError("the nodes of a tree do not make one tree")
    if (np.maximum.reduceat(np.maximum(left, right), starts) >= counts).any():  # so nothing overflows below
        raise InvalidStateError("a node of a tree has a child that is not there")
    start = np.repeat(starts, np.diff(np.searchsorted(inner, starts), append=inner.size))
    lefts, rights = left[inner] + start, right[inner] + start
    if (np.minimum(lefts, rights) <= inner).any():
        raise InvalidStateError("a node of a tree has a child that is not after it")
    own = np.arange(inner.size)
    parents = np.full(len(left), -1)
    parents[lefts] = own
    parents[rights] = own
    if np.count_nonzero(parents < 0) != len(starts):
        raise InvalidStateError("a node of a tree has two parents")
    above = parents[inner]
    return np.where(above < 0, own, above)


def _depths(above: NDArray[Any], inner: NDArray[Any], starts: NDArray[Any], most: int) -> NDArray[Any]:
    """The depth of each tree, by pointer doubling over its inner nodes; of one deeper than `most`, something more."""
    depth = (above != np.arange(len(above))).astype(np.intp)
    reach = 1  # up to here depths are right by now
    while reach < min(most, len(above)):
        depth += depth[above]
        above = above[above]
        reach *= 2
    firsts = np.searchsorted(inner, starts)
    has_any = np.diff(firsts, append=inner.size) > 0
    depths = np.zeros(len(starts), np.intp)
    if inner.size:
        depths[has_any] = np.maximum.reduceat(depth, firsts[has_any]) + 1
    return depths


CODECS: dict[str, Codec] = {_NAME: _Tree()}
