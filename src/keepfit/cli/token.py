"""``keepfit token``: who may ask a server for what."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from keepfit.cli.screen import clean, say, table, when, write_json

if TYPE_CHECKING:
    from keepfit.store import TokenInfo

__all__ = ["command"]

_EPILOG = """\b
Examples:
  keepfit token create --role infer --label "web shop" state.db
  keepfit token create --role upload --tenant lab --expires-days 90 state.db
  keepfit token list state.db
  keepfit token revoke state.db 3f9c0d41aa20b7e5
"""

_ROLES = ("infer", "upload", "admin")


@click.group(epilog=_EPILOG, short_help="Who may ask a server for what.")
def command() -> None:
    """Make, list and revoke the tokens of a server, which `keepfit serve` looks up in STORE.

    Clients send one as the header `Authorization: Bearer TOKEN`.
    """


@command.command(short_help="Make a token and print it.")
@click.argument("store")
@click.option(
    "--role",
    type=click.Choice(_ROLES),
    required=True,
    help="infer: predictions; upload: also models of one's own; admin: also loading and unloading, all tenants.",
)
@click.option("--tenant", metavar="NAME", help="Whose uploads: needed for upload, possible for infer.")
@click.option("--label", default="", help="What it is for, for the list.")
@click.option("--expires-days", type=click.FloatRange(min=0, min_open=True), help="How long it is good; else for ever.")
def create(store: str, role: str, tenant: str | None, label: str, expires_days: float | None) -> None:
    """Make a token in STORE, which is made where there is none, and print it: this once and never again."""
    from keepfit.serve.tokens import Role, Tokens
    from keepfit.store import Store

    lifetime = None if expires_days is None else timedelta(days=expires_days)
    with Store(store) as opened:
        token = Tokens(opened).create(Role(role), tenant, label, lifetime=lifetime)
    click.echo(token)
    say("keep it now: the store has only a hash of it, so it cannot be shown again")


@command.command("list", short_help="The tokens of a store.")
@click.argument("store")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def list_all(store: str, as_json: bool) -> None:
    """Show the tokens in STORE, without their secrets."""
    from keepfit.cli.addresses import open_store

    with open_store(store) as opened:
        tokens = opened.tokens.all()
    if as_json:
        write_json([{"state": _state(one), **_as_dict(one)} for one in tokens])
    elif tokens:
        click.echo(table(_HEADERS, [_row(one) for one in tokens]))
    else:
        click.echo(f"{store} has no tokens yet; keepfit token create --help")


@command.command(short_help="Let a token be refused from now on.")
@click.argument("store")
@click.argument("key")
def revoke(store: str, key: str) -> None:
    """Revoke the token in STORE whose KEY `keepfit token list` shows. Servers that run notice within seconds."""
    from keepfit.cli.addresses import open_store

    with open_store(store) as opened:
        opened.tokens.revoke(key)
    say(f"{clean(key)} is revoked")


_HEADERS = ("key", "role", "tenant", "label", "state", "made", "expires")


def _row(one: TokenInfo) -> tuple[object, ...]:
    expires = "never" if one.expires_at is None else when(one.expires_at)
    return (one.key, one.role, one.tenant, one.label or None, _state(one), when(one.created_at), expires)


def _state(one: TokenInfo) -> str:
    from keepfit.serve.tokens import is_good

    if one.revoked_at is not None:
        return "revoked"
    return "good" if is_good(one) else "expired"


def _as_dict(one: TokenInfo) -> dict[str, object]:
    return {name: getattr(one, name) for name in type(one).__dataclass_fields__ if name != "digest"}
