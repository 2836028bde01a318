"""What sharing work saves: searches inside ``keepfit.checkpoint`` and plain, in one run, with equal scores to the bit.

Prints one line of JSON for each row: seconds of wall time, their ratio and that of processor time, the tasks and the
fits they took. Run it on an otherwise idle machine; on a busy one the ratio of processor time says more.

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
from sklearn.datasets import load_breast_cancer, load_digits, make_classification
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
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
PCA_SVC = Pipeline([("scale", StandardScaler()), ("pca", PCA(svd_solver="full")), ("svc", SVC())])


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
    """All searches of a row, plain and then on one store."""
    tried = [(GridSearchCV(one, grid, cv=5, refit=False, n_jobs=n_jobs), data) for one, grid, data in found]
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
    plain_s, shared_s = middle_s[0] - start_s[0], end_s[0] - middle_s[0]
    figures = {"plain_s": plain_s, "shared_s": shared_s, "ratio": plain_s / shared_s}
    if n_jobs == 1:
        figures["processor_ratio"] = (middle_s[1] - start_s[1]) / (end_s[1] - middle_s[1])
    counts = {"tasks": run.computed, "fits": sum(search.fit_count for search in run.searches)}
    return {**{name: round(value, 2) for name, value in figures.items()}, **counts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", help="beginnings of the names of rows; all by default")
    parser.add_argument("--n-jobs", type=int, default=1)
    options = parser.parse_args()
    wide = make_classification(n_samples=600, n_features=400, n_informative=20, random_state=0)
    data = {"wide": wide, "digits": load_digits(return_X_y=True), "cancer": load_breast_cancer(return_X_y=True)}
    GridSearchCV(DecisionTreeClassifier(), {"max_depth": [1, 2]}, n_jobs=options.n_jobs).fit(*data["cancer"])
    for name, found in searches(data).items():
        if not options.rows or name.startswith(tuple(options.rows)):
            print(json.dumps({"search": name, "n_jobs": options.n_jobs, **compare(found, options.n_jobs)}), flush=True)


if __name__ == "__main__":
    main()
