"""The front's side of the zygote: a fresh interpreter is started, and forks workers from then on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence

import msgspec

from keepfit.serve.errors import UnavailableError
from keepfit.serve.messages import (
    Awake,
    FrameError,
    Isolation,
    Kill,
    Receiver,
    Spawn,
    ToZygote,
    frame,
)

__all__ = ["Zygote"]

_FRAME_BYTES_MAX = 1 << 16
_START_S = 120.0
_STOP_S = 5.0

#: One thread each: workers are as many as there are cores. Read when the libraries are loaded.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}

_decoder = msgspec.msgpack.Decoder(Awake)


class Zygote:
    """The process that forks workers.

    It is started anew, not forked: nothing that this process has in memory or open goes along. It is in a session of
    its own, so that Ctrl-C reaches the front alone, which then ends the rest in good order.

    Parameters
    ----------
    imports : sequence of str
        Modules to import besides those that it always imports.
    on_end : function
        Called once, when it ends unasked.
    """

    def __init__(self, imports: Sequence[str], *, on_end: Callable[[], None]) -> None:
        self._imports = imports
        self._on_end = on_end
        self.is_awake = False
        self.pid = 0

    async def start(self) -> Isolation:
        """Start it and wait until it has imported everything.

        Returns
        -------
        Isolation
            What holds its jails, as it found out by trying.

        Raises
        ------
        UnavailableError
            If it ends at once, or takes longer than two minutes.
        """
        self._loop = asyncio.get_running_loop()
        self._awake: asyncio.Future[Isolation] = self._loop.create_future()
        self._sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, and modules that the operator named
                [
                    sys.executable,
                    "-P",
                    "-W",
                    "ignore::DeprecationWarning",
                    "-m",
                    "keepfit.serve.zygote",
                    str(theirs.fileno()),
                    *self._imports,
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **_ENVIRONMENT, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                start_new_session=True,
            )
        self.pid = self._process.pid
        self._receiver = Receiver(self._sock, frame_bytes_max=_FRAME_BYTES_MAX)
        self._loop.add_reader(self._sock.fileno(), self._read)
        try:
            async with asyncio.timeout(_START_S):
                return await self._awake
        except TimeoutError:
            raise UnavailableError(f"the workers did not start within {_START_S:.0f} s") from None
        finally:
            if not self.is_awake:
                await self.stop()

    def spawn(self, message: Spawn) -> socket.socket:
        """Have a worker forked.

        Returns
        -------
        socket
            To talk to it. It is at its end at once where the zygote is gone.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs, contextlib.suppress(OSError):
            socket.send_fds(self._sock, [frame(message)], [theirs.fileno()])
        return ours

    def kill(self, number: int) -> None:
        """Have a worker killed. The zygote does it because only it knows that the process is still that one."""
        with contextlib.suppress(OSError):
            self._send(Kill(number))

    async def stop(self) -> None:
        """End it, and with it the workers, and wait until it has."""
        self.is_awake = False
        if not self.pid:  # it was not started
            return
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._process.wait, _STOP_S)
        if self._process.poll() is None:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)

    def _send(self, message: ToZygote) -> None:
        self._sock.send(frame(message))

    def _read(self) -> None:
        try:
            data = self._receiver.receive()
            message = None if data is None else _decoder.decode(data)
        except (EOFError, OSError, FrameError, msgspec.MsgspecError):
            self._end()
            return
        if isinstance(message, Awake):
            self.is_awake = True
            if not self._awake.done():
                self._awake.set_result(message.isolation)

    def _end(self) -> None:
        self._loop.remove_reader(self._sock.fileno())
        if self._awake.done():
            self.is_awake = False
            self._on_end()
        else:
            self._awake.set_exception(UnavailableError("the workers did not start; what they printed says why"))
