"""The server as clients see it: a real uvicorn in a process of its own, asked over loopback."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import select
import socket
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from http_rig import Place, Running, running
from served import wait_for

import keepfit
from keepfit.serve.repository import ModelEntry
from keepfit.serve.routes_pages import _described
from keepfit.serve.signature import Signature
from keepfit.store import Store

ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]


def request_of(rows: Any = ROWS, *, name: str = "X", **more: Any) -> dict[str, Any]:
    return {"inputs": [{"name": name, "datatype": "FP64", "shape": [len(rows), 4], "data": rows}], **more}


def error_of(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/json"
    found = answer.json()
    assert found.keys() == {"error"}
    return str(found["error"])


def test_health_and_metadata_are_those_of_the_protocol(server: Running, place: Place) -> None:
    with server.client() as client:
        assert client.get("/v2/health/live").json() == {"live": True}
        assert client.get("/v2/health/ready").json() == {"ready": True}
        told = client.get("/v2").json()
        assert told["name"] == "keepfit"
        assert "binary_tensor_data" in told["extensions"]
        told = client.get("/v2/models/iris").json()
        assert told["versions"] == ["1", "2"]
        assert told["platform"] == "sklearn"
        assert told["inputs"] == [{"name": "X", "datatype": "FP64", "shape": [-1, 4]}]
        assert {"name": "predict_proba", "datatype": "FP64", "shape": [-1, 3]} in told["outputs"]
        assert (
            client.get("/v2/models/iris/versions/old").json()["properties"]["class"].endswith("RandomForestClassifier")
        )
        assert client.get("/v2/models/iris/versions/2/ready").status_code == 200
        assert client.get("/v2/models/words/config").json()["input"][0]["data_type"] == "TYPE_STRING"


@pytest.mark.parametrize("path", ["/v2/models/iris/infer", "/v2/models/iris/versions/2/infer"])
def test_predictions_are_the_model_s_own(server: Running, place: Place, path: str) -> None:
    model = place.models["iris"]
    wanted = [{"name": "predict_proba"}, {"name": "predict"}, {"name": "decision_function"}]
    with server.client() as client:
        found = client.post(path, json=request_of(id="seven", outputs=wanted)).json()
    assert (found["id"], found["model_name"], found["model_version"]) == ("seven", "iris", "2")
    for output, method in zip(
        found["outputs"], (model.predict_proba, model.predict, model.decision_function), strict=True
    ):
        truth = method(np.array(ROWS))
        assert output["shape"] == list(truth.shape)
        assert np.array_equal(np.array(output["data"]).reshape(output["shape"]), truth)


def test_an_alias_leads_to_its_version(server: Running, place: Place) -> None:
    with server.client() as client:
        found = client.post("/v2/models/iris/versions/old/infer", json=request_of()).json()
    assert found["model_version"] == "1"
    assert found["outputs"][0]["data"] == place.models["forest"].predict(np.array(ROWS)).tolist()


def test_a_transformer_gives_what_it_transforms(server: Running, place: Place) -> None:
    with server.client() as client:
        (found,) = client.post("/v2/models/scale/infer", json=request_of()).json()["outputs"]
    assert found["name"] == "transform"
    assert np.array_equal(np.reshape(found["data"], found["shape"]), place.models["scale"].transform(np.array(ROWS)))


def test_named_columns_and_texts_come_as_tensors_of_their_own(server: Running) -> None:
    columns = [
        {"name": "city", "datatype": "BYTES", "shape": [2, 1], "data": ["Ulm", "Bonn"]},
        {"name": "age", "datatype": "FP64", "shape": [2, 1], "data": [20.0, 50.0]},
    ]
    texts = [{"name": "X", "datatype": "BYTES", "shape": [2], "data": ["good good", "awful"]}]
    with server.client() as client:
        assert client.post("/v2/models/people/infer", json={"inputs": columns}).json()["outputs"][0]["data"] == [0, 1]
        found = client.post("/v2/models/words/infer", json={"inputs": texts}).json()
        assert found["outputs"][0]["data"] == ["up", "down"]


def test_binary_tensors_go_both_ways(server: Running, place: Place) -> None:
    X = np.array(ROWS)
    head = {"inputs": [{"name": "X", "datatype": "FP64", "shape": [2, 4], "parameters": {"binary_data_size": 64}}]}
    head |= {"parameters": {"binary_data_output": True}, "outputs": [{"name": "predict_proba"}]}
    text = json.dumps(head).encode()
    with server.client() as client:
        answer = client.post(
            "/v2/models/iris/infer",
            content=text + X.tobytes(),
            headers={"inference-header-content-length": str(len(text))},
        )
    assert answer.headers["content-type"] == "application/octet-stream"
    length = int(answer.headers["inference-header-content-length"])
    (output,) = json.loads(answer.content[:length])["outputs"]
    assert output["parameters"] == {"binary_data_size": len(answer.content) - length}
    assert answer.content[length:] == place.models["iris"].predict_proba(X).tobytes()


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_bodies_are_compressed_both_ways(server: Running, encoding: str, pack: Any) -> None:
    many = request_of(ROWS * 200, outputs=[{"name": "predict_proba"}])
    headers = {"content-encoding": encoding, "accept-encoding": encoding}
    with server.client() as client:
        answer = client.post("/v2/models/iris/infer", content=pack(json.dumps(many).encode()), headers=headers)
        assert answer.headers["content-encoding"] == encoding
        plain = client.post("/v2/models/iris/infer", json=many, headers={"accept-encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert answer.json() == plain.json()


def test_records_and_csv_give_records(server: Running) -> None:
    people = [{"age": 20, "city": "Ulm", "more": None}, {"city": "Bonn", "age": 50}]
    with server.client() as client:
        assert client.post("/predict/people", json=people).json() == [{"predict": 0}, {"predict": 1}]
        answer = client.post("/predict/people", params={"output": "predict,predict_proba"}, json=people[0])
        assert answer.json()["predict"] == 0
        assert sum(answer.json()["predict_proba"].values()) == pytest.approx(1)
        assert answer.headers["keepfit-model-version"] == "1"
        table = {
            "content": "city,id,age\nUlm,7,20\nBonn,8,50\n",
            "headers": {"content-type": "text/csv; charset=utf-8"},
        }
        assert client.post("/predict/people", **table).json() == [{"predict": 0}, {"predict": 1}]
        assert client.post("/predict/iris", json=ROWS, params={"version": "2"}).json()[0] == {"predict": "setosa"}
        assert client.post("/predict/words", json=["fine", {"X": "bad"}]).json() == [
            {"predict": "up"},
            {"predict": "down"},
        ]


@pytest.mark.parametrize("model", ["people", "iris", "words"])
def test_no_records_have_no_predictions(server: Running, model: str) -> None:
    with server.client() as client:
        answer = client.post(f"/predict/{model}", json=[])
        assert (answer.status_code, answer.json()) == (200, [])
        heads = {"people": "age,city\n", "iris": "a,b,c,d\n", "words": "X\n"}
        answer = client.post(f"/predict/{model}", content=heads[model], headers={"content-type": "text/csv"})
        assert (answer.status_code, answer.json()) == (200, [])
        if model == "people":
            answer = client.post("/predict/people", content="age\n", headers={"content-type": "text/csv"})
            assert answer.status_code == 400


@pytest.mark.parametrize(
    ("model", "options", "status", "words"),
    [
        ("people", {"json": [{"age": 1}]}, 400, "record 0 lacks 'city'"),
        ("people", {"json": [1]}, 400, "record 0 has to be an object"),
        ("people", {"json": [{"age": "x", "city": "Ulm"}]}, 400, "'age' takes numbers"),
        ("people", {"json": {"age": 1, "city": "Ulm"}, "params": {"output": "nothing"}}, 400, "no output 'nothing'"),
        ("iris", {"json": [[1, 2, 3]]}, 400, "4 features"),
        ("iris", {"json": [[1, 2, 3, 4], [1]]}, 400, "record 1"),
        ("iris", {"content": "a,b\n1\n", "headers": {"content-type": "text/csv"}}, 400, "row 0"),
        ("iris", {"content": "a,b,c,d\n1,2,3,x\n", "headers": {"content-type": "text/csv"}}, 400, "takes numbers"),
        ("people", {"content": "age\n1\n", "headers": {"content-type": "text/csv"}}, 400, "lacks the columns 'city'"),
        ("iris", {"content": b"\xff", "headers": {"content-type": "text/csv"}}, 400, "not UTF-8"),
        ("iris", {"content": b"x", "headers": {"content-type": "text/plain"}}, 415, "text/csv"),
        ("iris", {"content": b"{"}, 400, "not JSON"),
        ("nobody", {"json": []}, 404, "no model 'nobody'"),
        (
            "iris",
            {"json": ROWS, "params": {"versoin": "1"}},
            400,
            "no query parameter 'versoin'; did you mean 'version'?",
        ),
        ("iris", {"json": ROWS, "params": {"explain": ""}}, 400, "there are 'output' and 'version'"),
    ],
)
def test_what_is_wrong_with_records_is_said(
    server: Running, model: str, options: dict[str, Any], status: int, words: str
) -> None:
    with server.client() as client:
        answer = client.post(f"/predict/{model}", **options)
    assert answer.status_code == status
    assert words in error_of(answer)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/v2/models/nobody", 404),
        ("GET", "/v2/models/iris/versions/9", 404),
        ("GET", "/v2/models/iris/versions/9/ready", 404),
        ("POST", "/v2/models/nobody/infer", 404),
        ("POST", "/v2/models/a/b/c/infer", 404),
        ("GET", "/v2/models/iris/infer", 405),
        ("PUT", "/v2", 405),
        ("POST", "/v2/repository/models/iris/load", 403),
        ("POST", "/v2/repository/models/iris/unload", 403),
        ("GET", "/v2/logging", 404),
    ],
)
def test_errors_are_said_as_the_protocol_wants(server: Running, method: str, path: str, status: int) -> None:
    with server.client() as client:
        answer = client.request(method, path, json=request_of() if method == "POST" else None)
    assert answer.status_code == status
    assert error_of(answer)
    assert ("allow" in answer.headers) == (status == 405)


def test_a_server_that_is_busy_says_when_to_come_again_and_one_that_failed_says_nothing_of_itself(
    server: Running,
) -> None:
    with server.client() as client:
        answer = client.post("/v2/models/iris/infer", json=request_of(name="overloaded"))
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")
        answer = client.post("/v2/models/iris/infer", json=request_of(name="unavailable"))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        answer = client.post("/v2/models/iris/infer", json=request_of(name="broken"))
        assert answer.status_code == 500
        assert error_of(answer) == "the server failed; its log says why"
        answer = client.post("/v2/models/iris/infer", json=request_of(name="without store"))
        assert answer.status_code == 503
        assert error_of(answer) == "the store cannot be used now; the server's log says why"
    wait_for(lambda: any("a fault of ours" in line.get("exception", "") for line in list(server.lines)))


def test_the_index_lists_models_with_and_without_a_body(server: Running) -> None:
    with server.client() as client:
        names = [one["name"] for one in client.post("/v2/repository/index").json()]
        assert "iris" in names
        assert "ann.line" not in names
        assert client.post("/v2/repository/index", json={"ready": True}).json()[0]["state"] == "READY"
        assert client.post("/v2/repository/index", content=b"[").status_code == 400


def test_metrics_count_what_happened(server: Running) -> None:
    with server.client() as client:
        client.post("/v2/models/forest/infer", json=request_of())
        client.post("/v2/models/forest/infer", json={})
        answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = answer.text.splitlines()
    assert 'keepfit_predictions_total{model="forest",status="200"} 1.0' in lines
    assert 'keepfit_predictions_total{model="forest",status="400"} 1.0' in lines
    assert 'keepfit_prediction_seconds_count{model="forest"} 2.0' in lines
    assert "keepfit_requests_in_flight 1.0" in lines
    assert "keepfit_workers 1.0" in lines


def test_the_page_s_models_have_their_signature_and_metadata(server: Running) -> None:
    with server.client() as client:
        found = {
            one["name"]: one
            for one in client.get("/api/models").json()["models"]
            if one["version"] != "1" or one["name"] != "iris"
        }
    people = found["people"]
    assert {one["name"]: one["categories"] for one in people["signature"]["inputs"]}["city"] == ["Bonn", "Ulm"]
    assert people["metadata"] == {"metrics": {"accuracy": 0.9}}
    assert people["metrics"] == {"accuracy": 0.9}
    assert "columntransformer__age__with_mean" in people["parameters"]


def test_lists_of_models_are_told_in_parts(tmp_path: Path) -> None:
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    with Store(tmp_path / "state.db") as store:
        for number in range(25):
            store.save(f"m{number:02}", StandardScaler().fit([[0.0]]), metadata={"note": "x" * 500_000 * (number == 3)})
        store.save("versions", StandardScaler().fit([[0.0]]))
        store.save("versions", MinMaxScaler().fit([[0.0]]))
        store.set_alias("versions", "old", 1)
    names = [*(f"m{number:02}" for number in range(25)), "versions", "versions"]
    with running(tmp_path / "state.db") as server, server.client() as client:

        def told(query: str) -> tuple[list[str], int, int | None]:
            found = client.get(f"/api/models?{query}").json()
            return [one["name"] for one in found["models"]], found["total"], found["next"]

        assert told("") == (names, 27, None)
        assert told("limit=10") == (names[:10], 27, 10)
        assert told("limit=10&offset=20") == (names[20:], 27, None)
        assert told("offset=27") == ([], 27, None)
        assert told("match=M1&limit=4") == (names[10:14], 10, 4)
        assert told("match=StandardScaler") == (names[:25], 25, None)
        assert told("match=nothing") == ([], 0, None)
        assert told("match=MinMax") == (["versions"] * 2, 2, None)  # by its newest, with all
        assert client.get("/api/models?match=MinMax&limit=1").json()["models"][0]["version"] == "2"
        index = client.post("/v2/repository/index?offset=20&limit=3").json()
        assert [one["name"] for one in index] == names[20:23]
        assert len(client.post("/v2/repository/index").json()) == 27
        assert len(client.get("/v2/models/stats?limit=5").json()["model_stats"]) == 5
        for wrong in ("limit=0", "limit=1001", "limit=x", "offset=-1", "offset=9999999999", "limit=", "limit=%C2%B2"):
            for method, path in (("GET", "/api/models"), ("POST", "/v2/repository/index"), ("GET", "/v2/models/stats")):
                answer = client.request(method, f"{path}?{wrong}")
                assert (answer.status_code, "has to be a number" in answer.json()["error"]) == (400, True)


def test_one_part_of_the_list_of_models_is_not_longer_than_some_megabytes(tmp_path: Path) -> None:
    from sklearn.preprocessing import StandardScaler

    with Store(tmp_path / "state.db") as store:
        for number in range(12):
            store.save(f"m{number:02}", StandardScaler().fit([[0.0]]), metadata={"note": "x" * 900_000})
    with running(tmp_path / "state.db") as server, server.client() as client:
        found, offset = [], 0
        while offset is not None:
            answer = client.get(f"/api/models?offset={offset}")
            assert len(answer.content) < 6 << 20
            found += [one["name"] for one in answer.json()["models"]]
            offset = answer.json()["next"]
        assert found == [f"m{number:02}" for number in range(12)]


@pytest.mark.parametrize("part", ["metadata", "parameters"])
def test_no_nesting_of_what_a_file_says_of_itself_breaks_the_list_of_models(part: str) -> None:
    for depth in (5, *range(900, 1010), 100_000):
        text = '{"a":' + "[" * depth + "]" * depth + "}"
        signature = Signature("c", (), (), (), facts={part: text})
        entry = ModelEntry("t.m", "1", "k", "READY", "", signature, "t", (), datetime.now(UTC), "")
        told = bytes(_described(entry))
        assert b'"name":"t.m"' in told
        assert (text.encode() in told) == (depth < 900) or depth < 1000


def test_the_page_of_the_interface_needs_nothing_from_elsewhere(server: Running) -> None:
    with server.client() as client:
        page = client.get("/docs")
        document = client.get("/openapi.json").json()
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<script" not in page.text
    assert "http://" not in page.text
    assert all(path.replace("{", "{") in page.text for path in document["paths"])


def test_a_request_has_one_line_in_the_log_without_secrets(guarded: Running, place: Place) -> None:
    before = len(guarded.lines)
    with guarded.client(place.tokens["infer"]) as client:
        client.post("/v2/models/iris/infer?token=abc", json=request_of(), headers={"x-secret": "hidden-value"})
        client.get("/v2/health/live")

    def lines_of_requests() -> list[dict[str, Any]]:
        return [one for one in guarded.lines[before:] if one["message"] == "request"]

    wait_for(lambda: len(lines_of_requests()) == 2)  # lines are written together
    lines = lines_of_requests()
    first = next(one for one in lines if one["path"] == "/v2/models/iris/infer")
    assert (first["method"], first["status"], first["model"], first["version"]) == ("POST", 200, "iris", "2")
    assert first["token_key"] == place.tokens["infer"].split("_")[1]
    assert first["duration_ms"] > 0
    text = json.dumps(guarded.lines)
    assert "hidden-value" not in text
    assert "abc" not in text
    assert place.tokens["infer"] not in text


# Who may do what


def test_without_a_good_token_nothing_but_health_is_told(guarded: Running, place: Place) -> None:
    wrong = place.tokens["infer"][:-1] + ("a" if place.tokens["infer"][-1] != "a" else "b")
    for headers in ({}, {"authorization": f"Bearer {wrong}"}, {"authorization": f"Basic {place.tokens['infer']}"}):
        with guarded.client() as client:
            for path in ("/v2", "/v2/models/iris", "/metrics", "/api/models"):
                answer = client.get(path, headers=headers)
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"] == "Bearer"
            for path in ("/v2/models/iris/infer", "/v2/models/nobody/infer", "/predict/iris", "/v2/repository/index"):
                assert client.post(path, json=request_of(), headers=headers).status_code == 401
            assert client.get("/v2/health/ready", headers=headers).status_code == 200


def test_a_tenant_s_model_is_there_for_the_tenant_and_the_admin_only(guarded: Running, place: Place) -> None:
    for role, status in (("ann", 200), ("admin", 200), ("bob", 404), ("infer", 404)):
        with guarded.client(place.tokens[role]) as client:
            answer = client.post("/v2/models/ann.line/infer", json=request_of())
            assert answer.status_code == status
            assert ("ann.line" in client.post("/v2/repository/index").text) == (status == 200)
            assert ("ann.line" in client.get("/api/models").text) == (status == 200)
            if status == 404:
                other = client.post("/v2/models/ann.nothing/infer", json=request_of())
                assert error_of(answer).replace("line", "nothing") == error_of(other)


def test_metrics_name_no_model_of_other_tenants(guarded: Running, place: Place) -> None:
    with guarded.client(place.tokens["ann"]) as client:
        assert client.post("/v2/models/ann.line/infer", json=request_of()).status_code == 200
    with guarded.client(place.tokens["infer"]) as client:
        assert client.post("/v2/models/iris/infer", json=request_of()).status_code == 200
    for role, sees in (("ann", True), ("admin", True), ("bob", False), ("infer", False)):
        with guarded.client(place.tokens[role]) as client:
            text = client.get("/metrics").text
        assert ("ann.line" in text) == sees
        assert 'model="iris"' in text
        assert "keepfit_workers" in text


def test_one_tenant_does_not_take_all_the_room_for_requests_that_bring_models(guarded: Running, place: Place) -> None:
    def begin(tenant: str) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", guarded.port), timeout=10)
        sock.sendall(
            b"POST /v2/repository/models/m/load HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n"
            b"authorization: Bearer " + place.tokens[tenant].encode() + b"\r\n\r\n{"
        )
        return sock

    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(begin("ann")) for _ in range(8)]
        ready, _, _ = select.select(socks, [], [], 5.0)
        assert ready
        assert b" 429 " in ready[0].recv(1000)
        other = stack.enter_context(begin("bob"))
        assert not select.select([other], [], [], 0.5)[0]  # it is waited for


def test_loading_takes_an_admin_and_uploading_a_tenant(guarded: Running, place: Place) -> None:
    for role, status in (("infer", 403), ("ann", 403), ("admin", 200)):
        with guarded.client(place.tokens[role]) as client:
            assert client.post("/v2/repository/models/line/unload").status_code == status
            if role == "admin":
                assert client.post("/v2/models/line/infer", json=request_of()).status_code == 503
                assert client.get("/v2/models/line/ready").status_code == 503
            assert client.post("/v2/repository/models/line/load").status_code == status
    with guarded.client(place.tokens["bob"]) as client:
        assert client.post("/v2/repository/models/ann.line/unload").status_code == 404


def upload_of(content: bytes, name: str = "file:1/model.safetensors") -> dict[str, Any]:
    return {"parameters": {"config": "{}", name: base64.b64encode(content).decode()}}


def test_a_model_that_comes_with_load_answers(guarded: Running, place: Place) -> None:
    content = keepfit.dumps(place.models["scale"])
    with guarded.client(place.tokens["bob"]) as client:
        text = json.dumps(upload_of(content)).replace("/", "\\/").replace("file:1\\/", "file:1/")
        found = client.post("/v2/repository/models/mine/load", content=text).json()
        assert found == {"name": "bob.mine", "version": "1", "state": "READY", "reason": ""}
        raw = client.post(
            "/v2/repository/models/mine/load", content=content, headers={"content-type": "application/octet-stream"}
        )
        assert raw.json()["version"] == "2"
        answer = client.post("/v2/models/bob.mine/infer", json=request_of()).json()
        assert np.allclose(
            np.reshape(answer["outputs"][0]["data"], (2, 4)), place.models["scale"].transform(np.array(ROWS))
        )
        assert client.post("/v2/repository/models/bob.mine/unload").status_code == 200
        assert client.post("/v2/models/bob.mine/infer", json=request_of()).status_code == 503
        assert client.post("/v2/repository/models/bob.mine/load").status_code == 200
        assert client.delete("/v2/repository/models/mine").status_code == 200
        assert client.post("/v2/models/bob.mine/infer", json=request_of()).status_code == 404


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"parameters": {"file:a": "AAAA", "file:b": "AAAA"}}, "2 files"),
        ({"parameters": {"file:a": "AAAA$"}}, "not base64"),
        ({"parameters": {"file:a": "AAA"}}, "not base64"),
        ({"parameters": {"file:a": 5}}, "base64 in a JSON string"),
        ({"parameters": {"file:a": ""}}, "empty"),
        ({"parameters": {"file:a": "AAAA"}}, "refused"),
        ({"parameters": []}, "not what this takes"),
    ],
)
def test_an_upload_that_is_none_is_refused_in_words(
    guarded: Running, place: Place, body: dict[str, Any], words: str
) -> None:
    with guarded.client(place.tokens["bob"]) as client:
        answer = client.post("/v2/repository/models/none/load", json=body)
    assert answer.status_code == 400
    assert words in error_of(answer)


def test_a_file_that_comes_as_something_else_is_told_how_to_come(guarded: Running, place: Place) -> None:
    file = keepfit.dumps(place.models["iris"])
    with guarded.client(place.tokens["bob"]) as client:
        for media_type in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"):
            headers = {"content-type": media_type}
            answer = client.post("/v2/repository/models/none/load", content=file, headers=headers)
            assert answer.status_code == 415
            assert "application/octet-stream" in error_of(answer)
        headers = {"content-type": "application/x-www-form-urlencoded"}  # what curl says of JSON too
        answer = client.post("/v2/repository/models/none/load", content=b'{"parameters": []}', headers=headers)
        assert answer.status_code == 400
        answer = client.post("/v2/repository/models/none/load", content=b"[]")
        assert answer.status_code == 415


def test_only_those_for_uploads_may_send_a_model(guarded: Running, server: Running, place: Place) -> None:
    for role in ("infer", "admin"):
        with guarded.client(place.tokens[role]) as client:
            answer = client.post("/v2/repository/models/mine/load", json=upload_of(b"x"))
            assert answer.status_code == 403
    with server.client() as client:
        assert client.post("/v2/repository/models/mine/load", json=upload_of(b"x")).status_code == 403
