"""Where code comes from: an installed package, whose release stands for its code, or the user's own files."""

from __future__ import annotations

import os
import sys
import sysconfig
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

__all__ = ["file_digest", "is_importable", "release_of", "release_of_file"]

_PACKAGE_FOLDERS = ("site-packages", "dist-packages")


def release_of(module: str) -> str | None:
    """The release that stands for the code of a module, such as ``scikit-learn 1.9.1``.

    Parameters
    ----------
    module : str
        Dotted name of a loaded module.

    Returns
    -------
    str or None
        None for the user's own code: notebooks, scripts, packages installed in editable mode.
    """
    if module == "builtins" or module in sys.builtin_module_names:
        return "python"
    loaded = sys.modules.get(module)
    if loaded is None or module == "__main__":
        return None
    file = getattr(loaded, "__file__", None)
    if file is not None:
        return release_of_file(module, file)
    spec = getattr(loaded, "__spec__", None)
    return "python" if spec is not None and spec.origin in ("built-in", "frozen") else None


@lru_cache(maxsize=4096)
def release_of_file(module: str, file: str) -> str | None:
    """As `release_of`, for a module that need not be loaded, by the file it is in."""
    parts = Path(file).parts
    if any(folder in parts for folder in _PACKAGE_FOLDERS):
        return _release(module.partition(".")[0], file)
    return "python" if _is_below(file, _standard_folders()) else None


@lru_cache(maxsize=1)
def _standard_folders() -> tuple[str, ...]:
    return tuple({os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")})


def _is_below(file: str, folders: tuple[str, ...]) -> bool:
    return any(os.path.realpath(file).startswith(folder + os.sep) for folder in folders)


@lru_cache(maxsize=256)
def _release(package: str, file: str) -> str:
    known = getattr(sys.modules.get(package), "__version__", None)
    if isinstance(known, str):
        return f"{package} {known}"
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        pass
    distributions = _distributions().get(package)
    if distributions:
        return " ".join(f"{name} {version(name)}" for name in sorted(set(distributions)))
    return f"{package} {file_digest(file)}"


@lru_cache(maxsize=1)
def _distributions() -> dict[str, list[str]]:
    return {name: list(found) for name, found in packages_distributions().items()}


def file_digest(file: str) -> str:
    """SHA-256 over a file, in hex."""
    return sha256(Path(file).read_bytes()).hexdigest()


def is_importable(obj: Any) -> bool:
    """Whether an object is what its module has under its qualified name."""
    found: Any = sys.modules.get(getattr(obj, "__module__", None) or "")
    for name in getattr(obj, "__qualname__", "").split("."):
        found = getattr(found, name, None)
    return found is obj
