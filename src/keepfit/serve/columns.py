"""What a fitted model takes for a row: how many columns, their names, which are numbers and which are text.

All of it is read off the model's own fitted state: the categories of its encoders, the columns of its
`ColumnTransformer`, the vectoriser at its front. What the state does not tell, `keepfit search` may have noted in the
file's facts; a column that nobody knows is one of numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keepfit.facts import metadata_of
from keepfit.serve.errors import RequestError
from keepfit.serve.sklearn_seam import boosted_categories, tells_records, tells_text
from keepfit.serve.tensors import datatype_of

__all__ = ["Column", "Layout", "chosen", "layout_of"]


@dataclass
class Column:
    """One column of a table.

    Attributes
    ----------
    name : str, default=""
        Empty in a table without names.
    datatype : str, default=""
        As the protocol names it; empty while nothing is known.
    categories : tuple, default=()
        The values that an encoder knows, other than a missing one.
    has_missing : bool, default=False
        Whether a missing value is among those that the encoder knows.
    as_category : bool, default=False
        Whether the model wants pandas' dtype ``category``.
    is_text : bool, default=False
        Whether a vectoriser reads it, which takes texts of their own and not a table of one column.
    """

    name: str = ""
    datatype: str = ""
    categories: tuple[Any, ...] = ()
    has_missing: bool = False
    as_category: bool = False
    is_text: bool = False


@dataclass
class Layout:
    """The form of a model's X.

    Attributes
    ----------
    kind : {"table", "texts", "records", "labels"}
        ``"records"`` are what no tensor holds: dicts, lists of labels.
    columns : list of Column, default=[]
        Of a table, and the one of ``"labels"``.
    is_wide : bool, default=True
        Whether the number of columns is known.
    by_name : bool, default=False
        Whether a step finds its columns by their names, which takes a DataFrame.
    """

    kind: str
    columns: list[Column] = field(default_factory=list)
    is_wide: bool = True
    by_name: bool = False

    @property
    def is_named(self) -> bool:
        """Whether the columns have names."""
        return bool(self.columns and self.columns[0].name)

    @property
    def datatypes(self) -> set[str]:
        """The different datatypes of the columns."""
        return {column.datatype for column in self.columns}


def layout_of(model: Any, facts: Mapping[str, str]) -> Layout:
    """The form of what `model` takes, from its fitted state and the facts of its file.

    Parameters
    ----------
    model : fitted estimator
    facts : mapping of str to str
        Where ``metadata`` has ``columns``, their kinds ("number", "text") count where the model is silent.

    Returns
    -------
    Layout
    """
    front = _front(model)
    if tells_text(front):
        return Layout("texts")
    if tells_records(front):
        return Layout("records")
    if not hasattr(front, "n_features_in_") and hasattr(front, "classes_") and not hasattr(front, "predict"):
        return Layout("labels", [Column(datatype=_datatype(front.classes_))])  # LabelEncoder, LabelBinarizer
    names = _attribute(model, "feature_names_in_")
    count = len(names) if names is not None else _attribute(model, "n_features_in_")
    if count is None and hasattr(front, "X_thresholds_"):  # IsotonicRegression
        count = 1
    layout = Layout("table", [Column() for _ in range(count or 0)], is_wide=count is not None)
    for column, name in zip(layout.columns, names if names is not None else (), strict=False):
        column.name = str(name)
    _Reading(layout).read(model, layout.columns)
    _fill(layout, metadata_of(facts).get("columns"))
    return layout


def _fill(layout: Layout, noted: Any) -> None:
    kinds = noted if isinstance(noted, dict) else {}
    for column in layout.columns:
        column.datatype = column.datatype or ("BYTES" if kinds.get(column.name) == "text" else "FP64")


class _Reading:
    """Goes through the steps that see the columns as they come, and notes what each tells."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._seen: set[int] = set()

    def read(self, model: Any, columns: list[Column]) -> None:
        if id(model) in self._seen or not columns:
            return
        self._seen.add(id(model))
        note = _NOTES.get(type(model).__name__, _note_wrapped)
        note(self, model, columns)

    def note_column_transformer(self, model: Any, columns: list[Column]) -> None:
        for _, transformer, wanted in getattr(model, "transformers_", ()):
            taken, by_name = chosen(wanted, columns)
            self._layout.by_name |= by_name
            if tells_text(_front(transformer)) and len(taken) == 1:
                taken[0].datatype, taken[0].is_text = "BYTES", True
            else:
                self.read(transformer, taken)

    def note_pipeline(self, model: Any, columns: list[Column]) -> None:
        for _, step in model.steps:
            if step is None or step == "passthrough":
                continue
            self.read(step, columns)
            if not _keeps_columns(step, columns):
                break

    def note_each(self, model: Any, columns: list[Column]) -> None:
        for part in _parts(model):
            self.read(part, columns)


