"""Linear models: one product of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from keepfit.serve.fast.step import Array, Step, formula_or_none, width_of
from keepfit.serve.formulas import Formula, Operation, softmax
from keepfit.serve.tensors import from_array

__all__ = ["classifier", "naive_bayes", "regressor"]


def regressor(model: Any, method: str) -> Step | None:
    """``predict`` of a linear regressor (`LinearModel`, `SGDRegressor`)."""
    width = width_of(model)
    if method != "predict" or width is None:
        return None
    weights, intercept = _weights(model), model.intercept_
    flat = np.ndim(weights) == 2 and weights.shape[1] == 1 and type(model).__name__ in _RAVELED

    def run(X: Array) -> Any:
        found = X @ weights + intercept
        return found.ravel() if flat else found

    return Step(run, width, formula=formula_or_none(lambda: Formula(method, width, _product(model), is_flat=flat)))


#: Regressors whose answer is one column whatever their coefficients are.
_RAVELED = frozenset({"SGDRegressor", "LinearSVR"})


def classifier(model: Any, method: str) -> Step | None:
    """The methods of a linear classifier (`LinearClassifierMixin`).

    Notes
    -----
    Probabilities are those of ``LogisticRegression.predict_proba``: the logistic function for two classes, softmax for
    more. A model that has others (one-against-the-rest) differs from this, and so has no fast way.
    """
    width = width_of(model)
    if width is None or getattr(model.classes_, "ndim", 0) != 1:
        return None
    weights, intercept, classes = _weights(model), model.intercept_, model.classes_

    def decide(X: Array) -> Array:
        scores: Array = X @ weights + intercept
        return scores.reshape(-1) if scores.ndim > 1 and scores.shape[1] == 1 else scores

    def predict(X: Array) -> Any:
        scores = decide(X)
        places = (scores > 0).astype(np.intp) if scores.ndim == 1 else scores.argmax(axis=1)
        return classes.take(places)

    def probabilities(X: Array) -> Array:
        scores = decide(X)
        return _logistic(scores) if scores.ndim == 1 else softmax(scores)

    run = {"decision_function": decide, "predict": predict, "predict_proba": probabilities}.get(method)
    return None if run is None else Step(run, width, formula=formula_or_none(lambda: _formula(model, method, width)))


def naive_bayes(model: Any, method: str) -> Step | None:
    """``predict`` of `GaussianNB`."""
    width = width_of(model)
    if method != "predict" or width is None:
        return None
    classes = model.classes_
    parts = [
        (np.log(prior), -0.5 * np.sum(np.log(2.0 * np.pi * variance)), mean, variance)
        for prior, mean, variance in zip(model.class_prior_, model.theta_, model.var_, strict=True)
    ]

    def run(X: Array) -> Any:
        likelihoods = [
            prior + (constant - 0.5 * np.sum(((X - mean) ** 2) / variance, 1))
            for prior, constant, mean, variance in parts
        ]
        return classes[np.argmax(np.array(likelihoods).T, axis=1)]

    return Step(run, width)


def _formula(model: Any, method: str, width: int) -> Formula | None:
    """Of a classifier's method. Probabilities of two classes have none: the function they take is SciPy's."""
    is_binary = len(model.coef_) == 1
    operations = _product(model)
    if method == "predict":
        labels = [from_array(method, model.classes_[place : place + 1]) for place in range(len(model.classes_))]
        data = tuple(bytes(label.data) for label in labels)
        return Formula(method, width, operations, "label", datatype=labels[0].datatype, labels=data)
    if method == "decision_function":
        return Formula(method, width, operations, is_flat=is_binary)
    return None if is_binary else Formula(method, width, operations, "softmax")


def _product(model: Any) -> tuple[Operation, ...]:
    return Operation.of("matmul", _weights(model)), Operation.of("add", model.intercept_)


def _weights(model: Any) -> Array:
    coefficients: Array = model.coef_
    return coefficients.T if coefficients.ndim == 2 else coefficients


def _logistic(scores: Array) -> Array:
    from scipy.special import expit

    found = np.empty((len(scores), 2), dtype=scores.dtype)
    expit(scores, out=scores)
    np.subtract(1, scores, out=found[:, 0])
    found[:, 1] = scores
    return found
