"""What becomes of the columns of a table."""

from __future__ import annotations

import datetime

import numpy as np
import pytest

from keepfit.cli.chunks import Table
from keepfit.cli.frames import as_kind, kind_of, read
from keepfit.cli.grids import DEFAULTS, READY, ready, with_own_grids
from keepfit.cli.pipelines import preparation, prepare, task_of
from keepfit.errors import KeepfitError

pandas = pytest.importorskip("pandas")

KINDS = [
    ([1, 2, 3], "number"),
    ([1.5, None, 2.5], "number"),
    (["1", "?", "3"], "number"),
    (["red", "green", None], "text"),
    (["1", "2", "x"], "text"),
    ([True, False, True], "text"),
    ([None, None, None], "nothing"),
    (pandas.to_datetime(["2020-01-01", "2020-01-02", None]), "date"),
    (["2020-01-01", "2020-12-31", None, "?"], "date"),
    (["2020-01-01 10:00:00", "2020-12-31T23:59:59.5+02:00", "2021-01-01T00:00Z"], "date"),
    ([datetime.date(2020, 1, 1), None], "date"),
    (["2020-01-01", "later"], "text"),
    (["2020-01-01", "3"], "text"),
    (["2020", "2021"], "number"),
    ([[1], [2, 3], []], "nested"),
    (pandas.Categorical(["a", "b", "a"]), "text"),
]


@pytest.mark.parametrize(("values", "kind"), KINDS)
def test_the_kind_of_a_column_is_told_from_its_values(values, kind):
    assert kind_of(pandas.Series(values)) == kind


@pytest.mark.parametrize(
    "values", [["3", "1", None], [3, 1, None], [3.0, 1.0, np.nan], pandas.array([3, 1, None], "Int64")]
)
def test_the_same_values_give_the_same_column_however_they_were_typed(values):
    text = as_kind(pandas.Series(values), "text")
    assert text[:2].tolist() == ["3", "1"]
    assert np.isnan(text[2])
    assert text.dtype == object
    np.testing.assert_array_equal(as_kind(pandas.Series(values), "number"), [3.0, 1.0, np.nan])


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["a", "b"] * 30, "classification"),
        ([True, False] * 30, "classification"),
        ([0, 1, 2] * 20, "classification"),
        ([0.0, 1.0] * 30, "classification"),
        (list(range(60)), "regression"),
        ([0.5, 1.0] * 30, "regression"),
    ],
)
def test_the_task_is_told_from_the_target(values, task):
    assert task_of(pandas.Series(values, name="y"))[0] == task


def mixed(rows=60):
    rng = np.random.default_rng(0)
    return pandas.DataFrame(
        {
            "amount": np.where(rng.random(rows) < 0.2, np.nan, rng.normal(size=rows)),
            "colour": rng.choice(["red", "green", None], rows),
            "answer": rng.choice([True, False], rows),
            "id": [f"row {row}" for row in range(rows)],
            "empty": [None] * rows,
            "always": [7] * rows,
            "y": rng.integers(0, 2, rows),
        }
    )


def test_columns_that_tell_nothing_are_left_out_with_the_reason():
    prepared = prepare(mixed(), "y", None)
    assert prepared.columns == {"amount": "number", "colour": "text", "answer": "text"}
    assert prepared.left_out.keys() == {"id", "empty", "always"}


def test_mixed_columns_with_missing_values_become_finite_numbers():
    prepared = prepare(mixed(), "y", None)
    out = preparation(prepared.columns).fit_transform(prepared.X)
    assert out.shape == (60, 1 + 3 + 2)  # the amount; red, green, missing; true, false
    assert np.isfinite(out).all()


def test_csv_and_parquet_give_the_same_columns_whatever_the_table_holds(tmp_path):
    pytest.importorskip("pyarrow")
    days = pandas.Series(pandas.date_range("2020-01-01", periods=5).repeat(12)).sample(frac=1, random_state=0)
    frame = mixed().assign(day=days.to_numpy(), moment=days.to_numpy() + pandas.Timedelta("1h30min"), date=days.dt.date)
    frame.to_csv(tmp_path / "data.csv", index=False)
    frame.to_parquet(tmp_path / "data.parquet")
    one, other = (prepare(read(str(tmp_path / f"data.{ending}")), "y", None) for ending in ("csv", "parquet"))
    assert one.left_out.keys() >= {"day", "moment", "date"}
    assert (one.columns, one.left_out) == (other.columns, other.left_out)
    pandas.testing.assert_frame_equal(one.X, other.X)


