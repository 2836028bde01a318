"""Warnings that a task gave: given as always when it runs, and given again when its result is reused.

Only where tasks run one after the other in this process. In worker processes warnings do not reach this one, with or
without keepfit.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

__all__ = ["Warned", "call", "raising_filters", "warn_again"]

#: Module and name of a warning's class, and its text.
Warned = tuple[str, str, str]

#: Where the classes of warnings are that are given again as what they were.
_LIBRARIES = ("builtins", "sklearn", "scipy", "numpy")

#: A fit that warns at each step would fill the store.
_MOST = 20


def call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, list[Warned]]:
    """Call a function; give its result and the warnings that came, each distinct one once."""
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            result = function(*args, **kwargs)
    finally:
        for one in caught:
            warnings.showwarning(one.message, one.category, one.filename, one.lineno, one.file, one.line)
    distinct = dict.fromkeys((one.category.__module__, one.category.__name__, str(one.message)) for one in caught)
    return result, list(distinct)[:_MOST]


def warn_again(warned: Iterable[Sequence[str]]) -> None:
    """Give warnings again. Classes that are not Python's, scikit-learn's, SciPy's or NumPy's become `UserWarning`."""
    for module, name, text in warned:
        warnings.warn(text, _category(module, name), stacklevel=2)


def _category(module: str, name: str) -> type[Warning]:
    # Of a module that is not loaded here nobody can name a class.
    known = module.partition(".")[0] in _LIBRARIES
    found = getattr(sys.modules.get(module), name, None) if known else None
    return found if isinstance(found, type) and issubclass(found, Warning) else UserWarning


def raising_filters(filters: Sequence[Any]) -> list[str]:
    """The filters that turn a warning into an error, which makes a fit fail.

    In no order and each once: filters set in several threads come back muddled.
    """
    return sorted({repr(one) for one in filters if one[0] == "error"})
