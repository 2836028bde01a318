"""``keepfit search`` and what is seen of it in the store."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

import keepfit
from keepfit.store import FinishedTask, SearchRecord

pandas = pytest.importorskip("pandas")

QUICK = ("--models", "knn,nb", "--grid", "knn.n_neighbors=1:4", "--cv", "3", "--no-progress")


@pytest.fixture
def searched(run, csv):
    """A store after a search of 3 and 4 candidates over 3 splits."""
    result = run("search", csv, "--target", "species", "--json", *QUICK)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_the_best_of_each_type_is_found_and_kept(searched, run, csv):
    assert searched["models"].keys() == {"knn", "nb"}
    assert (searched["computed"], searched["reused"], searched["failed"]) == (21, 0, 0)
    assert searched["best_score"] == max(one["score"] for one in searched["models"].values())
    with keepfit.Store("state.db") as store:
        assert set(store) == {"knn", "nb"}
        assert store.info("knn").metadata["columns"]["petal_width"] == "number"
    assert "accuracy" in run("predict", "state.db#knn", csv).stderr


def test_the_same_search_again_reuses_every_fit(searched, run, csv):
    again = json.loads(run("search", csv, "--target", "species", "--json", *QUICK).stdout)
    assert (again["computed"], again["reused"]) == (0, 21)
    assert again["models"] == searched["models"]


def test_a_grown_grid_computes_what_is_new(searched, run, csv):
    more = ("--models", "knn,nb", "--grid", "knn.n_neighbors=1:6", "--cv", "3", "--no-progress")
    again = json.loads(run("search", csv, "--target", "species", "--json", *more).stdout)
    assert (again["computed"], again["reused"]) == (6, 21)


def test_the_version_that_is_named_is_the_newest_and_has_the_parameters_found(run, csv):
    words = ("--target", "species", "--models", "knn", "--cv", "3", "--no-progress", "--json")
    for version, neighbors in enumerate((1, 9, 1), 1):
        told = json.loads(run("search", csv, *words, "--grid", f"knn.n_neighbors={neighbors}").stdout)
        assert told["models"]["knn"]["version"] == version
        with keepfit.Store("state.db") as store:
            assert store.info("knn").version == version
            assert store["knn"].named_steps["knn"].n_neighbors == neighbors


def test_status_lists_each_types_search(searched, run):
    told = json.loads(run("status", "--json").stdout)
    assert [one["task_count"] for one in told] == [12, 9]
    assert {one["state"] for one in told} == {"finished"}
    assert run("status").exit_code == 0


def test_the_leaderboard_has_each_candidate_once_with_its_score_and_model(searched, run, csv):
    run("search", csv, "--target", "species", *QUICK)
    lines = json.loads(run("leaderboard", "--json", "--limit", "50").stdout)
    assert len(lines) == 7
    assert [one["mean_score"] for one in lines] == sorted((one["mean_score"] for one in lines), reverse=True)
    assert lines[0]["mean_score"] == pytest.approx(searched["best_score"])
    assert {one["model"] for one in lines} == {"knn", "nb"}
    assert "n_neighbors=" in run("leaderboard").stdout


def test_the_leaderboard_can_have_one_line_for_each_type(searched, run):
    lines = json.loads(run("leaderboard", "--per-model", "--json").stdout)
    assert {one["model"]: pytest.approx(one["mean_score"]) for one in lines} == {
        name: one["score"] for name, one in searched["models"].items()
    }


def test_a_candidate_with_few_splits_done_does_not_lead(searched, run):
    with keepfit.Store("state.db") as store:
        alike = next(one for one in store.work.searches() if one.task_count == 9)
        stopped = store.work.begin(SearchRecord(alike.kind, alike.label, alike.parts, 9))
        store.work.commit([FinishedTask(b"x" * 32, stopped, '{"knn__n_neighbors": 9}', 0, 1.0, 0.1, b"")])
    lines = json.loads(run("leaderboard", "--json", "--limit", "50").stdout)
    assert lines[0]["mean_score"] == pytest.approx(searched["best_score"])
    assert lines[-1]["split_count"] == 1


def test_other_data_have_a_leaderboard_of_their_own(searched, run, iris):
    iris.sample(frac=1, random_state=0)[:90].to_csv("less.csv", index=False)
    run("search", "less.csv", "--target", "species", *QUICK)
    assert len(json.loads(run("leaderboard", "--json", "--limit", "50").stdout)) == 7


@pytest.mark.parametrize(
    ("target", "scoring", "hint"),
    [
        ("answer", "f1", "there are f1_macro, f1_micro, f1_weighted"),
        ("answer", "r2", "it is for amounts, and these are classes; for it there are accuracy"),
        ("species", "roc_auc", "there are roc_auc_ovr"),
        ("petal_width", "accuracy", "there are r2"),
        ("petal_width", "neg_mean_gamma_deviance", None),
        ("number", "f1", None),
        ("number", "r2", "these are classes"),
        ("answer", "roc_auc", None),
    ],
)
def test_a_scorer_that_does_not_suit_the_target_is_refused_before_any_fit(run, iris, target, scoring, hint):
    iris = iris.assign(answer=iris["petal_width"].gt(1).map({True: "yes", False: "no"}), number=[0, 1] * 75)
    iris.to_csv("data.csv", index=False)
    words = ("--target", target, "--scoring", scoring, "--models", "tree", "--grid", "tree.max_depth=1", "--cv", "2")
    task = () if target != "petal_width" else ("--task", "regression")
    result = run("search", "data.csv", *words, *task, "--no-progress")
    assert result.exit_code == (2 if hint else 0), result.stderr
    if hint:
        assert hint in result.stderr
        assert not os.path.exists("state.db")


@pytest.mark.filterwarnings("default")
def test_a_search_without_any_score_keeps_nothing_and_says_why(run, csv):
    words = ("--target", "species", "--scoring", "neg_log_loss", "--models", "svm", "--cv", "3", "--no-progress")
    result = run("search", csv, *words)
    assert result.exit_code == 1
    assert "predict_proba" in result.stderr.splitlines()[-1]
    assert all("predict_proba" in line for line in result.stderr.splitlines() if "Scoring failed" in line)
    with keepfit.Store("state.db") as store:
        assert not list(store)
        assert store.work.searches()[0].failed == 36
    assert "predict_proba" in run("status", "--failures").stdout


@pytest.mark.filterwarnings("default")
def test_fits_that_fail_are_told_with_their_traceback(run, csv):
    words = ("--target", "species", "--models", "lr", "--grid", "lr.C=1,-1", "--cv", "3", "--no-progress")
    result = run("search", csv, *words)
    assert "3 fits failed out of a total of 6" in result.stderr
    assert "3 failed" in result.stderr
    assert "The 'C' parameter of LogisticRegression must be" in run("status", "--failures").stdout


def test_a_regression_on_mixed_columns_with_gaps(run):
    pytest.importorskip("pyarrow")
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame({"size": rng.normal(size=120), "town": rng.choice(["A", "B", None], 120)})
    frame["price"] = 3 * frame["size"] + (frame["town"] == "A") + rng.normal(size=120) / 10
    frame.loc[::7, "size"] = np.nan
    frame.to_parquet("houses.parquet")
    result = run("search", "houses.parquet", "--target", "price", "--models", "lr,tree", "--json", "--no-progress")
    assert json.loads(result.stdout)["scoring"] == "r2"
    assert "regression, because price has 120 different numbers" in result.stderr
    frame.drop(columns="price").assign(town="C").to_csv("new.csv", index=False)
    assert len(run("predict", "state.db#lr", "new.csv").stdout.splitlines()) == 121


def test_a_name_that_gets_a_model_of_another_target_or_scorer_is_told(searched, run, csv, iris):
    words = ("--target", "species", "--models", "nb", "--grid", "nb.var_smoothing=0.1", "--cv", "2", "--no-progress")
    assert "so far" not in run("search", csv, *words).stderr
    assert (
        "state.db#nb is for 'species' by accuracy so far" in run("search", csv, *words, "--scoring", "f1_macro").stderr
    )
    assert [line.split()[2:4] for line in run("status").stdout.splitlines()[1:3]] == [
        ["species", "f1_macro"], ["species", "accuracy"]
    ]  # fmt: skip
    assert "f1_macro" in run("show").stdout


def test_predict_says_nothing_of_columns_that_the_search_left_out(run, iris):
    iris.assign(id=[f"flower {row}" for row in range(150)], day="2026-01-01").to_csv("data.csv", index=False)
    run("search", "data.csv", "--target", "species", *QUICK)
    assert "left aside" not in run("predict", "state.db#nb", "data.csv").stderr


@pytest.mark.filterwarnings("default")
def test_a_search_in_which_every_fit_fails_ends_with_one_line(run, csv):
    result = run("search", csv, "--target", "species", "--models", "lr", "--grid", "lr.C=-1", "--no-progress")
    assert result.exit_code == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("keepfit: no model could be fitted: ")
    assert "The 'C' parameter of LogisticRegression must be" in last
    assert last.endswith("keepfit status state.db --failures shows more")


@pytest.mark.parametrize("ending", ["jsonl", "ndjson.gz"])
def test_json_lines_are_searched_as_the_same_rows_of_csv(searched, run, iris, ending):
    iris.to_json(f"iris.{ending}", orient="records", lines=True, double_precision=15)
    again = run("search", f"iris.{ending}", "--target", "species", "--json", *QUICK)
    assert again.exit_code == 0, again.stderr
    again = json.loads(again.stdout)
    assert (again["computed"], again["reused"]) == (0, 21)
    assert again["models"] == searched["models"]


def test_json_lines_without_rows_are_refused(run, tmp_path):
    (tmp_path / "none.jsonl").write_text("")
    result = run("search", "none.jsonl", "--target", "y")
    assert result.exit_code == 1
    assert "none.jsonl has no rows" in result.stderr
