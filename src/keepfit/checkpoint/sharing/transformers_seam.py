"""Transformers that work out everything and keep some of it.

Private names used, in scikit-learn 1.6 to 1.9: of PCA ``_fit`` with what it returns and ``_fit_svd_solver``; the names
of the score functions in ``sklearn.feature_selection``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keepfit.checkpoint.sharing.case import Case, Refused, attach, cloned, give_state, is_count

__all__ = ["PCA", "SelectKBest", "SelectPercentile"]


class PCA(Case):
    """Principal components, by how many, where the solver works out all of them."""

    parameters = frozenset({"n_components"})

    def admits(self, estimator: Any) -> bool:
        return is_count(estimator.n_components) and estimator.svd_solver in ("auto", "full", "covariance_eigh")

    def prototype(self, kin: Sequence[Any]) -> Any:
        return cloned(kin[0], n_components=None)

    def fit(self, estimator: Any, X: Any, *y: Any, **params: Any) -> Any:
        return estimator, estimator._fit(X)

    def give(self, source: Any, target: Any) -> None:
        whole, (_, _, Vt, X, *_) = source
        count = target.n_components
        small = max(X.shape) <= 500
        if count > min(X.shape) or (target.svd_solver == "auto" and whole._fit_svd_solver == "full" and not small):
            raise Refused  # the solver may depend on how many
        give_state(whole, target)
        variance = whole.explained_variance_
        target.noise_variance_ = np.mean(variance[count:]) if count < min(X.shape) else 0.0
        target.n_components_ = count
        target.components_ = np.array(Vt[:count], copy=True)
        for name in ("explained_variance_", "explained_variance_ratio_", "singular_values_"):
            setattr(target, name, np.array(getattr(whole, name)[:count], copy=True))

    def transformed(self, source: Any, target: Any, X: Any, y: Any) -> Any:
        U, *rest = source[1]
        # Its own `fit_transform` goes on from what `_fit` returns, and works in place on it.
        attach(target, "_fit", lambda _: (None if U is None else U.copy(order="K"), *rest))
        try:
            return target.fit_transform(X, y)
        finally:
            del target._fit


#: Score functions that draw nothing at random.
_SCORES = ("f_classif", "chi2", "f_regression", "r_regression")


class SelectKBest(Case):
    """The best columns by a score of each, by how many."""

    parameters = frozenset({"k"})

    def admits(self, estimator: Any) -> bool:
        function = estimator.score_func
        known = getattr(function, "__module__", "") == "sklearn.feature_selection._univariate_selection"
        return known and function.__name__ in _SCORES and self._is_share(estimator)

    def _is_share(self, estimator: Any) -> bool:
        return is_count(estimator.k)

    def give(self, source: Any, target: Any) -> None:
        if target.k > source.n_features_in_:
            raise Refused  # it warns
        give_state(source, target)


class SelectPercentile(SelectKBest):
    """The best columns by a score of each, by their share."""

    parameters = frozenset({"percentile"})

    def _is_share(self, estimator: Any) -> bool:
        return type(estimator.percentile) in (int, float) and 0 <= estimator.percentile <= 100

    def give(self, source: Any, target: Any) -> None:
        give_state(source, target)
