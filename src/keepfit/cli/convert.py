"""``keepfit convert``: pickle and joblib files to keepfit's own."""

from __future__ import annotations

from pathlib import Path

import click

from keepfit.cli.screen import TRUSTED, clean, in_words
from keepfit.errors import KeepfitError

__all__ = ["command"]

_EPILOG = """\b
Examples:
  keepfit convert old.pkl model.safetensors
  keepfit convert models/*.joblib converted/
The exit code is 1 where a file could not be converted.
"""


@click.command(epilog=_EPILOG, short_help="A keepfit file of a pickle or joblib file; nothing in it runs.")
@click.argument("sources", metavar="SRC...", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
@click.argument("target", metavar="DST", type=click.Path())
@click.option("--trusted", multiple=True, metavar="NAME", help=TRUSTED)
@click.option(
    "--allow",
    multiple=True,
    type=click.Choice(["paths", "patterns"]),
    help="What the model may do; see docs/security.md.",
)
@click.pass_context
def command(
    context: click.Context, sources: tuple[str, ...], target: str, trusted: tuple[str, ...], allow: tuple[str, ...]
) -> None:
    """Make keepfit files of pickle and joblib files, which are read as data: nothing in them is imported or run.

    DST is a file, or for several sources a folder, where each gets its name with the ending .safetensors. A file that
    is there is replaced as a whole or not at all; a source never is.
    """
    from keepfit.cli.addresses import check_ending, check_trusted
    from keepfit.conversion import convert

    check_trusted(trusted)
    folder = Path(target) if len(sources) > 1 or Path(target).is_dir() else None
    if folder is None:
        check_ending(target, hint="DST")
    places = [folder / f"{Path(source).stem}.safetensors" if folder else Path(target) for source in sources]
    _check_names(sources, places)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    failed = False
    for source, place in zip(sources, places, strict=True):
        try:
            convert(source, place, trusted=trusted, allow=allow)
        except (KeepfitError, OSError) as error:
            failed = True
            click.echo(f"keepfit: {clean(source)}: {clean(in_words(error), 1000)}", err=True)
        else:
            click.echo(str(place))
    context.exit(1 if failed else 0)


def _check_names(sources: tuple[str, ...], places: list[Path]) -> None:
    first: dict[Path, str] = {}
    for source, place in zip(sources, places, strict=True):
        if place in first:
            both = f"{first[place]} and {source} would both become {place}"
            raise click.UsageError(f"{both}; convert one of them by itself, under another name.")
        first[place] = source
