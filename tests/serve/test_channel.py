"""The front's end of a worker's socket, when the worker says what no worker says."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from keepfit.serve.channel import Channel
from keepfit.serve.messages import Answer, Answers, Loaded, Ready, Refusal, ToFront, Unload, frame
from keepfit.serve.plausibility import signature_in
from keepfit.serve.tensors import Tensor


def outcome_of(act: Callable[[Channel, socket.socket], None]) -> tuple[list[ToFront], int]:
    """What the front took, and how often it was told that the worker is to be taken for dead."""

    async def run() -> tuple[list[ToFront], int]:
        ours, theirs = socket.socketpair()
        taken: list[ToFront] = []
        ends: list[bool] = []
        failures: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, told: failures.append(told))
        with theirs:
            channel = Channel(ours, frame_bytes_max=1 << 20, on_message=taken.append, on_end=lambda: ends.append(True))
            act(channel, theirs)
            await asyncio.sleep(0.05)
            channel.close()
        assert not failures
        return taken, len(ends)

    return asyncio.run(run())


def framed(message: bytes) -> bytes:
    return struct.pack("<I", len(message)) + message


def encoded(*parts: Any) -> bytes:
    return msgspec.msgpack.encode(parts)


@pytest.mark.parametrize(
    "message",
    [
        b"", b"\xff", encoded("answers"), encoded("spawn", 1), encoded("load", "key"), encoded("answers", 7),
        b"\x92\xa4done" + b"\x91" * 5000 + b"\x01",
        b"\x92\xa1\xff\x90",
        b"\x93\xa7refusal\xa1\xff\xa0",
        encoded("refusal", "ServeError", "x" * 100_000),
        encoded("refusal", "ServeError", "", "", ["x"] * 1000),
        encoded("answers", [("answer", [])] * 17_000),
        encoded("answers", [("answer", [("p", "FP64", [2**62] * 5000, b"")])]),
        encoded("answers", [("answer", [("p", "FP64", [-1, -8], b"12345678")])]),
        encoded("answers", [("answer", [("p", "FP64", [0], b"")] * 5000)]),
    ],
)  # fmt: skip
def test_a_worker_that_says_what_is_no_message_is_taken_for_dead(message: bytes) -> None:
    assert outcome_of(lambda _, theirs: theirs.sendall(framed(message))) == ([], 1)


@pytest.mark.parametrize("told", [b"", b"\xc0", b"\x81\xa1\xff\x90", b"\x81\xa1x" + b"\x91" * 5000 + b"\x01"])
def test_a_signature_that_is_none_is_told_as_that(told: bytes) -> None:
    assert signature_in(Loaded(msgspec.Raw(told))) is None


TRUE = {
    "type": "sklearn.svm._classes.SVC",
    "inputs": [{"name": "X", "datatype": "FP64", "shape": [-1, 4]}],
    "outputs": [{"name": "predict", "datatype": "BYTES", "shape": [-1]}],
    "defaults": ["predict"],
}


@pytest.mark.parametrize(
    "changed",
    [
        {"inputs": [{"name": "X", "datatype": "FP65", "shape": [-1]}]},
        {"inputs": [{"name": "X", "datatype": "FP64", "shape": []}]},
        {"inputs": [{"name": "X", "datatype": "FP64", "shape": [-1] * 1000}]},
        {"outputs": []},
        {"outputs": TRUE["outputs"] * 2},
        {"outputs": [{"name": "predict", "datatype": "", "shape": [-1]}]},
        {"defaults": []},
        {"defaults": ["fit"]},
        {"defaults": ["predict", "predict"]},
        {"classes": [1]},
    ],
)
def test_a_signature_that_no_model_could_have_is_none(changed: dict[str, Any]) -> None:
    assert signature_in(Loaded(msgspec.Raw(msgspec.msgpack.encode(TRUE)))) is not None
    assert signature_in(Loaded(msgspec.Raw(msgspec.msgpack.encode(TRUE | changed)))) is None


def test_a_worker_that_speaks_unasked_is_taken_for_dead() -> None:
    def act(_: Channel, theirs: socket.socket) -> None:
        theirs.sendall(frame(Ready()))
        asyncio.get_running_loop().call_later(0.01, theirs.sendall, struct.pack("<I", 1 << 19))

    taken, ends = outcome_of(act)
    assert [type(one) for one in taken] == [Ready]
    assert ends == 1


def test_a_worker_that_is_asked_may_answer() -> None:
    answers = Answers((Answer((Tensor("p", "FP64", (1, 2), bytes(16)),), 0.5, 1), Refusal("RequestError", "no")))

    def act(channel: Channel, theirs: socket.socket) -> None:
        def go_on() -> None:
            channel.send(Unload("key"))
            theirs.sendall(frame(answers))

        theirs.sendall(frame(Ready()))
        asyncio.get_running_loop().call_later(0.01, go_on)

    taken, ends = outcome_of(act)
    assert taken[1:] == [answers]
    assert ends == 0
