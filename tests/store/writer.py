"""A process that writes until it is killed. Says on its standard output what has been committed.

``python writer.py PLACE SEED``: tasks in groups, and a model now and then.
"""

from __future__ import annotations

import hashlib
import sys
from itertools import count

import numpy as np

from keepfit.store import FinishedTask, SearchRecord, Store


def identity(seed: str, number: int) -> bytes:
    return hashlib.sha256(f"{seed} {number}".encode()).digest()


def payload(seed: str, number: int) -> bytes:
    return identity(seed, number) * (number % 40)


def model(seed: str, number: int) -> list[object]:
    """Two large arrays that no other model has and one that all have, so that a save takes a while."""
    start = int(seed) * 1000 + number
    return [np.full(30_000, start), np.arange(100_000), np.full(1_000_000, -start, np.float64), f"{seed} {number}"]


def main(place: str, seed: str) -> None:
    store = Store(place)
    search_id = store.work.begin(SearchRecord("f", seed))
    for number in count():
        group = range(number * 7, number * 7 + 7)
        tasks = [FinishedTask(identity(seed, n), search_id, "{}", n % 5, n / 3, 0.1, payload(seed, n)) for n in group]
        store.work.commit(tasks)
        print("tasks", group[-1], flush=True)
        if number % 20 == 10:
            version = store.save("shared", model(seed, number)).version
            print("model", version, number, flush=True)
        if number % 40 == 30:
            store[f"passing {seed}"] = np.full(1_000_000, number)
            del store[f"passing {seed}"]


if __name__ == "__main__":
    main(*sys.argv[1:])
