"""What an array is: dtype, shape, order in memory and every byte, for NumPy arrays and scalars and SciPy's sparse ones.

The order in memory belongs to it: sums run along it, so equal numbers in another order may give other last bits.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import numpy as np

from keepfit.checkpoint.walk import Walk, Writer

__all__ = ["ARRAY_WRITERS", "write_array_like"]

#: How much of an array that is not in one piece is copied at a time.
_PIECE_BYTES = 16 << 20

#: Kinds of dtype whose ``str`` says all of them, as long as they have no fields, no shape and no metadata.
_SIMPLE_KINDS = frozenset("?biufcSUVmMO")


def _write_dtype(walk: Walk, dtype: Any) -> None:
    simple = dtype.names is None and dtype.subdtype is None and dtype.metadata is None
    if simple and dtype.kind in _SIMPLE_KINDS and type(dtype).__module__ == "numpy.dtypes":
        walk.text(b"y", f"{dtype.str} {int(dtype.isalignedstruct)}")
        return
    walk.mark(b"Y")
    for part in dtype.__reduce__():
        walk.add(part)


def _write_array(walk: Walk, array: Any) -> None:
    walk.mark(b"A", struct.pack(f"<{array.ndim}q", *array.shape))
    _write_dtype(walk, array.dtype)
    order = (array.flags.c_contiguous, array.flags.f_contiguous)
    strides = () if any(order) else array.strides
    walk.mark(b"o", bytes(order) + struct.pack(f"<{len(strides)}q", *strides))
    if array.dtype.hasobject:
        walk.add(array.ravel(order="K").tolist() if any(order) else array.ravel().tolist())
        return
    digest = sha256()
    for piece in _pieces(array):
        digest.update(piece)
    walk.mark(b"h", digest.digest())


def _pieces(array: Any) -> Iterator[Any]:
    if array.size == 0:
        return
    array = array.view(np.ndarray)
    if not array.flags.c_contiguous and array.flags.f_contiguous:
        array = array.T
    if array.flags.c_contiguous:
        yield array.reshape(-1).view(np.uint8).data
        return
    rows = max(1, _PIECE_BYTES // max(1, array.nbytes // len(array)))
    for start in range(0, len(array), rows):
        yield np.ascontiguousarray(array[start : start + rows]).reshape(-1).view(np.uint8).data


def _write_masked(walk: Walk, array: Any) -> None:
    walk.mark(b"K", bytes([array.hardmask]))
    _write_array(walk, array.data)
    for part in (array.mask, array.fill_value):
        _write_array(walk, np.asarray(part))


ARRAY_WRITERS: dict[type, Writer] = {
    np.ndarray: _write_array,
    np.memmap: _write_array,
    np.ma.MaskedArray: _write_masked,
}


def write_array_like(walk: Walk, obj: Any) -> bool:
    """Write NumPy scalars and dtypes, subclasses of arrays, and sparse arrays and matrices."""
    if isinstance(obj, np.generic):
        walk.mark(b"G")
        _write_array(walk, np.asarray(obj))
        return True
    if isinstance(obj, np.dtype):
        _write_dtype(walk, obj)
        return True
    if isinstance(obj, np.ndarray):
        walk.mark(b"W")
        walk.add(type(obj))
        (_write_masked if isinstance(obj, np.ma.MaskedArray) else _write_array)(walk, obj)
        walk.add(getattr(obj, "__dict__", None))
        return True
    return _write_sparse(walk, obj) if type(obj).__module__.startswith("scipy.sparse") else False


def _write_sparse(walk: Walk, obj: Any) -> bool:
    from scipy import sparse

    if not sparse.issparse(obj):
        return False
    walk.mark(b"P")
    walk.add(type(obj))
    walk.add(obj.shape)
    walk.add(obj.dtype)
    walk.text(b"y", obj.format)
    if obj.format not in _PARTS:  # lil and dok have no arrays of their own
        obj = obj.tocoo()
    for name in _PARTS[obj.format]:
        walk.add(getattr(obj, name))
    return True


#: The arrays of each sparse format; whether indices are sorted is seen from them.
_PARTS = {
    "csr": ("data", "indices", "indptr"),
    "csc": ("data", "indices", "indptr"),
    "bsr": ("data", "indices", "indptr"),
    "coo": ("data", "coords"),
    "dia": ("data", "offsets"),
}
