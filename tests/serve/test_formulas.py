"""Small linear models that the front answers by itself: to the bit, and with all that a worker's answers have."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from pathlib import Path
from typing import Any

import hostile_models
import msgspec
import numpy as np
import pytest
from pools import Shared, X, Y, ask, call, load, logistic, rows_that, values
from served import infer_body, serving
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression, Ridge, SGDClassifier, SGDRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.svm import LinearSVC, LinearSVR

import keepfit
from keepfit.serve.errors import RequestError
from keepfit.serve.fast import formula_of
from keepfit.serve.formulas import Formula, Formulas, Operation, evaluator
from keepfit.serve.predicting import Served
from keepfit.serve.tensors import Tensor, from_array
from keepfit.store import Store

pytestmark = pytest.mark.filterwarnings("ignore")

TWO, TEXT, AMOUNT = Y > 0, np.array(["low", "middle", "a lot"])[Y], X @ np.arange(1.0, 5.0)
AMOUNTS = np.c_[AMOUNT, AMOUNT**2]

#: Models, what they are fitted on, and the outputs that have a formula.
MODELS: list[tuple[Any, Any, str]] = [
    (LogisticRegression(), Y, "predict predict_proba decision_function"),
    (LogisticRegression(), TEXT, "predict predict_proba decision_function"),
    (LogisticRegression(), TWO, "predict decision_function"),
    (SGDClassifier(random_state=0), Y, "predict decision_function"),
    (LinearSVC(), TEXT, "predict decision_function"),
    (LinearDiscriminantAnalysis(), Y, "predict predict_proba decision_function"),
    (LinearRegression(), AMOUNT, "predict"),
    (LinearRegression(), AMOUNTS, "predict"),
    (Ridge(), AMOUNTS, "predict"),
    (Lasso(), AMOUNT, "predict"),
    (SGDRegressor(random_state=0), AMOUNT, "predict"),
    (LinearSVR(random_state=0), AMOUNT, "predict"),
    (StandardScaler(), None, "transform"),
    (MinMaxScaler(), None, "transform"),
    (PCA(2), None, "transform"),
    (make_pipeline(RobustScaler(), MaxAbsScaler()), None, "transform"),
    (make_pipeline(StandardScaler(), LogisticRegression()), TEXT, "predict predict_proba decision_function"),
    (make_pipeline(StandardScaler(), PCA(3), LogisticRegression()), TWO, "predict decision_function"),
    (make_pipeline(StandardScaler(with_mean=False), MinMaxScaler(), Ridge()), AMOUNT, "predict"),
    (MinMaxScaler(clip=True), None, ""),
    (make_pipeline(SimpleImputer(), LogisticRegression()), Y, ""),
    (RandomForestClassifier(5, random_state=0), Y, ""),
    (LogisticRegression(), np.array(["x" * 70_000, "y"])[Y % 2], "decision_function"),
]  # fmt: skip

HUGE = np.finfo(float).max


@pytest.mark.parametrize(("model", "target", "outputs"), MODELS, ids=lambda value: str(value)[:50])
def test_a_formula_gives_what_the_model_gives_to_the_bit(model: Any, target: Any, outputs: str) -> None:
    model = keepfit.loads(keepfit.dumps(model.fit(X, target)))
    served = Served(model, {})
    assert {formula.output for formula in served.formulas} == set(outputs.split())
    sent = msgspec.msgpack.decode(msgspec.msgpack.encode(served.formulas), type=tuple[Formula, ...])
    formulas = Formulas(sent, served.signature.defaults)
    rng = np.random.default_rng(1)
    rows = np.concatenate([X, rng.normal(size=(200, 4)) * 10.0 ** rng.integers(-8, 8, size=(200, 1)), np.zeros((1, 4))])
    for name in outputs.split():
        for row in np.ascontiguousarray(rows):
            expected = served.answer([from_array("X", row[np.newaxis])], [name])
            assert formulas.answer([from_array("X", row[np.newaxis])], [name]) == tuple(expected)


@pytest.mark.parametrize(("dtype", "odd"), [
    (float, [[np.nan, 0, 0, 0]]), (float, [[0, np.inf, 0, 0]]), (float, [[HUGE, HUGE, -HUGE, HUGE]]),
    (float, [[0, 0, 0]]), (float, [[0, 0, 0, 0], [0, 0, 0, 0]]), (float, [0, 0, 0, 0]), (np.float32, [[0, 0, 0, 0]]),
    (int, [[0, 0, 0, 0]]),
])  # fmt: skip
def test_what_is_not_one_row_of_finite_float64_is_for_a_worker(dtype: Any, odd: Any) -> None:
    served = Served(make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y), {})
    formulas = Formulas(served.formulas, served.signature.defaults)
    assert formulas.answer([from_array("X", X[:1])], ()) is not None
    assert formulas.answer([from_array("X", np.array(odd, dtype=dtype))], ()) is None


def test_a_call_that_is_none_is_for_a_worker() -> None:
    formulas = Formulas(Served(logistic(), {}).formulas, ("predict",))
    tensor = from_array("X", X[:1])
    assert formulas.answer([], ()) is None
    assert formulas.answer([tensor, tensor], ()) is None
    assert formulas.answer([tensor], ("nothing",)) is None
    assert formulas.answer([Tensor("X", "FP64", (1, 4), b"short")], ()) is None


def test_rows_that_lie_anywhere_in_memory_give_the_same() -> None:
    formulas = Formulas(Served(logistic(), {}).formulas, ("predict_proba",))
    expected = formulas.answer([from_array("X", X[:1])], ())
    for place in range(1, 9):
        data = memoryview(bytes(place) + X[:1].tobytes())[place:]
        assert formulas.answer([Tensor("X", "FP64", (1, 4), data)], ()) == expected


@pytest.mark.parametrize(
    "operations",
    [
        [Operation("add", (3,), bytes(16))],
        [Operation("add", (3,), bytes(24))],
        [Operation("matmul", (3, 2), bytes(48))],
        [Operation("matmul", (4, 4096), bytes(4 * 4096 * 8))],
    ],
)
def test_numbers_that_do_not_go_together_or_are_too_many_are_no_formula(operations: list[Operation]) -> None:
    assert evaluator(Formula("predict", 4, tuple(operations))) is None


def test_a_model_of_too_many_numbers_has_none() -> None:
    rows = np.random.default_rng(0).normal(size=(5, 5000))
    assert formula_of(Ridge().fit(rows, rows[:, 0]), "predict") is None
    with pytest.raises(ValueError, match="finite"):
        Operation.of("add", np.array([np.inf]))


# In a pool


def test_one_row_is_answered_while_all_workers_are_busy_and_more_rows_wait_for_them(shared: Shared) -> None:
    model = logistic()

    async def work() -> None:
        await load(shared.pool, "sleeping", hostile_models.Sleeping().fit(X, Y))
        await load(shared.pool, "m", model)
        busy = [asyncio.ensure_future(ask(shared.pool, "sleeping", rows_that(1000, 0.5))) for _ in range(2)]
        await asyncio.sleep(0.05)
        before = shared.pool.figures().answered
        answer = await shared.pool.infer("m", call(X[:1], "predict_proba", "predict"))
        assert not any(task.done() for task in busy)
        assert values(answer, 0).tobytes() == model.predict_proba(X[:1]).tobytes()
        assert values(answer, 1).tobytes() == model.predict(X[:1]).tobytes()
        assert (answer.cpu_s, answer.batch_rows) == (0.0, 1)
        assert shared.pool.figures().answered == before + 1
        assert (await shared.pool.infer("m", call(X[:2]))).cpu_s > 0
        assert any(task.done() for task in busy)
        await asyncio.gather(*busy)
        with pytest.raises(RequestError, match="NaN"):
            await ask(shared.pool, "m", rows_that(np.nan))

    shared.run(work())


def test_a_tenants_model_is_asked_in_its_jail_alone(shared: Shared) -> None:
    async def work() -> None:
        await load(shared.pool, "m", logistic(), tenant="alice")
        assert (await shared.pool.infer("m", call())).cpu_s > 0

    shared.run(work())


def test_a_jail_that_tells_a_formula_all_the_same_is_ended(shared: Shared) -> None:
    from keepfit.serve.messages import Loaded
    from keepfit.serve.roster import Worker

    async def work() -> None:
        await load(shared.pool, "hostile", hostile_models.Failing().fit(X, Y), tenant="mallory")
        crew = shared.pool._crews["mallory"]
        model = crew.models["hostile"]
        model.is_tried = False
        told = Loaded(msgspec.Raw(msgspec.msgpack.encode(model.signature)), True, Served(logistic(), {}).formulas)
        assert not crew._finish(Worker(10**6), model, told)
        assert model.formulas is None
        model.is_tried = True

    shared.run(work())


def test_a_model_that_was_let_go_is_not_answered_for(shared: Shared) -> None:
    async def work() -> None:
        await load(shared.pool, "m", logistic())
        await shared.pool.unload("m")
        with pytest.raises(RequestError) as caught:
            await ask(shared.pool, "m")
        assert caught.value.status == 404
        await load(shared.pool, "m", LogisticRegression().fit(X, Y + 7))
        assert (await ask(shared.pool, "m")).tolist() == (logistic().predict(X[:1]) + 7).tolist()

    shared.run(work())


def test_nobody_who_asks_without_a_pause_keeps_others_from_their_turn(shared: Shared) -> None:
    async def work() -> None:
        await load(shared.pool, "m", logistic())
        ticking = asyncio.ensure_future(asyncio.sleep(0.02))
        async with asyncio.timeout(20):
            while not ticking.done():
                await ask(shared.pool, "m")

    shared.run(work())


# Over HTTP


@pytest.fixture
def place(tmp_path: Path) -> Path:
    with Store(tmp_path / "state.db") as store:
        store["m"] = LogisticRegression().fit(X, TEXT)
    return tmp_path / "state.db"


def test_a_server_counts_logs_and_names_what_its_front_answers(place: Path) -> None:
    with serving(place) as server:
        body = {**infer_body(X[:1].tolist()), "id": "mine"}
        status, told = server.ask("POST", "/v2/models/m/infer", body)
        assert (status, told["id"], told["model_version"]) == (200, "mine", "1")
        assert told["outputs"][0]["data"] == LogisticRegression().fit(X, TEXT).predict(X[:1]).tolist()
        assert server.ask("POST", "/v2/models/m/versions/2/infer", body)[0] == 404
        text = _metrics(server.port)
        assert 'keepfit_predictions_total{model="m",status="200"} 1.0' in text
        assert 'keepfit_prediction_seconds_count{model="m"} 1.0' in text
        server.stop()
        lines = [json.loads(line) for line in server.log if '"request"' in line]
    (line,) = [line for line in lines if line["path"] == "/v2/models/m/infer"]
    assert (line["status"], line["model"], line["version"], line["worker_cpu_ms"]) == (200, "m", "1", 0.0)


def test_requests_sent_in_one_piece_are_answered_in_their_order_until_one_is_the_last(place: Path) -> None:
    with serving(place) as server:
        one, last = (_request(number, more) for number, more in ((1, ""), (2, "connection: close\r\n")))
        with socket.create_connection(("127.0.0.1", server.port), 20) as sock:
            sock.sendall(one * 20 + last + one * 5)
            answered = b"".join(iter(lambda: sock.recv(1 << 16), b""))
        heads = answered.split(b"HTTP/1.1 ")[1:]
        assert [head[:3] for head in heads] == [b"200"] * 21
        assert [b'"id":"1"' in head for head in heads] == [True] * 20 + [False]
        assert b"connection: close" in heads[-1]
        assert server.predict("m", X[:1].tolist())[0] == 200


def test_who_sends_requests_and_reads_no_answers_is_not_read_from_for_ever(tmp_path: Path) -> None:
    with Store(tmp_path / "state.db") as store:
        store["m"] = LinearRegression().fit(X, np.outer(AMOUNT, np.arange(1.0, 401.0)))
    with serving(tmp_path / "state.db") as server, socket.create_connection(("127.0.0.1", server.port), 2) as sock:
        some = _request(1, f"padding: {7000 * '-'}\r\n") * 20
        n_taken = _n_taken(sock, some, 500)
        assert n_taken < 500, "the server keeps answers of 70 MB"
        assert server.predict("m", X[:1].tolist())[0] == 200
        answers = bytearray()
        while answers.count(b"HTTP/1.1 200") < n_taken * 20:  # who reads after all has lost nothing
            part = sock.recv(1 << 22)
            assert part
            answers += part


def _n_taken(sock: socket.socket, piece: bytes, most: int) -> int:
    """How often a piece can be sent before the server reads no more."""
    for number in range(most):
        try:
            sock.sendall(piece)
        except TimeoutError:
            return number
    return most


def _request(number: int, more: str) -> bytes:
    body = json.dumps({**infer_body(X[:1].tolist()), "id": str(number)})
    return f"POST /v2/models/m/infer HTTP/1.1\r\nhost: a\r\ncontent-length: {len(body)}\r\n{more}\r\n{body}".encode()


def _metrics(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return text
