"""Cases for the acceptance tests: every estimator alone, inside other estimators, and on every form of input.

A case is a label, a model, and the X its outputs are taken for (None where it is not fitted). An estimator that cannot
be fitted in some surroundings (one that needs positive numbers, on those that another gives) is a case there all the
same, unfitted.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.discovery import all_estimators

import battery
import variants

__all__ = ["CATEGORIES", "Case", "cases"]

Case = tuple[str, Any, Any]
_Wrap = Callable[[Any], Any]


def cases(category: str) -> list[Case]:
    """The cases of a category."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(CATEGORIES[category]())


def _unfitted() -> Iterator[Case]:
    for name, cls in all_estimators():
        for number, estimator in enumerate(battery.instances(cls)):
            yield f"{name}-{number}", estimator, None


def _variants() -> Iterator[Case]:
    X = variants.load_iris().data[::5].copy()
    for number, estimator in enumerate(variants.variants()):
        yield f"{type(estimator).__name__}-{number}", estimator, X


def _firsts(want: Callable[[Any], bool] = lambda estimator: True) -> Iterator[tuple[str, Any]]:
    """One unfitted instance of each class."""
    for name, cls in all_estimators():
        estimator = clone(battery.instances(cls)[0])
        if "random_state" in estimator.get_params():
            estimator.set_params(random_state=0)
        if want(estimator):
            yield name, estimator


def _is_transformer(estimator: Any) -> bool:
    return hasattr(type(estimator), "transform")


def _case(label: str, model: Any, X: Any, y: Any) -> Iterator[Case]:
    """The model fitted, or as it is if these data do not fit it; none where its parameters are not scikit-learn's."""
    np.random.seed(0)
    try:
        fitted = clone(model)
        fitted.fit(X) if y is None else fitted.fit(X, y)
    except InvalidParameterError:
        return
    except Exception:  # what scikit-learn refuses to fit is not ours to judge
        yield f"{label} (unfitted)", model, None
        return
    # A copy, and few rows: some estimators compare X with what they were fitted on by identity.
    yield label, fitted, copy.deepcopy(X)


def _fitted_only(cases: Iterator[Case]) -> Iterator[Case]:
    return (case for case in cases if case[2] is not None)


def _wrapped(wrap: _Wrap, want: Callable[[Any], bool] = lambda estimator: True) -> Callable[[], Iterator[Case]]:
    def generate() -> Iterator[Case]:
        for name, estimator in _firsts(want):
            X, y = battery.data_for(estimator)
            yield from _case(name, wrap(estimator), X, y)

    return generate


def _in_pipeline(estimator: Any) -> Any:
    tags = get_tags(estimator).input_tags
    plain = tags.two_d_array and not tags.positive_only and not tags.pairwise and not tags.categorical
    steps = [("scale", StandardScaler()), ("step", estimator)] if plain else [("step", estimator)]
    return Pipeline(steps)


def _in_grid(estimator: Any) -> Any:
    if not hasattr(type(estimator), "score") and _is_transformer(estimator):
        estimator = Pipeline([("step", estimator), ("last", DummyRegressor())])
    return GridSearchCV(estimator, {}, cv=KFold(2))


def _classifier_in(wrap: _Wrap) -> Callable[[], Iterator[Case]]:
    return _wrapped(wrap, is_classifier)


def _regressor_in(wrap: _Wrap) -> Callable[[], Iterator[Case]]:
    return _wrapped(wrap, is_regressor)


def _in_dict() -> Iterator[Case]:
    for name, estimator, X in _wrapped(lambda estimator: estimator)():
        yield name, {"model": estimator, "metadata": {"by": "a test", "scores": [0.5, None]}, 7: (name,)}, X


def _on(change: Callable[[Any], Any]) -> Callable[[], Iterator[Case]]:
    """Every estimator on another form of its X, where it takes it."""

    def generate() -> Iterator[Case]:
        for name, estimator in _firsts():
            X, y = battery.data_for(estimator)
            if isinstance(X, np.ndarray) and X.ndim == 2:
                yield from _fitted_only(_case(name, estimator, change(X), y))

    return generate


def _on_frames() -> Iterator[Case]:
    for name, estimator in _firsts():
        X, y = battery.data_for(estimator)
        if not isinstance(X, np.ndarray) or X.ndim != 2 or get_tags(estimator).input_tags.pairwise:
            continue
        if _is_transformer(estimator) and hasattr(estimator, "set_output"):
            estimator.set_output(transform="pandas")
        frame = pd.DataFrame(X, columns=[f"column {n}" for n in range(X.shape[1])], index=range(100, 100 + len(X)))
        yield from _fitted_only(_case(name, estimator, frame, y))


def _multi_output() -> Iterator[Case]:
    for name, estimator in _firsts(lambda estimator: is_classifier(estimator) or is_regressor(estimator)):
        X, y = battery.data_for(estimator)
        if np.ndim(y) == 1 and get_tags(estimator).target_tags.multi_output:
            yield from _fitted_only(_case(name, estimator, X, np.c_[y, np.roll(y, 1)]))


#: What is round-tripped, by the name of the category.
CATEGORIES: dict[str, Callable[[], Iterator[Case]]] = {
    "unfitted": _unfitted,
    "fitted": battery.fitted,
    "parameter variants": _variants,
    "in a Pipeline": _wrapped(_in_pipeline),
    "in a ColumnTransformer": _wrapped(
        lambda e: ColumnTransformer([("step", e, [0, 1])], remainder="passthrough"), _is_transformer
    ),
    "in a FeatureUnion": _wrapped(lambda e: FeatureUnion([("one", e), ("two", clone(e))]), _is_transformer),
    "in a GridSearchCV": _wrapped(_in_grid),
    "in a StackingClassifier": _classifier_in(
        lambda e: StackingClassifier([("one", e), ("two", LogisticRegression())], cv=2)
    ),
    "in a StackingRegressor": _regressor_in(lambda e: StackingRegressor([("one", e), ("two", Ridge())], cv=2)),
    "in a VotingClassifier": _classifier_in(lambda e: VotingClassifier([("one", e), ("two", LogisticRegression())])),
    "in a VotingRegressor": _regressor_in(lambda e: VotingRegressor([("one", e), ("two", Ridge())])),
    "in a BaggingClassifier": _classifier_in(lambda e: BaggingClassifier(e, n_estimators=2, random_state=0)),
    "in a BaggingRegressor": _regressor_in(lambda e: BaggingRegressor(e, n_estimators=2, random_state=0)),
    "in a CalibratedClassifierCV": _classifier_in(lambda e: CalibratedClassifierCV(e, cv=2)),
    "in a dict": _in_dict,
    "on a sparse matrix": _on(scipy.sparse.csr_matrix),
    "on a sparse array": _on(lambda X: scipy.sparse.csc_array(X)),
    "on a DataFrame": _on_frames,
    "on float32": _on(lambda X: X.astype(np.float32)),
    "with several outputs": _multi_output,
}
