"""``keepfit verify``: is it whole, does it load, does it still give what it gave."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keepfit.cli.screen import TRUSTED, clean, counted, in_words, write_json
from keepfit.errors import KeepfitError

if TYPE_CHECKING:
    from keepfit.cli.addresses import Address

__all__ = ["command"]

_EPILOG = """\b
Examples:
  keepfit verify model.safetensors
  keepfit verify state.db#rf
  keepfit verify state.db
  keepfit verify models/
The exit code is 1 where anything fails.
"""


_START_BYTES = 1 << 12


@dataclass
class _Finding:
    what: str
    ok: bool
    detail: str


@click.command(epilog=_EPILOG, short_help="Check models, files and stores.")
@click.argument("models", metavar="FILE|FOLDER|STORE[#NAME[@VERSION]]...", nargs=-1, required=True)
@click.option("--trusted", multiple=True, metavar="NAME", help=TRUSTED)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.pass_context
def command(context: click.Context, models: tuple[str, ...], trusted: tuple[str, ...], as_json: bool) -> None:
    """Check models: every byte against its checksum, the model by building it, its sample by replaying it.

    For a whole store, all versions of all models and the database itself are checked; in a folder, all keepfit files.
    """
    from keepfit.cli.addresses import check_trusted, parse

    check_trusted(trusted)
    findings = []
    for model in models:
        for finding in _check(parse(model), trusted):
            findings.append(finding)
            if not as_json:
                click.echo(f"{'ok  ' if finding.ok else 'FAIL'}  {clean(finding.what)}  {clean(finding.detail)}")
    if as_json:
        write_json([asdict(finding) for finding in findings])
    context.exit(0 if all(finding.ok for finding in findings) else 1)


def _check(address: Address, trusted: tuple[str, ...]) -> Iterator[_Finding]:
    from keepfit.cli.addresses import Address, check_database, is_store, open_store

    if address.name is None and os.path.isdir(address.place):
        files = _files_in(address.place)
        if not files:
            yield _Finding(address.place, False, "there is no keepfit file in this folder")
        for file in files:
            yield _check_model(Address(file), trusted)
        return
    if address.name is not None or not is_store(address.place):
        yield _check_model(address, trusted)
        return
    try:
        yield _Finding(address.place, True, check_database(address.place))
        with open_store(address.place) as store:
            every = [(name, one.version) for name in store for one in store.versions(name)]
    except KeepfitError as error:
        yield _Finding(address.place, False, in_words(error))
        return
    for name, version in every:
        yield _check_model(Address(address.place, name, version), trusted)


def _files_in(folder: str) -> list[str]:
    """The keepfit files in a folder and those in it: those named so, and others that begin as one does."""
    from keepfit.artifact import sniff

    found = []
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                is_ours = path.suffix == ".safetensors" or sniff(file.read(_START_BYTES)) == "a keepfit file"
            if is_ours:
                found.append(str(path))
    return found


def _check_model(address: Address, trusted: tuple[str, ...]) -> _Finding:
    from keepfit.persistence import verify

    try:
        result = verify(address.data(), trusted=trusted)
    except (KeepfitError, OSError) as error:
        return _Finding(str(address), False, in_words(error).removeprefix(f"{address}: "))
    changed = [method for method, same in result.methods.items() if not same]
    if changed:
        return _Finding(str(address), False, f"{', '.join(changed)} no longer gives what it gave for the sample")
    replayed = f", the sample replayed by {', '.join(result.methods)}" if result.methods else ""
    return _Finding(str(address), True, f"{counted(result.arrays, 'array')}{replayed}")
