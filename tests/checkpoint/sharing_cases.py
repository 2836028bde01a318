"""Searches that share work: an estimator, its grid, and the data to search on."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

NEIGHBOURS = {"n_neighbors": [1, 2, 3, 5, 8, 13, 30], "weights": ["uniform", "distance"]}
COUNTS = {"n_estimators": [7, 2, 11, 5]}


def iris() -> tuple[Any, Any]:
    """Three classes, and many rows that are equally far."""
    return load_iris(return_X_y=True)


def digits() -> tuple[Any, Any]:
    """Ten classes, whole numbers, ties."""
    X, y = load_digits(return_X_y=True)
    return X[:400], y[:400]


def cancer() -> tuple[Any, Any]:
    X, y = load_breast_cancer(return_X_y=True)
    return X[:250], y[:250]


def diabetes() -> tuple[Any, Any]:
    X, y = load_diabetes(return_X_y=True)
    return X[:250], y[:250]


def twice() -> tuple[Any, Any]:
    """Every row stands there twice, with labels that disagree now and then."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3))
    y = rng.integers(0, 3, size=160)
    return np.vstack([X, X]), y


def coarse() -> tuple[Any, Any]:
    """Few distinct values: nearly everything ties."""
    rng = np.random.default_rng(1)
    return rng.integers(0, 3, size=(200, 4)).astype(float), rng.integers(0, 3, size=200)


def coarse_fractions() -> tuple[Any, Any]:
    """The same with values that are not whole, and many columns."""
    rng = np.random.default_rng(2)
    return rng.integers(0, 3, size=(200, 20)) / 7.0, rng.integers(0, 2, size=200)


def two_targets() -> tuple[Any, Any]:
    X, y = diabetes()
    return X, np.column_stack([y, -y + X[:, 0]])


SEARCHES: dict[str, tuple[Any, dict[str, list[Any]], Any]] = {
    "random forest": (RandomForestClassifier(random_state=0), COUNTS, iris),
    "random forest, pruned": (RandomForestClassifier(random_state=0), {**COUNTS, "ccp_alpha": [0.0, 0.01]}, iris),
    "random forest, sampled": (
        RandomForestClassifier(random_state=3, max_samples=0.6, class_weight="balanced_subsample"),
        COUNTS,
        digits,
    ),
    "random forest, regression": (RandomForestRegressor(random_state=0), COUNTS, diabetes),
    "random forest, two targets": (RandomForestRegressor(random_state=0), COUNTS, two_targets),
    "extra trees": (ExtraTreesClassifier(random_state=0, bootstrap=True), COUNTS, cancer),
    "extra trees, regression": (ExtraTreesRegressor(random_state=0), COUNTS, diabetes),
    "bagging": (BaggingClassifier(random_state=0, max_features=0.5), COUNTS, iris),
    "bagging of neighbours": (BaggingClassifier(KNeighborsClassifier(), random_state=0), COUNTS, iris),
    "bagging, regression": (BaggingRegressor(random_state=0), COUNTS, diabetes),
    "isolation forest": (IsolationForest(random_state=0), COUNTS, iris),
    "adaboost": (AdaBoostClassifier(random_state=0), COUNTS, iris),
    "adaboost, regression": (AdaBoostRegressor(random_state=0), COUNTS, diabetes),
    "gradient boosting": (GradientBoostingClassifier(random_state=0), COUNTS, iris),
    "gradient boosting, sampled": (GradientBoostingClassifier(random_state=0, subsample=0.7), COUNTS, cancer),
    "gradient boosting, regression": (GradientBoostingRegressor(random_state=0, init="zero"), COUNTS, diabetes),
    "histogram boosting": (HistGradientBoostingClassifier(random_state=0), {"max_iter": [3, 1, 6]}, iris),
    "histogram boosting, regression": (HistGradientBoostingRegressor(random_state=0), {"max_iter": [3, 6]}, diabetes),
    **{
        f"neighbours in {data.__name__} by {algorithm}": (KNeighborsClassifier(algorithm=algorithm), NEIGHBOURS, data)
        for data in (iris, digits, twice, coarse, coarse_fractions)
        for algorithm in ("brute", "kd_tree", "auto")
    },
    "neighbours, city blocks": (KNeighborsClassifier(algorithm="brute", p=1), NEIGHBOURS, coarse),
    "neighbours, regression": (KNeighborsRegressor(), NEIGHBOURS, diabetes),
    "neighbours, regression with ties": (KNeighborsRegressor(), NEIGHBOURS, coarse),
    "neighbours, two targets": (KNeighborsRegressor(), NEIGHBOURS, two_targets),
}
