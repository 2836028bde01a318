"""Which of scikit-learn's scorers suit a target: told before anything is fitted, by asking them on a few rows."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import click

from keepfit.cli.frames import close_to

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DEFAULTS", "check_fits", "check_known"]

DEFAULTS = {"classification": "accuracy", "regression": "r2"}

#: Shown first where one scorer is to take the place of another.
_USUAL = (
    "accuracy", "balanced_accuracy", "f1_macro", "roc_auc", "roc_auc_ovr", "neg_log_loss",
    "r2", "neg_mean_absolute_error", "neg_root_mean_squared_error",
)  # fmt: skip

_SHOWN = 8


def check_known(scoring: str | None) -> None:
    """Refuse a name that scikit-learn has no scorer of.

    Raises
    ------
    click.BadParameter
        With names that are close.
    """
    from sklearn.metrics import get_scorer_names

    if scoring is not None and scoring not in get_scorer_names():
        hint = close_to(scoring, get_scorer_names())
        raise click.BadParameter(f"scikit-learn has no scorer {scoring!r}; {hint}", param_hint="--scoring")


def check_fits(scoring: str | None, y: pd.Series, task: str) -> None:
    """Refuse a scorer that would fail on each split of this target.

    Raises
    ------
    click.BadParameter
        With the reason and the names of scorers that fit.
    """
    if scoring is None:
        return
    reason = _objection(scoring, y, task)
    if reason is None:
        return
    from sklearn.metrics import get_scorer_names

    fitting = [name for name in get_scorer_names() if _objection(name, y, task) is None]
    order = {name: place for place, name in enumerate(_USUAL)}
    fitting.sort(key=lambda name: (not name.startswith(scoring), order.get(name, len(order)), name))
    listed = ", ".join(fitting[:_SHOWN])
    raise click.BadParameter(
        f"{scoring!r} cannot judge {y.name!r}: {reason}; for it there are {listed}", param_hint="--scoring"
    )


def _objection(scoring: str, y: pd.Series, task: str) -> str | None:
    """Why a scorer does not suit a target; None if it does."""
    import numpy as np
    from sklearn.dummy import DummyClassifier, DummyRegressor

    amounts = np.linspace(0.5, 1.5, 8)
    for_classes = _error(scoring, DummyRegressor(), amounts, strict=True)
    if task == "regression":
        return for_classes or _error(scoring, DummyRegressor(), np.linspace(y.min(), y.max(), 8))
    if for_classes is None:  # it would take classes that are numbers for amounts
        return "it is for amounts, and these are classes"
    return _error(scoring, DummyClassifier(), np.repeat(y.unique(), 2))


def _error(scoring: str, model: Any, y: Any, *, strict: bool = False) -> str | None:
    import numpy as np
    from sklearn.metrics import get_scorer

    X = np.zeros((len(y), 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error" if strict else "ignore")  # scores of clusterings only warn of amounts
        try:
            score = get_scorer(scoring)(model.fit(X, y), X, y)
        except Exception as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            return lines[0].rstrip(".")
    return None if np.isfinite(score) else "it gives no number"
