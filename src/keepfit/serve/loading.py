"""`Loads`: which models are loaded next, so that nobody's slow one keeps the others waiting."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from keepfit.serve.sources import Found

__all__ = ["Loads"]

#: Of one tenant, or of the operator.
_AT_ONCE_MAX = 4
#: Of all tenants' models that nobody waits for: after a start there may be thousands.
_UNASKED_MAX = 4

_Place = tuple[str, str]  # name and version


@dataclass(slots=True, eq=False)
class _Load:
    found: Found
    done: asyncio.Future[None]
    is_awaited: bool = False


class Loads:
    """Loads that are going on, and those that are next.

    Versions of one model are loaded one after the other. Loads of different models do not wait for each other, but each
    tenant has so many at once and no more; so has the operator. What somebody waits for goes first.

    Parameters
    ----------
    load : callable
        Loads what was found, and tells of what goes wrong with it.

    Notes
    -----
    All methods are called from one event loop.
    """

    def __init__(self, load: Callable[[Found], Awaitable[None]]) -> None:
        self._load = load
        self._next: dict[str | None, dict[_Place, _Load]] = {}  # by tenant; what somebody waits for first
        self._running: dict[str, _Load] = {}  # by name
        self._counts: Counter[str | None] = Counter()  # of those, by tenant
        self._unasked = 0  # of those, of tenants' that nobody waited for when they began
        self._tasks: set[asyncio.Future[None]] = set()

    def begin(self, found: Found, *, is_awaited: bool = False) -> asyncio.Future[None]:
        """Have a version loaded as soon as it may be; one that is being loaded or waits for it is not loaded twice.

        Parameters
        ----------
        found : Found
        is_awaited : bool, default=False
            Whether somebody waits for it.

        Returns
        -------
        Future
            Done when it has been loaded, or could not be.
        """
        running = self._running.get(found.name)
        if running is not None and (running.found.version, running.found.tag) == (found.version, found.tag):
            return running.done
        lane = self._next.setdefault(found.tenant, {})
        load = lane.get((found.name, found.version))
        if load is None:
            load = _Load(found, asyncio.get_running_loop().create_future())
            lane[found.name, found.version] = load
        load.found = found  # what is there now
        if is_awaited:
            self._put_first(load)
        self._start(found.tenant)
        return load.done

    async def finish(self, name: str | None = None) -> None:
        """Wait until all that was begun, of one model or of all, has been loaded or could not be."""
        waiting = [load for lane in self._next.values() for load in lane.values() if name in (None, load.found.name)]
        running = [load for load in self._running.values() if name in (None, load.found.name)]
        for load in waiting:
            self._put_first(load)
        for tenant in {load.found.tenant for load in waiting}:
            self._start(tenant)
        for load in (*running, *waiting):
            await asyncio.shield(load.done)  # also when the one who waits goes away

    def _put_first(self, load: _Load) -> None:
        if not load.is_awaited:
            load.is_awaited = True
            place = (load.found.name, load.found.version)
            others = self._next[load.found.tenant]
            del others[place]
            self._next[load.found.tenant] = {place: load, **others}

    def _start(self, tenant: str | None) -> None:
        """Start what may start of a tenant's."""
        if self._counts[tenant] >= _AT_ONCE_MAX:
            return
        lane = self._next.get(tenant, {})
        for place, load in list(lane.items()):
            is_unasked = tenant is not None and not load.is_awaited
            if self._counts[tenant] >= _AT_ONCE_MAX or (is_unasked and self._unasked >= _UNASKED_MAX):
                return
            if load.found.name not in self._running:
                del lane[place]
                self._running[load.found.name] = load
                self._counts[tenant] += 1
                self._unasked += is_unasked
                task = asyncio.ensure_future(self._load(load.found))
                self._tasks.add(task)
                task.add_done_callback(partial(self._end, load, is_unasked))
        if not lane:
            self._next.pop(tenant, None)

    def _end(self, load: _Load, is_unasked: bool, task: asyncio.Future[None]) -> None:
        tenant = load.found.tenant
        self._tasks.discard(task)
        del self._running[load.found.name]
        self._counts[tenant] -= 1
        self._unasked -= is_unasked
        if task.cancelled():  # with all there is: the loop ends
            return
        load.done.set_result(None)
        if tenant in self._next:  # others have their turn before its next
            self._next[tenant] = self._next.pop(tenant)
        for each in list(self._next) if is_unasked else [tenant]:
            self._start(each)
