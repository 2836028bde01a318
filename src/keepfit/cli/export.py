"""``keepfit export``: from a store to a file."""

from __future__ import annotations

import os

import click

from keepfit.cli.screen import say, size

__all__ = ["command"]

_EPILOG = """\b
Examples:
  keepfit export state.db#rf rf.safetensors
  keepfit export state.db#rf@2 old.safetensors --compress
"""


@click.command(epilog=_EPILOG, short_help="Write a model from a store to a file.")
@click.argument("model", metavar="STORE#NAME[@VERSION]")
@click.argument("file")
@click.option("--compress", is_flag=True, help="Compress arrays that get smaller by it; readers need keepfit[zstd].")
def command(model: str, file: str, compress: bool) -> None:
    """Write a model from a store to FILE, where `keepfit.load` and any safetensors reader open it.

    A file that is there is replaced as a whole, or not at all.
    """
    from keepfit.cli.addresses import check_ending, open_store, parse

    address = parse(model)
    if address.name is None:
        raise click.BadParameter(f"{model!r} names no model; write it as {address.place}#NAME", param_hint="STORE#NAME")
    check_ending(file, hint="FILE")
    with open_store(address.place) as store:
        store.export(address.name, file, version=address.version, compress="zstd" if compress else None)
    say(f"{model} -> {file}" + (f" ({size(os.path.getsize(file))})" if os.path.exists(file) else ""))
