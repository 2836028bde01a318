"""Which values stand in a node as they are: what JSON carries exactly."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from keepfit.graph import INLINE_TYPES

__all__ = ["all_inline", "is_inline"]

_CONSTANT_TYPES = frozenset({bool, type(None)})
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1


def is_inline(value: Any) -> bool:
    """Whether one value does."""
    kind = type(value)
    if kind is str:
        return bool(value.isascii()) or _is_utf8(value)
    if kind is int:
        return bool(_INT_MIN <= value <= _INT_MAX)
    if kind is float:
        return math.isfinite(value)
    return kind in INLINE_TYPES


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def all_inline(values: list[Any]) -> bool:
    """Whether every value of a list does; for lists of one type, at the speed of C."""
    types = set(map(type, values))
    if not types <= INLINE_TYPES:
        return False
    if types <= _CONSTANT_TYPES:
        return True
    if types == {int}:
        return bool(min(values) >= _INT_MIN and max(values) <= _INT_MAX)
    if types == {str}:
        return all(map(str.isascii, values)) or all(map(_is_utf8, values))
    if types == {float}:
        return bool(np.isfinite(values).all())
    return all(map(is_inline, values))
