"""The server as an ASGI application: predictions by the shortest way, everything else through Starlette."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, TypeAlias

from keepfit.serve.access import Access
from keepfit.serve.bodies import Bodies, ClientGoneError, Receive, compressed
from keepfit.serve.errors import RequestError
from keepfit.serve.limits import HttpLimits
from keepfit.serve.logs import access_log
from keepfit.serve.metrics import Metrics
from keepfit.serve.protocol import read_request, write_response
from keepfit.serve.responses import BINARY, JSON, Headers, Response, error_response
from keepfit.serve.routes import site_of

if TYPE_CHECKING:
    from keepfit.serve.pool import Pool
    from keepfit.serve.repository import ModelEntry, Repository
    from keepfit.serve.tokens import Tokens
    from keepfit.serve.uploads import Uploads
    from keepfit.store import Store

__all__ = ["App"]

Scope: TypeAlias = "MutableMapping[str, Any]"
Send: TypeAlias = "Callable[[MutableMapping[str, Any]], Awaitable[None]]"

_VARY = (b"vary", b"accept-encoding")
_HEADER_LENGTH = b"inference-header-content-length"
_CLIENT_GONE = 499
_PATH_CHARS = 200


class Note:
    """What is known of a request when it is over, for its line in the log and for the metrics."""

    __slots__ = ("cpu_s", "entry", "rows", "size", "started", "status", "token")

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.status = 500
        self.size = 0
        self.entry: ModelEntry | None = None
        self.token = ""
        self.cpu_s = 0.0
        self.rows = 0


class App:
    """The HTTP face of a server, for uvicorn.

    Parameters
    ----------
    pool : Pool
        Started.
    repository : Repository
        Started.
    tokens : Tokens, default=None
        Without, anybody may ask for predictions.
    uploads : Uploads, default=None
        Without, no model is taken.
    store : Store, default=None
        Whose searches the page shows; without, it shows none.
    limits : HttpLimits, default=HttpLimits()

    Attributes
    ----------
    metrics : Metrics
    is_stopping : bool
        Set when the server is about to go: it is not ready any more, but still answers.
    """

    def __init__(
        self,
        pool: Pool,
        repository: Repository,
        *,
        tokens: Tokens | None = None,
        uploads: Uploads | None = None,
        store: Store | None = None,
        limits: HttpLimits | None = None,
    ) -> None:
        self.pool = pool
        self.repository = repository
        self.uploads = uploads
        self.store = store
        self.limits = limits or HttpLimits()
        self.access = Access(repository, tokens)
        self.bodies = Bodies(self.limits)
        self.metrics = Metrics(pool.figures)
        self.is_stopping = False
        self._site = site_of(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or the start and stop of the server."""
        if scope["type"] != "http":
            await self._site(scope, receive, send)
            return
        note = Note()
        self.metrics.in_flight.inc()
        try:
            path: str = scope["path"]
            if path.endswith("/infer") and path.startswith("/v2/models/") and scope["method"] == "POST":
                await self._infer(path, scope, receive, send, note)
            else:
                await self._other(scope, receive, send, note)
        finally:
            self.metrics.in_flight.dec()
            self._tell(scope, note)

    # Predictions

    async def _infer(self, path: str, scope: Scope, receive: Receive, send: Send, note: Note) -> None:
        try:
            status, headers, body = await self._answer(path, dict(scope["headers"]), receive, note)
        except ClientGoneError:
            note.status = _CLIENT_GONE
            return
        except Exception as error:  # the border: whatever goes wrong has an answer
            status, headers, body = error_response(error)
        note.status, note.size = status, len(body)
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, path: str, headers: MutableMapping[bytes, bytes], receive: Receive, note: Note) -> Response:
        grant = self.access.grant(headers)
        note.token = grant.key
        name, version = _model_in(path)
        note.entry = await self.access.ready(grant, name, version)
        body = await self.bodies.read(headers, receive)
        request = read_request(body, _json_bytes(headers), self.limits)
        entry = note.entry = await self.access.ready(grant, name, version)  # the one in service now
        answer = await self.pool.infer(entry.key, request.call)
        note.cpu_s, note.rows = answer.cpu_s, answer.batch_rows
        classes = entry.signature.classes if entry.signature is not None else ()
        body, json_bytes = write_response(entry.name, entry.version, request, answer, classes, self.limits)
        found: Headers = [JSON]
        if json_bytes is not None:
            found = [BINARY, (_HEADER_LENGTH, b"%d" % json_bytes)]
        accept = headers.get(b"accept-encoding")
        if accept is not None:
            body, encoding = await compressed(body, accept)
            if encoding is not None:
                found += [_VARY, (b"content-encoding", encoding.encode())]
        return 200, found, body

    # Everything else

    async def _other(self, scope: Scope, receive: Receive, send: Send, note: Note) -> None:
        async def sending(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                note.status = message["status"]
            else:
                note.size += len(message.get("body", b""))
            await send(message)

        scope["keepfit.note"] = note
        try:
            await self._site(scope, receive, sending)
        except ClientGoneError:
            note.status = _CLIENT_GONE

    def _tell(self, scope: Scope, note: Note) -> None:
        duration_s = time.perf_counter() - note.started
        self.metrics.count(note.status)
        entry = note.entry
        if entry is not None:
            self.metrics.count_prediction(
                entry.name, entry.version, note.status, duration_s, note.cpu_s, tenant=entry.tenant
            )
        if access_log.stream is None:
            return
        client = scope.get("client")
        fields: dict[str, Any] = {
            "method": scope["method"],
            "path": scope["path"][:_PATH_CHARS],
            "status": note.status,
            "duration_ms": round(duration_s * 1e3, 3),
            "response_bytes": note.size,
            "client": client[0] if client else "",
        }
        if note.token:
            fields["token_key"] = note.token
        if entry is not None:
            fields |= {"model": entry.name, "version": entry.version, "worker_cpu_ms": round(note.cpu_s * 1e3, 3)}
        access_log.write(fields)


def _model_in(path: str) -> tuple[str, str | None]:
    parts = path.split("/")
    if len(parts) == 5:
        return parts[3], None
    if len(parts) == 7 and parts[4] == "versions":
        return parts[3], parts[5]
    raise RequestError("there is nothing at this address", status=404)


def _json_bytes(headers: MutableMapping[bytes, bytes]) -> int | None:
    value = headers.get(_HEADER_LENGTH)
    if value is None:
        return None
    if not (value.isdigit() and len(value) < 16):
        raise RequestError("Inference-Header-Content-Length has to be a number of bytes")
    return int(value)
