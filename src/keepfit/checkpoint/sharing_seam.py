"""What sharing has to know of scikit-learn: which tasks, scorers and steps go by the book.

Private names used, in scikit-learn 1.6 to 1.9: ``sklearn.metrics._scorer._BaseScorer`` (its ``_score_func``),
``_MultimetricScorer`` (its ``_scorers``) and ``_PassthroughScorer``; of estimators ``_sklearn_output_config`` and
``_metadata_request``; the classes of steps by the modules they are in, which are private by name.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from keepfit.checkpoint.sklearn_seam import draws

__all__ = [
    "candidate_of",
    "contents",
    "has_steps",
    "is_repeatable",
    "is_stock_scorer",
    "leaves_rows",
    "may_share",
    "parameters_of",
    "passes",
    "working_steps",
]


def may_share(arguments: Mapping[str, Any]) -> bool:
    """Whether the tasks of a call are candidates of a search whose models nobody asks for."""
    return arguments.get("parameters") is not None and not arguments.get("return_estimator", False)


def is_stock_scorer(scorer: Any) -> bool:
    """Whether a scorer calls an estimator's methods on the rows it is given and does nothing else with it."""
    from sklearn.metrics._scorer import _BaseScorer, _MultimetricScorer, _PassthroughScorer

    if type(scorer) is _MultimetricScorer:
        return all(map(is_stock_scorer, scorer._scorers.values()))
    if isinstance(scorer, _BaseScorer):
        return bool(type(scorer).__module__ == _BaseScorer.__module__)
    return type(scorer) is _PassthroughScorer


def leaves_rows(scorer: Any) -> bool:
    """Whether a stock scorer hands true values to scikit-learn's own metrics alone: one of the user's may work in place
    on them."""
    from sklearn.metrics._scorer import _MultimetricScorer, _PassthroughScorer

    if type(scorer) is _MultimetricScorer:
        return all(map(leaves_rows, scorer._scorers.values()))
    metric = getattr(scorer, "_score_func", None)
    return type(scorer) is _PassthroughScorer or str(getattr(metric, "__module__", "")).startswith("sklearn.")


#: The names of parameters, which take a tenth of a millisecond to find, of scikit-learn's classes.
_NAMES: dict[type, tuple[str, ...]] = {}


def parameters_of(estimator: Any) -> dict[str, Any]:
    """An estimator's own parameters, in the order of the alphabet."""
    kind = type(estimator)
    names = _NAMES.get(kind)
    if names is not None:
        return {name: getattr(estimator, name) for name in names}
    found = dict(sorted(estimator.get_params(deep=False).items()))
    if kind.__module__.startswith("sklearn."):
        _NAMES[kind] = tuple(found)
    return found


def candidate_of(estimator: Any, parameters: Mapping[str, Any]) -> Any:
    """The unfitted estimator of a candidate; None if it cannot be made. It may share values with `estimator`."""
    try:
        if not has_steps(estimator):
            return _with(estimator, parameters)
        of_steps: dict[str, dict[str, Any]] = {name: {} for name, _ in estimator.steps}
        for name, value in parameters.items():
            step, _, own = name.partition("__")
            if step not in of_steps or not own:
                return _with(estimator, parameters)
            of_steps[step][own] = value
        candidate = copy.copy(estimator)
        candidate.steps = [
            (name, step if passes(step) else _with(step, of_steps[name])) for name, step in estimator.steps
        ]
        return candidate
    except Exception:  # the task itself will tell
        return None


def _with(estimator: Any, parameters: Mapping[str, Any]) -> Any:
    """A clone with some parameters changed; a copy, in a tenth of the time, of one of scikit-learn's that holds nothing
    but numbers and text."""
    from sklearn.base import BaseEstimator, clone

    kind = type(estimator)
    if (
        kind.__module__.startswith("sklearn.")
        and getattr(kind, "set_params", None) is BaseEstimator.set_params
        and all(map(_is_number_or_text, (*vars(estimator).values(), *parameters.values())))
        and parameters.keys() <= parameters_of(estimator).keys()
    ):
        copied = copy.copy(estimator)
        vars(copied).update(parameters)
        return copied
    return clone(estimator).set_params(**clone(parameters, safe=False))


def _is_number_or_text(value: Any) -> bool:
    return type(value) in (type(None), bool, int, float, str) or isinstance(value, np.generic)


def has_steps(estimator: Any) -> bool:
    """Whether an estimator is a pipeline, whose steps can be told apart."""
    from sklearn.pipeline import Pipeline

    return type(estimator) is Pipeline