def _note_wrapped(reading: _Reading, model: Any, columns: list[Column]) -> None:
    categories = getattr(model, "categories_", None)
    boosted = boosted_categories(model)
    if isinstance(categories, list) and len(categories) == len(columns):
        for column, known in zip(columns, categories, strict=True):
            _note_categories(column, known)
    elif boosted is not None:
        for place, known in boosted.items():
            _note_categories(columns[place], known)
            columns[place].as_category = True
    elif getattr(getattr(model, "statistics_", None), "dtype", np.dtype(float)).kind == "O":  # SimpleImputer of text
        for column in columns:
            column.datatype = column.datatype or "BYTES"
    else:
        reading.note_each(model, columns)


_NOTES: dict[str, Callable[[_Reading, Any, list[Column]], None]] = {
    "ColumnTransformer": _Reading.note_column_transformer,
    "Pipeline": _Reading.note_pipeline,
}


def _keeps_columns(step: Any, columns: list[Column]) -> bool:
    """Whether the next step sees the same columns, with missing values filled."""
    statistics = getattr(step, "statistics_", None)
    return statistics is not None and len(statistics) == len(columns) and not getattr(step, "add_indicator", False)


def _parts(model: Any) -> Iterator[Any]:
    """The fitted estimators inside another one that are given its X."""
    for name in ("best_estimator_", "estimator_", "regressor_", "estimator", "transformer_list", "estimators_"):
        found = _attribute(model, name)
        if name == "transformer_list" and found is not None:
            found = [part for _, part in found]
        for part in [found] if not isinstance(found, list | tuple) else found[:20]:
            if hasattr(part, "get_params") and not isinstance(part, type):
                yield part
    calibrated = _attribute(model, "calibrated_classifiers_")
    if calibrated:
        yield calibrated[0].estimator


def _front(model: Any) -> Any:
    """The first estimator that looks at X."""
    for _ in range(50):  # deep enough for any model, and an end for one that holds itself
        name = type(model).__name__
        if name == "Pipeline":
            inner = next((step for _, step in model.steps if step is not None and step != "passthrough"), None)
        elif name == "ColumnTransformer":
            inner = None
        else:
            inner = next(_parts(model), None) if _attribute(model, "n_features_in_") is None else None
        if inner is None:
            return model
        model = inner
    return model


def chosen(wanted: Any, columns: list[Column]) -> tuple[list[Column], bool]:
    """The columns that a part of a ColumnTransformer takes, and whether it names them."""
    if isinstance(wanted, slice):
        names = [column.name for column in columns]
        if isinstance(wanted.start, str) or isinstance(wanted.stop, str):
            start = names.index(wanted.start) if wanted.start in names else 0
            stop = names.index(wanted.stop) + 1 if wanted.stop in names else len(names)
            return columns[start : stop : wanted.step], True
        return columns[wanted], False
    if isinstance(wanted, str):
        return [column for column in columns if column.name == wanted], True
    places = np.asarray(wanted)
    if places.ndim == 0:
        places = places.reshape(1)
    if places.dtype.kind == "b":
        places = np.flatnonzero(places)
    if places.dtype.kind in "OU":
        by_name = {column.name: column for column in columns}
        return [by_name[name] for name in map(str, places.tolist()) if name in by_name], True
    return [columns[place] for place in places.tolist() if -len(columns) <= place < len(columns)], False


def _note_categories(column: Column, known: Any) -> None:
    values = known.tolist() if hasattr(known, "tolist") else list(known)
    present = [value for value in values if not _is_missing(value)]
    if column.datatype or not present:
        return
    column.datatype = _datatype_of_values(known, present)
    column.categories = tuple(present)
    column.has_missing = len(present) < len(values)


def _datatype_of_values(known: Any, present: Sequence[Any]) -> str:
    if getattr(known, "dtype", np.dtype(object)).kind != "O":
        return _datatype(known)
    for types, datatype in (((bool,), "BOOL"), ((int,), "INT64"), ((int, float), "FP64")):
        if all(type(value) in types for value in present):
            return datatype
    return "BYTES"


def _datatype(values: Any) -> str:
    try:
        return datatype_of(np.asarray(values).dtype)
    except RequestError:
        return "BYTES"


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value)) or type(value).__name__ == "NAType"


def _attribute(model: Any, name: str) -> Any:
    try:
        return getattr(model, name, None)
    except (TypeError, ValueError):  # a property of a model whose inside is not whole
        return None
