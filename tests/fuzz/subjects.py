"""What is fuzzed: files of fitted estimators, each with the data that its methods are called on."""

from __future__ import annotations

import pickle
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import exercise

import battery
from keepfit.artifact import read, to_bytes
from keepfit.codecs import encode
from keepfit.graph import Graph

__all__ = ["Subject", "data_of", "subjects"]


@dataclass(frozen=True)
class Subject:
    """A fitted estimator to change: its label, graph, file and pickles, and data for its methods."""

    label: str
    graph: Graph
    file: bytes
    pickles: tuple[bytes, ...]
    X: Any
    y: Any


def subject(label: str, estimator: Any, X: Any, y: Any) -> Subject:
    """A fitted estimator as a subject."""
    file = to_bytes(encode(estimator), {})
    pickles = tuple(pickle.dumps(estimator, protocol) for protocol in (2, 5))
    return Subject(label, read(file)[0], file, pickles, X, y)


def subjects(names: Collection[str] = (), *, variants: bool = False) -> Iterator[Subject]:
    """The battery's fitted estimators (of these classes, where some are named); with `variants`, those too."""
    for label, estimator, X in exercise.fitted(names):
        yield subject(label, estimator, X, battery.data_for(estimator)[1])
    if variants:
        for label, estimator, X in exercise.more_fitted():
            if not names or label.partition("-")[0] in names:
                yield subject(label, estimator, X, battery.data_for(estimator)[1])
        for label, part in exercise.parts():
            if not names or label.partition("-")[0] in names:
                yield subject(f"{label}{_PART}", part, exercise.variants_data(), None)


#: How labels of what is no estimator end.
_PART = "-part"


def data_of(label: str) -> tuple[Any, Any]:
    """X and y for the methods of a subject, from its label: nothing is fitted."""
    if label.endswith(_PART):
        return exercise.variants_data(), None
    estimator = exercise.unfitted(label.partition("-")[0])
    X, y = battery.data_for(estimator)
    return (exercise.variants_data() if "-variant" in label else X), y
