"""The best candidates of searches that can be compared: those on the same data, target, splits and scorer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keepfit.errors import StoreError
from keepfit.store.records import CandidateInfo, SearchInfo

if TYPE_CHECKING:
    from keepfit.store.models import Store

__all__ = ["Line", "leaderboard", "names_of_parts"]

#: Scores compare only between searches that agree in these parts.
_COMPARABLE = ("data", "target", "splits", "scorer")


@dataclass(frozen=True, slots=True)
class Line:
    """A candidate on the leaderboard.

    Parameters
    ----------
    rank : int
        From 1.
    model : str
        The name it was kept under, or else the label of its search.
    candidate : CandidateInfo
    """

    rank: int
    model: str
    candidate: CandidateInfo

    @property
    def parameters(self) -> Any:
        """What the candidate sets: a dict, or its text where it is no JSON."""
        try:
            return json.loads(self.candidate.candidate)
        except ValueError:
            return self.candidate.candidate


def leaderboard(store: Store, search_id: int | None = None, *, limit: int = 10, per_model: bool = False) -> list[Line]:
    """The best candidates.

    Parameters
    ----------
    store : Store
    search_id : int, default=None
        Of this search alone; by default of the newest search and all others on the same data, splits and scorer.
    limit : int, default=10
        How many at most.
    per_model : bool, default=False
        Only the best of each model.

    Returns
    -------
    list of Line
        The best first; candidates with fewer splits done than others come last.

    Raises
    ------
    StoreError
        If there is no search of that number.
    """
    lines = _ranked(store, _searches(store, search_id))
    if per_model:
        best: dict[str, tuple[str, CandidateInfo]] = {}
        for name, candidate in lines:
            best.setdefault(name, (name, candidate))
        lines = list(best.values())
    return [Line(rank, *line) for rank, line in enumerate(lines[:limit], 1)]


def names_of_parts(store: Store) -> dict[str | None, str]:
    """What models tell of the parts of the searches they came of: name, target and scorer, by the part's digest."""
    parts = {one.id: one.parts for one in store.work.searches()}
    found: dict[str | None, str] = {}
    for name in store:
        for info in store.versions(name):
            search = info.metadata.get("search")
            digests = parts.get(search, {}) if isinstance(search, int) else {}
            told = {"estimator": name, "target": info.metadata.get("target"), "scorer": info.metadata.get("scoring")}
            found.update((digests[part], str(text)) for part, text in told.items() if part in digests and text)
    return found


def _searches(store: Store, search_id: int | None) -> Sequence[SearchInfo]:
    every = store.work.searches()
    if search_id is not None:
        found = [one for one in every if one.id == search_id]
        if not found:
            raise StoreError(f"there is no search {search_id}; there are {', '.join(str(one.id) for one in every)}")
        return found
    if not every:
        return []
    like = {part: every[0].parts[part] for part in _COMPARABLE if part in every[0].parts}
    return [one for one in every if all(one.parts.get(part) == digest for part, digest in like.items())]


def _ranked(store: Store, searches: Iterable[SearchInfo]) -> list[tuple[str, CandidateInfo]]:
    names = names_of_parts(store)
    board: dict[tuple[str, ...], tuple[str, CandidateInfo]] = {}
    for search in searches:
        name = names.get(search.parts.get("estimator"), search.label)
        for candidate in store.work.candidates(search.id):
            key = (search.parts.get("estimator", name), candidate.candidate)
            # Of one candidate in several searches, the one with most splits done has seen what the others have.
            if key not in board or candidate.split_count > board[key][1].split_count:
                board[key] = (name, candidate)
    most = max((one.split_count for _, one in board.values()), default=0)
    return sorted(board.values(), key=lambda line: (line[1].split_count < most, -_score(line[1])))


def _score(candidate: CandidateInfo) -> float:
    return float("-inf") if candidate.mean_score is None else candidate.mean_score
