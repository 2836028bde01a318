"""``keepfit search``: several types of model on one table, the best of each kept."""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING, Any

import click

from keepfit.cli.screen import counted, number, say, table, write_json
from keepfit.errors import KeepfitError

if TYPE_CHECKING:
    from keepfit.cli.pipelines import Prepared
    from keepfit.search import ModelSearchCV
    from keepfit.store import Store

__all__ = ["command"]

_EPILOG = """\b
Models:
  knn   k nearest neighbours        svm   support vector machine
  rf    random forest               gb    gradient boosting
  lr    logistic or ridge           tree  decision tree
  nb    naive Bayes (classes)       enet  elastic net (amounts)
\b
Examples:
  keepfit search iris.csv --target species
  keepfit search houses.parquet --target price --models rf,gb --cv 10 --n-jobs -1
  keepfit search iris.csv --target species --models knn,rf \\
      --grid knn.n_neighbors=1:100 --grid rf.n_estimators=20:150:3
Stopped at any moment, by Ctrl-C or worse, the same command goes on where it was.
"""


@click.command(epilog=_EPILOG, short_help="Find the best model of each type for a table.")
@click.argument("data")
@click.option("--target", required=True, metavar="COLUMN", help="The column to predict.")
@click.option("--models", metavar="NAMES", help="Types of model with commas between; see below.")
@click.option("--store", default="state.db", show_default=True, metavar="PLACE", help="Where all is kept.")
@click.option("--task", type=click.Choice(["classification", "regression"]), help="Told from the target by default.")
@click.option("--scoring", metavar="NAME", help="Any of scikit-learn's scorers. [default: accuracy or r2]")
@click.option("--cv", type=click.IntRange(min=2), default=5, show_default=True, help="Number of splits.")
@click.option("--n-jobs", type=int, metavar="N", help="Processes at once; -1 for one per core.")
@click.option("--grid", "grids", multiple=True, metavar="MODEL.PARAMETER=VALUES", help="Try these values instead.")
@click.option("--progress/--no-progress", default=None, help="Show progress.  [default: as suits the output]")
@click.option("--share/--no-share", default=True, help="Let candidates share fits; scores are the same either way.")
@click.option("--json", "as_json", is_flag=True, help="Write the result as JSON.")
def command(data: str, target: str, store: str, cv: int, as_json: bool, **options: Any) -> None:
    """Search for the best model of each type.

    DATA is a CSV, Parquet (.parquet) or JSON lines (.jsonl) file. Numbers are scaled, text becomes one-hot columns,
    missing values are filled. Every finished fit and the best model of each type are kept in the store.
    """
    from keepfit.cli.chunks import read_whole
    from keepfit.cli.grids import ready, with_own_grids
    from keepfit.cli.pipelines import prepare
    from keepfit.cli.scoring import check_fits, check_known
    from keepfit.store import Store

    check_known(options["scoring"])
    frame = read_whole(data)
    prepared = prepare(frame, target, options["task"])
    check_fits(options["scoring"], prepared.y, prepared.task)
    _check_splits(prepared, cv)
    models = ready(prepared.task, options["models"], len(prepared.X) * (cv - 1) // cv)
    models = with_own_grids(models, options["grids"])
    with Store(store) as kept:
        searched = _search(prepared, models, cv, options, kept)
        _tell_plan(data, searched, prepared, cv)
        before = max((one.id for one in kept.work.searches()), default=0)
        _tell_replaced(searched, kept, store)
        _fit(searched, prepared, kept, store, before)
        result = _result(searched, kept, before)
    if as_json:
        write_json(result)
    else:
        _tell_result(result, store)


def _check_splits(prepared: Prepared, cv: int) -> None:
    rows = len(prepared.y)
    if prepared.task == "classification":
        most = int(prepared.y.value_counts().max())
        if most < cv:
            raise KeepfitError(f"no class has {cv} rows, so there can be no {cv} splits; use --cv {max(2, most)}")
    elif rows < 2 * cv:
        raise KeepfitError(
            f"{counted(rows, 'row')} will not do for {cv} splits; give at least {2 * cv}, or a smaller --cv"
        )


def _search(prepared: Prepared, models: Any, cv: int, options: dict[str, Any], store: Store) -> ModelSearchCV:
    from sklearn.model_selection import KFold, StratifiedKFold
    from sklearn.pipeline import Pipeline

    from keepfit.cli.pipelines import preparation
    from keepfit.cli.scoring import DEFAULTS
    from keepfit.search import ModelSearchCV

    splitter = StratifiedKFold if prepared.task == "classification" else KFold
    return ModelSearchCV(
        {
            name: (
                Pipeline([("prepare", preparation(prepared.columns)), (name, one.make())]),
                {f"{name}__{parameter}": list(values) for parameter, values in one.grid.items()},
            )
            for name, one in models.items()
        },
        store=store,
        cv=splitter(cv, shuffle=True, random_state=0),
        scoring=options["scoring"] or DEFAULTS[prepared.task],
        n_jobs=options["n_jobs"],
        progress=options["progress"],
        share=options["share"],
        metadata={
            "target": str(prepared.y.name),
            "task": prepared.task,
            "columns": prepared.columns,
            "left_out": [*prepared.left_out],
        },
    )


def _tell_plan(data: str, search: ModelSearchCV, prepared: Prepared, cv: int) -> None:
    from sklearn.model_selection import ParameterGrid

    rows, columns = counted(len(prepared.X), "row"), counted(prepared.X.shape[1], "column")
    say(f"{data}: {rows}, {columns} to predict {prepared.y.name!r} from")
    for name, why in prepared.left_out.items():
        say(f"  left out {name!r}: {why}")
    other = "regression" if prepared.task == "classification" else "classification"
    say(f"{prepared.task}, because {prepared.reason} (--task {other} for the other)")
    counts = {name: len(ParameterGrid(grid)) for name, (_, grid) in search.models.items()}
    listed = ", ".join(f"{name} {count}" for name, count in counts.items())
    total = sum(counts.values())
    say(f"{counted(total, 'candidate')} ({listed}), {cv} splits each: {total * cv:,} fits, judged by {search.scoring}")


def _tell_replaced(search: ModelSearchCV, store: Store, place: str) -> None:
    """Say where a name has stood for something else: its newest version will be another model than before."""
    now = ((search.metadata or {}).get("target"), search.scoring)
    for name in search.models:
        if name not in store:
            continue
        info = store.info(name)
        was = (info.metadata.get("target"), info.metadata.get("scoring"))
        if None not in was and was != now:
            was_text, now_text = (f"{target!r} by {scoring}" for target, scoring in (was, now))
            stays = f"version {info.version} stays as it is"
            say(f"{place}#{name} is for {was_text} so far and will be for {now_text}; {stays}")


def _fit(search: ModelSearchCV, prepared: Prepared, store: Store, place: str, before: int) -> None:
    from sklearn.exceptions import NotFittedError

    try:
        with _workers_leave_interrupts_to_us():
            search.fit(prepared.X, prepared.y.to_numpy())
    except (KeyboardInterrupt, SystemExit):
        done = sum(one.reused + one.computed for one in store.work.searches() if one.id > before)
        say(f"stopped; {counted(done, 'fit')} kept in {place}; run the same command again to go on")
        raise
    except (ValueError, NotFittedError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1].rstrip(".")
        raise KeepfitError(
            f"no model could be fitted: {reason}; keepfit status {place} --failures shows more"
        ) from error


def _workers_leave_interrupts_to_us() -> Any:
    """A terminal sends Ctrl-C to workers as well, and each would show a traceback. This process ends them anyway."""
    from joblib import parallel_config

    try:
        return parallel_config(backend="loky", initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN))
    except TypeError:  # before joblib 1.5
        return contextlib.nullcontext()


