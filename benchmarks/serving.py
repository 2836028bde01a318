"""What a served prediction costs: ``keepfit serve``, plain and in a jail, beside MLServer and MLflow, in one run.

Each server is started by its own command, in its own defaults, with one process that predicts, and is asked for one row
of 20 numbers at a time over one connection that stays open. Measured is the processor time of all its processes, as the
kernel counts it (``/proc/PID/task/*/schedstat``), per request. keepfit's front answers one row of FP64 for a small
linear model by itself, unless it is a tenant's; so what a jail adds is measured of FP32 there, which always goes to a
worker. Then, of keepfit alone: the latency that one client sees with batching on and off, where a worker answers, and
throughput and latency at 32 clients.

Peers are installed into environments of their own under ``.venv-serving``, or are given: ``--peer mlserver=PYTHON``.
Prints tables and writes ``results/serving.json``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import machine
import numpy as np
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

import keepfit
from keepfit.serve.tokens import Role, Tokens
from keepfit.store import Store

ROOT = Path(__file__).parents[1]
PEERS = {
    "mlserver": ["mlserver", "mlserver-sklearn", "uvloop<0.22"],  # 1.7.1 needs a loop that later ones do not make
    "mlflow": ["mlflow"],
}
START_S = 300.0
WARM_UP = 200
ROUNDS = 5


@dataclass
class Server:
    """A server that runs: its port, its processes, and how to ask it for a model."""

    port: int
    pid: int
    request_of: Callable[[str], bytes]


def by_workers(server: Server) -> Server:
    """The same server, asked for what its workers alone answer: the one small linear model in FP32."""

    def request_of(name: str) -> bytes:
        request = server.request_of(name)
        return request.replace(b"FP64", b"FP32") if name == "logistic" else request

    return replace(server, request_of=request_of)


def models() -> dict[str, Any]:
    X, y = make_classification(10_000, 20, n_informative=10, n_classes=3, random_state=0)
    return {
        "logistic": LogisticRegression(max_iter=1000).fit(X, y),
        "forest": RandomForestClassifier(100, random_state=0).fit(X[:2000], y[:2000]),
        "neighbours": KNeighborsClassifier().fit(X, y),
    }


def row() -> list[float]:
    found: list[float] = np.random.default_rng(0).normal(size=20).tolist()
    return found


# Processes


def processes_of(pid: int) -> list[int]:
    below = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            below += [found for child in task.read_text().split() for found in processes_of(int(child))]
    return [pid, *below]


def cpu_s(pid: int) -> float:
    """Processor time so far of a process and all below it."""
    total = 0
    for one in processes_of(pid):
        for path in Path(f"/proc/{one}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                total += int(path.read_text().split()[0])
    return total / 1e9


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextlib.contextmanager
def started(command: list[str], port: int, log: Path, cwd: Path) -> Iterator[int]:
    """A server's process, once its port answers."""
    with log.open("w") as file:
        programs = f"{Path(command[0]).parent}{os.pathsep}{os.environ['PATH']}"  # a peer starts others by name
        environment = {**os.environ, "PATH": programs, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        if command[0] != sys.executable:
            environment.pop("PYTHONPATH", None)
        process = subprocess.Popen(
            command, stdout=file, stderr=file, env=environment, cwd=cwd, start_new_session=True
        )  # a group of its own: there are servers that end all of theirs
    try:
        deadline = time.monotonic() + START_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start: {log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield process.pid
    finally:
        below = processes_of(process.pid)
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        for one in below:
            with contextlib.suppress(OSError):
                os.kill(one, 9)
        process.wait()


# Requests


def http_request(path: str, body: bytes, **headers: str) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "host: 127.0.0.1",
        f"content-length: {len(body)}",
        "content-type: application/json",
    ]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def tensor_body() -> bytes:
    return json.dumps({"inputs": [{"name": "X", "datatype": "FP64", "shape": [1, 20], "data": row()}]}).encode()


class Client:
    """One connection that stays open."""

    def __init__(self, port: int) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), 60)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def ask(self, request: bytes) -> tuple[int, bytes]:
        self._sock.sendall(request)
        found = b""
        while b"\r\n\r\n" not in found:
            found += self._received()
        head, _, body = found.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(body) < length:
            body += self._received()
        return int(head[9:12]), body

    def _received(self) -> bytes:
        piece = self._sock.recv(1 << 16)
        if not piece:
            raise ConnectionError("the server closed the connection")
        return piece


def wait_for(server: Server, name: str) -> None:
    deadline = time.monotonic() + START_S
    last: Any = None
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError), Client(server.port) as client:
            last = client.ask(server.request_of(name))
            if last[0] == 200:
                return
        time.sleep(0.2)
    raise RuntimeError(f"{name} never answered: {last}")


def cpu_per_request_ms(server: Server, name: str, count: int) -> float:
    """The least of some rounds: what else runs on the machine can only add."""
    wait_for(server, name)
    request = server.request_of(name)
    rounds = []
    with Client(server.port) as client:
        for _ in range(min(WARM_UP, count)):
            client.ask(request)
        for _ in range(ROUNDS):
            before = cpu_s(server.pid)
            for _ in range(count):
                status, body = client.ask(request)
                assert status == 200, body
            rounds.append((cpu_s(server.pid) - before) / count * 1e3)
    return min(rounds)


