"""One call of joblib that evaluates: look every task up, compute the rest, keep each result as it arrives."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from keepfit.checkpoint import sklearn_seam
from keepfit.checkpoint.differences import difference_text
from keepfit.checkpoint.environment import thread_text
from keepfit.checkpoint.identity import Identities
from keepfit.checkpoint.joblib_seam import Engine, TaskCall
from keepfit.checkpoint.leasing import Portions, renewed
from keepfit.checkpoint.plan import Plan, Planner, plain_plan
from keepfit.checkpoint.progress import Counts, Progress
from keepfit.checkpoint.recording import Recorder
from keepfit.checkpoint.running import run_plan
from keepfit.checkpoint.scorers_seam import scorer_names
from keepfit.checkpoint.sharing import Trust
from keepfit.checkpoint.walk import NoIdentityError
from keepfit.checkpoint.warned import Warned, warn_again
from keepfit.errors import KeepfitError, KeepfitWarning, UnsupportedError
from keepfit.persistence import dumps, loads
from keepfit.store import FinishedTask, ReusedTask, SearchRecord, Work

__all__ = ["Journal", "evaluate"]


class Journal(Protocol):
    """What an evaluation needs of the run it is in."""

    work: Work
    progress: Progress
    occurrences: Counter[bytes]
    share: bool

    @property
    def heading(self) -> str:
        """What the user calls the searches that begin now; empty for a description."""

    @property
    def metric(self) -> str | None:
        """Which of several metrics the scores of searches that begin now are shown by; None for the search's own."""

    def begins(self, search_id: int, counts: Counts) -> None:
        """A search begins."""

    def ends(self, state: str) -> None:
        """The search that began last has ended."""

    def note(self, text: str) -> None:
        """Tell the user something, once."""

    def waits(self, task_count: int) -> None:
        """There is nothing to do but what other processes are at."""

    def is_first(self, kin: tuple[str, ...]) -> bool:
        """Whether no search of that kind was in this run before."""


def evaluate(journal: Journal, tasks: list[TaskCall], engine: Engine) -> list[Any]:
    """Results of all tasks in order, from the store or computed."""
    return _Call(journal, tasks, engine).run()


