"""Arrays that are yet to be put together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Rows"]

_BLOCK_BYTES = 1 << 18  # which a processor's cache holds


class Rows:
    """The rows of several arrays, one after the other, as one array that nobody has copied yet.

    The nodes of a forest's trees are one array in a file and hundreds in memory: they are put together where the file
    is written, block by block.

    Parameters
    ----------
    parts : sequence of (ndarray or Rows)
        At least one, of at least one dimension; of one dtype, and of the same shape but for the number of rows.
    gaps : sequence of slice, default=()
        Places along the last dimension that hold whatever lay in memory there. They become zeros.

    Attributes
    ----------
    dtype : dtype
    shape : tuple of int
    nbytes : int
    ndim : int

    Examples
    --------
    >>> rows = Rows([np.zeros((2, 3)), np.ones((1, 3))], gaps=[slice(1, 2)])
    >>> rows.shape, rows.nbytes
    ((3, 3), 72)
    >>> np.asarray(rows).tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 1.0]]
    """

    __slots__ = ("_runs", "dtype", "shape")

    def __init__(self, parts: Sequence[NDArray[Any] | Rows], gaps: Sequence[slice] = ()) -> None:
        first = parts[0]
        self.dtype: np.dtype[Any] = first.dtype
        self.shape: tuple[int, ...] = (sum(map(len, parts)), *first.shape[1:])
        self._runs: list[tuple[list[NDArray[Any]], Sequence[slice]]] = []
        for part in parts:
            if isinstance(part, Rows):
                self._runs += part._runs
            elif self._runs and self._runs[-1][1] is gaps:
                self._runs[-1][0].append(part)
            else:
                self._runs.append(([part], gaps))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def blocks(self) -> Iterator[NDArray[Any]]:
        """The rows in order, a C-contiguous array of some of them at a time."""
        row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        step = max(_BLOCK_BYTES // max(row_bytes, 1), 1)
        for parts, gaps in self._runs:
            for few in _up_to(step, parts):
                if len(few) == 1 and not gaps and few[0].flags.c_contiguous:
                    yield few[0]
                    continue
                whole = few[0] if len(few) == 1 else np.concatenate(few)
                for start in range(0, len(whole), step):
                    block = whole[start : start + step]
                    if len(few) == 1:
                        block = block.copy()
                    for gap in gaps:
                        block[..., gap] = 0
                    yield block

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        joined = np.concatenate([*self.blocks(), np.empty((0, *self.shape[1:]), self.dtype)])
        return joined if dtype is None else joined.astype(dtype, copy=False)


def _up_to(rows: int, parts: list[NDArray[Any]]) -> Iterator[list[NDArray[Any]]]:
    """Parts together up to so many rows; longer ones alone."""
    few: list[NDArray[Any]] = []
    length = 0
    for part in parts:
        if few and length + len(part) > rows:
            yield few
            few, length = [], 0
        few.append(part)
        length += len(part)
    yield few
