"""Places, servers and pools that many tests share. The battery of estimators lies one folder up."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from http_rig import Place, models, running
from pools import SETTINGS, Shared, pids, until

import keepfit
from keepfit.serve.pool import Pool, PoolSettings
from keepfit.serve.tokens import Role, Tokens
from keepfit.store import Quota, Store


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("served")
    found = models()
    with Store(folder / "state.db") as store:
        store.save("iris", found["forest"])  # version 1; what follows is 2
        for name, model in found.items():
            store.save(name, model, metadata={"metrics": {"accuracy": 0.9}})
        store.set_alias("iris", "old", 1)
        keepfit.dump(found["line"], folder / "upload")
        with (folder / "upload").open("rb") as file:
            store.tenants.save("ann", "ann.line", file, type="x", facts={}, quota=Quota(9, 9, 10**9))
        tokens = Tokens(store)
        secrets = {
            "infer": tokens.create(Role.INFER),
            "ann": tokens.create(Role.UPLOAD, "ann"),
            "bob": tokens.create(Role.UPLOAD, "bob"),
            "admin": tokens.create(Role.ADMIN),
        }
    return Place(folder / "state.db", found, secrets)


@pytest.fixture(scope="session")
def server(place: Place) -> Iterator[Any]:
    """A server without tokens."""
    with running(place.path) as found:
        yield found


@pytest.fixture(scope="session")
def guarded(place: Place) -> Iterator[Any]:
    """A server with tokens."""
    with running(place.path, "--tokens") as found:
        yield found


@pytest.fixture(scope="session")
def shared_pool() -> Iterator[Shared]:
    with asyncio.Runner() as runner:
        pool = Pool(PoolSettings(**SETTINGS))
        runner.run(pool.start())
        yield Shared(runner, pool)
        runner.run(pool.stop(0))


@pytest.fixture
def shared(shared_pool: Shared) -> Iterator[Shared]:
    """A running pool, with no models before and after."""
    yield shared_pool
    pool = shared_pool.pool
    for key in list(pool._crew_of):
        shared_pool.run(pool.unload(key))
    shared_pool.run(until(lambda: pool.figures().workers == 2 == len(pids(pool)), 60))
    figures = pool.figures()
    assert (figures.models, figures.queued, figures.running) == (0, 0, 0)
