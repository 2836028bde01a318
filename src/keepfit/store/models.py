"""`Store`: models by name and version."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping, MutableMapping
from functools import partial
from typing import IO, TYPE_CHECKING, Any, BinaryIO

import numpy as np

from keepfit.errors import StoreError
from keepfit.graph import Graph, from_json, to_json
from keepfit.store import arrays, catalogue
from keepfit.store.database import Database
from keepfit.store.records import ModelInfo, VersionInfo
from keepfit.store.tenants import Tenants
from keepfit.store.tokens import TokenTable
from keepfit.store.work import Work

if TYPE_CHECKING:
    from types import TracebackType

    from keepfit.codecs import Trusted

__all__ = ["Store"]


class Store(MutableMapping[str, Any]):
    """Models by name and version, and the finished work of searches.

    A mapping from names to models: ``store["rf"]`` is the newest version, ``store["rf"] = model`` adds one.

    Parameters
    ----------
    place : str or PathLike
        A path, which is an SQLite file, made where there is none; or a database URL of SQLite or PostgreSQL:
        ``"postgresql+psycopg://user@host/database"``. ``":memory:"`` lives as long as the object.
    create : bool, default=True
        Whether to make the store where there is none.

    Attributes
    ----------
    url : str
        The database URL, with its password: what opens the same store from anywhere on this machine.
    work : Work
        The finished work of searches.
    tenants : Tenants
        Models that were uploaded to a server.
    tokens : TokenTable
        Who may ask a server for what.

    Raises
    ------
    StoreError
        If the store cannot be opened: something else is there, its schema is of a later keepfit, the folder is missing,
        or may not be written and has no store, the driver is not installed; with ``create=False``, if there is none.
        Later, by any method: if the file was deleted, moved or replaced, as what is written then would be lost.

    Notes
    -----
    *Durability.* What a method has written is on the disk when it returns, and whole: a kill or a power cut at any
    moment loses only what was in flight.

    *Processes and threads.* Any number may use one store at once. A `Store` may be shared by threads, pickled (it is
    its URL, password included) and used after a fork. SQLite needs a local disk; for many machines take PostgreSQL.

    *Rights.* An SQLite file that is there and may not be written, or whose folder may not, is read; methods that write
    raise `StoreError`.

    *Space.* Each distinct array is kept once, however many models use it, and goes with the last of them.

    *Trust.* Loading goes the same way as loading a file: a store may be somebody else's.

    Examples
    --------
    >>> import keepfit
    >>> store = keepfit.Store(":memory:")
    >>> store["squares"] = [0, 1, 4]
    >>> store["squares"]
    [0, 1, 4]
    >>> store.save("squares", [0, 1, 4, 9], metadata={"by": "hand"}).version
    2
    >>> store.load("squares", version=1)
    [0, 1, 4]
    >>> store.close()
    """

    def __init__(self, place: str | os.PathLike[str], *, create: bool = True) -> None:
        self._database = Database(place, create=create)
        self.work = Work(self._database)
        self.tenants = Tenants(self._database)
        self.tokens = TokenTable(self._database)

    @property
    def url(self) -> str:
        return self._database.url.render_as_string(hide_password=False)

    def save(
        self,
        name: str,
        model: object,
        *,
        metadata: Mapping[str, Any] | None = None,
        sample: Any = None,
        allow: Collection[str] = (),
    ) -> ModelInfo:
        """Keep a model as the newest version of a name.

        Parameters
        ----------
        name : str
            1 to 255 characters, no control characters, no ``#`` and ``@``.
        model : object
            What `keepfit.dump` keeps.
        metadata, sample, allow
            As for `keepfit.dump`.

        Returns
        -------
        ModelInfo

        Raises
        ------
        UnsupportedError
            If the model or the metadata cannot be kept exactly.
        StoreError
            If the name will not do or the database cannot be written.

        Notes
        -----
        One transaction, while which other writers wait: about 5 s per GB of new arrays on SQLite.
        """
        from keepfit.persistence import graph_of, warn_of_scripts

        catalogue.check_name(name)
        graph, facts = graph_of(model, metadata=metadata, sample=sample, allow=allow)
        warn_of_scripts(graph)
        return self.save_graph(name, graph, facts)

    def load(
        self,
        name: str,
        *,
        version: int | str | None = None,
        trusted: Trusted = (),
        allow: Collection[str] = (),
    ) -> Any:
        """Build a model.

        Parameters
        ----------
        name : str
        version : int or str, default=None
            A number or an alias; the newest by default.
        trusted, allow
            As for `keepfit.load`.

        Returns
        -------
        object

        Raises
        ------
        ModelNotFoundError
            If there is no such name, version or alias. It is a `KeyError` too.
        StoreError
            If what is stored is damaged.
        UntrustedError, VersionError, InvalidStateError
            As for `keepfit.load`.
        """
        from keepfit.persistence import build

        graph, _ = self.graph(name, version=version)
        return build(graph, trusted=trusted, allow=allow)

    def save_graph(self, name: str, graph: Graph, facts: Mapping[str, str]) -> ModelInfo:
        """Keep what is a graph already, such as a file's, without building it. Otherwise as `save`.

        Parameters
        ----------
        name : str
        graph : Graph
        facts : mapping of str to str
            As `keepfit.facts.facts_of` gives them.

        Returns
        -------
        ModelInfo
            What is known of the new version.

        Raises
        ------
        StoreError
            If the name cannot be used, or the store cannot be written.
        """
        catalogue.check_name(name)
        document = np.frombuffer(to_json(graph), np.uint8)
        contents = [document, *map(np.asarray, graph.arrays)]
        digests = [arrays.digest_of(array) for array in contents]
        digest = hashlib.sha256(b"".join(digests)).hexdigest()
        with self._database.write(alone="models") as connection:
            ids = arrays.keep(connection, contents, digests)
            row = catalogue.describe(graph, facts, digest, sum(array.nbytes for array in contents))
            version = catalogue.add_version(connection, name, row, ids)
            return catalogue.info(connection, name, version)

    def graph(self, name: str, *, version: int | str | None = None) -> tuple[Graph, dict[str, str]]:
        """The graph and the facts of a model: what there is to look at, without building anything.

        Parameters
        ----------
        name : str
        version : int or str, default=None
            A number or an alias; the newest version without one.

        Returns
        -------
        graph : Graph
        facts : dict of str to str

        Raises
        ------
        ModelNotFoundError
            If there is no such name, version or alias.
        StoreError, FormatError
            If what is stored is damaged.
        """
        from keepfit import artifact

        with self._database.read() as connection:
            row = catalogue.find(connection, name, version)
            contents, digests = arrays.fetch(connection, row.id)
        if not contents or hashlib.sha256(b"".join(digests)).hexdigest() != row.digest:
            raise StoreError(f"version {row.version} of {name!r} is damaged: its arrays are not those it was kept with")
        if row.form == "file":
            return artifact.read(contents[0].data)
        graph = from_json(contents[0].tobytes())
        graph.arrays = list(contents[1:])
        if len(graph.arrays) != len(graph.names):
            raise StoreError(f"version {row.version} of {name!r} is damaged: it has too few or too many arrays")
        return graph, catalogue.facts(row)

    def info(self, name: str, version: int | str | None = None) -> ModelInfo:
        """What is known of a model, without loading it.

        Parameters
        ----------
        name : str
        version : int or str, default=None
            A number or an alias; the newest by default.

        Returns
        -------
        ModelInfo

        Raises
        ------
        ModelNotFoundError
            If there is no such name, version or alias.
        """
        with self._database.read() as connection:
            return catalogue.info(connection, name, version)

    def versions(self, name: str) -> list[ModelInfo]:
        """All versions of a model, the oldest first.

        Parameters
        ----------
        name : str

        Returns
        -------
        list of ModelInfo

        Raises
        ------
        ModelNotFoundError
            If there is no such name.
        """
        with self._database.read() as connection:
            return catalogue.versions(connection, name)

    def listing(self) -> list[VersionInfo]:
        """Of every name the newest version and those that aliases stand for, by name and version, in one query.

        Returns
        -------
        list of VersionInfo

        Notes
        -----
        What a server looks at every few seconds for what is new.
        """
        with self._database.read() as connection:
            return catalogue.listing(connection)

    def set_alias(self, name: str, alias: str, version: int | str | None) -> None:
        """Let an alias stand for a version, whatever it stood for before.

        Parameters
        ----------
        name : str
        alias : str
            Like a name, and not a number.
        version : int, str or None
            A number or another alias; None removes the alias.

        Raises
        ------
        ModelNotFoundError
            If there is no such name or version, or no such alias to remove.
        StoreError
            If the alias will not do.
        """
        with self._database.write(alone="models") as connection:
            catalogue.set_alias(connection, name, alias, version)

    def aliases(self, name: str) -> dict[str, int]:
        """The aliases of a model and the versions they stand for.

        Parameters
        ----------
        name : str

        Returns
        -------
        dict of str to int

        Raises
        ------
        ModelNotFoundError
            If there is no such name.
        """
        with self._database.read() as connection:
            return catalogue.aliases(connection, name)

    def delete(self, name: str, version: int | str | None = None) -> None:
        """Delete a version, or with no version the whole name.

        Parameters
        ----------
        name : str
        version : int or str, default=None
            A number or an alias.

        Arrays that no other version uses go with it, and the file shrinks by them.

        Raises
        ------
        ModelNotFoundError
            If there is no such name, version or alias.
        StoreError
            If an alias stands for that one version: point it elsewhere or remove it first.
        """
        with self._database.write(alone="models") as connection:
            arrays.drop_unused(connection, catalogue.delete(connection, name, version))
        self._database.give_back_space()

    def rename(self, old: str, new: str) -> None:
        """Give a model, with all its versions and aliases, another name.

        Parameters
        ----------
        old, new : str

        Raises
        ------
        ModelNotFoundError
            If there is no such name.
        StoreError
            If the new name is taken or will not do.
        """
        with self._database.write(alone="models") as connection:
            catalogue.rename(connection, old, new)

    def export(
        self,
        name: str,
        file: str | os.PathLike[str] | BinaryIO,
        *,
        version: int | str | None = None,
        compress: str | int | None = None,
    ) -> None:
        """Write a model to a file, byte for byte what `keepfit.dump` would have written.

        One that was uploaded to a server is written as it came, without being read.

        Parameters
        ----------
        name : str
        file : str, PathLike or binary file object
        version : int or str, default=None
            A number or an alias; the newest by default.
        compress : "zstd" or int, default=None
            As for `keepfit.dump`.

        Raises
        ------
        ModelNotFoundError
            If there is no such name, version or alias.
        StoreError
            If what is stored is damaged.
        UnsupportedError
            If there is no library to compress with.
        ValueError
            If `compress` is something else.
        OSError
            If the file cannot be written; one that was there stays whole.
        """
        from keepfit import artifact

        level = artifact.level_of(compress)
        info = self.info(name, version)
        if info.form == "file" and level is None:
            write_to = partial(self._copy, name, info.version)
        else:
            graph, facts = self.graph(name, version=info.version)
            write_to = partial(artifact.write, graph, facts, level=level)
        if isinstance(file, str | os.PathLike):
            artifact.save_by(write_to, file)
        else:
            write_to(file)

    def _copy(self, name: str, version: int, file: IO[bytes]) -> None:
        with self._database.read() as connection:
            for data in arrays.stream(connection, catalogue.find(connection, name, version).id):
                file.write(data)

    def close(self) -> None:
        """Close the connections. What was kept is kept without it."""
        self._database.close()

    def __getitem__(self, name: str) -> Any:
        return self.load(name)

    def __setitem__(self, name: str, model: object) -> None:
        self.save(name, model)

    def __delitem__(self, name: str) -> None:
        self.delete(name)

    def __iter__(self) -> Iterator[str]:
        with self._database.read() as connection:
            names = catalogue.names(connection)
        return iter(names)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        with self._database.read() as connection:
            return catalogue.has(connection, name)

    # A store is the place, not what is in it: comparing two would load all their models.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        if self._database.is_memory:
            raise StoreError("a store in memory cannot go to another process; give the store a file")
        return Store, (self.url,)

    def __copy__(self) -> Store:
        return self

    def __deepcopy__(self, memo: object) -> Store:
        return self

    def __repr__(self) -> str:
        return f"Store({str(self._database)!r})"
