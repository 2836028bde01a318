"""Fitted estimators with one thing wrong, for tests that say what must be refused."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from keepfit import codecs
from keepfit.codecs import encoding, policy
from keepfit.codecs.checks import svm
from keepfit.errors import KeepfitError
from keepfit.graph import Graph

__all__ = ["X", "assert_refused", "careless_graph", "fitted", "labels", "spoiled_nodes", "target"]

_rng = np.random.RandomState(0)
X = np.round(_rng.normal(size=(60, 4)), 3)
labels = np.arange(60) % 3
target = X @ [1.0, -2.0, 0.5, 0.0] + 0.1 * _rng.normal(size=60)


def fitted(estimator: Any, *data: Any) -> Any:
    """The estimator fitted, in silence."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(*(data or (X, labels)))


def assert_refused(estimator: Any, error: type[Exception] = KeepfitError, match: str | None = None) -> None:
    """An estimator as it is now is a file that must not load."""
    graph = careless_graph(estimator)
    with pytest.raises(error, match=match):
        codecs.decode(graph)


def careless_graph(obj: object) -> Graph:
    """The graph that a writer makes who does not ask whether it will load, as `codecs.encode` does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policy, "check_excess", lambda name, state: None)
        patch.setattr(policy, "check_bound", lambda function, arguments: None)
        patch.setattr(svm, "is_kernel", lambda kernel: True)
        patch.setattr(encoding, "check_expansion", lambda nodes: None)
        return codecs.encode(obj)


def spoiled_nodes(estimator: Any, dtype: Any, spoil: Callable[[Any], None], part: str = "nodes") -> Graph:
    """The graph of an estimator, the arrays named `part` of which have been changed as arrays of `dtype`."""
    graph = codecs.encode(estimator)
    for number, name in enumerate(graph.names):
        if name.rpartition(".")[2].partition("~")[0] == part:
            array = np.array(graph.arrays[number])
            spoil(array.reshape(-1).view(dtype))
            graph.arrays[number] = array
    return graph
