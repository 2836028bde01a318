"""Figures for Prometheus, the description of the interface and a page that shows it, and JSON for the page at ``/``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from keepfit.facts import metadata_of
from keepfit.serve.access import grant_of
from keepfit.serve.metrics import CONTENT_TYPE
from keepfit.serve.openapi import openapi, page
from keepfit.serve.paging import part_of
from keepfit.serve.protocol import json_of
from keepfit.serve.responses import json_response

if TYPE_CHECKING:
    from keepfit.serve.app import App
    from keepfit.serve.repository import ModelEntry

__all__ = ["pages_of"]

_MODELS = 100
_BYTES_MAX = 4 << 20  # of one part; of a model with ten thousand columns there is much to tell
_SAFE = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
    "x-content-type-options": "nosniff",
}


def pages_of(app: App) -> list[Route]:
    """The routes."""
    routes = _Pages(app)
    return [
        Route("/metrics", routes.metrics),
        Route("/openapi.json", routes.openapi),
        Route("/docs", routes.docs),
        Route("/api/models", routes.models),
    ]


class _Pages:
    def __init__(self, app: App) -> None:
        self._app = app

    async def metrics(self, request: Request) -> Response:
        grant = grant_of(self._app, request.scope)
        return Response(self._app.metrics.text(grant.sees), headers={"content-type": CONTENT_TYPE})

    async def openapi(self, _: Request) -> Response:
        return json_response(openapi())

    async def docs(self, _: Request) -> Response:
        return HTMLResponse(page(openapi()), headers=_SAFE)

    async def models(self, request: Request) -> Response:
        grant = grant_of(self._app, request.scope)
        part = part_of(request.query_params, limit=_MODELS)
        wanted = request.query_params.get("match", "").strip().lower()
        known = sorted(self._app.access.entries(grant), key=lambda one: (one.name, -int(one.version)))
        newest = {entry.name: entry for entry in reversed(known)}
        entries = [entry for entry in known if wanted in _words_of(newest[entry.name])]
        found: list[msgspec.Raw] = []
        size_bytes = 0
        for entry in entries[part]:
            described = _described(entry)
            size_bytes += len(memoryview(described))
            if found and size_bytes > _BYTES_MAX:
                break
            found.append(described)
        end = part.start + len(found)
        return json_response(
            {"models": found, "total": len(entries), "next": end if found and end < len(entries) else None}
        )


def _words_of(entry: ModelEntry) -> str:
    return f"{entry.name} {entry.signature.type if entry.signature is not None else ''}".lower()


def _described(entry: ModelEntry) -> msgspec.Raw:
    try:
        return msgspec.Raw(json_of(_known(entry, entry.signature.facts if entry.signature is not None else {})))
    except RecursionError:  # what a tenant's file says of itself can be read and not be written again
        return msgspec.Raw(json_of(_known(entry, {})))


def _known(entry: ModelEntry, facts: dict[str, str]) -> dict[str, Any]:
    metadata = metadata_of(facts)
    return {
        "name": entry.name,
        "version": entry.version,
        "state": entry.state,
        "reason": entry.reason,
        "aliases": entry.aliases,
        "tenant": entry.tenant,
        "created_at": entry.created_at.isoformat(),
        "digest": entry.digest,
        "signature": entry.signature,
        "parameters": _json_in(facts, "parameters"),
        "versions": _json_in(facts, "versions"),
        "metadata": metadata,
        "metrics": metadata.get("metrics", {}),
    }


def _json_in(facts: dict[str, str], name: str) -> Any:
    try:
        return msgspec.json.decode(facts.get(name, "{}"))
    except (msgspec.DecodeError, RecursionError):
        return {}
