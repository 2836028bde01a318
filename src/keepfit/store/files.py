"""The file of an SQLite store: whether one can be opened there, and whether it is still the same."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from keepfit.artifact.sniffing import SQLITE_MAGIC
from keepfit.errors import StoreError

__all__ = ["StoreFile", "check_file"]


_KINDS = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


class StoreFile:
    """The file at a path as it is now. SQLite goes on in it without a word when the path no longer leads there.

    Raises
    ------
    StoreError
        If it is gone already.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._number = self._number_now()

    def check(self) -> None:
        """Make sure that the path leads to the file still. Costs one `os.stat`, some microseconds.

        Raises
        ------
        StoreError
            If the file was deleted, moved or replaced: what was written to it since cannot be found again.
        """
        if self._number_now() != self._number:
            raise StoreError(f"{self._path} was replaced while it was in use; {_ADVICE}")

    def _number_now(self) -> tuple[int, int]:
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            raise StoreError(f"{self._path} was deleted or moved while it was in use; {_ADVICE}") from None
        except OSError as error:
            raise StoreError(f"{self._path} cannot be reached any more: {error.strerror}") from None
        return found.st_dev, found.st_ino


_ADVICE = "what is written now would be lost: put the file back, or open the store again to begin a new one"


def check_file(path: Path, *, create: bool) -> None:
    """Refuse a path where no SQLite store is or can be made.

    Raises
    ------
    StoreError
        If there is something else than a regular file that is empty or of SQLite, no folder, or no such path can be;
        without `create`, if there is nothing.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if not create:
            raise StoreError(f"there is no store at {path}") from None
        if not path.parent.is_dir():
            raise StoreError(f"the folder {path.parent} does not exist; make it first") from None
        return
    except OSError as error:
        raise StoreError(f"{_shown(path)} cannot be opened: {error.strerror}") from None
    except ValueError as error:  # a NUL, a lone surrogate
        raise StoreError(f"{_shown(path)} is no path: {error}") from None
    if stat.S_ISDIR(mode):
        raise StoreError(f"{path} is a folder; give the name of a file in it, such as {path / 'state.db'}")
    if not stat.S_ISREG(mode):
        raise StoreError(f"{path} is {_KINDS.get(stat.S_IFMT(mode), 'no regular file')}; a store is a regular file")
    try:
        with path.open("rb") as file:
            start = file.read(1 << 16)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from None
    if start and not start.startswith(SQLITE_MAGIC):
        from keepfit.artifact import sniff

        raise StoreError(f"{path} is not a store but {sniff(start)}; give another path")


def _shown(path: Path) -> str:
    text = repr(str(path))
    return text if len(text) <= 120 else f"{text[:117]}..."
