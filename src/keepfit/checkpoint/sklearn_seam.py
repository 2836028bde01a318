"""Where keepfit touches what is scikit-learn's own: the functions its searches run, and what they are given.

Private names used, in scikit-learn 1.6 to 1.9: ``sklearn.model_selection._validation._fit_and_score``,
``_incremental_fit_estimator`` and ``_permutation_test_score`` with the names of their arguments and the shape of
their results; ``sklearn.utils.parallel._FuncWrapper`` (its ``function`` and ``config``);
``sklearn.metrics._scorer._PassthroughScorer`` (its ``_estimator``); and from 1.9 the arguments ``caller`` and
``callback_ctx`` with an estimator's ``_skl_callbacks``. What is scikit-learn's own of scorers is in `scorers_seam`.
"""

from __future__ import annotations

import inspect
import json
import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
from types import FunctionType
from typing import Any

import numpy as np

from keepfit.checkpoint.walk import NoIdentityError
from keepfit.checkpoint.warned import Warned, raising_filters

__all__ = [
    "EVALUATIONS",
    "Evaluation",
    "Outcome",
    "callbacks_of",
    "candidate_text",
    "configuration",
    "draws",
    "draws_at_random",
    "evaluation_of",
    "for_identity",
    "goes_on",
    "is_searching",
    "label_of",
    "metric_of",
    "outcome_of",
    "place_of",
    "replay",
    "structure",
    "without_effect",
]

_TaskCall = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]

_VALIDATION = "sklearn.model_selection._validation"


@dataclass(frozen=True)
class Evaluation:
    """A function that evaluates: its result depends on its arguments alone, and it changes none of them for good.

    Parameters
    ----------
    kind : str
        Its name.
    positional : tuple of str
        Names of the arguments that may come by position.
    ignored : frozenset of str, default=frozenset()
        Arguments that cannot change the result.
    """

    kind: str
    positional: tuple[str, ...]
    ignored: frozenset[str] = frozenset()

    def arguments(self, task: _TaskCall) -> dict[str, Any]:
        """The arguments of a task by name."""
        _, args, kwargs = task
        return {**dict(zip(self.positional, args, strict=False)), **kwargs}


EVALUATIONS = {
    evaluation.kind: evaluation
    for evaluation in (
        Evaluation(
            "_fit_and_score",
            ("estimator", "X", "y"),
            frozenset({"verbose", "split_progress", "candidate_progress", "caller", "callback_ctx"}),
        ),
        Evaluation(
            "_incremental_fit_estimator",
            ("estimator", "X", "y", "classes", "train", "test", "train_sizes", "scorer", "return_times"),
        ),
        Evaluation("_permutation_test_score", ("estimator", "X", "y", "cv", "scorer")),
    )
}


def evaluation_of(function: Any) -> Evaluation | None:
    """What kind of evaluation a delayed function is; None if it is not one."""
    function = getattr(function, "function", function)
    if getattr(function, "__module__", None) != _VALIDATION:
        return None
    return EVALUATIONS.get(getattr(function, "__name__", ""))


def is_searching(parallel: Any) -> bool:
    """Whether a Parallel object may be one that runs evaluations: scikit-learn's own, which its searches use."""
    return type(parallel).__module__ == "sklearn.utils.parallel"


#: Settings that change how things look and not what they are.
_DISPLAY = frozenset({"print_changed_only", "display"})


def configuration(function: Any) -> dict[str, Any]:
    """scikit-learn's settings that a delayed function runs under."""
    config = getattr(function, "config", None)
    if not config:
        from sklearn import get_config

        config = get_config()
    settings = {name: config[name] for name in sorted(config) if name not in _DISPLAY}
    filters = getattr(function, "warning_filters", None)  # from scikit-learn 1.7
    settings["warnings that are errors"] = raising_filters(warnings.filters if filters is None else filters)
    return settings


@dataclass(frozen=True)
class Outcome:
    """What a store notes of a result beside the result itself."""

    score: float | None
    duration_s: float
    failure: str | None


def outcome_of(kind: str, result: Any, warned: Iterable[Warned] = (), metric: str | None = None) -> Outcome:
    """Score, duration and failure of a result, with the warnings that it gave as far as they are known.

    Of several metrics the score is by `metric`, or else by the first.
    """
    if kind == "_fit_and_score":
        duration_s = result.get("fit_time", 0.0) + result.get("score_time", 0.0)
        failure = result["fit_error"] or _scoring_failure(result["test_scores"], warned)
        return Outcome(_score_of(result["test_scores"], metric), float(duration_s), failure)
    if kind == "_incremental_fit_estimator":  # a row per training size: train score, test score, two times
        duration_s = float(result[:, 2:].sum()) if result.ndim == 2 else 0.0
        return Outcome(_score_of(result[-1, 1]), duration_s, None)
    return Outcome(_score_of(result), 0.0, None)


