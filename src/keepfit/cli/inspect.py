"""``keepfit inspect``: what files hold, without running anything in them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keepfit.cli.screen import clean, counted, in_words, write_json
from keepfit.errors import KeepfitError

if TYPE_CHECKING:
    from keepfit.inspection import Report

__all__ = ["command"]

_EPILOG = """\b
Examples:
  keepfit inspect model.safetensors
  keepfit inspect somebody_elses.pkl models/
  keepfit inspect models/ --format sarif > findings.sarif
  keepfit inspect state.db#rf --json
The exit code is the worst of all files: 0 where `keepfit.load` would build it or
`keepfit.convert` convert it as it is, 1 where they would refuse, 2 where it cannot be read.
"""

#: The endings of files that are looked at in folders; others are where their first bytes are a model's.
_ENDINGS = frozenset(
    [
        ".bz2",
        ".dill",
        ".gz",
        ".gzip",
        ".joblib",
        ".jbl",
        ".lz4",
        ".lzma",
        ".npy",
        ".npz",
        ".p",
        ".pickle",
        ".pkl",
        ".pt",
        ".pth",
        ".safetensors",
        ".sav",
        ".skops",
        ".xz",
        ".z",
        ".zip",
    ]
)
_KINDS = ("pickle", "joblib", "keepfit", "numpy", "skops")
_START = 1 << 12


@click.command(epilog=_EPILOG, short_help="What model files hold; nothing in them is run.")
@click.argument("models", metavar="FILE|FOLDER|STORE#NAME[@VERSION]...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Write JSON; the same as --format json.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json", "sarif"]), default="text", help="What to write.",
    show_default=True,
)  # fmt: skip
@click.pass_context
def command(context: click.Context, models: tuple[str, ...], as_json: bool, form: str) -> None:
    """Show what model files hold: types, arrays, versions, metadata, and what they would need to be trusted with.

    Of pickle and joblib files also what reading them with pickle would import and call, and a verdict: convertible,
    refused or unreadable. In folders, all model files are looked at. Nothing in any of them is run.
    """
    from keepfit.inspection import as_sarif

    form = "json" if as_json else form
    outcomes: dict[str, Report | KeepfitError | OSError] = {}
    alone = len(models) == 1 and not Path(models[0]).is_dir()
    for name in _with_progress([name for model in models for name in _files(model)]):
        outcomes[name] = _outcome(name)
        if form == "text":
            _show(name, outcomes[name], alone=alone)
    if form == "sarif":
        write_json(as_sarif(outcomes))
    elif form == "json":
        rows = [_row(name, outcome) for name, outcome in outcomes.items()]
        write_json(rows[0] if alone else rows)
    elif not alone:
        click.echo(_summary(outcomes))
    context.exit(max(map(_code, outcomes.values()), default=0))


def _files(model: str) -> Iterator[str]:
    """The model itself, or the model files in a folder, in the order of their names."""
    place = Path(model)
    if not place.is_dir():
        yield model
        return
    for path in sorted(place.rglob("*")):
        if path.is_file() and (path.suffix.lower() in _ENDINGS or _is_model(path)):
            yield str(path)


def _is_model(path: Path) -> bool:
    from keepfit.artifact import sniff

    try:
        with path.open("rb") as file:
            words = sniff(file.read(_START))
    except OSError:
        return True
    return any(kind in words for kind in _KINDS)


def _with_progress(names: list[str]) -> Iterator[str]:
    """The names, with a bar while they are looked at where there are several and somebody is watching."""
    if len(names) < 2 or not sys.stderr.isatty() or sys.stdout.isatty():
        yield from names
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(names, description="Inspecting", console=Console(stderr=True), transient=True)


def _outcome(name: str) -> Report | KeepfitError | OSError:
    from keepfit.cli.addresses import parse
    from keepfit.inspection import inspect

    try:
        return inspect(parse(name).data())
    except (KeepfitError, OSError) as error:
        return error


def _code(outcome: Report | KeepfitError | OSError) -> int:
    if isinstance(outcome, Exception) or outcome.verdict == "unreadable":
        return 2
    return 0 if outcome.verdict == "convertible" or outcome.loads_as_it_is else 1


def _word(outcome: Report | KeepfitError | OSError) -> str:
    if isinstance(outcome, Exception):
        return "unreadable"
    return outcome.verdict or ("loads" if outcome.loads_as_it_is else "refused")


def _show(name: str, outcome: Report | KeepfitError | OSError, *, alone: bool) -> None:
    if isinstance(outcome, Exception):
        words = in_words(outcome).removeprefix(f"{name}: ")  # an error may name its place itself
        click.echo(f"keepfit: {clean(words if name in words else f'{name}: {words}', 1000)}", err=True)
    elif alone:
        click.echo(str(outcome))
    else:
        click.echo(f"{_word(outcome):<12}{clean(name)}  {clean(_why(outcome), 200)}")


def _why(report: Report) -> str:
    """One line on a report."""
    parts = [part for part in (report, *report.parts) if part.obstacles or part.untrusted_types or part.capabilities]
    if not parts:
        return report.type
    part = parts[0]
    where = f"{part.name}: " if part.name else ""
    if part.obstacles:
        return f"{where}{part.obstacles[0].message}"
    if part.untrusted_types:
        return f"{where}names {', '.join(part.untrusted_types)}"
    return f"{where}needs allow={{{', '.join(map(repr, part.capabilities))}}}"


def _row(name: str, outcome: Report | KeepfitError | OSError) -> dict[str, object]:
    if isinstance(outcome, Exception):
        return {"file": name, "verdict": "unreadable", "error": str(outcome)}
    return {"file": name, **outcome.to_dict()}


def _summary(outcomes: dict[str, Report | KeepfitError | OSError]) -> str:
    counts = Counter(map(_word, outcomes.values()))
    return (
        f"{counted(len(outcomes), 'file')}: {', '.join(f'{count:,} {word}' for word, count in sorted(counts.items()))}"
    )
