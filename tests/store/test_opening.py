"""What can be opened as a store, and what is said of everything else."""

from __future__ import annotations

import os
import pickle
import sqlite3
import sys
from pathlib import Path

import pytest
import sqlalchemy

from keepfit.errors import StoreError
from keepfit.store import SearchRecord, Store
from keepfit.store.database import url_of
from keepfit.store.schema import schema


def test_a_store_is_there_when_it_is_opened_again(lasting_place: str) -> None:
    with Store(lasting_place) as store:
        store["m"] = [1, 2]
    with Store(lasting_place, create=False) as store:
        assert store["m"] == [1, 2]


def test_without_create_nothing_is_made(lasting_place: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        Store(lasting_place, create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_closed_file_stands_alone(tmp_path: Path) -> None:
    with Store(tmp_path / "state.db") as store:
        store["m"] = 1
    assert [path.name for path in tmp_path.iterdir()] == ["state.db"]


def test_a_path_means_the_same_place_after_a_change_of_folder(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store("state.db")
    store["m"] = 1
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pickle.loads(pickle.dumps(store)) as again:
        assert again["m"] == 1
    assert list(Path.cwd().iterdir()) == []
    store.close()


@pytest.mark.parametrize(
    ("place", "url"),
    [
        (":memory:", "sqlite://"),
        ("sqlite://", "sqlite://"),
        ("postgresql://me:pw@host/db", "postgresql+psycopg://me:pw@host/db"),
        ("postgres://host/db", "postgresql+psycopg://host/db"),
        ("postgresql+psycopg2://host/db", "postgresql+psycopg2://host/db"),
        ("sqlite:////tmp/x.db", "sqlite:////tmp/x.db"),
    ],
)
def test_urls_are_read_as_people_write_them(place: str, url: str) -> None:
    assert url_of(place).render_as_string(hide_password=False) == url


@pytest.mark.parametrize("place", ["", b"state.db", "mysql://host/db", "nonsense:x", "foo://"])
def test_places_that_are_neither_path_nor_url_are_refused(place: str) -> None:
    with pytest.raises(StoreError):
        Store(place)


def test_the_password_is_not_shown() -> None:
    with pytest.raises(StoreError) as caught:
        Store("postgresql://me:secret@127.0.0.1:1/db")
    assert "secret" not in str(caught.value)
    assert "me:***@" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [(pickle.dumps([1]), "a pickle"), (b'{"a": 1}', "JSON"), (b"SQLite format 3", "not a store")],
)
def test_a_file_of_another_kind_is_named_and_left_alone(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=words):
        Store(path)
    assert path.read_bytes() == content


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "state.db").touch()
    with Store(tmp_path / "state.db") as store:
        store["m"] = 1


def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE studies (id)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"something else.*studies"):
        Store(path)
    assert path.read_bytes() == before


def test_a_postgresql_database_may_hold_other_things_too(postgresql_place: str) -> None:
    engine = sqlalchemy.create_engine(postgresql_place)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE model (id int)")
    engine.dispose()
    with Store(postgresql_place) as store:
        store["m"] = 1
        assert store["m"] == 1


@pytest.mark.parametrize("keep", [100, 5000, 30_000])
def test_a_truncated_file_is_refused_or_read_right(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "state.db"
    with Store(path) as store:
        store["m"] = bytes(100_000)
    os.truncate(path, keep)
    with pytest.raises(StoreError, match=r"damaged|not a store"), Store(path) as store:
        store["m"]


def test_a_flipped_bit_in_an_array_is_noticed(tmp_path: Path) -> None:
    import numpy as np

    path = tmp_path / "state.db"
    with Store(path) as store:
        store["m"] = np.full(100_000, 7, np.uint8)
    content = bytearray(path.read_bytes())
    content[content.index(b"\7" * 1000) + 500] ^= 1
    path.write_bytes(content)
    with Store(path) as store, pytest.raises(StoreError, match="damaged"):
        store["m"]


def test_a_store_of_a_later_keepfit_asks_for_an_upgrade(lasting_place: str) -> None:
    with Store(lasting_place) as store, store._database.write() as connection:
        connection.execute(schema.update().values(version=99))
    with pytest.raises(StoreError, match="upgrade keepfit"):
        Store(lasting_place)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_named_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "state.db")
    with pytest.raises(StoreError, match="is a named pipe"):
        Store(tmp_path / "state.db")


