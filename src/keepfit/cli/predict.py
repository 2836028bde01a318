"""``keepfit predict``: a kept model on a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from keepfit.cli.screen import TRUSTED, clean, say
from keepfit.errors import KeepfitError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["command"]

_EPILOG = """\b
Examples:
  keepfit predict state.db#rf new.csv
  keepfit predict state.db#rf@2 new.csv --proba -o probabilities.csv
  keepfit predict model.safetensors new.parquet -o predictions.parquet
"""


@click.command(epilog=_EPILOG, short_help="Predict for the rows of a table.")
@click.argument("model", metavar="FILE|STORE#NAME[@VERSION]")
@click.argument("data")
@click.option("-o", "--output", metavar="FILE", help="CSV or Parquet by its ending. [default: CSV to the screen]")
@click.option("--proba", is_flag=True, help="A column with the probability of each class.")
@click.option("--trusted", multiple=True, metavar="NAME", help=TRUSTED)
def command(model: str, data: str, output: str | None, proba: bool, trusted: tuple[str, ...]) -> None:
    """Predict for each row of DATA, a CSV or Parquet file, with MODEL.

    Columns are found by their names: their order does not matter, those that the model does not know are left aside.
    Where DATA has the column that is predicted, it is not used, and the predictions are compared with it.
    """
    from keepfit.cli.addresses import parse
    from keepfit.cli.frames import check_ending, kinds_in, read, write

    if output is not None:
        check_ending(output)
    method = "predict_proba" if proba else "predict"
    loaded, metadata = parse(model).load(trusted=trusted)
    if not hasattr(loaded, method):
        raise KeepfitError(f"{model} is a {type(loaded).__name__}, which has no {method}{_hint(loaded, proba)}")
    frame = read(data)
    target = metadata.get("target")
    truth = frame.pop(target) if target in frame.columns else None
    frame = frame.drop(columns=[name for name in metadata.get("left_out", ()) if name in frame.columns])
    X = _matched(loaded, frame, data, kinds_in(metadata))
    try:
        outputs = getattr(loaded, method)(X)
    except (ValueError, TypeError) as error:
        raise KeepfitError(f"{model} cannot predict for {data}: {error}") from error
    write(_table(loaded, outputs, proba), output)
    if output is not None:
        say(f"{len(X):,} rows -> {output}")
    if truth is not None and not proba:
        _compare(outputs, truth, data, regression=metadata.get("task") == "regression")


def _hint(model: Any, proba: bool) -> str:
    if not proba or not hasattr(model, "predict"):
        return ""
    from sklearn.base import is_regressor

    if is_regressor(model):
        return ": it predicts amounts, which have no probabilities"
    return "; without --proba it predicts classes"


def _matched(model: Any, frame: pd.DataFrame, file: str, kinds: dict[str, str]) -> Any:
    """The columns that the model was fitted on, in its order, of the kinds they had then."""
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        return _unnamed(model, frame, file)
    wanted = [str(name) for name in names]
    _check_missing(wanted, frame, file)
    extra = [name for name in frame.columns if name not in set(wanted)]
    if extra:
        say(f"{file}: left aside, because the model does not know {_these(extra)}")
    if [name for name in frame.columns if name in set(wanted)] != wanted:
        say(f"{file}: columns are in another order than in fitting; they were put in that order")
    X = frame[wanted].copy()
    for name, kind in kinds.items():
        if name in X.columns:
            X[name] = _as_before(X[name], kind, file)
    return X


def _check_missing(wanted: list[str], frame: pd.DataFrame, file: str) -> None:
    from keepfit.cli.frames import close_to

    missing = [name for name in wanted if name not in frame.columns]
    if not missing:
        return
    extra = [name for name in frame.columns if name not in set(wanted)]
    hint = f"; {close_to(missing[0], extra)}" if len(missing) == 1 and extra else ""
    raise KeepfitError(f"{file} lacks {_these(missing)}, which the model was fitted on{hint}")


def _unnamed(model: Any, frame: pd.DataFrame, file: str) -> Any:
    """For a model that was fitted on a bare array: all columns as they stand."""
    count = getattr(model, "n_features_in_", frame.shape[1])
    if frame.shape[1] != count:
        raise KeepfitError(
            f"{file} has {frame.shape[1]} columns and the model was fitted on {count}, without names; give it those "
            "columns in that order"
        )
    return frame.to_numpy()


def _as_before(column: pd.Series, kind: str, file: str) -> pd.Series:
    from keepfit.cli.frames import as_kind, strange_values

    strange = strange_values(column) if kind == "number" else []
    if strange:
        shown = ", ".join(repr(clean(value, 30)) for value in strange[:5])
        say(f"{file}: in {clean(column.name)!r}, {shown} are no numbers and count as missing")
    return as_kind(column, kind)


def _compare(outputs: Any, truth: pd.Series, file: str, *, regression: bool) -> None:
    from keepfit.cli.frames import as_kind

    if regression:
        from sklearn.metrics import r2_score

        known = as_kind(truth, "number")
        if known.notna().all() and len(known) > 1:
            say(f"{file} has {truth.name!r} too: r2 {r2_score(known, outputs):.5f}")
        return
    same = as_kind(truth, "text").to_numpy() == as_kind(_series(outputs), "text").to_numpy()
    say(f"{file} has {truth.name!r} too: {same.sum():,} of {len(same):,} are as predicted, accuracy {same.mean():.5f}")


def _series(values: Any) -> pd.Series:
    import pandas

    return pandas.Series(values)


def _table(model: Any, outputs: Any, proba: bool) -> pd.DataFrame:
    import numpy as np
    import pandas

    if isinstance(outputs, list):  # several targets, each with its own classes
        raise KeepfitError("--proba is for models of one target; this one has several")
    values = np.asarray(outputs)
    if proba:
        return pandas.DataFrame(values, columns=[f"probability_{one}" for one in model.classes_])
    if values.ndim == 1:
        return pandas.DataFrame({"prediction": values})
    return pandas.DataFrame(values, columns=[f"prediction_{column}" for column in range(values.shape[1])])


def _these(names: list[str]) -> str:
    shown = ", ".join(repr(clean(name)) for name in names[:8])
    word = "the column" if len(names) == 1 else "the columns"
    return f"{word} {shown}" + (f" and {len(names) - 8} more" if len(names) > 8 else "")
