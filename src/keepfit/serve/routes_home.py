"""The page at ``/``, and what only it asks for: what the server offers, and the searches of its store."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import keepfit
from keepfit.serve.access import grant_of
from keepfit.serve.errors import RequestError
from keepfit.serve.responses import json_response
from keepfit.serve.tokens import Role
from keepfit.store.leaderboard import leaderboards, names_of_parts

if TYPE_CHECKING:
    from keepfit.serve.app import App
    from keepfit.store import Store

__all__ = ["home_of"]

_MEDIA_TYPES = {
    "index.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "plots.js": "text/javascript; charset=utf-8",
}
#: Nothing from elsewhere, nothing inline: what a model says of itself is text on this page, whatever is in it.
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
_SEARCHES_MAX = 200
_LINES_MAX = 2000


def home_of(app: App) -> list[Route]:
    """The routes."""
    routes = _Home(app)
    return [
        Route("/", routes.index),
        Route("/page/{name}", routes.part),
        Route("/api/server", routes.server),
        Route("/api/searches", routes.searches),
        Route("/api/searches/{number:int}", routes.board),
    ]


class _Home:
    def __init__(self, app: App) -> None:
        self._app = app

    async def index(self, _: Request) -> Response:
        return _file("index.html")

    async def part(self, request: Request) -> Response:
        return _file(request.path_params["name"])

    async def server(self, request: Request) -> Response:
        app = self._app
        offers = {"version": keepfit.__version__, "has_tokens": app.access.has_tokens}
        with suppress(RequestError):  # without a token there is nothing more to offer
            grant = grant_of(app, request.scope)
            offers["takes_uploads"] = app.uploads is not None and grant.role is Role.UPLOAD
            offers["has_searches"] = app.store is not None and grant.tenant is None
        return json_response(offers)

    async def searches(self, request: Request) -> Response:
        return json_response(await asyncio.to_thread(_searches, self._store(request)))

    async def board(self, request: Request) -> Response:
        return json_response(await asyncio.to_thread(_board, self._store(request), request.path_params["number"]))

    def _store(self, request: Request) -> Store:
        """The operator's store; its searches are not for tenants."""
        if self._app.store is None or grant_of(self._app, request.scope).tenant is not None:
            raise RequestError("there are no searches here", status=404)
        return self._app.store


@cache
def _contents(name: str) -> bytes:
    return files("keepfit.serve").joinpath("page", name).read_bytes()


def _file(name: str) -> Response:
    if name not in _MEDIA_TYPES:  # before anything is looked for on the disk
        raise RequestError("there is nothing at this address", status=404)
    return Response(_contents(name), headers={**_HEADERS, "content-type": _MEDIA_TYPES[name]})


def _searches(store: Store) -> list[dict[str, Any]]:
    names = names_of_parts(store)
    return [
        {
            "id": one.id,
            "model": names.get(one.parts.get("estimator"), one.label),
            "scorer": one.scorers[0] if one.scorers else names.get(one.parts.get("scorer")),
            "state": one.state,
            "task_count": one.task_count,
            "reused": one.reused,
            "computed": one.computed,
            "failed": one.failed,
            "best_score": one.best_score,
            "started_at": one.started_at.isoformat(),
        }
        for one in store.work.searches()[:_SEARCHES_MAX]
    ]


def _board(store: Store, number: int) -> list[dict[str, Any]]:
    if number not in {one.id for one in store.work.searches()}:
        raise RequestError(f"there is no search {number}", status=404)
    board = next(leaderboards(store, _like(store, number), limit=_LINES_MAX))
    return [
        {
            "rank": line.rank,
            "model": line.model,
            "mean_score": line.candidate.mean_score,
            "split_count": line.candidate.split_count,
            "failed": line.candidate.failed,
            "duration_s": line.candidate.duration_s,
            "parameters": line.parameters,
        }
        for line in board.lines
    ]


def _like(store: Store, number: int) -> int | None:
    """The newest search stands for all on its data with its scorer; others for themselves."""
    return None if store.work.searches()[0].id == number else number
