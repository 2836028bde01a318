"""A search in a process of its own that others share. Each evaluation is written down in a file.

It writes how many tasks it computed, how many it took and what it found into a file. Nobody goes on before a number of
processes have begun to evaluate.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

import keepfit


def slow_score(estimator: Any, X: Any, y: Any) -> float:
    log = Path(os.environ["LEASE_LOG"])
    with log.open("a") as file:
        file.write(f"{os.environ['LEASE_OWNER']}\n")
    while len(set(log.read_text().split())) < int(os.environ["LEASE_COUNT"]):
        time.sleep(0.01)
    time.sleep(0.03)
    return float(estimator.score(X, y))


class Unkeepable(DecisionTreeClassifier):
    """Its fitted state is none that a file can hold."""

    def fit(self, X: Any, y: Any) -> Unkeepable:
        self.trace_ = lambda: None
        return super().fit(X, y)


def found(kind: str) -> bytes:
    X, y = load_iris(return_X_y=True)
    if kind == "unkeepable":
        return cross_validate(Unkeepable(random_state=0), X, y, cv=6, return_estimator=True)["test_score"].tobytes()
    if kind == "shared":
        search = GridSearchCV(KNeighborsClassifier(), {"n_neighbors": list(range(1, 80))}, cv=9, refit=False)
    else:
        search = GridSearchCV(
            DecisionTreeClassifier(random_state=0),
            {"max_depth": list(range(1, 16))},
            cv=4,
            scoring=slow_score,
            n_jobs=2 if kind == "workers" else 1,
            refit=False,
        )
    search.fit(X, y)
    return b"".join(np.asarray(search.cv_results_[f"split{at}_test_score"]).tobytes() for at in range(search.cv))


def prepare(log: str, count: str) -> None:
    """Workers inherit it."""
    os.environ.update(LEASE_LOG=log, LEASE_OWNER=str(os.getpid()), LEASE_COUNT=count)


def main(place: str, log: str, kind: str, count: str, answer: str) -> None:
    prepare(log, count)
    with keepfit.checkpoint(place, progress=False) as run:
        digest = hashlib.sha256(found(kind)).hexdigest()
    Path(answer).write_text(f"{run.computed} {run.reused} {digest}")


if __name__ == "__main__":
    main(*sys.argv[1:])
