"""Work in a forked child under limits of memory and time, told about case by case."""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import select
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, NoReturn

__all__ = ["MEMORY_BYTES", "Ended", "in_child"]

MEMORY_BYTES = 2 * 2**30
#: A child that says nothing for so many times a case's time waits for something that does not come.
_PATIENCE = 6
_TRACE_CHARS = 1500

Tell = Callable[..., None]


@dataclass(frozen=True)
class Ended:
    """What a child told before it ended, how it ended ("" if in good order), and where it was then."""

    told: list[Any]
    how: str
    where: str


def in_child(work: Callable[[Tell, Callable[[], None]], None], case_s: float) -> Ended:
    """Run `work` in a forked child.

    Parameters
    ----------
    work : function
        Of two functions: the first tells the parent something (as JSON), the second starts the clock of a case.
    case_s : float
        How much processor time a case may take; a case that sleeps is waited for some times as long.
    """
    reading, writing = os.pipe()
    with tempfile.TemporaryFile() as trace:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads: linear algebra's are idle
            child = os.fork()
        if child == 0:
            os.close(reading)
            _run(work, writing, case_s, trace)
        os.close(writing)
        try:
            told, how = _listen(reading, child, case_s)
        finally:
            os.close(reading)
            _, status = os.waitpid(child, 0)
        trace.seek(0)
        where = trace.read(_TRACE_CHARS).decode(errors="replace")
    if not how and status:
        code = os.waitstatus_to_exitcode(status)
        how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        how = how.replace("ended by SIGPROF", f"hang: over {case_s} s of processor time")
    return Ended(told, how, where)


def _listen(reading: int, child: int, case_s: float) -> tuple[list[Any], str]:
    data = bytearray()
    how = ""
    while True:
        if not select.select([reading], [], [], case_s * _PATIENCE)[0]:
            os.kill(child, signal.SIGABRT)  # tells where it is
            time.sleep(0.05)
            os.kill(child, signal.SIGKILL)
            how = f"hang: silent for {case_s * _PATIENCE} s"
            break
        more = os.read(reading, 65_536)
        if not more:
            break
        data += more
    return [json.loads(line) for line in data.splitlines() if line.endswith(b"]")], how


def _run(work: Any, writing: int, case_s: float, trace: IO[bytes]) -> NoReturn:
    code = 1
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))  # what may be written to, and threads
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        faulthandler.enable(trace, all_threads=False)
        faulthandler.register(signal.SIGPROF, trace, all_threads=False, chain=True)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        sys.setrecursionlimit(1000)

        def tell(*what: Any) -> None:
            os.write(writing, json.dumps(what).encode() + b"\n")

        work(tell, lambda: signal.setitimer(signal.ITIMER_PROF, case_s) and None)
        code = 0
    except BaseException as error:
        trace.write(f"{type(error).__name__}: {error}".encode())
        trace.flush()
    finally:
        os._exit(code)
