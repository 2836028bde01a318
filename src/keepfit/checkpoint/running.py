"""Running a plan: groups and single tasks by the engine, and again the plain way where sharing did not hold."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from keepfit.checkpoint.joblib_seam import Engine, TaskCall
from keepfit.checkpoint.plan import Plan
from keepfit.checkpoint.sharing import Arrival, Trust, unfitted
from keepfit.checkpoint.spool import Spool, evaluate_group
from keepfit.checkpoint.warned import Warned

__all__ = ["run_plan"]

#: Takes the number of a task, its result, and the warnings it gave.
_Arrived = Callable[[int, Any, list[Warned]], None]


def run_plan(plan: Plan, tasks: Sequence[TaskCall], engine: Engine, trust: Trust, arrived: _Arrived) -> None:
    """Run the tasks of a plan. Those of a kind of which shared results differed, or could not be checked, are evaluated
    the plain way.

    Parameters
    ----------
    plan : Plan
    tasks : sequence of (function, args, kwargs)
        All tasks of the call.
    engine : Engine
    trust : Trust
        What checks have shown in earlier plans of the call; what they show here is added.
    arrived : callable
        Gets the number of a task, its result as soon as there is one, and the warnings it gave. In any thread.
    """
    done: set[int] = set()

    def shared(number: int, result: Any, warned: list[Warned]) -> None:
        done.add(number)
        arrived(number, result, warned)

    work = _run_here if engine.worker_count == 1 else _run_by_workers
    work(plan, tasks, engine, trust, shared)
    again = [number for group in plan.groups for member in group.members if (number := member.number) not in done]
    _run_plainly(again, [unfitted(tasks[number]) for number in again], engine, arrived)


def _run_here(plan: Plan, tasks: Sequence[TaskCall], engine: Engine, trust: Trust, arrived: _Arrived) -> None:
    """One after the other. What does not hold for one split is not tried on the next."""
    for group in plan.groups:
        for arrival in group.results(trust):
            arrived(arrival.number, arrival.result, arrival.warned)
    _run_plainly(plan.single, [tasks[number] for number in plan.single], engine, arrived)


def _run_by_workers(plan: Plan, tasks: Sequence[TaskCall], engine: Engine, trust: Trust, arrived: _Arrived) -> None:
    """Groups first, since they take longest. What is shared waits until one of its kind has been checked."""
    if not plan.groups:
        _run_plainly(plan.single, [tasks[number] for number in plan.single], engine, arrived)
        return
    kinds = {member.number: member.kind for group in plan.groups for member in group.members}
    met: set[int] = set()
    waiting: dict[int, list[Arrival]] = {}
    lock = threading.Lock()

    def take(arrivals: Sequence[Arrival], found: Trust) -> None:
        with lock:
            trust.add(found)
            for arrival in arrivals:
                if arrival.number in met:  # the end of a job gives once more what the spool has given
                    continue
                met.add(arrival.number)
                if arrival.is_shared:
                    waiting.setdefault(kinds[arrival.number], []).append(arrival)
                else:
                    arrived(arrival.number, arrival.result, [])
            for kind in (trust.held - trust.refused.keys()) & waiting.keys():
                for arrival in waiting.pop(kind):
                    arrived(arrival.number, arrival.result, [])

    def done(at: int, result: Any, warned: list[Warned]) -> None:
        if at < len(plan.groups):
            take(*result)
        else:
            arrived(plan.single[at - len(plan.groups)], result, warned)

    with Spool(take) as spool:
        jobs: list[TaskCall] = [(evaluate_group, (group, spool.outbox), {}) for group in plan.groups]
        jobs += [tasks[number] for number in plan.single]
        engine.run(jobs, done)


def _run_plainly(numbers: Sequence[int], tasks: Sequence[TaskCall], engine: Engine, arrived: _Arrived) -> None:
    if numbers:
        engine.run(tasks, lambda at, result, warned: arrived(numbers[at], result, warned))
