"""Several processes at one store, killed ones among them; threads; space on disk."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import writer

from keepfit.store import FinishedTask, SearchRecord, Store


def start(place: str, seed: int) -> subprocess.Popen:
    command = [sys.executable, writer.__file__, place, str(seed)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def kill_after_first_model(process: subprocess.Popen, seconds: float) -> list[str]:
    """What the process said up to its end, without a last line that was cut off."""
    said = ""
    while not said.rpartition("\n")[0].rpartition("\n")[2].startswith("model"):
        line = process.stdout.readline()
        assert line, "the writer ended by itself"
        said += line
    time.sleep(seconds)
    process.kill()
    rest, _ = process.communicate()
    assert process.returncode == -9
    return (said + rest).rpartition("\n")[0].splitlines()


def check_all_is_there(store: Store, seed: int, said: list[str]) -> None:
    done = max(int(line.split()[1]) for line in said if line.startswith("tasks"))
    wanted = {writer.identity(str(seed), n): writer.payload(str(seed), n) for n in range(done + 1)}
    assert store.work.find(list(wanted)) == wanted
    for line in said:
        if line.startswith("model"):
            version, number = map(int, line.split()[1:])
            kept = store.load("shared", version=version)
            np.testing.assert_equal(kept, writer.model(str(seed), number))


def check_file(path: str) -> None:
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


def test_a_killed_writer_loses_nothing_that_was_committed(lasting_place: str) -> None:
    moments = random.Random(0)
    for seed in range(8):
        said = kill_after_first_model(start(lasting_place, seed), moments.uniform(0.0, 0.8))
        if not lasting_place.startswith("postgresql"):
            check_file(lasting_place)
        with Store(lasting_place) as store:
            check_all_is_there(store, seed, said)
    with Store(lasting_place) as store:
        for info in store.versions("shared"):  # those not announced before the kill are whole as well
            store.load("shared", version=info.version)


def test_two_writers_at_once_lose_nothing_and_share_no_version(lasting_place: str) -> None:
    processes = [start(lasting_place, seed) for seed in range(2)]
    said = [kill_after_first_model(process, 0.7) for process in processes]
    with Store(lasting_place) as store:
        for seed in range(2):
            check_all_is_there(store, seed, said[seed])
        versions = [line.split()[1] for lines in said for line in lines if line.startswith("model")]
        assert len(versions) == len(set(versions)) >= 2


def test_a_new_store_opened_by_many_processes_at_once_is_made_once(lasting_place: str) -> None:
    code = "import sys; from keepfit.store import Store; s = Store(sys.argv[1]); print(s.save('m', 1).version)"
    command = [sys.executable, "-c", code, lasting_place]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    answers = [process.communicate()[0].strip() for process in processes]
    assert sorted(answers) == list("123456")


def test_threads_may_share_a_store(store: Store) -> None:
    search_id = store.work.begin(SearchRecord("f", "threads"))

    def one(number: int) -> int:
        identity = writer.identity("thread", number)
        store.work.commit([FinishedTask(identity, search_id, "{}", 0, 0.0, 0.0, b"x")])
        assert store.work.find([identity]) == {identity: b"x"}
        return store.save("m", [number]).version

    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(one, range(40)))
    assert sorted(versions) == list(range(1, 41))
    assert store.work.searches()[0].computed == 40


def test_a_reader_sees_one_state_while_another_deletes(lasting_place: str) -> None:
    with Store(lasting_place) as store, Store(lasting_place) as other:
        for number in range(30):
            store["m"] = np.full(1000, number)
        with store._database.read() as connection:
            before = connection.exec_driver_sql("SELECT count(*) FROM keepfit_array").scalar()
            other.delete("m")
            assert connection.exec_driver_sql("SELECT count(*) FROM keepfit_array").scalar() == before
        assert "m" not in store


def test_ninety_nine_models_on_one_array_cost_one_copy(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    data = np.random.default_rng(0).random((1000, 500))  # 4 MB
    with Store(path) as store:
        for k in range(1, 100):
            store[f"knn {k}"] = {"n_neighbors": k, "X": data}
        np.testing.assert_array_equal(store["knn 50"]["X"], data)
    assert data.nbytes < path.stat().st_size < data.nbytes * 1.15


def test_arrays_go_with_the_last_model_that_uses_them(store: Store) -> None:
    shared, own = np.arange(1000), np.ones(1000)
    store["one"], store["two"] = [shared], [shared, own]

    def count(table: str) -> int:
        with store._database.read() as connection:
            return connection.exec_driver_sql(f"SELECT count(*) FROM keepfit_{table}").scalar()

    assert count("array") == 4  # two graphs, two arrays
    del store["two"]
    assert store["one"][0].tolist() == shared.tolist()
    assert count("array") == count("array_chunk") == count("model_array") == 2
    store["one"] = "no arrays"
    store.delete("one", 1)
    assert count("array") == 1
    del store["one"]
    assert [count(t) for t in ("array", "array_chunk", "model_array", "model_version", "model")] == [0] * 5


def test_the_file_shrinks_by_what_is_deleted(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with Store(path) as store:
        store["small"], store["large"] = 1, np.random.default_rng(0).random(2_000_000)
        del store["large"]
        assert store["small"] == 1
    assert path.stat().st_size < 1_000_000


@pytest.mark.parametrize("kind", ["find", "load"])
def test_readers_do_not_wait_for_a_writer(tmp_path: Path, kind: str) -> None:
    with Store(tmp_path / "state.db") as store, Store(tmp_path / "state.db") as other:
        store["m"] = 1
        with store._database.write():
            assert other["m"] == 1 if kind == "load" else other.work.find([bytes(32)]) == {}
