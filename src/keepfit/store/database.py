"""The database behind a store: opening it, transactions, and errors in keepfit's words.

SQLite is used in WAL mode with ``synchronous=FULL``: a commit has reached the disk when it returns, so a power cut
loses no more than a kill does. (``NORMAL`` would save the one fsync of a commit, about 0.2 ms, and lose the last
commits in a power cut.) Writers begin with ``BEGIN IMMEDIATE``: they queue at the front, and no transaction that has
read is refused when it turns to writing.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import threading
import time
import weakref
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy
from sqlalchemy import URL, Connection, Engine, Table, event, exc
from sqlalchemy.pool import NullPool, StaticPool

from keepfit.errors import KeepfitError, StoreError
from keepfit.store import readonly, schema
from keepfit.store.files import StoreFile, check_file
from keepfit.store.upgrades import upgrade

__all__ = ["PORTION", "Database", "explain", "insert_of", "insert_row", "keepfit_version", "portions", "url_of"]

#: How many values one IN list takes: below the least bound on parameters among SQLite's releases (999 before 3.32).
PORTION = 500

#: How long a writer waits for another one. A model of some gigabytes is written in one transaction.
_WAIT_S = 120.0

_FOR_GOOD = (
    "page_size = 8192",  # against SQLite's 4096, large arrays take half the time and a small commit the same
    "auto_vacuum = INCREMENTAL",  # the file can shrink
    "journal_mode = WAL",  # readers and the writer do not wait for each other
)

#: Engines of a parent process. They are never collected: that would close its connections.
_inherited: list[Engine] = []

_T = TypeVar("_T")

_IN_MEMORY = (None, "", ":memory:")


def url_of(place: str | os.PathLike[str]) -> URL:
    """The database URL of a path or URL.

    Raises
    ------
    StoreError
        If it is neither, or names a database that is not SQLite or PostgreSQL.
    """
    text = os.fspath(place)
    if not isinstance(text, str) or not text:
        raise StoreError(f"a store is opened by a path or a database URL, not {place!r}")
    if text == ":memory:":
        return URL.create("sqlite")
    if not re.match(r"[A-Za-z][A-Za-z0-9+_]+:", text) or (os.name == "nt" and text[1:2] == ":"):
        return URL.create("sqlite", database=os.path.abspath(text))
    try:
        url = sqlalchemy.make_url(text)
    except exc.ArgumentError:
        raise StoreError(f"{text!r} is not a database URL; write ./{text} if it is a file") from None
    backend = url.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg") if "+" not in url.drivername else url
    if backend != "sqlite":
        raise StoreError(f"a store lives in SQLite or PostgreSQL, not in {backend}")
    path = _path_of(url)
    return url if path is None else url.set(database=os.path.abspath(path))


def _path_of(url: URL) -> Path | None:
    if url.get_backend_name() != "sqlite" or url.database in _IN_MEMORY:
        return None
    path = str(url.database)
    return None if path.startswith("file:") else Path(path)  # "file:" is a URI of SQLite's own


def portions(values: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """`values` cut to the length of an IN list."""
    for start in range(0, len(values), PORTION):
        yield values[start : start + PORTION]


def insert_row(connection: Connection, table: Table, values: Mapping[str, Any]) -> int:
    """Insert one row and give its id."""
    key = connection.execute(table.insert().values(values)).inserted_primary_key
    assert key is not None
    return int(key[0])


def insert_of(database: Database) -> Any:
    """The INSERT that knows ON CONFLICT: SQLAlchemy has one for each dialect, and importing one costs 40 ms."""
    if database.is_sqlite:
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert

        return sqlite_insert
    from sqlalchemy.dialects.postgresql import insert as postgresql_insert

    return postgresql_insert


class Database:
    """Connections to one store.

    Parameters
    ----------
    place : str or PathLike
        A path (SQLite) or a database URL.
    create : bool, default=True
        Whether to make the store where there is none.

    Raises
    ------
    StoreError
        If there is no store and none may be made, or what is there is something else.

    Notes
    -----
    A file that is there and may not be written is opened to be read; what writes is an error then.

    Safe for threads. A process that was forked makes connections of its own; the inherited ones belong to its parent
    and are neither used nor closed.
    """

    def __init__(self, place: str | os.PathLike[str], *, create: bool = True) -> None:
        self.url = url_of(place)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.is_memory = self.is_sqlite and self.url.database in _IN_MEMORY
        self.path = _path_of(self.url)
        self._closed = False
        self._file: StoreFile | None = None
        self._unwritable = ""
        if self.path is not None:
            check_file(self.path, create=create)
            self._unwritable = readonly.unwritable(self.path) if self.path.exists() else ""
        self._connect()
        try:
            with self._translated():
                _open_schema(self, create=create)
            if self.path is not None:
                self._file = StoreFile(self.path)
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return str(self.path) if self.path else self.url.render_as_string(hide_password=True)

    @property
    def is_readonly(self) -> bool:
        """Whether it is a file that may not be written."""
        return bool(self._unwritable)

    def close(self) -> None:
        """Close all connections. Nothing is lost without it: each commit is whole."""
        self._finalizer()
        self._closed = True

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that reads one state of the store, whatever others write meanwhile."""
        engine = self._engine_here()
        with self._translated(), self._turn(writes=False), engine.connect() as connection:
            if not self.is_sqlite:
                connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin(), _still(connection):
                yield connection

    @contextlib.contextmanager
    def write(self, *, alone: str | None = None) -> Iterator[Connection]:
        """A transaction that writes: all of it is kept, or nothing.

        Parameters
        ----------
        alone : str, default=None
            Writers that give the same word take turns. (On SQLite all do.)
        """
        self._check_writable()
        engine = self._engine_here()
        with self._translated(), self._turn(writes=True), engine.connect() as connection:
            connection.execution_options(keepfit_write=True)
            with connection.begin():
                if alone is not None and not self.is_sqlite:
                    turn = sqlalchemy.text("SELECT pg_advisory_xact_lock(:key)")
                    connection.execute(turn, {"key": zlib.crc32(f"keepfit {alone}".encode())})
                yield connection
        if self._file is not None:
            self._file.check()  # after the commit: else what is deleted meanwhile would be taken for kept

    def give_back_space(self) -> None:
        """Shrink the file by what has been deleted."""
        if self.path is None:
            return
        engine = self._engine_here()
        with self._turn(writes=True), engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            # (`executescript`, because `execute` would free one page only.)
            # Somebody else is writing: the space is used again by what is kept next, or given back another time.
            with contextlib.suppress(sqlite3.OperationalError):
                raw.executescript("PRAGMA incremental_vacuum")

    def _connect(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()
        try:
            self._engine = _engine_of(
                self.url, memory=self.is_memory, only_read=self.path if self._unwritable else None
            )
        except (ImportError, exc.NoSuchModuleError) as error:
            raise StoreError(f"{self!r} needs a driver: pip install 'psycopg[binary]' ({error})") from None
        self._finalizer = weakref.finalize(self, _dispose, self._engine, self._pid)

    def _engine_here(self) -> Engine:
        if self._closed:
            raise StoreError(f"the store {self!r} is closed")
        if self._file is not None:
            self._file.check()
        if self._pid != os.getpid():
            if self.is_memory:
                raise StoreError("a store in memory lives in the process that made it; give the store a file")
            _inherited.append(self._engine)
            self._connect()
        return self._engine

    def _check_writable(self) -> None:
        if self._unwritable:
            raise StoreError(
                f"{self!r} can be read, not written: there is no permission to write {self._unwritable}, and SQLite "
                "needs both; have the rights changed, or give another store"
            )

    def _turn(self, *, writes: bool) -> contextlib.AbstractContextManager[object]:
        """Threads would poll SQLite for each other, so they wait here; in memory they share a connection."""
        return self._lock if self.is_memory or (self.is_sqlite and writes) else contextlib.nullcontext()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (exc.SQLAlchemyError, sqlite3.Error) as error:
            raise StoreError(f"{self!r}: {explain(error)}") from error


def _dispose(engine: Engine, pid: int) -> None:
    if pid == os.getpid():
        engine.dispose()
    else:
        _inherited.append(engine)


@contextlib.contextmanager
def _still(connection: Connection) -> Iterator[None]:
    """Let nothing count, no error either, of what was read without locks while somebody wrote."""
    raw: object = connection.connection.driver_connection
    try:
        yield
    except (exc.SQLAlchemyError, sqlite3.Error, KeepfitError):
        readonly.check_still(raw)
        raise
    readonly.check_still(raw)


def _engine_of(url: URL, *, memory: bool, only_read: Path | None) -> Engine:
    if url.get_backend_name() != "sqlite":
        # Ping: a search may think for hours between two commits, and the server be restarted meanwhile.
        engine = sqlalchemy.create_engine(url, pool_pre_ping=True)
        if url.get_driver_name() == "psycopg":
            event.listen(engine, "connect", _prepare_psycopg)
        return engine
    options: dict[str, Any] = {"connect_args": {"timeout": _WAIT_S, "check_same_thread": False}}
    if memory:
        options["poolclass"] = StaticPool
    if only_read is not None:  # each transaction opens the file anew
        connect = partial(readonly.connect, only_read, **options.pop("connect_args"))
        options.update(creator=connect, poolclass=NullPool)
    engine = sqlalchemy.create_engine(url, **options)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_psycopg(connection: Any, record: object) -> None:
    import psycopg

    class BinaryCursor(psycopg.Cursor[Any]):
        """Takes answers as bytes instead of hexadecimal text: large arrays load in a third of the time."""

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.format = psycopg.pq.Format.BINARY

    connection.cursor_factory = BinaryCursor


def _prepare_sqlite(connection: Any, record: object) -> None:
    connection.isolation_level = None  # the driver begins no transactions by itself
    for setting in (
        "foreign_keys = ON",
        "synchronous = FULL",
        "journal_size_limit = 33554432",  # a large model leaves no journal of its size behind
    ):
        connection.execute(f"PRAGMA {setting}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("keepfit_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _open_schema(database: Database, *, create: bool) -> None:
    with database.read() as connection:
        tables = set(sqlalchemy.inspect(connection).get_table_names())
        found = _version_of(connection) if schema.schema.name in tables else None
    if found is None:
        if tables and database.is_sqlite:
            listed = ", ".join(sorted(tables)[:5])
            raise StoreError(
                f"{database!r} is an SQLite database of something else (tables {listed}); give another path"
            )
        if not create:
            raise StoreError(f"there is no store in {database!r}")
        found = _create_schema(database)
    if found > schema.SCHEMA_VERSION:
        raise StoreError(
            f"{database!r} was made by a later keepfit (schema {found}, this one knows {schema.SCHEMA_VERSION}); "
            "upgrade keepfit: pip install -U keepfit"
        )
    if found < schema.SCHEMA_VERSION:
        if database.is_readonly:
            raise StoreError(
                f"{database!r} was made by an earlier keepfit (schema {found}, this one is {schema.SCHEMA_VERSION}) "
                "and may not be written here; let somebody who may write it open it once: keepfit show STORE"
            )
        with database.write(alone="schema") as connection:
            upgrade(connection, _version_of(connection))  # another process may have been quicker: then nothing is left


def _version_of(connection: Connection) -> int:
    found = connection.execute(sqlalchemy.select(schema.schema.c.version)).scalars().all()
    if len(found) != 1 or not isinstance(found[0], int) or found[0] < 1:
        shown = ", ".join(repr(version)[:40] for version in found[:3]) or "none"
        raise StoreError(
            f"{connection.engine.url.render_as_string(hide_password=True)} is damaged or not a store: the version of "
            f"its schema should be one number, and is {shown}"
        )
    return found[0]


def _create_schema(database: Database) -> int:
    if database.path is not None:
        _shape_file(database)
    with database.write(alone="schema") as connection:
        if sqlalchemy.inspect(connection).has_table(schema.schema.name):  # another process was quicker
            return _version_of(connection)
        schema.metadata.create_all(connection, checkfirst=False)
        row = {"version": schema.SCHEMA_VERSION, "keepfit_version": keepfit_version(), "created_at": schema.now()}
        connection.execute(schema.schema.insert(), row)
    return schema.SCHEMA_VERSION


def _shape_file(database: Database) -> None:
    """Choose what an SQLite file is like for good, before its first table."""
    deadline = time.monotonic() + _WAIT_S
    while True:
        try:
            with database._engine_here().connect() as connection:
                raw: Any = connection.connection.driver_connection
                for setting in _FOR_GOOD:
                    raw.execute(f"PRAGMA {setting}").fetchall()
            return
        except sqlite3.OperationalError as error:
            # SQLite does not wait here by itself when another process opens the same new file.
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def keepfit_version() -> str:
    from keepfit.codecs.versions import running_version

    return running_version("keepfit") or "unknown"


def explain(error: Exception) -> str:
    """What a database error means and what to do."""
    cause = getattr(error, "orig", None) or error
    text = str(cause).strip()
    for sign, meaning in _SQLITE_ERRORS.items():
        if sign in text:
            return f"{meaning} ({text})"
    return f"{type(cause).__name__}: {text}"


_SQLITE_ERRORS = {
    "database is locked": f"another process has been writing for {_WAIT_S:.0f} s; try again when it is done",
    "malformed": "the file is damaged; what can be read of it, `sqlite3 FILE .recover` writes out",
    "not a database": "the file is damaged or not a store",
    "disk is full": "the disk is full; what was being written is not kept, everything before it is",
    "disk I/O error": "the disk cannot be read or written",
    "readonly database": "the file or its folder may not be written; SQLite needs both",
    "unable to open database file": "the file cannot be opened; its folder must exist, and what another "
    "process may have left beside it, in files ending in -wal and -shm, must be readable as well",
}
