"""Clients that mean harm, or are broken: the server stays up, answers the others, and its memory is bounded."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import socket
import time
from collections.abc import Iterator

import numpy as np
import pytest
from http_rig import Place, Running, running

MiB = 1 << 20
GOOD = json.dumps(
    {"inputs": [{"name": "X", "datatype": "FP64", "shape": [1, 4], "data": [5.1, 3.5, 1.4, 0.2]}]}
).encode()
INFER = "/v2/models/iris/infer"


@pytest.fixture(scope="module")
def small(place: Place) -> Iterator[Running]:
    """A server with low limits, which has to answer as before when everything is over, and not have grown."""
    limits = {
        "body_bytes": 4 * MiB, "json_bytes": MiB, "bodies_bytes": 16 * MiB, "header_bytes": 8192, "connections": 40,
        "receive_timeout_s": 2.0, "receive_bytes_per_s": 10_000,
    }  # fmt: skip
    with running(place.path, limits=limits) as server:
        assert is_well(server)
        before = server.rss_bytes()
        yield server
        time.sleep(1.5)
        assert is_well(server)
        assert server.rss_bytes() - before < 100 * MiB


def is_well(server: Running) -> bool:
    with server.client() as client:
        return client.post(INFER, content=GOOD).json()["outputs"][0]["data"] == ["setosa"]


def head_of(length: int | str, path: str = INFER, more: str = "") -> bytes:
    return f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{more}\r\n".encode()


def ask(server: Running, *pieces: bytes, pause_s: float = 0.0, wait_s: float = 15.0) -> bytes:
    """Send pieces over a connection of its own, and read until the server closes it or nothing comes any more."""
    found = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=wait_s) as sock:
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                sock.sendall(piece)
                time.sleep(pause_s)
        with contextlib.suppress(ConnectionError, TimeoutError):
            while piece := sock.recv(1 << 16):
                found += piece
                head, _, body = found.partition(b"\r\n\r\n")
                length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                if length and len(body) >= int(length[0].split(b":")[1]):
                    break
    return found


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:100]
    return int(answer[9:12])


# Too much


def test_a_body_that_says_it_is_too_long_is_not_read(small: Running) -> None:
    assert status_of(ask(small, head_of(10**12), b"x" * 1000)) == 413


def test_a_body_without_a_length_is_read_up_to_the_limit(small: Running) -> None:
    chunk = b"100000\r\n" + bytes(MiB) + b"\r\n"
    head = head_of(0).replace(b"content-length: 0", b"transfer-encoding: chunked")
    assert status_of(ask(small, head, *[chunk] * 50)) == 413


def test_a_body_of_endless_length_is_cut_off_after_a_while(small: Running) -> None:
    head = head_of(0).replace(b"content-length: 0", b"transfer-encoding: chunked")
    chunk = b"10000\r\n" + bytes(1 << 16) + b"\r\n"
    with socket.create_connection(("127.0.0.1", small.port), timeout=20) as sock:
        sock.sendall(head)
        started = time.monotonic()
        with contextlib.suppress(ConnectionError, TimeoutError):
            while time.monotonic() - started < 18:
                sock.sendall(chunk)
                time.sleep(0.01)
        assert time.monotonic() - started < 16


def test_zip_bombs_are_413(small: Running) -> None:
    bomb = gzip.compress(bytes(64 * MiB))
    assert status_of(ask(small, head_of(len(bomb), more="content-encoding: gzip\r\n"), bomb)) == 413


def test_a_zip_bomb_in_a_bomb_is_no_json(small: Running) -> None:
    bomb = gzip.compress(gzip.compress(bytes(64 * MiB)))
    assert status_of(ask(small, head_of(len(bomb), more="content-encoding: gzip\r\n"), bomb)) == 400


def test_json_beyond_its_limit_is_413_and_binary_is_not(small: Running) -> None:
    text = GOOD[:-2] + b" " * MiB + GOOD[-2:]
    assert status_of(ask(small, head_of(len(text)), text)) == 413
    one = {"name": "X", "datatype": "FP64", "shape": [50_000, 4], "parameters": {"binary_data_size": 1_600_000}}
    head = json.dumps({"inputs": [one], "outputs": [{"name": "predict_proba"}]}).encode()
    more = f"inference-header-content-length: {len(head)}\r\n"
    body = head + np.zeros((50_000, 4)).tobytes()
    assert status_of(ask(small, head_of(len(body), more=more), body)) == 200


def test_headers_without_end_are_431(small: Running) -> None:
    line = b"x-more: " + b"a" * 1000 + b"\r\n"
    assert status_of(ask(small, b"POST / HTTP/1.1\r\nhost: x\r\n", *[line] * 200)) == 431
    assert status_of(ask(small, b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n")) in (400, 431)


# Nonsense


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"null", b"[]", b"\x00" * 100, b"{}", b'{"inputs": 5}', b'{"inputs": [5]}',
        GOOD.replace(b"[1, 4]", b"[-1, -4]"), GOOD.replace(b"[1, 4]", b"[4294967296, 4294967296]"),
        GOOD.replace(b"[1, 4]", b"[2, 4]"), GOOD.replace(b"[1, 4]", b"[0, 4]"), GOOD.replace(b"[1, 4]", b"[]"),
        GOOD.replace(b"[1, 4]", b"[4]"), GOOD.replace(b"[1, 4]", b"[1, 2, 2]"), GOOD.replace(b"[1, 4]", b"[1e3]"),
        GOOD.replace(b"FP64", b"BYTES"), GOOD.replace(b"FP64", b"BF16"), GOOD.replace(b"5.1", b"NaN"),
        GOOD.replace(b"5.1", b"1e400"), GOOD.replace(b"5.1", b'"5.1"'), GOOD.replace(b"5.1", b"{}"),
        GOOD.replace(b"[5.1, 3.5, 1.4, 0.2]", b"[" * 50_000 + b"]" * 50_000),
        GOOD[:-1] + b', "parameters": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001,
        GOOD[:-1] + b', "outputs": [{"name": "__class__"}]}', GOOD[:-1] + b', "outputs": [{"name": "fit"}]}',
        GOOD[:-1] + b', "id": 7}', GOOD[:-2] + b"," + GOOD[12:],
    ],
)  # fmt: skip
def test_nonsense_is_400(small: Running, body: bytes) -> None:
    answer = ask(small, head_of(len(body)), body)
    assert status_of(answer) == 400
    assert set(json.loads(answer.partition(b"\r\n\r\n")[2])) == {"error"}


@pytest.mark.parametrize("value", ["x", "-1", "1e3", "9" * 30, str(len(GOOD) + 1), ""])
def test_a_length_of_json_that_cannot_be_is_400(small: Running, value: str) -> None:
    answer = ask(small, head_of(len(GOOD), more=f"inference-header-content-length: {value}\r\n"), GOOD)
    assert status_of(answer) == 400


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "gzip;deflate", "x" * 5000])
def test_encodings_that_nobody_knows_are_415(small: Running, encoding: str) -> None:
    assert status_of(ask(small, head_of(len(GOOD), more=f"content-encoding: {encoding}\r\n"), GOOD)) == 415


@pytest.mark.parametrize(
    "raw",
    [b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"\r\n" * 1000, b"POST / HTTP/9.9\r\n\r\n", b"\xff" * 5000,
     b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
     b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcde",
     b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
     b"GET / HTTP/1.1\r\nhost: x\r\na\x00b: c\r\n\r\n"],
)  # fmt: skip
def test_what_is_no_http_ends_its_connection_only(small: Running, raw: bytes) -> None:
    answer = ask(small, raw)
    assert not answer or status_of(answer) in (400, 408)


@pytest.mark.parametrize(
    "name",
    ["..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e", "..", "a%00b", "%ff", "iris%2f..%2fann.line", "x" * 5000, "iris%0a",
     "'", "%7b%7d", "iris;x", "state.db", "%25s%25n"],
)  # fmt: skip
def test_names_that_are_paths_are_names_of_nothing(small: Running, name: str) -> None:
    for path in (f"/v2/models/{name}/infer", f"/v2/models/{name}/versions/1/infer", f"/predict/{name}",
                 f"/v2/models/iris/versions/{name}/infer"):  # fmt: skip
        answer = ask(small, head_of(len(GOOD), path, "content-type: application/json\r\n"), GOOD)
        assert status_of(answer) == 404
        assert len(answer) < 1000


# Slowness and numbers


def test_headers_that_come_slowly_are_408(small: Running) -> None:
    started = time.monotonic()
    answer = ask(small, b"POST /v2 HTTP/1.1\r\n", *[b"a: b\r\n"] * 8, pause_s=0.4)
    assert status_of(answer) == 408
    assert time.monotonic() - started < 10


def test_who_connects_and_says_nothing_is_let_go(small: Running) -> None:
    started = time.monotonic()
    assert status_of(ask(small)) == 408
    assert time.monotonic() - started < 10


def test_a_body_that_comes_slowly_is_408_and_one_that_comes_steadily_is_not(small: Running) -> None:
    assert status_of(ask(small, head_of(len(GOOD)), *[GOOD[:1]] * 8, pause_s=0.4)) == 408
    padded = GOOD + b" " * 180_000
    pieces = [padded[start : start + 30_000] for start in range(0, len(padded), 30_000)]
    assert status_of(ask(small, head_of(len(padded)), *pieces, pause_s=0.5)) == 200


def test_connections_beyond_the_number_are_turned_away_and_the_others_answered(small: Running) -> None:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection(("127.0.0.1", small.port), 5)) for _ in range(60)]
        time.sleep(0.3)
        held[0].sendall(head_of(len(GOOD)) + GOOD)
        assert status_of(held[0].recv(1 << 16)) == 200
        assert status_of(held[-1].recv(1 << 16)) == 503
    time.sleep(0.3)
    assert is_well(small)


def test_bodies_that_never_end_hold_no_more_than_all_may(small: Running) -> None:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection(("127.0.0.1", small.port), 5)) for _ in range(30)]
        for sock in held:
            with contextlib.suppress(ConnectionError, TimeoutError):
                sock.sendall(head_of(3 * MiB) + bytes(2 * MiB))
        time.sleep(0.5)
        found = []
        for sock in held:
            sock.settimeout(0.2)
            with contextlib.suppress(ConnectionError, TimeoutError):
                found.append(status_of(sock.recv(1 << 16)))
        assert 429 in found
        assert set(found) <= {429, 408}


def answers_of(server: Running, sent: bytes, count: int) -> list[bytes]:
    """The bodies of so many answers on one connection."""
    found = []
    with socket.create_connection(("127.0.0.1", server.port), timeout=15) as sock:
        sock.sendall(sent)
        with sock.makefile("rb") as reader:
            for _ in range(count):
                length = 0
                while (line := reader.readline().lower()) != b"\r\n":
                    assert line, found[-1:]
                    if line.startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                found.append(reader.read(length))
    return found


def test_requests_that_come_without_waiting_are_answered_in_their_order(small: Running) -> None:
    def request(number: int) -> bytes:
        body = b"{}" if number % 3 == 0 else GOOD.replace(b"{", b'{"id": "%d", ' % number, 1)
        return head_of(len(body)) + body + b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n" * (number % 5 == 0)

    found = answers_of(small, b"".join(map(request, range(1, 1001))), 1200)
    numbers = [body.partition(b'"id":"')[2].partition(b'"')[0] for body in found if b'"id"' in body]
    assert numbers == [b"%d" % number for number in range(1, 1001) if number % 3]
    assert sum(b"error" in body for body in found) == 333
    assert sum(body == b'{"live":true}' for body in found) == 200


@pytest.mark.parametrize(
    "head", [head_of(len(GOOD), more="connection: close\r\n"), head_of(len(GOOD)).replace(b"HTTP/1.1", b"HTTP/1.0")]
)
def test_a_client_that_wants_one_answer_has_its_connection_closed(small: Running, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", small.port), timeout=5) as sock:
        sock.sendall(head + GOOD)
        with sock.makefile("rb") as reader:
            answer = reader.read()
    assert status_of(answer) == 200
    assert b"connection: close\r\n" in answer
    assert answer.endswith(b"}")


def test_a_client_that_asks_whether_to_go_on_is_told_to(small: Running) -> None:
    with socket.create_connection(("127.0.0.1", small.port), timeout=5) as sock:
        sock.sendall(head_of(len(GOOD), more="expect: 100-continue\r\n"))
        assert status_of(sock.recv(1 << 16)) == 100
        sock.sendall(GOOD)
        assert status_of(sock.recv(1 << 16)) == 200


def test_a_long_answer_to_a_short_request_is_compressed(small: Running) -> None:
    row, rows = json.loads(GOOD)["inputs"][0]["data"], 200
    one = {"name": "X", "datatype": "FP64", "shape": [rows, 4], "data": row * rows}
    body = json.dumps({"inputs": [one], "outputs": [{"name": "predict_proba"}]}).encode()
    plain = ask(small, head_of(len(body)), body)
    packed = ask(small, head_of(len(body), more="accept-encoding: gzip\r\n"), body)
    head, _, content = packed.partition(b"\r\n\r\n")
    assert b"content-encoding: gzip" in head
    assert gzip.decompress(content) == plain.partition(b"\r\n\r\n")[2]


def test_who_goes_away_in_the_middle_is_not_missed(small: Running) -> None:
    for cut in (0, 10, len(GOOD) - 1, len(GOOD)):
        with socket.create_connection(("127.0.0.1", small.port), timeout=5) as sock:
            sock.sendall(head_of(len(GOOD)) + GOOD[:cut])
    time.sleep(0.2)
    assert is_well(small)
    assert not [line for line in small.lines if line.get("level") == "error"]


def test_many_tokens_are_guessed_in_vain(guarded: Running) -> None:
    with guarded.client() as client:
        for _ in range(300):
            token = f"kf_{os.urandom(8).hex()}_{'A' * 43}"
            assert client.post(INFER, content=GOOD, headers={"authorization": f"Bearer {token}"}).status_code == 401
        for odd in ("", "Bearer", "Bearer \xff", "Bearer kf_", "Bearer " + "x" * 20_000, "bearer a b c"):
            headers = [(b"authorization", odd.encode("latin-1"))]
            assert client.post(INFER, content=GOOD, headers=headers).status_code == 401
    bare = head_of(len(GOOD), more="authorization: Bearer \r\n")  # which no well-behaved client sends
    assert status_of(ask(guarded, bare + GOOD)) == 401
