"""Uploads: what is taken, what is refused, and that nobody gets at what is somebody else's."""

from __future__ import annotations

import asyncio
import os
import pickle
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from local_pool import LocalPool

import keepfit
from keepfit.errors import FormatError
from keepfit.serve.errors import OverloadedError, RequestError, UnavailableError
from keepfit.serve.repository import Repository
from keepfit.serve.tokens import ANYBODY, Grant, Role
from keepfit.serve.uploads import UploadLimits, Uploads
from keepfit.store import Quota, Store

LAB, OTHER = Grant("1", Role.UPLOAD, "lab"), Grant("2", Role.UPLOAD, "other")
ADMIN = Grant("3", Role.ADMIN, None)
DOCUMENT = Path(__file__).parents[2] / "docs" / "serving.md"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "state.db") as store:
        yield store


async def pieces(data: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        await asyncio.sleep(0)
        yield data[start : start + size]


def serve(store: Store, act: Callable[..., Any], **options: Any) -> Any:
    async def run() -> Any:
        pool = LocalPool()
        repository = Repository(store, pool)
        await repository.start()
        uploads = Uploads(store, pool, repository, **options)
        await act(uploads, SimpleNamespace(pool=pool, repository=repository))

    return asyncio.run(run())


async def refused(status: int, words: str, upload: Any) -> None:
    with pytest.raises((RequestError, OverloadedError), match=words) as caught:
        await upload
    assert caught.value.status == status


def test_an_upload_is_in_service_when_it_is_taken(store: Store, tmp_path: Path) -> None:
    data = keepfit.dumps(["a model"])

    async def act(uploads: Uploads, server: Any) -> None:
        entry = await uploads.take(LAB, "m", pieces(data))
        assert (entry.name, entry.version, entry.state, entry.tenant) == ("lab.m", "1", "READY", "lab")
        assert server.pool.models[entry.key] == ["a model"]
        assert server.pool.tenants[entry.key] == "lab"
        entry = await uploads.take(LAB, "lab.m", pieces(keepfit.dumps(["newer"])))
        assert (entry.version, server.pool.models[entry.key]) == ("2", ["newer"])
        await asyncio.sleep(0)
        assert list(server.pool.models.values()) == [["newer"]]  # neither what was tried nor the older one

    serve(store, act, spool_folder=str(tmp_path))
    store.export("lab.m", tmp_path / "out", version=1)
    assert (tmp_path / "out").read_bytes() == data
    assert sorted(os.listdir(tmp_path)) == ["out", "state.db", "state.db-shm", "state.db-wal"]


def test_a_restart_keeps_uploads(store: Store) -> None:
    async def first(uploads: Uploads, server: Any) -> None:
        await uploads.take(LAB, "m", pieces(keepfit.dumps(["a model"])))

    async def second(uploads: Uploads, server: Any) -> None:
        entry = await server.repository.ready("lab.m")
        assert server.pool.models[entry.key] == ["a model"]
        assert server.pool.tenants[entry.key] == "lab"

    serve(store, first)
    serve(store, second)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../m", "/etc/passwd", "a/b", "a\\b", "a b", "ü", "m\0", "m\n", "-m", ".m", "x" * 97, "lab."],
)
def test_names_that_are_no_names_are_refused(store: Store, tmp_path: Path, name: str) -> None:
    async def act(uploads: Uploads, server: Any) -> None:
        await refused(400, "name will not do", uploads.take(LAB, name, pieces(keepfit.dumps([1]))))

    serve(store, act)
    assert list(store) == []


def test_only_a_token_for_uploads_uploads(store: Store) -> None:
    async def act(uploads: Uploads, server: Any) -> None:
        for grant in (ANYBODY, Grant("4", Role.INFER, "lab"), ADMIN):
            await refused(403, "token of a tenant", uploads.take(grant, "m", pieces(keepfit.dumps([1]))))
        await refused(403, "token of a tenant", uploads.remove(Grant("4", Role.INFER, "lab"), "m"))

    serve(store, act)


def test_a_tenant_gets_at_nothing_of_others(store: Store) -> None:
    store["m"], store["lab.own"] = ["owner's"], ["owner's too"]

    async def act(uploads: Uploads, server: Any) -> None:
        await uploads.take(LAB, "m", pieces(keepfit.dumps(["lab's"])))
        await uploads.take(OTHER, "lab.m", pieces(keepfit.dumps(["other's"])))
        assert sorted(store) == ["lab.m", "lab.own", "m", "other.lab.m"]
        assert store["lab.m"] == ["lab's"]
        await refused(409, "is taken", uploads.take(LAB, "own", pieces(keepfit.dumps([1]))))
        await refused(404, "no uploaded model", uploads.remove(OTHER, "m"))
        await refused(404, "no uploaded model", uploads.remove(LAB, "own"))
        await refused(404, "no uploaded model", uploads.remove(ADMIN, "m"))
        await uploads.remove(LAB, "m")
        await uploads.remove(ADMIN, "other.lab.m")
        assert sorted(store) == ["lab.own", "m"]
        assert [one.name for one in server.repository.entries()] == ["lab.own", "m"]

    serve(store, act)


