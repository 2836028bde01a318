"""`ModelSearchCV` with a store: what is there after a fit, after a stop, and when the same is asked again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

import keepfit
from keepfit import KeepfitWarning, ModelSearchCV, Store
from keepfit.errors import StoreError
from keepfit.store.leaderboard import leaderboards

X, y = load_iris(return_X_y=True)
MODELS = {
    "knn": (KNeighborsClassifier(), {"n_neighbors": [1, 3, 5]}),
    "tree": (DecisionTreeClassifier(random_state=0), {"max_depth": [2, 3]}),
}


def search(store, models=MODELS, **options):
    return ModelSearchCV(models, store=store, cv=3, progress=False, **options)


@pytest.fixture
def place(tmp_path):
    return tmp_path / "state.db"


class ScoresItself(GaussianNB):
    def score(self, X, y):
        return 7.0


class Stops(ClassifierMixin, BaseEstimator):
    """Interrupted in the middle of a search."""

    def fit(self, X, y):
        raise KeyboardInterrupt


def test_the_best_of_each_type_is_in_the_store_under_its_name(place):
    fitted = search(place, metadata={"data": "iris"}).fit(X, y)
    with Store(place) as store:
        assert list(store) == ["knn", "tree"]
        for name in store:
            np.testing.assert_array_equal(store[name].predict(X), fitted.best_estimators_[name].predict(X))
            told = store.info(name).metadata
            row = fitted.best_indices_[name]
            assert told["score"] == fitted.cv_results_["mean_test_score"][row]
            assert told["params"] == fitted.cv_results_["params"][row]
            assert (told["n_samples"], told["n_features"], told["data"]) == (150, 4, "iris")


def test_a_search_with_a_store_finds_what_one_without_finds(place):
    kept, plain = search(place).fit(X, y), ModelSearchCV(MODELS, cv=3).fit(X, y)
    for column in ("mean_test_score", "std_test_score", "rank_test_score"):
        np.testing.assert_array_equal(kept.cv_results_[column], plain.cv_results_[column])
    assert kept.best_params_ == plain.best_params_


def test_the_same_search_again_computes_nothing_and_adds_no_version(place):
    first = search(place).fit(X, y)
    second = search(place).fit(X, y)
    np.testing.assert_array_equal(first.predict(X), second.predict(X))
    with Store(place) as store:
        assert [len(store.versions(name)) for name in store] == [1, 1]
        assert [(one.reused, one.computed) for one in store.work.searches()] == [(6, 0), (9, 0), (0, 6), (0, 9)]


def test_other_data_give_a_new_version(place):
    search(place).fit(X, y)
    search(place).fit(X[::-1], y[::-1])
    with Store(place) as store:
        assert [len(store.versions(name)) for name in store] == [2, 2]


def test_the_best_of_the_last_search_is_the_newest_version_whatever_came_between(place):
    narrow = [X, X[:, :2], X, X]
    fits = [search(place).fit(data, y) for data in narrow]
    assert [fit.kept_versions_ for fit in fits] == [{"knn": n, "tree": n} for n in (1, 2, 3, 3)]
    with Store(place) as store:
        for name in store:
            assert [one.metadata["n_features"] for one in store.versions(name)] == [4, 2, 4]
            assert store[name].n_features_in_ == 4
            np.testing.assert_array_equal(store[name].predict(X), fits[-1].best_estimators_[name].predict(X))


def test_a_stop_leaves_the_best_of_the_types_before_it(place):
    models = {**MODELS, "stops": (Stops(), {})}
    with pytest.raises(KeyboardInterrupt):
        search(place, models).fit(X, y)
    with Store(place) as store:
        assert list(store) == ["knn", "tree"]


def test_an_open_store_is_used_and_left_open(place):
    with Store(place) as store:
        search(store).fit(X, y)
        assert "knn" in store


def test_a_name_that_no_store_takes_is_told_before_any_fit(place):
    class Never(GaussianNB):
        def fit(self, X, y):
            raise AssertionError

    with pytest.raises(StoreError, match="'nb#1' holds '#'"):
        search(place, {"nb#1": (Never(), {})}).fit(X, y)
    assert not place.exists()


def test_a_model_that_cannot_be_kept_is_still_found(place):
    models = {"odd": (make_pipeline(FunctionTransformer(lambda X: X * 2), GaussianNB()), {})}
    with pytest.warns(KeepfitWarning, match="odd was found but could not be kept"):
        fitted = search(place, models).fit(X, y)
    assert fitted.score(X, y) > 0.9
    assert fitted.kept_versions_ == {}


SCRIPT = """
import sys, time
from sklearn.datasets import load_iris
from sklearn.naive_bayes import GaussianNB
from keepfit import ModelSearchCV

