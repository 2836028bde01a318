"""Searches that can be stopped and go on: a joblib backend, the identity of a task, progress.

`checkpoint` is the way in. `joblib_seam` and `sklearn_seam` are the places where private names of those libraries are
touched.
"""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager
from types import ModuleType
from typing import TYPE_CHECKING

from keepfit.checkpoint.run import Run, RunSearch, checkpoint

if TYPE_CHECKING:
    from keepfit.store import Store

__all__ = ["Run", "RunSearch", "checkpoint"]


class _Callable(ModuleType):
    """This package. ``keepfit.checkpoint`` is the function, until something imports the package of that name: then
    Python puts the package in its place. So the package does what the function does."""

    def __call__(
        self, store: str | os.PathLike[str] | Store, *, progress: bool | None = None, share: bool = True
    ) -> AbstractContextManager[Run]:
        return checkpoint(store, progress=progress, share=share)


sys.modules[__name__].__class__ = _Callable
