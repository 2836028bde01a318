"""Showing how a search goes: a bar on a terminal, a line now and then elsewhere, on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Bar", "Counts", "Lines", "Progress", "duration_text", "progress_for"]

_LINE_PERIOD_S = 10.0

#: How long tasks must have been at work before the time left is told.
_LEAST_S = 1.0


@dataclass
class Counts:
    """How far a search is. The first of `scorers` is the name of the one that scores are by; `failed` is of reused and
    computed tasks, `score` the best of a single task so far, `fits` how many fits what is computed takes, `startup_s`
    the time before the first of them began: that of starting workers.
    """

    label: str
    total: int
    scorers: tuple[str, ...] = ()
    reused: int = 0
    computed: int = 0
    failed: int = 0
    kept: int = 0
    score: float | None = None
    fits: int = 0
    startup_s: float = 0.0

    @property
    def done(self) -> int:
        return self.reused + self.computed

    def add_score(self, score: float | None) -> None:
        """Take one more score into account."""
        if score is not None and (self.score is None or score > self.score):
            self.score = score

    def rate_text(self, elapsed_s: float) -> str:
        """Tasks per second and the time left, where something was computed; starting workers is done once."""
        elapsed_s -= self.startup_s
        if self.computed == 0 or elapsed_s <= 0:
            return ""
        rate = self.computed / elapsed_s
        left_s = (self.total - self.done) / rate
        text = f"{rate:.3g} a second" if rate >= 1 else f"{duration_text(1 / rate)} each"
        tells = self.done < self.total and elapsed_s >= _LEAST_S
        return f"{text}, {duration_text(left_s)} left" if tells else text

    def text(self) -> str:
        """Everything but the times."""
        parts = [f"{self.done} of {self.total} done"]
        if self.reused:
            parts.append(f"{self.reused} reused")
        if 0 < self.fits < self.total - self.reused:
            parts.append(f"{self.fits} fits")
        if self.failed:
            parts.append(f"{self.failed} failed")
        if self.score is not None:
            parts.append(f"best {next(iter(self.scorers), 'score')} of a split {self.score:.4g}")
        return ", ".join(parts)


def duration_text(seconds: float) -> str:
    """A duration for people: ``2 h 5 min``, ``3 min 20 s``, ``0.5 s``."""
    if seconds >= 3600:
        return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"
    if seconds >= 60:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"


class Progress:
    """Shows nothing. The others do the same and show it."""

    def begin(self, counts: Counts) -> None:
        """A search begins."""

    def update(self) -> None:
        """Its counts have changed; from any thread."""

    def end(self) -> None:
        """It has ended, well or not."""

    def say(self, text: str) -> None:
        """One line for the user."""


class Lines(Progress):
    """A line every ten seconds and one at the end.

    Parameters
    ----------
    clock : callable
        Gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts = Counts("", 0)
        self._start_s = self._last_s = 0.0

    def begin(self, counts: Counts) -> None:
        self._counts = counts
        self._start_s = self._last_s = self._clock()

    def update(self) -> None:
        if self._clock() - self._last_s >= _LINE_PERIOD_S and self._counts.done < self._counts.total:
            self._last_s = self._clock()
            self._line(self._counts.rate_text(self._last_s - self._start_s))

    def end(self) -> None:
        self._line(f"in {duration_text(self._clock() - self._start_s)}" if self._counts.computed else "")

    def _line(self, times: str) -> None:
        self.say(f"{self._counts.label}: {self._counts.text()}{', ' if times else ''}{times}")

    def say(self, text: str) -> None:
        print(f"keepfit: {text}", file=sys.stderr, flush=True)


class Bar(Progress):
    """A bar that stays on one line of a terminal."""

    def __init__(self) -> None:
        self._counts = Counts("", 0)
        self._start_s = 0.0
        self._bar: Any = None
        self._row: Any = None

    def begin(self, counts: Counts) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self._counts, self._start_s = counts, time.monotonic()
        label, facts = (TextColumn(f"{{task.fields[{name}]}}", markup=False) for name in ("label", "facts"))
        columns = (label, BarColumn(bar_width=24), facts)
        self._bar = RichProgress(*columns, console=Console(stderr=True), refresh_per_second=8)
        self._row = self._bar.add_task("", label=counts.label, facts="", total=counts.total, completed=counts.done)
        self._bar.start()
        self.update()

    def update(self) -> None:
        times = self._counts.rate_text(time.monotonic() - self._start_s)
        facts = ", ".join(part for part in (self._counts.text(), times) if part)
        self._bar.update(self._row, completed=self._counts.done, facts=facts)

    def end(self) -> None:
        if self._bar is not None:
            self.update()
            self._bar.stop()
            self._bar = None

    def say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(f"keepfit: {text}", highlight=False, markup=False, soft_wrap=True)
        else:
            print(f"keepfit: {text}", file=sys.stderr, flush=True)


def progress_for(wanted: bool | None) -> Progress:
    """What shows progress: nothing for False, else a bar on a terminal and lines elsewhere."""
    if wanted is False:
        return Progress()
    return Bar() if sys.stderr is not None and sys.stderr.isatty() else Lines()
