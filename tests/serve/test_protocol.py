"""Requests and responses of the Open Inference Protocol as bytes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from keepfit.serve.errors import RequestError
from keepfit.serve.limits import HttpLimits
from keepfit.serve.messages import Answer
from keepfit.serve.protocol import classification, read_request, write_response
from keepfit.serve.records import records_of, tensors_of_records
from keepfit.serve.signature import Field, Signature
from keepfit.serve.tensors import DATATYPES, Tensor, from_array, to_array

LIMITS = HttpLimits()


def body_of(*inputs: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"inputs": [{"name": "X", "datatype": "FP64", **one} for one in inputs], **more}).encode()


def array_of(**one: Any) -> np.ndarray[Any, Any]:
    return to_array(read_request(body_of(one), None, LIMITS).call.inputs[0])


@pytest.mark.parametrize("datatype", [name for name in DATATYPES if name != "BOOL"])
@pytest.mark.parametrize("data", [[1, 2, 3, 4, 5, 6], [[1, 2, 3], [4, 5, 6]]])
def test_numbers_come_flat_or_nested_in_every_datatype(datatype: str, data: list[Any]) -> None:
    found = array_of(datatype=datatype, shape=[2, 3], data=data)
    assert found.dtype == DATATYPES[datatype]
    assert found.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_truth_values_and_texts_come_flat_or_nested() -> None:
    assert array_of(datatype="BOOL", shape=[2], data=[True, False]).tolist() == [True, False]
    for data in (["ä", "", "b\n"], [["ä"], [""], ["b\n"]]):
        assert array_of(datatype="BYTES", shape=[3, 1], data=data).tolist() == [["ä"], [""], ["b\n"]]


def test_the_ends_of_a_datatype_s_range_come_exactly() -> None:
    for name, dtype in DATATYPES.items():
        if dtype.kind in "iu":
            ends = [int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)]
            assert array_of(datatype=name, shape=[2], data=ends).tolist() == ends
    values = [1.7976931348623157e308, 5e-324, -0.0, 0.1]
    assert array_of(shape=[4], data=values).tobytes() == np.array(values).tobytes()


def test_null_stands_for_nan_among_floats_only() -> None:
    assert np.isnan(array_of(shape=[1], data=[None])).all()
    assert np.isnan(array_of(datatype="FP16", shape=[1], data=[None])).all()
    for datatype in ("INT64", "BOOL", "BYTES"):
        with pytest.raises(RequestError, match="is not"):
            array_of(datatype=datatype, shape=[1], data=[None])


def test_whole_numbers_may_be_written_with_a_point() -> None:
    assert array_of(datatype="INT64", shape=[1, 2], data=[[1.0, -2.0]]).tolist() == [[1, -2]]
    with pytest.raises(RequestError, match=r"1\.5 is not a whole number"):
        array_of(datatype="INT64", shape=[2], data=[1.0, 1.5])


def test_empty_tensors_are_tensors() -> None:
    assert array_of(shape=[0, 4], data=[]).shape == (0, 4)
    assert array_of(shape=[2, 0], data=[[], []]).shape == (2, 0)


@pytest.mark.parametrize(
    ("one", "words"),
    [
        ({"shape": [2], "data": [1.0]}, "1 elements; its shape .2. takes 2"),
        ({"shape": [1, 2], "data": [[1.0], [2.0]]}, "not as long"),
        ({"shape": [2, 2], "data": [[1.0, 2.0], [3.0]]}, "not as long"),
        ({"shape": [2, 2], "data": [[1.0, 2.0], 3.0]}, "is not FP64"),
        ({"shape": [1, 2], "data": [[[1.0, 2.0]]]}, "nested 3 deep"),
        ({"shape": [1], "data": 1.0}, "nested 0 deep"),
        ({"shape": [1], "data": {"a": 1}}, "nested 0 deep"),
        ({"shape": [], "data": 1.0}, "nested 0 deep"),
        ({"shape": [], "datatype": "BOOL", "data": False}, "nested 0 deep"),
        ({"shape": [1], "data": ["1.5"]}, "is not FP64"),
        ({"shape": [1], "data": [True]}, "is not FP64"),
        ({"shape": [1], "datatype": "INT8", "data": [200]}, "is not INT8"),
        ({"shape": [1], "datatype": "UINT64", "data": [-1]}, "is not UINT64"),
        ({"shape": [1], "datatype": "UINT64", "data": [2**64]}, "is not UINT64|UINT64 does not hold"),
        ({"shape": [1], "datatype": "FP32", "data": [1e300]}, "FP32 does not hold"),
        ({"shape": [1], "datatype": "FP16", "data": [1e6]}, "FP16 does not hold"),
        ({"shape": [1], "datatype": "BOOL", "data": [1]}, "is not BOOL"),
        ({"shape": [1], "datatype": "BYTES", "data": [1]}, "is not BYTES"),
        ({"shape": [1], "datatype": "FP128", "data": [1.0]}, "known are BYTES"),
        ({"shape": [-1], "data": [1.0]}, "inputs.0..shape"),
        ({"shape": [1.5], "data": [1.0]}, "not JSON of the protocol"),
        ({"shape": "1", "data": [1.0]}, "not JSON of the protocol"),
        ({"shape": [1] * 9, "data": [1.0]}, "9 dimensions"),
        ({"shape": [2**62, 2**62], "data": [1.0]}, "larger than"),
        ({"shape": [0, 2**62], "data": []}, "larger than"),
        ({"shape": [10**30], "data": [1.0]}, "larger than|not JSON"),
        ({"shape": [1]}, "neither data nor"),
        ({"shape": [1], "data": [1.0], "name": "n" * 300}, "300 characters"),
        ({"shape": [1], "data": [1.0], "name": 5}, "not JSON of the protocol"),
        ({"shape": [1], "data": [1.0], "parameters": {"binary_data_size": 8}}, "both data and"),
        ({"shape": [1], "parameters": {"binary_data_size": 8}}, "0 bytes are there"),
        ({"shape": [1], "parameters": {"binary_data_size": -8}}, "0 bytes are there"),
        ({"shape": [1], "parameters": {"shared_memory_region": "r"}}, "shared memory is not offered"),
    ],
)
def test_what_is_wrong_with_an_input_is_said(one: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestError, match=words) as caught:
        read_request(body_of(one), None, LIMITS)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'{"inputs":[]}', b'{"inputs":null}', b'{"outputs":[]}', b"\xff", b"{" * 10**5,
     b'{"inputs":[{"name":"X","shape":[1],"datatype":"FP64","data":[NaN]}]}',
     b'{"inputs":[{"name":"X","shape":[1],"datatype":"FP64","data":[Infinity]}]}',
     b'{"inputs":[{"name":"X","shape":[1],"datatype":"FP64","data":[1e999]}]}',
     b'{"inputs":[{"name":"X","shape":[1],"datatype":"FP64","data":[1.0}]}',
     b'{"inputs":[{"name":"\xff","shape":[1],"datatype":"FP64","data":[1]}]}',
     b'{"inputs":[{"name":"X","shape":[1],"datatype":"BYTES","data":["\xff"]}]}',
     b'{"inputs":[{"name":"X","shape":[1],"datatype":"FP64","data":' + b"[" * 10**5 + b"]" * 10**5 + b"}]}",
     b'{"inputs":[],"parameters":{"a":' + b"[" * 10**5 + b"]" * 10**5 + b"}}"],
)  # fmt: skip
def test_what_is_not_json_of_the_protocol_is_refused(body: bytes) -> None:
    with pytest.raises(RequestError):
        read_request(body, None, LIMITS)


def test_names_come_once_and_not_too_many() -> None:
    one = {"shape": [1], "data": [1.0]}
    with pytest.raises(RequestError, match="'X' is there twice"):
        read_request(body_of(one, one), None, LIMITS)
    with pytest.raises(RequestError, match="an output is named twice"):
        read_request(body_of(one, outputs=[{"name": "a"}, {"name": "a"}]), None, LIMITS)
    with pytest.raises(RequestError, match="2 inputs; 1 to 1"):
        read_request(body_of(one, {**one, "name": "Y"}), None, HttpLimits(inputs=1))
    with pytest.raises(RequestError, match="17 outputs; at most 16"):
        read_request(body_of(one, outputs=[{"name": str(n)} for n in range(17)]), None, LIMITS)
    with pytest.raises(RequestError, match="the id has 300"):
        read_request(body_of(one, id="i" * 300), None, LIMITS)


def test_parameters_that_nobody_knows_are_tolerated() -> None:
    one = {"shape": [1], "data": [1.0], "parameters": {"content_type": "np", "nested": {"a": [1]}}}
    body = body_of(one, parameters={"priority": 3, "sequence_id": 7}, whatever=None)
    request = read_request(body, None, LIMITS)
    assert request.id is None
    assert not request.is_binary


def test_binary_tensors_are_views_of_the_body() -> None:
    first, second = np.arange(6.0).reshape(2, 3), np.arange(2, dtype=np.int32)
    head = body_of(
        {"name": "a", "shape": [2, 3], "parameters": {"binary_data_size": 48}},
        {"name": "j", "shape": [1], "data": [7.0]},
        {"name": "b", "shape": [2], "datatype": "INT32", "parameters": {"binary_data_size": 8}},
    )
    body = head + first.tobytes() + second.tobytes()
    a, j, b = read_request(body, len(head), LIMITS).call.inputs
    assert to_array(a).tolist() == first.tolist()
    assert to_array(j).tolist() == [7.0]
    assert to_array(b).tolist() == second.tolist()
    assert isinstance(a.data, memoryview)
    assert a.data.obj is body


def test_bytes_after_the_json_have_to_be_those_of_the_inputs() -> None:
    head = body_of({"shape": [1], "parameters": {"binary_data_size": 8}})
    for tail in (b"", b"1234567", b"123456789"):
        with pytest.raises(RequestError, match="bytes"):
            read_request(head + tail, len(head), LIMITS)
    with pytest.raises(RequestError, match="Inference-Header-Content-Length is"):
        read_request(head, len(head) + 1, LIMITS)


def test_json_has_a_limit_of_its_own() -> None:
    body = body_of({"shape": [1], "data": [1.0]})
    with pytest.raises(RequestError, match="Send binary tensors") as caught:
        read_request(body, None, HttpLimits(json_bytes=len(body) - 1))
    assert caught.value.status == 413


def test_a_response_echoes_the_id_and_has_flat_data() -> None:
    request = read_request(body_of({"shape": [1], "data": [1.0]}, id="7"), None, LIMITS)
    outputs = (from_array("p", np.array([[0.5, np.nan]])), from_array("l", np.array(["ä"])))
    body, json_bytes = write_response("m", "2", request, Answer(outputs))
    assert json_bytes is None
    assert json.loads(body) == {
        "model_name": "m",
        "model_version": "2",
        "id": "7",
        "outputs": [
            {"name": "p", "datatype": "FP64", "shape": [1, 2], "data": [0.5, None]},
            {"name": "l", "datatype": "BYTES", "shape": [1], "data": ["ä"]},
        ],
    }


def test_an_output_goes_as_it_was_asked_for_and_else_as_the_request_says() -> None:
    wanted = [{"name": "a"}, {"name": "b", "parameters": {"binary_data": False}}]
    one = {"shape": [1], "data": [1.0]}
    request = read_request(body_of(one, outputs=wanted, parameters={"binary_data_output": True}), None, LIMITS)
    assert request.call.outputs == ("a", "b")
    outputs = (from_array("a", np.array([1.5])), from_array("b", np.array([2.5])))
    body, json_bytes = write_response("m", "2", request, Answer(outputs))
    first, second = json.loads(body[:json_bytes])["outputs"]
    assert first == {"name": "a", "datatype": "FP64", "shape": [1], "parameters": {"binary_data_size": 8}}
    assert second["data"] == [2.5]
    assert body[json_bytes:] == np.array([1.5]).tobytes()


def test_a_classification_has_the_best_scores_with_their_labels() -> None:
    scores = from_array("predict_proba", np.array([[0.25, 0.5, 0.25], [0.0, 0.0, 1.0]]))
    found = to_array(classification(scores, 2, ("a", "b", "c"))).tolist()
    assert found == [["0.500000:1:b", "0.250000:0:a"], ["1.000000:2:c", "0.000000:0:a"]]
    assert to_array(classification(scores, 9, ()))[1].tolist()[0] == "1.000000:2"
    with pytest.raises(RequestError, match="no scores"):
        classification(from_array("predict", np.array(["a"])), 1, ())


def test_an_answer_that_is_too_long_as_json_is_refused_before_it_is_made() -> None:
    limits = HttpLimits(json_answer_bytes=1000)
    plain = read_request(body_of({"shape": [1], "data": [1.0]}), None, LIMITS)
    binary = read_request(body_of({"shape": [1], "data": [1.0]}, parameters={"binary_data_output": True}), None, LIMITS)
    answer = Answer((from_array("p", np.zeros(100)), from_array("q", np.zeros(100))))
    assert write_response("m", "1", binary, answer, (), limits)[1] is not None
    with pytest.raises(RequestError, match="binary tensors") as caught:
        write_response("m", "1", plain, answer, (), limits)
    assert caught.value.status == 413
    many = Answer((Tensor("p", "BYTES", (200,), bytes(800)),))
    with pytest.raises(RequestError, match="binary tensors"):
        write_response("m", "1", plain, many, (), limits)


def test_labels_that_are_long_are_not_written_for_every_row_without_end() -> None:
    scores = from_array("predict_proba", np.zeros((300, 2)))
    labels = ("a" * 400_000, "b" * 400_000)
    assert classification(from_array("predict_proba", np.zeros((3, 2))), 1, labels).shape == (3, 1)
    with pytest.raises(RequestError, match="fewer rows"):
        classification(scores, 1, labels)
    assert len(records_of([from_array("predict_proba", np.zeros((3, 2)))], labels)) == 3
    with pytest.raises(RequestError, match="fewer rows"):
        records_of([scores], labels)


def test_a_model_that_says_it_is_wide_beyond_measure_costs_a_record_nothing() -> None:
    signature = Signature("c", (Field("X", "FP64", (-1, 2**62)),), (), ())
    with pytest.raises(RequestError, match="a list of"):
        tensors_of_records([{"a": 1}], signature)
