"""What a jail says is looked at before it is believed: whoever is in there may say anything of the right form.

That a prediction is right cannot be seen from outside. That it can be handed on can.
"""

from __future__ import annotations

import math

import msgspec

from keepfit.serve.errors import RequestError
from keepfit.serve.joining import rows_of
from keepfit.serve.messages import NO_MESSAGE, Answer, Call, Loaded, Refusal
from keepfit.serve.roster import Batch
from keepfit.serve.signature import Field, Signature
from keepfit.serve.tensors import DATATYPES, Tensor, to_array

__all__ = ["are_answers", "signature_in"]

#: More texts than these, or longer ones, are looked at when they are read, where nobody else waits; here all would.
_TEXTS_MAX, _TEXT_BYTES_MAX = 1 << 13, 1 << 20
_CPU_MAX_S = 1e6
_DIMENSIONS_MAX = 32


def signature_in(message: Loaded) -> Signature | None:
    """The signature that a worker tells; None if it is none, or no model could have it."""
    try:
        found = msgspec.msgpack.decode(message.signature, type=Signature)
    except NO_MESSAGE:
        return None
    return found if _is_signature(found) else None


def are_answers(items: tuple[Answer | Refusal, ...], batch: Batch) -> bool:
    """Whether what a jail said to a batch, one for each request, may be so; a refusal always may."""
    signature = batch.model.signature
    assert signature is not None  # it has been tried
    return all(
        isinstance(item, Refusal) or _is_answer(item, request.call, signature)
        for request, item in zip(batch.requests, items, strict=True)
    )


def _is_answer(answer: Answer, call: Call, signature: Signature) -> bool:
    """Whether an answer may be one to a call: the outputs that were asked for, each with a row for each row.

    Parameters
    ----------
    answer : Answer
    call : Call
    signature : Signature
        Of the model.

    Notes
    -----
    Some microseconds; of text, as long as it takes to read it.
    """
    names = call.outputs or signature.defaults
    rows = rows_of(call)
    return (
        tuple(output.name for output in answer.outputs) == names
        and all(output.shape[:1] == (rows,) and _is_whole(output) for output in answer.outputs)
        and 0.0 <= answer.cpu_s < _CPU_MAX_S
    )


def _is_signature(signature: Signature) -> bool:
    """Whether a model may have this signature: datatypes of the protocol, outputs to choose from."""
    names = {field.name for field in signature.outputs}
    return (
        0 < len(names) == len(signature.outputs)
        and all(map(_is_field, (*signature.inputs, *signature.outputs)))
        and bool(signature.defaults)
        and names.issuperset(signature.defaults)
        and len(set(signature.defaults)) == len(signature.defaults)
    )


def _is_field(field: Field) -> bool:
    return (field.datatype == "BYTES" or field.datatype in DATATYPES) and 0 < len(field.shape) <= _DIMENSIONS_MAX


def _is_whole(tensor: Tensor) -> bool:
    count = math.prod(tensor.shape)
    if tensor.datatype == "BYTES" and count <= _TEXTS_MAX and len(tensor.data) <= _TEXT_BYTES_MAX:
        try:
            to_array(tensor)
        except RequestError:
            return False
        return True
    dtype = DATATYPES.get(tensor.datatype)
    return tensor.datatype == "BYTES" if dtype is None else len(tensor.data) == count * dtype.itemsize
