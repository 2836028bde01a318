"""Which names code looks up outside itself, and how, read from its bytecode."""

from __future__ import annotations

import dis
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType
from typing import NamedTuple

__all__ = ["Names", "names_in"]

_GLOBAL_LOADS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
_ATTRIBUTE_LOADS = ("LOAD_ATTR", "LOAD_METHOD")
_BETWEEN = frozenset({"EXTENDED_ARG", "CACHE", "PRECALL", "PUSH_NULL", "NOP", "SWAP", "POP_TOP", "COPY_FREE_VARS"})


class Names(NamedTuple):
    """The names that code, and the functions within it, looks up outside itself.

    Parameters
    ----------
    globals, attributes, imports : tuple of str
        Sorted.
    bare : frozenset of str
        Names of all kinds that are used in another way than by an attribute, such as ``m`` in ``getattr(m, "x")``. An
        imported name is one if the variable it is bound to is.
    texts : tuple of str
        Its constants that could be names.
    """

    globals: tuple[str, ...]
    attributes: tuple[str, ...]
    imports: tuple[str, ...]
    bare: frozenset[str]
    texts: tuple[str, ...]


@lru_cache(maxsize=4096)
def names_in(code: CodeType) -> Names:
    """The names in code."""
    found: tuple[set[str], ...] = (set(), set(), set(), set(), set())
    instructions = [one for one in dis.get_instructions(code) if one.opname not in _BETWEEN]
    followers = [one.opname for one in instructions[1:]] + ["END"]
    bindings: list[tuple[str, str]] = []
    imported = ""
    for instruction, follower in zip(instructions, followers, strict=True):
        name = instruction.opname
        if name in _GLOBAL_LOADS:
            found[0].add(instruction.argval)
        elif name in (*_ATTRIBUTE_LOADS, "IMPORT_FROM"):
            found[1].add(instruction.argval)
        elif name == "IMPORT_NAME":
            found[2].add(instruction.argval)
        if name in ("IMPORT_NAME", "IMPORT_FROM"):
            imported = instruction.argval
        elif name.startswith("STORE_") and imported:
            bindings.extend((imported, variable) for variable in _variables(instruction))
            imported = ""
        if name.startswith(("LOAD_", "STORE_FAST_LOAD")):
            loaded = list(_variables(instruction))
            found[3].update(loaded if follower not in _ATTRIBUTE_LOADS else loaded[:-1])
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            for mine, inner in zip(found, names_in(constant), strict=True):
                mine.update(inner)
        elif isinstance(constant, str) and constant.isidentifier():
            found[4].add(constant)
    found[3].update(source for source, variable in bindings if variable in found[3])
    names, attributes, imports, bare, texts = (tuple(sorted(kind)) for kind in found)
    return Names(names, attributes, imports, frozenset(bare), texts)


def _variables(instruction: dis.Instruction) -> Iterator[str]:
    """The variables of an instruction; Python 3.13 has some that load two."""
    if instruction.opname not in ("LOAD_CONST", "LOAD_ASSERTION_ERROR", "LOAD_BUILD_CLASS"):
        values = instruction.argval if isinstance(instruction.argval, tuple) else (instruction.argval,)
        yield from (value for value in values if isinstance(value, str))
