"""Dump, load and size of ten models beside pickle, joblib and skops, in one run.

Run with ``make bench``. Prints a table of medians in milliseconds and of ratios to pickle, and writes it to
``benchmarks/results/persistence.json`` with the machine and the versions. The tools take turns within each round, so
that a drift of the machine's speed meets all of them.
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import pickle
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import keepfit

RESULTS = Path(__file__).parent / "results" / "persistence.json"


def models() -> dict[str, Callable[[], Any]]:
    X, y = make_classification(5000, 20, n_informative=10, n_classes=3, random_state=0)

    def words() -> Any:
        rng = np.random.RandomState(0)
        vocabulary = np.array([f"word{number:06d}" for number in range(60_000)])
        texts = [" ".join(part) for part in np.array_split(rng.permutation(vocabulary), 500)]
        return make_pipeline(TfidfVectorizer(), SGDClassifier(random_state=0)).fit(texts, np.arange(500) % 2)

    return {
        "logistic pipeline": lambda: make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y),
        "forest, 100 deep": lambda: RandomForestClassifier(100, random_state=0, n_jobs=2).fit(
            *make_classification(20000, 20, n_informative=10, random_state=0, flip_y=0.2)
        ),
        "forest, 500 shallow": lambda: RandomForestClassifier(500, max_depth=3, random_state=0).fit(X, y),
        "gradient boosting, 100": lambda: GradientBoostingClassifier(n_estimators=34, random_state=0).fit(X, y),
        "hist boosting, 100": lambda: HistGradientBoostingClassifier(max_iter=100, early_stopping=False).fit(X, y),
        "kNN on 128 MB": lambda: KNeighborsClassifier(algorithm="brute").fit(
            np.random.RandomState(0).rand(800_000, 20), np.arange(800_000) % 3
        ),
        "kNN, kd_tree": lambda: KNeighborsClassifier(algorithm="kd_tree").fit(
            make_regression(50_000, 5)[0], np.arange(50_000) % 3
        ),
        "SVC": lambda: SVC().fit(X, y),
        "MLP": lambda: MLPClassifier((100, 100), max_iter=5, random_state=0).fit(X, y),
        "tf-idf, 60,000 words": words,
    }


def tools() -> dict[str, tuple[Callable[[Any], bytes], Callable[[bytes], Any]]]:
    def joblib_dumps(obj: Any) -> bytes:
        file = io.BytesIO()
        joblib.dump(obj, file)
        return file.getvalue()

    found = {
        "keepfit": (keepfit.dumps, keepfit.loads),
        "pickle": (lambda obj: pickle.dumps(obj, 5), pickle.loads),
        "joblib": (joblib_dumps, lambda data: joblib.load(io.BytesIO(data))),
    }
    try:
        import skops.io as sio

        found["skops"] = (sio.dumps, lambda data: sio.loads(data, trusted=sio.get_untrusted_types(data=data)))
    except ImportError:
        print("skops is not installed: its columns are left out (make bench installs it)")
    return found


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    gc.collect()
    gc.disable()
    start = time.perf_counter()
    value = call()
    taken_ms = (time.perf_counter() - start) * 1000
    gc.enable()
    return taken_ms, value


def measure(model: Any, rounds: int) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, list[float]]] = {}
    for number in range(rounds):
        for name, (dump, load) in tools().items():
            if name == "skops" and number >= 3:  # it is slow enough that three rounds tell
                continue
            row = found.setdefault(name, {"dump_ms": [], "load_ms": [], "size_bytes": []})
            taken_ms, data = timed(lambda dump=dump: dump(model))
            row["dump_ms"].append(taken_ms)
            row["size_bytes"].append(len(data))
            row["load_ms"].append(timed(lambda load=load, data=data: load(data))[0])
    return {name: {what: statistics.median(values) for what, values in row.items()} for name, row in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", help="a part of a model's name")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    table: dict[str, Any] = {}
    print(f"{'model':24}{'':10}{'dump ms':>10}{'ratio':>8}{'load ms':>10}{'ratio':>8}{'KB':>10}{'ratio':>8}")
    for name, fit in models().items():
        if arguments.only and arguments.only not in name:
            continue
        table[name] = measure(fit(), arguments.rounds)
        base = table[name]["pickle"]
        for tool, row in table[name].items():
            cells = "".join(
                f"{row[what] / scale:>10,.2f}{row[what] / base[what]:>8.2f}"
                for what, scale in (("dump_ms", 1), ("load_ms", 1), ("size_bytes", 1000))
            )
            print(f"{name if tool == 'keepfit' else '':24}{tool:10}{cells}", flush=True)
    for what in ("dump_ms", "load_ms", "size_bytes"):
        ratios = [row["keepfit"][what] / row["pickle"][what] for row in table.values()]
        print(f"geometric mean of keepfit to pickle, {what}: {statistics.geometric_mean(ratios):.2f}")
    if not arguments.only:
        names = ("keepfit", "scikit-learn", "numpy", "joblib", "skops")
        RESULTS.parent.mkdir(exist_ok=True)
        machine = {"machine": platform.machine(), "python": platform.python_version(), "rounds": arguments.rounds}
        versions = {name: version(name) for name in names}
        RESULTS.write_text(json.dumps({"machine": machine, "versions": versions, "models": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
