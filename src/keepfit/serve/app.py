"""The server as an ASGI application: predictions by the shortest way, everything else through Starlette."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from keepfit.serve.access import Access
from keepfit.serve.bodies import Bodies, ClientGoneError, Receive, compressed, is_worth_compressing
from keepfit.serve.errors import RequestError
from keepfit.serve.limits import HttpLimits
from keepfit.serve.logs import access_log
from keepfit.serve.messages import Answer
from keepfit.serve.metrics import Metrics
from keepfit.serve.protocol import Request, is_long, read_request, write_response
from keepfit.serve.responses import BINARY, JSON, Response, error_response, length_of
from keepfit.serve.routes import site_of

if TYPE_CHECKING:
    from keepfit.serve.pool import Pool
    from keepfit.serve.repository import ModelEntry, Repository
    from keepfit.serve.tokens import Tokens
    from keepfit.serve.uploads import Uploads
    from keepfit.store import Store

__all__ = ["App"]

Scope: TypeAlias = "MutableMapping[str, Any]"
_T = TypeVar("_T")
Send: TypeAlias = "Callable[[MutableMapping[str, Any]], Awaitable[None]]"

_VARY = (b"vary", b"accept-encoding")
_HEADER_LENGTH = b"inference-header-content-length"
_CLIENT_GONE = 499
_PATH_CHARS = 200


class Note:
    """What is known of a request when it is over, for its line in the log and for the metrics."""

    __slots__ = ("client", "cpu_s", "entry", "method", "path", "size", "started", "status", "token")

    def __init__(self, method: str, path: str, client: tuple[str, int] | None) -> None:
        self.method, self.path, self.client = method, path, client
        self.started = time.perf_counter()
        self.status = 500
        self.size = 0
        self.entry: ModelEntry | None = None
        self.token = ""
        self.cpu_s = 0.0


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
        self._tasks: set[asyncio.Task[None]] = set()
        self._writing = asyncio.Semaphore(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or the start and stop of the server."""
        if scope["type"] != "http":
            await self._site(scope, receive, send)
            return
        path: str = scope["path"]
        note = Note(scope["method"], path, scope.get("client"))
        self.metrics.in_flight += 1
        try:
            if note.method == "POST" and path.endswith("/infer") and path.startswith("/v2/models/"):
                await self._infer(path, scope, receive, send, note)
            else:
                await self._other(scope, receive, send, note)
        finally:
            self.tell(note)

    # Predictions

    def take(
        self,
        path: str,
        headers: dict[bytes, bytes],
        body: bytearray,
        respond: Callable[[Response], None],
        client: tuple[str, int] | None,
    ) -> bool:
        """Answer a request for a prediction that is there in whole, without a task.

        Parameters
        ----------
        path : str
            ``/v2/models/.../infer``.
        headers : dict of bytes to bytes
            Names in lower case.
        body : bytearray
            Belongs to the application from here on, if it takes the request.
        respond : callable
            Takes the response; it may do so before this has returned.
        client : tuple of str and int, or None
            Who asks.

        Returns
        -------
        bool
            False for what has to wait for something besides a worker: `__call__` answers that.
        """
        if b"content-encoding" in headers:
            return False
        try:
            grant = self.access.grant(headers)
            entry = self.access.find(grant, *_model_in(path))
        except Exception:  # the border: `__call__` tells what is wrong
            return False
        if entry.state != "READY":
            return False
        note = Note("POST", path, client)
        note.token, note.entry = grant.key, entry
        waiting = _Waiting(self, headers.get(b"accept-encoding"), note, entry, respond)
        self.metrics.in_flight += 1
        try:
            waiting.request = read_request(body, _json_bytes(headers), self.limits)
            self.pool.submit(entry.key, waiting.request.call, waiting)
        except Exception as error:  # the border: whatever goes wrong has an answer, but not two
            if waiting.done():
                raise
            waiting.set_exception(error)
        return True

    async def _infer(self, path: str, scope: Scope, receive: Receive, send: Send, note: Note) -> None:
        headers = dict(scope["headers"])
        try:
            response = await self._answer(path, headers, receive, note)
        except ClientGoneError:
            note.status = _CLIENT_GONE
            return
        except Exception as error:  # the border: whatever goes wrong has an answer
            response = error_response(error)
        status, found, body = response
        note.status, note.size = status, len(body)
        await send({"type": "http.response.start", "status": status, "headers": [*found, length_of(body)]})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, path: str, headers: dict[bytes, bytes], receive: Receive, note: Note) -> Response:
        grant = self.access.grant(headers)
        note.token = grant.key
        name, version = _model_in(path)
        note.entry = await self.access.ready(grant, name, version)
        body = await self.bodies.read(headers, receive)
        request = read_request(body, _json_bytes(headers), self.limits)
        entry = note.entry = await self.access.ready(grant, name, version)  # the one in service now
        answer = await self.pool.infer(entry.key, request.call)
        response = await self.written(answer, self.response, entry, request, answer, note)
        accept = headers.get(b"accept-encoding")
        return response if accept is None else await _compressed(response, accept)

    async def written(self, answer: Answer, write: Callable[..., _T], *arguments: Any) -> _T:
        """What `write` makes of an answer; if that is long, in a thread, and one such at a time: others do not wait."""
        if not is_long(answer):
            return write(*arguments)
        async with self._writing:
            return await asyncio.to_thread(write, *arguments)

    def response(self, entry: ModelEntry, request: Request, answer: Answer, note: Note) -> Response:
        """What a client is told of an answer, not compressed."""
        note.cpu_s = answer.cpu_s
        classes = entry.signature.classes if entry.signature is not None else ()
        body, json_bytes = write_response(entry.name, entry.version, request, answer, classes, self.limits)
        if json_bytes is None:
            return 200, [JSON], body
        return 200, [BINARY, (_HEADER_LENGTH, b"%d" % json_bytes)], body

    def keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something done in a task of its own."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

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

    def tell(self, note: Note) -> None:
        """Count a request that is over, and write its line in the log."""
        self.metrics.in_flight -= 1
        duration_s = time.perf_counter() - note.started
        self.metrics.count(note.status)
        entry = note.entry
        if entry is not None:
            self.metrics.count_prediction(
                entry.name, entry.version, note.status, duration_s, note.cpu_s, tenant=entry.tenant
            )
        if access_log.stream is None:
            return
        fields: dict[str, Any] = {
            "method": note.method,
            "path": note.path[:_PATH_CHARS],
            "status": note.status,
            "duration_ms": _ms(duration_s),
            "response_bytes": note.size,
            "client": note.client[0] if note.client else "",
        }
        if note.token:
            fields["token_key"] = note.token
        if entry is not None:
            fields["model"], fields["version"] = entry.name, entry.version
            fields["worker_cpu_ms"] = _ms(note.cpu_s)
        access_log.write(fields)


