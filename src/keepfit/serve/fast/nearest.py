"""The nearest of many rows to one row, where it is certain that rounding does not decide which they are."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from keepfit.serve.fast.step import Array

__all__ = ["nearest_to_one"]

_EPS = float(np.finfo(np.float64).eps)
_TINY = 1e-290  # far above what underflow loses


def nearest_to_one(fitted: Array, k: int) -> Callable[[Array], Array | None]:
    """A search for the `k` nearest rows by Euclidean distance, for one row at a time.

    Parameters
    ----------
    fitted : ndarray of shape (n_rows, n_columns) of float64
    k : int
        Less than n_rows.

    Returns
    -------
    callable
        From an array of float64 of shape (1, n_columns) to the places of its neighbours, nearest first, of shape
        (1, k); to None where they are too close to each other, or to the next, to be told apart for certain.

    Notes
    -----
    A squared distance computed as ``|x|**2 - 2 x.y + |y|**2``, in whatever order and with whatever instructions, is off
    the true one by at most ``(n_columns + 4) * eps * (|x| + |y|)**2`` (Higham, *Accuracy and Stability of Numerical
    Algorithms*, section 3.1). Where neighbours are further apart than two such computations can differ, both find the
    same ones in the same order. So this one may do without ``|x|**2``, with lengths that are computed once (8 bytes a
    row), and with one product of a matrix and a vector.
    """
    with np.errstate(over="ignore"):
        squares = np.einsum("ij,ij->i", fitted, fitted)
    longest = math.sqrt(squares.max())
    share = 8.0 * (fitted.shape[1] + 4) * _EPS

    def find(X: Array) -> Array | None:
        row = X[0]
        reach = math.sqrt(row.dot(row)) + longest
        margin = share * reach * reach + _TINY
        if not math.isfinite(margin):
            return None
        distances = fitted.dot(row * -2.0)
        distances += squares
        places = distances.argpartition(k)[: k + 1]
        found = distances[places]
        order = found.argsort()
        found = found[order]
        if not (found[1:] - found[:-1]).min() > margin:
            return None
        nearest: Array = places[order[:k]].reshape(1, k)
        return nearest

    return find
