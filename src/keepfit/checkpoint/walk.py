"""Writing what an object is as a stream of tagged, length-prefixed tokens; the digest of the stream is its content.

Two things share a stream only if they are the same: every token starts with a tag of its type (``True``, ``1`` and
``1.0`` differ) and says its length. Lists, dicts, instances and code that come again within one stream are written as
the number of their first coming, so cycles end. An object without a table entry is asked how it would be pickled;
nothing is pickled.
"""

from __future__ import annotations

import copyreg
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Any

import msgspec

from keepfit.checkpoint.origins import release_of
from keepfit.errors import CheckpointError

__all__ = ["BUILTIN_WRITERS", "NoIdentityError", "Other", "Walk", "Writer", "has_only_a_dict", "write_instance"]

#: From this many elements on, a list of plain scalars is written by one call in C.
_MANY = 16

#: What msgpack writes exactly: a tag for the type, then the length, for these very types and not their subclasses.
_PLAIN = frozenset({str, int, float, bool, bytes, type(None)})

_DOUBLE = struct.Struct("<d")
_COUNT = struct.Struct("<Q")


class NoIdentityError(CheckpointError):
    """Something has no content that would be the same in the next process, such as an open file.

    Never reaches the user as an error: its task is computed and not reused.
    """


class Walk:
    """One stream.

    Parameters
    ----------
    writers : mapping of type to callable
        Writers by exact type.
    others : sequence of callable
        Asked in turn for all other types; each answers whether it has written the object.

    Attributes
    ----------
    met : dict of int to object
        Classes and functions that were met, by their id.
    """

    def __init__(self, writers: Mapping[type, Writer], others: Iterable[Other]) -> None:
        self._writers = writers
        self._others = tuple(others)
        self._out: list[bytes] = []
        self._seen: dict[int, int] = {}
        self._alive: list[object] = []  # an id stands for an object only as long as the object lives
        self.met: dict[int, Any] = {}

    def add(self, obj: Any) -> None:
        """Write an object."""
        write = self._writers.get(type(obj))
        if write is not None:
            write(self, obj)
        elif not any(write_other(self, obj) for write_other in self._others):
            raise NoIdentityError(f"{type(obj).__module__}.{type(obj).__qualname__} has no stable content")

    def mark(self, tag: bytes, data: bytes = b"") -> None:
        """Write a token."""
        self._out.append(b"%b%b%b" % (tag, _COUNT.pack(len(data)), data))

    def count(self, tag: bytes, number: int) -> None:
        """Write the head of something that has that many elements."""
        self._out.append(tag + _COUNT.pack(number))

    def text(self, tag: bytes, text: str) -> None:
        """Write a token that is text."""
        self.mark(tag, text.encode("utf-8", "surrogatepass"))

    def again(self, obj: object) -> bool:
        """Whether an object was met before in this stream; if so it is written as a reference."""
        number = self._seen.setdefault(id(obj), len(self._seen))
        if number < len(self._alive):
            self.count(b"@", number)
            return True
        self._alive.append(obj)
        return False

    def separate(self, obj: Any) -> bytes:
        """The digest of an object in a stream of its own."""
        walk = Walk(self._writers, self._others)
        walk.add(obj)
        self.met.update(walk.met)
        return walk.digest()

    def digest(self) -> bytes:
        """The digest of what was written so far: 32 bytes."""
        return sha256(b"".join(self._out)).digest()


Writer = Callable[[Walk, Any], None]
Other = Callable[[Walk, Any], bool]


def _constant(tag: bytes) -> Writer:
    return lambda walk, obj: walk.mark(tag)


def _write_int(walk: Walk, obj: int) -> None:
    walk.mark(b"i", b"%x" % obj if -(1 << 63) <= obj < 1 << 63 else hex(obj).encode())


def _write_float(walk: Walk, obj: float) -> None:
    walk.mark(b"f", _DOUBLE.pack(obj))


def _write_complex(walk: Walk, obj: complex) -> None:
    walk.mark(b"c", _DOUBLE.pack(obj.real) + _DOUBLE.pack(obj.imag))


