"""Connections that a client cannot hold open, or fill, for nothing: bounds that uvicorn leaves to a proxy in front.

Given to uvicorn as ``http=``: `bounded` makes the protocol class for a table of limits. It closes connections that send
too slowly or too long headers, and turns away those beyond a number.

It also spares short requests for predictions what costs more than they do: a task, and ASGI's messages. Such a request
is handed to the application when it is there in whole (`App.take`), and its response is written at once. What the
application does not take goes the way of uvicorn.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from keepfit.serve.limits import HttpLimits
from keepfit.serve.responses import Response, length_of

__all__ = ["BoundedConnection", "bounded"]

_LOOK_S = 1.0
_DRAIN_S = 10.0
_SHORT_BYTES = 1 << 15  # less than what uvicorn stops reading at


def _answer(status: str, message: str, more: bytes = b"") -> bytes:
    body = b'{"error":"' + message.encode() + b'"}'
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"connection: close\r\n" + more + b"\r\n" + body


class BoundedConnection(HttpToolsProtocol):
    """uvicorn's connection with a bound on how long a request may take to arrive, and how long its headers may be.

    One timer a connection looks at the clock once a second; nothing is added to a request but two counters.
    """

    bounds = HttpLimits()

    _since = 0.0
    _head_bytes = 0
    _body_bytes = 0
    _is_arriving = True  # also before the first byte: who connects has to say something
    _timer: asyncio.TimerHandle | None = None
    _held: tuple[RequestResponseCycle, Any] | None = None  # that waits for its body

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since = self.loop.time()
        if len(self.connections) > self.bounds.connections:
            self._turn_away("503 Service Unavailable", "there are too many connections", b"retry-after: 1\r\n")
            return
        self._timer = self.loop.call_later(_LOOK_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return  # what a client goes on sending after it was turned away
        super().data_received(data)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_arriving = True
        self._since = self.loop.time()
        self._head_bytes = self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._count(len(name) + len(value) + 4)

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_arriving = False
        super().on_message_complete()
        if self._held is not None:
            held, self._held = self._held, None
            self._start_asgi_task(*held)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Have a request answered: by uvicorn, unless it is short and the application takes it."""
        if cycle.more_body:
            if _is_short(cycle):
                self._held = (cycle, app)
                return
        elif hasattr(app, "take") and app.take(cycle.scope, cycle.body, partial(self._respond, cycle)):
            return
        super()._start_asgi_task(cycle, app)

    def _respond(self, cycle: RequestResponseCycle, response: Response) -> None:
        """Write the response to a request that the application took."""
        if cycle.disconnected:
            return
        status, headers, body = response
        parts = [STATUS_LINE[status]]
        for name, value in (*cycle.default_headers, *headers, length_of(body)):
            parts += (name, b": ", value, b"\r\n")
        closes = (b"connection", b"close") in cycle.default_headers  # the server stops, and tells who is connected
        if closes:
            cycle.keep_alive = False
        elif not cycle.keep_alive:
            parts.append(b"connection: close\r\n")
        parts += (b"\r\n", body)
        cycle.response_started = cycle.response_complete = True
        self.transport.write(b"".join(parts))
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self.bounds.header_bytes and not self.transport.is_closing():
            self._turn_away("431 Request Header Fields Too Large", "the headers are too long")

    def _look(self) -> None:
        if self.transport.is_closing():
            return
        passed = self.loop.time() - self._since
        bounds = self.bounds
        is_answered = self.cycle is not None and self.cycle.response_complete
        if self._is_arriving and passed > bounds.receive_timeout_s + self._body_bytes / bounds.receive_bytes_per_s:
            self._turn_away("408 Request Timeout", "the request came too slowly")
        elif self._is_arriving and is_answered and self._body_bytes and passed > _DRAIN_S:
            self.transport.close()  # it was refused while it came, and still goes on
        else:
            self._timer = self.loop.call_later(_LOOK_S, self._look)

    def _turn_away(self, status: str, message: str, more: bytes = b"") -> None:
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(_answer(status, message, more))
        self.transport.close()


def _is_short(cycle: RequestResponseCycle) -> bool:
    """Whether a request is for a prediction, and of a length that is known and small."""
    if not cycle.scope["path"].endswith("/infer") or cycle.waiting_for_100_continue:
        return False
    length = dict(cycle.scope["headers"]).get(b"content-length", b"")
    return length.isdigit() and len(length) < 6 and int(length) <= _SHORT_BYTES


def bounded(limits: HttpLimits) -> type[BoundedConnection]:
    """The protocol class for these limits."""
    return type("BoundedConnection", (BoundedConnection,), {"bounds": limits})