def _scoring_failure(scores: Any, warned: Iterable[Warned]) -> str | None:
    """What went wrong after the fit: scikit-learn gives the traceback of a scorer in a warning, and nowhere else."""
    details = [text.partition("Details:")[2].strip() for _, _, text in warned if text.startswith("Scoring failed.")]
    if details:
        return "\n".join(details)
    missing = [name for name, score in _by_name(scores).items() if isinstance(score, Real) and math.isnan(score)]
    return f"{', '.join(missing)}: NaN. The scorer gave it, or failed and its process said why" if missing else None


def _score_of(scores: Any, metric: str | None = None) -> float | None:
    if isinstance(scores, dict):
        scores = scores.get(metric, next(iter(scores.values()), None))
    return float(scores) if isinstance(scores, Real) and not math.isnan(scores) else None


def candidate_text(arguments: Mapping[str, Any], label: str, number: int) -> str:
    """What tells the candidate of a task from others, as readable JSON: its parameters, in most cases.

    Parameters
    ----------
    arguments : mapping of str to object
    label : str
        From `label_of`.
    number : int
        Of the task.
    """
    if label.startswith("learning_curve"):
        facts: Mapping[str, Any] = {"train_size": len(arguments["train"])}
    elif label.startswith("permutation_test_score"):
        facts = {"permutation": number}
    else:
        facts = arguments.get("parameters") or {}
    return json.dumps({name: _readable(value) for name, value in facts.items()}, ensure_ascii=False)


_READABLE_CHARACTERS = 120


def _readable(value: Any) -> Any:
    if value is None or type(value) in (bool, int, str):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else str(float(value))
    if hasattr(value, "get_params"):
        return structure(value)
    if type(value) in (list, tuple) and len(value) <= 16:
        return [_readable(item) for item in value]
    text = getattr(value, "__name__", None) or repr(value)
    return text if len(text) <= _READABLE_CHARACTERS else text[: _READABLE_CHARACTERS - 3] + "..."


def structure(estimator: Any) -> str:
    """The classes an estimator is made of, such as ``Pipeline(StandardScaler, SVC)``."""
    name = type(estimator).__name__
    try:
        parameters = estimator.get_params(deep=False)
    except Exception:  # it does not follow the convention
        return name
    steps: Any = next((found for key in _STEPS if (found := parameters.get(key))), ())
    inner = [step[1] for step in steps if isinstance(step, (tuple, list)) and len(step) > 1]
    inner = [*inner, parameters.get("estimator")]
    names = [structure(one) for one in inner if hasattr(one, "get_params") and not isinstance(one, type)]
    return f"{name}({', '.join(names)})" if names else name


_STEPS = ("steps", "transformers", "transformer_list", "estimators")


def label_of(evaluation: Evaluation, tasks: Sequence[Mapping[str, Any]]) -> str:
    """What a call is called for people: ``GridSearchCV over Pipeline(StandardScaler, SVC)``."""
    first = tasks[0]
    caller = first.get("caller")
    if caller is not None:
        what = type(caller).__name__
    elif first.get("candidate_progress") is not None:
        what = "search"
    elif evaluation.kind == "_permutation_test_score":
        what = "permutation_test_score"
    elif first.get("parameters") is not None:
        what = "validation_curve"
    elif evaluation.kind == "_incremental_fit_estimator" or len({id(task["test"]) for task in tasks}) < len(tasks):
        what = "learning_curve"
    else:
        what = "cross-validation"
    return f"{what} over {structure(first['estimator'])}"


def metric_of(arguments: Mapping[str, Any]) -> str | None:
    """Which of several metrics a search chooses by; None where it does not, or scikit-learn before 1.9 does not say."""
    refit = getattr(arguments.get("caller"), "refit", None)
    return refit if isinstance(refit, str) else None


def place_of(arguments: Mapping[str, Any]) -> int | None:
    """The place of a task's candidate in its search, from 0; None for what is no search."""
    progress = arguments.get("candidate_progress")
    return None if progress is None else progress[0]


