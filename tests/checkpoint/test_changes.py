"""What is computed again after a change, and what the user is told."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    ShuffleSplit,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from user_code import StopsAbove, half_right

import keepfit
from keepfit.checkpoint import Run

TREE = DecisionTreeClassifier(random_state=0)


def scored(store: Path, estimator, X, y, **more) -> Run:
    """The run of a cross-validation."""
    with keepfit.checkpoint(store, progress=False) as run:
        cross_val_score(estimator, X, y, **{"cv": KFold(3), **more})
    return run


def test_the_same_again_is_all_reused(store, iris) -> None:
    assert scored(store, TREE, *iris).reused == 0
    again = scored(store, TREE, *(part.copy() for part in iris))
    assert (again.reused, again.notes) == (3, [])


CHANGES = {
    "the data": lambda X, y: {"X": X + 1e-9},
    "the target": lambda X, y: {"y": y[::-1]},
    "the splits": lambda X, y: {"cv": KFold(3, shuffle=True, random_state=0)},
    "the scorer": lambda X, y: {"scoring": "f1_macro"},
    "the estimator's parameters or code": lambda X, y: {"estimator": DecisionTreeClassifier(random_state=1)},
    "the fit or score parameters": lambda X, y: {"params": {"sample_weight": np.ones(len(y))}},
    "the options": lambda X, y: {"error_score": "raise"},
}


@pytest.mark.parametrize("part", CHANGES)
def test_a_change_is_computed_and_told(part, store, iris) -> None:
    X, y = iris
    scored(store, TREE, X, y)
    changed = {"estimator": TREE, "X": X, "y": y, **CHANGES[part](X, y)}
    run = scored(store, **changed)
    assert (run.reused, run.computed) == (0, 3)
    (note,) = run.notes
    assert f"a similar search is kept: {part}" in note
    assert scored(store, **changed).reused == 3


def test_splits_without_a_seed_are_told_with_what_to_do(store, iris) -> None:
    for _ in range(2):
        run = scored(store, TREE, *iris, cv=ShuffleSplit(3))
    assert run.reused == 0
    assert "the splits differ; give your splitter" in run.notes[0]
    assert "random_state" in run.notes[0]


def test_a_halving_search_that_was_stopped_between_rungs_is_told_nothing(store, iris, monkeypatch) -> None:
    search = HalvingGridSearchCV(StopsAbove(random_state=0), {"max_depth": [1, 2, 3, 4]}, cv=3, random_state=0)
    monkeypatch.setenv("STOP_ABOVE", "40")
    with pytest.raises(KeyboardInterrupt), keepfit.checkpoint(store, progress=False):
        search.fit(*iris)
    monkeypatch.delenv("STOP_ABOVE")
    with keepfit.checkpoint(store, progress=False) as run:
        search.fit(*iris)
    assert [(one.reused > 0, one.computed > 0) for one in run.searches] == [(True, False), (False, True)]
    assert run.notes == []


def test_settings_of_scikit_learn_are_told(store, iris) -> None:
    scored(store, TREE, *iris)
    with config_context(assume_finite=True):
        run = scored(store, TREE, *iris)
    assert run.reused == 0
    assert "scikit-learn's settings" in run.notes[0]
    with config_context(display="text"):
        assert scored(store, TREE, *iris).reused == 3


def test_how_numpy_takes_errors_is_part_of_it(store, iris) -> None:
    def dividing(estimator, X, y):
        try:
            return float(np.float64(1) / np.float64(0) > 0)
        except FloatingPointError:
            return 0.5

    scores = []
    for divide in ("ignore", "raise"):
        with np.errstate(divide=divide), keepfit.checkpoint(store, progress=False) as run:
            scores.extend(cross_val_score(TREE, *iris, cv=KFold(2), scoring=dividing))
    assert scores == [1, 1, 0.5, 0.5]
    assert "scikit-learn's settings or NumPy's" in run.notes[0]


def test_another_release_of_a_library_is_told_with_both_numbers(store, iris, monkeypatch) -> None:
    scored(store, TREE, *iris)
    monkeypatch.setattr("sklearn.__version__", "99.0")
    run = scored(store, TREE, *iris)
    assert run.reused == 0
    assert "the libraries" in run.notes[0]
    assert "sklearn 99.0" in run.notes[0]


def test_another_number_of_threads_is_told_with_what_to_do(store, iris) -> None:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        scored(store, TREE, *iris)
    with threadpool_limits(2):
        run = scored(store, TREE, *iris)
    assert run.reused == 0
    assert "the number of threads differs (blas=1 openmp=1 -> blas=2 openmp=2); set OMP_NUM_THREADS" in run.notes[0]


def test_another_search_is_no_reason_to_say_anything(store, iris) -> None:
    X, y = iris
    scored(store, TREE, X, y)
    assert scored(store, SVC(), X, y).notes == []
    assert scored(store, DecisionTreeClassifier(max_depth=2), X[:100] * 2, y[:100]).notes == []
    with keepfit.checkpoint(store, progress=False) as run:
        GridSearchCV(SVC(), {"C": [1, 2]}, cv=3).fit(X, y)
        GridSearchCV(SVC(), {"C": [3, 4]}, cv=3).fit(X, y)
    assert all("candidates" not in note for note in run.notes)
    assert len(run.notes) <= 1


FORMS = {
    "array": lambda X: X,
    "fortran": np.asfortranarray,
    "float32": lambda X: X.astype("f4"),
    "list": lambda X: X.tolist(),
    "csr": sp.csr_matrix,
    "csc": sp.csc_array,
    "pandas": lambda X: pd.DataFrame(X, columns=list("abcd")),
    "mixed pandas": lambda X: pd.DataFrame(X, columns=list("abcd")).assign(e=1),
    "polars": lambda X: pl.DataFrame(X, schema=list("abcd")),
}


def test_data_are_known_by_content_in_every_form(store, iris, tmp_path) -> None:
    X, y = iris
    for make in FORMS.values():
        assert scored(store, TREE, make(X), y).reused == 0
    for make in FORMS.values():
        assert scored(store, TREE, make(X.copy()), y).reused == 3
    np.save(tmp_path / "X.npy", X)
    assert scored(store, TREE, np.load(tmp_path / "X.npy", mmap_mode="r"), y).reused == 3
    for name, make in FORMS.items():
        changed = X.copy()
        changed[77, 2] += 0.5
        assert scored(store, TREE, make(changed), y).reused == 0, name


def test_data_changed_in_place_between_two_searches_are_seen(store, iris) -> None:
    X, y = iris[0].copy(), iris[1]
    with keepfit.checkpoint(store, progress=False) as run:
        cross_val_score(TREE, X, y)
        X[0, 0] += 1
        cross_val_score(TREE, X, y)
        X[0, 0] -= 1
    assert run.reused == 0


def test_a_random_state_object_counts_by_its_state(store, iris) -> None:
    def tree(seed: int) -> DecisionTreeClassifier:
        return DecisionTreeClassifier(max_features=1, random_state=np.random.RandomState(seed))

    scored(store, tree(0), *iris)
    assert scored(store, tree(1), *iris).reused == 0
    assert scored(store, tree(0), *iris).reused == 3


# Code of the user's own

MODULE = """
from sklearn.base import BaseEstimator, TransformerMixin
from own_constants import FACTOR

