"""A worker: holds models, answers one message at a time. What it is sent, and what it loads, may be hostile."""

from __future__ import annotations

import errno
import gc
import os
import resource
import signal
import socket
import time
import warnings
from typing import Any, NoReturn

import msgspec
import numpy as np

from keepfit import artifact, codecs, conversion, persistence
from keepfit.errors import InvalidStateError, KeepfitError, ServeError
from keepfit.graph import Graph
from keepfit.serve import jail
from keepfit.serve.errors import RequestError, UnavailableError
from keepfit.serve.joining import join, rows_of, split
from keepfit.serve.messages import (
    SIGNATURE_BYTES_MAX,
    Answer,
    Answers,
    Call,
    Convert,
    Done,
    Infer,
    Load,
    Loaded,
    Ready,
    Receiver,
    Refusal,
    Spawn,
    ToFront,
    ToWorker,
    Unload,
    frame,
)
from keepfit.serve.predicting import Served

__all__ = ["work"]

#: Estimators whose answer for a row may depend on the rows beside it: what their functions do is not known, they
#: iterate until all rows have settled, draw random numbers, or give one row in another shape than several.
_NOT_ROWWISE = frozenset(
    {"FunctionTransformer", "NMF", "MiniBatchNMF", "IterativeImputer", "DummyClassifier", "SparsePCA",
     "MiniBatchSparsePCA"}
)  # fmt: skip

_FRAME_BYTES_MAX = 2**32 - 1  # the front bounds what it sends

_decoder = msgspec.msgpack.Decoder(ToWorker)


def work(sock: socket.socket, limits: Spawn) -> NoReturn:
    """Answer the front until it closes the socket; never returns.

    Parameters
    ----------
    sock : socket
    limits : Spawn
    """
    np.random.seed()
    warnings.simplefilter("ignore")
    if limits.is_jailed:
        os.nice(5)  # the operator's models first
        jail.close_jail(limits.memory_bytes, keep=(sock.fileno(),), file_bytes=limits.file_bytes)
    worker = _Worker(sock, limits)
    try:
        worker.run()
    except (EOFError, OSError):
        os._exit(0)


