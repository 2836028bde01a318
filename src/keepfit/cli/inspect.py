"""``keepfit inspect``: what a file holds, without building any of it."""

from __future__ import annotations

import click

from keepfit.cli.screen import write_json

__all__ = ["command"]

_EPILOG = """\b
Examples:
  keepfit inspect model.safetensors
  keepfit inspect model.safetensors --json
  keepfit inspect state.db#rf
The exit code is 1 where `keepfit.load` would not build it as it is.
"""


@click.command(epilog=_EPILOG, short_help="What a model file holds; nothing is built.")
@click.argument("model", metavar="FILE|STORE#NAME[@VERSION]")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.pass_context
def command(context: click.Context, model: str, as_json: bool) -> None:
    """Show what a model file holds: types, arrays, versions, metadata, and what it would need to be trusted with.

    Nothing in it is run, and nothing is built.
    """
    from keepfit.cli.addresses import parse
    from keepfit.inspection import inspect

    report = inspect(parse(model).data())
    if as_json:
        write_json(report.to_dict())
    else:
        click.echo(str(report))
    context.exit(0 if report.loads_as_it_is else 1)
