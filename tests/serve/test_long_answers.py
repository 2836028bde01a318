"""Answers that are long: nobody else waits while they are written, and none grows without end."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from pools import X, Y, ask, call, load, running
from sklearn.linear_model import LogisticRegression

from keepfit.serve.app import App
from keepfit.serve.errors import RequestError
from keepfit.serve.messages import Answer, Call
from keepfit.serve.pool import PoolFigures
from keepfit.serve.protocol import Request, classification, is_long, json_of, json_of_list, write_response
from keepfit.serve.records import records_of
from keepfit.serve.tensors import from_array

LABEL_CHARS = 200_000


def request(answer: Answer) -> Request:
    return Request(Call(answer.outputs), None, [], False)


def test_others_have_their_turn_while_a_long_answer_is_written() -> None:
    answer = Answer((from_array("y", np.random.default_rng(0).normal(size=(500_000, 4))),))
    assert is_long(answer)

    async def work() -> int:
        app = App(cast(Any, SimpleNamespace(figures=PoolFigures)), cast(Any, None))
        writing = asyncio.ensure_future(app.written(answer, write_response, "m", "1", request(answer), answer))
        turns = 0
        while not writing.done():
            await asyncio.sleep(0)
            time.sleep(0.001)
            turns += 1
        body, _ = await writing
        assert len(body) > 20_000_000
        return turns

    assert asyncio.run(work()) > 20


@pytest.mark.parametrize("count", [1, 4095, 4096, 4097, 10_000])
def test_a_list_written_in_parts_is_the_same_as_in_one(count: int) -> None:
    numbers = np.random.default_rng(0).normal(size=count)
    numbers[0] = np.nan
    texts: list[Any] = [str(number) for number in numbers]
    assert json_of_list(numbers) == json_of(numbers.tolist())
    assert json_of_list(texts) == json_of(texts)
    assert json_of_list([]) == json_of([])


@pytest.mark.parametrize("tenant", [None, "alice"])
def test_labels_that_are_long_cannot_make_an_answer_without_end(tenant: str | None) -> None:
    labels = np.array([letter * LABEL_CHARS for letter in "abc"], dtype=object)
    model = LogisticRegression().fit(X, labels[Y])

    async def work() -> None:
        limits: dict[str, Any] = {"memory_bytes": 1 << 29, "answer_bytes_max": 1 << 26}
        async with running(workers=1, cpu_s=20.0, timeout_s=30.0, **limits) as pool:
            await load(pool, "m", model, tenant=tenant)
            answer = await pool.infer("m", call(X))
            for many in (6, 30):  # 72 MB, which are over the bound of answers, and 360, over that of memory
                with pytest.raises(RequestError, match="send fewer rows"):
                    await pool.infer("m", call(np.tile(X, (many, 1))))
            assert (await ask(pool, "m", X[:1])).tolist() == model.predict(X[:1]).tolist()
            assert pool.figures().deaths == 0
        text = Answer((answer.outputs[0],) * 3)  # 36 MB
        classes = tuple(labels.tolist())
        for write in (
            lambda: write_response("m", "1", request(text), text),
            lambda: records_of(text.outputs, classes),
            lambda: records_of([from_array("p", np.zeros((2_000, 3)))], classes),
            lambda: classification(from_array("p", np.zeros((2_000, 3))), 3, classes),
        ):
            with pytest.raises(RequestError, match="send fewer rows") as caught:
                write()
            assert caught.value.status == 413

    asyncio.run(work())
