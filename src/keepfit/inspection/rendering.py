"""A report as text and as HTML. What a file says is shown, never acted on by the terminal or the browser."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator
from typing import Any

from keepfit.inspection.report import Effect, Report
from keepfit.inspection.tree import TreeNode

__all__ = ["as_html", "as_text"]

_LINE = 160
_NAMES, _TYPES, _ARRAYS, _CHANGES = 20, 12, 10, 10


def as_text(report: Report) -> str:
    """The report for a terminal: printable characters only, lines of bounded length.

    Parameters
    ----------
    report : Report

    Returns
    -------
    str
    """
    lines = [_title(report)]
    for heading, found in _sections(report):
        for place, line in enumerate(found):
            lines.append(f"{heading if place == 0 else '':<12}{line}")
    lines += ["", *_tree_lines(report.tree)]
    for part in report.parts:
        lines += ["", f"{printable(part.name, 80)}: {as_text(part)}"]
    return "\n".join(lines)


def as_html(report: Report) -> str:
    """The report for a notebook: no script, no style sheet, every text escaped.

    Parameters
    ----------
    report : Report

    Returns
    -------
    str
    """
    rows = "".join(
        f'<tr><th style="text-align:left;vertical-align:top">{_escaped(heading)}</th>'
        f'<td style="text-align:left">{"<br>".join(map(_escaped, found))}</td></tr>'
        for heading, found in _sections(report)
        if found
    )
    tree = _escaped("\n".join(_tree_lines(report.tree)))
    parts = "".join(f"<p>{_escaped(printable(part.name, 80))}</p>{as_html(part)}" for part in report.parts)
    return (
        f"<div><p>{_escaped(_title(report))}</p><table>{rows}</table>"
        f"<details><summary>Types</summary><pre>{tree}</pre></details>{parts}</div>"
    )


def printable(text: str, limit: int = _LINE) -> str:
    """`text` with control characters, escapes and what turns the direction of writing spelled out; cut to `limit`."""
    cut = text[: limit + 1]
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape", "replace").decode() for char in cut)
    return shown if len(text) <= limit and len(shown) <= 2 * limit else f"{shown[:limit]}…"


def _escaped(text: str) -> str:
    return html.escape(text)


def _title(report: Report) -> str:
    kind = f"a {report.kind} file of format {printable(report.format_version, 12)}"
    if report.verdict:
        notes = ", ".join(filter(None, [report.format_version, report.compression]))
        kind = f"a {report.kind} file{f' ({printable(notes)})' if notes else ''}"
    return f"{kind}, {_size(report.size_bytes)}, sha256 {report.digest}"


def _sections(report: Report) -> list[tuple[str, list[str]]]:
    return [
        ("object", [printable(report.type)]),
        ("written by", _versions(report)),
        ("written", [printable(report.written)] if report.written else []),
        ("verdict", _verdict(report)),
        ("load", [] if report.verdict else _loading(report)),
        ("imports", _effects(report.imports, "import")),
        ("calls", _effects(report.calls, "call")),
        ("changes", _first(report.changes, _CHANGES)),
        ("metadata", [f"{printable(name, 60)}: {_value(value)}" for name, value in _some(report.metadata)]),
        ("features", _listed(report.features)),
        ("classes", _listed(report.classes)),
        ("parameters", [f"{printable(name, 60)}: {_value(value)}" for name, value in _some(report.parameters)]),
        ("sample", ["kept; keepfit.verify replays it"] if "sample" in report.roots else []),
        ("types", [f"{count:>7,}  {printable(name)}" for name, count in list(report.types.items())[:_TYPES]]),
        ("", _more(len(report.types) - _TYPES, "types")),
        ("arrays", _arrays(report)),
    ]


def _versions(report: Report) -> list[str]:
    lines = []
    for name, release in list(report.versions.items())[:_NAMES]:
        here = report.running.get(name, "")
        note = "" if release == here else f" ({here} is running)" if here else " (not installed here)"
        lines.append(f"{printable(name, 40)} {printable(release, 40)}{note}")
    return lines


def _loading(report: Report) -> list[str]:
    if report.loads_as_it_is:
        return ["keepfit.load(file) builds it; nothing needs to be opened"]
    return _needs(report)


def _verdict(report: Report) -> list[str]:
    """The verdict on a foreign file, with what speaks against it."""
    if report.verdict == "convertible" and not report.capabilities:
        return ["convertible: keepfit.convert(file, target) makes a keepfit file of it"]
    return [report.verdict, *_needs(report)] if report.verdict else []


def _effects(effects: tuple[Effect, ...], what: str) -> list[str]:
    """What pickle would do, on one line each."""
    lines = [
        f"{printable(effect.name)} (byte {effect.place:,}{f', {effect.count:,} times' if effect.count > 1 else ''})"
        for effect in effects[:_NAMES]
    ]
    if lines:
        lines.insert(0, f"pickle would {what}:")
    return [*lines, *_more(len(effects) - _NAMES, "names")]


def _needs(report: Report) -> list[str]:
    lines = [
        f"{obstacle.error} at {printable(obstacle.place) or 'the top'}: {printable(obstacle.message, 400)}"
        for obstacle in report.obstacles[:_NAMES]
    ]
    lines += _more(len(report.obstacles) - _NAMES, "of these")
    if report.capabilities:
        lines.append(f"needs allow={{{', '.join(map(repr, report.capabilities))}}}")
    if report.untrusted_types:
        lines.append("needs trusted= with these names, if you know and trust them:")
        found = list(report.untrusted_types.items())[:_NAMES]
        lines += [f"  {printable(name)} at {printable(place) or 'the top'}" for name, place in found]
        lines += _more(len(report.untrusted_types) - _NAMES, "names")
    return lines


def _arrays(report: Report) -> list[str]:
    total = _sizes(report.array_bytes, report.stored_bytes)
    lines = [f"{report.array_count:,} of {total}"] if report.array_count else []
    for array in report.arrays[:_ARRAYS]:
        shape = " x ".join(f"{length:,}" for length in array.shape) or "one value"
        sizes = _sizes(array.size_bytes, array.stored_bytes)
        lines.append(f"  {printable(array.name, 80)}: {printable(array.dtype, 40)}, {shape}, {sizes}")
    return [*lines, *_more(report.array_count - _ARRAYS, "arrays")]


def _some(values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for place, (name, value) in enumerate(values.items()):
        if place == _NAMES:
            yield "…", f"and {len(values) - _NAMES:,} more"
            return
        yield name, value


def _listed(values: list[Any]) -> list[str]:
    if not values:
        return []
    shown = ", ".join(_value(value, 40) for value in values[:_NAMES])
    return [f"{len(values):,}: {shown}{', …' if len(values) > _NAMES else ''}"]


def _first(texts: Iterable[str], count: int) -> list[str]:
    found = list(texts)
    return [*map(printable, found[:count]), *_more(len(found) - count, "")]


def _more(count: int, what: str) -> list[str]:
    return [f"… and {count:,} more {what}".rstrip()] if count > 0 else []


def _value(value: Any, limit: int = _LINE) -> str:
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), limit)


def _sizes(size_bytes: int, stored_bytes: int) -> str:
    return _size(size_bytes) + (f" ({_size(stored_bytes)} compressed)" if stored_bytes != size_bytes else "")


def _size(size_bytes: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if size_bytes >= size:
            return f"{size_bytes / size:.1f} {unit}"
    return f"{size_bytes} bytes"


def _tree_lines(node: TreeNode, lead: str = "", mark: str = "", below: str = "") -> Iterator[str]:
    name = f"{printable(node.label, 80)}: " if node.label else ""
    detail = f"  {printable(node.detail, 80)}" if node.detail else ""
    shared = f"  (the same as {printable(node.same_as)})" if node.same_as else ""
    yield f"{lead}{mark}{name}{printable(node.type)}{detail}{shared}"
    lead += below
    for place, child in enumerate(node.children):
        last = place == len(node.children) - 1 and not node.left_out
        yield from _tree_lines(child, lead, "└─ " if last else "├─ ", "   " if last else "│  ")
    if node.left_out:
        yield f"{lead}└─ … and {node.left_out:,} more"
