"""Checks of fitted attributes that reach compiled code, by class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keepfit.codecs.codec import Building

__all__ = ["CHECKS"]

#: For each class a function of its state that raises `InvalidStateError` where contents could crash.
CHECKS: dict[str, Callable[[dict[str, Any], Building], None]] = {}
