"""Requests and responses of the Open Inference Protocol v2 as bytes: JSON, and the binary tensor data extension.

Nothing of HTTP but the header that tells where JSON ends. Sources: the protocol's inference part
(https://github.com/open-inference/open-inference-protocol), and of Triton's extensions the binary tensor data and the
classification extension (https://github.com/triton-inference-server/server/tree/main/docs/protocol).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import numpy as np

from keepfit.serve.errors import RequestError
from keepfit.serve.json_tensors import tensor_of_json
from keepfit.serve.limits import HttpLimits
from keepfit.serve.messages import Answer, Call
from keepfit.serve.tensors import Tensor, from_array, to_array, to_list

__all__ = [
    "Request",
    "check_answer",
    "classification",
    "is_long",
    "json_of",
    "json_of_list",
    "read_request",
    "size_of",
    "write_response",
]

_NOTHING = msgspec.Raw()
_LIMITS = HttpLimits()
_NUMBER_BYTES = 8
_LONG_BYTES = 1 << 16
_PART = 1 << 12  # elements that are written in one go: about a millisecond, in which no other thread runs
_SCORE_CHARS = 24  # of a score and its index
_SHARED = "shared memory is not offered here: send the tensor's data in the request"


class _TensorParameters(msgspec.Struct, gc=False):
    """What is read of the parameters of an input or output; the others are tolerated."""

    binary_data_size: int | None = None
    binary_data: bool | None = None
    classification: int = 0
    shared_memory_region: str | None = None


class _Input(msgspec.Struct):
    name: str
    datatype: str
    shape: tuple[Annotated[int, msgspec.Meta(ge=0)], ...]
    data: msgspec.Raw = _NOTHING
    parameters: _TensorParameters | None = None


class _Wanted(msgspec.Struct):
    name: str
    parameters: _TensorParameters | None = None


class _RequestParameters(msgspec.Struct, gc=False):
    binary_data_output: bool = False


class _Body(msgspec.Struct):
    inputs: list[_Input]
    outputs: list[_Wanted] | None = None
    id: str | None = None
    parameters: _RequestParameters | None = None


class _Output(msgspec.Struct, omit_defaults=True):
    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: dict[str, int] | None = None
    data: list[Any] | msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Response(msgspec.Struct, omit_defaults=True):
    model_name: str
    model_version: str
    outputs: list[_Output]
    id: str | None = None


class Request(msgspec.Struct, frozen=True):
    """An inference request.

    Attributes
    ----------
    call : Call
        What is asked of the model.
    id : str or None
        Goes back with the answer.
    wanted : list
        What is said of single outputs; empty where none are named.
    is_binary : bool
        Whether outputs of which nothing is said go as binary tensors.
    """

    call: Call
    id: str | None
    wanted: list[_Wanted]
    is_binary: bool


_request_decoder = msgspec.json.Decoder(_Body)
_encoder = msgspec.json.Encoder()


def json_of(value: Any) -> bytes:
    """A value as JSON; NaN and infinities as null."""
    return _encoder.encode(value)


def json_of_list(values: Sequence[Any]) -> bytes:
    """A long list, or array of one dimension, as JSON: in parts, between which other threads have their turn."""
    parts: list[bytes] = []
    for place in range(0, len(values), _PART):
        part = values[place : place + _PART]
        parts += (b",", _encoder.encode(part.tolist() if isinstance(part, np.ndarray) else part)[1:-1])
    return b"".join((b"[", *parts[1:], b"]"))


def is_long(answer: Answer) -> bool:
    """Whether to write an answer as JSON takes so long that others should not wait for it."""
    return sum([size_of(tensor) for tensor in answer.outputs]) > _LONG_BYTES


def read_request(body: bytes | bytearray, json_bytes: int | None, limits: HttpLimits) -> Request:
    """A request from its bytes. Binary tensors are views of `body`, not copies.

    Parameters
    ----------
    body : bytes-like
    json_bytes : int or None
        How long the JSON at its front is, as ``Inference-Header-Content-Length`` says; None if there is nothing else.
    limits : HttpLimits

    Returns
    -------
    Request

    Raises
    ------
    RequestError
        For whatever is wrong with it; with status 413 if the JSON is longer than the limit.
    """
    head: bytes | bytearray | memoryview = body
    rest = memoryview(b"")
    if json_bytes is not None:
        if not 0 <= json_bytes <= len(body):
            raise RequestError(f"Inference-Header-Content-Length is {json_bytes}; the body has {len(body)} bytes")
        view = memoryview(body)
        head, rest = view[:json_bytes], view[json_bytes:]
    if len(head) > limits.json_bytes:
        raise RequestError(
            f"the JSON has {len(head):,} bytes; at most {limits.json_bytes:,} are read. Send binary tensors", status=413
        )
    try:
        parsed = _request_decoder.decode(head)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the request is not JSON of the protocol: {error}") from None
    tensors = _tensors(parsed.inputs, rest, limits)
    wanted = parsed.outputs or []
    if wanted:
        _check_wanted(wanted, limits)
    if parsed.id is not None and len(parsed.id) > limits.name_chars:
        raise RequestError(f"the id has {len(parsed.id)} characters; at most {limits.name_chars} are taken")
    is_binary = parsed.parameters is not None and parsed.parameters.binary_data_output
    return Request(Call(tensors, tuple([one.name for one in wanted])), parsed.id, wanted, is_binary)


def _tensors(inputs: list[_Input], rest: memoryview, limits: HttpLimits) -> tuple[Tensor, ...]:
    if not 0 < len(inputs) <= limits.inputs:
        raise RequestError(f"there are {len(inputs)} inputs; 1 to {limits.inputs} are taken")
    found = []
    names = set()
    place = 0
    for one in inputs:
        if one.name in names:
            raise RequestError(f"the input {one.name[:100]!r} is there twice")
        names.add(one.name)
        _check_form(one, limits)
        parameters = one.parameters
        if parameters is not None and parameters.shared_memory_region is not None:
            raise RequestError(_SHARED)
        if parameters is None or parameters.binary_data_size is None:
            if one.data is _NOTHING:
                raise RequestError(f"the input {one.name!r} has neither data nor binary_data_size")
            found.append(tensor_of_json(one.name, one.datatype, one.shape, one.data))
            continue
        if one.data is not _NOTHING:
            raise RequestError(f"the input {one.name!r} has both data and binary_data_size")
        size = parameters.binary_data_size
        if not 0 <= size <= len(rest) - place:
            raise RequestError(
                f"the input {one.name!r} has a binary_data_size of {size}; {len(rest) - place} bytes are there"
            )
        found.append(Tensor(one.name, one.datatype, one.shape, rest[place : place + size]))
        place += size
    if place != len(rest):
        raise RequestError(f"{len(rest) - place} bytes after the JSON belong to no input")
    return tuple(found)


def _check_form(one: _Input, limits: HttpLimits) -> None:
    if len(one.name) > limits.name_chars:
        raise RequestError(f"an input's name has {len(one.name)} characters; at most {limits.name_chars} are taken")
    if len(one.shape) > limits.dimensions:
        raise RequestError(f"{one.name!r} has {len(one.shape)} dimensions; at most {limits.dimensions} are taken")
    if math.prod([size for size in one.shape if size]) > limits.elements:
        raise RequestError(f"{one.name!r} is said to be larger than {limits.elements:,} elements")


def _check_wanted(wanted: list[_Wanted], limits: HttpLimits) -> None:
    if len(wanted) > limits.outputs:
        raise RequestError(f"there are {len(wanted)} outputs; at most {limits.outputs} are taken")
    if len({one.name for one in wanted}) < len(wanted):
        raise RequestError("an output is named twice")
    for one in wanted:
        if one.parameters is not None and one.parameters.shared_memory_region is not None:
            raise RequestError(_SHARED)


def write_response(
    name: str,
    version: str,
    request: Request,
    answer: Answer,
    classes: tuple[str, ...] = (),
    limits: HttpLimits = _LIMITS,
) -> tuple[bytes, int | None]:
    """The response to a request.

    Parameters
    ----------
    name, version : str
        Of the model.
    request : Request
    answer : Answer
    classes : tuple of str, default=()
        Labels of the model, for the classification extension.
    limits : HttpLimits, default=HttpLimits()

    Returns
    -------
    body : bytes
    json_bytes : int or None
        How long the JSON at its front is; None if there is nothing else.

    Raises
    ------
    RequestError
        If a classification was asked of what has no scores; with status 413, if the JSON would be too long.
    """
    outputs = []
    chars = 0
    tails: list[bytes | memoryview] = []
    for place, tensor in enumerate(answer.outputs):
        parameters = request.wanted[place].parameters if request.wanted else None
        if parameters is not None and parameters.classification:
            tensor = classification(tensor, parameters.classification, classes, limits)
        is_binary = request.is_binary
        if parameters is not None and parameters.binary_data is not None:
            is_binary = parameters.binary_data
        if is_binary:
            tails.append(tensor.data)
            size = {"binary_data_size": len(tensor.data)}
            outputs.append(_Output(tensor.name, tensor.datatype, tensor.shape, size))
        else:
            chars += size_of(tensor)
            check_answer(chars, limits)
            outputs.append(_Output(tensor.name, tensor.datatype, tensor.shape, None, _data_of(tensor)))
    head = _encoder.encode(_Response(name, version, outputs, request.id))
    if not tails:
        return head, None
    return b"".join((head, *tails)), len(head)


def _data_of(tensor: Tensor) -> list[Any] | msgspec.Raw:
    if size_of(tensor) <= _LONG_BYTES:
        return to_list(tensor)
    return msgspec.Raw(json_of_list(to_array(tensor).ravel()))  # type: ignore[arg-type]


def check_answer(size: int, limits: HttpLimits) -> None:
    """Refuse what is too long as JSON, before any of it is made.

    Raises
    ------
    RequestError
        With status 413, if `size` is over ``json_answer_bytes``.
    """
    if size > limits.json_answer_bytes:
        raise RequestError(
            f"the answer has more than {limits.json_answer_bytes:,} bytes as JSON; send fewer rows, or ask for "
            "binary tensors",
            status=413,
        )


def size_of(tensor: Tensor) -> int:
    """How many bytes a tensor has as JSON, at about 8 for a number."""
    return max(len(tensor.data), _NUMBER_BYTES * math.prod(tensor.shape))


def classification(tensor: Tensor, count: int, classes: tuple[str, ...], limits: HttpLimits = _LIMITS) -> Tensor:
    """The largest scores of each row as texts ``score:index:label``, as the classification extension has them.

    Parameters
    ----------
    tensor : Tensor
        Of shape (n_rows, n_classes).
    count : int
        How many for a row; cut to the number of classes.
    classes : tuple of str
        The labels; left out where there are not as many as scores.
    limits : HttpLimits, default=HttpLimits()

    Returns
    -------
    Tensor
        ``BYTES`` of shape (n_rows, count). Scores that are equal come in the order of the classes.

    Raises
    ------
    RequestError
        If the tensor has no scores by class, or `count` is negative; with status 413, if it has too many, or what the
        labels make of them is too long.
    """
    check_answer(size_of(tensor), limits)
    scores = to_array(tensor)
    if scores.ndim != 2 or scores.dtype.kind != "f" or count < 0:
        raise RequestError(
            f"the output {tensor.name!r} has no scores for classes; a classification is made of predict_proba"
        )
    longest = sorted((len(label) for label in classes), reverse=True)[:count]
    check_answer(len(scores) * (_SCORE_CHARS * min(count, scores.shape[1]) + sum(longest)), limits)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    labels = [f":{label}" for label in classes] if len(classes) == scores.shape[1] else [""] * scores.shape[1]
    texts = [
        [f"{row[index]:f}:{index}{labels[index]}" for index in order] for row, order in zip(scores, best, strict=True)
    ]
    return from_array(tensor.name, np.array(texts, dtype=object).reshape(best.shape))
