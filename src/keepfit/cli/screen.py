"""What commands write: tables in plain text, JSON, sizes and times in words."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import click

from keepfit.errors import UntrustedError

__all__ = [
    "TRUSTED",
    "clean",
    "counted",
    "duration",
    "in_words",
    "number",
    "say",
    "size",
    "table",
    "when",
    "write_json",
]

_WIDE = 60

#: What ``--trusted`` says in the help of each command that has it.
TRUSTED = "A class of yours that it may use, by dotted name, also from the current folder."


def clean(text: object, limit: int | None = None) -> str:
    """Text for a terminal: a store or a file may be somebody else's, and must not steer it."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
    return shown if limit is None or len(shown) <= limit else shown[: limit - 1] + "…"


def say(text: str) -> None:
    """A remark to the person at the terminal; standard output is for results."""
    click.echo(text, err=True)


def in_words(error: Exception) -> str:
    """An error as a command says it."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, UntrustedError) and error.names:
        scripts = [name.removeprefix("__main__.") for name in error.names if name.startswith("__main__.")]
        others = [f"--trusted {name}" for name in error.names if not name.startswith("__main__.")]
        ways = [f"pass {' '.join(others)}"] if others else []
        own = ", ".join(scripts)
        if scripts:
            ways.append(f"define or import {own} in Python, and load or convert it there with trusted=[{own}]")
        what = f"{error.path or 'the top'}: it uses {', '.join(error.names)}, which keepfit does not know"
        return f"{what}. If you know and trust it, {'; '.join(ways)}"
    return str(error)


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows under their headers; columns of numbers stand on the right."""
    shown = [[_cell(value) for value in row] for row in rows]
    raw = [headers, *shown]
    widths = [max(len(line[column]) for line in raw) for column in range(len(headers))]
    right = [bool(shown) and all(_is_number(line[column]) for line in shown) for column in range(len(headers))]
    lines = []
    for line in raw:
        cells = [
            cell.rjust(width) if on_right else cell.ljust(width)
            for cell, width, on_right in zip(line, widths, right, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def write_json(value: Any) -> None:
    """A result for programs: standard JSON in ASCII, where NaN is null."""
    click.echo(json.dumps(_plain(value), indent=2))


def number(value: float | None) -> str:
    """A score in five digits."""
    return "-" if value is None or math.isnan(value) else f"{value:.5g}"


def counted(count: int, noun: str) -> str:
    """So many of something: ``1 row``, ``1,000 rows``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def size(size_bytes: int) -> str:
    """A size in words."""
    scaled = float(size_bytes)
    for unit in ("bytes", "KB", "MB", "GB"):
        if scaled < 1000:
            return f"{scaled:.0f} {unit}" if unit == "bytes" else f"{scaled:.1f} {unit}"
        scaled /= 1000
    return f"{scaled:.1f} TB"


def duration(duration_s: float) -> str:
    """A time span in words."""
    if duration_s < 60:
        return f"{duration_s:.1f} s"
    minutes, seconds = divmod(round(duration_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"


def when(moment: datetime) -> str:
    """A moment in the local time zone."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


def _cell(value: object) -> str:
    return "-" if value is None else clean(value, _WIDE)


def _is_number(text: str) -> bool:
    return text == "-" or text.replace(".", "", 1).replace(",", "").lstrip("-").isdigit()


def _plain(value: Any) -> Any:
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
