"""Which models a server has, and how new versions take over. The workers are played by this process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from local_pool import LocalPool

import keepfit
from keepfit.errors import ServeError
from keepfit.serve.errors import RequestError, UnavailableError
from keepfit.serve.repository import Repository
from keepfit.store import Quota, Store

ROOM = Quota(100, 100, 10**9)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "state.db") as store:
        yield store


def serve(place: Any, act: Callable[[Repository, LocalPool], Any], **options: Any) -> Any:
    """Start a repository and let it be used in an event loop."""

    async def run() -> Any:
        pool = LocalPool()
        serves_tenants = options.pop("serves_tenants", True)
        repository = Repository(place, pool, **options)
        repository.serves_tenants = serves_tenants
        await repository.start()
        found = await act(repository, pool)
        await asyncio.sleep(0)  # what was let go is unloaded by tasks
        return found

    return asyncio.run(run())


def states(repository: Repository) -> dict[str, str]:
    return {f"{one.name} {one.version}": one.state for one in repository.entries()}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def upload(store: Store, tenant: str, name: str, model: object, tmp_path: Path) -> None:
    keepfit.dump(model, tmp_path / "upload")
    with (tmp_path / "upload").open("rb") as file:
        store.tenants.save(tenant, name, file, type="list", facts={}, quota=ROOM)


def test_a_store_serves_the_newest_of_each_name_and_those_with_aliases(store: Store) -> None:
    for number in range(4):
        store.save("m", [number])
    store.save("n", ["n"])
    store.set_alias("m", "good", 2)

    async def act(repository: Repository, pool: LocalPool) -> None:
        assert states(repository) == {"m 2": "READY", "m 4": "READY", "n 1": "READY"}
        assert pool.models[repository.find("m").key] == [3]
        assert pool.models[repository.find("m", "good").key] == [1]
        assert pool.models[repository.find("m", "2").key] == [1]
        assert repository.find("m", "2").aliases == ("good",)
        assert repository.find("m").digest == store.info("m").digest
        assert await repository.versions("m") == ["1", "2", "3", "4"]

    serve(store, act)


@pytest.mark.parametrize(
    ("name", "version"),
    [("x", None), ("m", "7"), ("m", "old"), ("m", "0"), ("m", "²"), ("m", "9" * 99), ("../m", None), ("m", "\0")],
)
def test_what_is_not_there_is_404(store: Store, name: str, version: str | None) -> None:
    store["m"] = [1]

    async def act(repository: Repository, pool: LocalPool) -> None:
        with pytest.raises(RequestError) as caught:
            repository.find(name, version)
        assert caught.value.status == 404
        with pytest.raises(RequestError) as caught:
            await repository.ready(name, version)
        assert caught.value.status == 404

    serve(store, act)


def test_other_versions_are_loaded_when_they_are_asked_for(store: Store) -> None:
    for number in range(30):
        store.save("m", [number])

    async def act(repository: Repository, pool: LocalPool) -> None:
        with pytest.raises(RequestError):
            repository.find("m", "3")
        asked = await asyncio.gather(*[repository.ready("m", "3") for _ in range(5)])
        assert [pool.models[one.key] for one in asked] == [[2]] * 5
        assert pool.said.count("load m 3") == 1
        assert repository.find("m", "3").state == "READY"
        for number in range(4, 25):
            await repository.ready("m", str(number))
            repository.find("m", "3")  # in use: it stays
        await repository.refresh()
        await asyncio.sleep(0)
        assert len(pool.models) == 17  # the newest, and sixteen that were asked for
        assert repository.find("m", "3").state == "READY"
        store.set_alias("m", "new", 5)
        assert pool.models[(await repository.ready("m", "new")).key] == [4]

    serve(store, act)


def test_a_new_version_takes_over_when_it_is_loaded_and_the_old_one_goes_after(store: Store) -> None:
    store["m"] = [1]

    async def act(repository: Repository, pool: LocalPool) -> None:
        pool.gate.clear()
        store["m"] = [2]
        looking = asyncio.create_task(repository.refresh())
        await asyncio.sleep(0.2)
        assert pool.models[repository.find("m").key] == [1]
        pool.gate.set()
        await looking
        assert pool.models[repository.find("m").key] == [2]
        await asyncio.sleep(0)
        assert pool.said == ["load m 1", "load m 2", "unload m 1"]
        assert states(repository) == {"m 2": "READY"}
        await repository.refresh()
        assert len(pool.said) == 3

    serve(store, act)


def test_a_version_that_does_not_load_leaves_the_one_before_in_service(store: Store) -> None:
    store["m"] = [1]

    async def act(repository: Repository, pool: LocalPool) -> None:
        pool.error = UnavailableError("its worker died")
        store["m"] = [2]
        for _ in range(3):
            await repository.refresh()
        assert states(repository) == {"m 1": "READY", "m 2": "UNAVAILABLE"}
        assert pool.models[repository.find("m").key] == [1]
        assert repository.find("m", "2").reason == "its worker died"
        with pytest.raises(UnavailableError, match="its worker died"):
            await repository.ready("m", "2")
        store["n"] = [1]
        with pytest.raises(RequestError, match="its worker died"):
            await repository.load("n")
        pool.error = None
        await repository.load("n")
        store["m"] = [3]
        await repository.refresh()
        await asyncio.sleep(0)
        assert states(repository) == {"m 3": "READY", "n 1": "READY"}

    serve(store, act)


def test_what_is_deleted_goes(store: Store) -> None:
    store["m"], store["n"] = [1], [2]
    store.save("m", [3])
    store.set_alias("m", "old", 1)

    async def act(repository: Repository, pool: LocalPool) -> None:
        del store["n"]
        store.delete("m", 2)
        await repository.refresh()
        await asyncio.sleep(0)
        assert states(repository) == {"m 1": "READY"}
        assert pool.models[repository.find("m").key] == [1]
        store.set_alias("m", "old", None)
        await repository.refresh()
        with pytest.raises(RequestError):
            repository.find("m", "old")
        del store["m"]
        store["m"] = ["other"]  # the same name and version, another model
        await repository.refresh()
        await asyncio.sleep(0)
        assert list(pool.models.values()) == [["other"]]
        assert pool.models[repository.find("m", "1").key] == ["other"]

    serve(store, act)


def test_a_model_is_unloaded_and_loaded_on_request(store: Store) -> None:
    store["m"] = [1]
    store.save("m", [2])
    store.set_alias("m", "old", 1)

    async def act(repository: Repository, pool: LocalPool) -> None:
        await repository.unload("m")
        await asyncio.sleep(0)
        assert pool.models == {}
        store["m"] = [3]
        await repository.refresh()
        assert set(states(repository).values()) == {"UNAVAILABLE"}
        assert repository.find("m").reason == "it was unloaded"
        with pytest.raises(UnavailableError, match="unloaded"):
            await repository.ready("m")
        await repository.load("m")
        assert pool.models[repository.find("m").key] == [3]
        assert states(repository) == {"m 1": "READY", "m 3": "READY"}
        for missing in (repository.load, repository.unload):
            with pytest.raises(RequestError) as caught:
                await missing("x")
            assert caught.value.status == 404

    serve(store, act)


def test_models_of_tenants_are_loaded_as_theirs_and_trust_nothing(store: Store, tmp_path: Path) -> None:
    store["m"] = [1]
    upload(store, "lab", "lab.m", [2], tmp_path)

    async def act(repository: Repository, pool: LocalPool) -> None:
        assert states(repository) == {"lab.m 1": "LOADING", "m 1": "READY"}
        entry = await repository.ready("lab.m")
        assert (pool.models[entry.key], pool.tenants[entry.key], entry.tenant) == ([2], "lab", "lab")
        assert pool.tenants[repository.find("m").key] is None

    serve(store, act)


def test_models_of_tenants_wait_for_a_machine_that_holds_them(store: Store, tmp_path: Path) -> None:
    upload(store, "lab", "lab.m", [2], tmp_path)

    async def act(repository: Repository, pool: LocalPool) -> None:
        await repository.refresh()
        with pytest.raises(UnavailableError, match="allow-weak-isolation"):
            await repository.ready("lab.m")
        assert pool.models == {}

    serve(store, act, serves_tenants=False)


def test_names_that_no_url_could_hold_are_not_served(store: Store) -> None:
    for name in ("a b", "ü", "a/b", ".hidden", "x" * 101, "fine-1.0_b"):
        store[name] = [1]

    async def act(repository: Repository, pool: LocalPool) -> None:
        assert states(repository) == {"fine-1.0_b 1": "READY"}
        assert repository.skipped == sorted(["a b", "ü", "a/b", ".hidden", "x" * 101])

    serve(store, act)


def test_a_name_that_no_url_could_hold_is_told_once(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    def told() -> list[tuple[int, list[str]]]:
        return [
            (one.count, one.models)  # type: ignore[attr-defined]
            for one in caplog.records
            if one.message == "not served, as no URL can hold the names"
        ]

    caplog.set_level("INFO", logger="keepfit.serve")
    store["a b"] = [1]

    async def act(repository: Repository, pool: LocalPool) -> None:
        assert told() == [(1, ["a b"])]
        await repository.look()
        assert len(told()) == 1
        for place in range(12):
            store[f"c {place:02}"] = [1]
        await repository.look()
        await repository.look()
        assert told()[1:] == [(12, [f"c {place:02}" for place in range(10)])]

    serve(store, act)


def test_a_folder_serves_files_and_their_versions(tmp_path: Path) -> None:
    keepfit.dump(["one"], tmp_path / "one.safetensors")
    (tmp_path / "many").mkdir()
    for number in (2, 9, 10):
        keepfit.dump([number], tmp_path / "many" / f"{number}.safetensors")
    keepfit.dump(["hidden by the folder"], tmp_path / "many.safetensors")
    for other in ("notes.txt", "b ad.safetensors", "many/x.safetensors", "many/0.safetensors"):
        (tmp_path / other).write_bytes(b"no model")
    (tmp_path / "empty").mkdir()

    async def act(repository: Repository, pool: LocalPool) -> None:
        assert states(repository) == {"many 10": "READY", "one 1": "READY"}
        assert pool.models[repository.find("many").key] == [10]
        assert pool.models[(await repository.ready("many", "2")).key] == [2]
        for name, version in (("many", "../one"), ("many", "x"), ("empty", None), ("..", None), ("notes", None)):
            with pytest.raises(RequestError):
                await repository.ready(name, version)
        keepfit.dump([11], tmp_path / "many" / "11.safetensors")
        (tmp_path / "one.safetensors").unlink()
        await repository.refresh()
        await asyncio.sleep(0)
        assert states(repository) == {"many 2": "READY", "many 11": "READY"}

    serve(str(tmp_path), act)


def test_a_file_is_served_under_its_stem_and_again_when_it_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "churn.safetensors"
    keepfit.dump([1], path)

    async def act(repository: Repository, pool: LocalPool) -> None:
        first = repository.find("churn")
        assert (first.version, len(first.digest)) == ("1", 64)
        path.write_bytes(path.read_bytes()[:-5])  # in place, and damaged: what is served is a copy
        await repository.refresh()
        assert pool.models[repository.find("churn").key] == [1]
        assert "does not load" in repository.find("churn", "1").reason
        keepfit.dump([2], path)
        await repository.refresh()
        await asyncio.sleep(0)
        assert list(pool.models.values()) == [[2]]
        assert repository.find("churn").reason == ""

    serve(str(path), act)


def test_nothing_is_left_where_files_are_spooled(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    folder.mkdir()
    store["m"] = [1]

    async def act(repository: Repository, pool: LocalPool) -> None:
        assert repository.find("m").state == "READY"
        assert os.listdir(folder) == []

    serve(store, act, spool_folder=str(folder))


def test_a_place_that_holds_no_models_is_said(tmp_path: Path) -> None:
    with pytest.raises(ServeError, match="there is no"):
        Repository(str(tmp_path / "none"), LocalPool())
    (tmp_path / "a b.safetensors").write_bytes(b"")
    with pytest.raises(ServeError, match="is named by letters"):
        Repository(str(tmp_path / "a b.safetensors"), LocalPool())


# Loads that take long


def test_a_load_that_takes_long_keeps_nobody_else_waiting(store: Store, tmp_path: Path) -> None:
    store["m"] = [1]
    upload(store, "lab", "lab.slow", ["slow"], tmp_path)

    async def act(repository: Repository, pool: LocalPool) -> None:
        pool.gates["lab.slow"] = asyncio.Event()
        await repository.look()
        asking = asyncio.create_task(repository.ready("lab.slow", asker="lab"))
        await until(lambda: pool.trying == ["lab.slow 1"])
        store["m"] = [2]
        upload(store, "other", "other.m", ["other's"], tmp_path)
        async with asyncio.timeout(5):
            await repository.refresh("m")
            await repository.refresh("other.m")
            await repository.unload("other.m")
            await repository.load("other.m")
        assert pool.models[repository.find("m").key] == [2]
        assert repository.find("other.m").state == "READY"
        assert repository.find("lab.slow").state == "LOADING"
        pool.gates["lab.slow"].set()
        assert pool.models[(await asking).key] == ["slow"]

    serve(store, act)


def test_a_tenant_loads_so_many_at_once_and_what_is_asked_for_goes_first(store: Store, tmp_path: Path) -> None:
    for number in range(12):
        upload(store, "lab", f"lab.m{number:02}", [number], tmp_path)

    async def act(repository: Repository, pool: LocalPool) -> None:
        pool.gate.clear()
        await repository.look()
        await until(lambda: len(pool.trying) == 4)
        asking = asyncio.create_task(repository.ready("lab.m11", asker="lab"))
        await asyncio.sleep(0.1)
        assert len(pool.trying) == 4
        pool.gate.set()
        await asking
        await repository.refresh()
        assert pool.said.index("load lab.m11 1") in range(4, 9)
        assert len(pool.said) == 12

    serve(store, act)


def test_models_of_many_tenants_that_nobody_asks_for_are_loaded_a_few_at_a_time(store: Store, tmp_path: Path) -> None:
    for number in range(9):
        upload(store, f"t{number}", f"t{number}.m", [number], tmp_path)

    async def act(repository: Repository, pool: LocalPool) -> None:
        pool.gate.clear()
        await repository.look()
        await until(lambda: len(pool.trying) == 4)
        asking = asyncio.create_task(repository.ready("t8.m", asker="t8"))
        await until(lambda: "t8.m 1" in pool.trying)
        assert len(pool.trying) == 5
        pool.gate.set()
        await asking
        await repository.refresh()
        assert len(pool.models) == 9

    serve(store, act)


def test_versions_of_one_model_are_loaded_one_after_the_other(store: Store) -> None:
    store["m"] = [1]

    async def act(repository: Repository, pool: LocalPool) -> None:
        pool.gate.clear()
        store["m"] = [2]
        await repository.look()
        await until(lambda: pool.trying == ["m 2"])
        store["m"] = [3]
        await repository.look()
        await repository.look()
        await asyncio.sleep(0.1)
        assert pool.trying == ["m 2"]
        assert pool.models[repository.find("m").key] == [1]
        pool.gate.set()
        await repository.refresh("m")
        await asyncio.sleep(0)
        assert [said for said in pool.said if said.startswith("load")] == ["load m 1", "load m 2", "load m 3"]
        assert list(pool.models.values()) == [[3]]

    serve(store, act)


def test_what_is_unloaded_or_removed_while_it_loads_is_let_go(store: Store) -> None:
    store["m"], store["n"], store["o"] = [1], [1], [1]

    async def act(repository: Repository, pool: LocalPool) -> None:
        pool.gate.clear()
        for name in ("m", "n", "o"):
            store[name] = [2]
        await repository.look()
        await until(lambda: len(pool.trying) == 3)
        await repository.unload("m")
        del store["n"]
        await repository.look()
        pool.gate.set()
        await repository.refresh()
        await asyncio.sleep(0.01)
        assert list(pool.models.values()) == [[2]]
        assert pool.models[repository.find("o").key] == [2]
        await repository.load("m")
        assert pool.models[repository.find("m").key] == [2]

    serve(store, act)


def test_an_alias_leads_to_the_version_before_until_the_next_is_ready(store: Store) -> None:
    for number in range(3):
        store.save("m", [number])
    store.set_alias("m", "good", 1)

    async def act(repository: Repository, pool: LocalPool) -> None:
        pool.gate.clear()
        store.set_alias("m", "good", 2)
        await repository.look()
        assert pool.models[repository.find("m", "good").key] == [0]
        pool.gate.set()
        await repository.refresh()
        await asyncio.sleep(0)
        assert pool.models[repository.find("m", "good").key] == [1]
        assert states(repository) == {"m 2": "READY", "m 3": "READY"}

    serve(store, act)


def test_no_tenant_pushes_out_what_another_asked_for(store: Store) -> None:
    for number in range(40):
        store.save("m", [number])

    async def act(repository: Repository, pool: LocalPool) -> None:
        await repository.ready("m", "1", asker="lab")
        await repository.ready("m", "2", asker=None)
        for number in range(3, 40):
            await repository.ready("m", str(number), asker="greedy")
        assert repository.find("m", "1", asker="lab").state == repository.find("m", "2").state == "READY"
        await asyncio.sleep(0)
        assert len(pool.models) == 1 + 2 + 16  # the newest, one each, and what one may have
        repository.find("m", "39", asker="lab")
        for number in range(3, 30):
            await repository.ready("m", str(number), asker="greedy")
        assert repository.find("m", "39", asker="lab").state == "READY"  # asked for by both

    serve(store, act)


def test_all_that_was_asked_for_is_so_much_and_who_has_most_gives_way(store: Store, monkeypatch: Any) -> None:
    monkeypatch.setattr("keepfit.serve.repository._DEMANDED_BY_ALL_MAX", 6)
    for number in range(20):
        store.save("m", [number])

    async def act(repository: Repository, pool: LocalPool) -> None:
        for number in range(1, 7):
            await repository.ready("m", str(number), asker="greedy")
        for place, asker in enumerate("abc"):
            await repository.ready("m", str(10 + place), asker=asker)
        await asyncio.sleep(0)
        assert len(pool.models) == 7
        for number in (4, 5, 6, 10, 11, 12):
            assert repository.find("m", str(number), asker="greedy" if number < 9 else "abc"[number - 10])

    serve(store, act)
