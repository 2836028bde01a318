"""`Repository`: which models a server has, which version of each is in service, and how a new one takes over.

A new version is loaded in all workers while the one before answers; then one assignment switches, and the old one goes
when the requests that have it are answered. So a request never meets a model that is half there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, Literal

from keepfit.errors import KeepfitError
from keepfit.serve.errors import RequestError, UnavailableError
from keepfit.serve.loading import Loads
from keepfit.serve.sources import Found, Source, open_source

if TYPE_CHECKING:
    from keepfit.serve.pool import Pool
    from keepfit.serve.signature import Signature  # type: ignore[import-not-found, import-untyped, unused-ignore]
    from keepfit.store import Store

__all__ = ["ModelEntry", "Repository", "spool"]

#: Versions that one tenant asked for by number, that are not the newest and have no alias, and such of all tenants. Of
#: who has most of them, the one not used for longest goes.
_DEMANDED_MAX, _DEMANDED_BY_ALL_MAX = 16, 256
#: A model that killed its worker is not tried again sooner: it might kill the next.
_RETRY_S = 60.0
_REASON_CHARS = 500
#: Names in one line of the log.
_TOLD_MAX = 10
_UNLOADED = "it was unloaded"
_NOT_HELD = "it was uploaded, and this machine does not hold such models well enough; see --allow-weak-isolation"

_log = logging.getLogger("keepfit.serve")


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A version of a model as the server has it.

    Parameters
    ----------
    name, version : str
    key : str
        What the pool knows it by; empty if it is not loaded.
    state : {"READY", "LOADING", "UNAVAILABLE"}
    reason : str
        Why it is not ready; of one that is, why a newer file of this version is not.
    signature : Signature or None
        None if it is not loaded.
    tenant : str or None
        Who uploaded it; None for the operator's own.
    aliases : tuple of str
    created_at : datetime
        In UTC.
    digest : str
        As in `keepfit.store.ModelInfo`; of a file its SHA-256.
    """

    name: str
    version: str
    key: str
    state: Literal["READY", "LOADING", "UNAVAILABLE"]
    reason: str
    signature: Signature | None
    tenant: str | None
    aliases: tuple[str, ...]
    created_at: datetime
    digest: str


_Place = tuple[str, str]  # name and version


