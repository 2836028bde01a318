"""The description of the interface as OpenAPI 3.1 has it, and one page that shows it without any outside resource."""

from __future__ import annotations

from functools import cache
from html import escape
from typing import Any

import msgspec

import keepfit
from keepfit.serve.paging import LIMIT_MAX
from keepfit.serve.tensors import DATATYPES

__all__ = ["openapi", "page"]

_NAME = "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
_DATATYPES = [*DATATYPES, "BYTES"]

_ERRORS = {
    "400": "What is wrong with the request, or why a file was refused.",
    "401": "A token is needed, and there is none, or it is not good.",
    "403": "The token is not for this, or the server is not open for it.",
    "404": "There is no such model or version, or it is not for the bearer of this token.",
    "413": "The body is too long, as it stands or decompressed.",
    "415": "The encoding or type of the body is not known.",
    "429": "A queue is full; Retry-After says when to try again.",
    "503": "The model is not ready, or its worker died or took too long; another try may succeed.",
}


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: str = "", **properties: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        found["required"] = required.split()
    return found


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _list(of: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": of, **more}


_TEXT = {"type": "string"}
_TRUTH = {"type": "boolean"}
_WHOLE = {"type": "integer"}
_SIZE = {"type": "integer", "minimum": 0, "maximum": 2**40}
_SHORT = {"type": "string", "maxLength": 256}


def _tensor_schemas() -> dict[str, Any]:
    tensor = {"name": _TEXT, "datatype": {"type": "string", "enum": _DATATYPES}, "shape": _list(_WHOLE)}
    size = {"description": "Bytes of this tensor after the JSON, in place of data.", **_SIZE}
    sized = _object(binary_data_size=_or_null(size))
    shape = _list(_SIZE, maxItems=8)
    return {
        "Field": _object("name datatype shape", **tensor),
        "Data": {
            "type": "array",
            "description": "All elements in C order, or lists nested as the shape is; null for NaN.",
            "items": {"anyOf": [{"type": ["number", "string", "boolean", "null"]}, _reference("Data")]},
        },
        "Input": _object(
            "name datatype shape",
            **(tensor | {"name": _SHORT, "shape": shape, "data": _reference("Data"), "parameters": _or_null(sized)}),
        ),
        "Wanted": _object(
            "name",
            name=_SHORT,
            parameters=_or_null(
                _object(
                    binary_data=_or_null(_TRUTH), classification={"type": "integer", "minimum": 0, "maximum": 10**6}
                )
            ),
        ),
        "InferenceRequest": _object(
            "inputs",
            id=_or_null(_SHORT),
            parameters=_or_null(_object(binary_data_output=_TRUTH)),
            inputs=_list(_reference("Input"), minItems=1, maxItems=4096),
            outputs=_or_null(_list(_reference("Wanted"), maxItems=16)),
        ),
        "Output": _object("name datatype shape", **tensor, data=_reference("Data"), parameters=sized),
        "InferenceResponse": _object(
            "model_name model_version outputs",
            model_name=_TEXT,
            model_version=_TEXT,
            id=_TEXT,
            outputs=_list(_reference("Output")),
        ),
    }


def _schemas() -> dict[str, Any]:
    return _tensor_schemas() | {
        "Error": _object("error", error=_TEXT),
        "Server": _object("name version extensions", name=_TEXT, version=_TEXT, extensions=_list(_TEXT)),
        "Live": _object("live", live=_TRUTH),
        "Ready": _object("ready", ready=_TRUTH, name=_TEXT),
        "Model": _object(
            "name versions platform inputs outputs",
            name=_TEXT,
            versions=_list(_TEXT),
            platform=_TEXT,
            inputs=_list(_reference("Field")),
            outputs=_list(_reference("Field")),
            properties={"type": "object", "additionalProperties": _TEXT},
        ),
        "Config": _object("name platform backend input output", name=_TEXT, platform=_TEXT, backend=_TEXT),
        "Statistics": _object("model_stats", model_stats=_list(_object("name version", name=_TEXT, version=_TEXT))),
        "Entry": _object(
            "name version state reason",
            name=_TEXT,
            version=_TEXT,
            state={"type": "string", "enum": ["READY", "LOADING", "UNAVAILABLE"]},
            reason=_TEXT,
        ),
        "Unloaded": _object("name state reason", name=_TEXT, state=_TEXT, reason=_TEXT),
        "IndexRequest": _object(ready={"description": "Only models that are ready.", **_TRUTH}),
        "LoadRequest": _object(
            parameters={
                "type": ["object", "null"],
                "description": "file:NAME with the base64 of a keepfit file uploads it; other members are tolerated.",
            }
        ),
        "Described": _object("name version state reason aliases created_at digest", name=_TEXT, version=_TEXT),
        "Models": _object(
            "models total next",
            models=_list(_reference("Described")),
            total={"description": "How many there are in all parts.", **_WHOLE},
            next=_or_null({"description": "The offset of the next part; null where there is none.", **_WHOLE}),
        ),
        "Record": {"description": "An object with a value for each column; a list of numbers; a text."},
        "Prediction": {"type": "object"},
    }


def _path(name: str, what: str, example: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": _NAME}
    return {"name": name, "in": "path", "required": True, "description": what, "schema": schema, "example": example}


_MODEL = _path("model", "The model's name.", "rf")
_VERSION = _path("version", "A version, or an alias of one.", "1")


def _query(name: str, what: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": what, "schema": schema}


def _part(default: int | None) -> tuple[dict[str, Any], ...]:
    """The parameters that choose a part of a list."""
    limit: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX}
    if default is not None:
        limit["default"] = default
    offset = {"type": "integer", "minimum": 0, "maximum": 2**31, "default": 0}
    return _query("offset", "How many to leave out.", offset), _query("limit", "How many to tell at most.", limit)


def _content(schema: str | dict[str, Any], media_type: str = "application/json") -> dict[str, Any]:
    found = _reference(schema) if isinstance(schema, str) else schema
    return {media_type: {"schema": found}}


def _operation(
    name: str,
    summary: str,
    answer: dict[str, Any],
    *,
    errors: str = "",
    body: dict[str, Any] | None = None,
    parameters: tuple[dict[str, Any], ...] = (),
    is_open: bool = False,
) -> dict[str, Any]:
    found: dict[str, Any] = {"operationId": name, "summary": summary}
    if parameters:
        found["parameters"] = list(parameters)
    if body is not None:
        found["requestBody"] = body
    codes = errors.split() if is_open else ["401", *errors.split()]
    found["responses"] = {"200": {"description": "As asked.", "content": answer}} | {
        code: {"description": _ERRORS[code], "content": _content("Error")} for code in codes
    }
    if is_open:
        found["security"] = []
    return found


def _body(content: dict[str, Any], *, required: bool = True) -> dict[str, Any]:
    return {"required": required, "content": content}


def _of_models() -> dict[str, Any]:
    found: dict[str, Any] = {}
    binary = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}
    for path, parameters, of in (
        ("/v2/models/{model}", (_MODEL,), ""),
        ("/v2/models/{model}/versions/{version}", (_MODEL, _VERSION), "Version"),
    ):

        def get(name: str, summary: str, schema: str, known: tuple[dict[str, Any], ...] = parameters) -> dict[str, Any]:
            return {"get": _operation(name, summary, _content(schema), errors="404 503", parameters=known)}

        found[path] = get(f"model{of}Metadata", "What a model takes and gives.", "Model")
        found[f"{path}/ready"] = get(f"model{of}Ready", "Whether a model can answer.", "Ready")
        found[f"{path}/config"] = get(f"model{of}Config", "The model's configuration, as Triton has it.", "Config")
        found[f"{path}/stats"] = get(f"model{of}Statistics", "Requests so far for a model.", "Statistics")
        found[f"{path}/infer"] = {
            "post": _operation(
                f"model{of}Infer",
                "Predict. Outputs are named predict, predict_proba, decision_function and transform.",
                _content("InferenceResponse") | {"application/octet-stream": binary},
                errors="400 404 413 415 429 503",
                body=_body(_content("InferenceRequest")),
                parameters=parameters,
            )
        }
    return found


def _of_repository() -> dict[str, Any]:
    file = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}
    return {
        "/v2/repository/index": {
            "post": _operation(
                "repositoryIndex",
                "The models there are.",
                _content(_list(_reference("Entry"))),
                errors="400 413 415 503",
                body=_body(_content("IndexRequest"), required=False),
                parameters=_part(None),
            )
        },
        "/v2/repository/models/{model}": {
            "delete": _operation(
                "repositoryRemove",
                "Remove a model that was uploaded, with all its versions.",
                _content("Unloaded"),
                errors="400 403 404 503",
                parameters=(_MODEL,),
            )
        },
        "/v2/repository/models/{model}/load": {
            "post": _operation(
                "repositoryLoad",
                "Bring a model into service; or upload one, in a parameter file:NAME or as the body itself.",
                _content("Entry"),
                errors="400 403 404 413 415 429 503",
                body=_body(_content("LoadRequest") | {"application/octet-stream": file}, required=False),
                parameters=(_MODEL,),
            )
        },
        "/v2/repository/models/{model}/unload": {
            "post": _operation(
                "repositoryUnload",
                "Take a model out of service.",
                _content("Unloaded"),
                errors="400 403 404 413 415 503",
                body=_body(_content({"type": "object"}), required=False),
                parameters=(_MODEL,),
            )
        },
    }


