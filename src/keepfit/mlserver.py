"""A runtime for MLServer: ``"implementation": "keepfit.mlserver.KeepfitRuntime"`` in a ``model-settings.json``.

Needs the extra ``mlserver``. `keepfit serve` speaks the same protocol without it.
"""

from __future__ import annotations

import asyncio
from typing import Any

try:
    from mlserver import MLModel
    from mlserver.codecs import NumpyCodec, StringCodec
    from mlserver.errors import InferenceError
    from mlserver.types import InferenceRequest, InferenceResponse, MetadataTensor, RequestInput, ResponseOutput
    from mlserver.utils import get_model_uri
except ImportError as error:
    raise ImportError("keepfit.mlserver needs MLServer: pip install 'keepfit[mlserver]'") from error

import numpy as np

from keepfit import artifact
from keepfit.persistence import build
from keepfit.serve.errors import RequestError
from keepfit.serve.predicting import Served
from keepfit.serve.tensors import DATATYPES, Tensor, from_array, to_array

__all__ = ["KeepfitRuntime"]


class KeepfitRuntime(MLModel):  # type: ignore[misc]
    """Serves a keepfit file by the Open Inference Protocol.

    ``parameters.uri`` of the settings is the file, or a folder with one ``model.safetensors``. Inputs and outputs are
    those of the model: `predict`, `predict_proba`, `decision_function`, `transform`, as far as it has them; without
    ``outputs`` in a request, the first. Classes of your own are named in ``parameters.extra``, as
    ``{"trusted": ["mine.Own"]}``, by whoever runs the server.
    """

    async def load(self) -> bool:
        """Load the model, and tell MLServer what it takes and gives."""
        uri = await get_model_uri(self._settings, wellknown_filenames=["model.safetensors"])
        extra = (self._settings.parameters and self._settings.parameters.extra) or {}
        self._served = await asyncio.to_thread(_load, uri, tuple(extra.get("trusted", ())))
        signature = self._served.signature
        self.inputs = [_metadata(field) for field in signature.inputs]
        self.outputs = [_metadata(field) for field in signature.outputs]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer one request. What is wrong with it is answered with status 400 and the reason."""
        try:
            inputs = [self._tensor(one) for one in payload.inputs]
            answers = self._served.answer(inputs, [one.name for one in payload.outputs or ()])
        except RequestError as error:
            raise InferenceError(str(error)) from error
        return InferenceResponse(
            id=payload.id, model_name=self.name, model_version=self.version, outputs=[_output(one) for one in answers]
        )

    def _tensor(self, sent: RequestInput) -> Tensor:
        if sent.datatype not in ("BYTES", *DATATYPES):
            raise RequestError(f"the input {sent.name!r} is of datatype {sent.datatype}, which there is none")
        try:
            values = _texts(sent) if sent.datatype == "BYTES" else NumpyCodec.decode_input(sent)
            return from_array(sent.name, np.asarray(values).reshape(sent.shape))
        except (ValueError, TypeError) as error:
            raise RequestError(f"the input {sent.name!r} cannot be read: {error}") from error


def _texts(sent: RequestInput) -> Any:
    """Texts as JSON has them, flat or nested, or as gRPC and binary data do."""
    data = sent.data.root
    found = np.array(data, object).ravel().tolist() if isinstance(data, list) else StringCodec.decode_input(sent)
    return np.array([one.decode() if isinstance(one, bytes) else one for one in found], object)


def _load(place: str, trusted: tuple[str, ...]) -> Served:
    with artifact.open_source(place) as source:
        graph, facts = artifact.read_source(source)
    return Served(build(graph, trusted=trusted), facts)


def _metadata(field: Any) -> MetadataTensor:
    return MetadataTensor(name=field.name, datatype=field.datatype, shape=list(field.shape))


def _output(tensor: Tensor) -> ResponseOutput:
    array = to_array(tensor)
    if tensor.datatype == "BYTES":
        texts = [one.decode() if isinstance(one, bytes) else str(one) for one in array.ravel().tolist()]
        output = StringCodec.encode_output(tensor.name, texts)
        output.shape = list(tensor.shape)
        return output
    return NumpyCodec.encode_output(tensor.name, array)
