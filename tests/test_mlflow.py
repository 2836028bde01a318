"""The MLflow flavour, with MLflow itself; `make ecosystem` runs this in an environment of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pandas
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import keepfit

mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed here; make ecosystem runs this")

import keepfit.mlflow  # noqa: E402

X, y = load_iris(return_X_y=True, as_frame=True)


@pytest.fixture(autouse=True)
def _tracking_in_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/tracking.db")
    mlflow.set_registry_uri(f"sqlite:///{tmp_path}/tracking.db")


@pytest.fixture
def model():
    return LogisticRegression(max_iter=1000).fit(X, y)


def test_a_saved_model_loads_as_itself_and_as_a_pyfunc(model):
    keepfit.mlflow.save_model(model, "saved", input_example=X[:3])
    loaded = keepfit.mlflow.load_model("saved")
    assert type(loaded) is LogisticRegression
    assert (loaded.predict_proba(X) == model.predict_proba(X)).all()
    generic = mlflow.pyfunc.load_model("saved")
    assert (generic.predict(X) == model.predict(X)).all()
    assert generic.get_raw_model().get_params() == model.get_params()


def test_the_folder_holds_a_keepfit_file_and_nothing_to_unpickle(model):
    keepfit.mlflow.save_model(model, "saved")
    assert (keepfit.load("saved/data/model.safetensors").coef_ == model.coef_).all()
    files = {path.name for path in Path("saved").rglob("*") if path.is_file()}
    assert files == {"MLmodel", "conda.yaml", "model.safetensors", "python_env.yaml", "requirements.txt"}


def test_requirements_are_pinned_to_the_releases_here(model):
    keepfit.mlflow.save_model(model, "saved", extra_pip_requirements=None)
    lines = Path("saved/requirements.txt").read_text().split()
    assert f"keepfit=={keepfit.__version__}" in lines
    assert any(line.startswith("scikit-learn==") for line in lines)
    keepfit.mlflow.save_model(model, "own", pip_requirements=["keepfit", "scikit-learn"])
    assert "keepfit" in Path("own/requirements.txt").read_text().split()


def test_the_signature_is_given_or_taken_from_the_example(model):
    keepfit.mlflow.save_model(model, "by example", input_example=X[:3])
    signature = mlflow.models.get_model_info("by example").signature
    assert signature.inputs.input_names() == list(X.columns)
    given = mlflow.models.infer_signature(X, model.predict(X))
    keepfit.mlflow.save_model(model, "given", signature=given)
    assert mlflow.models.get_model_info("given").signature == given


def test_a_pyfunc_calls_the_method_it_was_saved_for(model):
    keepfit.mlflow.save_model(model, "saved", pyfunc_predict_fn="predict_proba")
    np.testing.assert_array_equal(mlflow.pyfunc.load_model("saved").predict(X), model.predict_proba(X))
    with pytest.raises(keepfit.errors.UnsupportedError, match="a LogisticRegression has predict, predict_proba"):
        keepfit.mlflow.save_model(model, "other", pyfunc_predict_fn="transform")


def test_a_method_that_a_file_makes_up_is_refused(model):
    keepfit.mlflow.save_model(model, "saved")
    file = Path("saved/MLmodel")
    file.write_text(file.read_text().replace("pyfunc_predict_fn: predict", "pyfunc_predict_fn: __reduce__"))
    with pytest.raises(keepfit.KeepfitError, match="no method to predict with"):
        mlflow.pyfunc.load_model("saved")


def test_another_flavour_is_refused(tmp_path):
    mlflow.models.Model().save(str(tmp_path / "MLmodel"))
    with pytest.raises(keepfit.KeepfitError, match="its flavour is another"):
        keepfit.mlflow.load_model(str(tmp_path))


class Own(GaussianNB):
    """Somebody's own class."""


def test_classes_of_ones_own_are_opened_by_who_loads():
    keepfit.mlflow.save_model(Own().fit(X, y), "saved")
    with pytest.raises(keepfit.errors.UntrustedError):
        mlflow.pyfunc.load_model("saved")
    assert type(keepfit.mlflow.load_model("saved", trusted=[Own])) is Own


def test_a_logged_model_is_found_by_its_run_and_in_the_registry(model):
    with mlflow.start_run():
        info = keepfit.mlflow.log_model(model, name="iris", input_example=X[:2], registered_model_name="iris")
    for place in (info.model_uri, "models:/iris/1"):
        assert (keepfit.mlflow.load_model(place).predict(X) == model.predict(X)).all()
        assert (mlflow.pyfunc.load_model(place).predict(X) == model.predict(X)).all()


def test_models_without_names_and_models_of_texts_take_a_dataframe():
    bare = GaussianNB().fit(X.to_numpy(), y)
    keepfit.mlflow.save_model(bare, "bare")
    assert (mlflow.pyfunc.load_model("bare").predict(X) == bare.predict(X.to_numpy())).all()
    texts = ["good nice", "bad awful"] * 4
    reader = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [1, 0] * 4)
    keepfit.mlflow.save_model(reader, "reader")
    generic = mlflow.pyfunc.load_model("reader")
    assert generic.predict(pandas.DataFrame({"review": texts})).tolist() == [1, 0] * 4


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_mlflow_models_serve_answers(model, tmp_path):
    frame = X.assign(colour=np.where(y == 0, "red", "blue"))
    steps = ColumnTransformer([("colour", OneHotEncoder(), ["colour"])], remainder="passthrough")
    mixed = make_pipeline(steps, LogisticRegression(max_iter=1000)).fit(frame, y)
    keepfit.mlflow.save_model(mixed, "saved", input_example=frame[:2])
    port = free_port()
    words = ["-m", "mlflow", "models", "serve", "-m", "saved", "--env-manager", "local", "--port", str(port)]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with subprocess.Popen([sys.executable, *words], start_new_session=True, env={**os.environ, "PATH": path}) as server:
        try:
            body = json.dumps({"dataframe_split": json.loads(frame.to_json(orient="split", index=False))}).encode()
            asked = urllib.request.Request(
                f"http://127.0.0.1:{port}/invocations", body, {"content-type": "application/json"}
            )
            answer = patiently(lambda: urllib.request.urlopen(asked, timeout=30), server)
            assert json.loads(answer.read())["predictions"] == mixed.predict(frame).tolist()
        finally:
            os.killpg(server.pid, signal.SIGTERM)


def patiently(ask, server):
    deadline = time.monotonic() + 120
    while True:
        try:
            return ask()
        except (ConnectionError, urllib.error.URLError) as error:
            if isinstance(error, urllib.error.HTTPError):
                raise AssertionError(error.read()) from error
            assert server.poll() is None, "the server has ended"
            assert time.monotonic() < deadline
            time.sleep(0.5)


def test_the_example_in_the_documentation_runs():
    text = (Path(__file__).parent.parent / "docs" / "ecosystem.md").read_text()
    code = text.partition("## MLflow")[2].partition("```python\n")[2].partition("```")[0]
    exec(code, {})
    assert Path("iris-model/MLmodel").is_file()
