"""Functions and classes as values: by name, from a closed table. Nothing is imported because a file says so."""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import Any

import msgspec

from keepfit.codecs.codec import Building, Codec, Reducing, check_fields
from keepfit.errors import UnsupportedError, UntrustedError
from keepfit.graph import Node

__all__ = ["CLASS", "FUNCTION", "embed", "importable_name", "is_known", "name_of", "preload", "resolve"]


class _Names(msgspec.Struct):
    """``tables/functions.json``, written by ``scripts/make_tables.py``: public names of what may be a value."""

    function: list[str]
    classes: list[str] = msgspec.field(name="class")


@cache
def _tables() -> dict[str, frozenset[str]]:
    data = files("keepfit.codecs").joinpath("tables/functions.json").read_bytes()
    names = msgspec.json.decode(data, type=_Names)
    return {"function": frozenset(names.function), "class": frozenset(names.classes)}


@cache
def _by_last_name(kind: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in sorted(_tables()[kind], key=lambda name: (name.count("."), name)):
        found.setdefault(name.rpartition(".")[2], []).append(name)
    return found


def is_known(kind: str, name: str) -> bool:
    """Whether `name` is in the closed table of functions (kind ``"function"``) or classes (kind ``"class"``)."""
    return name in _tables()[kind]


@cache
def resolve(name: str) -> Any:
    """What a name of the closed table stands for; None where the running release does not have it."""
    module, dot, attribute = name.rpartition(".")
    try:
        return getattr(import_module(module if dot else "builtins"), attribute, None)
    except ImportError:
        return None


def preload() -> None:
    """Read the tables and import what they name."""
    for names in _tables().values():
        for name in names:
            resolve(name)


def _known_name(kind: str, obj: Any) -> str | None:
    for name in _by_last_name(kind).get(getattr(obj, "__name__", ""), ()):
        if resolve(name) is obj:
            return name
    return None


@cache
def name_of(module: str, name: str) -> tuple[str, str]:
    """The kind and the name in the closed table of what a module has under a name; its own where there is none.

    That it is the same is looked up in what the table's name leads to, never by importing the module.
    """
    if module == "builtins" and is_known("class", name):
        return "class", name
    for kind in ("function", "class"):
        for known in _by_last_name(kind).get(name, ()):
            found = resolve(known)
            if known == f"{module}.{name}" or (
                found is not None
                and getattr(found, "__name__", None) == name
                and (getattr(found, "__module__", None) == module or _is_ufunc_of(found, module))
            ):
                return kind, known
    return "function", f"{module}.{name}"


def _is_ufunc_of(found: Any, module: str) -> bool:
    return type(found).__name__ == "ufunc" and module in _UFUNC_MODULES


#: Where NumPy and SciPy define what does not say where it is from.
_UFUNC_MODULES = frozenset(
    {
        "numpy", "numpy._core._multiarray_umath", "numpy._core.umath", "numpy.core._multiarray_umath",
        "numpy.core.umath", "scipy.special", "scipy.special._special_ufuncs", "scipy.special._ufuncs",
    }
)  # fmt: skip


def importable_name(obj: Any) -> str | None:
    """``module.qualified_name`` of a function or class if that leads back to it, else None."""
    module, name = getattr(obj, "__module__", None), getattr(obj, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or "<" in name or module not in sys.modules:
        return None
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = getattr(found, part, None)
    return f"{module}.{name}" if found is obj else None


def embed(obj: Any, context: Reducing, what: str, advice: str) -> Node:
    """A node that holds code, for a caller who allows it; otherwise the error that says what to do."""
    if "code" not in context.allow:
        raise UnsupportedError(
            f"{what} cannot be kept as data, because it can only be found by running code. "
            f"{advice}, or pass allow={{'code'}} to dump and to load"
        )
    from keepfit.codecs.code import to_node

    return to_node(obj)


class _Named(Codec):
    def __init__(self, kind: str) -> None:
        self._kind = kind

    def reduce(self, obj: Any, context: Reducing) -> Node:
        name = _known_name(self._kind, obj) or importable_name(obj)
        if name is None or (name.startswith("__main__.") and "code" in context.allow):
            what = f"{getattr(obj, '__qualname__', repr(obj))!s}"
            return embed(obj, context, what, "Define it at the top of a module that can be imported")
        return Node(self._kind, {"name": name})

    def build(self, node: Node, context: Building) -> Any:
        (name,) = check_fields(node, name=str)
        found = resolve(name) if is_known(self._kind, name) else context.trusted.get(name)
        if found is None:
            raise UntrustedError(f"{name} is not known to keepfit here", names=(name,))
        return found


FUNCTION = _Named("function")
CLASS = _Named("class")
