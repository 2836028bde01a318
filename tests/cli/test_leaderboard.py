"""``keepfit status`` and ``keepfit leaderboard`` of searches in Python, by several scorers, on two tables."""

from __future__ import annotations

import json

import pytest
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

import keepfit

X, y = load_iris(return_X_y=True)


@pytest.fixture
def searched(run):
    """A store with four searches: of other data, by accuracy, by log loss, and by log loss beside accuracy."""
    with keepfit.checkpoint("state.db", progress=False):
        cross_validate(GaussianNB(), X[:, :2], y, cv=3)
        for options in ({}, {"scoring": "neg_log_loss"}, {"scoring": ["neg_log_loss", "accuracy"], "refit": False}):
            GridSearchCV(KNeighborsClassifier(), {"n_neighbors": [10, 9, 2]}, cv=3, **options).fit(X, y)
    return run


def test_status_tells_by_which_scorers_each_search_judges(searched):
    lines = searched("status").stdout.splitlines()
    told = ["neg_log_loss (also accuracy)", "neg_log_loss", "accuracy", "accuracy"]
    column = lines[0].index("scorer")
    assert [line[column:].split("  ")[0] for line in lines[1:]] == told
    found = json.loads(searched("status", "--json").stdout)
    assert [one["scorers"] for one in found] == [
        ["neg_log_loss", "accuracy"],
        ["neg_log_loss"],
        ["accuracy"],
        ["accuracy"],
    ]


def test_the_leaderboard_never_ranks_scores_by_different_scorers_together(searched):
    result = searched("leaderboard")
    first, second = result.stdout.split("\n\n")
    assert first.startswith("by neg_log_loss (searches 3, 4)\nrank")
    assert second.startswith("by accuracy (search 2)\nrank")
    assert len(first.splitlines()) == len(second.splitlines()) == 5
    assert "1 search is on other data, another target or other splits" in result.stderr


def test_programs_are_told_the_scorer_with_each_line(searched):
    lines = json.loads(searched("leaderboard", "--json").stdout)
    assert [(line["scorer"], line["rank"]) for line in lines] == [
        (scorer, rank) for scorer in ("neg_log_loss", "accuracy") for rank in (1, 2, 3)
    ]


def test_one_search_alone_is_shown_with_its_scorer(searched):
    result = searched("leaderboard", "--search", "1")
    assert result.stdout.startswith("by accuracy (search 1)\nrank")
    assert "as it is" in result.stdout
    assert result.stderr == ""
