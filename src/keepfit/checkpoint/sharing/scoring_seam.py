"""Accuracy, which classifiers are scored by unless another scorer is named.

scikit-learn's `accuracy_score` is the mean of ``y_true == y_pred``. Where labels are few, and all of them whole numbers
or all of them text, the rest of what it does (several times what predicting for one more neighbour costs) is to find
that out, which is done here once for each array of true labels.

Private names used, in scikit-learn 1.6 to 1.9: ``sklearn.metrics._scorer._PassthroughScorer``; of ``_Scorer``
``_score_func``, ``_sign``, ``_kwargs`` and ``_response_method``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from keepfit.checkpoint.scorers_seam import default_score
from keepfit.checkpoint.sharing.case import Plain
from keepfit.checkpoint.sharing_seam import passes

__all__ = ["Accuracy"]

#: Whole numbers, truth values, text.
_KINDS = "iubU"

#: With fewer rows for each class scikit-learn asks whether these are classes at all.
_ROWS_PER_CLASS = 5


class Accuracy:
    """What a scorer gives, where that is plain accuracy.

    Parameters
    ----------
    scorer : object
    estimator : estimator
        A candidate of the search.
    """

    def __init__(self, scorer: Any, estimator: Any) -> None:
        self._applies = _is_accuracy(scorer, estimator)
        self._labels: list[tuple[Any, bool]] = []

    def of(self, estimator: Any, X: Any, y: Any, params: Any) -> float | None:
        """The score of a fitted candidate; None if the scorer has to say.

        Raises
        ------
        Plain
            If the rows cannot be predicted.
        """
        if not self._applies or params or not self._are_few(y):
            return None
        try:
            found = _predicted(estimator, X)
            few = _ROWS_PER_CLASS * len(estimator.classes_) <= len(y)
        except Exception:  # the scorer tells it as it does
            raise Plain from None
        if not few or type(found) is not np.ndarray or found.shape != y.shape or found.dtype.kind != y.dtype.kind:
            return None
        return float(np.average(y == found))

    def _are_few(self, y: Any) -> bool:
        for labels, few in self._labels:
            if labels is y:
                return few
        few = type(y) is np.ndarray and y.ndim == 1 and y.dtype.kind in _KINDS
        few = few and 0 < _ROWS_PER_CLASS * len(np.unique(y)) <= len(y)
        self._labels.append((y, few))
        return few


def _predicted(estimator: Any, X: Any) -> Any:
    """What it predicts, without a pipeline's asking whether it is fitted."""
    from sklearn.pipeline import Pipeline

    if type(estimator) is not Pipeline:
        return estimator.predict(X)
    for _, step in estimator.steps[:-1]:
        if not passes(step):
            X = step.transform(X)
    return estimator.steps[-1][1].predict(X)


def _is_accuracy(scorer: Any, estimator: Any) -> bool:
    from sklearn.metrics import accuracy_score
    from sklearn.metrics._scorer import _PassthroughScorer, _Scorer

    if type(scorer) is _Scorer:
        plain = scorer._score_func is accuracy_score and scorer._sign == 1 and not scorer._kwargs
        return bool(plain and scorer._response_method == "predict")
    return type(scorer) is _PassthroughScorer and default_score(estimator) == "accuracy"
