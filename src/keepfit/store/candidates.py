"""From finished tasks to candidates: the mean over its splits, and the order that scikit-learn's searches have."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from sqlalchemy import Row

from keepfit.store.records import CandidateInfo

__all__ = ["ranked"]


def ranked(search_id: int, tasks: Iterable[Row[Any]]) -> list[CandidateInfo]:
    """The candidates of a search, the best first.

    Parameters
    ----------
    search_id : int
    tasks : iterable of rows
        With what `CandidateInfo` is made from: place, candidate, split, score, duration_s and failure.

    Returns
    -------
    list of CandidateInfo
        Those without a score come last. Equal ones stand by their places, those without a place by their text.
    """
    members: dict[tuple[int | None, str], _Candidate] = {}
    for task in tasks:
        key = task.place, task.candidate
        if key not in members:
            members[key] = _Candidate()
        members[key].add(task.split, task.score, task.duration_s, task.failure)
    with np.errstate(invalid="ignore"):  # of infinities
        found = [
            CandidateInfo(search_id, candidate, one.mean(), one.split_count, one.failed, one.duration_s, place)
            for (place, candidate), one in members.items()
        ]
    return sorted(found, key=_order)


class _Candidate:
    """The sums over a candidate's tasks."""

    __slots__ = ("duration_s", "failed", "scores", "split_count")

    def __init__(self) -> None:
        self.scores: list[tuple[int, float | None]] = []
        self.split_count = self.failed = 0
        self.duration_s = 0.0

    def add(self, split: int, score: float | None, duration_s: float, failure: str | None) -> None:
        self.scores.append((split, score))
        self.split_count += 1
        self.failed += failure is not None
        self.duration_s += duration_s

    def mean(self) -> float | None:
        """In the order of the splits, added up as `numpy.average` does: so ties are those of scikit-learn, and a split
        without a score leaves none."""
        scores = [score for _, score in sorted(self.scores, key=_split) if score is not None]
        if len(scores) < len(self.scores):
            return None
        mean = float(np.mean(scores))
        return None if math.isnan(mean) else mean


def _split(scored: tuple[int, float | None]) -> int:
    return scored[0]


def _order(one: CandidateInfo) -> tuple[Any, ...]:
    score = math.inf if one.mean_score is None else -one.mean_score
    return (one.mean_score is None, score, one.place is None, one.place or 0, one.candidate)