def scale(X):
    return X * FACTOR

class Scaling(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return scale(X)
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """Writes own modules and loads them anew."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(text: str, factor: int = 2):
        (tmp_path / "own_scaling.py").write_text(text)
        (tmp_path / "own_constants.py").write_text(f"FACTOR = {factor}")
        for name in ("own_scaling", "own_constants"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        sys.dont_write_bytecode = True
        return importlib.import_module("own_scaling")

    yield write
    for name in ("own_scaling", "own_constants"):
        sys.modules.pop(name, None)


def test_an_edited_transformer_is_run_again(store, iris, own_module) -> None:
    def run(text: str, factor: int = 2) -> int:
        return scored(store, make_pipeline(own_module(text, factor).Scaling(), TREE), *iris).reused

    assert run(MODULE) == 0
    assert run(MODULE) == 3
    assert run(MODULE.replace("\ndef scale", "\n# what it does\n\ndef scale")) == 3
    assert run(MODULE.replace("X * FACTOR", "X + FACTOR")) == 0
    assert run(MODULE, factor=3) == 0
    assert run(MODULE.replace("return scale(X)", "return scale(scale(X))")) == 0
    assert run(MODULE) == 3


def test_functions_in_parameters_count_by_their_code(store, iris) -> None:
    def search(*functions) -> Run:
        pipe = make_pipeline(FunctionTransformer(), TREE)
        with keepfit.checkpoint(store, progress=False) as run:
            GridSearchCV(pipe, {"functiontransformer__func": functions}, cv=2).fit(*iris)
        return run

    assert search(np.log1p, lambda X: X + 1).computed == 4
    assert search(np.log1p, lambda X: X + 1).reused == 4
    assert search(np.log1p, lambda X: X + 2).reused == 2


def test_what_has_no_identity_is_computed_each_time_and_said_once(store, iris, tmp_path) -> None:
    with open(tmp_path / "log.txt", "w") as log:

        class Logging(BaseEstimator):
            def __init__(self, log=None):
                self.log = log

            def __deepcopy__(self, memo):
                return self

            def __sklearn_clone__(self):
                return self

            def fit(self, X, y):
                return self

            def score(self, X, y):
                return 1.0

        for _ in range(2):
            with keepfit.checkpoint(store, progress=False) as run:
                cross_val_score(Logging(log), *iris)
                cross_val_score(Logging(log), *iris)
            assert (run.reused, run.computed) == (0, 10)
            (note,) = run.notes
            assert "computed, not reused" in note


def test_a_scorer_that_counts_its_calls_is_called(store, iris) -> None:
    calls = []

    def counting(estimator, X, y):
        calls.append(len(X))
        return half_right(estimator, X, y)

    for _ in range(2):
        scored(store, TREE, *iris, scoring=counting)
    assert len(calls) == 6


def test_a_result_that_was_damaged_is_computed_again(store, iris) -> None:
    import sqlite3

    before = scored(store, TREE, *iris)
    connection = sqlite3.connect(store)
    with connection:
        connection.execute("UPDATE keepfit_task SET payload = substr(payload, 1, 100) WHERE split = 1")
    connection.close()
    run = scored(store, TREE, *iris)
    assert before.computed == 3
    assert (run.reused, run.computed) == (2, 1)
    assert "cannot be read" in run.notes[0]


def test_cross_validate_options_that_change_what_is_returned_are_other_tasks(store, iris) -> None:
    with keepfit.checkpoint(store, progress=False) as run:
        for options in ({}, {"return_train_score": True}, {"return_estimator": True}):
            cross_validate(TREE, *iris, **options)
            cross_validate(TREE, *iris, **options)
    assert [search.reused for search in run.searches] == [0, 5, 0, 5, 0, 5]


def test_callbacks_of_scikit_learn_see_every_fit(store, iris) -> None:
    callback = pytest.importorskip("sklearn.callback")
    search = GridSearchCV(TREE, {"max_depth": [1, 2]}, cv=2)
    search.set_callbacks(callback.ScoringMonitor(scoring="accuracy"))
    for _ in range(2):
        with keepfit.checkpoint(store, progress=False) as run:
            search.fit(*iris)
        assert run.computed == 4
        assert "the callback ScoringMonitor must see every fit" in run.notes[0]


@pytest.mark.filterwarnings("ignore:The estimator DecisionTreeClassifier does not support callbacks")
def test_a_progress_bar_of_scikit_learn_is_no_obstacle(store, iris, capsys) -> None:
    callback = pytest.importorskip("sklearn.callback")
    for reused in (0, 4):
        search = GridSearchCV(TREE, {"max_depth": [1, 2]}, cv=2).set_callbacks(callback.ProgressBar())
        with keepfit.checkpoint(store, progress=False) as run:
            search.fit(*iris)
        assert run.reused == reused
        assert "100%" in capsys.readouterr().out
