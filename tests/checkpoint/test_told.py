"""What a store tells of searches inside `checkpoint`: by which scorer they judge, and how candidates rank."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.linear_model import Ridge
from sklearn.metrics import make_scorer, mean_pinball_loss
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate, learning_curve, validation_curve
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

import keepfit
from keepfit import Store
from keepfit.store import CandidateInfo, SearchInfo
from keepfit.store.leaderboard import Board, leaderboards

X, y = load_iris(return_X_y=True)

#: scikit-learn before 1.9 does not tell by which of several metrics a search chooses.
TELLS_REFIT = tuple(map(int, sklearn.__version__.split(".")[:2])) >= (1, 9)

TWO = ["neg_log_loss", "accuracy"]


def searched(place: Path, grid: dict[str, Any], estimator: Any = None, **options: Any) -> GridSearchCV:
    with keepfit.checkpoint(place, progress=False):
        return GridSearchCV(estimator or KNeighborsClassifier(), grid, cv=5, **options).fit(X, y)


def newest(place: Path) -> SearchInfo:
    with Store(place) as kept:
        return kept.work.searches()[0]


def boards(place: Path, **options: Any) -> list[Board]:
    with Store(place) as kept:
        return list(leaderboards(kept, **options))


def own(estimator, X, y):
    return 0.5


def not_of_three_in_the_first_rows(estimator, rows, target):
    first = np.array_equal(rows[0], [5.1, 3.5, 1.4, 0.2])
    return np.nan if first and estimator.n_neighbors == 3 else float(estimator.score(rows, target))


def of_two(estimator, X, y):
    return {"first": 0.25, "second": 0.75}


SCORERS = [
    (GaussianNB(), None, "accuracy"),
    (make_pipeline(StandardScaler(), Ridge()), None, "r2"),
    (KMeans(2, n_init=1), None, "KMeans.score"),
    (GaussianNB(), "neg_log_loss", "neg_log_loss"),
    (GaussianNB(), "f1_macro", "f1_macro"),
    (Ridge(), make_scorer(mean_pinball_loss, greater_is_better=False, alpha=0.9), "neg_mean_pinball_loss(alpha=0.9)"),
    (GaussianNB(), own, "own"),
]


@pytest.mark.parametrize(("estimator", "scoring", "name"), SCORERS, ids=[name for *_, name in SCORERS])
def test_a_scorer_has_the_name_that_its_user_knows(estimator: Any, scoring: Any, name: str, store: Path) -> None:
    with keepfit.checkpoint(store, progress=False):
        cross_validate(estimator, X, y, scoring=scoring, cv=2)
    assert newest(store).scorers == (name,)
    assert [board.scorers for board in boards(store)] == [(name,)]


def test_a_cross_validation_for_its_scores_alone_is_by_the_scorer_and_not_by_score(store: Path) -> None:
    with keepfit.checkpoint(store, progress=False):
        cross_val_score(GaussianNB(), X, y, cv=2)
        cross_validate(GaussianNB(), X, y, scoring="accuracy", cv=2)
    assert newest(store).scorers == ("accuracy",)
    assert [board.search_ids for board in boards(store)] == [(2, 1)]


def test_of_several_metrics_the_one_that_refit_names_is_shown(store: Path) -> None:
    search = searched(store, {"var_smoothing": [1e-9, 1.0]}, GaussianNB(), scoring=TWO, refit="accuracy")
    shown = "accuracy" if TELLS_REFIT else "neg_log_loss"
    assert newest(store).scorers == (shown, *(name for name in TWO if name != shown))
    [board] = boards(store)
    means = [line.candidate.mean_score for line in board.lines]
    assert means == sorted(search.cv_results_[f"mean_test_{shown}"], reverse=True)


def test_a_reused_search_that_chooses_by_another_metric_shows_its_own(store: Path) -> None:
    grid = {"var_smoothing": [1e-9, 1.0]}
    for metric in (*TWO, None):
        with keepfit.checkpoint(store, progress=False) as run:
            run.metric = metric
            search = GridSearchCV(GaussianNB(), grid, cv=5, scoring=TWO, refit=False).fit(X, y)
        assert (run.reused, run.computed) == ((0, 10) if metric == TWO[0] else (10, 0))
        shown = metric or TWO[0]
        assert newest(store).scorers[0] == shown
        assert newest(store).best_score == max(search.cv_results_[f"split{k}_test_{shown}"].max() for k in range(5))
        assert boards(store)[0].lines[0].candidate.mean_score == search.cv_results_[f"mean_test_{shown}"].max()
    assert [(board.scorers, board.search_ids) for board in boards(store)] == [
        (("neg_log_loss",), (3, 1)),
        (("accuracy",), (2,)),
    ]


def test_a_function_that_gives_several_scores_is_shown_by_the_metric_that_is_named(store: Path) -> None:
    with keepfit.checkpoint(store, progress=False) as run:
        run.metric = "second"
        cross_validate(GaussianNB(), X, y, scoring=of_two, cv=2)
    assert newest(store).scorers == run.searches[0].scorers == ("second",)
    assert newest(store).best_score == 0.75


def test_each_scorer_has_a_leaderboard_of_its_own_and_the_newest_comes_first(store: Path) -> None:
    searched(store, {"n_neighbors": [1, 9]})
    searched(store, {"n_neighbors": [1, 9]}, scoring="neg_log_loss")
    searched(
        store, {"max_depth": [2]}, DecisionTreeClassifier(random_state=0), scoring={"hits": "accuracy"}, refit="hits"
    )
    found = boards(store)
    assert [(board.scorers, board.search_ids) for board in found] == [
        (("hits", "accuracy"), (3, 1)),
        (("neg_log_loss",), (2,)),
    ]
    assert [len(board.lines) for board in found] == [3, 2]
    assert all(line.candidate.mean_score > 0.5 for line in found[0].lines)
    assert all(line.candidate.mean_score < 0 for line in found[1].lines)
    assert [[line.rank for line in board.lines] for board in found] == [[1, 2, 3], [1, 2]]


def test_metrics_beside_the_one_that_is_shown_are_named_where_nothing_can_be_reused(store: Path) -> None:
    searched(store, {"n_neighbors": [1]}, scoring=["accuracy"], refit="accuracy")
    with keepfit.checkpoint(store, progress=False) as run:
        GridSearchCV(KNeighborsClassifier(), {"n_neighbors": [1]}, cv=5, scoring=TWO[::-1], refit="accuracy").fit(X, y)
    assert "the metrics differ" in run.notes[0]


def test_candidates_rank_as_scikit_learn_ranks_them_and_equal_ones_by_the_grid(store: Path) -> None:
    grid = {"n_neighbors": [30, 12, 9, 6, 10, 11, 7, 1, 5], "weights": ["uniform", "distance"]}
    table = searched(store, grid).cv_results_
    assert len(set(table["rank_test_score"])) < len(table["params"]) - 3
    first_to_last = np.argsort(table["rank_test_score"], kind="stable")
    [board] = boards(store, limit=99)
    assert [line.candidate.place for line in board.lines] == first_to_last.tolist()
    assert [line.parameters for line in board.lines] == [table["params"][place] for place in first_to_last]
    assert [line.candidate.mean_score for line in board.lines] == table["mean_test_score"][first_to_last].tolist()


def test_a_candidate_that_fails_in_one_split_ranks_last_as_in_scikit_learn(store: Path) -> None:
    with pytest.warns(UserWarning, match="non-finite"):
        table = searched(store, {"n_neighbors": [3, 5, 100]}, scoring=not_of_three_in_the_first_rows).cv_results_
    assert table["rank_test_score"].tolist() == [3, 1, 2]
    [board] = boards(store)
    assert [line.parameters["n_neighbors"] for line in board.lines] == [5, 100, 3]
    assert [line.candidate.failed for line in board.lines] == [0, 0, 1]


def test_results_of_another_grid_stand_as_the_grid_that_shows_them(store: Path) -> None:
    searched(store, {"n_neighbors": [6, 7, 10, 11]})
    table = searched(store, {"n_neighbors": [11, 12, 7, 6]}).cv_results_
    order = np.argsort(table["rank_test_score"], kind="stable")
    wanted = [table["params"][place]["n_neighbors"] for place in order]
    [alone] = boards(store, search_id=2)
    assert [line.parameters["n_neighbors"] for line in alone.lines] == wanted
    [both] = boards(store)
    assert [line.parameters["n_neighbors"] for line in both.lines if line.candidate.search_id == 2] == wanted
    assert {line.parameters["n_neighbors"] for line in both.lines} == {6, 7, 10, 11, 12}


def test_candidates_that_read_the_same_are_not_taken_for_one(store: Path) -> None:
    classifiers = [KNeighborsClassifier(1), KNeighborsClassifier(50)]
    pipeline = make_pipeline(StandardScaler(), KNeighborsClassifier())
    for _ in range(2):
        table = searched(store, {"kneighborsclassifier": classifiers}, pipeline).cv_results_
    [board] = boards(store)
    assert [line.candidate.split_count for line in board.lines] == [5, 5]
    assert [line.candidate.mean_score for line in board.lines] == sorted(table["mean_test_score"], reverse=True)


def by_place(place: Path) -> list[CandidateInfo]:
    with Store(place) as kept:
        return sorted(kept.work.candidates(kept.work.searches()[0].id), key=lambda one: one.place)


def test_curves_have_their_candidates_in_the_order_in_which_they_are_asked_for(store: Path) -> None:
    for _ in range(2):
        with keepfit.checkpoint(store, progress=False):
            validation_curve(Ridge(), X, y, param_name="alpha", param_range=[9.0, 1.0, 3.0], cv=2)
        assert [one.candidate for one in by_place(store)] == [f'{{"alpha": {alpha}}}' for alpha in (9.0, 1.0, 3.0)]
        with keepfit.checkpoint(store, progress=False):
            learning_curve(GaussianNB(), X, y, train_sizes=[0.09, 0.9], cv=3, shuffle=True, random_state=0)
        assert [one.split_count for one in by_place(store)] == [3, 3]
        assert [one.candidate for one in by_place(store)] == ['{"train_size": 9}', '{"train_size": 90}']
