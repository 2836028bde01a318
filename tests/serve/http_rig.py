"""Models to serve, and servers to ask, in tests of the HTTP face."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np

SERVER = Path(__file__).with_name("http_server.py")


@dataclass
class Place:
    """A store with models to serve, and tokens for it by role."""

    path: Path
    models: dict[str, Any]
    tokens: dict[str, str]


@dataclass
class Running:
    """A server in a process of its own. `lines` is what it wrote to its log so far."""

    port: int
    process: subprocess.Popen[str]
    lines: list[dict[str, Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, token: str = "") -> httpx.Client:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        # There is no TLS here, and making its context takes longer than a test.
        return httpx.Client(base_url=self.url, headers=headers, timeout=20, verify=False)

    def rss_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def running(place: Path, *options: str, limits: dict[str, Any] | None = None) -> Iterator[Running]:
    """Start a server, and end it afterwards. It has to have lived until then."""
    command = [sys.executable, str(SERVER), str(place), *options]
    if limits:
        command += ["--limits", msgspec.json.encode(limits).decode()]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    port = process.stdout.readline()
    assert port, process.stderr.read()
    server = Running(int(port), process)

    def read() -> None:
        for line in process.stderr or ():
            server.lines.append(msgspec.json.decode(line))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield server
        assert process.poll() is None, server.lines[-3:]
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()
        reader.join()
        process.stderr.close()


def models() -> dict[str, Any]:
    """A classifier, a forest, a regressor, a transformer, one on named columns, one on text."""
    from sklearn.compose import ColumnTransformer
    from sklearn.datasets import load_iris
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    X, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    people = _people()
    columns = ColumnTransformer([("city", OneHotEncoder(), ["city"]), ("age", StandardScaler(), ["age"])])
    texts = ["good fine", "bad awful", "fine good good", "awful bad bad"]
    return {
        "iris": LogisticRegression(max_iter=500).fit(X, names),
        "forest": RandomForestClassifier(5, random_state=0).fit(X, y),
        "line": LinearRegression().fit(X, y),
        "scale": StandardScaler().fit(X),
        "people": make_pipeline(columns, LogisticRegression()).fit(people, [0, 1, 0, 1]),
        "words": make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, ["up", "down", "up", "down"]),
    }


def _people() -> Any:
    import pandas

    return pandas.DataFrame({"age": [20.0, 30.0, 40.0, 50.0], "city": ["Ulm", "Bonn", "Ulm", "Bonn"]})
