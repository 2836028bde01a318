"""`Work`: what searches have finished, by identity, and how each search went."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    Insert,
    Row,
    Select,
    bindparam,
    case,
    delete,
    func,
    literal,
    null,
    select,
    tuple_,
    union_all,
    update,
)

from keepfit.errors import StoreError
from keepfit.store import schema
from keepfit.store.candidates import ranked
from keepfit.store.database import Database, insert_of, insert_row, portions
from keepfit.store.leases import Leases
from keepfit.store.owner import is_gone, this_process
from keepfit.store.records import CandidateInfo, FinishedTask, ReusedTask, SearchInfo, SearchRecord, TaskInfo

__all__ = ["PAYLOAD_BYTES", "Work"]

#: The longest payload; SQLite and PostgreSQL stop at 1 GB, and a statement needs room beside it.
PAYLOAD_BYTES = 512 << 20

_IDENTITY_BYTES = 32
_PAGE_ROWS = 1000
_END_STATES = ("finished", "stopped", "failed")

_task, _search, _part, _reuse = schema.task, schema.search, schema.search_part, schema.reuse

_find = select(_task.c.identity, _task.c.payload).where(_task.c.identity.in_(bindparam("identities", expanding=True)))
_ids_of_others = select(_task.c.identity, _task.c.id).where(
    _task.c.identity.in_(bindparam("identities", expanding=True)), _task.c.search_id != bindparam("for_search")
)
_add = (
    update(_search)
    .where(_search.c.id == bindparam("search"))
    .values(
        computed=_search.c.computed + bindparam("more"),
        failed=_search.c.failed + bindparam("more_failed"),
        best_score=case(
            (_search.c.best_score >= bindparam("best"), _search.c.best_score),
            else_=func.coalesce(bindparam("best", type_=_search.c.best_score.type), _search.c.best_score),
        ),
        updated_at=bindparam("moment"),
    )
)
#: The score of a task that a search took, by the scorer of that search.
_taken_score = case((_reuse.c.place.is_(null()), _task.c.score), else_=_reuse.c.score)
_of_done = (_task.c.candidate, _task.c.split, _task.c.duration_s, _task.c.failure)
#: What a search has done itself, and what it took.
_done = union_all(
    select(*_of_done, _task.c.place, _task.c.score).where(_task.c.search_id == bindparam("search")),
    select(*_of_done, _reuse.c.place, _taken_score).join(_reuse).where(_reuse.c.search_id == bindparam("search")),
).subquery()
_succeeded = case((_done.c.failure.is_(null()), _done.c.score))
_figures = select(func.max(_succeeded).label("best_score"), func.count(_done.c.failure).label("failed"))


class Work:
    """Finished work of searches.

    Got from `Store.work`. Safe for threads and processes; every method is one transaction unless it says otherwise.

    Attributes
    ----------
    leases : Leases
        Which tasks running searches have taken on.

    Notes
    -----
    A commit is on the disk when `commit` returns. Of two results for one identity the first is kept: they are equal by
    the meaning of an identity.
    """

    def __init__(self, database: Database) -> None:
        self.leases = Leases(database)
        self._database = database
        insert = insert_of(database)
        self._insert_task: Insert = insert(_task).on_conflict_do_nothing(index_elements=["identity"])
        self._insert_reuse: Insert = insert(_reuse).on_conflict_do_nothing()

    def begin(self, record: SearchRecord) -> int:
        """Note that a search begins.

        Returns
        -------
        int
            Its id.
        """
        moment = schema.now()
        row = {
            "kind": _clean(record.kind),
            "label": _clean(record.label),
            "task_count": record.task_count,
            "state": "running",
            "started_at": moment,
            "updated_at": moment,
            "owner": this_process(),
            "fit_count": record.fit_count,
            "scorers": json.dumps([_clean(name) for name in record.scorers]) if record.scorers else None,
        }
        with self._database.write() as connection:
            search_id = insert_row(connection, _search, row)
            parts = [
                {"search_id": search_id, "name": _clean(name), "digest": _clean(digest)}
                for name, digest in record.parts.items()
            ]
            if parts:
                connection.execute(_part.insert(), parts)
        return search_id

    def find(self, identities: Sequence[bytes]) -> dict[bytes, bytes]:
        """The payloads of those identities whose work is done.

        Parameters
        ----------
        identities : sequence of bytes of length 32

        Returns
        -------
        dict of bytes to bytes
            In no particular order.
        """
        found: dict[bytes, bytes] = {}
        with self._database.read() as connection:
            for portion in portions(identities):
                rows = connection.execute(_find, {"identities": portion}).all()
                found.update((row[0], row[1]) for row in rows)
        return found

    def commit(self, tasks: Sequence[FinishedTask]) -> None:
        """Keep finished tasks, all or none. What is there already stays as it is.

        Parameters
        ----------
        tasks : sequence of FinishedTask
            May be of several searches.

        Raises
        ------
        StoreError
            If an identity is not 32 bytes long, a payload is over `PAYLOAD_BYTES`, a search is unknown, or the
            database cannot be written. Nothing has been kept then.

        Notes
        -----
        One transaction, which costs more than a task in it: commit in groups.
        """
        by_search: dict[int, list[FinishedTask]] = {}
        for task in tasks:
            _check(task)
            by_search.setdefault(task.search_id, []).append(task)
        with self._database.write() as connection:
            for search_id in sorted(by_search):
                self._commit(connection, search_id, by_search[search_id])

    def reuse(self, search_id: int, tasks: Sequence[ReusedTask]) -> None:
        """Note that a search took finished work, so that its tasks and figures include it.

        Parameters
        ----------
        search_id : int
            From `begin`.
        tasks : sequence of ReusedTask
            Of the identities that `find` found.
        """
        with self._database.write() as connection:
            self._link(connection, search_id, tasks)

    def end(self, search_id: int, state: str, reused: int, computed: int, failed: int) -> None:
        """Note how a search ended.

        Parameters
        ----------
        search_id : int
            From `begin`.
        state : {"finished", "stopped", "failed"}
        reused, computed, failed : int
            Tasks taken from the store, computed, and those of both that failed.

        Raises
        ------
        StoreError
            If there is no such state or search.
        """
        if state not in _END_STATES:
            raise StoreError(f"a search ends as one of {', '.join(_END_STATES)}, not {state!r}")
        moment = schema.now()
        counts = {"reused": reused, "computed": computed, "failed": failed}
        ended = update(_search).where(_search.c.id == search_id)
        with self._database.write() as connection:
            row = connection.execute(ended.values(state=state, ended_at=moment, updated_at=moment, **counts))
            if row.rowcount != 1:
                raise StoreError(f"the store has no search {search_id}")
            connection.execute(delete(schema.lease).where(schema.lease.c.search_id == search_id))

    def similar(self, parts: Mapping[str, str]) -> dict[str, str] | None:
        """The parts of the most alike earlier search that has computed something.

        Parameters
        ----------
        parts : mapping of str to str
            Name of each part and its digest.

        Returns
        -------
        dict of str to str or None
            Of those with most parts equal the newest; None where none has any.
        """
        if not parts:
            return None
        equal = tuple_(_part.c.name, _part.c.digest).in_([(_clean(name), digest) for name, digest in parts.items()])
        alike = (
            select(_part.c.search_id)
            .join(_search)
            .where(equal, _search.c.computed > 0)
            .group_by(_part.c.search_id)
            .order_by(func.count().desc(), _part.c.search_id.desc())
            .limit(1)
        )
        with self._database.read() as connection:
            search_id = connection.execute(alike).scalar()
            if search_id is None:
                return None
            rows = connection.execute(select(_part.c.name, _part.c.digest).where(_part.c.search_id == search_id))
            return {row.name: row.digest for row in rows}

    def searches(self) -> list[SearchInfo]:
        """All searches, the newest first. Cost does not depend on their tasks."""
        with self._database.read() as connection:
            rows = connection.execute(select(_search).order_by(_search.c.id.desc())).all()
            parts: dict[int, dict[str, str]] = {}
            for part in connection.execute(select(_part)):
                parts.setdefault(part.search_id, {})[part.name] = part.digest
        return [_search_info(row, parts.get(row.id, {})) for row in rows]

    def tasks(self, search_id: int) -> Iterator[TaskInfo]:
        """The finished tasks of a search: those it took from others, then its own, as they came.

        Read in pages, each a transaction of its own, so that a slow reader holds nothing up.
        """
        yield from self._pages(search_id, failures=False)

    def failures(self, search_id: int) -> list[TaskInfo]:
        """The tasks of a search that failed."""
        return list(self._pages(search_id, failures=True))

    def candidates(self, search_id: int, *, limit: int | None = None) -> list[CandidateInfo]:
        """The candidates of a search by mean score, the best first, and equal ones in the order of the search.

        Parameters
        ----------
        search_id : int
        limit : int, default=None
            How many; all by default.

        Notes
        -----
        Takes a few microseconds for each finished task of the search.
        """
        with self._database.read() as connection:
            rows = connection.execute(select(_done), {"search": search_id}).all()
        return ranked(search_id, rows)[:limit]

    def _commit(self, connection: Connection, search_id: int, tasks: Sequence[FinishedTask]) -> None:
        moment = schema.now()
        # In one order everywhere: two PostgreSQL writers with tasks in common wait for each other, never both.
        rows = [_row_of(task, moment) for task in sorted(tasks, key=_identity)]
        result = connection.execution_options(preserve_rowcount=True).execute(self._insert_task, rows)
        if result.rowcount < len(rows):
            # Some were there: committed before, or by another search at the same time.
            self._link(connection, search_id, tasks)
            self._count_again(connection, search_id)
            return
        scores = [row["score"] for row in rows if row["score"] is not None and row["failure"] is None]
        more = {
            "search": search_id,
            "more": len(rows),
            "more_failed": sum(row["failure"] is not None for row in rows),
            "best": max(scores, default=None),
            "moment": moment,
        }
        connection.execute(_add, more)

    def _link(self, connection: Connection, search_id: int, tasks: Sequence[ReusedTask | FinishedTask]) -> None:
        shown = {task.identity: (task.place, _number_of(task.score)) for task in tasks}
        for portion in portions(list(shown)):
            found = connection.execute(_ids_of_others, {"for_search": search_id, "identities": portion}).all()
            rows = [
                {"search_id": search_id, "task_id": task_id, "place": place, "score": score}
                for identity, task_id in found
                for place, score in (shown[identity],)
            ]
            if rows:
                connection.execute(self._insert_reuse, rows)
        count = select(func.count()).where(_reuse.c.search_id == _search.c.id).scalar_subquery()
        figures = connection.execute(_figures, {"search": search_id}).one()
        noted = update(_search).where(_search.c.id == search_id)
        connection.execute(noted.values(reused=count, updated_at=schema.now(), **figures._mapping))

    def _count_again(self, connection: Connection, search_id: int) -> None:
        computed = select(func.count()).where(_task.c.search_id == _search.c.id).scalar_subquery()
        counted = update(_search).where(_search.c.id == search_id)
        connection.execute(counted.values(computed=computed))

    def _pages(self, search_id: int, *, failures: bool) -> Iterator[TaskInfo]:
        columns = [column for column in _task.c if column.key not in ("payload", "identity", "score")]
        taken = select(*columns, literal(True).label("reused"), _taken_score.label("score"))
        taken = taken.join(_reuse).where(_reuse.c.search_id == search_id)
        own = select(*columns, literal(False).label("reused"), _task.c.score).where(_task.c.search_id == search_id)
        for wanted in (taken, own):
            if failures:
                wanted = wanted.where(_task.c.failure.is_not(null()))
            for row in self._paged(wanted):
                yield TaskInfo(
                    search_id,
                    row.candidate,
                    row.split,
                    row.score,
                    row.duration_s,
                    row.failure,
                    row.finished_at,
                    bool(row.reused),
                )

    def _paged(self, wanted: Select[Any]) -> Iterator[Row[Any]]:
        last = 0
        while True:
            page = wanted.where(_task.c.id > last).order_by(_task.c.id).limit(_PAGE_ROWS)
            with self._database.read() as connection:
                rows = connection.execute(page).all()
            yield from rows
            if len(rows) < _PAGE_ROWS:
                return
            last = rows[-1].id


def _identity(task: FinishedTask) -> bytes:
    return task.identity


def _check(task: FinishedTask) -> None:
    if len(task.identity) != _IDENTITY_BYTES:
        raise StoreError(f"an identity has {_IDENTITY_BYTES} bytes, this one {len(task.identity)}")
    if len(task.payload) > PAYLOAD_BYTES:
        raise StoreError(
            f"the result of {task.candidate[:200]} is {len(task.payload):,} bytes long; at most {PAYLOAD_BYTES:,} can "
            "be kept as finished work. Without return_estimator=True results are small"
        )


def _row_of(task: FinishedTask, moment: Any) -> dict[str, Any]:
    return {
        "identity": task.identity,
        "search_id": task.search_id,
        "candidate": _clean(task.candidate),
        "split": task.split,
        "score": _number_of(task.score),
        "place": task.place,
        "duration_s": task.duration_s,
        "payload": task.payload,
        "failure": None if task.failure is None else _clean(task.failure),
        "finished_at": moment,
    }


def _number_of(score: float | None) -> float | None:
    return None if score is None or math.isnan(score) else float(score)


def _clean(text: str) -> str:
    """Text as databases take it: no lone surrogates, and none of the NUL that PostgreSQL refuses."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _search_info(row: Row[Any], parts: Mapping[str, str]) -> SearchInfo:
    state = "interrupted" if row.state == "running" and is_gone(row.owner) else row.state
    return SearchInfo(
        row.id,
        row.kind,
        row.label,
        parts,
        row.task_count,
        state,
        row.reused,
        row.computed,
        row.failed,
        row.best_score,
        row.started_at,
        row.updated_at,
        row.ended_at,
        row.fit_count,
        tuple(json.loads(row.scorers)) if row.scorers else (),
    )