class _Waiting:
    """Who waits for an answer without a task: what the pool says goes to the client at once. A `Reply`."""

    __slots__ = ("_accept", "_app", "_entry", "_is_done", "_note", "_respond", "request")

    request: Request

    def __init__(
        self, app: App, accept: bytes | None, note: Note, entry: ModelEntry, respond: Callable[[Response], None]
    ) -> None:
        self._app, self._accept = app, accept
        self._note, self._entry, self._respond = note, entry, respond
        self._is_done = False

    def done(self) -> bool:
        return self._is_done

    def set_result(self, answer: Answer, /) -> None:
        self._is_done = True
        if is_long(answer):
            self._app.keep(self._respond_long(answer))
            return
        try:
            response = self._app.response(self._entry, self.request, answer, self._note)
        except Exception as error:  # the border: whatever goes wrong has an answer
            response = error_response(error)
        accept = self._accept
        if accept is None or not is_worth_compressing(response[2]):
            self.respond(response)
        else:
            self._app.keep(self._respond_compressed(response, accept))

    def set_exception(self, error: Exception, /) -> None:
        self._is_done = True
        # Not at once: the pool may be in the middle of it, or a connection with thousands of requests.
        asyncio.get_running_loop().call_soon(self.respond, error_response(error))

    async def _respond_long(self, answer: Answer) -> None:
        app = self._app
        try:
            response = await app.written(answer, app.response, self._entry, self.request, answer, self._note)
        except Exception as error:  # the border: whatever goes wrong has an answer
            response = error_response(error)
        if self._accept is not None:
            response = await _compressed(response, self._accept)
        self.respond(response)

    async def _respond_compressed(self, response: Response, accept: bytes) -> None:
        self.respond(await _compressed(response, accept))

    def respond(self, response: Response) -> None:
        """Give the client its response, and note that the request is over."""
        self._note.status, self._note.size = response[0], len(response[2])
        self._respond(response)
        self._app.tell(self._note)


async def _compressed(response: Response, accept: bytes) -> Response:
    status, headers, body = response
    body, encoding = await compressed(body, accept)
    if encoding is not None:
        headers = [*headers, _VARY, (b"content-encoding", encoding.encode())]
    return status, headers, body


def _ms(seconds: float) -> float:
    return round(seconds * 1e6) / 1e3  # to the microsecond; round with digits takes ten times as long


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
