"""Several processes at one search: each task is done once, and those of a process that was killed are done too."""

from __future__ import annotations

import hashlib
import multiprocessing
import subprocess
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import lease_child
import pytest

TASKS = 60

#: Forks processes from one that has imported what they need, which takes longer than a search.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["sklearn.model_selection", "sklearn.neighbors", "sklearn.tree", "keepfit.checkpoint"])


def start(place: str, log: Path, kind: str, count: int) -> list[BaseProcess]:
    """Processes that are at a search at the same time, each with a file for its answer as its name."""
    found: list[BaseProcess] = []
    for number in range(count):
        answer = f"{log}-{number}"
        found.append(
            FORKS.Process(target=lease_child.main, args=(place, str(log), kind, str(count), answer), name=answer)
        )
        found[-1].start()
    return found


def end(process: BaseProcess) -> tuple[int, int, str]:
    """How many tasks a process computed and took, and what it found."""
    process.join(120)
    assert process.exitcode == 0
    return answer(process.name)


def answer(file: str) -> tuple[int, int, str]:
    computed, reused, digest = Path(file).read_text().split()
    return int(computed), int(reused), digest


def plain(kind: str, log: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in {"LEASE_LOG": str(log), "LEASE_OWNER": "plain", "LEASE_COUNT": "1"}.items():
        monkeypatch.setenv(name, value)
    return hashlib.sha256(lease_child.found(kind)).hexdigest()


def assert_each_task_was_done_by_one(
    ends: list[tuple[int, int, str]], log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(log.read_text().split()) == TASKS
    assert sum(computed for computed, _, _ in ends) == TASKS
    assert all(computed and computed + reused == TASKS for computed, reused, _ in ends)
    assert {digest for _, _, digest in ends} == {plain("alone", log.with_name("plain"), monkeypatch)}


def test_each_task_is_done_by_one(lasting_place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    ends = [end(process) for process in start(lasting_place, log, "alone", 3)]
    assert_each_task_was_done_by_one(ends, log, monkeypatch)


def test_each_task_is_done_by_one_where_each_process_has_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, files = tmp_path / "log", [str(tmp_path / f"answer {number}") for number in range(2)]
    command = [sys.executable, lease_child.__file__, str(tmp_path / "state.db"), str(log), "workers", "2"]
    processes = [subprocess.Popen([*command, file]) for file in files]  # loky's workers end with a program only
    assert [process.wait(300) for process in processes] == [0, 0]
    assert_each_task_was_done_by_one([answer(file) for file in files], log, monkeypatch)


def test_groups_are_done_by_one(lasting_place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = [end(process) for process in start(lasting_place, tmp_path / "log", "shared", 2)]
    assert sum(computed for computed, _, _ in ends) == 79 * 9
    assert {digest for _, _, digest in ends} == {plain("shared", tmp_path / "plain", monkeypatch)}


def test_tasks_of_a_killed_process_are_done_by_the_other(
    lasting_place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    killed, other = start(lasting_place, log, "alone", 2)
    while not log.exists() or log.read_text().split().count(str(killed.pid)) < 5:
        assert killed.is_alive()
        time.sleep(0.01)
    killed.kill()
    killed.join()
    computed, reused, digest = end(other)
    assert computed + reused == TASKS
    assert digest == plain("alone", tmp_path / "plain", monkeypatch)


def test_nobody_waits_for_results_that_cannot_be_kept(tmp_path: Path) -> None:
    ends = [end(process) for process in start(str(tmp_path / "s.db"), tmp_path / "log", "unkeepable", 2)]
    assert [(computed, reused) for computed, reused, _ in ends] == [(6, 0)] * 2