def _of_predictions() -> dict[str, Any]:
    outputs = _query("output", "Outputs, comma-separated; the model's default without.", {"type": "string"})
    version = _query("version", "A version, or an alias of one.", {"type": "string", "pattern": _NAME})
    records = {"anyOf": [_list(_reference("Record")), _reference("Record")]}
    answers = {"anyOf": [_list(_reference("Prediction")), _reference("Prediction")]}
    return {
        "/predict/{model}": {
            "post": _operation(
                "predict",
                "Predict for records or CSV; one record gives one answer, a list gives a list.",
                _content(answers),
                errors="400 404 413 415 429 503",
                body=_body(_content(records) | {"text/csv": {"schema": {"type": "string"}}}),
                parameters=(_MODEL, outputs, version),
            )
        }
    }


def _of_server() -> dict[str, Any]:
    return {
        "/v2": {"get": _operation("serverMetadata", "Name, version and extensions.", _content("Server"))},
        "/v2/health/live": {"get": _operation("serverLive", "Whether it runs.", _content("Live"), is_open=True)},
        "/v2/health/ready": {
            "get": _operation(
                "serverReady", "Whether all models are loaded.", _content("Ready"), errors="503", is_open=True
            )
        },
        "/v2/models/stats": {
            "get": _operation(
                "statistics",
                "Requests so far for all models.",
                _content("Statistics"),
                errors="400",
                parameters=_part(None),
            )
        },
        "/api/models": {
            "get": _operation(
                "models",
                "All that is known of the models, by name, the newest version first, in parts.",
                _content("Models"),
                errors="400",
                parameters=(
                    *_part(100),
                    _query("match", "What is in the name, or in the class of the newest version.", {"type": "string"}),
                ),
            )
        },
        "/metrics": {
            "get": _operation("metrics", "Figures for Prometheus.", _content({"type": "string"}, "text/plain"))
        },
    }


