"""The models that dumping and loading are measured on, each with rows to predict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

__all__ = ["MODELS"]

#: A model and rows it predicts.
Made = tuple[Any, Any]

X, y = make_classification(5000, 20, n_informative=10, n_classes=3, random_state=0)
TWO = y % 2


def fitted(model: Any, rows: Any = X, target: Any = y) -> Made:
    return model.fit(rows, target), rows[:5]


def deep() -> Made:
    rows, target = make_classification(20_000, 20, n_informative=10, random_state=0, flip_y=0.2)
    return fitted(RandomForestClassifier(100, random_state=0, n_jobs=2), rows, target)


def outputs() -> Made:
    return fitted(ExtraTreesRegressor(100, random_state=0), *make_regression(2000, 20, n_targets=5, random_state=0))


def neighbors_128_mb() -> Made:
    rows = np.random.RandomState(0).rand(800_000, 20)
    return fitted(KNeighborsClassifier(algorithm="brute"), rows, np.arange(800_000) % 3)


def words() -> Made:
    rng = np.random.RandomState(0)
    vocabulary = np.array([f"word{number:06d}" for number in range(60_000)])
    texts = [" ".join(part) for part in np.array_split(rng.permutation(vocabulary), 500)]
    return fitted(make_pipeline(TfidfVectorizer(), SGDClassifier(random_state=0)), texts, np.arange(500) % 2)


def columns() -> Made:
    frame = pd.DataFrame(X[:, :10]).add_prefix("n")
    for number in range(5):
        frame[f"c{number}"] = np.array([f"value {value:03d}" for value in (X[:, number] * 20).astype(int) % 50])
    transformer = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), [f"c{number}" for number in range(5)]), remainder=StandardScaler()
    )
    return fitted(make_pipeline(transformer, LogisticRegression(max_iter=200)), frame)


def stacked() -> Made:
    members: list[tuple[str, Any]] = [
        ("lr", make_pipeline(StandardScaler(), LogisticRegression())),
        ("nb", GaussianNB()),
        ("tree", DecisionTreeClassifier(random_state=0)),
        ("rf", RandomForestClassifier(20, random_state=0)),
        ("knn", KNeighborsClassifier()),
    ]
    return fitted(StackingClassifier(members, cv=3))


def many_neighbors() -> Made:
    return {k: KNeighborsClassifier(k, algorithm="brute").fit(X, y) for k in range(1, 100)}, X[:5]


def searched() -> Made:
    return fitted(GridSearchCV(RandomForestClassifier(20, random_state=0), {"max_depth": range(2, 12)}, cv=3))


MODELS: dict[str, Callable[[], Made]] = {
    "logistic pipeline": lambda: fitted(make_pipeline(StandardScaler(), LogisticRegression())),
    "forest, 100 deep": deep,
    "forest, 500 shallow": lambda: fitted(RandomForestClassifier(500, max_depth=3, random_state=0)),
    "forest, 2,000": lambda: fitted(RandomForestClassifier(2000, max_depth=6, random_state=0)),
    "extra trees, 5 outputs": outputs,
    "gradient boosting, 100": lambda: fitted(GradientBoostingClassifier(n_estimators=100, random_state=0), X, TWO),
    "gradient boosting, 1,000": lambda: fitted(GradientBoostingClassifier(n_estimators=1000, random_state=0), X, TWO),
    "hist boosting, 100": lambda: fitted(HistGradientBoostingClassifier(max_iter=100, early_stopping=False)),
    "kNN on 128 MB": neighbors_128_mb,
    "kNN, kd_tree": lambda: fitted(
        KNeighborsClassifier(algorithm="kd_tree"), make_regression(50_000, 5, random_state=0)[0], np.arange(50_000) % 3
    ),
    "SVC": lambda: fitted(SVC()),
    "MLP": lambda: fitted(MLPClassifier((100, 100), max_iter=5, random_state=0)),
    "tf-idf, 60,000 words": words,
    "one-hot on mixed columns": columns,
    "KMeans": lambda: fitted(KMeans(50, n_init=1, random_state=0)),
    "stacking of five": stacked,
    "99 kNN on one data set": many_neighbors,
    "GridSearchCV": searched,
}
