"""Reports on foreign files, from Python and from the command line."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.linear_model import Ridge

import keepfit
from keepfit.cli import root

MODEL = Ridge().fit([[0.0], [1.0]], [0, 1])


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


def run(*words: object) -> Any:
    return CliRunner().invoke(root, [str(word) for word in words])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inside").mkdir()
    (tmp_path / "good.pkl").write_bytes(pickle.dumps(MODEL))
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps([Evil()]))
    (tmp_path / "inside" / "cut.pkl").write_bytes(pickle.dumps(MODEL)[:-20])
    (tmp_path / "inside" / "ours.safetensors").write_bytes(keepfit.dumps(MODEL))
    (tmp_path / "notes.txt").write_text("nothing to see")
    joblib.dump(MODEL, tmp_path / "inside" / "no ending", compress=3)
    return tmp_path


def test_a_pickle_is_described(tmp_path: Path) -> None:
    joblib.dump({"model": MODEL, "data": np.zeros((3, 4))}, tmp_path / "x.joblib", compress=("gzip", 3))
    report = keepfit.inspect(tmp_path / "x.joblib")
    assert (report.kind, report.compression, report.verdict) == ("joblib", "gzip", "convertible")
    assert report.versions["scikit-learn"] == report.running["scikit-learn"]
    assert report.types["sklearn.linear_model.Ridge"] == 1
    assert {array.shape for array in report.arrays} == {(3, 4), (1,)}
    assert keepfit.inspect(gzip.compress(pickle.dumps(MODEL), mtime=10**9)).written == "2001-09-09T01:46:40+00:00"
    assert "sklearn.linear_model._ridge.Ridge" in {effect.name for effect in report.imports}
    for text in (str(report), report._repr_html_(), report.to_json()):
        assert "convertible" in text
        assert "safe" not in text
    assert not report.loads_as_it_is


def test_archives_are_described_by_their_members() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.pkl", pickle.dumps(MODEL))
        archive.writestr("b.pkl", pickle.dumps(Evil()))
        archive.writestr("notes.txt", "hello")
    report = keepfit.inspect(file.getvalue())
    assert (report.kind, report.verdict) == ("zip", "refused")
    assert [(part.name, part.verdict) for part in report.parts] == [("a.pkl", "convertible"), ("b.pkl", "refused")]
    assert "posix.system" in str(report)


def test_a_skops_file_is_described_by_its_schema_alone() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        inner = {"__class__": "SVC", "__module__": "sklearn.svm._classes", "__loader__": "ObjectNode", "content": {}}
        schema = {"__class__": "list", "__module__": "builtins", "content": [inner, inner], "_skops_version": "0.11"}
        archive.writestr("schema.json", json.dumps(schema))
    report = keepfit.inspect(file.getvalue())
    assert (report.kind, report.verdict) == ("skops", "refused")
    assert report.types == {"sklearn.svm._classes.SVC": 2, "builtins.list": 1}
    assert report.versions == {"skops": "0.11"}


def test_numpy_files_are_described() -> None:
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}]), allow_pickle=True)
    assert (keepfit.inspect(file.getvalue()).kind, keepfit.inspect(file.getvalue()).verdict) == ("npy", "convertible")
    assert keepfit.inspect(gzip.compress(file.getvalue())).verdict == "convertible"
    file = io.BytesIO()
    np.savez(file, a=np.array([Evil()]), b=np.zeros(3))
    assert keepfit.inspect(file.getvalue()).verdict == "refused"


@pytest.mark.parametrize(("name", "code"), [("good.pkl", 0), ("evil.pkl", 1), ("inside/cut.pkl", 2), ("inside", 2)])
def test_the_exit_code_is_the_worst_of_all_files(folder: Path, name: str, code: int) -> None:
    assert run("inspect", folder / name).exit_code == code


def test_model_files_in_folders_are_found_by_ending_or_contents(folder: Path) -> None:
    result = run("inspect", folder, "--json")
    assert result.exit_code == 2
    verdicts = {Path(row["file"]).name: row["verdict"] for row in json.loads(result.stdout)}
    assert verdicts == {
        "good.pkl": "convertible", "evil.pkl": "refused", "cut.pkl": "unreadable", "ours.safetensors": "",
        "no ending": "convertible",
    }  # fmt: skip
    assert "5 files: 2 convertible, 1 loads, 1 refused, 1 unreadable" in run("inspect", folder).stdout


def test_sarif_has_the_structure_of_its_specification(folder: Path) -> None:
    result = run("inspect", folder, folder / "nowhere.pkl", "--format", "sarif")
    assert result.exit_code == 2
    log = json.loads(result.stdout)
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-schema-2.1.0.json")
    (one,) = log["runs"]
    driver = one["tool"]["driver"]
    assert driver["name"] == "keepfit"
    rules = [rule["id"] for rule in driver["rules"]]
    assert rules == ["refused", "unreadable"]
    assert {Path(r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]).name for r in one["results"]} == {
        "evil.pkl", "cut.pkl", "nowhere.pkl",
    }  # fmt: skip
    for found in one["results"]:
        assert rules[found["ruleIndex"]] == found["ruleId"]
        assert found["level"] == "error"
        assert found["message"]["text"]
        for place in found["locations"]:
            assert set(place) <= {"physicalLocation", "logicalLocations"}


def test_convert_on_the_command_line(folder: Path) -> None:
    result = run("convert", folder / "good.pkl", folder / "new.safetensors")
    assert result.exit_code == 0
    assert keepfit.load(folder / "new.safetensors").coef_ == MODEL.coef_
    result = run("convert", folder / "good.pkl", folder / "inside" / "no ending", folder / "evil.pkl", folder / "out")
    assert result.exit_code == 1
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["good.safetensors", "no ending.safetensors"]
    assert "posix.system" in result.stderr
    same = run("convert", folder / "good.pkl", folder / "good.pkl", folder / "out")
    assert same.exit_code == 2


def test_what_no_trust_opens_is_not_said_to_be_opened_by_it(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    for value, words in (
        (pandas.DataFrame({"a": [1]}), "load the file in Python if you trust who made it, and keepfit.dump what"),
        (Evil(), "posix.system"),
    ):
        (tmp_path / "old.pkl").write_bytes(pickle.dumps({"inside": value}))
        result = run("convert", tmp_path / "old.pkl", tmp_path / "new.safetensors")
        assert result.exit_code == 1
        assert "inside: the pickle calls" in result.stderr
        assert "whatever is trusted" in result.stderr
        assert words in result.stderr
        assert "--trusted" not in result.stderr
