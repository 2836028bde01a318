"""How much a client may send: one table, checked before memory is taken."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["HttpLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """Bounds on what comes over HTTP.

    Parameters
    ----------
    body_bytes : int, default=64 MiB
        Of one request, as sent and when it is decompressed.
    json_bytes : int, default=16 MiB
        Of the JSON in it. More numbers than this holds go as binary tensors, which are not parsed.
    bodies_bytes : int, default=512 MiB
        Of all requests whose bodies are coming in; who is over it is answered 503.
    upload_bytes : int, default=700,000,000
        Of a request that brings a model (base64 makes its file a third longer). It goes to disk, not to memory.
    uploads : int, default=8
        Such requests at a time; who comes after is answered 429.
    json_answer_bytes : int, default=32 MiB
        Of numbers, texts and labels that an answer has as JSON. Longer ones go as binary tensors.
    inflate_ratio : int, default=200
        By how much a body of more than 1 MiB may grow when it is decompressed.
    header_bytes : int, default=32 KiB
        Of the request line and all headers.
    connections : int, default=1024
        Open at a time; who comes after is answered 503.
    receive_timeout_s : float, default=30.0
        For the headers, and then for the body beyond what `receive_bytes_per_s` gives it.
    receive_bytes_per_s : int, default=50,000
        A body may take longer than `receive_timeout_s` if it comes at least this fast.
    inputs, outputs : int, default=4096, 16
        In one request.
    elements : int, default=2**27
        Of one tensor.
    dimensions : int, default=8
        Of one tensor; so deep may its data be nested.
    name_chars : int, default=256
        Of an input's or output's name, and of a request's id.
    """

    body_bytes: int = 64 << 20
    json_bytes: int = 16 << 20
    bodies_bytes: int = 512 << 20
    upload_bytes: int = 700_000_000
    uploads: int = 8
    json_answer_bytes: int = 32 << 20
    inflate_ratio: int = 200
    header_bytes: int = 32 << 10
    connections: int = 1024
    receive_timeout_s: float = 30.0
    receive_bytes_per_s: int = 50_000
    inputs: int = 4096
    outputs: int = 16
    elements: int = 1 << 27
    dimensions: int = 8
    name_chars: int = 256
