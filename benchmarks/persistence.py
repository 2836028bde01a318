"""Dump, load, size, peak memory and first prediction beside pickle, joblib, skops and cloudpickle, in one run.

Run with ``make bench``. Prints a table of medians and of ratios to pickle (protocol 5) and which targets hold, and
writes all of it to ``benchmarks/results/persistence.json`` with the machine and the versions. It is a report: it ends
well whatever holds. The tools take turns within each round, after one that does not count, so that a drift of the
machine's speed meets all of them; in another order each time, as each finds the memory that the one before it left.
Slow ones have rounds of their own: meanwhile a virtual machine gives memory away that lies idle, and to get it back
takes many times as long. Times are of bytes in memory for those that have them, of files in the page cache for
memory-mapped ones.

Peak memory and the first prediction are those of fresh processes, which dump a model to a file, and load it and predict
five rows. ``dump_peak`` and ``load_peak`` are the most memory that was in use meanwhile besides the model
(Linux); the first prediction is the time from start to end, imports included, with all code compiled as an installer
leaves it.
"""

from __future__ import annotations

import argparse
import compileall
import gc
import io
import json
import os
import pickle
import random
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import machine
import models

import keepfit

RESULTS = Path(__file__).parent / "results" / "persistence.json"
#: Slow enough that a few rounds tell.
SLOW = ("skops", "joblib compress=3")
SLOW_ROUNDS = 3
MEASURES = {
    "dump_ms": 1, "load_ms": 1, "size_bytes": 1000, "first_prediction_ms": 1,
    "dump_peak_bytes": 1_000_000, "load_peak_bytes": 1_000_000,
}  # fmt: skip
HEADS = ("dump ms", "load ms", "KB", "first ms", "dump peak MB", "load peak MB")
MEANS = ("dump_ms", "load_ms", "size_bytes", "first_prediction_ms")

#: By model, tool and measure.
Table = dict[str, dict[str, dict[str, float]]]


@dataclass(frozen=True)
class Tool:
    """How one library keeps an object; `load` and `dump` are what a fresh process does with the file `path`."""

    dumps: Callable[[Any], bytes]
    loads: Callable[[bytes], Any]
    load: str
    dump: str
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


PICKLE_LOAD = "import pickle; model = pickle.load(open(path, 'rb'))"
JOBLIB_LOAD = "import joblib; model = joblib.load(path)"
JOBLIB_DUMP = "import joblib; joblib.dump(model, path)"
KEEPFIT_LOAD = "import keepfit; model = keepfit.load(path)"
KEEPFIT_DUMP = "import keepfit; keepfit.dump(model, path)"
TOOLS = {
    "keepfit": Tool(keepfit.dumps, keepfit.loads, KEEPFIT_LOAD, KEEPFIT_DUMP),
    "keepfit mapped": Tool(
        keepfit.dumps,
        lambda path: keepfit.load(path, mmap=True),
        "import keepfit; model = keepfit.load(path, mmap=True)",
        KEEPFIT_DUMP,
        is_mapped=True,
    ),
    "keepfit zstd": Tool(
        lambda obj: keepfit.dumps(obj, compress="zstd"),
        keepfit.loads,
        KEEPFIT_LOAD,
        "import keepfit; keepfit.dump(model, path, compress='zstd')",
    ),
    "pickle": Tool(
        lambda obj: pickle.dumps(obj, 5),
        pickle.loads,
        PICKLE_LOAD,
        "import pickle; pickle.dump(model, open(path, 'wb'), 5)",
    ),
    "cloudpickle": Tool(
        cloudpickle.dumps,
        cloudpickle.loads,
        PICKLE_LOAD,
        "import cloudpickle; cloudpickle.dump(model, open(path, 'wb'))",
    ),
    "joblib": Tool(joblib_dumps, joblib_loads, JOBLIB_LOAD, JOBLIB_DUMP),
    "joblib compress=3": Tool(
        lambda obj: joblib_dumps(obj, 3),
        joblib_loads,
        JOBLIB_LOAD,
        "import joblib; joblib.dump(model, path, compress=3)",
    ),
    "joblib mapped": Tool(
        joblib_dumps,
        lambda path: joblib.load(path, mmap_mode="r"),
        "import joblib; model = joblib.load(path, mmap_mode='r')",
        JOBLIB_DUMP,
        is_mapped=True,
    ),
    "skops": Tool(
        skops_dumps,
        skops_loads,
        "import skops.io as s; model = s.load(path, trusted=s.get_untrusted_types(file=path))",
        "import skops.io; skops.io.dump(model, path)",
    ),
}