class _Call:
    def __init__(self, journal: Journal, tasks: list[TaskCall], engine: Engine) -> None:
        evaluation = sklearn_seam.evaluation_of(tasks[0][0])
        assert evaluation is not None
        self._journal = journal
        self._tasks = tasks
        self._engine = engine
        self._kind = evaluation.kind
        self._arguments = [evaluation.arguments(task) for task in tasks]
        self._label = journal.heading or sklearn_seam.label_of(evaluation, self._arguments)
        self._metric = journal.metric or sklearn_seam.metric_of(self._arguments[0])
        self._counts = Counts(self._label, len(tasks), scorer_names(self._arguments[0]["scorer"], self._metric))
        threads = thread_text(engine.worker_environment())
        self._identities = Identities(evaluation, tasks[0][0], threads, journal.occurrences)
        self._warned: dict[int, list[Warned]] = {}
        self._names = [self._identity(arguments) for arguments in self._arguments]
        self._search_id = 0
        self._planner: Planner | None = None
        self._unkept: list[bytes] = []
        self._begun_s = 0.0
        self._splits: dict[int, int] = {}  # numbers in the order of all tasks, whichever of them are computed
        for arguments in self._arguments:
            self._splits.setdefault(id(arguments.get("test")), len(self._splits))
        self._candidates: dict[int, str] = {}
        self._places = self._placed()

    def run(self) -> list[Any]:
        results, _ = self._look_up(range(len(self._tasks)))
        todo = [number for number in range(len(self._tasks)) if number not in results]
        # A task without an identity may have effects, so it is done as it would be.
        shares = self._journal.share and self._kind == "_fit_and_score"
        if shares and all(self._names[number] is not None for number in todo):
            self._planner = Planner(self._tasks, self._arguments, self._engine.worker_count)
        planned = self._planned(todo)
        self._begin(results, planned)
        state = "failed"
        try:
            self._replay(results)
            self._compute(planned.units, results)
            state = "finished"
        except (KeyboardInterrupt, SystemExit):
            state = "stopped"
            raise
        finally:
            self._end(state)
        return [results[number] for number in range(len(self._tasks))]

    def _identity(self, arguments: Mapping[str, Any]) -> bytes | None:
        try:
            return self._identities.of(arguments)
        except NoIdentityError as error:
            self._journal.note(f"{self._label}: computed, not reused: {error}")
            return None

    def _look_up(self, numbers: Iterable[int]) -> tuple[dict[int, Any], set[int]]:
        """The results that are kept of some tasks, by number, and which are kept but cannot be read."""
        named = {number: name for number in numbers if (name := self._names[number]) is not None}
        found = self._journal.work.find(list(named.values()))
        results: dict[int, Any] = {}
        unreadable = set()
        for number, name in named.items():
            if name in found:
                try:
                    kept = loads(found[name], trusted=self._trusted(self._arguments[number]))
                    results[number], self._warned[number] = kept["result"], kept["warnings"]
                except KeepfitError as error:
                    unreadable.add(number)
                    self._journal.note(f"{self._label}: a kept result cannot be read, so it is computed: {error}")
        return results, unreadable

    def _trusted(self, arguments: Mapping[str, Any]) -> Sequence[Any]:
        """A result may hold a fitted estimator; the live task says of which classes."""
        return self._identities.met if arguments.get("return_estimator") else ()

    def _planned(self, todo: Sequence[int], trust: Trust | None = None) -> Plan:
        """What is done together."""
        if self._planner is None:
            return plain_plan(todo)
        return self._planner.plan(todo, () if trust is None else trust.held | trust.refused.keys())

    def _begin(self, results: Mapping[int, Any], planned: Plan) -> None:
        work, counts = self._journal.work, self._counts
        parts = self._identities.parts(self._arguments, self._metric)
        is_first = self._journal.is_first((self._kind, parts["model"]))
        if is_first and not results:
            text = difference_text(parts, work.similar(parts))
            if text is not None:
                self._journal.note(f"{self._label}: {text}")
        fit_count = planned.fit_count if planned.groups else None
        record = SearchRecord(self._kind, self._label, parts, len(self._tasks), fit_count, counts.scorers)
        self._search_id = work.begin(record)
        self._reuse(results)
        counts.fits = planned.fit_count
        self._begun_s = time.monotonic()
        self._journal.begins(self._search_id, counts)

    def _reuse(self, results: Mapping[int, Any]) -> None:
        tasks = []
        for number, result in results.items():
            outcome = self._outcome(result, self._warned[number])
            self._count(outcome)
            name = self._names[number]
            assert name is not None  # it was found by it
            tasks.append(ReusedTask(name, self._places[number], outcome.score))
        if tasks:
            self._journal.work.reuse(self._search_id, tasks)
        self._counts.reused += len(results)

    def _outcome(self, result: Any, warned: list[Warned]) -> sklearn_seam.Outcome:
        return sklearn_seam.outcome_of(self._kind, result, warned, self._metric)

    def _count(self, outcome: sklearn_seam.Outcome) -> None:
        self._counts.add_score(None if outcome.failure else outcome.score)
        self._counts.failed += outcome.failure is not None

    def _replay(self, results: Mapping[int, Any]) -> None:
        """Let reused results be seen as computed ones are."""
        for number, result in results.items():
            sklearn_seam.replay(self._arguments[number], result)
            warn_again(self._warned[number])

    def _compute(self, units: Sequence[Sequence[int]], results: dict[int, Any]) -> None:
        """Add the results of the tasks that are not kept: computed here, or by others meanwhile."""
        if not units:
            return
        leases, trust = self._journal.work.leases, Trust()
        with (
            renewed(leases, self._search_id),
            Recorder(self._journal.work, self._record, self._committed) as recorder,
        ):

            def arrived(number: int, result: Any, warned: list[Warned]) -> None:
                results[number] = result
                recorder.add(number, result, warned)

            def found(kept: dict[int, Any]) -> None:
                results.update(kept)
                self._reuse(kept)
                self._replay(kept)
                self._journal.progress.update()

            portions = Portions(leases, self._search_id, self._names, self._look_up, self._engine.worker_count)
            for numbers in portions.of(units, found, self._journal.waits):
                run_plan(self._planned(numbers, trust), self._tasks, self._engine, trust, arrived)
        for difference in trust.refused.values():
            text = f"{self._label}: done the plain way, since a shared fit gave another result: {difference}"
            self._journal.note(text)
            warnings.warn(text, KeepfitWarning, stacklevel=2)

    def _record(self, number: int, result: Any, warned: list[Warned]) -> FinishedTask | None:
        """What is kept of a result; None if it cannot be."""
        outcome = self._outcome(result, warned)
        self._count(outcome)
        name, arguments = self._names[number], self._arguments[number]
        if name is None:
            return None
        try:
            payload = dumps({"result": result, "warnings": warned})
        except UnsupportedError as error:
            self._journal.note(f"{self._label}: computed, not kept: {error}")
            self._unkept.append(name)
            return None
        return FinishedTask(
            identity=name,
            search_id=self._search_id,
            candidate=self._candidate(number),
            split=self._splits[id(arguments.get("test"))],
            score=outcome.score,
            duration_s=outcome.duration_s,
            payload=payload,
            failure=outcome.failure,
            place=self._places[number],
        )

    def _placed(self) -> list[int]:
        """The places of the candidates of all tasks: as a search has them, else as they come."""
        met: dict[str, int] = {}
        places = []
        for number, arguments in enumerate(self._arguments):
            place = sklearn_seam.place_of(arguments)
            places.append(met.setdefault(self._candidate(number), len(met)) if place is None else place)
        return places

    def _candidate(self, number: int) -> str:
        """The candidate of a task as JSON, made once for all its splits."""
        arguments = self._arguments[number]
        if arguments.get("parameters") is None:
            return sklearn_seam.candidate_text(arguments, self._label, number)
        key = id(arguments["parameters"])
        if key not in self._candidates:
            self._candidates[key] = sklearn_seam.candidate_text(arguments, self._label, number)
        return self._candidates[key]

    def _committed(self, records: Sequence[FinishedTask], passed: int) -> None:
        if records and self._counts.computed == 0:
            first_s = max(record.duration_s for record in records)
            # Where no duration is known all of the time is taken for work.
            self._counts.startup_s = max(0.0, time.monotonic() - self._begun_s - first_s) if first_s else 0.0
        self._counts.computed += len(records) + passed
        self._counts.kept += len(records)
        if self._unkept:  # others would wait for them
            self._journal.work.leases.release(self._search_id, self._unkept)
            self._unkept.clear()
        self._journal.progress.update()

    def _end(self, state: str) -> None:
        counts = self._counts
        self._journal.ends(state)
        self._journal.work.end(self._search_id, state, counts.reused, counts.computed, counts.failed)
