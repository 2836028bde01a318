"""Whether records are nodes of trees, as compiled code takes on trust that they are.

A small compiled module says so in one pass over the records. Where it has not been built, and to say what is wrong
with records that it refuses, NumPy goes over them a dozen times.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keepfit.errors import InvalidStateError, VersionError

try:
    from keepfit.codecs import _tree_kernel as kernel
except ImportError:  # there was no C compiler where keepfit was installed, or it runs from a source tree
    kernel = None  # type: ignore[assignment]

#: Of the source beside this. A module that was compiled from another one, and was left there, may take other arguments.
_KERNEL_VERSION = 2
if getattr(kernel, "VERSION", 0) != _KERNEL_VERSION:
    kernel = None  # type: ignore[assignment]

__all__ = ["NodeFields", "bunches", "check_kinds", "check_nodes", "joined", "kernel"]

_LEAF = -1  # sklearn.tree._tree.TREE_LEAF

#: NumPy goes over trees together up to this many nodes: its cost per call is shared, and all stays in a processor's
#: cache.
_NODES_TOGETHER = 8_000


class NodeFields(NamedTuple):
    """The names of the fields of a node.

    Attributes
    ----------
    left, right, feature : str
    is_leaf : str
        Empty where there is none: then the children of a leaf are both -1.
    mark : str
        A field that only some trees have set in an inner node; empty where there is none.
    """

    left: str
    right: str
    feature: str
    is_leaf: str = ""
    mark: str = ""


def check_kinds(arrays: Iterable[NDArray[Any]], dtype: np.dtype[Any]) -> None:
    """Refuse nodes that are not the records of the running scikit-learn.

    Raises
    ------
    VersionError
    """
    for found in {id(one.dtype): one.dtype for one in arrays}.values():
        if found != dtype:
            fields = ", ".join(found.names or ())
            raise VersionError(f"the nodes of this tree have the fields of another scikit-learn release: {fields}")


def check_nodes(
    nodes: NDArray[Any], lengths: list[int], n_features: NDArray[np.int64], fields: NodeFields
) -> tuple[NDArray[np.int64], bool]:
    """Check the nodes of trees, and give the depths of these.

    Every inner node has two children, after it in its own tree, and splits on a feature that is there; every node but
    the root has one parent. So every walk from a root ends, inside the array.

    Parameters
    ----------
    nodes : ndarray of shape (n_nodes,), C-contiguous
        Records: those of the first tree, then those of the next.
    lengths : list of int
        How many there are of each tree: at least one, and `n_nodes` together.
    n_features : ndarray of shape (n_trees,), of int64
    fields : NodeFields

    Returns
    -------
    depths : ndarray of shape (n_trees,)
        That of a tree which is one leaf is 0.
    is_marked : bool
        Whether the mark is set in any inner node.

    Raises
    ------
    InvalidStateError
        If the nodes are anything else.

    Notes
    -----
    Cost is linear in the number of nodes; without the compiled module, times the logarithm of the largest depth.
    """
    counts = np.array(lengths, np.int64)
    if not lengths:
        return counts, False
    layout = _layout(nodes.dtype, fields) if kernel is not None else None
    if layout is None:
        return _checked_in_bunches(nodes, counts, n_features, fields)
    depths = np.empty(len(lengths), np.int64)
    found = kernel.check(nodes, counts, n_features, depths, *layout)
    if not found:
        _checked_in_bunches(nodes, counts, n_features, fields)  # says what is wrong
        raise InvalidStateError("the nodes of a tree do not make one tree")
    return depths, found == 2


@cache
def _layout(dtype: np.dtype[Any], fields: NodeFields) -> tuple[int, ...] | None:
    """The size of a record and where its fields are, as the compiled check takes them; None if it does not."""
    child = np.uint32 if fields.is_leaf else np.int64
    kinds = NodeFields(*map(np.dtype, (child, child, np.int64, np.uint8, np.uint8)))  # type: ignore[arg-type]
    if any(name and dtype[name] != kind for name, kind in zip(fields, kinds, strict=True)):
        return None
    places = {name: place for name, (_, place, *_) in (dtype.fields or {}).items()}
    return dtype.itemsize, *(places.get(name, -1) for name in fields)


def bunches(lengths: list[int], most: int = _NODES_TOGETHER) -> Iterator[tuple[int, int]]:
    """The numbers of the first of some trees, and of the one after them, that have at most so many nodes together."""
    ends = np.cumsum(lengths)
    first = start = 0
    while first < len(lengths):
        last = max(int(np.searchsorted(ends, start + most, "right")), first + 1)
        yield first, last
        first, start = last, int(ends[last - 1])


def joined(trees: list[NDArray[Any]]) -> NDArray[Any]:
    """Nodes end to end. They go as octets: NumPy would take records field by field, and pack their dtype anew."""
    if len(trees) == 1 and trees[0].flags.c_contiguous:
        return trees[0]
    whole: list[Any] = [tree if tree.flags.c_contiguous else np.ascontiguousarray(tree) for tree in trees]
    return np.frombuffer(bytearray().join(whole), trees[0].dtype)


def _checked_in_bunches(
    nodes: NDArray[Any], counts: NDArray[np.int64], n_features: NDArray[np.int64], fields: NodeFields
) -> tuple[NDArray[np.int64], bool]:
    """What `check_nodes` does, by NumPy alone."""
    starts = [0, *np.cumsum(counts).tolist()]
    found = [
        _checked_in_passes(nodes[starts[first] : starts[last]], counts[first:last], n_features[first:last], fields)
        for first, last in bunches(counts.tolist())
    ]
    return np.concatenate([depths for depths, _ in found]), any(is_marked for _, is_marked in found)


def _checked_in_passes(
    nodes: NDArray[Any], counts: NDArray[np.int64], n_features: NDArray[np.int64], fields: NodeFields
) -> tuple[NDArray[np.int64], bool]:
    """Trees that are laid end to end."""
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
    is_marked = bool(fields.mark) and bool(nodes[fields.mark][inner].any())
    return _depths(inner, children, counts), is_marked


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
