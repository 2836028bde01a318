"""Constructors of the builtin types and the standard library.

A plain value (a date, a number) is made here, by our own names and of checked parts; what holds others becomes a node.
"""

from __future__ import annotations

import datetime as dt
import decimal
import fractions
import pathlib
import uuid
from collections.abc import Callable
from typing import Any

from keepfit.errors import InvalidStateError
from keepfit.graph import Node
from keepfit.pickles.reading import Maker, Reader, no_more, state_of, text_of
from keepfit.pickles.values import Elements, Instance, Mapping

__all__ = ["MAKERS"]

_ENUMS = ("http.HTTPMethod", "http.HTTPStatus", "inspect._ParameterKind", "re.RegexFlag", "uuid.SafeUUID")
_NAMED_TUPLES = (
    "difflib.Match", "functools._CacheInfo", "inspect.ArgInfo", "inspect.FullArgSpec",
    "urllib.parse.DefragResult", "urllib.parse.ParseResult", "urllib.parse.SplitResult",
)  # fmt: skip
_PATHS = ("PosixPath", "PurePosixPath", "PureWindowsPath", "WindowsPath")
_DIGITS_MAX = 4300


def _args(record: Instance, *counts: int) -> tuple[Any, ...]:
    if len(record.args) not in counts:
        raise InvalidStateError(f"{record.name} has {len(record.args)} arguments, as Python never writes it")
    return record.args


def _plain(make: Callable[..., Any], *kinds: tuple[type, ...], least: int | None = None) -> Maker:
    """A value of our own `make`, from arguments of these types; the last ones may be missing."""
    counts = tuple(range(len(kinds) if least is None else least, len(kinds) + 1))

    def build(reader: Reader, record: Instance) -> Any:
        no_more(record, state=record.state is None)
        args = _args(record, *counts)
        return make(*(reader.live(value, *types) for value, types in zip(args, kinds, strict=False)))

    return build


def _encode(reader: Reader, record: Instance) -> bytes:
    """``_codecs.encode(text, 'latin1')``: how protocols below 3 spell bytes."""
    no_more(record)
    text, codec = _args(record, 2)
    text_of(codec, "latin1", "latin-1")
    return text_of(text).encode("latin-1")


def _bytearray(reader: Reader, record: Instance) -> bytearray:
    no_more(record, state=record.state is None)
    args = _args(record, 0, 1, 2)
    if not args:
        return bytearray()
    if len(args) == 2:
        text_of(args[1], "latin1", "latin-1")
        return bytearray(text_of(args[0]).encode("latin-1"))
    return bytearray(reader.live(args[0], bytes))


def _no_bytes(reader: Reader, record: Instance) -> bytes:
    no_more(record)
    _args(record, 0)
    return b""


def _elements(kind: str) -> Maker:
    def build(reader: Reader, record: Instance) -> Node:
        no_more(record, state=record.state is None)
        args = _args(record, 0, 1)
        if args and type(args[0]) not in (list, tuple, Elements):
            raise InvalidStateError(f"a {kind} is made of a list")
        items = args[0] if type(args[0] if args else ()) in (list, tuple) else args[0].items if args else []
        return Node(kind, items=list(items))

    return build


def _slice(reader: Reader, record: Instance) -> Node:
    no_more(record)
    return Node("slice", dict(zip(("start", "stop", "step"), _args(record, 3), strict=True)))


def _mapping(reader: Reader, record: Instance) -> Node:
    """OrderedDict and Counter: their entries follow, or are the argument."""
    no_more(record, state=record.state is None, entries=True)
    args = _args(record, 0, 1)
    given = args[0] if args else Mapping([], [], 0)
    if type(given) is list and all(type(pair) in (list, tuple) and len(pair) == 2 for pair in given):
        given = Mapping([pair[0] for pair in given], [pair[1] for pair in given], 0)
    if type(given) is not Mapping:
        raise InvalidStateError(f"{record.name} is made of something else than a dict")
    more = record.entries or Mapping([], [], 0)
    return Node(record.name, keys=given.keys + more.keys, items=given.items + more.items)


def _default_dict(reader: Reader, record: Instance) -> Node:
    no_more(record, state=record.state is None, entries=True)
    args = _args(record, 0, 1)
    entries = record.entries or Mapping([], [], 0)
    state = {"default_factory": args[0] if args else None}
    return Node("collections.defaultdict", state, keys=entries.keys, items=entries.items)


def _deque(reader: Reader, record: Instance) -> Node:
    no_more(record, state=record.state is None, items=True)
    args = _args(record, 0, 1, 2)
    if args and (type(args[0]) not in (list, tuple) or args[0]):
        raise InvalidStateError("a deque is begun empty")
    maxlen = reader.live(args[1], int, type(None)) if len(args) == 2 else None
    return Node("collections.deque", {"maxlen": maxlen}, items=record.items)


def _date(reader: Reader, value: Any, size: int) -> bytes:
    """The octets of a date; a text of latin-1 where Python 2 wrote it."""
    found = reader.live(value, bytes, str)
    octets: bytes = found.encode("latin-1") if type(found) is str else found
    if len(octets) != size:
        raise InvalidStateError(f"a date or time of {len(octets)} bytes")
    return octets


def _moment(make: Any, size: int) -> Maker:
    def build(reader: Reader, record: Instance) -> Any:
        no_more(record)
        args = _args(record, 1, 2)
        zone = [reader.live(args[1], dt.timezone, *_zone_types())] if len(args) == 2 else []
        return make(_date(reader, args[0], size), *zone)

    return build


