"""Transformers: scalers, imputers, projections, selections."""

from __future__ import annotations

from typing import Any

import numpy as np

from keepfit.serve.fast.step import Array, Step, formula_or_none, width_of
from keepfit.serve.formulas import Formula, Operation

__all__ = ["imputer", "max_abs", "min_max", "normalizer", "projection", "robust", "selection", "standard"]


def standard(model: Any, method: str) -> Step | None:
    """`StandardScaler`."""
    centre, scale = model.mean_ if model.with_mean else None, model.scale_ if model.with_std else None
    return _scaled(model, method, centre, scale, in_dtype_of_rows=True)


def robust(model: Any, method: str) -> Step | None:
    """`RobustScaler`."""
    return _scaled(
        model,
        method,
        model.center_ if model.with_centering else None,
        model.scale_ if model.with_scaling else None,
    )


def max_abs(model: Any, method: str) -> Step | None:
    """`MaxAbsScaler`."""
    return None if getattr(model, "clip", False) else _scaled(model, method, None, model.scale_)


def min_max(model: Any, method: str) -> Step | None:
    """`MinMaxScaler`."""
    width = width_of(model)
    if method != "transform" or width is None or not model.copy:
        return None
    scale, shift, clip, (low, high) = model.scale_, model.min_, model.clip, model.feature_range

    def run(X: Array) -> Any:
        X = X.copy()
        X *= scale
        X += shift
        if clip:
            np.clip(X, low, high, out=X)
        return X

    def formula() -> Formula | None:
        return None if clip else _formula(width, multiply=scale, add=shift)

    return Step(run, width, accepts="missing", formula=formula_or_none(formula))


def normalizer(model: Any, method: str) -> Step | None:
    """`Normalizer` to unit length, of rows that have a length."""
    width = width_of(model)
    if method != "transform" or width is None or model.norm != "l2" or not model.copy:
        return None

    def run(X: Array) -> Any:
        lengths = np.sqrt(np.einsum("ij,ij->i", X, X))
        if lengths.min() < 10 * np.finfo(lengths.dtype).eps:  # what counts as none is scikit-learn's to say
            return None
        return X / lengths[:, np.newaxis]

    return Step(run, width)


def imputer(model: Any, method: str) -> Step | None:
    """`SimpleImputer` of numbers, where each column has a value to fill in."""
    width = width_of(model)
    statistics = model.statistics_
    if method != "transform" or width is None or model.add_indicator or not model.copy:
        return None
    if statistics.dtype != np.float64 or np.isnan(statistics).any() or not _is_nan(model.missing_values):
        return None

    def run(X: Array) -> Any:
        X = X.copy()
        missing = np.isnan(X)
        if missing.any():
            rows, columns = missing.nonzero()
            X[rows, columns] = statistics[columns]
        return X

    return Step(run, width, accepts="missing")


def projection(model: Any, method: str) -> Step | None:
    """`PCA` and `IncrementalPCA` (centred) and `TruncatedSVD` (as it is)."""
    width = width_of(model)
    if method != "transform" or width is None or getattr(model, "whiten", False):
        return None
    axes = model.components_.T
    mean = getattr(model, "mean_", None)
    centre = None if mean is None else mean.reshape(1, -1) @ axes

    def run(X: Array) -> Any:
        found = X @ axes
        if centre is not None:
            found -= centre
        return found

    return Step(run, width, formula=formula_or_none(lambda: _formula(width, matmul=axes, subtract=centre)))


def selection(model: Any, method: str) -> Step | None:
    """Transformers that keep some of the columns (`SelectorMixin`)."""
    width = width_of(model)
    if method != "transform" or width is None:
        return None
    chosen = model.get_support()
    return Step(lambda X: X[:, chosen], width) if chosen.any() else None


def _scaled(
    model: Any, method: str, centre: Array | None, scale: Array | None, *, in_dtype_of_rows: bool = False
) -> Step | None:
    width = width_of(model)
    if method != "transform" or width is None or not model.copy:
        return None

    def run(X: Array) -> Any:
        X = X.copy()
        if centre is not None:
            X -= centre.astype(X.dtype, copy=False) if in_dtype_of_rows else centre
        if scale is not None:
            X /= scale.astype(X.dtype, copy=False) if in_dtype_of_rows else scale
        return X

    formula = formula_or_none(lambda: _formula(width, subtract=centre, divide=scale))
    return Step(run, width, accepts="missing", formula=formula)


def _formula(width: int, **numbers: Array | None) -> Formula:
    operations = [Operation.of(name, array) for name, array in numbers.items() if array is not None]
    return Formula("transform", width, tuple(operations))


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and value != value
