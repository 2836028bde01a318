"""Records and CSV to tensors, and tensors to records: the plain way to ask a model, without tensors in sight.

A record is what a model takes for one row. Of a model on named columns it is an object with a value for each; other
members are left out. Of a model on one table it is a list of numbers, and of one on texts a text; both may also stand
under the input's name, as in ``{"X": ...}``.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from keepfit.serve.errors import RequestError
from keepfit.serve.limits import HttpLimits
from keepfit.serve.protocol import check_answer, size_of
from keepfit.serve.signature import Field, Signature
from keepfit.serve.tensors import DATATYPES, Tensor, from_array, to_array

__all__ = ["records_of", "tensors_of_csv", "tensors_of_records"]

_LIMITS = HttpLimits()


def tensors_of_records(records: Sequence[Any], signature: Signature) -> tuple[Tensor, ...]:
    """The inputs of a request that gives records.

    Parameters
    ----------
    records : sequence
        As parsed from JSON.
    signature : Signature
        Of the model.

    Returns
    -------
    tuple of Tensor

    Raises
    ------
    RequestError
        If a record lacks a value, or has one of another type than the model takes.
    """
    fields = signature.inputs
    if _is_by_column(signature):
        for place, record in enumerate(records):
            if not isinstance(record, dict):
                raise RequestError(f"record {place} has to be an object with {_names(fields)}")
            missing = [field for field in fields if field.name not in record]
            if missing:
                raise RequestError(f"record {place} lacks {_names(missing)}")
        return tuple(_column(field, [record[field.name] for record in records]) for field in fields)
    (field,) = fields
    values = [_value(record, field) for record in records]
    if len(field.shape) == 1:
        return (_column(field, values),)
    return (_table(field, values),)


def tensors_of_csv(text: str, signature: Signature) -> tuple[Tensor, ...]:
    """The inputs of a request that gives CSV with a line of names at its head.

    Parameters
    ----------
    text : str
        Comma-separated. Of a model without named columns, the columns are taken in order.
    signature : Signature

    Returns
    -------
    tuple of Tensor

    Raises
    ------
    RequestError
        If a column is missing or there twice, a line is longer or shorter than the head, or text stands for a number.
    """
    try:
        head, *lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    except (csv.Error, ValueError) as error:
        raise RequestError(f"the body is not CSV with a head: {error}") from None
    lines = [line for line in lines if line]
    for number, line in enumerate(lines):
        if len(line) != len(head):
            raise RequestError(f"row {number} of the CSV has {len(line)} values; the head has {len(head)} names")
    columns = [list(column) for column in zip(*lines, strict=True)] if lines else [[] for _ in head]
    fields = signature.inputs
    if not _is_by_column(signature):
        (field,) = fields
        if len(field.shape) == 1:
            found = columns[head.index(field.name)] if field.name in head else columns[0]
            return (_column(field, _read(field, field.name, found)),)
        read = [_read(field, name, column) for name, column in zip(head, columns, strict=True)]
        return (_table(field, [list(row) for row in zip(*read, strict=True)], width=len(head)),)
    if len(set(head)) < len(head):
        raise RequestError("the head of the CSV has a name twice")
    places = {name: place for place, name in enumerate(head)}
    missing = [field for field in fields if field.name not in places]
    if missing:
        raise RequestError(f"the CSV lacks the columns {_names(missing)}")
    return tuple(_column(field, _read(field, field.name, columns[places[field.name]])) for field in fields)


def records_of(
    outputs: Sequence[Tensor], classes: tuple[str, ...], limits: HttpLimits = _LIMITS
) -> list[dict[str, Any]]:
    """One record for each row of the outputs; where there is a value for each class, an object of them.

    Parameters
    ----------
    outputs : sequence of Tensor
    classes : tuple of str
    limits : HttpLimits, default=HttpLimits()

    Returns
    -------
    list of dict

    Raises
    ------
    RequestError
        With status 413, if they would be too long: each row has the names of the outputs and of the classes again.
    """
    columns = []
    size = 0
    for tensor in outputs:
        is_by_class = len(tensor.shape) == 2 and len(classes) == tensor.shape[1]
        words = len(tensor.name) + (sum(map(len, classes)) if is_by_class else 0)
        size += size_of(tensor) + words * math.prod(tensor.shape[:1])
        check_answer(size, limits)
        values = to_array(tensor).tolist()
        if is_by_class:
            values = [dict(zip(classes, row, strict=True)) for row in values]
        columns.append(values)
    names = [tensor.name for tensor in outputs]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _is_by_column(signature: Signature) -> bool:
    return len(signature.inputs) != 1 or signature.inputs[0].name != "X"


def _value(record: Any, field: Field) -> Any:
    if not isinstance(record, dict):
        return record
    if field.name in record:
        return record[field.name]
    if len(field.shape) == 1 and field.datatype == "BYTES":
        return record  # a model that takes records of its own
    width = field.shape[1] if len(field.shape) > 1 and field.shape[1] >= 0 else len(record)
    names = [f"x{place}" for place in range(width)] if width <= len(record) else []  # a model may say any width
    if width > len(record) or not all(name in record for name in names):
        raise RequestError(f"a record has to be a list of {width} values, or an object with {field.name!r}")
    return [record[name] for name in names]


def _table(field: Field, rows: list[Any], width: int | None = None) -> Tensor:
    for place, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(rows[0]):
            raise RequestError(f"record {place} has to be a list of as many values as the first")
    width = len(rows[0]) if rows else width or max(field.shape[1], 0)
    flat = _column(field, [value for row in rows for value in row])
    return Tensor(field.name, flat.datatype, (len(rows), width), flat.data)


def _column(field: Field, values: list[Any]) -> Tensor:
    shape = (len(values), 1) if len(field.shape) > 1 else (len(values),)
    if field.datatype == "BYTES":
        texts = np.empty(len(values), dtype=object)
        texts[:] = [_text(value) for value in values]
        return from_array(field.name, texts.reshape(shape))
    kinds = {type(value) for value in values}
    if not kinds <= {int, float, bool, type(None)}:
        wrong = next(value for value in values if type(value) not in (int, float, bool, type(None)))
        raise RequestError(f"{field.name!r} takes numbers; there is {str(wrong)[:50]!r}")
    dtype = DATATYPES[field.datatype]
    wanted: dict[str, set[type]] = {"i": {int}, "u": {int}, "b": {bool}}
    if dtype.kind in wanted and not kinds <= wanted[dtype.kind]:
        dtype = DATATYPES["FP64"]
    try:
        return from_array(field.name, np.array(values, dtype=dtype).reshape(shape))
    except OverflowError:
        raise RequestError(f"{field.name!r} has a number that {field.datatype} does not hold") from None


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _read(field: Field, name: str, texts: list[str]) -> list[Any]:
    if field.datatype == "BYTES":
        return list(texts)
    try:
        if "INT" in field.datatype:
            return [int(text) for text in texts]
    except ValueError:
        pass  # 1.0, or nothing: as numbers
    try:
        return [float(text) if text else None for text in texts]
    except ValueError as error:
        raise RequestError(f"the column {name[:100]!r} takes numbers: {error}") from None


def _names(fields: Sequence[Field]) -> str:
    shown = ", ".join(repr(field.name[:100]) for field in fields[:10])
    return shown + (f" and {len(fields) - 10} more" if len(fields) > 10 else "")
