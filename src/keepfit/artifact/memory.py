"""Memory for whole files."""

from __future__ import annotations

import ctypes
import io
import mmap

import numpy as np

__all__ = ["file_of_zeros"]

_HUGE_PAGE_BYTES = 1 << 21


def file_of_zeros(size: int) -> io.BytesIO:
    """A file in memory, of zeros to be written over.

    Parameters
    ----------
    size : int
        In bytes.

    Notes
    -----
    Nothing else refers to its bytes: it is written in place, and ``getvalue`` gives them without a copy. A large one
    stands in huge pages where the kernel has them, as large arrays of NumPy's do: most of the time to fill fresh memory
    is that of getting it page by page.
    """
    file = io.BytesIO(bytes(size))
    if size >= 2 * _HUGE_PAGE_BYTES and hasattr(mmap, "MADV_HUGEPAGE"):
        with file.getbuffer() as view:
            start = np.frombuffer(view, np.uint8).ctypes.data
        first = -(-start // _HUGE_PAGE_BYTES) * _HUGE_PAGE_BYTES
        length = (start + size - first) // _HUGE_PAGE_BYTES * _HUGE_PAGE_BYTES
        # Advice on memory that this process has asked for; where it is not taken, nothing is lost.
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(length), mmap.MADV_HUGEPAGE)
    return file
