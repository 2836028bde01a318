"""Processor time of a call of one row through the pool, in a worker and in a jail: python benchmarks/worker_cost.py

Of the front: from `Pool.infer` to its answer, with the event loop; no HTTP. Of the worker: the whole process; its part
for the model is told apart. Medians over rounds that alternate between the two, so that a busy machine troubles both.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

import keepfit
from keepfit.serve.messages import Call
from keepfit.serve.pool import Pool, PoolSettings
from keepfit.serve.tensors import from_array

ROUNDS, CALLS, FEATURES = 21, 300, 20


def cpu_us(pid: int) -> float:
    """What a process has used, to the nanosecond (``/proc/PID/schedstat``)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e3


async def worker_of(pool: Pool, key: str, path: str, tenant: str | None, known: set[int]) -> int:
    """Load the model and return the process that has it."""
    await pool.load(key, os.open(path, os.O_RDONLY), tenant=tenant)
    children = Path(f"/proc/{pool.zygote_pid}/task/{pool.zygote_pid}/children").read_text().split()
    return (set(map(int, children)) - known).pop()


async def measure() -> None:
    X = np.random.default_rng(0).normal(size=(200, FEATURES))
    call = Call((from_array("X", X[:1]),))
    pool = Pool(PoolSettings(workers=1))
    await pool.start()
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        keepfit.dump(LogisticRegression().fit(X, X[:, 0] > 0), file.name)
        plain = await worker_of(pool, "plain", file.name, None, set())
        jail = await worker_of(pool, "jail", file.name, "tenant", {plain})
    rounds: dict[str, list[tuple[float, ...]]] = {"plain": [], "jail": []}
    for _ in range(ROUNDS):
        for key, pid in (("plain", plain), ("jail", jail)):
            front_s, worker_us, model_s = time.process_time(), cpu_us(pid), 0.0
            for _ in range(CALLS):
                model_s += (await pool.infer(key, call)).cpu_s
            used = ((time.process_time() - front_s) * 1e6, cpu_us(pid) - worker_us, model_s * 1e6)
            rounds[key].append(tuple(each / CALLS for each in used))
    await pool.stop(1.0)
    print(f"{'us per call':12} {'front':>8} {'worker':>8} {'of it, model':>14}")
    for key, rows in rounds.items():
        front, worker, model = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"{key:12} {front:8.1f} {worker:8.1f} {model:14.1f}")


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        asyncio.run(measure())
    else:
        uvloop.run(measure())
