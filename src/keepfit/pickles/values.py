"""What a pickle stream says, as plain records. None of them knows how to become anything."""

from __future__ import annotations

from typing import Any

__all__ = ["MISSING", "Derived", "Elements", "Global", "Instance", "Mapping", "Place", "described", "sizes_of"]


class _Missing:
    """No state was given."""


MISSING = _Missing()

#: A position in the stream, in bytes from its start.
Place = int


class Global:
    """A name to be imported. There is one record for each name of a stream."""

    __slots__ = ("module", "name", "place")

    def __init__(self, module: str, name: str, place: Place) -> None:
        self.module = module
        self.name = name
        self.place = place

    @property
    def full_name(self) -> str:
        """Module and name with a dot between."""
        return f"{self.module}.{self.name}"


class Mapping:
    """A dict, not hashed: keys and values in the order they came in."""

    __slots__ = ("items", "keys", "place")

    def __init__(self, keys: list[Any], items: list[Any], place: Place) -> None:
        self.keys = keys
        self.items = items
        self.place = place

    def __len__(self) -> int:
        return len(self.keys)


class Elements:
    """A set, not hashed."""

    __slots__ = ("frozen", "items", "place")

    def __init__(self, items: list[Any], place: Place, *, frozen: bool) -> None:
        self.items = items
        self.place = place
        self.frozen = frozen

    def __len__(self) -> int:
        return len(self.items)


class Instance:
    """What a call would give, and what would then be done to it.

    Parameters
    ----------
    function : Global or value
        What would be called, or the class whose ``__new__`` would be.
    args : tuple of value
    kwargs : Mapping or None
    place : int
    new : bool
        Whether ``cls.__new__(cls, *args)`` is meant in place of ``function(*args)``.
    """

    __slots__ = ("args", "entries", "function", "items", "kwargs", "made", "new", "place", "sizes", "state", "used")

    def __init__(
        self, function: Any, args: tuple[Any, ...], kwargs: Mapping | None, place: Place, *, new: bool
    ) -> None:
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.place = place
        self.new = new
        self.state: Any = MISSING
        self.items: list[Any] = []
        self.entries: Mapping | None = None
        #: The lengths of the containers among the arguments and of the state, as they were when they were used.
        self.sizes = sizes_of(args)
        #: Whether a call or a state has used it: what is changed after that is not what was used.
        self.used = False
        #: What the translation made of it.
        self.made: Any = MISSING

    @property
    def name(self) -> str:
        """The full name of what would be called; empty where that is computed."""
        return self.function.full_name if type(self.function) is Global else ""


def sizes_of(values: tuple[Any, ...]) -> tuple[int, ...]:
    """The lengths of the containers among some values."""
    return tuple([len(value) for value in values if type(value) in _CHANGING])


_CHANGING = frozenset({list, Mapping, Elements, bytearray})


def described(value: Any) -> str:
    """A few words on a value, for errors and reports."""
    if type(value) is Global:
        return value.full_name
    if type(value) is Instance:
        return f"the result of {value.name or 'a computed call'}"
    names = {Mapping: "a dict", Elements: "a set", list: "a list", tuple: "a tuple"}
    return names.get(type(value), f"a {type(value).__name__}")


class Derived:
    """A node that the translation adds: what an object of the stream holds without saying so by a record of its own."""

    __slots__ = ("made",)

    def __init__(self, made: Any) -> None:
        self.made = made
