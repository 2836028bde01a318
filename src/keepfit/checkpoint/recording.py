"""Keeping results while others are computed: one thread writes them to the store in groups."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from keepfit.checkpoint.warned import Warned
from keepfit.store import FinishedTask, Work

__all__ = ["Recorder"]

_Arrival = tuple[int, Any, list[Warned]]

#: The least and the most time between two commits. A kill loses what came in since the last one.
_PERIOD_S, _LONGEST_PERIOD_S = 0.05, 0.5

#: The share of the time that commits may take. A commit waits for the disk, and holds up what Python computes.
_SHARE = 0.01


class Recorder:
    """A thread that commits results as they arrive, at most `_LONGEST_PERIOD_S` after they came. A context manager.

    Parameters
    ----------
    work : Work
    describe : callable
        Makes the record of a task from its number, result and warnings; None for one that is not to be kept.
    committed : callable
        Told of the records that are on the disk now and of how many results came that are not to be kept.

    Raises
    ------
    StoreError
        By `add` and at the end, if the store could not be written.
    """

    def __init__(
        self,
        work: Work,
        describe: Callable[[int, Any, list[Warned]], FinishedTask | None],
        committed: Callable[[Sequence[FinishedTask], int], None],
    ) -> None:
        self._work = work
        self._describe = describe
        self._committed = committed
        self._arrived: list[_Arrival] = []
        self._change = threading.Condition()
        self._closing = False
        self._waiting = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._write, name="keepfit-recorder", daemon=True)

    def add(self, number: int, result: Any, warned: list[Warned]) -> None:
        """Take a result, from any thread."""
        if self._error is not None:
            raise self._error
        with self._change:
            self._arrived.append((number, result, warned))
            if self._waiting:
                self._change.notify()

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._change:
            self._closing = True
            self._change.notify()
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def _write(self) -> None:
        try:
            while self._commit(self._next()):
                pass
        except BaseException as error:  # raised in the thread that computes
            self._error = error

    def _next(self) -> list[_Arrival]:
        """Wait for results; none means that all are written."""
        with self._change:
            while not self._arrived and not self._closing:
                self._waiting = True
                self._change.wait()
                self._waiting = False
            arrived, self._arrived = self._arrived, []
        return arrived

    def _commit(self, arrived: list[_Arrival]) -> bool:
        if not arrived:
            return False
        records = [record for arrival in arrived if (record := self._describe(*arrival)) is not None]
        start_s = time.monotonic()
        if records:
            self._work.commit(records)
        self._committed(records, len(arrived) - len(records))
        cost_s = time.monotonic() - start_s
        period_s = min(max(cost_s / _SHARE, _PERIOD_S), _LONGEST_PERIOD_S)
        with self._change:
            self._change.wait_for(lambda: self._closing, timeout=max(0.0, period_s - cost_s))
        return True