@cache
def openapi() -> dict[str, Any]:
    """The description, as an OpenAPI 3.1 document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "keepfit",
            "version": keepfit.__version__,
            "description": "The Open Inference Protocol v2 with its binary tensor data, classification and model "
            "repository extensions, and a plain way to predict.",
        },
        "security": [{"token": []}, {}],
        "paths": _of_server() | _of_models() | _of_repository() | _of_predictions(),
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(),
        },
    }


_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h2 { font-size: 1rem; margin: 2rem 0 0 } code { font-size: .95em }
pre { overflow-x: auto; padding: .7rem; border: 1px solid #8885; border-radius: .3rem }
table { border-collapse: collapse } td { padding: .1rem 1rem .1rem 0; vertical-align: top }
"""


def page(document: dict[str, Any]) -> str:
    """An OpenAPI document as one HTML page, without scripts."""
    info = document["info"]
    parts = [f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info['description'])}</p>"]
    parts.append('<p><a href="openapi.json">openapi.json</a></p>')
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(operation['summary'])}</p>")
            parts.append(_table(operation))
    parts.append("<h1>Schemas</h1>")
    for name, schema in document["components"]["schemas"].items():
        parts.append(f'<h2 id="{escape(name)}">{escape(name)}</h2><pre>{escape(_indented(schema))}</pre>')
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(info['title'])}: interface</title><style>{_STYLE}</style><body>{''.join(parts)}</body></html>"
    )


def _table(operation: dict[str, Any]) -> str:
    rows = [(one["name"], one["description"]) for one in operation.get("parameters", ())]
    rows += [("body", _types(operation["requestBody"]["content"]))] if "requestBody" in operation else []
    rows += [
        (code, f"{one['description']} {_types(one['content']) if code == '200' else ''}")
        for code, one in operation["responses"].items()
    ]
    lines = "".join(f"<tr><td><code>{escape(name)}</code><td>{escape(what)}" for name, what in rows)
    return f"<table>{lines}</table>"


def _types(content: dict[str, Any]) -> str:
    found = []
    for media_type, one in content.items():
        reference = one["schema"].get("$ref", "").rpartition("/")[2]
        found.append(f"{media_type} ({reference})" if reference else media_type)
    return ", ".join(found)


def _indented(schema: dict[str, Any]) -> str:

    return msgspec.json.format(msgspec.json.encode(schema), indent=2).decode()