def _zone_types() -> tuple[type, ...]:
    import zoneinfo

    return (zoneinfo.ZoneInfo,)


def _day(reader: Reader, record: Instance) -> dt.date:
    no_more(record)
    return dt.date(_date(reader, _args(record, 1)[0], 4))  # type: ignore[call-arg, arg-type]


def _zone(reader: Reader, record: Instance) -> Any:
    """``ZoneInfo._unpickle(key, from_cache)``; only a key that the codec would take is looked up."""
    from keepfit.codecs.codec import Building, find_codec

    no_more(record)
    key, cached = _args(record, 2)
    codec = find_codec("zoneinfo.ZoneInfo")
    assert codec is not None
    return codec.build(Node("zoneinfo.ZoneInfo", {"key": key, "cached": bool(cached)}), Building())


def _uuid(reader: Reader, record: Instance) -> uuid.UUID:
    no_more(record, state=True)
    _args(record, 0)
    state = state_of(record)
    if not state.keys() <= {"int", "is_safe"}:
        raise InvalidStateError("a UUID has a number only")
    safe = reader.live(state["is_safe"], uuid.SafeUUID) if "is_safe" in state else uuid.SafeUUID.unknown
    return uuid.UUID(int=reader.live(state["int"], int), is_safe=safe)


def _safe(value: Any) -> uuid.SafeUUID:
    return uuid.SafeUUID(value)


def _path(name: str) -> Maker:
    def build(reader: Reader, record: Instance) -> Node:
        no_more(record)
        pure = pathlib.PureWindowsPath if "Windows" in name else pathlib.PurePosixPath
        return Node(f"pathlib.{name}", {"path": str(pure(*map(text_of, record.args)))})

    return build


def _partial(reader: Reader, record: Instance) -> Node:
    no_more(record, state=True)
    state = record.state
    if type(state) is not tuple or len(state) != 4:
        raise InvalidStateError("the state of a partial has four parts")
    function, args, keywords, attributes = state
    fields = {"func": function, "args": args, "keywords": Mapping([], [], 0) if keywords is None else keywords}
    if attributes is not None:
        fields["attributes"] = attributes
    return Node("functools.partial", fields)


def _namespace(reader: Reader, record: Instance) -> Node:
    no_more(record, state=True)
    _args(record, 0)
    attributes = state_of(record, required=False)
    return Node("types.SimpleNamespace", keys=list(attributes), items=list(attributes.values()))


def _pattern(reader: Reader, record: Instance) -> Node:
    no_more(record)
    pattern, flags = _args(record, 2)
    return Node("re.Pattern", {"pattern": pattern, "flags": flags})


def _item_getter(reader: Reader, record: Instance) -> Node:
    no_more(record)
    return Node("operator.itemgetter", items=list(record.args))


def _enum(reader: Reader, record: Instance) -> Node:
    no_more(record)
    return Node(record.name, {"value": _args(record, 1)[0]})


def _named_tuple(reader: Reader, record: Instance) -> Node:
    no_more(record)
    return Node(record.name, items=list(record.args))


def _decimal(text: str) -> decimal.Decimal:
    if len(text) > _DIGITS_MAX:
        raise InvalidStateError(f"a decimal number of {len(text):,} digits")
    return decimal.Decimal(text)


def _fraction(numerator: int | str, denominator: int = 1) -> fractions.Fraction:
    if type(numerator) is str and (len(numerator) > _DIGITS_MAX or "e" in numerator.lower()):
        raise InvalidStateError("a fraction is spelled as no fraction is")
    return fractions.Fraction(numerator) / denominator


_INT, _NUMBER = (int,), (int, float)
_OPTIONAL_INT = (int, type(None))

MAKERS: dict[str, Maker] = {
    "_codecs.encode": _encode,
    "builtins.bytearray": _bytearray,
    "builtins.bytes": _no_bytes,
    "builtins.complex": _plain(complex, (float,), (float,)),
    "builtins.frozenset": _elements("frozenset"),
    "builtins.range": _plain(range, _INT, _INT, _INT),
    "builtins.set": _elements("set"),
    "builtins.slice": _slice,
    "collections.Counter": _mapping,
    "collections.OrderedDict": _mapping,
    "collections.defaultdict": _default_dict,
    "collections.deque": _deque,
    "datetime.date": _day,
    "datetime.datetime": _moment(dt.datetime, 10),
    "datetime.time": _moment(dt.time, 6),
    "datetime.timedelta": _plain(dt.timedelta, _INT, _INT, _INT),
    "datetime.timezone": _plain(dt.timezone, (dt.timedelta,), (str,), least=1),
    "decimal.Decimal": _plain(_decimal, (str,)),
    "fractions.Fraction": _plain(_fraction, (int, str), _INT, least=1),
    "functools.partial": _partial,
    "operator.itemgetter": _item_getter,
    "re._compile": _pattern,
    "types.SimpleNamespace": _namespace,
    "uuid.SafeUUID": _plain(_safe, _OPTIONAL_INT),
    "uuid.UUID": _uuid,
    "zoneinfo.ZoneInfo._unpickle": _zone,
    **{f"pathlib.{name}": _path(name) for name in _PATHS},
    **{f"pathlib._local.{name}": _path(name) for name in _PATHS},  # where Python 3.13 defines them
    **{name: _enum for name in _ENUMS if name != "uuid.SafeUUID"},
    **dict.fromkeys(_NAMED_TUPLES, _named_tuple),
}
