"""Reading an SQLite store without a right to write it.

SQLite's readers of a WAL database take part in locks, which are files beside it (``-wal``, ``-shm``). Who may not make
them reads the file with ``immutable=1`` instead, without locks: sound as long as nobody writes. So each transaction
opens the file anew, and what it read counts only if the file stood still meanwhile. Where a ``-wal`` is there, somebody
is at it or left work in it, and it is read with the locks that there are.

References
----------
https://www.sqlite.org/wal.html#read_only_databases, https://www.sqlite.org/uri.html#uriimmutable
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

from keepfit.errors import StoreError

__all__ = ["check_still", "connect", "unwritable"]

_State = tuple[int, int, int, bool]


class _Unlocked(sqlite3.Connection):
    """A connection without locks, and how the file was before it was opened."""

    path: Path
    before: _State | None


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
    if before is None or before[-1]:
        locked: sqlite3.Connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, **options)
        return locked
    place = f"{path.as_uri()}?mode=ro&immutable=1"
    connection = sqlite3.connect(place, uri=True, factory=_Unlocked, **options)
    connection.path, connection.before = path, before
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
        If the file was written since the connection was opened.
    """
    if isinstance(connection, _Unlocked) and _state(connection.path) != connection.before:
        raise StoreError(f"{connection.path} was written by another process while it was read; try again")


def _state(path: Path) -> _State | None:
    try:
        found = path.stat()
    except OSError:
        return None
    is_at_work = any(os.path.lexists(f"{path}{ending}") for ending in ("-wal", "-journal"))
    return found.st_ino, found.st_size, found.st_mtime_ns, is_at_work