def _write_sequence(walk: Walk, obj: Any) -> None:
    if len(obj) >= _MANY and set(map(type, obj)) <= _PLAIN:
        try:
            walk.mark(b"p", msgspec.msgpack.encode(obj))
            return
        except (OverflowError, UnicodeEncodeError):
            pass  # an int past 64 bits, a lone surrogate: one by one
    walk.count(b"e", len(obj))
    for item in obj:
        walk.add(item)


def _write_list(walk: Walk, obj: list[Any]) -> None:
    if not walk.again(obj):
        walk.mark(b"l")
        _write_sequence(walk, obj)


def _write_tuple(walk: Walk, obj: tuple[Any, ...]) -> None:
    # Equal tuples may be one object or two, as the compiler likes: never a reference.
    walk.mark(b"t")
    _write_sequence(walk, obj)


def _write_dict(walk: Walk, obj: Mapping[Any, Any]) -> None:
    # In order: the order of scorers is the order of the columns of cv_results_.
    if walk.again(obj):
        return
    walk.count(b"d", len(obj))
    for key, value in obj.items():
        walk.add(key)
        walk.add(value)


def _write_set(walk: Walk, obj: Any) -> None:
    walk.count(b"s" if isinstance(obj, set) else b"z", len(obj))
    for digest in sorted(walk.separate(item) for item in obj):
        walk.mark(b"h", digest)


def _write_range(walk: Walk, obj: Any) -> None:
    walk.mark(b"g" if isinstance(obj, slice) else b"r")
    for part in (obj.start, obj.stop, obj.step):
        walk.add(part)


def _write_mapping_proxy(walk: Walk, obj: Any) -> None:
    walk.mark(b"x")
    _write_dict(walk, dict(obj))


BUILTIN_WRITERS: dict[type, Writer] = {
    type(None): _constant(b"N"),
    type(Ellipsis): _constant(b"."),
    type(NotImplemented): _constant(b"!"),
    bool: lambda walk, obj: walk.mark(b"T" if obj else b"F"),
    int: _write_int,
    float: _write_float,
    complex: _write_complex,
    str: lambda walk, obj: walk.text(b"u", obj),
    bytes: lambda walk, obj: walk.mark(b"b", obj),
    bytearray: lambda walk, obj: walk.mark(b"B", bytes(obj)),
    list: _write_list,
    tuple: _write_tuple,
    dict: _write_dict,
    set: _write_set,
    frozenset: _write_set,
    range: _write_range,
    slice: _write_range,
    MappingProxyType: _write_mapping_proxy,
}


def write_instance(walk: Walk, obj: Any, *, without: frozenset[str] = frozenset()) -> bool:
    """Write an object by its class and state, as pickle would take it apart.

    Parameters
    ----------
    walk : Walk
    obj : object
    without : frozenset of str
        Attributes that cannot change a result.

    Raises
    ------
    NoIdentityError
        If it cannot be taken apart, or would give up what it holds: an iterator, a generator, an open file, a lock.
    """
    cls = type(obj)
    if isinstance(obj, Iterator):
        raise NoIdentityError(f"a {cls.__qualname__} gives its items only once")
    if isinstance(obj, (list, dict, set)) and _is_shared_on_purpose(obj):
        raise NoIdentityError(f"a {cls.__qualname__} is never copied, so that others see what a fit puts in it")
    if walk.again(obj):
        return True
    if _is_plain(obj):
        walk.mark(b"O")
        walk.add(cls)
        _write_state(walk, vars(obj), without)
        _write_left_out(walk, obj, vars(obj), without)
        return True
    parts = _taken_apart(obj)
    if isinstance(parts, str):
        if release_of(cls.__module__) is None:
            raise NoIdentityError(f"a {cls.__qualname__} is known by its name alone")
        walk.mark(b"S")
        walk.add(cls)
        walk.add(parts)
        return True
    walk.count(b"o", len(parts))
    walk.add(parts[0])
    walk.add(parts[1])
    for part in parts[2:]:
        if isinstance(part, Iterator):
            walk.add(list(part))
        elif type(part) is dict:
            _write_state(walk, part, without)
        else:
            walk.add(part)
    state = parts[2] if len(parts) > 2 and isinstance(parts[2], dict) else {}
    _write_left_out(walk, obj, state, without)
    return True


