"""joblib's raw arrays: a description in the pickle, and behind it the bytes, outside every opcode."""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np

from keepfit.errors import FormatError, UnsupportedError
from keepfit.graph import Limits
from keepfit.pickles.arrays import array_of_bytes, native
from keepfit.pickles.machine import Log, Machine
from keepfit.pickles.reading import state_of, text_of
from keepfit.pickles.stream import Stream
from keepfit.pickles.translation import Records
from keepfit.pickles.values import Global, Instance

__all__ = ["RawArrays"]

_WRAPPER = "joblib.numpy_pickle.NumpyArrayWrapper"
_ARRAYS = ("numpy.ndarray", "numpy.memmap", "numpy.matrix", "numpy.matrixlib.defmatrix.matrix")


class RawArrays:
    """joblib's arrays, whose bytes follow the wrapper that describes them.

    Rules: ``joblib/numpy_pickle.py``, ``NumpyArrayWrapper.read_array``.
    """

    def __init__(self, stream: Stream, log: Log, limits: Limits) -> None:
        self.count = 0
        #: Whether plain pickle, at the first of them, would go on to names or calls.
        self.other_reading = False
        #: What `Machine` hands the descriptions to.
        self.handlers: dict[str, Callable[[Instance], Any]] = {_WRAPPER: self._read}
        for module in ("joblib.numpy_pickle", "joblib.numpy_pickle_compat"):
            self.handlers |= {f"{module}.NDArrayWrapper": _elsewhere, f"{module}.ZNDArrayWrapper": _elsewhere}
        self._stream = stream
        self._log = log
        self._limits = limits
        self._records = Records()

    def _read(self, wrapper: Instance) -> Any:
        self.count += 1
        wrapper.made = self._array(wrapper)
        return wrapper.made

    def _array(self, wrapper: Instance) -> Any:
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
        if self.count == 1:
            self.other_reading = _goes_on(self._stream)
        alignment = state.get("numpy_array_alignment_bytes")
        if alignment is not None:
            padding = self._stream.take(self._stream.number(1))
            if padding.strip(b"\xff"):
                raise FormatError("the padding before a raw array is not as joblib writes it")
        if type(shape) is not tuple or any(type(length) is not int or length < 0 for length in shape):
            raise FormatError("the shape of a raw array is none")
        data = self._stream.take(math.prod(shape) * dtype.itemsize)
        kind = np.matrix if "matrix" in cls.full_name else np.ndarray
        return native(array_of_bytes(kind, dtype, shape, data, order))

    def _nested(self) -> Any:
        """An array of objects: a pickle of its own inside the stream."""
        return Machine(self._stream, limits=self._limits, log=self._log).run()


def _elsewhere(wrapper: Instance) -> Any:
    raise UnsupportedError(
        "the arrays of this joblib file are in files of their own beside it, as joblib before 0.10 wrote them; load it "
        "with joblib where you trust it, and dump it again"
    )


#: Opcodes that import or call.
_DOING = frozenset(
    {
        "BINPERSID", "BUILD", "EXT1", "EXT2", "EXT4", "GLOBAL", "INST", "NEWOBJ", "NEWOBJ_EX", "OBJ", "PERSID",
        "REDUCE", "STACK_GLOBAL",
    }
)  # fmt: skip
_BY_CODE = {ord(opcode.code): opcode for opcode in pickletools.opcodes}
#: How many bytes of an argument say how long the rest is.
_LENGTHS = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1, pickletools.TAKEN_FROM_ARGUMENT4: 4, pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}  # fmt: skip


def _goes_on(stream: Stream) -> bool:
    """Whether a pickle reader that takes a raw array for opcodes may come to one that imports or calls.

    As lax as any reader: nothing is checked but where an opcode ends. So "no" is sure, and "yes" a possibility. The
    padding that joblib has written before arrays since 1.2 begins with no opcode, so that the answer is no at once.
    """
    data, place = stream.data, stream.position
    while place < stream.size:
        opcode = _BY_CODE.get(data[place])
        if opcode is None or opcode.name == "STOP":
            return False
        if opcode.name in _DOING:
            return True
        place += 1
        if opcode.arg is None:
            continue
        length = opcode.arg.n
        if length == pickletools.UP_TO_NEWLINE:
            length = _length_of_line(data, place)
            if not length:
                return False
        elif length in _LENGTHS:
            width = _LENGTHS[length]
            length = width + int.from_bytes(data[place : place + width], "little")
        place += length
    return False


def _length_of_line(data: Any, place: int) -> int:
    """How many bytes a line takes that begins at a place, its end with it; 0 where it has none."""
    length = 64
    while True:
        found = bytes(data[place : place + length]).find(b"\n") + 1
        if found or place + length >= len(data):
            return found
        length *= 2
