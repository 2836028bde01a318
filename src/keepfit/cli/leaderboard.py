"""``keepfit leaderboard``: the best candidates of searches on the same data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from keepfit.cli.screen import duration, number, table, write_json
from keepfit.errors import StoreError

if TYPE_CHECKING:
    from keepfit.store import CandidateInfo, SearchInfo, Store

__all__ = ["command"]

_EPILOG = """\b
Examples:
  keepfit leaderboard state.db
  keepfit leaderboard state.db --per-model
  keepfit leaderboard state.db --search 3 --limit 50 --json
"""

#: Scores compare only between searches that agree in these parts.
_COMPARABLE = ("data", "target", "splits", "scorer")


@click.command(epilog=_EPILOG, short_help="The best candidates in a store.")
@click.argument("store", default="state.db")
@click.option("--limit", type=click.IntRange(min=1), default=10, show_default=True, help="How many.")
@click.option("--per-model", is_flag=True, help="Only the best of each type of model.")
@click.option("--search", "search_id", type=int, metavar="ID", help="Of this search alone; see keepfit status.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def command(store: str, limit: int, per_model: bool, search_id: int | None, as_json: bool) -> None:
    """Show the best candidates in STORE, from the newest search and all others on the same data, splits and scorer.

    Scores are means over the splits that are done; candidates with fewer splits than others come last.
    """
    from keepfit.cli.addresses import open_store

    with open_store(store) as opened:
        searches = _searches(opened, search_id)
        lines = _lines(opened, searches, limit, per_model)
    if as_json:
        write_json([_as_dict(rank, *line) for rank, line in enumerate(lines, 1)])
    elif lines:
        click.echo(table(_HEADERS, [_row(rank, *line) for rank, line in enumerate(lines, 1)]))
    else:
        click.echo(f"{store} has no finished fits yet")


_HEADERS = ("rank", "model", "score", "splits", "failed", "time", "parameters")

_Line = tuple[str, "CandidateInfo"]


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


def _lines(store: Store, searches: Sequence[SearchInfo], limit: int, per_model: bool) -> list[_Line]:
    from keepfit.cli.addresses import names_of

    names = names_of(store)
    board: dict[tuple[str, ...], _Line] = {}
    for search in searches:
        name = names.get(search.parts.get("estimator"), search.label)
        for candidate in store.work.candidates(search.id):
            line = (name, candidate)
            key = (search.parts.get("estimator", name), candidate.candidate)
            # Of one candidate in several searches, the one with most splits done has seen what the others have.
            if key not in board or candidate.split_count > board[key][1].split_count:
                board[key] = line
    most = max((one.split_count for _, one in board.values()), default=0)
    lines = sorted(board.values(), key=lambda line: (line[1].split_count < most, -_score(line[1])))
    if per_model:
        best: dict[str, _Line] = {}
        for line in lines:
            best.setdefault(line[0], line)
        lines = list(best.values())
    return lines[:limit]


def _score(candidate: CandidateInfo) -> float:
    return float("-inf") if candidate.mean_score is None else candidate.mean_score


def _row(rank: int, name: str, one: CandidateInfo) -> tuple[object, ...]:
    time = duration(one.duration_s)
    return (rank, name, number(one.mean_score), one.split_count, one.failed, time, _in_words(one.candidate))


def _as_dict(rank: int, name: str, one: CandidateInfo) -> dict[str, Any]:
    fields = {field: getattr(one, field) for field in type(one).__dataclass_fields__}
    return {"rank": rank, "model": name, **fields, "candidate": _read(one.candidate)}


def _read(candidate: str) -> Any:
    try:
        return json.loads(candidate)
    except ValueError:
        return candidate


def _in_words(candidate: str) -> str:
    """The parameters without the step they belong to, where all belong to one."""
    read = _read(candidate)
    if not isinstance(read, dict):
        return candidate
    steps = {key.partition("__")[0] for key in read if "__" in key}
    cut = f"{steps.pop()}__" if len(steps) == 1 else ""
    return " ".join(f"{key.removeprefix(cut)}={value}" for key, value in read.items()) or "as it is"
