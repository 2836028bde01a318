"""Where a model is, as one word on the command line: ``model.safetensors``, ``state.db#rf``, ``state.db#rf@2``."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from click import BadParameter, UsageError

from keepfit.errors import FormatError, StoreError, UnsupportedError

if TYPE_CHECKING:
    from keepfit.store import Store

__all__ = [
    "Address",
    "check_database",
    "check_ending",
    "check_trusted",
    "is_store",
    "look_here_for",
    "no_models",
    "open_store",
    "parse",
]


@dataclass(frozen=True)
class Address:
    """A model in a file, or in a store.

    Parameters
    ----------
    place : str
        The file, or the store's path or database URL.
    name : str or None
        The name in the store; None for a file, or for the store itself.
    version : int, str or None
        A number or an alias; None for the newest.
    """

    place: str
    name: str | None = None
    version: int | str | None = None

    def __str__(self) -> str:
        version = "" if self.version is None else f"@{self.version}"
        return self.place if self.name is None else f"{self.place}#{self.name}{version}"

    def data(self) -> Any:
        """The bytes of the file, or those that exporting it from its store gives.

        Raises
        ------
        click.UsageError
            If it is a store and no model is named.
        StoreError
            If there is no such store or model, or it is damaged.
        OSError
            If there is no such file.
        """
        from keepfit import artifact

        if self.name is None:
            if is_store(self.place):
                with open_store(self.place) as store:
                    raise UsageError(f"{self.place} is a store; say which model: {_choices(self.place, store)}")
            return artifact.open_bytes(self.place)
        with open_store(self.place) as store:
            return artifact.to_bytes(*store.graph(self.name, version=self.version))

    def load(self, *, trusted: Collection[str] = ()) -> tuple[Any, dict[str, str], dict[str, Any]]:
        """The model, its facts, and among them the user's metadata.

        Raises what `keepfit.load` and `Store.load` raise, and `click.UsageError` as `data` does.
        """
        from keepfit import artifact
        from keepfit.facts import metadata_of
        from keepfit.persistence import build

        check_trusted(trusted)
        if self.name is not None:
            with open_store(self.place) as store:
                graph, facts = store.graph(self.name, version=self.version)
        else:
            try:
                graph, facts = artifact.read(self.data())
            except FormatError as error:
                raise FormatError(f"{self.place}: {error}") from error
        return build(graph, trusted=trusted), facts, metadata_of(facts)


def parse(text: str) -> Address:
    """The address that a word means."""
    place, mark, rest = text.rpartition("#")
    if not mark or not place:
        return Address(text)
    name, _, version = rest.partition("@")
    return Address(place, name or None, int(version) if version.isdigit() else version or None)


def look_here_for(trusted: Collection[str]) -> None:
    """Let names in ``--trusted`` be found in the current folder too, as Python finds them for a script there."""
    if trusted and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def check_trusted(trusted: Collection[str]) -> None:
    """Import the names in ``--trusted``, from the current folder too.

    Raises
    ------
    click.BadParameter
        If one leads to nothing: said once, whatever the number of models.
    """
    if not trusted:
        return
    from keepfit.codecs.custom import trusted_names

    look_here_for(trusted)
    for name in trusted:
        try:
            trusted_names([name])
        except UnsupportedError:
            raise BadParameter(
                f"{name!r} cannot be imported here; write it with its module, as in mine.Own, and run this where the "
                "module is installed or in its folder",
                param_hint="--trusted",
            ) from None


def check_ending(file: str, *, hint: str) -> None:
    """Refuse to write a keepfit file under the name of a pickle.

    Parameters
    ----------
    file : str
    hint : str
        What the help calls it.

    Raises
    ------
    click.BadParameter
    """
    if os.path.splitext(file)[1].lower() in (".pkl", ".pickle", ".joblib"):
        raise BadParameter(
            f"{file!r}: a keepfit file is no pickle, and joblib cannot read it; name it .safetensors", param_hint=hint
        )


def is_store(place: str) -> bool:
    """Whether there is an SQLite file at a path, or the word is a database URL."""
    if place.startswith(("sqlite:", "postgresql:", "postgresql+", "postgres:")):
        return True
    from keepfit.artifact.sniffing import SQLITE_MAGIC

    try:
        with open(place, "rb") as file:
            return file.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC
    except OSError:
        return False


def open_store(place: str) -> Store:
    """A store that is there already."""
    from keepfit.store import Store

    return Store(place, create=False)


def _choices(place: str, store: Store) -> str:
    names = list(store)
    return ", ".join(f"{place}#{name}" for name in names[:10]) if names else no_models(place, store)


def no_models(place: str, store: Store) -> str:
    """What to say of a store without models."""
    work = f", but the work of searches: keepfit leaderboard {place}" if store.work.searches() else ""
    return f"{place} has no models yet{work}"


def check_database(place: str) -> str:
    """Let the database check itself.

    Returns
    -------
    str
        What was checked, in words.

    Raises
    ------
    StoreError
        If it is damaged, or cannot be read.
    """
    import contextlib
    import sqlite3
    from pathlib import Path

    from keepfit.store import readonly
    from keepfit.store.database import explain
    from keepfit.store.files import check_file

    if "://" in place:
        from sqlalchemy import make_url

        url = make_url(place)
        if url.get_backend_name() != "sqlite":
            return "a server looks after its own files"
        place = url.database or ""
    if not Path(place).is_file():
        raise StoreError(f"there is no store at {place}")
    path = Path(place).absolute()
    check_file(path, create=False)
    try:
        with contextlib.closing(
            readonly.connect(path)
            if readonly.unwritable(path)
            else sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        ) as connection:
            found = [row[0] for row in connection.execute("PRAGMA integrity_check(5)")]
            loose = connection.execute("PRAGMA foreign_key_check").fetchone()
            readonly.check_still(connection)
    except sqlite3.OperationalError as error:  # of rights, locks and disks, not of what is in the file
        raise StoreError(f"{place} cannot be checked: {explain(error)}") from None
    except sqlite3.Error as error:
        raise StoreError(f"{place} is damaged: {error}") from None
    if found != ["ok"] or loose is not None:
        raise StoreError(f"{place} is damaged: {'; '.join(found) if found != ['ok'] else 'rows that belong nowhere'}")
    return "the database is whole"
