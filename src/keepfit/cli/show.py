"""``keepfit show``: the models in a store, or all that is known of one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from keepfit.cli.screen import clean, number, size, table, when, write_json

if TYPE_CHECKING:
    from keepfit.store import ModelInfo

__all__ = ["command"]

_EPILOG = """\b
Examples:
  keepfit show state.db
  keepfit show state.db#rf
  keepfit show state.db#rf@2 --json
"""


@click.command(epilog=_EPILOG, short_help="The models in a store, or one of them.")
@click.argument("model", metavar="STORE[#NAME[@VERSION]]", default="state.db")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def command(model: str, as_json: bool) -> None:
    """Show the models in a store, or one of them: parameters, score, features, versions.

    VERSION is a number or an alias.
    """
    from keepfit.cli.addresses import no_models, open_store, parse

    address = parse(model)
    with open_store(address.place) as store:
        if address.name is None:
            newest = [store.info(name) for name in store]
            if as_json:
                write_json([_as_dict(one) for one in newest])
            elif newest:
                click.echo(table(_HEADERS, [_row(one) for one in newest]))
            else:
                click.echo(no_models(address.place, store))
            return
        info = store.info(address.name, address.version)
        versions = store.versions(address.name)
    if as_json:
        write_json({**_as_dict(info), "all_versions": [one.version for one in versions]})
    else:
        _show(info, versions)


_HEADERS = ("model", "version", "aliases", "type", "target", "scorer", "score", "size", "kept")


def _row(one: ModelInfo) -> tuple[object, ...]:
    score = number(_score(one))
    return (
        one.name,
        one.version,
        ",".join(one.aliases),
        _short(one),
        one.metadata.get("target"),
        one.metadata.get("scoring"),
        score,
        size(one.size_bytes),
        when(one.created_at),
    )


def _score(one: ModelInfo) -> float | None:
    score = one.metadata.get("score")
    return float(score) if isinstance(score, int | float) else None


def _short(one: ModelInfo) -> str:
    return one.type.rpartition(".")[2]


def _as_dict(one: ModelInfo) -> dict[str, Any]:
    fields = {name: getattr(one, name) for name in type(one).__dataclass_fields__}
    return {**fields, "facts": {name: _read(text) for name, text in one.facts.items()}, "versions": dict(one.versions)}


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _show(info: ModelInfo, versions: list[ModelInfo]) -> None:
    lines: list[tuple[str, object]] = [
        ("model", f"{info.name}, version {info.version}" + (f" ({', '.join(info.aliases)})" if info.aliases else "")),
        ("type", info.type),
        ("kept", when(info.created_at)),
        *([("uploaded by", info.tenant)] if info.tenant is not None else []),
        ("size", size(info.size_bytes)),
        ("digest", info.digest),
        ("versions", ", ".join(f"{name} {release}" for name, release in info.versions.items())),
    ]
    known = {name: value for name, value in info.metadata.items() if name != "identity" and value not in ("", [], {})}
    lines += [(name, _in_words(value)) for name, value in known.items()]
    lines += [(name, _in_words(_read(info.facts[name]))) for name in ("features", "classes") if name in info.facts]
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        click.echo(f"{clean(name):{width}}  {clean(value, 400)}")
    if len(versions) > 1:
        click.echo()
        click.echo(table(_HEADERS, [_row(one) for one in reversed(versions)]))


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={one}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)
