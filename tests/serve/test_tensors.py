"""Tensors: NumPy arrays in the protocol's binary form and back."""

from __future__ import annotations

import numpy as np
import pytest

from keepfit.serve.errors import RequestError
from keepfit.serve.tensors import DATATYPES, Tensor, from_array, to_array, to_list


@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_datatype_comes_back_as_it_was(datatype: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(DATATYPES[datatype])
    tensor = from_array("x", array)
    assert (tensor.datatype, tensor.shape) == (datatype, (2, 3))
    back = to_array(tensor)
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)


@pytest.mark.parametrize("datatype", DATATYPES)
@pytest.mark.parametrize("rows", [0, 1, 600])
def test_elements_are_the_numbers_that_numpy_gives(datatype: str, rows: int) -> None:
    dtype = DATATYPES[datatype]
    if dtype.kind == "b":
        ends = [False, True]
    else:
        bounds = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
        ends = [bounds.min, bounds.max]
    array = np.array([ends] * rows, dtype=dtype).reshape(rows, 2)
    found = to_list(from_array("x", array))
    assert found == array.ravel().tolist()
    assert [type(one) for one in found] == [type(one) for one in array.ravel().tolist()]


def test_what_is_no_number_in_json_keeps_its_place() -> None:
    array = np.array([np.nan, np.inf, -0.0, 5e-324])
    assert np.array(to_list(from_array("x", array))).tobytes() == array.tobytes()


def test_arrays_in_any_order_and_byte_order_are_sent_in_c_order_little_endian() -> None:
    array = np.asfortranarray(np.arange(6.0).reshape(2, 3)).astype(">f8")
    assert to_array(from_array("x", array)).tolist() == array.tolist()


@pytest.mark.parametrize("dtype", [object, "U"])
def test_text_comes_back_as_text(dtype: object) -> None:
    tensor = from_array("x", np.array([["ä", ""], ["three words here", "b"]], dtype=dtype))
    assert tensor.datatype == "BYTES"
    assert to_array(tensor).tolist() == [["ä", ""], ["three words here", "b"]]


def test_what_the_protocol_has_no_datatype_for_is_refused() -> None:
    with pytest.raises(RequestError, match="complex128"):
        from_array("x", np.zeros(1, dtype=complex))


@pytest.mark.parametrize(
    ("tensor", "why"),
    [
        (Tensor("x", "FP99", (1,), b"12345678"), "datatype"),
        (Tensor("x", "FP64", (2,), b"12345678"), "8 bytes"),
        (Tensor("x", "BYTES", (1,), b"\x05\0\0\0abc"), "5 bytes, with 3 left"),
        (Tensor("x", "BYTES", (2,), b"\0\0\0\0"), "ends before"),
        (Tensor("x", "BYTES", (10**12,), b"\0\0\0\0"), "ends before"),
        (Tensor("x", "BYTES", (1,), b"\0\0\0\0more"), "after its 1"),
        (Tensor("x", "BYTES", (1,), b"\x01\0\0\0\xff"), "UTF-8"),
    ],
)
def test_data_that_does_not_fit_its_shape_is_refused(tensor: Tensor, why: str) -> None:
    for read in (to_array, to_list):
        with pytest.raises(RequestError, match=why):
            read(tensor)
