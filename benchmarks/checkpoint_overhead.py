"""What ``keepfit.checkpoint`` costs per task: trivial fits in GridSearchCV at n_jobs=1, plain, kept, and reused.

Prints one line of JSON, in wall time and in processor time (all threads; it says more on a busy machine). The promise:
at most 0.5 ms more per task than plain, and the second run faster than the first.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import GridSearchCV

import keepfit


class Trivial(ClassifierMixin, BaseEstimator):
    """Learns nothing."""

    def __init__(self, a: float = 0.0, b: int = 0, c: str = "x") -> None:
        self.a, self.b, self.c = a, b, c

    def fit(self, X: np.ndarray, y: np.ndarray) -> Trivial:
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.zeros(len(X), dtype=int)


def search(candidates: int) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(100, 4)), rng.integers(0, 2, size=100)
    grid = GridSearchCV(Trivial(), {"a": np.linspace(0, 1, candidates).tolist()}, cv=5, refit=False)
    grid.fit(X, y)


def kept_search(candidates: int, store: Path, reused: int) -> None:
    with keepfit.checkpoint(store, progress=False) as run:
        search(candidates)
    assert run.reused == reused, run


def times_s(work: Callable[[], None]) -> tuple[float, float]:
    wall_s, processor_s = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall_s, time.process_time() - processor_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=3, help="of the whole; medians are shown")
    options = parser.parse_args()
    candidates = options.tasks // 5
    tasks = candidates * 5
    search(20)
    times: dict[str, list[tuple[float, float]]] = {"plain": [], "kept": [], "reused": []}
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory() as folder:
            store = Path(folder) / "state.db"
            times["plain"].append(times_s(partial(search, candidates)))
            times["kept"].append(times_s(partial(kept_search, candidates, store, 0)))
            times["reused"].append(times_s(partial(kept_search, candidates, store, tasks)))
    figures: dict[str, object] = {"tasks": tasks}
    for number, clock in enumerate(("wall", "processor")):
        median = {name: statistics.median(pair[number] for pair in pairs) / tasks for name, pairs in times.items()}
        per_task = {f"{name}_ms": 1000 * value for name, value in median.items()}
        per_task["overhead_ms"] = per_task["kept_ms"] - per_task["plain_ms"]
        figures[clock] = {name: round(value, 3) for name, value in per_task.items()}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
