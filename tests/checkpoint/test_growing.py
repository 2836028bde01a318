"""Trees that are grown without a forest's care for each are the forest's, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse
from joblib import parallel_config
from sharing_cases import cancer, diabetes, iris, two_targets
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor

from keepfit.checkpoint.sharing.growing_seam import growing

CLASSIFIERS, REGRESSORS = (RandomForestClassifier, ExtraTreesClassifier), (RandomForestRegressor, ExtraTreesRegressor)
PARAMETERS: list[dict[str, Any]] = [
    {},
    {"bootstrap": True, "max_samples": 0.4},
    {"bootstrap": False, "max_features": 0.7},
    {"max_depth": 3, "max_features": None},
    {"max_leaf_nodes": 7, "min_impurity_decrease": 0.001},
    {"min_samples_leaf": np.int64(4), "min_samples_split": 0.2},
    {"min_samples_leaf": 0.05, "min_samples_split": 3},
    {"min_weight_fraction_leaf": 0.1, "max_features": "log2"},
    {"ccp_alpha": 0.01, "n_jobs": 2},
]


def texts() -> tuple[Any, Any]:
    X, y = iris()
    return X, np.asarray(["setosa", "versicolor", "virginica"])[y]


def pairs() -> tuple[Any, Any]:
    X, y = iris()
    return X, np.column_stack([y, y % 2 + 5])


def sparse() -> tuple[Any, Any]:
    X, y = cancer()
    return scipy.sparse.csc_matrix(np.where(X > 1, X, 0)), y


def missing() -> tuple[Any, Any]:
    X, y = iris()
    return np.where(np.arange(X.size).reshape(X.shape) % 7, X, np.nan), y


def state(tree: Any) -> dict[str, Any]:
    """All of a fitted tree, as bytes where it is arrays."""
    inner = tree.tree_.__getstate__()
    found = {name: value for name, value in vars(tree).items() if name != "tree_"} | inner
    found |= {name: inner["nodes"][name].tobytes() for name in inner["nodes"].dtype.names}
    del found["nodes"]
    return {name: value.tobytes() if isinstance(value, np.ndarray) else repr(value) for name, value in found.items()}


def assert_grown_as_alone(forest: Any, X: Any, y: Any, weights: Any = None, *, quickly: bool = True) -> None:
    alone, here = clone(forest).fit(X, y, weights), clone(forest)
    with growing(here) as trees:
        here.fit(X, y, weights)
    assert trees.is_quick == quickly
    assert list(map(state, here.estimators_)) == list(map(state, alone.estimators_))
    assert vars(here).keys() == vars(alone).keys()


def test_trees_that_joblib_fits_in_other_processes_are_equal_to_the_bit() -> None:
    forest = RandomForestClassifier(4, random_state=0)
    with parallel_config("loky", n_jobs=2):
        assert_grown_as_alone(forest, *iris(), quickly=False)


@pytest.mark.parametrize("parameters", PARAMETERS, ids=repr)
@pytest.mark.parametrize("kind", CLASSIFIERS + REGRESSORS)
def test_trees_are_equal_to_the_bit(kind: Any, parameters: dict[str, Any]) -> None:
    forest = kind(6, random_state=0, **parameters)
    for X, y in (iris(), pairs()) if kind in CLASSIFIERS else (diabetes(), two_targets()):
        assert_grown_as_alone(forest, X, y)
        assert_grown_as_alone(forest, X, y, np.linspace(0, 1, len(y)))


@pytest.mark.parametrize("data", [texts, sparse, missing])
@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize("weight", [None, "balanced", "balanced_subsample"])
def test_trees_on_other_forms_of_data_are_equal_to_the_bit(data: Any, kind: Any, weight: str | None) -> None:
    forest = kind(6, random_state=3, class_weight=weight, criterion="entropy", bootstrap=True)
    assert_grown_as_alone(forest, *data())


@pytest.mark.parametrize("criterion", ["absolute_error", "poisson"])
def test_trees_by_other_criteria_are_equal_to_the_bit(criterion: str) -> None:
    assert_grown_as_alone(RandomForestRegressor(5, random_state=0, criterion=criterion), *diabetes())


def test_constrained_trees_are_grown_by_themselves() -> None:
    X, y = diabetes()
    forest = RandomForestRegressor(5, random_state=0, monotonic_cst=[1] + [0] * (X.shape[1] - 1))
    assert_grown_as_alone(forest, X, y, quickly=False)
