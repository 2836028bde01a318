"""Arrays that are yet to be put together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Rows", "Shaped"]

_BLOCK_BYTES = 1 << 18  # which a processor's cache holds
#: Arrays without gaps that are larger are no longer to hash by themselves than copied together with others.
_ALONE_BYTES = 1 << 14


class Shaped:
    """What an array will be, before it is one: its dtype and its shape, of at least one dimension."""

    __slots__ = ("dtype", "shape")

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]


class Rows(Shaped):
    """The rows of several arrays, one after the other, as one array that nobody has copied yet.

    The nodes of a forest's trees are one array in a file and hundreds in memory: they are put together where the file
    is written, block by block.

    Parameters
    ----------
    parts : sequence of (ndarray or Rows)
        At least one, of at least one dimension; of one dtype, and of the same shape but for the number of rows. Arrays
        are C-contiguous.
    gaps : sequence of slice, default=()
        Places along the last dimension, of octets, that hold whatever lay in memory there. They become zeros.
    like : ndarray, default=None
        Of the dtype, and of the shape but for the number of rows, that the octets of arrays are taken for; None for
        those of the first part.

    Attributes
    ----------
    dtype : dtype
    shape : tuple of int
    nbytes : int
    ndim : int

    Examples
    --------
    >>> rows = Rows([np.ones((2, 3), "u1"), np.ones((1, 3), "u1")])
    >>> rows.shape, rows.nbytes
    ((3, 3), 9)
    >>> records = np.ones(2, np.dtype([("flag", "u1"), ("value", "<u4")], align=True))
    >>> np.asarray(Rows([records], gaps=[slice(1, 4)], like=np.empty((0, 8), "u1"))).tolist()
    [[1, 0, 0, 0, 1, 0, 0, 0], [1, 0, 0, 0, 1, 0, 0, 0]]
    """

    __slots__ = ("_runs",)

    def __init__(
        self, parts: Sequence[NDArray[Any] | Rows], gaps: Sequence[slice] = (), *, like: NDArray[Any] | None = None
    ) -> None:
        sample = parts[0] if like is None else like
        self.dtype = sample.dtype
        self.shape = (sum(map(len, parts)), *sample.shape[1:])
        self._runs: list[tuple[list[NDArray[Any]], Sequence[slice]]] = []
        arrays: list[NDArray[Any]] = []
        if Rows not in set(map(type, parts)):
            arrays, parts = list(parts), ()  # type: ignore[arg-type]
        for part in parts:
            if isinstance(part, Rows):
                self._runs += [(arrays, gaps), *part._runs] if arrays else part._runs
                arrays = []
            else:
                arrays.append(part)
        if arrays:
            self._runs.append((arrays, gaps))

    def blocks(self) -> Iterator[NDArray[Any]]:
        """The rows in order, a C-contiguous array of some of them at a time."""
        rest = self.shape[1:]
        row_bytes = math.prod(rest) * self.dtype.itemsize
        if not row_bytes:
            yield np.empty(self.shape, self.dtype)
            return
        for arrays, gaps in self._runs:
            mask = _mask(rest[-1], gaps) if gaps else None
            alone_bytes = _BLOCK_BYTES if gaps else _ALONE_BYTES
            for few in _up_to(_BLOCK_BYTES // row_bytes, alone_bytes // row_bytes, arrays):
                if len(few) == 1 and mask is None:
                    yield np.ndarray((len(few[0]), *rest), self.dtype, few[0])
                    continue
                for joined in _joined(few, _BLOCK_BYTES // row_bytes):
                    if mask is not None:
                        words = np.frombuffer(joined, mask.dtype).reshape(-1, len(mask))
                        for place in np.flatnonzero(~mask):
                            words[:, place] &= mask[place]
                    yield np.frombuffer(joined, self.dtype).reshape(-1, *rest)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        joined = np.concatenate([*self.blocks(), np.empty((0, *self.shape[1:]), self.dtype)])
        return joined if dtype is None else joined.astype(dtype, copy=False)


def _up_to(rows: int, alone: int, arrays: list[NDArray[Any]]) -> Iterator[list[NDArray[Any]]]:
    """Arrays together up to so many rows; those of more than `alone` rows by themselves."""
    counts = list(map(len, arrays))
    if max(counts) <= alone and sum(counts) <= rows:
        yield arrays
        return
    few: list[NDArray[Any]] = []
    length = 0
    for array, count in zip(arrays, counts, strict=True):
        length += count
        if few and (length > rows or count > alone):
            yield few
            few, length = [], count
        few.append(array)
        if count > alone:
            length = rows
    yield few


def _joined(few: list[NDArray[Any]], rows: int) -> Iterator[bytearray]:
    """Copies of the octets of arrays, end to end; of one alone, up to so many of its rows at a time."""
    if len(few) > 1:
        yield _octets(few)
        return
    rows = max(rows, 1)
    for start in range(0, len(few[0]), rows):
        yield _octets([few[0][start : start + rows]])


def _octets(arrays: Iterable[Any]) -> bytearray:
    return bytearray().join(arrays)


def _mask(length: int, gaps: Sequence[slice]) -> NDArray[Any]:
    """What so many octets are masked with so that those in gaps become zeros: in words, where they fill some."""
    mask = np.full(length, 255, np.uint8)
    for gap in gaps:
        mask[gap] = 0
    return mask.view(np.uint64) if length % 8 == 0 else mask
