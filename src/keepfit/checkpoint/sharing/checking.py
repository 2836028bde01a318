"""Whether what is shared holds: some candidates are evaluated the plain way as well, and the results compared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Trust", "difference", "same_result"]

#: The share of the time for shared work that checks may take, where they need not be made.
_MOST = 0.05

_TIMES = frozenset({"fit_time", "score_time"})


@dataclass
class Trust:
    """What checks have shown so far.

    Parameters
    ----------
    held : set of int
        Kinds of members of which one was equal to the plain way.
    refused : dict of int to str
        Kinds of members of which one was not, and how it differed.
    due : set of int
        Kinds of which the next one that is shared must be checked: none was when it was time for it.
    work_s, check_s : float
        The time that shared evaluations have taken, and their checks.
    """

    held: set[int] = field(default_factory=set)
    refused: dict[int, str] = field(default_factory=dict)
    due: set[int] = field(default_factory=set)
    work_s: float = 0.0
    check_s: float = 0.0

    def affords(self, check_s: float) -> bool:
        """Whether one more check may be made that is not needed."""
        return self.check_s + check_s <= _MOST * self.work_s

    def add(self, other: Trust) -> None:
        """Take in what was found elsewhere."""
        self.held |= other.held
        self.refused.update(other.refused)


def difference(parameters: Any, result: Mapping[str, Any], plain: Mapping[str, Any]) -> str | None:
    """How a result differs from the plain one; None if it does not."""
    if same_result(result, plain):
        return None
    return f"{parameters}: {result.get('test_scores')} in place of {plain.get('test_scores')}"


def same_result(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two results of a task are equal to the bit but for their times."""
    return one.keys() == other.keys() and all(
        _same(value, other[name]) for name, value in one.items() if name not in _TIMES
    )


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return type(one) is type(other) and (one.hex() == other.hex() or (math.isnan(one) and math.isnan(other)))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(value, other[name]) for name, value in one.items())
    return one is other or (type(one) is type(other) and bool(one == other))