def _result(search: ModelSearchCV, store: Store, before: int) -> dict[str, Any]:
    new = [one for one in store.work.searches() if one.id > before]
    table = search.cv_results_
    models = {}
    for name, row in search.best_indices_.items():
        models[name] = {
            "score": float(table["mean_test_score"][row]),
            "std": float(table["std_test_score"][row]),
            "params": {key.partition("__")[2]: value for key, value in table["params"][row].items()},
            "version": search.kept_versions_.get(name),
        }
    return {
        "best_model": search.best_model_,
        "best_score": search.best_score_,
        "scoring": search.scoring,
        "models": models,
        "failed_models": search.failed_models_,
        **{count: sum(getattr(one, count) for one in new) for count in ("reused", "computed", "failed")},
    }


def _tell_result(result: dict[str, Any], store: str) -> None:
    say(f"{counted(result['computed'], 'fit')} computed, {result['reused']:,} reused, {result['failed']:,} failed")
    ranked = sorted(result["models"].items(), key=lambda item: -item[1]["score"])
    rows = [
        (name, number(one["score"]), number(one["std"]), _params(one["params"]), _place(name, one["version"]))
        for name, one in ranked
    ]
    click.echo(table(("model", result["scoring"], "std", "best parameters", f"in {store}"), rows))
    say(f"next: keepfit predict {store}#{result['best_model']} NEW_ROWS.csv")


def _place(name: str, version: int | None) -> str:
    return "could not be kept" if version is None else f"{name}@{version}"


def _params(params: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in params.items()) or "as it is"
