"""Commands on files and stores that are there, and what they say of those that are not."""

from __future__ import annotations

import io
import json
import os
import pickle
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import LinearSVC

import keepfit
from keepfit.codecs import tree_nodes

pandas = pytest.importorskip("pandas")


def table(result):
    return pandas.read_csv(io.StringIO(result.stdout))


def test_a_model_file_predicts_for_each_row(run, csv, model, iris):
    keepfit.dump(model, "model.safetensors")
    result = run("predict", "model.safetensors", csv)
    assert result.exit_code == 0
    assert table(result)["prediction"].tolist() == model.predict(iris.drop(columns="species")).tolist()


@pytest.mark.parametrize("address", ["lr", "lr@2", "lr@old", "lr@1"])
def test_a_model_in_a_store_is_named_by_version_or_alias(run, csv, store, iris, address):
    name, _, version = address.partition("@")
    with keepfit.Store(store) as opened:
        chosen = opened.load(name, version=int(version) if version.isdigit() else version or None)
    result = run("predict", f"{store}#{address}", csv)
    assert table(result)["prediction"].tolist() == chosen.predict(iris.drop(columns="species")).tolist()


def test_probabilities_have_a_column_for_each_class(run, csv, store):
    result = run("predict", f"{store}#lr", csv, "--proba")
    assert list(table(result)) == ["probability_setosa", "probability_versicolor", "probability_virginica"]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_predictions_go_to_a_file(run, csv, store, ending, tmp_path):
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    run("predict", f"{store}#lr", csv, "-o", f"out.{ending}")
    read = pandas.read_csv if ending == "csv" else pandas.read_parquet
    assert len(read(tmp_path / f"out.{ending}")) == 150


def test_columns_are_found_by_name_in_any_order_and_this_is_said(run, store, iris, csv):
    expected = table(run("predict", f"{store}#lr", csv))
    iris[iris.columns[::-1]].assign(note="x").to_csv("other.csv", index=False)
    result = run("predict", f"{store}#lr", "other.csv")
    assert table(result).equals(expected)
    assert "another order" in result.stderr
    assert "'note'" in result.stderr


def test_columns_that_differ_in_case_alone_are_named(run, store, iris):
    iris.rename(columns=str.upper).to_csv("other.csv", index=False)
    result = run("predict", f"{store}#lr", "other.csv")
    assert result.exit_code == 1
    assert "'PETAL_WIDTH'" in result.stderr
    assert "upper and lower case count" in result.stderr


def test_a_missing_column_is_named_with_a_close_match(run, store, iris):
    iris.rename(columns={"petal_width": "petal_widht"}).to_csv("other.csv", index=False)
    result = run("predict", f"{store}#lr", "other.csv")
    assert result.exit_code == 1
    assert "lacks the column 'petal_width'" in result.stderr
    assert "did you mean 'petal_widht'" in result.stderr


def test_a_known_target_is_compared_with_the_predictions(run, store, csv):
    assert "accuracy 0.97333" in run("predict", f"{store}#lr@2", csv).stderr


def test_a_model_fitted_without_names_takes_as_many_columns_as_it_had(run, store, csv, iris):
    iris.drop(columns="species").to_csv("bare.csv", index=False)
    assert len(table(run("predict", f"{store}#bare", "bare.csv"))) == 150
    assert "has 5 columns and the model was fitted on 4" in run("predict", f"{store}#bare", csv).stderr


def test_probabilities_of_a_model_that_has_none_are_refused(run, csv, iris):
    keepfit.dump(LinearSVC().fit(iris.drop(columns="species"), iris["species"]), "svm.safetensors")
    result = run("predict", "svm.safetensors", csv, "--proba")
    assert result.exit_code == 1
    assert "no predict_proba; it predicts without --proba" in result.stderr


def test_a_store_without_a_name_lists_the_models_it_has(run, store, csv):
    assert f"{store}#bare, {store}#lr" in run("predict", store, csv).stderr


def test_show_lists_the_newest_of_each_model(run, store):
    result = run("show", store)
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["model", "bare", "lr"]
    assert [one["name"] for one in json.loads(run("show", store, "--json").stdout)] == ["bare", "lr"]


def test_show_tells_all_of_one_model(run, store):
    told = json.loads(run("show", f"{store}#lr", "--json").stdout)
    assert (told["version"], told["metadata"]["score"], told["all_versions"]) == (2, 0.97, [1, 2])
    text = run("show", f"{store}#lr").stdout
    assert "LogisticRegression" in text
    assert "sepal_length" in text


def test_show_has_no_lines_without_content(run, store, model):
    with keepfit.Store(store) as kept:
        kept.save("plain", model, metadata={"left_out": {}, "zero": 0})
    names = [line.split()[0] for line in run("show", f"{store}#plain").stdout.splitlines()]
    assert "zero" in names
    assert "left_out" not in names


