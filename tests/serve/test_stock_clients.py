"""Clients that others wrote, against a real server with real workers: every call that has to do with models passes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from http_rig import Place, Running, running

import keepfit

ROWS = np.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]])


@pytest.fixture(scope="module")
def real(place: Place) -> Iterator[Running]:
    with running(place.path, "--tokens", "--workers", "1") as server:
        yield server


class Triton:
    """tritonclient with a token."""

    def __init__(self, server: Running, token: str) -> None:
        import tritonclient.http as library

        self.library = library
        self.client = library.InferenceServerClient(f"127.0.0.1:{server.port}")
        self.headers = {"authorization": f"Bearer {token}"}

    def __getattr__(self, name: str) -> Any:
        return lambda *given, **more: getattr(self.client, name)(*given, headers=dict(self.headers), **more)

    def input(self, array: Any, *, name: str = "X", binary: bool = True) -> Any:
        from tritonclient.utils import np_to_triton_dtype

        found = self.library.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        return found.set_data_from_numpy(array, binary_data=binary)

    def output(self, name: str, **more: Any) -> Any:
        return self.library.InferRequestedOutput(name, **more)


@pytest.fixture(params=["admin"])
def triton(real: Running, place: Place, request: pytest.FixtureRequest) -> Iterator[Triton]:
    found = Triton(real, place.tokens[request.param])
    yield found
    found.client.close()


def test_triton_health_and_metadata(triton: Triton) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("iris")
    assert triton.is_model_ready("iris", "old")
    assert not triton.is_model_ready("iris", "9")
    assert not triton.is_model_ready("nobody")
    assert triton.get_server_metadata()["name"] == "keepfit"
    assert triton.get_model_metadata("iris", "2")["inputs"][0] == {"name": "X", "datatype": "FP64", "shape": [-1, 4]}
    assert triton.get_model_config("iris")["name"] == "iris"


def test_triton_statistics_count_predictions(triton: Triton) -> None:
    def counts() -> dict[str, int]:
        (found,) = triton.get_inference_statistics("scale", "1")["model_stats"]
        return {name: one["count"] for name, one in found["inference_stats"].items()}

    before = counts()
    triton.infer("scale", [triton.input(ROWS)])
    assert counts() == {"success": before["success"] + 1, "fail": before["fail"]}
    assert len(triton.get_inference_statistics()["model_stats"]) > 5


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_triton_infer(triton: Triton, place: Place, binary: bool, compression: str | None) -> None:
    X = np.tile(ROWS, (100, 1))
    found = triton.infer(
        "iris",
        [triton.input(X, binary=binary)],
        request_id="seven",
        outputs=[triton.output("predict_proba", binary_data=binary), triton.output("predict", binary_data=binary)],
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
    )
    model = place.models["iris"]
    assert found.get_response()["id"] == "seven"
    assert np.array_equal(found.as_numpy("predict_proba"), model.predict_proba(X))
    labels = [text.decode() if isinstance(text, bytes) else text for text in found.as_numpy("predict").tolist()]
    assert labels == model.predict(X).tolist()


def test_triton_infers_with_defaults_parameters_and_versions(triton: Triton, place: Place) -> None:
    found = triton.infer(
        "iris", [triton.input(ROWS)], model_version="1", sequence_id=7, priority=1, timeout=100, parameters={"mine": 1}
    )
    assert found.as_numpy("predict").tolist() == place.models["forest"].predict(ROWS).tolist()
    assert found.get_response()["model_version"] == "1"
    wanted = triton.output("predict_proba", class_count=2)
    best = triton.infer("iris", [triton.input(ROWS)], outputs=[wanted]).as_numpy("predict_proba")
    assert best[0, 0].endswith(b":0:setosa")
    later = triton.async_infer("iris", [triton.input(ROWS)])
    assert later.get_result().as_numpy("predict").tolist() == [b"setosa", b"virginica"]


def test_triton_sends_texts(triton: Triton) -> None:
    texts = np.array(["good good", "awful ä"], dtype=object)
    for binary in (True, False):
        found = triton.infer("words", [triton.input(texts, binary=binary)])
        assert found.as_numpy("predict").tolist() == [b"up", b"down"]
    columns = [
        triton.input(np.array([["Ulm"], ["Bonn"]], dtype=object), name="city"),
        triton.input(np.array([[20.0], [50.0]]), name="age"),
    ]
    assert triton.infer("people", columns).as_numpy("predict").tolist() == [0, 1]


def test_triton_is_told_what_is_wrong(triton: Triton) -> None:
    from tritonclient.utils import InferenceServerException

    three = triton.input(ROWS[:, :3].copy())
    for name, inputs, status, words in (
        ("nobody", [triton.input(ROWS)], "404", "no model"),
        ("iris", [three], "400", "4 features"),
        ("iris", [triton.input(ROWS), triton.input(ROWS)], "400", "twice"),
        ("iris", [triton.input(np.array(["a"], dtype=object))], "400", "numbers"),
    ):
        with pytest.raises(InferenceServerException, match=words) as caught:
            triton.infer(name, inputs)
        assert caught.value.status() == status
    for call, given in (
        ("get_model_metadata", ("nobody",)),
        ("load_model", ("nobody",)),
        ("unload_model", ("nobody",)),
        ("get_trace_settings", ()),
        ("get_system_shared_memory_status", ()),
    ):
        with pytest.raises(InferenceServerException) as caught:
            getattr(triton, call)(*given)
        assert caught.value.status() == "404"


def test_triton_index_load_and_unload(triton: Triton) -> None:
    from tritonclient.utils import InferenceServerException

    def states() -> dict[str, str]:
        return {one["name"]: one["state"] for one in triton.get_model_repository_index()}

    assert states()["line"] == "READY"
    triton.unload_model("line")
    assert states()["line"] == "UNAVAILABLE"
    assert not triton.is_model_ready("line")
    with pytest.raises(InferenceServerException) as caught:
        triton.infer("line", [triton.input(ROWS)])
    assert caught.value.status() == "503"
    triton.load_model("line")
    assert triton.is_model_ready("line")


@pytest.mark.parametrize("triton", ["ann"], indirect=True)
def test_triton_uploads_a_model_and_uses_it(triton: Triton, place: Place) -> None:
    from tritonclient.utils import InferenceServerException

    content = keepfit.dumps(place.models["iris"])
    triton.load_model("ann.mine", config="{}", files={"file:1/model.safetensors": content})
    found = triton.infer("ann.mine", [triton.input(ROWS)], outputs=[triton.output("predict_proba")])
    assert np.array_equal(found.as_numpy("predict_proba"), place.models["iris"].predict_proba(ROWS))
    with pytest.raises(InferenceServerException, match="refused") as caught:
        triton.load_model("ann.bad", config="{}", files={"file:1/model.safetensors": b"no model" * 100})
    assert caught.value.status() == "400"
    triton.unload_model("ann.mine")


def test_open_inference_makes_every_call(real: Running, place: Place) -> None:
    import httpx
    from open_inference.openapi.client import InferenceRequest, OpenInferenceClient
    from open_inference.openapi.errors import BadRequestError, NotFoundError

    headers = {"authorization": f"Bearer {place.tokens['infer']}"}
    with httpx.Client(headers=headers) as connection:
        client = OpenInferenceClient(base_url=real.url, httpx_client=connection)
        client.check_server_liveness()
        client.check_server_readiness()
        client.check_model_readiness("iris")
        client.check_model_version_readiness("iris", "2")
        with pytest.raises(NotFoundError):
            client.check_model_readiness("nobody")
        with pytest.raises(NotFoundError):
            client.check_model_version_readiness("iris", "9")
        assert client.read_server_metadata().name == "keepfit"
        assert client.read_model_metadata("iris").platform == "sklearn"
        assert client.read_model_version_metadata("iris", "1").versions == ["1", "2"]
        one = {"name": "X", "shape": [2, 4], "datatype": "FP64", "data": ROWS.tolist()}
        request = InferenceRequest(id="seven", inputs=[one], outputs=[{"name": "predict_proba"}])
        for found in (
            client.model_infer("iris", request=request),
            client.model_version_infer("iris", "2", request=request),
        ):
            assert (found.id, found.model_version) == ("seven", "2")
            proba = np.reshape(found.outputs[0].data.__root__, (2, 3))
            assert np.array_equal(proba, place.models["iris"].predict_proba(ROWS))
        with pytest.raises(BadRequestError, match="4 features"):
            client.model_infer("iris", request=InferenceRequest(inputs=[{**one, "shape": [4, 2], "data": [1.0] * 8}]))
