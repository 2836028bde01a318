"""The zygote: a process that has imported everything and forks workers at the front's word.

``python -m keepfit.serve.zygote FD [MODULE ...]``, with the front's socket as descriptor FD. It has one thread, runs no
model and reads nothing but that socket. It ends when the front does, and workers end when it does.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from typing import NoReturn

import msgspec

from keepfit.serve import jail
from keepfit.serve.messages import Awake, Kill, Receiver, Spawn, ToZygote, send

__all__ = ["main"]

_FRAME_BYTES_MAX = 1 << 16

_decoder = msgspec.msgpack.Decoder(ToZygote)


def main(arguments: list[str]) -> None:
    """Import everything, say so, and fork workers until the front is gone."""
    from keepfit.serve.preloading import preload

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=int(arguments[0]))
    preload(arguments[1:])
    try:
        send(control, Awake(jail.probe()))
    except (BrokenPipeError, ConnectionResetError):  # the front was stopped meanwhile
        return
    _Zygote(control).run()


class _Zygote:
    """The loop: words of the front, and ends of workers."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._receiver = Receiver(control, frame_bytes_max=_FRAME_BYTES_MAX, takes_fds=True)
        self._pids: dict[int, int] = {}
        self._bell, self._ringer = os.pipe()
        os.set_blocking(self._ringer, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._ringer, warn_on_full_buffer=False)

    def run(self) -> None:
        waiting = select.poll()
        waiting.register(self._control, select.POLLIN)
        waiting.register(self._bell, select.POLLIN)
        while True:
            for descriptor, _ in waiting.poll():
                if descriptor == self._bell:
                    os.read(self._bell, 4096)
                    self._reap()
                elif not self._listen():
                    return

    def _listen(self) -> bool:
        try:
            data = self._receiver.receive()
        except (EOFError, OSError):
            return False
        if data is not None:
            message = _decoder.decode(data)
            if isinstance(message, Spawn):
                self._spawn(message, socket.socket(fileno=self._receiver.fds[0]))
            elif isinstance(message, Kill) and message.number in self._pids:
                os.kill(self._pids[message.number], signal.SIGKILL)
        return True

    def _spawn(self, message: Spawn, sock: socket.socket) -> None:
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            self._become_worker(message, sock, parent)
        sock.close()
        self._pids[message.number] = child

    def _become_worker(self, message: Spawn, sock: socket.socket, parent: int) -> NoReturn:
        from keepfit.serve.worker import work

        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            jail.die_with_parent(parent)
            self._control.close()
            os.close(self._bell)
            os.close(self._ringer)
            work(sock, message)
        finally:
            os._exit(1)

    def _reap(self) -> None:
        while self._pids:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            self._pids = {number: found for number, found in self._pids.items() if found != pid}


if __name__ == "__main__":
    main(sys.argv[1:])
