"""Readable names for the parts of an object: what arrays are called, and where errors point."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from keepfit.graph import Node

__all__ = ["part_names", "part_of"]


def part_names(live: Node) -> Sequence[Any]:
    """The items of a named tuple such as a pipeline's ``("scale", scaler)`` are told by its name alone."""
    items = live.items
    if live.type == "tuple" and len(items) > 1 and _is_name(items[0]):
        return [items[0], "", *range(2, len(items))]
    return range(len(items))


def part_of(value: Any, part: Any) -> str:
    """What `value` is called below its container, which has it under `part`, a key or a place."""
    if type(part) is str:
        return part if _is_name(part) else re.sub(r"[^\w -]", "_", part)[:80] if part else ""
    if type(value) is tuple and len(value) > 1 and _is_name(value[0]) and type(part) is int:
        return str(value[0])
    return str(part) if type(part) in (int, bool, float) else "item"


def _is_name(value: Any) -> bool:
    return type(value) is str and value.isidentifier() and len(value) <= 80
