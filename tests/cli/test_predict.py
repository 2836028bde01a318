"""Predicting for tables of any length and format, part by part."""

from __future__ import annotations

import functools
import gzip
import http.server
import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import keepfit
from keepfit.cli.chunks import Table
from keepfit.cli.frames import MARKS

pandas = pytest.importorskip("pandas")

ROWS = 20_000
KEEPFIT = (sys.executable, "-m", "keepfit")


@pytest.fixture(scope="module")
def numbers():
    X, y = make_classification(ROWS, 12, n_informative=8, n_classes=3, random_state=0)
    return pandas.DataFrame(X, columns=[f"x{place}" for place in range(12)]), y


@pytest.fixture(scope="module")
def logistic(numbers):
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(*numbers)


@pytest.fixture(scope="module")
def mixed():
    """Rows with a text column that looks like numbers at first, and truth values."""
    rng = np.random.default_rng(0)
    rows = 10_000
    frame = pandas.DataFrame(
        {
            "amount": rng.normal(size=rows).round(3),
            "code": [f"{code:03d}" for code in rng.integers(0, 9, rows)],
            "answer": rng.choice([True, False], rows),
        }
    )
    frame.loc[9_000:, "code"] = "A1"
    return frame, (frame["code"].isin(["007", "A1"]) ^ frame["answer"]).astype(int)


@pytest.fixture(scope="module")
def mixed_model(mixed):
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    steps = ColumnTransformer([("codes", encoder, ["code"])], remainder="passthrough")
    return make_pipeline(steps, HistGradientBoostingClassifier(max_iter=20)).fit(*mixed)


def write(frame, form):
    frame = frame.reset_index(drop=True)
    name = f"data.{form}"
    if form == "csv":
        frame.to_csv(name, index=False)
    elif form == "csv.gz":
        Path(name).write_bytes(gzip.compress(frame.to_csv(index=False).encode()))
    elif form == "parquet":
        pytest.importorskip("pyarrow")
        frame.to_parquet(name)
    else:
        frame.to_json(name, orient="records", lines=True, double_precision=15)
    return name


def read(name):
    if name.endswith("parquet"):
        return pandas.read_parquet(name)
    return pandas.read_csv(name) if name.endswith("csv") else pandas.read_json(name, lines=True)


@pytest.mark.parametrize("form", ["csv", "csv.gz", "parquet", "jsonl"])
@pytest.mark.parametrize("out", ["csv", "parquet", "jsonl"])
def test_each_format_is_read_and_written(run, mixed, mixed_model, form, out):
    keepfit.dump(mixed_model, "model.safetensors")
    name = write(mixed[0], form)
    result = run("predict", "model.safetensors", name, "-o", f"out.{out}")
    assert result.exit_code == 0, result.stderr
    assert "10,000 rows -> out" in result.stderr
    assert read(f"out.{out}")["prediction"].tolist() == mixed_model.predict(mixed[0]).tolist()


@pytest.mark.parametrize("form", ["csv", "parquet", "jsonl"])
def test_parts_give_what_the_table_as_one_gives(run, numbers, logistic, form):
    keepfit.dump(logistic, "model.safetensors")
    result = run("predict", "model.safetensors", write(numbers[0], form), "--proba", "-o", "out.parquet")
    assert result.exit_code == 0, result.stderr
    np.testing.assert_allclose(
        pandas.read_parquet("out.parquet").to_numpy(), logistic.predict_proba(numbers[0]), rtol=0, atol=1e-14
    )
    run("predict", "model.safetensors", f"data.{form}", "-o", "out.parquet")
    assert read("out.parquet")["prediction"].tolist() == logistic.predict(numbers[0]).tolist()


def test_a_table_is_read_in_parts_that_are_bounded_in_rows_and_bytes(tmp_path):
    pandas.DataFrame({"text": ["x" * 10_000] * 3000}).to_csv(tmp_path / "wide.csv", index=False)
    with Table(str(tmp_path / "wide.csv"), "csv") as table:
        sizes = [len(part) for part in table.parts()]
    assert sum(sizes) == 3000
    assert max(sizes[1:]) * 10_000 <= 8 << 20


