"""The runtime for MLServer, with MLServer itself; `make ecosystem` runs this in an environment of its own."""

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
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import keepfit

pytest.importorskip("mlserver", reason="MLServer is not installed here; make ecosystem runs this")

#: As the documentation has them.
SETTINGS = json.loads(
    (Path(__file__).parent.parent / "docs" / "ecosystem.md").read_text().partition("```json\n")[2].partition("```")[0]
)
X, y = load_iris(return_X_y=True)
NAMES = load_iris().target_names[y]
TEXTS = ["good nice", "bad awful"] * 4
ROWS = pandas.DataFrame({"colour": ["red", "blue"] * 10, "size": np.arange(20.0)})


def models():
    yield "iris", LogisticRegression(max_iter=1000).fit(X, NAMES)
    yield "texts", make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, [1, 0] * 4)
    steps = ColumnTransformer([("colour", OneHotEncoder(), ["colour"])], remainder="passthrough")
    yield "mixed", make_pipeline(steps, LogisticRegression()).fit(ROWS, [0, 1] * 10)


MODELS = dict(models())


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """MLServer with three models, as its own command starts it."""
    folder = tmp_path_factory.mktemp("models")
    ports = [free_port() for _ in range(3)]
    settings = dict(zip(("http_port", "grpc_port", "metrics_port"), ports, strict=True))
    (folder / "settings.json").write_text(json.dumps({"host": "127.0.0.1", "parallel_workers": 1, **settings}))
    for name, model in MODELS.items():
        (folder / name).mkdir()
        keepfit.dump(model, folder / name / "model.safetensors")
        (folder / name / "model-settings.json").write_text(json.dumps(SETTINGS | {"name": name}))
    command = [Path(sys.executable).parent / "mlserver", "start", folder]
    with subprocess.Popen(command, start_new_session=True, cwd=folder) as process:
        try:
            yield Server(process, ports[0])
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, process, port):
        self._at = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 120
        while self.ask("/v2/health/ready")[0] != 200:
            assert process.poll() is None, "the server has ended"
            assert time.monotonic() < deadline
            time.sleep(0.5)

    def ask(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._at + path, data, {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"{}")
        except (ConnectionError, urllib.error.URLError):
            return 0, {}

    def infer(self, name, *inputs, outputs=()):
        body = {"id": "7", "inputs": inputs, "outputs": [{"name": one} for one in outputs]}
        return self.ask(f"/v2/models/{name}/infer", body if outputs else {"id": "7", "inputs": inputs})


def tensor(name, datatype, values):
    values = np.asarray(values)
    return {"name": name, "datatype": datatype, "shape": list(values.shape), "data": values.tolist()}


def test_the_metadata_is_the_models(server):
    code, told = server.ask("/v2/models/iris")
    assert code == 200
    assert [(one["name"], one["datatype"], one["shape"]) for one in told["inputs"]] == [("X", "FP64", [-1, 4])]
    assert [one["name"] for one in told["outputs"]] == ["predict", "predict_proba", "decision_function"]


def test_numbers_give_what_the_model_gives(server):
    code, answer = server.infer("iris", tensor("X", "FP64", X), outputs=["predict", "predict_proba"])
    assert code == 200
    assert answer["id"] == "7"
    predicted, probabilities = answer["outputs"]
    assert predicted["data"] == MODELS["iris"].predict(X).tolist()
    assert probabilities["shape"] == [150, 3]
    assert probabilities["data"] == MODELS["iris"].predict_proba(X).ravel().tolist()


def test_texts_give_what_the_model_gives(server):
    code, answer = server.infer("texts", tensor("X", "BYTES", TEXTS))
    assert code == 200
    assert answer["outputs"][0]["data"] == [1, 0] * 4


def test_columns_of_different_kinds_are_inputs_of_their_own(server):
    columns = [tensor("colour", "BYTES", ROWS[["colour"]]), tensor("size", "FP64", ROWS[["size"]])]
    code, answer = server.infer("mixed", *columns)
    assert code == 200, answer
    assert answer["outputs"][0]["data"] == MODELS["mixed"].predict(ROWS).tolist()


@pytest.mark.parametrize(
    ("name", "inputs", "outputs", "message"),
    [
        ("iris", [tensor("X", "FP64", X[:, :3])], (), "4"),
        ("iris", [tensor("X", "FP64", X)], ("classify",), "no output 'classify'"),
        ("iris", [tensor("X", "BYTES", ["a"])], (), "takes numbers"),
        ("mixed", [tensor("size", "FP64", [[1.0]])], (), "colour"),
        ("iris", [{"name": "X", "datatype": "FP64", "shape": [2, 4], "data": [1.0]}], (), "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_request_is_said_with_status_400(server, name, inputs, outputs, message):
    code, answer = server.infer(name, *inputs, outputs=outputs)
    assert code == 400
    assert message in answer["error"]
