"""Predictions without tensors: records or CSV in, records out."""

from __future__ import annotations

import asyncio
import difflib
from typing import TYPE_CHECKING

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from keepfit.serve.access import grant_of
from keepfit.serve.bodies import compressed
from keepfit.serve.errors import RequestError
from keepfit.serve.limits import HttpLimits
from keepfit.serve.messages import Answer, Call
from keepfit.serve.protocol import json_of, json_of_list
from keepfit.serve.records import records_of, tensors_of_csv, tensors_of_records
from keepfit.serve.signature import Signature
from keepfit.serve.tensors import Tensor

if TYPE_CHECKING:
    from keepfit.serve.app import App

__all__ = ["prediction_of"]

_PARAMETERS = ("output", "version")
_IN_A_THREAD_BYTES = 1 << 16


def prediction_of(app: App) -> list[Route]:
    """The route."""
    return [Route("/predict/{name}", _Prediction(app).predict, methods=["POST"])]


class _Prediction:
    def __init__(self, app: App) -> None:
        self._app = app

    async def predict(self, request: Request) -> Response:
        app, note = self._app, request.scope["keepfit.note"]
        grant = grant_of(app, request.scope)
        _check_parameters(request)
        name = request.path_params["name"]
        version = request.query_params.get("version")
        note.entry = await app.access.ready(grant, name, version)
        headers = dict(request.scope["headers"])
        body = await app.bodies.read(headers, request.receive)
        if len(body) > app.limits.json_bytes:
            raise RequestError(
                f"the body has {len(body):,} bytes; at most {app.limits.json_bytes:,} are read", status=413
            )
        media_type = headers.get(b"content-type", b"application/json").partition(b";")[0].strip().lower()
        entry = await app.access.ready(grant, name, version)
        assert entry.signature is not None  # it is ready
        signature = entry.signature
        if len(body) > _IN_A_THREAD_BYTES:
            inputs, is_single = await asyncio.to_thread(_inputs, body, media_type, signature)
        else:
            inputs, is_single = _inputs(body, media_type, signature)
        entry = note.entry = await app.access.ready(grant, name, version)  # the one in service now
        if inputs and not inputs[0].shape[0]:  # models refuse no rows
            told = b"[]"
        else:
            answer = await app.pool.infer(entry.key, Call(inputs, _outputs(request)))
            note.cpu_s = answer.cpu_s
            told = await app.written(answer, _told, answer, signature.classes, app.limits, is_single)
        found, encoding = await compressed(told, headers.get(b"accept-encoding", b""))
        more = {"keepfit-model-version": entry.version, "vary": "accept-encoding"}
        if encoding is not None:
            more["content-encoding"] = encoding
        return Response(found, headers=more, media_type="application/json")


def _check_parameters(request: Request) -> None:
    """What is asked for by a word that nobody knows would not be heeded, and nobody would notice."""
    for name in request.query_params:
        if name not in _PARAMETERS:
            close = difflib.get_close_matches(name[:100], _PARAMETERS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {' and '.join(map(repr, _PARAMETERS))}"
            raise RequestError(f"there is no query parameter {name[:100]!r}; {hint}")


def _told(answer: Answer, classes: tuple[str, ...], limits: HttpLimits, is_single: bool) -> bytes:
    records = records_of(answer.outputs, classes, limits)
    return json_of(records[0]) if is_single else json_of_list(records)


def _outputs(request: Request) -> tuple[str, ...]:
    named = [name for value in request.query_params.getlist("output") for name in value.split(",") if name]
    if len(set(named)) < len(named):
        raise RequestError("an output is named twice")
    return tuple(named)


def _inputs(body: bytes | bytearray, media_type: bytes, signature: Signature) -> tuple[tuple[Tensor, ...], bool]:
    """The tensors, and whether one record came by itself."""
    if media_type == b"text/csv":
        try:
            text = body.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise RequestError("the CSV is not UTF-8") from None
        return tensors_of_csv(text, signature), False
    if media_type != b"application/json":
        raise RequestError("send records as application/json, or text/csv with a line of names", status=415)
    try:
        found = msgspec.json.decode(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the body is not JSON: {error}") from None
    is_single = not isinstance(found, list)
    return tensors_of_records([found] if is_single else found, signature), is_single
