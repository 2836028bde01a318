"""A pool with real processes: models in them, calls to them, and what is refused."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path

import hostile_models
import joblib
import numpy as np
import pytest
from pools import (
    SETTINGS,
    Shared,
    X,
    Y,
    ask,
    call,
    file_of,
    load,
    logistic,
    outcomes,
    pids,
    rows_that,
    running,
    until,
    values,
)
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import keepfit
from keepfit.errors import FormatError, InvalidStateError, KeepfitError, UntrustedError
from keepfit.serve.errors import OverloadedError, RequestError
from keepfit.serve.messages import Call
from keepfit.serve.pool import Pool
from keepfit.serve.roster import opened_again
from keepfit.serve.tensors import Tensor

TENANTS = [None, "alice"]


# Predicting


@pytest.mark.parametrize("tenant", TENANTS)
def test_a_model_in_a_worker_answers_as_it_does_here(shared: Shared, tenant: str | None) -> None:
    model = RandomForestClassifier(5, random_state=0).fit(X, Y)

    async def work() -> None:
        signature = await load(shared.pool, "forest", model, tenant=tenant)
        assert signature.type.endswith("RandomForestClassifier")
        assert signature.facts["class"].endswith("RandomForestClassifier")
        answer = await shared.pool.infer("forest", call(X, "predict_proba", "predict"))
        assert values(answer, 0).tobytes() == model.predict_proba(X).tobytes()
        assert values(answer, 1).tolist() == model.predict(X).tolist()
        assert 0 < answer.cpu_s < 5
        assert answer.batch_rows == len(X)

    shared.run(work())


def test_every_worker_has_the_model_when_it_is_loaded(shared: Shared) -> None:
    async def work() -> None:
        await load(shared.pool, "sleeping", hostile_models.Sleeping().fit(X, Y))
        start_s = time.monotonic()
        await asyncio.gather(*(ask(shared.pool, "sleeping", rows_that(1000, 0.5)) for _ in range(2)))
        assert time.monotonic() - start_s < 0.95

    shared.run(work())


def test_large_inputs_and_outputs_pass(shared: Shared) -> None:
    rows = np.random.default_rng(0).normal(size=(150_000, 4))
    model = logistic()

    async def work() -> None:
        await load(shared.pool, "m", model)
        found, small = await asyncio.gather(ask(shared.pool, "m", rows, "predict_proba"), ask(shared.pool, "m"))
        assert found.tobytes() == model.predict_proba(rows).tobytes()
        assert small.tolist() == model.predict(X[:1]).tolist()

    shared.run(work())


def test_a_large_array_of_a_model_is_shared_by_the_workers(shared: Shared) -> None:
    rows = np.random.default_rng(0).normal(size=(200_000, 4))
    model = KNeighborsClassifier(algorithm="brute").fit(rows, np.arange(len(rows)) % 3)

    async def work() -> None:
        await load(shared.pool, "knn", model)
        await asyncio.gather(*(ask(shared.pool, "knn", X[:50]) for _ in range(8)))
        for pid in pids(shared.pool):
            mapped = (
                Path(f"/proc/{pid}/smaps").read_text().partition(".safetensors (deleted)")[2].partition("VmFlags")[0]
            )
            assert int(mapped.partition("Rss:")[2].split()[0]) * 1024 >= rows.nbytes / 2
            assert int(mapped.partition("Private_Dirty:")[2].split()[0]) == 0

    shared.run(work())


# Refusals


@pytest.mark.parametrize("tenant", TENANTS)
def test_what_is_wrong_with_a_call_is_told_and_harms_nobody(shared: Shared, tenant: str | None) -> None:
    async def work() -> None:
        await load(shared.pool, "m", logistic(), tenant=tenant)
        wrong = [
            call(X[:, :3]),
            call(X[:1], "no such output"),
            call(X[:1] * np.nan),
            Call(()),
            Call((Tensor("X", "FP64", (1, 4), b""),)),
            Call((Tensor("X", "FP64", (10**12, 4), b"12345678"),)),
            Call((Tensor("X", "BYTES", (10**9,), b"1234"),)),
            Call((Tensor("X", "no such", (1, 4), b"1"),)),
            Call((Tensor("X", "FP64", (), b"12345678"),)),
        ]
        for one in wrong:
            with pytest.raises(RequestError):
                await shared.pool.infer("m", one)
        assert (await ask(shared.pool, "m")).tolist() == logistic().predict(X[:1]).tolist()
        assert shared.pool.figures().deaths == deaths

    deaths = shared.pool.figures().deaths
    shared.run(work())


def test_an_unknown_model_is_a_404(shared: Shared) -> None:
    with pytest.raises(RequestError, match="no model 'nobody'") as caught:
        shared.run(ask(shared.pool, "nobody"))
    assert caught.value.status == 404
    with pytest.raises(RequestError):
        shared.run(shared.pool.unload("nobody"))


def descriptor(data: bytes) -> int:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        return os.dup(file.fileno())


@pytest.mark.parametrize("tenant", TENANTS)
def test_what_loading_raises_comes_out_as_it_was(shared: Shared, tenant: str | None) -> None:
    data = keepfit.dumps(logistic())

    async def work() -> None:
        for spoiled in (b"", b"what", data[:-1], data[:-1] + b"\xff", data.replace(b'"C"', b'"D"')):
            with pytest.raises(FormatError):
                await shared.pool.load("m", descriptor(spoiled), tenant=tenant)
        with pytest.raises(UntrustedError, match=r"hostile_models\.Failing") as caught:
            await shared.pool.load("m", file_of(hostile_models.Failing().fit(X, Y)), tenant=tenant)
        assert caught.value.names == ("hostile_models.Failing",)
        await load(shared.pool, "m", logistic(), tenant=tenant)

    shared.run(work())


def test_a_model_that_is_not_fitted_is_refused(shared: Shared) -> None:
    with pytest.raises(KeepfitError):
        shared.run(load(shared.pool, "m", RandomForestClassifier()))


def test_two_models_cannot_have_one_key(shared: Shared) -> None:
    async def work() -> None:
        await load(shared.pool, "m", logistic())
        with pytest.raises(ValueError, match="loaded already"):
            await load(shared.pool, "m", logistic())

    shared.run(work())


def test_a_model_that_takes_too_much_memory_for_a_jail_is_refused(shared: Shared) -> None:
    data = keepfit.dumps({"a": np.zeros(SETTINGS["memory_bytes"] + (1 << 20), np.int8)}, compress="zstd")
    with pytest.raises(InvalidStateError, match="more memory"):
        shared.run(shared.pool.load("m", descriptor(data), tenant="alice"))


def test_a_worker_cannot_write_to_the_file_of_a_model() -> None:
    with tempfile.TemporaryFile() as file:  # open for writing
        fd = opened_again(file.fileno())
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.write(fd, b"change")
        os.lseek(fd, 5, os.SEEK_SET)
        assert file.tell() == 0
        os.close(fd)


def test_a_pool_that_was_not_started_can_be_stopped() -> None:
    asyncio.run(Pool().stop(1.0))


# Batches


def test_what_waits_is_joined_and_every_caller_gets_its_own_rows(shared: Shared) -> None:
    model = logistic()

    async def work() -> None:
        await load(shared.pool, "m", model)
        before = shared.pool.figures()
        found = await asyncio.gather(*(ask(shared.pool, "m", X[i : i + 2 + i % 3], "predict_proba") for i in range(50)))
        for i, answer in enumerate(found):
            np.testing.assert_allclose(answer, model.predict_proba(X[i : i + 2 + i % 3]), rtol=1e-12)
        after = shared.pool.figures()
        assert after.batches > before.batches
        assert after.batched - before.batched >= 40

    shared.run(work())


def test_in_a_batch_only_the_guilty_request_fails(shared: Shared) -> None:
    async def work() -> None:
        await load(shared.pool, "m", logistic())
        rows = [X[i : i + 1] * (np.nan if i == 20 else 1) for i in range(40)]
        found = await asyncio.gather(*(ask(shared.pool, "m", row) for row in rows), return_exceptions=True)
        assert outcomes(found) == {"answer": 39, "RequestError": 1}
        assert isinstance(found[20], RequestError)

    shared.run(work())


def test_a_model_whose_rows_depend_on_each_other_is_asked_one_by_one(shared: Shared) -> None:
    model = FunctionTransformer(np.cumsum, kw_args={"axis": 0}).fit(X)

    async def work() -> None:
        await load(shared.pool, "cumsum", model, allow=())
        found = await asyncio.gather(*(ask(shared.pool, "cumsum", X[i : i + 1], "transform") for i in range(20)))
        assert all(answer.tolist() == X[i : i + 1].tolist() for i, answer in enumerate(found))

    shared.run(work())


# Clients


def test_a_client_that_goes_away_disturbs_nobody(shared: Shared) -> None:
    model = logistic()

    async def work() -> None:
        await load(shared.pool, "m", model)
        for _ in range(20):
            tasks = [asyncio.ensure_future(ask(shared.pool, "m", X[i : i + 1], "predict_proba")) for i in range(12)]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            for i, answer in enumerate(found):
                if i % 2:
                    np.testing.assert_allclose(answer, model.predict_proba(X[i : i + 1]), rtol=1e-12)
                else:
                    assert isinstance(answer, asyncio.CancelledError)

    shared.run(work())


def test_what_waits_takes_so_many_bytes_and_no_more() -> None:
    async def work() -> None:
        async with running(workers=1, queue_bytes_max=10_000, tenant_queue_bytes_max=3000) as pool:
            for key, tenant, bytes_max in (("a", None, 10_000), ("b", "bob", 3000)):
                await load(pool, key, hostile_models.Sleeping().fit(X, Y), tenant=tenant)
                held = asyncio.ensure_future(ask(pool, key, rows_that(1000, 0.5)))
                await asyncio.sleep(0.1)
                rows = np.zeros((30, 4))  # 960 bytes
                tasks = [asyncio.ensure_future(ask(pool, key, rows)) for _ in range(20)]
                found = outcomes(await asyncio.gather(*tasks, return_exceptions=True))
                assert found == {"answer": bytes_max // 960, "OverloadedError": 20 - bytes_max // 960}
                await held
                assert len(await ask(pool, key, np.zeros((1000, 4)))) == 1000  # by itself, one may be larger

    asyncio.run(work())


def test_a_full_queue_is_told_at_once_and_when_to_come_again(shared: Shared) -> None:
    async def work() -> None:
        await load(shared.pool, "sleeping", hostile_models.Sleeping().fit(X, Y), tenant="alice")
        await load(shared.pool, "m", logistic())
        rows = rows_that(1000, 0.3)
        tasks = [asyncio.ensure_future(ask(shared.pool, "sleeping", rows)) for _ in range(200)]
        done, _ = await asyncio.wait(tasks, timeout=0.2)
        errors = [task.exception() for task in done]
        assert all(isinstance(error, OverloadedError) for error in errors)
        assert len(errors) == 200 - 128 - 1
        assert all(0 < error.retry_after_s <= 30 for error in errors if isinstance(error, OverloadedError))
        assert (await ask(shared.pool, "m")).tolist() == logistic().predict(X[:1]).tolist()  # others are not concerned
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    shared.run(work())


# Models that go


def test_a_model_goes_when_its_calls_are_answered(shared: Shared) -> None:
    async def work() -> None:
        await load(shared.pool, "sleeping", hostile_models.Sleeping().fit(X, Y))
        tasks = [asyncio.ensure_future(ask(shared.pool, "sleeping", rows_that(1000, 0.1))) for _ in range(6)]
        await asyncio.sleep(0)
        leaving = asyncio.ensure_future(shared.pool.unload("sleeping"))
        await asyncio.sleep(0)
        with pytest.raises(RequestError):
            await ask(shared.pool, "sleeping")
        assert outcomes(await asyncio.gather(*tasks)) == {"answer": 6}
        await leaving
        assert shared.pool.figures().models == 0

    shared.run(work())


def open_files(pid: int | str) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


_LONG = [pytest.param(tenant, 1000, marks=pytest.mark.long) for tenant in (None, "alice")]


@pytest.mark.parametrize(("tenant", "times"), [(None, 60), ("alice", 60), *_LONG])
def test_loading_and_unloading_many_times_leaks_no_descriptor_and_no_memory(
    shared: Shared, tenant: str | None, times: int
) -> None:
    rows = np.random.default_rng(0).normal(size=(40_000, 4))
    files = [
        file_of(KNeighborsRegressor(algorithm="brute").fit(rows, rows)),
        *[file_of(logistic())] * 19,
    ]  # one is mapped

    def sizes() -> list[int]:
        found = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 for pid in pids(shared.pool)]
        return [*found, open_files("self"), *(open_files(pid) for pid in pids(shared.pool))]

    async def work() -> None:
        await load(shared.pool, "stays", logistic(), tenant=tenant)
        for number in range(times):
            await shared.pool.load(f"m{number}", os.dup(files[number % 20]), tenant=tenant)
            await shared.pool.unload(f"m{number}")
            if number == 20:
                await asyncio.sleep(0.1)
                before = sizes()
        await asyncio.sleep(0.1)
        for then, now in zip(before, sizes(), strict=True):
            assert now <= then + (2 if then < 1000 else 30_000_000)

    shared.run(work())
    for file in set(files):
        os.close(file)


# Conversion


def test_a_pickle_is_converted_in_a_jail(shared: Shared, tmp_path: Path) -> None:
    joblib.dump(logistic(), tmp_path / "model.joblib", compress=3)
    (tmp_path / "bad.pkl").write_bytes(b"cos\nsystem\n(S'touch /tmp/escaped'\ntR.")

    async def convert(name: str) -> None:
        with open(tmp_path / name, "rb") as source, open(tmp_path / "model.safetensors", "w+b") as target:
            await shared.pool.convert(source.fileno(), target.fileno(), tenant="alice")

    async def work() -> None:
        with pytest.raises(UntrustedError, match=r"os\.system|posix\.system"):
            await convert("bad.pkl")
        with pytest.raises(FormatError):
            await convert("model.safetensors")
        await convert("model.joblib")
        await load(shared.pool, "m", logistic(), tenant="bob")

    shared.run(work())
    assert keepfit.load(tmp_path / "model.safetensors").predict(X).tolist() == logistic().predict(X).tolist()


def test_a_conversion_writes_so_much_and_its_jail_ends(tmp_path: Path) -> None:
    joblib.dump(StandardScaler().fit(np.zeros((2, 500_000))), tmp_path / "large", compress=3)
    joblib.dump(logistic(), tmp_path / "small")
    assert (tmp_path / "large").stat().st_size < 100_000

    async def work() -> None:
        async with running(converted_bytes_max=1 << 20) as pool:
            await load(pool, "m", logistic(), tenant="alice")
            before = set(pids(pool))
            for name in ("large", "small"):
                with open(tmp_path / name, "rb") as source, open(tmp_path / f"{name} target", "w+b") as target:
                    if name == "large":
                        with pytest.raises(RequestError, match="longer than the 1,048,576 bytes") as caught:
                            await pool.convert(source.fileno(), target.fileno(), tenant="alice")
                        assert caught.value.status == 413
                    else:
                        await pool.convert(source.fileno(), target.fileno(), tenant="alice")
                await until(lambda: len(pids(pool)) == 2)  # the operator's
                assert (await ask(pool, "m")).tolist() == logistic().predict(X[:1]).tolist()
                after = set(pids(pool))
                assert len(after) == len(before)
                assert len(after - before) == 1
                before = after
            assert pool.figures().deaths == 0

    asyncio.run(work())
    assert (tmp_path / "large target").stat().st_size <= 1 << 20
    assert keepfit.load(tmp_path / "small target").predict(X).tolist() == logistic().predict(X).tolist()


# Tenants


def test_more_tenants_than_jails_take_turns_and_all_are_answered(shared: Shared) -> None:
    async def work() -> None:
        names = [f"tenant{i}" for i in range(5)]
        await asyncio.gather(*(load(shared.pool, name, logistic(), tenant=name) for name in names))
        for _ in range(3):
            found = await asyncio.gather(*(ask(shared.pool, name) for name in names * 4))
            assert all(answer.tolist() == found[0].tolist() for answer in found)
        assert shared.pool.figures().jails <= 2

    shared.run(work())


def test_a_tenant_that_keeps_its_jail_busy_does_not_keep_others_out(shared: Shared) -> None:
    async def work() -> None:
        for name in ("one", "two"):
            await load(shared.pool, name, hostile_models.Sleeping().fit(X, Y), tenant=name)
        await load(shared.pool, "three", logistic(), tenant="three")
        tasks = [
            asyncio.ensure_future(ask(shared.pool, name, rows_that(1000, 0.2)))
            for name in ("one", "two")
            for _ in range(40)
        ]
        await asyncio.sleep(0.05)
        start_s = time.monotonic()
        await ask(shared.pool, "three")
        assert time.monotonic() - start_s < 1.8
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    shared.run(work())
