"""`keepfit serve` as people run it: what it says, who gets in, what it takes, how it stops."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import pickle
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import pytest
from served import ROOT, Load, Served, all_below, command, infer_body, is_alive, serving, wait_for
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import keepfit
from keepfit.errors import ServeError
from keepfit.serve.server import Server, ServerSettings
from keepfit.serve.tokens import Role, Tokens
from keepfit.store import Quota, Store

ROW = [5.1, 3.5, 1.4, 0.2]


def constant(value: int) -> Any:
    """A model that answers with a number."""
    return DummyClassifier(strategy="constant", constant=value).fit([ROW] * 30, list(range(30)))


@dataclass
class Place:
    path: Path
    tokens: dict[str, str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    path = tmp_path_factory.mktemp("serve") / "state.db"
    with Store(path) as store:
        store["m"] = constant(1)
        tokens = Tokens(store)
        made = {
            "infer": tokens.create(Role.INFER),
            "lab": tokens.create(Role.UPLOAD, "lab"),
            "lab-infer": tokens.create(Role.INFER, "lab"),
            "other": tokens.create(Role.UPLOAD, "other"),
            "slow": tokens.create(Role.UPLOAD, "slow"),
            "admin": tokens.create(Role.ADMIN),
        }
    return Place(path, made)


@pytest.fixture(scope="module")
def server(place: Place) -> Iterator[Served]:
    """A server with uploads, over the store of `place`."""
    options = (
        "--convert-uploads",
        "--reload-s",
        "0.1",
        "--max-upload-bytes",
        2_000_000,
        "--max-tenant-bytes",
        3_000_000,
    )
    with serving(place.path, "--uploads", *options) as server:
        yield server


def test_it_says_what_it_serves_and_how(server: Served) -> None:
    text = "\n".join(server.said)
    assert f"keepfit serves at http://127.0.0.1:{server.port}" in text
    assert "models     1: m" in text
    assert "tokens     6 good" in text
    assert "isolation  rlimits, no_new_privs" in text
    assert "uploads    keepfit files, and pickle and joblib files that convert" in text
    assert all(json.loads(line)["time"] for line in server.log)


def test_each_role_opens_what_it_is_for(server: Served, place: Place) -> None:
    data = keepfit.dumps(constant(2))
    assert server.predict("m", [ROW])[0] == 401
    assert server.predict("m", [ROW], "kf_wrong")[0] == 401
    for token in place.tokens.values():
        assert server.predict("m", [ROW], token)[0] == 200
    assert server.upload("x", data, "")[0] == 401
    for name in ("infer", "lab-infer", "admin"):
        assert server.upload("x", data, place.tokens[name])[0] == 403
    for name, status in (("infer", 403), ("lab", 403), ("admin", 200)):
        assert server.ask("POST", "/v2/repository/models/m/unload", None, place.tokens[name])[0] == status
        assert server.ask("POST", "/v2/repository/models/m/load", None, place.tokens[name])[0] == status


def test_a_revoked_token_is_out_and_a_new_one_in(server: Served, place: Place) -> None:
    with Store(place.path) as store:
        token = Tokens(store).create(Role.INFER)
        wait_for(lambda: server.predict("m", [ROW], token)[0] == 200)
        store.tokens.revoke(token.split("_")[1])
        wait_for(lambda: server.predict("m", [ROW], token)[0] == 401)


def test_an_upload_answers_at_once_and_only_to_its_tenant(server: Served, place: Place) -> None:
    lab, other, admin = (place.tokens[name] for name in ("lab", "other", "admin"))
    status, told = server.upload("first", keepfit.dumps(constant(7)), lab)
    assert (status, told["name"], told["state"]) == (200, "lab.first", "READY")
    assert server.predict("lab.first", [ROW], lab)[1]["outputs"][0]["data"] == [7]
    assert server.predict("lab.first", [ROW], place.tokens["lab-infer"])[0] == 200
    assert server.predict("lab.first", [ROW], admin)[0] == 200
    for token in (other, place.tokens["infer"]):
        missing = server.predict("lab.none", [ROW], token)
        assert server.predict("lab.first", [ROW], token) == (
            404,
            {"error": missing[1]["error"].replace("none", "first")},
        )
        listed = server.ask("POST", "/v2/repository/index", None, token)[1]
        assert "lab.first" not in [one["name"] for one in listed]
        assert server.ask("POST", "/v2/repository/models/lab.first/unload", None, token)[0] in (403, 404)
    assert server.upload("lab.first", keepfit.dumps(constant(8)), other)[1]["name"] == "other.lab.first"
    assert server.predict("lab.first", [ROW], lab)[1]["outputs"][0]["data"] == [7]


def test_an_uploaded_model_of_named_columns_answers(server: Served, place: Place) -> None:
    pandas = pytest.importorskip("pandas")
    token = place.tokens["lab"]
    table = pandas.DataFrame({"age": [20.0, 30.0, 40.0, 50.0], "city": ["Ulm", "Bonn", "Ulm", "Bonn"]})
    columns = ColumnTransformer([("age", StandardScaler(), ["age"]), ("city", OneHotEncoder(), ["city"])])
    for name, form in (("default", "default"), ("table", "pandas")):
        columns.set_output(transform=form)
        columns.set_params(city__sparse_output=False)
        model = make_pipeline(columns, LogisticRegression()).fit(table, [0, 1, 0, 1])
        status, told = server.upload(name, keepfit.dumps(model), token)
        assert status == 200, told
        headers = {"Content-Type": "application/json"}
        answer = server.ask("POST", f"/predict/lab.{name}", {"age": 30, "city": "Bonn"}, token, **headers)
        assert answer == (200, {"predict": 1})


def test_an_upload_of_a_pickle_is_converted(server: Served, place: Place) -> None:
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    status, told = server.upload("old", pickle.dumps(model), place.tokens["lab"])
    assert status == 200, told
    assert server.predict("lab.old", [[0.9]], place.tokens["lab"])[1]["outputs"][0]["data"] == [1]
    with Store(place.path) as store:
        assert store["lab.old"].predict([[0.9]]).tolist() == [1]


def test_a_pickle_that_converts_to_more_than_an_upload_may_be_is_refused(server: Served, place: Place) -> None:
    content = io.BytesIO()
    joblib.dump(StandardScaler().fit([[0.0] * 100_000] * 2), content, compress=3)
    assert len(content.getvalue()) < 50_000
    status, told = server.upload("large", content.getvalue(), place.tokens["lab"])
    assert (status, "2,000,000 bytes" in told["error"]) == (413, True), told


@pytest.mark.parametrize(
    "name",
    ["..%2Fx", "%2e%2e", "..", "a%2Fb", "%2Fetc%2Fpasswd", "a%00", "a%0A", "a%20b", ".x", "%C3%BC", "x" * 200, "-x"],
)
def test_names_like_paths_are_refused_and_write_nothing(server: Served, place: Place, name: str) -> None:
    before = sorted(place.path.parent.iterdir())
    status, told = server.upload(name, keepfit.dumps(constant(2)), place.tokens["lab"])
    assert 400 <= status < 500, told
    assert "error" in told
    assert sorted(place.path.parent.iterdir()) == before


def test_a_model_that_has_too_much_to_tell_is_refused(server: Served, place: Place) -> None:
    pandas = pytest.importorskip("pandas")
    names = [f"{number:0200}" for number in range(6000)]
    scaler = StandardScaler().fit(pandas.DataFrame([[0.0] * 6000, [1.0] * 6000], columns=names))
    status, told = server.upload("wide", keepfit.dumps(scaler, compress="zstd"), place.tokens["lab"])
    assert (status, "at most 1,048,576 are kept" in told["error"]) == (400, True), told
    assert server.upload("narrow", keepfit.dumps(constant(1)), place.tokens["lab"])[0] == 200


def test_a_load_that_takes_long_delays_neither_other_tenants_nor_the_operator(server: Served, place: Place) -> None:
    token = place.tokens["slow"]
    others = set(server.workers())
    assert server.upload("first", keepfit.dumps(constant(4)), token)[0] == 200
    (jail,) = set(server.workers()) - others
    keepfit.dump(constant(5), place.path.with_name("second"))
    os.kill(jail, signal.SIGSTOP)  # as a model that takes for ever would have it
    try:
        with Store(place.path) as store, place.path.with_name("second").open("rb") as file:
            store.tenants.save("slow", "slow.second", file, type="", facts={}, quota=Quota(9, 9, 10**9))
        wait_for(lambda: "slow.second" in str(server.ask("POST", "/v2/repository/index", None, token)))
        time.sleep(0.5)
        started = time.monotonic()
        assert server.upload("quick", keepfit.dumps(constant(6)), place.tokens["other"])[0] == 200
        with Store(place.path) as store:
            store["reloaded"] = constant(7)
        wait_for(lambda: server.predict("reloaded", [ROW], place.tokens["infer"])[0] == 200)
        assert time.monotonic() - started < 5
        states = {one["name"]: one["state"] for one in server.ask("POST", "/v2/repository/index", None, token)[1]}
        assert states["slow.second"] == "LOADING"
    finally:
        os.kill(jail, signal.SIGCONT)
    assert server.predict("slow.second", [ROW], token)[1]["outputs"][0]["data"] == [5]


def test_a_tenant_has_so_much_room(server: Served, place: Place) -> None:
    with Store(place.path) as store:
        token = Tokens(store).create(Role.UPLOAD, "full")
    wait_for(lambda: server.predict("m", [ROW], token)[0] == 200)
    rows = [[float(number)] * 4 for number in range(22_000)]
    data = keepfit.dumps(KNeighborsClassifier(algorithm="brute").fit(rows, [0, 1] * 11_000))
    assert 750_000 < len(data) < 1_000_000
    assert [server.upload(f"m{number}", data, token)[0] for number in range(4)] == [200, 200, 200, 403]
    assert server.upload("m", bytes(2_000_001), token)[0] == 413


def test_a_restart_keeps_uploads(place: Place, server: Served) -> None:
    server.upload("kept", keepfit.dumps(constant(5)), place.tokens["lab"])
    with serving(place.path, "--uploads") as again:
        assert again.predict("lab.kept", [ROW], place.tokens["lab"])[1]["outputs"][0]["data"] == [5]
        assert again.predict("lab.kept", [ROW], place.tokens["infer"])[0] == 404


def test_a_folder_and_a_file_are_served_without_a_store(tmp_path: Path) -> None:
    (tmp_path / "models" / "many").mkdir(parents=True)
    keepfit.dump(constant(1), tmp_path / "models" / "one.safetensors")
    keepfit.dump(constant(2), tmp_path / "models" / "many" / "2.safetensors")
    with serving(tmp_path / "models", "--reload-s", "0.1") as server:
        assert server.predict("one", [ROW])[1]["outputs"][0]["data"] == [1]
        assert server.predict("many", [ROW])[1]["model_version"] == "2"
        keepfit.dump(constant(9), tmp_path / "models" / "one.safetensors")
        wait_for(lambda: server.predict("one", [ROW])[1]["outputs"][0]["data"] == [9])
        assert server.upload("x", keepfit.dumps(constant(2)), "")[0] == 403
        (tmp_path / "models" / "one.safetensors").write_bytes(b"no model")
        time.sleep(0.5)
        assert server.predict("one", [ROW])[1]["outputs"][0]["data"] == [9]


def test_idle_connections_are_closed_and_all_requests_are_in_the_log(tmp_path: Path) -> None:
    keepfit.dump(constant(1), tmp_path / "one.safetensors")
    with serving(tmp_path / "one.safetensors", "--keep-alive", "0.6") as server:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)) as connection:
            for path, body in (("/v2/models/one/infer", json.dumps(infer_body([ROW]))), ("/v2", None)):
                for _ in range(3):
                    connection.request("POST" if body else "GET", path, body)
                    assert json.loads(connection.getresponse().read())
                    time.sleep(0.3)
                assert connection.sock is not None  # it was not closed between requests
                started = time.monotonic()
                assert connection.sock.recv(1) == b""
                assert time.monotonic() - started < 3.0
                connection.close()
        assert server.predict("one", [ROW])[0] == 200
        assert server.stop() == 0
    paths = [json.loads(line).get("path") for line in server.log]
    assert [paths.count(path) for path in ("/v2/models/one/infer", "/v2")] == [4, 3]


def test_it_serves_https(tmp_path: Path) -> None:
    keepfit.dump(constant(1), tmp_path / "m.safetensors")
    certificate, key = (ROOT / "tests" / "serve" / "tls" / name for name in ("cert.pem", "key.pem"))
    with serving(tmp_path / "m.safetensors", "--ssl-certfile", certificate, "--ssl-keyfile", key) as server:
        assert "https://127.0.0.1" in server.said[0]
        context = ssl.create_default_context(cafile=certificate)
        connection = http.client.HTTPSConnection("localhost", server.port, timeout=30, context=context)
        with contextlib.closing(connection):
            connection.request("GET", "/v2/health/ready")
            assert connection.getresponse().status == 200


# How it refuses to start


def refusal(*words: object) -> str:
    done = subprocess.run(command(*words), cwd=ROOT / "src", capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (1, 2), done
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_port_in_use_is_one_clear_line(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refusal(place.path, "--port", port)
    assert said == f"keepfit: 127.0.0.1:{port} cannot be used: something else listens there; take another --port\n"


def test_nobody_is_let_in_by_mistake(tmp_path: Path) -> None:
    keepfit.dump(constant(1), tmp_path / "m.safetensors")
    file = str(tmp_path / "m.safetensors")
    with Store(tmp_path / "state.db") as store:
        cases = [
            ({"place": store, "host": "0.0.0.0"}, "without tokens the server stays on this machine"),
            ({"place": file, "host": "::"}, "without tokens the server stays on this machine"),
            ({"place": store, "uploads": True}, "has no token"),
            ({"place": file, "tokens": store}, "has no token"),
            ({"place": store, "uploads": True, "no_auth": True}, "leave --no-auth out"),
            ({"place": file, "tokens": store, "no_auth": True}, "leave --no-auth out"),
            ({"place": file, "uploads": True}, "uploads are kept in a store"),
        ]
        for settings, words in cases:
            with pytest.raises(ServeError, match=words):
                Server(ServerSettings(**settings), print)
        Tokens(store).create(Role.INFER)
        Server(ServerSettings(place=store, host="0.0.0.0"), print)
        store.tokens.revoke(store.tokens.all()[0].key)
        with pytest.raises(ServeError, match="without tokens"):
            Server(ServerSettings(place=store, host="0.0.0.0"), print)


def test_one_file_that_does_not_load_is_not_served(tmp_path: Path) -> None:
    (tmp_path / "old.pkl").write_bytes(pickle.dumps(constant(1)))
    assert "old.pkl does not load: " in refusal(tmp_path / "old.pkl")


def test_the_spool_folder_is_the_one_that_was_named(place: Place, tmp_path: Path) -> None:
    done = subprocess.run(command(place.path, "--spool", tmp_path / "none"), capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert str(tmp_path / "none") in done.stderr


def test_what_cannot_be_used_is_said(tmp_path: Path) -> None:
    keepfit.dump(constant(1), tmp_path / "m.safetensors")
    file = str(tmp_path / "m.safetensors")
    assert "there is no" in refusal(tmp_path / "none.db")
    assert "goes with --ssl-certfile" in refusal(file, "--ssl-keyfile", file)
    for settings, words in (
        ({"tls": {"ssl_certfile": file}}, "no certificate"),
        ({"host": "192.0.2.1", "no_auth": True}, "cannot be used"),
        ({"host": "no.such.host.invalid", "no_auth": True}, "cannot be used"),
    ):
        with pytest.raises(ServeError, match=words):
            Server(ServerSettings(place=file, port=0, **settings), print).run()
    for settings in ({"tls": {"ssl_certfile": str(tmp_path / "none.pem")}}, {"spool": str(tmp_path / "none")}):
        with pytest.raises(FileNotFoundError):
            Server(ServerSettings(place=file, port=0, **settings), print).run()


# How it stops


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_under_load_loses_no_request(place: Place, number: int) -> None:
    with serving(place.path) as server:
        below = all_below(server.process.pid)
        assert len(below) >= 2
        with Load(server.port, "m", ROW, token=place.tokens["infer"]) as load:
            wait_for(lambda: load.statuses[200] > 200, 30)
            assert server.stop(number) == 0
            time.sleep(0.2)
    assert load.lost == []
    assert set(load.statuses) == {200}
    assert load.refused
    assert not any(is_alive(pid) for pid in below)
    assert "keepfit stops" in server.said[-2]
    assert server.said[-1] == "keepfit has stopped"


def test_a_second_ctrl_c_ends_at_once(place: Place) -> None:
    with serving(place.path, "--grace", 60) as server:
        below = all_below(server.process.pid)
        connection = socket.create_connection(("127.0.0.1", server.port))  # a request that never ends
        with connection:
            connection.sendall(b"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
            time.sleep(0.3)
            server.process.send_signal(signal.SIGINT)
            time.sleep(0.5)
            assert server.process.poll() is None
            began = time.monotonic()
            assert server.stop(signal.SIGINT) == 130
            assert time.monotonic() - began < 5
        wait_for(lambda: not any(is_alive(pid) for pid in below))


def test_a_stop_while_it_starts_leaves_nothing(place: Place, tmp_path: Path) -> None:
    said = tmp_path / "said"
    with said.open("w") as file:
        process = subprocess.Popen(
            command(place.path, "--port", 0), cwd=ROOT / "src", stdout=subprocess.DEVNULL, stderr=file
        )
    wait_for(lambda: all_below(process.pid), 30)
    time.sleep(0.3)
    below = all_below(process.pid)
    process.terminate()
    assert process.wait(30) == 0
    wait_for(lambda: not any(is_alive(pid) for pid in below))
    assert "Traceback" not in said.read_text()
