"""The compiled half of decision trees: its nodes are checked to be a tree before they reach it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keepfit.codecs.codec import Building, Codec, Reducing, check_columns, check_fields
from keepfit.codecs.sklearn_seam import tree_class, tree_node_dtype
from keepfit.errors import InvalidStateError, VersionError
from keepfit.graph import Node

__all__ = ["CODECS", "check_children", "depth_of"]

_LEAF = -1  # sklearn.tree._tree.TREE_LEAF


class _Tree(Codec):
    """``sklearn.tree._tree.Tree``. Rules: ``Tree.__setstate__`` and what its methods index without looking."""

    groups = True

    def reduce(self, obj: Any, context: Reducing) -> Node:
        _, (n_features, n_classes, n_outputs), state = obj.__reduce__()
        dtype = state["nodes"].dtype
        nodes = state["nodes"].view(context.shared.setdefault(("tree nodes", dtype), dtype))
        values = state["values"].view()
        # The tree takes a copy for itself. So load need not make one that can be written to.
        nodes.flags.writeable = values.flags.writeable = False
        return Node(
            "sklearn.tree._tree.Tree",
            {
                "n_features": n_features,
                "n_classes": n_classes,
                "n_outputs": n_outputs,
                "max_depth": state["max_depth"],
                "nodes": nodes,
                "values": values,
            },
        )

    def reduce_group(self, objects: list[Any], context: Reducing) -> Node | None:
        states = [self.reduce(obj, context).state for obj in objects]
        columns = {name: [state[name] for state in states] for name in _FIELDS}
        return Node("sklearn.tree._tree.Tree", columns=columns)

    def build(self, node: Node, context: Building) -> Any:
        return self._built([[value] for value in check_fields(node, **_FIELDS)], context)[0]

    def build_group(self, group: Node, context: Building) -> list[Any]:
        return self._built(check_columns(group, **_FIELDS), context)

    def _built(self, columns: list[list[Any]], context: Building) -> list[Any]:
        make = tree_class()
        all_features, _, _, depths, all_nodes, _ = columns
        _check_nodes(all_features, depths, all_nodes)
        _check_used_once(all_nodes, context)
        trees = []
        widths: dict[bytes, int] = {}  # by the octets of n_classes, whose dtype and shape are looked at each time
        for n_features, n_classes, n_outputs, max_depth, nodes, values in zip(*columns, strict=True):
            if n_classes.dtype != np.intp or n_classes.shape != (n_outputs,):
                raise InvalidStateError("a tree has a number of classes for each output")
            classes = n_classes.tobytes()
            width = widths.get(classes)
            if width is None:
                width = widths[classes] = _width(n_classes)
            if values.dtype != np.float64 or values.shape != (len(nodes), n_outputs, width):
                raise InvalidStateError("a tree has one value for each node, output and class")
            tree = make(n_features, n_classes, n_outputs)
            tree.__setstate__({"max_depth": max_depth, "node_count": len(nodes), "nodes": nodes, "values": values})
            # The compiled walk trusts the children, which have been checked. It starts counting at 1.
            if len(nodes) >= _LARGE and tree.compute_node_depths().max() != max_depth + 1:
                raise InvalidStateError("the depth of a tree is not what its nodes say")
            trees.append(tree)
        return trees


_FIELDS: dict[str, Any] = {
    "n_features": int,
    "n_classes": np.ndarray,
    "n_outputs": int,
    "max_depth": int,
    "nodes": np.ndarray,
    "values": np.ndarray,
}

#: Trees are checked together up to this many nodes: numpy's cost per call is shared, and the copy stays small.
_NODES_TOGETHER = 20_000
#: The depths of a tree of so many nodes are walked by itself; below, those of many trees are worked out together.
_LARGE = 500


def _width(n_classes: NDArray[Any]) -> int:
    """How many values a node has for each output."""
    if not n_classes.size or n_classes.min() < 1:
        raise InvalidStateError("a tree has outputs, and at least one class for each")
    return int(n_classes.max())


def _check_used_once(all_nodes: list[NDArray[Any]], context: Building) -> None:
    """A tree takes a copy of its nodes: a small file could name large ones for any number of trees."""
    used = context.memo.setdefault("nodes of trees", set())
    before = len(used)
    used.update(map(id, all_nodes))
    if len(used) != before + len(all_nodes):
        raise InvalidStateError("two trees have the same array of nodes")


def _check_nodes(n_features: list[int], max_depth: list[int], nodes: list[NDArray[Any]]) -> None:
    """Check the nodes of trees, many trees at a time."""
    dtype = tree_node_dtype()
    for found in {id(one.dtype): one.dtype for one in nodes}.values():
        if found != dtype:
            fields = ", ".join(found.names or ())
            raise VersionError(f"the nodes of this tree have the fields of another scikit-learn release: {fields}")
    if min(map(len, nodes)) < 1 or min(n_features) < 0 or any(one.ndim != 1 for one in nodes):
        raise InvalidStateError("a tree has at least one node, and no negative number of features")
    start = count = 0
    for stop, one in enumerate(nodes, 1):
        count += len(one)
        if count >= _NODES_TOGETHER or stop == len(nodes):
            _check_trees(n_features[start:stop], max_depth[start:stop], nodes[start:stop])
            start, count = stop, 0


def _check_trees(all_features: list[int], max_depth: list[int], trees: list[NDArray[Any]]) -> None:
    """Raise unless the nodes of each of these are one tree of the depth and the features it claims."""
    dtype = trees[0].dtype
    raw = np.dtype((np.void, dtype.itemsize))  # concatenating structured arrays would pack their dtype anew
    nodes = np.concatenate([one.view(raw) for one in trees]).view(dtype)
    counts = np.array([len(one) for one in trees])
    starts = np.cumsum(counts) - counts
    left, right = nodes["left_child"], nodes["right_child"]
    inner = np.flatnonzero(left != _LEAF)
    above = check_children(inner, left, right, starts, counts)
    if inner.size:
        feature = nodes["feature"][inner]
        n_features = np.repeat(np.array(all_features), counts)[inner]
        if feature.min() < 0 or (feature >= n_features).any():
            raise InvalidStateError("a tree splits on a feature it does not have")
    if counts.min() < _LARGE and (np.maximum.reduceat(depth_of(above), starts) != np.array(max_depth)).any():
        raise InvalidStateError("the depth of a tree is not what its nodes say")


def check_children(
    inner: NDArray[Any], left: NDArray[Any], right: NDArray[Any], starts: NDArray[Any], counts: NDArray[Any]
) -> NDArray[Any]:
    """The parent of each node of several trees laid end to end; a root is its own.

    Raises unless every inner node has two children after it in its own tree, every leaf none, and every node but the
    roots one parent. Then every walk from a root ends, inside the array.

    Parameters
    ----------
    inner : ndarray of shape (n_inner,)
        The nodes with children.
    left, right : ndarray of shape (n_nodes,)
        Children, counted from the start of their tree; -1 in `right` for a leaf.
    starts, counts : ndarray of shape (n_trees,)
        Where each tree starts, and its number of nodes.

    Returns
    -------
    ndarray of shape (n_nodes,)

    Raises
    ------
    InvalidStateError
        If the nodes are anything else.
    """
    total = len(left)
    if 2 * inner.size != total - len(starts) or np.count_nonzero(right != _LEAF) != inner.size:
        raise InvalidStateError("the nodes of a tree do not make one tree")
    above = np.arange(total)
    if not inner.size:
        return above
    tree = np.repeat(np.arange(len(starts)), counts)[inner]
    lefts, rights = left[inner], right[inner]
    if max(lefts.max(), rights.max()) >= total:  # before they are added to, so that nothing overflows
        raise InvalidStateError("a node of a tree has a child that is not there")
    start = starts[tree]
    lefts, rights = lefts + start, rights + start
    if (np.minimum(lefts, rights) <= inner).any() or (np.maximum(lefts, rights) >= (starts + counts)[tree]).any():
        raise InvalidStateError("a node of a tree has a child that is not after it, or not there")
    above[lefts] = inner
    above[rights] = inner
    if np.count_nonzero(above == np.arange(total)) != len(starts):
        raise InvalidStateError("a node of a tree has two parents")
    return above


def depth_of(above: NDArray[Any]) -> NDArray[Any]:
    """The depth of each node, from its parent, by pointer doubling: a pass for each binary digit of the depth."""
    depth: NDArray[Any] = (above != np.arange(len(above))).astype(np.intp)
    while True:
        step = depth[above]
        if not step.any():
            return depth
        depth += step
        above = above[above]


CODECS: dict[str, Codec] = {"sklearn.tree._tree.Tree": _Tree()}
