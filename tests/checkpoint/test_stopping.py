"""A search that is stopped, by a signal or a kill, and goes on: real processes, really killed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import cross_val_score
from sklearn.tree import DecisionTreeClassifier

import keepfit
from keepfit.errors import StoreError

CHILD = Path(__file__).parent / "search_child.py"
TASKS = 160

#: Kills in a run of the tests, half of them at ``n_jobs=2``.
KILLS = int(os.environ.get("KEEPFIT_KILLS", "6"))


class Child:
    """A search in a process group of its own."""

    def __init__(self, folder: Path, *options: str, pause_s: float = 0.01) -> None:
        self.results = folder / "results.npz"
        self.log = folder / "fits.log"
        self.log.write_text("")
        command = [sys.executable, CHILD, folder / "state.db", self.results, "--log", self.log, *options]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        environment = {**os.environ, "PAUSE_S": str(pause_s)}
        self.process = subprocess.Popen(command, env=environment, start_new_session=True, **pipes)
        self.pid = int(self.process.stdout.readline().split()[1])

    def kill(self) -> None:
        """SIGKILL, if it still lives; then what it has started goes too."""
        self.process.kill()
        if not self.process.stdout.closed:
            self.end()

    def end(self) -> str:
        """Wait for it, then end what it left behind; give what it said."""
        self.process.wait(timeout=300)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return self.process.communicate()[1]

    def members(self) -> list[int]:
        """Processes of the group that are alive."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == self.pid and fields[0] not in "ZX":
                found.append(int(stat.parent.name))
        return found


@pytest.fixture
def child(tmp_path: Path) -> Iterator[type[Child]]:
    started: list[Child] = []

    def start(*options: str, pause_s: float = 0.01) -> Child:
        started.append(Child(tmp_path, *options, pause_s=pause_s))
        return started[-1]

    yield start
    for one in started:
        one.kill()


def fits(log: Path) -> Counter[tuple[float, int]]:
    """How often each (candidate, split) was fitted."""
    lines = [line.split() for line in log.read_text().splitlines()]
    return Counter((float(weight), int(split)) for weight, split in lines)


