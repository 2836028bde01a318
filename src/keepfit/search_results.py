"""Tables of results, as scikit-learn's searches have them in ``cv_results_``: merging, ranking, choosing."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.ma import MaskedArray
from numpy.typing import NDArray
from scipy.stats import rankdata

__all__ = ["best_index", "merged", "rows_of", "score_at", "score_column"]

_RANK, _MEAN = "rank_test_", "mean_test_"


def merged(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The tables of several types of model as one, with the column ``"model"`` and ranks over all rows.

    Parameters
    ----------
    tables : mapping of str to ``cv_results_``
        By the name of the type of model.

    Returns
    -------
    dict of str to ndarray
        Parameters that a type does not have are masked, scores that it does not have are NaN.
    """
    sizes = [len(table["params"]) for table in tables.values()]
    names = [name for name, size in zip(tables, sizes, strict=True) for _ in range(size)]
    found = dict.fromkeys(key for table in tables.values() for key in table)
    columns = sorted(found, key=lambda key: not key.startswith("param"))  # what was tried first, then what came of it
    out: dict[str, Any] = {"model": np.array(names, dtype=object)}
    for key in columns:
        parts = [table.get(key) for table in tables.values()]
        if key == "params":
            out[key] = [params for part in parts for params in part or ()]
        elif key.startswith("param_"):
            out[key] = _parameter_column(parts, sizes)
        else:
            filled = [np.full(size, np.nan) if part is None else part for part, size in zip(parts, sizes, strict=True)]
            out[key] = np.concatenate(filled)
    return _ranked(out)


def rows_of(table: Mapping[str, Any], rows: Sequence[int]) -> dict[str, Any]:
    """Some rows of a table, ranked among themselves."""
    picked = {
        key: [column[row] for row in rows] if isinstance(column, list) else column[list(rows)]
        for key, column in table.items()
    }
    return _ranked(picked)


def best_index(refit: Any, table: Mapping[str, Any], *, multimetric: bool) -> int | None:
    """The row that scikit-learn's searches choose.

    Parameters
    ----------
    refit : bool, str or callable
        As the searches have it.
    table : ``cv_results_``
    multimetric : bool
        Whether `table` has the scores of several metrics.

    Returns
    -------
    int or None
        None where there are several metrics and none is named.

    Raises
    ------
    ValueError
        If `refit` names none of several metrics.
    TypeError, IndexError
        If a callable gives what is no row.
    """
    if callable(refit):
        index = refit(table)
        if not isinstance(index, numbers.Integral):
            raise TypeError("refit= gave what is not an integer")
        row = int(index)
        if not 0 <= row < len(table["params"]):
            raise IndexError("refit= gave a row that is not in the table")
        return row
    if multimetric and refit is False:
        return None
    column = f"{_RANK}{refit if multimetric else 'score'}"
    if column not in table:
        raise ValueError(f"with several metrics, refit= is the one to choose by, a callable or False, not {refit!r}")
    return int(table[column].argmin())


def score_at(refit: Any, table: Mapping[str, Any], index: int | None) -> float | None:
    """The mean score of a row by the metric that is chosen by; None where there is none."""
    column = score_column(refit, table)
    return None if column is None or index is None else float(column[index])


def score_column(refit: Any, table: Mapping[str, Any]) -> NDArray[np.float64] | None:
    """The mean scores of all rows by the metric that is chosen by; None where there is none."""
    column: NDArray[np.float64] | None = table.get(f"{_MEAN}{refit}", table.get(f"{_MEAN}score"))
    return column


def _parameter_column(parts: Sequence[Any], sizes: Sequence[int]) -> MaskedArray[Any, Any]:
    dtypes = {part.dtype for part in parts if part is not None}
    dtype = dtypes.pop() if len(dtypes) == 1 else np.dtype(object)
    total = sum(sizes)
    data = np.empty(total, object) if dtype.hasobject else np.zeros(total, dtype)
    column: MaskedArray[Any, Any] = MaskedArray(data, mask=True)
    start = 0
    for part, size in zip(parts, sizes, strict=True):
        if part is not None:
            for row in np.flatnonzero(~np.ma.getmaskarray(part)):
                column[start + row] = part[row]
        start += size
    return column


def _ranked(table: dict[str, Any]) -> dict[str, Any]:
    for key in table:
        if key.startswith(_RANK):
            table[key] = _ranks(table[_MEAN + key.removeprefix(_RANK)])
    return table


def _ranks(means: NDArray[np.float64]) -> NDArray[np.int32]:
    """1 for the highest mean; what has no score shares the last place, as in scikit-learn."""
    if np.isnan(means).all():
        return np.ones(len(means), np.int32)
    worst = np.nanmin(means) - 1
    ranks: NDArray[np.int32] = rankdata(-np.nan_to_num(means, nan=worst), method="min").astype(np.int32)
    return ranks
