"""What a group has come to is kept while it goes on, also by workers: real processes, really killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spool_child
from sharing_cases import steps
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection._validation import _fit_and_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.svm import SVC
from test_sharing import columns
from test_sharing_guards import kept, planned

import keepfit
from keepfit.checkpoint.plan import Planner
from keepfit.checkpoint.sharing import Arrival, Trust, group
from keepfit.checkpoint.spool import Spool
from keepfit.errors import StoreError

TASKS = spool_child.SPLITS * spool_child.CANDIDATES

#: With two workers there are four groups for each.
GROUPS = 8

PAUSE_S = 0.4


class Child:
    """The search in a process; what it and its workers leave in their folder for temporary files."""

    def __init__(self, folder: Path, kind: str, n_jobs: int) -> None:
        self.store, self.log, self.temporary = folder / "s.db", folder / "log", folder / "temporary"
        self.temporary.mkdir()
        self.log.touch()
        code = f"import spool_child; spool_child.run({str(self.store)!r}, {kind!r}, {n_jobs})"
        path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
        mine = {"PYTHONPATH": path, "SPOOL_LOG": self.log, "SPOOL_PAUSE_S": str(PAUSE_S), "TMPDIR": self.temporary}
        command = [sys.executable, "-W", "ignore", "-c", code]
        self.process = subprocess.Popen(command, env={**os.environ, **mine})

    def evaluations(self) -> list[list[str]]:
        return [line.split() for line in self.log.read_text().splitlines()]

    def kill_when_kept(self, count: int) -> None:
        try:
            while kept(self.store) < count:
                assert self.process.poll() is None
                time.sleep(0.05)
        finally:
            self.process.kill()
        assert self.process.wait() == -signal.SIGKILL


@pytest.mark.parametrize(("kind", "n_jobs"), [("shared", 1), ("shared", 2), ("warns", 2)])
def test_results_are_kept_soon_and_workers_of_a_killed_search_stop(kind: str, n_jobs: int, tmp_path: Path) -> None:
    child = Child(tmp_path, kind, n_jobs)
    child.kill_when_kept(4)
    assert len(child.evaluations()) < 2 * TASKS / GROUPS, "a group was through"
    before = kept(child.store)

    deadline_s = time.monotonic() + 60
    while list(child.temporary.glob("keepfit-*")) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    assert list(child.temporary.glob("keepfit-*")) == []
    time.sleep(2 + PAUSE_S)  # the other worker sees it too
    done = len(child.evaluations())
    time.sleep(4 * PAUSE_S)
    assert len(child.evaluations()) == done < TASKS / 2

    search = spool_child.search(kind, 1)
    with warnings.catch_warnings():
        warnings.resetwarnings()  # as in the process that was killed: a filter is part of an identity
        warnings.simplefilter("ignore")
        plain = columns(search.fit(*spool_child.data()))
        with keepfit.checkpoint(child.store, progress=False) as run:
            assert columns(search.fit(*spool_child.data())) == plain
    assert (run.reused, run.computed) == (before, TASKS - before)
    assert run.notes == []


def test_a_shared_step_is_fitted_once_for_each_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    code = f"import spool_child; spool_child.run({str(tmp_path / 's.db')!r}, 'shared', 2)"
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "SPOOL_LOG": str(log), "SPOOL_PAUSE_S": "0.05"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    names = [line.split()[0] for line in log.read_text().splitlines()]
    checks = len(names) - TASKS
    assert 1 <= checks <= GROUPS
    assert len(set(names)) == GROUPS + checks


def test_what_does_not_fit_on_the_disk_leaves_no_half_of_it(tmp_path: Path) -> None:
    code = f"""
import resource, numpy
from keepfit.checkpoint.sharing import Arrival, Trust
from keepfit.checkpoint.spool import Outbox
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
outbox = Outbox({str(tmp_path)!r}, "")
outbox.put([Arrival(0, numpy.zeros(100_000), [], False)], Trust())
outbox.put([Arrival(1, numpy.zeros(10), [], False)], Trust())
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert [path.suffix for path in tmp_path.iterdir()] == [".results"]


def test_what_goes_wrong_with_results_that_workers_hand_on_is_told() -> None:
    def refuse(arrivals: Any, trust: Trust) -> None:
        raise StoreError("the disk is full")

    with pytest.raises(StoreError, match="the disk is full"), Spool(refuse) as spool:
        spool.outbox.put([Arrival(0, 1.0, [], False)], Trust())


def test_what_others_wait_for_is_checked_first_and_is_any_of_them() -> None:
    grid = {"a__n_components": [1, 2, 3], "b__C": [0.1, 1.0, 10.0]}
    seen: Counter[Any] = Counter()
    for _ in range(120):
        (first, *_) = planned(steps(PCA(svd_solver="full"), SVC()), grid, split_count=1).groups
        assert first.checks == {0: True}
        numbers = [member.levels[0].state for member in first.members]
        assert sum(one != other for one, other in pairwise(numbers)) == 2, "a step is made twice"
        seen[tuple(first.members[0].task[2]["parameters"].values())] += 1
    assert len(seen) == 9


def test_groups_that_begin_at_once_take_turns_at_checks() -> None:
    scalers = [StandardScaler(), MinMaxScaler(), MaxAbsScaler(), RobustScaler()]
    scalers += [StandardScaler(with_std=False), StandardScaler(with_mean=False)]
    scalers += [MinMaxScaler((0, 2)), MinMaxScaler((0, 3))]
    forest = RandomForestClassifier(random_state=0)
    grid = {"a": scalers, "b__max_depth": [1, 2, 3, 4], "b__n_estimators": [5, 10]}
    groups = planned(steps(StandardScaler(), forest), grid, worker_count=2).groups
    needed = [[found.members[position].kind for position, must in found.checks.items() if must] for found in groups]
    assert [len(kinds) for kinds in needed[:2]] == [2, 2]
    every = [kind for kinds in needed for kind in kinds]
    assert len(every) == len(set(every)) == len({member.kind for found in groups for member in found.members}) == 32


def test_what_waits_long_for_its_check_is_checked_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "_LONGEST_WAIT_S", 0.1)
    monkeypatch.setattr(random, "choice", lambda found: found[-1])
    scored = []

    def slow_score(estimator: Any, X: Any, y: Any) -> float:
        scored.append(estimator.n_neighbors)
        time.sleep(0.02)
        return float(estimator.score(X, y))

    X = np.random.default_rng(0).normal(size=(150, 4))  # nothing ties
    common = {"X": X, "y": X[:, 0] > 0, "scorer": slow_score, "train": np.arange(100), "test": np.arange(100, 150)}
    common |= {"verbose": 0, "fit_params": {}, "score_params": {}, "return_times": True}
    tasks = [
        (_fit_and_score, (), {**common, "estimator": KNeighborsClassifier(), "parameters": {"n_neighbors": count}})
        for count in range(1, 41)
    ]
    (found,) = Planner(tasks, [kwargs for _, _, kwargs in tasks], 1).plan(range(len(tasks))).groups
    assert found.checks == {38: True}
    arrivals = found.results(Trust())
    assert next(arrivals).is_shared
    assert 2 <= len(scored) < 20
    assert scored[-1] == scored[-2]  # the check
    rest = list(arrivals)
    assert len(rest) == 39
    assert all(arrival.is_shared for arrival in rest)
    assert [count for count, times in Counter(scored).items() if times == 2][1:] == [39]  # the one at its time too
