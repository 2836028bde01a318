"""One-row predictions: scikit-learn's own method, the fast way, and `Served.answer` from tensor to tensor.

Prints a table of processor time in microseconds for each call (the median of rounds, so that a busy machine disturbs
little), on rows of 20 features; the nearest neighbours are searched among 10,000 rows, the rest is fitted on 2,000.
The last model is what `keepfit search` makes of a table: six columns of numbers and four of text, in a DataFrame.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from keepfit.serve.fast import prepare
from keepfit.serve.predicting import Served
from keepfit.serve.tensors import from_array

MODELS = {
    "logistic": LogisticRegression(),
    "ridge": Ridge(),
    "scaled logistic": make_pipeline(StandardScaler(), LogisticRegression()),
    "decision tree": DecisionTreeClassifier(random_state=0),
    "forest of 100": RandomForestClassifier(random_state=0),
    "extra trees of 100": ExtraTreesClassifier(random_state=0),
    "forest of 100, regression": RandomForestRegressor(random_state=0),
    "gradient boosting": GradientBoostingClassifier(),
    "histogram boosting": HistGradientBoostingClassifier(),
    "neighbours": KNeighborsClassifier(),
    "neighbours, regression": KNeighborsRegressor(),
    "neighbours by k-d tree": KNeighborsClassifier(algorithm="kd_tree"),
    "naive Bayes": GaussianNB(),
    "support vectors": SVC(),
    "neural network": MLPClassifier((32,), max_iter=50, random_state=0),
}


def call_us(call: Callable[[], Any], rounds: int, *, round_s: float = 0.02) -> float:
    """The median processor time of a call in microseconds."""
    call()
    start = time.process_time()
    call()
    count = max(1, int(round_s / max(time.process_time() - start, 1e-6)))
    times = []
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(count):
            call()
        times.append((time.process_time() - start) / count)
    return statistics.median(times) * 1e6


def figures(model: Any, row: Any, columns: list[np.ndarray], rounds: int) -> dict[str, float | None]:
    """Stock, fast and whole, in microseconds; the fast way is None where there is none."""
    served = Served(model, {})
    tensors = [from_array(field.name, column) for field, column in zip(served.signature.inputs, columns, strict=True)]
    fast = prepare(model, "predict") if isinstance(row, np.ndarray) else None
    return {
        "stock_us": call_us(lambda: model.predict(row), rounds),
        "fast_us": call_us(lambda: fast(row), rounds) if fast else None,
        "answer_us": call_us(lambda: served.answer(tensors, ("predict",)), rounds),
    }


def table_model() -> tuple[Any, pd.DataFrame, list[np.ndarray]]:
    """A pipeline over numbers and text, and one row for it."""
    rng = np.random.default_rng(0)
    numbers = {f"number {place}": rng.normal(size=2000) for place in range(6)}
    texts = {f"text {place}": rng.choice(list("abcde"), 2000).astype(object) for place in range(4)}
    frame = pd.DataFrame({**numbers, **texts})
    encode = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=30, sparse_output=False)
    steps = [
        ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), list(numbers)),
        ("texts", encode, list(texts)),
    ]
    model = make_pipeline(ColumnTransformer(steps), LogisticRegression()).fit(frame, rng.integers(0, 2, 2000))
    row = frame.iloc[[0]]
    return model, row, [row[name].to_numpy() for name in frame]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of a table")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    X, y = make_classification(10_000, 20, n_informative=8, random_state=0)
    row = X[:1].copy()
    found = {}
    for name, model in MODELS.items():
        n_rows = 10_000 if name.startswith("neighbours") else 2_000
        found[name] = figures(model.fit(X[:n_rows], y[:n_rows]), row, [row], arguments.rounds)
    found["a table of 10 columns"] = figures(*table_model(), arguments.rounds)
    if arguments.json:
        print(json.dumps(found))
        return
    print(f"{'':28}{'stock us':>10}{'fast us':>10}{'answer us':>11}")
    for name, times in found.items():
        fast = "" if times["fast_us"] is None else f"{times['fast_us']:.1f}"
        print(f"{name:28}{times['stock_us']:10.1f}{fast:>10}{times['answer_us']:11.1f}")


if __name__ == "__main__":
    main()
