"""A fuzzer of states: fitted estimators with their contents changed must be refused, or do no harm.

Each case takes the graph of a fitted estimator, changes typed fields of it (contents, shapes and dtypes of arrays,
scalars, refs, counts, names of types), and decodes it in a forked child under limits of time and memory. What is
accepted has every public method called on real data. A child that dies or hangs is a finding; so is an error of
`decode` that is not a `KeepfitError`. Run as a script::

    python tests/codecs/fuzz_states.py --cases 1000 --seed 0 --estimators SVC,KMeans

`--cases` counts per instance of an estimator. The exit code is 1 where there are findings; each is printed with the
seed that makes it again under the same `--estimators` and `--variants`, from which parts are transplanted.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import select
import signal
import struct
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent.parent))

import exercise
import mutations

import battery
from keepfit.codecs import decode, encode
from keepfit.errors import KeepfitError
from keepfit.graph import Graph, from_json, to_json

__all__ = ["Finding", "Subject", "Tally", "fuzz", "subjects"]

CASE_S, MEMORY_BYTES, BATCH = 5.0, 4 * 2**30, 100
_RECORD = struct.Struct("<qB")
_STARTED, _REFUSED, _ACCEPTED, _LEAKED = range(4)


@dataclass(frozen=True)
class Subject:
    """A fitted estimator to change: its label, its graph, and data for its methods."""

    label: str
    graph: Graph
    X: Any
    y: Any


@dataclass(frozen=True)
class Finding:
    """A case that did harm: which, what happened, and what was changed."""

    label: str
    seed: int
    what: str
    changes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.label} seed={self.seed}: {self.what}; changed: {'; '.join(self.changes)}"


@dataclass
class Tally:
    """Counts of cases, per label."""

    case_s: float = CASE_S
    cases: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)


def subjects(names: Iterable[str] = (), extra: bool = False) -> Iterator[Subject]:
    """The battery's fitted estimators (of these names, where some are given); with `extra`, the variants too."""
    wanted = set(names)
    sources: list[Iterable[tuple[str, Any, Any]]] = [exercise.fitted(wanted)]
    if extra:
        sources.append(exercise.more_fitted())
    for source in sources:
        for label, estimator, X in source:
            if not wanted or label.partition("-")[0] in wanted:
                _, y = battery.data_for(estimator)
                yield Subject(label, encode(estimator), X, y)


def fuzz(
    chosen: Iterable[Subject], cases: int, seed: int, *, donors: Iterable[Subject] = (), case_s: float = CASE_S
) -> Tally:
    """Run `cases` cases of each subject, each of `case_s` seconds at most; parts come from `donors` or the subjects."""
    tally = Tally(case_s=case_s)
    changed_ones = list(chosen)
    given = list(donors) or changed_ones
    for subject in changed_ones:
        for start in range(0, cases, BATCH):
            numbers = range(start, min(start + BATCH, cases))
            _batch(subject, given, [_case_seed(seed, subject.label, number) for number in numbers], tally)
    return tally


def _case_seed(seed: int, label: str, number: int) -> int:
    return random.Random(f"{seed} {label} {number}").getrandbits(48)


def changed(subject: Subject, donors: list[Subject], seed: int) -> tuple[Graph, tuple[str, ...]]:
    """The graph of a case, and what was changed in it."""
    return mutations.mutate(subject.graph, random.Random(seed), [donor.graph for donor in donors])


def _batch(subject: Subject, donors: list[Subject], seeds: list[int], tally: Tally) -> None:
    """Cases in one child; where it dies or hangs, the case at fault is tried alone, and the rest go on in another."""
    while seeds:
        done, ended = _in_child(subject, donors, seeds, tally.case_s)
        for seed, outcome in done:
            tally.cases[subject.label] += 1
            tally.accepted[subject.label] += outcome == _ACCEPTED
            if outcome == _LEAKED:
                tally.findings.append(_finding(subject, donors, seed, "decode raised what is not a KeepfitError"))
        seeds = seeds[len(done) :]
        if ended and seeds:
            again, ended_again = _in_child(subject, donors, seeds[:1], tally.case_s * 3)
            tally.cases[subject.label] += 1
            if ended_again or not again:
                tally.findings.append(_finding(subject, donors, seeds[0], ended_again or ended))
            elif "hang" not in ended:
                tally.findings.append(_finding(subject, donors, seeds[0], f"{ended}, not when tried alone"))
            seeds = seeds[1:]


