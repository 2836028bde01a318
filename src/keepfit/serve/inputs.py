"""From the tensors of a request to what a model takes, in the columns that it was fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec
import numpy as np

from keepfit.serve.columns import Column, Layout
from keepfit.serve.errors import RequestError
from keepfit.serve.tensors import Tensor, to_array

__all__ = ["Inputs", "Rows"]

#: The rows of a request: an array of shape (n_rows, n_columns), or (n_rows,) where the model takes no table; else the
#: columns one by one, each an array of shape (n_rows,), where their dtypes differ.
Rows: TypeAlias = "np.ndarray[Any, Any] | list[np.ndarray[Any, Any]]"


class Inputs:
    """Reads requests for one model.

    Parameters
    ----------
    layout : Layout
        What the model takes.

    Attributes
    ----------
    is_plain : bool
        Whether it takes a table of numbers, whatever they are.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._names = [column.name or f"x{place}" for place, column in enumerate(layout.columns)]
        self._places = {name: place for place, name in enumerate(self._names)}
        self._pandas = _pandas() if layout.is_named else None
        datatypes = layout.datatypes
        self._is_uniform = len(datatypes) <= 1 or "BYTES" not in datatypes
        self._takes_text = datatypes == {"BYTES"} or layout.kind in ("texts", "records")
        self.is_plain = (
            layout.kind == "table" and datatypes == {"FP64"} and not any(column.categories for column in layout.columns)
        )
        self._missing = [place for place, column in enumerate(layout.columns) if _marks_missing(column)]

    def read(self, tensors: Sequence[Tensor]) -> Rows:
        """The rows of a request, without a copy where one tensor has them all.

        Parameters
        ----------
        tensors : sequence of Tensor
            One of any name with everything, if its datatype suits all columns; else one for each column, by name.

        Returns
        -------
        Rows
            Read-only where they are not copied.

        Raises
        ------
        RequestError
            If a tensor is missing, unknown, there twice, malformed, has text for numbers or numbers for text, or not
            as many rows as the others.
        """
        if len(tensors) != 1 or (not self._is_uniform and tensors[0].name in self._places):
            return self._by_name(tensors)
        (tensor,) = tensors
        if not self._is_uniform:
            raise RequestError(
                f"the columns are of several datatypes: send one tensor for each of {_some(self._names)}"
            )
        if (tensor.datatype == "BYTES") != self._takes_text:
            raise RequestError(_mistaken(tensor, self._takes_text))
        array = to_array(tensor)
        if self._layout.kind == "table":
            if array.ndim == 1 and len(self._names) == 1:
                array = array.reshape(-1, 1)
            return self._with_missing(array) if self._missing and array.ndim == 2 else array
        return array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array

    def for_model(self, rows: Rows) -> Any:
        """What the model's methods take: a DataFrame where columns have names, else an array or a list.

        Raises
        ------
        RequestError
            If the number of columns is not the model's, a text is not JSON where the model takes records, or pandas is
            missing where the model finds columns by their names.
        """
        if self._layout.kind == "records":
            return [_record(text) for text in np.ravel(rows).tolist()]
        if self._pandas is not None:
            return self._frame(rows)
        if self._layout.by_name:
            raise RequestError("this model finds columns by their names, which takes pandas on the server")
        return rows if isinstance(rows, np.ndarray) else _side_by_side(rows)

    def example(self, n_rows: int, number: float) -> Rows:
        """Rows that the model may take, with `number` where a column knows no categories."""
        if self._layout.kind in ("texts", "records"):
            text = {1.0: "{}", 0.0: "[]"}.get(number, '["a"]') if self._layout.kind == "records" else "a"
            return np.full(n_rows, text, dtype=object)
        if self.is_plain:
            return np.full((n_rows, len(self._layout.columns)), number)
        columns = [_example(column, n_rows, number) for column in self._layout.columns]
        if self._layout.kind == "labels":
            return columns[0]
        if self._layout.datatypes == {"FP64"} or not columns:
            return np.stack(columns, axis=1) if columns else np.full((n_rows, 1), number)
        return columns

    def _by_name(self, tensors: Sequence[Tensor]) -> Rows:
        if self._layout.kind != "table" or not self._layout.is_wide:
            raise RequestError(f"this model takes one tensor, X; there are {len(tensors)}")
        columns: list[np.ndarray[Any, Any] | None] = [None] * len(self._names)
        for tensor in tensors:
            place = self._places.get(tensor.name)
            if place is None:
                raise RequestError(f"the model has no input {tensor.name[:100]!r}; it has {_some(self._names)}")
            if columns[place] is not None:
                raise RequestError(f"the input {tensor.name!r} is there twice")
            columns[place] = self._column(tensor, place)
        missing = [name for name, column in zip(self._names, columns, strict=True) if column is None]
        if missing:
            raise RequestError(f"inputs are missing: {_some(missing)}")
        found = [column for column in columns if column is not None]
        if len({len(column) for column in found}) > 1:
            raise RequestError("the inputs have different numbers of rows")
        if len({column.dtype for column in found}) == 1:
            return np.stack(found, axis=1)
        return found

    def _column(self, tensor: Tensor, place: int) -> np.ndarray[Any, Any]:
        column = self._layout.columns[place]
        if (tensor.datatype == "BYTES") != (column.datatype == "BYTES"):
            raise RequestError(_mistaken(tensor, column.datatype == "BYTES"))
        array = to_array(tensor)
        if array.ndim != 1 and (array.ndim != 2 or array.shape[1] != 1):
            raise RequestError(f"the input {tensor.name!r} has the shape {list(array.shape)}; it takes [-1, 1]")
        array = array.reshape(-1)
        return _without_empty(array) if place in self._missing else array

    def _with_missing(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        array = array.copy()
        for place in self._missing:
            if place < array.shape[1]:
                array[:, place] = _without_empty(array[:, place])
        return array

    def _frame(self, rows: Rows) -> Any:
        if isinstance(rows, np.ndarray) and (rows.ndim != 2 or rows.shape[1] != len(self._names)):
            raise RequestError(
                f"the model takes {len(self._names)} columns; the input has the shape {list(rows.shape)}"
            )
        if isinstance(rows, np.ndarray):  # not copied, so that the model sees rows in C order with and without pandas
            frame = self._pandas.DataFrame(rows, copy=False)  # type: ignore[union-attr]
        else:
            frame = self._pandas.DataFrame(dict(enumerate(rows)))  # type: ignore[union-attr]
        frame.columns = self._pandas.Index(self._names, dtype=object)  # type: ignore[union-attr]
        for column in self._layout.columns:
            if column.as_category:
                frame[column.name] = frame[column.name].astype("category")
        return frame


def _marks_missing(column: Column) -> bool:
    """Whether an empty text stands for a missing value: where the model knows one, and no empty text."""
    return column.datatype == "BYTES" and column.has_missing and "" not in column.categories


def _without_empty(texts: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.where(texts == "", np.nan, texts)


def _example(column: Column, n_rows: int, number: float) -> np.ndarray[Any, Any]:
    value = column.categories[0] if column.categories else "a" if column.datatype == "BYTES" else number
    return np.full(n_rows, value, dtype=object if column.datatype == "BYTES" else None)


def _side_by_side(columns: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    if any(column.dtype == object for column in columns):
        columns = [column.astype(object) for column in columns]
    return np.stack(columns, axis=1)


def _record(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise RequestError("this model takes records: each element has to be one as JSON") from None


def _mistaken(tensor: Tensor, takes_text: bool) -> str:
    wanted = "text (BYTES)" if takes_text else "numbers"
    return f"the input {tensor.name[:100]!r} is of {tensor.datatype[:20]}; the model takes {wanted} there"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:100]) for name in names[:10])
    return shown + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        return None
    return pandas
