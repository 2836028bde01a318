"""Objects -> graph: the walk."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import Any

from numpy.typing import NDArray

from keepfit.codecs.codec import GROUPED_BYTES_MAX, Codec, Reducing, as_record, class_name, find_codec
from keepfit.codecs.expansion import check_expansion
from keepfit.codecs.functions import CLASS
from keepfit.codecs.inline import all_inline, is_inline
from keepfit.codecs.naming import part_names, part_of
from keepfit.codecs.nesting import check_nesting
from keepfit.codecs.versions import versions_of
from keepfit.errors import InvalidStateError, KeepfitError, UnsupportedError
from keepfit.graph import Graph, Node, Outline, Ref, Rows

__all__ = ["View", "encode"]


class View:
    """How the walk sees values: as what they are. A reader of other formats sees its records as what they stand for."""

    def value_of(self, value: Any) -> Any:
        """What stands in the place of a value."""
        return value

    def kind_of(self, value: Any) -> Any:
        """What a value must have in common with others to stand in a group with them."""
        return type(value)

    def codec_of(self, value: Any) -> Codec:
        """The codec that takes a value apart."""
        return _codec_of(type(value))


def encode(
    obj: object,
    *,
    roots: Mapping[str, object] | None = None,
    allow: Collection[str] = frozenset(),
    view: View | None = None,
    problems: list[KeepfitError] | None = None,
) -> Graph:
    """Describe an object as a graph.

    Parameters
    ----------
    obj : object
        What to keep.
    roots : mapping of str to object, default=None
        Further objects to keep beside it; what they share with it is shared.
    allow : collection of str, default=frozenset()
        ``"code"`` lets functions and classes without an importable name be embedded by cloudpickle.
    view : View, default=None
        How values are seen; None for as they are.
    problems : list of KeepfitError, default=None
        Collects what cannot be kept, each with its place, until there are 100. Such a graph is for looking at, not for
        building.

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
        walk = _Walk(allow, view or View(), problems)
        try:
            for start in first:
                walk.add(start, "object")
            values = {name: walk.add(value, name) for name, value in everything.items()}
        except _TupleCycle as cycle:
            # A tuple that contains itself by way of a list: begin with the list, which can be made empty and filled.
            first.append(cycle.start)
            if problems:
                problems.clear()
            continue
        try:
            outline = Outline(walk.nodes)
            check_nesting(outline)
            check_expansion(outline)
        except InvalidStateError as error:
            raise UnsupportedError(f"{error.message}; load would refuse them") from None
        versions = versions_of(node.type for node in walk.nodes)
        return Graph(values, walk.nodes, walk.arrays, walk.names, versions)


class _TupleCycle(Exception):  # noqa: N818 - a signal, not an error
    def __init__(self, start: Any) -> None:
        super().__init__()
        self.start = start


class _Frame:
    """A node whose children are being walked; for a group, `objects` are its members."""

    __slots__ = ("codec", "name", "node", "objects", "pending", "waiting")

    def __init__(self, objects: list[Any], codec: Codec, node: Node, name: str) -> None:
        self.objects = objects
        self.codec = codec
        self.node = node
        self.name = name
        self.pending: list[_Child | list[_Child]] = []
        self.waiting: list[tuple[Any, Any, int]] = []


class _Child:
    """A value on its way into ``container[key]``, and the part of its path."""

    __slots__ = ("container", "key", "part", "value")

    def __init__(self, container: Any, key: Any, value: Any, part: str) -> None:
        self.container = container
        self.key = key
        self.value = value
        self.part = part


