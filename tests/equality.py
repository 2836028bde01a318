"""Whether two objects are the same, to the bit and in every type: independent of how keepfit sees them."""

from __future__ import annotations

import struct
from types import FunctionType, MethodType
from typing import Any

import numpy as np
import scipy.interpolate
import scipy.sparse

__all__ = ["difference", "same"]


def same(one: Any, other: Any) -> bool:
    """Whether two objects are the same."""
    return difference(one, other) == ""


def difference(one: Any, other: Any) -> str:
    """Where two objects first differ, and how; empty where they are the same."""
    return _Comparison().difference(one, other, "")


class _Comparison:
    """Remembers the pairs it has met, so that shared parts are compared once and cycles end."""

    def __init__(self) -> None:
        self._met: dict[tuple[int, int], tuple[Any, Any]] = {}

    def difference(self, one: Any, other: Any, place: str) -> str:
        if one is other and not isinstance(one, float):
            return ""
        if type(one) is not type(other):
            return f"{place}: {type(one)} is not {type(other)}"
        if (id(one), id(other)) in self._met:
            return ""
        self._met[id(one), id(other)] = (one, other)
        for kind, compare in _KINDS:
            if isinstance(one, kind):
                return compare(self, one, other, place)
        if isinstance(one, FunctionType) and one.__code__.co_code == other.__code__.co_code:
            return self._values(one.__qualname__, other.__qualname__, place)  # made anew for each object by scipy
        if callable(one) and hasattr(one, "__qualname__"):
            return f"{place}: {one!r} is not {other!r}"
        return self._states(one, other, place)

    def _states(self, one: Any, other: Any, place: str) -> str:
        if type(one).__reduce_ex__ is object.__reduce_ex__ and hasattr(one, "__dict__"):
            return self._mappings(_attributes(one), _attributes(other), place)
        return self._elements(one.__reduce_ex__(4), other.__reduce_ex__(4), f"{place}<reduced>")

    def _floats(self, one: float, other: float, place: str) -> str:
        return "" if struct.pack("d", one) == struct.pack("d", other) else f"{place}: {one!r} is not {other!r}"

    def _values(self, one: Any, other: Any, place: str) -> str:
        return "" if one == other else f"{place}: {one!r} is not {other!r}"

    def _elements(self, one: Any, other: Any, place: str) -> str:
        if len(one) != len(other):
            return f"{place}: {len(one)} elements, and {len(other)}"
        found = (self.difference(a, b, f"{place}[{n}]") for n, (a, b) in enumerate(zip(one, other, strict=True)))
        return next(filter(None, found), "")

    def _mappings(self, one: Any, other: Any, place: str) -> str:
        keys = self._elements(list(one), list(other), f"{place}.keys()")
        found = (self.difference(one[key], other[key], f"{place}.{key}") for key in one)
        return keys or next(filter(None, found), "")

    def _arrays(self, one: Any, other: Any, place: str) -> str:
        if one.dtype != other.dtype or one.shape != other.shape:
            return f"{place}: {one.dtype} {one.shape} is not {other.dtype} {other.shape}"
        if one.dtype.hasobject:
            return self._elements(one.ravel().tolist(), other.ravel().tolist(), place)
        if one.dtype.names is not None:  # what lies between fields means nothing
            fields = (self._arrays(one[name], other[name], f"{place}[{name!r}]") for name in one.dtype.names)
            return next(filter(None, fields), "")
        return "" if one.tobytes() == other.tobytes() else f"{place}: arrays of different contents"

    def _sparse(self, one: Any, other: Any, place: str) -> str:
        if one.shape != other.shape or one.dtype != other.dtype or one.format != other.format:
            return f"{place}: {one!r} is not {other!r}"
        parts = [name for name in ("data", "indices", "indptr", "row", "col", "offsets") if hasattr(one, name)]
        if not parts:
            return self.difference(one.toarray(), other.toarray(), place)
        found = (self.difference(getattr(one, name), getattr(other, name), f"{place}.{name}") for name in parts)
        return next(filter(None, found), "")

    def _splines(self, one: Any, other: Any, place: str) -> str:
        one, other = ((x.t, x.c, x.k, x.extrapolate, x.axis) for x in (one, other))  # the rest is scipy's own, and lazy
        return self._elements(one, other, place)

    def _frames(self, one: Any, other: Any, place: str) -> str:
        import pandas as pd

        if isinstance(one, pd.DataFrame):
            pd.testing.assert_frame_equal(one, other, check_exact=True, check_freq=True)
        elif isinstance(one, pd.Series):
            pd.testing.assert_series_equal(one, other, check_exact=True)
        else:
            pd.testing.assert_index_equal(one, other, exact=True)
        return ""


def _attributes(obj: Any) -> dict[str, Any]:
    """An object's attributes, whose order means nothing, but for those that hold the id of something."""
    return {name: value for name, value in sorted(vars(obj).items()) if name != "_stop_words_id"}


class _Pandas(type):
    """Stands for pandas' types without importing pandas."""

    def __instancecheck__(cls, instance: object) -> bool:
        return type(instance).__module__.startswith("pandas.") or type(instance).__module__ == "pandas"


class _PandasObject(metaclass=_Pandas):
    pass


_KINDS: tuple[tuple[Any, Any], ...] = (
    (float, _Comparison._floats),
    ((str, bytes, int, complex, type(None), type, slice, range, np.dtype), _Comparison._values),
    (np.generic, lambda self, a, b, place: self._arrays(np.asarray(a), np.asarray(b), place)),
    (np.ndarray, _Comparison._arrays),
    ((scipy.sparse.spmatrix, scipy.sparse.sparray), _Comparison._sparse),
    (scipy.interpolate.BSpline, _Comparison._splines),
    (_PandasObject, _Comparison._frames),
    (dict, _Comparison._mappings),
    ((list, tuple), _Comparison._elements),
    (MethodType, lambda self, a, b, place: self._elements((a.__func__, a.__self__), (b.__func__, b.__self__), place)),
    ((set, frozenset), _Comparison._values),
)
