"""What the user sees of a search."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.tree import DecisionTreeClassifier
from user_code import FailsAt

import keepfit
from keepfit.checkpoint.progress import Bar, Counts, Lines, duration_text

TREE = DecisionTreeClassifier(random_state=0)


def test_without_a_terminal_there_is_a_line_at_the_end(store, iris, capsys) -> None:
    for reused in ("", ", 6 reused"):
        with keepfit.checkpoint(store):
            GridSearchCV(TREE, {"max_depth": [1, 2]}, cv=3).fit(*iris)
        output = capsys.readouterr()
        assert output.out == ""
        assert f"over DecisionTreeClassifier: 6 of 6 done{reused}, best accuracy of a split 0.9" in output.err
        assert output.err.count("\n") == 1


def test_progress_false_is_silent(store, iris, capfd) -> None:
    with keepfit.checkpoint(store, progress=False):
        cross_val_score(TREE, *iris)
    assert capfd.readouterr() == ("", "")


@pytest.mark.filterwarnings("ignore")
def test_failed_fits_are_counted_and_an_error_says_how_to_go_on(store, iris, capsys) -> None:
    search = GridSearchCV(FailsAt(bad_depth=2), {"max_depth": [1, 2]}, cv=3)
    with keepfit.checkpoint(store):
        search.fit(*iris)
    assert "6 of 6 done, 3 failed" in capsys.readouterr().err
    with keepfit.checkpoint(store) as again:
        search.fit(*iris)
    assert "6 of 6 done, 6 reused, 3 failed" in capsys.readouterr().err
    assert (again.reused, again.failed, again.searches[0].failed) == (6, 3, 3)
    with keepfit.Store(store) as opened:
        assert [one.failed for one in opened.work.searches()] == [3, 3]
    with keepfit.checkpoint(store), pytest.raises(ArithmeticError):
        search.set_params(error_score="raise").fit(*iris)
    assert f"keepfit: stopped by an error: 3 of 6 kept in {store}; run the same code again" in capsys.readouterr().err


def test_a_bar_shows_names_in_brackets_as_they_are(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    bar = Bar()
    bar.begin(Counts("svm [rbf] [/b]", 10, ("mean[/i]",), score=0.5))
    bar.end()
    assert "svm [rbf] [/b]" in (shown := capsys.readouterr().err)
    assert "best mean[/i] of a split 0.5" in shown


def test_on_a_terminal_there_is_a_bar(store, tmp_path) -> None:
    script = Path(__file__).parent / "search_child.py"
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "160", "PAUSE_S": "0.005"}
    command = [sys.executable, script, store, tmp_path / "results.npz"]
    child = subprocess.Popen(command, stderr=theirs, stdout=subprocess.DEVNULL, env=environment)
    os.close(theirs)
    seen = b""
    while True:
        try:
            more = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not more:
            break
        seen += more
    os.close(ours)
    assert child.wait(60) == 0
    text = seen.decode()
    assert "160 of 160 done" in text
    assert "━" in text
    assert " a second" in text


def test_lines_come_now_and_then(capsys) -> None:
    now = [0.0]
    counts = Counts("a search", total=100, reused=10)
    lines = Lines(clock=lambda: now[0])
    lines.begin(counts)
    for second in range(25):
        now[0] = float(second)
        counts.computed = second
        counts.add_score(second / 100)
        lines.update()
    lines.end()
    assert capsys.readouterr().err.splitlines() == [
        "keepfit: a search: 20 of 100 done, 10 reused, best score of a split 0.1, 1 a second, 1 min 20 s left",
        "keepfit: a search: 30 of 100 done, 10 reused, best score of a split 0.2, 1 a second, 1 min 10 s left",
        "keepfit: a search: 34 of 100 done, 10 reused, best score of a split 0.24, in 24 s",
    ]


def test_the_start_of_workers_is_no_part_of_the_time_that_is_left() -> None:
    counts = Counts("a search", total=400, computed=2, startup_s=9.0)
    assert counts.rate_text(9.5) == "4 a second"  # too early to tell how long it takes
    counts.computed = 8
    assert counts.rate_text(11.0) == "4 a second, 1 min 38 s left"


def test_how_long_workers_took_to_start_is_told_by_their_first_result(store, iris) -> None:
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True)
    with keepfit.checkpoint(store, progress=False) as run:
        for n_jobs in (1, 2):
            GridSearchCV(TREE, {"max_depth": [n_jobs]}, cv=3, n_jobs=n_jobs).fit(*iris)
    here, by_workers = (counts.startup_s for _, counts in run._searches)
    assert 0 <= here < by_workers
    assert by_workers > 0.2  # an interpreter that imports scikit-learn


def test_durations_are_for_people() -> None:
    assert [duration_text(s) for s in (0.123, 5, 59, 61, 3600 * 5 + 125)] == [
        "0.12 s",
        "5 s",
        "59 s",
        "1 min 1 s",
        "5 h 2 min",
    ]


def test_a_password_is_not_shown(store) -> None:
    from keepfit.checkpoint.run import _place_of

    assert _place_of("postgresql+psycopg://me:secret@host/db") == "postgresql+psycopg://me:***@host/db"
    assert _place_of("state.db") == "state.db"
    with keepfit.Store(store) as opened:
        assert _place_of(opened) == str(store)
