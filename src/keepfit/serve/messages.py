"""What the processes of a server say to each other, and how it lies on a socket.

There are three kinds of process: the *front* answers HTTP, the *zygote* forks, *workers* predict. Between them go
msgspec structs as MessagePack, each in a frame: its length as 4 bytes, little-endian, then the message. No pickle.
Files go along as descriptors (``SCM_RIGHTS``), never as paths. A worker is told one thing at a time and says one thing
back, so a socket never holds more than one frame.
"""

from __future__ import annotations

import array
import socket
import struct
from typing import Annotated, TypeAlias

import msgspec

from keepfit import errors as house_errors
from keepfit.errors import KeepfitError, ServeError
from keepfit.serve import errors as serve_errors
from keepfit.serve.errors import UnavailableError
from keepfit.serve.formulas import Formula
from keepfit.serve.tensors import Tensor

__all__ = [
    "NO_MESSAGE",
    "SIGNATURE_BYTES_MAX",
    "Answer",
    "Answers",
    "Awake",
    "Call",
    "Convert",
    "Done",
    "FrameError",
    "Infer",
    "Isolation",
    "Kill",
    "Load",
    "Loaded",
    "Ready",
    "Receiver",
    "Refusal",
    "Spawn",
    "ToFront",
    "ToWorker",
    "ToZygote",
    "Unload",
    "frame",
    "send",
]

#: What the front keeps of a tenant's model, in memory: some ten thousand columns with their names.
SIGNATURE_BYTES_MAX = 1 << 20

#: What comes of bytes that are no message: text that is none and nesting without end are none of msgspec's errors.
NO_MESSAGE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_LENGTH = struct.Struct("<I")
_FIRST_READ_BYTES = 1 << 16
_MESSAGE_CHARS = 2_000
_NAMES_MAX = 100

# A jail may say anything: of what it says, no more is made than a true worker could mean.
_Words: TypeAlias = Annotated[str, msgspec.Meta(max_length=_MESSAGE_CHARS)]
_Names: TypeAlias = Annotated[tuple[_Words, ...], msgspec.Meta(max_length=_NAMES_MAX)]
_Outputs: TypeAlias = Annotated[tuple[Tensor, ...], msgspec.Meta(max_length=16)]
_FDS_BYTES = socket.CMSG_SPACE(2 * array.array("i").itemsize)


