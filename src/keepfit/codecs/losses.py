"""Compiled loss functions and distance metrics: a class of a closed table and a few numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from keepfit.codecs.codec import Building, Codec, Reducing, check_fields
from keepfit.codecs.once import note_copied
from keepfit.codecs.policy import check_excess
from keepfit.codecs.sklearn_seam import private_class
from keepfit.errors import InvalidStateError
from keepfit.graph import Node

__all__ = ["CODECS"]

_LOSSES = {
    "sklearn._loss._loss": (
        "CyAbsoluteError CyExponentialLoss CyHalfBinomialLoss CyHalfGammaLoss CyHalfMultinomialLoss CyHalfPoissonLoss "
        "CyHalfSquaredError CyHalfTweedieLoss CyHalfTweedieLossIdentity CyHuberLoss CyPinballLoss"
    ),
    "sklearn.linear_model._sgd_fast": (
        "EpsilonInsensitive Hinge Huber Log ModifiedHuber SquaredEpsilonInsensitive SquaredHinge SquaredLoss"
    ),
}

_METRICS = (
    "BrayCurtis Canberra Chebyshev Dice Euclidean Hamming Haversine Jaccard Kulsinski Mahalanobis Manhattan Matching "
    "Minkowski PyFunc RogersTanimoto RussellRao SEuclidean SokalMichener SokalSneath"
)


class _Loss(Codec):
    """A loss that is built from at most one number (a threshold, a quantile, a power)."""

    def __init__(self, name: str) -> None:
        self._name = name

    def reduce(self, obj: Any, context: Reducing) -> Node:
        build, arguments, *_ = obj.__reduce__()
        return Node(self._name, {"number": float(arguments[0])} if build is type(obj) and arguments else {})

    def build(self, node: Node, context: Building) -> Any:
        cls = private_class(self._name)
        if cls is None:
            raise InvalidStateError(f"the running scikit-learn has no {self._name}")
        if not node.state:
            return cls()
        (number,) = check_fields(node, number=float)
        if not math.isfinite(number):
            raise InvalidStateError("the number of a loss is finite")
        return cls(number)


class _Metric(Codec):
    """A distance metric, built by its public arguments so that its buffers are of its own making."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._kind = name.rpartition(".")[2].removesuffix("64").removesuffix("32").removesuffix("Distance")

    def reduce(self, obj: Any, context: Reducing) -> Node:
        p, vec, mat, *function = obj.__reduce__()[2]
        state: dict[str, Any] = {}
        if self._kind == "Minkowski":
            state = {"p": float(p), "w": vec if vec.size else None}
        elif self._kind == "SEuclidean":
            state = {"V": vec}
        elif self._kind == "Mahalanobis":
            state = {"VI": mat}
        elif self._kind == "PyFunc":
            state = {"func": function[0], "kwargs": function[1]}
        return Node(self._name, state)

    def build(self, node: Node, context: Building) -> Any:
        cls: Any = private_class(self._name)
        if cls is None:
            raise InvalidStateError(f"the running scikit-learn has no {self._name}")
        if self._kind == "Minkowski":
            p, w = check_fields(node, p=float, w=(np.ndarray, type(None)))
            return cls(p, w=None if w is None else _numbers(w, 1, context))
        if self._kind == "SEuclidean":
            (variances,) = check_fields(node, V=np.ndarray)
            return cls(V=_numbers(variances, 1, context))
        if self._kind == "Mahalanobis":
            (inverse,) = check_fields(node, VI=np.ndarray)
            return cls(VI=_numbers(inverse, 2, context))
        if self._kind == "PyFunc":
            function, kwargs = node.state.get("func"), node.state.get("kwargs")
            if node.state.keys() != {"func", "kwargs"} or not callable(function) or type(kwargs) is not dict:
                raise InvalidStateError("a metric of a function has the fields func and kwargs")
            check_excess("functools.partial", kwargs)
            return cls(function, **kwargs)
        check_fields(node)
        return cls()


def _numbers(array: Any, dimensions: int, context: Building) -> Any:
    if array.dtype not in (np.float64, np.float32) or array.ndim != dimensions or not array.size:
        raise InvalidStateError("the weights of a metric are floats")
    if dimensions == 2 and array.shape[0] != array.shape[1]:
        raise InvalidStateError("the matrix of a metric is square")
    note_copied([array], context)
    return array


CODECS: dict[str, Codec] = {
    f"{module}.{name}": _Loss(f"{module}.{name}") for module, names in _LOSSES.items() for name in names.split()
} | {
    name: _Metric(name)
    for kind in _METRICS.split()
    for name in (f"sklearn.metrics._dist_metrics.{kind}Distance{bits}" for bits in (32, 64))
}
