"""The compiled half of decision trees: its nodes are checked to be a tree before they reach it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keepfit.codecs.codec import Building, Codec, Reducing, check_fields, members_of
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
        return self._built([check_fields(node, **_FIELDS)])[0]

    def build_group(self, group: Node, context: Building) -> list[Any]:
        return self._built([check_fields(member, **_FIELDS) for member in members_of(group)])

    def _built(self, rows: list[list[Any]]) -> list[Any]:
        make = tree_class()
        _check_nodes(rows)
        trees = []
        widths: dict[bytes, int] = {}
        for n_features, n_classes, n_outputs, max_depth, nodes, values in rows:
            width = widths.get(n_classes.tobytes())
            if width is None or n_classes.shape != (n_outputs,):
                width = widths[n_classes.tobytes()] = _check_outputs(n_classes, n_outputs)
            if values.dtype != np.float64 or values.shape != (len(nodes), n_outputs, width):
                raise InvalidStateError("a tree has one value for each node, output and class")
            tree = make(n_features, n_classes, n_outputs)
            tree.__setstate__({"max_depth": max_depth, "node_count": len(nodes), "nodes": nodes, "values": values})
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


def _check_outputs(n_classes: NDArray[Any], n_outputs: int) -> int:
    if n_classes.dtype != np.intp or n_classes.shape != (n_outputs,) or n_outputs < 1 or n_classes.min() < 1:
        raise InvalidStateError("a tree has outputs, and at least one class for each")
    return int(n_classes.max())


def _check_nodes(rows: list[list[Any]]) -> None:
    """Check the nodes of trees, many trees at a time."""
    dtype = tree_node_dtype()
    together: list[list[Any]] = []
    count = 0
    for row in rows:
        nodes = row[4]
        if nodes.dtype != dtype:
            raise VersionError(
                "the nodes of this tree have the fields of another scikit-learn release: "
                f"{', '.join(nodes.dtype.names or ())}"
            )
        if nodes.ndim != 1 or not len(nodes) or row[0] < 0:
            raise InvalidStateError("a tree has at least one node, and no negative number of features")
        together.append(row)
        count += len(nodes)
        if count >= _NODES_TOGETHER:
            _check_trees(together)
            together, count = [], 0
    if together:
        _check_trees(together)


def _check_trees(rows: list[list[Any]]) -> None:
    """Raise unless the nodes of each of these are one tree of the depth and the features it claims."""
    dtype = rows[0][4].dtype
    raw = np.dtype((np.void, dtype.itemsize))  # concatenating structured arrays would pack their dtype anew
    nodes = np.concatenate([np.ascontiguousarray(row[4]).view(raw) for row in rows]).view(dtype)
    counts = np.array([len(row[4]) for row in rows])
    starts = np.cumsum(counts) - counts
    left, right = nodes["left_child"], nodes["right_child"]
    inner = np.flatnonzero(left != _LEAF)
    above = check_children(inner, left, right, starts, counts)
    if inner.size:
        feature = nodes["feature"][inner]
        n_features = np.repeat(np.array([row[0] for row in rows]), counts)[inner]
        if feature.min() < 0 or (feature >= n_features).any():
            raise InvalidStateError("a tree splits on a feature it does not have")
    depths = np.maximum.reduceat(depth_of(above), starts)
    if (depths != np.array([row[3] for row in rows])).any():
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
    start = np.repeat(starts, counts)[inner]
    last = np.repeat(starts + counts, counts)[inner]
    if max(left[inner].max(), right[inner].max()) >= total:  # before they are added to, so that nothing overflows
        raise InvalidStateError("a node of a tree has a child that is not there")
    lefts, rights = left[inner] + start, right[inner] + start
    if (lefts <= inner).any() or (rights <= inner).any() or (lefts >= last).any() or (rights >= last).any():
        raise InvalidStateError("a node of a tree has a child that is not after it, or not there")
    above[lefts] = inner
    above[rights] = inner
    if np.count_nonzero(above != np.arange(total)) != total - len(starts):
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