def test_text_that_looks_like_numbers_stays_text_in_every_part(run, mixed, mixed_model):
    keepfit.dump(mixed_model, "model.safetensors")
    frame = mixed[0].assign(code="007")
    frame.to_csv("data.csv", index=False)
    result = run("predict", "model.safetensors", "data.csv")
    assert read_text(result)["prediction"].tolist() == mixed_model.predict(frame).tolist()


def read_text(result):
    assert result.exit_code == 0, result.stderr
    return pandas.read_csv(io.StringIO(result.stdout))


def test_a_column_that_goes_on_with_something_else_is_refused_with_its_row(run, numbers, logistic):
    keepfit.dump(logistic, "model.safetensors")
    frame = numbers[0].astype({"x3": object})
    frame.loc[12_345, "x3"] = "soon"
    frame.to_csv("data.csv", index=False)
    Path("out.csv").write_text("before")
    result = run("predict", "model.safetensors", "data.csv", "-o", "out.csv")
    assert result.exit_code == 1
    assert "in 'x3', 'soon' in row 12,346 is no number, and those before are" in result.stderr
    assert Path("out.csv").read_text() == "before"
    assert sorted(path.name for path in Path().iterdir()) == ["data.csv", "model.safetensors", "out.csv"]


def test_marks_of_missing_values_and_truth_among_numbers(run):
    X = pandas.DataFrame({"a": [0.0, 1.0, np.nan, 1.0], "b": [1.0, 0.0, 1.0, 0.0]})
    keepfit.dump(HistGradientBoostingClassifier(min_samples_leaf=1).fit(X, [0, 1, 2, 1]), "model.safetensors")
    Path("data.csv").write_text("a,b\n0,true\n1,0\n?,TRUE\n1.0,false\n")
    assert read_text(run("predict", "model.safetensors", "data.csv"))["prediction"].tolist() == [0, 1, 2, 1]


