"""What a codec is, and how the one for a type is found.

A codec turns one type of object into a *live* node (`reduce`) and a live node into an object again (`build`). It sees
Python objects in the node's fields, never refs: `keepfit.codecs.encoding` and `keepfit.codecs.decoding` walk the graph,
without recursion, so a codec is short and adding one is one small file.

Codecs are found by type *name*, so no library is imported before one of its types is met.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from importlib import import_module
from itertools import accumulate, pairwise, repeat
from operator import is_
from typing import Any, NamedTuple, NoReturn, cast

from keepfit.codecs.versions import running_version, short_version
from keepfit.errors import InvalidStateError
from keepfit.graph import LIMITS, Limits, Node

__all__ = [
    "GROUPED_BYTES_MAX",
    "MISNAMED",
    "Building",
    "Codec",
    "CyclicCodec",
    "Reducing",
    "Whole",
    "as_record",
    "check_columns",
    "check_fields",
    "class_name",
    "find_codec",
    "from_record",
    "members_of",
    "note_whole",
    "pieces_of",
    "rows_of",
    "whole_of",
]


@dataclass
class Reducing:
    """What a codec may need to know while objects are taken apart.

    Parameters
    ----------
    allow : collection of str
        The capabilities the caller opened.
    shared : dict
        Values that codecs want to stand once in the graph although they are different objects (structured dtypes).
    kinds : dict of int to (list, type)
        By their ids, long lists that a codec has made, and the one type of what is in each: to look takes a while.
    """

    allow: Collection[str] = frozenset()
    shared: dict[Any, Any] = field(default_factory=dict)
    kinds: dict[int, tuple[list[Any], type]] = field(default_factory=dict)


@dataclass
class Building:
    """What a codec may need to know while objects are built.

    Parameters
    ----------
    versions : mapping of str to str
        The releases of the libraries that wrote the graph.
    trusted : mapping of str to type or callable
        What the caller opened by name.
    allow : collection of str
        The capabilities the caller opened.
    limits : Limits
    changes : list of str
        What was neutralised on the way; `load` warns of them once.
    memo : dict
        What `keepfit.codecs.once` found out about contents while this graph is built.
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    trusted: Mapping[str, Any] = field(default_factory=dict)
    allow: Collection[str] = frozenset()
    limits: Limits = LIMITS
    changes: list[str] = field(default_factory=list)
    memo: dict[Any, Any] = field(default_factory=dict)

    @cached_property
    def is_of_running_release(self) -> bool:
        """Whether the running scikit-learn, but for its third number, is the one that wrote the graph."""
        written, running = self.versions.get("scikit-learn", ""), running_version("scikit-learn")
        return written == running or short_version(written) == short_version(running)


#: A larger array stands alone: to join it to others in a group would be to copy it.
GROUPED_BYTES_MAX = 2**20


class Codec:
    """How one type becomes a node and a node becomes one object again."""

    #: True where an object can be made empty and filled later, so that it may be part of a cycle.
    cyclic = False
    #: True where many objects of the type may stand as one node (`keepfit.graph.Node`, "group").
    groups = False
    #: Fields of a group whose arrays `build_group` takes as `keepfit.codecs.portions.Portions`, because it copies them.
    takes_portions: frozenset[str] = frozenset()

    def reduce(self, obj: Any, context: Reducing) -> Node:
        """A new live node of `obj`. Raises `UnsupportedError` when it cannot be kept exactly.

        The walk makes it the node of the graph: its fields may be the object's own and are not changed, but replaced.
        """
        raise NotImplementedError

    def reduce_group(self, objects: list[Any], context: Reducing) -> Node | None:
        """The live group of objects of one type, every field a column; None where they are to be reduced one by one.

        Codecs that can look at many at once do so. `Node.array` is then `Rows`, of which `Node.lengths` belong to each.
        """
        return None

    def build(self, node: Node, context: Building) -> Any:
        """The object of a live node. Raises `InvalidStateError` when the contents are not what they must be.

        Plain ``TypeError``, ``ValueError`` and their like may escape: the walk turns them into `InvalidStateError`.
        """
        raise NotImplementedError

    def check_again(self, obj: Any, context: Building) -> None:
        """Check an object of a graph with cycles once more, when all of it is built.

        What refers to an object that is built later was checked while that was still empty.
        """

    def leaves_unread(self, field: str) -> bool:
        """Whether building never looks at the contents of an array of floats in this field."""
        return False

    def build_group(self, group: Node, context: Building) -> list[Any]:
        """The objects of a live group, in order. Codecs that can check or build many at once do so."""
        return [self.build(from_record(member), context) for member in members_of(group)]


