"""A pytest plugin: every test runs inside ``keepfit.checkpoint`` on the store that KEEPFIT_SUITE_STORE names."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

import keepfit

#: What the runs of all tests saw, for the line at the end.
_counts = {"reused": 0, "computed": 0, "failed": 0}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    with keepfit.checkpoint(os.environ["KEEPFIT_SUITE_STORE"], progress=False) as run:
        try:
            return (yield)
        finally:
            for name in _counts:
                _counts[name] += getattr(run, name)
            for note in run.notes:
                print("NOTE", item.name, note, run, file=open("/tmp/w/notes.txt", "a"))
            if run.computed and not run.notes: print("COMP", item.name, run, file=open("/tmp/w/notes.txt", "a"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line("keepfit: " + ", ".join(f"{count} {name}" for name, count in _counts.items()))
