"""One row of numbers and text: a `ColumnTransformer`, alone or at the front of a pipeline.

Private names used, in scikit-learn 1.6 to 1.9: ``OneHotEncoder._n_features_outs``, how many columns each column
becomes.

For one row only: of several, the order of what the parts give in memory depends on how a DataFrame holds its columns,
and the last bit of the products that follow depends on that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from keepfit.serve.columns import Column, chosen
from keepfit.serve.fast.composing import Build, chain, estimators_of
from keepfit.serve.fast.step import Array, Step

__all__ = ["TableStep", "table_step"]

_Cells = list[Any]


@dataclass(frozen=True)
class TableStep:
    """What a method does with the cells of one row.

    Attributes
    ----------
    run : callable
        From the cells (numpy.float64, numpy.int64, str, or NaN for a missing one) to what the method gives for the row;
        to None where it cannot vouch for that.
    width : int
        The number of cells.
    trials : list of tuple
        For each cell, values that it may have; empty where any number will do.
    """

    run: Callable[[_Cells], Any]
    width: int
    trials: list[tuple[Any, ...]]

    def trial_rows(self) -> Iterator[list[Array]]:
        """Rows to prove the step on, as columns of one value."""
        rng = np.random.RandomState(0)
        for _ in range(6):
            row = []
            for values in self.trials:
                number = np.nan if rng.uniform() < 0.1 else rng.normal(scale=3.0)
                cell = values[rng.randint(len(values))] if values else number
                is_text = any(isinstance(value, str) for value in values)
                row.append(np.array([cell], dtype=object if is_text else None))
            yield row


def table_step(model: Any, method: str, build: Build) -> TableStep | None:
    """The arithmetic of a method for a model whose first step is a `ColumnTransformer` with a dense result."""
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

    if hasattr(model, "best_estimator_"):
        return table_step(model.best_estimator_, method, build)
    if type(model) is ColumnTransformer:
        return _transformer(model, build) if method == "transform" else None
    if type(model) is not Pipeline:
        return None
    first, *others = estimators_of(model) or [None]
    head = _transformer(first, build) if type(first) is ColumnTransformer else None
    tail = chain(others, method, build)
    if head is None or tail is None:
        return None
    prepare, width, admits, finish = head.run, tail.width, tail.admits, tail.run

    def run(cells: _Cells) -> Any:
        row = prepare(cells)
        return None if row is None or row.shape[1] != width or not admits(row) else finish(row)

    return TableStep(run, head.width, head.trials)


def _transformer(model: Any, build: Build) -> TableStep | None:
    if model.sparse_output_ or getattr(model, "_sklearn_output_config", {}).get("transform", "default") != "default":
        return None
    names = getattr(model, "feature_names_in_", None)
    columns = [Column(str(place) if names is None else names[place]) for place in range(model.n_features_in_)]
    places_of = {id(column): place for place, column in enumerate(columns)}
    trials: list[tuple[Any, ...]] = [()] * len(columns)
    parts = []
    for _, transformer, wanted in model.transformers_:
        places = [places_of[id(column)] for column in chosen(wanted, columns)[0]]
        if not places or transformer == "drop":
            continue
        encode = _encoder(transformer, places, trials) or _numbers(transformer, places, build)
        if encode is None:
            return None
        parts.append(encode)

    def run(cells: _Cells) -> Any:
        return _side_by_side([part(cells) for part in parts])

    return TableStep(run, len(columns), trials) if parts else None


def _numbers(transformer: Any, places: list[int], build: Build) -> Callable[[_Cells], Array | None] | None:
    """A part of numbers: what it does with an array of one row."""
    is_kept = transformer == "passthrough" or (
        type(transformer).__name__ == "FunctionTransformer" and transformer.func is None
    )
    step = Step(lambda X: X, len(places), "all") if is_kept else build(transformer, "transform")
    if step is None or step.width != len(places):
        return None

    def encode(cells: _Cells) -> Array | None:
        taken = [cells[place] for place in places]
        if any(type(cell) is not np.float64 for cell in taken):
            return None
        row = np.array([taken])
        found: Array | None = step.run(row) if step.admits(row) else None
        return found

    return encode


def _encoder(
    transformer: Any, places: list[int], trials: list[tuple[Any, ...]]
) -> Callable[[_Cells], Array | None] | None:
    """`OneHotEncoder` or `OrdinalEncoder`: for each value that it knows, what the encoder itself makes of it.

    A value that it does not know is left to it: it may be an error, or worth a warning.
    """
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

    if type(transformer) not in (OneHotEncoder, OrdinalEncoder):
        return None
    categories = [[_cell(value) for value in known.tolist()] for known in transformer.categories_]
    widths = transformer._n_features_outs if type(transformer) is OneHotEncoder else [1] * len(categories)
    ends = np.cumsum(widths)
    tables = []
    for place, known in enumerate(categories):
        rows = np.array([[other[0] for other in categories]] * len(known), dtype=object)
        rows[:, place] = known
        encoded = transformer.transform(rows)
        encoded = encoded.toarray() if hasattr(encoded, "toarray") else encoded
        encoded = encoded[:, ends[place] - widths[place] : ends[place]]
        tables.append({_key(cell): encoded[i : i + 1] for i, cell in enumerate(known)})
        trials[places[place]] = tuple(known)

    def encode(cells: _Cells) -> Array | None:
        return _side_by_side([table.get(_key(cells[place])) for table, place in zip(tables, places, strict=True)])

    return encode


def _cell(value: Any) -> Any:
    """A category as a request has it."""
    if type(value) is int:
        return np.int64(value)
    return value if isinstance(value, str) else np.float64(np.nan if value is None else value)


def _key(cell: Any) -> Any:
    """Equal for what an encoder takes for the same category: missing values are one, and 1 is not "1"."""
    return None if cell != cell else (type(cell), cell)


def _side_by_side(parts: list[Array | None]) -> Array | None:
    found = [part for part in parts if part is not None]
    return np.concatenate(found, axis=1) if len(found) == len(parts) else None
