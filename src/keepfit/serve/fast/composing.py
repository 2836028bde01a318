"""Models made of models: pipelines, and the best model of a search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from keepfit.serve.fast.step import Array, Step
from keepfit.serve.formulas import Formula

__all__ = ["Build", "best", "chain", "estimators_of", "pipeline"]

Build = Callable[[Any, str], Step | None]


def pipeline(model: Any, method: str, build: Build) -> Step | None:
    """`Pipeline`: its transformers one after the other, then the method of the last step."""
    return chain(estimators_of(model), method, build)


def best(model: Any, method: str, build: Build) -> Step | None:
    """`GridSearchCV` and its like: the model that was fitted with the best parameters."""
    return build(model.best_estimator_, method)


def estimators_of(pipeline: Any) -> list[Any]:
    """The steps of a `Pipeline` that do something; none if the last does not."""
    estimators = [None if estimator == "passthrough" else estimator for _, estimator in pipeline.steps]
    return [] if estimators[-1] is None else [estimator for estimator in estimators if estimator is not None]


def chain(estimators: list[Any], method: str, build: Build) -> Step | None:
    """The transformers one after the other, then the method of the last.

    What comes out of a transformer is looked at as the next step would: it may be infinite where X was not.
    """
    if not estimators:
        return None
    *transformers, last = estimators
    steps = [*(build(estimator, "transform") for estimator in transformers), build(last, method)]
    if any(step is None for step in steps):
        return None
    first, *others = [step for step in steps if step is not None]

    def run(X: Array) -> Any:
        found = first.run(X)
        for step in others:
            if found is None or found.shape[1] != step.width or not step.admits(found):
                return None
            found = step.run(found)
        return found

    return Step(run, first.width, first.accepts, _formula([first, *others]))


def _formula(steps: list[Step]) -> Formula | None:
    formulas = [step.formula for step in steps]
    if not all(formulas):
        return None
    operations = tuple(operation for formula in formulas if formula for operation in formula.operations)
    last = formulas[-1]
    return None if last is None else msgspec.structs.replace(last, width=steps[0].width, operations=operations)