def _finding(subject: Subject, donors: list[Subject], seed: int, what: str) -> Finding:
    return Finding(subject.label, seed, what, changed(subject, donors, seed)[1])


def _in_child(
    subject: Subject, donors: list[Subject], seeds: list[int], case_s: float
) -> tuple[list[tuple[int, int]], str]:
    """What came of cases run in a forked child, in order, and how the child ended if it did before its time."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads: linear algebra's are idle
        child = os.fork()
    if child == 0:
        os.close(reading)
        _limited(lambda: _run(subject, donors, seeds, writing))
    os.close(writing)
    done: list[tuple[int, int]] = []
    ended = ""
    data = b""
    while True:
        ready, _, _ = select.select([reading], [], [], case_s)
        if not ready:
            os.kill(child, signal.SIGKILL)
            ended = "hang"
            break
        more = os.read(reading, 4096)
        if not more:
            break
        data += more
        while len(data) >= _RECORD.size:
            seed, outcome = _RECORD.unpack(data[: _RECORD.size])
            data = data[_RECORD.size :]
            if outcome != _STARTED:
                done.append((seed, outcome))
    os.close(reading)
    _, status = os.waitpid(child, 0)
    if not ended and status:
        code = os.waitstatus_to_exitcode(status)
        ended = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return done, ended


def _limited(run: Any) -> None:
    """Run in this process, a forked child, under limits; it does not come back."""
    code = 1
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        run()
        code = 0
    finally:
        os._exit(code)


def _run(subject: Subject, donors: list[Subject], seeds: list[int], writing: int) -> None:
    warnings.simplefilter("ignore")
    for seed in seeds:
        os.write(writing, _RECORD.pack(seed, _STARTED))
        graph, _ = changed(subject, donors, seed)
        os.write(writing, _RECORD.pack(seed, _outcome(graph, subject)))


def _outcome(graph: Graph, subject: Subject) -> int:
    try:
        read = from_json(to_json(graph))  # a file that is not well-formed does not come as far as decode
        read.arrays = graph.arrays
        if len(read.names) != len(read.arrays):
            return _REFUSED
        estimator = decode(read)
    except KeepfitError:
        return _REFUSED
    except Exception:
        return _LEAKED
    exercise.every_method(estimator, subject.X, subject.y)
    return _ACCEPTED


@cache
def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=200, help="cases per instance of an estimator (default: 200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--estimators", default="", help="names of classes, separated by commas (default: all)")
    parser.add_argument(
        "--variants", action="store_true", help="also estimators of other parameters and on sparse data"
    )
    parser.add_argument("--part", default="1/1", help="K/N: only every N-th instance, from the K-th")
    return parser.parse_args()


def main() -> int:
    arguments = _arguments()
    names = [name for name in arguments.estimators.split(",") if name]
    part, parts = map(int, arguments.part.split("/"))
    warnings.simplefilter("ignore")
    donors = list(subjects(names, extra=arguments.variants))
    began = time.monotonic()
    tally = Tally()
    for subject in donors[part - 1 :: parts]:
        one = fuzz([subject], arguments.cases, arguments.seed, donors=donors)
        for finding in one.findings:
            print(finding, flush=True)
        tally.cases += one.cases
        tally.accepted += one.accepted
        tally.findings += one.findings
    for label, count in sorted(tally.cases.items()):
        print(f"{label:45} {count:8,} cases {tally.accepted[label] / count:7.1%} accepted")
    total = tally.cases.total()
    print(
        f"{total:,} cases, {tally.accepted.total() / max(1, total):.1%} accepted, {len(tally.findings)} findings, "
        f"{time.monotonic() - began:,.0f} s"
    )
    return 1 if tally.findings else 0


if __name__ == "__main__":
    sys.exit(main())
