"""Finished work of searches, on every backend."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace

import numpy as np
import pytest

from keepfit.errors import StoreError
from keepfit.store import FinishedTask, ReusedTask, SearchRecord, Store


def identity(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


def task(search_id: int, number: int, **other: object) -> FinishedTask:
    """The task of candidate ``number // 5`` and split ``number % 5``."""
    fields = {
        "identity": identity(number),
        "search_id": search_id,
        "candidate": f'{{"k": {number // 5}}}',
        "split": number % 5,
        "score": number / 100,
        "duration_s": 0.5,
        "payload": b"result %d" % number,
    }
    return FinishedTask(**{**fields, **other})


def reused(*numbers: int, **facts: object) -> list[ReusedTask]:
    return [ReusedTask(identity(number), **facts) for number in numbers]


def search(store: Store, search_id: int):
    return next(info for info in store.work.searches() if info.id == search_id)


def test_committed_work_is_found(store: Store, search_id: int) -> None:
    store.work.commit([task(search_id, n) for n in range(5)])
    found = store.work.find([identity(n) for n in range(3, 8)])
    assert found == {identity(3): b"result 3", identity(4): b"result 4"}


def test_thousands_are_found_at_once(store: Store, search_id: int) -> None:
    store.work.commit([task(search_id, n) for n in range(3000)])
    found = store.work.find([identity(n) for n in range(5000)])
    assert len(found) == 3000


def test_nothing_asked_nothing_found(store: Store) -> None:
    store.work.commit([])
    assert store.work.find([]) == {}
    assert store.work.find([identity(0)]) == {}
    assert store.work.searches() == []


def test_of_two_results_the_first_stays(store: Store, search_id: int) -> None:
    store.work.commit([task(search_id, 0)])
    store.work.commit([task(search_id, 0, payload=b"other", score=9.0, failure="late"), task(search_id, 1)])
    store.work.commit([task(search_id, 2), task(search_id, 2, payload=b"twice")])
    found = store.work.find([identity(n) for n in range(3)])
    assert list(map(found.get, map(identity, range(3)))) == [b"result 0", b"result 1", b"result 2"]
    info = search(store, search_id)
    assert (info.computed, info.failed, info.best_score) == (3, 0, 0.02)


def test_a_commit_is_all_or_nothing(store: Store, search_id: int) -> None:
    for bad in (task(search_id, 1, identity=b"short"), task(search_id + 99, 1)):
        with pytest.raises(StoreError):
            store.work.commit([task(search_id, 0), bad])
    assert store.work.find([identity(0), identity(1)]) == {}
    assert search(store, search_id).computed == 0


def test_tasks_come_as_they_were_kept(store: Store, search_id: int) -> None:
    store.work.commit([task(search_id, 0), task(search_id, 1, score=None, failure="Traceback ...")])
    store.work.commit([task(search_id, 2, score=float("inf"))])
    tasks = list(store.work.tasks(search_id))
    assert sorted((t.candidate, t.split) for t in tasks) == [('{"k": 0}', 0), ('{"k": 0}', 1), ('{"k": 0}', 2)]
    assert {t.split: t.score for t in tasks} == {0: 0.0, 1: None, 2: float("inf")}
    assert {t.duration_s for t in tasks} == {0.5}
    assert not any(t.reused for t in tasks)
    [failure] = store.work.failures(search_id)
    assert failure.failure == "Traceback ..."


def test_a_score_that_is_nan_is_no_score(store: Store, search_id: int) -> None:
    store.work.commit([task(search_id, 0, score=float("nan"), failure="fit failed"), task(search_id, 1)])
    assert search(store, search_id).best_score == 0.01
    assert [t.score for t in store.work.failures(search_id)] == [None]


def test_a_failed_fit_is_never_the_best(store: Store, search_id: int) -> None:
    store.work.commit([task(search_id, 0, score=99.0, failure="fit failed, error_score=99")])
    assert search(store, search_id).best_score is None
    store.work.commit([task(search_id, 1, score=-3.0)])
    assert search(store, search_id).best_score == -3.0
    store.work.commit([task(search_id, 2, score=-4.0), task(search_id, 3, score=None)])
    info = search(store, search_id)
    assert (info.best_score, info.computed, info.failed) == (-3.0, 4, 1)


def test_more_tasks_than_a_page_are_read_in_order(store: Store, search_id: int) -> None:
    for start in range(0, 2500, 500):
        store.work.commit([task(search_id, n) for n in range(start, start + 500)])
    tasks = list(store.work.tasks(search_id))
    assert len(tasks) == 2500
    assert [t.finished_at for t in tasks] == sorted(t.finished_at for t in tasks)