class Call(msgspec.Struct, array_like=True):
    """What one request asks of a model.

    Attributes
    ----------
    inputs : tuple of Tensor
    outputs : tuple of str
        Methods of the model, such as ``"predict_proba"``; its defaults when none are named.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...] = ()


class Answer(msgspec.Struct, array_like=True, tag="answer"):
    """What a model answered.

    Attributes
    ----------
    outputs : tuple of Tensor
    cpu_s : float
        Processor time of the worker; of a batch, each call has its share by rows.
    batch_rows : int
        How many rows were predicted on together.
    """

    outputs: _Outputs
    cpu_s: float = 0.0
    batch_rows: int = 0


class Refusal(msgspec.Struct, array_like=True, tag="refusal"):
    """A `KeepfitError` of a worker: its class, words and place."""

    error: _Words
    message: _Words
    path: _Words = ""
    names: _Names = ()
    status: int = 0

    @classmethod
    def of(cls, error: KeepfitError) -> Refusal:
        """The refusal that says what `error` says."""
        names = tuple(str(name)[:_MESSAGE_CHARS] for name in getattr(error, "names", ())[:_NAMES_MAX])
        status = error.status if isinstance(error, ServeError) else 0
        message = error.message[:_MESSAGE_CHARS]
        return cls(type(error).__name__, message, error.path[:_MESSAGE_CHARS], names, status)

    def to_error(self) -> KeepfitError:
        """The error itself, of the same class; an `UnavailableError` if there is no such class."""
        found = getattr(house_errors, self.error, None) or getattr(serve_errors, self.error, None)
        if not (isinstance(found, type) and issubclass(found, KeepfitError)):
            return UnavailableError(f"the worker failed with {self.error}: {self.message}")
        if issubclass(found, serve_errors.OverloadedError):
            return UnavailableError(self.message)
        error = found(self.message)
        error.path = self.path
        if isinstance(error, house_errors.UntrustedError):
            error.names = self.names
        if isinstance(error, ServeError) and 400 <= self.status < 600:
            error.status = self.status
        return error


class Isolation(msgspec.Struct, frozen=True, array_like=True):
    """What holds a jail on this machine, as found out in one.

    Attributes
    ----------
    rlimits : tuple of str
        The resource limits that are set, such as ``"DATA"``.
    no_new_privileges : bool
    landlock_abi : int
        0 where the kernel has no Landlock.
    seccomp : bool
    escapes : tuple of str
        What a process in the jail could do all the same, of opening a file, making a socket, forking, running a
        program, and killing another process.
    """

    rlimits: tuple[str, ...] = ()
    no_new_privileges: bool = False
    landlock_abi: int = 0
    seccomp: bool = False
    escapes: tuple[str, ...] = ()

    @property
    def is_strong(self) -> bool:
        """Whether models of strangers may run here: all four hold, and nothing got out."""
        return bool(self.rlimits and self.no_new_privileges and self.landlock_abi and self.seccomp and not self.escapes)

    @property
    def in_words(self) -> str:
        """What holds and what does not, for people."""
        parts = {
            "rlimits": bool(self.rlimits),
            "no_new_privs": self.no_new_privileges,
            "Landlock": bool(self.landlock_abi),
            "seccomp": self.seccomp,
        }
        words = ", ".join(name for name, holds in parts.items() if holds) or "nothing"
        if not all(parts.values()):
            words += f"; without {', '.join(name for name, holds in parts.items() if not holds)}"
        if self.escapes:
            words += f"; a jail could still get at: {', '.join(self.escapes)}"
        return words


# From the front to a worker


class Load(msgspec.Struct, array_like=True, tag="load"):
    """Build the model whose file comes along."""

    key: str
    trusted: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()


class Unload(msgspec.Struct, array_like=True, tag="unload"):
    """Let a model go."""

    key: str


class Infer(msgspec.Struct, array_like=True, tag="infer"):
    """Answer calls of one model. Several have inputs alike, so that they can be answered together."""

    key: str
    calls: tuple[Call, ...]


class Convert(msgspec.Struct, array_like=True, tag="convert"):
    """Make a keepfit file of the pickle or joblib file that comes first, in the file that comes second."""


# From a worker to the front


class Ready(msgspec.Struct, array_like=True, tag="ready"):
    """The worker has started, and its jail, if it is to be in one, is closed."""


class Loaded(msgspec.Struct, array_like=True, tag="loaded"):
    """The model is there.

    Attributes
    ----------
    signature : msgspec.Raw
        Of the model, as MessagePack.
    is_rowwise : bool
        Whether what it says of a row depends on nothing but that row, so that calls may be joined.
    formulas : tuple of Formula
        Of the operator's models: with which the front answers one row. A jail has none to tell.
    """

    signature: msgspec.Raw
    is_rowwise: bool = False
    formulas: Annotated[tuple[Formula, ...], msgspec.Meta(max_length=8)] = ()


class Answers(msgspec.Struct, array_like=True, tag="answers"):
    """One answer or refusal for each call."""

    items: Annotated[tuple[Answer | Refusal, ...], msgspec.Meta(max_length=1 << 14)]


class Done(msgspec.Struct, array_like=True, tag="done"):
    """It has been done."""


# Between the front and the zygote


class Spawn(msgspec.Struct, array_like=True, tag="spawn"):
    """Fork a worker on the socket that comes along.

    Attributes
    ----------
    number : int
        By which the worker is spoken of from here on.
    is_jailed : bool
    memory_bytes : int
        What a message may allocate; in a jail, what everything may.
    cpu_s, load_cpu_s : float
        Processor time that a message may take.
    frame_bytes_max : int
        The longest message that it may send.
    file_bytes : int
        How long a jail may make a file that it is given to write to.
    """

    number: int
    is_jailed: bool
    memory_bytes: int
    cpu_s: float
    load_cpu_s: float
    frame_bytes_max: int
    file_bytes: int


class Kill(msgspec.Struct, array_like=True, tag="kill"):
    """End a worker at once."""

    number: int


class Awake(msgspec.Struct, array_like=True, tag="awake"):
    """Everything is imported."""

    isolation: Isolation


ToWorker = Load | Unload | Infer | Convert
ToFront = Ready | Loaded | Answers | Done | Refusal
ToZygote = Spawn | Kill

_encoder = msgspec.msgpack.Encoder()


class FrameError(Exception):
    """What came over a socket is not a frame."""


def frame(message: msgspec.Struct) -> bytearray:
    """A message in its frame."""
    buffer = bytearray(_LENGTH.size)
    _encoder.encode_into(message, buffer, _LENGTH.size)
    _LENGTH.pack_into(buffer, 0, len(buffer) - _LENGTH.size)
    return buffer


def send(sock: socket.socket, message: msgspec.Struct) -> None:
    """Send a message over a blocking socket."""
    sock.sendall(frame(message))


class Receiver:
    """Takes frames from a socket, one after the other.

    Parameters
    ----------
    sock : socket
        Blocking or not.
    frame_bytes_max : int
        A longer frame is a `FrameError`, before memory is taken for it.
    takes_fds : bool, default=False
        Whether descriptors are accepted. They are in `fds` when the frame is.

    Attributes
    ----------
    fds : list of int
        What came with the last frame. They belong to the caller.
    """

    def __init__(self, sock: socket.socket, *, frame_bytes_max: int, takes_fds: bool = False) -> None:
        self._sock = sock
        self._frame_bytes_max = frame_bytes_max
        self._takes_fds = takes_fds
        self._first = memoryview(bytearray(_FIRST_READ_BYTES))
        self._buffer = self._first
        self._filled = 0
        self.fds: list[int] = []

    def receive(self) -> memoryview | None:
        """Read the socket once.

        Returns
        -------
        message : memoryview or None
            A whole message, valid until the next call; None while there is more to come.

        Raises
        ------
        EOFError
            If the other side is gone.
        FrameError
            If it sent what is no frame, or more than one.
        OSError
            As the socket has it: `BlockingIOError` when there is nothing.
        """
        free = self._buffer[self._filled :]
        if self._takes_fds and not self._filled:
            self.fds = []
            count = self._receive_with_fds(free)
        else:
            count = self._sock.recv_into(free)
        if not count:
            raise EOFError
        self._filled += count
        if self._filled < _LENGTH.size:
            return None
        end = _LENGTH.size + _LENGTH.unpack_from(self._buffer)[0]
        if self._filled < end:
            if end > len(self._buffer):
                self._make_room(end)
            return None
        if self._filled > end:
            raise FrameError("there is more than one frame")
        found = self._buffer[_LENGTH.size : end]
        self._buffer, self._filled = self._first, 0
        return found

    def _make_room(self, size: int) -> None:
        if size > self._frame_bytes_max:
            raise FrameError(f"a frame of {size:,} bytes; at most {self._frame_bytes_max:,} are taken")
        buffer = memoryview(bytearray(size))
        buffer[: self._filled] = self._buffer[: self._filled]
        self._buffer = buffer

    def _receive_with_fds(self, free: memoryview) -> int:
        count, ancillary, _, _ = self._sock.recvmsg_into([free], _FDS_BYTES, socket.MSG_CMSG_CLOEXEC)
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                found = array.array("i")
                found.frombytes(data[: len(data) - len(data) % found.itemsize])
                self.fds.extend(found)
        return count
