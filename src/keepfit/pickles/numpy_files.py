"""NumPy's own files: ``.npy``, which holds a pickle where its array is of objects, and ``.npz``, a zip of them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from keepfit.errors import FormatError
from keepfit.graph import LIMITS, Limits
from keepfit.pickles.archives import members
from keepfit.pickles.arrays import array_of_bytes
from keepfit.pickles.machine import Log, Machine
from keepfit.pickles.stream import Stream
from keepfit.pickles.values import Mapping

__all__ = ["is_npy", "read_npy", "read_npz"]

_MAGIC = b"\x93NUMPY"


def is_npy(data: memoryview) -> bool:
    """Whether bytes begin as a ``.npy`` file does."""
    return data[: len(_MAGIC)] == _MAGIC


def read_npy(data: memoryview, log: Log, *, limits: Limits = LIMITS) -> Any:
    """The array of a ``.npy`` file; of an array of objects the record that its pickle stands for.

    Parameters
    ----------
    data : memoryview
    log : Log
        Collects what pickle would do.
    limits : Limits, default=LIMITS

    Raises
    ------
    FormatError
        If it is anything else.
    """
    # NumPy reads the header as a literal of at most 10,000 characters; the contents are read here.
    start = io.BytesIO(bytes(data[: 1 << 17]))
    try:
        version = np.lib.format.read_magic(start)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, is_fortran, dtype = read_header(start)
    except (ValueError, KeyError, TypeError, SyntaxError, RecursionError, MemoryError, OverflowError) as error:
        raise FormatError(f"the header of a .npy file is damaged: {str(error)[:200]}") from None
    rest = data[start.tell() :]
    if not dtype.hasobject:
        return array_of_bytes(np.ndarray, dtype, shape, rest, "F" if is_fortran else "C")
    stream = Stream(rest)
    root = Machine(stream, limits=limits, log=log).run()
    if stream.position != stream.size:
        raise FormatError(f"{stream.size - stream.position:,} bytes follow the pickle of a .npy file")
    return root


def read_npz(data: memoryview, log: Log, *, limits: Limits = LIMITS) -> Mapping:
    """The arrays of a ``.npz`` file by name; see `read_npy`."""
    found = Mapping([], [], 0)
    for name, contents in members(data, limits=limits):
        found.keys.append(name.removesuffix(".npy"))
        found.items.append(read_npy(memoryview(contents), log, limits=limits))
    return found