class Repository:
    """The models of a server.

    Parameters
    ----------
    place : str or Store
        A store, a folder of files, or one file.
    pool : Pool
    trusted : tuple of str, default=()
        Dotted names that the operator's models may use, as for `keepfit.load`. For uploaded models it is not used.
    spool_folder : str, default=None
        Where files are written for the workers to map; the system's temporary folder without. They have no name there
        as soon as they are open, so nothing is left behind, however the server ends.

    Attributes
    ----------
    serves_tenants : bool, default=True
        Whether models of tenants are loaded. To be set before `start`.

    Raises
    ------
    ServeError
        If there is nothing at the place.

    Notes
    -----
    All methods are called from one event loop. Waiting for disks and databases is done in threads.
    """

    def __init__(
        self, place: str | Store, pool: Pool, *, trusted: tuple[str, ...] = (), spool_folder: str | None = None
    ) -> None:
        self.serves_tenants = True
        self._source: Source = open_source(place)
        self._pool = pool
        self._trusted = trusted
        self._spool_folder = spool_folder
        self._entries: dict[_Place, ModelEntry] = {}
        self._tags: dict[_Place, str] = {}  # of what was loaded, or failed to, last
        self._retry_at: dict[_Place, float] = {}  # for failures that may have been of the moment
        self._current: dict[str, str] = {}  # the version in service, by name
        self._aliases: dict[str, dict[str, str]] = {}
        self._listed: dict[str, list[Found]] = {}  # by name, as it was last looked
        self._demanded: dict[str | None, dict[_Place, None]] = {}  # by the tenant who asked, in the order of last use
        self._skipped: set[str] = set()  # names that were told not to fit
        self._stopped: set[str] = set()  # names that were unloaded on request
        self._loads = Loads(self._load_now)
        self._going: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self._number = 0

    @property
    def skipped(self) -> list[str]:
        """Names of models that are there and not served, as no URL could hold them."""
        return list(self._source.skipped)

    async def start(self) -> None:
        """Load the operator's models. Those of tenants are loaded from the next `look` on, or when they are asked for.

        A model that does not load is no error: its entry says why.

        Raises
        ------
        StoreError, OSError
            If the place cannot be read.
        """
        await self.look(tenants=False)
        await self._loads.finish()

    async def look(self, *, tenants: bool = True) -> None:
        """Look once for what is new and what is gone. What is new is being loaded from here on; it is not waited for.

        Raises
        ------
        StoreError, OSError
            If the place cannot be read. What is in service stays.
        """
        async with self._turn:
            listed = await asyncio.to_thread(self._source.listing)
            self._tell_skipped()
            gone = await self._gone(listed)
            # Nothing is waited for from here on: a request meets what was there, or what is.
            self._listed = {}
            for found in listed:
                self._listed.setdefault(found.name, []).append(found)
            self._drop_gone(gone)
            for found in listed:
                self._note(found)
            for name, versions in self._listed.items():
                aliases = {alias for found in versions for alias in found.aliases}
                self._aliases[name] = {
                    alias: version for alias, version in self._aliases.get(name, {}).items() if alias in aliases
                }
                self._switch(name)
            self._drop_old()
            for found in listed:
                if (tenants or found.tenant is None) and self._is_due(found):
                    self._loads.begin(found)

    def _tell_skipped(self) -> None:
        """Say once of each name that it is not served."""
        skipped = set(self._source.skipped)
        if new := sorted(skipped - self._skipped):
            _log.warning(
                "not served, as no URL can hold the names", extra={"count": len(new), "models": new[:_TOLD_MAX]}
            )
        self._skipped = skipped

    async def refresh(self, name: str | None = None) -> None:
        """Look once, and wait until what is new has been loaded, or cannot be.

        Parameters
        ----------
        name : str, default=None
            Only the model of this name is waited for; all without.

        Raises
        ------
        StoreError, OSError
            As for `look`.
        """
        await self.look()
        await self._loads.finish(name)

    def find(self, name: str, version: str | None = None, *, asker: str | None = None) -> ModelEntry:
        """The entry of a version that is listed: the one in service, one that has an alias, one that was asked for.

        Parameters
        ----------
        name : str
        version : str, default=None
            A number or an alias; the one in service without.
        asker : str, default=None
            The tenant who asks.

        Raises
        ------
        RequestError
            With status 404, if there is none. `ready` may know it all the same.

        Notes
        -----
        Microseconds. An entry is good until the caller waits for anything: then it may have been replaced. So find the
        entry last, and hand its key to `Pool.infer` at once; what the pool has taken is answered.
        """
        wanted = self._current.get(name) if version is None else self._aliases.get(name, {}).get(version, version)
        entry = self._entries.get((name, wanted)) if wanted is not None else None
        if entry is None:
            what = f"no model {name!r}" if name not in self._current else f"no version {version!r} of {name!r}"
            raise RequestError(f"there is {what}", status=404)
        if version is not None:
            self._note_demand((name, entry.version), asker)
        return entry

    async def ready(self, name: str, version: str | None = None, *, asker: str | None = None) -> ModelEntry:
        """The entry of a version that can answer now; it is loaded if it is not yet.

        Parameters
        ----------
        name, version, asker
            As for `find`; also any version that the store or the folder has.

        Raises
        ------
        RequestError
            With status 404, if there is none.
        UnavailableError
            If it does not load, or was unloaded; the message says why.
        """
        with contextlib.suppress(RequestError):
            entry = self.find(name, version, asker=asker)
            if entry.state == "READY":
                return entry
        await self._demand(name, version, asker)
        entry = self.find(name, version, asker=asker)
        if entry.state != "READY":
            raise UnavailableError(f"{name!r}, version {entry.version}, cannot answer: {entry.reason}")
        return entry

    def entries(self) -> list[ModelEntry]:
        """All that are listed, by name and version."""
        return sorted(self._entries.values(), key=lambda one: (one.name, one.version.zfill(9)))

    async def versions(self, name: str) -> list[str]:
        """All versions of a name that are there, the oldest first; also those that are not loaded."""
        return await asyncio.to_thread(self._source.versions, name)

    async def load(self, name: str) -> None:
        """Bring a model into service that was unloaded or did not load.

        Raises
        ------
        RequestError
            With status 404, if there is none; else if it does not load.
        """
        self._stopped.discard(name)
        for place, entry in self._entries.items():
            if place[0] == name and entry.state != "READY":
                self._tags.pop(place, None)  # another try
        await self.refresh(name)
        entry = self.find(name)
        if entry.state != "READY":
            raise RequestError(f"{name!r} does not load: {entry.reason}")

    async def unload(self, name: str) -> None:
        """Take a model out of service, with all its versions, until `load`.

        Raises
        ------
        RequestError
            With status 404, if there is none.
        """
        async with self._turn:
            self.find(name)
            self._stopped.add(name)
            for place, entry in list(self._entries.items()):
                if place[0] == name:
                    self._entries[place] = replace(entry, key="", state="UNAVAILABLE", reason=_UNLOADED, signature=None)
                    self._tags.pop(place, None)
                    self._drop_demand(place)
                    self._let_go(entry)

    async def _demand(self, name: str, version: str | None, asker: str | None) -> None:
        wanted = self._current.get(name) if version is None else self._aliases.get(name, {}).get(version, version)
        if name not in self._current or wanted is None:
            return
        found = await asyncio.to_thread(self._source.find, name, wanted)
        if found is None or found.name != name or not self._may_load(found):
            return
        if version is not None and found.version != version:  # an alias that is new
            self._aliases.setdefault(name, {})[version] = found.version
        place = (name, found.version)
        if place not in self._entries:
            self._note(found)
        self._note_demand(place, asker)
        if self._is_due(found):
            await asyncio.shield(self._loads.begin(found, is_awaited=True))  # also when the one who asks goes away

    def _note_demand(self, place: _Place, asker: str | None) -> None:
        """Keep a version because somebody asks for it, and no more such versions than may be."""
        if self._is_in_service(place):
            return
        demanded = self._demanded.setdefault(asker, {})
        demanded.pop(place, None)
        demanded[place] = None  # the last
        if len(demanded) > _DEMANDED_MAX:
            self._drop_oldest(asker)
        if sum(map(len, self._demanded.values())) > _DEMANDED_BY_ALL_MAX:
            self._drop_oldest(max(self._demanded, key=lambda one: len(self._demanded[one])))

    def _drop_oldest(self, asker: str | None) -> None:
        place = next(iter(self._demanded[asker]))
        del self._demanded[asker][place]
        if not self._is_wanted(place):
            self._forget(place)

    def _note(self, found: Found) -> None:
        """See that there is an entry, and that what it says besides is so."""
        place = (found.name, found.version)
        self._current.setdefault(found.name, found.version)
        entry = self._entries.get(place)
        if entry is None:
            stopped = not self._may_load(found)
            self._entries[place] = ModelEntry(
                found.name,
                found.version,
                key="",
                state="UNAVAILABLE" if stopped else "LOADING",
                reason=self._why_not(found) if stopped else "it is being loaded",
                signature=None,
                tenant=found.tenant,
                aliases=found.aliases,
                created_at=found.created_at,
                digest=found.digest,
            )
        elif entry.aliases != found.aliases:
            self._entries[place] = replace(entry, aliases=found.aliases)

    def _may_load(self, found: Found) -> bool:
        return not self._why_not(found)

    def _why_not(self, found: Found) -> str:
        if found.name in self._stopped:
            return _UNLOADED
        return "" if found.tenant is None or self.serves_tenants else _NOT_HELD

    def _is_due(self, found: Found) -> bool:
        """Whether a version is to be loaded: not, if that was done or tried, or may not be."""
        place = (found.name, found.version)
        is_time = asyncio.get_running_loop().time() >= self._retry_at.get(place, math.inf)
        return self._may_load(found) and (self._tags.get(place) != found.tag or is_time)

    async def _load_now(self, found: Found) -> None:
        place = (found.name, found.version)
        if place not in self._entries or not self._is_due(found):  # it was taken away while others were loaded
            return
        self._number += 1
        key = f"{found.name} {found.version} {self._number}"
        try:
            digest, fd = await asyncio.to_thread(spool, partial(self._source.write, found), self._spool_folder)
            trusted = self._trusted if found.tenant is None else ()
            signature = await self._pool.load(key, fd, tenant=found.tenant, trusted=trusted)
        except (KeepfitError, OSError) as error:
            self._failed(place, found, error)
            return
        entry = ModelEntry(
            found.name,
            found.version,
            key,
            "READY",
            "",
            signature,
            found.tenant,
            found.aliases,
            found.created_at,
            digest,
        )
        if not self._note_tried(place, found):
            self._let_go(entry)
            return
        self._let_go(self._entries[place])
        self._entries[place] = entry
        _say("model loaded", found)
        self._switch(found.name)

    def _failed(self, place: _Place, found: Found, error: KeepfitError | OSError) -> None:
        reason = str(error)[:_REASON_CHARS]
        _say("model does not load", found, level=logging.WARNING, reason=reason)
        if not self._note_tried(place, found):
            return
        entry = self._entries[place]
        if entry.state == "READY":
            self._entries[place] = replace(entry, reason=f"what is there now does not load: {reason}")
        else:
            self._entries[place] = replace(entry, state="UNAVAILABLE", reason=reason)
        if isinstance(error, UnavailableError):
            self._retry_at[place] = asyncio.get_running_loop().time() + _RETRY_S

    def _note_tried(self, place: _Place, found: Found) -> bool:
        """Whether what was loaded, or failed to, is wanted still; it is not tried again then."""
        if place not in self._entries or found.name in self._stopped:  # it was taken away meanwhile
            return False
        self._tags[place] = found.tag
        self._retry_at.pop(place, None)
        return True

    def _switch(self, name: str) -> None:
        """Let the newest version take over if it is ready, and let aliases stand for what they now stand for."""
        before, known = self._current[name], self._aliases.get(name, {})
        aliases = dict(known)
        for found in self._listed.get(name, ()):
            if found.is_newest and not self._is_better(before, found):
                self._current[name] = found.version
            for alias in found.aliases:
                version = known.get(alias, found.version)
                aliases[alias] = version if self._is_better(version, found) else found.version
        places = {(name, version) for version in (before, *known.values())}
        self._aliases[name] = aliases
        for place in places:
            if not self._is_wanted(place):
                self._forget(place)

    def _is_better(self, version: str, found: Found) -> bool:
        """Whether a version is to answer still, as it is ready and the one that comes after is not."""
        before, after = self._entries.get((found.name, version)), self._entries.get((found.name, found.version))
        return before is not None and before.state == "READY" and (after is None or after.state != "READY")

    def _is_wanted(self, place: _Place) -> bool:
        return self._is_in_service(place) or any(place in demanded for demanded in self._demanded.values())

    def _is_in_service(self, place: _Place) -> bool:
        """Whether a version is there without being asked for: the newest, one of an alias, one that was either."""
        name, version = place
        return (
            self._current.get(name) == version
            or version in self._aliases.get(name, {}).values()
            or any(found.version == version for found in self._listed.get(name, ()))
        )

    def _drop_old(self) -> None:
        for place in {place for demanded in self._demanded.values() for place in demanded}:
            if self._is_in_service(place):
                self._drop_demand(place)
        for place in list(self._entries):
            if not self._is_wanted(place):
                self._forget(place)

    async def _gone(self, listed: list[Found]) -> list[_Place]:
        """Which entries are of names that are no longer there, or of versions that were deleted."""
        names = {found.name for found in listed}
        places = {(found.name, found.version) for found in listed}
        return [
            place
            for place in self._entries.keys() - places
            if place[0] not in names or await asyncio.to_thread(self._source.find, *place) is None
        ]

    def _drop_gone(self, gone: list[_Place]) -> None:
        for name in self._current.keys() - self._listed.keys():
            del self._current[name]
            self._aliases.pop(name, None)
            self._stopped.discard(name)
        for place in gone:
            self._forget(place)
            if self._current.get(place[0]) == place[1]:
                del self._current[place[0]]

    def _forget(self, place: _Place) -> None:
        entry = self._entries.pop(place, None)
        self._tags.pop(place, None)
        self._retry_at.pop(place, None)
        self._drop_demand(place)
        if entry is not None:
            self._let_go(entry)

    def _drop_demand(self, place: _Place) -> None:
        for demanded in self._demanded.values():
            demanded.pop(place, None)

    def _let_go(self, entry: ModelEntry) -> None:
        """Unload what is no longer found, when the requests in it are answered."""
        if not entry.key:
            return

        async def unload() -> None:
            with contextlib.suppress(KeepfitError):
                await self._pool.unload(entry.key)
            _say("model unloaded", entry)

        task = asyncio.create_task(unload())
        self._going.add(task)
        task.add_done_callback(self._going.discard)


def _say(what: str, which: Found | ModelEntry, *, level: int = logging.INFO, **more: str) -> None:
    _log.log(level, what, extra={"model": which.name, "version": which.version, **more})


def spool(write: Callable[[BinaryIO], str], folder: str | None = None) -> tuple[str, int]:
    """A file without a name: nobody else can open it, and it is gone when nobody has it open.

    Parameters
    ----------
    write : callable
        Writes what is to be in it, and gives what is to be given back.
    folder : str, default=None
        On whose disk.

    Returns
    -------
    given : str
    fd : int
        Open for reading only.
    """
    descriptor, path = tempfile.mkstemp(prefix="keepfit-", dir=folder)
    try:
        with open(descriptor, "wb") as file:
            given = write(file)
        return given, os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.unlink(path)
