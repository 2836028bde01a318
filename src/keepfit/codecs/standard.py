"""The standard library: collections, dates, exact numbers, paths, partial functions."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import fractions
import functools
import operator
import pathlib
import re
import types
import uuid
import zoneinfo
from importlib import import_module
from typing import Any

from keepfit.codecs import policy
from keepfit.codecs.builtin import fill_mapping
from keepfit.codecs.codec import Building, Codec, CyclicCodec, Reducing, check_fields
from keepfit.codecs.once import once
from keepfit.errors import InvalidStateError, UnsupportedError, UntrustedError
from keepfit.graph import Node

__all__ = ["check_attribute_names", "find"]

#: Longer parts would make reducing a fraction slow: the time grows with the square of the length.
_FRACTION_BITS = 2**14
#: Calling and freeing a partial of a partial nests on the C stack.
_PARTIAL_DEPTH = 100
_ZONE_KEY = re.compile(r"[A-Za-z0-9_+-]{1,64}(/[A-Za-z0-9_+-]{1,64}){0,3}", re.ASCII)
_DECIMAL = re.compile(r"-?(\d+(\.\d*)?(E[+-]\d{1,19})?|\.\d+(E[+-]\d{1,19})?|Infinity|s?NaN\d*)", re.ASCII)
_PATTERN_FLAGS = int(re.I | re.L | re.M | re.S | re.U | re.X | re.A)


class _OrderedDict(CyclicCodec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        _refuse_attributes(obj)
        return Node("collections.OrderedDict", items=list(obj.values()), keys=list(obj))

    def new(self, node: Node, context: Building) -> Any:
        return collections.OrderedDict()

    def fill(self, obj: Any, node: Node, context: Building) -> None:
        check_fields(node)
        fill_mapping(obj, node, context)


class _Counter(CyclicCodec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        _refuse_attributes(obj)
        return Node("collections.Counter", items=list(obj.values()), keys=list(obj))

    def new(self, node: Node, context: Building) -> Any:
        return collections.Counter()

    def fill(self, obj: Any, node: Node, context: Building) -> None:
        check_fields(node)
        plain: dict[Any, Any] = {}
        fill_mapping(plain, node, context)
        dict.update(obj, plain)  # Counter.update would count the keys


class _DefaultDict(CyclicCodec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        state = {"default_factory": obj.default_factory}
        return Node("collections.defaultdict", state, items=list(obj.values()), keys=list(obj))

    def new(self, node: Node, context: Building) -> Any:
        return collections.defaultdict()

    def fill(self, obj: Any, node: Node, context: Building) -> None:
        if node.state.keys() != {"default_factory"}:
            raise InvalidStateError("a defaultdict has the field default_factory")
        factory = node.state["default_factory"]
        if factory is not None and not callable(factory):
            raise InvalidStateError("the default_factory of a defaultdict can be called, or is None")
        fill_mapping(obj, node, context)
        obj.default_factory = factory


class _Deque(CyclicCodec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node("collections.deque", {"maxlen": obj.maxlen}, items=list(obj))

    def new(self, node: Node, context: Building) -> Any:
        (maxlen,) = check_fields(node, maxlen=(int, type(None)))
        if maxlen is not None and not maxlen >= 0:
            raise InvalidStateError("the maxlen of a deque is not negative")
        return collections.deque(maxlen=maxlen)

    def fill(self, obj: Any, node: Node, context: Building) -> None:
        if obj.maxlen is not None and len(node.items) > obj.maxlen:
            raise InvalidStateError("a deque holds at most maxlen items")
        obj.extend(node.items)


class _Date(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node("datetime.date", {"value": obj.isoformat()})

    def build(self, node: Node, context: Building) -> Any:
        (text,) = check_fields(node, value=str)
        return _same_text(dt.date.fromisoformat(text), text)


class _Time(Codec):
    """A time of day, or a date with one: as ISO 8601 without offset; the time zone is a child."""

    def __init__(self, cls: type) -> None:
        self._cls: Any = cls
        self._name = f"datetime.{cls.__name__}"

    def reduce(self, obj: Any, context: Reducing) -> Node:
        text = obj.replace(tzinfo=None).isoformat()
        return Node(self._name, {"value": text, "fold": obj.fold, "tzinfo": obj.tzinfo})

    def build(self, node: Node, context: Building) -> Any:
        if node.state.keys() != {"value", "fold", "tzinfo"}:
            raise InvalidStateError(f"a {node.type} has the fields value, fold and tzinfo")
        text, fold, zone = node.state["value"], node.state["fold"], node.state["tzinfo"]
        if type(text) is not str or type(fold) is not int or fold not in (0, 1):
            raise InvalidStateError(f"a {node.type} has an ISO text as value and a fold of 0 or 1")
        if zone is not None and not isinstance(zone, dt.tzinfo):
            raise InvalidStateError(f"the tzinfo of a {node.type} is a time zone or None")
        moment = self._cls.fromisoformat(text)
        if moment.tzinfo is not None:
            raise InvalidStateError(f"the value of a {node.type} has no offset")
        return _same_text(moment, text).replace(fold=fold, tzinfo=zone)


class _TimeDelta(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        state = {"days": obj.days, "seconds": obj.seconds, "microseconds": obj.microseconds}
        return Node("datetime.timedelta", state)

    def build(self, node: Node, context: Building) -> Any:
        return _delta(*check_fields(node, days=int, seconds=int, microseconds=int))


class _TimeZone(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        offset, *name = obj.__getinitargs__()
        state = {"days": offset.days, "seconds": offset.seconds, "microseconds": offset.microseconds}
        return Node("datetime.timezone", {**state, "name": name[0] if name else None})

    def build(self, node: Node, context: Building) -> Any:
        text = (str, type(None))
        days, seconds, microseconds, name = check_fields(node, days=int, seconds=int, microseconds=int, name=text)
        offset = _delta(days, seconds, microseconds)
        return dt.timezone(offset) if name is None else dt.timezone(offset, name)


class _ZoneInfo(Codec):
    """A time zone by its key in the IANA database, which the running machine must have."""

    def reduce(self, obj: Any, context: Reducing) -> Node:
        if obj.key is None or not _ZONE_KEY.fullmatch(obj.key):
            raise UnsupportedError("a time zone can be kept only by its key in the IANA database; use ZoneInfo(key)")
        return Node("zoneinfo.ZoneInfo", {"key": obj.key, "cached": bool(obj.__reduce__()[1][1])})

    def build(self, node: Node, context: Building) -> Any:
        key, cached = check_fields(node, key=str, cached=bool)
        if not _ZONE_KEY.fullmatch(key):
            raise InvalidStateError(f"{key[:80]!r} is not the key of a time zone")
        try:
            return zoneinfo.ZoneInfo(key) if cached else zoneinfo.ZoneInfo.no_cache(key)
        except (OSError, ValueError, zoneinfo.ZoneInfoNotFoundError) as error:
            message = f"this machine has no time zone {key!r} ({error}); `pip install tzdata` brings them all"
            raise UnsupportedError(message) from None


class _Decimal(Codec):
    """A decimal number by its scientific text, which the General Decimal Arithmetic specification makes exact."""

    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node("decimal.Decimal", {"value": str(obj).replace("e", "E")})  # the context may ask for small letters

    def build(self, node: Node, context: Building) -> Any:
        (text,) = check_fields(node, value=str)
        if not _DECIMAL.fullmatch(text):
            raise InvalidStateError("the value of a Decimal is not a decimal number")
        with decimal.localcontext(decimal.Context(capitals=1, traps=[])):
            return _same_text(decimal.Decimal(text), text, str)


class _Fraction(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        parts = (obj.numerator, obj.denominator)
        if any(type(part) is not int or part.bit_length() > _FRACTION_BITS for part in parts):
            raise UnsupportedError(f"a Fraction of numbers longer than {_FRACTION_BITS} bits cannot be kept")
        return Node("fractions.Fraction", {"numerator": parts[0], "denominator": parts[1]})

    def build(self, node: Node, context: Building) -> Any:
        numerator, denominator = check_fields(node, numerator=int, denominator=int)
        if max(numerator.bit_length(), denominator.bit_length()) > _FRACTION_BITS or denominator < 1:
            raise InvalidStateError(f"a Fraction has a positive denominator and at most {_FRACTION_BITS} bits")
        value = fractions.Fraction(numerator, denominator)
        if value.denominator != denominator:
            raise InvalidStateError("a Fraction is kept in its lowest terms")
        return value


class _Uuid(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node("uuid.UUID", {"hex": obj.hex, "is_safe": obj.is_safe.name})

    def build(self, node: Node, context: Building) -> Any:
        digits, safe = check_fields(node, hex=str, is_safe=str)
        if not re.fullmatch("[0-9a-f]{32}", digits):
            raise InvalidStateError("a UUID has 32 hexadecimal digits")
        return uuid.UUID(digits, is_safe=uuid.SafeUUID[safe])


class _Path(Codec):
    """A path as a piece of text: nothing is looked up on disk."""

    def __init__(self, name: str) -> None:
        self._name = name

    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node(f"pathlib.{self._name}", {"path": str(obj)})

    def build(self, node: Node, context: Building) -> Any:
        (text,) = check_fields(node, path=str)
        try:
            path = getattr(pathlib, self._name)(text)
        except NotImplementedError:
            message = f"a {self._name} cannot be made on this system; its writer can keep a Pure{self._name} instead"
            raise UnsupportedError(message) from None
        return _same_text(path, text, str)


class _Partial(Codec):
    """A function with arguments: its function is a child like any other, so it is held to the same closed table."""

    def reduce(self, obj: Any, context: Reducing) -> Node:
        attributes = vars(obj)
        state = {"func": obj.func, "args": obj.args, "keywords": obj.keywords}
        if attributes:
            check_attribute_names(attributes, UnsupportedError)
            state["attributes"] = attributes
        _check_partial_depth(obj.func, UnsupportedError)
        try:
            policy.check_bound(obj.func, obj.args)
            policy.check_excess("functools.partial", obj.keywords)
        except InvalidStateError as error:
            raise UnsupportedError(f"{error.message}, so load would refuse it; bind the rest without it") from None
        return Node("functools.partial", state)

    def build(self, node: Node, context: Building) -> Any:
        fields = {"func", "args", "keywords"}
        if not fields <= node.state.keys() <= fields | {"attributes"}:
            raise InvalidStateError("a partial has the fields func, args, keywords and perhaps attributes")
        func, args, keywords = (node.state[name] for name in ("func", "args", "keywords"))
        if not callable(func) or type(args) is not tuple or type(keywords) is not dict:
            raise InvalidStateError("a partial has a callable, a tuple of arguments and a dict of keywords")
        _check_partial_depth(func, InvalidStateError)
        policy.check_bound(func, args)
        attributes = node.state.get("attributes")
        if type(attributes) not in (dict, type(None)):
            raise InvalidStateError("the attributes of a partial are a dict")
        # Copies of its own, so that what was checked stays so; one for all partials that name the same.
        keywords = once(context, ("keywords", id(keywords), len(keywords)), lambda: _keywords(keywords, context))
        if attributes is not None:
            attributes = once(
                context, ("attributes", id(attributes), len(attributes)), functools.partial(_attributes, attributes)
            )
        made: Any = functools.partial(func)
        made.__setstate__((func, args, keywords, attributes))  # the constructor would merge a partial of a partial
        return made


def _keywords(given: dict[Any, Any], context: Building) -> dict[str, Any]:
    if not all(type(name) is str for name in given):
        raise InvalidStateError("the keywords of a partial are strings")
    return policy.apply("functools.partial", given.copy(), context)


def _attributes(given: dict[Any, Any]) -> dict[str, Any]:
    check_attribute_names(given, InvalidStateError)
    return given.copy()


class _Pattern(Codec):
    """A compiled regular expression. A stranger's may run for ever, so building one asks for the caller's word."""

    def reduce(self, obj: Any, context: Reducing) -> Node:
        if obj.flags & ~_PATTERN_FLAGS:
            raise UnsupportedError("a regular expression compiled with re.DEBUG cannot be kept; compile it without")
        if type(obj.pattern) not in (str, bytes):
            raise UnsupportedError("a regular expression is kept when its pattern is a str or bytes")
        return Node("re.Pattern", {"pattern": obj.pattern, "flags": obj.flags})

    def build(self, node: Node, context: Building) -> Any:
        pattern, flags = check_fields(node, pattern=(str, bytes), flags=int)
        if "patterns" not in context.allow:
            raise UntrustedError(
                "the file holds a compiled regular expression, which can be made to run for ever. "
                "If you know and trust who wrote it, pass allow={'patterns'}"
            )
        if not 0 <= flags <= _PATTERN_FLAGS or flags & ~_PATTERN_FLAGS:
            raise InvalidStateError("a regular expression has flags that none can have")
        try:
            compiled = re.compile(pattern, flags)
        except re.error as error:
            raise InvalidStateError(f"a regular expression cannot be compiled: {error}") from None
        if compiled.flags != flags:
            raise InvalidStateError("the flags of a regular expression do not fit it")
        return compiled


class _Namespace(CyclicCodec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        attributes = vars(obj)
        check_attribute_names(attributes, UnsupportedError)
        return Node("types.SimpleNamespace", items=list(attributes.values()), keys=list(attributes))

    def new(self, node: Node, context: Building) -> Any:
        return types.SimpleNamespace()

    def fill(self, obj: Any, node: Node, context: Building) -> None:
        check_fields(node)
        attributes: dict[Any, Any] = {}
        fill_mapping(attributes, node, context)
        check_attribute_names(attributes, InvalidStateError)
        vars(obj).update(attributes)


class _ItemGetter(Codec):
    """``operator.itemgetter``. Its sister ``attrgetter`` is not in the table: attributes can lead to code."""

    _KEYS = (int, str, bytes, bool, float, type(None), tuple)

    def reduce(self, obj: Any, context: Reducing) -> Node:
        keys = obj.__reduce__()[1]
        if not all(type(key) in self._KEYS for key in keys):
            raise UnsupportedError("an itemgetter is kept when its items are numbers, strings, bytes or tuples")
        return Node("operator.itemgetter", items=list(keys))

    def build(self, node: Node, context: Building) -> Any:
        check_fields(node)
        if not node.items or not all(type(key) in self._KEYS for key in node.items):
            raise InvalidStateError("the items of an itemgetter are numbers, strings, bytes or tuples")
        return operator.itemgetter(*node.items)


class _Enum(Codec):
    """A member of an enumeration of the standard library, by its value."""

    def __init__(self, name: str) -> None:
        self._name = name

    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node(self._name, {"value": obj.value})

    def build(self, node: Node, context: Building) -> Any:
        (value,) = check_fields(node, value=(int, str, type(None)))
        return _named(self._name)(value)


class _NamedTuple(Codec):
    """A named tuple of the standard library."""

    def __init__(self, name: str) -> None:
        self._name = name

    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node(self._name, items=list(obj))

    def build(self, node: Node, context: Building) -> Any:
        check_fields(node)
        return _named(self._name)._make(node.items)


_ENUMS = ("http.HTTPMethod", "http.HTTPStatus", "inspect._ParameterKind", "re.RegexFlag", "uuid.SafeUUID")
_NAMED_TUPLES = (
    "difflib.Match", "functools._CacheInfo", "inspect.ArgInfo", "inspect.FullArgSpec",
    "urllib.parse.DefragResult", "urllib.parse.ParseResult", "urllib.parse.SplitResult",
)  # fmt: skip
_PATHS = ("PosixPath", "PurePosixPath", "PureWindowsPath", "WindowsPath")

_CODECS: dict[str, Codec] = {
    "collections.Counter": _Counter(),
    "collections.OrderedDict": _OrderedDict(),
    "collections.defaultdict": _DefaultDict(),
    "collections.deque": _Deque(),
    "datetime.date": _Date(),
    "datetime.datetime": _Time(dt.datetime),
    "datetime.time": _Time(dt.time),
    "datetime.timedelta": _TimeDelta(),
    "datetime.timezone": _TimeZone(),
    "decimal.Decimal": _Decimal(),
    "fractions.Fraction": _Fraction(),
    "functools.partial": _Partial(),
    "operator.itemgetter": _ItemGetter(),
    "re.Pattern": _Pattern(),
    "types.SimpleNamespace": _Namespace(),
    "uuid.UUID": _Uuid(),
    "zoneinfo.ZoneInfo": _ZoneInfo(),
    **{f"pathlib.{name}": _Path(name) for name in _PATHS},
    **{f"pathlib._local.{name}": _Path(name) for name in _PATHS},  # where Python 3.13 defines them
    **{name: _Enum(name) for name in _ENUMS},
    **{name: _NamedTuple(name) for name in _NAMED_TUPLES},
}


def find(name: str) -> Codec | None:
    """The codec of a type of the standard library."""
    return _CODECS.get(name)


def check_attribute_names(attributes: Any, error: type[InvalidStateError] | type[UnsupportedError]) -> None:
    """Hold names of free attributes to identifiers without double underscores at both ends.

    NumPy asks *instances* for ``__array_interface__``, and reads memory at the address it finds there.

    Raises
    ------
    InvalidStateError or UnsupportedError
        As asked for.
    """
    harmless = {"__doc__", "__module__", "__name__", "__qualname__", "__wrapped__"}
    for name in attributes:
        if type(name) is not str or (name.startswith("__") and name.endswith("__") and name not in harmless):
            raise error(f"an object cannot be kept with an attribute named {name!r:.80}")


def _named(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)


def _refuse_attributes(obj: Any) -> None:
    if vars(obj):
        raise UnsupportedError(
            f"a {type(obj).__name__} with attributes of its own ({', '.join(map(str, vars(obj)))}) cannot be kept"
        )


def _same_text(value: Any, text: str, spell: Any = operator.methodcaller("isoformat")) -> Any:
    if spell(value) != text:
        raise InvalidStateError(f"{text[:80]!r} is not how a {type(value).__name__} is spelled")
    return value


def _delta(days: int, seconds: int, microseconds: int) -> dt.timedelta:
    if not 0 <= seconds < 86_400 or not 0 <= microseconds < 1_000_000:
        raise InvalidStateError("the seconds or microseconds of a time difference are out of range")
    return dt.timedelta(days, seconds, microseconds)


def _check_partial_depth(func: Any, error: type[InvalidStateError] | type[UnsupportedError]) -> None:
    for _ in range(_PARTIAL_DEPTH):
        if type(func) is not functools.partial:
            return
        func = func.func
    raise error(f"partial functions are nested more than {_PARTIAL_DEPTH} deep")
