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
    members: dict[tuple[int | None, str], list[Row[Any]]] = {}
    for task in tasks:
        members.setdefault((task.place, task.candidate), []).append(task)
    found = [
        CandidateInfo(
            search_id,
            candidate,
            _mean(sorted((task.split, task.score) for task in done if task.score is not None)),
            len(done),
            sum(task.failure is not None for task in done),
            math.fsum(task.duration_s for task in done),
            place,
        )
        for (place, candidate), done in members.items()
    ]
    return sorted(found, key=_order)


def _mean(scores: list[tuple[int, float]]) -> float | None:
    """The mean in the order of the splits, added up as `numpy.average` does: so ties are those of scikit-learn."""
    if not scores:
        return None
    with np.errstate(invalid="ignore"):  # of infinities
        mean = float(np.mean([score for _, score in scores]))
    return None if math.isnan(mean) else mean


def _order(one: CandidateInfo) -> tuple[Any, ...]:
    score = math.inf if one.mean_score is None else -one.mean_score
    return (one.mean_score is None, score, one.place is None, one.place or 0, one.candidate)
