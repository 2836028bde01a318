"""What no reader of files can go below: pickle's own compiled code, with arrays that it need not read.

Run with ``make bench-floor``. Each model of ``models.py`` is pickled with its arrays out of band (:pep:`574`) and built
again in three ways, beside pickle as it is used, in turns: from arrays that are there already; the same after a pass
over all bytes for their checksum; and with a copy of each array besides, as an array that may be written to cannot lie
in the bytes it was read from (compiled trees copy theirs themselves). A reader that promises checksums and arrays to be
written to does the last at least. None of the three looks at what it builds. Prints ratios of medians to pickle.
"""

from __future__ import annotations

import argparse
import gc
import json
import pickle
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine
import models
import numpy as np
import xxhash

RESULTS = Path(__file__).parent / "results" / "load_floor.json"
WAYS = ("arrays are there", "and checksums", "and arrays to be written to")
#: Models whose arrays are those of compiled trees, nearly all.
OF_TREES = ("forest", "extra trees", "gradient boosting", "hist boosting")


def ways_of(model: Any, *, copies: bool) -> list[Callable[[], Any]]:
    """Pickle as it is used, then each of `WAYS`."""
    whole = pickle.dumps(model, 5)
    buffers: list[pickle.PickleBuffer] = []
    rest = pickle.dumps(model, 5, buffer_callback=buffers.append)
    views = [buffer.raw() for buffer in buffers]

    def there() -> Any:
        return pickle.loads(rest, buffers=views)

    def summed() -> Any:
        for part in (rest, *views):
            xxhash.xxh3_64_hexdigest(part)
        return pickle.loads(rest, buffers=views)

    def copied() -> Any:
        xxhash.xxh3_64_hexdigest(rest)
        own = []
        for view in views:
            xxhash.xxh3_64_hexdigest(view)
            own.append(np.frombuffer(view, np.uint8).copy())
        return pickle.loads(rest, buffers=own)

    return [lambda: pickle.loads(whole), there, summed, copied if copies else summed]


def measured(calls: list[Callable[[], Any]], rounds: int) -> list[float]:
    """Medians, ms."""
    times: list[list[float]] = [[] for _ in calls]
    for number in range(-1, rounds):
        for call, taken in zip(calls, times, strict=True):
            gc.collect()
            gc.disable()
            start_s = time.perf_counter()
            value = call()
            if number >= 0:
                taken.append((time.perf_counter() - start_s) * 1000)
            gc.enable()
            del value
    return list(map(statistics.median, times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    table: dict[str, dict[str, float]] = {}
    print(f"{'':28}{'pickle ms':>10}" + "".join(f"{way:>29}" for way in WAYS))
    for name, make in models.MODELS.items():
        base, *others = measured(ways_of(make()[0], copies=not name.startswith(OF_TREES)), arguments.rounds)
        table[name] = {way: round(taken / base, 3) for way, taken in zip(WAYS, others, strict=True)}
        print(f"{name:28}{base:10.2f}" + "".join(f"{ratio:29.2f}" for ratio in table[name].values()), flush=True)
    means = {way: round(statistics.geometric_mean([row[way] for row in table.values()]), 3) for way in WAYS}
    print(f"{'geometric mean':38}" + "".join(f"{mean:29.2f}" for mean in means.values()))
    facts = machine.facts("scikit-learn", "numpy", "xxhash")
    RESULTS.write_text(json.dumps({**facts, "geometric_means": means, "models": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
