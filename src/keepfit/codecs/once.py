"""Checks of large contents, made once however often a graph names them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from numpy.typing import NDArray

from keepfit.codecs.codec import Building

__all__ = ["once", "value_range"]


def once(context: Building | None, key: Hashable, find: Callable[[], Any]) -> Any:
    """What `find` gives, computed once for each `key` while one graph is built.

    A small file can name one large array in many places; looking through it each time would take quadratic time. A key
    that tells arrays apart by ``id`` is good here, since whatever is built lives until the whole graph is.

    Parameters
    ----------
    context : Building or None
        None where objects are taken apart: each is met once then.
    key : hashable
        What is looked at, and what for.
    find : callable
        Takes nothing; what it raises is raised each time.
    """
    if context is None:
        return find()
    memo = context.memo
    if key not in memo:
        memo[key] = find()
    return memo[key]


def value_range(context: Building | None, values: NDArray[Any]) -> tuple[int, int]:
    """The lowest and the highest of an array of integers that is not empty."""
    found: tuple[int, int] = once(context, ("range", id(values)), lambda: (int(values.min()), int(values.max())))
    return found
