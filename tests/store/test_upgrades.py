"""Stores of earlier releases, kept as they were written, go on."""

from __future__ import annotations

import gzip
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from keepfit.store import SearchRecord, Store, TokenInfo
from keepfit.store.schema import SCHEMA_VERSION, now

CORPUS = Path(__file__).parents[1] / "corpus" / "stores"


@pytest.fixture(params=[1, 2])
def old_version(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture
def old_store(old_version: int, tmp_path: Path) -> Path:
    path = tmp_path / "state.db"
    path.write_bytes(gzip.decompress((CORPUS / f"schema_{old_version}.db.gz").read_bytes()))
    return path


def version_of(path: Path) -> int:
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT version FROM keepfit_schema").fetchall()
    connection.close()
    return found[0][0]


def columns_of(path: Path) -> dict[str, list[tuple[object, ...]]]:
    connection = sqlite3.connect(path)
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    # Type, not null and default of each column, by name: a column that was added stands last.
    found = {table: sorted(row[1:5] for row in connection.execute(f"PRAGMA table_info({table})")) for table in tables}
    connection.close()
    return found


def test_an_older_store_keeps_all_it_had(old_version: int, old_store: Path) -> None:
    assert version_of(old_store) == old_version
    with Store(old_store, create=False) as store:
        assert store.load("line", version=1) == [1, 2, 3]
        assert store["line"].predict([[0.2], [2.9]]).tolist() == ["no", "yes"]
        assert store.aliases("line") == {"best": 2}
        info = store.info("line")
        assert (info.metadata, info.tenant, info.form) == ({"by": f"schema {old_version}"}, None, "graph")
        assert store.work.find([bytes(32)]) == {bytes(32): b"payload"}
        assert [one.fit_count for one in store.work.searches()] == [3 if old_version == 2 else None]
        assert "fits" not in store.work.searches()[0].parts
    assert version_of(old_store) == SCHEMA_VERSION


def test_an_upgraded_store_takes_what_is_new(old_store: Path) -> None:
    with Store(old_store) as store:
        assert store.save("line", [4]).version == 3
        store.tokens.add(TokenInfo("new", bytes(32), "infer", None, "", now()))
        assert "new" in [one.key for one in store.tokens.all()]
        search_id = store.work.begin(SearchRecord("f", "new", {}, 1))
        assert store.work.leases.take(search_id, [[bytes(32)]], 1) == [bytes(32)]


def test_an_upgraded_store_has_the_tables_of_a_new_one(old_store: Path, tmp_path: Path) -> None:
    Store(old_store).close()
    Store(tmp_path / "new.db").close()
    assert columns_of(old_store) == columns_of(tmp_path / "new.db")


def test_many_that_open_an_old_store_at_once_upgrade_it_once(old_store: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        for store in threads.map(lambda _: Store(old_store), range(8)):
            assert store["line"].predict([[0.2]]).tolist() == ["no"]
            store.close()


def test_a_process_of_the_release_before_goes_on_in_an_upgraded_store(old_store: Path) -> None:
    Store(old_store).close()
    connection = sqlite3.connect(old_store)
    connection.execute("INSERT INTO keepfit_model (name, last_version) VALUES ('older', 1)")
    connection.execute(
        "INSERT INTO keepfit_model_version (model_id, version, digest, type, created_at, size_bytes, versions, facts) "
        "SELECT id, 1, 'd', 'list', 0.0, 1, '{}', '{}' FROM keepfit_model WHERE name = 'older'"
    )
    connection.commit()
    connection.close()
    with Store(old_store) as store:
        assert (store.info("older").form, store.info("older").tenant) == ("graph", None)


def test_a_postgresql_store_of_schema_1_is_upgraded_too(postgresql_place: str) -> None:
    with Store(postgresql_place) as store:
        store["m"] = [1]
        with store._database.write() as connection:
            for statement in (
                "DROP TABLE keepfit_lease",
                "ALTER TABLE keepfit_search DROP COLUMN fit_count",
                "DROP TABLE keepfit_token",
                "ALTER TABLE keepfit_model DROP COLUMN tenant",
                "ALTER TABLE keepfit_model_version DROP COLUMN form",
                "UPDATE keepfit_schema SET version = 1",
            ):
                connection.exec_driver_sql(statement)
    with Store(postgresql_place) as store:
        assert store["m"] == [1]
        assert store.info("m").form == "graph"
        store.tokens.add(TokenInfo("k", bytes(32), "infer", "lab", "", now()))
        assert store.tokens.count() == 1