def test_json_lines_that_are_read_as_csv_are_told(numbers, logistic, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keepfit.dump(logistic, "model.safetensors")
    data = Path(write(numbers[0], "jsonl")).read_bytes()
    done = subprocess.run([*KEEPFIT, "predict", "model.safetensors", "-"], input=data, capture_output=True)
    assert done.returncode == 1
    assert b"it looks like JSON lines: --format jsonl" in done.stderr


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_standard_input_and_output(numbers, logistic, tmp_path, form, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keepfit.dump(logistic, "model.safetensors")
    data = Path(write(numbers[0], form)).read_bytes()
    words = [*KEEPFIT, "predict", "model.safetensors", "-", "--format", form]
    done = subprocess.run(words, input=data, capture_output=True)
    assert done.returncode == 0, done.stderr
    Path(f"out.{form}").write_bytes(done.stdout)
    assert read(f"out.{form}")["prediction"].tolist() == logistic.predict(numbers[0]).tolist()


def test_a_stream_gives_predictions_before_it_ends(numbers, logistic, tmp_path):
    keepfit.dump(logistic, tmp_path / "model.safetensors")
    words = [*KEEPFIT, "predict", tmp_path / "model.safetensors", "-"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(numbers[0].to_csv(index=False).encode())
        process.stdin.flush()
        assert process.stdout.readline() == b"prediction\n"  # with the stream still open
        process.stdin.close()
        assert len(process.stdout.read().splitlines()) == ROWS


def test_a_model_that_reads_texts_takes_a_table_of_one_column(run):
    texts = ["good fine nice", "bad awful", "nice good", "awful bad bad"] * 5
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [1, 0, 1, 0] * 5)
    keepfit.dump(model, "model.safetensors")
    pandas.DataFrame({"review": texts}).to_csv("data.csv", index=False)
    assert read_text(run("predict", "model.safetensors", "data.csv"))["prediction"].tolist() == [1, 0, 1, 0] * 5
    pandas.DataFrame({"review": texts, "by": "me"}).to_csv("data.csv", index=False)
    assert "reads one column of texts" in run("predict", "model.safetensors", "data.csv").stderr


def test_explain_columns_tells_what_goes_where_and_predicts_nothing(run, mixed, mixed_model):
    keepfit.dump(mixed_model, "model.safetensors")
    mixed[0][["code", "answer", "amount"]].assign(note="x").to_csv("data.csv", index=False)
    result = run("predict", "model.safetensors", "data.csv", "--explain-columns")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["model", "kind", "told", "by", "data.csv"]
    assert lines[2] == ["code", "string", "the", "model", "code"]
    assert lines[-1][-2:] == ["note", "(ignored)"]
    mixed[0].rename(columns={"amount": "amuont"}).to_csv("data.csv", index=False)
    result = run("predict", "model.safetensors", "data.csv", "--explain-columns")
    assert result.exit_code == 1
    assert "MISSING: did you mean 'amuont'?" in result.stdout


def test_explain_columns_of_a_search_names_what_it_left_out_and_what_it_predicts(run, iris):
    iris.assign(id=[f"row {row}" for row in range(150)]).to_csv("data.csv", index=False)
    run("search", "data.csv", "--target", "species", "--models", "nb", "--no-progress")
    shown = run("predict", "state.db#nb", "data.csv", "--explain-columns").stdout
    assert "id (ignored)" in shown
    assert "species (compared)" in shown
    assert "the search that fitted it" in shown


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("empty.csv", b"", "is empty"),
        ("ragged.csv", b"a,b\n1,2\n1,2,3\n", "cannot be read as CSV"),
        ("semicolons.csv", b"a;b\n1,5;2\n", "has semicolons between its columns; save it with commas"),
        ("twice.csv", b"age,age,city\n" + b"1,2,x\n" * 5000, "has two columns named 'age'; give each its own name"),
        ("twice.csv.gz", gzip.compress(b"\na,b,a.1,a\n1,2,3,4\n", mtime=0), "has two columns named 'a'"),
        ("latin.csv", b"a,b\n\xe9,1\n", "not UTF-8 text; save it as UTF-8"),
        ("cut.csv.gz", gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:-9], "cannot be read as CSV"),
        ("flipped.csv.gz", gzip.compress(b"a,b\n1,2\n", mtime=0)[:12] + b"\xff" * 9, "cannot be read as CSV"),
        ("book.xlsx", b"PK\x03\x04", "not .xlsx; save the sheet as CSV"),
        ("text.parquet", b"a,b\n1,2\n", "cannot be read as Parquet"),
        ("none.jsonl", b"\n\n", "has no rows"),
        ("list.jsonl", b'{"a": 1}\n[1, 2]\n', "line 2 is no object"),
        ("broken.jsonl", b'{"a": 1}\n{"a": \n', "line 2: "),
        ("deep.jsonl", b'{"a":' * 100_000 + b"\n", "line 1: "),
    ],
)
def test_what_is_no_table_is_refused_with_what_it_is(run, model, name, contents, message):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    keepfit.dump(model, "model.safetensors")
    Path(name).write_bytes(contents)
    result = run("predict", "model.safetensors", name)
    assert result.exit_code == 1
    assert message in result.stderr.splitlines()[-1]


