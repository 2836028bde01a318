"""Long lists of one plain type, as an array: text end to end, numbers as NumPy holds them.

A vocabulary of 60,000 words is one array of octets and one of integers, which are read at the speed of memory; as JSON
each word would be looked at several times over.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import countOf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keepfit.errors import InvalidStateError

__all__ = ["LONG_MIN", "as_array", "from_array"]

#: Shorter lists stand in a node as they are: an array of their own would cost more than it saves. Of at least this
#: length nothing stands in a group as a record.
LONG_MIN = 65

#: Ends each text but the last. Texts that hold it stand in JSON.
_BETWEEN = "\0"


def as_array(values: list[Any], kind: type | None = None) -> NDArray[Any] | None:
    """The array that stands for a long list of strings, of 64-bit ints or of finite floats; None for other lists.

    Parameters
    ----------
    values : list
    kind : type, default=None
        That of every value, where it is known.
    """
    if len(values) < LONG_MIN:
        return None
    if kind is None:
        kind = type(values[0])
        if kind not in _WRITERS or countOf(map(type, values), kind) < len(values):
            return None
    return _WRITERS[kind](values) if kind in _WRITERS else None


def _texts(values: list[Any]) -> NDArray[Any] | None:
    joined = _BETWEEN.join(values)
    try:
        return np.frombuffer(joined.encode(), "u1") if joined.count(_BETWEEN) < len(values) else None
    except UnicodeEncodeError:  # a lone surrogate
        return None


def _integers(values: list[Any]) -> NDArray[Any] | None:
    try:
        array = np.array(values, "<i8")
    except OverflowError:
        return None
    short = array.astype("<i4")  # half the size, and most are positions
    return short if (short == array).all() else array


def _floats(values: list[Any]) -> NDArray[Any] | None:
    array = np.array(values, "<f8")
    return array if np.isfinite(array).all() else None


_WRITERS: dict[type, Callable[[list[Any]], NDArray[Any] | None]] = {str: _texts, int: _integers, float: _floats}


def from_array(array: NDArray[Any]) -> list[Any]:
    """The list that `as_array` was given.

    Raises
    ------
    InvalidStateError
        If no list of that length is written as such an array.
    """
    values: list[Any]
    if array.ndim != 1 or array.dtype not in ("u1", "<i4", "<i8", "<f8"):
        raise InvalidStateError("a long list is kept as one row of octets, of 32- or 64-bit integers or of floats")
    if array.dtype == "u1":
        try:
            values = str(array.data, "utf-8").split(_BETWEEN)
        except UnicodeDecodeError:
            raise InvalidStateError("the text of a long list is not UTF-8") from None
    else:
        if array.dtype == "<f8" and not np.isfinite(array).all():
            raise InvalidStateError("the floats of a long list are finite")
        values = array.tolist()
    if len(values) < LONG_MIN:
        raise InvalidStateError(f"a list that is kept as an array has at least {LONG_MIN} elements")
    return values
