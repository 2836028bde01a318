"""Ready models and grids for `keepfit search`, in one table, and the short notation for grids of one's own."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from click import BadParameter

__all__ = ["DEFAULTS", "READY", "Ready", "ready", "with_own_grids"]


@dataclass(frozen=True)
class Ready:
    """A type of model that is ready to be searched.

    Parameters
    ----------
    of : str
        The full name of the class.
    fixed : mapping of str to object
        Parameters that stay as they are.
    grid : mapping of str to sequence
        What is tried.
    """

    of: str
    fixed: Mapping[str, Any] = field(default_factory=dict)
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def make(self) -> Any:
        """The estimator."""
        module, _, name = self.of.rpartition(".")
        return getattr(import_module(module), name)(**self.fixed)


_NEIGHBORS = {"n_neighbors": (1, 3, 5, 7, 9, 11, 15, 21, 31, 51), "weights": ("uniform", "distance")}
_FOREST = {"n_estimators": (100, 300), "max_features": ("sqrt", 0.5), "min_samples_leaf": (1, 3)}
_BOOSTING = {"learning_rate": (0.05, 0.1, 0.2), "max_leaf_nodes": (15, 31), "max_iter": (100, 200)}
_TREE = {"max_depth": (3, 5, 10, None), "min_samples_leaf": (1, 5, 20)}
_VECTORS = {"C": (0.1, 1.0, 10.0, 100.0), "gamma": ("scale", 0.01, 0.1)}
_SEED = {"random_state": 0}

READY: dict[str, dict[str, Ready]] = {
    "classification": {
        "knn": Ready("sklearn.neighbors.KNeighborsClassifier", {}, _NEIGHBORS),
        "rf": Ready("sklearn.ensemble.RandomForestClassifier", _SEED, _FOREST),
        "nb": Ready("sklearn.naive_bayes.GaussianNB", {}, {"var_smoothing": (1e-9, 1e-6, 1e-3, 1e-1)}),
        "lr": Ready(
            "sklearn.linear_model.LogisticRegression",
            {"max_iter": 5000},
            {"C": (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)},
        ),
        "svm": Ready("sklearn.svm.SVC", {}, _VECTORS),
        "gb": Ready("sklearn.ensemble.HistGradientBoostingClassifier", _SEED, _BOOSTING),
        "tree": Ready("sklearn.tree.DecisionTreeClassifier", _SEED, _TREE),
    },
    "regression": {
        "knn": Ready("sklearn.neighbors.KNeighborsRegressor", {}, _NEIGHBORS),
        "rf": Ready("sklearn.ensemble.RandomForestRegressor", _SEED, _FOREST),
        "lr": Ready("sklearn.linear_model.Ridge", {}, {"alpha": (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)}),
        "enet": Ready(
            "sklearn.linear_model.ElasticNet",
            {"max_iter": 10000},
            {"alpha": (0.001, 0.01, 0.1, 1.0), "l1_ratio": (0.1, 0.5, 0.9)},
        ),
        "svm": Ready("sklearn.svm.SVR", {}, _VECTORS),
        "gb": Ready("sklearn.ensemble.HistGradientBoostingRegressor", _SEED, _BOOSTING),
        "tree": Ready("sklearn.tree.DecisionTreeRegressor", _SEED, _TREE),
    },
}

DEFAULTS = {"classification": ("knn", "rf", "nb", "lr"), "regression": ("knn", "rf", "lr", "gb")}


def ready(task: str, names: str | None, train_size: int) -> dict[str, Ready]:
    """The types of model to search.

    Parameters
    ----------
    task : {"classification", "regression"}
    names : str or None
        As on the command line, with commas between; None for the usual ones.
    train_size : int
        Rows to fit on in a split: no more neighbours are asked for.

    Raises
    ------
    click.BadParameter
        If there is no type of that name for this task.
    """
    table = READY[task]
    wanted = DEFAULTS[task] if names is None else [name.strip() for name in names.split(",") if name.strip()]
    if not wanted:
        raise BadParameter(f"say at least one of {', '.join(table)}", param_hint="--models")
    found = {}
    for name in wanted:
        if name not in table:
            raise BadParameter(_unknown(name, task), param_hint="--models")
        one = table[name]
        grid = dict(one.grid)
        if "n_neighbors" in grid:
            grid["n_neighbors"] = [k for k in grid["n_neighbors"] if k <= train_size] or [1]
        found[name] = Ready(one.of, one.fixed, grid)
    return found


def with_own_grids(models: Mapping[str, Ready], texts: Sequence[str]) -> dict[str, Ready]:
    """The same types of model, with grids from the command line in place of the ready ones.

    Parameters
    ----------
    models : mapping of str to Ready
    texts : sequence of str
        Each ``model.parameter=values``, where values are ``start:stop`` or ``start:stop:step`` as in Python's `range`,
        or stand with commas between: ``knn.n_neighbors=1:100``, ``lr.C=0.1,1,10``, ``knn.weights=uniform,distance``.

    Raises
    ------
    click.BadParameter
        If a text is not of that form, or names a model or parameter that is not there.
    """
    own: dict[str, dict[str, Sequence[Any]]] = {}
    for text in texts:
        target, equals, values = text.partition("=")
        name, dot, parameter = target.strip().partition(".")
        if not equals or not dot or not values.strip():
            raise _bad(f"{text!r} is not of the form model.parameter=values, such as knn.n_neighbors=1:100")
        if name not in models:
            raise _bad(f"{text!r}: {name!r} is not searched; there are {', '.join(models)}")
        known = list(models[name].make().get_params())
        if parameter not in known:
            close = difflib.get_close_matches(parameter, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
            raise _bad(f"{text!r}: {name} has no parameter {parameter!r}; {hint}")
        own.setdefault(name, {})[parameter] = _values(text, values.strip())
    return {
        name: Ready(one.of, {k: v for k, v in one.fixed.items() if k not in own[name]}, own[name])
        if name in own
        else one
        for name, one in models.items()
    }


def _values(text: str, values: str) -> Sequence[Any]:
    parts = values.split(":")
    if 2 <= len(parts) <= 3 and all(part.strip().lstrip("-").isdigit() for part in parts):
        bounds = [int(part) for part in parts]
        span = range(*bounds) if bounds[2:] != [0] else range(0)
        if not span:
            raise _bad(f"{text!r}: there is no number in {values}; it means start:stop:step, without the stop")
        return span
    return [_value(part.strip()) for part in values.split(",")]


def _value(text: str) -> Any:
    words = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _bad(message: str) -> BadParameter:
    return BadParameter(message, param_hint="--grid")


def _unknown(name: str, task: str) -> str:
    table = READY[task]
    other = next(one for one in READY if one != task)
    if name in READY[other]:
        return f"{name!r} is for {other}; for {task} there are {', '.join(table)}"
    close = difflib.get_close_matches(name, table, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"there is no model {name!r}; {hint}for {task} there are {', '.join(table)}"