def test_a_search_is_listed_with_how_it_goes(store: Store, search_id: int) -> None:
    info = search(store, search_id)
    assert (info.kind, info.label, info.task_count) == ("_fit_and_score", "GridSearchCV over SVC", 10)
    assert (info.state, info.parts, info.ended_at) == ("running", {"data": "d1"}, None)
    store.work.commit([task(search_id, n) for n in range(4)])
    later = search(store, search_id)
    assert (later.computed, later.reused) == (4, 0)
    assert later.updated_at >= info.updated_at >= info.started_at
    store.work.end(search_id, "stopped", reused=2, computed=4, failed=1)
    ended = search(store, search_id)
    assert (ended.state, ended.reused, ended.computed, ended.failed) == ("stopped", 2, 4, 1)
    assert ended.ended_at == ended.updated_at


def test_searches_come_newest_first(store: Store) -> None:
    ids = [store.work.begin(SearchRecord("f", str(n))) for n in range(3)]
    assert [info.id for info in store.work.searches()] == ids[::-1]


def test_an_end_must_make_sense(store: Store, search_id: int) -> None:
    with pytest.raises(StoreError, match="finished, stopped, failed"):
        store.work.end(search_id, "over", 0, 0, 0)
    with pytest.raises(StoreError, match="no search"):
        store.work.end(search_id + 1, "finished", 0, 0, 0)


def test_the_most_alike_search_is_the_newest_of_those_with_most_parts_equal(store: Store) -> None:
    def done(number: int, **parts: str) -> None:
        search_id = store.work.begin(SearchRecord("f", "s", parts))
        store.work.commit([task(search_id, number)])

    asked = {"data": "d", "splits": "s", "scorer": "c"}
    assert store.work.similar(asked) is None
    done(0, data="other", splits="other", scorer="c")
    done(1, data="d", splits="old", scorer="c")
    done(2, data="d", splits="older", scorer="c")
    done(3, data="x", splits="y", scorer="z")
    assert store.work.similar(asked) == {"data": "d", "splits": "older", "scorer": "c"}
    assert store.work.similar({"data": "never seen"}) is None
    assert store.work.similar({}) is None


def test_a_search_that_computed_nothing_is_like_none(store: Store) -> None:
    store.work.begin(SearchRecord("f", "s", {"data": "d"}))
    assert store.work.similar({"data": "d"}) is None


def test_reused_tasks_belong_to_the_search_that_took_them(store: Store, search_id: int) -> None:
    store.work.commit([task(search_id, n) for n in range(5)])
    again = store.work.begin(SearchRecord("f", "grown grid"))
    for _ in range(2):  # twice is as good as once
        store.work.reuse(again, reused(0, 1, 2, 77))
    store.work.commit([task(again, 5)])
    tasks = list(store.work.tasks(again))
    assert [t.reused for t in tasks] == [True, True, True, False]
    assert {t.search_id for t in tasks} == {again}
    info = search(store, again)
    assert (info.reused, info.computed, info.best_score) == (3, 1, 0.05)
    assert search(store, search_id).reused == 0


def test_a_reused_failure_is_a_failure_of_the_search_that_took_it(store: Store, search_id: int) -> None:
    store.work.commit([task(search_id, 0), task(search_id, 1, score=None, failure="bad")])
    again = store.work.begin(SearchRecord("f", "again"))
    store.work.reuse(again, reused(0, 1))
    assert (search(store, again).reused, search(store, again).failed) == (2, 1)
    store.work.commit([task(again, 2, failure="bad"), task(again, 1)])  # the second is kept already
    assert (search(store, again).computed, search(store, again).failed) == (1, 2)


def test_the_best_score_is_of_no_other_search(store: Store, search_id: int) -> None:
    errors = store.work.begin(SearchRecord("f", "another scorer"))
    store.work.commit([task(search_id, n) for n in range(3)])
    store.work.commit([task(errors, n, score=-n) for n in range(10, 13)])
    again = {}
    for first, numbers in ((search_id, range(3)), (errors, range(10, 13))):
        again[first] = store.work.begin(SearchRecord("f", "again"))
        store.work.reuse(again[first], reused(*numbers))
    assert search(store, again[search_id]).best_score == 0.02
    assert search(store, again[errors]).best_score == -10


def test_work_that_another_search_was_quicker_with_counts_as_taken(store: Store, search_id: int) -> None:
    other = store.work.begin(SearchRecord("f", "at the same time"))
    store.work.commit([task(other, 0)])
    store.work.commit([task(search_id, 0), task(search_id, 1)])
    assert sorted(t.reused for t in store.work.tasks(search_id)) == [False, True]
    info = search(store, search_id)
    assert (info.reused, info.computed) == (1, 1)


def test_one_commit_may_hold_tasks_of_several_searches(store: Store, search_id: int) -> None:
    other = store.work.begin(SearchRecord("f", "other"))
    store.work.commit([task(other, 0), task(search_id, 1), task(other, 2)])
    assert (search(store, other).computed, search(store, search_id).computed) == (2, 1)