def test_values_that_were_not_seen_in_fitting_are_no_error():
    prepared = prepare(mixed(), "y", None)
    step = preparation(prepared.columns).fit(prepared.X)
    new = prepared.X.iloc[:2].assign(colour=["blue", np.nan], amount=[np.nan, 1.0])
    assert np.isfinite(step.transform(new)).all()


def test_a_column_of_very_many_texts_becomes_few_columns():
    frame = pandas.DataFrame({"town": [f"town {row % 200}" for row in range(600)], "y": [0, 1] * 300})
    prepared = prepare(frame, "y", None)
    assert preparation(prepared.columns).fit_transform(prepared.X).shape[1] == 30


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": "Y "}, "did you mean 'y'"),
        ({"y": [0, None] * 30}, "no value in 30 of 60 rows"),
        ({"y": [1] * 60}, "same value in all rows"),
        ({"y": ["a", "b"] * 30, "task": "regression"}, "not all numbers"),
        ({"only": ["y"]}, "no column is left"),
    ],
)
def test_a_target_that_will_not_do_is_refused_with_the_reason(change, message):
    frame = mixed()
    if "y" in change:
        frame["y"] = change["y"]
    if "only" in change:
        frame = frame[change["only"]]
    with pytest.raises(KeepfitError, match=message):
        prepare(frame, change.get("target", "y"), change.get("task"))


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("empty.csv", b"", "is empty"),
        ("heads.csv", b"a,b\n", "no rows"),
        ("ragged.csv", b"a,b\n1,2\n1,2,3\n", "cannot be read as CSV"),
        ("binary.csv", b"\x93NUMPY\xff\xfe\x00", "cannot be read as CSV"),
        ("semicolons.csv", b"a;b\n1,5;2\n", "has semicolons between its columns; save it with commas"),
        ("tabs.csv", b"a\tb\n1\t2\n", "has tabs"),
        ("twice.csv", b'age,"age",city\n1,2,x\n', "has two columns named 'age'; give each its own name"),
        ("latin.csv", b"a,b\n\xe9,1\n", "not UTF-8 text; save it as UTF-8"),
        ("book.xlsx", b"PK\x03\x04", "is a spreadsheet"),
        ("text.parquet", b"a,b\n1,2\n", "cannot be read as Parquet"),
    ],
)
def test_a_file_that_is_no_table_is_refused_with_what_it_is(tmp_path, name, contents, message):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(contents)
    with pytest.raises(KeepfitError, match=message):
        read(str(tmp_path / name))


def test_names_that_only_look_as_if_they_stood_twice_and_columns_without_one_are_taken(tmp_path):
    (tmp_path / "data.csv").write_text("age,age.1,,\n1,2,3,4\n")
    assert list(read(str(tmp_path / "data.csv")))[:2] == ["age", "age.1"]
    with Table(str(tmp_path / "data.csv"), "csv") as table:
        assert table.columns[:2] == ["age", "age.1"]


@pytest.mark.parametrize(("task", "name"), [(task, name) for task, table in READY.items() for name in table])
def test_every_ready_grid_fits_its_model(task, name):
    one = READY[task][name]
    for parameter, values in one.grid.items():
        for value in values:
            one.make().set_params(**{parameter: value})
    assert set(DEFAULTS[task]) <= READY[task].keys()


def test_no_more_neighbours_are_asked_for_than_there_are_rows():
    assert max(ready("classification", "knn", 10)["knn"].grid["n_neighbors"]) == 9


@pytest.mark.parametrize(
    ("text", "model", "grid"),
    [
        ("knn.n_neighbors=1:100", "knn", {"n_neighbors": range(1, 100)}),
        ("rf.n_estimators=20:150:3", "rf", {"n_estimators": range(20, 150, 3)}),
        ("lr.C=0.1,1,10", "lr", {"C": [0.1, 1, 10]}),
        ("knn.weights=uniform,distance", "knn", {"weights": ["uniform", "distance"]}),
        ("rf.max_depth=None,3", "rf", {"max_depth": [None, 3]}),
        ("rf.bootstrap=true", "rf", {"bootstrap": [True]}),
    ],
)
def test_a_grid_of_ones_own_takes_the_place_of_the_ready_one(text, model, grid):
    models = with_own_grids(ready("classification", None, 100), [text])
    assert models[model].grid == grid
    assert models["nb"].grid == READY["classification"]["nb"].grid
