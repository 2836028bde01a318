"""Scorers: by what name people know one, and which give the same.

Private names used, in scikit-learn 1.6 to 1.9: of ``sklearn.metrics._scorer`` ``_PassthroughScorer`` (its
``_estimator``), ``_MultimetricScorer`` (its ``_scorers``), ``_BaseScorer`` (its ``_score_func``, ``_sign``, ``_kwargs``
and ``_response_method``) and ``_SCORERS``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["default_score", "for_comparison", "has_metrics", "scorer_names"]


def scorer_names(scorer: Any, metric: str | None = None) -> tuple[str, ...]:
    """The names of what a call is scored by.

    Parameters
    ----------
    scorer : object
        As the tasks have it: of several metrics a dict, or what scikit-learn makes of one.
    metric : str, default=None
        Which of several metrics the scores that are shown are by; the first where it is none of them.

    Returns
    -------
    tuple of str
        The one that is shown first. A name is that of several metrics as the user gave it, else the one that
        scikit-learn has, such as ``neg_log_loss``; for an estimator's own score ``accuracy``, ``r2`` or the method;
        else how the scorer was made.
    """
    metrics = _metrics_of(scorer)
    if metrics:
        shown = metric if metric in metrics else next(iter(metrics))
        return (str(shown), *(str(name) for name in metrics if name != shown))
    return (metric if metric is not None and _may_give_several(scorer) else _name_of(_alone(scorer)),)


def for_comparison(scorer: Any, metric: str | None = None) -> Any:
    """What stands for the scorer that is shown, whatever the estimator and what else is scored: scores of equal ones
    may stand in one ranking."""
    from sklearn.metrics import get_scorer
    from sklearn.metrics._scorer import _PassthroughScorer

    if metric is not None and _may_give_several(scorer):
        return scorer, metric
    metrics = _metrics_of(scorer)
    scorer = metrics.get(metric, next(iter(metrics.values()))) if metrics else _alone(scorer)
    name = default_score(scorer._estimator) if type(scorer) is _PassthroughScorer else None
    return scorer if name is None else get_scorer(name)


def has_metrics(scorer: Any) -> bool:
    """Whether its user gave a dict or a list of metrics, be it of one."""
    return _metrics_of(scorer) is not None


#: What `cross_val_score` and others make of a scorer: a dict with this name.
_ALONE = {"score"}


def _metrics_of(scorer: Any) -> Mapping[Any, Any] | None:
    """Metrics by name; None for a scorer alone."""
    found = _by_name(scorer)
    return None if found is None or set(found) == _ALONE else found


def _alone(scorer: Any) -> Any:
    """A scorer out of what stands for one alone."""
    found = _by_name(scorer)
    return found["score"] if found is not None and set(found) == _ALONE else scorer


def _by_name(scorer: Any) -> Mapping[Any, Any] | None:
    from sklearn.metrics._scorer import _MultimetricScorer

    found = scorer._scorers if type(scorer) is _MultimetricScorer else scorer
    return found if isinstance(found, Mapping) else None


def _may_give_several(scorer: Any) -> bool:
    """Whether it is a function of the user's, which may give a dict; nobody knows before it does."""
    from sklearn.metrics._scorer import _BaseScorer, _PassthroughScorer

    return _by_name(scorer) is None and not isinstance(scorer, (_BaseScorer, _PassthroughScorer))


def _name_of(scorer: Any) -> str:
    from sklearn.metrics._scorer import _SCORERS, _BaseScorer, _PassthroughScorer

    if type(scorer) is _PassthroughScorer:
        estimator = _last_step(scorer._estimator)
        return default_score(estimator) or f"{type(estimator).__name__}.score"
    if not isinstance(scorer, _BaseScorer):
        return _name_of_function(scorer)
    known = (name for name, one in _SCORERS.items() if _are_equal(one, scorer))
    settings = ", ".join(f"{name}={value}" for name, value in scorer._kwargs.items())
    own = f"{'neg_' if scorer._sign < 0 else ''}{_name_of_function(scorer._score_func)}"
    return next(known, f"{own}({settings})" if settings else own)


def _are_equal(one: Any, other: Any) -> bool:
    if type(one) is not type(other) or one._score_func is not other._score_func:
        return False
    made = ((each._sign, str(each._response_method), repr(sorted(each._kwargs.items()))) for each in (one, other))
    return next(made) == next(made)


def _name_of_function(function: Any) -> str:
    function = getattr(function, "func", function)  # of a partial
    return str(getattr(function, "__name__", type(function).__name__))


#: Where an estimator's own score is that of its kind; the other classes call these.
_DEFAULT_SCORES = {
    "ClassifierMixin.score": "accuracy",
    "KNeighborsClassifier.score": "accuracy",
    "RadiusNeighborsClassifier.score": "accuracy",
    "RegressorMixin.score": "r2",
}


def default_score(estimator: Any) -> str | None:
    """The name of the scorer that an estimator's own ``score`` is; None if it is something of its own."""
    score = getattr(type(_last_step(estimator)), "score", None)
    if not getattr(score, "__module__", "").startswith("sklearn."):
        return None
    return _DEFAULT_SCORES.get(getattr(score, "__qualname__", ""))


def _last_step(estimator: Any) -> Any:
    """What a pipeline ends in, whose score is its own."""
    from sklearn.pipeline import Pipeline

    try:
        while type(estimator) is Pipeline:
            estimator = estimator.steps[-1][1]
    except (IndexError, TypeError, ValueError):  # no list of pairs: the fit will tell
        return None
    return estimator