def working_steps(candidate: Any) -> list[Any] | None:
    """The steps of a pipeline, or the estimator itself; None if its steps cannot be told apart."""
    if getattr(candidate, "_skl_callbacks", None):
        return None
    if not has_steps(candidate):
        return [candidate]
    if candidate.memory is not None or candidate.verbose or getattr(candidate, "transform_input", None) is not None:
        return None
    try:
        steps = [step for _, step in candidate.steps]
    except (TypeError, ValueError):  # not a list of pairs: the fit will tell
        return None
    if not steps or passes(steps[-1]) or not all(passes(step) or hasattr(step, "get_params") for step in steps):
        return None
    return [step for step in steps if not passes(step)]


def passes(step: Any) -> bool:
    """Whether a step of a pipeline hands its input on."""
    return step is None or (isinstance(step, str) and step == "passthrough")


def contents(value: Any) -> Any:
    """What a parameter's value is, as a key: equal for equal values. A value that cannot be read is only itself."""
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return type(value), repr(value)
    if isinstance(value, np.generic):
        return type(value), value.dtype.str, value.tobytes()
    if type(value) in (list, tuple):
        return type(value), tuple(map(contents, value))
    if type(value) is dict:
        return dict, tuple((contents(key), contents(one)) for key, one in value.items())
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return np.ndarray, value.shape, value.dtype.str, value.tobytes()
    if hasattr(value, "get_params") and not isinstance(value, type):
        parameters = tuple((name, contents(one)) for name, one in parameters_of(value).items())
        return type(value), parameters, *(repr(vars(value).get(name)) for name in _SETTINGS)
    return type(value), id(value)


#: What an estimator is told by `set_output` and by ``set_fit_request`` and its kin.
_SETTINGS = ("_sklearn_output_config", "_metadata_request")


#: Draw from the global random state only under these conditions although ``random_state`` is None.
_QUIET: dict[str, Callable[[Any], bool]] = {
    "sklearn.decomposition._pca.PCA": lambda one: one.svd_solver in ("full", "covariance_eigh"),
    "sklearn.svm._classes.SVC": lambda one: one.probability in (False, "deprecated"),
    "sklearn.svm._classes.NuSVC": lambda one: one.probability in (False, "deprecated"),
    "sklearn.linear_model._logistic.LogisticRegression": lambda one: (
        one.solver in ("lbfgs", "newton-cg", "newton-cholesky")
    ),
    "sklearn.linear_model._ridge.Ridge": lambda one: one.solver not in ("sag", "saga"),
    "sklearn.linear_model._ridge.RidgeClassifier": lambda one: one.solver not in ("sag", "saga"),
    "sklearn.linear_model._coordinate_descent.Lasso": lambda one: one.selection == "cyclic",
    "sklearn.linear_model._coordinate_descent.ElasticNet": lambda one: one.selection == "cyclic",
}

#: Modules of the libraries whose estimators do as they say.
_KNOWN = ("sklearn.", "xgboost.sklearn", "lightgbm.sklearn")

#: Parameters that let an estimator work in place on its input.
_IN_PLACE = frozenset({"copy", "copy_X", "copy_x", "copy_X_train"})


def is_repeatable(estimator: Any) -> bool:
    """Whether fitting twice gives the same twice and leaves the input as it is; with all that is inside."""
    if not hasattr(estimator, "get_params") or not type(estimator).__module__.startswith(_KNOWN):
        return False
    if getattr(estimator, "_skl_callbacks", None):
        return False
    quiet = _QUIET.get(f"{type(estimator).__module__}.{type(estimator).__qualname__}")
    for name, value in parameters_of(estimator).items():
        if name in _IN_PLACE and value is False:
            return False
        if (
            name.endswith("random_state")
            and type(value) is not int
            and not (value is None and quiet and quiet(estimator))
        ):
            return False
        if not _is_plain(value):
            return False
    return True


def _is_plain(value: Any) -> bool:
    """Whether a parameter's value can hold nothing of the user's that acts."""
    if hasattr(value, "get_params") and not isinstance(value, type):
        return is_repeatable(value)
    if type(value) in (list, tuple):
        return all(map(_is_plain, value))
    if type(value) is dict:
        return all(map(_is_plain, value.values()))
    if callable(value):
        known = str(getattr(value, "__module__", "")).split(".")[0] in ("sklearn", "numpy", "scipy", "builtins")
        return known and not draws(value)
    return value is None or isinstance(value, (bool, int, float, str, bytes, slice, np.generic, np.ndarray))
