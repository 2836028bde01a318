"""The front's end of a worker's socket: messages out and in without waiting."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence

import msgspec

from keepfit.serve.messages import NO_MESSAGE, FrameError, Receiver, ToFront, ToWorker, frame

__all__ = ["Channel"]

_decoder = msgspec.msgpack.Decoder(ToFront)


class Channel:
    """Sends messages to one worker and hands on what it says.

    Parameters
    ----------
    sock : socket
        Belongs to the channel from here on.
    frame_bytes_max : int
        The longest message that is taken.
    on_message : function
        Of a message.
    on_end : function
        Called once, when the worker is gone, or has said what is no message, or anything unasked: it is to be taken for
        dead then.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        frame_bytes_max: int,
        on_message: Callable[[ToFront], None],
        on_end: Callable[[], None],
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._receiver = Receiver(sock, frame_bytes_max=frame_bytes_max)
        self._on_message = on_message
        self._on_end = on_end
        self._unsent = memoryview(b"")
        self._is_open = True
        self._is_awaited = True  # first it says that it has started; then it answers
        self._loop.add_reader(sock.fileno(), self._read)

    def send(self, message: ToWorker, fds: Sequence[int] = ()) -> None:
        """Send a message, as far as the socket takes it now, and the rest when it takes more.

        To one that is gone nothing is sent; `on_end` tells of it.
        """
        data = frame(message)
        self._is_awaited = True
        try:
            sent = socket.send_fds(self._sock, [data], fds) if fds else self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return
        if sent < len(data):
            self._unsent = memoryview(data)[sent:]
            self._loop.add_writer(self._sock.fileno(), self._write)

    def close(self) -> None:
        """Let go of the socket. Nothing is called any more."""
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._sock.fileno())
            self._loop.remove_writer(self._sock.fileno())
            self._sock.close()

    def _write(self) -> None:
        try:
            self._unsent = self._unsent[self._sock.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self._unsent = memoryview(b"")
        if not self._unsent:
            self._loop.remove_writer(self._sock.fileno())

    def _read(self) -> None:
        try:
            data = self._receiver.receive()
            if not self._is_awaited:
                raise FrameError("nothing was asked")
            message = None if data is None else _decoder.decode(data)
        except BlockingIOError:
            return
        except (EOFError, OSError, FrameError, *NO_MESSAGE):
            self.close()
            self._on_end()
            return
        if message is not None:
            self._is_awaited = False
            self._on_message(message)
