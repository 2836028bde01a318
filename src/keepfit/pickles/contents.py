"""A pickle or joblib file as a whole: what it is compressed with, its stream, joblib's raw arrays, what it would do."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keepfit.errors import FormatError, InvalidStateError, KeepfitError, UnsupportedError, UntrustedError
from keepfit.graph import LIMITS, Graph, Limits
from keepfit.pickles.archives import is_zip
from keepfit.pickles.arrays import array_of_bytes
from keepfit.pickles.machine import Machine
from keepfit.pickles.numpy_files import is_npy, read_npy, read_npz
from keepfit.pickles.reading import state_of, text_of
from keepfit.pickles.stream import Stream
from keepfit.pickles.translation import Records, to_graph
from keepfit.pickles.unpacking import compression_of, unpack
from keepfit.pickles.values import MISSING, Global, Instance

__all__ = ["Contents", "is_pickle", "read"]

_WRAPPER = "joblib.numpy_pickle.NumpyArrayWrapper"
_ELSEWHERE = ("NDArrayWrapper", "ZNDArrayWrapper")
_ARRAYS = ("numpy.ndarray", "numpy.memmap", "numpy.matrix", "numpy.matrixlib.defmatrix.matrix")


@dataclass
class Contents:
    """What was read of a pickle or joblib file.

    Parameters
    ----------
    kind : str
        ``"pickle"``; ``"joblib"`` where arrays lie raw in the stream; ``"npy"`` or ``"npz"``.
    compression : str
        What the file was compressed with, or empty.
    protocol : int
    size_bytes : int
        The length of the stream, unpacked.
    imports, calls : dict of str to (int, int)
        For each name that reading it with pickle would import, or call: how often, and the first byte.
    error : FormatError or UnsupportedError or None
        Why it cannot be read to its end.
    root : value
        What the stream stands for, in records.
    hidden : dict of str to (int, int)
        Names that plain pickle would import from a joblib file, and joblib would not.
    """

    kind: str = "pickle"
    compression: str = ""
    protocol: int = 0
    size_bytes: int = 0
    imports: dict[str, tuple[int, int]] = field(default_factory=dict)
    calls: dict[str, tuple[int, int]] = field(default_factory=dict)
    error: KeepfitError | None = None
    root: Any = MISSING
    hidden: dict[str, tuple[int, int]] = field(default_factory=dict)

    def graph(self, *, problems: list[KeepfitError] | None = None) -> Graph:
        """The graph of the object; see `keepfit.pickles.translation.to_graph`.

        Raises
        ------
        FormatError
            If the file could not be read.
        UntrustedError, InvalidStateError, VersionError
            If `problems` is None and something in it is outside the tables.
        """
        if self.error is not None:
            raise self.error
        if self.hidden:
            error = UntrustedError(
                f"plain pickle would import {', '.join(list(self.hidden)[:5])} from the raw arrays of this joblib file",
                names=tuple(self.hidden),
            )
            if problems is None:
                raise error
            problems.append(error)
        return to_graph(self.root, problems=problems)


def is_pickle(words: str) -> bool:
    """Whether what `keepfit.artifact.sniff` says of bytes is something that `read` may read."""
    return any(kind in words for kind in ("pickle", "joblib", "numpy", "compressed with"))


def read(data: bytes | bytearray | memoryview, *, limits: Limits = LIMITS) -> Contents:
    """Read a pickle or joblib file as data.

    Parameters
    ----------
    data : bytes-like
        The whole file, compressed or not.
    limits : Limits, default=LIMITS

    Returns
    -------
    Contents
        With its `error` where the file cannot be read; what was met before is told all the same.

    Notes
    -----
    Cost is linear in the size of the file, unpacked. Nothing is imported, called, or made of it.
    """
    view = memoryview(data).cast("B")
    contents = Contents(compression=compression_of(view))
    try:
        if contents.compression:
            view = memoryview(unpack(view, limits=limits))
        contents.size_bytes = len(view)
        log = {"imports": contents.imports, "calls": contents.calls}
        if is_npy(view):
            contents.kind = "npy"
            contents.root = read_npy(view, log, limits=limits)
        elif is_zip(view):
            contents.kind = "npz"
            contents.root = read_npz(view, log, limits=limits)
        else:
            _read_stream(view, contents, limits)
    except (FormatError, UnsupportedError, InvalidStateError) as error:
        contents.error = error
    return contents


def _read_stream(view: memoryview, contents: Contents, limits: Limits) -> None:
    stream = Stream(view)
    arrays = _RawArrays(stream, contents, limits)
    handlers: dict[str, Any] = {_WRAPPER: arrays.read}
    handlers |= {f"joblib.numpy_pickle_compat.{name}": _elsewhere for name in _ELSEWHERE}
    handlers |= {f"joblib.numpy_pickle.{name}": _elsewhere for name in _ELSEWHERE}
    machine = Machine(stream, limits=limits, after_build=handlers, imports=contents.imports, calls=contents.calls)
    try:
        contents.root = machine.run()
    finally:
        contents.protocol = machine.protocol
        if arrays.count:
            contents.kind = "joblib"
            contents.hidden = _hidden(view, contents, limits)
    if stream.position != stream.size:
        raise FormatError(f"{stream.size - stream.position:,} bytes follow the pickle's STOP")


def _hidden(view: memoryview, contents: Contents, limits: Limits) -> dict[str, tuple[int, int]]:
    """What plain pickle, which takes raw arrays for opcodes, would import besides."""
    plain = Machine(Stream(view), limits=limits)
    with suppress(FormatError):
        plain.run()
    return {name: found for name, found in plain.imports.items() if name not in contents.imports}


def _elsewhere(wrapper: Instance) -> Any:
    raise UnsupportedError(
        "the arrays of this joblib file are in files of their own beside it, as joblib before 0.10 wrote them; load it "
        "with joblib where you trust it, and dump it again"
    )


class _RawArrays:
    """joblib's arrays, whose bytes follow the wrapper that describes them.

    Rules: ``joblib/numpy_pickle.py``, ``NumpyArrayWrapper.read_array``.
    """

    def __init__(self, stream: Stream, contents: Contents, limits: Limits) -> None:
        self.count = 0
        self._stream = stream
        self._contents = contents
        self._limits = limits
        self._records = Records()

    def read(self, wrapper: Instance) -> Any:
        self.count += 1
        state = state_of(wrapper)
        known = {"subclass", "shape", "order", "dtype", "allow_mmap", "numpy_array_alignment_bytes"}
        if wrapper.args or not {"subclass", "shape", "order", "dtype"} <= state.keys() <= known:
            raise FormatError(f"the description of a raw array at byte {wrapper.place:,} is not as joblib writes it")
        cls, shape, order = state["subclass"], state["shape"], text_of(state["order"], "C", "F")
        if type(cls) is not Global or cls.full_name not in _ARRAYS:
            raise UnsupportedError("a raw array of joblib's is of a class that is not in keepfit's tables")
        dtype = self._records.live(state["dtype"], np.dtype)
        if dtype.hasobject:
            return self._nested()
        alignment = state.get("numpy_array_alignment_bytes")
        if alignment is not None:
            padding = self._stream.take(self._stream.number(1))
            if padding.strip(b"\xff"):
                raise FormatError("the padding before a raw array is not as joblib writes it")
        if type(shape) is not tuple or any(type(length) is not int or length < 0 for length in shape):
            raise FormatError("the shape of a raw array is none")
        data = self._stream.take(math.prod(shape) * dtype.itemsize)
        kind = np.matrix if "matrix" in cls.full_name else np.ndarray
        return array_of_bytes(kind, dtype, shape, data, order)

    def _nested(self) -> Any:
        """An array of objects: a pickle of its own inside the stream."""
        inner = Machine(self._stream, limits=self._limits, imports=self._contents.imports, calls=self._contents.calls)
        return inner.run()
