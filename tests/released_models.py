"""Small models of many kinds for the corpus of released files, and plain values of every kind."""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import uuid
import warnings
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

__all__ = ["models", "values"]

_TEXTS = ["a cat sat", "a dog ran", "cats and dogs", "dogs ran", "a cat ran", "the cat"]


def models() -> dict[str, tuple[Any, Any]]:
    """Fitted models by name, each with rows to ask it about."""
    X, y = load_iris(return_X_y=True)
    X, y = X[::5].copy(), y[::5]
    cases = {
        "column_transformer": make_column_transformer((OneHotEncoder(), [3]), (MinMaxScaler(), [0, 1])),
        "decision_tree": DecisionTreeClassifier(max_depth=3, random_state=0),
        "gaussian_nb": GaussianNB(),
        "hist_gradient_boosting": HistGradientBoostingClassifier(max_iter=3, max_leaf_nodes=3, random_state=0),
        "kmeans": KMeans(3, n_init=1, random_state=0),
        "knn_kd_tree": KNeighborsClassifier(algorithm="kd_tree", leaf_size=5),
        "pca_logistic": make_pipeline(StandardScaler(), PCA(2), LogisticRegression()),
        "pca_ridge": make_pipeline(MinMaxScaler(), PCA(2), Ridge()),
        "random_forest": RandomForestRegressor(12, max_depth=2, random_state=0),
        "svc": SVC(),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: dict[str, tuple[Any, Any]] = {name: (model.fit(X, y), X[:3]) for name, model in cases.items()}
        texts = make_pipeline(CountVectorizer(), MultinomialNB()).fit(_TEXTS, [0, 1, 0, 1, 0, 1])
    return {**found, "texts": (texts, _TEXTS[:2]), "values": (values(), None)}


def values() -> dict[Any, Any]:
    """Values of many types, among them those that other formats change in silence."""
    shared = [1.5, float("inf"), -0.0]
    frozen = np.arange(6.0).reshape(2, 3)
    frozen.flags.writeable = False
    return {
        "numbers": (None, True, 1, 2**80, -(2**63), 1.5, 1 + 2j, np.float32(1.5), np.int8(-1), np.bool_(True)),
        "texts": ["é", "", "a\x00b", b"\xff", bytearray(b"x")],
        True: "keys that are equal in other formats",
        None: {2: "int", 2.5: "float", (1, "a"): "tuple", frozenset({1}): "frozenset"},
        "collections": [collections.OrderedDict(a=1), collections.deque([1], 3), collections.Counter("aab"), {1, 2}],
        "times": [datetime.datetime(2026, 1, 2, 3, 4, 5, 6), datetime.timedelta(1, 2, 3), datetime.date(2026, 1, 2)],
        "exact": [decimal.Decimal("1.10"), fractions.Fraction(1, 3), uuid.UUID(int=5), slice(1, None, 2), range(3)],
        "arrays": [
            np.asfortranarray(np.arange(6).reshape(2, 3)),
            frozen,
            np.array(3 + 4j),
            np.array(["a", "bcd"]),
            np.array(["2026-01-02", "NaT"], "M8[D]"),
            np.array([(1, 2.5)], [("a", "<i4"), ("b", "<f8")]),
            np.array([None, "x", 2], object),
            np.zeros((0, 3), np.float16),
            np.ma.masked_array([1, 2, 3], [0, 1, 0], fill_value=9),
        ],
        "sparse": [scipy.sparse.csr_matrix(np.eye(3)), scipy.sparse.coo_array(np.eye(2))],
        "random": [np.random.RandomState(0), np.random.default_rng(0)],
        "shared": [shared, shared],
    }
