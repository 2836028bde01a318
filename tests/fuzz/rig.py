"""The fuzz rig: files of fitted estimators are changed; each is refused, or does no harm.

Each case is a file made by one of the `mutators`. It is loaded in a forked child under limits of memory and time, and
what loads has every public method called on real data (`cases`). A child that dies or hangs is a finding; so is an
error of `loads` that is not a `KeepfitError`, an event that reaches outside, and a class that is no longer as it was.
``scripts/fuzz.py`` is the command.
"""

from __future__ import annotations

import random
import resource
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from multiprocessing import get_context
from typing import Any

import cases
from children import in_child
from mutators import make
from subjects import Subject

from keepfit.graph import Graph

__all__ = ["CASE_S", "Finding", "Tally", "fuzz", "minimised"]

CASE_S = 5.0
BATCH = 250


@dataclass(frozen=True)
class Finding:
    """A case that did harm: of which subject, its seed, what happened, what was changed, and the file itself."""

    label: str
    seed: int
    what: str
    changes: tuple[str, ...]
    file: bytes = field(repr=False)
    keep: frozenset[int] | None = None
    where: str = ""

    def __str__(self) -> str:
        return f"{self.label} seed={self.seed}: {self.what}; changed: {'; '.join(self.changes)}"


@dataclass
class Tally:
    """Counts of cases by label and by mutator, and what was found."""

    cases: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    of_mutator: Counter[str] = field(default_factory=Counter)
    accepted_of_mutator: Counter[str] = field(default_factory=Counter)
    memory_errors: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    cpu_s: float = 0.0

    def add(self, other: Tally) -> None:
        """Count what another one counted."""
        for name in ("cases", "accepted", "of_mutator", "accepted_of_mutator", "memory_errors", "findings", "cpu_s"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


#: A subject and the seed of what is made of it.
_Case = tuple[Subject, int]


@dataclass(frozen=True)
class _Rig:
    """What all batches share."""

    subjects: list[Subject]
    donors: list[Graph]
    seed: int
    case_s: float

    def batch(self, todo: list[_Case]) -> Tally:
        """Some cases. Where a child dies, its last case is tried alone, the rest in another child."""
        tally, before = Tally(), _cpu_s()
        while todo:
            ended = in_child(partial(self._run, todo), self.case_s)
            done = [told for told in ended.told if len(told) > 1]
            for (subject, seed), (mutator, what, harm, memory_errors) in zip(todo, done, strict=False):
                tally.cases[subject.label] += 1
                tally.of_mutator[mutator] += 1
                tally.accepted[subject.label] += what == cases.ACCEPTED
                tally.accepted_of_mutator[mutator] += what == cases.ACCEPTED
                tally.memory_errors[subject.label] += memory_errors > 0
                if harm:
                    tally.findings.append(self.finding(subject, seed, harm))
            changes = [what for told in ended.told if len(told) == 1 for what in told[0]]
            if changes:
                tally.findings += self._changed(todo, changes)
            todo = todo[len(done) :]
            if ended.how and todo:
                tally.cases[todo[0][0].label] += 1
                tally.findings += self._died(*todo[0], ended.how, ended.where)
                todo = todo[1:]
        tally.cpu_s = _cpu_s() - before
        return tally

    def _run(self, todo: list[_Case], tell: Callable[..., None], start: Callable[[], None]) -> None:
        for subject, seed in todo:
            start()
            mutator, (file, _) = make(subject, self.donors, seed)
            outcome = cases.try_file(file, subject.X, subject.y, seed)
            tell(mutator, outcome.what, outcome.harm, outcome.memory_errors)
        if changes := cases.changes_since_start():
            tell(changes[:10])

    def _died(self, subject: Subject, seed: int, how: str, where: str) -> list[Finding]:
        alone = self.alone(subject, seed, None)
        if alone:
            return [self.finding(subject, seed, *alone)]
        return [] if "silent" in how else [self.finding(subject, seed, f"{how}, not when tried alone", where)]

    def _changed(self, todo: list[_Case], changes: list[str]) -> list[Finding]:
        for subject, seed in todo:
            alone = self.alone(subject, seed, None)
            if alone and alone[0].startswith("changed"):
                return [self.finding(subject, seed, *alone)]
        return [self.finding(*todo[0], f"changed by one of {len(todo)} cases: {', '.join(changes)}")]

    def alone(self, subject: Subject, seed: int, keep: frozenset[int] | None) -> tuple[str, str] | None:
        """What harm a case does in a child of its own, and where; None if none."""
        file = make(subject, self.donors, seed, keep)[1][0]
        return harm_of(file, subject.X, subject.y, self.case_s, seed)

    def finding(
        self, subject: Subject, seed: int, what: str, where: str = "", keep: frozenset[int] | None = None
    ) -> Finding:
        """A finding, with the file that makes it again."""
        file, changes = make(subject, self.donors, seed, keep)[1]
        return Finding(subject.label, seed, what, changes, file, keep, where)


def harm_of(file: bytes, X: Any, y: Any, case_s: float = CASE_S, form: int | None = None) -> tuple[str, str] | None:
    """What harm a file does in a child of its own, and where; None if none."""

    def work(tell: Callable[..., None], start: Callable[[], None]) -> None:
        start()
        outcome = cases.try_file(file, X, y, form)
        changes = cases.changes_since_start()
        tell(outcome.harm or f"changed {', '.join(changes[:10])}" * bool(changes))

    ended = in_child(work, case_s)
    if ended.how:
        return ended.how, ended.where
    harm: str = ended.told[0][0]
    return (harm, "") if harm else None


def minimised(finding: Finding, rig: _Rig) -> Finding:
    """The same harm with the fewest of its changes."""
    subject = next(one for one in rig.subjects if one.label == finding.label)
    keep = frozenset(range(len(finding.changes)))
    for number in sorted(keep, reverse=True):
        fewer = keep - {number}
        if fewer and rig.alone(subject, finding.seed, fewer):
            keep = fewer
    smaller = rig.finding(subject, finding.seed, finding.what, finding.where, keep)
    return smaller if len(smaller.changes) < len(finding.changes) else finding


def _case_seed(seed: int, label: str, number: int) -> int:
    return random.Random(f"{seed} {label} {number}").getrandbits(48)


def _cpu_s() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def fuzz(
    subjects: Iterable[Subject],
    numbers: range,
    seed: int,
    *,
    minutes: float | None = None,
    workers: int = 1,
    case_s: float = CASE_S,
) -> Iterator[Tally]:
    """Try cases of each subject.

    Parameters
    ----------
    subjects : iterable of Subject
        Parts are taken from any of them.
    numbers : range
        Which cases of each subject.
    seed : int
        The same seed, subjects and numbers make the same cases.
    minutes : float, default=None
        Stop by then, with the same number of cases of each subject but for the last round.
    workers : int, default=1
        Processes.
    case_s : float, default=5.0
        Processor time of one case.

    Yields
    ------
    Tally
        Of each batch, as it is done; findings have the fewest changes that do harm.
    """
    global _rig
    chosen = list(subjects)
    _rig = _Rig(chosen, [subject.graph for subject in chosen], seed, case_s)
    cases.prepare((file, subject.X, subject.y) for subject in chosen for file in (subject.file, subject.pickles[0]))
    end = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
    batches = _batches(numbers)
    if workers == 1:
        for batch in batches:
            if time.monotonic() > end:
                return
            yield _try_batch(batch)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
        while time.monotonic() < end and (some := list(islice(batches, 20 * workers))):
            yield from pool.map(_try_batch, some)


def _batches(numbers: range) -> Iterator[list[tuple[int, int]]]:
    """Cases by the place of their subject and their number, `BATCH` of them together: all subjects go on alike."""
    assert _rig is not None
    every = (
        (place, number)
        for start in range(numbers.start, numbers.stop, BATCH)
        for place in range(len(_rig.subjects))
        for number in range(start, min(start + BATCH, numbers.stop))
    )
    while batch := list(islice(every, BATCH)):
        yield batch


_rig: _Rig | None = None


def _try_batch(batch: list[tuple[int, int]]) -> Tally:
    assert _rig is not None
    subjects = _rig.subjects
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tally = _rig.batch(
            [(subjects[place], _case_seed(_rig.seed, subjects[place].label, number)) for place, number in batch]
        )
        found = [minimised(finding, _rig) for finding in tally.findings]
    return replace(tally, findings=found)
