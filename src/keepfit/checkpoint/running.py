"""Running a plan: groups and single tasks by the engine, and again the plain way where sharing did not hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from keepfit.checkpoint.joblib_seam import Engine, TaskCall
from keepfit.checkpoint.plan import Plan
from keepfit.checkpoint.sharing import Differs, evaluate_group, unfitted
from keepfit.checkpoint.warned import Warned

__all__ = ["run_plan"]

#: Takes the number of a task, its result, and the warnings it gave.
_Arrived = Callable[[int, Any, list[Warned]], None]


def run_plan(plan: Plan, tasks: Sequence[TaskCall], engine: Engine, arrived: _Arrived) -> list[str]:
    """Run the tasks of a plan.

    Parameters
    ----------
    plan : Plan
    tasks : sequence of (function, args, kwargs)
        All tasks of the call.
    engine : Engine
    arrived : callable
        Gets the number of a task, its result as soon as there is one, and the warnings it gave. In any thread.

    Returns
    -------
    list of str
        How shared results differed from plain ones. Those groups were evaluated the plain way.
    """
    work = _run_here if engine.worker_count == 1 else _run_by_workers
    differences = work(plan, tasks, engine, arrived)
    again = [member.number for group in plan.groups if id(group) in differences for member in group.members]
    _run_plainly(again, [unfitted(tasks[number]) for number in again], engine, arrived)
    return list(dict.fromkeys(differences.values()))


def _run_here(plan: Plan, tasks: Sequence[TaskCall], engine: Engine, arrived: _Arrived) -> dict[int, str]:
    """One after the other. What does not hold for one split is not tried on the next."""
    differences: dict[int, str] = {}
    wrong: dict[int, str] = {}
    for group in plan.groups:
        try:
            if group.kind not in wrong:
                for arrival in group.results():
                    arrived(*arrival)
        except Differs as error:
            wrong[group.kind] = str(error)
        if group.kind in wrong:
            differences[id(group)] = wrong[group.kind]
    _run_plainly(plan.single, [tasks[number] for number in plan.single], engine, arrived)
    return differences


def _run_by_workers(plan: Plan, tasks: Sequence[TaskCall], engine: Engine, arrived: _Arrived) -> dict[int, str]:
    """Groups first, since they take longest."""
    differences: dict[int, str] = {}
    jobs: list[TaskCall] = [(evaluate_group, (group,), {}) for group in plan.groups]
    jobs += [tasks[number] for number in plan.single]

    def done(at: int, result: Any, warned: list[Warned]) -> None:
        if at >= len(plan.groups):
            arrived(plan.single[at - len(plan.groups)], result, warned)
        elif isinstance(result, str):
            differences[id(plan.groups[at])] = result
        else:
            for member, one in zip(plan.groups[at].members, result, strict=True):
                arrived(member.number, one, [])

    engine.run(jobs, done)
    return differences


def _run_plainly(numbers: Sequence[int], tasks: Sequence[TaskCall], engine: Engine, arrived: _Arrived) -> None:
    if numbers:
        engine.run(tasks, lambda at, result, warned: arrived(numbers[at], result, warned))
