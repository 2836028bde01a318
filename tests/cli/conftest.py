"""A command line in this process, and tables and a store to use it on."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

import keepfit
from keepfit.cli import root

pandas = pytest.importorskip("pandas")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a command in a folder of its own; the result has its exit code, its standard output and its remarks."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> Result:
        result = CliRunner().invoke(root, [str(word) for word in words])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture(scope="session")
def iris():
    frame = load_iris(as_frame=True).frame
    frame.columns = ["sepal_length", "sepal_width", "petal_length", "petal_width", "species"]
    frame["species"] = load_iris().target_names[frame["species"]]
    return frame


@pytest.fixture
def csv(iris, tmp_path) -> Path:
    iris.to_csv(tmp_path / "iris.csv", index=False)
    return tmp_path / "iris.csv"


@pytest.fixture
def model(iris):
    return LogisticRegression(max_iter=1000).fit(iris.drop(columns="species"), iris["species"])


@pytest.fixture
def store(iris, model, tmp_path) -> Path:
    """A store with two versions of one model, one of another, and an alias."""
    with keepfit.Store(tmp_path / "state.db") as store:
        store.save("lr", GaussianNB().fit(iris.drop(columns="species"), iris["species"]))
        store.save("lr", model, metadata={"score": 0.97, "target": "species"})
        store.save("bare", GaussianNB().fit(iris.drop(columns="species").to_numpy(), iris["species"]))
        store.set_alias("lr", "old", 1)
    return tmp_path / "state.db"
