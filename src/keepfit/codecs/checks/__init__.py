"""Checks of fitted attributes: what compiled code would follow blindly, for each class that has any.

`CHECKS` has a function of (attributes, context) for every class of scikit-learn. It is called when a class's parameters
are known to be sound and before anything is set; it raises `InvalidStateError`. Members (the trees of a forest) were
built and checked before their owner, unless they are part of a cycle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

from keepfit.codecs.checks.rules import Check
from keepfit.codecs.codec import Building

__all__ = ["CHECKS"]

_FAMILIES = ("clusters", "encoders", "histogram", "losses", "models", "neighbors", "svm", "trees")


class _Checks(Mapping[str, Callable[[Mapping[str, Any], Building], None]]):
    """The checks of all classes; of one that no family names, a check of its counts."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        for family in _FAMILIES:
            self._checks.update(import_module(f"keepfit.codecs.checks.{family}").CHECKS)
        self._named = frozenset(self._checks)

    def __getitem__(self, name: str) -> Check:
        check = self._checks.get(name)
        if check is None:
            check = self._checks[name] = Check(name)
        return check

    def __iter__(self) -> Iterator[str]:
        return iter(self._named)

    def __len__(self) -> int:
        return len(self._named)


CHECKS = _Checks()
