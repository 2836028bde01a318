"""A slice of the fuzzing, and whether the rig sees harm. ``scripts/fuzz.py`` does more of it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import cases
import fence
import findings
import guards
import mutators
import numpy as np
import pytest
import rig
import subjects
from sklearn.cluster import KMeans
from sklearn.preprocessing import Normalizer

import keepfit
from keepfit.graph import to_json

ROOT = Path(__file__).parent.parent.parent
X = np.random.RandomState(0).normal(size=(20, 3))


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, with one thread: forked children of one with several may wait for ever."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, ROOT / "scripts" / "fuzz.py", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_changed_files_of_all_estimators_are_refused_or_do_no_harm(tmp_path: Path) -> None:
    done = run("--cases", "5", "--findings", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 findings" in done.stdout


def test_files_that_did_harm_once_are_refused_or_do_no_harm() -> None:
    kept = findings.kept()
    assert {one.name for one in kept} == {file.name for file in findings.FOLDER.glob("*.safetensors")}
    done = run("--replay", *(findings.FOLDER / one.name for one in kept))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": no harm") == len(kept) > 0


def test_deliberate_harm_to_native_fields_is_refused_or_does_none() -> None:
    done = run("--score")
    assert done.returncode == 0, done.stdout + done.stderr
    changes, refused, _, harmful = done.stdout.splitlines()[-1].split()[1:]
    assert int(changes) > 1300
    assert float(refused.removesuffix("%")) > 95
    assert harmful == "0"


def test_without_a_guard_of_the_loader_the_rig_finds_harm() -> None:
    done = run("--guards", "--only", "FeatureAgglomeration,SVC", "--cases", "2500", "--seed", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {line[:90].strip(): line[90:] for line in done.stdout.splitlines()}
    for guard in (
        "the support vectors of the classes",
        "a support vector machine has coefficients",
        "a cluster of features is one",
    ):
        assert any(guard in name and "ended by SIG" in row for name, row in rows.items()), guard
    refused, alone, *_ = rows[guards.ONE_PASS].split()  # a hole that was there once, and that the rig had not seen
    assert int(refused) >= int(alone) > 0


@pytest.mark.long  # it needs a C compiler, which nothing else asks for
def test_behind_a_fence_the_rig_sees_what_is_read_past_the_end() -> None:
    script = """
import ctypes, os, numpy as np
from fence import fenced
with fenced():
    array = np.zeros(300)
beyond = ctypes.string_at(array.ctypes.data, array.nbytes + (8 if os.fork() == 0 else 0))
os._exit(os.waitpid(-1, 0)[1])
"""
    library = fence.compiled()
    environment = {**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert done.returncode == signal.SIGSEGV


@pytest.fixture(scope="module")
def kmeans() -> subjects.Subject:
    return subjects.subject("KMeans-0", KMeans(2, n_init=1, random_state=0).fit(X), X, None)


@pytest.mark.parametrize("mutator", mutators.MUTATORS)
def test_the_same_seed_makes_the_same_file(mutator: str, kmeans: subjects.Subject) -> None:
    make, _ = mutators.MUTATORS[mutator]
    made = [[make(kmeans, [kmeans.graph], seed, None) for seed in range(start, start + 20)] for start in (0, 0, 20)]
    assert made[0] == made[1] != made[2]


def test_changes_leave_the_original_as_it_was(kmeans: subjects.Subject) -> None:
    before = [array.copy() for array in kmeans.graph.arrays], to_json(kmeans.graph)
    for seed in range(300):
        mutators.make(kmeans, [kmeans.graph], seed)
    assert to_json(kmeans.graph) == before[1]
    assert all(np.array_equal(a, b) for a, b in zip(kmeans.graph.arrays, before[0], strict=True))


class Harmful:
    """Data that does harm to the process that looks at it, unless it is the one that made them."""

    def __init__(self, harm: str) -> None:
        self.harm, self.maker = harm, os.getpid()

    def __deepcopy__(self, memo: object) -> Harmful:
        return self

    def __array__(self, *_: object, **__: object) -> object:
        if os.getpid() == self.maker:
            return X
        if self.harm == "dies":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif self.harm == "opens":
            open(os.devnull).close()
        elif self.harm == "changes":
            Normalizer.transform = None  # type: ignore[assignment]
        elif self.harm == "waits":
            signal.pause()
        while self.harm == "hangs":
            pass
        return X


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        ("dies", "SIGSEGV"),
        ("hangs", "hang: over 0.5 s"),
        ("waits", "hang: silent"),
        ("opens", "caused open"),
        ("changes", "changed sklearn.preprocessing._data.Normalizer.transform"),
    ],
)
def test_the_rig_sees_harm(harm: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "_snapshot", None)
    file = keepfit.dumps(Normalizer())
    cases.prepare([(file, Harmful(harm), None)])
    found = rig.harm_of(file, Harmful(harm), None, 0.5)
    assert found is not None
    assert told in found[0]
    assert rig.harm_of(file, Harmful("none"), None) is None


def test_the_rig_tells_of_a_finding_with_the_fewest_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "_snapshot", None)
    subject = subjects.subject("Normalizer-0", Normalizer(), Harmful("dies"), None)
    tallies = rig.fuzz([subject], range(40), 0, case_s=0.5)
    found = [finding for tally in tallies for finding in tally.findings]
    assert found
    assert all("SIGSEGV" in finding.what and len(finding.changes) == 1 for finding in found)


def test_findings_are_kept_with_what_they_were(tmp_path: Path) -> None:
    finding = rig.Finding("KMeans-0", 7, "hang", ("one", "two"), keepfit.dumps([1]))
    path = findings.keep(finding, tmp_path)
    assert findings.keep(finding, tmp_path) == path
    assert path.read_bytes() == finding.file
    assert findings.kept(tmp_path) == [findings.Kept(path.name, "KMeans-0", "hang", ["one", "two"])]


def test_no_part_of_a_file_is_spared_by_damage_behind_checksums(kmeans: subjects.Subject) -> None:
    from damage import behind_checksums, in_the_header

    errors = set()
    for change in (behind_checksums, in_the_header):
        for seed in range(400):
            try:
                keepfit.loads(change(kmeans.file, random.Random(seed))[0])
            except keepfit.KeepfitError as error:
                errors.add(str(error) if "checksum" in str(error) else type(error).__name__)
    assert {"FormatError", "InvalidStateError", "UntrustedError"} <= errors
    assert not any("does not match its checksum" in error for error in errors)