def kept(folder: Path) -> set[tuple[float, int]]:
    """The (candidate, split) pairs that are in the store, which is whole."""
    path = folder / "state.db"
    if not path.exists():
        return set()
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        connection.close()
    with keepfit.Store(path) as store:
        tasks = [task for search in store.work.searches() for task in store.work.tasks(search.id)]
    return {(json.loads(task.candidate)["weight"], task.split) for task in tasks}


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The scores of the search without keepfit."""
    folder = tmp_path_factory.mktemp("plain")
    one = Child(folder, "--plain", pause_s=0)
    one.end()
    return scores(one)


def scores(one: Child) -> bytes:
    with np.load(one.results) as results:
        return results["scores"].tobytes()


def killed_search(folder: Path, n_jobs: int, kills: int, rng: random.Random, uninterrupted: bytes) -> int:
    """Search with up to that many kills, going on each time; give how many it took."""
    for number in range(kills + 1):
        before = kept(folder)
        one = Child(folder, "--n-jobs", str(n_jobs), pause_s=0.01 if number < kills else 0)
        killer = threading.Timer(rng.uniform(0.0, 2.0), one.process.kill)
        if number < kills:
            killer.start()
        error = one.end()
        killer.cancel()
        done = fits(one.log)
        assert not before & done.keys(), f"finished work was done again: {before & done.keys()} of {len(before)}"
        assert max(done.values(), default=1) == 1
        assert before <= kept(folder), "finished work was lost"
        if one.process.returncode == 0:
            assert scores(one) == uninterrupted
            assert len(kept(folder)) == TASKS
            return number
        assert one.process.returncode == -signal.SIGKILL, error
    raise AssertionError("the last search was not to be killed")


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_killed_at_any_moment_a_search_goes_on_and_finds_the_same(n_jobs, tmp_path, uninterrupted) -> None:
    rng = random.Random(1000 * n_jobs + KILLS)
    kills, rounds = 0, 0
    while kills < KILLS // 2:
        folder = tmp_path / str(rounds)
        folder.mkdir()
        kills += killed_search(folder, n_jobs, min(4, KILLS // 2 - kills), rng, uninterrupted)
        rounds += 1


@pytest.mark.long
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_killed_at_many_moments(n_jobs, tmp_path, uninterrupted, monkeypatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "KILLS", 50)
    test_killed_at_any_moment_a_search_goes_on_and_finds_the_same(n_jobs, tmp_path, uninterrupted)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("n_jobs", ["1", "2"])
def test_a_signal_stops_at_once_and_everything_finished_is_kept(n_jobs, number, child, tmp_path, uninterrupted) -> None:
    one = child("--n-jobs", n_jobs, pause_s=0.05)
    wait_for(lambda: len(fits(one.log)) >= 20)
    start_s = time.monotonic()
    one.process.send_signal(number)
    one.process.wait(timeout=60)
    assert time.monotonic() - start_s < 20
    assert one.process.returncode == (143 if number == signal.SIGTERM else -signal.SIGINT)
    finished = kept(tmp_path)
    assert len(finished) >= len(fits(one.log)) - 2 * int(n_jobs) - 2
    place = tmp_path / "state.db"
    wait_for(lambda: not one.members())  # no worker lingers
    assert f"keepfit: stopped: {len(finished)} of {TASKS} kept in {place}; run the same code again" in one.end()
    with keepfit.Store(place) as store:
        assert [search.state for search in store.work.searches()] == ["stopped"]
    again = child(pause_s=0)  # without workers: whoever goes on, it is the same search
    again.end()
    assert not finished & fits(again.log).keys()
    assert scores(again) == uninterrupted


def wait_for(condition, timeout_s: float = 60.0) -> None:
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, "waited in vain"
        time.sleep(0.02)


def test_a_search_deep_in_compiled_code_ends_on_sigterm(child, tmp_path, monkeypatch) -> None:
    one = child(pause_s=0)
    one.end()
    (tmp_path / "results.npz").unlink()
    with sqlite3.connect(tmp_path / "state.db") as connection:
        connection.execute("DELETE FROM keepfit_task WHERE split = 3")
    connection.close()
    monkeypatch.setenv("BUSY_ROUNDS", "2000000000")  # half an hour
    again = child()
    time.sleep(2)
    again.process.terminate()
    assert again.process.wait(60) == 143
    assert f"stopped: 120 of {TASKS} kept" in again.end()


def test_the_handler_of_a_signal_is_as_before_after_the_block(store) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert before == signal.SIG_DFL
    with keepfit.checkpoint(store, progress=False):
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_handler_of_the_users_own_is_left_alone(store) -> None:
    def own(number, frame):
        pass

    before = signal.signal(signal.SIGTERM, own)
    try:
        with keepfit.checkpoint(store, progress=False):
            assert signal.getsignal(signal.SIGTERM) is own
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_block_in_another_thread_works_and_touches_no_signal(store, iris) -> None:
    from sklearn.model_selection import cross_val_score
    from sklearn.tree import DecisionTreeClassifier

    runs = []

    def work() -> None:
        for _ in range(2):
            with keepfit.checkpoint(store, progress=False) as run:
                assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
                cross_val_score(DecisionTreeClassifier(random_state=0), *iris)
            runs.append(run)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert [run.reused for run in runs] == [0, 5]


def test_a_forked_worker_ends_on_sigterm(store) -> None:
    with keepfit.checkpoint(store, progress=False):
        pid = os.fork()
        if pid == 0:
            try:
                while True:
                    time.sleep(0.01)
            except BaseException:
                os._exit(1)
    os.kill(pid, signal.SIGTERM)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGTERM


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_store_that_is_deleted_during_a_search_is_an_error(n_jobs, store, iris) -> None:
    def deleting(estimator, X, y):
        Path(store).unlink(missing_ok=True)
        return 1.0

    with (
        pytest.raises(StoreError, match="was deleted or moved while it was in use"),
        keepfit.checkpoint(store, progress=False),
    ):
        cross_val_score(DecisionTreeClassifier(), *iris, scoring=deleting, n_jobs=n_jobs)
