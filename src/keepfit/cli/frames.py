"""Tables of data: reading CSV and Parquet, telling numbers from text, and one form for each whatever the file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keepfit.cli.screen import clean
from keepfit.errors import KeepfitError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "MARKS",
    "as_kind",
    "check_names",
    "close_to",
    "first_line",
    "kind_of",
    "kinds_in",
    "names_in",
    "no_numbers",
    "pandas_or_refuse",
    "read",
    "strange_values",
    "with_pyarrow",
]

#: Marks that stand for a missing value in a column that otherwise holds numbers.
_MISSING = frozenset({"", "?", "-", ".", "n/a", "na", "nan", "null", "none", "missing", "unknown"})

#: The texts in CSV that count as a missing value, as pandas has it by default and documents for `read_csv`.
MARKS = frozenset(
    {"", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA"}
    | {"NULL", "NaN", "None", "n/a", "nan", "null"}
)

#: The spellings that make a column of truth values of CSV.
_TRUTH = {word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")}

#: A day, with or without a time of it, in the extended form of ISO 8601; also with a space, as Python and pandas write.
_DATE = re.compile(r"\d{4}-[01]\d-[0-3]\d([T ][0-2]\d:[0-5]\d(:[0-6]\d([.,]\d+)?)?( ?(Z|[+-]\d\d:?\d\d))?)?")


def read(file: str) -> pd.DataFrame:
    """The table in a CSV or Parquet file (by its ending; anything else is read as CSV).

    Raises
    ------
    KeepfitError
        If it cannot be read as a table, has no rows, or two columns of one name; if pandas is not installed.
    OSError
        If there is no such file, or it may not be read.
    """
    pandas = pandas_or_refuse()
    path = Path(file)
    if path.is_dir():
        raise KeepfitError(f"{file} is a folder; give one CSV or Parquet file")
    with path.open("rb"):
        pass  # a missing file is told in the system's own words
    try:
        frame = _read_parquet(pandas, path) if _is_parquet(path) else _read_csv(pandas, path)
    except pandas.errors.EmptyDataError:
        raise KeepfitError(f"{file} is empty: a table begins with a line of column names") from None
    except UnicodeDecodeError:
        raise KeepfitError(f"{file} cannot be read as CSV: it is not UTF-8 text; save it as UTF-8") from None
    except (ValueError, pandas.errors.ParserError) as error:
        what = "Parquet" if _is_parquet(path) else "CSV"
        raise KeepfitError(f"{file} cannot be read as {what}: {first_line(error)}") from None
    frame.columns = [str(column) for column in frame.columns]
    if not len(frame):
        raise KeepfitError(f"{file} has column names and no rows")
    check_names(file, frame.columns if _is_parquet(path) else names_in(path))
    return frame


def names_in(csv: Any) -> list[str]:
    """The column names in the first line of a CSV file as they are written: pandas makes ``age.1`` of a second ``age``.

    Parameters
    ----------
    csv : PathLike or binary file object
    """
    frame = pandas_or_refuse().read_csv(csv, header=None, nrows=1, dtype=str, keep_default_na=False)
    return [str(name) for name in frame.iloc[0]]


def check_names(file: str, names: Iterable[str]) -> None:
    """Refuse a table with two columns of one name, of which one would be used without a word.

    Raises
    ------
    KeepfitError
    """
    seen: set[str] = set()
    for name in names:
        if name and name in seen:  # (Columns without a name are told apart by their place.)
            raise KeepfitError(f"{file} has two columns named {clean(name)!r}; give each its own name")
        seen.add(name)


def kind_of(column: pd.Series) -> str:
    """What a column holds.

    Returns
    -------
    {"number", "text", "date", "nested", "nothing"}
        ``"number"`` also where some values are one of the usual marks for a missing one, ``?`` or ``n/a``. ``"date"``
        also where all texts are dates as ISO 8601 writes them, which is how CSV has what Parquet knows as dates.
    """
    types = pandas_or_refuse().api.types
    if column.notna().sum() == 0:
        return "nothing"
    if types.is_datetime64_any_dtype(column) or types.is_timedelta64_dtype(column):
        return "date"
    if types.is_bool_dtype(column):
        return "text"
    if types.is_object_dtype(column) and column.map(_is_nested).any():
        return "nested"
    if types.is_numeric_dtype(column):
        return "number"
    strange = strange_values(column)
    if _numbers(column).notna().any():
        return "text" if strange else "number"
    return "date" if strange and all(map(_DATE.fullmatch, strange)) else "text"


def as_kind(column: pd.Series, kind: str) -> pd.Series:
    """A column as one kind, each value by itself: whatever the other rows, or the type that they gave the column.

    Parameters
    ----------
    column : Series of shape (n_rows,)
    kind : {"number", "text", "string"}
        ``"number"``: float64; the words true and false are 1 and 0, what is missing or no number is NaN. ``"text"``:
        objects of `str` as `keepfit search` learns from them, where true, True and TRUE are one. ``"string"``: objects
        of `str` as they are written.

    Returns
    -------
    Series of shape (n_rows,)
    """
    import numpy as np

    if kind == "number":
        numbers = _numbers(column).astype(np.float64)
        words = numbers.isna() & column.notna()
        if words.any():
            numbers[words] = [float(_TRUTH.get(str(value), np.nan)) for value in column[words]]
        return numbers
    text = column.astype(object).map(_as_learned if kind == "text" else _as_text, na_action="ignore")
    return text.where(column.notna(), np.nan).astype(object)


def strange_values(column: pd.Series) -> list[str]:
    """The different values of a column that are neither numbers nor one of the usual marks for a missing one."""
    others = column[_numbers(column).isna() & column.notna()].astype(str)
    return [value for value in others.unique() if value.strip().lower() not in _MISSING]


def no_numbers(column: pd.Series) -> list[str]:
    """The different values that `as_kind` makes NaN as numbers, other than the usual marks for a missing one."""
    if _is_numeric(column):
        return []
    others = column[as_kind(column, "number").isna() & column.notna()].astype(str)
    return [value for value in others.unique() if value.strip().lower() not in _MISSING]


def close_to(name: str, names: Iterable[str]) -> str:
    """A hint for a name that is not there: those it is close to, else all."""
    everything = list(names)
    close = [one for one in everything if name.strip() and one.lower().startswith(name.lower().strip())][:3]
    close = close or difflib.get_close_matches(name, everything, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(repr(clean(one)) for one in close) + "?"
    shown = ", ".join(clean(one) for one in everything[:20])
    return f"there are {shown}" + (f" and {len(everything) - 20} more" if len(everything) > 20 else "")


def kinds_in(metadata: Mapping[str, Any]) -> dict[str, str]:
    """What kind each column was when a model was fitted, as `keepfit search` noted it; empty where nobody did."""
    columns = metadata.get("columns")
    if not isinstance(columns, dict):
        return {}
    return {name: kind for name, kind in columns.items() if kind in ("number", "text")}


def _is_nested(value: Any) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str | bytes)


def _as_text(value: Any) -> str:
    # A whole number reads "3" in one file and "3.0" in another, where some row has none.
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _as_learned(value: Any) -> str:
    text = _as_text(value)
    return str(_TRUTH.get(text, text))


def _numbers(column: pd.Series) -> pd.Series:
    return pandas_or_refuse().to_numeric(column, errors="coerce")


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in (".parquet", ".pq")


def _read_csv(pandas: Any, path: Path) -> Any:
    if path.suffix.lower() in (".xlsx", ".xls", ".ods"):
        raise KeepfitError(f"{path} is a spreadsheet; save the sheet as CSV")
    with path.open("rb") as file:
        header = file.readline(1 << 20)
    for mark, word in ((b";", "semicolons"), (b"\t", "tabs")):
        if mark in header and b"," not in header and b"\0" not in header:
            raise KeepfitError(f"{path} has {word} between its columns; save it with commas")
    return pandas.read_csv(path)


def _read_parquet(pandas: Any, path: Path) -> Any:
    return with_pyarrow(lambda: pandas.read_parquet(path))


def with_pyarrow(act: Any) -> Any:
    """What `act` gives; a `KeepfitError` that says what to install if it needs pyarrow and that is not there."""
    try:
        return act()
    except ImportError:
        raise KeepfitError("Parquet needs pyarrow: pip install pyarrow") from None


def _is_numeric(column: pd.Series) -> bool:
    return bool(pandas_or_refuse().api.types.is_numeric_dtype(column))


def pandas_or_refuse() -> Any:
    """pandas; a `KeepfitError` that says what to install if it is not there."""
    try:
        import pandas
    except ImportError:
        raise KeepfitError("reading tables needs pandas: pip install pandas") from None
    return pandas


def first_line(error: Exception) -> str:
    """What an error of a library says, in one line."""
    lines = str(error).strip().splitlines()
    return clean(lines[0] if lines else type(error).__name__, 200)
