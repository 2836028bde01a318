"""``keepfit status``: the searches in a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from keepfit.cli.screen import clean, number, table, when, write_json

if TYPE_CHECKING:
    from keepfit.store import SearchInfo, Work

__all__ = ["command"]

_EPILOG = """\b
Examples:
  keepfit status state.db
  keepfit status state.db --failures
"""


@click.command(epilog=_EPILOG, short_help="The searches in a store.")
@click.argument("store", default="state.db")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many, the newest first.")
@click.option("--failures", is_flag=True, help="Show what went wrong in fits that failed.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def command(store: str, limit: int, failures: bool, as_json: bool) -> None:
    """Show the searches in STORE: by which scorer they judge, how far they are, what was reused, what failed.

    FITS says how many models were fitted for all tasks, where candidates share them. BEST FIT is the best score of a
    single one, greater is better. Where there are several scorers, it is by the first that is named.
    """
    from keepfit.cli.addresses import open_store
    from keepfit.store.leaderboard import names_of_parts

    with open_store(store) as opened:
        searches = opened.work.searches()[:limit]
        if as_json:
            write_json([_as_dict(one, opened.work, failures) for one in searches])
        elif not searches:
            click.echo(f"{store} has no searches yet")
        elif failures:
            _show_failures(searches, opened.work)
        else:
            names = names_of_parts(opened)
            click.echo(table(_HEADERS, [_row(one, names) for one in searches]))
            if any(one.failed for one in searches):
                click.echo(f"keepfit status {store} --failures shows what went wrong")


_HEADERS = (
    "search",
    "what",
    "target",
    "scorer",
    "state",
    "done",
    "of",
    "fits",
    "reused",
    "failed",
    "best fit",
    "last work",
)


def _row(one: SearchInfo, names: dict[str | None, str]) -> tuple[object, ...]:
    what = names.get(one.parts.get("estimator"), one.label)
    done = one.reused + one.computed
    fits = None if one.fit_count is None else f"{one.fit_count:,}"
    counts = (f"{done:,}", f"{one.task_count:,}", fits, f"{one.reused:,}", f"{one.failed:,}")
    return (
        one.id,
        what,
        names.get(one.parts.get("target")),
        _scorer(one, names),
        one.state,
        *counts,
        number(one.best_score),
        when(one.updated_at),
    )


def _scorer(one: SearchInfo, names: dict[str | None, str]) -> str | None:
    if not one.scorers:
        return names.get(one.parts.get("scorer"))
    shown, *others = one.scorers
    return f"{shown} (also {', '.join(others)})" if others else shown


def _as_dict(one: SearchInfo, work: Work, failures: bool) -> dict[str, Any]:
    fields = {name: getattr(one, name) for name in type(one).__dataclass_fields__}
    if failures:
        fields["failures"] = [
            {"candidate": task.candidate, "split": task.split, "traceback": task.failure}
            for task in work.failures(one.id)
        ]
    return fields


def _show_failures(searches: list[SearchInfo], work: Work) -> None:
    """Tracebacks that are equal, as those of one cause are, are shown once."""
    if not any(one.failed for one in searches):
        click.echo("no fit failed")
        return
    for one in searches:
        causes: dict[str, list[str]] = {}
        for task in work.failures(one.id):
            causes.setdefault(task.failure or "", []).append(f"{task.candidate} split {task.split}")
        for traceback, where in causes.items():
            more = f" and {len(where) - 1:,} more" if len(where) > 1 else ""
            click.echo(f"search {one.id}, {clean(one.label)}: {clean(where[0])}{more}")
            click.echo("\n".join(f"    {clean(line)}" for line in traceback.splitlines()))