def members_of(group: Node) -> Iterator[Node]:
    """The live nodes of the members of a live group.

    Raises
    ------
    InvalidStateError
        If the group's array does not have the rows that its members ask for.
    """
    columns = group.columns
    pieces = pieces_of(group.array, group.lengths) if group.lengths else [None] * group.count
    for number in range(group.count):
        state = dict(group.state)
        for name, column in columns.items():
            state[name] = column[number]
        yield Node(group.type, state, array=pieces[number])


def pieces_of(array: Any, lengths: list[int]) -> list[Any]:
    """The rows of a group's array that belong to each member.

    Raises
    ------
    InvalidStateError
        If the array does not have the rows that the members ask for.
    """
    if array.ndim < 1 or min(lengths) < 0 or sum(lengths) != len(array):
        raise InvalidStateError("the lengths of a group do not add up to its array")
    return [array[start:stop] for start, stop in pairwise(accumulate(lengths, initial=0))]


class Whole(NamedTuple):
    """An array whose rows, in order and without gaps, are several arrays.

    Attributes
    ----------
    array : ndarray
    pieces : list of ndarray
    lengths : list of int
        How many rows each has.
    """

    array: Any
    pieces: list[Any]
    lengths: list[int]


def note_whole(whole: Whole, context: Building) -> None:
    """Note that arrays were built from one, for `whole_of`."""
    context.memo["whole", id(whole.pieces[0])] = whole  # an id is only good while its object lives


def whole_of(arrays: list[Any], context: Building) -> Whole | None:
    """The array that these are the rows of, where they were built from one."""
    whole: Whole | None = context.memo.get(("whole", id(arrays[0])))
    if whole is None or len(whole.pieces) != len(arrays) or not all(map(is_, whole.pieces, arrays)):
        return None
    return whole


#: Containers that stand in a group as records: their items are the fields, by place or by key.
_RECORDS = frozenset({"dict", "list", "tuple"})
_RECORD_FIELDS_MAX = 64


def as_record(live: Node) -> Node:
    """A live node of a short list, tuple, or dict with string keys as fields, so that like ones can form a group."""
    if live.type not in _RECORDS or not 0 < len(live.items) <= _RECORD_FIELDS_MAX:
        return live
    if live.type != "dict":
        return Node(live.type, {str(place): item for place, item in enumerate(live.items)})
    if set(map(type, live.keys)) != {str} or not all(map(str.isascii, live.keys)):
        return live
    return Node(live.type, dict(zip(live.keys, live.items, strict=True)))


def from_record(node: Node) -> Node:
    """The live node that `as_record` was given.

    Raises
    ------
    InvalidStateError
        If the fields of a list or tuple are not its places.
    """
    if node.type not in _RECORDS or node.array is not None:
        return node
    if node.type == "dict":
        return Node(node.type, keys=list(node.state), items=list(node.state.values()))
    _check_places(node)
    return Node(node.type, items=list(node.state.values()))


def rows_of(group: Node) -> Iterator[tuple[Any, ...]]:
    """The values of each member of a live group of records, in the order of its fields.

    Raises
    ------
    InvalidStateError
        If the fields of a list or tuple are not its places.
    """
    if group.type != "dict":
        _check_places(group)
    return zip(
        *(group.columns.get(name) or repeat(value, group.count) for name, value in group.state.items()), strict=True
    )


def _check_places(record: Node) -> None:
    if list(record.state) != [str(place) for place in range(len(record.state))]:
        raise InvalidStateError(f"the fields of a {record.type} in a group are its places")


