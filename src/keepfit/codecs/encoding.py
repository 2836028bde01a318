"""Objects -> graph: the walk."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from functools import cache
from itertools import repeat
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from keepfit.codecs.codec import GROUPED_BYTES_MAX, Codec, Reducing, as_record, class_name, find_codec
from keepfit.codecs.expansion import EXPANSION, EXPANSION_TOGETHER, check_expansion
from keepfit.codecs.functions import CLASS
from keepfit.codecs.inline import all_inline, is_inline
from keepfit.codecs.naming import part_names, part_of
from keepfit.codecs.nesting import NESTED, check_nesting
from keepfit.codecs.versions import versions_of
from keepfit.errors import InvalidStateError, KeepfitError, UnsupportedError
from keepfit.graph import INLINE_TYPES, Graph, Node, Outline, Ref, Rows

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
        return codec_of(value)


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
        walk = _Walk(allow, view, problems)
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
        if not walk.is_surely_small():
            _check_parts(Outline(walk.nodes))
        versions = versions_of({node.type for node in walk.nodes})
        return Graph(values, walk.nodes, walk.arrays, walk.names, versions)


def _check_parts(outline: Outline) -> None:
    try:
        check_nesting(outline)
        check_expansion(outline)
    except InvalidStateError as error:
        raise UnsupportedError(f"{error.message}; load would refuse them") from None


class _TupleCycle(Exception):  # noqa: N818 - a signal, not an error
    def __init__(self, start: Any) -> None:
        super().__init__()
        self.start = start


#: A value on its way into ``container[key]``, and the part of its path: container, key, value, part.
_Child = tuple[Any, Any, Any, str]
#: The same, with its live node.
_Reduced = tuple[Any, Any, Any, str, Node]


class _Column:
    """Values of one type, none of which has been met, that are to become one group; refs take their places."""

    __slots__ = ("part", "values")

    def __init__(self, values: list[Any], part: str) -> None:
        self.values = values
        self.part = part

    def children(self) -> list[_Child]:
        return [(self.values, number, value, self.part) for number, value in enumerate(self.values)]


#: What is to be done below a node: values one by one, those that may be one group, and columns.
_Pending = _Child | _Reduced | list[_Child] | _Column


class _Frame:
    """A node whose children are being walked, for the objects it stands for.

    Refs to them go to the places in `waiting` (container, key, number of the object), or, all of them, into `column`.
    """

    __slots__ = ("codec", "column", "name", "node", "objects", "path", "pending", "waiting")

    def __init__(self, objects: list[Any], codec: Codec, node: Node, name: str, path: str) -> None:
        self.objects = objects
        self.codec = codec
        self.node = node
        self.name = name
        self.path = path
        self.pending: list[_Pending] = []
        self.waiting: list[tuple[Any, Any, int]] = []
        self.column: list[Any] | None = None


class _Walk:
    def __init__(self, allow: Collection[str], view: View | None, problems: list[KeepfitError] | None) -> None:
        self._view = view
        self._codec_of = view.codec_of if view is not None else codec_of
        self._problems = problems
        self.nodes: list[Node] = []
        self.arrays: list[NDArray[Any] | Rows] = []
        self.names: list[str] = []
        self._taken: set[str] = set()
        self._shared = 0  # how often what has parts stands once more
        self._repeats = 0  # how often what has none does
        self._holders: set[str] = set()  # the types of what holds other objects
        self._context = Reducing(allow=allow)
        self._objects = 0
        self._memo: dict[int, Ref | _Frame] = {}
        self._alive: list[Any] = []  # an id is only good while its object lives
        self._stack: list[_Frame] = []

    def add(self, obj: Any, name: str) -> Any:
        """The value of a root."""
        if is_inline(obj):
            return obj
        slot: list[Any] = [None]
        self._open(slot, 0, obj, "" if name == "object" else name)
        stack = self._stack
        while stack:
            pending = stack[-1].pending
            if not pending:
                self._finish(stack.pop())
                continue
            child = pending.pop()
            if type(child) is tuple:
                self._open(*child)
            elif type(child) is _Column:
                self._open_column(child)
            else:
                self._open_group(child)  # type: ignore[arg-type]
        return slot[0]

    def _close_cycle(self, frame: _Frame, container: Any, key: Any, value: Any) -> None:
        if not frame.codec.cyclic:
            above = self._stack[self._stack.index(frame) + 1 :]
            for candidate in above:
                if candidate.codec.cyclic:
                    raise _TupleCycle(candidate.objects[0])
            raise self._located(UnsupportedError("an immutable object contains itself; that cannot be kept"))
        self._shared += _SHARED_MAX + 1  # without end
        member = next(number for number, obj in enumerate(frame.objects) if obj is value)
        frame.waiting.append((container, key, member))

    def _refused(self, error: KeepfitError, part: str) -> Node:
        """Note a problem, where they are collected, and give a node in the place of its object."""
        found = self._located(error, part)
        if self._problems is None or len(self._problems) >= _PROBLEMS:
            raise found from error.__cause__
        self._problems.append(found)
        return Node("refused")

    def _open(self, container: Any, key: Any, obj: Any, part: str, live: Node | None = None) -> None:
        """Put a ref to an object into its place, or a frame on the stack that will."""
        if self._view is not None:
            obj = self._view.value_of(obj)
            if is_inline(obj):
                container[key] = obj
                return
        known = self._memo.get(id(obj))
        if known is not None:
            self._note_shared(obj, 1)
            if type(known) is Ref:
                container[key] = known
            else:
                self._close_cycle(known, container, key, obj)  # type: ignore[arg-type]
            return
        codec = _codec_of_class(type(obj)) if self._view is None else self._view.codec_of(obj)
        if live is not None:
            node = live
        else:
            try:
                node = codec.reduce(obj, self._context)
            except KeepfitError as error:
                node = self._refused(error, part)
        self._alive.append(obj)
        children: list[_Child] = []
        keys, items = node.keys, node.items
        node.state = _fields(node.state, children) if node.state else {}
        node.keys = _values(keys, children, _KEYS) if keys else []
        node.items = _values(items, children, keys or part_names(node)) if items else []
        if not children:
            container[key] = self._memo[id(obj)] = Ref(self._settle(node, part))
            return
        self._holders.add(node.type)
        frame = _Frame([obj], codec, node, part, self._path(part))
        frame.waiting.append((container, key, 0))
        frame.pending = self._grouped(children) if len(children) >= _GROUP_MIN else [*reversed(children)]
        self._memo[id(obj)] = frame
        self._stack.append(frame)

    def is_surely_small(self) -> bool:
        """Whether `check_nesting` and `check_expansion` need not look: no graph of so little shared is beyond them.

        A way from the object to one of its parts is known by which of the shared references it takes, of those to
        objects that have parts themselves: there are at most two to the power of their number for each part.
        """
        if self._shared > _SHARED_MAX or not self._holders.isdisjoint(NESTED):
            return False
        most = (self._objects + self._repeats) << self._shared
        return most <= EXPANSION and (not self._shared or most * self._objects <= EXPANSION_TOGETHER)

    def _note_shared(self, obj: Any, times: int) -> None:
        if type(obj) is np.ndarray and not obj.dtype.hasobject:
            self._repeats += times
        else:
            self._shared += times

    def _grouped(self, children: list[_Child]) -> list[_Pending]:
        """Children in the order to be popped, with enough of one type that stand together as a list: one group."""
        view = self._view
        if view is None:
            kinds = [type(value) for _, _, value, _ in children]
            different = len(set(kinds))
            if len(kinds) - different < _GROUP_MIN - 1:
                return [*reversed(children)]
            if different == 1 and self._are_new(value for _, _, value, _ in children):
                return [children] if self._codec_of(children[0][2]).groups else [*reversed(children)]
        else:
            children = [(container, key, view.value_of(value), part) for container, key, value, part in children]
            kinds = [view.kind_of(value) for _, _, value, _ in children]
        by_kind: dict[Hashable, list[_Child]] = {}
        seen: set[int] = set()
        for child, kind in zip(children, kinds, strict=True):
            if id(child[2]) not in self._memo and id(child[2]) not in seen:
                seen.add(id(child[2]))
                by_kind.setdefault(cast(Hashable, kind), []).append(child)
        groups = [
            group for group in by_kind.values() if len(group) >= _GROUP_MIN and self._codec_of(group[0][2]).groups
        ]
        grouped = {id(child) for group in groups for child in group}
        pending: list[_Pending] = [
            *groups,
            *(child for child in children if id(child) not in grouped),
        ]
        pending.reverse()
        return pending

    def _are_new(self, values: Iterable[Any]) -> bool:
        """Whether none of these has been met or stands here twice."""
        every = list(map(id, values))
        ids = set(every)
        return len(ids) == len(every) and self._memo.keys().isdisjoint(ids)

    def _open_column(self, column: _Column) -> None:
        values = column.values
        codec = self._codec_of(values[0])
        if self._memo.keys().isdisjoint(map(id, values)):  # else some were met meanwhile, below a sibling
            group = self._reduce_group(values, codec)
            if group is not None:
                frame = self._push_group(codec, values[:], group, column.part)
                frame.column = values
                return
        self._open_group(column.children())

    def _open_group(self, children: list[_Child]) -> None:
        """Members whose live nodes have the same fields become one node; the others stand alone."""
        codec = self._codec_of(children[0][2])
        met = [child for child in children if id(child[2]) in self._memo]  # meanwhile, below a sibling
        if met:
            self._stack[-1].pending.extend(met)
            children = [child for child in children if id(child[2]) not in self._memo]
        if len(children) >= _GROUP_MIN:
            group = self._reduce_group([value for _, _, value, _ in children], codec)
            if group is not None:
                self._push_children(codec, children, group)
                return
        alike: dict[Any, list[tuple[_Child, Node, Node]]] = {}
        for child in children:
            try:
                live = codec.reduce(child[2], self._context)
            except KeepfitError as error:
                live = self._refused(error, child[3])
            record = as_record(live)
            alike.setdefault(_signature(record), []).append((child, live, record))
        groups: list[list[tuple[_Child, Node]]] = []
        alone: list[_Reduced] = []
        for signature, members in alike.items():
            if signature is None or len(members) < _GROUP_MIN:
                alone.extend((*child, live) for child, live, _ in members)
            else:
                groups.append([(child, record) for child, _, record in members])
        pending = self._stack[-1].pending
        pending.extend(reversed(alone))
        pending.extend([child for child, _ in members] for members in groups[1:])
        if groups:
            lives = [live for _, live in groups[0]]
            columns = {name: [live.state[name] for live in lives] for name in lives[0].state}
            group = Node(lives[0].type, columns=columns)
            if lives[0].array is not None:
                group.array, group.lengths = Rows([live.array for live in lives]), [len(live.array) for live in lives]
            self._push_children(codec, [child for child, _ in groups[0]], group)

    def _reduce_group(self, objects: list[Any], codec: Codec) -> Node | None:
        try:
            return codec.reduce_group(objects, self._context)
        except UnsupportedError:  # one by one, the place is told
            return None

    def _push_children(self, codec: Codec, members: list[_Child], live: Node) -> None:
        frame = self._push_group(codec, [value for _, _, value, _ in members], live, _common_part(members))
        frame.waiting = [(container, key, number) for number, (container, key, _, _) in enumerate(members)]

    def _push_group(self, codec: Codec, objects: list[Any], live: Node, part: str) -> _Frame:
        node = Node(live.type, array=live.array, count=len(objects), lengths=live.lengths)
        frame = _Frame(objects, codec, node, part, self._path(part))
        self._memo.update(dict.fromkeys(map(id, objects), frame))
        self._alive.append(objects)
        for name, column in live.columns.items():
            self._add_column(frame, name, column)
        if not node.columns and not node.lengths:  # so that a group is no larger than what it stands in
            name = next(iter(node.state))
            node.columns[name] = column = [node.state[name]] * len(objects)
            node.state[name] = None
            value = live.columns[name][0]
            if not is_inline(value):  # then it is the next to be placed: in the column instead
                frame.pending.pop()
                frame.pending += [(column, number, value, name) for number in range(len(objects))]
        if frame.pending:
            self._holders.add(node.type)
        self._stack.append(frame)
        return frame

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
        ids = set(map(id, column))
        if len(ids) == 1:
            self._note_shared(first, len(column))
            frame.pending.insert(0, (node.state, name, first, name))
            return
        node.columns[name] = column
        if len(ids) == len(column) and self._are_alike(column) and self._memo.keys().isdisjoint(ids):
            frame.pending.insert(0, _Column(column, name))
            return
        children = [(column, number, value, name) for number, value in enumerate(column) if not is_inline(value)]
        frame.pending[:0] = self._grouped(children) if len(children) >= _GROUP_MIN else [*reversed(children)]

    def _are_alike(self, values: list[Any]) -> bool:
        """Whether values, seen as what they are, are of one type of which none stands inline and many stand as one."""
        kind = type(values[0])
        if self._view is not None or kind in INLINE_TYPES or len(set(map(type, values))) > 1:
            return False
        return self._codec_of(values[0]).groups

    def _finish(self, frame: _Frame) -> None:
        objects = frame.objects
        first = self._settle(frame.node, frame.name)
        if frame.node.count == 1:
            self._memo[id(objects[0])] = ref = Ref(first)
            for container, key, _ in frame.waiting:
                container[key] = ref
            return
        refs = list(map(Ref, range(first, first + len(objects))))
        self._memo.update(zip(map(id, objects), refs, strict=True))
        if frame.column is not None:
            frame.column[:] = refs
        for container, key, member in frame.waiting:
            container[key] = refs[member]

    def _settle(self, node: Node, part: str) -> int:
        """Give a node whose children have their places its own; gives the number of its first object."""
        if node.array is not None:
            name = self._path(part) or "object"
            if name in self._taken:
                name = next(f"{name}~{n}" for n in range(2, 2**62) if f"{name}~{n}" not in self._taken)
            self._taken.add(name)
            self.names.append(name)
            self.arrays.append(node.array)
            node.array = len(self.arrays) - 1
        first = self._objects
        self._objects += node.count
        self.nodes.append(node)
        return first

    def _path(self, name: str) -> str:
        above = self._stack[-1].path if self._stack else ""
        return f"{above}.{name}" if above and name else above or name

    def _located(self, error: KeepfitError, name: str = "") -> KeepfitError:
        if not error.path:
            error.path = self._path(name)
        return error


def _are_one(values: list[Any]) -> bool:
    """Whether inline values are one value and one type; the two zeros are two."""
    first = values[0]
    if len(set(map(type, values))) > 1 or values.count(first) < len(values):
        return False
    return type(first) is not float or first != 0 or len(set(map(math.copysign, repeat(1.0), values))) == 1


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
    first = children[0][3]
    return first if all(part == first for _, _, _, part in children) else ""


def codec_of(value: Any) -> Codec:
    """The codec that takes a value apart."""
    return _codec_of_class(type(value))


@cache
def _found_codec(cls: Hashable) -> Codec:
    assert isinstance(cls, type)
    codec = CLASS if issubclass(cls, type) else find_codec(class_name(cls))
    if codec is None:
        from keepfit.codecs.custom import CUSTOM

        return CUSTOM
    return codec


_codec_of_class = cast(Callable[[type[Any]], Codec], _found_codec)


#: References to what has been met, of which it may still be told what they cannot come to.
_SHARED_MAX = 16
#: More values than these are looked at together first.
_FEW = 16
#: The path of a key.
_KEYS = ("keys",)


def _fields(state: Mapping[str, Any], children: list[_Child]) -> dict[str, Any]:
    """A copy of `state`, with what does not stand inline noted in `children`."""
    out = dict(state)
    for name, value in state.items():
        if value is not None and type(value) is not bool and (type(value) not in INLINE_TYPES or not is_inline(value)):
            children.append((out, name, value, name))
    return out


def _values(values: Iterable[Any], children: list[_Child], parts: Sequence[Any]) -> list[Any]:
    """A copy of `values`, with what does not stand inline noted in `children` under the names in `parts`."""
    out = list(values)
    if len(out) > _FEW:
        if all_inline(out):
            return out
        kinds = set(map(type, out))
        if type(parts) is range and kinds.isdisjoint(INLINE_TYPES) and tuple not in kinds:
            children += zip(repeat(out), parts, out, map(str, parts), strict=False)
            return out
    named = len(parts) == len(out)
    for place, value in enumerate(out):
        if type(value) not in INLINE_TYPES or not is_inline(value):
            children.append((out, place, value, part_of(value, parts[place] if named else place)))
    return out