def test_the_leaderboard_has_the_best_mean_first(store: Store, search_id: int) -> None:
    store.work.commit([task(search_id, n) for n in range(10)])
    store.work.commit([task(search_id, 10, score=None, failure="bad")])
    again = store.work.begin(SearchRecord("f", "again"))
    store.work.reuse(again, reused(*range(11)))
    for asked in (search_id, again):
        board = store.work.candidates(asked)
        assert [line.candidate for line in board] == ['{"k": 1}', '{"k": 0}', '{"k": 2}']
        assert [line.mean_score for line in board] == [pytest.approx(0.07), pytest.approx(0.02), None]
        assert [(line.split_count, line.failed) for line in board] == [(5, 0), (5, 0), (1, 1)]
        assert board[0].duration_s == 2.5
        assert store.work.candidates(asked, limit=1) == board[:1]


def test_equal_candidates_stand_in_the_order_of_the_search_that_shows_them(store: Store, search_id: int) -> None:
    store.work.commit([task(search_id, n, score=1.0, place=9 - n // 5) for n in range(10)])
    again = store.work.begin(SearchRecord("f", "another grid"))
    store.work.reuse(again, [ReusedTask(identity(n), n // 5, 1.0) for n in range(10)])
    found = {asked: store.work.candidates(asked) for asked in (search_id, again)}
    assert [(one.candidate, one.place) for one in found[search_id]] == [('{"k": 1}', 8), ('{"k": 0}', 9)]
    assert [(one.candidate, one.place) for one in found[again]] == [('{"k": 0}', 0), ('{"k": 1}', 1)]


def test_candidates_that_read_the_same_are_told_apart_by_their_places(store: Store, search_id: int) -> None:
    store.work.commit([task(search_id, n, candidate='{"estimator": "SVC"}', place=n // 5) for n in range(10)])
    assert [(one.place, one.split_count) for one in store.work.candidates(search_id)] == [(1, 5), (0, 5)]


def test_a_reused_task_has_the_score_by_the_scorer_of_the_search_that_takes_it(store: Store, search_id: int) -> None:
    store.work.commit([task(search_id, 0), task(search_id, 1)])
    again = store.work.begin(SearchRecord("f", "by another metric", scorers=["neg_log_loss", "accuracy"]))
    store.work.reuse(again, reused(0, place=0, score=-0.5) + reused(1, place=0, score=float("nan")))
    assert [one.score for one in store.work.tasks(again)] == [-0.5, None]
    assert store.work.candidates(again)[0].mean_score is None
    assert (search(store, again).best_score, search(store, search_id).best_score) == (-0.5, 0.01)
    late = store.work.begin(SearchRecord("f", "at the same time"))
    store.work.commit([task(late, 0, score=-0.25, place=3), task(late, 2, score=-0.75, place=3)])
    assert store.work.candidates(late)[0].mean_score == -0.5


def test_a_mean_is_that_of_numpy_to_the_bit_in_whatever_order_the_splits_came(store: Store, search_id: int) -> None:
    scores = np.random.default_rng(0).random((40, 20))
    numbers = np.random.default_rng(1).permutation(800).tolist()
    store.work.commit(
        [task(search_id, n, score=scores.flat[n], split=n % 20, place=n // 20, candidate="{}") for n in numbers]
    )
    found = {one.place: one.mean_score for one in store.work.candidates(search_id)}
    assert [found[place] for place in range(40)] == np.average(scores, axis=1).tolist()


def test_a_search_tells_by_which_scorers_it_judges(store: Store, search_id: int) -> None:
    several = store.work.begin(SearchRecord("f", "several", scorers=("r2", "max_error")))
    assert search(store, several).scorers == ("r2", "max_error")
    assert search(store, search_id).scorers == ()


def test_text_that_databases_do_not_take_is_made_readable(store: Store) -> None:
    search_id = store.work.begin(SearchRecord("k\0", "l\ud800", {"p\0": "d"}))
    store.work.commit([task(search_id, 0, candidate="ü \0 \udcff", failure="日\0")])
    [kept] = store.work.tasks(search_id)
    assert (kept.candidate, kept.failure) == ("ü \\x00 \\udcff", "日\\x00")
    assert search(store, search_id).label == "l\\ud800"


def test_large_and_empty_payloads_are_kept(store: Store, search_id: int) -> None:
    large = os.urandom(1 << 20) * 20
    store.work.commit([task(search_id, 0, payload=large), task(search_id, 1, payload=b"")])
    assert store.work.find([identity(0), identity(1)]) == {identity(0): large, identity(1): b""}


def test_a_payload_beyond_the_database_is_refused_by_name(store: Store, search_id: int, monkeypatch) -> None:
    monkeypatch.setattr("keepfit.store.work.PAYLOAD_BYTES", 100)
    with pytest.raises(StoreError, match=r'\{"k": 0\} is 101 bytes long'):
        store.work.commit([task(search_id, 0, payload=bytes(101))])
    store.work.commit([replace(task(search_id, 0), payload=bytes(100))])
