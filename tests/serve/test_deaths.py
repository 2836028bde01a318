"""Workers that die, hang or swell, a zygote that dies, a front that dies: what is lost, and what is not."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import hostile_models
import numpy as np
import pytest
from pools import (
    HARM,
    Shared,
    X,
    Y,
    ask,
    is_alive,
    load,
    logistic,
    outcomes,
    pids,
    rows_that,
    running,
    until,
)

from keepfit.serve.errors import RequestError, UnavailableError
from keepfit.serve.pool import Pool, PoolSettings

TENANTS = [None, "mallory"]


@pytest.mark.parametrize("tenant", TENANTS)
@pytest.mark.parametrize("harm", ["Aborting", "Crashing", "Exiting", "Spinning", "Bloating", "Failing", "Talking"])
def test_harm_is_one_request_that_fails_and_the_next_is_answered(shared: Shared, harm: str, tenant: str | None) -> None:
    async def work() -> None:
        await load(shared.pool, "hostile", getattr(hostile_models, harm)().fit(X, Y), tenant=tenant)
        await load(shared.pool, "good", logistic())
        expected = logistic().predict(X[:1]).tolist()
        for _ in range(2):
            others = asyncio.gather(*(ask(shared.pool, "good") for _ in range(20)))
            with pytest.raises((UnavailableError, RequestError)) as caught:
                await ask(shared.pool, "hostile", HARM)
            assert isinstance(caught.value, RequestError) == (harm in ("Bloating", "Failing"))
            assert all(answer.tolist() == expected for answer in await others)
        assert (await ask(shared.pool, "hostile")).tolist() == [0]
        assert (await ask(shared.pool, "good")).tolist() == expected

    shared.run(work())


@pytest.mark.parametrize("way", range(len(hostile_models.Lying.WAYS)))
def test_a_jail_that_gives_an_answer_that_cannot_be_is_ended(
    shared: Shared, way: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        await load(shared.pool, "lying", hostile_models.Lying().fit(X, Y), tenant="mallory")
        await load(shared.pool, "good", logistic())
        before = set(pids(shared.pool))
        with pytest.raises(UnavailableError, match="said what cannot be") as caught:
            await ask(shared.pool, "lying", rows_that(1000.0, way))
        assert caught.value.status == 503
        assert (await ask(shared.pool, "lying")).tolist() == [0]  # by another: in the one before, the lies went on
        await until(lambda: len(before - set(pids(shared.pool))) == 1)
        assert (await ask(shared.pool, "good")).tolist() == logistic().predict(X[:1]).tolist()

    shared.run(work())
    told = [one for one in caplog.records if one.message == "a worker ended"]
    assert [(one.model, one.jailed, one.reason) for one in told] == [("lying", True, "the worker said what cannot be")]


def test_a_model_that_waits_for_ever_is_killed_in_time(shared: Shared) -> None:
    async def work() -> None:
        await load(shared.pool, "sleeping", hostile_models.Sleeping().fit(X, Y))
        start_s = time.monotonic()
        with pytest.raises(UnavailableError, match="longer than 3 s"):
            await ask(shared.pool, "sleeping", rows_that(1000, 60))
        assert time.monotonic() - start_s < 6
        assert (await ask(shared.pool, "sleeping")).tolist() == [0]

    shared.run(work())


def test_processor_time_is_bounded_by_itself(shared: Shared) -> None:
    async def work() -> None:
        await load(shared.pool, "spinning", hostile_models.Spinning().fit(X, Y))
        with pytest.raises(UnavailableError, match="died"):  # not "took longer": it was not the front that ended it
            await ask(shared.pool, "spinning", HARM)

    shared.run(work())


@pytest.mark.parametrize("number", range(len(hostile_models.Reaching.WAYS)), ids=hostile_models.Reaching.WAYS)
def test_a_model_of_a_stranger_reaches_nothing(shared: Shared, number: int) -> None:
    async def work() -> None:
        await load(shared.pool, "reaching", hostile_models.Reaching().fit(X, Y), tenant="mallory")
        assert (await ask(shared.pool, "reaching", rows_that(1000, number))).tolist() == [1]  # EPERM
        assert not Path("/tmp/escaped").exists()

    shared.run(work())


def test_a_model_that_kills_its_workers_again_and_again_is_barred_and_others_go_on(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keepfit.serve.crew._BARRED_S", 2.0)

    async def work() -> None:
        await load(shared.pool, "hostile", hostile_models.Aborting().fit(X, Y))
        await load(shared.pool, "good", logistic())
        deaths = shared.pool.figures().deaths
        for _ in range(3):
            with pytest.raises(UnavailableError, match="died"):
                await ask(shared.pool, "hostile", HARM)
        for _ in range(50):
            with pytest.raises(UnavailableError, match=r"3 times in a row; try again in \d s"):
                await ask(shared.pool, "hostile", HARM)
            await ask(shared.pool, "good")
        assert shared.pool.figures().deaths == deaths + 3
        await until(lambda: shared.pool._crew_of["hostile"].models["hostile"].barred_until_s < time.monotonic())
        assert (await ask(shared.pool, "hostile")).tolist() == [0]  # and workers that lack it load it again

    shared.run(work())


def test_of_calls_that_were_joined_those_without_fault_are_answered(shared: Shared) -> None:
    async def work() -> None:
        await load(shared.pool, "hostile", hostile_models.Aborting().fit(X, Y), tenant="mallory")
        shared.pool._crew_of["hostile"].models["hostile"].is_rowwise = True
        rows = [HARM if i == 7 else X[:1] for i in range(20)]
        found = await asyncio.gather(*(ask(shared.pool, "hostile", row) for row in rows), return_exceptions=True)
        assert shared.pool.figures().batches
        assert outcomes(found) == {"answer": 19, "UnavailableError": 1}
        assert isinstance(found[7], UnavailableError)

    shared.run(work())


def test_workers_killed_under_load_cost_only_what_they_had_in_hand(shared: Shared) -> None:
    expected = logistic().predict_proba(X[:1])

    async def work() -> None:
        await load(shared.pool, "m", logistic())
        await load(shared.pool, "a", logistic(), tenant="alice")
        found: list[Any] = []
        answers = {"m": 0, "a": 0}
        is_over = False

        async def client(key: str) -> None:
            while not is_over:
                try:
                    found.append(await ask(shared.pool, key, X[:1], "predict_proba"))
                    answers[key] += 1
                except UnavailableError as error:
                    found.append(error)

        clients = [asyncio.ensure_future(client(key)) for key in ["m"] * 12 + ["a"] * 4]
        kills = 0
        while kills < 9:
            before = dict(answers)
            await until(lambda before=before: all(answers[key] > before[key] + 5 for key in answers))
            os.kill(pids(shared.pool)[0], signal.SIGKILL)  # the eldest: each in turn
            kills += 1
        is_over = True
        await asyncio.gather(*clients)
        counts = outcomes(found)
        assert counts["answer"] > 100
        assert counts.get("UnavailableError", 0) <= kills
        assert set(counts) <= {"answer", "UnavailableError"}
        for answer in found:
            if not isinstance(answer, BaseException):
                np.testing.assert_allclose(answer, expected, rtol=1e-12)

    shared.run(work())


def test_a_pool_gets_over_the_death_of_its_zygote(shared: Shared) -> None:
    async def work() -> None:
        await load(shared.pool, "m", logistic())
        await load(shared.pool, "a", logistic(), tenant="alice")
        zygote, workers = shared.pool.zygote_pid, pids(shared.pool)
        assert len(workers) == 3
        os.kill(zygote, signal.SIGKILL)
        await until(lambda: not any(map(is_alive, [zygote, *workers])))
        await until(lambda: shared.pool.zygote_pid != zygote and shared.pool.figures().workers == 2, 60)
        assert (await ask(shared.pool, "m")).tolist() == logistic().predict(X[:1]).tolist()
        assert (await ask(shared.pool, "a")).tolist() == logistic().predict(X[:1]).tolist()

    shared.run(work())


_FRONT = """
import asyncio, sys
from keepfit.serve.pool import Pool, PoolSettings
from pools import children_of, load, logistic

