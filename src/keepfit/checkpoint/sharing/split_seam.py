"""The evaluation of tasks of one split without cutting the data again for each.

`Split.evaluate` is scikit-learn's ``_fit_and_score`` for the case that all goes well and nothing is printed: the same
steps in the same order by the same functions, and a result with the same names. What does not go well is left to
scikit-learn's own. scikit-learn's own metrics leave the rows as they are, so all members may be given the same ones.

Private names used, in scikit-learn 1.6 to 1.9: ``sklearn.model_selection._validation._score``,
``sklearn.utils.metaestimators._safe_split``, ``sklearn.utils.validation._check_method_params``, the arguments and the
result of ``_fit_and_score``; ``sklearn.utils.parallel._FuncWrapper`` (its ``function``).
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from keepfit.checkpoint.sharing.scoring_seam import Accuracy
from keepfit.checkpoint.sharing_seam import leaves_rows

__all__ = ["Split", "goes_well", "in_place_of"]


def goes_well(arguments: Mapping[str, Any]) -> bool:
    """Whether nobody watches a task: nothing is printed and no progress bar is told."""
    from sklearn import get_config

    watched = arguments.get("verbose", 0) > 1 or getattr(arguments.get("caller"), "_skl_callbacks", None)
    return not watched and not get_config()["array_api_dispatch"]


def in_place_of(function: Any, other: Callable[..., Any]) -> Callable[..., Any]:
    """A function that runs under the settings and warning filters that scikit-learn sent along with another."""
    if not hasattr(function, "function"):
        return other
    wrapped: Callable[..., Any] = copy.copy(function)
    wrapped.function = other  # type: ignore[attr-defined]
    return wrapped


class Split:
    """The rows of one split and what goes with them."""

    def __init__(self) -> None:
        self._cut: tuple[Any, ...] | None = None
        self._accuracy: Accuracy | None = None

    def evaluate(self, estimator: Any, X: Any, y: Any, **task: Any) -> dict[str, Any]:
        """What ``_fit_and_score`` does."""
        from sklearn.base import clone

        _set_parameters(estimator, clone(task["parameters"], safe=False))
        start_s = time.time()
        if self._cut is None or not leaves_rows(task["scorer"]):
            self._cut = _cut(estimator, X, y, task)
        X_train, y_train, X_test, y_test, fit_params, train_params, test_params = self._cut
        estimator.fit(X_train, *(() if y_train is None else (y_train,)), **fit_params)
        fit_s = time.time() - start_s
        result: dict[str, Any] = {"fit_error": None}
        result["test_scores"] = self._score(estimator, X_test, y_test, test_params, task)
        score_s = time.time() - start_s - fit_s
        if task.get("return_train_score"):
            result["train_scores"] = self._score(estimator, X_train, y_train, train_params, task)
        if task.get("return_n_test_samples"):
            result["n_test_samples"] = _row_count(X_test)
        if task.get("return_times"):
            result.update(fit_time=fit_s, score_time=score_s)
        if task.get("return_parameters"):
            result["parameters"] = task["parameters"]
        return result

    def _score(self, estimator: Any, X: Any, y: Any, params: Any, task: Mapping[str, Any]) -> Any:
        from sklearn.model_selection._validation import _score

        if self._accuracy is None:
            self._accuracy = Accuracy(task["scorer"], estimator)
        score = self._accuracy.of(estimator, X, y, params)
        if score is not None:
            return score
        return _score(estimator, X, y, task["scorer"], params, task.get("error_score", np.nan))


def _set_parameters(estimator: Any, parameters: Mapping[str, Any]) -> None:
    """What ``set_params`` does with names that are known to be good: the plan has made the candidate once."""
    from sklearn.base import BaseEstimator
    from sklearn.pipeline import Pipeline

    holders = dict(estimator.steps) if type(estimator) is Pipeline else {"": estimator}
    places = {name: name.rpartition("__")[::2] for name in parameters}
    if all(
        getattr(type(holders.get(step)), "set_params", None) is BaseEstimator.set_params for step, _ in places.values()
    ):
        for name, (step, own) in places.items():
            setattr(holders[step], own, parameters[name])
    else:
        estimator.set_params(**parameters)


def _cut(estimator: Any, X: Any, y: Any, task: Mapping[str, Any]) -> tuple[Any, ...]:
    from sklearn.utils.metaestimators import _safe_split
    from sklearn.utils.validation import _check_method_params

    train, test = np.asarray(task["train"]), np.asarray(task["test"])
    fit_params, score_params = task.get("fit_params") or {}, task.get("score_params") or {}
    return (
        *_safe_split(estimator, X, y, train),
        *_safe_split(estimator, X, y, test, train),
        _check_method_params(X, params=fit_params, indices=train),
        _check_method_params(X, params=score_params, indices=train),
        _check_method_params(X, params=score_params, indices=test),
    )


def _row_count(X: Any) -> int:
    from sklearn.utils.validation import _num_samples

    return int(_num_samples(X))
