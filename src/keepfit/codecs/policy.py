"""Parameters that reach outside the process, or ask too much of it: refused or neutralised unless allowed."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Mapping
from functools import cache
from numbers import Integral
from typing import Any, TypeGuard

import numpy as np

from keepfit.codecs.codec import Building
from keepfit.codecs.patterns import ends_soon
from keepfit.errors import InvalidStateError, UntrustedError

__all__ = [
    "EXCESSIVE",
    "ITERATIONS_MAX",
    "N_JOBS_MAX",
    "THREADS_MAX",
    "VERBOSE_MAX",
    "apply",
    "check_bound",
    "check_excess",
    "is_harmless",
    "looked_at",
]

#: Processes or threads past these are more than this machine can use, and starting thousands takes it down.
N_JOBS_MAX = max(16, 2 * (os.cpu_count() or 1))
#: Past this a model says more than any honest fit does.
VERBOSE_MAX = 1000
#: Threads that compiled code starts because a fitted model remembers so many: a process that cannot, ends.
THREADS_MAX = max(16, os.cpu_count() or 1)
#: Iterations of a `transform` that solves a problem for each row; the defaults are 100 to 1,000.
ITERATIONS_MAX = 10_000

_ITERATING = {
    f"sklearn.decomposition.{name}": parameters
    for name, parameters in {
        "DictionaryLearning": ("transform_max_iter",),
        "LatentDirichletAllocation": ("max_doc_update_iter",),
        "MiniBatchDictionaryLearning": ("transform_max_iter",),
        "MiniBatchNMF": ("max_iter", "transform_max_iter", "_transform_max_iter"),
        "NMF": ("max_iter",),
        "SparseCoder": ("transform_max_iter",),
    }.items()
}
#: Parameters that say how much memory or time a call takes for each row, with the most that is accepted.
_SIZES = {
    "sklearn.kernel_approximation.AdditiveChi2Sampler": ("sample_steps", 1000),
    "sklearn.kernel_approximation.PolynomialCountSketch": ("degree", 1000),
}
#: What makes a sparse matrix with a column for each sample it was fitted on. Of precomputed distances that are sparse
#: it never looks how many samples they are from: its columns could lie far beyond, where the next step writes.
_GRAPHS = frozenset({"sklearn.neighbors.KNeighborsTransformer", "sklearn.neighbors.RadiusNeighborsTransformer"})
#: Dicts of arguments that are handed on to functions.
_ARGUMENTS = (
    "metric_params", "effective_metric_params_", "kernel_params", "pairwise_kernels_kwargs", "kw_args", "inv_kw_args",
    "_kwargs",
)  # fmt: skip
#: Regular expressions, and what they find.
_PATTERNS = {"token_pattern": "words", "pattern": "columns"}
_WORDS = ("input", "ngram_range", *_PATTERNS)
_COUNTED = ("n_jobs", "verbose", "_n_threads", "n_threads")
#: What `check_excess` looks at.
EXCESSIVE = frozenset(["ngram_range", *_ARGUMENTS, *(parameter for parameter, _ in _SIZES.values())])


@cache
def looked_at(name: str) -> frozenset[str]:
    """The attributes that `apply` looks at in objects of a class; what members of a group share is looked at once."""
    size = _SIZES[name][:1] if name in _SIZES else ()
    size = ("metric",) if name in _GRAPHS else size
    return frozenset(["memory", *_WORDS, *_COUNTED, *_ARGUMENTS, *size, *_ITERATING.get(name, ())])


def apply(name: str, state: dict[str, Any], context: Building) -> dict[str, Any]:
    """The state of a scikit-learn object as this process may use it. Each change is noted in ``context.changes``.

    Raises
    ------
    UntrustedError
        If the object would read files named by its input.
    InvalidStateError
        If the object would take more memory or time for a row than any honest one does.
    """
    reads_text = "sklearn.feature_extraction" in name
    changed: dict[str, Any] = {}
    if "paths" not in context.allow:
        if state.get("memory") is not None:
            changed["memory"] = None
        if reads_text and state.get("input", "content") != "content":
            raise UntrustedError(
                f"{name} reads the files that its input names (input={state['input']!r}). "
                "If you trust the model with that, pass allow={'paths'}"
            )
    if "patterns" not in context.allow:
        _check_patterns(name, state)
    for parameter, most, least in (("n_jobs", N_JOBS_MAX, 1), ("verbose", VERBOSE_MAX, 0)):
        value = state.get(parameter)
        if (_is_whole(value) or isinstance(value, float)) and not abs(value) <= most:
            changed[parameter] = most if value > 0 else least  # all processors but a thousand are one
    _bound(state, ("_n_threads", "n_threads"), THREADS_MAX, changed)
    _bound(state, _ITERATING.get(name, ()), ITERATIONS_MAX, changed)
    check_excess(name, state)
    if changed:
        for parameter, value in changed.items():
            context.changes.append(f"{name}: {parameter} was set to {value!r}")
        state = {**state, **changed}
    return state


def is_harmless(attribute: str, value: Any) -> bool:
    """Whether what is looked at has one of the values that nearly all have, for which nothing is changed or refused."""
    if attribute == "input":
        return type(value) is str and value == "content"
    if value is None or (type(value) is dict and not value):
        return True
    return attribute != "memory" and type(value) in (bool, int) and 0 <= value <= 1


def _check_patterns(name: str, state: dict[str, Any]) -> None:
    for attribute, found in _PATTERNS.items():
        pattern = state.get(attribute)
        if isinstance(pattern, str) and not ends_soon(str(pattern)):
            raise UntrustedError(
                f"{name} finds {found} by a regular expression that may run for ever: {pattern[:80]!r}. "
                "If you know and trust who wrote it, pass allow={'patterns'}"
            )


#: All n-grams of a text are in memory at once: of a long text and without a bound, far more than there is.
_NGRAM_MAX = 100


def _bound(state: dict[str, Any], parameters: tuple[str, ...], most: int, changed: dict[str, Any]) -> None:
    for parameter in parameters:
        value = state.get(parameter)
        if _is_whole(value) and value > most:
            changed[parameter] = most


def _is_whole(value: Any) -> TypeGuard[int]:
    """Whether a value counts: loops and compiled code take an array of no dimensions for the number in it."""
    if type(value) is np.ndarray:
        return value.ndim == 0 and value.dtype.kind in "iu"
    return isinstance(value, Integral) and not isinstance(value, bool)


def check_excess(name: str, state: Mapping[str, Any]) -> None:
    """Refuse parameters with which an object takes more memory, time or threads than any honest one does.

    Raises
    ------
    InvalidStateError
        What `dump` would not keep, and `load` does not build.
    """
    metric = state.get("metric") if name in _GRAPHS and "_fit_X" in state else None
    if isinstance(metric, str) and metric == "precomputed":
        raise InvalidStateError(
            f"{name} of precomputed distances would take any number of columns. Keep what uses its graph, such as a "
            "KNeighborsClassifier of precomputed distances, or keep it before it is fitted"
        )
    if name != "functools.partial" and EXCESSIVE.isdisjoint(state):
        return
    lengths = state.get("ngram_range")
    if isinstance(lengths, tuple) and any(_is_whole(length) and length > _NGRAM_MAX for length in lengths):
        raise InvalidStateError(f"{name} makes n-grams of up to {lengths!r} words, over {_NGRAM_MAX}")
    parameter, most = _SIZES.get(name, ("", 0))
    if parameter and _is_whole(state.get(parameter)) and state[parameter] > most:
        raise InvalidStateError(f"{parameter}={state[parameter]:,} of {name} is more than {most:,}")
    if name == "functools.partial":
        _check_arguments(name, state)
        return
    for arguments in _ARGUMENTS:
        given = state.get(arguments)
        if isinstance(given, Mapping):
            _check_arguments(
                f"{arguments} of {name}", given, is_checked=arguments.endswith(("metric_params", "metric_params_"))
            )


def _check_arguments(what: str, given: Mapping[str, Any], *, is_checked: bool = False) -> None:
    """Refuse arguments by name with which a function of the closed table is no longer harmless.

    Norms of rows and inverse covariances reach compiled code that does not look at their shape; counts of repetitions
    are loops; what is written to could be the labels or columns of another model in the file. The arguments of a metric
    that is searched by are checked with its points (`checks.neighbors`).
    """
    for argument, value in given.items():
        if argument in _UNCHECKED and value is not None and not (is_checked and argument == "VI"):
            raise InvalidStateError(f"{what} may not give {argument!r}: compiled code would not look at its shape")
        if argument == "n_jobs" and value not in (None, 1):
            raise InvalidStateError(f"{what} may not start threads (n_jobs={value!r})")
        if argument == "out" and value is not None:
            raise InvalidStateError(f"{what} may not give 'out': what was checked would be written to")
        if argument == "classes" and not _are_in_order(value):
            raise InvalidStateError(f"{what} may not give classes that are in no order")
        if argument in ("default", "start") and not _is_plain(value):
            raise InvalidStateError(f"{what} may not give a {type(value).__name__} as {argument!r}")
        if argument in _REPETITIONS and _is_whole(value) and value > ITERATIONS_MAX:
            raise InvalidStateError(f"{what} asks for {argument}={value:,}, over {ITERATIONS_MAX:,}")


def _are_in_order(classes: Any) -> bool:
    from keepfit.codecs.checks.rules import find_themselves  # with all checks, which `import keepfit` has no use for

    try:
        return type(classes) not in (list, tuple, np.ndarray) or find_themselves(np.asarray(classes))
    except ValueError:  # lists of several lengths: classes of a function that is not of the table
        return True


_UNCHECKED = frozenset({"VI", "X_norm_squared", "Y_norm_squared", "metric_kwargs"})
_REPETITIONS = frozenset({"digits", "k", "max_iter", "n", "n_init", "n_iter", "n_neighbors", "n_trials", "ndmin"})


def check_bound(function: Any, arguments: tuple[Any, ...]) -> None:
    """Refuse to bind arguments in front of those a function of the closed table is called with, where that could harm.

    Raises
    ------
    InvalidStateError
        If a special function of SciPy's, which may go round as often as its numbers say, is bound to a number larger
        than any order or degree that makes sense; if what the function is called with next would be written to, or
        an array it is bound to could be what it gives, and be written to by another.
    """
    while type(function) is functools.partial:
        function, arguments = function.func, (*function.args, *arguments)
    if not arguments:
        return
    if type(function) is np.ufunc:
        if len(arguments) >= function.nin:
            raise InvalidStateError(f"{function.__name__} is bound to all its arguments, and would write to the next")
        if getattr(np, function.__name__, None) is not function:
            _check_orders(function.__name__, arguments)
    elif str(getattr(function, "__module__", "")).startswith(_GIVING_ARGUMENTS) and (
        len(arguments) > _BOUND_MAX or not all(map(_is_plain, arguments)) or len(arguments) >= _place_of_out(function)
    ):
        raise InvalidStateError(f"{function.__name__} is bound to an array, or up to what it would write to")


def _check_orders(name: str, arguments: tuple[Any, ...]) -> None:
    for argument in arguments:
        if not isinstance(argument, (bool, int, float, np.number, np.ndarray)):
            raise InvalidStateError(f"{name} is bound to a {type(argument).__name__}")
        numbers = np.asarray(argument)
        if numbers.dtype.kind not in "biuf" or ((numbers > ITERATIONS_MAX) | (numbers < -ITERATIONS_MAX)).any():
            raise InvalidStateError(f"{name} is bound to a number over {ITERATIONS_MAX:,}")


#: Where the functions are that may give back what they are given, or a view of it.
_GIVING_ARGUMENTS = ("builtins", "numpy", "sklearn.preprocessing", "sklearn.utils")


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return len(value) <= _BOUND_MAX and all(isinstance(item, _PLAIN) for item in value)
    return isinstance(value, _PLAIN)


#: More than any function of the closed table takes.
_BOUND_MAX = 100
_PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic, type, np.dtype)


def _place_of_out(function: Any) -> int:
    """The place of the argument that a function writes to, counted from 0; beyond all others where there is none."""
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # one of the builtins
        names = []
    return names.index("out") if "out" in names else sys.maxsize
