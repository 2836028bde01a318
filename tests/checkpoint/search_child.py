"""A search in a process of its own, to be stopped or killed: 160 tasks of some milliseconds.

``search_child.py STORE RESULTS [--n-jobs N] [--log FILE] [--plain]``, pausing PAUSE_S seconds in each fit. Prints
"searching" when it begins, writes its scores to RESULTS at its end, and a line per fit to the log: the candidate and
the split.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import time

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import GridSearchCV, KFold

import keepfit

SPLITS, SAMPLES = 4, 80


class Slow(ClassifierMixin, BaseEstimator):
    """Takes its time, and writes down that it was fitted."""

    def __init__(self, weight: float = 0.0, log: str | None = None) -> None:
        self.weight, self.log = weight, log

    def fit(self, X, y):
        time.sleep(float(os.environ.get("PAUSE_S", "0.01")))  # no parameter: it does not change the result
        split = (set(range(SAMPLES)) - set(X[:, 0].astype(int))).pop() // (SAMPLES // SPLITS)
        if "BUSY_ROUNDS" in os.environ:  # in compiled code, where Python cannot run a signal handler
            hashlib.pbkdf2_hmac("sha256", b"", b"", int(os.environ["BUSY_ROUNDS"]))
        if self.log is not None:
            with open(self.log, "a") as log:
                log.write(f"{self.weight!r} {split}\n")
        self.classes_ = np.unique(y)
        self.direction_ = (X[y == 1].mean(axis=0) - X[y == 0].mean(axis=0)) * np.linspace(1, self.weight, X.shape[1])
        return self

    def predict(self, X):
        return (X[:, 1:] @ self.direction_[1:] > self.weight).astype(int)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("results")
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--log")
    parser.add_argument("--plain", action="store_true")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    X = np.column_stack([np.arange(SAMPLES), rng.normal(size=(SAMPLES, 5))])
    y = (X[:, 1] + rng.normal(size=SAMPLES) > 0).astype(int)
    grid = {"weight": np.linspace(0, 2, 40).tolist()}
    estimator = Slow(log=options.log)
    search = GridSearchCV(estimator, grid, cv=KFold(SPLITS), n_jobs=options.n_jobs, refit=False)
    block = contextlib.nullcontext() if options.plain else keepfit.checkpoint(options.store)
    with block:
        print("searching", os.getpid(), flush=True)
        search.fit(X, y)
    scores = np.stack([search.cv_results_[f"split{number}_test_score"] for number in range(SPLITS)])
    np.savez(options.results, scores=scores)


if __name__ == "__main__":
    main()
