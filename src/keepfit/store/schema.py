"""The tables of a store, the same in SQLite and PostgreSQL.

Names carry the prefix ``keepfit_``, so that a PostgreSQL database may hold other things too.

A change to what stands here raises `SCHEMA_VERSION` and brings the step that upgrades an older store, in upgrades.py. A
process of the release before that has the store open goes on: what is new has a default.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    event,
)

__all__ = [
    "SCHEMA_VERSION",
    "Moment",
    "alias",
    "array",
    "array_chunk",
    "lease",
    "metadata",
    "model",
    "model_array",
    "model_version",
    "now",
    "reuse",
    "schema",
    "search",
    "search_part",
    "task",
    "token",
]

SCHEMA_VERSION = 4


class Moment(TypeDecorator[datetime]):
    """A moment in UTC, as seconds since 1970: exact to the microsecond, and the same in every database."""

    impl = Double
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> float | None:
        return None if value is None else value.timestamp()

    def process_result_value(self, value: float | None, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromtimestamp(value, UTC)


def now() -> datetime:
    """This moment."""
    return datetime.now(UTC)


# SQLite numbers rows by itself only where the type is exactly INTEGER, which has 64 bits there.
_Id = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData()


def _id() -> Column[Any]:
    return Column("id", _Id, primary_key=True)


def _belongs_to(name: str, other: str, **options: Any) -> Column[Any]:
    return Column(name, _Id, ForeignKey(f"keepfit_{other}.id", ondelete="CASCADE"), nullable=False, **options)


#: One row: which release of the schema this is.
schema = Table(
    "keepfit_schema",
    metadata,
    Column("version", Integer, nullable=False),
    Column("keepfit_version", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
)

#: Names. `last_version` counts up and never down, so that a number is not used twice.
model = Table(
    "keepfit_model",
    metadata,
    _id(),
    Column("name", String(255), nullable=False, unique=True),
    Column("last_version", Integer, nullable=False),
    Column("tenant", String(64)),  # who uploaded it to a server; none for the owner's own
)

model_version = Table(
    "keepfit_model_version",
    metadata,
    _id(),
    _belongs_to("model_id", "model"),
    Column("version", Integer, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("type", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("versions", Text, nullable=False),  # JSON
    Column("facts", Text, nullable=False),  # JSON
    Column("form", String(8), nullable=False, server_default="graph"),  # or "file": its one array is a whole file
    UniqueConstraint("model_id", "version"),
)

alias = Table(
    "keepfit_alias",
    metadata,
    _belongs_to("model_id", "model", primary_key=True),
    Column("alias", String(255), primary_key=True),
    _belongs_to("version_id", "model_version", index=True),
)

#: Arrays by content address.
array = Table(
    "keepfit_array",
    metadata,
    _id(),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("dtype", String(8), nullable=False),
    Column("shape", Text, nullable=False),  # JSON
    Column("size_bytes", BigInteger, nullable=False),
)

#: Their bytes. SQLite and PostgreSQL hold at most 1 GB in one value, hence chunks.
array_chunk = Table(
    "keepfit_array_chunk",
    metadata,
    _belongs_to("array_id", "array", primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

#: The arrays of a version by place: 0 is its graph's JSON, the graph's own arrays follow; or 0 is its file.
model_array = Table(
    "keepfit_model_array",
    metadata,
    _belongs_to("version_id", "model_version", primary_key=True),
    Column("place", Integer, primary_key=True),
    # Without a cascade: an array that is in use cannot be deleted.
    Column("array_id", _Id, ForeignKey("keepfit_array.id"), nullable=False, index=True),
)

search = Table(
    "keepfit_search",
    metadata,
    _id(),
    Column("kind", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("task_count", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reused", BigInteger, nullable=False, default=0),
    Column("computed", BigInteger, nullable=False, default=0),
    Column("failed", BigInteger, nullable=False, default=0),
    Column("best_score", Double),
    Column("started_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("owner", Text, nullable=False),  # the process that runs it, see owner.py
    Column("fit_count", BigInteger),
    Column("scorers", Text),  # JSON: names, the first is of the one that scores are by
)

search_part = Table(
    "keepfit_search_part",
    metadata,
    _belongs_to("search_id", "search", primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("digest", Text, nullable=False),
)
Index("keepfit_search_part_digest", search_part.c.name, search_part.c.digest)

#: Finished work. The payload stands last: SQLite reads a row from its front and leaves the rest alone.
task = Table(
    "keepfit_task",
    metadata,
    _id(),
    Column("identity", LargeBinary(32), nullable=False, unique=True),
    _belongs_to("search_id", "search"),
    Column("split", Integer, nullable=False),
    Column("score", Double),
    Column("duration_s", Double, nullable=False),
    Column("finished_at", Moment, nullable=False),
    Column("candidate", Text, nullable=False),
    Column("failure", Text),
    Column("place", Integer),  # of the candidate in its search
    Column("payload", LargeBinary, nullable=False),
)
Index("keepfit_task_search", task.c.search_id, task.c.id)

#: Which finished tasks of other searches a search took. The score is by its own scorer; without a place, the task's.
reuse = Table(
    "keepfit_reuse",
    metadata,
    _belongs_to("search_id", "search", primary_key=True),
    _belongs_to("task_id", "task", primary_key=True, index=True),
    Column("place", Integer),
    Column("score", Double),
)

#: Which tasks a running search has taken on, see leases.py.
lease = Table(
    "keepfit_lease",
    metadata,
    Column("identity", LargeBinary(32), primary_key=True),
    _belongs_to("search_id", "search", index=True),
    Column("expires_at", Moment, nullable=False),
)

#: Who may ask a server for what. The secret itself is not kept.
token = Table(
    "keepfit_token",
    metadata,
    _id(),
    Column("key", String(32), nullable=False, unique=True),  # stands in the token, to look it up by
    Column("digest", LargeBinary(32), nullable=False),  # SHA-256 of its secret
    Column("role", String(16), nullable=False),
    Column("tenant", String(64)),
    Column("label", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("revoked_at", Moment),
)

# PostgreSQL would try to compress each value; arrays and payloads rarely shrink and are read often.
for _table, _column in ((array_chunk, "data"), (task, "payload")):
    _uncompressed = DDL(  # type: ignore[no-untyped-call]
        f"ALTER TABLE {_table.name} ALTER COLUMN {_column} SET STORAGE EXTERNAL"
    )
    event.listen(_table, "after_create", _uncompressed.execute_if(dialect="postgresql"))