@pytest.mark.parametrize("name", ["a\0b", "a" * 300, "a\ud800b\0", "sqlite:///a%00b"])
@pytest.mark.parametrize("create", [True, False])
def test_a_name_that_no_file_can_have_is_refused(name: str, create: bool, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match=r"cannot be opened|no path"):
        Store(name, create=create)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE keepfit_schema SET version = 'x'",
        "UPDATE keepfit_schema SET version = -1",
        "UPDATE keepfit_schema SET version = 1.5",
        "DELETE FROM keepfit_schema",
        "INSERT INTO keepfit_schema SELECT * FROM keepfit_schema",
    ],
)
def test_a_schema_without_one_version_is_damaged_or_not_a_store(statement: str, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    Store(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()
    with pytest.raises(StoreError, match="damaged or not a store"):
        Store(path)


@pytest.mark.parametrize("fate", ["deleted", "moved", "replaced"])
def test_a_file_that_is_gone_while_it_is_in_use_is_an_error(fate: str, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = Store(path)
    store["m"] = 1
    path.rename(tmp_path / "old.db") if fate == "moved" else path.unlink()
    if fate == "replaced":
        Store(path).close()
    with pytest.raises(
        StoreError, match=rf"state\.db was .*{fate}.* while it was in use; what is written now would be lost"
    ):
        store["n"] = 2
    if fate == "moved":
        (tmp_path / "old.db").rename(path)
        store["n"] = 2
    store.close()


def test_a_file_that_goes_in_the_middle_of_a_transaction_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with Store(path) as store, pytest.raises(StoreError, match="was deleted"), store._database.write():
        path.unlink()


def test_folders_and_missing_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is a folder"):
        Store(tmp_path)
    with pytest.raises(StoreError, match="does not exist"):
        Store(tmp_path / "missing" / "state.db")


def test_a_server_that_is_not_there_is_a_store_error(postgresql: str) -> None:
    with pytest.raises(StoreError, match="refused"):
        Store("postgresql://127.0.0.1:1/db")


def test_a_pickled_store_is_its_place(lasting_place: str) -> None:
    with Store(lasting_place) as store:
        store["m"] = "here"
        with pickle.loads(pickle.dumps(store)) as again:
            assert again["m"] == "here"
            assert again.url == store.url


def test_a_store_in_memory_stays_in_its_process() -> None:
    with Store(":memory:") as store, pytest.raises(StoreError, match="give the store a file"):
        pickle.dumps(store)


def test_a_copy_of_a_store_is_the_store(store: Store) -> None:
    import copy

    assert copy.deepcopy({"store": store})["store"] is store
    assert copy.copy(store) is store


def test_an_sqlite_file_is_set_up_as_documented(tmp_path: Path) -> None:
    Store(tmp_path / "state.db").close()
    with Store(tmp_path / "state.db") as store, store._database.read() as connection:
        settings = ("synchronous", "journal_mode", "foreign_keys", "auto_vacuum", "page_size")
        values = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in settings]
    assert values == [2, "wal", 1, 2, 8192]  # 2: FULL, without which a power cut takes the last commits; INCREMENTAL


def test_opening_waits_for_no_writer(tmp_path: Path) -> None:
    with Store(tmp_path / "state.db") as store:
        store["m"] = 1
        with store._database.write(), Store(tmp_path / "state.db") as other:
            assert other["m"] == 1


def test_every_table_has_its_prefix_and_nothing_else_is_made(tmp_path: Path) -> None:
    with Store(tmp_path / "state.db") as store, store._database.read() as connection:
        tables = sqlalchemy.inspect(connection).get_table_names()
    assert tables
    assert all(name.startswith("keepfit_") for name in tables)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_that_may_not_be_written_is_a_store_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="writ"):
        Store(tmp_path / "state.db")
    tmp_path.chmod(0o700)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_and_its_parent_both_go_on(lasting_place: str) -> None:
    with Store(lasting_place) as store:
        store["m"] = "parent"
        child = os.fork()
        if child == 0:
            try:
                store["child"] = store["m"] + "'s child"
                store.close()
            finally:
                os._exit(sys.exc_info()[0] is not None)
        store["parent"] = 2
        assert os.waitpid(child, 0)[1] == 0
        assert store["child"] == "parent's child"
        assert list(store) == ["child", "m", "parent"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_cannot_write_into_its_own_copy_of_a_memory_store() -> None:
    with Store(":memory:") as store:
        child = os.fork()
        if child == 0:
            try:
                store["m"] = 1
            except StoreError as error:
                os._exit(42 if "in memory" in str(error) else 1)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42


def test_a_search_whose_process_was_killed_is_interrupted(lasting_place: str) -> None:
    import subprocess

    code = (
        "import os, signal, sys\n"
        "from keepfit.store import Store, SearchRecord\n"
        "Store(sys.argv[1]).work.begin(SearchRecord('f', 'killed'))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, lasting_place], check=False)
    with Store(lasting_place) as store:
        store.work.begin(SearchRecord("f", "alive"))
        assert {info.label: info.state for info in store.work.searches()} == {
            "alive": "running",
            "killed": "interrupted",
        }
