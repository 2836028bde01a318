"""`TokenTable`: the rows about who may ask a server for what. What they mean is the server's business."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import func, select

from keepfit.errors import StoreError
from keepfit.store import schema
from keepfit.store.database import Database, insert_row
from keepfit.store.records import TokenInfo

__all__ = ["TokenTable"]

_token = schema.token


class TokenTable:
    """Tokens of a server, without their secrets.

    Got from `Store.tokens`. Safe for threads and processes; every method is one transaction.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, token: TokenInfo) -> None:
        """Keep a new token.

        Raises
        ------
        StoreError
            If there is one with its key.
        """
        with self._database.write() as connection:
            insert_row(connection, _token, asdict(token))

    def all(self) -> list[TokenInfo]:
        """All tokens, the oldest first; also those that were revoked or have expired."""
        columns = [_token.c[name] for name in TokenInfo.__dataclass_fields__]
        with self._database.read() as connection:
            return [TokenInfo(*row) for row in connection.execute(select(*columns).order_by(_token.c.id))]

    def count(self) -> int:
        """How many there are that were not revoked."""
        with self._database.read() as connection:
            wanted = select(func.count()).select_from(_token).where(_token.c.revoked_at.is_(None))
            return connection.execute(wanted).scalar_one()

    def revoke(self, key: str) -> None:
        """Let a token be refused from now on.

        Raises
        ------
        StoreError
            If there is none with this key, or it was revoked already.
        """
        revoked = _token.update().where(_token.c.key == key, _token.c.revoked_at.is_(None))
        with self._database.write() as connection:
            if not connection.execute(revoked.values(revoked_at=schema.now())).rowcount:
                raise StoreError(f"the store has no token {key!r} that is not revoked; keepfit token list shows all")
