"""Pools in tests: one that most share, and what is asked of it."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

import keepfit
from keepfit.serve.messages import Answer, Call
from keepfit.serve.pool import Pool, PoolSettings
from keepfit.serve.tensors import from_array, to_array

X = np.random.default_rng(0).normal(size=(60, 4))
Y = np.arange(60) % 3

#: Short, so that what hangs is found out soon.
SETTINGS: dict[str, Any] = {
    "workers": 2, "jails": 2, "timeout_s": 3.0, "cpu_s": 0.3, "memory_bytes": 1 << 28, "imports": ("hostile_models",)
}  # fmt: skip


class Shared:
    """A pool for many tests, and what runs the loop it lives in."""

    def __init__(self, runner: asyncio.Runner, pool: Pool) -> None:
        self.run, self.pool = runner.run, pool


@asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[Pool]:
    """A pool of its own."""
    pool = Pool(PoolSettings(**{**SETTINGS, **settings}))
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop(0)


def logistic() -> LogisticRegression:
    return LogisticRegression().fit(X, Y)


def file_of(model: Any) -> int:
    """A descriptor of a file that keeps a model, and has no name any more."""
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        keepfit.dump(model, file.name)
        return os.open(file.name, os.O_RDONLY)


async def load(pool: Pool, key: str, model: Any, **options: Any) -> Any:
    """Load a model, trusted whatever it is."""
    name = f"{type(model).__module__}.{type(model).__name__}"
    trusted = (name,) if name.startswith("hostile_models.") else ()
    return await pool.load(key, file_of(model), trusted=trusted, **options)


def call(rows: Any = X[:1], *outputs: str) -> Call:
    return Call((from_array("X", np.ascontiguousarray(rows, dtype=float)),), outputs)


def rows_that(*values: float) -> Any:
    """One row, whose first values are these."""
    row = np.zeros((1, 4))
    row[0, : len(values)] = values
    return row


HARM = rows_that(1000.0)


def values(answer: Answer, index: int = 0) -> Any:
    return to_array(answer.outputs[index])


async def ask(pool: Pool, key: str, rows: Any = X[:1], *outputs: str) -> Any:
    return values(await pool.infer(key, call(rows, *outputs)))


def outcomes(found: list[Any]) -> dict[str, int]:
    """How many there are of each kind of error, and of answers."""
    names = [type(each).__name__ if isinstance(each, BaseException) else "answer" for each in found]
    return {name: names.count(name) for name in names}


async def until(condition: Any, seconds: float = 10.0) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def pids(pool: Pool) -> list[int]:
    """Of the workers, as the zygote's children."""
    return children_of(pool.zygote_pid)


def children_of(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
