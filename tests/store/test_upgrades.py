"""Stores of earlier releases, kept as they were written, go on."""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from keepfit.store import FinishedTask, ReusedTask, SearchRecord, Store, TokenInfo
from keepfit.store.leaderboard import leaderboards
from keepfit.store.schema import SCHEMA_VERSION, now

CORPUS = Path(__file__).parents[1] / "corpus" / "stores"


@pytest.fixture(params=[1, 2, 3])
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
        first = store.work.searches()[-1]
        assert first.fit_count == (None if old_version == 1 else 3)
        assert "fits" not in first.parts
        assert first.scorers == ()
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


@pytest.fixture
def three_equal(tmp_path: Path) -> Iterator[Store]:
    """A store of schema 3 with two searches of three candidates that are all right."""
    (tmp_path / "state.db").write_bytes(gzip.decompress((CORPUS / "schema_3.db.gz").read_bytes()))
    with Store(tmp_path / "state.db") as store:
        yield store


def test_candidates_that_have_no_place_stand_by_size_as_before(three_equal: Store) -> None:
    [board] = leaderboards(three_equal)
    assert (board.scorers, board.search_ids) == ((), (3, 2))
    assert [line.parameters["n_neighbors"] for line in board.lines] == [2, 9, 10]
    assert {line.candidate.mean_score for line in board.lines} == {1.0}
    assert [one.best_score for one in three_equal.work.searches()] == [1.0, 1.0, 0.5]


def test_a_search_tells_the_order_and_the_scorer_of_what_it_takes_from_before(three_equal: Store) -> None:
    work = three_equal.work
    old = next(one for one in work.searches() if one.id == 2)
    with three_equal._database.read() as connection:
        rows = connection.exec_driver_sql("SELECT identity, candidate, score FROM keepfit_task WHERE search_id = 2")
        places = {'{"n_neighbors": 10}': 0, '{"n_neighbors": 9}': 1, '{"n_neighbors": 2}': 2}
        tasks = [ReusedTask(identity, places[candidate], score) for identity, candidate, score in rows]
    again = work.begin(SearchRecord(old.kind, old.label, old.parts, 6, scorers=["accuracy"]))
    work.reuse(again, tasks)
    [board] = leaderboards(three_equal)
    assert (board.scorers, board.search_ids) == (("accuracy",), (again, 3, 2))
    assert [line.parameters["n_neighbors"] for line in board.lines] == [10, 9, 2]


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
    connection.execute(
        "INSERT INTO keepfit_search (id, kind, label, task_count, state, reused, computed, failed, started_at, "
        "updated_at, owner) VALUES (99, 'f', 'older', 2, 'running', 0, 0, 0, 0.0, 0.0, 'somewhere 1 1')"
    )
    connection.execute("INSERT INTO keepfit_reuse (search_id, task_id) SELECT 99, id FROM keepfit_task WHERE id = 1")
    connection.execute(
        "INSERT INTO keepfit_task (identity, search_id, split, score, duration_s, finished_at, candidate, payload) "
        "VALUES (?, 99, 1, 0.25, 0.1, 0.0, '{}', ?)",
        (b"1" * 32, b"x"),
    )
    connection.commit()
    connection.close()
    with Store(old_store) as store:
        assert (store.info("older").form, store.info("older").tenant) == ("graph", None)
        assert sorted(task.score for task in store.work.tasks(99)) == [0.25, 0.5]
        assert {one.place for one in store.work.candidates(99)} == {None}


def test_a_postgresql_store_of_schema_1_is_upgraded_too(postgresql_place: str) -> None:
    with Store(postgresql_place) as store:
        store["m"] = [1]
        with store._database.write() as connection:
            for statement in (
                "ALTER TABLE keepfit_search DROP COLUMN scorers",
                "ALTER TABLE keepfit_task DROP COLUMN place",
                "ALTER TABLE keepfit_reuse DROP COLUMN place",
                "ALTER TABLE keepfit_reuse DROP COLUMN score",
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
        search_id = store.work.begin(SearchRecord("f", "new", {}, 1, scorers=["r2"]))
        store.work.commit([FinishedTask(bytes(32), search_id, "{}", 0, 0.5, 0.1, b"payload", place=4)])
        assert [one.place for one in store.work.candidates(search_id)] == [4]
