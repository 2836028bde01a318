"""Connections that a client cannot hold open, or fill, for nothing: bounds that uvicorn leaves to a proxy in front.

Given to uvicorn as ``http=``: `bounded` makes the protocol class for a table of limits. It closes connections that send
too slowly or too long headers, and turns away those beyond a number.

It also spares short requests for predictions what costs more than they do: a task, and ASGI's messages. Such a request
is handed to the application when it is there in whole (`App.take`), and its response is written at once. What the
application does not take goes the way of uvicorn.
"""

from __future__ import annotations

import asyncio
import re
from functools import partial

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from keepfit.serve.limits import HttpLimits
from keepfit.serve.responses import Response, length_of

__all__ = ["BoundedConnection", "bounded"]

_LOOK_S = 1.0
_DRAIN_S = 10.0
_PREDICTION = re.compile(rb"/v2/models/[A-Za-z0-9._/-]+/infer")  # nothing in it that stands for something else
_SHORT_BYTES = 1 << 15  # less than what uvicorn stops reading at


def _answer(status: str, message: str, more: bytes = b"") -> bytes:
    body = b'{"error":"' + message.encode() + b'"}'
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"connection: close\r\n" + more + b"\r\n" + body


class _Taken:
    """A request that the application took: of uvicorn's cycle what its connection looks at."""

    __slots__ = (
        "body",
        "disconnected",
        "headers",
        "keep_alive",
        "message_event",
        "response_complete",
        "response_started",
    )

    def __init__(self, headers: dict[bytes, bytes]) -> None:
        self.headers = headers
        self.body = bytearray()
        self.keep_alive = True
        self.disconnected = self.response_started = self.response_complete = False
        self.message_event = self

    def set(self) -> None:
        """Do nothing."""


class BoundedConnection(HttpToolsProtocol):
    """uvicorn's connection with a bound on how long a request may take to arrive, and how long its headers may be.

    One timer a connection looks at the clock once a second; nothing is added to a request but two counters.
    """

    bounds = HttpLimits()

    _since = 0.0  # when the request in hand began, or the last one was answered
    _head_bytes = 0
    _body_bytes = 0
    _is_arriving = True  # also before the first byte: who connects has to say something
    _timer: asyncio.TimerHandle | None = None
    _taken: _Taken | None = None  # that waits for its body

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since = self.loop.time()
        self._take = getattr(self.app, "take", None)
        self._head_bytes_max = self.bounds.header_bytes
        self._look_s = min(_LOOK_S, self.timeout_keep_alive / 4)
        if len(self.connections) > self.bounds.connections:
            self._turn_away("503 Service Unavailable", "there are too many connections", b"retry-after: 1\r\n")
            return
        self._timer = self.loop.call_later(self._look_s, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return  # what a client goes on sending after it was turned away
        super().data_received(data)

    # What the parser finds. uvicorn is told of a request when it is known to be for it

    def on_message_begin(self) -> None:
        self._is_arriving = True
        self._since = self.loop.time()
        self._head_bytes = self._body_bytes = 0
        self.url, self.headers, self.expect_100_continue = b"", [], False

    def on_url(self, url: bytes) -> None:
        self.url += url
        self._head_bytes += len(url)
        if self._head_bytes > self._head_bytes_max:
            self._refuse_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > self._head_bytes_max:
            self._refuse_head()

    def on_headers_complete(self) -> None:
        if self.transport.is_closing() and self.cycle is not None and self.cycle.response_complete:
            return  # what is asked for after a request that was to be the last
        if self._is_prediction():
            headers = dict(self.headers)
            if _is_short(headers):
                self._taken = _Taken(headers)
                return
        self._tell_uvicorn()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._taken is not None:
            self._taken.body += body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_arriving = False
        taken, self._taken = self._taken, None
        if taken is not None:
            path, respond = self.url.decode("ascii"), partial(self._respond, taken)
            before, self.cycle = self.cycle, taken  # type: ignore[assignment]
            taken.keep_alive = self.parser.should_keep_alive()
            if self._take is not None and self._take(path, taken.headers, taken.body, respond, self.client):
                return
            self.cycle = before
            self._tell_uvicorn()
            super().on_body(bytes(taken.body))
        super().on_message_complete()

    def _is_prediction(self) -> bool:
        """Whether a request is one that may be taken, by all but its length."""
        return (
            _PREDICTION.fullmatch(self.url) is not None
            and not self.expect_100_continue
            and (self.cycle is None or self.cycle.response_complete)
            and not self.flow.write_paused  # who does not read gets no more: uvicorn waits, and reads no more either
            and self.parser.get_method() == b"POST"
            and not self.parser.should_upgrade()
        )

    def _tell_uvicorn(self) -> None:
        """Tell uvicorn of a request whose headers are there."""
        url, headers, expect_100_continue = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect_100_continue
        self.headers += headers  # the list that is in its scope
        super().on_headers_complete()

    def _respond(self, taken: _Taken, response: Response) -> None:
        """Write the response to a request that the application took."""
        if taken.disconnected:
            return
        status, headers, body = response
        default_headers = self.server_state.default_headers
        parts = [STATUS_LINE[status]]
        for name, value in (*default_headers, *headers, length_of(body)):
            parts += (name, b": ", value, b"\r\n")
        if (b"connection", b"close") in default_headers:  # the server stops, and tells who is connected
            taken.keep_alive = False
        elif not taken.keep_alive:
            parts.append(b"connection: close\r\n")
        parts.append(b"\r\n")
        taken.response_started = taken.response_complete = True
        if len(body) < _SHORT_BYTES:
            parts.append(body)
        self.transport.write(b"".join(parts))
        if len(body) >= _SHORT_BYTES:
            self.transport.write(body)  # without a copy
        if not taken.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def on_response_complete(self) -> None:
        """Go on to the next request, or be idle. For that uvicorn has a timer; here `_look` sees to it."""
        if self.pipeline:
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        self._since = self.loop.time()
        self.flow.resume_reading()

    # Bounds

    def _refuse_head(self) -> None:
        if not self.transport.is_closing():
            self._turn_away("431 Request Header Fields Too Large", "the headers are too long")

    def _look(self) -> None:
        if self.transport.is_closing():
            return
        passed = self.loop.time() - self._since
        bounds = self.bounds
        is_answered = self.cycle is not None and self.cycle.response_complete
        if not self._is_arriving and is_answered and passed > self.timeout_keep_alive:
            self.transport.close()
        elif self._is_arriving and passed > bounds.receive_timeout_s + self._body_bytes / bounds.receive_bytes_per_s:
            self._turn_away("408 Request Timeout", "the request came too slowly")
        elif self._is_arriving and is_answered and self._body_bytes and passed > _DRAIN_S:
            self.transport.close()  # it was refused while it came, and still goes on
        else:
            self._timer = self.loop.call_later(self._look_s, self._look)

    def _turn_away(self, status: str, message: str, more: bytes = b"") -> None:
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(_answer(status, message, more))
        self.transport.close()


def _is_short(headers: dict[bytes, bytes]) -> bool:
    """Whether a body is of a length that is known and small."""
    length = headers.get(b"content-length", b"")
    is_known = length.isdigit() and len(length) < 6 and b"transfer-encoding" not in headers
    return is_known and int(length) <= _SHORT_BYTES


def bounded(limits: HttpLimits) -> type[BoundedConnection]:
    """The protocol class for these limits."""
    return type("BoundedConnection", (BoundedConnection,), {"bounds": limits})