def test_a_model_at_a_url(run, csv, model, iris, tmp_path):
    pytest.importorskip("aiohttp")
    keepfit.dump(model, tmp_path / "model.safetensors")
    handler = functools.partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        result = run("predict", f"http://127.0.0.1:{server.server_port}/model.safetensors", csv)
        server.shutdown()
    assert read_text(result)["prediction"].tolist() == model.predict(iris.drop(columns="species")).tolist()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_ctrl_c_leaves_what_was_there(numbers, logistic, tmp_path):
    keepfit.dump(logistic, tmp_path / "model.safetensors")
    (tmp_path / "out.csv").write_text("before")
    words = [*KEEPFIT, "predict", "model.safetensors", "-", "-o", "out.csv"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path) as process:
        process.stdin.write(numbers[0].to_csv(index=False).encode())
        process.stdin.flush()
        deadline = time.monotonic() + 60
        while not any(path.suffix == ".tmp" for path in tmp_path.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        process.wait(60)
    assert process.returncode == 130
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.safetensors", "out.csv"]
    assert (tmp_path / "out.csv").read_text() == "before"


_WATCHED = """
import sys
from pathlib import Path
from keepfit.cli import main
try:
    main()
finally:
    print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0], file=sys.stderr)
"""


def peak_mb(model, data, repeats):
    """The peak of memory of predicting for a stream that repeats some lines."""
    head, _, body = data.partition(b"\n")
    words = [sys.executable, "-c", _WATCHED, "predict", model, "-", "-o", os.devnull]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdin.write(head + b"\n")
        for _ in range(repeats):
            process.stdin.write(body)
        process.stdin.close()
        error = process.stderr.read()
    assert process.returncode == 0, error
    return int(error.split()[-1]) / 1024


def test_memory_does_not_grow_with_the_table(numbers, logistic, tmp_path):
    keepfit.dump(logistic, tmp_path / "model.safetensors")
    data = numbers[0].to_csv(index=False).encode()  # 4.7 MB
    short, long = (peak_mb(tmp_path / "model.safetensors", data, repeats) for repeats in (1, 20))
    assert long - short < 32, (short, long)


def test_categories_of_pandas_are_known_in_every_part_whatever_the_part_has(run):
    rng = np.random.default_rng(0)
    colours = rng.choice(["red", "green", "blue"], 3000)
    frame = pandas.DataFrame({"colour": pandas.Categorical(colours), "size": rng.normal(size=3000)})
    model = HistGradientBoostingClassifier(categorical_features="from_dtype").fit(frame, colours == "red")
    keepfit.dump(model, "model.safetensors")
    ordered = frame.sort_values("colour", key=lambda column: column.astype(str))
    ordered.to_csv("data.csv", index=False)  # parts of one colour each
    predicted = read_text(run("predict", "model.safetensors", "data.csv"))["prediction"]
    assert predicted.tolist() == model.predict(ordered).tolist()


def test_the_marks_of_missing_values_are_those_of_pandas():
    words = [*MARKS, "missing", "-", "NAN", "none", "NoNe", "?"]
    read = pandas.read_csv(io.StringIO("a,b\n" + "".join(f'"{word}",1\n' for word in words)))
    assert read["a"].isna().tolist() == [word in MARKS for word in words]


@pytest.fixture
def cities(run):
    """A model that knows three cities, one of them by the letters that elsewhere stand for nothing."""
    X = pandas.DataFrame({"age": [1.0, 2.0, 3.0] * 4, "city": ["NA", "Oslo", "Rome"] * 4})
    steps = ColumnTransformer([("city", OneHotEncoder(), ["city"])], remainder="passthrough")
    model = make_pipeline(steps, LogisticRegression(max_iter=500)).fit(X, X["city"])
    keepfit.dump(model, "model.safetensors")
    return model


def test_a_category_that_looks_like_a_missing_value_is_one(run, cities):
    Path("data.csv").write_text("age,city\n1,NA\n2,Oslo\n1,NA\n")
    assert run("predict", "model.safetensors", "data.csv").stdout.split() == ["prediction", "NA", "Oslo", "NA"]


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("Paris", "in 'city', 'Paris' in row 5,001 is no category that the model knows"),
        ("n/a", "in 'city', 'n/a', which counts as missing, in row 5,001 is no category that the model knows"),
        ("", "in 'city', '', which counts as missing, in row 5,001 is no category that the model knows"),
    ],
)
def test_an_unknown_category_is_told_with_its_column_row_and_text(run, cities, written, words):
    Path("data.csv").write_text("age,city\n" + "1,Rome\n" * 5000 + f"1,{written}\n1,Rome\n")
    result = run("predict", "model.safetensors", "data.csv", "-o", "out.csv")
    assert result.exit_code == 1
    assert words in result.stderr