def draws_at_random(arguments: Mapping[str, Any]) -> bool:
    """Whether the candidate and the splitter of a task draw from the global random state, so that doing it twice is
    meant to give two results."""
    parameters = arguments.get("parameters") or {}
    named = any(name.endswith("random_state") and value is None for name, value in parameters.items())
    return named or any(map(draws, (arguments.get("cv"), *parameters.values())))


def draws(holder: Any) -> bool:
    """Whether an object, or an estimator inside it, draws from the global random state."""
    if isinstance(holder, type) or not hasattr(holder, "get_params"):
        return getattr(holder, "random_state", 0) is None or _draws_when_called(holder)
    try:
        parameters = holder.get_params(deep=True)
    except Exception:  # an estimator that does not follow the convention
        return True
    unseeded = any(name.endswith("random_state") and value is None for name, value in parameters.items())
    return unseeded or any(map(_draws_when_called, parameters.values()))


def goes_on(splitter: Any) -> bool:
    """Whether a splitter that tasks are given has a generator, so that each task moves on what the next one draws."""
    return isinstance(getattr(splitter, "random_state", None), (np.random.RandomState, np.random.Generator))


def _draws_when_called(value: Any) -> bool:
    """Whether it is a function that takes a seed and is given none, such as `mutual_info_classif`."""
    if not isinstance(value, (FunctionType, partial)):
        return False
    try:
        seed = inspect.signature(value).parameters.get("random_state")
    except ValueError:  # of compiled code, which says nothing of itself
        return False
    return seed is not None and seed.default is None


def without_effect(obj: Any) -> frozenset[str]:
    """Attributes of an object that cannot change a result."""
    return _VERBOSE if type(obj).__module__.startswith("sklearn.") else _NONE


_VERBOSE = frozenset({"verbose"})
_NONE: frozenset[str] = frozenset()


def for_identity(obj: Any) -> Any:
    """The object whose content stands for this one.

    Raises
    ------
    NoIdentityError
        If what it works on is not in it: text read from files that are given by name.
    """
    module = type(obj).__module__
    if not module.startswith("sklearn."):
        return obj
    if type(obj).__name__ == "_PassthroughScorer":
        return (type(obj).__name__, _unfitted(obj._estimator))
    if module.startswith("sklearn.feature_extraction.text") and getattr(obj, "input", "content") != "content":
        raise NoIdentityError(f"{type(obj).__name__}(input={obj.input!r}) reads files, which may change")
    return obj


def _unfitted(estimator: Any) -> Any:
    """A scorer keeps the estimator for what it asks for; what it has learned before does not matter."""
    from sklearn.base import clone

    try:
        return clone(estimator)
    except Exception:  # not clonable: then as it is
        return estimator


def callbacks_of(arguments: Mapping[str, Any]) -> list[str]:
    """The names of callbacks that must see every fit, because they may do anything. A progress bar need not."""
    holders = (arguments.get("caller"), arguments["estimator"])
    callbacks = [callback for holder in holders for callback in getattr(holder, "_skl_callbacks", None) or ()]
    return [type(one).__name__ for one in callbacks if f"{type(one).__module__}.{type(one).__name__}" != _BAR]


_BAR = "sklearn.callback._progressbar.ProgressBar"


def replay(arguments: Mapping[str, Any], result: Any) -> None:
    """Let those see a reused result who watch the search: progress bars, and readers of what ``verbose`` prints."""
    context, caller = arguments.get("callback_ctx"), arguments.get("caller")
    if context is not None and getattr(caller, "_skl_callbacks", None):
        context.call_on_fit_task_begin(estimator=caller)
        context.call_on_fit_task_end(estimator=caller)
    verbose = arguments.get("verbose")
    if verbose is not None and verbose > 1:
        print(_kept_line(arguments, result, scores=verbose > 2))


def _kept_line(arguments: Mapping[str, Any], result: Mapping[str, Any], *, scores: bool) -> str:
    split = arguments.get("split_progress")
    place = f"CV {split[0] + 1}/{split[1]}" if split else "CV"
    facts = [f"{name}={value}" for name, value in (arguments.get("parameters") or {}).items()]
    if scores:
        test = _by_name(result["test_scores"])
        train = _by_name(result.get("train_scores", {}))
        for name, score in test.items():
            facts.append(f"{name}=(train={train[name]:.3f}, test={score:.3f})" if train else f"{name}={score:.3f}")
    return f"[{place}] KEPT {', '.join(facts)}"


def _by_name(scores: Any) -> Mapping[str, Any]:
    return scores if isinstance(scores, dict) else {"score": scores}
