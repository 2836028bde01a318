"""A group of tasks of one split that share work, and how it is evaluated.

Each task is evaluated by scikit-learn's own function, with all its arguments: scorers, error scores, train scores and
verbosity are scikit-learn's. Only the `fit` of its estimator is ours, set on the instance: the class's own `fit` runs
with transformers that are fitted already (by way of a pipeline's ``memory``, which is public), and with a last step
that takes its fitted state from a shared fit. Whatever does not go by the book, be it an error, a warning or a state
that cannot be shared, ends in `Plain`: the task is done again the plain way.

Tasks come in an order in which what is shared is met in one run, so one fitted state and one transformed input are held
for each step, no more than a pipeline holds itself.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from keepfit.checkpoint.sharing.case import Answers, Case, Plain, Refused, attach
from keepfit.checkpoint.sharing.checking import Trust, difference
from keepfit.checkpoint.sharing.memory import Recall, quietly
from keepfit.checkpoint.sharing.split_seam import Split, goes_well, in_place_of
from keepfit.checkpoint.sharing_seam import passes
from keepfit.checkpoint.warned import Warned, call

__all__ = ["Arrival", "Group", "Level", "Member", "unfitted"]

#: So much work may wait for the check that is to come. It would be lost if the search were killed.
_LONGEST_WAIT_S = 10.0

_TaskCall = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class Arrival(NamedTuple):
    """Number of a task, its result, the warnings it gave, and whether anything of it was shared."""

    number: int
    result: Any
    warned: list[Warned]
    is_shared: bool


@dataclass(frozen=True)
class Level:
    """One step of a candidate: the fit that it may share with others, and what it becomes.

    Parameters
    ----------
    fit : int
        Equal for steps that are taken from one fit.
    state : int
        Equal for steps that are the same when fitted.
    case : Case or None
        How the state is taken from the fit; None if it is the fit.
    is_last : bool
        Whether it is the step that predicts.
    """

    fit: int
    state: int
    case: Case | None
    is_last: bool


@dataclass(frozen=True)
class Member:
    """A task of a group.

    Parameters
    ----------
    number : int
        In the call.
    task : (function, args, kwargs)
    levels : tuple of Level
        The steps of its candidate as far as they are shared.
    kind : int
        Equal for members of a call whose steps differ in the split and in what cases cover alone.
    cost : float
        What its last fit costs the plain way, beside the fits of others.
    """

    number: int
    task: _TaskCall
    levels: tuple[Level, ...]
    kind: int
    cost: float = 1.0

    @property
    def last_fit(self) -> int:
        """What is fitted last for it: shared with others if its last step has a case, its own otherwise."""
        last = self.levels[-1]
        return last.fit if last.is_last else -1 - self.number


@dataclass
class Group:
    """Tasks of one split that share work.

    Parameters
    ----------
    members : list of Member
        In the order in which they are evaluated.
    kin : mapping of int to list of estimators
        For each fit that serves several states, the unfitted steps that it serves.
    remembers : bool
        Whether predictions are remembered. Not for a scorer that is handed the estimator and may do anything with it.
    checks : mapping of int to bool
        Positions of members that are also evaluated the plain way, and whether they must be: then no result of their
        kind is given out before. The others are if that takes little.
    """

    members: list[Member]
    kin: Mapping[int, list[Any]]
    remembers: bool
    checks: Mapping[int, bool] = field(default_factory=dict)
    users: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        states = Counter(level.state for member in self.members for level in member.levels)
        fits = Counter({level.state: level.fit for member in self.members for level in member.levels}.values())
        self.users = states + Counter({fit: count for fit, count in fits.items() if fit not in states})

    @property
    def cost(self) -> float:
        """About what its fits cost."""
        costs: dict[int, float] = {}
        for member in self.members:
            costs[member.last_fit] = max(member.cost, costs.get(member.last_fit, 0.0))
        return sum(costs.values())

    def results(self, trust: Trust) -> Iterator[Arrival]:
        """Evaluate the tasks, one after the other.

        None is given out of a kind of which a check has failed, or could not be made where it must be: what is missing
        is left to be done the plain way.

        Parameters
        ----------
        trust : Trust
            What other groups have shown; what this one shows is added.
        """
        return _Evaluation(self, trust).results()


@dataclass
class _Slot:
    """What is held for one step: the last thing that was made, and what making it took."""

    name: int = -1
    value: Any = None
    cost_s: float = 0.0
    answers: Answers | None = None


class _Evaluation:
    def __init__(self, group: Group, trust: Trust) -> None:
        self._group = group
        self._trust = trust
        depth = max(len(member.levels) for member in group.members)
        self._fits = [_Slot() for _ in range(depth)]
        self._states = [_Slot() for _ in range(depth)]
        self._split = Split()
        self._names: tuple[str, ...] = ()  # of the steps that were fitted last by a pipeline itself
        self._fit_s = 0.0  # of this task: its share of what is shared, without what it spent making that
        #: Work of each kind that is held until there is a check.
        self._waited_s: defaultdict[int, float] = defaultdict(float)

    def results(self) -> Iterator[Arrival]:
        trust, checks = self._trust, self._group.checks
        must = {self._group.members[position].kind for position, must in checks.items() if must} | trust.due
        held: dict[int, list[Arrival]] = {}
        for position, member in enumerate(self._group.members):
            kind = member.kind
            if kind in trust.refused:
                continue
            start_s = time.perf_counter()
            result, warned, is_shared = self._result(member)
            took_s = time.perf_counter() - start_s
            trust.work_s += took_s
            if checks.get(position):
                trust.due.add(kind)
            waits = is_shared and kind in must and kind not in trust.held
            if is_shared and (kind in trust.due or self._is_time(position, took_s, waits)):
                trust.due.discard(kind)
                self._check(member, result)
                if kind in trust.refused:
                    held.pop(kind, None)
                    continue
            arrival = Arrival(member.number, result, warned, is_shared)
            if waits and kind not in trust.held:
                held.setdefault(kind, []).append(arrival)
                continue
            if is_shared:
                yield from held.pop(kind, ())
            yield arrival

    def _is_time(self, position: int, took_s: float, waits: bool) -> bool:
        """Whether to check a member of which no check is due: it costs little, or results have waited long for one."""
        member = self._group.members[position]
        if waits:
            self._waited_s[member.kind] += took_s
            waited_s = self._waited_s[member.kind]
            return waited_s > _LONGEST_WAIT_S and waited_s > self._plain_s(member, took_s)
        return position in self._group.checks and self._trust.affords(self._plain_s(member, took_s))

    def _plain_s(self, member: Member, took_s: float) -> float:
        """About how long a member takes the plain way."""
        made_s = sum(slot.cost_s for slot in self._states)
        level = member.levels[-1]
        if level.is_last:
            most = max(one.cost for one in self._group.members if one.last_fit == level.fit)
            made_s += self._fits[len(member.levels) - 1].cost_s * member.cost / most
        return made_s + took_s

    def _check(self, member: Member, result: Any) -> None:
        """Compare with scikit-learn alone. What comes after draws what it would draw without."""
        start_s = time.perf_counter()
        function, args, kwargs = unfitted(member.task)
        drawn = np.random.get_state()
        plain, _ = quietly(lambda: function(*args, **{**kwargs, "verbose": 0}))
        np.random.set_state(drawn)
        text = difference(kwargs.get("parameters"), result, plain)
        if text is None:
            self._trust.held.add(member.kind)
        else:
            self._trust.refused[member.kind] = text
        self._trust.check_s += time.perf_counter() - start_s

    def _result(self, member: Member) -> tuple[Any, list[Warned], bool]:
        """The result of a task, its warnings, and whether anything of it was shared."""
        function, args, kwargs = member.task
        estimator = args[0] if args else kwargs["estimator"]
        self._fit_s = 0.0
        if self._group.remembers and goes_well(kwargs):
            function = in_place_of(function, self._split.evaluate)
        hooks: dict[str, Any] = estimator.__dict__
        hooks["fit"] = _Fit(self, member, estimator)
        try:
            result, warned = call(function, args, kwargs)
        except Plain:
            result = None  # and go on below, so that no error is handled while the task is done again
        finally:
            hooks.pop("fit", None)
        if result is None:
            return *call(*unfitted(member.task)), False
        if "fit_time" in result:
            result["fit_time"] = max(0.0, result["fit_time"] + self._fit_s)
        return result, warned, True

    def fit(self, member: Member, estimator: Any, X: Any, *y: Any, **params: Any) -> None:
        """Fit an estimator by its class's own `fit`, with what is there already."""
        last = estimator
        steps = getattr(estimator, "steps", None)
        if steps is not None and not params and self._has_all_before_last(member, steps):
            X = self._put_steps(estimator, X)
            self._take(member, len(member.levels) - 1, steps[-1][1], X, *y or (None,))
            return
        with contextlib.ExitStack() as stack:
            if steps is not None:
                self._names = tuple(name for name, _ in steps)
                last = steps[-1][1]
                stack.callback(setattr, estimator, "memory", estimator.memory)
                estimator.memory = _Memory(self, member)
            at = len(member.levels) - 1
            if member.levels[at].is_last:
                if steps is None:
                    self._take(member, at, last, X, *y, **params)
                    return
                stack.callback(last.__dict__.pop, "fit", None)
                last.fit = _Last(self, member, at, last)
            type(estimator).fit(estimator, X, *y, **params)

    def _has_all_before_last(self, member: Member, steps: list[tuple[str, Any]]) -> bool:
        """Whether a pipeline differs from the one before in its last step alone, which is shared: there is nothing left
        to do for its own `fit`. But a scorer of the user's own is given one that was fitted by that."""
        *before, last = member.levels
        at_hand = all(
            slot.name == level.state and slot.value is not None
            for slot, level in zip(self._states, before, strict=False)
        )
        return bool(
            self._group.remembers
            and last.is_last
            and before
            and at_hand
            and self._names == tuple(name for name, _ in steps)
        )

    def _put_steps(self, pipeline: Any, X: Any) -> Any:
        """Give a pipeline its fitted steps but the last; returns what they make of the input."""
        slots = iter(self._states)
        steps = list(pipeline.steps)
        for number, (name, step) in enumerate(steps[:-1]):
            if not passes(step):
                slot = next(slots)
                self._share(slot, slot.name)
                X, fitted = slot.value
                steps[number] = (name, fitted)
        pipeline.steps = steps
        return X

    def _take(self, member: Member, at: int, target: Any, X: Any, *y: Any, **params: Any) -> None:
        """Let a step be what its own fit would make it."""
        level, slot = member.levels[at], self._fits[at]
        assert level.case is not None
        if slot.name != level.fit:
            self._fit_source(member, at, X, *y, **params)
        if slot.value is None:
            raise Plain
        self._share(slot, level.fit)
        try:
            level.case.give(slot.value, target)
        except Refused:
            raise Plain from None
        if slot.answers is not None:
            slot.answers.attach(target)

    def _fit_source(self, member: Member, at: int, X: Any, *y: Any, **params: Any) -> None:
        level, slot = member.levels[at], self._fits[at]
        kin = self._group.kin[level.fit]
        assert level.case is not None
        slot.name, slot.value, slot.answers = level.fit, None, None
        case = level.case
        slot.value = self._spend(slot, lambda: case.source(kin, X, *y, **params))
        if self._group.remembers:
            slot.answers = case.answers(slot.value, kin)

    def _spend(self, slot: _Slot, work: Callable[[], Any]) -> Any:
        """Do what is shared. An error or a warning is each task's own."""
        start_s = time.perf_counter()
        try:
            found, warned = quietly(work)
        except Exception:
            raise Plain from None
        if warned:
            raise Plain
        slot.cost_s = time.perf_counter() - start_s
        self._fit_s -= slot.cost_s
        return found

    def _share(self, slot: _Slot, name: int) -> None:
        self._fit_s += slot.cost_s / self._group.users[name]

    def transform(self, member: Member, at: int, fit_transform: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """What a step but the last makes of its input, and the fitted step."""
        if at >= len(member.levels):
            return fit_transform(*args, **kwargs)
        level, slot = member.levels[at], self._states[at]
        if slot.name != level.state:
            slot.name, slot.value = level.state, None
            made = self._transformed(member, at, fit_transform, args, kwargs)
            if self._group.remembers:
                attach(made[1], "transform", Recall(made[1].transform))
            slot.value = made
        if slot.value is None:
            raise Plain
        self._share(slot, level.state)
        return slot.value

    def _transformed(self, member: Member, at: int, fit_transform: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        level, slot = member.levels[at], self._states[at]
        case = level.case
        if case is None:
            return self._spend(slot, lambda: fit_transform(*args, **kwargs))
        if any((kwargs.get("params") or {}).values()):
            raise Plain
        transformer, X, y = args
        self._take(member, at, transformer, X, y)
        made = self._spend(slot, lambda: case.transformed(self._fits[at].value, transformer, X, y))
        source = self._fits[at]
        share_s = source.cost_s / self._group.users[level.fit]
        slot.cost_s += share_s
        self._fit_s -= share_s
        return made, transformer


@dataclass
class _Fit:
    """The `fit` of a task's estimator."""

    evaluation: _Evaluation
    member: Member
    estimator: Any

    def __call__(self, X: Any, *y: Any, **params: Any) -> Any:
        del self.estimator.fit
        try:
            self.evaluation.fit(self.member, self.estimator, X, *y, **params)
        except Exception:  # its traceback is part of the result, so it must not lead through here
            raise Plain from None
        return self.estimator


@dataclass
class _Last:
    """The `fit` of a pipeline's last step."""

    evaluation: _Evaluation
    member: Member
    at: int
    target: Any

    def __call__(self, X: Any, *y: Any, **params: Any) -> Any:
        del self.target.fit
        self.evaluation._take(self.member, self.at, self.target, X, *y, **params)
        return self.target


class _Memory:
    """The ``memory`` of a pipeline while it is fitted: it remembers the steps but the last."""

    location = None  # so that a pipeline does not clone its steps first

    def __init__(self, evaluation: _Evaluation, member: Member) -> None:
        self._evaluation = evaluation
        self._member = member
        self._at = -1

    def cache(self, fit_transform: Callable[..., Any], **_: Any) -> Callable[..., Any]:
        """What a pipeline calls for each step that transforms, in order."""

        def remembered(*args: Any, **kwargs: Any) -> Any:
            self._at += 1
            return self._evaluation.transform(self._member, self._at, fit_transform, args, kwargs)

        return remembered


def unfitted(task: _TaskCall) -> _TaskCall:
    """The task with an estimator that nothing has been done to."""
    from sklearn.base import clone

    function, args, kwargs = task
    if args:
        return function, (clone(args[0]), *args[1:]), kwargs
    return function, args, {**kwargs, "estimator": clone(kwargs["estimator"])}
