"""Shared work gives what scikit-learn gives, to the bit."""

from __future__ import annotations

import contextlib
import zlib
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import xgboost
from sharing_cases import SEARCHES, cancer, iris, steps
from sklearn.base import BaseEstimator, TransformerMixin, is_classifier, is_outlier_detector
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import Ridge
from sklearn.metrics import make_scorer, matthews_corrcoef
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeRegressor

import keepfit


def columns(search: Any) -> dict[str, bytes]:
    """The columns of cv_results_ but the times, as bytes."""
    found = {}
    for name, values in search.cv_results_.items():
        if "_time" not in name:
            values = np.asarray(values)
            found[name] = repr(values.tolist()).encode() if values.dtype.hasobject else values.tobytes()
    return found


def assert_shared_equals_plain(search: GridSearchCV, data: Any, store: Path, **fit_params: Any) -> keepfit.Run:
    plain = columns(search.fit(*data, **fit_params))
    with keepfit.checkpoint(store, progress=False) as run:
        search.fit(*data, **fit_params)
    assert columns(search) == plain
    assert run.notes == []
    return run


def score_outliers(estimator: Any, X: Any, y: Any = None) -> float:
    return float(estimator.score_samples(X).sum())


def scorers_for(estimator: Any) -> list[Any]:
    if is_outlier_detector(estimator):
        return [score_outliers]
    if not hasattr(estimator, "predict"):
        return [None]
    if is_classifier(estimator):
        loss = "neg_log_loss" if hasattr(estimator, "predict_proba") else "f1_macro"
        return [None, {"loss": loss, "mcc": make_scorer(matthews_corrcoef)}]
    return [None, ["neg_mean_absolute_error", "r2"]]


#: Of lightgbm the first is always run: the time is that library's. Of neighbours, brute force and trees are always run
#: on whole numbers and on fractions, with ties; `auto`, which is one of them, is run where there are many columns.
LONG = (
    "lightgbm, sampled",
    "lightgbm, regression",
    "neighbours in iris by kd_tree",
    "neighbours in iris by auto",
    "neighbours in digits by auto",
    "neighbours in digits by brute",
    "neighbours in twice by auto",
    "neighbours in twice by kd_tree",
    "neighbours in coarse by auto",
    "neighbours in coarse_fractions by brute",
)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long if name in LONG else ()) for name in SEARCHES]
)
def test_scores_are_equal_to_the_bit(name: str, tmp_path: Path) -> None:
    estimator, grid, data = SEARCHES[name]
    for number, scoring in enumerate(scorers_for(estimator)):
        search = GridSearchCV(
            estimator, grid, cv=3, scoring=scoring, refit=False, return_train_score=True, error_score="raise"
        )
        run = assert_shared_equals_plain(search, data(), tmp_path / f"{number}.db")
        assert (run.searches[0].fit_count < run.computed) == ("vectors" not in name)


@pytest.mark.parametrize(
    "model", [lightgbm.LGBMClassifier(verbose=-1, random_state=0), xgboost.XGBClassifier(random_state=0, verbosity=0)]
)
def test_boosted_rounds_are_ranked_as_alone(model: Any, tmp_path: Path) -> None:
    search = GridSearchCV(model, {"n_estimators": [1, 2, 3]}, cv=2, scoring="roc_auc", refit=False)
    assert_shared_equals_plain(search, cancer(), tmp_path / "state.db")


class Warped(TransformerMixin, BaseEstimator):
    """A transformer that works in place on what it gets."""

    def fit(self, X: Any, y: Any = None) -> Warped:
        return self

    def transform(self, X: Any) -> Any:
        X += np.sin(3 * X)
        return X


def test_a_step_that_works_in_place_harms_no_other_candidate(tmp_path: Path) -> None:
    pipeline = steps(StandardScaler(), Warped(), KNeighborsClassifier())
    search = GridSearchCV(pipeline, {"c__n_neighbors": [1, 2, 3, 4]}, cv=2, refit=False)
    assert_shared_equals_plain(search, iris(), tmp_path / "state.db")