class _Walk:
    def __init__(self, allow: Collection[str], view: View, problems: list[KeepfitError] | None) -> None:
        self._view = view
        self._problems = problems
        self.nodes: list[Node] = []
        self.arrays: list[NDArray[Any] | Rows] = []
        self.names: list[str] = []
        self._taken: set[str] = set()
        self._context = Reducing(allow=allow)
        self._objects = 0
        self._memo: dict[int, Ref | tuple[_Frame, int]] = {}
        self._alive: list[Any] = []  # an id is only good while its object lives
        self._stack: list[_Frame] = []

    def add(self, obj: Any, name: str) -> Any:
        """The value of a root."""
        slot: list[Any] = [None]
        self._place(_Child(slot, 0, obj, "" if name == "object" else name))
        stack = self._stack
        while stack:
            frame = stack[-1]
            if frame.pending:
                child = frame.pending.pop()
                if isinstance(child, _Child):
                    self._place(child)
                else:
                    self._open_group(child)
            else:
                stack.pop()
                self._finish(frame)
        return slot[0]

    def _place(self, child: _Child) -> None:
        value = child.value = self._view.value_of(child.value)
        if is_inline(value):
            child.container[child.key] = value
            return
        known = self._memo.get(id(value))
        if known is None:
            self._open(child)
        elif isinstance(known, Ref):
            child.container[child.key] = known
        else:
            self._close_cycle(*known, child)

    def _close_cycle(self, frame: _Frame, member: int, child: _Child) -> None:
        if not frame.codec.cyclic:
            above = self._stack[self._stack.index(frame) + 1 :]
            for candidate in above:
                if candidate.codec.cyclic:
                    raise _TupleCycle(candidate.objects[0])
            raise self._located(UnsupportedError("an immutable object contains itself; that cannot be kept"))
        frame.waiting.append((child.container, child.key, member))

    def _reduce(self, obj: Any, codec: Codec, part: str) -> Node:
        try:
            return codec.reduce(obj, self._context)
        except KeepfitError as error:
            found = self._located(error, part)
            if self._problems is None or len(self._problems) >= _PROBLEMS:
                raise found from error.__cause__
            self._problems.append(found)
            return Node("refused")

    def _open(self, child: _Child) -> None:
        obj = child.value
        codec = self._view.codec_of(obj)
        live = self._reduce(obj, codec, child.part)
        self._push(child, codec, live)

    def _push(self, child: _Child, codec: Codec, live: Node) -> None:
        obj = child.value
        node = Node(live.type)
        frame = _Frame([obj], codec, node, child.part)
        frame.waiting.append((child.container, child.key, 0))
        self._alive.append(obj)
        self._memo[id(obj)] = (frame, 0)
        node.array = live.array
        children: list[_Child] = []
        if live.state:
            node.state = _fields(live.state, children)
        if live.keys:
            node.keys = _values(live.keys, children, ("keys",))
        if live.items:
            node.items = _values(live.items, children, live.keys if live.keys else part_names(live))
        if children:
            self._alive.append(live)
            frame.pending = self._grouped(children)
        self._stack.append(frame)

    def _grouped(self, children: list[_Child]) -> list[_Child | list[_Child]]:
        """Children in the order to be popped, with enough of one type that stand together as a list: one group."""
        if len(children) < _GROUP_MIN:
            return [*reversed(children)]
        view = self._view
        if type(view) is View and self._are_new_and_alike(children):
            return [children] if view.codec_of(children[0].value).groups else [*reversed(children)]
        by_kind: dict[Hashable, list[_Child]] = {}
        seen: set[int] = set()
        for child in children:
            child.value = view.value_of(child.value)
            if id(child.value) not in self._memo and id(child.value) not in seen:
                seen.add(id(child.value))
                by_kind.setdefault(view.kind_of(child.value), []).append(child)
        groups = [
            group for group in by_kind.values() if len(group) >= _GROUP_MIN and view.codec_of(group[0].value).groups
        ]
        grouped = {id(child) for group in groups for child in group}
        pending: list[_Child | list[_Child]] = [*groups, *(child for child in children if id(child) not in grouped)]
        pending.reverse()
        return pending

    def _are_new_and_alike(self, children: list[_Child]) -> bool:
        """Whether values, seen as what they are, are of one type, and none has been met or stands here twice."""
        kinds = {type(child.value) for child in children}
        ids = {id(child.value) for child in children}
        return len(kinds) == 1 and len(ids) == len(children) and self._memo.keys().isdisjoint(ids)

    def _open_group(self, children: list[_Child]) -> None:
        """Members whose live nodes have the same fields become one node; the others stand alone."""
        codec = self._view.codec_of(children[0].value)
        met = [child for child in children if id(child.value) in self._memo]  # meanwhile, below a sibling
        if met:
            self._stack[-1].pending.extend(met)
            children = [child for child in children if id(child.value) not in self._memo]
        group = self._reduce_group([child.value for child in children], codec) if len(children) >= _GROUP_MIN else None
        if group is not None:
            self._push_group(codec, children, group)
            return
        alike: dict[Any, list[tuple[_Child, Node]]] = {}
        for child in children:
            live = self._reduce(child.value, codec, child.part)
            self._alive.append(live)
            live = as_record(live)
            alike.setdefault(_signature(live), []).append((child, live))
        groups: list[list[tuple[_Child, Node]]] = []
        alone: list[_Child] = []
        for signature, members in alike.items():
            if signature is None or len(members) < _GROUP_MIN:
                alone.extend(child for child, _ in members)
            else:
                groups.append(members)
        pending = self._stack[-1].pending
        pending.extend(reversed(alone))
        pending.extend([child for child, _ in members] for members in groups[1:])
        if groups:
            lives = [live for _, live in groups[0]]
            columns = {name: [live.state[name] for live in lives] for name in lives[0].state}
            group = Node(lives[0].type, columns=columns)
            if lives[0].array is not None:
                group.array, group.lengths = Rows([live.array for live in lives]), [len(live.array) for live in lives]
            self._push_group(codec, [child for child, _ in groups[0]], group)

    def _reduce_group(self, objects: list[Any], codec: Codec) -> Node | None:
        try:
            return codec.reduce_group(objects, self._context)
        except UnsupportedError:  # one by one, the place is told
            return None

    def _push_group(self, codec: Codec, members: list[_Child], live: Node) -> None:
        node = Node(live.type, count=len(members))
        objects = [child.value for child in members]
        frame = _Frame(objects, codec, node, _common_part(members))
        frame.waiting = [(child.container, child.key, number) for number, child in enumerate(members)]
        for number, obj in enumerate(objects):
            self._memo[id(obj)] = (frame, number)
        self._alive.extend(objects)
        self._alive.append(live)
        if live.array is not None:
            node.lengths = live.lengths
            node.array = live.array
        for name, column in live.columns.items():
            self._add_column(frame, name, column)
        if not node.columns and not node.lengths:  # so that a group is no larger than what it stands in
            name = next(iter(node.state))
            node.columns[name] = [node.state[name]] * len(members)
            node.state[name] = None
        self._stack.append(frame)

    def _add_column(self, frame: _Frame, name: str, column: list[Any]) -> None:
        node, first = frame.node, column[0]
        if all_inline(column):
            if _are_one(column):
                node.state[name] = first
                return
            node.state[name] = None
            node.columns[name] = column
            return
        node.state[name] = None
        if all(value is first for value in column):
            frame.pending.insert(0, _Child(node.state, name, first, name))
            return
        node.columns[name] = column
        children = [_Child(column, number, value, name) for number, value in enumerate(column) if not is_inline(value)]
        frame.pending[:0] = self._grouped(children)

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
        first = self._objects
        self._objects += node.count
        self.nodes.append(node)
        refs = [Ref(first + number) for number in range(node.count)]
        for obj, ref in zip(frame.objects, refs, strict=True):
            self._memo[id(obj)] = ref
        for container, key, member in frame.waiting:
            container[key] = refs[member]

    def _path(self, name: str) -> str:
        parts = [frame.name for frame in self._stack]
        parts.append(name)
        return ".".join(filter(None, parts))

    def _located(self, error: KeepfitError, name: str = "") -> KeepfitError:
        if not error.path:
            error.path = self._path(name)
        return error


