"""Searches that can be stopped and go on: a joblib backend, the identity of a task, progress.

`checkpoint` is the way in. `joblib_seam` and `sklearn_seam` are the places where private names of those libraries are
touched.
"""

from keepfit.checkpoint.run import Run, RunSearch, checkpoint

__all__ = ["Run", "RunSearch", "checkpoint"]