def test_what_comes_after_a_search_draws_what_it_draws_outside(tmp_path: Path) -> None:
    search = GridSearchCV(steps(StandardScaler(), SVC()), {"b__C": [1.0, 2.0, 3.0]}, cv=3)  # a fit of SVC draws a seed
    drawn = []
    for block in (contextlib.nullcontext(), keepfit.checkpoint(tmp_path / "state.db", progress=False)):
        np.random.seed(0)
        with block:
            search.fit(*iris())
            drawn.append(np.random.random())
    assert drawn[0] == drawn[1]


def clipped_error(true: Any, predicted: Any) -> float:
    """A metric that works in place on what it gets, such as people write for logarithms."""
    for values in (true, predicted):
        values[values < 100] = values[values < 100] / 2 + 50
    return float(np.abs(np.log(true) - np.log(predicted)).mean())


@pytest.mark.parametrize("train_score", [False, True])
@pytest.mark.parametrize(
    ("model", "grid"),
    [
        (KNeighborsRegressor(), {"n_neighbors": [1, 2, 3, 4, 5]}),
        (DecisionTreeRegressor(random_state=0), {"max_leaf_nodes": [3, 4, 5]}),
        (Ridge(fit_intercept=False, solver="cholesky"), {"alpha": [1.0, 2.0, 3.0]}),
    ],
)
def test_a_metric_that_works_in_place_harms_no_other_candidate(
    model: Any, grid: Any, train_score: bool, tmp_path: Path
) -> None:
    scoring = {"own": make_scorer(clipped_error), "r2": "r2"}
    search = GridSearchCV(model, grid, cv=2, scoring=scoring, refit=False, return_train_score=train_score)
    assert_shared_equals_plain(search, wide_and_positive(), tmp_path / "state.db")


def wide_and_positive() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 30)) + 5, rng.uniform(20, 300, size=40)


def score_by_names(estimator: Any, X: Any, y: Any) -> float:
    """A scorer that sees everything there is on an estimator."""
    return float(zlib.crc32(repr(sorted(vars(estimator))).encode()) + estimator.predict_proba(X)[0, 0])


def test_a_callable_scorer_sees_a_stock_estimator(tmp_path: Path) -> None:
    for number, name in enumerate(("random forest", "gradient boosting", "neighbours in iris by brute")):
        estimator, grid, data = SEARCHES[name]
        search = GridSearchCV(estimator, grid, scoring=score_by_names, refit=False)
        run = assert_shared_equals_plain(search, data(), tmp_path / f"{number}.db")
        assert run.searches[0].fit_count == 5


def test_weights_of_rows_are_used(tmp_path: Path) -> None:
    X, y = iris()
    search = GridSearchCV(RandomForestClassifier(random_state=0), {"n_estimators": [2, 4, 6]}, refit=False)
    run = assert_shared_equals_plain(search, (X, y), tmp_path / "s.db", sample_weight=np.linspace(0, 1, len(y)))
    assert run.searches[0].fit_count == 5


@pytest.mark.parametrize("form", [scipy.sparse.csr_matrix, pd.DataFrame, np.asfortranarray, lambda X: X.astype("f4")])
def test_forms_of_data(form: Any, tmp_path: Path) -> None:
    X, y = iris()
    for number, name in enumerate(("random forest", "gradient boosting", "neighbours in iris by brute")):
        estimator, grid, _ = SEARCHES[name]
        search = GridSearchCV(estimator, grid, cv=3, refit=False, return_train_score=True)
        run = assert_shared_equals_plain(search, (form(X), y), tmp_path / f"{number}.db")
        assert run.searches[0].fit_count == 3


def test_groups_are_what_workers_get(tmp_path: Path) -> None:
    for number, name in enumerate(("random forest", "neighbours in iris by brute")):
        estimator, grid, data = SEARCHES[name]
        search = GridSearchCV(estimator, grid, cv=3, n_jobs=2, refit=False)
        run = assert_shared_equals_plain(search, data(), tmp_path / f"{number}.db")
        assert run.searches[0].fit_count == 3
