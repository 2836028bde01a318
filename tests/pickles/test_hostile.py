"""Hostile files: refused or unreadable, never run, within 5 seconds of processor time and 1 GiB."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import hostile
import pytest

import keepfit

CHILD = Path(__file__).parent / "inspecting_child.py"


def inspected(folder: Path, rows: list[hostile.Shape]) -> list[dict[str, Any]]:
    """What inspecting each file gives, in a child that gives each a child of its own."""
    folder.mkdir()
    for number, (_, _, data) in enumerate(rows):
        (folder / f"{number:04}").write_bytes(data)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(keepfit.__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, str(CHILD), str(folder)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    return [found[f"{number:04}"] for number in range(len(rows))]


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nest") / "canary"


@pytest.fixture(scope="module")
def rows(canary: Path) -> list[hostile.Shape]:
    return list(hostile.shapes(canary))


def test_there_are_more_than_a_hundred_shapes_all_different(rows: list[hostile.Shape]) -> None:
    assert len({data for _, _, data in rows}) == len(rows) > 100
    assert len({(category, label) for category, label, _ in rows}) == len(rows)
    assert min(Counter(category for category, _, _ in rows).values()) >= 10


def test_none_is_convertible_none_runs_and_none_takes_long(
    tmp_path: Path, rows: list[hostile.Shape], canary: Path
) -> None:
    found = inspected(tmp_path / "files", rows)
    for (category, label, _), result in zip(rows, found, strict=True):
        where = f"{category}: {label}: {result}"
        assert result["verdict"] in ("refused", "unreadable"), where
        assert result["time_s"] < 5, where
        assert result["memory_bytes"] < 2**30, where
        assert result["events"] == [], where
    assert not canary.exists()


def test_the_canary_sings_where_such_a_file_is_unpickled(
    tmp_path: Path, rows: list[hostile.Shape], canary: Path
) -> None:
    """Otherwise its silence would prove nothing."""
    chosen = ("os.system", "STACK_GLOBAL", "REDUCE with TUPLE1", "INST")
    live = [data for _, label, data in rows if label in chosen]
    assert len(live) == 4
    for data in live:
        (tmp_path / "live").write_bytes(data)
        code = "import pickle; pickle.load(open('live', 'rb'))"
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
        assert canary.exists()
        canary.unlink()


def test_refusals_name_what_they_refuse_and_where(canary: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {canary}",)

    report = keepfit.inspect(pickle.dumps({"models": [1, Evil(), Evil()]}))
    assert report.verdict == "refused"
    assert [obstacle.place for obstacle in report.obstacles] == ["models.1", "models.2"]
    assert all("posix.system" in obstacle.message for obstacle in report.obstacles)
    assert [(effect.name, effect.count) for effect in report.imports] == [("posix.system", 1)]
    assert [(effect.name, effect.count) for effect in report.calls] == [("posix.system", 2)]
    assert "safe" not in f"{report}{report.to_json()}{report._repr_html_()}".replace("safetensors", "")
