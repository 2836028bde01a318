"""Results remembered for the rows they came from: test rows and training rows come again for every candidate."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["Recall", "RowsMemory", "quietly", "same_rows"]

#: The test rows and the training rows of a split.
_MOST = 2


def same_rows(one: Any, other: Any) -> bool:
    """Whether two inputs are equal to the bit. False where that is not easily seen."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return _same_array(one, other)
    if hasattr(one, "toarray") and hasattr(one, "indptr"):
        return one.shape == other.shape and all(
            _same_array(getattr(one, name), getattr(other, name)) for name in ("indptr", "indices", "data")
        )
    kind = (type(one).__module__.partition(".")[0], type(one).__name__)
    if kind == ("pandas", "DataFrame"):
        return bool(
            one.columns.equals(other.columns)
            and one.index.equals(other.index)
            and all(_same_column(one.iloc[:, at], other.iloc[:, at]) for at in range(one.shape[1]))
        )
    if kind == ("pandas", "Series"):
        return bool(one.name == other.name and one.index.equals(other.index) and _same_column(one, other))
    if type(one) is list:
        return len(one) == len(other) and all(map(_is, one, other))
    return False


def _is(one: Any, other: Any) -> bool:
    return one is other


def _same_array(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype or one.strides != other.strides:
        return False
    if one.dtype.hasobject:
        return all(map(_is, one.flat, other.flat))
    if one.flags.c_contiguous:
        return bool(np.array_equal(one.reshape(-1).view(np.uint8), other.reshape(-1).view(np.uint8)))
    if one.flags.f_contiguous:
        return _same_array(one.T, other.T)
    return _same_array(np.ascontiguousarray(one), np.ascontiguousarray(other))


def _same_column(one: Any, other: Any) -> bool:
    if one.dtype != other.dtype:
        return False
    kind = type(one.dtype).__name__
    if kind == "StringDtype":
        return bool(one.array.equals(other.array))
    if kind == "CategoricalDtype":
        codes = _same_array(one.cat.codes.to_numpy(), other.cat.codes.to_numpy())
        return codes and bool(one.cat.categories.equals(other.cat.categories))
    return _same_array(one.to_numpy(), other.to_numpy())


class RowsMemory:
    """One object for each of the last few inputs, made by a function of the input; None where making it warned."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make
        self._known: list[tuple[Any, Any]] = []

    def of(self, X: Any) -> Any:
        """What belongs to an input."""
        for rows, found in self._known:
            if same_rows(rows, X):
                return found
        made, warned = quietly(lambda: self._make(X))
        if warned:  # so that it warns each time, as without this
            made = None
        self._known = [*self._known[1 - _MOST :], (X, made)]
        return made


class Recall:
    """A method of one input that is called once for each of the last few inputs.

    A call that warns is not remembered: it warns each time, as without this.
    """

    def __init__(self, method: Callable[..., Any]) -> None:
        self._method = method
        self._known: list[tuple[Any, Any]] = []

    def __call__(self, X: Any, *args: Any, **params: Any) -> Any:
        if args or params:
            return self._method(X, *args, **params)
        for rows, found in self._known:
            if same_rows(rows, X):
                return found
        found, caught = quietly(lambda: self._method(X))
        if caught:
            return self._method(X)
        self._known = [*self._known[1 - _MOST :], (X, found)]
        return found


def quietly(work: Callable[[], Any]) -> tuple[Any, bool]:
    """Call a function; give its result and whether it warned. The warnings are not shown."""
    with warnings.catch_warnings(record=True) as caught:
        found = work()
    return found, bool(caught)
