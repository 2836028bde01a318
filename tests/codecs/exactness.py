"""`same`: a comparison that lets nothing pass. Types, dtypes, order, flags, bits of NaN, key types, shared identity."""

from __future__ import annotations

import struct
import types
from collections import deque
from enum import Enum
from typing import Any

import numpy as np

from keepfit import codecs
from keepfit.graph import from_json, to_json

_FUNCTIONS = (
    type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType, np.ufunc, types.MethodDescriptorType,
    types.MemberDescriptorType, types.WrapperDescriptorType, property,
)  # fmt: skip
_PLAIN = (type(None), bool, int, str, bytes, type(...), type(NotImplemented))


def round_trip(obj: Any, **options: Any) -> Any:
    """`obj` after encode and decode; the graph goes through its JSON form on the way."""
    graph = codecs.encode(obj)
    again = from_json(to_json(graph))
    again.arrays = graph.arrays
    assert to_json(again) == to_json(graph)
    built = codecs.decode(again, **options)
    assert to_json(codecs.encode(built)) == to_json(graph)
    return built


def assert_kept(obj: Any, **options: Any) -> Any:
    """`obj` comes back exactly; gives what came back."""
    built = round_trip(obj, **options)
    same(obj, built)
    return built


def same(a: Any, b: Any) -> None:
    """Assert that two objects are alike in everything that a program can see."""
    forth: dict[int, Any] = {}
    back: dict[int, Any] = {}
    alive: list[Any] = []
    stack = [(a, b, "object")]
    while stack:
        a, b, path = stack.pop()
        assert type(a) is type(b), f"{path}: {type(a)} became {type(b)}"
        if isinstance(a, _PLAIN) and type(a) in _PLAIN:
            assert a == b, f"{path}: {a!r} became {b!r}"
            continue
        if type(a) in (float, complex):
            assert _bits(a) == _bits(b), f"{path}: {a!r} became {b!r}"
            continue
        if isinstance(a, (*_FUNCTIONS, Enum)):
            assert a is b or a == b, f"{path}: {a!r} became {b!r}"  # methods of a builtin class are made anew
            continue
        if id(a) in forth:
            assert forth[id(a)] is b or type(a) is tuple, f"{path}: an identity was lost"
            continue
        assert id(b) not in back or not _mutable(a), f"{path}: two objects became one"
        forth[id(a)] = b
        back[id(b)] = a
        alive.append((a, b))
        stack.extend((left, right, path + part) for left, right, part in _parts(a, b, path))


def _bits(value: complex) -> bytes:
    return struct.pack(">dd", value.real, value.imag)


def _mutable(a: Any) -> bool:
    return isinstance(a, (list, dict, set, bytearray, deque, np.ndarray)) or (
        hasattr(a, "__dict__") and type(a).__hash__ in (None, object.__hash__)
    )


def _parts(a: Any, b: Any, path: str) -> list[tuple[Any, Any, str]]:
    if isinstance(a, np.ndarray):
        return _array_parts(a, b, path)
    if isinstance(a, np.dtype):
        assert (repr(a), a.str, a.isalignedstruct) == (repr(b), b.str, b.isalignedstruct), f"{path}: {a!r} became {b!r}"
        return [(a.metadata and dict(a.metadata), b.metadata and dict(b.metadata), ".metadata")]
    if isinstance(a, np.generic):
        return [(np.asarray(a), np.asarray(b), "()")]
    if type(a) in (set, frozenset):
        left, right = sorted(map(_key, a)), sorted(map(_key, b))
        assert left == right, f"{path}: {a!r} became {b!r}"
        return []
    parts: list[tuple[Any, Any, str]] = []
    if type(a) is dict and ({"_cache", "_readonly"} & {*a, *b}):  # answers that pandas remembers, and a default
        a, b = ({name: value for name, value in x.items() if name != "_cache" and value is not False} for x in (a, b))
    if type(a) is dict and "_delegate_to" in b:  # None in splines that SciPy 1.18 makes by its fast constructor
        a, b = ({name: value for name, value in x.items() if (name, value) != ("_delegate_to", None)} for x in (a, b))
    if isinstance(a, dict):
        parts += [(list(a.keys()), list(b.keys()), ".keys()"), (list(a.values()), list(b.values()), ".values()")]
    if type(a) in (list, tuple):
        assert len(a) == len(b), f"{path}: {len(a)} items became {len(b)}"
        return [(x, y, f"[{n}]") for n, (x, y) in enumerate(zip(a, b, strict=True))]
    if type(a) is dict:
        return parts
    left, right = (_reduced(x) for x in (a, b))
    return [*parts, (left, right, "")]


def _reduced(obj: Any) -> Any:
    """What an object is made of, as its own pickling protocol tells it."""
    if isinstance(obj, np.random.BitGenerator):
        return [obj.state, obj.seed_seq]
    if hasattr(obj, "__arrow_array__") and hasattr(obj, "_pa_array"):  # where Arrow puts its buffers is its own affair
        return [obj.dtype, str(obj.__arrow_array__().type), obj.to_numpy(dtype=object, na_value=None).tolist()]
    if isinstance(getattr(obj, "_ndarray", None), np.ndarray):  # pandas sets some of its attributes late
        freq = None if "Period" in type(obj).__name__ else getattr(obj, "_freq", None)
        return [obj.dtype, obj._ndarray, freq, getattr(obj, "_readonly", False)]
    found = obj.__reduce_ex__(4)
    if isinstance(found, str):
        return found
    build, args, state, items, pairs = (*found, None, None, None)[:5]
    args = [None if x is obj else x for x in args]
    if any(type(x) is type(obj) and x == obj for x in args if not hasattr(x, "__array__")):
        args = [str(x) for x in args]
    if type(state) is dict and state is getattr(obj, "__dict__", None):
        state = dict(sorted(state.items()))  # the order in which attributes were set is not part of an object
    return [build, args, state, None if items is None else list(items), None if pairs is None else list(pairs)]


def _array_parts(a: Any, b: Any, path: str) -> list[tuple[Any, Any, str]]:
    assert a.shape == b.shape, f"{path}: shape {a.shape} became {b.shape}"
    parts: list[tuple[Any, Any, str]] = [(a.dtype, b.dtype, ".dtype")]
    flags = ("writeable", "c_contiguous", "f_contiguous") if a.flags.forc else ("writeable",)
    for flag in flags:
        assert getattr(a.flags, flag) == getattr(b.flags, flag), f"{path}: the flag {flag} changed"
    if isinstance(a, np.ma.MaskedArray):
        for name in ("_data", "_mask", "_fill_value", "_hardmask", "_sharedmask"):
            left, right = getattr(a, name), getattr(b, name)
            parts.append((left, right, f".{name}") if left is not np.ma.nomask else (right is left, True, f".{name}"))
        return parts
    if a.dtype.hasobject or a.dtype.kind == "T":
        parts.append((a.tolist() if a.ndim else [a[()]], b.tolist() if a.ndim else [b[()]], ".items"))
    else:
        assert _octets(a) == _octets(b), f"{path}: the contents changed"
    return parts


def _octets(array: Any) -> bytes:
    octets = np.asarray(array).tobytes()
    if array.dtype in (np.longdouble, np.clongdouble) and np.finfo(np.longdouble).nmant == 63:
        rows = np.frombuffer(octets, "u1").reshape(-1, np.dtype(np.longdouble).itemsize)
        return rows[:, :10].tobytes()  # the rest of a long double is padding, and anything
    return octets


def _key(value: Any) -> tuple[str, str]:
    return type(value).__qualname__, repr(value)


__all__ = ["assert_kept", "round_trip", "same"]
