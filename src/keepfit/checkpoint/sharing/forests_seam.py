"""Ensembles whose members do not know how many they are: the smaller one is the beginning of the larger.

The seeds of the members are drawn one after the other, so the first n of a large ensemble are those of an ensemble of
n. Votes are added in scikit-learn's own order, member by member; a candidate goes on from the sum of the one before.
AdaBoost's own sums run over all members in another way, so there only the members' predictions are remembered.

Private names used, in scikit-learn 1.6 to 1.9: ``sklearn.ensemble._forest._accumulate_prediction``;
``_validate_X_predict`` of forests; ``sklearn.ensemble._bagging._parallel_predict_proba`` and
``_parallel_predict_regression``; ``_seeds``, ``_decision_path_lengths`` and ``_average_path_length_per_tree`` of fitted
ensembles; ``_prune_tree`` of trees.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from keepfit.checkpoint.sharing.case import Answers, Case, attach, cloned, give_state, grows
from keepfit.checkpoint.sharing.growing_seam import growing
from keepfit.checkpoint.sharing.memory import Recall, RowsMemory

__all__ = ["AdaBoost", "Bagging", "Forest", "IsolationForest"]


class Forest(Case):
    """Random forests and extra trees, by how many trees and by how much these are pruned."""

    parameters = frozenset({"n_estimators", "ccp_alpha"})

    def admits(self, estimator: Any) -> bool:
        return (
            grows(estimator, estimator.n_estimators)
            and not estimator.oob_score
            and type(estimator.ccp_alpha) in (int, float)
            and estimator.ccp_alpha >= 0
        )

    def cost(self, estimator: Any) -> float:
        return float(estimator.n_estimators)

    def prototype(self, kin: Sequence[Any]) -> Any:
        pruned = min(one.ccp_alpha for one in kin)
        alpha = pruned if all(one.ccp_alpha == pruned for one in kin) else 0.0
        return cloned(kin[0], n_estimators=max(one.n_estimators for one in kin), ccp_alpha=alpha)

    def fit(self, estimator: Any, X: Any, *y: Any, **params: Any) -> Any:
        with growing(estimator):
            return estimator.fit(X, *y, **params)

    def give(self, source: Any, target: Any) -> None:
        give_state(source, target)
        trees = source.estimators_[: target.n_estimators]
        if target.ccp_alpha != source.ccp_alpha:
            trees = [_pruned(tree, target.ccp_alpha) for tree in trees]
        target.estimators_ = trees

    def answers(self, source: Any, kin: Sequence[Any]) -> Answers | None:
        return _ForestAnswers()


def _pruned(tree: Any, alpha: float) -> Any:
    tree = copy.copy(tree)
    tree.ccp_alpha = alpha
    tree._prune_tree()
    return tree


def _runs_alone(ensemble: Any) -> bool:
    """Whether members answer one after the other: threads add in the order in which they come."""
    from joblib import effective_n_jobs

    return bool(effective_n_jobs(ensemble.n_jobs) == 1)


class _Sum:
    """The votes of the first members on some rows."""

    def __init__(self, rows: Any, start: Callable[[], list[Any]]) -> None:
        self.rows = rows
        self._start = start
        self._members: list[Any] = []
        self._out: list[Any] = []

    def of(self, members: Sequence[Any], add: Callable[[Any, list[Any]], None]) -> list[Any]:
        """The sums over `members`; those before them that were the same are not asked again."""
        done = len(self._members)
        if done > len(members) or any(one is not other for one, other in zip(self._members, members, strict=False)):
            done = 0
        if done == 0:
            self._out = self._start()
        for one in members[done:]:
            add(one, self._out)
        self._members = list(members)
        return [out / len(members) for out in self._out]


class _ForestAnswers:
    def __init__(self) -> None:
        self._sums: RowsMemory | None = None

    def attach(self, target: Any) -> None:
        if not _runs_alone(target):
            return
        if self._sums is None:
            self._sums = RowsMemory(partial(self._begin, target))
        name = "predict_proba" if hasattr(target, "classes_") else "predict"
        attach(target, name, partial(self._answer, target, name))

    def _begin(self, forest: Any, X: Any) -> _Sum:
        rows = forest._validate_X_predict(X)
        count = rows.shape[0]
        shapes: list[tuple[int, ...]]
        if hasattr(forest, "classes_"):
            shapes = [(count, classes) for classes in np.atleast_1d(forest.n_classes_)]
        else:
            shapes = [(count, forest.n_outputs_) if forest.n_outputs_ > 1 else (count,)]
        return _Sum(rows, lambda: [np.zeros(shape, dtype=np.float64) for shape in shapes])

    def _answer(self, forest: Any, name: str, X: Any) -> Any:
        from sklearn.ensemble._forest import _accumulate_prediction

        assert self._sums is not None
        votes, lock = self._sums.of(X), threading.Lock()
        if votes is None:
            return getattr(type(forest), name)(forest, X)

        def add(tree: Any, out: list[Any]) -> None:
            _accumulate_prediction(getattr(tree, name), votes.rows, out, lock)

        found = votes.of(forest.estimators_, add)
        return found[0] if len(found) == 1 else found


class Bagging(Case):
    """Bagging, by how many members."""

    parameters = frozenset({"n_estimators"})

    def admits(self, estimator: Any) -> bool:
        return grows(estimator, estimator.n_estimators) and not estimator.oob_score

    def cost(self, estimator: Any) -> float:
        return float(estimator.n_estimators)

    def give(self, source: Any, target: Any) -> None:
        give_state(source, target)
        count = target.n_estimators
        for name in ("estimators_", "estimators_features_", "_seeds"):
            setattr(target, name, getattr(source, name)[:count])

    def answers(self, source: Any, kin: Sequence[Any]) -> Answers | None:
        return _BaggingAnswers()


class _BaggingAnswers:
    def __init__(self) -> None:
        self._known: dict[int, Any] = {}

    def attach(self, target: Any) -> None:
        """Remember what each member says; the sums are scikit-learn's."""
        target.estimators_ = [self._remembering(one) for one in target.estimators_]

    def _remembering(self, member: Any) -> Any:
        if id(member) not in self._known:
            for name in ("predict", "predict_proba"):
                if hasattr(member, name):
                    attach(member, name, Recall(getattr(member, name)))
            self._known[id(member)] = member
        return member


class IsolationForest(Bagging):
    """Isolation forests, by how many trees. The threshold of a share of outliers is found with all trees: refused."""

    def admits(self, estimator: Any) -> bool:
        contamination = estimator.contamination
        return grows(estimator, estimator.n_estimators) and isinstance(contamination, str) and contamination == "auto"

    def give(self, source: Any, target: Any) -> None:
        super().give(source, target)
        for name in ("_decision_path_lengths", "_average_path_length_per_tree"):
            setattr(target, name, getattr(source, name)[: target.n_estimators])

    def answers(self, source: Any, kin: Sequence[Any]) -> Answers | None:
        return None


class AdaBoost(Case):
    """AdaBoost, by how many rounds. It may have ended before the last one."""

    parameters = frozenset({"n_estimators"})

    def admits(self, estimator: Any) -> bool:
        return grows(estimator, estimator.n_estimators)

    def cost(self, estimator: Any) -> float:
        return float(estimator.n_estimators)

    def give(self, source: Any, target: Any) -> None:
        give_state(source, target)
        for name in ("estimators_", "estimator_weights_", "estimator_errors_"):
            setattr(target, name, copy.copy(getattr(source, name)[: target.n_estimators]))

    def answers(self, source: Any, kin: Sequence[Any]) -> Answers | None:
        return _BaggingAnswers()