class Slow(GaussianNB):
    def fit(self, X, y):
        time.sleep(float(sys.argv[2]))
        return super().fit(X, y)

X, y = load_iris(return_X_y=True)
models = {"nb": (GaussianNB(), {}), "slow": (Slow(), {"var_smoothing": [10.0**-k for k in range(8)]})}
search = ModelSearchCV(models, store=sys.argv[1], cv=5, n_jobs=int(sys.argv[3]), progress=False).fit(X, y)
print(search.best_model_, search.cv_results_["mean_test_score"].tolist())
"""


def run(script, *arguments):
    command = [sys.executable, str(script), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def wait_for_tasks(place, count):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if place.exists():
            with Store(place) as store:
                if sum(one.computed for one in store.work.searches()) >= count:
                    return
        time.sleep(0.02)
    raise AssertionError("the search did not get going")


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_killed_search_goes_on_and_ends_as_if_nothing_had_happened(tmp_path, place, n_jobs):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    process = run(script, place, 0.1, n_jobs)
    wait_for_tasks(place, 10)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    with Store(place) as store:
        assert list(store) == ["nb"]
    both = [run(script, place, 0.0, n_jobs), run(script, tmp_path / "other.db", 0.0, 1)]  # side by side
    after, whole = [one.communicate()[0] for one in both]
    assert after == whole
    with Store(place) as store:
        newest = store.work.searches()[0]
        assert newest.reused >= 5
        assert newest.reused + newest.computed == 40
        assert set(store) == {"nb", "slow"}


def test_types_that_are_scored_by_default_stand_in_one_ranking_with_those_scored_by_name(place):
    neighbours = (make_pipeline(StandardScaler(), KNeighborsClassifier()), {})
    search(place, {"knn": neighbours, "nb": (GaussianNB(), {})}).fit(X, y)
    tree = DecisionTreeClassifier(random_state=0)
    with keepfit.checkpoint(place, progress=False):
        for scoring in ("f1_macro", "accuracy"):
            GridSearchCV(tree, {}, cv=3, scoring=scoring).fit(X, y)
    with Store(place) as store:
        labels = {one.id: one.label for one in store.work.searches()}
        ranked = [labels[line.candidate.search_id] for line in next(leaderboards(store)).lines]
    assert len(ranked) == 3
    assert len(set(ranked)) == 3


def neighbors_of(place):
    with Store(place) as store:
        return [line.parameters["n_neighbors"] for line in next(leaderboards(store)).lines]


def test_of_equals_the_leaderboard_has_those_of_the_last_search_first_in_the_order_of_its_grid(place):
    for grid in ([6, 7, 10, 11], [11, 10, 7], [6, 7, 10, 11]):
        models = {"knn": (KNeighborsClassifier(), {"n_neighbors": grid})}
        fitted = ModelSearchCV(models, store=place, cv=5, progress=False).fit(X, y)
        assert len(set(fitted.cv_results_["mean_test_score"])) == 1
        assert fitted.best_params_ == {"n_neighbors": grid[0]}
        assert neighbors_of(place) == [*grid, *(k for k in (6, 7, 10, 11) if k not in grid)]


def test_a_kept_model_has_the_name_of_the_scorer_that_its_score_is_by(place):
    search(place, {"nb": (GaussianNB(), {})}).fit(X, y)
    search(place, {"tree": MODELS["tree"]}, scoring=["accuracy", "neg_log_loss"], refit="neg_log_loss").fit(X, y)
    with Store(place) as store:
        assert [store.info(name).metadata["scoring"] for name in store] == ["accuracy", "neg_log_loss"]
        newest = store.work.searches()[0]
        assert newest.scorers == ("neg_log_loss", "accuracy")
        assert next(leaderboards(store)).lines[0].candidate.mean_score == store.info("tree").metadata["score"]


def test_of_types_that_are_equal_the_leaderboard_has_the_first_searched_first(place):
    models = {
        "second": (KNeighborsClassifier(), {"n_neighbors": [6, 10]}),
        "first": (make_pipeline(KNeighborsClassifier(6)), {}),
    }
    fitted = ModelSearchCV(models, store=place, cv=5, progress=False).fit(X, y)
    assert fitted.best_model_ == "second"
    with Store(place) as store:
        lines = next(leaderboards(store, per_model=True)).lines
    assert [line.model for line in lines] == ["second", "first"]
    assert lines[0].parameters == fitted.best_params_


def test_a_score_of_ones_own_is_compared_with_no_other(place):
    search(place, {"own": (ScoresItself(), {}), "nb": (GaussianNB(), {})}).fit(X, y)
    with Store(place) as store:
        assert len(next(leaderboards(store)).lines) == 1
