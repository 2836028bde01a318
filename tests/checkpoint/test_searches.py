"""Searches inside ``keepfit.checkpoint``: the same results as outside, and nothing done twice."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest
from comparing import scores_of
from scipy.linalg import LinAlgWarning
from sklearn.datasets import make_regression
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import SelectPercentile, mutual_info_classif
from sklearn.linear_model import Ridge, SGDClassifier
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    KFold,
    RandomizedSearchCV,
    ShuffleSplit,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    permutation_test_score,
    validation_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from user_code import FailsAt, Nearest, half_right, no_score

import keepfit
from keepfit.errors import StoreError

TREE = DecisionTreeClassifier(random_state=0)
DEPTHS = {"max_depth": [1, 2, 3, 4]}
SEARCHES = {
    "grid": lambda **more: GridSearchCV(TREE, DEPTHS, cv=4, **more),
    "several scores": lambda **more: GridSearchCV(
        TREE, DEPTHS, scoring=["accuracy", "f1_macro"], refit="f1_macro", return_train_score=True, **more
    ),
    "random": lambda **more: RandomizedSearchCV(
        make_pipeline(StandardScaler(), SVC()), {"svc__C": np.logspace(-2, 2, 50)}, n_iter=6, random_state=3, **more
    ),
    "halving grid": lambda **more: HalvingGridSearchCV(TREE, DEPTHS, random_state=0, cv=3, **more),
    "halving random": lambda **more: HalvingRandomSearchCV(
        TREE, {"max_depth": range(1, 9)}, random_state=0, cv=3, **more
    ),
    "own scorer": lambda **more: GridSearchCV(Nearest(), {"shrinkage": [0, 0.5]}, scoring=half_right, **more),
}


@pytest.mark.parametrize("n_jobs", [1, None, 2, -1])
@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_finds_what_it_finds_outside_and_again_from_the_store(name, n_jobs, store, iris) -> None:
    outside = SEARCHES[name]().fit(*iris)
    with keepfit.checkpoint(store, progress=False) as first:
        inside = SEARCHES[name](n_jobs=n_jobs).fit(*iris)
    with keepfit.checkpoint(store, progress=False) as second:
        again = SEARCHES[name](n_jobs=n_jobs).fit(*iris)
    assert scores_of(inside.cv_results_) == scores_of(again.cv_results_) == scores_of(outside.cv_results_)
    assert inside.cv_results_["mean_fit_time"].tobytes() == again.cv_results_["mean_fit_time"].tobytes()
    assert first.computed > 0
    assert first.reused == second.computed == 0
    assert second.reused == first.computed
    assert again.best_params_ == outside.best_params_
    np.testing.assert_array_equal(again.predict(iris[0]), outside.predict(iris[0]))


def test_a_grown_grid_computes_only_what_is_new(store, iris) -> None:
    with keepfit.checkpoint(store, progress=False) as run:
        GridSearchCV(TREE, {"max_depth": [1, 2]}).fit(*iris)
        GridSearchCV(TREE, {"max_depth": [3, 2, 1]}).fit(*iris)
    assert (run.computed, run.reused) == (15, 10)
    assert [(one.computed, one.reused, one.state) for one in run.searches] == [(10, 0, "finished"), (5, 10, "finished")]


def test_work_is_shared_between_n_jobs_of_the_same_thread_count(store, iris, monkeypatch) -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    import threadpoolctl

    with threadpoolctl.threadpool_limits(1):
        for n_jobs in (1, 2, 1):
            with keepfit.checkpoint(store, progress=False) as run:
                SEARCHES["grid"](n_jobs=n_jobs).fit(*iris)
    assert (run.reused, run.computed) == (16, 0)


def test_cross_validation_is_kept_with_fitted_estimators(store, iris) -> None:
    results = []
    for _ in range(2):
        with keepfit.checkpoint(store, progress=False) as run:
            results.append(
                cross_validate(TREE, *iris, return_estimator=True, return_indices=True, return_train_score=True)
            )
    assert run.reused == 5
    for one, other in zip(*(result["estimator"] for result in results), strict=True):
        np.testing.assert_array_equal(one.predict_proba(iris[0]), other.predict_proba(iris[0]))
    assert scores_of({**results[0], "indices": 0}) == scores_of({**results[1], "indices": 0})


def test_fitted_estimators_of_own_classes_are_kept(store, iris) -> None:
    for _ in range(2):
        with keepfit.checkpoint(store, progress=False) as run:
            fitted = cross_validate(Nearest(), *iris, return_estimator=True)["estimator"]
    assert run.reused == 5
    assert {type(one) for one in fitted} == {Nearest}


def test_estimators_that_cannot_be_kept_are_computed_each_time(store, iris) -> None:
    class Local(Nearest):
        pass

    for _ in range(2):
        with keepfit.checkpoint(store, progress=False) as run:
            cross_validate(Local(), *iris, return_estimator=True)
    assert (run.reused, run.computed) == (0, 5)
    assert len(run.notes) == 1
    assert "computed, not kept" in run.notes[0]


@pytest.mark.parametrize(
    "evaluate",
    [
        lambda X, y: cross_val_score(TREE, X, y, n_jobs=2),
        lambda X, y: learning_curve(TREE, X, y, train_sizes=[0.3, 0.6, 1.0], shuffle=True, random_state=1)[1:],
        lambda X, y: learning_curve(SGDClassifier(random_state=0), X, y, exploit_incremental_learning=True)[1:],
        lambda X, y: validation_curve(TREE, X, y, param_name="max_depth", param_range=[1, 2, 3]),
        lambda X, y: permutation_test_score(TREE, X, y, n_permutations=5, random_state=0)[1],
    ],
    ids=["cross_val_score", "learning_curve", "incremental learning_curve", "validation_curve", "permutation_test"],
)
def test_every_evaluation_is_kept(evaluate, store, iris) -> None:
    rng = np.random.default_rng(0).permutation(len(iris[1]))
    X, y = iris[0][rng], iris[1][rng]
    outside = evaluate(X, y)
    with keepfit.checkpoint(store, progress=False) as first:
        inside = evaluate(X, y)
    with keepfit.checkpoint(store, progress=False) as second:
        again = evaluate(X, y)
    assert np.asarray(inside).tobytes() == np.asarray(again).tobytes() == np.asarray(outside).tobytes()
    assert second.reused == first.computed > 0
    assert second.computed == 0
    with keepfit.Store(store) as opened:
        tasks = list(opened.work.tasks(first.searches[0].id))
    assert len({(task.candidate, task.split) for task in tasks}) == len(tasks)


def test_regression_and_weights_and_groups_are_kept(store) -> None:
    X, y = make_regression(60, 5, random_state=0)
    weights = np.linspace(1, 2, 60)
    for expected in (0, 10):
        with keepfit.checkpoint(store, progress=False) as run:
            GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}).fit(X, y, sample_weight=weights)
        assert run.reused == expected


def test_equal_candidates_are_two_tasks(store, iris) -> None:
    for expected in (0, 10):
        with keepfit.checkpoint(store, progress=False) as run:
            GridSearchCV(TREE, {"max_depth": [2, 2]}).fit(*iris)
        assert (run.reused, run.computed) == (expected, 10 - expected)


@pytest.mark.parametrize(
    "draws",
    [
        DecisionTreeClassifier(max_features=1),
        make_pipeline(SelectPercentile(mutual_info_classif, percentile=60), DecisionTreeClassifier(random_state=0)),
    ],
    ids=["by a parameter", "by a function"],
)
def test_an_estimator_that_draws_at_random_draws_again_in_the_same_block(draws, store, iris) -> None:
    rng = np.random.default_rng(0)
    iris = rng.integers(0, 3, size=(150, 6)), rng.integers(0, 3, size=150)  # so coarse that what is drawn decides
    with keepfit.checkpoint(store, progress=False) as first:
        scores = [cross_val_score(draws, *iris, cv=3).tolist() for _ in range(5)]
    assert first.computed == 15
    assert len({tuple(one) for one in scores}) > 1
    with keepfit.checkpoint(store, progress=False) as second:
        assert [cross_val_score(draws, *iris, cv=3).tolist() for _ in range(5)] == scores
    assert second.computed == 0


def test_a_splitter_with_a_generator_draws_what_it_draws_outside_each_time(store, iris) -> None:
    def evaluate() -> tuple[list[float], list[float]]:
        splitter = KFold(3, shuffle=True, random_state=np.random.RandomState(0))
        _, scores, _ = permutation_test_score(TREE, *iris, cv=splitter, n_permutations=4, random_state=0)
        return scores.tolist(), cross_val_score(TREE, *iris, cv=splitter).tolist()

    outside = evaluate()
    for reused in (0, 3):
        with keepfit.checkpoint(store, progress=False) as run:
            assert evaluate() == outside
        assert run.reused == reused
    assert "give it a seed" in run.notes[0]


# Failures


def test_failed_fits_are_kept_with_their_traceback_and_told_each_time(store, iris) -> None:
    search = GridSearchCV(FailsAt(bad_depth=2, random_state=0), DEPTHS, cv=3)
    for computed in (12, 0):
        with (
            keepfit.checkpoint(store, progress=False) as run,
            pytest.warns(FitFailedWarning, match="3 fits failed"),
            pytest.warns(UserWarning, match="non-finite"),
        ):
            search.fit(*iris)
        assert (run.failed, run.reused, run.computed) == (3, 12 - computed, computed)
        assert np.isnan(search.cv_results_["mean_test_score"][1])
    with keepfit.Store(store) as opened:
        failures = opened.work.failures(run.searches[0].id)
        assert len(failures) == 3
        assert all("no tree of depth 2" in one.failure for one in failures)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_error_of_a_task_is_raised_and_what_was_done_is_kept(n_jobs, store, iris) -> None:
    search = GridSearchCV(FailsAt(bad_depth=4, random_state=0), DEPTHS, cv=3, error_score="raise", n_jobs=n_jobs)
    with keepfit.checkpoint(store, progress=False) as run, pytest.raises(ArithmeticError, match="no tree of depth 4"):
        search.fit(*iris)
    assert run.searches[0].state == "failed"
    search.set_params(estimator__bad_depth=None)
    assert run.computed >= (9 if n_jobs == 1 else 0)
    with keepfit.Store(store) as opened:
        assert [one.state for one in opened.work.searches()] == ["failed"]
        assert len(list(opened.work.tasks(run.searches[0].id))) == run.computed


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("good", [0, 2])
def test_an_error_of_the_splitter_is_raised_as_it_is(good, n_jobs, store, iris) -> None:
    class Splits:
        def split(self, X, y=None, groups=None):
            yield from list(KFold(3).split(X))[:good]
            raise LookupError("no more splits")

        def get_n_splits(self, X=None, y=None, groups=None):
            return 3

    with keepfit.checkpoint(store, progress=False), pytest.raises(LookupError, match="no more splits"):
        cross_val_score(TREE, *iris, cv=Splits(), n_jobs=n_jobs)


def test_n_jobs_zero_is_refused_as_outside(store, iris) -> None:
    with keepfit.checkpoint(store, progress=False), pytest.raises(ValueError, match="n_jobs == 0 in Parallel has no"):
        GridSearchCV(TREE, DEPTHS, n_jobs=0).fit(*iris)


def test_no_candidates_are_refused_as_outside(store, iris) -> None:
    class NoSplits(KFold):
        def split(self, X, y=None, groups=None):
            return iter(())

        def get_n_splits(self, X=None, y=None, groups=None):
            return 0

    with keepfit.checkpoint(store, progress=False), pytest.raises(ValueError, match="No fits were performed"):
        GridSearchCV(TREE, DEPTHS, cv=NoSplits()).fit(*iris)


def test_warnings_of_a_fit_come_again_with_a_reused_result(store, iris) -> None:
    for _ in range(2):
        told = pytest.warns(ConvergenceWarning, match="Maximum number of iteration")
        with keepfit.checkpoint(store, progress=False) as run, told:
            cross_val_score(SGDClassifier(max_iter=2, random_state=0), *iris)
    assert run.reused == 5


def test_a_warning_of_scipy_comes_again_as_what_it_was(store, iris) -> None:
    X = np.hstack([iris[0], iris[0][:, :1]])
    for _ in range(2):
        with keepfit.checkpoint(store, progress=False) as run, pytest.warns(LinAlgWarning, match="ll-conditioned"):
            cross_val_score(Ridge(alpha=1e-17, solver="cholesky"), X, iris[1])
    assert run.reused == 5


def test_warnings_of_a_failing_scorer_come_again(store, iris) -> None:
    for _ in range(2):
        with keepfit.checkpoint(store, progress=False) as run, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            cross_validate(TREE, *iris, scoring=no_score)
        assert len([one for one in caught if "Scoring failed" in str(one.message)]) == 5
    assert run.reused == 5


def test_warnings_that_are_errors_make_other_results(store, iris) -> None:
    warn = SGDClassifier(max_iter=2, random_state=0)
    with keepfit.checkpoint(store, progress=False), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cross_val_score(warn, *iris)
    with keepfit.checkpoint(store, progress=False) as run, warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        with pytest.raises(ValueError, match="All the 5 fits failed"):
            cross_val_score(warn, *iris)
    assert run.failed == 5


def test_verbose_shows_reused_tasks_too(store, iris, capsys) -> None:
    for _ in range(2):
        with keepfit.checkpoint(store, progress=False):
            GridSearchCV(TREE, {"max_depth": [2]}, verbose=3, cv=3).fit(*iris)
        assert len(re.findall(r"\[CV 3/3\].*max_depth=2.* score=\(?[\d.]+", capsys.readouterr().out)) == 1


# Engines


@pytest.mark.parametrize("backend", ["threading", "loky", "multiprocessing", "sequential"])
def test_the_engine_is_the_backend_around_the_block(backend, store, iris) -> None:
    outside = SEARCHES["grid"]().fit(*iris)
    for reused in (0, 16):
        with (
            warnings.catch_warnings(),  # in threads, scikit-learn 1.7 and newer leaves the filters muddled
            joblib.parallel_config(backend, n_jobs=2),
            keepfit.checkpoint(store, progress=False) as run,
        ):
            inside = SEARCHES["grid"]().fit(*iris)
        assert scores_of(inside.cv_results_) == scores_of(outside.cv_results_)
        assert run.reused == reused


@pytest.mark.parametrize("choose", [joblib.parallel_config, joblib.parallel_backend])
@pytest.mark.parametrize("backend", ["threading", "loky", "multiprocessing", "sequential"])
def test_a_backend_that_is_chosen_inside_the_block_is_the_engine(backend, choose, store, iris) -> None:
    outside = SEARCHES["grid"]().fit(*iris)
    for reused in (0, 16):
        with warnings.catch_warnings(), keepfit.checkpoint(store, progress=False) as run:
            with choose(backend, n_jobs=2), choose(backend, n_jobs=2):
                inside = SEARCHES["grid"]().fit(*iris)
                assert RandomForestClassifier(n_estimators=4, random_state=0).fit(*iris).score(*iris) > 0.9
            with joblib.parallel_config(n_jobs=2):
                SEARCHES["grid"]().fit(*iris)
        assert scores_of(inside.cv_results_) == scores_of(outside.cv_results_)
        assert run.reused == 16 + reused
        assert run.computed == 16 - reused


def test_what_is_active_outside_the_block_is_so_again_after_it(store) -> None:
    with joblib.parallel_config("threading", n_jobs=2):
        with (
            pytest.raises(ZeroDivisionError),
            keepfit.checkpoint(store, progress=False),
            joblib.parallel_config("loky", n_jobs=3),
        ):
            raise ZeroDivisionError
        backend, n_jobs = joblib.parallel.get_active_backend()
    assert (type(backend).__name__, n_jobs) == ("ThreadingBackend", 2)


def test_a_backend_that_outlives_the_block_keeps_nothing(store, iris) -> None:
    with joblib.parallel_config("threading"):
        with keepfit.checkpoint(store, progress=False) as run:
            chosen = joblib.parallel_config("threading", n_jobs=2)
        joblib.parallel._backend.config = chosen.parallel_config
        SEARCHES["grid"]().fit(*iris)
    assert run.searches == []


class AskedForResults(joblib._parallel_backends.ThreadingBackend):
    """A backend of the older kind: it gives results only when asked."""

    supports_retrieve_callback = False


def test_an_engine_of_the_older_kind_works(store, iris) -> None:
    outside = SEARCHES["grid"]().fit(*iris)
    for reused in (0, 16):
        with (
            warnings.catch_warnings(),
            joblib.parallel_config(AskedForResults(), n_jobs=2),
            keepfit.checkpoint(store, progress=False) as run,
        ):
            inside = SEARCHES["grid"]().fit(*iris)
        assert scores_of(inside.cv_results_) == scores_of(outside.cv_results_)
        assert run.reused == reused


@pytest.mark.parametrize("backend", ["threading", "loky", "multiprocessing"])
def test_results_of_an_engine_arrive_while_it_works(backend, store, iris) -> None:
    """An error in the last task leaves the others in the store."""
    search = GridSearchCV(FailsAt(bad_depth=30), {"max_depth": [*range(1, 31)]}, cv=2, error_score="raise")
    engine = joblib.parallel_config(backend, n_jobs=2)
    with engine, keepfit.checkpoint(store, progress=False) as run, pytest.raises(ArithmeticError):
        search.fit(*iris)
    assert run.computed >= 20


def test_a_nested_forest_has_the_threads_it_has_outside(store, iris) -> None:
    forest = RandomForestClassifier(n_estimators=8, random_state=0, n_jobs=2)
    grid = {"max_depth": [1, 3]}
    for n_jobs in (1, 2):
        outside = GridSearchCV(forest, grid, n_jobs=n_jobs, cv=2).fit(*iris)
        with keepfit.checkpoint(store, progress=False) as run:
            inside = GridSearchCV(forest, grid, n_jobs=n_jobs, cv=2).fit(*iris)
        assert scores_of(inside.cv_results_) == scores_of(outside.cv_results_)
        assert len(run.searches) == 1


def test_a_search_inside_a_task_is_part_of_the_task(store, iris) -> None:
    nested = GridSearchCV(TREE, {"max_depth": [1, 2]}, cv=2)
    outside = cross_val_score(nested, *iris, cv=2)
    with keepfit.checkpoint(store, progress=False) as run:
        assert cross_val_score(nested, *iris, cv=2).tolist() == outside.tolist()
    assert [one.task_count for one in run.searches] == [2]


def test_a_search_inside_a_call_that_is_no_evaluation_is_kept(store, iris) -> None:
    for reused in (0, 12):
        with keepfit.checkpoint(store, progress=False) as run:
            OneVsRestClassifier(GridSearchCV(TREE, {"max_depth": [1, 2]}, cv=2)).fit(*iris)
        assert run.reused == reused
        assert len(run.searches) == 3


def test_calls_that_are_no_evaluations_pass_untouched(store, iris) -> None:
    with keepfit.checkpoint(store, progress=False) as run:
        forest = RandomForestClassifier(n_estimators=8, random_state=0, n_jobs=2).fit(*iris)
        squares = joblib.Parallel(n_jobs=2, return_as="generator")(joblib.delayed(pow)(n, 2) for n in range(5))
        assert list(squares) == [0, 1, 4, 9, 16]
        assert cross_val_predict(TREE, *iris, cv=3, n_jobs=2).shape == (150,)
        assert joblib.effective_n_jobs(None) == 1
        assert joblib.effective_n_jobs(2) == 2
    assert run.searches == []
    assert len(forest.estimators_) == 8


def test_a_call_that_is_no_evaluation_takes_its_tasks_one_by_one(store) -> None:
    from sklearn.utils.parallel import Parallel, delayed

    made, seen = [], []

    def tasks():
        for number in range(5):
            made.append(number)
            yield delayed(lambda n: seen.append((n, len(made))))(number)

    with keepfit.checkpoint(store, progress=False):
        Parallel(n_jobs=1)(tasks())
    assert seen == [(n, n + 1) for n in range(5)]


def test_settings_of_scikit_learn_reach_the_tasks(store, iris) -> None:
    import pandas
    from sklearn import config_context

    with keepfit.checkpoint(store, progress=False), config_context(transform_output="pandas"):
        fitted = cross_validate(make_pipeline(StandardScaler(), TREE), *iris, return_estimator=True, n_jobs=2)
    for one in fitted["estimator"]:
        assert hasattr(one[-1], "feature_names_in_")
    assert pandas is not None


def test_outside_the_block_nothing_is_kept(store, iris) -> None:
    with keepfit.checkpoint(store, progress=False) as run:
        pass
    SEARCHES["grid"]().fit(*iris)
    assert run.searches == []


# The run and the store


def test_a_run_can_be_read_after_the_block(store, iris) -> None:
    with keepfit.checkpoint(store, progress=False) as run:
        SEARCHES["grid"]().fit(*iris)
    assert repr(run) == f"<Run in {store}: 0 reused, 16 computed, 0 failed>"
    (search,) = run.searches
    assert search.label.endswith("over DecisionTreeClassifier")
    assert (search.task_count, search.state) == (16, "finished")
    assert search.best_score == pytest.approx(1.0, abs=0.1)


def test_an_open_store_stays_open(store, iris) -> None:
    with keepfit.Store(store) as opened:
        with keepfit.checkpoint(opened, progress=False) as run:
            SEARCHES["grid"]().fit(*iris)
        tasks = list(opened.work.tasks(run.searches[0].id))
    assert {task.split for task in tasks} == {0, 1, 2, 3}
    assert {task.candidate for task in tasks} == {f'{{"max_depth": {depth}}}' for depth in DEPTHS["max_depth"]}


def test_a_place_that_is_no_store_is_refused(tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("not a database, and much longer than the header of one" * 10)
    with pytest.raises(StoreError), keepfit.checkpoint(tmp_path / "notes.txt"):
        pass


def test_two_processes_may_keep_in_one_store(store, iris, tmp_path) -> None:
    import subprocess
    import sys

    script = Path(__file__).parent / "search_child.py"
    children = [
        subprocess.Popen([sys.executable, script, store, tmp_path / f"{number}.npz", "--n-jobs", "1"])
        for number in range(2)
    ]
    assert [child.wait(timeout=300) for child in children] == [0, 0]
    one, other = (np.load(tmp_path / f"{number}.npz")["scores"] for number in range(2))
    assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize(
    "splitter", [StratifiedKFold(3, shuffle=True, random_state=1), ShuffleSplit(3, random_state=2)]
)
def test_splitters_with_a_seed_resume(splitter, store, iris) -> None:
    for reused in (0, 3):
        with keepfit.checkpoint(store, progress=False) as run:
            cross_val_score(TREE, *iris, cv=splitter)
        assert run.reused == reused
