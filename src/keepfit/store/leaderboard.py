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
    from keepfit.store.records import ModelInfo

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
        return _parameters(self.candidate.candidate)


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

    Notes
    -----
    Of equal scores the type of model that was searched first comes first, and of one type the candidate of which the
    newest model was kept, as that is the one its search took. The others stand as scikit-learn's grids have them if
    each value is larger than the one before it: a store does not know the order in which a search tried them.
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
    for search, info in _kept(store):
        digests = parts.get(search, {})
        told = {"estimator": info.name, "target": info.metadata.get("target"), "scorer": info.metadata.get("scoring")}
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


def _ranked(store: Store, searches: Sequence[SearchInfo]) -> list[tuple[str, CandidateInfo]]:
    names = names_of_parts(store)
    board: dict[tuple[str, str], tuple[str, CandidateInfo]] = {}
    turns: dict[str, int] = {}
    for search in searches:
        name = names.get(search.parts.get("estimator"), search.label)
        estimator = search.parts.get("estimator", name)
        turns.setdefault(estimator, search.id)
        for candidate in store.work.candidates(search.id):
            key = (estimator, candidate.candidate)
            # Of one candidate in several searches, the one with most splits done has seen what the others have.
            if key not in board or candidate.split_count > board[key][1].split_count:
                board[key] = (name, candidate)
    most = max((one.split_count for _, one in board.values()), default=0)
    chosen = _chosen(store, searches)

    def order(item: tuple[tuple[str, str], tuple[str, CandidateInfo]]) -> tuple[Any, ...]:
        (estimator, text), (_, candidate) = item
        parameters = _parameters(text)
        # Of equals the type of model that was searched first, of that the one which its search took, then as in a grid.
        is_chosen = chosen.get(estimator) == json.dumps(parameters, sort_keys=True)
        equals = (turns[estimator], not is_chosen, _in_a_grid(parameters))
        return (candidate.split_count < most, -_score(candidate), *equals)

    return [line for _, line in sorted(board.items(), key=order)]


def _chosen(store: Store, searches: Iterable[SearchInfo]) -> dict[str, str]:
    """The parameters that were taken last of each estimator, as JSON by its digest."""
    estimators = {one.id: one.parts.get("estimator", "") for one in searches}
    return {
        estimators[search]: json.dumps(info.metadata.get("params"), sort_keys=True)
        for search, info in _kept(store)
        if search in estimators
    }


def _kept(store: Store) -> list[tuple[int, ModelInfo]]:
    """All that searches have kept with their numbers, the oldest first."""
    every = sorted((info for name in store for info in store.versions(name)), key=lambda info: info.created_at)
    return [(search, info) for info in every if isinstance(search := info.metadata.get("search"), int)]


def _parameters(candidate: str) -> Any:
    """What a candidate sets: a dict, or its text where it is no JSON."""
    try:
        return json.loads(candidate)
    except ValueError:
        return candidate


def _in_a_grid(parameters: Any) -> list[tuple[Any, ...]]:
    """What sorts candidates as scikit-learn's grids do, where values stand in a grid by size."""
    if not isinstance(parameters, dict):
        return [("", 3, str(parameters))]
    return [(name, *_by_size(value)) for name, value in sorted(parameters.items())]


def _by_size(value: Any) -> tuple[int, Any]:
    if value is None or isinstance(value, bool):
        return (0, -1 if value is None else int(value))
    if isinstance(value, int | float):
        return (1, value)
    return (2, value if isinstance(value, str) else json.dumps(value))


def _score(candidate: CandidateInfo) -> float:
    """The mean score, without the last bits, in which the database's mean and scikit-learn's may differ."""
    return float("-inf") if candidate.mean_score is None else float(f"{candidate.mean_score:.12g}")
