"""Searches that share work: an estimator, its grid, and the data to search on."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import xgboost
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
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
from sklearn.feature_selection import SelectKBest, SelectPercentile, chi2
from sklearn.linear_model import Ridge, RidgeClassifier
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier

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


def wide() -> tuple[Any, Any]:
    """More columns than rows."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(60, 200))
    return X, X[:, :10].sum(axis=1)


def by_columns() -> tuple[Any, Any]:
    X, y = diabetes()
    return np.asfortranarray(X), y


def single_precision() -> tuple[Any, Any]:
    X, y = diabetes()
    return X.astype(np.float32), y


def steps(*estimators: Any) -> Pipeline:
    """A pipeline whose steps are named a, b, c."""
    return Pipeline([(chr(ord("a") + number), one) for number, one in enumerate(estimators)])


LEAVES = {"max_leaf_nodes": [2, 3, 7, 19, 200, None], "ccp_alpha": [0.0, 0.005, 0.02]}
ALPHAS = {"alpha": [0.01, 1.0, 30.0, 1]}
HELD_BACK = {"alpha": [0.1, 1e-3, 1, 1000.0]}

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
    "tree": (DecisionTreeClassifier(random_state=0, max_features=2), LEAVES, iris),
    "tree, large": (DecisionTreeClassifier(random_state=0), LEAVES, digits),
    "tree, regression": (DecisionTreeRegressor(random_state=0), LEAVES, diabetes),
    "tree, random splits": (ExtraTreeClassifier(random_state=0), LEAVES, digits),
    "gaussian bayes": (GaussianNB(), {"var_smoothing": [1e-9, 1e-3, 0.0001, 1.0]}, iris),
    "multinomial bayes": (MultinomialNB(), ALPHAS, digits),
    "bernoulli bayes": (BernoulliNB(), ALPHAS, digits),
    "complement bayes": (ComplementNB(), ALPHAS, digits),
    "categorical bayes": (CategoricalNB(min_categories=3), ALPHAS, coarse),
    **{
        f"ridge by {solver} on {data.__name__}": (Ridge(solver=solver), HELD_BACK, data)
        for solver in ("auto", "svd", "cholesky")
        for data in (diabetes, two_targets, wide, by_columns, single_precision)
    },
    "ridge without intercept": (Ridge(fit_intercept=False), HELD_BACK, diabetes),
    "ridge classifier": (RidgeClassifier(), HELD_BACK, iris),
    "ridge classifier, two classes": (RidgeClassifier(solver="svd"), HELD_BACK, cancer),
    "scaled, then ridge": (steps(StandardScaler(), Ridge()), {"b__alpha": HELD_BACK["alpha"]}, diabetes),
    "quadratic discriminant": (QuadraticDiscriminantAnalysis(), {"reg_param": [0.1, 0.0, 0.5, 1]}, iris),
    "xgboost": (xgboost.XGBClassifier(random_state=0, verbosity=0), COUNTS, iris),
    "xgboost, sampled": (xgboost.XGBClassifier(random_state=0, verbosity=0, subsample=0.7), COUNTS, cancer),
    "xgboost, two targets": (xgboost.XGBRegressor(random_state=0, verbosity=0), COUNTS, two_targets),
    "lightgbm": (lightgbm.LGBMClassifier(random_state=0, verbose=-1), COUNTS, iris),
    "lightgbm, sampled": (
        lightgbm.LGBMClassifier(random_state=0, verbose=-1, subsample=0.7, subsample_freq=1),
        COUNTS,
        cancer,
    ),
    "lightgbm, regression": (lightgbm.LGBMRegressor(random_state=0, verbose=-1), COUNTS, diabetes),
    "scaled, then components, then vectors": (
        steps(StandardScaler(), PCA(svd_solver="full"), SVC()),
        {"b__n_components": [1, 4, 3], "c__C": [1.0, 10.0], "c__gamma": [0.1, 0.01]},
        iris,
    ),
    "components by covariance, whitened, then vectors": (
        steps(PCA(svd_solver="covariance_eigh", whiten=True), SVC()),
        {"a__n_components": [1, 20, 3], "b__C": [1.0, 10.0]},
        digits,
    ),
    "components, whitened": (
        steps(PCA(svd_solver="full", whiten=True), DecisionTreeClassifier(random_state=0)),
        {"a__n_components": [1, 20, 3], "b__max_leaf_nodes": [3, 9]},
        digits,
    ),
    "components, seeded": (
        steps(PCA(random_state=0), KNeighborsClassifier()),
        {"a__n_components": [1, 3, 2], "b__n_neighbors": [1, 5]},
        iris,
    ),
    "components alone": (PCA(svd_solver="full"), {"n_components": [1, 2, 4]}, iris),
    "selected, then a forest": (
        steps(SelectKBest(), RandomForestClassifier(random_state=0)),
        {"a__k": [1, 3, 2], "b__n_estimators": [3, 1]},
        iris,
    ),
    "selected by share": (
        steps(SelectPercentile(chi2), "passthrough", GaussianNB()),
        {"a__percentile": [10, 60.0], "c__var_smoothing": [1e-9, 1e-2]},
        digits,
    ),
}
