"""Of which models it is certain that they give one row for each sample they are given, and columns for their classes.

Compiled gradient boosting writes into what its ``init_`` predicts, so a row less there is a write past the end. The
attributes of an estimator decide what shape it gives (a hostile intercept turns a row into a matrix), so only
estimators whose attributes fix it are let through: the ones below, on the rules that their own checks hold.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from keepfit.codecs.checks.rules import is_integer, named
from keepfit.codecs.codec import class_name

__all__ = ["has_a_row_for_each"]

_LINEAR_REGRESSORS = frozenset(
    named(
        "linear_model",
        "ARDRegression BayesianRidge ElasticNet ElasticNetCV GammaRegressor HuberRegressor Lars LarsCV Lasso LassoCV "
        "LassoLars LassoLarsCV LassoLarsIC LinearRegression OrthogonalMatchingPursuit OrthogonalMatchingPursuitCV "
        "PassiveAggressiveRegressor PoissonRegressor QuantileRegressor Ridge RidgeCV SGDRegressor TheilSenRegressor "
        "TweedieRegressor",
    )
    + named("svm", "LinearSVR")
)
#: Ensembles and others whose checks fix their shape by ``n_outputs_``.
_OF_OUTPUTS = frozenset(
    named("dummy", "DummyClassifier DummyRegressor")
    + named("tree", "DecisionTreeClassifier DecisionTreeRegressor ExtraTreeClassifier ExtraTreeRegressor")
    + named("ensemble", "RandomForestClassifier RandomForestRegressor ExtraTreesClassifier ExtraTreesRegressor")
)
#: What always gives one number for a row, or a column for each class.
_SINGLE = frozenset(
    named("ensemble", "GradientBoostingClassifier GradientBoostingRegressor")
    + named("ensemble", "HistGradientBoostingClassifier HistGradientBoostingRegressor")
    + named("svm", "SVC NuSVC SVR NuSVR")
)
_NEIGHBORS = frozenset(named("neighbors", "KNeighborsClassifier KNeighborsRegressor"))
_LOGISTIC = frozenset(named("linear_model", "LogisticRegression LogisticRegressionCV"))
#: Transformers that work on each row by itself, in place. So does a PCA (`_keeps_rows`).
_TRANSFORMERS = frozenset(
    named("preprocessing", "MaxAbsScaler MinMaxScaler Normalizer PolynomialFeatures RobustScaler StandardScaler")
    + named("impute", "SimpleImputer")
)


def has_a_row_for_each(estimator: Any, features: int, classes: int) -> bool:
    """Whether ``predict`` (``predict_proba`` where there are `classes`) is certain to give a row for each of X.

    Parameters
    ----------
    estimator : object
        Built and checked, unless it is part of a cycle; then the answer is no.
    features : int
        How many features it is given.
    classes : int
        How many columns ``predict_proba`` must have; 0 for a regressor, which must give one number for each row.
    """
    name = class_name(type(estimator))
    state = getattr(estimator, "__dict__", {})
    if name == "sklearn.pipeline.Pipeline":
        return _pipeline_has(state, classes)
    if classes and len(np.atleast_1d(state.get("classes_", ()))) != classes:
        return False
    if name in _LINEAR_REGRESSORS:
        coef, intercept = state.get("coef_"), state.get("intercept_")
        return not classes and type(coef) is np.ndarray and coef.ndim == 1 and _is_one_number(intercept)
    if name in _LOGISTIC:
        coef, intercept = state.get("coef_"), state.get("intercept_")
        return (
            classes > 1
            and type(coef) is type(intercept) is np.ndarray
            and coef.ndim == 2
            and len(coef) == (classes if classes > 2 else 1)
            and intercept.shape == (len(coef),)
        )
    if name == "sklearn.naive_bayes.GaussianNB":
        shapes = [getattr(state.get(part), "shape", None) for part in ("theta_", "var_", "class_prior_")]
        return (
            classes > 1 and shapes[0] == shapes[1] == (classes, state.get("n_features_in_")) and shapes[2] == (classes,)
        )
    if name in _NEIGHBORS:
        return getattr(state.get("_y"), "ndim", 0) == 1
    if name in _OF_OUTPUTS:
        return is_integer(state.get("n_outputs_")) and state["n_outputs_"] == 1 and _has_classes(state, classes)
    return name in _SINGLE and bool(state)


def _has_classes(state: dict[str, Any], classes: int) -> bool:
    """Whether each tree of a classifier gives a column for each class."""
    if not classes:
        return True
    members = state.get("estimators_") or [state["tree_"]] if "tree_" in state else state.get("estimators_", ())
    trees = [getattr(member, "tree_", member) for member in members]
    return all(getattr(tree, "max_n_classes", classes) == classes for tree in trees)


def _is_one_number(value: Any) -> bool:
    if type(value) is np.ndarray:
        return value.dtype.kind == "f" and value.shape in ((), (1,))
    return isinstance(value, (int, float, np.floating))


def _pipeline_has(state: dict[str, Any], classes: int) -> bool:
    steps = state.get("steps")
    if type(steps) is not list or not steps or not all(type(step) is tuple and len(step) == 2 for step in steps):
        return False
    *transformers, (_, last) = steps
    if not all(_keeps_rows(step) for _, step in transformers):
        return False
    return class_name(type(last)) != "sklearn.pipeline.Pipeline" and has_a_row_for_each(last, 0, classes)


def _keeps_rows(step: Any) -> bool:
    """Whether a step before the last gives a row for each that it is given."""
    name = class_name(type(step))
    if name == "sklearn.decomposition.PCA":  # a product with a matrix; with more than two dimensions, of other rows
        return all(getattr(getattr(step, part, None), "ndim", 0) == n for part, n in (("components_", 2), ("mean_", 1)))
    return name in _TRANSFORMERS or step in (None, "passthrough")
