"""Several processes at one search: each takes on some tasks, does them, and takes what others have done.

Tasks are taken in portions, a quarter of what is free at a time, so that a process that comes later finds some, and
none has much left when the others are through. What is left in the end is what others are at: it is waited for, and
taken on where they are gone.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from keepfit.errors import StoreError
from keepfit.store import LEASE_S, Leases

__all__ = ["Portions", "renewed"]

#: How much of what is free is taken at once.
_SHARE = 0.25

#: At least so much work is taken at once, by what the portions before have shown: taking costs some milliseconds.
_LEAST_S = 1.0

#: With several workers at least so many units for each, as they wait for each other at the end of a portion.
_UNITS_PER_WORKER = 4

#: How long to wait before looking again at what others do.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0

#: Gives the results that are kept of some tasks, and which of these are not readable.
_LookUp = Callable[[Sequence[int]], tuple[dict[int, Any], set[int]]]


@contextlib.contextmanager
def renewed(leases: Leases, search_id: int, lease_s: float = LEASE_S) -> Iterator[None]:
    """Renew the leases of a search from a thread of its own, as long as the block lasts."""
    over = threading.Event()

    def renew() -> None:
        while not over.wait(lease_s / 4):
            with contextlib.suppress(StoreError):  # tried again; and what is committed will tell
                leases.renew(search_id, lease_s)

    thread = threading.Thread(target=renew, name="keepfit-leases", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Portions:
    """What this process does next.

    Parameters
    ----------
    leases : Leases
    search_id : int
    names : sequence of bytes or None
        The identities of all tasks of the call. Those without one are nobody else's.
    look_up : callable
        Gives the results of tasks that have been kept, by number, and the numbers of those that cannot be read.
    worker_count : int
        How many units are worked on at once.
    """

    def __init__(
        self, leases: Leases, search_id: int, names: Sequence[bytes | None], look_up: _LookUp, worker_count: int
    ) -> None:
        self._leases = leases
        self._search_id = search_id
        self._names = names
        self._look_up = look_up
        self._worker_count = worker_count
        self._rate = 0.0  # units a second

    def of(
        self, units: Sequence[Sequence[int]], found: Callable[[dict[int, Any]], None], waits: Callable[[int], None]
    ) -> Iterator[list[int]]:
        """Numbers of tasks to do now, portion by portion, until all are done by somebody.

        Parameters
        ----------
        units : sequence of sequences of int
            Tasks that are done together.
        found : callable
            Gets the results that others have kept, by number.
        waits : callable
            Told of how many tasks that others are at, when there is nothing else to do.
        """
        own = [number for unit in units for number in unit if self._names[number] is None]
        pending = [unit for unit in ([n for n in unit if self._names[n] is not None] for unit in units) if unit]
        if own:
            yield own
        pause_s = _FIRST_PAUSE_S
        while pending:
            mine = self._take(pending)
            kept, unreadable = self._look_up(mine or [number for unit in pending for number in unit])
            if kept:
                found(kept)
            mine = [number for number in dict.fromkeys([*mine, *unreadable]) if number not in kept]
            done = {*mine, *kept}
            before = len(pending)
            pending = [unit for unit in ([n for n in unit if n not in done] for unit in pending) if unit]
            if mine:
                start_s = time.monotonic()
                yield mine
                self._rate = (before - len(pending)) / max(time.monotonic() - start_s, 1e-6)
            if done:
                pause_s = _FIRST_PAUSE_S
            else:
                waits(sum(map(len, pending)))
                time.sleep(pause_s)
                pause_s = min(1.5 * pause_s, _LONGEST_PAUSE_S)

    def _take(self, pending: Sequence[Sequence[int]]) -> list[int]:
        count = max(math.ceil(_SHARE * len(pending)), int(_LEAST_S * self._rate))
        if self._worker_count > 1:
            count = max(count, _UNITS_PER_WORKER * self._worker_count)
        numbers = {self._names[number]: number for unit in pending for number in unit}
        names = [[name for number in unit if (name := self._names[number]) is not None] for unit in pending]
        return [numbers[name] for name in self._leases.take(self._search_id, names, count)]
