"""Which releases of libraries wrote a graph, and which run."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version

__all__ = ["DISTRIBUTIONS", "running_version", "short_version", "versions_of"]

#: The distribution of each library whose types a graph may name, by the first part of the type's name.
DISTRIBUTIONS = {
    "keepfit": "keepfit",
    "lightgbm": "lightgbm",
    "numpy": "numpy",
    "pandas": "pandas",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "xgboost": "xgboost",
}

#: Other distributions of the same modules.
_VARIANTS = {"xgboost": ("xgboost-cpu",)}


@cache
def running_version(distribution: str) -> str:
    """The installed release of a distribution; empty where it is not installed."""
    for name in (distribution, *_VARIANTS.get(distribution, ())):
        with suppress(PackageNotFoundError):
            return version(name)
    return ""


def short_version(release: str) -> tuple[int, int]:
    """Major and minor number of a release: ``(1, 9)`` for ``"1.9.1"``; ``(0, 0)`` where it has none."""
    major, _, rest = release.partition(".")
    minor = rest.partition(".")[0]
    if not (major.isascii() and major.isdigit() and minor.isascii() and minor.isdigit()):
        return (0, 0)
    return (int(major[:9]), int(minor[:9]))


def versions_of(types: Iterable[str]) -> dict[str, str]:
    """The running releases of the libraries that these type names come from, by distribution."""
    return dict(_versions_of(frozenset(types)))


@lru_cache(maxsize=1000)
def _versions_of(types: frozenset[str]) -> dict[str, str]:
    tops = {name.partition(".")[0] for name in types}
    found = sorted(DISTRIBUTIONS[top] for top in tops if top in DISTRIBUTIONS)
    return {name: running_version(name) for name in found}
