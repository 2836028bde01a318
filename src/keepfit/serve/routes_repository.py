"""The model repository extension: what there is, load, unload, and models that come with a request to load.

A file comes as tritonclient's ``load_model(name, files={"file:...": content})`` sends it, base64 inside JSON, or as the
body itself with ``Content-Type: application/octet-stream``. Neither is in memory as a whole: the JSON goes to a file
without a name, is mapped, and of it only where the content begins and ends is looked for.
"""

from __future__ import annotations

import binascii
import mmap
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from keepfit.serve.access import grant_of
from keepfit.serve.errors import OverloadedError, RequestError
from keepfit.serve.paging import part_of
from keepfit.serve.responses import json_response
from keepfit.serve.tokens import Grant, Role

if TYPE_CHECKING:
    from keepfit.serve.app import App
    from keepfit.serve.repository import ModelEntry

__all__ = ["repository_of"]

_NO_UPLOADS = "this server takes no models; start it with --uploads"
_FILE = "file:"
_HOW_TO_SEND = (
    "send the file itself as application/octet-stream (curl -H 'content-type: application/octet-stream' --data-binary "
    "@FILE), or in JSON as application/json"
)
_TENANTS_AT_ONCE = 4  # one alone may not take all the room that there is for requests that bring models
_PIECE_CHARS = 1 << 20  # of base64; a multiple of 4


class _IndexRequest(msgspec.Struct):
    ready: bool = False


class _LoadRequest(msgspec.Struct):
    parameters: dict[str, msgspec.Raw] | None = None


def repository_of(app: App) -> list[Route]:
    """The routes of the extension."""
    routes = _Repository(app)
    return [
        Route("/v2/repository/index", routes.index, methods=["POST"]),
        Route("/v2/repository/models/{name}/load", routes.load, methods=["POST"]),
        Route("/v2/repository/models/{name}/unload", routes.unload, methods=["POST"]),
        Route("/v2/repository/models/{name}", routes.remove, methods=["DELETE"]),
    ]


class _Repository:
    def __init__(self, app: App) -> None:
        self._app = app
        self._coming: Counter[str | None] = Counter()  # by tenant

    async def index(self, request: Request) -> Response:
        grant = grant_of(self._app, request.scope)
        body = await self._app.bodies.read(dict(request.scope["headers"]), request.receive)
        wanted = _IndexRequest()
        if body.strip():
            wanted = _parsed(body, _IndexRequest)
        part = part_of(request.query_params)
        entries = [one for one in self._app.access.entries(grant) if one.state == "READY" or not wanted.ready]
        return json_response([_line(one) for one in entries[part]])

    async def load(self, request: Request) -> Response:
        grant = grant_of(self._app, request.scope, Role.UPLOAD)
        tenant, most = grant.tenant, self._app.limits.uploads
        if self._coming.total() >= most:
            raise OverloadedError("too many models are coming in; try again", retry_after_s=5.0)
        if tenant is not None and self._coming[tenant] >= max(1, most // _TENANTS_AT_ONCE):
            raise OverloadedError("models of yours are still coming in; wait for them", retry_after_s=5.0)
        self._coming[tenant] += 1
        try:
            return await self._load(request, grant, request.path_params["name"])
        finally:
            self._coming[tenant] -= 1

    async def _load(self, request: Request, grant: Grant, name: str) -> Response:
        body = self._app.bodies.stream(request.receive, self._app.limits.upload_bytes)
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type == "application/octet-stream":
            return json_response(_line(await self._take(grant, name, body)))
        spool_folder = self._app.uploads.spool_folder if self._app.uploads is not None else None
        with tempfile.TemporaryFile(dir=spool_folder) as file:
            async for piece in body:
                file.write(piece)
            file.flush()
            if not file.tell():
                return await self._load_known(grant, name)
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if media_type != "application/json" and mapped[:1] not in (b"{", b" ", b"\t", b"\r", b"\n"):
            raise RequestError(_HOW_TO_SEND, status=415)
        return await self._load_mapped(grant, name, mapped)

    async def unload(self, request: Request) -> Response:
        grant = grant_of(self._app, request.scope, Role.UPLOAD)
        name: str = request.path_params["name"]
        body = await self._app.bodies.read(dict(request.scope["headers"]), request.receive)
        if body.strip():
            _parsed(body, dict[str, msgspec.Raw])  # its parameters are tolerated
        self._check_owner(grant, name)
        await self._app.repository.unload(name)
        return json_response({"name": name, "state": "UNAVAILABLE", "reason": "it was unloaded"})

    async def remove(self, request: Request) -> Response:
        """Not of the extension: what was uploaded has to be got rid of as well."""
        grant = grant_of(self._app, request.scope, Role.UPLOAD)
        if self._app.uploads is None:
            raise RequestError(_NO_UPLOADS, status=403)
        name: str = request.path_params["name"]
        await self._app.uploads.remove(grant, name)
        return json_response({"name": name, "state": "UNAVAILABLE", "reason": "it was removed"})

    async def _load_mapped(self, grant: Grant, name: str, mapped: mmap.mmap) -> Response:
        wanted = _parsed(mapped, _LoadRequest)
        files = [raw for key, raw in (wanted.parameters or {}).items() if key.startswith(_FILE)]
        if not files:
            return await self._load_known(grant, name)
        if len(files) > 1:
            raise RequestError(f"there are {len(files)} files; a model of keepfit is one")
        return json_response(_line(await self._take(grant, name, _from_base64(memoryview(files[0])))))

    async def _load_known(self, grant: Grant, name: str) -> Response:
        self._check_owner(grant, name)
        await self._app.repository.load(name)
        return json_response(_line(self._app.access.find(grant, name, None)))

    async def _take(self, grant: Grant, name: str, content: AsyncIterator[bytes]) -> ModelEntry:
        if self._app.uploads is None:
            raise RequestError(_NO_UPLOADS, status=403)
        return await self._app.uploads.take(grant, name, content)

    def _check_owner(self, grant: Grant, name: str) -> None:
        entry = self._app.access.find(grant, name, None)
        if entry.tenant is None and not grant.role.includes(Role.ADMIN):
            raise RequestError(f"the model {name!r} is the server's own: that takes a token for admin", status=403)


def _line(entry: ModelEntry) -> dict[str, str]:
    return {"name": entry.name, "version": entry.version, "state": entry.state, "reason": entry.reason}


def _parsed(body: Any, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the body is not what this takes: {error}") from None


async def _from_base64(content: memoryview) -> AsyncIterator[bytes]:
    """The bytes that a JSON string of base64 stands for, piece by piece."""
    if content[0] != ord('"'):
        raise RequestError("a file has to come as base64 in a JSON string")
    rest = b""
    for start in range(1, len(content) - 1, _PIECE_CHARS):
        piece = rest + bytes(content[start : min(start + _PIECE_CHARS, len(content) - 1)])
        piece, rest = _whole(piece.replace(b"\\/", b"/"))
        try:
            yield binascii.a2b_base64(piece, strict_mode=True)
        except binascii.Error as error:
            raise RequestError(f"the file is not base64: {error}") from None
    if rest:
        raise RequestError("the file is not base64: it ends early")


def _whole(piece: bytes) -> tuple[bytes, bytes]:
    """As many characters as stand for whole bytes, and the others."""
    end = len(piece) // 4 * 4
    if piece[end - 1 : end] == b"\\":
        end -= 4
    return piece[:end], piece[end:]
