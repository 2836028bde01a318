"""Parameters that reach outside the process, or ask too much of it: refused or neutralised unless allowed."""

from __future__ import annotations

from typing import Any

from keepfit.codecs.codec import Building
from keepfit.errors import UntrustedError

__all__ = ["N_JOBS_MAX", "VERBOSE_MAX", "apply"]

#: Past these a model asks more of the machine than any honest fit does.
N_JOBS_MAX, VERBOSE_MAX = 1024, 1000


def apply(name: str, state: dict[str, Any], context: Building) -> dict[str, Any]:
    """The state of a scikit-learn object as this process may use it. Each change is noted in ``context.changes``.

    Raises
    ------
    UntrustedError
        If the object would read files named by its input.
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
    if not changed:
        return state
    for parameter, value in changed.items():
        context.changes.append(f"{name}: {parameter} was set to {value!r}")
    return {**state, **changed}
