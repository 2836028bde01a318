"""Several processes at one search: each task is done once, and those of a process that was killed are done too."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from pathlib import Path

import lease_child
import pytest

TASKS = 60


def start(place: str, log: Path, kind: str, count: int) -> list[subprocess.Popen[str]]:
    """Processes that are at a search at the same time."""
    command = [sys.executable, lease_child.__file__, place, str(log), kind, str(count)]
    pipe = subprocess.PIPE
    return [subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) for _ in range(count)]


def end(process: subprocess.Popen[str]) -> tuple[int, int, str]:
    """How many tasks a process computed and took, and what it found."""
    said, complaints = process.communicate(timeout=300)
    assert process.returncode == 0, complaints
    computed, reused, digest = said.split()
    return int(computed), int(reused), digest


def plain(kind: str, log: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in {"LEASE_LOG": str(log), "LEASE_OWNER": "plain", "LEASE_COUNT": "1"}.items():
        monkeypatch.setenv(name, value)
    # The same search, without workers: those of loky may be from before, and know nothing of these variables.
    return hashlib.sha256(lease_child.found("alone" if kind == "workers" else kind)).hexdigest()


@pytest.mark.parametrize("kind", ["alone", "workers"])
def test_each_task_is_done_by_one(
    kind: str, lasting_place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    ends = [end(process) for process in start(lasting_place, log, kind, 3 if kind == "alone" else 2)]
    assert len(log.read_text().split()) == TASKS
    assert sum(computed for computed, _, _ in ends) == TASKS
    assert all(computed and computed + reused == TASKS for computed, reused, _ in ends)
    assert {digest for _, _, digest in ends} == {plain(kind, tmp_path / "plain", monkeypatch)}


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
        assert killed.poll() is None
        time.sleep(0.01)
    killed.kill()
    killed.communicate()
    computed, reused, digest = end(other)
    assert computed + reused == TASKS
    assert digest == plain("alone", tmp_path / "plain", monkeypatch)


def test_nobody_waits_for_results_that_cannot_be_kept(tmp_path: Path) -> None:
    ends = [end(process) for process in start(str(tmp_path / "s.db"), tmp_path / "log", "unkeepable", 2)]
    assert [(computed, reused) for computed, reused, _ in ends] == [(6, 0)] * 2