CHILD = """
import pickle, sys, warnings
warnings.simplefilter("ignore")
what, path, pickled = sys.argv[1:4]
with open(pickled, "rb") as file:
    rows = pickle.load(file)
    model = pickle.load(file) if what == "dump" else None

def memory(field):
    with open("/proc/self/status") as status:
        return int(status.read().partition(field + ":")[2].split()[0]) * 1024

def forget_peak():
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")

is_linux = sys.platform == "linux"
if is_linux:
    forget_peak()
if what == "dump":
    before = memory("VmRSS") if is_linux else 0
    {dump}
else:
    {load}
    before = memory("VmRSS") if is_linux else 0
print(max(memory("VmHWM") - before, 0) if is_linux else "nan")
if what != "dump":
    for one in model.values() if isinstance(model, dict) else [model]:
        one.predict(rows)
"""


def timed(call: Callable[[], Any], clock: Callable[[], float]) -> tuple[float, Any]:
    gc.collect()
    gc.disable()
    start_s = clock()
    value = call()
    taken_ms = (clock() - start_s) * 1000
    gc.enable()
    return taken_ms, value


def measure(made: models.Made, arguments: argparse.Namespace, folder: Path) -> dict[str, dict[str, float]]:
    model, rows = made
    clock = time.process_time if arguments.processor_time else time.perf_counter
    found: dict[str, dict[str, list[float]]] = {name: {what: [] for what in MEASURES} for name in TOOLS}
    path, pickled = folder / "model", folder / "pickled"
    pickled.write_bytes(pickle.dumps(rows) + pickle.dumps(model))
    in_turn = random.Random(0)
    quick = [(number, [name for name in TOOLS if name not in SLOW]) for number in range(-1, arguments.rounds)]
    for number, names in [*quick, *((number, [*SLOW]) for number in range(-1, SLOW_ROUNDS))]:
        for name in in_turn.sample(names, len(names)):
            tool = TOOLS[name]
            dump_ms, data = timed(lambda tool=tool: tool.dumps(model), clock)
            if tool.is_mapped or number < arguments.fresh:
                path.write_bytes(data)
            source = str(path) if tool.is_mapped else data
            load_ms = timed(lambda tool=tool, source=source: tool.loads(source), clock)[0]
            if number < 0:
                continue
            row = found[name]
            row["dump_ms"].append(dump_ms)
            row["load_ms"].append(load_ms)
            row["size_bytes"].append(len(data))
            if number < arguments.fresh:
                taken_ms, peak_bytes = in_fresh_process("load", tool, path, pickled)
                row["first_prediction_ms"].append(taken_ms)
                row["load_peak_bytes"].append(peak_bytes)
                row["dump_peak_bytes"].append(in_fresh_process("dump", tool, path, pickled)[1])
    return {
        name: {what: statistics.median(values) for what, values in row.items() if values} for name, row in found.items()
    }


def in_fresh_process(what: str, tool: Tool, path: Path, pickled: Path) -> tuple[float, float]:
    program = CHILD.format(load=tool.load, dump=tool.dump)
    start_s = time.perf_counter()
    said = subprocess.run(
        [sys.executable, "-c", program, what, str(path), str(pickled)], check=True, capture_output=True, text=True
    ).stdout
    return (time.perf_counter() - start_s) * 1000, float(said)


def show(name: str, table: dict[str, dict[str, float]]) -> None:
    base = table["pickle"]
    for tool, row in table.items():
        cells = ""
        for what, scale in MEASURES.items():
            value = row.get(what, float("nan"))
            cells += f"{value / scale:>13,.2f}"
            if what in MEANS:
                cells += f"{value / base[what] if what in base else float('nan'):>9.2f}"
        print(f"{name if tool == 'keepfit' else '':26}{tool:19}{cells}", flush=True)


def summary(table: Table) -> dict[str, dict[str, float]]:
    """Geometric means of the ratios to pickle, by tool."""
    return {
        tool: {
            what: statistics.geometric_mean([row[tool][what] / row["pickle"][what] for row in table.values()])
            for what in MEANS
            if all(what in row[tool] for row in table.values())
        }
        for tool in TOOLS
    }


@dataclass(frozen=True)
class Target:
    """What a measure is to be, in every row that it is `of`: `value` of the row at most 1."""

    words: str
    value: Callable[[dict[str, dict[str, float]]], float]
    of: Callable[[str], bool] = lambda name: True
    is_mean: bool = False


def is_ensemble(name: str) -> bool:
    return name.startswith(("forest", "extra trees", "gradient boosting", "hist boosting"))


def is_forest(name: str) -> bool:
    return name.startswith("forest")


def ratio(
    tool: str, what: str, base: str = "pickle", bound: float = 1.0
) -> Callable[[dict[str, dict[str, float]]], float]:
    return lambda row: row[tool][what] / row[base][what] / bound


def load_of_row(row: dict[str, dict[str, float]]) -> float:
    pickle_ms = row["pickle"]["load_ms"]
    return row["keepfit"]["load_ms"] / (pickle_ms + 0.5 if pickle_ms < 1 else 1.3 * pickle_ms)


def size_of_row(row: dict[str, dict[str, float]]) -> float:
    size = row["pickle"]["size_bytes"]
    return row["keepfit"]["size_bytes"] / (size + 8192 if size < 65_536 else 1.02 * size)


