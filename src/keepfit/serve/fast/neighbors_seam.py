"""Nearest neighbours, by scikit-learn's own compiled search.

Private names used, in scikit-learn 1.6 to 1.9: ``sklearn.metrics._pairwise_distances_reduction.ArgKmin`` and
``ArgKminClassMode`` with their ``compute`` and ``is_usable_for``;
``sklearn.neighbors._classification._adjusted_metric``; of the estimators ``_fit_method``, ``_fit_X``, ``_tree`` and
``_y``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from keepfit.serve.fast.nearest import nearest_to_one
from keepfit.serve.fast.step import Array, Step, width_of

__all__ = ["classifier", "regressor"]


def classifier(model: Any, method: str) -> Step | None:
    """`KNeighborsClassifier` of one target with uniform weights.

    The compiled search refuses rows of another dtype than that of the fitted ones; then there is no fast way for it.
    """
    width = width_of(model)
    if width is None or model.weights != "uniform" or model.outputs_2d_ or method not in ("predict", "predict_proba"):
        return None
    classes, labels = model.classes_, model._y
    in_one = _votes_in_one(model)
    if in_one is not None:
        if method == "predict_proba":
            return Step(in_one, width)
        return Step(lambda X: classes[np.argmax(in_one(X), axis=1)], width)
    find = _search(model)
    if find is None:
        return None

    def votes(X: Array) -> Array:
        if len(X) == 1:
            return np.bincount(labels[find(X)[0]], minlength=len(classes)).astype(np.float64).reshape(1, -1)
        counted = np.zeros((len(X), len(classes)))
        rows = np.arange(len(X))
        for column in labels[find(X)].T:
            counted[rows, column] += 1.0
        return counted

    def probabilities(X: Array) -> Array:
        counted = votes(X)
        counted /= counted.sum(axis=1)[:, np.newaxis]
        return counted

    return Step(probabilities if method == "predict_proba" else lambda X: classes[votes(X).argmax(axis=1)], width)


def regressor(model: Any, method: str) -> Step | None:
    """`KNeighborsRegressor` with uniform weights."""
    width = width_of(model)
    if width is None or model.weights != "uniform" or method != "predict":
        return None
    find = _search(model)
    if find is None:
        return None
    targets, is_flat = (model._y.reshape(-1, 1), True) if model._y.ndim == 1 else (model._y, False)

    def run(X: Array) -> Array:
        found: Array = np.mean(targets[find(X)], axis=1)
        return found.ravel() if is_flat else found

    return Step(run, width)


def _votes_in_one(model: Any) -> Callable[[Array], Array] | None:
    """The search that counts the votes itself, where the method uses it."""
    from sklearn.metrics._pairwise_distances_reduction import ArgKminClassMode
    from sklearn.neighbors._classification import _adjusted_metric

    fitted, k, labels = model._fit_X, model.n_neighbors, model._y
    if model._fit_method != "brute" or not isinstance(fitted, np.ndarray):
        return None
    metric, options = _adjusted_metric(metric=model.metric, metric_kwargs=model.metric_params, p=model.p)
    query = np.zeros((1, fitted.shape[1]), dtype=fitted.dtype)
    if not (
        ArgKminClassMode.is_usable_for(query, fitted, model.metric)
        and ArgKminClassMode.is_usable_for(query, fitted, metric)
    ):
        return None
    places = np.arange(len(model.classes_), dtype=np.intp)

    def run(X: Array) -> Array:
        found: Array = ArgKminClassMode.compute(
            np.ascontiguousarray(X),
            fitted,
            k=k,
            weights="uniform",
            Y_labels=labels,
            unique_Y_labels=places,
            metric=metric,
            metric_kwargs=options,
            strategy="parallel_on_X",
        )
        return found

    return run


def _search(model: Any) -> Callable[[Array], Array] | None:
    """From rows to the places of their nearest neighbours."""
    from sklearn.metrics._pairwise_distances_reduction import ArgKmin

    fitted, k = model._fit_X, model.n_neighbors
    if not isinstance(fitted, np.ndarray):
        return None
    if model._fit_method in ("ball_tree", "kd_tree"):
        query = model._tree.query
        return lambda X: query(X, k, False)
    metric, options = model.effective_metric_, model.effective_metric_params_
    example = np.zeros((1, fitted.shape[1]), dtype=fitted.dtype)
    if model._fit_method != "brute" or not ArgKmin.is_usable_for(example, fitted, metric):
        return None

    def search(X: Array) -> Array:
        found: Array = ArgKmin.compute(
            X=np.ascontiguousarray(X),
            Y=fitted,
            k=k,
            metric=metric,
            metric_kwargs=options,
            strategy="auto",
            return_distance=False,
        )
        return found

    if metric not in ("euclidean", "sqeuclidean") or fitted.dtype != np.float64 or k >= len(fitted):
        return search
    find = nearest_to_one(fitted, k)

    def run(X: Array) -> Array:
        found = find(X) if len(X) == 1 and X.dtype == fitted.dtype else None
        return search(X) if found is None else found

    return run
