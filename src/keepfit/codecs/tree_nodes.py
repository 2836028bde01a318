"""Whether records are nodes of trees, as compiled code takes on trust that they are.

A small compiled module says so in one pass over the records. Where it has not been built, and to say what is wrong
with records that it refuses, NumPy goes over them a dozen times.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keepfit.errors import InvalidStateError

try:
    from keepfit.codecs import _tree_kernel as kernel
except ImportError:  # there was no C compiler where keepfit was installed, or it runs from a source tree
    kernel = None  # type: ignore[assignment]

__all__ = ["NodeFields", "check_nodes", "kernel"]

_LEAF = -1  # sklearn.tree._tree.TREE_LEAF


class NodeFields(NamedTuple):
    """The names of the fields of a node.

    Attributes
    ----------
    left, right, feature : str
    is_leaf : str
        Empty where there is none: then the children of a leaf are both -1.
    """

    left: str
    right: str
    feature: str
    is_leaf: str = ""


def check_nodes(
    nodes: NDArray[Any], counts: NDArray[np.int64], n_features: NDArray[np.int64], fields: NodeFields
) -> NDArray[np.int64]:
    """Check several trees that are laid end to end, and give their depths.

    Every inner node has two children, after it in its own tree, and splits on a feature that is there; every node but
    the roots has one parent. So every walk from a root ends, inside the array.

    Parameters
    ----------
    nodes : ndarray of shape (n_nodes,)
        Records in the byte order of this machine. Children are counted from the root of their tree.
    counts : ndarray of shape (n_trees,), of int64
        The number of nodes of each tree, at least 1; together `n_nodes`.
    n_features : ndarray of shape (n_trees,), of int64
    fields : NodeFields

    Returns
    -------
    depths : ndarray of shape (n_trees,)
        That of a tree which is one leaf is 0.

    Raises
    ------
    InvalidStateError
        If the nodes are anything else.

    Notes
    -----
    Cost is linear in the number of nodes; without the compiled module, times the logarithm of the largest depth.
    """
    layout = _layout(nodes.dtype, fields) if kernel is not None else None
    if layout is None:
        return _checked_in_passes(nodes, counts, n_features, fields)
    depths = np.empty(len(counts), np.int64)
    if not kernel.check(np.ascontiguousarray(nodes), counts, n_features, depths, *layout):
        _checked_in_passes(nodes, counts, n_features, fields)  # says what is wrong
        raise InvalidStateError("the nodes of a tree do not make one tree")
    return depths


@cache
def _layout(dtype: np.dtype[Any], fields: NodeFields) -> tuple[int, int, int, int, int] | None:
    """The size of a record and where its fields are, as the compiled check takes them; None if it does not."""
    child = np.uint32 if fields.is_leaf else np.int64
    kinds = {fields.left: child, fields.right: child, fields.feature: np.int64}
    if any(dtype[name] != kind for name, kind in kinds.items()) or (fields.is_leaf and dtype[fields.is_leaf] != "u1"):
        return None
    places = {name: place for name, (_, place, *_) in (dtype.fields or {}).items()}
    return (
        dtype.itemsize,
        places[fields.left],
        places[fields.right],
        places[fields.feature],
        places.get(fields.is_leaf, -1),
    )


def _checked_in_passes(
    nodes: NDArray[Any], counts: NDArray[np.int64], n_features: NDArray[np.int64], fields: NodeFields
) -> NDArray[np.int64]:
    """What `check_nodes` does, by NumPy alone."""
    left, right = nodes[fields.left], nodes[fields.right]
    if fields.is_leaf:
        inner = np.flatnonzero(nodes[fields.is_leaf] == 0)
    else:
        inner = np.flatnonzero(left != _LEAF)
        if np.count_nonzero(right != _LEAF) != inner.size:
            raise InvalidStateError("a node of a tree has one child")
    children = _children(inner, left[inner], right[inner], counts)
    feature = nodes[fields.feature][inner]
    if inner.size and (feature.min() < 0 or (feature >= np.repeat(n_features, counts)[inner]).any()):
        raise InvalidStateError("a tree splits on a feature it does not have")
    return _depths(inner, children, counts)


def _children(
    inner: NDArray[Any], left: NDArray[Any], right: NDArray[Any], counts: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The places of the children of each inner node, counted from the start of the first tree."""
    stops = counts.cumsum()
    n_nodes = int(stops[-1])
    if 2 * inner.size != n_nodes - len(counts):
        raise InvalidStateError("the nodes of a tree do not make one tree")
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
    inner: NDArray[Any], children: tuple[NDArray[Any], NDArray[Any]], counts: NDArray[Any]
) -> NDArray[np.int64]:
    """The depth of each tree, by pointer doubling over its inner nodes."""
    own = np.arange(inner.size)
    parents = np.full(int(counts.sum()), -1)
    for places in children:
        parents[places] = own
    above = parents[inner]
    above = np.where(above < 0, own, above)
    depth = (above != own).astype(np.int64)
    while not np.array_equal(further := above[above], above):
        depth += depth[above]
        above = further
    depths = np.zeros(len(counts), np.int64)
    if inner.size:
        firsts = np.searchsorted(inner, counts.cumsum() - counts)
        has_any = counts > 1
        depths[has_any] = np.maximum.reduceat(depth, firsts[has_any]) + 1
    return depths
