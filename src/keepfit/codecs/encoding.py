"""Objects -> graph: the walk."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keepfit.codecs.codec import Codec, Reducing, class_name, find_codec
from keepfit.codecs.functions import CLASS
from keepfit.codecs.versions import versions_of
from keepfit.errors import KeepfitError, UnsupportedError
from keepfit.graph import INLINE_TYPES, Graph, Node, Ref

__all__ = ["encode"]

_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1


def encode(obj: object, *, roots: Mapping[str, object] | None = None, allow: Collection[str] = frozenset()) -> Graph:
    """Describe an object as a graph.

    Parameters
    ----------
    obj : object
        What to keep.
    roots : mapping of str to object, default=None
        Further objects to keep beside it; what they share with it is shared.
    allow : collection of str, default=frozenset()
        ``"code"`` lets functions and classes without an importable name be embedded by cloudpickle.

    Returns
    -------
    Graph
        Its arrays may share memory with those of `obj`.

    Raises
    ------
    UnsupportedError
        If something cannot be kept exactly; the error names its place.

    Notes
    -----
    Cost is linear in the number of objects; the contents of arrays are not copied where they are contiguous. The walk
    keeps its own stack, so depth is no limit.
    """
    everything = {"object": obj, **(roots or {})}
    first: list[Any] = []
    while True:
        walk = _Walk(allow)
        try:
            for start in first:
                walk.add(start, "object")
            values = {name: walk.add(value, name) for name, value in everything.items()}
        except _TupleCycle as cycle:
            # A tuple that contains itself by way of a list: begin with the list, which can be made empty and filled.
            first.append(cycle.start)
            continue
        versions = versions_of(node.type for node in walk.nodes)
        return Graph(values, walk.nodes, walk.arrays, walk.names, versions)


class _TupleCycle(Exception):  # noqa: N818 - a signal, not an error
    def __init__(self, start: Any) -> None:
        super().__init__()
        self.start = start


class _Frame:
    """A node whose children are being walked."""

    __slots__ = ("codec", "name", "node", "obj", "pending", "waiting")

    def __init__(self, obj: Any, codec: Codec, node: Node, name: str) -> None:
        self.obj = obj
        self.codec = codec
        self.node = node
        self.name = name
        self.pending: list[tuple[Any, Any, Any, str]] = []
        self.waiting: list[tuple[Any, Any]] = []


class _Walk:
    def __init__(self, allow: Collection[str]) -> None:
        self.nodes: list[Node] = []
        self.arrays: list[NDArray[Any]] = []
        self.names: list[str] = []
        self._taken: set[str] = set()
        self._context = Reducing(allow=allow)
        self._memo: dict[int, Ref | _Frame] = {}
        self._alive: list[Any] = []  # an id is only good while its object lives
        self._stack: list[_Frame] = []

    def add(self, obj: Any, name: str) -> Any:
        """The value of a root."""
        slot: list[Any] = [None]
        self._place(obj, slot, 0, "" if name == "object" else name)
        stack = self._stack
        while stack:
            frame = stack[-1]
            if frame.pending:
                container, key, child, part = frame.pending.pop()
                self._place(child, container, key, part)
            else:
                stack.pop()
                self._finish(frame)
        return slot[0]

    def _place(self, obj: Any, container: Any, key: Any, name: str) -> None:
        if _is_inline(obj):
            container[key] = obj
            return
        known = self._memo.get(id(obj))
        if type(known) is Ref:
            container[key] = known
        elif known is not None:
            self._close_cycle(known, container, key)
        else:
            frame = self._open(obj, name)
            frame.waiting.append((container, key))

    def _close_cycle(self, frame: Any, container: Any, key: Any) -> None:
        if not frame.codec.cyclic:
            above = self._stack[self._stack.index(frame) + 1 :]
            for candidate in above:
                if candidate.codec.cyclic:
                    raise _TupleCycle(candidate.obj)
            raise self._located(UnsupportedError("an immutable object contains itself; that cannot be kept"))
        frame.waiting.append((container, key))

    def _open(self, obj: Any, name: str) -> _Frame:
        try:
            codec = _codec_of(type(obj))
            live = codec.reduce(obj, self._context)
        except KeepfitError as error:
            raise self._located(error, name) from error.__cause__
        node = Node(live.type)
        frame = _Frame(obj, codec, node, name)
        self._alive.append(obj)
        self._memo[id(obj)] = frame
        node.array = live.array
        pending = frame.pending
        if live.state:
            node.state = _fields(live.state, pending)
        if live.keys:
            node.keys = _values(live.keys, pending, ("keys",))
        if live.items:
            node.items = _values(live.items, pending, live.keys if live.keys else _part_names(live))
        if pending:
            self._alive.append(live)
            pending.reverse()
        self._stack.append(frame)
        return frame

    def _finish(self, frame: _Frame) -> None:
        node = frame.node
        if node.array is not None:
            name = self._path(frame.name) or "object"
            if name in self._taken:
                name = next(f"{name}~{n}" for n in range(2, 2**62) if f"{name}~{n}" not in self._taken)
            self._taken.add(name)
            self.names.append(name)
            self.arrays.append(node.array)
            node.array = len(self.arrays) - 1
        ref = Ref(len(self.nodes))
        self.nodes.append(node)
        self._memo[id(frame.obj)] = ref
        for container, key in frame.waiting:
            container[key] = ref

    def _path(self, name: str) -> str:
        parts = [frame.name for frame in self._stack]
        parts.append(name)
        return ".".join(filter(None, parts))

    def _located(self, error: KeepfitError, name: str = "") -> KeepfitError:
        if not error.path:
            error.path = self._path(name)
        return error


def _codec_of(cls: type) -> Codec:
    codec = CLASS if issubclass(cls, type) else find_codec(class_name(cls))
    if codec is None:
        from keepfit.codecs.custom import CUSTOM

        return CUSTOM
    return codec


def _is_inline(value: Any) -> bool:
    kind = type(value)
    if kind is str:
        return value.isascii() or _is_utf8(value)
    if kind is int:
        return _INT_MIN <= value <= _INT_MAX
    if kind is float:
        return math.isfinite(value)
    return kind in INLINE_TYPES


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def _fields(state: Mapping[str, Any], pending: list[tuple[Any, Any, Any, str]]) -> dict[str, Any]:
    out = dict(state)
    for name, value in state.items():
        if not _is_inline(value):
            pending.append((out, name, value, name))
    return out


def _values(values: Iterable[Any], pending: list[tuple[Any, Any, Any, str]], parts: Any) -> list[Any]:
    """A copy of `values`, with what does not stand inline noted in `pending` under the names in `parts`."""
    out = list(values)
    if _all_inline(out):
        return out
    named = len(parts) == len(out)
    for place, value in enumerate(out):
        if not _is_inline(value):
            part = _part(value, parts[place] if named else place)
            pending.append((out, place, value, part))
    return out


def _all_inline(values: list[Any]) -> bool:
    types = set(map(type, values))
    if not types <= INLINE_TYPES:
        return False
    if types == {int}:
        return min(values) >= _INT_MIN and max(values) <= _INT_MAX
    if types == {str}:
        return all(map(str.isascii, values)) or all(map(_is_utf8, values))
    if types == {float}:
        return bool(np.isfinite(values).all())
    return all(map(_is_inline, values))


def _part_names(live: Node) -> list[Any]:
    """The items of a named tuple such as a pipeline's ``("scale", scaler)`` are told by its name alone."""
    items = live.items
    if live.type == "tuple" and len(items) > 1 and _is_name(items[0]):
        return [items[0], "", *range(2, len(items))]
    return list(range(len(items)))


def _part(value: Any, part: Any) -> str:
    if type(value) is tuple and len(value) > 1 and _is_name(value[0]) and type(part) is int:
        return str(value[0])
    return part if type(part) is str and _is_name(part) else _readable(part)


def _is_name(value: Any) -> bool:
    return type(value) is str and value.isidentifier() and len(value) <= 80


def _readable(part: Any) -> str:
    if type(part) is str:
        return re.sub(r"[^\w -]", "_", part)[:80] if part else ""
    return str(part) if type(part) in (int, bool, float) else "item"
