"""The builtin types, and the scalars that do not stand inline in a node."""

from __future__ import annotations

import re
import struct
from collections import Counter
from operator import countOf
from typing import Any

import numpy as np

from keepfit.codecs.code import CODE
from keepfit.codecs.codec import Building, Codec, CyclicCodec, Reducing, check_fields, rows_of
from keepfit.codecs.functions import CLASS, FUNCTION
from keepfit.codecs.long_lists import LONG_MIN, as_array, from_array
from keepfit.codecs.once import check_used_once
from keepfit.errors import InvalidStateError
from keepfit.graph import INLINE_TYPES, Node

__all__ = ["check_equal_hashes", "dict_node", "fill_mapping", "find", "ordered"]


class _List(CyclicCodec):
    groups = True

    def reduce(self, obj: Any, context: Reducing) -> Node:
        array = None
        if len(obj) >= LONG_MIN:
            _, kind = context.kinds.get(id(obj), (obj, None))
            array = as_array(obj, kind)
        return Node("list", items=obj) if array is None else Node("list", array=array)

    def new(self, node: Node, context: Building) -> Any:
        return []

    def fill(self, obj: Any, node: Node, context: Building) -> None:
        check_fields(node)
        if node.array is not None and node.items:
            raise InvalidStateError("a list stands as its items or as an array")
        obj.extend(node.items if node.array is None else from_array(node.array))

    def build_group(self, group: Node, context: Building) -> list[Any]:
        return list(map(list, rows_of(group))) if group.array is None else super().build_group(group, context)


class _Tuple(Codec):
    groups = True

    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node("tuple", items=obj)

    def build(self, node: Node, context: Building) -> Any:
        check_fields(node)
        return tuple(node.items)

    def build_group(self, group: Node, context: Building) -> list[Any]:
        return list(rows_of(group)) if group.array is None else super().build_group(group, context)


class _Dict(CyclicCodec):
    groups = True

    def reduce(self, obj: Any, context: Reducing) -> Node:
        return dict_node(list(obj), list(obj.values()), context)

    def new(self, node: Node, context: Building) -> Any:
        return {}

    def fill(self, obj: Any, node: Node, context: Building) -> None:
        check_fields(node)
        fill_mapping(obj, node, context)

    def build_group(self, group: Node, context: Building) -> list[Any]:
        if group.array is not None:
            return super().build_group(group, context)
        return [dict(zip(group.state, row, strict=True)) for row in rows_of(group)]


class _LongDict(Codec):
    """A dict of many strings to plain values: two lists, which are arrays where they are of one type."""

    groups = True

    def build(self, node: Node, context: Building) -> Any:
        keys, values = check_fields(node, keys=list, values=list)
        if set(map(type, keys)) != {str} or len(keys) != len(values):
            raise InvalidStateError("a dict of two lists has text for keys, and as many values")
        check_used_once(keys, context)
        built = dict(zip(keys, values, strict=True))
        if len(built) != len(keys):
            raise InvalidStateError("two keys of a mapping are equal")
        return built


