"""What a result depends on beside its arguments: library releases, threads, and how NumPy takes its errors."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

__all__ = ["numeric_errors", "thread_text", "versions_text"]


def numeric_errors() -> dict[str, str]:
    """What NumPy does about a division by zero, an overflow, an underflow and an invalid value: `numpy.geterr`."""
    import numpy

    return {what: str(how) for what, how in numpy.geterr().items()}


def versions_text() -> str:
    """The releases that every result depends on. Those of other libraries come with the objects that are theirs."""
    import numpy
    import scipy
    import sklearn

    python = f"{sys.implementation.name} {sys.version_info.major}.{sys.version_info.minor} {platform.machine()}"
    libraries = ((module.__name__, module.__version__) for module in (numpy, scipy, sklearn))
    return ", ".join([python, *(f"{name} {release}" for name, release in libraries)])


#: The variables that decide the threads of a new process, in the order in which its libraries ask.
_VARIABLES = {
    "openmp": ("OMP_NUM_THREADS",),
    "blas": ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"),
}


def thread_text(worker_environment: Mapping[str, str] | None) -> str:
    """How many threads a task's arithmetic uses, such as ``blas=2 openmp=2``.

    scikit-learn's results differ in the last bits by the number of threads, so equal means: at the same number.

    Parameters
    ----------
    worker_environment : mapping of str to str or None
        The environment that new worker processes get; None for tasks that run in this process.
    """
    if worker_environment is not None:
        counts = {
            library: next((worker_environment[name] for name in names if name in worker_environment), "?")
            for library, names in _VARIABLES.items()
        }
    else:
        counts = _here()
    return " ".join(f"{library}={count}" for library, count in sorted(counts.items()))


def _here() -> dict[str, str]:
    counts: dict[str, int] = {}
    for library in _controller().info():
        name = library["user_api"]
        counts[name] = max(counts.get(name, 1), library["num_threads"])
    return {name: str(count) for name, count in counts.items()}


@lru_cache(maxsize=1)
def _controller() -> Any:
    """Finding the libraries takes milliseconds, asking them none."""
    import sklearn  # noqa: F401  loads its OpenMP
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
