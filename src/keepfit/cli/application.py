"""The group of all commands, and how each ends: exit codes, errors in one line, no trace of a closed pipe."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module
from typing import Any, NoReturn

import click

from keepfit.errors import KeepfitError, KeepfitWarning

__all__ = ["COMMANDS", "EXIT_CODES", "root"]

#: Commands in the order they are listed; each is ``command`` in the module of its name.
COMMANDS = (
    "search",
    "status",
    "leaderboard",
    "show",
    "predict",
    "export",
    "inspect",
    "convert",
    "verify",
    "serve",
    "containerize",
    "token",
    "doctor",
)

#: What a program may rely on.
EXIT_CODES = {
    0: "done, and nothing speaks against it",
    1: "an error, or a finding: a check failed, a file would not load",
    2: "the command line is wrong",
    130: "stopped by Ctrl-C; what was finished is kept",
    141: "whoever read the output went away",
    143: "stopped by SIGTERM; what was finished is kept",
}

_HELP = """Keep trained scikit-learn models as data, and the work of long searches.

\b
Examples:
  keepfit search data.csv --target species --store state.db
  keepfit leaderboard state.db
  keepfit predict state.db#rf new.csv -o predictions.csv
"""


class _Application(click.Group):
    """Commands are found by name and imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"keepfit.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            from difflib import get_close_matches

            close = get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else f" There are {', '.join(COMMANDS)}."
            raise click.UsageError(f"There is no command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            code = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            raise _ReaderGoneError from None  # click would end with 1
        return code

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        extra["standalone_mode"] = False
        sys.exit(_exit_code_of(lambda: super(_Application, self).main(*args, **extra)))


class _ReaderGoneError(Exception):
    pass


def _exit_code_of(run: Any) -> int:
    try:
        with _short_warnings():
            code = run()
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except _ReaderGoneError:
        # The interpreter flushes standard output once more as it ends: let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (click.Abort, KeyboardInterrupt):
        return 130
    except (KeepfitError, OSError) as error:
        if _debug():
            raise
        from keepfit.cli.screen import in_words

        click.echo(f"keepfit: {in_words(error)}", err=True)
        return 1


def _debug() -> bool:
    return "--debug" in sys.argv[1:] or bool(os.environ.get("KEEPFIT_DEBUG"))


@contextlib.contextmanager
def _short_warnings() -> Iterator[None]:
    """Warnings as one line each, once: on a command line nobody asks which line of Python gave them."""
    said: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        text = str(message).strip()
        if not issubclass(category, KeepfitWarning):
            text = f"{category.__name__}: {_in_short(text)}"
        if text not in said:
            said.add(text)
            click.echo(f"keepfit: {text}", err=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _in_short(text: str) -> str:
    """The first line of a warning; of one that carries tracebacks, the last error as well."""
    first, *rest = text.splitlines() or [""]
    return f"{first.removesuffix('Details: ').rstrip()} {rest[-1].strip()}" if "Traceback (" in text else first


def _epilog() -> str:
    lines = "\n".join(f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES.items())
    return f"\b\nExit codes:\n{lines}"


@click.group(cls=_Application, help=_HELP, epilog=_epilog(), context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="keepfit", prog_name="keepfit")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def root(debug: bool) -> None:
    """Options before the command; `_debug` reads them before click does, for errors on the way here."""
