"""From the bytes of keepfit's own files to a report, and the choice between these and `keepfit.inspection.foreign`."""

from __future__ import annotations

import hashlib
import heapq
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, TypeVar

import msgspec

from keepfit import artifact, codecs
from keepfit.codecs import policy
from keepfit.codecs.codec import Building, find_codec
from keepfit.codecs.estimators import EstimatorCodec
from keepfit.codecs.migrations import migrate
from keepfit.codecs.versions import DISTRIBUTIONS, running_version
from keepfit.errors import KeepfitError, UntrustedError, VersionError
from keepfit.facts import metadata_of
from keepfit.graph import LIMITS, Graph, Limits, Node, Ref, first_objects
from keepfit.inspection.report import ArrayInfo, Obstacle, Report
from keepfit.inspection.tree import array_shape_and_dtype, type_tree

__all__ = ["foresee", "inspect", "largest_arrays", "type_counts"]

_T = TypeVar("_T", dict[str, Any], list[Any])

_ARRAYS = 10_000
#: The capabilities that the policy on parameters asks for.
_POLICY = frozenset({"paths", "patterns"})
_DEPTH = 32
#: Finding the place of an obstacle costs a walk over the graph.
_OBSTACLES = 20


def inspect(
    file: str | os.PathLike[str] | BinaryIO | bytes | bytearray | memoryview, *, limits: Limits = LIMITS
) -> Report:
    """Say what a file holds. Nothing in it is imported or run.

    Parameters
    ----------
    file : str, path-like, binary file object or bytes-like
        What `keepfit.dump` wrote; a pickle or joblib file, plain or compressed; ``.npy`` or ``.npz``; a skops file or
        another zip archive with such files in it; or its contents. ``scheme://`` places are opened by fsspec.
    limits : keepfit.graph.Limits, default=LIMITS
        As for `keepfit.load`.

    Returns
    -------
    Report
        ``print`` it, show it in a notebook, or take its fields; `Report.to_json` for programs.

    Raises
    ------
    FormatError
        If the bytes are a keepfit file that is damaged, or nothing of all this; the message says what they are.
    OSError
        If the place cannot be read.
    TypeError
        If `file` is not a place or bytes.

    Notes
    -----
    Cost is linear in the size of the file, unpacked. Every byte of a keepfit file is compared with its checksum, and
    nothing is built of it. Of a pickle's translation the object is built by keepfit's tables and checks, to know that
    `keepfit.convert` would.

    Examples
    --------
    >>> import keepfit
    >>> from sklearn.linear_model import LogisticRegression
    >>> model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    >>> report = keepfit.inspect(keepfit.dumps(model, metadata={"accuracy": 1.0}))
    >>> report.type, report.metadata, report.loads_as_it_is
    ('sklearn.linear_model.LogisticRegression', {'accuracy': 1.0}, True)
    """
    data: Any = file if isinstance(file, (bytes, bytearray, memoryview)) else artifact.open_bytes(file, limits=limits)
    from keepfit.inspection.foreign import describe

    return describe(data, limits=limits) or _describe(data, limits)


def _describe(data: Any, limits: Limits) -> Report:
    graph, facts = artifact.read(data, limits=limits)
    capabilities, changes, obstacles = foresee(graph)
    tree = type_tree(graph)
    stored = _compressed_sizes(graph)
    return Report(
        kind="keepfit",
        format_version=artifact.PACKED_VERSION if graph.packed else artifact.PLAIN_VERSION,
        size_bytes=memoryview(data).nbytes,
        digest=hashlib.sha256(data).hexdigest(),
        type=tree.type,
        versions=dict(graph.versions),
        running={name: running_version(name) for name in DISTRIBUTIONS.values() if name in graph.versions},
        metadata=_shallow(metadata_of(facts)),
        parameters=_fact(facts, "parameters", dict),
        features=_fact(facts, "features", list),
        classes=_fact(facts, "classes", list),
        roots=tuple(graph.roots),
        tree=tree,
        types=type_counts(graph),
        arrays=largest_arrays(graph),
        array_count=len(graph.arrays),
        array_bytes=sum(array.nbytes for array in graph.arrays),
        stored_bytes=sum(stored.get(place, array.nbytes) for place, array in enumerate(graph.arrays)),
        untrusted_types=codecs.untrusted_types(graph),
        capabilities=capabilities,
        changes=changes,
        obstacles=obstacles,
    )


