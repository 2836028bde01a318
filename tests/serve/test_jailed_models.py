"""Every estimator of scikit-learn in a jail answers as it does outside: nothing it needs is missing there."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from pools import Shared, call, load, logistic, values

import battery
import keepfit
from keepfit.errors import KeepfitError
from keepfit.serve.messages import Call
from keepfit.serve.predicting import Served
from keepfit.serve.tensors import from_array, to_array


def calls_for(rows: Any, n_rows: int) -> Call | None:
    if isinstance(rows, np.ndarray):
        return call(rows[:n_rows])
    if isinstance(rows, list) and isinstance(rows[0], str):
        return Call((from_array("X", np.array(rows[:n_rows], dtype=object)),))
    return None


def test_every_estimator_answers_in_a_jail_as_outside(shared: Shared, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    answered, refused, differing = 0, 0, []

    async def work(label: str, rows: Any) -> None:
        nonlocal answered, refused
        with open(path, "rb") as file:
            fd = os.dup(file.fileno())
        try:
            expected: Any = outside(rows)
        except KeepfitError as error:
            expected = error
        try:
            signature = await shared.pool.load(label, fd, tenant="alice")
            for n_rows, answer in expected.items() if isinstance(expected, dict) else [(1, None)]:
                request = calls_for(rows, n_rows)
                found = values(await shared.pool.infer(label, Call(request.inputs, signature.defaults)))
                if found.tobytes() != answer.tobytes() or found.shape != answer.shape or len(found) != n_rows:
                    differing.append(f"{label}: {found!r:.100} for {answer!r:.100}")
            answered += 1
        except KeepfitError as error:
            refused += 1
            if type(expected) is not type(error):
                differing.append(f"{label}: {error!r:.200} for {expected!r:.100}")
        finally:
            if label in shared.pool._crew_of:
                await shared.pool.unload(label)

    def outside(rows: Any) -> Any:
        served = Served(keepfit.load(path, mmap=True), {})
        found = {}
        for n_rows in (1, 3):
            request = calls_for(rows, n_rows)
            if request is not None:
                found[n_rows] = to_array(served.answer(request.inputs, served.signature.defaults)[0])
        return found

    shared.run(load(shared.pool, "keeps the jail", logistic(), tenant="alice"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for label, model, rows in battery.fitted():
            try:
                keepfit.dump(model, path)
            except KeepfitError:
                continue
            shared.run(work(label, rows))
    assert not differing, "\n".join(differing)
    assert answered > 150
