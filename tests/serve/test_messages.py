"""Frames on sockets, and errors that travel in them."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections.abc import Iterator

import msgspec
import pytest

from keepfit import errors
from keepfit.errors import KeepfitError
from keepfit.serve.errors import OverloadedError, RequestError, UnavailableError
from keepfit.serve.messages import (
    Call,
    Convert,
    FrameError,
    Infer,
    Load,
    Receiver,
    Refusal,
    ToWorker,
    frame,
    send,
)
from keepfit.serve.tensors import Tensor

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def take(receiver: Receiver) -> ToWorker:
    data = None
    while data is None:
        data = receiver.receive()
    return msgspec.msgpack.decode(data, type=ToWorker)


def infer(size: int) -> Infer:
    return Infer("key", (Call((Tensor("X", "UINT8", (size,), os.urandom(size)),), ("predict",)),))


@pytest.mark.parametrize("size", [0, 1, 65_000, 65_536, 3_000_000])
def test_a_message_arrives_as_it_was_sent_however_long_it_is(pair: Pair, size: int) -> None:
    message = infer(size)
    writer = threading.Thread(target=send, args=(pair[0], message))
    writer.start()
    assert take(Receiver(pair[1], frame_bytes_max=1 << 24)) == message
    writer.join()


def test_data_arrives_aligned_so_that_compiled_code_can_read_it(pair: Pair) -> None:
    receiver = Receiver(pair[1], frame_bytes_max=1 << 24)
    for length in range(1, 9):
        send(pair[0], Infer("k" * length, infer(64).calls))
        message = take(receiver)
        assert isinstance(message, Infer)
        data = message.calls[0].inputs[0].data
        assert type(data) is bytes  # whose contents CPython aligns to 16 bytes


def test_a_message_that_comes_byte_by_byte_is_put_together(pair: Pair) -> None:
    receiver = Receiver(pair[1], frame_bytes_max=1 << 24)
    for byte in frame(Load("key", ("a.B",))):
        assert not receiver.fds
        pair[0].send(bytes([byte]))
        data = receiver.receive()
    assert data is not None
    assert msgspec.msgpack.decode(data, type=ToWorker) == Load("key", ("a.B",))


def test_files_come_along_as_descriptors(pair: Pair) -> None:
    receiver = Receiver(pair[1], frame_bytes_max=1 << 24, takes_fds=True)
    with tempfile.TemporaryFile() as one, tempfile.TemporaryFile() as other:
        one.write(b"one")
        one.flush()
        socket.send_fds(pair[0], [frame(Convert())], [one.fileno(), other.fileno()])
        assert take(receiver) == Convert()
    with os.fdopen(receiver.fds[0], "rb") as first, os.fdopen(receiver.fds[1], "rb") as second:
        assert os.pread(first.fileno(), 3, 0) == b"one"
        assert second.read() == b""
        assert not os.get_inheritable(first.fileno())
    pair[0].sendall(frame(Load("key")))
    assert take(receiver) == Load("key")
    assert receiver.fds == []


def test_a_frame_that_is_too_long_is_refused_before_memory_is_taken(pair: Pair) -> None:
    receiver = Receiver(pair[1], frame_bytes_max=100_000)
    pair[0].send((2**32 - 1).to_bytes(4, "little") + b"start")
    with pytest.raises(FrameError, match="4,294,967,299 bytes"):
        receiver.receive()


def test_a_second_frame_before_the_first_was_answered_is_refused(pair: Pair) -> None:
    pair[0].send(frame(Load("a")) + frame(Load("b")))
    with pytest.raises(FrameError, match="more than one"):
        Receiver(pair[1], frame_bytes_max=100_000).receive()


def test_the_end_is_told_also_in_the_middle_of_a_frame(pair: Pair) -> None:
    receiver = Receiver(pair[1], frame_bytes_max=100_000)
    pair[0].send(frame(Load("a"))[:-1])
    assert receiver.receive() is None
    pair[0].close()
    with pytest.raises(EOFError):
        receiver.receive()


@pytest.mark.parametrize("name", [*errors.__all__, "RequestError", "UnavailableError"])
def test_an_error_travels_as_the_class_it_is(name: str) -> None:
    cls = getattr(errors, name, None) or {"RequestError": RequestError, "UnavailableError": UnavailableError}[name]
    if not issubclass(cls, KeepfitError):  # the warning
        return
    error = cls("what is wrong")
    error.path = "steps.0"
    if isinstance(error, errors.UntrustedError):
        error.names = ("a.B",)
    found = Refusal.of(error).to_error()
    assert type(found) is cls
    assert str(found) == str(error)
    assert getattr(found, "names", ()) == getattr(error, "names", ())
    assert getattr(found, "status", 0) == getattr(error, "status", 0)


def test_the_status_of_a_request_error_travels_and_no_other_number_does() -> None:
    assert Refusal.of(RequestError("no such thing", status=404)).to_error().status == 404  # type: ignore[attr-defined]
    assert Refusal("RequestError", "no", status=200).to_error().status == 400  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["SystemExit", "os", "__all__", "KeepfitWarning", "annotations", "", "ServeError2"])
def test_a_class_that_is_no_error_of_keepfit_becomes_one_that_is(name: str) -> None:
    assert type(Refusal(name, "words").to_error()) is UnavailableError


def test_a_worker_cannot_say_that_the_server_is_overloaded() -> None:
    error = Refusal.of(OverloadedError("full", retry_after_s=1e9)).to_error()
    assert type(error) is UnavailableError
    assert error.status == 503


def test_words_are_cut_to_a_length_that_can_be_shown() -> None:
    assert len(Refusal.of(RequestError("a" * 1_000_000)).message) <= 2_000
