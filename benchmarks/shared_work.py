"""What sharing work saves: searches inside ``keepfit.checkpoint`` and plain, in one run, with equal scores to the bit.

Prints one line of JSON for each search: seconds of wall time, their ratio, the tasks and the fits they took. Run it on
an otherwise idle machine. The first search of each kind warms the libraries up.
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
    plain_s = shared_s = 0.0
    tasks = fits = 0
    for estimator, grid, (X, y) in found:
        search = GridSearchCV(estimator, grid, cv=5, refit=False, n_jobs=n_jobs)
        start_s = time.perf_counter()
        plain = columns(search.fit(X, y))
        plain_s += time.perf_counter() - start_s
        with tempfile.TemporaryDirectory() as folder:
            start_s = time.perf_counter()
            with keepfit.checkpoint(Path(folder) / "state.db", progress=False) as run:
                search.fit(X, y)
            shared_s += time.perf_counter() - start_s
        assert columns(search) == plain, "scores differ"
        assert run.notes == [], run.notes
        tasks += run.computed
        fits += run.searches[0].fit_count
    figures = {"plain_s": plain_s, "shared_s": shared_s, "ratio": plain_s / shared_s}
    return {**{name: round(value, 2) for name, value in figures.items()}, "tasks": tasks, "fits": fits}


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
