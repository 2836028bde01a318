"""Seeing in a function's bytecode that it writes to what is outside of it, so that running it is part of its point.

Sees what is plainly there: assignments to global and nonlocal variables, and changes of a list, dict or set that such
a variable holds. A counter in a scorer counts; it would not, if results were reused.
"""

from __future__ import annotations

import dis
from collections import deque
from collections.abc import Iterator, MutableMapping, MutableSequence, MutableSet
from functools import lru_cache
from types import CodeType
from typing import Any

__all__ = ["written_outside"]

_CHANGING = frozenset(
    {
        *("append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse", "appendleft", "extendleft"),
        *("popleft", "add", "discard", "update", "setdefault", "popitem"),
    }
)

_CONTAINERS = (MutableSequence, MutableMapping, MutableSet, deque)


def written_outside(function: Any) -> str | None:
    """The name of a variable outside a function that the function writes to; None if none is seen."""
    code = function.__code__
    for name, is_assigned in _suspects(code):
        if is_assigned or isinstance(_value_of(function, name), _CONTAINERS):
            return name
    return None


@lru_cache(maxsize=4096)
def _suspects(code: CodeType) -> tuple[tuple[str, bool], ...]:
    """Names that are outside, and whether they are assigned; if not, what they hold is changed if it is a container."""
    return tuple(_suspects_in(code, frozenset(code.co_freevars)))


def _suspects_in(code: CodeType, free: frozenset[str]) -> Iterator[tuple[str, bool]]:
    before: list[dis.Instruction] = []
    for instruction in dis.get_instructions(code):
        name = instruction.opname
        if name in ("STORE_GLOBAL", "DELETE_GLOBAL") or (name == "STORE_DEREF" and instruction.argval in free):
            yield instruction.argval, True
        elif name in ("LOAD_METHOD", "LOAD_ATTR") and instruction.argval in _CHANGING:
            yield from _outer(before[-1:], free)
        elif name in ("STORE_SUBSCR", "DELETE_SUBSCR"):
            yield from _outer(before[-2:-1], free)
        elif name in ("BINARY_SUBSCR", "BINARY_OP") and [one.opname for one in before[-2:]] == ["COPY", "COPY"]:
            yield from _outer(before[-4:-3], free)  # container[key] += 1
        before.append(instruction)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _suspects_in(constant, free & frozenset(constant.co_freevars))


def _outer(loads: list[dis.Instruction], free: frozenset[str]) -> Iterator[tuple[str, bool]]:
    for load in loads:
        if load.opname == "LOAD_GLOBAL" or (load.opname == "LOAD_DEREF" and load.argval in free):
            yield load.argval, False


def _value_of(function: Any, name: str) -> Any:
    code = function.__code__
    if name in code.co_freevars and function.__closure__ is not None:
        try:
            return function.__closure__[code.co_freevars.index(name)].cell_contents
        except ValueError:
            return None
    return function.__globals__.get(name)
