"""Reading an SQLite store without a right to write it.

Who opens a WAL database makes two files beside it: ``-wal`` for what is written and ``-shm`` for locks. Where both are
there, somebody is at the store or was, and it is read with these locks. Else nobody is, and who may not make the files
reads without locks: sound as long as nobody writes. So each transaction opens the store anew, and what it read counts
only if all files stood still meanwhile.

Without locks, a file alone is read with ``immutable=1``. Where work stands beside it in a ``-wal``, as in a copy of a
store that was in use, that would leave the work out. Then SQLite gets no locks from the system (``vfs=unix-none``) and,
as it is told that it is alone, keeps in memory what it would keep in the ``-shm``. It writes nothing either way.

References
----------
https://www.sqlite.org/wal.html#read_only_databases, https://www.sqlite.org/wal.html#use_of_wal_without_shared_memory,
https://www.sqlite.org/uri.html#uriimmutable, https://www.sqlite.org/vfs.html#standard_unix_vfses
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Any

from keepfit.errors import StoreError

__all__ = ["check_still", "connect", "unwritable"]

#: The files of a store, by what their names end in, and how each is.
_State = dict[str, tuple[int, int, int]]


class _Unlocked(sqlite3.Connection):
    """A connection without locks, and how the files were before it was opened."""

    path: Path
    before: _State


def unwritable(path: Path) -> str:
    """What of a store's file that is there may not be written, in words; empty where all of it may be."""
    path = path.resolve()  # beside what a link leads to, SQLite has its other files
    parts = {"the file": path, f"its folder {path.parent}": path.parent}
    effective = os.access in os.supports_effective_ids
    return " and ".join(name for name, part in parts.items() if not os.access(part, os.W_OK, effective_ids=effective))


def connect(path: Path, **options: Any) -> sqlite3.Connection:
    """A connection that only reads, with locks where a writer may be.

    Parameters
    ----------
    path : Path
    **options
        Of `sqlite3.connect`.

    Returns
    -------
    sqlite3.Connection
        To be given to `check_still` when all is read.
    """
    path = path.resolve()
    before = _state(path)
    has_wal = "-wal" in before
    may_be_in_use = has_wal and ("-shm" in before or os.name != "posix")
    if "" not in before or may_be_in_use or "-journal" in before:
        locked: sqlite3.Connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, **options)
        return locked
    place = f"{path.as_uri()}?mode=ro&{'vfs=unix-none' if has_wal else 'immutable=1'}"
    connection = sqlite3.connect(place, uri=True, factory=_Unlocked, **options)
    connection.path, connection.before = path, before
    if has_wal:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    return connection


def check_still(connection: object) -> None:
    """Make sure that what a connection has read was not being written.

    Parameters
    ----------
    connection : sqlite3.Connection
        Of `connect`; any other passes.

    Raises
    ------
    StoreError
        If the store was written since the connection was opened.
    """
    if isinstance(connection, _Unlocked) and _state(connection.path) != connection.before:
        raise StoreError(f"{connection.path} was written by another process while it was read; try again")


def _state(path: Path) -> _State:
    state = {}
    for ending in ("", "-wal", "-shm", "-journal"):
        with contextlib.suppress(OSError):
            found = os.stat(f"{path}{ending}")
            state[ending] = (found.st_ino, found.st_size, found.st_mtime_ns)
    return state
