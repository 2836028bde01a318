"""A search that shares work, in a process of its own, to be killed in the middle of a group."""

from __future__ import annotations

import time
from typing import Any

from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV

import keepfit


def slow_score(estimator: Any, X: Any, y: Any) -> float:
    time.sleep(0.02)
    return float(estimator.predict_proba(X)[:, 0].sum())


def search() -> GridSearchCV:
    grid = {"n_estimators": list(range(1, 31))}
    return GridSearchCV(RandomForestClassifier(random_state=0), grid, cv=3, scoring=slow_score, refit=False)


def run(store: str) -> None:
    with keepfit.checkpoint(store, progress=False):
        search().fit(*load_iris(return_X_y=True))
