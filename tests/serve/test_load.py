"""Requests without a pause while models change and workers die; long runs are marked so, a short slice runs in CI."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served import Load, Served, serving, wait_for
from sklearn.linear_model import LinearRegression
from test_serve_command import ROW, constant

from keepfit.store import Store


@pytest.fixture
def place(tmp_path: Path) -> Path:
    with Store(tmp_path / "state.db") as store:
        store["m"] = constant(0)
    return tmp_path / "state.db"


@pytest.fixture
def server(place: Path) -> Iterator[Served]:
    with serving(place, "--reload-s", "0.05", "--no-access-log") as server:
        yield server


def linear(value: int) -> LinearRegression:
    """A model that answers with a number, and that the front answers for by itself."""
    return LinearRegression().fit([ROW] * 2, [value] * 2)


@pytest.mark.parametrize("make", [constant, linear])
@pytest.mark.parametrize("reloads", [12, pytest.param(100, marks=pytest.mark.long)])
def test_no_request_fails_while_models_are_replaced(place: Path, server: Served, reloads: int, make: Any) -> None:
    with Store(place) as store, Load(server.port, "m", ROW) as load:
        for number in range(1, reloads + 1):
            store["m"] = make(number % 30)
            wait_for(lambda: server.predict("m", [ROW])[1]["outputs"][0]["data"] == [number % 30], 30)  # noqa: B023
    assert load.lost == []
    assert set(load.statuses) == {200}
    assert len(set(map(float, load.answers))) == min(reloads + 1, 30)  # "0", of the first, is "0.0" of another
    assert sum('"model unloaded"' in line for line in server.log) >= reloads - 1


@pytest.mark.parametrize(("duration_s", "pause_s"), [(6.0, 1.0), pytest.param(600.0, 5.0, marks=pytest.mark.long)])
def test_workers_that_are_killed_cost_only_what_they_had_in_hand(
    server: Served, duration_s: float, pause_s: float
) -> None:
    choose = random.Random(0)
    kills = 0
    with Load(server.port, "m", ROW) as load:
        wait_for(lambda: load.statuses[200] > 50, 30)
        end = time.monotonic() + duration_s
        while time.monotonic() < end:
            time.sleep(pause_s)
            workers = server.workers()
            os.kill(choose.choice(workers), signal.SIGKILL)
            kills += 1
            wait_for(lambda: len(server.workers()) == len(workers), 30)  # noqa: B023
        count = load.statuses[200]
        wait_for(lambda: load.statuses[200] > count + 50, 30)
    print(f"{kills} kills, {dict(load.statuses)}, {len(load.lost)} lost")
    assert load.lost == []
    assert set(load.statuses) <= {200, 503}
    assert load.statuses[503] <= kills * 8  # no more than there are clients
    assert server.process.poll() is None