def _write_left_out(walk: Walk, obj: Any, state: Mapping[str, Any], without: frozenset[str]) -> None:
    """Write what an object holds and does not give to pickle: where nothing is pickled, a fit sees it all the same.

    Parameters of any estimator; everything of an object of the user's own class. A release stands for what the
    classes of installed packages do with the rest.
    """
    cls = type(obj)
    held: dict[str, Any] = {}
    if release_of(cls.__module__) is None:
        default = object.__getstate__(obj)
        for part in default if isinstance(default, tuple) else (default,):  # with slots: __dict__ and slots
            held.update(part or {})
        _write_items(walk, obj)
    if hasattr(cls, "get_params"):
        held.update(_parameters(obj))
    left_out = {name: value for name, value in held.items() if name not in state or state[name] is not value}
    if left_out:
        walk.mark(b"L")
        _write_state(walk, left_out, without)


def _write_items(walk: Walk, obj: Any) -> None:
    """Write what an object holds as the builtin that its class extends, whatever the class says of it."""
    if isinstance(obj, (int, float, complex, str, bytes, tuple)):
        walk.mark(b"I")
        walk.add(next(kind for kind in _VALUES if isinstance(obj, kind)).__getnewargs__(obj))
    elif isinstance(obj, list):
        walk.mark(b"I")
        walk.add(list(list.__iter__(obj)))
    elif isinstance(obj, dict):
        walk.mark(b"I")
        walk.add(list(dict.items(obj)))
    elif isinstance(obj, (set, frozenset)):
        walk.mark(b"I")
        walk.add(frozenset(set.__iter__(obj) if isinstance(obj, set) else frozenset.__iter__(obj)))


_VALUES: tuple[Any, ...] = (int, float, complex, str, bytes, tuple)


def _parameters(obj: Any) -> Mapping[str, Any]:
    try:
        return dict(obj.get_params(deep=False))
    except Exception as error:  # whatever the user's code does
        raise NoIdentityError(f"a {type(obj).__qualname__} does not give its parameters: {error}") from error


def _is_shared_on_purpose(obj: Any) -> bool:
    copy = getattr(type(obj), "__deepcopy__", None)
    return copy is not None and copy(obj, {}) is obj


#: What a class inherits that does not say itself how it is pickled.
_DEFAULTS = ("__reduce_ex__", "__reduce__", "__getstate__")

_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement


def _is_plain(obj: Any) -> bool:
    """Whether an object's state is its ``__dict__`` and nothing else."""
    cls = type(obj)
    return (
        cls not in copyreg.dispatch_table
        and all(getattr(cls, name) is getattr(object, name) for name in _DEFAULTS)
        and has_only_a_dict(cls)
        and not isinstance(obj, (int, float, complex, str, bytes, tuple, list, dict, set, frozenset))
    )


def has_only_a_dict(cls: type) -> bool:
    """Whether the instances of a class have a ``__dict__`` and nothing beside it: no slots, no fields in C."""
    return (
        bool(cls.__flags__ & _HEAP_TYPE)
        and cls.__dictoffset__ != 0
        and cls.__basicsize__ == _BASIC_SIZE
        and not any(vars(base).get("__slots__") for base in cls.__mro__)
    )


class _Empty:
    pass


_BASIC_SIZE = _Empty.__basicsize__


def _taken_apart(obj: Any) -> Any:
    reducer = copyreg.dispatch_table.get(type(obj))
    try:
        return reducer(obj) if reducer is not None else obj.__reduce_ex__(4)
    except Exception as error:  # whatever the class does to refuse
        raise NoIdentityError(f"a {type(obj).__qualname__} cannot be taken apart: {error}") from error


def _write_state(walk: Walk, state: Mapping[str, Any], without: frozenset[str]) -> None:
    names = sorted((name for name in state if name not in without), key=str)
    walk.count(b"a", len(names))
    for name in names:
        walk.add(name)
        walk.add(state[name])
