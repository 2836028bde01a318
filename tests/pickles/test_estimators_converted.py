"""Pickles and joblib files of every estimator: convertible, and the same model to the bit."""

from __future__ import annotations

import io
import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import joblib

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


def problem(model: Any, X: Any, outputs: dict[str, Any], data: bytes) -> str:
    """What is wrong with a converted model; nothing if it is what was pickled and gives its outputs to the bit."""
    report = keepfit.inspect(data)
    if report.verdict != "convertible":
        return f"{report.verdict}: {[obstacle.message for obstacle in report.obstacles]}"
    target = io.BytesIO()
    keepfit.convert(data, target)
    found = keepfit.loads(target.getvalue())
    return difference(model, found) or difference(outputs, battery.outputs(found, X)) or ""


def problems() -> Iterator[tuple[str, str, str]]:
    """Every fitted estimator in every container: the container, its label, and what is wrong with it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for label, model, X in battery.fitted():
            outputs = battery.outputs(model, X)
            for container, contain in CONTAINERS.items():
                yield container, label, problem(model, X, outputs, contain(model))


def test_every_estimator_is_convertible_from_every_container_and_predicts_the_same() -> None:
    rows = list(problems())
    assert len(rows) >= 200 * len(CONTAINERS)
    assert [row for row in rows if row[2]] == []
