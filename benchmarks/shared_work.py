"""What sharing work saves: searches inside ``keepfit.checkpoint`` and plain, in one run, with equal scores to the bit.

Prints one line of JSON for each row: seconds of wall time, their ratio and that of processor time, the processor time
that a task takes more (less where work is shared), the tasks and the fits they took, and whether the ratio is what it
is to be. Run it on an otherwise idle machine; on a busy one the ratio of processor time says more. All lines go to
``results/searches.json`` with the machine and the versions; a run of some rows leaves the others there as they are.

Before the first row a small search warms up both sides, plain and inside ``keepfit.checkpoint``: what is imported and
compiled once in a process is no part of the figures. Times are medians. A search that takes long is run plain once; but
with shared work more often, as which candidates are checked, and how long that takes, is drawn each time.

Components are shared on data as wide as those that components are taken of; on the 64 columns of the digits the vectors
take nearly all of the time, of which nothing is shared.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine
import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_digits, make_classification
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import BernoulliNB, GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

import keepfit

SEEDED = {"random_state": 0}
DEMO = {
    "neighbours": (KNeighborsClassifier(), {"model__n_neighbors": list(range(1, 100))}),
    "forest": (RandomForestClassifier(**SEEDED), {"model__n_estimators": list(range(20, 150, 3))}),
    "bayes": (GaussianNB(), {"model__var_smoothing": [1e-9, 1e-7, 1e-5]}),
    "logistic": (LogisticRegression(max_iter=1000), {"model__C": [0.01, 0.1, 1.0, 10.0]}),
}
RESULTS = Path(__file__).parent / "results" / "searches.json"
#: A search that takes longer plain is run so once.
LONG_S = 20.0
#: How often others are run, and how often long ones are with shared work.
REPEATS, LONG_REPEATS = 5, 3
#: How many times faster than plain the rows are to be, in one process.
TARGETS = {
    "forest 20..149 step 3": 25.0,
    "neighbours 1..99 x 2": 8.0,
    "gradient boosting 10..500 step 10": 15.0,
    "scaler, components, vectors 6 x 8": 2.0,
    "the demo": 20.0,
    "nothing to share: trees by depth": 1 / 1.05,
    "nothing to share: forests by depth": 1 / 1.05,  # as many tasks, each longer: what is paid once weighs less
}
#: A search and its data.
Tried = tuple[GridSearchCV, Any]
PCA_SVC = Pipeline([("scale", StandardScaler()), ("pca", PCA(svd_solver="full")), ("svc", SVC())])
COLUMNS = Pipeline(
    [
        (
            "columns",
            ColumnTransformer(
                [("amounts", QuantileTransformer(random_state=0), slice(0, 60)), ("text", TfidfVectorizer(), 60)]
            ),
        ),
        ("model", BernoulliNB()),
    ]
)
COLUMN_GRID = {
    "columns__amounts__n_quantiles": [50, 100, 200, 300],
    "columns__text__ngram_range": [(1, 1), (1, 2), (2, 2)],
    "model__binarize": [0.0, 0.5],
}


def mixed() -> tuple[Any, Any]:
    """Amounts and one column of text."""
    X, y = make_classification(n_samples=400, n_features=60, random_state=0)
    words = np.random.default_rng(0).integers(0, 5000, size=(400, 60)).astype(str)
    return np.column_stack([X.astype(object), [" ".join(row) for row in words]]), y


def searches(data: dict[str, Any]) -> dict[str, list[tuple[Any, dict[str, list[Any]], Any]]]:
    """The searches of each row: estimator, grid, data."""
    digits, cancer = data["digits"], data["cancer"]
    return {
        "forest 20..149 step 3": [
            (RandomForestClassifier(**SEEDED), {"n_estimators": list(range(20, 150, 3))}, digits)
        ],
        "neighbours 1..99 x 2": [
            (KNeighborsClassifier(), {"n_neighbors": list(range(1, 100)), "weights": ["uniform", "distance"]}, digits)
        ],
        "gradient boosting 10..500 step 10": [
            (GradientBoostingClassifier(**SEEDED), {"n_estimators": list(range(10, 501, 10))}, cancer)
        ],
        "scaler, components, vectors 6 x 8": [
            (
                PCA_SVC,
                {"pca__n_components": [5, 10, 15, 20, 30, 40], "svc__C": np.logspace(-2, 2, 8).tolist()},
                data["wide"],
            )
        ],
        "the demo": [
            (Pipeline([("scale", StandardScaler()), ("model", model)]), grid, cancer) for model, grid in DEMO.values()
        ],
        "columns 4 x 3 x 2": [(COLUMNS, COLUMN_GRID, data["mixed"])],
        "nothing to share: trees by depth": [
            (DecisionTreeClassifier(**SEEDED), {"max_depth": list(range(1, 41))}, digits)
        ],
        "nothing to share: forests by depth": [
            (RandomForestClassifier(20, **SEEDED), {"max_depth": list(range(1, 41))}, digits)
        ],
    }


def columns(search: GridSearchCV) -> dict[str, bytes]:
    """All of cv_results_ but the times."""
    return {
        name: repr(np.asarray(values).tolist()).encode() if "param" in name else np.asarray(values).tobytes()
        for name, values in search.cv_results_.items()
        if "_time" not in name
    }


def plainly(tried: list[Tried]) -> None:
    for search, data in tried:
        search.fit(*data)


def on_a_store(tried: list[Tried]) -> keepfit.Run:
    with tempfile.TemporaryDirectory() as folder, keepfit.checkpoint(Path(folder) / "state.db", progress=False) as run:
        plainly(tried)
    return run


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of wall time and of processor time. What others have left behind is cleared away before."""
    gc.collect()
    start_s = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start_s[0], time.process_time() - start_s[1]


