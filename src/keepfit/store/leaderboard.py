"""The best candidates of searches that can be compared: those on the same data, target, splits and scorer."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keepfit.errors import StoreError
from keepfit.store.records import CandidateInfo, SearchInfo

if TYPE_CHECKING:
    from keepfit.store.models import Store
    from keepfit.store.records import ModelInfo

__all__ = ["Board", "Line", "leaderboards", "names_of_parts"]

#: Searches that agree in these parts are on the same rows.
_SAME_ROWS = ("data", "target", "splits")

#: A candidate by the digest of its estimator, its text, and which of those with this text it is.
_Key = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Line:
    """A candidate on a leaderboard.

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


@dataclass(frozen=True, slots=True)
class Board:
    """The leaderboard of searches with one scorer.

    Parameters
    ----------
    scorers : tuple of str
        Its name, or the names that users gave it, that of the newest search first. Empty where it is not known, of
        searches that a keepfit before schema 4 of stores ran.
    search_ids : tuple of int
        The searches, the newest first.
    lines : list of Line
        The best first; candidates with fewer splits done than others come last.
    """

    scorers: tuple[str, ...]
    search_ids: tuple[int, ...]
    lines: list[Line]


def leaderboards(
    store: Store, search_id: int | None = None, *, limit: int = 10, per_model: bool = False
) -> Iterator[Board]:
    """The best candidates by each scorer, as scores by different ones do not compare.

    Parameters
    ----------
    store : Store
    search_id : int, default=None
        Of this search alone; by default of the newest search and all others on the same data, target and splits.
    limit : int, default=10
        How many at most by each scorer.
    per_model : bool, default=False
        Only the best of each model.

    Yields
    ------
    Board
        That of the newest search first; none where the store has no searches. Each is made when it is asked for.

    Raises
    ------
    StoreError
        If there is no search of that number.

    Notes
    -----
    Of equal scores the type of model that was searched first comes first, and of one type the candidates stand as in
    scikit-learn's ``rank_test_score``: as the newest search that has them tried them. Of searches before schema 4 of
    stores, which have no such order, the one that was kept comes first, and the others by the size of what they set.
    """
    names = names_of_parts(store)
    for alike in _by_scorer(_searches(store, search_id)):
        lines = _ranked(store, alike, names)
        if per_model:
            best: dict[str, tuple[str, CandidateInfo]] = {}
            for name, candidate in lines:
                best.setdefault(name, (name, candidate))
            lines = list(best.values())
        numbered = [Line(rank, *line) for rank, line in enumerate(lines[:limit], 1)]
        told = dict.fromkeys(one.scorers[0] for one in alike if one.scorers)
        yield Board(tuple(told) or _named(alike[0], names), tuple(one.id for one in alike), numbered)


def names_of_parts(store: Store) -> dict[str | None, str]:
    """Names by the digests of parts: of scorers as searches tell, of what models were kept from them as these do."""
    searches = store.work.searches()
    parts = {one.id: one.parts for one in searches}
    found: dict[str | None, str] = {}
    for search, info in _kept(store):
        digests = parts.get(search, {})
        told = {"estimator": info.name, "target": info.metadata.get("target"), "scorer": info.metadata.get("scoring")}
        found.update((digests[part], str(text)) for part, text in told.items() if part in digests and text)
    found.update((one.parts["scorer"], one.scorers[0]) for one in searches if one.scorers and "scorer" in one.parts)
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
    like = {part: every[0].parts[part] for part in _SAME_ROWS if part in every[0].parts}
    return [one for one in every if all(one.parts.get(part) == digest for part, digest in like.items())]


def _by_scorer(searches: Iterable[SearchInfo]) -> list[list[SearchInfo]]:
    groups: dict[str | None, list[SearchInfo]] = {}
    for one in searches:
        groups.setdefault(one.parts.get("scorer"), []).append(one)
    return list(groups.values())


def _named(search: SearchInfo, names: Mapping[str | None, str]) -> tuple[str, ...]:
    """The name of a search's scorer by what else is in the store."""
    name = names.get(search.parts.get("scorer"))
    return () if name is None else (name,)


def _ranked(
    store: Store, searches: Sequence[SearchInfo], names: Mapping[str | None, str]
) -> list[tuple[str, CandidateInfo]]:
    board: dict[_Key, tuple[str, CandidateInfo]] = {}
    turns: dict[str, int] = {}
    for search in searches:
        name = names.get(search.parts.get("estimator"), search.label)
        estimator = search.parts.get("estimator", name)
        turns.setdefault(estimator, search.id)
        met: Counter[str] = Counter()
        for candidate in sorted(store.work.candidates(search.id), key=_place):
            key = (estimator, candidate.candidate, met[candidate.candidate])
            met[candidate.candidate] += 1
            # Of one candidate in several searches, the one with most splits done has seen what the others have.
            if key not in board or candidate.split_count > board[key][1].split_count:
                board[key] = (name, candidate)
    most = max((one.split_count for _, one in board.values()), default=0)
    chosen = _chosen(store, searches)

    def order(item: tuple[_Key, tuple[str, CandidateInfo]]) -> tuple[Any, ...]:
        (estimator, text, _), (_, one) = item
        equals: tuple[Any, ...] = (-one.search_id, one.place)
        if one.place is None:
            parameters = _parameters(text)
            is_chosen = chosen.get(estimator) == json.dumps(parameters, sort_keys=True)
            equals = (not is_chosen, _in_a_grid(parameters))
        return (one.split_count < most, -_score(one), turns[estimator], one.place is None, *equals)

    return [line for _, line in sorted(board.items(), key=order)]


def _place(candidate: CandidateInfo) -> int:
    return candidate.place or 0


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
    """The mean score; without a place in a search it does not matter in the last bits, in which equal ones may differ
    by the order of their splits."""
    if candidate.mean_score is None:
        return float("-inf")
    return candidate.mean_score if candidate.place is not None else float(f"{candidate.mean_score:.12g}")
