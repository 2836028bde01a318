"""Objects of classes outside keepfit's tables: kept as data, built only for a caller who trusts their class."""

from __future__ import annotations

import copyreg
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from types import GeneratorType, MethodDescriptorType, ModuleType
from typing import Any

from keepfit.codecs.codec import Building, CyclicCodec, Reducing, class_name
from keepfit.codecs.functions import embed, importable_name
from keepfit.codecs.standard import check_attribute_names
from keepfit.errors import InvalidStateError, UnsupportedError
from keepfit.graph import Node

__all__ = ["CUSTOM", "SCRIPT", "CustomCodec", "Trusted", "by_class", "trusted_names"]

#: What a caller may give as ``trusted=``: classes, functions and dotted names, or one of them.
Trusted = Iterable[type | Callable[..., Any] | str] | type | Callable[..., Any] | str

#: How names begin of what was defined in the script that ran.
SCRIPT = "__main__."

_ARGS, _CALL, _STATE = "__args__", "__call__", "__state__"


_ITERATED = "keep what it gives, such as list(it), in its place"


class CustomCodec(CyclicCodec):
    """Any object whose class says by ``__reduce_ex__`` how it is built from plain parts.

    The node's state holds the object's attributes. Where a class needs more, names that no attribute has say so:
    ``__args__`` (arguments of ``__new__``, or of the class itself where ``__call__`` is true) and ``__state__`` (a
    state that is not a dict of attributes).
    """

    def __init__(self, cls: Any = None) -> None:
        self._cls = cls

    def reduce(self, obj: Any, context: Reducing) -> Node:
        cls = type(obj)
        if importable_name(cls) is None or (cls.__module__ == "__main__" and "code" in context.allow):
            if isinstance(obj, GeneratorType):
                raise UnsupportedError(f"a generator cannot be kept: {_ITERATED}")
            return embed(obj, context, _what(obj), _advice(obj))
        try:
            parts = obj.__reduce_ex__(4)
        except TypeError as error:
            raise UnsupportedError(f"an object of {class_name(cls)} cannot be kept: {error}") from error
        if not isinstance(parts, tuple):
            raise UnsupportedError(f"an object of {class_name(cls)} is kept by name elsewhere; that is not supported")
        build, args, state, items, pairs = (*parts, None, None, None)[:5]
        node = Node(class_name(cls))
        if build is copyreg.__newobj__ and args[0] is cls:  # type: ignore[attr-defined]
            args = args[1:]
        elif build is cls:
            node.state[_CALL] = True
        else:
            raise UnsupportedError(
                f"an object of {class_name(cls)} is built by {getattr(build, '__qualname__', build)}, which is code. "
                "Keep its parts instead, or give its class a __getstate__ and __setstate__"
            )
        if args or _CALL in node.state:
            node.state[_ARGS] = tuple(args)
        _put_state(node, state)
        if items is not None and pairs is not None:
            raise UnsupportedError(f"an object of {class_name(cls)} is a list and a dict at once")
        if items is not None:
            node.items = list(items)
        if pairs is not None:
            node.keys, node.items = (
                (list(part) for part in zip(*pairs, strict=True)) if (pairs := list(pairs)) else ([], [])
            )
        return node

    def new(self, node: Node, context: Building) -> Any:
        if _ARGS in node.state or not isinstance(self._cls, type):
            raise InvalidStateError(f"an object of {node.type} cannot be part of a cycle")
        cls: Any = self._cls
        return cls.__new__(cls)

    def build(self, node: Node, context: Building) -> Any:
        cls: Any = self._cls
        if not isinstance(cls, type):
            raise InvalidStateError(f"{node.type} is not a class")
        if _ARGS not in node.state:
            obj = self.new(node, context)
        elif node.state.get(_CALL) is True:
            obj = cls(*node.state[_ARGS])
        else:
            obj = cls.__new__(cls, *node.state[_ARGS])
        self.fill(obj, node, context)
        return obj

    def fill(self, obj: Any, node: Node, context: Building) -> None:
        attributes = {name: value for name, value in node.state.items() if name not in (_ARGS, _CALL)}
        state: Any = attributes.pop(_STATE) if _STATE in attributes else attributes or None
        if node.keys:
            for key, value in zip(node.keys, node.items, strict=True):
                obj[key] = value
        elif node.items:
            obj.extend(node.items)
        if state is None:
            return
        if hasattr(obj, "__setstate__"):
            obj.__setstate__(state)
            return
        slots = None
        if type(state) is tuple and len(state) == 2:
            state, slots = state
        if state:
            check_attribute_names(state, InvalidStateError)
            obj.__dict__.update(state)
        for name, value in (slots or {}).items():
            setattr(obj, name, value)


