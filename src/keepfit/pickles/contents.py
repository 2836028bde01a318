"""A pickle or joblib file as a whole: what it is compressed with, its stream, what it would do, and its graph."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from keepfit.errors import FormatError, InvalidStateError, KeepfitError, UnsupportedError, UntrustedError
from keepfit.graph import LIMITS, Graph, Limits
from keepfit.pickles.archives import is_zip
from keepfit.pickles.joblib_layout import RawArrays
from keepfit.pickles.machine import Log, Machine
from keepfit.pickles.numpy_files import is_npy, read_npy, read_npz
from keepfit.pickles.reading import refused
from keepfit.pickles.stream import Stream
from keepfit.pickles.translation import is_known, to_graph
from keepfit.pickles.unpacking import compression_of, unpack
from keepfit.pickles.values import MISSING, described

__all__ = ["Contents", "read"]


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
    log : Log
        What reading it with pickle would import and call.
    error : FormatError or UnsupportedError or None
        Why it cannot be read to its end.
    root : value
        What the stream stands for, in records.
    other_reading : bool
        Whether plain pickle would not stop at joblib's first raw array, but take its bytes for opcodes.
    """

    kind: str = "pickle"
    compression: str = ""
    protocol: int = 0
    size_bytes: int = 0
    log: Log = field(default_factory=Log)
    error: KeepfitError | None = None
    root: Any = MISSING
    other_reading: bool = False

    def is_one(self, words: str) -> bool:
        """Whether it is such a file at all, readable or not; `words` is what `keepfit.artifact.sniff` says of it."""
        known = any(kind in words for kind in ("pickle", "joblib", "numpy"))
        return known or self.error is None or bool(self.log.imports or self.compression)

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
        with _collector_at_rest():
            graph = to_graph(self.root, problems=problems)
        if problems:  # what lies in what is refused was not looked at
            return graph
        for error in self._left_over(graph):
            if problems is None:
                raise error
            problems.append(error)
        return graph

    def _left_over(self, graph: Graph) -> Iterator[KeepfitError]:
        """What the stream does beside what the object is made of: pickle would do that too."""
        if self.other_reading:
            yield UntrustedError("plain pickle would take the raw arrays of this joblib file for opcodes, and go on")
        unused = [instance for instance in self.log.instances if instance.made is MISSING]
        if unused:
            yield refused(f"a call of {described(unused[0].function)} that the object does not need", unused[0])
        met = {node.type for node in graph.nodes}
        met.update(str(node.state["name"]) for node in graph.nodes if node.type in ("function", "class"))
        called = {instance.name for instance in self.log.instances}
        for name in self.log.imports.keys() - met - called:
            if not is_known(name):
                yield UntrustedError(f"the pickle imports {name} (byte {self.log.imports[name][1]:,})")


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
    with _collector_at_rest():
        return _read(memoryview(data).cast("B"), limits)


def _read(view: memoryview, limits: Limits) -> Contents:
    contents = Contents(compression=compression_of(view))
    try:
        if contents.compression:
            view = memoryview(unpack(view, limits=limits))
        contents.size_bytes = len(view)
        if is_npy(view):
            contents.kind = "npy"
            contents.root = read_npy(view, contents.log, limits=limits)
        elif is_zip(view):
            contents.kind = "npz"
            contents.root = read_npz(view, contents.log, limits=limits)
        else:
            _read_stream(view, contents, limits)
    except (FormatError, UnsupportedError, InvalidStateError) as error:
        contents.error = error
    return contents


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Without Python's collector of cycles, which looks through millions of new records again and again in vain."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _read_stream(view: memoryview, contents: Contents, limits: Limits) -> None:
    stream = Stream(view)
    arrays = RawArrays(stream, contents.log, limits)
    machine = Machine(stream, limits=limits, after_build=arrays.handlers, log=contents.log)
    try:
        contents.root = machine.run()
    finally:
        contents.protocol = machine.protocol
        if arrays.count:
            contents.kind = "joblib"
            contents.other_reading = arrays.other_reading and not contents.compression
    if stream.position != stream.size:
        raise FormatError(f"{stream.size - stream.position:,} bytes follow the pickle's STOP")
