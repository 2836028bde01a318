"""`keepfit serve` in a process of its own, clients that ask it, and clients that never stop asking."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
START_S = 60.0


@dataclass
class Served:
    """A server. `said` is its start-up block, `log` its log so far."""

    process: subprocess.Popen[str]
    port: int = 0
    said: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    def ask(self, method: str, path: str, body: Any = None, token: str = "", **headers: str) -> tuple[int, Any]:
        """A request on a connection of its own: the status, and the body as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            if token:
                headers["Authorization"] = f"Bearer {token}"
            data = body if isinstance(body, bytes | None) else json.dumps(body)
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            content = answer.read()
        return answer.status, json.loads(content) if content else None

    def predict(self, model: str, rows: Any, token: str = "") -> tuple[int, Any]:
        return self.ask("POST", f"/v2/models/{model}/infer", infer_body(rows), token)

    def upload(self, name: str, data: bytes, token: str) -> tuple[int, Any]:
        path = f"/v2/repository/models/{name}/load"
        return self.ask("POST", path, data, token, **{"Content-Type": "application/octet-stream"})

    def workers(self) -> list[int]:
        """The process ids of all workers: the children of the zygote, which is the child of the server."""
        return [worker for zygote in children(self.process.pid) for worker in children(zygote)]

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 30.0) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout_s)


def infer_body(rows: Any) -> dict[str, Any]:
    shape = [len(rows), len(rows[0])]
    data = [float(value) for row in rows for value in row]
    return {"inputs": [{"name": "X", "datatype": "FP64", "shape": shape, "data": data}]}


def children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(child) for child in task.read_text().split()]
    return found


def all_below(pid: int) -> list[int]:
    below = children(pid)
    return below + [grandchild for child in below for grandchild in all_below(child)]


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "keepfit", "serve", *map(str, words)]


@contextlib.contextmanager
def serving(*words: object) -> Iterator[Served]:
    """Start a server on a free port, and end it afterwards, with all that it started."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen(
        command(*words, "--port", 0), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    server = Served(process)
    readers = [
        threading.Thread(target=keep_lines, args=(process.stdout, server.log)),
        threading.Thread(target=keep_lines, args=(process.stderr, server.said)),
    ]
    for reader in readers:
        reader.start()
    below: list[int] = []
    try:
        wait_for(lambda: process.poll() is not None or any("uploads" in line for line in server.said), START_S)
        found = re.search(r"://\S+:(\d+)", "\n".join(server.said))
        assert found, "\n".join(server.said + server.log)
        server.port = int(found[1])
        yield server
        below = all_below(process.pid)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        for reader in readers:
            reader.join()
        for stream in (process.stdout, process.stderr):
            stream.close()
    wait_for(lambda: not any(is_alive(pid) for pid in below), 10)


def keep_lines(stream: Any, lines: list[str]) -> None:
    lines.extend(line.rstrip("\n") for line in stream)  # each as it comes


def wait_for(condition: Any, timeout_s: float = 10.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Load:
    """Clients that ask one model all the time, each on a connection that it keeps while the server lets it.

    Attributes
    ----------
    statuses : Counter of int
        How many answers of each status came.
    answers : Counter of str
        How many answers had each first value.
    lost : list of str
        Requests that were sent and had no whole answer.
    refused : int
        Connections that were not taken: nothing was sent on them.
    """

    def __init__(self, port: int, model: str, row: list[float], *, clients: int = 8, token: str = "") -> None:
        self.statuses: Counter[int] = Counter()
        self.answers: Counter[str] = Counter()
        self.lost: list[str] = []
        self.refused = 0
        self._port = port
        self._path = f"/v2/models/{model}/infer"
        self._body = json.dumps(infer_body([row])).encode()
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._ask_on) for _ in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _ask_on(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        while not self._stopping.is_set():
            try:
                if connection.sock is None:
                    connection.connect()
            except OSError:
                self.refused += 1
                time.sleep(0.02)
                continue
            try:
                connection.request("POST", self._path, self._body, self._headers)
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(f"{type(error).__name__}: {error}")
                connection.close()
                continue
            self.statuses[answer.status] += 1
            if answer.status == 200:
                self.answers[str(json.loads(content)["outputs"][0]["data"][0])] += 1
        connection.close()
