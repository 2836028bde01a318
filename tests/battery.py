"""Every estimator of scikit-learn, fitted on small data that it accepts: what tables and tests are made from."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import clone, is_classifier, is_outlier_detector, is_regressor
from sklearn.linear_model import LogisticRegression
from sklearn.utils import get_tags
from sklearn.utils._test_common.instance_generator import _construct_instances
from sklearn.utils.discovery import all_estimators

#: Methods whose output tells what a fitted model does.
METHODS = (
    "predict", "predict_proba", "decision_function", "transform", "score_samples", "predict_log_proba",
    "kneighbors", "apply", "inverse_transform",
)  # fmt: skip

_TEXT = [
    "the cat sat on the mat",
    "a dog ate my homework",
    "cats and dogs",
    "the mat is flat",
    "homework is hard",
] * 8
_RECORDS = [{"colour": colour, "size": float(size)} for size, colour in enumerate(["red", "green", "blue", "red"] * 10)]


def names() -> list[str]:
    """The names of all estimators."""
    return [name for name, _ in all_estimators()]


def instances(cls: type) -> list[Any]:
    """Unfitted estimators of a class, as scikit-learn's own checks make them."""
    if cls.__name__ == "FrozenEstimator":  # has no instance in scikit-learn's checks
        return [cls(LogisticRegression().fit([[0.0], [1.0]], [0, 1]))]
    if cls.__name__ == "SparseCoder":  # has a dictionary for data of another width there
        return [cls(dictionary=np.random.RandomState(0).normal(size=(5, 4)))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(_construct_instances(cls))


def data_for(estimator: Any) -> tuple[Any, Any]:
    """X and y that the estimator can be fitted on."""
    name = type(estimator).__name__
    if name == "FrozenEstimator":
        return [[0.0], [1.0], [0.5]], [0, 1, 1]
    rng = np.random.RandomState(0)
    if name in ("CountVectorizer", "HashingVectorizer", "TfidfVectorizer"):
        return _TEXT, None
    if name in ("DictVectorizer", "FeatureHasher"):
        return _RECORDS, None
    tags = get_tags(estimator)
    X = rng.normal(size=(40, 4))
    X[:, 3] = np.round(X[:, 3])
    if tags.input_tags.one_d_array and not tags.input_tags.two_d_array:
        return rng.randint(0, 3, 40), rng.randint(0, 3, 40)
    if tags.input_tags.positive_only or name in ("CategoricalNB", "AdditiveChi2Sampler", "SkewedChi2Sampler"):
        X = np.abs(X)
    if name == "CategoricalNB":
        X = np.floor(X * 2)
    if tags.input_tags.pairwise:
        from sklearn.metrics.pairwise import rbf_kernel

        X = rbf_kernel(X) if name not in ("NearestNeighbors",) else np.abs(X @ X.T)
    y = rng.randint(0, 3, 40)
    if tags.classifier_tags is not None and not tags.classifier_tags.multi_class:
        y = y % 2
    if is_regressor(estimator) or is_outlier_detector(estimator):
        y = X[:, 0] * 2 + rng.normal(size=40)
        if tags.target_tags.positive_only:
            y = np.abs(y) + 0.5
    if name == "IsotonicRegression":
        X = X[:, :1]
    if not tags.target_tags.single_output or name.startswith("MultiTask"):
        y = np.c_[y, rng.randint(0, 2, 40)] if not is_regressor(estimator) else np.c_[y, y**2]
    if name in ("MultiLabelBinarizer",):
        return [("a", "b"), ("c",), ("a",), ()] * 10, None
    if name in ("LabelBinarizer", "LabelEncoder"):
        return rng.randint(0, 3, 40), None
    if is_classifier(estimator) and name in ("MultiOutputClassifier", "ClassifierChain"):
        y = np.c_[rng.randint(0, 2, 40), rng.randint(0, 2, 40)]
    if name in ("RANSACRegressor",):
        y = X[:, 0] * 2
    return X, y


def fitted() -> Iterator[tuple[str, Any, Any]]:
    """Every instance of every estimator, fitted: its name with a number, the estimator, the X it was fitted on."""
    for cls in (cls for _, cls in all_estimators()):
        for number, estimator in enumerate(instances(cls)):
            yield from fit(f"{cls.__name__}-{number}", estimator)


def fit(label: str, estimator: Any) -> Iterator[tuple[str, Any, Any]]:
    """One estimator fitted, with its label and X."""
    estimator = clone(estimator)
    if "random_state" in estimator.get_params():
        estimator.set_params(random_state=0)
    X, y = data_for(estimator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.random.seed(0)
        estimator.fit(X) if y is None else estimator.fit(X, y)
    # A copy: some estimators compare X with what they were fitted on by identity, and then skip arithmetic.
    yield label, estimator, copy.deepcopy(X)


def outputs(estimator: Any, X: Any) -> dict[str, Any]:
    """What each method gives for X; the type of the error where a method refuses it."""
    found: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for method in METHODS:
            try:
                call = getattr(estimator, method)
            except AttributeError:
                continue
            np.random.seed(0)
            try:
                found[method] = call(X)
            except Exception as error:  # the error is the output
                found[method] = f"{type(error).__name__}: {error}"
    return found


__all__ = ["METHODS", "data_for", "fit", "fitted", "instances", "names", "outputs"]
