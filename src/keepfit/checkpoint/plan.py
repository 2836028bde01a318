"""Which tasks of a call share work.

The plan takes the tasks that are not in the store yet. Tasks of one split whose candidates begin with the same step are
a group: a step that is the same is fitted once, and where steps differ only in parameters that a case of
`sharing.CASES` covers, they are taken from one fit. Everything else goes the plain way, each task by itself.

Candidates are compared by what their steps are made of: classes and parameter values. A step is shared only if to do it
twice gives the same twice, which is seen from its class and parameters: all of it is scikit-learn's, nothing draws from
the global random state, nothing works in place on its input. Tasks, their identities and their results stay what they
are without sharing.
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from keepfit.checkpoint import sharing_seam
from keepfit.checkpoint.sharing import CASES, Case, Group, Level, Member

__all__ = ["Plan", "Planner", "plain_plan"]

_TaskCall = Any

#: With several workers a group is cut until there are this many pieces for each, where cutting repeats no long fit.
_PIECES_PER_WORKER = 4

#: A fit is done once more for another worker only for so many members.
_FEWEST_OF_A_FIT = 20

#: Candidates that are checked cost at most such a share of the largest, where there are any.
_SMALL, _HALF = 0.05, 0.5

#: Arguments that may differ between tasks of a group.
_OWN = frozenset({"estimator", "parameters", "split_progress", "candidate_progress", "callback_ctx"})


@dataclass(frozen=True)
class Plan:
    """How the tasks of a call are evaluated.

    Parameters
    ----------
    groups : list of Group
        Those that share work; the longest first.
    single : list of int
        Numbers of the tasks that are evaluated by themselves.
    fit_count : int
        How many models are fitted for all of them.
    """

    groups: list[Group]
    single: list[int]
    fit_count: int

    @property
    def units(self) -> list[list[int]]:
        """Numbers of the tasks that are done together, the longest first."""
        return [[member.number for member in group.members] for group in self.groups] + [[one] for one in self.single]


@dataclass(frozen=True)
class _Step:
    """A step of a candidate and what it is made of."""

    estimator: Any
    case: Case | None
    fit: Hashable
    state: Hashable
    is_last: bool = False


@dataclass(frozen=True)
class _Candidate:
    """The leading steps of a candidate that others may share, and what its tasks have in common."""

    steps: tuple[_Step, ...]
    levels: tuple[Level, ...]
    kind: int
    cost: float
    rank: list[Any]

    def order(self) -> list[Any]:
        """Where its tasks stand among those of others."""
        if self.steps[-1].is_last:
            return self.rank
        return [*self.rank, (-random.random(),)]  # noqa: S311 - alike in all that is shared: any may be checked first

    def member(self, number: int, task: _TaskCall) -> Member:
        return Member(number, task, self.levels, self.kind, self.cost)


def plain_plan(numbers: Sequence[int]) -> Plan:
    """Each task by itself."""
    return Plan([], list(numbers), len(numbers))


class Planner:
    """Finds what tasks of a call share.

    Parameters
    ----------
    tasks : sequence of (function, args, kwargs)
        All tasks of the call.
    arguments : sequence of mapping
        Their arguments by name.
    worker_count : int
        How many groups are worked on at once.
    """

    def __init__(self, tasks: Sequence[_TaskCall], arguments: Sequence[Mapping[str, Any]], worker_count: int) -> None:
        self._tasks = tasks
        self._arguments = arguments
        self._worker_count = worker_count
        self._candidates: dict[int, _Candidate | None] = {}
        self._names: dict[Hashable, int] = {}

    def plan(self, numbers: Sequence[int], checked: Collection[int] = ()) -> Plan:
        """Plan some tasks.

        Parameters
        ----------
        numbers : sequence of int
            The tasks to do.
        checked : collection of int
            Kinds of members that have been checked before.
        """
        if len(numbers) < 2 or not sharing_seam.may_share(self._arguments[numbers[0]]):
            return plain_plan(numbers)
        together: dict[tuple[Hashable, int], dict[int, _Candidate]] = {}
        single = []
        for number in numbers:
            candidate = self._candidate_of(number)
            if candidate is None:
                single.append(number)
            else:
                together.setdefault((self._split(number), candidate.levels[0].fit), {})[number] = candidate
        groups: list[Group] = []
        for candidates in together.values():
            if len(candidates) < 2:
                single.extend(candidates)
            else:
                groups.extend(self._groups(candidates))
        fits = sum(len({member.last_fit for member in group.members}) for group in groups)
        groups.sort(key=lambda group: (group.cost, len(group.members)), reverse=True)
        needed = self._checking(groups, checked)
        for at, group in enumerate(groups):
            group.checks = _checks(group.members, needed[at])
        return Plan(groups, sorted(single), fits + len(single))

    def _checking(self, groups: Sequence[Group], checked: Collection[int]) -> list[set[int]]:
        """The kinds that each group must check: those that are in none before. Groups that begin at once take turns at
        what they have in common, so that none is behind with what others wait for."""
        having: dict[int, list[int]] = {}
        for at, group in enumerate(groups):
            for kind in dict.fromkeys(member.kind for member in group.members):
                if kind not in checked:
                    having.setdefault(kind, []).append(at)
        needed: list[set[int]] = [set() for _ in groups]
        for turn, (kind, found) in enumerate(having.items()):
            at_once = [at for at in found if at < self._worker_count] or found[:1]
            needed[at_once[turn % len(at_once)]].add(kind)
        return needed

    def _split(self, number: int) -> Hashable:
        """All that tasks of a group have in common, by identity: the objects of one call live as long as it."""
        arguments = self._arguments[number]
        return tuple(id(value) for name, value in arguments.items() if name not in _OWN)

    def _candidate_of(self, number: int) -> _Candidate | None:
        """The candidate of a task, found once for all its splits; None if it has nothing that others may share."""
        arguments = self._arguments[number]
        parameters = arguments["parameters"]
        key = id(parameters)
        if key not in self._candidates:
            steps = _steps(arguments["estimator"], parameters)
            self._candidates[key] = self._candidate(steps) if steps else None
        return self._candidates[key]

    def _candidate(self, steps: tuple[_Step, ...]) -> _Candidate:
        levels, rank = [], []
        path = -1
        for step in steps:
            fit = self._name((path, step.fit))
            path = self._name((path, step.state))
            levels.append(Level(fit, path, step.case, step.is_last))
            rank.append((fit, step.case.rank(step.estimator) if step.case else 0, path))
        last = steps[-1]
        cost = last.case.cost(last.estimator) if last.case is not None and last.is_last else 1.0
        kind = self._name(tuple(step.fit for step in steps))
        return _Candidate(steps, tuple(levels), kind, cost, rank)

    def _groups(self, candidates: Mapping[int, _Candidate]) -> list[Group]:
        """The groups of some tasks that begin with the same step, in an order in which those that share most stand
        side by side."""
        numbers = sorted(candidates, key=lambda number: candidates[number].order())
        members = [candidates[number].member(number, self._tasks[number]) for number in numbers]
        remembers = sharing_seam.is_stock_scorer(self._arguments[numbers[0]]["scorer"])
        parts = map(_begun_at_random, self._parts(members))
        return [Group(part, _kin(part, candidates), remembers) for part in parts]

    def _name(self, key: Hashable) -> int:
        return self._names.setdefault(key, len(self._names))

    def _parts(self, members: list[Member]) -> list[list[Member]]:
        """Pieces for several workers: cut where no long fit is done twice."""
        if self._worker_count == 1:
            return [members]
        piece_count = math.ceil(len(members) * self._worker_count * _PIECES_PER_WORKER / len(self._tasks))
        size = math.ceil(len(members) / piece_count)
        parts: list[list[Member]] = [[]]
        for member in members:
            here = parts[-1]
            if len(here) >= size and _may_part(here, member):
                parts.append([])
            parts[-1].append(member)
        return parts


def _kin(members: Sequence[Member], candidates: Mapping[int, _Candidate]) -> dict[int, list[Any]]:
    """For each fit that serves several states, the unfitted steps that it serves."""
    kin: dict[int, dict[int, Any]] = {}
    for member in members:
        for level, step in zip(member.levels, candidates[member.number].steps, strict=True):
            if level.case is not None:
                kin.setdefault(level.fit, {})[level.state] = step.estimator
    return {fit: list(found.values()) for fit, found in kin.items()}


def _may_part(here: Sequence[Member], after: Member) -> bool:
    """Whether a group may be cut: between last fits, or inside one that costs little beside what comes after it."""
    last = here[-1].levels[-1]
    is_cheap = last.case is not None and last.case.is_cheap and len(here) >= _FEWEST_OF_A_FIT
    return here[-1].last_fit != after.last_fit or is_cheap


def _begun_at_random(members: Sequence[Member]) -> list[Member]:
    """The same order, but one fitted form of each step before the last, chosen at random, comes first: of these members
    some are checked, and others wait for that."""
    levels = random.choice(members).levels  # noqa: S311
    return sorted(members, key=lambda member: _differences(member.levels, levels))


def _differences(levels: Sequence[Level], others: Sequence[Level]) -> list[bool]:
    """Where steps before the last differ when fitted."""
    return [
        one.state != other.state
        for one, other in zip(levels, others, strict=False)
        if not (one.is_last or other.is_last)
    ]


def _checks(members: Sequence[Member], needed: Collection[int]) -> dict[int, bool]:
    """Which members are also evaluated the plain way: one of each kind, at random, and whether it must be.

    None of those that cost most if there are others: the largest of those that share a fit costs as much as all of
    them. Where it must be, it is one of the first last fit, as others wait for it; where not, one of the cheapest.
    """
    positions: dict[int, list[int]] = {}
    most: dict[int, float] = {}
    for position, member in enumerate(members):
        positions.setdefault(member.kind, []).append(position)
        most[member.kind] = max(member.cost, most.get(member.kind, 0.0))
    checks = {}
    for kind, found in positions.items():
        must = kind in needed
        if must:
            found = [one for one in found if members[one].last_fit == members[found[0]].last_fit]
        for share in (_SMALL, _HALF)[must:]:
            few = [position for position in found if members[position].cost <= share * most[kind]]
            if few:
                break
        checks[random.choice(few or found[:-1] or found)] = must  # noqa: S311
    return checks


def _steps(estimator: Any, parameters: Mapping[str, Any]) -> tuple[_Step, ...]:
    """The leading steps of a candidate that may be shared; none if nothing may."""
    if not sharing_seam.has_steps(estimator) and _case_name(estimator) not in CASES:
        return ()
    candidate = sharing_seam.candidate_of(estimator, parameters)
    steps = None if candidate is None else sharing_seam.working_steps(candidate)
    if not steps:
        return ()
    if not all(map(sharing_seam.is_repeatable, steps)):
        return ()  # one step might work in place on what others share, or draw in another order
    found = [_step(step) for step in steps]
    last = found.pop()
    if last.case is not None and not last.case.only_before_others:
        found.append(replace(last, is_last=True))
    return tuple(found)


def _step(estimator: Any) -> _Step:
    case = CASES.get(_case_name(estimator))
    if case is not None and not (sharing_seam.is_repeatable(estimator) and case.admits(estimator)):
        case = None
    contents = sharing_seam.contents(estimator)
    if case is None:
        return _Step(estimator, None, contents, contents)
    kind, values, *settings = contents
    rest = tuple(pair for pair in values if pair[0] not in case.parameters)
    return _Step(estimator, case, (kind, rest, *settings, case.kind(estimator)), contents)


def _case_name(estimator: Any) -> str:
    return f"{type(estimator).__module__}.{type(estimator).__qualname__}"