def test_an_empty_text_is_a_text_and_what_is_none_is_told_with_its_row(run):
    texts = ["good fine nice", "bad awful", "", "NA"] * 5
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, ["good", "bad", "none", "na"] * 5)
    keepfit.dump(model, "model.safetensors")
    Path("data.csv").write_text('review\nbad\n""\nNA\ngood\n')
    result = run("predict", "model.safetensors", "data.csv")
    assert result.stdout.split() == ["prediction", "bad", "none", "na", "good"], result.stderr
    Path("data.jsonl").write_text('{"review": "bad"}\n{"review": ""}\n{"review": null}\n')
    result = run("predict", "model.safetensors", "data.jsonl")
    assert result.exit_code == 1
    assert "in 'review', a missing value in row 3 is no text" in result.stderr


def test_a_missing_value_stays_one_where_the_model_knows_such(run):
    X = pandas.DataFrame({"city": ["Oslo", np.nan, "Rome"] * 4})
    model = make_pipeline(OneHotEncoder(), LogisticRegression(max_iter=500)).fit(X, ["o", "missing", "r"] * 4)
    keepfit.dump(model, "model.safetensors")
    Path("data.csv").write_text('city\nOslo\nNA\n""\nRome\n')
    found = run("predict", "model.safetensors", "data.csv").stdout.split()
    assert found == ["prediction", "o", "missing", "missing", "r"]
    Path("data.csv").write_text("city\nOslo\nNA\nParis\n")
    assert "'Paris' in row 3 is no category" in run("predict", "model.safetensors", "data.csv").stderr


@pytest.mark.parametrize("form", ["csv", "csv.gz", "parquet"])
def test_a_table_without_rows_gives_a_result_without_rows(run, mixed, mixed_model, form):
    keepfit.dump(mixed_model, "model.safetensors")
    data = write(mixed[0].iloc[:0], form)
    for words, columns in (([], ["prediction"]), (["--proba"], ["probability_0", "probability_1"])):
        result = run("predict", "model.safetensors", data, *words)
        assert (result.exit_code, result.stdout) == (0, ",".join(columns) + "\n")
        assert result.stderr.endswith(f"{data} has column names and no rows\n")
    if form != "csv.gz":
        assert run("predict", "model.safetensors", data, "-o", f"out.{form}").exit_code == 0
        assert list(read(f"out.{form}")) == ["prediction"]
        assert not len(read(f"out.{form}"))


def test_a_table_without_rows_needs_the_columns_too(run, mixed_model):
    keepfit.dump(mixed_model, "model.safetensors")
    Path("data.csv").write_text("amount,answer\n")
    result = run("predict", "model.safetensors", "data.csv")
    assert result.exit_code == 1
    assert "lacks the column 'code'" in result.stderr


def test_several_targets_have_a_column_each_without_rows_too(run):
    model = LinearRegression().fit(pandas.DataFrame({"a": [0.0, 1.0]}), [[0.0, 1.0], [1.0, 2.0]])
    keepfit.dump(model, "model.safetensors")
    Path("data.csv").write_text("a\n")
    assert run("predict", "model.safetensors", "data.csv").stdout == "prediction_0,prediction_1\n"


def test_one_is_not_many(run, csv, model):
    keepfit.dump(model, "model.safetensors")
    Path("one.csv").write_text("".join(csv.read_text().splitlines(keepends=True)[:2]))
    assert "1 row -> out.csv" in run("predict", "model.safetensors", "one.csv", "-o", "out.csv").stderr
    words = ("--models", "nb", "--grid", "nb.var_smoothing=1e-9", "--no-progress")
    assert "1 candidate (nb 1), 5 splits" in run("search", csv, "--target", "species", *words).stderr