def _what(obj: Any) -> str:
    """What an object is whose class cannot be found by its name."""
    if isinstance(obj, MethodDescriptorType):
        return f"the method {obj.__qualname__}"
    return f"an object of the class {type(obj).__qualname__}"


def _advice(obj: Any) -> str:
    """What to do about an object whose class cannot be found by its name."""
    if isinstance(obj, MethodDescriptorType):
        return "Call it in a function at the top of a module that can be imported, and keep that in its place"
    if isinstance(obj, ModuleType):
        return f"Keep the name {obj.__name__!r} in its place and import it where it is used"
    if type(obj).__module__ not in sys.builtin_module_names:
        return "Define the class at the top of a module that can be imported"
    if isinstance(obj, Iterator):
        return _ITERATED.capitalize()
    return "Its class is Python's own: keep what it is made of in its place"


def _put_state(node: Node, state: Any) -> None:
    if state is None:
        return
    if (
        type(state) is dict
        and state
        and all(type(name) is str for name in state)
        and not {_ARGS, _CALL, _STATE} & state.keys()
    ):
        node.state.update(state)
    else:
        node.state[_STATE] = state


CUSTOM = CustomCodec()


def trusted_names(trusted: Trusted) -> dict[str, Any]:
    """What the caller trusts, by the name a graph would use. Dotted names are imported on the caller's word.

    A class or function that is given itself also stands for one of its name that a script defined: a file can only say
    ``__main__.Own`` then, and the caller says which `Own` that is. Where two of one name are given, neither does.

    Raises
    ------
    UnsupportedError
        If a dotted name does not lead to anything.
    """
    if type(trusted) is tuple and not trusted:
        return {}
    if isinstance(trusted, str | type) or not isinstance(trusted, Iterable):
        trusted = (trusted,)
    found: dict[str, Any] = {}
    scripts: dict[str, list[Any]] = {}
    for item in trusted:
        if isinstance(item, str):
            found[item] = _imported(item)
            continue
        name = class_name(item) if isinstance(item, type) else importable_name(item)
        if name is None:
            raise UnsupportedError(f"trusted= takes classes, functions and dotted names, not {item!r}")
        found[name] = item
        scripts.setdefault(f"{SCRIPT}{item.__qualname__}", []).append(item)
    return {name: items[0] for name, items in scripts.items() if len(items) == 1} | found


def _imported(name: str) -> Any:
    parts = name.split(".")
    for count in range(len(parts) - 1, 0, -1):
        try:
            found: Any = import_module(".".join(parts[:count]))
        except ImportError:
            continue
        for part in parts[count:]:
            found = getattr(found, part, None)
        if found is not None:
            return found
    hint = f": {by_class([name])}" if name.startswith(SCRIPT) else ""
    raise UnsupportedError(f"trusted= names {name!r}, which cannot be imported here{hint}")


def by_class(names: Iterable[str]) -> str:
    """What to do about names that a script defined, which no import leads to."""
    listed = ", ".join(name.removeprefix(SCRIPT) for name in names)
    return f"import or define here what a script defined, and pass it itself: trusted=[{listed}]"
