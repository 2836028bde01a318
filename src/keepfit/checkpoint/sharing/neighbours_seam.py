"""Nearest neighbours, by how many and how they are weighted: one query for the most of them serves all.

The k nearest of a row are the first k of more, unless the k-th and the next are equally far: then which of them is
taken depends on k. So each row has a certificate for each k. For a classifier all that counts is the class of each
neighbour: a tie of one class does no harm, nor does one that cannot turn the vote. Votes are added up in scikit-learn's
order, nearest first. Rows without the certificate are asked again the plain way.

Asking again for some rows alone gives what asking for all gives only where distances do not depend on the company of a
row: in the trees, and by brute force where the arithmetic is exact since all values are whole numbers. Otherwise all
rows are asked again.

Private names used, in scikit-learn 1.6 to 1.9: of fitted neighbours ``_fit_X``, ``_fit_method`` and ``_y``;
``sklearn.neighbors._base._get_weights``; ``sklearn.utils._openmp_helpers._openmp_effective_n_threads``.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from keepfit.checkpoint.sharing.case import Answers, Case, Refused, attach, give_state, is_count
from keepfit.checkpoint.sharing.memory import RowsMemory

__all__ = ["Neighbours"]

_Array = np.ndarray[Any, Any]


class Neighbours(Case):
    """``n_neighbors`` and ``weights`` of nearest neighbours."""

    parameters = frozenset({"n_neighbors", "weights"})
    is_cheap = True

    def admits(self, estimator: Any) -> bool:
        return (
            is_count(estimator.n_neighbors)
            and isinstance(estimator.weights, str)
            and estimator.weights in ("uniform", "distance")
            and isinstance(estimator.metric, str)
            and estimator.metric != "precomputed"
        )

    def prototype(self, kin: Sequence[Any]) -> Any:
        return min(kin, key=lambda one: int(one.n_neighbors))

    def fit(self, estimator: Any, X: Any, *y: Any, **params: Any) -> Any:
        fitted = estimator.fit(X, *y, **params)
        fitted._y = fitted._y.copy()  # a regression's are the caller's, and a metric may work in place on them
        return fitted

    def give(self, source: Any, target: Any) -> None:
        half = source._fit_X.shape[0] // 2
        differs = (source.n_neighbors >= half) != (target.n_neighbors >= half)
        if target.n_neighbors > source.n_samples_fit_ or (
            differs and source.algorithm == "auto" and source._fit_X.shape[1] <= 15
        ):
            raise Refused  # of few columns and many neighbours, it would not build a tree
        give_state(source, target)

    def answers(self, source: Any, kin: Sequence[Any]) -> Answers | None:
        return _Neighbours(source, max(one.n_neighbors for one in kin))


class _Neighbours:
    def __init__(self, source: Any, most: int) -> None:
        self._source = source
        self._count = min(most + 1, source.n_samples_fit_)
        self._rows = RowsMemory(self._query)
        self._fitted_is_whole: bool | None = None

    def attach(self, target: Any) -> None:
        plain = copy.copy(target)
        if hasattr(target, "classes_") and not target.outputs_2d_:
            attach(target, "predict", partial(self._predict, plain))
            attach(target, "predict_proba", partial(self._predict_proba, plain))
        else:
            attach(target, "kneighbors", partial(self._kneighbors, plain))

    def _query(self, X: Any) -> _Rows:
        distances, indices = self._source.kneighbors(X, self._count)
        rows = _Rows(distances, indices, self._source._y[indices], whole=self._count == self._source.n_samples_fit_)
        rows.stand_alone = self._stand_alone(X)
        return rows

    def _predict(self, model: Any, X: Any) -> Any:
        rows = self._rows.of(X)
        if rows is None:
            return model.predict(X)
        votes = rows.votes(model.n_neighbors, model.weights, len(model.classes_))
        labels = np.argmax(votes, axis=1)
        unsure = rows.may_turn(model.n_neighbors, model.weights, votes)
        found = model.classes_.take(labels)
        if unsure.any():
            found[unsure] = self._ask(model, "predict", X, unsure, rows)
        return found

    def _predict_proba(self, model: Any, X: Any) -> Any:
        rows = self._rows.of(X)
        if rows is None:
            return model.predict_proba(X)
        votes = rows.votes(model.n_neighbors, model.weights, len(model.classes_))
        found = votes / votes.sum(axis=1)[:, np.newaxis]
        unsure = rows.is_open(model.n_neighbors) | rows.odd
        if unsure.any():
            found[unsure] = self._ask(model, "predict_proba", X, unsure, rows)
        return found

    def _kneighbors(self, model: Any, X: Any, n_neighbors: Any = None, return_distance: bool = True) -> Any:
        rows = None if X is None or n_neighbors is not None else self._rows.of(X)
        if rows is None:
            return model.kneighbors(X, n_neighbors, return_distance)
        k = model.n_neighbors
        distances, indices = rows.distances[:, :k].copy(), rows.indices[:, :k].copy()
        unsure = rows.is_open(k) | rows.is_muddled(k)
        if unsure.any():
            distances[unsure], indices[unsure] = self._ask(model, "kneighbors", X, unsure, rows)
        return (distances, indices) if return_distance else indices

    def _ask(self, model: Any, name: str, X: Any, which: _Array, rows: _Rows) -> Any:
        """The plain answer for some rows."""
        method = getattr(model, name)
        if not which.all() and rows.stand_alone:
            return method(X[which])
        found = method(X)
        return tuple(one[which] for one in found) if isinstance(found, tuple) else found[which]

    def _stand_alone(self, X: Any) -> bool:
        """Whether a row's neighbours do not depend on the other rows that are asked for with it."""
        model = self._source
        if not isinstance(X, np.ndarray) or not isinstance(model._fit_X, np.ndarray):
            return False
        if model._fit_method != "brute":
            return True
        from sklearn.utils._openmp_helpers import _openmp_effective_n_threads

        # By brute force threads share out the rows or, where these are few, the others: ties then fall otherwise.
        threads = _openmp_effective_n_threads()
        if threads > 1 and len(X) > 4 * 256 * threads:
            return False
        if self._fitted_is_whole is None:
            self._fitted_is_whole = model.effective_metric_ in _EXACT_METRICS and _is_whole(model._fit_X)
        return self._fitted_is_whole and _is_whole(X)


