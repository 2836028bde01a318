"""From a table to what scikit-learn can fit: which columns are used, and the steps that prepare them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from keepfit.cli.frames import as_kind, close_to, kind_of
from keepfit.errors import KeepfitError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Prepared", "preparation", "prepare", "task_of"]

#: Whole numbers with at most so many different values are classes, not amounts.
_CLASSES_MAX = 20

#: Past so many values of a text column, the rarest share one.
_CATEGORIES_MAX = 30


@dataclass
class Prepared:
    """A table ready for a search.

    Parameters
    ----------
    X : DataFrame of shape (n_rows, n_columns)
        The columns that are used.
    y : Series of shape (n_rows,)
    task : {"classification", "regression"}
    reason : str
        What it was told by.
    columns : dict of str to {"number", "text"}
    left_out : dict of str to str
        Columns that are not used, and why.
    """

    X: pd.DataFrame
    y: pd.Series
    task: str
    reason: str
    columns: dict[str, str]
    left_out: dict[str, str] = field(default_factory=dict)


def prepare(frame: pd.DataFrame, target: str, task: str | None) -> Prepared:
    """Take a table apart into features and target.

    Raises
    ------
    KeepfitError
        If there is no such column, some of its values are missing, it does not suit the task, or no feature is left.
    """
    if target not in frame.columns:
        raise KeepfitError(f"there is no column {target!r} to predict; {close_to(target, frame.columns)}")
    y = frame[target]
    missing = y.isna()
    if missing.any():
        first = int(missing.to_numpy().argmax()) + 1
        raise KeepfitError(
            f"the column {target!r} has no value in {int(missing.sum()):,} of {len(y):,} rows (row {first} is the "
            "first); a search needs one in each: fill them in or take those rows out"
        )
    found, reason = task_of(y)
    y = _checked_target(y, target, task or found)
    columns, left_out = _columns(frame.drop(columns=target))
    if not columns:
        raise KeepfitError(f"no column is left to predict {target!r} from: {_listed(left_out)}")
    X = frame[list(columns)].copy()
    for name, kind in columns.items():
        X[name] = as_kind(frame[name], kind)
    return Prepared(X, y, task or found, "--task" if task else reason, columns, left_out)


def task_of(y: pd.Series) -> tuple[str, str]:
    """Whether a target is a class or an amount, and what tells."""
    import pandas

    values = y.nunique()
    if not pandas.api.types.is_numeric_dtype(y) or pandas.api.types.is_bool_dtype(y):
        return "classification", f"{y.name} has {values} different values, not numbers"
    if values <= _CLASSES_MAX and (y == y.round()).all():
        return "classification", f"{y.name} has {values} different whole numbers"
    return "regression", f"{y.name} has {values:,} different numbers"


def preparation(columns: dict[str, str]) -> Any:
    """The first step of each pipeline: numbers are filled by their median and scaled, text becomes one-hot columns."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = [name for name, kind in columns.items() if kind == "number"]
    texts = [name for name, kind in columns.items() if kind == "text"]
    fill = SimpleImputer(strategy="median", keep_empty_features=True)
    encode = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=_CATEGORIES_MAX, sparse_output=False)
    steps: list[tuple[str, Any, list[str]]] = []
    if numbers:
        steps.append(("numbers", Pipeline([("fill", fill), ("scale", StandardScaler())]), numbers))
    if texts:
        steps.append(("texts", encode, texts))
    return ColumnTransformer(steps)


def _checked_target(y: pd.Series, target: str, task: str) -> pd.Series:
    import pandas

    numeric = pandas.api.types.is_numeric_dtype(y) and not pandas.api.types.is_bool_dtype(y)
    if task == "regression":
        if kind_of(y) != "number" or as_kind(y, "number").isna().any():
            raise KeepfitError(f"the column {target!r} is not all numbers, so regression cannot predict it")
        return as_kind(y, "number")
    if y.nunique() < 2:
        raise KeepfitError(f"the column {target!r} has the same value in all rows; there is nothing to predict")
    if not numeric:
        return y if pandas.api.types.is_bool_dtype(y) else as_kind(y, "text")
    return y.astype("int64") if (y == y.round()).all() else y.astype(str)


def _columns(frame: pd.DataFrame) -> tuple[dict[str, str], dict[str, str]]:
    columns: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for name in frame.columns:
        column = frame[name]
        kind = kind_of(column)
        if kind == "nothing":
            left_out[name] = "it has no values"
        elif kind == "nested":
            left_out[name] = "it holds lists or records"
        elif kind == "date":
            left_out[name] = "dates are not used; turn them into numbers that mean something"
        elif column.nunique(dropna=False) == 1:
            left_out[name] = "it has the same value in all rows"
        elif kind == "text" and len(column) > _CATEGORIES_MAX and column.nunique() > 0.9 * column.notna().sum():
            left_out[name] = "nearly every row has a text of its own"
        else:
            columns[name] = kind
    return columns, left_out


def _listed(left_out: dict[str, str]) -> str:
    return "; ".join(f"{name}: {why}" for name, why in left_out.items()) or "there is no other column"
