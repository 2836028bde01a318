"""Responses: what says what went wrong, in the protocol's words, and values as JSON."""

from __future__ import annotations

from typing import Any, TypeAlias

from starlette import responses

from keepfit.errors import KeepfitError, ServeError, StoreError
from keepfit.serve.errors import OverloadedError, UnavailableError
from keepfit.serve.logs import log
from keepfit.serve.protocol import json_of

__all__ = ["BINARY", "JSON", "Headers", "Response", "error_response", "json_response", "length_of"]

Headers: TypeAlias = "list[tuple[bytes, bytes]]"
Response: TypeAlias = "tuple[int, Headers, bytes]"
"""Status, headers without the length, body."""

JSON = (b"content-type", b"application/json")
BINARY = (b"content-type", b"application/octet-stream")


def length_of(body: bytes) -> tuple[bytes, bytes]:
    """The header that tells how long a body is."""
    return b"content-length", b"%d" % len(body)


def json_response(value: Any) -> responses.Response:
    """A value as a JSON response of Starlette."""
    return responses.Response(json_of(value), media_type="application/json")


def error_response(error: Exception) -> Response:
    """What a client is told of an error; what is nobody's fault but ours goes to the log."""
    headers: Headers = [JSON]
    message = str(error)
    if isinstance(error, ServeError):
        status = error.status
        if isinstance(error, OverloadedError):
            headers.append((b"retry-after", b"%d" % max(1, round(error.retry_after_s))))
        elif isinstance(error, UnavailableError):
            headers.append((b"retry-after", b"1"))
        elif status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
    elif isinstance(error, StoreError):
        log.error("the store cannot be used", extra={"reason": message})
        headers.append((b"retry-after", b"1"))
        status, message = 503, "the store cannot be used now; the server's log says why"
    elif isinstance(error, KeepfitError):
        status = 400  # a file that is refused, in the words of whoever refused it
    else:
        log.error("a request failed", exc_info=error)
        status, message = 500, "the server failed; its log says why"
    return status, headers, json_of({"error": message})
