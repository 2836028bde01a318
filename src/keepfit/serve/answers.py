"""From what a model's methods give to arrays, and from what they raise to what is said to a client."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from keepfit.serve.errors import RequestError

__all__ = ["METHODS", "REFUSALS", "refusal", "to_dense"]

#: The methods whose answers are outputs, by the protocol's names for them. The first that a model has is its default.
METHODS = ("predict", "transform", "predict_proba", "decision_function")

#: What scikit-learn raises on values that a model cannot take.
REFUSALS = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, NotImplementedError)

_DENSE_MAX = 1 << 24
_WORDS_MAX = 300


def to_dense(found: Any) -> np.ndarray[Any, Any]:
    """What a method gave, as an array.

    Parameters
    ----------
    found : array, sparse matrix, DataFrame, or list of arrays
        A list has one array of shape (n_rows, n_classes) for each target. They are put side by side, as
        (n_rows, n_targets, n_classes), with NaN where a target has fewer classes than another.

    Raises
    ------
    RequestError
        If a sparse answer is of more than 16,777,216 elements when made dense.
    """
    if type(found) is np.ndarray:
        return found
    if hasattr(found, "toarray"):
        if math.prod(found.shape) > _DENSE_MAX:
            raise RequestError(
                f"the answer is sparse, of shape {list(found.shape)}: too large to be sent dense; ask for fewer rows"
            )
        return np.asarray(found.toarray())
    if isinstance(found, list) and found and all(isinstance(part, np.ndarray) and part.ndim == 2 for part in found):
        filled = np.full((len(found[0]), len(found), max(part.shape[1] for part in found)), np.nan)
        for place, part in enumerate(found):
            filled[:, place, : part.shape[1]] = part
        return filled
    return np.asarray(found.to_numpy() if hasattr(found, "to_numpy") else found)


def refusal(error: Exception) -> RequestError:
    """What a model raised on the values of a request, in its own words: their first line, at most 300 characters."""
    words = str(error.args[0] if isinstance(error, KeyError) and error.args else error).strip()
    line = words.splitlines()[0].strip() if words else ""
    return RequestError(f"the model cannot take these values: {line[:_WORDS_MAX] or type(error).__name__}")
