"""What figures were measured on, for the files in ``results/``."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from typing import Any

__all__ = ["facts"]


def facts(*packages: str) -> dict[str, Any]:
    """The machine, Python, and the releases of some packages."""
    return {
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
    }
