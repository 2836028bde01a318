"""What the Open Inference Protocol asks for besides predictions: health, metadata, the model repository extension.

And the site around it: `site_of` puts all routes together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import keepfit
from keepfit.errors import KeepfitError
from keepfit.serve.access import grant_of
from keepfit.serve.errors import UnavailableError
from keepfit.serve.paging import part_of
from keepfit.serve.protocol import json_of
from keepfit.serve.responses import error_response, json_response
from keepfit.serve.routes_home import home_of
from keepfit.serve.routes_pages import pages_of
from keepfit.serve.routes_predict import prediction_of
from keepfit.serve.routes_repository import repository_of

if TYPE_CHECKING:
    from keepfit.serve.app import App
    from keepfit.serve.repository import ModelEntry
    from keepfit.serve.signature import Field

__all__ = ["site_of"]

EXTENSIONS = ("binary_tensor_data", "classification", "model_repository", "model_configuration", "statistics")


def site_of(app: App) -> Starlette:
    """All that the server answers, but for predictions by the protocol."""
    site = Starlette(
        routes=[*_protocol_of(app), *repository_of(app), *prediction_of(app), *pages_of(app), *home_of(app)],
        exception_handlers={KeepfitError: _refuse, HTTPException: _refuse_http},  # type: ignore[dict-item]
    )
    site.router.redirect_slashes = False
    return site


def _refuse(_: Request, error: Exception) -> Response:
    status, headers, body = error_response(error)
    return Response(body, status, {name.decode(): value.decode() for name, value in headers})


def _refuse_http(_: Request, error: HTTPException) -> Response:
    words = {404: "there is nothing at this address", 405: "this address does not take that method"}
    body = json_of({"error": words.get(error.status_code, error.detail)})
    return Response(body, error.status_code, error.headers, media_type="application/json")


def _protocol_of(app: App) -> list[Route]:
    routes = _Protocol(app)
    found = [
        Route("/v2", routes.server),
        Route("/v2/health/live", routes.live),
        Route("/v2/health/ready", routes.ready),
        Route("/v2/models/stats", routes.statistics),
    ]
    for path in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        found += [
            Route(path, routes.model),
            Route(f"{path}/ready", routes.model_ready),
            Route(f"{path}/config", routes.model_config),
            Route(f"{path}/stats", routes.model_statistics),
            Route(f"{path}/infer", _elsewhere, methods=["POST"]),
        ]
    return found


async def _elsewhere(_: Request) -> Response:
    raise HTTPException(404)  # `App` answers these; the route is there so that other methods are told of POST


class _Protocol:
    def __init__(self, app: App) -> None:
        self._app = app

    async def server(self, request: Request) -> Response:
        grant_of(self._app, request.scope)
        return json_response({"name": "keepfit", "version": keepfit.__version__, "extensions": EXTENSIONS})

    async def live(self, _: Request) -> Response:
        return json_response({"live": True})

    async def ready(self, _: Request) -> Response:
        entries = [entry for entry in self._app.repository.entries() if entry.tenant is None]
        if self._app.is_stopping:
            raise UnavailableError("the server is stopping")
        if not self._app.pool.figures().workers:
            raise UnavailableError("no worker is alive yet")
        if any(entry.state == "LOADING" for entry in entries):
            raise UnavailableError("models are being loaded")
        return json_response({"ready": True})

    async def model(self, request: Request) -> Response:
        entry = await self._entry(request)
        versions = await self._app.repository.versions(entry.name)
        signature = entry.signature
        assert signature is not None  # it is ready
        return json_response(
            {
                "name": entry.name,
                "versions": versions or [entry.version],
                "platform": signature.type.partition(".")[0],
                "inputs": [_tensor(field) for field in signature.inputs],
                "outputs": [_tensor(field) for field in signature.outputs],
                "properties": {
                    "class": signature.type,
                    "version": entry.version,
                    "digest": entry.digest,
                    "created_at": entry.created_at.isoformat(),
                },
            }
        )

    async def model_ready(self, request: Request) -> Response:
        entry = await self._entry(request)
        return json_response({"name": entry.name, "ready": True})

    async def model_config(self, request: Request) -> Response:
        entry = await self._entry(request)
        signature = entry.signature
        assert signature is not None  # it is ready
        return json_response(
            {
                "name": entry.name,
                "platform": signature.type.partition(".")[0],
                "backend": "keepfit",
                "max_batch_size": 0,
                "input": [_config(field) for field in signature.inputs],
                "output": [_config(field) for field in signature.outputs],
            }
        )

    async def statistics(self, request: Request) -> Response:
        entries = self._app.access.entries(grant_of(self._app, request.scope))
        return json_response({"model_stats": [self._counted(one) for one in entries[part_of(request.query_params)]]})

    async def model_statistics(self, request: Request) -> Response:
        return json_response({"model_stats": [self._counted(await self._entry(request))]})

    def _counted(self, entry: ModelEntry) -> dict[str, Any]:
        found = self._app.metrics.statistics(entry.name, entry.version)
        return {
            "name": entry.name,
            "version": entry.version,
            "inference_count": found.successes,
            "execution_count": found.successes,
            "inference_stats": {
                "success": {"count": found.successes, "ns": round(found.success_s * 1e9)},
                "fail": {"count": found.failures, "ns": round(found.failure_s * 1e9)},
            },
        }

    async def _entry(self, request: Request) -> ModelEntry:
        grant = grant_of(self._app, request.scope)
        return await self._app.access.ready(grant, request.path_params["name"], request.path_params.get("version"))


def _tensor(field: Field) -> dict[str, Any]:
    return {"name": field.name, "datatype": field.datatype, "shape": field.shape}


def _config(field: Field) -> dict[str, Any]:
    kind = "TYPE_STRING" if field.datatype == "BYTES" else f"TYPE_{field.datatype}"
    return {"name": field.name, "data_type": kind, "dims": field.shape}
