"""Which tasks a search has taken on."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from keepfit.store import SearchRecord, Store

A, B, C, D = (bytes([number]) * 32 for number in range(4))


@pytest.fixture
def other_id(store: Store) -> int:
    return store.work.begin(SearchRecord("_fit_and_score", "another", {}, 10))


def test_what_one_has_taken_another_does_not_get(store: Store, search_id: int, other_id: int) -> None:
    leases = store.work.leases
    assert leases.take(search_id, [[A, B], [C], [D]], 2) == [A, B, C]
    assert leases.take(other_id, [[A], [D, C]], 2) == [D]
    assert leases.take(search_id, [[A], [D]], 2) == [A]


def test_a_search_that_takes_again_what_it_has_has_it_for_longer(store: Store, search_id: int, other_id: int) -> None:
    leases = store.work.leases
    leases.take(search_id, [[A, B]], 1, duration_s=0.2)
    assert leases.take(search_id, [[B, C]], 1, duration_s=60.0) == [B, C]
    time.sleep(0.3)
    assert leases.take(other_id, [[A, B, C]], 1) == []
    assert leases.take(other_id, [[D]], 1) == [D]


def test_what_is_given_back_is_free(store: Store, search_id: int, other_id: int) -> None:
    leases = store.work.leases
    leases.take(search_id, [[A, B, C]], 1)
    leases.release(search_id, [A])
    assert leases.take(other_id, [[A, B, C]], 1) == [A]
    leases.release(search_id)
    assert leases.take(other_id, [[A, B, C]], 1) == [A, B, C]


def test_a_search_that_ends_gives_all_back(store: Store, search_id: int, other_id: int) -> None:
    store.work.leases.take(search_id, [[A, B]], 1)
    store.work.end(search_id, "stopped", 0, 0, 0)
    assert store.work.leases.take(other_id, [[A, B]], 1) == [A, B]


def test_a_lease_lasts_as_long_as_it_is_renewed(store: Store, search_id: int, other_id: int) -> None:
    leases = store.work.leases
    leases.take(search_id, [[A]], 1, duration_s=0.3)
    leases.renew(search_id, duration_s=60.0)
    time.sleep(0.4)
    assert leases.take(other_id, [[A]], 1) == []
    leases.renew(search_id, duration_s=0.2)
    time.sleep(0.3)
    assert leases.take(other_id, [[A]], 1) == [A]
    assert leases.take(search_id, [[A]], 1) == []


def test_leases_by_a_clock_that_was_ahead_do_not_hold_others_up(store: Store, search_id: int, other_id: int) -> None:
    leases = store.work.leases
    leases.take(search_id, [[A]], 1, duration_s=24 * 3600.0)
    assert leases.take(other_id, [[A], [B]], 1) == [A]
    assert leases.take(search_id, [[A], [B]], 1) == [B]


def test_leases_of_a_process_that_is_gone_are_free_at_once(lasting_place: str) -> None:
    code = f"""
from keepfit.store import SearchRecord, Store
import os
store = Store({lasting_place!r})
search_id = store.work.begin(SearchRecord("f", "killed", {{}}, 1))
assert store.work.leases.take(search_id, [[{A!r}]], 1)
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    with Store(lasting_place) as store:
        search_id = store.work.begin(SearchRecord("f", "next", {}, 1))
        assert store.work.leases.take(search_id, [[A]], 1) == [A]


def test_many_that_take_at_once_get_each_task_once(lasting_place: str) -> None:
    def take(_: int) -> list[bytes]:
        taken: list[bytes] = []
        with Store(lasting_place) as store:
            search_id = store.work.begin(SearchRecord("f", "one of many", {}, 1))
            for _ in range(7):
                left = [[name] for number in range(100) if (name := bytes([number, 1]) * 16) not in taken]
                taken += store.work.leases.take(search_id, left, 2)
        return taken

    with ThreadPoolExecutor(4) as threads:
        taken = [name for names in threads.map(take, range(4)) for name in names]
    assert len(taken) == len(set(taken)) == 56
