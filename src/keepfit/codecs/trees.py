"""The compiled half of decision trees: its nodes are checked to be a tree before they reach it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keepfit.codecs.codec import Building, Codec, Reducing, check_columns, check_fields, pieces_of, whole_of
from keepfit.codecs.portions import Portions
from keepfit.codecs.sklearn_seam import tree_class, tree_node_dtype
from keepfit.errors import InvalidStateError, VersionError
from keepfit.graph import Node

__all__ = ["CODECS", "LEAF", "bunches", "check_children"]

LEAF = -1  # sklearn.tree._tree.TREE_LEAF


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
        features, depths = np.array(others[0]), np.array(others[3])
        if min(others[0]) < 0:
            raise InvalidStateError("a tree has no negative number of features")
        nodes, values = _Nodes(all_nodes, context), _Arrays(all_values)
        trees: list[Any] = []
        for first, last in bunches(nodes.lengths):  # a bunch is checked and copied while it is in the cache
            pieces, whole = nodes.take(first, last)
            _check_trees(features[first:last], depths[first:last], whole, np.array(nodes.lengths[first:last]))
            trees += _made([*(column[first:last] for column in others), pieces, values.take(first, last)[0]])
        return trees


class _Arrays:
    """The arrays of trees, one each, of which those of the next few are taken at a time."""

    def __init__(self, arrays: list[Any]) -> None:
        self._arrays = arrays
        self._portions = arrays[0] if type(arrays[0]) is Portions else None

    def take(self, first: int, last: int) -> tuple[list[NDArray[Any]], NDArray[Any] | None]:
        """Those of trees `first` to before `last`; and all of them end to end, if they lie so."""
        if self._portions is None:
            return self._arrays[first:last], None
        whole = self._portions.take(first, last)
        return pieces_of(whole, self._portions.lengths[first:last]), whole


class _Nodes(_Arrays):
    """The nodes of trees: not empty, and of the one dtype that compiled code takes."""

    def __init__(self, arrays: list[Any], context: Building) -> None:
        super().__init__(arrays)
        if self._portions is not None:
            self.lengths = self._portions.lengths
        else:
            self.lengths = list(map(len, arrays))
            _check_used_once(arrays, context)
            _check_kinds(arrays)
            self._whole = whole_of(arrays, context)
        if min(self.lengths) < 1:
            raise InvalidStateError("a tree has at least one node")
        self._starts = list(accumulate(self.lengths, initial=0))

    def take(self, first: int, last: int) -> tuple[list[NDArray[Any]], NDArray[Any]]:
        pieces, whole = super().take(first, last)
        if whole is not None:
            _check_kinds([whole])
        elif self._whole is not None:
            whole = self._whole[self._starts[first] : self._starts[last]]
        else:
            return pieces, _joined(pieces)
        whole = whole.view(tree_node_dtype())  # the very dtype is known at once by compiled code
        return pieces_of(whole, self.lengths[first:last]), whole


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
    "nodes": (np.ndarray, Portions),
    "values": (np.ndarray, Portions),
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


def _check_kinds(arrays: list[NDArray[Any]]) -> None:
    dtype = tree_node_dtype()
    for found in {id(one.dtype): one.dtype for one in arrays}.values():
        if found != dtype:
            fields = ", ".join(found.names or ())
            raise VersionError(f"the nodes of this tree have the fields of another scikit-learn release: {fields}")
    if any(one.ndim != 1 for one in arrays):
        raise InvalidStateError("the nodes of a tree are a row of records")


def bunches(lengths: list[int]) -> Iterator[tuple[int, int]]:
    """The numbers of the first of some trees, and of the one after them, that have few enough nodes together."""
    ends = np.cumsum(lengths)
    first = start = 0
    while first < len(lengths):
        last = max(int(np.searchsorted(ends, start + _NODES_TOGETHER, "right")), first + 1)
        yield first, last
        first, start = last, int(ends[last - 1])


def _joined(trees: list[NDArray[Any]]) -> NDArray[Any]:
    if len(trees) == 1:
        return trees[0]
    dtype = trees[0].dtype
    raw = np.dtype((np.void, dtype.itemsize))  # concatenating structured arrays would pack their dtype anew
    return np.concatenate([one.view(raw) for one in trees]).view(dtype)


def _check_trees(n_features: NDArray[Any], max_depth: NDArray[Any], nodes: NDArray[Any], counts: NDArray[Any]) -> None:
    """Raise unless these nodes are trees, one after the other, each of the depth and the features it claims."""
    left, right = nodes["left_child"], nodes["right_child"]
    inner = np.flatnonzero(left != LEAF)
    if np.count_nonzero(right != LEAF) != inner.size:
        raise InvalidStateError("a node of a tree has one child")
    children = check_children(inner, left[inner], right[inner], counts)
    if inner.size:
        feature = nodes["feature"][inner]
        is_known = feature.max() < n_features.min() or (feature < np.repeat(n_features, counts)[inner]).all()
        if feature.min() < 0 or not is_known:
            raise InvalidStateError("a tree splits on a feature it does not have")
    if counts.min() < _LARGE and (_depths(inner, children, counts, int(max_depth.max())) != max_depth).any():
        raise InvalidStateError("the depth of a tree is not what its nodes say")


def check_children(
    inner: NDArray[Any], left: NDArray[Any], right: NDArray[Any], counts: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The places of the children of each inner node of several trees laid end to end.

    Raises unless every inner node has two children after it in its own tree, and every node but the roots one parent.
    Then every walk from a root ends, inside the array.

    Parameters
    ----------
    inner : ndarray of shape (n_inner,)
        The places of the nodes with children, in order.
    left, right : ndarray of shape (n_inner,)
        Their children, counted from the start of their tree; integers of any kind.
    counts : ndarray of shape (n_trees,)
        The number of nodes of each tree.

    Returns
    -------
    lefts, rights : ndarray of shape (n_inner,)
        Counted from the start of the first tree.

    Raises
    ------
    InvalidStateError
        If the nodes are anything else.
    """
    stops = counts.cumsum()
    n_nodes = int(stops[-1])
    if 2 * inner.size != n_nodes - len(counts):
        raise InvalidStateError("the nodes of a tree do not make one tree")
    lefts, rights, stop = left, right, stops[-1:]
    if len(counts) > 1:
        n_inner = np.searchsorted(inner, stops)
        n_inner[1:] -= n_inner[:-1].copy()
        # A child so far off that its place overflows comes out negative, which is not after its parent.
        start, stop = np.repeat(stops - counts, n_inner), np.repeat(stops, n_inner)
        lefts, rights = left + start, right + start
    if (np.maximum(lefts, rights) >= stop).any():
        raise InvalidStateError("a node of a tree has a child that is not there")
    if (np.minimum(lefts, rights) <= inner).any():
        raise InvalidStateError("a node of a tree has a child that is not after it")
    is_child = np.zeros(n_nodes, bool)
    is_child[lefts] = True
    is_child[rights] = True
    if np.count_nonzero(is_child) != n_nodes - len(counts):
        raise InvalidStateError("a node of a tree has two parents")
    return lefts, rights


def _depths(
    inner: NDArray[Any], children: tuple[NDArray[Any], NDArray[Any]], counts: NDArray[Any], most: int
) -> NDArray[Any]:
    """The depth of each tree, by pointer doubling over its inner nodes; of one deeper than `most`, something more."""
    own = np.arange(inner.size)
    parents = np.full(int(counts.sum()), -1)
    for places in children:
        parents[places] = own
    above = parents[inner]
    above = np.where(above < 0, own, above)
    depth = (above != own).astype(np.intp)
    reach = 1  # up to here depths are right by now
    while reach < min(most, len(above)):
        depth += depth[above]
        above = above[above]
        reach *= 2
    depths = np.zeros(len(counts), np.intp)
    if inner.size:
        firsts = np.searchsorted(inner, counts.cumsum() - counts)
        has_any = counts > 1
        depths[has_any] = np.maximum.reduceat(depth, firsts[has_any]) + 1
    return depths


CODECS: dict[str, Codec] = {_NAME: _Tree()}