def _fact(facts: Mapping[str, str], name: str, kind: type[_T]) -> _T:
    """A fact that is JSON; empty where it is not of the kind that `dump` writes."""
    try:
        found = msgspec.json.decode(facts.get(name, "null"))
    except (msgspec.DecodeError, RecursionError):
        return kind()
    return _shallow(found) if isinstance(found, kind) else kind()


def _shallow(value: Any, depth: int = 0) -> Any:
    """`value` without what is nested deeper than anybody reads."""
    if not isinstance(value, (dict, list)):
        return value
    if depth == _DEPTH:
        return "…"
    if isinstance(value, list):
        return [_shallow(item, depth + 1) for item in value]
    return {name: _shallow(item, depth + 1) for name, item in value.items()}


def type_counts(graph: Graph) -> dict[str, int]:
    """How many of each type a graph has, most first."""
    counts: Counter[str] = Counter()
    for node in graph.nodes:
        counts[node.type] += node.count
    return dict(counts.most_common())


def largest_arrays(graph: Graph) -> tuple[ArrayInfo, ...]:
    """The largest arrays of a graph."""
    owners = {node.array: node for node in graph.nodes if node.array is not None}
    largest = heapq.nsmallest(_ARRAYS, range(len(graph.arrays)), key=lambda place: (-graph.arrays[place].nbytes, place))
    stored = _compressed_sizes(graph)
    return tuple(_array_info(graph, place, owners[place], stored) for place in largest)


def _compressed_sizes(graph: Graph) -> dict[int, int]:
    return {packed.array: sum(packed.frames) for packed in graph.packed}


def _array_info(graph: Graph, place: int, owner: Node, stored: dict[int, int]) -> ArrayInfo:
    shape, dtype = array_shape_and_dtype(graph, owner)
    size = graph.arrays[place].nbytes
    return ArrayInfo(graph.names[place], dtype, shape, size, stored.get(place, size))


def foresee(graph: Graph) -> tuple[tuple[str, ...], tuple[str, ...], tuple[Obstacle, ...]]:
    """What `load` would ask for, change and refuse, by the same rules, from the graph alone."""
    needed: set[str] = set()
    context = Building(graph.versions)
    obstacles: dict[str, Obstacle] = {}
    try:
        graph = migrate(graph)
    except VersionError as error:
        obstacles[error.message] = Obstacle(type(error).__name__, error.path or "", error.message)
    for index, node in zip(first_objects(graph.nodes), graph.nodes, strict=True):
        if node.type == "code":
            needed.add("code")
        codec = find_codec(node.type)
        if not isinstance(codec, EstimatorCodec):
            continue
        try:
            codec.check_names(node.state, context)
            needed.update(name for state in _states(node) for name in _capabilities(node.type, state, context))
        except KeepfitError as error:
            if error.message not in obstacles and len(obstacles) < _OBSTACLES:
                place = codecs.path_of(graph, index)
                obstacles[error.message] = Obstacle(type(error).__name__, place, error.message)
    return tuple(sorted(needed)), tuple(dict.fromkeys(context.changes)), tuple(obstacles.values())


def _states(node: Node) -> Iterator[dict[str, Any]]:
    """States with every value that a field of a node has, for the members of a group as well."""
    yield node.state
    for name, column in node.columns.items():
        for value in {value for value in column if type(value) is not Ref}:
            yield {**node.state, name: value}


def _capabilities(name: str, state: dict[str, Any], context: Building) -> list[str]:
    """The capabilities without which the policy refuses a state; what it would change goes into the context."""
    if not _refused(name, state, context):
        return []
    return [word for word in _POLICY if _refused(name, state, Building(context.versions, allow=_POLICY - {word}))]


def _refused(name: str, state: dict[str, Any], context: Building) -> bool:
    try:
        policy.apply(name, state, context)
    except UntrustedError:
        return True
    return False