def _are_one(values: list[Any]) -> bool:
    """Whether inline values are one value and one type; the two zeros are two."""
    first = values[0]
    if any(type(value) is not type(first) or value != first for value in values):
        return False
    return type(first) is not float or first != 0 or len({math.copysign(1, value) for value in values}) == 1


#: Problems that are collected.
_PROBLEMS = 100
#: Fewer like objects than these stand alone: a group would save nothing.
_GROUP_MIN = 8


def _signature(live: Node) -> Any:
    """What members of a group have in common; None for one that must stand alone."""
    if live.items or live.keys or (live.array is None and not live.state):
        return None
    array = live.array
    if array is None:
        return (live.type, tuple(live.state))
    if not array.ndim or array.nbytes > GROUPED_BYTES_MAX:
        return None
    return (live.type, tuple(live.state), array.dtype, array.shape[1:])


def _common_part(children: list[_Child]) -> str:
    """Members of a list are told by the list's name alone; those of a column by the column's."""
    first = children[0].part
    return first if all(child.part == first for child in children) else ""


def _codec_of(cls: type) -> Codec:
    codec = CLASS if issubclass(cls, type) else find_codec(class_name(cls))
    if codec is None:
        from keepfit.codecs.custom import CUSTOM

        return CUSTOM
    return codec


def _fields(state: Mapping[str, Any], children: list[_Child]) -> dict[str, Any]:
    out = dict(state)
    for name, value in state.items():
        if not is_inline(value):
            children.append(_Child(out, name, value, name))
    return out


def _values(values: Iterable[Any], children: list[_Child], parts: Any) -> list[Any]:
    """A copy of `values`, with what does not stand inline noted in `children` under the names in `parts`."""
    out = list(values)
    if all_inline(out):
        return out
    named = len(parts) == len(out)
    for place, value in enumerate(out):
        if not is_inline(value):
            part = part_of(value, parts[place] if named else place)
            children.append(_Child(out, place, value, part))
    return out