def test_an_exported_model_is_what_dump_writes(run, store, model, tmp_path):
    assert run("export", f"{store}#lr", "lr.safetensors").exit_code == 0
    keepfit.dump(model, "dumped.safetensors", metadata={"score": 0.97, "target": "species"})
    assert (tmp_path / "lr.safetensors").read_bytes() == (tmp_path / "dumped.safetensors").read_bytes()


def test_an_export_is_compressed_when_that_is_asked_for(run, store, tmp_path):
    ramp = list(range(5000))
    with keepfit.Store(store) as opened:
        opened["ramp"] = np.arange(5000)
    assert run("export", f"{store}#ramp", "ramp.safetensors", "--compress").exit_code == 0
    data = (tmp_path / "ramp.safetensors").read_bytes()
    assert data == keepfit.dumps(np.arange(5000), compress="zstd")
    assert keepfit.loads(data).tolist() == ramp
    assert len(data) < 20_000


def test_export_without_a_name_is_a_usage_error(run, store):
    assert run("export", store, "x.safetensors").exit_code == 2


def test_inspect_ends_with_0_where_load_needs_nothing_opened(run, model):
    keepfit.dump(model, "model.safetensors")
    assert run("inspect", "model.safetensors").exit_code == 0
    assert json.loads(run("inspect", "model.safetensors", "--json").stdout)["type"].endswith("LogisticRegression")


def test_inspect_reads_a_model_in_a_store(run, store):
    assert json.loads(run("inspect", f"{store}#lr", "--json").stdout)["loads_as_it_is"]


def test_verify_replays_the_sample(run, model, iris):
    keepfit.dump(model, "model.safetensors", sample=iris.drop(columns="species")[:5])
    result = run("verify", "model.safetensors")
    assert result.exit_code == 0
    assert "predict_proba" in result.stdout


def test_verify_tells_a_flipped_bit(run, model, tmp_path):
    keepfit.dump(model, "model.safetensors")
    data = bytearray((tmp_path / "model.safetensors").read_bytes())
    data[-3] ^= 1
    (tmp_path / "model.safetensors").write_bytes(data)
    result = run("verify", "model.safetensors", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)[0]["ok"] is False


def test_verify_of_a_store_checks_every_version(run, store):
    result = run("verify", store)
    assert result.exit_code == 0
    assert [line.split()[1] for line in result.stdout.splitlines()] == [
        str(store), f"{store}#bare@1", f"{store}#lr@1", f"{store}#lr@2"
    ]  # fmt: skip


def test_verify_of_a_store_tells_which_model_is_damaged(run, store):
    with sqlite3.connect(store) as connection:
        data = connection.execute("SELECT data FROM keepfit_array_chunk WHERE array_id = 1").fetchone()[0]
        connection.execute(
            "UPDATE keepfit_array_chunk SET data = ? WHERE array_id = 1", [bytes([data[0] ^ 1]) + data[1:]]
        )
    connection.close()
    result = run("verify", store)
    assert result.exit_code == 1
    assert [line.split()[1] for line in result.stdout.splitlines() if line.startswith("FAIL")] == [f"{store}#lr@1"]


def test_doctor_tells_versions_extras_threads_and_the_store(run, store):
    result = run("doctor", store, "--json")
    assert result.exit_code == 0
    found = {(one["part"], one["what"]): one["detail"] for one in json.loads(result.stdout)}
    assert found["versions", "SQLite"] == sqlite3.sqlite_version
    assert ("compiled" if tree_nodes.kernel else "by NumPy") in found["versions", "checks of trees"]
    assert found[f"store {store}", "models"].startswith("2, in 3 versions")


def test_doctor_tells_what_would_hold_a_model_of_a_stranger(run):
    found = {one["what"]: one for one in json.loads(run("doctor", "--json").stdout) if one["part"] == "serving"}
    assert found["jails"]["mark"] == "ok"
    assert found["Landlock"]["detail"].startswith("ABI ")
    assert found["seccomp"]["detail"] == "yes"


def test_what_a_script_defined_is_to_be_passed_in_python(run):
    Path("own.pkl").write_bytes(b"c__main__\nsquare\n.")
    result = run("convert", "own.pkl", "own.safetensors")
    assert result.exit_code == 1
    assert "define or import square in Python, and load or convert it there with trusted=[square]" in result.stderr


