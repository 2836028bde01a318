"""Parameters that reach outside the process, or ask too much of it: refused or neutralised unless allowed."""

from __future__ import annotations

import os
from typing import Any

from keepfit.codecs.codec import Building
from keepfit.errors import InvalidStateError, UntrustedError

__all__ = ["ITERATIONS_MAX", "N_JOBS_MAX", "THREADS_MAX", "VERBOSE_MAX", "apply"]

#: Past these a model asks more of the machine than any honest fit does.
N_JOBS_MAX, VERBOSE_MAX = 1024, 1000
#: Threads that compiled code starts because a fitted model remembers so many: a process that cannot, ends.
THREADS_MAX = max(64, os.cpu_count() or 1)
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
#: Dicts of arguments that are handed on to functions.
_ARGUMENTS = ("metric_params", "effective_metric_params_", "kernel_params", "pairwise_kernels_kwargs", "kw_args", "inv_kw_args")


def apply(name: str, state: dict[str, Any], context: Building) -> dict[str, Any]:
    """The state of a scikit-learn object as this process may use it. Each change is noted in ``context.changes``.

    Raises
    ------
    UntrustedError
        If the object would read files named by its input.
    InvalidStateError
        If the object would take more memory or time for a row than any honest one does.
    """
    changed: dict[str, Any] = {}
    if "paths" not in context.allow:
        if state.get("memory") is not None:
            changed["memory"] = None
        if state.get("input", "content") != "content" and "sklearn.feature_extraction" in name:
            raise UntrustedError(
                f"{name} reads the files that its input names (input={state['input']!r}). "
                "If you trust the model with that, pass allow={'paths'}"
            )
    for parameter, most in (("n_jobs", N_JOBS_MAX), ("verbose", VERBOSE_MAX)):
        value = state.get(parameter)
        if type(value) is int and abs(value) > most:
            changed[parameter] = most if value > 0 else -1
    _bound(state, ("_n_threads", "n_threads"), THREADS_MAX, changed)
    _bound(state, _ITERATING.get(name, ()), ITERATIONS_MAX, changed)
    _refuse_excess(name, state)
    if not changed:
        return state
    for parameter, value in changed.items():
        context.changes.append(f"{name}: {parameter} was set to {value!r}")
    return {**state, **changed}


def _bound(state: dict[str, Any], parameters: tuple[str, ...], most: int, changed: dict[str, Any]) -> None:
    for parameter in parameters:
        value = state.get(parameter)
        if type(value) is int and value > most:
            changed[parameter] = most


def _refuse_excess(name: str, state: dict[str, Any]) -> None:
    parameter, most = _SIZES.get(name, ("", 0))
    if parameter and type(state.get(parameter)) is int and state[parameter] > most:
        raise InvalidStateError(f"{parameter}={state[parameter]:,} of {name} is more than {most:,}")
    for arguments in _ARGUMENTS:
        given = state.get(arguments)
        if type(given) is not dict:
            continue
        for argument, value in given.items():
            # Numbers of jobs, repetitions, dimensions: nothing that is computed for each row takes large ones.
            if argument == "n_jobs" and value not in (None, 1) or type(value) is int and abs(value) > _ARGUMENT_MAX:
                raise InvalidStateError(f"{arguments} of {name} has {argument!r}: {value!r}")


#: ``numpy.diff`` loops this often in Python, for one.
_ARGUMENT_MAX = 1_000_000
