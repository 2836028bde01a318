"""Leases: which tasks a search has taken on, so that others at the same store do something else meanwhile.

A lease is for a task, by its identity, and belongs to a search. It ends with the search; when the process of the search
is seen to be gone, on the same host at once; or when nobody has renewed it for a while, which is what becomes of those
on another machine that was switched off. A lease is a matter of thrift: were one lost, two processes would do the same
and the first result be kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import sqlalchemy
from sqlalchemy import Connection, Insert, bindparam, delete, func, select, update

from keepfit.store import schema
from keepfit.store.database import Database, insert_of, portions
from keepfit.store.owner import is_gone

__all__ = ["LEASE_S", "Leases"]

#: How long a lease lasts that is not renewed. Longer than a process is held up by anything but its end.
LEASE_S = 120.0

#: A lease that has longer to go is of a clock that was set back since: else all would wait until that moment comes.
_LONGEST_S = 2 * LEASE_S

_lease, _search = schema.lease, schema.search

_renew = update(_lease).where(_lease.c.search_id == bindparam("search")).values(expires_at=bindparam("until"))
_release = delete(_lease).where(
    _lease.c.search_id == bindparam("search"), _lease.c.identity.in_(bindparam("identities", expanding=True))
)
_of_others = (
    select(_search.c.id, _search.c.owner, func.max(_lease.c.expires_at).label("until"))
    .join(_lease)
    .where(_search.c.id != bindparam("search"))
    .group_by(_search.c.id, _search.c.owner)
)


class Leases:
    """Got from ``Store.work.leases``. Safe for threads and processes; every method is one short transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        inserted = insert_of(database)(_lease)
        taken = {name: inserted.excluded[name] for name in ("search_id", "expires_at")}
        self._take: Insert = inserted.on_conflict_do_update(index_elements=["identity"], set_=taken)

    def take(
        self, search_id: int, units: Sequence[Sequence[bytes]], count: int, duration_s: float = LEASE_S
    ) -> list[bytes]:
        """Take leases on the first units of which nobody else has all.

        Parameters
        ----------
        search_id : int
            From `Work.begin`.
        units : sequence of sequences of bytes of length 32
            Identities of tasks; those of a unit are done together.
        count : int
            Of how many units.
        duration_s : float, default=LEASE_S
            At most twice that: longer ones do not count.

        Returns
        -------
        list of bytes
            The identities taken: of a unit that others have in part, the rest.

        Notes
        -----
        Another search may have ended since the caller asked for finished work, so ask again for these.
        """
        taken: list[bytes] = []
        with self._database.write(alone="leases") as connection:
            moment = _moment(connection)
            busy = _busy(connection, search_id, moment)
            for unit in units:
                free = [identity for identity in unit if identity not in busy]
                taken.extend(free)
                count -= bool(free)
                if count == 0:
                    break
            until = moment + timedelta(seconds=duration_s)
            if taken:
                rows = [{"identity": one, "search_id": search_id, "expires_at": until} for one in taken]
                connection.execute(self._take, rows)
        return taken

    def renew(self, search_id: int, duration_s: float = LEASE_S) -> None:
        """Let the leases of a search last on."""
        with self._database.write() as connection:
            until = _moment(connection) + timedelta(seconds=duration_s)
            connection.execute(_renew, {"search": search_id, "until": until})

    def release(self, search_id: int, identities: Sequence[bytes] | None = None) -> None:
        """Let others take these tasks, or all that a search has taken."""
        with self._database.write() as connection:
            if identities is None:
                connection.execute(delete(_lease).where(_lease.c.search_id == search_id))
                return
            for portion in portions(identities):
                connection.execute(_release, {"search": search_id, "identities": portion})


def _busy(connection: Connection, search_id: int, moment: datetime) -> set[bytes]:
    """What others have taken. Leases that have come to their end are removed."""
    others = connection.execute(_of_others, {"search": search_id}).all()
    longest = moment + timedelta(seconds=_LONGEST_S)
    ended = [row.id for row in others if not moment < row.until <= longest or is_gone(row.owner)]
    for portion in portions(ended):
        connection.execute(delete(_lease).where(_lease.c.search_id.in_(portion)))
    if len(ended) == len(others):
        return set()
    return set(connection.execute(select(_lease.c.identity).where(_lease.c.search_id != search_id)).scalars())


def _moment(connection: Connection) -> datetime:
    """This moment, by one clock for all: the server's, where there is one."""
    if connection.dialect.name == "sqlite":
        return schema.now()
    seconds = connection.execute(sqlalchemy.text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one()
    return datetime.fromtimestamp(float(seconds), UTC)