def test_doctor_fails_on_what_is_no_store(run, csv):
    result = run("doctor", csv)
    assert result.exit_code == 1
    assert "FAIL" in result.stdout
    assert "is not a store but a table in text (CSV)" in result.stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["predict", "nothing.safetensors", "iris.csv"], 1, "nothing.safetensors"),
        (["predict", "iris.csv", "iris.csv"], 1, "iris.csv"),
        (["predict", "state.db#no", "iris.csv"], 1, "no model named 'no'"),
        (["predict", "state.db#lr@9", "iris.csv"], 1, "no version or alias 9"),
        (["predict", "state.db#lr", "nothing.csv"], 1, "nothing.csv"),
        (["show", "nothing.db"], 1, "no store at"),
        (["status", "iris.csv"], 1, "is not a store"),
        (["leaderboard", "state.db", "--search", "7"], 1, "no search 7"),
        (["export", "state.db#lr", "nowhere/lr.safetensors"], 1, "nowhere"),
        (["export", "state.db#lr", "state.db"], 1, "is an SQLite database, such as a store"),
        (["export", "state.db#lr", "lr.pkl"], 2, "joblib cannot read it; name it .safetensors"),
        (["predict", "state.db", "iris.csv"], 2, "say which model: state.db#bare"),
        (["inspect", "state.db"], 2, "say which model: state.db#bare"),
        (["export", "state.db", "lr.safetensors"], 2, "state.db#NAME"),
        (["predict", "state.db#lr", "iris.csv", "-o", "out.xlsx"], 1, "not .xlsx"),
        (["search", "iris.csv"], 2, "--target"),
        (["search", "iris.csv", "--target", "specie"], 1, "did you mean 'species'"),
        (["search", "iris.csv", "--target", "species", "--models", "knm"], 2, "did you mean 'knn'"),
        (["search", "iris.csv", "--target", "species", "--models", "enet"], 2, "'enet' is for regression"),
        (["search", "iris.csv", "--target", "species", "--scoring", "acuracy"], 2, "did you mean 'accuracy'"),
        (["search", "iris.csv", "--target", "species", "--scoring", "acc"], 2, "did you mean 'accuracy'"),
        (["search", "iris.csv", "--target", "species", "--grid", "knn.k=1:9"], 2, "no parameter 'k'"),
        (["search", "iris.csv", "--target", "species", "--grid", "knn.n_neighbors=9:1"], 2, "no number in 9:1"),
        (["search", "iris.csv", "--target", "species", "--grid", "n_neighbors"], 2, "model.parameter=values"),
        (["search", "iris.csv", "--target", "species", "--cv", "60"], 1, "use --cv 50"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_by_the_exit_code(run, csv, store, words, code, message):
    result = run(*words)
    assert result.exit_code == code
    assert message in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.output


def test_doctor_and_verify_say_that_there_is_nothing(run):
    result = run("doctor", "nope.db")
    assert result.exit_code == 1
    assert "integrity" not in result.stdout
    assert "no store at nope.db" in result.stdout
    assert "[Errno" not in run("verify", "nope.safetensors").stdout


def test_an_sqlite_store_given_as_a_url_is_checked_as_one(run, store):
    assert "the database is whole" in run("doctor", f"sqlite:///{store}").stdout


def test_a_regressor_has_no_probabilities_and_this_is_said(run, csv, iris):
    keepfit.dump(LinearRegression().fit(iris[["sepal_width"]], iris["petal_width"]), "lr.safetensors")
    assert "it predicts amounts, which have no probabilities" in run("predict", "lr.safetensors", csv, "--proba").stderr


def test_a_store_with_work_and_no_models_says_where_to_look(run, iris):
    with keepfit.checkpoint("work.db", progress=False):
        GridSearchCV(GaussianNB(), {}, cv=2).fit(iris.drop(columns="species"), iris["species"])
    assert "keepfit leaderboard work.db" in run("show", "work.db").stdout


def test_a_class_in_the_current_folder_is_found_for_who_trusts_it(iris, csv, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from sklearn.naive_bayes import GaussianNB\n"
        "class Own(GaussianNB):\n"
        "    pass\n"
        "def keep():\n"
        "    import keepfit, pandas\n"
        "    frame = pandas.read_csv('iris.csv')\n"
        "    keepfit.dump(Own().fit(frame.drop(columns='species'), frame['species']), 'own.safetensors')\n"
    )
    subprocess.run([sys.executable, "-c", "import mine; mine.keep()"], cwd=tmp_path, check=True)

    def keepfit_command(*words):  # with the current folder not on the path, as an installed script has it
        code = "import sys; sys.path.remove(''); from keepfit.cli import main; main()"
        return subprocess.run([sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True)

    refused = keepfit_command("predict", "own.safetensors", "iris.csv")
    assert refused.returncode == 1
    assert refused.stderr.strip().endswith("pass --trusted mine.Own")
    for words in (["predict", "own.safetensors", "iris.csv"], ["verify", "own.safetensors"]):
        assert keepfit_command(*words, "--trusted", "mine.Own").returncode == 0


def test_inspect_names_an_address_that_does_not_answer_once(run):
    result = run("inspect", "http://127.0.0.1:9/model.safetensors")
    assert result.exit_code == 2
    assert result.stderr.count("127.0.0.1:9/model.safetensors") == 1
    assert result.stderr.count("\n") == 1


def test_verify_of_a_folder_checks_the_keepfit_files_in_it(run, model, tmp_path):
    (tmp_path / "models" / "more").mkdir(parents=True)
    keepfit.dump(model, tmp_path / "models" / "a.safetensors")
    keepfit.dump(model, tmp_path / "models" / "more" / "without_ending")
    (tmp_path / "models" / "notes.txt").write_text("no model")
    result = run("verify", "models")
    assert (result.exit_code, result.stdout.count("ok  "), result.stdout.count("\n")) == (0, 2, 2)
    assert "without_ending" in result.stdout
    (tmp_path / "models" / "b.safetensors").write_bytes(b"no model")
    assert run("verify", "models").exit_code == 1
    (tmp_path / "empty").mkdir()
    result = run("verify", "empty")
    assert (result.exit_code, "no keepfit file in this folder" in result.stdout) == (1, True)


@pytest.mark.parametrize("proba", [(), ("--proba",)])
def test_predict_says_that_the_column_it_predicts_is_there(run, store, csv, proba):
    result = run("predict", f"{store}#lr", csv, "-o", "out.csv", *proba)
    assert result.exit_code == 0
    assert result.stderr.count("has 'species' too") == 1
    assert ("was not used" in result.stderr) == bool(proba)


@pytest.mark.parametrize("link", [None, "symlink", "link"])
@pytest.mark.parametrize("kept", ["iris.csv", "model"])
def test_predictions_never_take_the_place_of_the_table_or_the_model(run, csv, model, kept, link, tmp_path):
    keepfit.dump(model, "model")
    before = (tmp_path / kept).read_bytes()
    if link is not None:
        getattr(os, link)(tmp_path / kept, tmp_path / "out.csv")
    result = run("predict", "model", "iris.csv", "-o", f"./{kept}" if link is None else "out.csv")
    assert result.exit_code == 2
    assert "itself, which would be lost; give another name, as in -o predictions.csv" in result.stderr
    assert (tmp_path / kept).read_bytes() == before
    assert run("predict", "model", "iris.csv", "-o", kept, "--explain-columns").exit_code == 0  # writes nothing


def test_predictions_never_take_the_place_of_what_comes_by_standard_input(csv, model, tmp_path):
    keepfit.dump(model, tmp_path / "model.safetensors")
    before = csv.read_bytes()
    words = [sys.executable, "-m", "keepfit", "predict", "model.safetensors", "-", "-o", "iris.csv"]
    with csv.open("rb") as rows:
        done = subprocess.run(words, stdin=rows, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, csv.read_bytes()) == (2, before)
    assert "is the table itself" in done.stderr


def test_a_pickle_is_not_converted_onto_itself_or_to_another_pickle(run, model, tmp_path):
    data = pickle.dumps(model)
    for name in ("old.dat", "old.safetensors"):
        (tmp_path / name).write_bytes(data)
    os.link("old.dat", "link.dat")
    for words in (["old.dat", "old.dat"], ["old.dat", "link.dat"], ["old.safetensors", "."]):
        result = run("convert", *words)
        assert result.exit_code == 1
        assert "the only copy of it would be lost; give another name" in result.stderr
    result = run("convert", "old.dat", "new.pkl")
    assert result.exit_code == 2
    assert "a keepfit file is no pickle" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.dat", "old.dat", "old.safetensors"]
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {data}


def test_convert_names_the_sources_that_would_become_one_file(run, model, tmp_path):
    for name in ("other.pkl", "rf.joblib", "rf.pkl"):
        (tmp_path / name).write_bytes(pickle.dumps(model))
    result = run("convert", "other.pkl", "rf.joblib", "rf.pkl", "out")
    assert result.exit_code == 2
    assert "rf.joblib and rf.pkl would both become out/rf.safetensors" in " ".join(result.stderr.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["Mine", "nowhere.Mine", "json.Mine", "__main__.Mine"])
def test_a_trusted_name_that_leads_nowhere_is_a_usage_error_said_once(run, csv, store, name):
    for words in (["verify", "state.db"], ["predict", "state.db#lr", csv], ["convert", csv, "new"]):
        result = run(*words, "--trusted", name)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.count(f"{name!r} cannot be imported here; write it with its module") == 1