class CyclicCodec(Codec):
    """A codec of a mutable type: built in two steps, so that cycles close."""

    cyclic = True

    def new(self, node: Node, context: Building) -> Any:
        """An empty object. `node` is not live: only its type, and what stands inline in its state, may be used."""
        raise NotImplementedError

    def fill(self, obj: Any, node: Node, context: Building) -> None:
        """Give `obj` the contents of the live node."""
        raise NotImplementedError

    def build(self, node: Node, context: Building) -> Any:
        obj = self.new(node, context)
        self.fill(obj, node, context)
        return obj


#: The module of codecs for each library, by the first part of a type's name. Each has a function ``find(name)``.
_MODULES = {
    "numpy": "keepfit.codecs.arrays",
    "numpy.random": "keepfit.codecs.random",
    "scipy": "keepfit.codecs.scientific",
    "sklearn": "keepfit.codecs.estimators",
    "keepfit": "keepfit.codecs.estimators",
    "pandas": "keepfit.codecs.frames",
}
_STANDARD = "keepfit.codecs.standard"
_BUILTIN = "keepfit.codecs.builtin"


@lru_cache(maxsize=4096)
def find_codec(name: str) -> Codec | None:
    """The codec in keepfit's closed tables for a type name, or None."""
    top, dot, _ = name.partition(".")
    if name.startswith("numpy.random."):
        top = "numpy.random"
    module = _MODULES.get(top, _STANDARD) if dot else _BUILTIN
    find: Callable[[str], Codec | None] = import_module(module).find
    return find(name)


#: Compiled modules that call themselves by another name than they are imported by (scikit-learn 1.6 and 1.7).
MISNAMED = {"_loss": "sklearn._loss._loss"}


@cache
def _class_name(cls: Hashable) -> str:
    """The name a class goes by in a graph: module and qualified name, or the bare name of a builtin.

    Classes of scikit-learn go by their public name, since its private modules are renamed between releases.
    """
    assert isinstance(cls, type)
    module, name = cls.__module__, cls.__qualname__
    if module == "builtins":
        return name
    known = MISNAMED.get(module)
    if known in sys.modules and getattr(sys.modules[known], name, None) is cls:
        module = known
    if module.startswith("sklearn."):
        public = ".".join(part for part in module.split(".") if not part.startswith("_"))
        public = module.partition("._")[0] if public != module else public
        if getattr(import_module(public), name, None) is cls:
            return f"{public}.{name}"
    return f"{module}.{name}"


class_name = cast(Callable[[type[Any]], str], _class_name)


def check_fields(node: Node, **fields: type | tuple[type, ...]) -> list[Any]:
    """The values of a node's state, which must have exactly these fields, each of exactly one of its types.

    Raises
    ------
    InvalidStateError
        If a field is missing, unknown or of another type.
    """
    state = node.state
    if state.keys() != fields.keys():
        _refuse_field_names(node, fields)
    values = []
    for name, expected in fields.items():
        value = state[name]
        if type(value) is not expected and (type(expected) is not tuple or type(value) not in expected):
            raise InvalidStateError(f"field {name!r} of a node of type {node.type!r} is a {type(value).__name__}")
        values.append(value)
    return values


def check_columns(group: Node, **fields: type | tuple[type, ...]) -> list[list[Any]]:
    """The values of a group's fields, a list with one for each member; as `check_fields` for a node for one object.

    Raises
    ------
    InvalidStateError
        If a field is missing, unknown or of another type in any member.
    """
    if group.state.keys() != fields.keys():
        _refuse_field_names(group, fields)
    if group.array is not None:
        raise InvalidStateError(f"a group of type {group.type!r} has fields only")
    columns = [group.columns.get(name) or [group.state[name]] * group.count for name in fields]
    for (name, expected), column in zip(fields.items(), columns, strict=True):
        for wrong in set(map(type, column)).difference(expected if type(expected) is tuple else (expected,)):
            raise InvalidStateError(f"field {name!r} of a node of type {group.type!r} is a {wrong.__name__}")
    return columns


def _refuse_field_names(node: Node, fields: Mapping[str, Any]) -> NoReturn:
    raise InvalidStateError(
        f"a node of type {node.type!r} must have the fields {sorted(fields)}, and has {sorted(node.state)[:20]}"
    )