def test_what_is_no_model_is_refused_in_words_and_not_kept(store: Store, tmp_path: Path) -> None:
    good = keepfit.dumps([1])
    cases = [
        (b"", "empty"),
        (b"{}", "refused"),
        (good[:-1], "refused"),
        (good + b"x", "refused"),
        (pickle.dumps([1]), "a pickle"),
        (bytes(5000), "refused"),
        (b"\xff" * 5000, "refused"),
    ]

    async def act(uploads: Uploads, server: Any) -> None:
        for data, words in cases:
            await refused(400, words, uploads.take(LAB, "m", pieces(data)))
        server.pool.error = FormatError("x" * 10_000 + "\x1b[31m")
        with pytest.raises(RequestError) as caught:
            await uploads.take(LAB, "m", pieces(good))
        assert len(str(caught.value)) < 1100
        server.pool.error = UnavailableError("it died")
        await refused(400, "ended the process", uploads.take(LAB, "m", pieces(good)))
        assert server.pool.models == {}

    serve(store, act, spool_folder=str(tmp_path))
    assert list(store) == []
    assert sorted(os.listdir(tmp_path)) == ["state.db", "state.db-shm", "state.db-wal"]


def test_pickles_are_converted_where_that_is_asked_for(store: Store) -> None:
    async def act(uploads: Uploads, server: Any) -> None:
        entry = await uploads.take(LAB, "m", pieces(pickle.dumps(["from a pickle"])))
        assert server.pool.models[entry.key] == ["from a pickle"]
        await uploads.take(LAB, "n", pieces(keepfit.dumps(["as it is"])))
        await refused(400, "refused", uploads.take(LAB, "o", pieces(pickle.dumps(os.system))))

    serve(store, act, converts=True)
    assert sorted(store) == ["lab.m", "lab.n"]


def test_a_file_that_is_too_long_is_refused_while_it_comes(store: Store) -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1000
            yield bytes(1000)

    async def act(uploads: Uploads, server: Any) -> None:
        await refused(413, "longer than the 5,000 bytes", uploads.take(LAB, "m", endless()))
        assert taken == 6000

    serve(store, act, limits=UploadLimits(file_bytes=5000))


def test_a_tenant_has_so_much_room_and_no_more(store: Store) -> None:
    data = keepfit.dumps(["x" * 100])

    async def act(uploads: Uploads, server: Any) -> None:
        await uploads.take(LAB, "a", pieces(data))
        await uploads.take(LAB, "a", pieces(data))
        await refused(403, "has 2 versions", uploads.take(LAB, "a", pieces(data)))
        await uploads.take(LAB, "b", pieces(data))
        await refused(403, "keeps 2 models", uploads.take(LAB, "c", pieces(data)))
        await refused(403, "bytes of at most", uploads.take(LAB, "b", pieces(data)))
        await uploads.take(OTHER, "a", pieces(data))
        await uploads.remove(LAB, "a")
        await uploads.take(LAB, "c", pieces(data))

    limits = UploadLimits(tenant_models=2, model_versions=2, tenant_bytes=3 * len(data) + 10)
    serve(store, act, limits=limits)
    assert store.tenants.usage("lab") == Quota(2, 1, 2 * len(data))


def test_uploads_are_so_many_an_hour_and_at_once(store: Store) -> None:
    data = keepfit.dumps([1])
    going = asyncio.Event

    async def act(uploads: Uploads, server: Any) -> None:
        go = going()

        async def slow() -> AsyncIterator[bytes]:
            await go.wait()
            yield data

        first = asyncio.create_task(uploads.take(LAB, "m", slow()))
        await asyncio.sleep(0)
        await refused(429, "still coming", uploads.take(LAB, "n", pieces(data)))
        second = asyncio.create_task(uploads.take(OTHER, "m", slow()))
        await asyncio.sleep(0)
        await refused(429, "too many uploads", uploads.take(Grant("5", Role.UPLOAD, "third"), "m", pieces(data)))
        go.set()
        await asyncio.gather(first, second)
        await uploads.take(LAB, "m", pieces(data))
        with pytest.raises(OverloadedError, match="times an hour") as caught:
            await uploads.take(LAB, "m", pieces(data))
        assert 3500 < caught.value.retry_after_s <= 3600
        await uploads.take(OTHER, "m", pieces(data))

    limits = UploadLimits(tenant_uploads_per_hour=2, tenant_uploads_at_once=1, uploads_at_once=2)
    serve(store, act, limits=limits)


def test_an_upload_that_is_broken_off_leaves_nothing(store: Store, tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield bytes(100_000)
        raise ConnectionError("the client went away")

    async def act(uploads: Uploads, server: Any) -> None:
        for _ in range(3):
            with pytest.raises(ConnectionError):
                await uploads.take(LAB, "m", broken())
        await uploads.take(LAB, "m", pieces(keepfit.dumps([1])))

    before = len(os.listdir("/proc/self/fd"))
    serve(store, act, spool_folder=str(tmp_path), limits=UploadLimits(tenant_uploads_at_once=1))
    assert sorted(os.listdir(tmp_path)) == ["state.db", "state.db-shm", "state.db-wal"]
    assert len(os.listdir("/proc/self/fd")) <= before + 1  # the store's own


def test_what_is_coming_has_no_name_on_the_disk(store: Store, tmp_path: Path) -> None:
    async def watched() -> AsyncIterator[bytes]:
        yield b"x"
        assert not [name for name in os.listdir(tmp_path) if name.startswith("keepfit-")]
        raise ConnectionError("the client went away")

    async def act(uploads: Uploads, server: Any) -> None:
        with pytest.raises(ConnectionError):
            await uploads.take(LAB, "m", watched())

    serve(store, act, spool_folder=str(tmp_path))


def test_the_limits_in_the_document_are_the_limits() -> None:
    import re

    rows = re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", DOCUMENT.read_text(), re.MULTILINE)
    stated = {name: int(value.replace(",", "")) for name, value in rows}
    limits = UploadLimits()
    assert {name: stated[name] for name in stated if hasattr(limits, name)} == {
        field.name: getattr(limits, field.name) for field in fields(UploadLimits)
    }