class _Set(CyclicCodec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node("set", items=ordered(obj))

    def new(self, node: Node, context: Building) -> Any:
        return set()

    def fill(self, obj: Any, node: Node, context: Building) -> None:
        check_fields(node)
        check_equal_hashes(node.items, context)
        obj.update(node.items)
        _check_distinct(obj, node)


class _FrozenSet(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node("frozenset", items=ordered(obj))

    def build(self, node: Node, context: Building) -> Any:
        check_fields(node)
        check_equal_hashes(node.items, context)
        built = frozenset(node.items)
        _check_distinct(built, node)
        return built


class _Bytes(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node("bytes", array=np.frombuffer(obj, "u1"))

    def build(self, node: Node, context: Building) -> Any:
        check_fields(node)
        return _octets(node)


class _Bytearray(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node("bytearray", array=np.frombuffer(bytes(obj), "u1"))

    def build(self, node: Node, context: Building) -> Any:
        check_fields(node)
        return bytearray(_octets(node))


class _Str(Codec):
    """A string with a lone surrogate, which JSON cannot carry."""

    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node("str", array=np.frombuffer(obj.encode("utf-8", "surrogatepass"), "u1"))

    def build(self, node: Node, context: Building) -> Any:
        check_fields(node)
        return _octets(node).decode("utf-8", "surrogatepass")


class _Int(Codec):
    """An int of more than 64 bits: as hexadecimal digits, which are read in linear time."""

    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node("int", {"hex": f"{obj:x}"})

    def build(self, node: Node, context: Building) -> Any:
        (digits,) = check_fields(node, hex=str)
        if not re.fullmatch("-?[1-9a-f][0-9a-f]*", digits):
            raise InvalidStateError("an int is kept as hexadecimal digits")
        return int(digits, 16)


class _Float(Codec):
    """Infinity and the NaNs, by their bits."""

    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node("float", {"hex": struct.pack(">d", obj).hex()})

    def build(self, node: Node, context: Building) -> Any:
        (digits,) = check_fields(node, hex=str)
        if not re.fullmatch("[0-9a-f]{16}", digits):
            raise InvalidStateError("a float is kept as 16 hexadecimal digits")
        return struct.unpack(">d", bytes.fromhex(digits))[0]


class _Complex(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node("complex", {"real": obj.real, "imag": obj.imag})

    def build(self, node: Node, context: Building) -> Any:
        real, imag = check_fields(node, real=float, imag=float)
        return complex(real, imag)


class _Range(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node("range", {"start": obj.start, "stop": obj.stop, "step": obj.step})

    def build(self, node: Node, context: Building) -> Any:
        return range(*check_fields(node, start=int, stop=int, step=int))


class _Slice(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node("slice", {"start": obj.start, "stop": obj.stop, "step": obj.step})

    def build(self, node: Node, context: Building) -> Any:
        if node.state.keys() != {"start", "stop", "step"}:
            raise InvalidStateError("a slice has the fields start, stop and step")
        return slice(node.state["start"], node.state["stop"], node.state["step"])


class _Ellipsis(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node("ellipsis")

    def build(self, node: Node, context: Building) -> Any:
        return ...


_CODECS: dict[str, Codec] = {
    "builtin_function_or_method": FUNCTION,
    "bytearray": _Bytearray(),
    "bytes": _Bytes(),
    "class": CLASS,
    "code": CODE,
    "complex": _Complex(),
    "dict": _Dict(),
    "ellipsis": _Ellipsis(),
    "float": _Float(),
    "frozenset": _FrozenSet(),
    "function": FUNCTION,
    "int": _Int(),
    "list": _List(),
    "long_dict": _LongDict(),
    "range": _Range(),
    "set": _Set(),
    "slice": _Slice(),
    "str": _Str(),
    "tuple": _Tuple(),
    "type": CLASS,
}


def find(name: str) -> Codec | None:
    """The codec of a builtin type."""
    return _CODECS.get(name)


def dict_node(keys: list[Any], values: list[Any], context: Reducing | None = None) -> Node:
    """The live node of a dict, of lists that nobody else has."""
    if len(keys) < LONG_MIN or countOf(map(type, keys), str) < len(keys):
        return Node("dict", items=values, keys=keys)
    kinds = set(map(type, values))
    if not kinds <= INLINE_TYPES:
        return Node("dict", items=values, keys=keys)
    if context is not None:
        context.kinds[id(keys)] = keys, str
        if len(kinds) == 1:
            context.kinds[id(values)] = values, kinds.pop()
    return Node("long_dict", {"keys": keys, "values": values})


def fill_mapping(obj: Any, node: Node, context: Building) -> None:
    """Put a live node's keys and items into a mapping, under the bounds on hashing."""
    if len(node.keys) != len(node.items):
        raise InvalidStateError("a mapping has as many keys as items")
    check_equal_hashes(node.keys, context)
    obj.update(zip(node.keys, node.items, strict=True))
    if len(obj) != len(node.keys):
        raise InvalidStateError("two keys of a mapping are equal")


def check_equal_hashes(keys: list[Any], context: Building) -> None:
    """Refuse keys made to collide, with which a dict takes quadratic time. The hashes of strings cannot be aimed at."""
    limit = context.limits.equal_hashes
    if len(keys) > limit and set(map(type, keys)) != {str}:
        _, most = Counter(map(hash, keys)).most_common(1)[0]
        if most > limit:
            raise InvalidStateError(f"{most:,} keys or elements share one hash, over the limit of {limit}")


def ordered(elements: Any) -> list[Any]:
    """The elements of a set in an order that is the same in every process."""
    return sorted(elements, key=_order)


def _order(value: Any) -> tuple[str, Any]:
    kind = type(value).__qualname__
    if type(value) is tuple:
        return kind, [_order(item) for item in value]
    if type(value) is frozenset:
        return kind, sorted(map(_order, value))
    return kind, repr(value)


def _octets(node: Node) -> bytes:
    array = node.array
    if array is None or array.dtype != np.uint8 or array.ndim != 1:
        raise InvalidStateError(f"a {node.type} is kept as one row of octets")
    return bytes(array.tobytes())


def _check_distinct(built: Any, node: Node) -> None:
    if len(built) != len(node.items):
        raise InvalidStateError("two elements of a set are equal")