def latency_ms(server: Server, name: str, count: int) -> list[float]:
    request = server.request_of(name)
    found = []
    with Client(server.port) as client:
        for _ in range(count):
            before = time.perf_counter()
            client.ask(request)
            found.append((time.perf_counter() - before) * 1e3)
    return found


async def load(server: Server, name: str, clients: int, seconds: float) -> dict[str, float]:
    """Many clients that ask again as soon as they are answered."""
    request = server.request_of(name)
    found: list[float] = []
    failed = 0
    end = time.monotonic() + seconds

    async def one() -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        while time.monotonic() < end:
            before = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]))
            found.append((time.perf_counter() - before) * 1e3)
            failed += head[9:12] != b"200"
        writer.close()

    await asyncio.gather(*(one() for _ in range(clients)))
    found.sort()
    return {
        "requests_per_s": len(found) / seconds,
        "p50_ms": found[len(found) // 2],
        "p99_ms": found[len(found) * 99 // 100],
        "failed": float(failed),
    }


# Servers


@contextlib.contextmanager
def keepfit_server(folder: Path, *options: str, jailed: bool = False) -> Iterator[Server]:
    """``keepfit serve`` of a store; `jailed` asks for the same models as a tenant uploaded them."""
    place, port = folder / "state.db", free_port()
    command = [sys.executable, "-m", "keepfit", "serve", str(place), "--port", str(port), "--workers", "1", *options]
    headers: dict[str, str] = {}
    if jailed:
        command.append("--uploads")
        with Store(place) as store:
            headers["authorization"] = f"Bearer {Tokens(store).create(Role.UPLOAD, 'tenant')}"
    else:
        command.append("--no-auth")
    with started(command, port, folder / "keepfit.log", folder) as pid:
        if jailed:
            kind = {"content-type": "application/octet-stream"}
            for name in models_in(folder):
                content = (folder / f"{name}.safetensors").read_bytes()
                with Client(port) as client:
                    path = f"/v2/repository/models/{name}/load"
                    request = http_request(path, content, **headers).replace(
                        b"content-type: application/json", f"content-type: {kind['content-type']}".encode(), 1
                    )
                    status, body = client.ask(request)
                    assert status == 200, body
        prefix = "tenant." if jailed else ""
        body = tensor_body()
        yield Server(port, pid, lambda name: http_request(f"/v2/models/{prefix}{name}/infer", body, **headers))


def models_in(folder: Path) -> list[str]:
    return [path.stem for path in sorted(folder.glob("*.safetensors"))]


@contextlib.contextmanager
def mlserver(folder: Path, python: Path) -> Iterator[Server]:
    """``mlserver start``, with models as joblib files."""
    import joblib

    port = free_port()
    home = folder / "mlserver"
    home.mkdir()
    ports = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port(), "host": "127.0.0.1"}
    (home / "settings.json").write_text(json.dumps({**ports, "parallel_workers": 1}))
    for name, model in models().items():
        (home / name).mkdir()
        joblib.dump(model, home / name / "model.joblib")
        settings = {
            "name": name,
            "implementation": "mlserver_sklearn.SKLearnModel",
            "parameters": {"uri": "./model.joblib"},
        }
        (home / name / "model-settings.json").write_text(json.dumps(settings))
    command = [str(python.with_name("mlserver")), "start", str(home)]
    with started(command, port, folder / "mlserver.log", home) as pid:
        body = tensor_body()
        yield Server(port, pid, lambda name: http_request(f"/v2/models/{name}/infer", body))


@contextlib.contextmanager
def mlflow(folder: Path, python: Path, name: str) -> Iterator[Server]:
    """``mlflow models serve``, which serves one model, with one worker."""
    import joblib

    home = folder / f"mlflow-{name}"
    home.mkdir()
    joblib.dump(models()[name], home / "model.joblib")
    save = (
        "import joblib, mlflow.sklearn; "
        "mlflow.sklearn.save_model(joblib.load('model.joblib'), 'model', serialization_format='pickle')"
    )
    subprocess.run([str(python), "-c", save], cwd=home, check=True, capture_output=True)
    port = free_port()
    command = [str(python), "-m", "mlflow", "models", "serve", "-m", "model", "--env-manager", "local"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    with started(command, port, folder / "mlflow.log", home) as pid:
        body = json.dumps({"inputs": [row()]}).encode()
        yield Server(port, pid, lambda _: http_request("/invocations", body))


def peer_python(name: str) -> Path:
    """The interpreter of an environment with a peer in it, made if it is not there."""
    home = ROOT / ".venv-serving" / name
    python = home / "bin" / "python"
    if not (home / "made").exists():
        print(f"installing {name} into {home} ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
        with_pip = os.environ.get("PYTHON", sys.executable)  # make's own: its .venv has no pip
        pip = [with_pip, "-m", "pip", "--python", str(python), "install", "--quiet"]
        import sklearn

        same = [f"scikit-learn=={sklearn.__version__}", f"numpy=={np.__version__}"]
        subprocess.run([*pip, *PEERS[name], *same], check=True)
        (home / "made").touch()
    return python


# Tables


def measure_cpu(folder: Path, peers: dict[str, Path | None], count: int) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    names = list(models())

    def all_of(server: Server, label: str, count: int) -> None:
        found[label] = {name: cpu_per_request_ms(server, name, count) for name in names}
        tell(label)

    def tell(label: str) -> None:
        print(f"{label:<24}" + "".join(f"{found[label][name]:>14.3f}" for name in names), flush=True)

    print("processor time of all processes of a server for a request of one row, in ms")
    print(" " * 24 + "".join(f"{name:>14}" for name in names))
    with keepfit_server(folder) as server:
        all_of(server, "keepfit", count)
        all_of(by_workers(server), "keepfit, by workers", count)
    with keepfit_server(folder, jailed=True) as server:
        all_of(server, "keepfit, jailed", count)
        all_of(by_workers(server), "keepfit, by jails", count)
    found["a jail adds"] = {
        name: found["keepfit, by jails"][name] - found["keepfit, by workers"][name] for name in names
    }
    tell("a jail adds")
    for peer, given in peers.items():
        try:
            python = given or peer_python(peer)
            if peer == "mlserver":
                with mlserver(folder, python) as server:
                    all_of(server, peer, count // 4)
            else:
                found[peer] = {}
                for name in names:
                    with mlflow(folder, python, name) as server:
                        found[peer][name] = cpu_per_request_ms(server, name, count // 10)
                tell(peer)
        except (subprocess.CalledProcessError, RuntimeError) as error:
            found.pop(peer, None)
            print(f"{peer:<24} NOT MEASURED: {str(error)[-600:]}", flush=True)
    for peer in found.keys() & PEERS.keys():
        print(f"{peer + ' / keepfit':<24}" + "".join(f"{found[peer][n] / found['keepfit'][n]:>14.1f}" for n in names))
    return found


def measure_latency(folder: Path, count: int) -> dict[str, float]:
    """Medians of one client, batching on and off in turns, in four pairs of servers that run side by side."""
    options: dict[str, tuple[str, ...]] = {"on": (), "off": ("--no-batching",)}
    found: dict[str, list[float]] = {"on": [], "off": []}
    for pair in range(4):  # servers that are alike differ by some per cent, the one that was started first by more
        with contextlib.ExitStack() as stack:
            keys = sorted(options, reverse=bool(pair % 2))
            servers = {key: by_workers(stack.enter_context(keepfit_server(folder, *options[key]))) for key in keys}
            for server in servers.values():
                wait_for(server, "logistic")
                latency_ms(server, "logistic", WARM_UP)
            for turn in range(20):
                for key in sorted(servers, reverse=bool(turn % 2)):
                    found[key] += latency_ms(servers[key], "logistic", count // 20)
    medians = {key: statistics.median(values) for key, values in found.items()}
    print(f"one client, logistic, median: batching on {medians['on']:.3f} ms, off {medians['off']:.3f} ms, ", end="")
    print(f"on / off {medians['on'] / medians['off']:.3f}")
    return medians


def measure_load(folder: Path, seconds: float) -> dict[str, dict[str, float]]:
    found = {}
    print("32 clients            requests/s    p50 ms    p99 ms    failed")
    for label, options in (("batching", ()), ("no batching", ("--no-batching",))):
        with keepfit_server(folder, *options) as server:
            for name in models():
                wait_for(server, name)
                told = found[f"{name}, {label}"] = asyncio.run(load(server, name, 32, seconds))
                print(
                    f"{name + ', ' + label:<22}{told['requests_per_s']:>10.0f}{told['p50_ms']:>10.2f}"
                    f"{told['p99_ms']:>10.2f}{told['failed']:>10.0f}",
                    flush=True,
                )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--no-peers", action="store_true", help="keepfit alone")
    parser.add_argument("--requests", type=int, default=4000, help="in each round (4000)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of load for each model (10)")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "benchmarks" / "results" / "serving.json")
    chosen = parser.parse_args()
    peers: dict[str, Path | None] = {} if chosen.no_peers else dict.fromkeys(PEERS)
    peers |= {name: Path(python) for name, _, python in (one.partition("=") for one in chosen.peer)}
    os.environ["PYTHONPATH"] = str(ROOT / "src")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with Store(folder / "state.db") as store:
            for name, model in models().items():
                store.save(name, model)
                keepfit.dump(model, folder / f"{name}.safetensors")
        found = {
            "cpu_per_request_ms": measure_cpu(folder, peers, chosen.requests),
            "latency_ms": measure_latency(folder, chosen.requests),
            "load": measure_load(folder, chosen.seconds),
        }
    measured_on = machine.facts("keepfit", "scikit-learn", "numpy")
    chosen.output.write_text(json.dumps({"machine": measured_on, **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
