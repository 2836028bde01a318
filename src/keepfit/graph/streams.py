"""Arrays that are yet to be read."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keepfit.graph.rows import Shaped

__all__ = ["Stream"]


class Stream(Shaped):
    """An array of a file whose rows are read in order, some at a time, as they are used.

    What copies an array anyway (a compiled tree takes its nodes so) need not have all of it in memory first.

    Parameters
    ----------
    dtype : dtype
    shape : tuple of int
        Of at least one dimension.
    fill : callable
        Fills a memoryview of bytes with the next of the file. Called after the last row is read, it has seen all bytes
        once, and raises `FormatError` if they are not what was written.

    Examples
    --------
    >>> import io
    >>> rows = Stream(np.dtype("u1"), (3, 2), io.BytesIO(bytes(range(6))).readinto)
    >>> rows.take(2).tolist(), rows.take(1).tolist()
    ([[0, 1], [2, 3]], [[4, 5]])
    """

    __slots__ = ("_buffer", "_fill")

    def __init__(self, dtype: np.dtype[Any], shape: tuple[int, ...], fill: Callable[[memoryview], object]) -> None:
        self.dtype = dtype
        self.shape = shape
        self._fill = fill
        self._buffer = np.empty(0, np.uint8)

    def take(self, count: int) -> NDArray[Any]:
        """The next `count` rows. They are gone with the next call, which uses their memory again."""
        rest = self.shape[1:]
        size = count * math.prod(rest) * self.dtype.itemsize
        if len(self._buffer) < size:
            self._buffer = np.empty(size, np.uint8)
        self._fill(memoryview(self._buffer.data)[:size])
        return np.ndarray((count, *rest), self.dtype, self._buffer.data)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All of it, if no row has been taken."""
        rows = self.take(len(self))
        self._buffer = np.empty(0, np.uint8)
        return rows if dtype is None else rows.astype(dtype, copy=False)
