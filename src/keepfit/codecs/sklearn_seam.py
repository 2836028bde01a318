"""Private names of scikit-learn that codecs touch, in one place.

``sklearn.utils._param_validation.make_constraint`` (1.6 to 1.9): turns an entry of ``_parameter_constraints``, the
table that every public estimator carries, into an object that can tell whether a value satisfies it. ``Interval`` and
``_RandomStates`` of the same module are two kinds of them.

``sklearn.cluster._kmeans._kmeans_single_lloyd`` and ``..._elkan`` (1.6 to 1.9): a fitted `BisectingKMeans` holds one of
them. They hand what they are given to compiled code unseen, so no file may name them; which one it is follows from
the parameters.

``sklearn.base.BaseEstimator._get_param_names`` and what ``sklearn.utils.metaestimators._BaseComposition._get_params``
does (1.6 to 1.9): half of the time to keep a small model went into reading signatures.

The compiled classes of trees, losses, metrics and neighbour trees (1.6 to 1.9), which are public only through the
estimators that hold them.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import cache
from importlib import import_module
from typing import Any, cast

import numpy as np

from keepfit.graph import INLINE_TYPES

__all__ = [
    "bisecting_step",
    "broken_constraint",
    "broken_in_column",
    "parameters_of",
    "predictor_record_dtype",
    "private_class",
    "tree_class",
    "tree_node_dtype",
]


@cache
def _constraints(cls: type) -> dict[str, list[Any]]:
    from sklearn.utils._param_validation import make_constraint

    table = getattr(cls, "_parameter_constraints", {})
    return {
        name: [make_constraint(constraint) for constraint in constraints]
        for name, constraints in table.items()
        if constraints != "no_validation"
    }


#: For each class what was found to satisfy the constraints of a parameter, by the parameter's name.
_satisfied: dict[type, dict[str, set[tuple[type, Any]]]] = {}
#: So many values are remembered for each parameter.
_REMEMBERED_MAX = 1000


def broken_constraint(cls: type, state: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first parameter in `state` that scikit-learn's own constraints refuse, and what they ask for instead.

    Notes
    -----
    What a scalar was once found to satisfy is remembered, so that the members of an ensemble cost a look-up each.
    """
    table = _constraints(cls)
    known = _satisfied.get(cls)
    if known is None:
        known = _satisfied[cls] = {name: set() for name in table}
    for name, value in state.items():
        satisfied = known.get(name)
        if satisfied is None:
            continue
        kind = type(value)
        is_plain = kind in INLINE_TYPES
        if is_plain and (kind, value) in satisfied:
            continue
        constraints = table[name]
        if not any(constraint.is_satisfied_by(value) for constraint in constraints):
            return name, " or ".join(str(constraint) for constraint in constraints if not constraint.hidden)
        if is_plain and len(satisfied) < _REMEMBERED_MAX and (kind is not str or len(value) < 100):
            satisfied.add((kind, value))
    return None


def broken_in_column(cls: type, name: str, values: list[Any]) -> bool:
    """Whether scikit-learn's constraints refuse any of these values of a parameter.

    Notes
    -----
    Of whole numbers an interval that holds the smallest and the largest holds all.
    """
    constraints = _constraints(cls).get(name)
    if constraints is None:
        return False
    kinds = set(map(type, values))
    if kinds == {int}:
        ends = (min(values), max(values))
        if any(all(map(interval.is_satisfied_by, ends)) for interval in _intervals(cls, name)):
            return False
    are_plain = len(kinds) == 1 and kinds <= INLINE_TYPES
    distinct = set(values) if are_plain else {id(value): value for value in values}.values()
    return any(broken_constraint(cls, {name: value}) is not None for value in distinct)


@cache
def _intervals(cls: Hashable, name: str) -> list[Any]:
    """Those of the constraints of a parameter that accept all whole numbers between two that they accept."""
    from sklearn.utils._param_validation import Interval, _RandomStates

    assert isinstance(cls, type)
    return [found for found in _constraints(cls).get(name, ()) if isinstance(found, Interval | _RandomStates)]


#: What holds the named estimators that a class's `get_params` tells the parameters of, in the ways of scikit-learn.
_COMPOSED = {
    "ColumnTransformer.get_params": "_transformers",
    "FeatureUnion.get_params": "transformer_list",
    "Pipeline.get_params": "steps",
    "_BaseHeterogeneousEnsemble.get_params": "estimators",
}


def parameters_of(obj: Any) -> dict[str, Any]:
    """What ``obj.get_params(deep=True)`` gives. In scikit-learn's own ways, names are looked up once for a class."""
    base = _base_class()
    cls = type(obj)
    method: Any = cls.get_params
    attribute = ""
    if method is not base.get_params:
        attribute = _COMPOSED.get(method.__qualname__, "") if method.__module__.startswith("sklearn.") else ""
        if not attribute:
            return obj.get_params(deep=True)  # type: ignore[no-any-return]
    found: dict[str, Any] = {}
    for name in _parameter_names(cast(Hashable, cls)):
        value = getattr(obj, name)
        if type(value) not in INLINE_TYPES and hasattr(value, "get_params") and not isinstance(value, type):
            inner = parameters_of(value) if isinstance(value, base) else value.get_params()
            found.update({f"{name}__{key}": one for key, one in inner.items()})
        found[name] = value
    if not attribute:
        return found
    members = getattr(obj, attribute)
    try:
        found.update(members)
    except (TypeError, ValueError):  # no list of pairs
        return found
    for name, member in members:
        if hasattr(member, "get_params"):
            found.update({f"{name}__{key}": one for key, one in parameters_of(member).items()})
    return found


@cache
def _base_class() -> Any:
    from sklearn.base import BaseEstimator

    return BaseEstimator


@cache
def _parameter_names(cls: Hashable) -> list[str]:
    names: list[str] = cls._get_param_names()  # type: ignore[attr-defined]
    return names


def bisecting_step(algorithm: Any, n_clusters: Any) -> Any:
    """What a `BisectingKMeans` of these parameters clusters with: the rule of its `fit`."""
    from sklearn.cluster._kmeans import _kmeans_single_elkan, _kmeans_single_lloyd

    return _kmeans_single_lloyd if algorithm == "lloyd" or n_clusters == 1 else _kmeans_single_elkan


@cache
def tree_class() -> type:
    """``sklearn.tree._tree.Tree``, the compiled half of a decision tree (1.6 to 1.9)."""
    from sklearn.tree._tree import Tree

    return Tree  # type: ignore[no-any-return]


@cache
def tree_node_dtype() -> np.dtype[Any]:
    """The dtype of a tree's nodes; its fields have changed between releases."""
    from sklearn.tree._tree import NODE_DTYPE

    dtype: np.dtype[Any] = np.dtype(NODE_DTYPE)
    return dtype


@cache
def predictor_record_dtype() -> np.dtype[Any]:
    """The dtype of the nodes of histogram boosting (``sklearn.ensemble._hist_gradient_boosting.common``)."""
    from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE

    dtype: np.dtype[Any] = np.dtype(PREDICTOR_RECORD_DTYPE)
    return dtype


@cache
def private_class(name: str) -> type | None:
    """A private class of a closed table (losses, metrics, neighbour trees), by its full name, or None."""
    module, _, last = name.rpartition(".")
    found = getattr(import_module(module), last, None)
    return found if isinstance(found, type) else None
