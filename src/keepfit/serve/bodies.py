"""Bodies of requests, read and decompressed under limits; bodies of responses, compressed as the client likes."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any, TypeAlias

from keepfit.serve.errors import OverloadedError, RequestError
from keepfit.serve.limits import HttpLimits

__all__ = ["Bodies", "ClientGoneError", "Receive", "compressed", "encoding_for", "inflate", "is_worth_compressing"]

Receive: TypeAlias = "Callable[[], Awaitable[MutableMapping[str, Any]]]"

_WINDOW = {"gzip": 31, "deflate": 15}
_FREE_RATIO_BYTES = 1 << 20
_STEP_BYTES = 1 << 18
_IN_A_THREAD_BYTES = 1 << 16
_WORTH_COMPRESSING_BYTES = 1 << 10


class ClientGoneError(Exception):
    """The client closed the connection before its request was whole: there is nobody to answer."""


class Bodies:
    """Reads bodies of requests, of all of them together no more than a limit.

    Parameters
    ----------
    limits : HttpLimits
    """

    def __init__(self, limits: HttpLimits) -> None:
        self._limits = limits
        self._held_bytes = 0

    async def read(self, headers: MutableMapping[bytes, bytes], receive: Receive) -> bytes | bytearray:
        """The whole body, decompressed.

        Parameters
        ----------
        headers : mapping of bytes to bytes
            Names in lower case.
        receive : callable
            As ASGI has it.

        Returns
        -------
        bytes

        Raises
        ------
        RequestError
            With status 413 if it is too long, as it stands or decompressed; 415 if its encoding is unknown; 400 if it
            is not what its encoding says.
        OverloadedError
            If too much is coming in already.
        ClientGoneError
        """
        limit = self._limits.body_bytes
        if int(headers.get(b"content-length", b"0")) > limit:
            raise too_long(limit)
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGoneError
        body: bytes | bytearray = message.get("body", b"")
        if message.get("more_body", False):
            body = await self._rest(body, receive)
        if len(body) > limit:
            raise too_long(limit)
        encoding = headers.get(b"content-encoding")
        if encoding is None or encoding == b"identity":
            return body
        name = encoding.decode("latin-1").strip().lower()
        if len(body) < _IN_A_THREAD_BYTES:
            return inflate(body, name, self._limits)
        return await asyncio.to_thread(inflate, body, name, self._limits)

    async def stream(self, receive: Receive, limit: int) -> AsyncIterator[bytes]:
        """The body piece by piece, as it comes.

        Raises
        ------
        RequestError
            With status 413 if it is longer than `limit`.
        ClientGoneError
        """
        count, more = 0, True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                raise ClientGoneError
            piece = message.get("body", b"")
            count += len(piece)
            if count > limit:
                raise too_long(limit)
            if piece:
                yield piece
            more = message.get("more_body", False)

    async def _rest(self, first: bytes | bytearray, receive: Receive) -> bytearray:
        body = bytearray()
        held = 0
        try:
            more, piece = True, first
            while True:
                if len(body) + len(piece) > self._limits.body_bytes:
                    raise too_long(self._limits.body_bytes)
                self._held_bytes += len(piece)
                held += len(piece)
                if self._held_bytes > self._limits.bodies_bytes:
                    raise OverloadedError("too much is being sent to this server; try again", retry_after_s=1.0)
                body += piece
                if not more:
                    return body
                message = await receive()
                if message["type"] != "http.request":
                    raise ClientGoneError
                piece, more = message.get("body", b""), message.get("more_body", False)
        finally:
            self._held_bytes -= held


def too_long(limit: int) -> RequestError:
    """The error for a body that is longer than it may be."""
    return RequestError(f"the body is longer than the {limit:,} bytes that are taken", status=413)


def inflate(body: bytes | bytearray, encoding: str, limits: HttpLimits) -> bytes:
    """Decompress, step by step, and stop at the limits: what a zip bomb holds is never in memory.

    Parameters
    ----------
    body : bytes
    encoding : {"gzip", "deflate"}
    limits : HttpLimits

    Returns
    -------
    bytes

    Raises
    ------
    RequestError
        With status 413 if it grows beyond ``body_bytes``, or beyond 1 MiB and ``inflate_ratio`` times what was sent;
        415 if the encoding is unknown; 400 if the body is not of it, ends early or goes on after its end.
    """
    window = _WINDOW.get(encoding)
    if window is None:
        raise RequestError(f"the Content-Encoding {encoding[:40]!r} is not known; gzip and deflate are", status=415)
    most = min(limits.body_bytes, max(_FREE_RATIO_BYTES, limits.inflate_ratio * len(body)))
    stream = zlib.decompressobj(window)
    pieces, count, waiting = [], 0, body
    try:
        while not stream.eof:
            piece = stream.decompress(waiting, min(_STEP_BYTES, most + 1 - count))
            waiting = stream.unconsumed_tail
            count += len(piece)
            if count > most:
                raise RequestError(
                    f"the body grows beyond {most:,} bytes when it is decompressed; send it uncompressed, or less",
                    status=413,
                )
            if not piece and not waiting and not stream.eof:
                raise RequestError(f"the {encoding} body ends early")
            pieces.append(piece)
    except zlib.error as error:
        raise RequestError(f"the body is not {encoding}: {error}") from None
    if stream.unused_data:
        raise RequestError(f"{len(stream.unused_data)} bytes follow the end of the {encoding} body")
    return b"".join(pieces)


@lru_cache(maxsize=128)
def encoding_for(accept: bytes) -> str | None:
    """How a client likes its answer, of ``Accept-Encoding``: ``"gzip"``, ``"deflate"``, or None for as it is.

    >>> encoding_for(b"deflate, gzip;q=0.5"), encoding_for(b"gzip;q=0, br")
    ('deflate', None)
    """
    found: dict[str, float] = {}
    for part in accept.decode("latin-1").lower().split(","):
        name, _, rest = part.strip().partition(";")
        quality = rest.strip().removeprefix("q=")
        try:
            found[name.strip()] = float(quality) if quality else 1.0
        except ValueError:
            found[name.strip()] = 0.0
    anything = found.get("*", 0.0)
    best = max(_WINDOW, key=lambda name: found.get(name, anything))
    return best if found.get(best, anything) > 0 else None


def is_worth_compressing(body: bytes) -> bool:
    """Whether a body is so long that it may be sent compressed."""
    return len(body) >= _WORTH_COMPRESSING_BYTES


async def compressed(body: bytes, accept: bytes) -> tuple[bytes, str | None]:
    """A body as the client likes it, and how it is encoded; as it is where that would save next to nothing."""
    if not is_worth_compressing(body) or len(accept) > 256:
        return body, None
    encoding = encoding_for(accept)
    if encoding is None:
        return body, None
    if len(body) < _IN_A_THREAD_BYTES:
        return _deflated(body, encoding), encoding
    return await asyncio.to_thread(_deflated, body, encoding), encoding


def _deflated(body: bytes, encoding: str) -> bytes:
    stream = zlib.compressobj(1, zlib.DEFLATED, _WINDOW[encoding])
    return stream.compress(body) + stream.flush()
