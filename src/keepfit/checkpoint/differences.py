"""Saying why nothing could be reused although something much alike is in the store."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["difference_text"]

#: Parts in which a search must agree with an earlier one to be taken for the same, changed.
_KIN = ("function", "model")

#: Parts whose text is shown as it was and as it is.
_SHOWN = ("versions", "threads")

_NAMES = {
    "data": "the data",
    "target": "the target",
    "splits": "the splits",
    "estimator": "the estimator's parameters or code",
    "scorer": "the scorer",
    "scorers": "the metrics",
    "fit_params": "the fit or score parameters",
    "settings": "scikit-learn's settings or NumPy's",
    "options": "the options (error_score, return_...)",
    "versions": "the libraries",
    "threads": "the number of threads",
}

_HINTS = {
    "splits": "give your splitter, and a halving search, a random_state",
    "threads": "set OMP_NUM_THREADS, or keep n_jobs",
}


def difference_text(parts: Mapping[str, str], earlier: Mapping[str, str] | None) -> str | None:
    """What differs from an earlier call, and what to do about it.

    Parameters
    ----------
    parts : mapping of str to str
        Of the call that found nothing.
    earlier : mapping of str to str or None
        Of the most alike call in the store.

    Returns
    -------
    str or None
        None where the earlier one is another search altogether, or differs in its candidates only.
    """
    if earlier is None or any(parts.get(name) != earlier.get(name) for name in _KIN):
        return None
    differing = [name for name in _NAMES if parts.get(name) != earlier.get(name)]
    if not differing or {"data", "target", "estimator"} <= set(differing):
        return None
    shown = [f"{earlier.get(name)} -> {parts.get(name)}" for name in _SHOWN if name in differing]
    hints = [_HINTS[name] for name in differing if name in _HINTS and "data" not in differing]
    names = [_NAMES[name] for name in differing]
    what = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    verb = "differ" if len(names) > 1 or differing[0] not in _SINGULAR else "differs"
    text = f"nothing can be reused, although a similar search is kept: {what} {verb}"
    return text + (f" ({'; '.join(shown)})" if shown else "") + (f"; {'; '.join(hints)}" if hints else "")


_SINGULAR = frozenset({"target", "scorer", "threads"})