TARGETS = (
    Target("load: geometric mean at most 0.6 of pickle", ratio("keepfit", "load_ms", bound=0.6), is_mean=True),
    Target("load: no row over 1.3 of pickle (under 1 ms in pickle: 0.5 ms more)", load_of_row),
    Target("load: ensembles at most 0.5 of pickle", ratio("keepfit", "load_ms", bound=0.5), is_ensemble),
    Target(
        "load, mapped: kNN on 128 MB at most 0.05 of pickle",
        ratio("keepfit mapped", "load_ms", bound=0.05),
        lambda name: name == "kNN on 128 MB",
    ),
    Target("dump: geometric mean at most 1.0 of pickle", ratio("keepfit", "dump_ms"), is_mean=True),
    Target("size: at most 1.02 of pickle (under 64 KB in pickle: 8 KB more)", size_of_row),
    Target(
        "dump with zstd: forests at most 0.5 of the time of joblib compress=3",
        ratio("keepfit zstd", "dump_ms", "joblib compress=3", 0.5),
        is_forest,
    ),
    Target(
        "load with zstd: forests at most 0.5 of the time of joblib compress=3",
        ratio("keepfit zstd", "load_ms", "joblib compress=3", 0.5),
        is_forest,
    ),
    Target(
        "size with zstd: forests no larger than with joblib compress=3",
        ratio("keepfit zstd", "size_bytes", "joblib compress=3"),
        is_forest,
    ),
    Target("dump: at most 64 MB of memory besides the model", lambda row: row["keepfit"]["dump_peak_bytes"] / 2**26),
    Target("load: at most 64 MB of memory besides the model", lambda row: row["keepfit"]["load_peak_bytes"] / 2**26),
    Target(
        "load: skops slower by 20 times in the geometric mean",
        ratio("keepfit", "load_ms", "skops", 1 / 20),
        is_mean=True,
    ),
)


def judged(table: Table) -> dict[str, str]:
    """For each target whether it holds, and where it does not, by how much it is missed."""
    found = {}
    for target in TARGETS:
        try:
            values = {name: target.value(row) for name, row in table.items() if target.of(name)}
        except KeyError:
            values = {}
        if target.is_mean and values:
            values = {"mean": statistics.geometric_mean(values.values())}
        missed = [f"{name} {value:.2f}" for name, value in values.items() if not value <= 1]
        found[target.words] = f"missed, times the bound: {', '.join(missed)}" if missed else "holds"
        if not values:
            found[target.words] = "not measured"
        elif not missed:
            found[target.words] += f" ({max(values.values()):.2f} of the bound)"
    return found


def rounded(value: float) -> float:
    return float(f"{value:.4g}")


def write(table: Table, means: dict[str, Any], verdicts: dict[str, str], arguments: argparse.Namespace) -> None:
    """The results, one line for each model and tool."""
    facts = {
        **machine.facts("keepfit", "scikit-learn", "numpy", "joblib", "skops", "cloudpickle"),
        "clock": "processor time" if arguments.processor_time else "wall time",
        "rounds": arguments.rounds,
        "targets": verdicts,
        "geometric_means": {tool: {what: rounded(mean) for what, mean in row.items()} for tool, row in means.items()},
    }
    rows = ",\n".join(
        f" {json.dumps(name)}: {{\n"
        + ",\n".join(
            f"  {json.dumps(tool)}: {json.dumps({what: rounded(value) for what, value in row.items()})}"
            for tool, row in tools.items()
        )
        + "\n }"
        for name, tools in table.items()
    )
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(facts, indent=1)[:-2] + f',\n "models": {{\n{rows}\n}}}}\n')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--fresh", type=int, default=3, help="rounds that fresh processes are measured in; 0 for none")
    parser.add_argument("--only", help="a part of a model's name; nothing is written")
    parser.add_argument("--processor-time", action="store_true", help="for a machine that has other work to do")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    os.environ["PYTHONWARNINGS"] = "ignore"
    compileall.compile_dir(Path(keepfit.__file__).parent, quiet=1)  # a clone may be set to run without
    table: Table = {}
    heads = zip(HEADS, MEASURES, strict=True)
    print(f"{'':45}" + "".join(f"{head:>13}" + f"{'ratio':>9}" * (what in MEANS) for head, what in heads))
    with tempfile.TemporaryDirectory() as folder:
        for name, make in models.MODELS.items():
            if not arguments.only or arguments.only in name:
                table[name] = measure(make(), arguments, Path(folder))
                show(name, table[name])
    means, verdicts = summary(table), judged(table)
    for tool, ratios in means.items():
        print(f"{tool:19} to pickle: " + ", ".join(f"{what} {mean:.2f}" for what, mean in ratios.items()))
    print()
    for words, verdict in verdicts.items():
        print(f"{words}: {verdict}")
    if not arguments.only:
        write(table, means, verdicts, arguments)


if __name__ == "__main__":
    main()