def compare(found: list[tuple[Any, dict[str, list[Any]], Any]], n_jobs: int) -> dict[str, Any]:
    """All searches of a row, plain and on one store, in turns."""
    tried = [(GridSearchCV(one, grid, cv=5, refit=False, n_jobs=n_jobs), data) for one, grid, data in found]
    plain: list[tuple[float, float]] = []
    shared: list[tuple[float, float]] = []
    runs: list[keepfit.Run] = []
    while len(shared) < (LONG_REPEATS if plain and plain[0][0] > LONG_S else REPEATS):
        if not plain or plain[0][0] <= LONG_S:
            plain.append(timed(lambda: plainly(tried)))
            expected = [columns(search) for search, _ in tried]
        shared.append(timed(lambda: runs.append(on_a_store(tried))))
        assert [columns(search) for search, _ in tried] == expected, "scores differ"
        assert runs[-1].notes == [], runs[-1].notes
    (plain_s, plain_cpu_s), (shared_s, shared_cpu_s) = (
        map(statistics.median, zip(*times, strict=True)) for times in (plain, shared)
    )
    run = runs[-1]
    figures = {"plain_s": plain_s, "shared_s": shared_s, "ratio": plain_s / shared_s}
    if n_jobs == 1:
        figures["processor_ratio"] = plain_cpu_s / shared_cpu_s
        figures["processor_ms_per_task"] = 1000 * (shared_cpu_s - plain_cpu_s) / run.computed
    counts = {"tasks": run.computed, "fits": sum(search.fit_count for search in run.searches)}
    times = {"plain_runs": len(plain), "shared_runs": len(shared)}
    return {**{name: round(value, 3) for name, value in figures.items()}, **counts, **times}


def judged(name: str, n_jobs: int, ratio: float) -> dict[str, Any]:
    """The target of a row and whether it holds; nothing where there is none."""
    target = TARGETS.get(name) if n_jobs == 1 else None
    return {} if target is None else {"target": round(target, 3), "holds": ratio >= target}


def keep(row: dict[str, Any]) -> None:
    """Put a row among the results, in the place of what was measured of it before."""
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    named = {(one["search"], one["n_jobs"]): one for one in [*rows, row]}
    RESULTS.write_text("[\n" + ",\n".join(map(json.dumps, named.values())) + "\n]\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", help="beginnings of the names of rows; all by default")
    parser.add_argument("--n-jobs", type=int, default=1)
    options = parser.parse_args()
    wide = make_classification(n_samples=600, n_features=400, n_informative=20, random_state=0)
    data = {
        "wide": wide,
        "mixed": mixed(),
        "digits": load_digits(return_X_y=True),
        "cancer": load_breast_cancer(return_X_y=True),
    }
    small = GridSearchCV(DecisionTreeClassifier(), {"max_depth": [1, 2]}, n_jobs=options.n_jobs)
    plainly([(small, data["cancer"])])
    on_a_store([(small, data["cancer"])])
    measured_on = machine.facts("keepfit", "scikit-learn", "numpy", "joblib", "SQLAlchemy")
    for name, found in searches(data).items():
        if not options.rows or name.startswith(tuple(options.rows)):
            figures = compare(found, options.n_jobs)
            row = {"search": name, "n_jobs": options.n_jobs, **figures}
            row.update(judged(name, options.n_jobs, figures["ratio"]))
            print(json.dumps(row), flush=True)
            keep({**row, **measured_on})


if __name__ == "__main__":
    main()