async def main():
    pool = Pool(PoolSettings(workers=2))
    await pool.start()
    await load(pool, "m", logistic())
    await load(pool, "a", logistic(), tenant="alice")
    print(pool.zygote_pid, *children_of(pool.zygote_pid), flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_when_the_front_is_killed_no_process_stays_behind() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    with subprocess.Popen([sys.executable, "-c", _FRONT], env=environment, stdout=subprocess.PIPE, text=True) as front:
        assert front.stdout is not None
        found = [int(pid) for pid in front.stdout.readline().split()]
        assert len(found) == 4
        assert all(map(is_alive, found))
        front.kill()
    asyncio.run(until(lambda: not any(map(is_alive, found))))


def test_a_pool_that_stops_answers_what_it_has_taken_and_leaves_nothing_behind() -> None:
    async def work() -> None:
        async with running(workers=1, timeout_s=30.0) as pool:
            await load(pool, "sleeping", hostile_models.Sleeping().fit(X, Y))
            tasks = [asyncio.ensure_future(ask(pool, "sleeping", rows_that(1000, 0.2))) for _ in range(3)]
            slow = asyncio.ensure_future(ask(pool, "sleeping", rows_that(1000, 20)))
            await asyncio.sleep(0.01)
            processes = [pool.zygote_pid, *pids(pool)]
            stopping = asyncio.ensure_future(pool.stop(grace_s=2.0))
            await asyncio.sleep(0.01)
            with pytest.raises(UnavailableError, match="stopping"):
                await ask(pool, "sleeping")
            assert outcomes(await asyncio.gather(*tasks)) == {"answer": 3}
            with pytest.raises(UnavailableError, match="stopping"):
                await slow
            await stopping
            assert not any(map(is_alive, processes))

    asyncio.run(work())


def test_a_module_that_cannot_be_imported_stops_the_start() -> None:
    async def work() -> None:
        with pytest.raises(UnavailableError, match="did not start"):
            await Pool(PoolSettings(imports=("no_such_module",))).start()

    asyncio.run(work())