#: Of whole numbers below `_WHOLE_MOST` they give whole numbers, or roots of these, without rounding.
_EXACT_METRICS = ("euclidean", "manhattan", "cityblock", "chebyshev", "l1", "l2")
_WHOLE_MOST = 2**16


def _is_whole(X: _Array) -> bool:
    if X.dtype.kind not in "fiub" or X.shape[1] > 2**16:
        return False
    return bool(np.all(np.abs(X) < _WHOLE_MOST) and np.all(np.rint(X) == X))


class _Rows:
    """The nearest neighbours of some rows, in order, and what is certain about fewer of them.

    Parameters
    ----------
    distances, indices : ndarray of shape (n_rows, n_neighbours)
    values : ndarray of shape (n_rows, n_neighbours) or (n_rows, n_neighbours, n_outputs)
        The class or the target of each neighbour.
    whole : bool
        Whether these are all there are.
    """

    def __init__(self, distances: _Array, indices: _Array, values: _Array, *, whole: bool) -> None:
        self.distances = distances
        self.indices = indices
        self._values = values
        count = distances.shape[1]
        #: rows whose distances are no numbers to go by
        self.odd: _Array = np.logical_not(np.isfinite(distances).all(axis=1))
        self._ties: _Array = distances[:, 1:] == distances[:, :-1]
        differ = values[:, 1:] != values[:, :-1]
        self._mixed: _Array = self._ties & (differ if differ.ndim == 2 else differ.any(axis=2))
        self._muddled: _Array = np.logical_or.accumulate(self._mixed, axis=1)
        # The first and the last of those that are as far as each neighbour, and whether all of them are alike.
        self._first = np.zeros(distances.shape, dtype=np.intp)
        self._last = np.full(distances.shape, count - 1, dtype=np.intp)
        mixed_before = np.zeros(distances.shape, dtype=bool)
        mixed_after = np.zeros(distances.shape, dtype=bool)
        mixed_after[:, -1] = not whole  # there may be more of them
        for at in range(1, count):
            tied = self._ties[:, at - 1]
            self._first[:, at] = np.where(tied, self._first[:, at - 1], at)
            mixed_before[:, at] = tied & (mixed_before[:, at - 1] | self._mixed[:, at - 1])
        for at in range(count - 2, -1, -1):
            tied = self._ties[:, at]
            self._last[:, at] = np.where(tied, self._last[:, at + 1], at)
            mixed_after[:, at] = tied & (mixed_after[:, at + 1] | self._mixed[:, at])
        self._open: _Array = self._ties & (mixed_before | mixed_after)[:, 1:]
        self._unknown_end: _Array = np.logical_and(self._last == count - 1, not whole)
        self._weights: _Array | None = None
        self._votes: dict[str, tuple[int, _Array]] = {}
        #: whether asking for some rows gives what asking for all gives for them
        self.stand_alone = False

    def is_open(self, k: int) -> _Array:
        """Rows of which it is open which k they are, so that it matters."""
        if k >= self.distances.shape[1]:
            return np.zeros(len(self.distances), dtype=bool)
        found: _Array = self._open[:, k - 1]
        return found

    def is_muddled(self, k: int) -> _Array:
        """Rows of which it is open in which order the first k are, so that it matters."""
        if k < 2:
            return np.zeros(len(self.distances), dtype=bool)
        found: _Array = self._muddled[:, k - 2]
        return found

    def weights(self, kind: str, at: int) -> Any:
        """How much a neighbour counts."""
        if kind == "uniform":
            return 1.0
        if self._weights is None:
            from sklearn.neighbors._base import _get_weights

            self._weights = _get_weights(self.distances.copy(), kind)
        return self._weights[:, at]

    def votes(self, k: int, kind: str, class_count: int) -> _Array:
        """The votes of the first k for each class; what was added up for fewer is gone on with."""
        done, votes = self._votes.get(kind, (0, None))
        if votes is None or done > k:
            done, votes = 0, np.zeros((len(self.distances), class_count))
        all_rows = np.arange(len(self.distances))
        for at in range(done, k):
            votes[all_rows, self._values[:, at]] += self.weights(kind, at)
        self._votes[kind] = k, votes
        return votes

    def may_turn(self, k: int, kind: str, votes: _Array) -> _Array:
        """Rows of which the winner is not certain."""
        if votes.shape[1] < 2:
            return self.odd
        top = np.partition(votes, votes.shape[1] - 2, axis=1)
        lead = top[:, -1] - top[:, -2]
        certain: _Array = np.ones(len(votes), dtype=bool)
        rounding: Any = 0.0
        if kind == "distance":
            # scikit-learn's own sum is in another order. Where a neighbour is at no distance, votes are whole numbers.
            exact = self.distances[:, 0] == 0
            rounding = np.where(exact, 0.0, k * 1e-14 * votes.sum(axis=1))
            certain = exact | (lead > rounding)
        open_ = self.is_open(k)
        if open_.any():
            inside = k - self._first[:, k - 1]
            outside = np.where(self._unknown_end[:, k], inside, self._last[:, k] - k + 1)
            swing = 2 * np.minimum(inside, outside) * self.weights(kind, k - 1)
            turns = open_ & ~(lead > swing + rounding)
            for row in np.flatnonzero(turns & ~self._unknown_end[:, k]):
                turns[row] = self._turns(
                    int(row), k, kind, votes[row], rounding if kind == "uniform" else rounding[row]
                )
            certain &= ~turns
        return ~certain | self.odd

    def _turns(self, row: int, k: int, kind: str, votes: _Array, rounding: float) -> bool:
        """Whether another choice among those that tie for the last places may have another winner."""
        first, last = self._first[row, k - 1], self._last[row, k]
        weight = self.weights(kind, k - 1)
        weight = weight if kind == "uniform" else weight[row]
        tied = np.bincount(self._values[row, first : last + 1], minlength=len(votes))
        fixed = votes - weight * np.bincount(self._values[row, first:k], minlength=len(votes))
        places = k - first
        winner = int(np.argmax(votes))
        least = fixed[winner] + weight * max(0, places - (tied.sum() - tied[winner]))
        most = fixed + weight * np.minimum(places, tied)
        if kind == "uniform":  # of equal votes the first class wins
            return bool((most[:winner] >= least).any() or (most[winner + 1 :] > least).any())
        most[winner] = -np.inf
        return bool(most.max() + rounding >= least)
