"""``keepfit leaderboard``: the best candidates of searches on the same data, by each scorer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from keepfit.cli.screen import clean, duration, number, say, table, write_json

if TYPE_CHECKING:
    from keepfit.store.leaderboard import Board, Line

__all__ = ["command"]

_EPILOG = """\b
Examples:
  keepfit leaderboard state.db
  keepfit leaderboard state.db --per-model
  keepfit leaderboard state.db --search 3 --limit 50 --json
"""


@click.command(epilog=_EPILOG, short_help="The best candidates in a store.")
@click.argument("store", default="state.db")
@click.option("--limit", type=click.IntRange(min=1), default=10, show_default=True, help="How many by each scorer.")
@click.option("--per-model", is_flag=True, help="Only the best of each type of model.")
@click.option("--search", "search_id", type=int, metavar="ID", help="Of this search alone; see keepfit status.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def command(store: str, limit: int, per_model: bool, search_id: int | None, as_json: bool) -> None:
    """Show the best candidates in STORE, from the newest search and all others on the same data, target and splits.

    Scores by different scorers do not compare, so each scorer has a ranking of its own. Scores are means over the
    splits that are done; candidates with fewer splits than others come last. Equal ones stand in the order of the grid.
    """
    from keepfit.cli.addresses import open_store
    from keepfit.store.leaderboard import leaderboards

    with open_store(store) as opened:
        boards = list(leaderboards(opened, search_id, limit=limit, per_model=per_model))
        count = len(opened.work.searches())
    shown = [board for board in boards if board.lines]
    if as_json:
        write_json([_as_dict(line, board) for board in shown for line in board.lines])
        return
    click.echo("\n\n".join(map(_text, shown)) if shown else f"{store} has no finished fits yet")
    others = count - sum(len(board.search_ids) for board in boards)
    if others and search_id is None:
        said = "1 search is" if others == 1 else f"{others:,} searches are"
        say(f"{said} on other data, another target or other splits: keepfit leaderboard {store} --search ID")


def _text(board: Board) -> str:
    """A table under a line that says what its scores are."""
    count = len(board.search_ids)
    ids = ", ".join(map(str, sorted(board.search_ids)))
    searches = f"search {ids}" if count == 1 else f"searches {ids}" if count <= _MOST_NAMED else f"{count} searches"
    by = f"by {clean(' = '.join(board.scorers), _WIDE)}" if board.scorers else "by a scorer that was not noted"
    headers = ("rank", "model", "score", "splits", "failed", "time", "parameters")
    return f"{by} ({searches})\n{table(headers, [_row(line) for line in board.lines])}"


_WIDE, _MOST_NAMED = 120, 12


def _row(line: Line) -> tuple[object, ...]:
    one = line.candidate
    time = duration(one.duration_s)
    score, parameters = number(one.mean_score), _in_words(line.parameters)
    return (line.rank, line.model, score, one.split_count, one.failed, time, parameters)


def _as_dict(line: Line, board: Board) -> dict[str, Any]:
    fields = {field: getattr(line.candidate, field) for field in type(line.candidate).__dataclass_fields__}
    return {
        "scorer": next(iter(board.scorers), None),
        "rank": line.rank,
        "model": line.model,
        **fields,
        "candidate": line.parameters,
    }


def _in_words(parameters: Any) -> str:
    """The parameters without the step they belong to, where all belong to one."""
    if not isinstance(parameters, dict):
        return str(parameters)
    steps = {key.partition("__")[0] for key in parameters if "__" in key}
    cut = f"{steps.pop()}__" if len(steps) == 1 else ""
    return " ".join(f"{key.removeprefix(cut)}={value}" for key, value in parameters.items()) or "as it is"
