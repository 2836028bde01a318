"""The compiled half of decision trees: its nodes are checked to be a tree before they reach it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keepfit.codecs.codec import Building, Codec, Reducing, check_fields
from keepfit.codecs.sklearn_seam import tree_class, tree_node_dtype
from keepfit.errors import InvalidStateError, VersionError
from keepfit.graph import Node

__all__ = ["CODECS", "check_children", "depth_of"]

_LEAF = -1  # sklearn.tree._tree.TREE_LEAF


class _Tree(Codec):
    """``sklearn.tree._tree.Tree``. Rules: ``Tree.__setstate__`` and what its methods index without looking."""

    def reduce(self, obj: Any, context: Reducing) -> Node:
        _, (n_features, n_classes, n_outputs), state = obj.__reduce__()
        dtype = state["nodes"].dtype
        nodes = state["nodes"].view(context.shared.setdefault(("tree nodes", dtype), dtype))
        return Node(
            "sklearn.tree._tree.Tree",
            {
                "n_features": n_features,
                "n_classes": n_classes,
                "n_outputs": n_outputs,
                "max_depth": state["max_depth"],
                "nodes": nodes,
                "values": state["values"],
            },
        )

    def build(self, node: Node, context: Building) -> Any:
        n_features, n_classes, n_outputs, max_depth, nodes, values = check_fields(
            node, n_features=int, n_classes=np.ndarray, n_outputs=int, max_depth=int, nodes=np.ndarray, values=np.ndarray
        )
        if nodes.dtype != tree_node_dtype():
            raise VersionError(
                "the nodes of this tree have the fields of another scikit-learn release: "
                f"{', '.join(nodes.dtype.names or ())}"
            )
        count = len(nodes)
        if nodes.ndim != 1 or count < 1 or n_classes.dtype != np.intp or n_classes.shape != (n_outputs,):
            raise InvalidStateError("a tree has at least one node, and a number of classes for each output")
        if n_features < 0 or n_outputs < 1 or n_classes.min() < 1:
            raise InvalidStateError("a tree's numbers of outputs and classes are at least 1")
        if values.dtype != np.float64 or values.shape != (count, n_outputs, n_classes.max()):
            raise InvalidStateError("a tree has one value for each node, output and class")
        left, right = nodes["left_child"], nodes["right_child"]
        inner = np.flatnonzero(left != _LEAF)
        check_children(inner, left, right, count)
        if inner.size:
            feature = nodes["feature"][inner]
            if feature.min() < 0 or feature.max() >= n_features:
                raise InvalidStateError("a tree splits on a feature it does not have")
        if depth_of(inner, left, right, count) != max_depth:
            raise InvalidStateError("the depth of a tree is not what its nodes say")
        tree = tree_class()(n_features, n_classes, n_outputs)
        tree.__setstate__({"max_depth": max_depth, "node_count": count, "nodes": nodes, "values": values})
        return tree


def check_children(inner: NDArray[Any], left: NDArray[Any], right: NDArray[Any], count: int) -> None:
    """Raise unless every inner node has two children after it, and every node but the first has one parent.

    A leaf has -1 for both. Then every walk from the root ends, inside the array.
    """
    lefts, rights = left[inner], right[inner]
    if 2 * inner.size + 1 != count or np.count_nonzero(right != _LEAF) != inner.size:
        raise InvalidStateError("the nodes of a tree do not make one tree")
    if not inner.size:
        return
    if (lefts <= inner).any() or (rights <= inner).any() or lefts.max() >= count or rights.max() >= count:
        raise InvalidStateError("a node of a tree has a child that is not after it, or not there")
    seen = np.zeros(count, bool)
    seen[lefts] = True
    seen[rights] = True
    if np.count_nonzero(seen) != count - 1:
        raise InvalidStateError("a node of a tree has two parents")


def depth_of(inner: NDArray[Any], left: NDArray[Any], right: NDArray[Any], count: int) -> int:
    """The depth of a checked tree, by pointer doubling: as many passes as the depth has binary digits."""
    above = np.zeros(count, np.intp)
    above[left[inner]] = inner
    above[right[inner]] = inner
    depth = np.ones(count, np.intp)
    depth[0] = 0
    while above.any():
        depth += depth[above]
        above = above[above]
    return int(depth.max())


CODECS: dict[str, Codec] = {"sklearn.tree._tree.Tree": _Tree()}
