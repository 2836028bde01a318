"""Running a plan: groups and single tasks by the engine, and again the plain way where sharing did not hold."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from keepfit.checkpoint.joblib_seam import Engine, TaskCall
from keepfit.checkpoint.plan import Plan
from keepfit.checkpoint.sharing import Trust, evaluate_group, unfitted
from keepfit.checkpoint.warned import Warned

__all__ = ["run_plan"]

#: Takes the number of a task, its result, and the warnings it gave.
_Arrived = Callable[[int, Any, list[Warned]], None]


def run_plan(plan: Plan, tasks: Sequence[TaskCall], engine: Engine, trust: Trust, arrived: _Arrived) -> None:
    """Run the tasks of a plan. Those of a kind of which shared results differed are evaluated the plain way.

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
            arrived(*arrival)
    _run_plainly(plan.single, [tasks[number] for number in plan.single], engine, arrived)


def _run_by_workers(plan: Plan, tasks: Sequence[TaskCall], engine: Engine, trust: Trust, arrived: _Arrived) -> None:
    """Groups first, since they take longest. Their results wait until one of their kind has been checked."""
    kinds = {member.number: member.kind for group in plan.groups for member in group.members}
    waiting: dict[int, list[tuple[int, Any]]] = {}
    lock = threading.Lock()
    jobs: list[TaskCall] = [(evaluate_group, (group,), {}) for group in plan.groups]
    jobs += [tasks[number] for number in plan.single]

    def done(at: int, result: Any, warned: list[Warned]) -> None:
        if at >= len(plan.groups):
            arrived(plan.single[at - len(plan.groups)], result, warned)
            return
        results, found = result
        with lock:
            trust.add(found)
            for number, one in results:
                waiting.setdefault(kinds[number], []).append((number, one))
            give(trust.held - trust.refused.keys())

    def give(held: set[int]) -> None:
        for kind in held & waiting.keys():
            for number, one in waiting.pop(kind):
                arrived(number, one, [])

    engine.run(jobs, done)
    give(waiting.keys() - trust.refused.keys())  # nothing of these was shared


def _run_plainly(numbers: Sequence[int], tasks: Sequence[TaskCall], engine: Engine, arrived: _Arrived) -> None:
    if numbers:
        engine.run(tasks, lambda at, result, warned: arrived(numbers[at], result, warned))
