"""Boosting whose stages build on those before them only: the smaller model is the beginning of the larger.

A stage adds to the raw prediction in place, one stage after the other, so a candidate goes on from where the one before
it ended.

Private names used, in scikit-learn 1.6 to 1.9: ``sklearn.ensemble._gradient_boosting.predict_stages``; of gradient
boosting ``_raw_predict`` and ``_raw_predict_init``; of its histogram-based kin ``_predictors``, ``_predict_iterations``
and ``do_early_stopping_``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from keepfit.checkpoint.sharing.case import Answers, Case, Refused, attach, give_state, grows
from keepfit.checkpoint.sharing.memory import RowsMemory

__all__ = ["GradientBoosting", "HistGradientBoosting"]


class GradientBoosting(Case):
    """Gradient boosting, by how many stages. Not with early stopping, which looks at the last ones."""

    parameters = frozenset({"n_estimators"})

    def admits(self, estimator: Any) -> bool:
        return grows(estimator, estimator.n_estimators) and estimator.n_iter_no_change is None

    def cost(self, estimator: Any) -> float:
        return float(estimator.n_estimators)

    def give(self, source: Any, target: Any) -> None:
        give_state(source, target)
        count = target.n_estimators
        for name in ("estimators_", "train_score_", "oob_improvement_", "oob_scores_"):
            if hasattr(source, name):
                setattr(target, name, getattr(source, name)[:count].copy())
        target.n_estimators_ = count
        if hasattr(source, "oob_score_"):
            target.oob_score_ = target.oob_scores_[-1]

    def answers(self, source: Any, kin: Sequence[Any]) -> Answers | None:
        return _GradientAnswers()


class _Raw:
    """The raw prediction of the first stages on some rows."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows
        self._done = 0
        self._value: Any = None

    def of(self, count: int, start: Callable[[], Any], add: Callable[[int, int, Any], None]) -> Any:
        """The prediction after `count` stages, to keep."""
        if self._value is None or self._done > count:
            self._done, self._value = 0, start()
        if self._done < count:
            add(self._done, count, self._value)
            self._done = count
        return self._value.copy(order="K")


class _GradientAnswers:
    def __init__(self) -> None:
        self._raw = RowsMemory(_Raw)

    def attach(self, target: Any) -> None:
        attach(target, "_raw_predict", partial(self._answer, target))

    def _answer(self, model: Any, X: Any) -> Any:
        from sklearn.ensemble._gradient_boosting import predict_stages

        def add(done: int, count: int, raw: Any) -> None:
            predict_stages(model.estimators_[done:count], X, model.learning_rate, raw)

        return self._raw.of(X).of(len(model.estimators_), lambda: model._raw_predict_init(X), add)


class HistGradientBoosting(Case):
    """Histogram-based gradient boosting, by how many iterations. Not with early stopping."""

    parameters = frozenset({"max_iter"})

    def admits(self, estimator: Any) -> bool:
        return (
            grows(estimator, estimator.max_iter)
            and isinstance(estimator.early_stopping, (bool, str))
            and estimator.early_stopping in (False, "auto")
        )

    def cost(self, estimator: Any) -> float:
        return float(estimator.max_iter)

    def give(self, source: Any, target: Any) -> None:
        if source.do_early_stopping_ or len(source._predictors) != source.max_iter:
            raise Refused
        give_state(source, target)
        target._predictors = copy.copy(source._predictors[: target.max_iter])

    def answers(self, source: Any, kin: Sequence[Any]) -> Answers | None:
        return _HistAnswers()


class _HistAnswers:
    def __init__(self) -> None:
        self._raw = RowsMemory(_Raw)

    def attach(self, target: Any) -> None:
        attach(target, "_predict_iterations", partial(self._answer, target))

    def _answer(self, model: Any, X: Any, predictors: Any, raw: Any, *settings: Any) -> None:
        def add(done: int, count: int, out: Any) -> None:
            type(model)._predict_iterations(model, X, predictors[done:count], out, *settings)

        raw[:] = self._raw.of(X).of(len(predictors), lambda: raw.copy(order="K"), add)
