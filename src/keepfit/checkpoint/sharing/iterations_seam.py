"""Boosting by XGBoost and LightGBM, by how many rounds: the smaller model is the beginning of the larger.

Their scikit-learn classes answer from a booster that can be told where to stop.

Private names used, in XGBoost 2 to 3: ``_Booster`` of its estimators.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from keepfit.checkpoint.sharing.case import Case, Refused, attach, give_state, is_count, is_seed

__all__ = ["LightGBM", "XGBoost"]


class XGBoost(Case):
    """``n_estimators`` of XGBoost: a slice of a booster is the booster of fewer rounds."""

    parameters = frozenset({"n_estimators"})

    def admits(self, estimator: Any) -> bool:
        return (
            is_count(estimator.n_estimators)
            and is_seed(estimator.random_state)
            and estimator.booster in (None, "gbtree")
            and estimator.early_stopping_rounds is None
            and estimator.callbacks is None
            and not estimator.verbosity
        )

    def cost(self, estimator: Any) -> float:
        return float(estimator.n_estimators)

    def give(self, source: Any, target: Any) -> None:
        give_state(source, target)
        if source.get_booster().num_boosted_rounds() != source.n_estimators:
            raise Refused
        target._Booster = source.get_booster()[: target.n_estimators]


class LightGBM(Case):
    """``n_estimators`` of LightGBM: its methods take how many rounds are to answer."""

    parameters = frozenset({"n_estimators"})

    def admits(self, estimator: Any) -> bool:
        return (
            is_count(estimator.n_estimators)
            and is_seed(estimator.random_state)
            and estimator.boosting_type == "gbdt"
            and not _ALIASES & estimator.get_params().keys()
        )

    def cost(self, estimator: Any) -> float:
        return float(estimator.n_estimators)

    def give(self, source: Any, target: Any) -> None:
        if source.booster_.current_iteration() != source.n_estimators:
            raise Refused  # it may end before
        give_state(source, target)
        for name in ("predict", "predict_proba", "decision_function"):  # the last from 4.7 on
            if hasattr(target, name):
                attach(target, name, partial(_answer, target, name))


#: Other names for how many rounds there are, and for ending before.
_ALIASES = frozenset(
    {
        *("num_iterations", "num_iteration", "n_iter", "num_tree", "num_trees", "num_round", "num_rounds", "nrounds"),
        *("num_boost_round", "max_iter"),
        *("early_stopping_round", "early_stopping_rounds", "early_stopping", "n_iter_no_change"),
    }
)


def _answer(model: Any, name: str, X: Any, *args: Any, **params: Any) -> Any:
    """A method of LightGBM by the first rounds, unless it is told how many: `predict` tells `predict_proba`."""
    if not args and params.get("num_iteration") is None:
        params["num_iteration"] = model.n_estimators
    return getattr(type(model), name)(model, X, *args, **params)
