"""KD trees and ball trees: an implicit balanced tree, whose ranges are known from its size alone."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keepfit.codecs.checks.rules import in_range
from keepfit.codecs.codec import Building, Codec, Reducing, check_fields
from keepfit.codecs.once import once
from keepfit.codecs.sklearn_seam import private_class
from keepfit.errors import InvalidStateError, UnsupportedError
from keepfit.graph import Node

__all__ = ["CODECS"]

_NODE = np.dtype([("idx_start", "<i8"), ("idx_end", "<i8"), ("is_leaf", "<i8"), ("radius", "<f8")])


class _NeighborTree(Codec):
    """``KDTree`` and ``BallTree``.

    Rules: ``sklearn/neighbors/_binary_tree.pxi.tp``, ``_recursive_build``: node ``i`` has the children ``2 i + 1`` and
    ``2 i + 2``, which halve its range of points; so only the order of points, the bounds and the radii are read from a
    file, and only they can be wrong. The counters of calls are left at zero: they say how often a tree was asked, and
    would make the bytes of a model depend on its past.
    """

    def __init__(self, name: str, bounds: int, dtype: type) -> None:
        self._name = name
        self._bounds = bounds
        self._dtype = np.dtype(dtype)

    def reduce(self, obj: Any, context: Reducing) -> Node:
        data, order, nodes, bounds, leaf_size, *_, metric, weights = obj.__getstate__()
        nodes = np.asarray(nodes)
        ranges = _ranges(len(order), int(leaf_size))
        if any((ranges[field] != nodes[field]).any() for field in ("idx_start", "idx_end", "is_leaf")):
            raise UnsupportedError("this neighbour tree is not laid out as scikit-learn builds them")
        state = {
            "data": np.asarray(data),
            "idx_array": np.asarray(order),
            "radius": np.ascontiguousarray(nodes["radius"]),
            "node_bounds": np.asarray(bounds),
            "leaf_size": int(leaf_size),
            "dist_metric": metric,
            "sample_weight": None if weights is None else np.asarray(weights),
        }
        return Node(self._name, state)

    def build(self, node: Node, context: Building) -> Any:
        cls: Any = private_class(self._name)
        state = dict(node.state)
        metric = state.pop("dist_metric", None)
        data, order, radius, bounds, leaf_size, weights = check_fields(
            Node(node.type, state),
            data=np.ndarray, idx_array=np.ndarray, radius=np.ndarray, node_bounds=np.ndarray, leaf_size=int,
            sample_weight=(np.ndarray, type(None)),
        )  # fmt: skip
        if cls is None or not type(metric).__module__ == "sklearn.metrics._dist_metrics":
            raise InvalidStateError("a neighbour tree has a distance metric of scikit-learn's")
        if data.ndim != 2 or data.dtype != self._dtype or not data.flags.c_contiguous or not data.size:
            raise InvalidStateError("a neighbour tree holds rows of floats")
        count, features = data.shape
        if not 1 <= leaf_size < 2**40 or order.dtype != np.intp or order.shape != (count,):
            raise InvalidStateError("a neighbour tree orders all its points, and its leaves hold at least one")
        ranges = _ranges(count, leaf_size)
        if radius.dtype != np.float64 or radius.shape != ranges.shape:
            raise InvalidStateError("a neighbour tree has a radius for each node")
        if bounds.dtype != self._dtype or bounds.shape != (self._bounds, len(ranges), features):
            raise InvalidStateError("a neighbour tree has bounds for each node and feature")
        if weights is not None and (weights.dtype != self._dtype or weights.shape != (count,)):
            raise InvalidStateError("a neighbour tree has a weight for each point")
        once(context, ("permutation", id(order)), lambda: _check_permutation(order))
        metric._validate_data(data)
        # Trees with radii in common have their nodes so too: a small file could name large ones for any number.
        nodes = once(context, ("nodes", id(radius), count, leaf_size), lambda: _with_radii(ranges, radius))
        levels = len(ranges).bit_length()
        tree = cls.__new__(cls)
        tree.__setstate__(
            (
                data,
                order,
                nodes,
                once(context, ("bounds", id(bounds)), lambda: np.ascontiguousarray(bounds)),
                leaf_size,
                levels,
                len(ranges),
                0,
                0,
                0,
                0,
                metric,
                weights,
            )
        )
        return tree


def _with_radii(ranges: NDArray[Any], radius: NDArray[Any]) -> NDArray[Any]:
    nodes = ranges.copy()
    nodes["radius"] = radius
    return nodes


def _check_permutation(order: NDArray[Any]) -> None:
    count = len(order)
    if not in_range(order, count):
        raise InvalidStateError("a neighbour tree points outside its data")
    seen = np.zeros(count, bool)
    seen[order] = True
    if np.count_nonzero(seen) < count:
        raise InvalidStateError("a neighbour tree holds a point twice")


@lru_cache(maxsize=8)
def _ranges(count: int, leaf_size: int) -> NDArray[Any]:
    """The nodes of a tree of `count` points, their radii zero."""
    levels = int(np.log2(max(1, (count - 1) / leaf_size)) + 1)
    nodes = np.zeros(2**levels - 1, _NODE)
    nodes["is_leaf"][2 ** (levels - 1) - 1 :] = 1
    starts, ends = np.array([0]), np.array([count])
    for level in range(levels):
        row = slice(2**level - 1, 2 ** (level + 1) - 1)
        nodes["idx_start"][row], nodes["idx_end"][row] = starts, ends
        if (ends - starts < 2).any():
            nodes["is_leaf"][row] |= ends - starts < 2
        middles = (ends - starts) // 2 + starts
        starts, ends = np.stack([starts, middles], 1).ravel(), np.stack([middles, ends], 1).ravel()
    return nodes


CODECS: dict[str, Codec] = {
    f"sklearn.neighbors.{package}{kind}{bits}": _NeighborTree(f"sklearn.neighbors.{package}{kind}{bits}", bounds, dtype)
    for kind, module, bounds in (("KDTree", "_kd_tree", 2), ("BallTree", "_ball_tree", 1))
    for package, bits, dtype in (
        ("", "", np.float64),
        (f"{module}.", "64", np.float64),
        (f"{module}.", "32", np.float32),
    )
}
