"""``keepfit predict``: a kept model on a table."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from keepfit.cli.screen import TRUSTED, counted, say
from keepfit.errors import KeepfitError

if TYPE_CHECKING:
    import pandas as pd

    from keepfit.cli.chunks import Table
    from keepfit.cli.columns import Matching

__all__ = ["command"]

_EPILOG = """\b
Examples:
  keepfit predict state.db#rf new.csv
  keepfit predict state.db#rf@2 new.csv --proba -o probabilities.csv
  keepfit predict model.safetensors new.parquet -o predictions.parquet
  zcat rows.csv.gz | keepfit predict model.safetensors - > predictions.csv
  keepfit predict state.db#rf new.csv --explain-columns
"""


@click.command(epilog=_EPILOG, short_help="Predict for the rows of a table.")
@click.argument("model", metavar="FILE|URL|STORE#NAME[@VERSION]")
@click.argument("data")
@click.option("-o", "--output", metavar="FILE", default="-", help="Where to.  [default: standard output]")
@click.option("--proba", is_flag=True, help="A column with the probability of each class.")
@click.option("--explain-columns", is_flag=True, help="Say which column of DATA goes where, and predict nothing.")
@click.option(
    "--format", "form", type=click.Choice(["csv", "parquet", "jsonl"]), default="csv", show_default=True,
    help="Of DATA and the output, where no ending tells.",
)  # fmt: skip
@click.option("--trusted", multiple=True, metavar="NAME", help=TRUSTED)
def command(
    model: str, data: str, output: str, proba: bool, explain_columns: bool, form: str, trusted: tuple[str, ...]
) -> None:
    """Predict for each row of DATA with MODEL.

    DATA and the output are CSV, Parquet (.parquet) or JSON lines (.jsonl), by their endings; - is standard input and
    output. They are read and written part by part, in bounded memory.

    Columns are found by their names: their order does not matter, those that the model does not know are left aside.
    Where DATA has the column that is predicted, it is not used, and the predictions are compared with it.
    """
    written = _Written()
    try:
        _predict(
            model, data, output, proba=proba, explain_columns=explain_columns, form=form, trusted=trusted,
            written=written,
        )  # fmt: skip
    except KeyboardInterrupt:
        if explain_columns or output != "-":
            say(f"keepfit: stopped by Ctrl-C; nothing was written{'' if output == '-' else f' to {output}'}")
        else:
            say(f"keepfit: stopped by Ctrl-C; {counted(written.rows, 'row')} written")
        raise


class _Written:
    """How far it is."""

    rows = 0


def _predict(
    model: str,
    data: str,
    output: str,
    *,
    proba: bool,
    explain_columns: bool,
    form: str,
    trusted: tuple[str, ...],
    written: _Written,
) -> None:
    from keepfit.cli.addresses import parse
    from keepfit.cli.chunks import Table, format_of
    from keepfit.cli.columns import match
    from keepfit.cli.comparing import comparison_for
    from keepfit.cli.writing import write

    output_form = format_of(output, form)
    if not explain_columns:
        _spare_inputs(data, model, output)
    method = "predict_proba" if proba else "predict"
    loaded, facts, metadata = parse(model).load(trusted=trusted)
    if not hasattr(loaded, method):
        raise KeepfitError(f"{model} is a {type(loaded).__name__}, which has no {method}{_hint(loaded, proba)}")
    with Table(data, format_of(data, form)) as table:
        matching = match(loaded, facts, metadata, table)
        if explain_columns:
            click.echo(matching.explain())
            matching.check()
            return
        matching.check()
        matching.tell()
        comparison = None if proba or matching.target is None else comparison_for(metadata)

        def predictions() -> Iterator[pd.DataFrame]:
            for part, outputs in _outputs(getattr(loaded, method), matching, table, model):
                if comparison is not None:
                    comparison.add(outputs, part[matching.target])
                yield _frame(loaded, outputs, method)
                written.rows += len(part)
            if not written.rows:
                yield _heading(loaded, facts, method)

        write(predictions(), output, output_form)
    matching.tell_strange()
    if output != "-":
        say(f"{counted(written.rows, 'row')} -> {output}")
    if not written.rows:
        say(f"{table.name} has column names and no rows")
    elif comparison is not None:
        say(f"{table.name} has {matching.target!r} too: {comparison.text()}")
    elif matching.target is not None:
        say(f"{table.name} has {matching.target!r} too, which is what the model predicts; it was not used")


def _spare_inputs(data: str, model: str, output: str) -> None:
    """Refuse to put predictions where the rows or the model that they are made from are."""
    from keepfit.artifact import is_same_file

    for file, what in (("/dev/stdin" if data == "-" else data, "table itself"), (model, "model itself")):
        if is_same_file(file, output):
            raise click.BadParameter(
                f"{output!r} is the {what}, which would be lost; give another name, as in -o predictions.csv",
                param_hint="-o",
            )


def _hint(model: Any, proba: bool) -> str:
    if not proba or not hasattr(model, "predict"):
        return ""
    from sklearn.base import is_regressor

    if is_regressor(model):
        return ": it predicts amounts, which have no probabilities"
    return "; it predicts without --proba"


def _outputs(
    act: Callable[[Any], Any], matching: Matching, table: Table, address: str
) -> Iterator[tuple[pd.DataFrame, Any]]:
    """Each part of a table, and what the model's method gives for it."""
    with _progress(table) as advance:
        for part in table.parts(matching.as_written):
            if not len(part):  # of a table of column names alone
                continue
            X = matching.select(part)
            try:
                outputs = act(X)
            except (ValueError, TypeError) as error:
                why = matching.blame(part, str(error)) or " ".join(str(error).split())
                raise KeepfitError(f"{address} cannot predict for {table.name}: {why}") from error
            yield part, outputs
            advance(len(part))


@contextlib.contextmanager
def _progress(table: Table) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, if that is a terminal; the callable takes how many rows more are done."""
    import sys

    if not sys.stderr.isatty():
        yield lambda rows: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (BarColumn(bar_width=24), TaskProgressColumn(), TextColumn("{task.fields[rows]:,} rows"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None if table.done is None else 1.0, rows=0)
        done = 0

        def advance(rows: int) -> None:
            nonlocal done
            done += rows
            bar.update(task, completed=table.done or 0.0, rows=done)

        yield advance


def _frame(model: Any, outputs: Any, method: str) -> pd.DataFrame:
    import numpy as np
    import pandas

    if isinstance(outputs, list):  # several targets, each with its own classes
        raise KeepfitError("--proba is for models of one target; this one has several")
    values = np.asarray(outputs)
    if method == "predict_proba":
        return pandas.DataFrame(values, columns=[f"probability_{one}" for one in model.classes_])
    if values.ndim == 1:
        return pandas.DataFrame({"prediction": values})
    return pandas.DataFrame(values, columns=[f"prediction_{column}" for column in range(values.shape[1])])


def _heading(model: Any, facts: Mapping[str, str], method: str) -> pd.DataFrame:
    """The predictions for no rows: their columns."""
    import numpy as np

    from keepfit.serve.signature import signature_of

    shape = next(field.shape for field in signature_of(model, facts).outputs if field.name == method)
    return _frame(model, np.empty([max(0, size) for size in shape]), method)
