"""SIGTERM inside the block: stop at once and let what is finished be kept, as with Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

__all__ = ["terminable"]

#: Python runs a handler between two steps of its own, so not while a fit is deep in compiled code. This long it may be.
_GRACE_S = 3.0

_STATUS = 128 + signal.SIGTERM


@contextlib.contextmanager
def terminable(last_words: Callable[[], None]) -> Iterator[None]:
    """Turn SIGTERM into `SystemExit` with the exit status 143 that a shell shows for it.

    If compiled code holds the process up, it ends without the exception. Only in the main thread, where alone Python
    runs handlers, and only if nobody else handles the signal.

    Parameters
    ----------
    last_words : callable
        Called before the process ends without an exception.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    watch = _Watch(last_words)
    signal.signal(signal.SIGTERM, watch.handle)
    try:
        with watch:
            yield
    finally:
        if signal.getsignal(signal.SIGTERM) == watch.handle:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _Watch:
    """The handler, and a thread that hears of the signal at once and sees whether the handler gets to run."""

    def __init__(self, last_words: Callable[[], None]) -> None:
        self._last_words = last_words
        self._handled = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="keepfit-sigterm", daemon=True)
        self._ours = self._signals = -1

    def handle(self, number: int, frame: FrameType | None) -> None:
        self._handled.set()
        raise SystemExit(_STATUS)

    def __enter__(self) -> None:
        self._ours, self._signals = os.pipe()
        os.set_blocking(self._signals, False)
        before = signal.set_wakeup_fd(self._signals, warn_on_full_buffer=False)
        if before == -1:
            self._thread.start()
        else:  # an event loop listens there
            signal.set_wakeup_fd(before, warn_on_full_buffer=False)

    def __exit__(self, *error: object) -> None:
        if self._thread.is_alive():
            signal.set_wakeup_fd(-1)
            os.write(self._signals, b"\0")
            self._thread.join()
        os.close(self._signals)
        os.close(self._ours)

    def _watch(self) -> None:
        while (numbers := os.read(self._ours, 64)) and 0 not in numbers:
            if signal.SIGTERM in numbers and not self._handled.wait(_GRACE_S):
                self._last_words()
                os._exit(_STATUS)


def _forget() -> None:
    """A forked worker ends on SIGTERM as it always does: pools end theirs by it, and a task might swallow the exit."""
    if isinstance(getattr(signal.getsignal(signal.SIGTERM), "__self__", None), _Watch):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