class _Worker:
    """The loop and the models."""

    def __init__(self, sock: socket.socket, limits: Spawn) -> None:
        self._sock = sock
        self._limits = limits
        self._receiver = Receiver(sock, frame_bytes_max=_FRAME_BYTES_MAX, takes_fds=True)
        self._models: dict[str, Served] = {}

    def run(self) -> NoReturn:
        self._limit_memory()
        self._sock.sendall(frame(Ready()))
        while True:
            data = self._receiver.receive()
            if data is not None:
                message = _decoder.decode(data)
                is_short = isinstance(message, Infer)
                # A message that takes longer ends the process: the default of SIGPROF.
                signal.setitimer(signal.ITIMER_PROF, self._limits.cpu_s if is_short else self._limits.load_cpu_s)
                self._sock.sendall(self._framed(self._answer(message)))

    def _framed(self, answer: ToFront) -> bytearray:
        found = frame(answer)
        if len(found) > self._limits.frame_bytes_max:
            found = frame(Refusal.of(RequestError("the answer is too long; send fewer rows")))
        return found

    def _answer(self, message: ToWorker) -> ToFront:
        if isinstance(message, Infer):
            return self._infer(message)
        fds = [os.fdopen(fd, mode, buffering=0) for fd, mode in zip(self._receiver.fds, ("rb", "r+b"), strict=False)]
        try:
            if isinstance(message, Load):
                return self._load(message, fds[0])
            if isinstance(message, Convert):
                self._convert(fds[0], fds[1])
            elif isinstance(message, Unload):
                self._models.pop(message.key, None)
                gc.collect()
            return Done()
        except KeepfitError as error:
            return Refusal.of(error)
        except MemoryError:  # what is told is made when its traceback, and all that this holds, is gone
            pass
        except Exception as error:  # the border of the process: the front is told of everything
            return Refusal.of(ServeError(f"the worker failed with {type(error).__name__}: {error}"))
        finally:
            for file in fds:
                file.close()
        return Refusal.of(InvalidStateError("it takes more memory than a worker may have"))

    # Models

    def _load(self, message: Load, file: Any) -> Loaded:
        if not self._limits.is_jailed:
            soft_as_hard = resource.getrlimit(resource.RLIMIT_AS)[1]
            resource.setrlimit(resource.RLIMIT_AS, (soft_as_hard, soft_as_hard))
        try:
            with artifact.open_source(file) as source:
                graph, facts = artifact.read_source(source, may_map=codecs.unread_arrays)
            _use_one_thread(graph)
            served = Served(persistence.build(graph, trusted=message.trusted, allow=message.allow), facts)
            self._models[message.key] = served
        finally:
            self._limit_memory()
        signature = msgspec.msgpack.encode(served.signature)
        if self._limits.is_jailed and len(signature) > SIGNATURE_BYTES_MAX:
            del self._models[message.key]
            raise InvalidStateError(
                f"what it tells of its inputs and of itself takes {len(signature):,} bytes; "
                f"at most {SIGNATURE_BYTES_MAX:,} are kept"
            )
        formulas = () if self._limits.is_jailed else served.formulas
        return Loaded(msgspec.Raw(signature), _is_rowwise(graph), formulas)

    def _convert(self, source: Any, target: Any) -> None:
        try:
            conversion.convert(source, target)
        except OSError as error:
            if error.errno != errno.EFBIG:
                raise
            raise RequestError(
                f"converted, it is longer than the {self._limits.file_bytes:,} bytes taken", status=413
            ) from None

    def _limit_memory(self) -> None:
        if not self._limits.is_jailed:
            jail.limit_memory(self._limits.memory_bytes)

    # Calls

    def _infer(self, message: Infer) -> Answers:
        served = self._models.get(message.key)
        if served is None:
            refusal = Refusal.of(UnavailableError("the model could not be loaded in this worker; try again"))
            return Answers((refusal,) * len(message.calls))
        if len(message.calls) > 1:
            together = self._infer_together(served, message.calls)
            if together is not None:
                return Answers(together)
        return Answers(tuple(self._infer_one(served, call) for call in message.calls))

    def _infer_one(self, served: Served, call: Call) -> Answer | Refusal:
        start_s = time.thread_time()
        try:
            outputs = tuple(served.answer(call.inputs, call.outputs))
            return Answer(outputs, time.thread_time() - start_s, rows_of(call))
        except KeepfitError as error:
            return Refusal.of(error)
        except MemoryError:
            pass
        except Exception as error:  # the border of the process
            return Refusal.of(RequestError(f"the model failed with {type(error).__name__}: {error}"))
        return Refusal.of(RequestError("this takes more memory than a request may; send fewer rows"))

    def _infer_together(self, served: Served, calls: tuple[Call, ...]) -> tuple[Answer, ...] | None:
        """The answers to calls joined; None where they are to be answered one by one, so that one fails alone."""
        counts = [rows_of(call) for call in calls]
        found = self._infer_one(served, join(calls))
        if isinstance(found, Refusal):
            return None
        parts = split(found.outputs, counts)
        if parts is None:
            return None
        share_s = found.cpu_s / max(1, sum(counts))
        return tuple(Answer(part, share_s * count, sum(counts)) for part, count in zip(parts, counts, strict=True))


def _use_one_thread(graph: Graph) -> None:
    """A worker is one core. What a model was fitted with says nothing about what it may take here."""
    for node in graph.nodes:
        if "n_jobs" in node.state:
            node.state["n_jobs"] = 1
        if "n_jobs" in node.columns:
            node.columns["n_jobs"] = [1] * node.count


def _is_rowwise(graph: Graph) -> bool:
    if codecs.untrusted_types(graph):
        return False
    return not any(node.type.rpartition(".")[2] in _NOT_ROWWISE for node in graph.nodes)
