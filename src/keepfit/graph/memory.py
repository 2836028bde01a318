"""Memory for large arrays and whole files: most of the time to fill it is that of getting it."""

from __future__ import annotations

import ctypes
import io
import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["copy_of", "file_of_zeros", "fresh_memory"]

_HUGE_PAGE_BYTES = 1 << 21

#: Less than this a process has often had before, and has at once; NumPy asks for huge pages from here on.
_LARGE_BYTES = 2 * _HUGE_PAGE_BYTES

#: Memory of this process alone, with all of its pages there at once; 0 where the system does not give that.
_THERE_AT_ONCE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE if hasattr(mmap, "MAP_POPULATE") else 0


def fresh_memory(size: int) -> memoryview:
    """So many bytes of memory to be written over; what is in them is not said.

    Raises
    ------
    MemoryError
        If the system does not give so much.

    Notes
    -----
    The pages of much memory are asked for together, where that can be done: to meet them one by one takes longer. They
    are small ones. Huge ones, as NumPy asks for, take half the time where the system has some at hand, and several
    times as long where it must make them, or is a virtual machine that gave those it had back to its host.
    """
    if size < _LARGE_BYTES or not _THERE_AT_ONCE:
        return memoryview(np.empty(size, np.uint8).data)
    try:
        return memoryview(mmap.mmap(-1, size, flags=_THERE_AT_ONCE))
    except OSError:
        raise MemoryError(f"the system does not give {size:,} bytes of memory") from None


def copy_of(array: NDArray[Any]) -> NDArray[Any]:
    """A copy of a C-contiguous array, to be written to.

    Raises
    ------
    MemoryError
        As for `fresh_memory`.
    """
    if array.nbytes < _LARGE_BYTES:
        return array.copy()
    copy: NDArray[Any] = np.ndarray(array.shape, array.dtype, fresh_memory(array.nbytes))
    copy[...] = array
    return copy


def file_of_zeros(size: int) -> io.BytesIO:
    """A file in memory, of zeros to be written over.

    Parameters
    ----------
    size : int
        In bytes.

    Notes
    -----
    Nothing else refers to its bytes: it is written in place, and ``getvalue`` gives them without a copy. A large one
    stands in huge pages where the kernel has them, as large arrays of NumPy's do.
    """
    file = io.BytesIO(bytes(size))
    if size >= _LARGE_BYTES and hasattr(mmap, "MADV_HUGEPAGE"):
        with file.getbuffer() as view:
            start = np.frombuffer(view, np.uint8).ctypes.data
        first = -(-start // _HUGE_PAGE_BYTES) * _HUGE_PAGE_BYTES
        length = (start + size - first) // _HUGE_PAGE_BYTES * _HUGE_PAGE_BYTES
        # Advice on memory that this process has asked for; where it is not taken, nothing is lost.
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(length), mmap.MADV_HUGEPAGE)
    return file
