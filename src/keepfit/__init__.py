"""keepfit keeps what you fit: trained scikit-learn models, and the work done on the way to them.

``dump``, ``dumps``, ``load``, ``loads`` keep models as data; ``open`` reads parts of a file. ``inspect`` says what a
file holds, also a pickle, ``convert`` makes a keepfit file of one, ``verify`` checks it. ``checkpoint`` lets any
scikit-learn search stop and go on. ``ModelSearchCV`` searches several model types. ``Store`` keeps many models. Each
name is imported when it is first used, so ``import keepfit`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keepfit.checkpoint import checkpoint
    from keepfit.conversion import convert
    from keepfit.errors import KeepfitError, KeepfitWarning
    from keepfit.inspection import Report, inspect
    from keepfit.opening import open
    from keepfit.persistence import dump, dumps, load, loads, verify
    from keepfit.search import ModelSearchCV
    from keepfit.store import Store

__all__ = [
    "KeepfitError",
    "KeepfitWarning",
    "ModelSearchCV",
    "Report",
    "Store",
    "checkpoint",
    "convert",
    "dump",
    "dumps",
    "errors",
    "inspect",
    "load",
    "loads",
    "open",
    "verify",
]

_MODULES = {
    "KeepfitError": "errors",
    "KeepfitWarning": "errors",
    "ModelSearchCV": "search",
    "Report": "inspection",
    "Store": "store",
    "checkpoint": "checkpoint",
    "convert": "conversion",
    "dump": "persistence",
    "dumps": "persistence",
    "inspect": "inspection",
    "load": "persistence",
    "loads": "persistence",
    "open": "opening",
    "verify": "persistence",
}

try:
    __version__ = version("keepfit")
except PackageNotFoundError:  # running from a source tree that is not installed
    __version__ = "0.0.0"


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module("keepfit.errors")
    if name not in _MODULES:
        raise AttributeError(f"module 'keepfit' has no attribute {name!r}")
    value = getattr(import_module(f"keepfit.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
