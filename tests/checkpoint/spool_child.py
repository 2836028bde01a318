"""A search of few long groups by workers, in a process of its own, to be killed before any of them is through.

Each evaluation is written down: the fitted first step, which has a name of its own, and the value of ``C``.
"""

from __future__ import annotations

import os
import time
import uuid
from typing import Any

import numpy as np
from sklearn.datasets import load_iris
from sklearn.feature_selection import SelectKBest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import keepfit

SPLITS, CANDIDATES = 2, 40

#: The steps that candidates have in common: the second one warns of the constant column, so that nothing is shared.
FIRST_STEPS = {"shared": StandardScaler(), "warns": SelectKBest(k=2)}


def slow_score(estimator: Any, X: Any, y: Any) -> float:
    name = vars(estimator[0]).setdefault("name_", uuid.uuid4().hex)
    if "SPOOL_LOG" in os.environ:
        with open(os.environ["SPOOL_LOG"], "a") as log:
            log.write(f"{name} {estimator[-1].C!r}\n")
    time.sleep(float(os.environ.get("SPOOL_PAUSE_S", "0")))
    return float(estimator.decision_function(X).sum())


def search(kind: str, n_jobs: int) -> GridSearchCV:
    steps = Pipeline([("first", FIRST_STEPS[kind]), ("vectors", SVC())])
    grid = {"vectors__C": np.logspace(-2, 2, CANDIDATES).tolist()}
    return GridSearchCV(steps, grid, cv=SPLITS, scoring=slow_score, n_jobs=n_jobs, refit=False)


def data() -> tuple[Any, Any]:
    X, y = load_iris(return_X_y=True)
    return np.column_stack([X, np.ones(len(X))]), y


def run(store: str, kind: str, n_jobs: int) -> None:
    with keepfit.checkpoint(store, progress=False):
        search(kind, n_jobs).fit(*data())
