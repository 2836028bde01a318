"""Pickles and joblib files of every estimator: convertible, and the same model to the bit."""

from __future__ import annotations

import io
import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import joblib
import pytest

import battery
import keepfit
from equality import difference

__all__ = ["CONTAINERS", "problem", "problems"]


def _joblib(model: Any, compress: Any) -> bytes:
    file = io.BytesIO()
    joblib.dump(model, file, compress=compress)
    return file.getvalue()


#: What a model is kept in.
CONTAINERS = {
    "pickle 2": lambda model: pickle.dumps(model, 2),
    "pickle 5": lambda model: pickle.dumps(model, 5),
    "joblib": lambda model: _joblib(model, 0),
    "joblib zlib": lambda model: _joblib(model, ("zlib", 3)),
}


def problem(model: Any, X: Any, data: bytes) -> str:
    """What is wrong with a converted model; nothing if it is what was pickled and gives the same to the bit."""
    report = keepfit.inspect(data)
    if report.verdict != "convertible":
        return f"{report.verdict}: {[obstacle.message for obstacle in report.obstacles]}"
    target = io.BytesIO()
    keepfit.convert(data, target)
    found = keepfit.loads(target.getvalue())
    return difference(model, found) or difference(battery.outputs(model, X), battery.outputs(found, X)) or ""


def problems(container: str) -> Iterator[tuple[str, str]]:
    """Every fitted estimator in a container: its label, and what is wrong with it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for label, model, X in battery.fitted():
            yield label, problem(model, X, CONTAINERS[container](model))


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_estimator_is_convertible_and_predicts_the_same(container: str) -> None:
    rows = list(problems(container))
    assert len(rows) >= 200
    assert [row for row in rows if row[1]] == []
