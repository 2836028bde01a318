"""Calls that wait: in turn over models, oldest first within one, joined where they are alike."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from keepfit.serve.joining import kind_of, rows_of
from keepfit.serve.messages import Answer, Call

__all__ = ["Queue", "Reply", "Request", "size_of"]

_BATCH_BYTES_MAX = 1 << 22


class Reply(Protocol):
    """Where an answer goes. A future of asyncio is one."""

    def done(self) -> bool:
        """Whether nobody waits for it any more."""

    def set_result(self, result: Answer, /) -> None:
        """Take the answer."""

    def set_exception(self, exception: Exception, /) -> None:
        """Take the error that there is instead."""


@dataclass(slots=True, eq=False)
class Request:
    """A call on its way to an answer.

    Parameters
    ----------
    key : str
        Of the model.
    call : Call
    answer : Reply
    since_s : float
        When it came, by the clock of the event loop.
    kind : hashable, default=None
        What it can be joined by; None for what goes alone.
    """

    key: str
    call: Call
    answer: Reply
    since_s: float
    kind: Hashable = None

    @property
    def is_wanted(self) -> bool:
        """Whether somebody still waits for the answer."""
        return not self.answer.done()


@dataclass
class Queue:
    """Requests that wait for a worker.

    Parameters
    ----------
    max_batch_rows : int
        Rows that are joined at most; 0 joins nothing.
    """

    max_batch_rows: int
    _lanes: dict[str, deque[Request]] = field(default_factory=dict)  # by model; the first is next
    _count: int = 0
    size_bytes: int = 0  # of the inputs of all of them

    def __len__(self) -> int:
        return self._count

    def put(self, request: Request, *, is_rowwise: bool) -> None:
        """Have a request wait."""
        if is_rowwise and self.max_batch_rows:
            request.kind = kind_of(request.call)
        self._lanes.setdefault(request.key, deque()).append(request)
        self._count += 1
        self.size_bytes += size_of(request.call)

    def put_back(self, request: Request) -> None:
        """Have a request be the next of its model, alone."""
        request.kind = None
        self._lanes.setdefault(request.key, deque()).appendleft(request)
        self._count += 1
        self.size_bytes += size_of(request.call)

    def take(self) -> list[Request]:
        """The next requests, to be answered together. Empty when none wait.

        Cost is linear in the requests that wait for the model.
        """
        if not self._lanes:
            return []
        key, lane = next(iter(self._lanes.items()))
        del self._lanes[key]  # and to the end of the row, if more wait
        found = list(self._gather(lane))
        self._take_off(found)
        if lane:
            self._lanes[key] = lane
        return found

    def drop(self, is_dropped: Callable[[Request], bool]) -> list[Request]:
        """Take out all requests of which something holds."""
        found: list[Request] = []
        lanes, self._lanes = self._lanes, {}
        for key, lane in lanes.items():
            kept = deque(request for request in lane if not is_dropped(request))
            if len(kept) < len(lane):
                found += filter(is_dropped, lane)
            if kept:
                self._lanes[key] = kept
        self._take_off(found)
        return found

    def _take_off(self, requests: list[Request]) -> None:
        self._count -= len(requests)
        self.size_bytes -= sum(size_of(request.call) for request in requests)

    def _gather(self, lane: deque[Request]) -> Iterator[Request]:
        """The first of a lane, and those that can be joined to it, taken out of the lane."""
        first = lane.popleft()
        yield first
        if first.kind is None or not first.is_wanted:
            return
        rows, size = rows_of(first.call), size_of(first.call)
        passed: list[Request] = []
        while lane and rows < self.max_batch_rows:
            request = lane.popleft()
            more_rows, more = rows_of(request.call), size_of(request.call)
            is_small = rows + more_rows <= self.max_batch_rows and size + more <= _BATCH_BYTES_MAX
            if request.kind == first.kind and is_small:
                rows, size = rows + more_rows, size + more
                yield request
            else:
                passed.append(request)
        lane.extendleft(reversed(passed))


def size_of(call: Call) -> int:
    """How many bytes the inputs of a call have."""
    return sum(len(tensor.data) for tensor in call.inputs)
