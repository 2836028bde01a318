"""Reports on files that are not keepfit's own: pickles, joblib files, NumPy's, skops files and other zip archives."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import msgspec

from keepfit import artifact, codecs, pickles
from keepfit.codecs.versions import running_version
from keepfit.errors import FormatError, KeepfitError, UnsupportedError
from keepfit.graph import LIMITS, Graph, Limits
from keepfit.inspection.inspecting import foresee, largest_arrays, type_counts
from keepfit.inspection.report import Effect, Obstacle, Report
from keepfit.inspection.tree import TreeNode, type_tree
from keepfit.pickles import archives

__all__ = ["describe"]

_EMPTY: dict[str, Any] = {
    "metadata": {}, "parameters": {}, "features": [], "classes": [], "roots": ("object",), "array_count": 0,
    "array_bytes": 0, "stored_bytes": 0, "arrays": (), "types": {}, "versions": {}, "running": {},
}  # fmt: skip
#: Archives inside archives that are opened.
_DEPTH = 2
#: From the most to the least harmless.
_VERDICTS = ("convertible", "refused", "unreadable")


def describe(data: Any, *, limits: Limits = LIMITS, name: str = "", depth: int = 0) -> Report | None:
    """The report on foreign bytes; None where they are keepfit's own, or nothing that is known.

    Parameters
    ----------
    data : bytes-like
    limits : Limits, default=LIMITS
    name : str, default=""
        The name of a member of an archive.
    depth : int, default=0
        How many archives it lies in.
    """
    view = memoryview(data).cast("B")
    words = artifact.sniff(view)
    if "keepfit file" in words:
        return None
    if archives.is_zip(view):
        return _zip(view, name, depth, limits)
    contents = pickles.read(view, limits=limits)
    if not contents.is_one(words):
        return None
    return _pickle(view, contents, name, limits)


def _report(view: memoryview, kind: str, name: str, **fields: Any) -> Report:
    fields = {"format_version": "", "tree": TreeNode("", "unknown"), **_EMPTY, **fields}
    fields.setdefault("type", fields["tree"].type)
    return Report(kind=kind, size_bytes=len(view), digest=hashlib.sha256(view).hexdigest(), name=name, **fields)


def _pickle(view: memoryview, contents: pickles.Contents, name: str, limits: Limits) -> Report:
    found: dict[str, Any] = {
        "format_version": f"protocol {contents.protocol}" if contents.kind in ("pickle", "joblib") else "",
        "compression": contents.compression,
        "imports": _effects(contents.log.imports),
        "calls": _effects(contents.log.calls),
        "written": _written(view),
    }
    if contents.error is not None:
        return _report(view, contents.kind, name, verdict="unreadable", obstacles=(_obstacle(contents.error),), **found)
    problems: list[KeepfitError] = []
    try:
        graph = contents.graph(problems=problems)
    except KeepfitError as error:
        obstacles = tuple(map(_obstacle, [*problems, error]))
        return _report(view, contents.kind, name, verdict="refused", obstacles=obstacles, **found)
    return _report(view, contents.kind, name, **found, **_of_graph(graph, problems, limits))


def _of_graph(graph: Graph, problems: list[KeepfitError], limits: Limits) -> dict[str, Any]:
    untrusted = {place: where for place, where in codecs.untrusted_types(graph).items() if place != "refused"}
    capabilities, _, _ = foresee(graph)
    changes: list[str] = []
    if not problems and not untrusted:
        try:
            codecs.decode(graph, limits=limits, changes=changes)
        except KeepfitError as error:
            problems = [error]
    return {
        "tree": type_tree(graph),
        "types": type_counts(graph),
        "arrays": largest_arrays(graph),
        "array_count": len(graph.arrays),
        "array_bytes": sum(array.nbytes for array in graph.arrays),
        "stored_bytes": sum(array.nbytes for array in graph.arrays),
        "versions": {library: release or "(not said)" for library, release in graph.versions.items()},
        "running": {library: running_version(library) for library in graph.versions},
        "untrusted_types": untrusted,
        "capabilities": capabilities,
        "changes": tuple(dict.fromkeys(changes)),
        "obstacles": tuple(map(_obstacle, problems)),
        "verdict": "refused" if problems or untrusted else "convertible",
    }


def _obstacle(error: KeepfitError) -> Obstacle:
    return Obstacle(type(error).__name__, error.path, error.message)


def _effects(found: dict[str, tuple[int, int]]) -> tuple[Effect, ...]:
    return tuple(Effect(name, count, place) for name, (count, place) in found.items())


def _written(view: memoryview) -> str:
    """When a gzip file was written (RFC 1952, MTIME)."""
    seconds = int.from_bytes(view[4:8], "little") if bytes(view[:2]) == b"\x1f\x8b" else 0
    return datetime.fromtimestamp(seconds, UTC).isoformat() if seconds else ""


# Archives


def _zip(view: memoryview, name: str, depth: int, limits: Limits) -> Report:
    try:
        names = archives.member_names(view, limits=limits)
        if names and all(member.endswith(".npy") for member in names):
            return _pickle(view, pickles.read(view, limits=limits), name, limits)
        if "schema.json" in names:
            return _skops(view, name, limits)
        if depth >= _DEPTH:
            raise FormatError("archives lie too deep inside each other")
        parts = []
        for member, contents in archives.members(view, limits=limits):
            part = describe(contents, limits=limits, name=member, depth=depth + 1)
            if part is not None:
                parts.append(part)
    except FormatError as error:
        return _report(view, "zip", name, verdict="unreadable", obstacles=(_obstacle(error),))
    if not parts:
        nothing = FormatError("the archive holds no pickle, joblib or NumPy file")
        return _report(view, "zip", name, verdict="unreadable", obstacles=(_obstacle(nothing),))
    worst = max((part.verdict for part in parts), key=_VERDICTS.index)
    if worst == "convertible":
        worst = "refused"
        whole = UnsupportedError("an archive is not converted as it stands; unpack it and convert what is in it")
        return _report(view, "zip", name, verdict=worst, obstacles=(_obstacle(whole),), parts=tuple(parts))
    return _report(view, "zip", name, verdict=worst, parts=tuple(parts))


def _skops(view: memoryview, name: str, limits: Limits) -> Report:
    """A skops file, by its schema alone."""
    schema = next(contents for member, contents in archives.members(view, limits=limits) if member == "schema.json")
    try:
        tree = msgspec.json.decode(schema)
    except (msgspec.DecodeError, RecursionError) as error:
        raise FormatError(f"the schema of this skops file is damaged: {str(error)[:200]}") from None
    types: Counter[str] = Counter()
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            if isinstance(node.get("__class__"), str) and isinstance(node.get("__module__"), str):
                types[f"{node['__module__']}.{node['__class__']}"] += 1
            stack += node.values()
        elif isinstance(node, list):
            stack += node
    version = tree.get("_skops_version") if isinstance(tree, dict) else None
    top = f"{tree.get('__module__')}.{tree.get('__class__')}" if isinstance(tree, dict) else "unknown"
    advice = UnsupportedError("skops files are not converted; load it with skops.io and keep it with keepfit.dump")
    return _report(
        view, "skops", name,
        verdict="refused", obstacles=(_obstacle(advice),),
        types=dict(types.most_common()), tree=TreeNode("", top[:200]),
        versions={"skops": version} if isinstance(version, str) else {},
        running={"skops": running_version("skops")} if isinstance(version, str) else {},
    )  # fmt: skip
