"""What a program has put into installed modules and classes: their release does not stand for it.

An installed module's own values need not be written. Functions are its own if they were made in an installed module;
plain data are written always, which does no harm, as they are the same in each process.
"""

from __future__ import annotations

import builtins
import importlib
import sys
from collections.abc import Iterator
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from keepfit.checkpoint.origins import release_of
from keepfit.checkpoint.walk import NoIdentityError, Walk

__all__ = ["refuse_blind", "write_if_set", "write_patches"]

_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: others cannot be changed

#: Where in a class, and the user's function there; None for one of an installed package, which the text tells.
_Patch = tuple[str, Any]

_BLIND = (builtins.globals, builtins.eval, builtins.exec, builtins.compile, builtins.__import__)
_BLIND_FUNCTIONS = (*_BLIND, importlib.import_module, importlib.__import__, importlib.reload, sys._getframe)
_BLIND_IDS = {id(function): function.__name__ for function in _BLIND_FUNCTIONS}
_BLIND_ATTRIBUTES = ("__globals__", "__builtins__", "f_globals", "f_builtins")


def refuse_blind(obj: Any, names: tuple[str, ...] = (), place: str = "a function") -> None:
    """Refuse what finds values by names that only running it tells.

    Parameters
    ----------
    obj : object
        What a function uses.
    names : tuple of str, default=()
        Names that it looks up.
    place : str, default="a function"
        Which function.

    Raises
    ------
    NoIdentityError
    """
    found = _BLIND_IDS.get(id(obj)) or ("sys.modules" if obj is sys.modules else None)
    found = found or next((name for name in _BLIND_ATTRIBUTES if name in names), None)
    if found is not None:
        raise NoIdentityError(
            f"{place} uses {found}, which may find anything; name what it needs, or pass it as a parameter"
        )


def is_from_here(function: Any) -> bool:
    """Whether a Python function was made by the user's own code; what `functools.wraps` copies does not hide it."""
    modules = {getattr(function, "__module__", None), function.__globals__.get("__name__")}
    return any(isinstance(name, str) and name in sys.modules and release_of(name) is None for name in modules)


def write_if_set(walk: Walk, module: ModuleType, name: str, value: Any) -> None:
    """Write a value of an installed module, unless the module's release stands for it."""
    refuse_blind(value)
    if module is sys:  # what is in it is of the process, and volatile
        return
    kind = type(value)
    if isinstance(value, MethodType):
        value = value.__func__
    if isinstance(value, FunctionType):
        count = is_from_here(value)
    elif isinstance(value, type):
        count = release_of(value.__module__) is None
    elif isinstance(value, BuiltinFunctionType) or (callable(value) and not isinstance(value, partial)):
        count = release_of(kind.__module__) is None
    else:
        own = release_of(kind.__module__) == release_of(module.__name__) and kind.__module__ != "builtins"
        count = not own or isinstance(value, (np.ndarray, np.generic))
    walk.text(b"q", f"{module.__name__}.{name}")
    if count:
        walk.add(value)
    elif callable(value):
        walk.text(b"q", f"{getattr(value, '__module__', None)}:{getattr(value, '__qualname__', None)}")


def write_patches(walk: Walk, cls: type) -> None:
    """Write the functions in an installed class, and in its bases, that the user or another package put there."""
    for base in cls.__mro__:
        if base.__flags__ & _HEAP_TYPE:
            for place, value in _patches_of(base):
                walk.text(b"q", place)
                if value is not None:
                    walk.add(value)


#: Of each class its values when they were looked at, by id and kept alive, and what was found.
_looked_at: WeakKeyDictionary[type, tuple[tuple[int, ...], list[Any], list[_Patch]]] = WeakKeyDictionary()


def _patches_of(cls: type) -> list[_Patch]:
    values = tuple(vars(cls).values())
    ids = tuple(map(id, values))
    known = _looked_at.get(cls)
    if known is None or known[0] != ids:
        known = _looked_at[cls] = (ids, [value for value in values if value is not cls], list(_find_patches(cls)))
    return known[2]


def _find_patches(cls: type) -> Iterator[_Patch]:
    release = release_of(cls.__module__)
    if release is None:
        return
    for name, value in vars(cls).items():
        for function in _functions_of(value):
            if is_from_here(function):
                yield f"{cls.__qualname__}.{name}", value
            else:
                origin = release_of(function.__module__ or "")
                if origin not in (release, "python", None):
                    yield f"{cls.__qualname__}.{name} {function.__module__} {function.__qualname__} {origin}", None


def _functions_of(value: Any) -> tuple[Any, ...]:
    if isinstance(value, FunctionType):
        return (value,)
    if isinstance(value, (staticmethod, classmethod)):
        return _functions_of(value.__func__)
    if isinstance(value, property):
        return tuple(one for one in (value.fget, value.fset, value.fdel) if isinstance(one, FunctionType))
    return ()
