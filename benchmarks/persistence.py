"""Dump, load, size, peak memory and first prediction beside pickle, joblib, skops and cloudpickle, in one run.

Run with ``make bench``. Prints a table of medians and of ratios to pickle (protocol 5), and writes it to
``benchmarks/results/persistence.json`` with the machine and the versions. The tools take turns within each round, so
that a drift of the machine's speed meets all of them. Times are of bytes in memory for those that have them, of files
in the page cache for memory-mapped ones. Peak memory and the first prediction are those of a fresh process that loads a
file and predicts five rows: the memory it takes for that, imports by the load included, and its time from start to end.
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import os
import pickle
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import models

import keepfit

RESULTS = Path(__file__).parent / "results" / "persistence.json"
#: Slow enough that three rounds tell.
SLOW = {"skops", "joblib compress=3"}
MEASURES = {"dump_ms": 1, "load_ms": 1, "size_bytes": 1000, "peak_bytes": 1_000_000, "first_prediction_ms": 1}


@dataclass(frozen=True)
class Tool:
    """How one library keeps an object; `child` is what loads a file `path` in a fresh process."""

    dumps: Callable[[Any], bytes]
    loads: Callable[[bytes], Any]
    child: str
    is_mapped: bool = False


def skops_loads(data: bytes) -> Any:
    import skops.io

    return skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))


def skops_dumps(obj: Any) -> bytes:
    import skops.io

    data: bytes = skops.io.dumps(obj)
    return data


def joblib_dumps(obj: Any, compress: int = 0) -> bytes:
    file = io.BytesIO()
    joblib.dump(obj, file, compress=compress)
    return file.getvalue()


def joblib_loads(data: bytes) -> Any:
    return joblib.load(io.BytesIO(data))


PICKLE_CHILD = "import pickle; model = pickle.load(open(path, 'rb'))"
JOBLIB_CHILD = "import joblib; model = joblib.load(path)"
TOOLS = {
    "keepfit": Tool(keepfit.dumps, keepfit.loads, "import keepfit; model = keepfit.load(path)"),
    "keepfit mapped": Tool(
        keepfit.dumps,
        lambda path: keepfit.load(path, mmap=True),
        "import keepfit; model = keepfit.load(path, mmap=True)",
        is_mapped=True,
    ),
    "keepfit zstd": Tool(
        lambda obj: keepfit.dumps(obj, compress="zstd"), keepfit.loads, "import keepfit; model = keepfit.load(path)"
    ),
    "pickle": Tool(lambda obj: pickle.dumps(obj, 5), pickle.loads, PICKLE_CHILD),
    "cloudpickle": Tool(cloudpickle.dumps, cloudpickle.loads, PICKLE_CHILD),
    "joblib": Tool(joblib_dumps, joblib_loads, JOBLIB_CHILD),
    "joblib compress=3": Tool(lambda obj: joblib_dumps(obj, 3), joblib_loads, JOBLIB_CHILD),
    "joblib mapped": Tool(
        joblib_dumps,
        lambda path: joblib.load(path, mmap_mode="r"),
        "import joblib; model = joblib.load(path, mmap_mode='r')",
        is_mapped=True,
    ),
    "skops": Tool(
        skops_dumps,
        skops_loads,
        "import skops.io as s; model = s.load(path, trusted=s.get_untrusted_types(file=path))",
    ),
}

CHILD = """
import pickle, resource, sys, time, warnings
warnings.simplefilter("ignore")
path, rows = sys.argv[1:3]
with open(rows, "rb") as file:
    rows = pickle.load(file)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
{load}
for one in model.values() if isinstance(model, dict) else [model]:
    one.predict(rows)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    gc.collect()
    gc.disable()
    start_s = time.perf_counter()
    value = call()
    taken_ms = (time.perf_counter() - start_s) * 1000
    gc.enable()
    return taken_ms, value


def measure(model: Any, rows: Any, rounds: int, folder: Path) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, list[float]]] = {name: {what: [] for what in MEASURES} for name in TOOLS}
    (folder / "rows").write_bytes(pickle.dumps(rows))
    for number in range(rounds):
        for name, tool in TOOLS.items():
            if name in SLOW and number >= 3:
                continue
            taken_ms, data = timed(lambda tool=tool: tool.dumps(model))
            row, path = found[name], folder / "model"
            row["dump_ms"].append(taken_ms)
            row["size_bytes"].append(len(data))
            if number < 3 or tool.is_mapped:
                path.write_bytes(data)
            source = str(path) if tool.is_mapped else data
            row["load_ms"].append(timed(lambda tool=tool, source=source: tool.loads(source))[0])
            if number < 3:
                taken_ms, peak_bytes = in_fresh_process(tool, path, folder / "rows")
                row["first_prediction_ms"].append(taken_ms)
                row["peak_bytes"].append(peak_bytes)
    return {name: {what: statistics.median(values) for what, values in row.items()} for name, row in found.items()}


def in_fresh_process(tool: Tool, path: Path, rows: Path) -> tuple[float, float]:
    command = [sys.executable, "-c", CHILD.format(load=tool.child), str(path), str(rows)]
    start_s = time.perf_counter()
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return (time.perf_counter() - start_s) * 1000, float(said) * 1024


def show(name: str, table: dict[str, dict[str, float]]) -> None:
    base = table["pickle"]
    for tool, row in table.items():
        cells = "".join(
            f"{row[what] / scale:>11,.2f}{row[what] / base[what] if base[what] else float('nan'):>8.2f}"
            for what, scale in MEASURES.items()
        )
        print(f"{name if tool == 'keepfit' else '':26}{tool:19}{cells}", flush=True)


def summary(table: dict[str, dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Geometric means of the ratios to pickle, by tool."""
    return {
        tool: {
            what: statistics.geometric_mean([row[tool][what] / row["pickle"][what] for row in table.values()])
            for what in ("dump_ms", "load_ms", "size_bytes", "first_prediction_ms")
        }
        for tool in TOOLS
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", help="a part of a model's name")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    os.environ["PYTHONWARNINGS"] = "ignore"
    table: dict[str, Any] = {}
    heads = ("dump ms", "load ms", "KB", "peak MB", "first ms")
    print(f"{'model':26}{'':19}" + "".join(f"{head:>11}{'ratio':>8}" for head in heads))
    with tempfile.TemporaryDirectory() as folder:
        for name, make in models.MODELS.items():
            if not arguments.only or arguments.only in name:
                table[name] = measure(*make(), arguments.rounds, Path(folder))
                show(name, table[name])
    means = summary(table)
    for tool, ratios in means.items():
        print(f"{tool:19} to pickle: " + ", ".join(f"{what} {ratio:.2f}" for what, ratio in ratios.items()))
    if not arguments.only:
        names = ("keepfit", "scikit-learn", "numpy", "joblib", "skops", "cloudpickle")
        RESULTS.parent.mkdir(exist_ok=True)
        facts = {
            "machine": platform.machine(),
            "processors": os.cpu_count(),
            "python": platform.python_version(),
            "rounds": arguments.rounds,
            "versions": {name: version(name) for name in names},
        }
        RESULTS.write_text(json.dumps({**facts, "geometric_means": means, "models": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
