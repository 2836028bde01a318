"""The arithmetic of one method of one model, and what it may be given."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from keepfit.serve.errors import RequestError
from keepfit.serve.formulas import Formula

__all__ = ["Array", "Step", "formula_or_none", "is_finite", "to_float32", "width_of"]

Array: TypeAlias = "np.ndarray[Any, Any]"

_FLOAT32 = np.dtype(np.float32)


@dataclass(frozen=True)
class Step:
    """What a method does with rows once they are known to be good.

    Attributes
    ----------
    run : callable
        From rows (an array of shape (n_rows, `width`), at least one row, float64 or float32, in C order unless a
        step before made them, not written to) to what the method gives for them; to None where it cannot vouch.
    width : int
        The number of columns.
    accepts : {"finite", "missing", "all"}, default="finite"
        Whether rows may hold NaN (``"missing"``), and infinity as well (``"all"``).
    formula : Formula, default=None
        The same for one row of float64, where it can be told in numbers.
    """

    run: Callable[[Array], Any]
    width: int
    accepts: str = "finite"
    formula: Formula | None = None

    def admits(self, X: Array) -> bool:
        """Whether the values are what the method takes without an error."""
        if is_finite(X) or self.accepts == "all":
            return True
        return self.accepts == "missing" and not np.isinf(X).any()


def formula_or_none(make: Callable[[], Formula | None]) -> Formula | None:
    """A formula, if the model's numbers, and its labels, can be in one."""
    try:
        return make()
    except (AttributeError, LookupError, TypeError, ValueError, RequestError):
        return None


def is_finite(X: Array) -> bool:
    """Whether all values are finite; False as well for finite ones whose squares overflow when summed.

    Half of what ``np.isfinite(X).all()`` takes on one row. A "no" too many costs the way through the stock method.
    """
    return math.isfinite(np.vdot(X, X))


def to_float32(X: Array) -> Array | None:
    """Rows as the trees take them, in C order; None where a value is too large for float32, an error to them."""
    if X.dtype is _FLOAT32:
        return np.ascontiguousarray(X)
    with np.errstate(over="ignore"):
        X = np.ascontiguousarray(X, dtype=_FLOAT32)
    return X if is_finite(X) else None


def width_of(model: Any) -> int | None:
    """The number of columns that a model was fitted on."""
    width = getattr(model, "n_features_in_", None)
    return width if type(width) is int and width > 0 else None
