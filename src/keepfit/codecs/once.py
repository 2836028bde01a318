"""Checks of large contents, made once however often a graph names them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keepfit.codecs.codec import Building
from keepfit.errors import InvalidStateError

__all__ = ["are_large", "are_many", "check_used_once", "note_copied", "note_read", "once", "value_range"]

#: To look through as many takes no longer than to build what holds them.
_LARGE, _LARGE_IN_LIST = 1000, 50
#: Contents may be looked through so often as that comes to so many times what there is, or to so many values in any
#: file: copies of a model share what it holds.
_READ_TIMES, _READ_FREE = 100, 500_000_000
#: What libraries copy may come to so many times what there is, or to so many bytes in any file.
_COPIED_TIMES, _COPIED_FREE = 10, 100_000_000


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


class _Read:
    """How much was looked through, or copied, while one graph is built, and how much of it for the first time."""

    def __init__(self) -> None:
        self.known: set[int] = set()
        self.first = self.all = 0


def are_many(context: Building, count: int) -> bool:
    """Whether `count` more models make so many of one graph that it matters what they look through, by `note_read`."""
    many: int = context.memo.get("models looked at", 0) + count
    context.memo["models looked at"] = many
    return many > _READ_TIMES


def are_large(values: Collection[Any]) -> list[Any]:
    """Those of some values that are arrays or containers of so much that to look through them takes a while.

    Lists of arrays, such as the categories of each feature, are looked through with these.
    """
    if _CONTENTS.isdisjoint(map(type, values)):
        return []
    found = [value for value in values if type(value) in _CONTENTS and _size(value) > _LARGE]
    for value in values:
        if type(value) is list and np.ndarray in map(type, value):
            found += [item for item in value if type(item) is np.ndarray and item.size > _LARGE_IN_LIST]
    return found


def note_read(values: Iterable[Any], context: Building, times: int = 1) -> None:
    """Note that large contents are about to be looked through, where that is not done once for all who hold them.

    Parameters
    ----------
    values : iterable
        Of `are_large`.
    context : Building
    times : int, default=1

    Raises
    ------
    InvalidStateError
        If it is done again and again: a small file could hold a large vocabulary for any number of models.
    """
    read: _Read = once(context, _Read, _Read)
    for value in values:
        size = _size(value)
        read.all += size * times
        if id(value) not in read.known:
            read.known.add(id(value))
            read.first += size
    if read.all > max(_READ_FREE, _READ_TIMES * read.first):
        raise InvalidStateError(
            "many models hold the same large contents, which takes too long to look through for each"
        )


def note_copied(arrays: Iterable[NDArray[Any]], context: Building) -> None:
    """Note that what is built takes copies of arrays, or as much memory as they.

    Raises
    ------
    InvalidStateError
        If these take many times the memory of the arrays: a small file could name large ones for any number of objects.
    """
    copied: _Read = once(context, "copied", _Read)
    for array in arrays:
        copied.all += array.nbytes
        if id(array) not in copied.known:
            copied.known.add(id(array))
            copied.first += array.nbytes
    if copied.all > max(_COPIED_FREE, _COPIED_TIMES * copied.first):
        raise InvalidStateError("many objects hold the same large arrays, and would take a copy each")


def check_used_once(container: Any, context: Building) -> None:
    """Refuse a list or dict to be copied, if it was before: a small file could name it for any number of objects.

    Raises
    ------
    InvalidStateError
    """
    used: set[int] = context.memo.setdefault("copied containers", set())
    if id(container) in used:
        raise InvalidStateError(f"two objects would take a copy of the same {type(container).__name__}")
    used.add(id(container))


#: NumPy goes through so many numbers in the time that one object takes.
_NUMBERS_AT_ONCE = 16
_CONTENTS = frozenset({dict, list, np.ndarray, tuple})


def _size(value: Any) -> int:
    if type(value) is not np.ndarray:
        return len(value)
    size: int = value.size
    return size if value.dtype.kind in "OSUT" else size // _NUMBERS_AT_ONCE
