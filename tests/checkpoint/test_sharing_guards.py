"""What is not shared, what a shared search survives, and how its times are counted."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
import xgboost
from sharing_cases import digits, iris, steps
from sharing_child import search as slow_search
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.feature_selection import SelectKBest, mutual_info_classif
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, ParameterGrid
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, PowerTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from test_sharing import columns

import keepfit
from keepfit.checkpoint.plan import Planner
from keepfit.checkpoint.sharing import CASES
from keepfit.checkpoint.sharing.forests_seam import Forest
from keepfit.checkpoint.sharing_seam import candidate_of, contents
from keepfit.errors import KeepfitWarning


class MyForest(RandomForestClassifier):
    """May do anything."""


class MyScaler(TransformerMixin, BaseEstimator):
    def fit(self, X: Any, y: Any = None) -> MyScaler:
        return self

    def transform(self, X: Any) -> Any:
        X *= 2
        return X


def double(X: Any) -> Any:
    X *= 2
    return X


@pytest.mark.parametrize(
    ("estimator", "parameters"),
    [
        (KNeighborsClassifier(), {"n_neighbors": np.int64(3), "weights": "distance"}),
        (KNeighborsClassifier(metric=double), {"n_neighbors": 3}),
        (AdaBoostClassifier(DecisionTreeClassifier()), {"estimator__max_depth": 2, "n_estimators": 7}),
        (MyForest(), {"n_estimators": 7}),
        (xgboost.XGBClassifier(), {"n_estimators": 7}),
        (steps(StandardScaler().set_output(transform="pandas"), SVC()), {"b__C": 2.0, "b__gamma": "auto"}),
        (steps(StandardScaler(), SVC()), {"b": Ridge(), "b__alpha": 3.0, "verbose": True}),
        (steps(StandardScaler(), BaggingClassifier(Ridge())), {"b__estimator__alpha": 3.0, "a__with_mean": False}),
        (steps("passthrough", SVC()), {"b__C": 2.0}),
    ],
)
def test_a_candidate_is_what_set_params_makes(estimator: Any, parameters: dict[str, Any]) -> None:
    before = contents(estimator)
    candidate = candidate_of(estimator, parameters)
    assert contents(candidate) == contents(clone(estimator).set_params(**parameters)) != before
    assert contents(estimator) == before
    if isinstance(candidate, Pipeline):
        assert all(one is not other or one == "passthrough" for one, other in zip(candidate, estimator, strict=True))


@pytest.mark.parametrize("name", ["nothing", "b__nothing", "nothing__C", "b__C__nothing"])
def test_there_is_no_candidate_of_a_parameter_that_is_not_there(name: str) -> None:
    assert candidate_of(steps(StandardScaler(), SVC()), {name: 1}) is None
    assert candidate_of(SVC(), {name: 1}) is None


def planned(
    estimator: Any,
    grid: dict[str, list[Any]] | list[dict[str, list[Any]]],
    worker_count: int = 1,
    split_count: int = 2,
    **more: Any,
) -> Any:
    """The plan for some splits of a grid."""
    X, y = iris()
    splits = [(np.arange(100), np.arange(100, 150)), (np.arange(50, 150), np.arange(50))][:split_count]
    common = {"X": X, "y": y, "scorer": get_scorer("accuracy"), **more}
    arguments = [
        {**common, "estimator": estimator, "parameters": parameters, "train": train, "test": test}
        for parameters in ParameterGrid(grid)
        for train, test in splits
    ]
    tasks: list[Any] = [(None, (), one) for one in arguments]
    return Planner(tasks, arguments, worker_count).plan(range(len(tasks)))


COUNTS = {"n_estimators": [2, 3]}
PLAIN: dict[str, tuple[Any, dict[str, list[Any]]]] = {
    "no seed": (RandomForestClassifier(), COUNTS),
    "a generator": (RandomForestClassifier(random_state=np.random.RandomState(0)), COUNTS),
    "warm start": (RandomForestClassifier(random_state=0, warm_start=True), COUNTS),
    "out-of-bag scores": (RandomForestClassifier(random_state=0, oob_score=True), COUNTS),
    "messages": (RandomForestClassifier(random_state=0, verbose=1), COUNTS),
    "a class of one's own": (MyForest(random_state=0), COUNTS),
    "values that fail": (RandomForestClassifier(random_state=0), {"n_estimators": [0, -1]}),
    "another parameter": (RandomForestClassifier(random_state=0), {"min_samples_leaf": [1, 2]}),
    "bagging of a class of one's own": (BaggingClassifier(MyForest(), random_state=0), COUNTS),
    "share of outliers": (IsolationForest(random_state=0, contamination=0.1), COUNTS),
    "adaboost without seed": (AdaBoostClassifier(), COUNTS),
    "early stopping": (GradientBoostingClassifier(random_state=0, n_iter_no_change=2), COUNTS),
    "early stopping by histograms": (
        HistGradientBoostingClassifier(random_state=0, early_stopping=True),
        {"max_iter": [2, 3]},
    ),
    "depth": (DecisionTreeClassifier(random_state=0), {"max_depth": [1, 2]}),
    "precomputed distances": (KNeighborsClassifier(metric="precomputed"), {"n_neighbors": [1, 2]}),
    "weights by a function": (KNeighborsClassifier(weights=double), {"n_neighbors": [1, 2]}),
    "logistic path": (LogisticRegression(), {"C": [1.0, 2.0]}),
    "randomized components": (PCA(svd_solver="randomized", random_state=0), {"n_components": [1, 2]}),
    "components that may draw": (PCA(), {"n_components": [1, 2]}),
    "scaled in place": (steps(StandardScaler(copy=False), SVC()), {"b__C": [1.0, 2.0]}),
    "in place after others": (steps(StandardScaler(), PowerTransformer(copy=False), SVC()), {"c__C": [1.0, 2.0]}),
    "one's own after others": (steps(StandardScaler(), MyScaler(), SVC()), {"c__C": [1.0, 2.0]}),
    "drawn after others": (steps(StandardScaler(), PCA(), SVC()), {"c__C": [1.0, 2.0]}),
    "a step of one's own": (steps(MyScaler(), SVC()), {"b__C": [1.0, 2.0]}),
    "a function of one's own": (steps(FunctionTransformer(double), SVC()), {"b__C": [1.0, 2.0]}),
    "a function that draws": (steps(SelectKBest(mutual_info_classif, k=2), SVC()), {"b__C": [1.0, 2.0]}),
    "a last step that draws": (steps(StandardScaler(), DecisionTreeClassifier()), {"b__max_depth": [1, 2]}),
    "cached steps": (steps(StandardScaler(), SVC()).set_params(memory="nowhere"), {"b__C": [1.0, 2.0]}),
    "steps that tell": (steps(StandardScaler(), SVC()).set_params(verbose=True), {"b__C": [1.0, 2.0]}),
    "ridge by steps": (Ridge(solver="sag", random_state=0), {"alpha": [1.0, 2.0]}),
    "ridge of positive weights": (Ridge(positive=True), {"alpha": [1.0, 2.0]}),
    "weights of classes": (RidgeClassifier(class_weight="balanced"), {"alpha": [1.0, 2.0]}),
    "shrunken discriminant": (QuadraticDiscriminantAnalysis(store_covariance=True), {"reg_param": [0.1, 0.2]}),
    "xgboost that stops early": (xgboost.XGBClassifier(random_state=0, early_stopping_rounds=2, verbosity=0), COUNTS),
    "xgboost that drops trees": (xgboost.XGBClassifier(random_state=0, booster="dart", verbosity=0), COUNTS),
    "lightgbm that stops early": (lightgbm.LGBMClassifier(random_state=0, early_stopping_round=2), COUNTS),
    "lightgbm that drops trees": (lightgbm.LGBMClassifier(random_state=0, boosting_type="dart"), COUNTS),
    "different first steps": (steps(StandardScaler(), SVC()), {"a__with_mean": [True, False]}),
}


@pytest.mark.parametrize("name", PLAIN)
def test_what_could_differ_goes_the_plain_way(name: str) -> None:
    estimator, grid = PLAIN[name]
    if not hasattr(estimator, "predict"):
        estimator = steps(estimator, GaussianNB())
        grid = {f"a__{key}": values for key, values in grid.items()}
    found = planned(estimator, grid)
    assert found.groups == []
    assert found.single == [0, 1, 2, 3]


def test_models_that_are_asked_for_are_fitted_one_by_one() -> None:
    forest = RandomForestClassifier(random_state=0)
    assert len(planned(forest, COUNTS).groups) == 2
    assert planned(forest, COUNTS, return_estimator=True).groups == []


def test_one_case_for_each_class_of_the_table() -> None:
    for name in CASES:
        module, _, kind = name.rpartition(".")
        assert f"{getattr(__import__(module, fromlist=[kind]), kind).__module__}.{kind}" == name


def test_share_false_gives_the_same_under_the_same_identities(store: Path) -> None:
    search = GridSearchCV(RandomForestClassifier(random_state=0), {"n_estimators": [2, 4, 6]}, refit=False)
    with keepfit.checkpoint(store, progress=False, share=False) as plain:
        before = columns(search.fit(*iris()))
    assert plain.searches[0].fit_count == plain.computed == 15
    with keepfit.checkpoint(store, progress=False) as run:
        assert columns(search.fit(*iris())) == before
    assert run.reused == 15
    search.set_params(param_grid={"n_estimators": [2, 4, 6, 8, 9]})
    with keepfit.checkpoint(store, progress=False) as run:
        search.fit(*iris())
    assert (run.reused, run.computed, run.searches[0].fit_count) == (15, 10, 5)


class WrongForest(Forest):
    """Takes the last trees in the place of the first."""

    def give(self, source: Any, target: Any) -> None:
        super().give(source, target)
        target.estimators_ = source.estimators_[-target.n_estimators :]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_case_that_does_not_hold_is_found_out(n_jobs: int, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forest = RandomForestClassifier(random_state=0)
    search = GridSearchCV(forest, {"n_estimators": [5, 9]}, scoring="neg_log_loss", n_jobs=n_jobs, refit=False)
    plain = columns(search.fit(*digits()))
    for name in list(CASES):
        if "Forest" in name:
            monkeypatch.setitem(CASES, name, WrongForest())
    with (
        pytest.warns(KeepfitWarning, match="done the plain way, since a shared fit gave another result"),
        keepfit.checkpoint(store, progress=False) as run,
    ):
        assert columns(search.fit(*digits())) == plain
    assert run.computed == 10
    assert len(run.notes) == 1


def test_of_each_kind_one_must_be_checked_and_not_the_costliest() -> None:
    grid = {"n_estimators": [10, 40, 400], "max_depth": [2, 3]}
    groups = planned(RandomForestClassifier(random_state=0), grid).groups
    checks = [(group.members[position], must) for group in groups for position, must in group.checks.items()]
    needed = [member for member, must in checks if must]
    assert sorted(member.task[2]["parameters"]["max_depth"] for member in needed) == [2, 3]
    assert {member.cost for member in needed} <= {10, 40}
    assert [member.cost for member, must in checks if not must] == [10, 10]


def test_with_two_workers_the_longest_group_comes_first() -> None:
    few, many = {"n_estimators": [8, 9, 10], "max_depth": [3]}, {"n_estimators": [5, 300], "max_depth": [2]}
    groups = planned(RandomForestClassifier(random_state=0), [few, many], 2).groups
    assert [(group.cost, len(group.members)) for group in groups] == [(300, 2), (300, 2), (10, 3), (10, 3)]


def test_a_group_is_split_for_two_workers_where_the_fit_costs_little() -> None:
    neighbours = planned(KNeighborsClassifier(), {"n_neighbors": list(range(1, 101))}, 2, split_count=1).groups
    assert [len(group.members) for group in neighbours] == [20] * 5
    forests = planned(RandomForestClassifier(random_state=0), {"n_estimators": list(range(1, 101))}, 2, split_count=1)
    assert [len(group.members) for group in forests.groups] == [100]  # one fit takes as long as all of them
    vectors = planned(steps(StandardScaler(), SVC()), {"b__C": list(np.logspace(-2, 2, 80))}, 2).groups
    assert [len(group.members) for group in vectors] == [20] * 8


def killed_in_a_group(store: Path, pause_s: float) -> bool:
    """Go on with a search in a process, and kill it some time after it has kept more; False if it ended before."""
    code = f"import sharing_child; sharing_child.run({str(store)!r})"
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    before = kept(store)
    child = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path})
    try:
        while child.poll() is None and kept(store) < before + 5:
            time.sleep(0.02)
        time.sleep(pause_s)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert child.returncode in (0, -signal.SIGKILL)
    assert kept(store) >= before
    return child.returncode != 0


def kept(store: Path) -> int:
    if not store.exists():
        return 0
    try:
        with keepfit.Store(store) as opened:
            return sum(one.computed for one in opened.work.searches())
    except keepfit.KeepfitError:  # being made
        return 0


@pytest.mark.parametrize("kills", [2, pytest.param(50, marks=pytest.mark.long)])
def test_killed_in_a_group_a_search_goes_on(kills: int, tmp_path: Path) -> None:
    search, rng = slow_search(), random.Random(kills)
    plain = columns(search.fit(*load_iris(return_X_y=True)))
    done = rounds = 0
    while done < kills:
        store = tmp_path / f"{rounds}.db"
        rounds += 1
        while done < kills and killed_in_a_group(store, rng.uniform(0, 0.4)):
            done += 1
        before = kept(store)
        with warnings.catch_warnings(), keepfit.checkpoint(store, progress=False) as run:
            warnings.resetwarnings()  # as in the process that was killed: a filter that raises is part of an identity
            warnings.simplefilter("ignore")
            assert columns(search.fit(*load_iris(return_X_y=True))) == plain
        assert run.notes == []
        assert (run.reused, run.computed) == (before, 90 - before)
        assert run.searches[0].fit_count is None or run.searches[0].fit_count <= 3


def test_shared_time_is_counted_once(store: Path) -> None:
    search = GridSearchCV(RandomForestClassifier(random_state=0), {"n_estimators": [40, 20, 60]}, cv=3, refit=False)
    start_s = time.perf_counter()
    with keepfit.checkpoint(store, progress=False):
        search.fit(*iris())
    took_s = time.perf_counter() - start_s
    times = 3 * (search.cv_results_["mean_fit_time"] + search.cv_results_["mean_score_time"])
    assert times.min() > 0
    assert times.sum() < took_s


def test_a_fit_that_fails_tells_what_it_tells_alone(store: Path) -> None:
    X, y = iris()
    X = X.copy()
    X[0, 0] = np.inf
    search = GridSearchCV(RandomForestClassifier(random_state=0), COUNTS, cv=3, refit=False)
    with warnings.catch_warnings(record=True) as alone:
        warnings.simplefilter("always")
        plain = columns(search.fit(X, y))
    with warnings.catch_warnings(record=True) as inside, keepfit.checkpoint(store, progress=False) as run:
        warnings.simplefilter("always")
        assert columns(search.fit(X, y)) == plain
    assert sorted(str(one.message) for one in inside) == sorted(str(one.message) for one in alone)
    assert run.failed == 6  # in the third split the row that fails is a test row
