"""Hostile files that are uploaded, and predicted on where they are taken: refused in words, or harmless to others."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from served import ROOT, Load, Served, all_below, serving
from sklearn.dummy import DummyClassifier

import keepfit
from keepfit.serve.tokens import Role, Tokens
from keepfit.store import Store

sys.path[:0] = [str(ROOT / "tests" / room) for room in ("", "artifact", "pickles", "fuzz")]

CORPUS = ROOT / "tests" / "corpus" / "fuzz"
MiB = 1 << 20
ROW = [5.1, 3.5, 1.4, 0.2]
#: One of each kind of native state: linear, trees, neighbours, kernels, bins, clusters, text, columns.
SUBJECTS = (
    "LogisticRegression", "RandomForestClassifier", "KNeighborsClassifier", "SVC", "HistGradientBoostingClassifier",
    "KMeans", "TfidfVectorizer", "ColumnTransformer",
)  # fmt: skip
CHANGED_OF_EACH = 14


@dataclass
class Place:
    folder: Path
    server: Served
    tokens: dict[str, str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A server with uploads and conversion. Others' models answer before and after, and it does not grow."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "spool").mkdir()
    path = folder / "state.db"
    with Store(path) as store:
        store["m"] = constant(1)
        made = Tokens(store)
        tokens = {name: made.create(Role.UPLOAD, name) for name in ("bystander", "mallory", "mal", "malone")}
        tokens["infer"] = made.create(Role.INFER)
    options = ("--convert-uploads", "--max-upload-bytes", 2 * MiB, "--spool", folder / "spool", "--timeout", 5)
    with serving(path, "--uploads", *options) as server:
        found = Place(folder, server, tokens)
        assert server.upload("own", keepfit.dumps(constant(7)), tokens["bystander"])[0] == 200
        assert_well(found)
        before = front_bytes(server)
        yield found
        assert_well(found)
        assert front_bytes(server) - before < 100 * MiB
        assert not list((folder / "spool").iterdir())
        assert {one.name for one in folder.iterdir()} <= {"spool", "state.db", "state.db-wal", "state.db-shm"}


def constant(value: int) -> Any:
    return DummyClassifier(strategy="constant", constant=value).fit([ROW] * 9, list(range(9)))


def assert_well(place: Place) -> None:
    for name, token, expected in (("m", "infer", 1), ("bystander.own", "bystander", 7)):
        status, told = place.server.predict(name, [ROW], place.tokens[token])
        assert (status, told["outputs"][0]["data"]) == (200, [expected]), told


def front_bytes(server: Served) -> int:
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def all_bytes(server: Served) -> int:
    """Memory of all its processes; what they share counts once."""
    total = 0
    for pid in (server.process.pid, *all_below(server.process.pid)):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:  # it has ended
            continue
        total += sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
    return total


def tried(place: Place, files: list[tuple[str, bytes, list[Any]]]) -> Counter[str]:
    """Upload each file, ask those that are taken for all they can answer, and count what the server said."""
    said: Counter[str] = Counter()
    server, most = place.server, 0
    with Load(server.port, "m", ROW, clients=1, token=place.tokens["infer"]) as load:
        for number, (name, data, rows) in enumerate(files):
            tenant = ("mallory", "mal", "malone")[number % 3]
            token = place.tokens[tenant]
            status, told = server.upload("hostile", data, token)
            assert status in (200, 400, 413), (name, status, told)
            said[str(status)] += 1
            if status != 200:
                assert told["error"], name
                continue
            for status in asked(server, f"{tenant}.hostile", rows, token):
                assert status in (200, 400, 503), (name, status)
                said[f"prediction {status}"] += 1
            most = max(most, all_bytes(server)) if number % 10 == 0 else most
            assert server.ask("DELETE", "/v2/repository/models/hostile", None, token)[0] == 200
    assert set(load.statuses) == {200}
    assert not load.lost
    assert most < 2048 * MiB
    return said


def asked(server: Served, name: str, rows: list[Any], token: str) -> Iterator[int]:
    """The statuses of predictions for honest rows and odd ones, of every output, and of metadata."""
    yield server.ask("GET", f"/v2/models/{name}", None, token)[0]
    status, described = server.ask("GET", f"/v2/models/{name}/config", None, token)
    yield status
    outputs = [one["name"] for one in described.get("output", ())] or ["predict"]
    headers = {"Content-Type": "application/json"}
    for record in rows:
        for output in outputs:
            yield server.ask("POST", f"/predict/{name}?output={output}", [record] * 2, token, **headers)[0]


def rows_for(X: Any) -> list[Any]:
    """Records: one that is honest where that can be said in JSON, and odd ones."""
    width = X.shape[1] if getattr(X, "ndim", 0) == 2 else 4
    honest = X[0].tolist() if isinstance(X, np.ndarray) and X.ndim == 2 else X[0] if isinstance(X, list) else "a b c"
    return [
        json.loads(json.dumps(honest, default=str)),
        [1e300] * width,
        [None] * width,
        [-1.0] * (width + 1),
        "a" * 5000,
    ]


def test_files_that_did_harm_once_and_hostile_pickles_are_refused_or_harmless(place: Place, tmp_path: Path) -> None:
    import hostile

    canary = tmp_path / "canary"
    files = [(path.name, path.read_bytes(), rows_for(None)) for path in sorted(CORPUS.glob("*.safetensors"))]
    assert files
    seen = set()
    for category, name, data in hostile.shapes(canary):
        if category not in seen and len(data) < 900_000:  # one of each kind; all are the business of tests/pickles
            seen.add(category)
            files.append((f"{category} {name}", data, []))
    good = keepfit.dumps(constant(3))
    files += [("cut", good[:-100], []), ("long", bytes(2 * MiB + 1), []), ("header", b"\xff" * 7 + b"\0{" + good, [])]
    corpus = tried(place, files)
    assert corpus["400"] + corpus["413"] >= len(seen) + 3
    assert not canary.exists()
    with Store(place.folder / "state.db") as store:
        assert [name for name in store if "hostile" in name] == []


def test_changed_files_of_estimators_that_are_taken_are_predicted_on_and_harm_nobody(place: Place) -> None:
    import mutators
    import subjects

    chosen = list(subjects.subjects(SUBJECTS))
    donors = [one.graph for one in chosen]
    files = []
    for one in chosen:
        for seed in range(CHANGED_OF_EACH):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what is changed
                mutator, (data, notes) = mutators.make(one, donors, seed)
            if data:
                files.append((f"{one.label} {mutator} {seed} {notes}", data, rows_for(one.X)))
    said = tried(place, files)
    assert said["200"] > 10, said
    assert said["400"] > 50, said
    assert said["prediction 200"] > said["200"], said
