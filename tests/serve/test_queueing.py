"""Who is next, what goes together, and how answers are taken apart."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pytest
from sklearn.preprocessing import FunctionTransformer

import battery
from keepfit import codecs
from keepfit.serve.joining import join, kind_of, split
from keepfit.serve.messages import Call
from keepfit.serve.queueing import Queue, Request
from keepfit.serve.tensors import Tensor, from_array, to_array
from keepfit.serve.worker import _is_rowwise

X = np.arange(40, dtype=float).reshape(10, 4)


class Answer:
    """Stands for a future outside of a loop: nobody has answered yet, or the client went away."""

    def __init__(self) -> None:
        self.is_gone = False

    def done(self) -> bool:
        return self.is_gone


def request(key: str, rows: Any = X[:1], *outputs: str) -> Request:
    answer = cast("asyncio.Future[Any]", Answer())
    return Request(key, Call((from_array("X", np.asarray(rows)),), outputs), answer, 0.0)


def queue_of(*requests: Request, max_batch_rows: int = 8, is_rowwise: bool = True) -> Queue:
    queue = Queue(max_batch_rows)
    for each in requests:
        queue.put(each, is_rowwise=is_rowwise)
    return queue


def all_of(queue: Queue) -> Iterator[list[Request]]:
    while queue:
        yield queue.take()


def test_requests_of_one_kind_go_together_and_others_wait_in_their_order() -> None:
    a, b, c, d = request("m"), request("m", X[:1], "predict"), request("m", X[:3]), request("m", X[:1], "predict")
    queue = queue_of(a, b, c, d)
    assert len(queue) == 4
    assert list(all_of(queue)) == [[a, c], [b, d]]
    assert queue.take() == []


def test_models_take_turns_however_many_requests_one_of_them_has() -> None:
    many, one = [request("many") for _ in range(5)], request("one")
    queue = queue_of(*many, one, is_rowwise=False)
    assert list(all_of(queue)) == [[many[0]], [one], *([each] for each in many[1:])]


def test_a_batch_has_at_most_so_many_rows_and_what_does_not_fit_is_next() -> None:
    a, b, c, d = request("m", X[:5]), request("m", X[:5]), request("m", X[:3]), request("m", X[:9])
    assert list(all_of(queue_of(a, b, c, d))) == [[a, c], [b], [d]]


def test_large_requests_are_not_joined() -> None:
    rows = np.zeros((1, 300_000))
    requests = [request("m", rows) for _ in range(4)]
    assert [len(batch) for batch in all_of(queue_of(*requests))] == [1, 1, 1, 1]


@pytest.mark.parametrize("options", [{"max_batch_rows": 0}, {"is_rowwise": False}])
def test_nothing_is_joined_where_that_is_off_or_the_model_is_not_fit_for_it(options: Any) -> None:
    assert [len(batch) for batch in all_of(queue_of(request("m"), request("m"), **options))] == [1, 1]


def test_what_is_put_back_goes_first_and_alone() -> None:
    a, b, c = request("m"), request("m"), request("m")
    queue = queue_of(a, b, c)
    queue.take()
    queue.put(c, is_rowwise=True)
    for each in (b, a):
        queue.put_back(each)
    assert list(all_of(queue)) == [[a], [b], [c]]


def test_requests_are_dropped_by_any_rule() -> None:
    a, b, c = request("m"), request("n"), request("m", X[:2])
    queue = queue_of(a, b, c)
    assert queue.drop(lambda each: each.key == "m") == [a, c]
    assert len(queue) == 1
    assert queue.take() == [b]


def test_who_went_away_is_handed_out_for_the_books_but_joined_by_nobody() -> None:
    a, b = request("m"), request("m")
    cast(Any, a.answer).is_gone = True
    assert list(all_of(queue_of(a, b))) == [[a], [b]]


@pytest.mark.parametrize(
    "tensors",
    [
        (),
        (Tensor("X", "FP64", (), b"12345678"),),
        (Tensor("X", "FP64", (1, 2), b"12345678"),),
        (Tensor("X", "FP64", (0, 2), b""),),
        (Tensor("X", "no such", (1,), b"1"),),
        (Tensor("X", "BYTES", (2,), b"\x01\0\0\0a"),),
        (Tensor("X", "BYTES", (1,), b"\x02\0\0\0a"),),
        (Tensor("X", "BYTES", (1,), b"\x01\0\0\0ab"),),
        (Tensor("X", "BYTES", (1,), b"\xff\xff\xff\xffa"),),
        (from_array("X", X), from_array("Y", X[:9])),
    ],
)
def test_a_call_with_something_wrong_in_it_goes_alone(tensors: tuple[Tensor, ...]) -> None:
    assert kind_of(Call(tensors)) is None


@pytest.mark.parametrize("values", [X, X.astype(np.float32), np.array([["a", "bcd"], ["", "é"], ["x", "y"], ["", ""]])])
def test_rows_that_are_joined_and_taken_apart_are_the_rows_there_were(values: Any) -> None:
    parts = [values[:1], values[1:3], values[3:4]]
    calls = [Call((from_array("X", part),), ("predict",)) for part in parts]
    assert len({kind_of(one) for one in calls}) == 1
    joined = join(calls)
    assert to_array(joined.inputs[0]).tolist() == values[:4].tolist()
    again = split(joined.inputs, [1, 2, 1])
    assert again is not None
    assert [to_array(one[0]).tolist() for one in again] == [part.tolist() for part in parts]


def test_outputs_that_do_not_have_the_rows_are_not_taken_apart() -> None:
    assert split((from_array("y", X[:5]),), [2, 2]) is None
    assert split((Tensor("y", "FP64", (), b"12345678"),), [1]) is None


def test_what_is_joined_is_predicted_as_if_it_were_alone() -> None:
    """Of every estimator that is taken for one that looks at a row at a time, to rounding."""
    checked = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for label, model, rows in battery.fitted():
            is_ours = isinstance(rows, np.ndarray) and not label.startswith("PatchExtractor")  # which takes pictures
            if is_ours and _is_rowwise(codecs.encode(model)):
                checked += 1
                for method in {"predict", "predict_proba", "decision_function", "transform"} & set(dir(model)):
                    check_rows(getattr(model, method), rows[:5], f"{label} {method}")
    assert checked > 150


def check_rows(method: Any, rows: Any, label: str) -> None:
    def dense(found: Any) -> list[Any]:
        outputs = found if isinstance(found, list) else [found]
        return [each.toarray() if hasattr(each, "toarray") else np.asarray(each) for each in outputs]

    together = dense(method(rows))
    for i in range(len(rows)):
        for one, all_rows in zip(dense(method(rows[i : i + 1])), together, strict=True):
            np.testing.assert_allclose(one, all_rows[i : i + 1], rtol=1e-6, atol=1e-9, err_msg=label)


def test_a_model_with_functions_is_not_joined() -> None:
    assert not _is_rowwise(codecs.encode(FunctionTransformer(np.cumsum)))


def test_a_queue_knows_how_many_bytes_wait_in_it() -> None:
    queue = queue_of(request("a"), request("a", X[:2]), request("b"), request("b"))
    assert queue.size_bytes == 5 * 32
    taken = queue.take()
    assert queue.size_bytes == 2 * 32
    queue.put_back(taken[0])
    assert queue.size_bytes == 3 * 32
    queue.drop(lambda _: True)
    assert queue.size_bytes == 0
