"""Graph -> objects: trust, then steps between versions, then validation and construction. The one way out."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import attrgetter, countOf
from typing import Any

import numpy as np

from keepfit.codecs.codec import Building, Codec, CyclicCodec, find_codec, from_record, members_of
from keepfit.codecs.custom import SCRIPT, CustomCodec, Trusted, by_class, trusted_names
from keepfit.codecs.expansion import check_expansion
from keepfit.codecs.migrations import migrate
from keepfit.codecs.nesting import check_nesting
from keepfit.codecs.portions import Portions, arrays_in_portions
from keepfit.errors import InvalidStateError, KeepfitError, UntrustedError
from keepfit.graph import LIMITS, Graph, Limits, Node, Outline, Ref, Stream, first_objects

__all__ = ["decode", "path_of", "script_names", "untrusted_types"]

#: What a library raises when it is handed a value it cannot take. Named, because anything else is our own fault.
_MISFITS = (
    TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError, ArithmeticError, MemoryError,
    RecursionError, AssertionError, ImportError, NotImplementedError,
)  # fmt: skip


_index = attrgetter("index")

#: Types whose nodes name what is trusted, or is not.
_NAMING = frozenset({"class", "function"})
#: Names that an error spells out; it carries all of them in ``names``.
_LISTED = 20


def decode(
    graph: Graph,
    *,
    root: str = "object",
    trusted: Trusted = (),
    allow: Collection[str] = frozenset(),
    limits: Limits = LIMITS,
    changes: list[str] | None = None,
) -> Any:
    """Build what a graph describes.

    Parameters
    ----------
    graph : Graph
        Left as it is. Arrays are shared with what is built where that is exact.
    root : str, default="object"
        Which of its roots to build.
    trusted : iterable of type, callable or str, default=()
        Classes and functions outside keepfit's tables that may be used, themselves or by dotted name.
    allow : collection of str, default=frozenset()
        Capabilities to open: ``"code"``, ``"paths"``, ``"patterns"``.
    limits : Limits, default=LIMITS
    changes : list of str, default=None
        Collects what was neutralised.

    Raises
    ------
    UntrustedError
        If the graph names a type outside the tables that is not in `trusted`; nothing has been built then.
    VersionError
        If a class's state is not what the running release of its library expects.
    InvalidStateError
        If contents could crash or mislead. The error names the place.

    Notes
    -----
    Cost is linear in the size of the graph.
    """
    opened = trusted_names(trusted)
    codecs = _codecs(graph, opened, allow)
    graph = migrate(graph)
    outline = graph.outline
    check_nesting(outline)
    check_expansion(outline)
    building = Building(graph.versions, opened, allow, limits, changes if changes is not None else [])
    return _Construction(graph, outline, codecs, building).root(root)


def untrusted_types(graph: Graph) -> dict[str, str]:
    """The names that ``trusted=`` would need to build a graph, each with the place it is first met."""
    first_met: dict[str, int] = {}
    for index, node in zip(first_objects(graph.nodes), graph.nodes, strict=True):
        name = _needed_name(node)
        if name is not None:
            first_met.setdefault(name, index)
    if not first_met:
        return {}
    came_from = _ways(graph)
    return {name: _path(came_from, index) for name, index in first_met.items()}


def script_names(graph: Graph) -> list[str]:
    """Those of the names that ``trusted=`` would need that a script defined."""
    names = [node.state.get("name") if node.type in _NAMING else node.type for node in graph.nodes]
    return list(dict.fromkeys([name for name in names if type(name) is str and name.startswith(SCRIPT)]))


def _needed_name(node: Node) -> str | None:
    if node.type == "code":
        return None  # opened by allow=, not by trust
    if node.type in _NAMING:
        from keepfit.codecs.functions import is_known

        name = node.state.get("name")
        return None if type(name) is not str or is_known(node.type, name) else name
    return None if find_codec(node.type) is not None else node.type


def _codecs(graph: Graph, opened: Mapping[str, Any], allow: Collection[str]) -> dict[str, Codec]:
    codecs: dict[str, Codec] = {}
    types = {node.type for node in graph.nodes}
    for name in types:
        codec = find_codec(name)
        if codec is None and name in opened:
            codec = CustomCodec(opened[name])
        if codec is not None:
            codecs[name] = codec
    if "code" in codecs and "code" not in allow:
        raise UntrustedError(
            "the file holds code, which would run. If you know and trust who wrote it, pass allow={'code'}",
            path=path_of(graph, first_objects(graph.nodes)[[node.type for node in graph.nodes].index("code")]),
        )
    missing: dict[str, str] = {}
    doubtful = _NAMING.intersection(types).union(types - codecs.keys())
    needed = {_needed_name(node) for node in graph.nodes if node.type in doubtful} if doubtful else set()
    if not opened.keys() >= needed - {None}:
        missing = {name: place for name, place in untrusted_types(graph).items() if name not in opened}
    if missing:
        names = tuple(missing)
        listed = "; ".join(f"{name} at {missing[name] or 'the top'}" for name in names[:_LISTED])
        listed += f"; and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
        raise UntrustedError(
            f"the file names what keepfit does not know: {listed}. If you know and trust it, {_what_to_pass(names)}",
            path=next(iter(missing.values())),
            names=names,
        )
    return codecs


def _what_to_pass(names: Sequence[str]) -> str:
    scripts = [name for name in names if name.startswith(SCRIPT)]
    others = [name for name in names if name not in scripts]
    ways = [f"pass trusted={others[:_LISTED]!r} (or the classes themselves)"] if others else []
    ways += [by_class(scripts[:_LISTED])] if scripts else []
    return "; ".join(ways)


class _Construction:
    def __init__(self, graph: Graph, outline: Outline, codecs: Mapping[str, Codec], building: Building) -> None:
        self._graph = graph
        self._refs = outline.refs
        self._codecs = codecs
        self._building = building
        self._firsts = outline.firsts
        self._built: list[Any] = []
        self._early: set[int] = set()
        self._sizes: dict[int, int] = {}
        has_streams = any(type(array) is Stream for array in graph.arrays)
        self._in_portions = arrays_in_portions(graph, outline) if has_streams else frozenset()

    def root(self, name: str) -> Any:
        if name not in self._graph.roots:
            raise InvalidStateError(f"the file has no {name!r}")
        value = self._graph.roots[name]
        if type(value) is not Ref:
            return value
        nodes, firsts, codecs, context = self._graph.nodes, self._firsts, self._codecs, self._building
        wanted = None if len(self._graph.roots) == 1 else self._reachable(value.index)
        built = self._built = [None] * (firsts[-1] + nodes[-1].count)
        for number, (first, node, refs) in enumerate(zip(firsts, nodes, self._refs, strict=True)):
            if wanted is not None and not wanted[number]:
                continue
            try:
                live = node
                if refs:
                    live = self._live(first, node)
                elif node.array is not None:
                    live = self._with_array(node)
                if type(live.array) is Stream:
                    portions = Portions(codecs[live.type], live, context)
                    built[first : first + node.count] = [portions] * node.count
                elif node.count > 1:
                    built[first : first + node.count] = self._build_group(first, live)
                elif first in self._early:
                    self._fill(first, live)
                else:
                    built[first] = codecs[live.type].build(live, context)
            except KeepfitError as error:
                error.path = error.path or path_of(self._graph, first)
                raise
            except _MISFITS as error:
                message = f"the contents of this {node.type} do not fit: {type(error).__name__}: {error}"
                raise InvalidStateError(message, path=path_of(self._graph, first)) from error
        if self._early:
            self._check_again(wanted)
        return built[value.index]

    def _check_again(self, wanted: bytearray | None) -> None:
        for number, (first, node) in enumerate(zip(self._firsts, self._graph.nodes, strict=True)):
            if wanted is not None and not wanted[number]:
                continue
            codec = self._codecs[node.type]
            for index in range(first, first + node.count):
                try:
                    codec.check_again(self._built[index], self._building)
                except KeepfitError as error:
                    error.path = error.path or path_of(self._graph, index)
                    raise
                except _MISFITS as error:
                    message = f"the contents of this {node.type} do not fit: {type(error).__name__}: {error}"
                    raise InvalidStateError(message, path=path_of(self._graph, index)) from error

    def _fill(self, first: int, live: Node) -> None:
        codec = self._codecs[live.type]
        assert isinstance(codec, CyclicCodec)
        codec.fill(self._built[first], live, self._building)

    def _build_group(self, first: int, live: Node) -> list[Any]:
        codec = self._codecs[live.type]
        if not codec.groups:
            raise InvalidStateError(f"objects of type {live.type} do not stand in groups")
        early = self._early.intersection(range(first, first + live.count)) if self._early else ()
        if not early:
            objects = codec.build_group(live, self._building)
            assert len(objects) == live.count
            return objects
        assert isinstance(codec, CyclicCodec)
        objects = []
        for index, member in enumerate(members_of(live), first):
            obj = self._built[index] if index in early else codec.new(member, self._building)
            codec.fill(obj, from_record(member), self._building)
            objects.append(obj)
        return objects

    def _with_array(self, node: Node) -> Node:
        """The live node of one that refers to no object."""
        array = self._array(node.array)
        return Node(node.type, node.state, node.items, node.keys, array, node.count, node.columns, node.lengths)

    def _live(self, first: int, node: Node) -> Node:
        items, keys, columns = node.items, node.keys, node.columns
        array = None if node.array is None else self._array(node.array)
        state = node.state.copy()
        for name, value in node.state.items():
            if type(value) is Ref:
                state[name] = self._built[value.index] if value.index < first else self._ahead(value)
        if items:
            if node.type in ("set", "frozenset"):
                self._check_hashable(items)
            items = self._values(first, items)
        if keys:
            self._check_hashable(keys)
            keys = self._values(first, keys)
        if columns:
            columns = {name: self._values(first, column) for name, column in columns.items()}
        return Node(node.type, state, items, keys, array, node.count, columns, node.lengths)

    def _array(self, place: int) -> Any:
        array = self._graph.arrays[place]
        if type(array) is np.ndarray or (type(array) is Stream and place in self._in_portions):
            return array
        return np.asarray(array)

    def _values(self, first: int, values: list[Any]) -> list[Any]:
        count = countOf(map(type, values), Ref)
        if not count:
            return values
        built = self._built
        if count == len(values):
            places = list(map(_index, values))
            if max(places) < first:
                return list(map(built.__getitem__, places))
        return [
            (built[value.index] if value.index < first else self._ahead(value)) if type(value) is Ref else value
            for value in values
        ]

    def _ahead(self, ref: Ref) -> Any:
        """What a ref to a later object, or to the object itself, stands for: made early, filled in its turn."""
        if ref.index not in self._early:
            node = self._node(ref.index)
            codec = self._codecs[node.type]
            if not isinstance(codec, CyclicCodec):
                raise InvalidStateError(f"a node refers ahead to a {node.type}, which cannot be part of a cycle")
            self._built[ref.index] = codec.new(node, self._building)
            self._early.add(ref.index)
        return self._built[ref.index]

    def _node(self, index: int) -> Node:
        return self._graph.nodes[bisect_right(self._firsts, index) - 1]

    def _check_hashable(self, values: list[Any]) -> None:
        """Hashing a tuple hashes what it holds, as often as it holds it: bound that before it is done."""
        for value in values:
            if type(value) is Ref and self._hash_size(value.index) > self._building.limits.key_size:
                limit = self._building.limits.key_size
                raise InvalidStateError(f"a key or element expands to more than {limit:,} values")

    def _hash_size(self, index: int) -> int:
        """How many values object `index` expands to. Refs lead backwards here, so every size is computed once."""
        sizes = self._sizes
        stack = [index]
        while stack:
            at = stack[-1]
            number = bisect_right(self._firsts, at) - 1
            refs = self._refs[number]
            missing = [i for i in refs if i not in sizes and i < self._firsts[number]]
            if missing:
                stack.extend(missing)
                continue
            size = 1 + len(self._graph.nodes[number].items) + sum(sizes.get(i, 1) for i in refs)
            sizes[at] = min(size, 2**62)
            stack.pop()
        return sizes[index]

    def _reachable(self, start: int) -> bytearray:
        """Which nodes the object numbered `start` is made of."""
        nodes, firsts = self._graph.nodes, self._firsts
        seen = bytearray(len(nodes))
        first = bisect_right(firsts, start) - 1
        seen[first] = 1
        stack = [first]
        while stack:
            for index in self._refs[stack.pop()]:
                number = bisect_right(firsts, index) - 1
                if not seen[number]:
                    seen[number] = 1
                    stack.append(number)
        return seen


def path_of(graph: Graph, index: int) -> str:
    """Where object `index` stands, by the shortest way from a root (``steps[1][1].tree_``); empty for the whole.

    Of a place very deep inside, the last steps only, after ``…``.
    """
    return _path(_ways(graph, index), index)


def _ways(graph: Graph, wanted: int | None = None) -> dict[int, tuple[int, str]]:
    """For each object the one above it by which it is met first, and the step from there; until `wanted` is met."""
    firsts = first_objects(graph.nodes)
    came_from: dict[int, tuple[int, str]] = {}
    queue = []
    for name, value in graph.roots.items():
        if type(value) is Ref and value.index not in came_from:
            came_from[value.index] = (-1, "" if name == "object" else name)
            queue.append(value.index)
    for at in queue:
        if at == wanted:
            break
        number = bisect_right(firsts, at) - 1
        for part, value in _children(graph.nodes[number], at - firsts[number]):
            if type(value) is Ref and value.index not in came_from:
                came_from[value.index] = (at, part)
                queue.append(value.index)
    return came_from


#: Steps of a path that are told: an error names a place, it does not repeat a file.
_STEPS, _STEP_LENGTH = 40, 80


def _path(came_from: Mapping[int, tuple[int, str]], index: int) -> str:
    parts: list[str] = []
    while index in came_from:
        index, part = came_from[index]
        parts.append(part[:_STEP_LENGTH])
        if len(parts) == _STEPS and index in came_from:
            parts.append("…")
            break
    return "".join(reversed(parts)).removeprefix(".")


def _children(node: Node, member: int) -> Iterable[tuple[str, Any]]:
    for name, value in node.state.items():
        yield f".{name}", node.columns[name][member] if name in node.columns else value
    if node.keys:
        for key, value in zip(node.keys, node.items, strict=True):
            yield f"[{key!r}]" if type(key) is not Ref else "[...]", value
            yield ".keys()", key
    else:
        for place, value in enumerate(node.items):
            yield f"[{place}]", value
