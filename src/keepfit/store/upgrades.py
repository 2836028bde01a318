"""From an older schema to this one, step by step: each release that changed it is one function."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import BigInteger, Column, Connection, cast, select
from sqlalchemy.schema import CreateColumn

from keepfit.store import schema

__all__ = ["upgrade"]


def upgrade(connection: Connection, found: int) -> None:
    """Bring the tables from the schema `found` to this one, in the caller's transaction.

    Notes
    -----
    Models and tasks stay as they are: a step adds tables and columns, so it takes as long for a large store as for a
    small one.
    """
    for version in range(found, schema.SCHEMA_VERSION):
        _STEPS[version](connection)
    connection.execute(schema.schema.update().values(version=schema.SCHEMA_VERSION))


def _uploads_and_tokens(connection: Connection) -> None:
    _add_column(connection, schema.model.c.tenant)
    _add_column(connection, schema.model_version.c.form)
    schema.token.create(connection)


def _leases_and_fits(connection: Connection) -> None:
    schema.lease.create(connection)
    _add_column(connection, schema.search.c.fit_count)
    part = schema.search_part.c
    count = select(cast(part.digest, BigInteger)).where(part.search_id == schema.search.c.id, part.name == "fits")
    connection.execute(schema.search.update().values(fit_count=count.scalar_subquery()))
    connection.execute(schema.search_part.delete().where(part.name == "fits"))


def _scorers_and_places(connection: Connection) -> None:
    for column in (schema.search.c.scorers, schema.task.c.place, schema.reuse.c.place, schema.reuse.c.score):
        _add_column(connection, column)


def _add_column(connection: Connection, column: Column[object]) -> None:
    described = CreateColumn(column).compile(dialect=connection.dialect)
    connection.exec_driver_sql(f"ALTER TABLE {column.table.name} ADD COLUMN {described}")


#: The step that leads on from each schema.
_STEPS: dict[int, Callable[[Connection], None]] = {1: _uploads_and_tokens, 2: _leases_and_fits, 3: _scorers_and_places}
