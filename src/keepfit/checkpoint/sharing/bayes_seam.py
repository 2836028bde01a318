"""Naive Bayes by its smoothing, which comes last: what was counted is the same.

Private names used, in scikit-learn 1.6 to 1.9: of the discrete kinds ``_check_alpha`` and ``_update_feature_log_prob``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keepfit.checkpoint.sharing.case import Case, Refused, cloned, give_state

__all__ = ["DiscreteNaiveBayes", "GaussianNaiveBayes"]

#: scikit-learn warns of less.
_LEAST = 1e-10


class GaussianNaiveBayes(Case):
    """Gaussian naive Bayes, by ``var_smoothing``."""

    parameters = frozenset({"var_smoothing"})
    is_cheap = True

    def admits(self, estimator: Any) -> bool:
        return type(estimator.var_smoothing) in (int, float) and estimator.var_smoothing >= 0

    def prototype(self, kin: Sequence[Any]) -> Any:
        return cloned(kin[0], var_smoothing=0.0)

    def fit(self, estimator: Any, X: Any, *y: Any, **params: Any) -> Any:
        """The model without smoothing, and the variance that smoothing is a share of."""
        whole = cloned(estimator, var_smoothing=1.0).fit(X, *y, **params)
        return estimator.fit(X, *y, **params), whole.epsilon_

    def give(self, source: Any, target: Any) -> None:
        bare, variance = source
        if not np.isfinite(variance):
            raise Refused
        give_state(bare, target)
        target.epsilon_ = target.var_smoothing * variance
        target.var_ = bare.var_.copy()
        target.var_[:, :] += target.epsilon_


class DiscreteNaiveBayes(Case):
    """Naive Bayes over counts, by ``alpha``."""

    parameters = frozenset({"alpha"})
    is_cheap = True

    def admits(self, estimator: Any) -> bool:
        return type(estimator.alpha) in (int, float) and estimator.alpha >= _LEAST

    def give(self, source: Any, target: Any) -> None:
        give_state(source, target)
        target._update_feature_log_prob(target._check_alpha())
