"""Nearest neighbours: what is searched, by which metric, and the labels that neighbours are looked up in."""

from __future__ import annotations

from typing import Any

import numpy as np

from keepfit.codecs.checks.rules import Check, Dims, State, in_range, is_a, refuse
from keepfit.codecs.codec import class_name

__all__ = ["CHECKS"]

_TREES = (
    "sklearn.neighbors.KDTree", "sklearn.neighbors.BallTree", "sklearn.neighbors._kd_tree.KDTree64",
    "sklearn.neighbors._ball_tree.BallTree64", "sklearn.neighbors._kd_tree.KDTree32",
    "sklearn.neighbors._ball_tree.BallTree32",
)  # fmt: skip

_SEARCHED = f"""
    _fit_X!                   n[N,F] | csr[N,F]
    _fit_method!              str
    _tree!                    none | {" | ".join(_TREES)}
    n_samples_fit_!           =N
    n_features_in_            =F
    effective_metric_!        any
    effective_metric_params_! dict
"""
_OUTLIERS = """
    n_neighbors_               1..
    _lrd                       f[N]
    _distances_fit_X_          f[N,_]
    negative_outlier_factor_   f[N]
"""
_LABELLED = """
    _y!           i8[N] | i8[N,K]
    classes_!     a[C] | list(a[_])*K
    outputs_2d_!  bool
"""
_VALUED = """
    _y!   n[N] | n[N,_]
"""
_TRANSFORMER = """
    _n_features_out  =N
"""
#: Arguments that a metric known by name may be given. Others reach compiled code past its checks (norms of rows), or
#: allocate and start threads as they please (``out``, ``n_jobs``).
_ARGUMENTS = frozenset({"V", "VI", "copy", "missing_values", "p", "squared", "w"})
#: More neighbours than any search is for; compiled code sets places for them aside before it looks how many there are.
_NEIGHBORS_MAX = 100_000


def check_metric(metric: Any, given: Any, features: int) -> None:
    """Raise `InvalidStateError` unless these are arguments for a metric that it takes on rows of so many features."""
    if given is None or not isinstance(metric, str):
        return  # a function takes what it takes
    if type(given) is not dict or not given.keys() <= _ARGUMENTS:
        refuse(f"the metric {metric[:40]!r} takes no arguments but {', '.join(sorted(_ARGUMENTS))}")
    for name, shape in (("V", (features,)), ("VI", (features, features)), ("w", (features,))):
        value = given.get(name)
        if value is not None and (np.shape(value) != shape or np.asarray(value).dtype.kind not in "fiu"):
            refuse(f"the argument {name!r} of a metric has the shape {shape}")


def _check_search(state: State, dims: Dims) -> None:
    metric, effective, method = state.get("metric"), state["effective_metric_"], state["_fit_method"]
    if not dims["N"]:
        refuse("there is something to search for neighbours")
    # The shape of X is not looked at where distances are precomputed, and is where they are not.
    if _is(metric, "precomputed") != _is(effective, "precomputed"):
        refuse("distances are precomputed, or they are not")
    if _is(metric, "precomputed"):
        if dims["N"] != dims["F"]:
            refuse("precomputed distances are between all pairs")
    elif method == "brute" and "n_features_in_" not in state:
        refuse("a search for neighbours knows its number of features")
    check_metric(effective, state["effective_metric_params_"], dims["F"])
    check_metric(metric, state.get("metric_params"), dims["F"])
    tree = state["_tree"]
    if (tree is None) != (method == "brute") or (tree is not None and _shape_of(tree) != (dims["N"], dims["F"])):
        refuse("a search for neighbours has a tree of its points, or none where it goes through all of them")
    asked = state.get("n_neighbors")
    if isinstance(asked, (int, np.integer)) and asked > max(dims["N"], _NEIGHBORS_MAX):
        refuse(f"a search for {asked:,} neighbours among {dims['N']:,} points")


def _shape_of(tree: Any) -> tuple[int, ...]:
    """Of the points of a tree. They are a memoryview of Cython's: an array of it would take ten times as long."""
    shape: tuple[int, ...] = tree.data.shape
    return shape


def _is(metric: Any, name: str) -> bool:
    return isinstance(metric, str) and metric == name


def _check_labels(state: State, dims: Dims) -> None:
    labels, classes = state["_y"], state["classes_"]
    if state["outputs_2d_"] is not (type(classes) is list):
        refuse("a classifier of several outputs has classes for each")
    columns = labels.T if labels.ndim == 2 else [labels]
    every = classes if type(classes) is list else [classes]
    if len(columns) != len(every) or not all(map(in_range, columns, map(len, every))):
        refuse("a label of a classifier is one of its classes")
    if state["outputs_2d_"] is False and labels.ndim != 1:
        refuse("a classifier of one output has one label for each point")


def _check_density(state: State, dims: Dims) -> None:
    if not is_a(state["tree_"], *_TREES) or _shape_of(state["tree_"])[1] != dims["F"]:
        refuse("a kernel density has a tree of its points")


def _check_part(attribute: str) -> Any:
    def check(state: State, dims: Dims) -> None:
        part = state.get(attribute)
        if part is not None and class_name(type(part)) != "sklearn.neighbors.NearestNeighbors":
            refuse(f"{attribute} is a search for neighbours")

    return check


_PLACES = {
    "sklearn.neighbors.NearestNeighbors": ("", ()),
    "sklearn.neighbors.LocalOutlierFactor": (_OUTLIERS, ()),
    "sklearn.neighbors.KNeighborsTransformer": (_TRANSFORMER, ()),
    "sklearn.neighbors.RadiusNeighborsTransformer": (_TRANSFORMER, ()),
    "sklearn.neighbors.KNeighborsRegressor": (_VALUED, ()),
    "sklearn.neighbors.RadiusNeighborsRegressor": (_VALUED, ()),
    "sklearn.neighbors.KNeighborsClassifier": (_LABELLED, (_check_labels,)),
    "sklearn.neighbors.RadiusNeighborsClassifier": (_LABELLED, (_check_labels,)),
}
_DENSITY = """
    tree_!           any
    n_features_in_!  =F
    bandwidth_       float
"""

CHECKS = {
    **{name: Check(name, _SEARCHED + more, _check_search, *extra) for name, (more, extra) in _PLACES.items()},
    "sklearn.neighbors.KernelDensity": Check("sklearn.neighbors.KernelDensity", _DENSITY, _check_density),
    "sklearn.manifold.Isomap": Check(
        "sklearn.manifold.Isomap",
        """
        nbrs_!           sklearn.neighbors.NearestNeighbors
        embedding_       f[N,K]
        _n_features_out  =K
        dist_matrix_     f[N,N]
        n_features_in_   =F
        """,
    ),
    "sklearn.manifold.LocallyLinearEmbedding": Check(
        "sklearn.manifold.LocallyLinearEmbedding", "nbrs_!  sklearn.neighbors.NearestNeighbors"
    ),
    **{
        f"sklearn.semi_supervised.{name}": Check(f"sklearn.semi_supervised.{name}", "X_! any", _check_part("nn_fit"))
        for name in ("LabelPropagation", "LabelSpreading")
    },
}
