"""What sharing work saves: searches inside ``keepfit.checkpoint`` and plain, in one run, with equal scores to the bit.

Prints one line of JSON for each row: seconds of wall time, their ratio and that of processor time, the processor time
that a task takes more (less where work is shared), the tasks and the fits they took. Run it on an otherwise idle
machine; on a busy one the ratio of processor time says more.

Components are shared on data as wide as those that components are taken of; on the 64 columns of the digits the vectors
take nearly all of the time, of which nothing is shared.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

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
#: Rows whose plain search takes less are run several times; medians are given.
LONG_S, REPEATS = 20.0, 5
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
    }


def columns(search: GridSearchCV) -> dict[str, bytes]:
    """All of cv_results_ but the times."""
    return {
        name: repr(np.asarray(values).tolist()).encode() if "param" in name else np.asarray(values).tobytes()
        for name, values in search.cv_results_.items()
        if "_time" not in name
    }


def compare(found: list[tuple[Any, dict[str, list[Any]], Any]], n_jobs: int) -> dict[str, Any]:
    """All searches of a row, plain and then on one store; several times where that takes little."""
    tried = [(GridSearchCV(one, grid, cv=5, refit=False, n_jobs=n_jobs), data) for one, grid, data in found]
    times: list[tuple[float, ...]] = []
    while not times or (len(times) < REPEATS and times[0][0] < LONG_S):
        start_s = time.perf_counter(), time.process_time()
        plain = [columns(search.fit(*data)) for search, data in tried]
        middle_s = time.perf_counter(), time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            with keepfit.checkpoint(Path(folder) / "state.db", progress=False) as run:
                for search, data in tried:
                    search.fit(*data)
            end_s = time.perf_counter(), time.process_time()
        assert [columns(search) for search, _ in tried] == plain, "scores differ"
        assert run.notes == [], run.notes
        plain_s, shared_s = np.subtract(middle_s, start_s), np.subtract(end_s, middle_s)
        times.append((*plain_s, *shared_s, *(plain_s / shared_s)))
    plain_s, plain_cpu_s, shared_s, shared_cpu_s, ratio, cpu_ratio = np.median(times, axis=0).tolist()
    figures = {"plain_s": plain_s, "shared_s": shared_s, "ratio": ratio}
    if n_jobs == 1:
        added_ms = 1000 * (shared_cpu_s - plain_cpu_s) / run.computed
        figures.update(processor_ratio=cpu_ratio, processor_ms_per_task=added_ms)
    counts = {"tasks": run.computed, "fits": sum(search.fit_count for search in run.searches), "runs": len(times)}
    return {**{name: round(value, 3) for name, value in figures.items()}, **counts}


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
    GridSearchCV(DecisionTreeClassifier(), {"max_depth": [1, 2]}, n_jobs=options.n_jobs).fit(*data["cancer"])
    for name, found in searches(data).items():
        if not options.rows or name.startswith(tuple(options.rows)):
            print(json.dumps({"search": name, "n_jobs": options.n_jobs, **compare(found, options.n_jobs)}), flush=True)


if __name__ == "__main__":
    main()
